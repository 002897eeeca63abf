//! The options about waiting, and the default time limit.

use std::time::Duration;

use clap::Args;
use common::duration::parse_duration;

use super::collect::{CollectArgs, CollectPlan};
use crate::wall_clock::time_since_epoch;

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
    /// other trace has appeared. profd is asked meanwhile: a process that has ended, that has not asked for requests for
    /// 30 s, or that does not fetch the request because its profiler is already running, is not waited for.
    #[arg(long)]
    pub(super) wait: bool,
    /// Maximum time to wait, such as 30s or 5m [default: recording time + 60s; 10m with --iterations]
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    pub(super) wait_timeout: Option<Duration>,
    #[command(flatten)]
    pub(super) collect: CollectArgs,
}

impl WaitArgs {
    /// Returns how to wait, if `--wait` or `--collect` was given. `recording` is the recording time, if it is known.
    ///
    /// # Errors
    /// The directory to collect into cannot be created.
    pub(crate) fn wait_plan(&self, recording: Option<Duration>) -> anyhow::Result<Option<WaitPlan>> {
        let default = recording.map_or(DEFAULT_TIMEOUT, |time| time.saturating_add(TIME_BEYOND_RECORDING));
        let collect = self.collect.plan()?;
        if self.wait_timeout.is_some() && !self.wait && collect.is_none() {
            anyhow::bail!("--wait-timeout: there is nothing to wait for without --wait or --collect");
        }
        let timeout = self.wait_timeout.unwrap_or(default);
        Ok((self.wait || collect.is_some()).then_some(WaitPlan { timeout, collect }))
    }
}

/// How to wait.
#[derive(Clone, Debug)]
pub(crate) struct WaitPlan {
    /// Time limit, counted from the reply of the last daemon.
    pub(crate) timeout: Duration,
    /// Where to copy the traces.
    pub(crate) collect: Option<CollectPlan>,
}

impl WaitPlan {
    /// Whether the traces appear in a directory of this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.collect.as_ref().is_none_or(CollectPlan::is_shared)
    }
}

/// Returns the time from now until the end of a recording of `duration_ms` that starts at `start_ms` since the Unix
/// epoch; a start of 0 is now.
pub(crate) fn time_until_recording_ends(start_ms: u64, duration_ms: u64) -> Duration {
    Duration::from_millis(start_ms)
        .saturating_sub(time_since_epoch())
        .saturating_add(Duration::from_millis(duration_ms))
}
