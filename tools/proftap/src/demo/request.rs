//! A config, understood: what to record or monitor, and where to.

use std::time::{Duration, Instant};

use common::rpc::config::{Config, LOG_FILE, TRACE_ID};
use thiserror::Error;

use super::clock::wall_ns;
use super::gate::{First, Window};

/// What libkineto records when the config says neither a duration nor iterations.
const DEFAULT_DURATION_MS: u64 = 500;
/// The longest recording.
const MAX_DURATION_MS: u64 = 60 * 60 * 1000;
/// The most steps of a recording.
const MAX_STEPS: u64 = 100_000;
/// The farthest start.
const MAX_AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a config is not carried out.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum RequestError {
    #[error("has no {0}")]
    Missing(&'static str),
    #[error("{0} is not a number between {1} and {2}")]
    Number(&'static str, u64, u64),
    #[error("{0} is neither true nor false")]
    Flag(&'static str),
    #[error("PROFILE_START_TIME is more than a day ahead")]
    TooFar,
    #[error("is for an NPU, and --npu was not given")]
    NotNpu,
}

/// What a config asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Trace(TraceRequest),
    /// Start monitoring.
    Monitor(MonitorRequest),
    /// Stop monitoring.
    MonitorStop,
}

/// A recording on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceRequest {
    /// The daemon's id of the request.
    pub(crate) trace_id: Option<String>,
    /// As the config names it.
    pub(crate) log_file: String,
    /// `log_file` is a directory: the request of an Ascend client.
    pub(crate) into_directory: bool,
    pub(crate) window: Window,
}

/// Continuous monitoring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MonitorRequest {
    pub(crate) interval: Duration,
    /// None = until it is stopped.
    pub(crate) duration: Option<Duration>,
    pub(crate) kinds: Vec<String>,
    /// It asks for files, which the demo does not write.
    pub(crate) wants_files: bool,
}

impl Request {
    /// Reads a config. Requests of an Ascend client are for a process with `npu` only.
    pub(crate) fn from_config(config: &Config, npu: bool, now: Instant) -> Result<Self, RequestError> {
        let fields = Fields(config);
        let into_directory = config.get("PROFILE_START_STEP").is_some();
        if (config.is_monitor() || into_directory) && !npu {
            return Err(RequestError::NotNpu);
        }
        if config.is_monitor() {
            return fields.monitor();
        }
        let log_file = config.get(LOG_FILE).filter(|f| !f.is_empty());
        Ok(Self::Trace(TraceRequest {
            trace_id: config.get(TRACE_ID).map(str::to_owned),
            log_file: log_file.ok_or(RequestError::Missing(LOG_FILE))?.into(),
            into_directory,
            window: fields.window(now)?,
        }))
    }
}

/// Typed access to a config.
struct Fields<'a>(&'a Config);

