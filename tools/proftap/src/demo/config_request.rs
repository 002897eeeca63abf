//! A config, parsed and validated: what to record or to monitor, and where to write it.

use std::time::{Duration, Instant};

use common::rpc::config::{Config, LOG_FILE, TRACE_ID};
use thiserror::Error;

use super::clock::epoch_ns_now;
use super::schedule::{FirstStep, RecordingWindow};
use crate::metric_kind::MetricKind;

/// The duration that libkineto records if the config has neither a duration nor iterations (pytorch/kineto 114171d,
/// `libkineto/src/Config.cpp`, `kDefaultActivitiesProfileDurationMSecs`).
const DEFAULT_DURATION_MS: u64 = 500;
/// Maximum duration of a recording.
const MAX_DURATION_MS: u64 = 60 * 60 * 1000;
/// Maximum number of steps in a recording.
const MAX_STEPS: u64 = 100_000;
/// Maximum time until the start.
const MAX_AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a config is rejected.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum ConfigRequestError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is not a number between {1} and {2}")]
    Number(&'static str, u64, u64),
    #[error("{0} is neither true nor false")]
    Flag(&'static str),
    #[error("PROFILE_START_TIME is more than a day ahead")]
    TooFar,
    #[error("the request is for an Ascend device; it needs --npu")]
    NotNpu,
    #[error("MSPTI_ACTIVITY_KIND has the unknown kind `{0}`")]
    UnknownKind(String),
}

/// The request of a config.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ConfigRequest {
    Trace(TraceRequest),
    /// Start monitoring.
    Monitor(MonitorRequest),
    /// Stop monitoring.
    MonitorStop,
}

/// A recording on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceRequest {
    /// The id of the request, assigned by the daemon.
    pub(crate) trace_id: Option<String>,
    /// The path in the config.
    pub(crate) log_file: String,
    /// `log_file` is a directory, because the request is for an Ascend device.
    pub(crate) into_directory: bool,
    pub(crate) window: RecordingWindow,
}

/// Continuous monitoring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MonitorRequest {
    pub(crate) interval: Duration,
    /// `None` monitors until it is stopped.
    pub(crate) duration: Option<Duration>,
    pub(crate) kinds: Vec<MetricKind>,
    /// The request is for files, which the demo does not write.
    pub(crate) wants_files: bool,
}

impl ConfigRequest {
    /// Parses a config. A request for an Ascend device is valid only with `npu`.
    pub(crate) fn from_config(config: &Config, npu: bool, now: Instant) -> Result<Self, ConfigRequestError> {
        let fields = ConfigFields(config);
        let into_directory = config.get("PROFILE_START_STEP").is_some();
        if (config.is_monitor() || into_directory) && !npu {
            return Err(ConfigRequestError::NotNpu);
        }
        if config.is_monitor() {
            return fields.monitor_request();
        }
        let log_file = config.get(LOG_FILE).filter(|f| !f.is_empty());
        Ok(Self::Trace(TraceRequest {
            trace_id: config.get(TRACE_ID).map(str::to_owned),
            log_file: log_file.ok_or(ConfigRequestError::Missing(LOG_FILE))?.into(),
            into_directory,
            window: fields.recording_window(now)?,
        }))
    }
}

/// Typed access to a config.
struct ConfigFields<'a>(&'a Config);

