//! The progress of the configs that requests made pending, and the clock of a daemon: functions that existing daemons and
//! clients do not have. An existing daemon closes the connection, as for every unknown function.

use serde::{Deserialize, Serialize};

/// Most ids that one request for the states of configs may list.
pub const MAX_TRACE_IDS: usize = 4096;

/// Reply to `getClock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReply {
    /// The daemon's wall clock when it answered, nanoseconds since the Unix epoch.
    pub unix_ns: i64,
}

/// Reply to `getConfigStates`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatesReply {
    /// One for each id that the daemon knows; it forgets the oldest.
    pub configs: Vec<ConfigState>,
}

/// The progress of one config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigState {
    /// The request's id for this process, decimal.
    pub trace_id: String,
    /// Its progress.
    pub state: ConfigProgress,
    /// Milliseconds since it is in that state.
    pub since_ms: u64,
    /// Milliseconds since the process last asked for a config; missing if it has ended or never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_poll_ms: Option<u64>,
    /// The process asks, but takes no trace request now: its profiler is running.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub profiler_busy: bool,
}

/// How far a config has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigProgress {
    /// The process has not fetched it.
    Pending,
    /// The process has fetched it.
    Fetched,
    /// The process did not fetch it in time, and will not get it.
    Expired,
    /// The process ended before it fetched it.
    EndedBefore,
    /// The process ended after it had fetched it.
    EndedAfter,
    /// Any word of a newer daemon.
    #[serde(other)]
    Unknown,
}

impl ConfigProgress {
    /// Whether it does not change any more: the config is not fetched, or the process has ended.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Expired | Self::EndedBefore | Self::EndedAfter)
    }
}