impl Fields<'_> {
    fn window(&self, now: Instant) -> Result<Window, RequestError> {
        match self.number("ACTIVITIES_ITERATIONS", 0, MAX_STEPS)? {
            Some(count) if count > 0 => Ok(Window::Steps { first: self.first()?, count }),
            _ => {
                let length = self.number("ACTIVITIES_DURATION_MSECS", 1, MAX_DURATION_MS)?;
                let length = Duration::from_millis(length.unwrap_or(DEFAULT_DURATION_MS));
                Ok(Window::Time { start: now + self.ahead()?, length })
            }
        }
    }

    /// An explicit step first, then the next multiple, then the next step.
    fn first(&self) -> Result<First, RequestError> {
        if let Some(step) = self.0.get("PROFILE_START_STEP").filter(|s| *s != "-1") {
            let step = step.parse().map_err(|_| RequestError::Number("PROFILE_START_STEP", 0, u64::MAX))?;
            return Ok(First::At(step));
        }
        let at = self.number("PROFILE_START_ITERATION", 0, u64::MAX)?.unwrap_or(0);
        let round = self.number("PROFILE_START_ITERATION_ROUNDUP", 0, u64::MAX)?.unwrap_or(0);
        Ok(match (at, round) {
            (0, 0 | 1) => First::Next,
            (0, n) => First::RoundUp(n),
            (n, _) => First::At(n),
        })
    }

    /// How long until PROFILE_START_TIME, milliseconds since the epoch; a time that has passed is now.
    fn ahead(&self) -> Result<Duration, RequestError> {
        let start_ms = self.number("PROFILE_START_TIME", 0, u64::MAX)?.unwrap_or(0);
        let now_ms = u64::try_from(wall_ns() / 1_000_000).unwrap_or(0);
        let ahead = Duration::from_millis(start_ms.saturating_sub(now_ms));
        if ahead > MAX_AHEAD { Err(RequestError::TooFar) } else { Ok(ahead) }
    }

    fn monitor(&self) -> Result<Request, RequestError> {
        if self.flag("NPU_MONITOR_STOP")? || !self.flag("NPU_MONITOR_START")? {
            return Ok(Request::MonitorStop);
        }
        let interval = self.number("REPORT_INTERVAL_S", 1, 86_400)?.unwrap_or(60);
        let duration = self.seconds("DURATION", u32::MAX)?;
        let kinds = self.0.get("MSPTI_ACTIVITY_KIND").unwrap_or("Marker");
        let log_file = self.0.get("NPU_MONITOR_LOG_FILE").unwrap_or("");
        Ok(Request::Monitor(MonitorRequest {
            interval: Duration::from_secs(interval),
            duration: duration.filter(|d| !d.is_zero()),
            kinds: kinds.split(',').map(|k| k.trim().to_owned()).collect(),
            wants_files: !log_file.is_empty(),
        }))
    }

    fn number(&self, key: &'static str, min: u64, max: u64) -> Result<Option<u64>, RequestError> {
        let in_range = |text: &str| text.parse().ok().filter(|n| (min..=max).contains(n));
        match self.0.get(key) {
            None => Ok(None),
            Some(text) => in_range(text).map(Some).ok_or(RequestError::Number(key, min, max)),
        }
    }

    /// Seconds, which clients send as a decimal.
    fn seconds(&self, key: &'static str, max: u32) -> Result<Option<Duration>, RequestError> {
        let Some(text) = self.0.get(key) else { return Ok(None) };
        let in_range = text.parse().ok().filter(|s| (0.0..=f64::from(max)).contains(s));
        in_range.map(|s| Some(Duration::from_secs_f64(s))).ok_or(RequestError::Number(key, 0, max.into()))
    }

    fn flag(&self, key: &'static str) -> Result<bool, RequestError> {
        match self.0.get(key) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(RequestError::Flag(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, npu: bool) -> Result<Request, RequestError> {
        Request::from_config(&Config::parse(text).unwrap(), npu, Instant::now())
    }

    fn window(text: &str) -> Result<Window, RequestError> {
        match read(&format!("ACTIVITIES_LOG_FILE=/tmp/t.json\n{text}"), true)? {
            Request::Trace(trace) => Ok(trace.window),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn iterations_and_durations() {
        let five = "PROFILE_START_ITERATION=0\nPROFILE_START_ITERATION_ROUNDUP=1\nACTIVITIES_ITERATIONS=5";
        assert_eq!(window(five), Ok(Window::Steps { first: First::Next, count: 5 }));
        let ten = "PROFILE_START_ITERATION_ROUNDUP=10\nACTIVITIES_ITERATIONS=2";
        assert_eq!(window(ten), Ok(Window::Steps { first: First::RoundUp(10), count: 2 }));
        let npu = "PROFILE_START_STEP=-1\nACTIVITIES_ITERATIONS=2";
        assert_eq!(window(npu), Ok(Window::Steps { first: First::Next, count: 2 }));
        let time = window("PROFILE_START_TIME=0\nACTIVITIES_DURATION_MSECS=250");
        assert!(matches!(time, Ok(Window::Time { length, .. }) if length == Duration::from_millis(250)));
        assert!(matches!(window("A=1"), Ok(Window::Time { length, .. }) if length.as_millis() == 500));
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        let number = |e| matches!(e, Err(RequestError::Number(..)));
        assert!(number(window("ACTIVITIES_ITERATIONS=-1")));
        assert!(number(window("ACTIVITIES_ITERATIONS=99999999999")));
        assert!(number(window("ACTIVITIES_DURATION_MSECS=0")));
        assert!(number(window("PROFILE_START_STEP=x\nACTIVITIES_ITERATIONS=2")));
        assert_eq!(window("PROFILE_START_TIME=9999999999999"), Err(RequestError::TooFar));
        assert_eq!(read("ACTIVITIES_ITERATIONS=5", false), Err(RequestError::Missing(LOG_FILE)));
    }

    #[test]
    fn requests_of_an_ascend_client_need_npu() {
        let trace = "ACTIVITIES_LOG_FILE=/tmp/d\nPROFILE_START_STEP=3\nACTIVITIES_ITERATIONS=2";
        assert_eq!(read(trace, false), Err(RequestError::NotNpu));
        assert!(matches!(read(trace, true), Ok(Request::Trace(t)) if t.into_directory));
        let start = "NPU_MONITOR_START=true\nNPU_MONITOR_STOP=false\nREPORT_INTERVAL_S=1\nDURATION=0\n\
                     MSPTI_ACTIVITY_KIND=Kernel,Hccl\nNPU_MONITOR_LOG_FILE=";
        let Ok(Request::Monitor(m)) = read(start, true) else { panic!() };
        assert_eq!((m.interval.as_secs(), m.duration, m.wants_files), (1, None, false));
        assert_eq!(m.kinds, ["Kernel", "Hccl"]);
        let lasts = |seconds: &str| read(&start.replace("DURATION=0", &format!("DURATION={seconds}")), true);
        let Ok(Request::Monitor(m)) = lasts("1.5") else { panic!() };
        assert_eq!(m.duration, Some(Duration::from_millis(1500)));
        for bad in ["-1", "NaN", "inf", "1e99", "x"] {
            assert_eq!(lasts(bad), Err(RequestError::Number("DURATION", 0, u32::MAX.into())), "{bad}");
        }
        assert_eq!(read("NPU_MONITOR_START=false\nNPU_MONITOR_STOP=true", true), Ok(Request::MonitorStop));
    }
}