impl ConfigFields<'_> {
    fn recording_window(&self, now: Instant) -> Result<RecordingWindow, ConfigRequestError> {
        match self.parse_number("ACTIVITIES_ITERATIONS", 0, MAX_STEPS)? {
            Some(count) if count > 0 => Ok(RecordingWindow::Steps { first: self.first_step()?, count }),
            _ => {
                let length = self.parse_number("ACTIVITIES_DURATION_MSECS", 1, MAX_DURATION_MS)?;
                let length = Duration::from_millis(length.unwrap_or(DEFAULT_DURATION_MS));
                Ok(RecordingWindow::Time { start: now + self.time_until_start()?, length })
            }
        }
    }

    /// Returns the first step: the given one, else the next multiple, else the next one.
    fn first_step(&self) -> Result<FirstStep, ConfigRequestError> {
        if let Some(step) = self.0.get("PROFILE_START_STEP").filter(|s| *s != "-1") {
            let step =
                step.parse().map_err(|_| ConfigRequestError::Number("PROFILE_START_STEP", 0, u64::MAX))?;
            return Ok(FirstStep::At(step));
        }
        let at = self.parse_number("PROFILE_START_ITERATION", 0, u64::MAX)?.unwrap_or(0);
        let round = self.parse_number("PROFILE_START_ITERATION_ROUNDUP", 0, u64::MAX)?.unwrap_or(0);
        Ok(match (at, round) {
            (0, 0 | 1) => FirstStep::Next,
            (0, n) => FirstStep::RoundUp(n),
            (n, _) => FirstStep::At(n),
        })
    }

    /// Returns the time until PROFILE_START_TIME (milliseconds since the Unix epoch); 0 if it has passed.
    fn time_until_start(&self) -> Result<Duration, ConfigRequestError> {
        let start_ms = self.parse_number("PROFILE_START_TIME", 0, u64::MAX)?.unwrap_or(0);
        let now_ms = u64::try_from(epoch_ns_now() / 1_000_000).unwrap_or(0);
        let ahead = Duration::from_millis(start_ms.saturating_sub(now_ms));
        if ahead > MAX_AHEAD { Err(ConfigRequestError::TooFar) } else { Ok(ahead) }
    }

    fn monitor_request(&self) -> Result<ConfigRequest, ConfigRequestError> {
        if self.parse_flag("NPU_MONITOR_STOP")? || !self.parse_flag("NPU_MONITOR_START")? {
            return Ok(ConfigRequest::MonitorStop);
        }
        let interval = self.parse_number("REPORT_INTERVAL_S", 1, 86_400)?.unwrap_or(60);
        let duration = self.parse_seconds("DURATION", u32::MAX)?;
        let kinds = self.0.get("MSPTI_ACTIVITY_KIND").unwrap_or("Marker");
        let log_file = self.0.get("NPU_MONITOR_LOG_FILE").unwrap_or("");
        Ok(ConfigRequest::Monitor(MonitorRequest {
            interval: Duration::from_secs(interval),
            duration: duration.filter(|d| !d.is_zero()),
            kinds: kinds.split(',').map(parse_kind).collect::<Result<_, _>>()?,
            wants_files: !log_file.is_empty(),
        }))
    }

    fn parse_number(&self, key: &'static str, min: u64, max: u64) -> Result<Option<u64>, ConfigRequestError> {
        let in_range = |text: &str| text.parse().ok().filter(|n| (min..=max).contains(n));
        match self.0.get(key) {
            None => Ok(None),
            Some(text) => in_range(text).map(Some).ok_or(ConfigRequestError::Number(key, min, max)),
        }
    }

    /// Parses seconds, which clients send as a decimal number.
    fn parse_seconds(&self, key: &'static str, max: u32) -> Result<Option<Duration>, ConfigRequestError> {
        let Some(text) = self.0.get(key) else { return Ok(None) };
        let in_range = text.parse().ok().filter(|s| (0.0..=f64::from(max)).contains(s));
        in_range.map(|s| Some(Duration::from_secs_f64(s))).ok_or(ConfigRequestError::Number(
            key,
            0,
            max.into(),
        ))
    }

    fn parse_flag(&self, key: &'static str) -> Result<bool, ConfigRequestError> {
        match self.0.get(key) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ConfigRequestError::Flag(key)),
        }
    }
}

