//! The progress of the last config that a process was given, as far as the daemon knows.

use std::time::Duration;

use common::rpc::config::{Config, MONITOR_START, MONITOR_STOP};
use common::rpc::message::{FunctionState, LastRequest};
use serde::{Deserialize, Serialize};

use super::uptime::Uptime;

/// How long after its duration a monitor may still report that it runs: it polls once a second, and ends the interval of
/// its reports.
const MONITOR_GRACE: Duration = Duration::from_secs(5);

/// The action of a monitor that a config asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MonitorConfig {
    starts: bool,
    stops: bool,
    /// In seconds; 0 for no limit. `None` if the config does not say.
    duration_s: Option<u64>,
}

impl MonitorConfig {
    /// Returns the command of a config; `None` if it is not for monitors.
    pub(crate) fn of_config(config: &Config) -> Option<Self> {
        config.is_monitor().then(|| Self {
            starts: config.get(MONITOR_START) == Some("true"),
            stops: config.get(MONITOR_STOP) == Some("true"),
            duration_s: config.get("DURATION").and_then(|seconds| seconds.parse().ok()),
        })
    }

    /// Returns when the monitor has ended by itself, if the command is delivered `now` and it was to end at `before`.
    pub(crate) fn end_of_monitor(self, now: Uptime, before: Option<Uptime>) -> Option<Uptime> {
        let end = |seconds| now.saturating_add(Duration::from_secs(seconds)).saturating_add(MONITOR_GRACE);
        match (self.stops, self.duration_s) {
            (true, _) => None,
            (false, Some(0)) => None,
            (false, Some(seconds)) => Some(end(seconds)),
            (false, None) if self.starts => None,
            (false, None) => before,
        }
    }
}

/// The last config of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastConfig {
    pub(crate) trace_id: u64,
    pub(crate) is_monitor: bool,
    pub(crate) outcome: RequestOutcome,
    /// When the outcome became that.
    pub(crate) since: Uptime,
}

/// The progress of a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RequestOutcome {
    /// The process has not fetched it.
    Pending,
    /// The process has fetched it. Of PyTorch's processes no more is known.
    Delivered,
    /// The process reports that it traces, or monitors.
    Running,
    /// The process reports that it has ended.
    Finished,
    /// The process did not fetch it in time.
    Expired,
}

impl LastConfig {
    /// Notes what the process reports about the function of the request.
    pub(super) fn note_state(&mut self, now: Uptime, state: FunctionState) {
        let next = match (self.outcome, state) {
            (RequestOutcome::Delivered, FunctionState::Running | FunctionState::Ready) => {
                RequestOutcome::Running
            }
            (RequestOutcome::Running, FunctionState::Idle) => RequestOutcome::Finished,
            _ => return,
        };
        self.change(now, next);
    }

    pub(super) fn change(&mut self, now: Uptime, outcome: RequestOutcome) {
        self.outcome = outcome;
        self.since = now;
    }

    /// Returns the record for replies.
    pub(super) fn to_reply(self, now: Uptime) -> LastRequest {
        let since = now.saturating_sub(self.since).as_millis();
        LastRequest {
            trace_id: self.trace_id.to_string(),
            function: if self.is_monitor { "monitor" } else { "trace" }.to_owned(),
            outcome: self.outcome.name().to_owned(),
            since_ms: u64::try_from(since).unwrap_or(u64::MAX),
        }
    }
}

impl RequestOutcome {
    /// Returns the word in replies.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Expired => "expired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_ends_by_the_last_command_that_says_when() {
        let at = Uptime::from_secs;
        let command = |text: &str| MonitorConfig::of_config(&Config::parse(text).unwrap()).unwrap();
        let start = command("NPU_MONITOR_START=true\nDURATION=30");
        assert_eq!(start.end_of_monitor(at(100), None), Some(at(135)));
        let unlimited = command("NPU_MONITOR_START=true\nDURATION=0");
        assert_eq!(unlimited.end_of_monitor(at(100), Some(at(1))), None);
        let stop = command("NPU_MONITOR_START=false\nNPU_MONITOR_STOP=true\nDURATION=30");
        assert_eq!(stop.end_of_monitor(at(100), Some(at(1))), None);
        let other = command("NPU_MONITOR_START=false\nREPORT_INTERVAL_S=1");
        assert_eq!(other.end_of_monitor(at(100), Some(at(135))), Some(at(135)));
        assert_eq!(MonitorConfig::of_config(&Config::parse("ACTIVITIES_LOG_FILE=/a").unwrap()), None);
    }
}
