//! The options about waiting, and the default time limit.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use common::duration::parse_duration;

/// Time that a process may need besides recording: to fetch the request, to warm up, to write the trace.
const TIME_BEYOND_RECORDING: Duration = Duration::from_secs(60);
/// The time limit when the recording time is not known, because it is given in steps.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// The options about waiting.
#[derive(Args, Debug)]
pub(crate) struct WaitArgs {
    /// Wait until the traces are complete, and print their paths
    ///
    /// The traces must appear on this machine, or in a directory that it shares with the processes. In text form the
    /// result is one path per line, in the order of completion; the replies of the daemons go to standard error. A
    /// trace that should carry the id of the request but carries none is accepted only when the time is over and no
    /// other trace has appeared.
    #[arg(long)]
    pub(super) wait: bool,
    /// Maximum time to wait, such as 30s or 5m [default: recording time + 60s; 10m with --iterations]
    #[arg(long, value_parser = parse_duration, requires = "wait", value_name = "TIME")]
    pub(super) wait_timeout: Option<Duration>,
}

impl WaitArgs {
    /// Returns how to wait, if `--wait` was given. `recording` is the recording time, if it is known.
    pub(crate) fn wait_plan(&self, recording: Option<Duration>) -> Option<WaitPlan> {
        let default = recording.map_or(DEFAULT_TIMEOUT, |time| time.saturating_add(TIME_BEYOND_RECORDING));
        self.wait.then(|| WaitPlan { timeout: self.wait_timeout.unwrap_or(default) })
    }
}

/// How to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitPlan {
    /// Time limit, counted from the reply of the last daemon.
    pub(crate) timeout: Duration,
}

/// Returns the time from now until the end of a recording of `duration_ms` that starts at `start_ms` since the Unix
/// epoch; a start of 0 is now.
pub(crate) fn time_until_recording_ends(start_ms: u64, duration_ms: u64) -> Duration {
    Duration::from_millis(start_ms)
        .saturating_sub(time_since_epoch())
        .saturating_add(Duration::from_millis(duration_ms))
}

/// Returns the time since the Unix epoch by the wall clock.
pub(crate) fn time_since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