fn parse_kind(text: &str) -> Result<MetricKind, ConfigRequestError> {
    let name = text.trim();
    MetricKind::parse(name).ok_or_else(|| ConfigRequestError::UnknownKind(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, npu: bool) -> Result<ConfigRequest, ConfigRequestError> {
        ConfigRequest::from_config(&Config::parse(text).unwrap(), npu, Instant::now())
    }

    fn window(text: &str) -> Result<RecordingWindow, ConfigRequestError> {
        match read(&format!("ACTIVITIES_LOG_FILE=/tmp/t.json\n{text}"), true)? {
            ConfigRequest::Trace(trace) => Ok(trace.window),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn iterations_and_durations() {
        let five = "PROFILE_START_ITERATION=0\nPROFILE_START_ITERATION_ROUNDUP=1\nACTIVITIES_ITERATIONS=5";
        assert_eq!(window(five), Ok(RecordingWindow::Steps { first: FirstStep::Next, count: 5 }));
        let ten = "PROFILE_START_ITERATION_ROUNDUP=10\nACTIVITIES_ITERATIONS=2";
        assert_eq!(window(ten), Ok(RecordingWindow::Steps { first: FirstStep::RoundUp(10), count: 2 }));
        let npu = "PROFILE_START_STEP=-1\nACTIVITIES_ITERATIONS=2";
        assert_eq!(window(npu), Ok(RecordingWindow::Steps { first: FirstStep::Next, count: 2 }));
        let time = window("PROFILE_START_TIME=0\nACTIVITIES_DURATION_MSECS=250");
        assert!(
            matches!(time, Ok(RecordingWindow::Time { length, .. }) if length == Duration::from_millis(250))
        );
        assert!(
            matches!(window("A=1"), Ok(RecordingWindow::Time { length, .. }) if length.as_millis() == 500)
        );
    }

    #[test]
    fn invalid_values_are_rejected_by_name() {
        let number = |e| matches!(e, Err(ConfigRequestError::Number(..)));
        assert!(number(window("ACTIVITIES_ITERATIONS=-1")));
        assert!(number(window("ACTIVITIES_ITERATIONS=99999999999")));
        assert!(number(window("ACTIVITIES_DURATION_MSECS=0")));
        assert!(number(window("PROFILE_START_STEP=x\nACTIVITIES_ITERATIONS=2")));
        assert_eq!(window("PROFILE_START_TIME=9999999999999"), Err(ConfigRequestError::TooFar));
        assert_eq!(read("ACTIVITIES_ITERATIONS=5", false), Err(ConfigRequestError::Missing(LOG_FILE)));
    }

    #[test]
    fn requests_of_an_ascend_client_need_npu() {
        let trace = "ACTIVITIES_LOG_FILE=/tmp/d\nPROFILE_START_STEP=3\nACTIVITIES_ITERATIONS=2";
        assert_eq!(read(trace, false), Err(ConfigRequestError::NotNpu));
        assert!(matches!(read(trace, true), Ok(ConfigRequest::Trace(t)) if t.into_directory));
        let start = "NPU_MONITOR_START=true\nNPU_MONITOR_STOP=false\nREPORT_INTERVAL_S=1\nDURATION=0\n\
                     MSPTI_ACTIVITY_KIND=Kernel,Hccl\nNPU_MONITOR_LOG_FILE=";
        let Ok(ConfigRequest::Monitor(m)) = read(start, true) else { panic!() };
        assert_eq!((m.interval.as_secs(), m.duration, m.wants_files), (1, None, false));
        assert_eq!(m.kinds, [MetricKind::Kernel, MetricKind::Hccl]);
        let unknown = start.replace("Kernel,Hccl", "Kernel,kernel");
        assert_eq!(read(&unknown, true), Err(ConfigRequestError::UnknownKind("kernel".to_owned())));
        let lasts = |seconds: &str| read(&start.replace("DURATION=0", &format!("DURATION={seconds}")), true);
        let Ok(ConfigRequest::Monitor(m)) = lasts("1.5") else { panic!() };
        assert_eq!(m.duration, Some(Duration::from_millis(1500)));
        for bad in ["-1", "NaN", "inf", "1e99", "x"] {
            assert_eq!(lasts(bad), Err(ConfigRequestError::Number("DURATION", 0, u32::MAX.into())), "{bad}");
        }
        assert_eq!(
            read("NPU_MONITOR_START=false\nNPU_MONITOR_STOP=true", true),
            Ok(ConfigRequest::MonitorStop)
        );
    }
}
