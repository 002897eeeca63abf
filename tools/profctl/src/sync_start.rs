//! A start at the same time, or at the same step, on all hosts.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use common::duration::parse_duration;
use common::error::HintExt;
use common::record::profctl::SynchronizedStart;
use common::rpc::message::{ProcessStatus, Request};
use common::text::count_noun;

use crate::clock::{ClockOffset, format_ms, measure_clocks};
use crate::process_filter::ProcessFilter;
use crate::reply::{RequestFailure, decode_status_reply};
use crate::session::DaemonSession;
use crate::wall_clock::time_since_epoch;

/// The time from the request to the start: libkineto polls every 5 s and warms up for 5 s (pytorch/kineto 0062cff,
/// `libkineto/src/Config.cpp`, `kDefaultActivitiesWarmupDurationSecs`; "timestamp must be far enough in the future"), and
/// a request takes time, too.
const DEFAULT_LEAD: Duration = Duration::from_secs(12);
/// Daemons whose clocks are measured at the same time.
const MEASURED_AT_ONCE: usize = 8;
/// The time between two looks at the steps of the processes.
const STEP_INTERVAL: Duration = Duration::from_secs(1);
/// How long it takes until every process has fetched a request: msMonitor's process side polls once a second (b942bf5).
const FETCH_TIME: Duration = Duration::from_secs(3);

/// The options about the start of a trace by time.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SyncArgs {
    /// Start at the same moment on all hosts, whatever their clocks show; for traces by duration
    ///
    /// The offset of each host's clock is measured first, from profd only, and each host gets the start in its own time.
    /// With --wait, the skew that was reached is reported.
    #[arg(long, conflicts_with_all = ["profile_start_time", "iterations"])]
    synchronized: bool,
    /// With --synchronized, time from the request to the start [default: 12s]
    ///
    /// Processes must fetch the request (libkineto polls every 5 s) and warm up (5 s) before it.
    #[arg(long, value_parser = parse_duration, requires = "synchronized", value_name = "TIME")]
    start_in: Option<Duration>,
}

/// When a trace starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartPlan {
    /// As the config says.
    AsAsked,
    /// At one moment on all hosts, this long after the request.
    Synchronized(Duration),
    /// At one step of all processes.
    AlignedStep,
}

impl SyncArgs {
    /// Returns when to start.
    ///
    /// # Errors
    /// The trace is not by time.
    pub(crate) fn plan(&self, by_iterations: bool, start_time: u64) -> anyhow::Result<StartPlan> {
        if !self.synchronized {
            return Ok(StartPlan::AsAsked);
        }
        if by_iterations || start_time != 0 {
            return Err(anyhow!("--synchronized: the start is given by iterations or a time already"))
                .hint("to start at the same iteration use --profile-start-iteration-roundup");
        }
        Ok(StartPlan::Synchronized(self.start_in.unwrap_or(DEFAULT_LEAD)))
    }
}

impl StartPlan {
    /// Returns the time from the request to the start, if that is part of the plan.
    pub(crate) fn time_to_start(self) -> Duration {
        match self {
            Self::Synchronized(lead) => lead,
            _ => Duration::ZERO,
        }
    }
}

/// A synchronized start: the moment by the clock of this machine, and the clocks of the hosts.
#[derive(Clone, Debug)]
pub(crate) struct SyncedStart {
    pub(crate) start_ms: u64,
    /// In the order of the daemons.
    pub(crate) clocks: Vec<Result<ClockOffset, RequestFailure>>,
}

impl SyncedStart {
    /// Measures the clocks of all hosts, and chooses the moment.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn measure(session: &mut DaemonSession<'_>, lead: Duration) -> anyhow::Result<Self> {
        let daemons = session.daemons().to_vec();
        let (transport, parallel) = session.transport();
        let transport = transport.clone();
        let measured = measure_clocks(&transport, &daemons, parallel.min(MEASURED_AT_ONCE));
        let clocks = session.runtime().clone().block_on(measured);
        let start = time_since_epoch().saturating_add(lead);
        let synced = Self { start_ms: u64::try_from(start.as_millis()).unwrap_or(u64::MAX), clocks };
        synced.report(session)?;
        Ok(synced)
    }

    /// Returns the start by the clock of a daemon's host.
    pub(crate) fn host_start_ms(&self, index: usize) -> Option<u64> {
        let offset = self.clocks.get(index)?.as_ref().ok()?;
        Some(offset.to_host_ms(self.start_ms))
    }

    fn report(&self, session: &mut DaemonSession<'_>) -> anyhow::Result<()> {
        let known: Vec<ClockOffset> = self.clocks.iter().filter_map(|c| c.as_ref().ok().copied()).collect();
        // Each host without a clock gets a record or a line of its own.
        if known.is_empty() {
            return Ok(());
        }
        let offsets = || known.iter().map(|c| c.offset_ns);
        let uncertainty_ns = known.iter().map(|c| c.uncertainty_ns).max().unwrap_or(0);
        let (least, most) = (offsets().min().unwrap_or(0), offsets().max().unwrap_or(0));
        if session.writes_records() {
            let record = SynchronizedStart {
                start_unix_ms: self.start_ms,
                hosts: known.len() as u64,
                least_offset_us: least / 1000,
                greatest_offset_us: most / 1000,
                uncertainty_us: (uncertainty_ns + 999) / 1000,
            };
            session.out.record(&record)?;
        } else {
            let text = format!(
                "clocks of {}: {} to {} from this one, known to {}",
                count_noun(known.len() as u64, "host"),
                format_ms(least),
                format_ms(most),
                format_ms(uncertainty_ns)
            );
            session.out.diag().notice("--synchronized", text);
        }
        Ok(())
    }
}

/// Finds the first step that no process of the job has reached when it has fetched a request: asks all daemons for the
/// steps twice, to see how fast they go.
///
/// # Errors
/// No process reports its step, or standard output cannot be written.
pub(crate) fn find_common_step(
    session: &mut DaemonSession<'_>,
    filter: &ProcessFilter,
) -> anyhow::Result<i64> {
    let first = query_steps(session, filter)?;
    std::thread::sleep(STEP_INTERVAL);
    let second = query_steps(session, filter)?;
    let Some(highest) = second.iter().max() else {
        return Err(anyhow!(
            "--align-step: none of the selected processes of job {} reports its step",
            filter.job_id
        ))
        .hint("see `profctl status`; give the step with --start-step");
    };
    let progress = highest - first.iter().max().unwrap_or(highest);
    let ahead = choose_steps_ahead(progress);
    session.out.diag().notice("--align-step", format!("starts at step {}", highest + ahead));
    Ok(highest + ahead)
}

/// Returns how many steps ahead of the fastest process the start is, by its progress in [`STEP_INTERVAL`].
fn choose_steps_ahead(progress: i64) -> i64 {
    let intervals = i64::try_from(FETCH_TIME.as_secs() / STEP_INTERVAL.as_secs()).unwrap_or(i64::MAX);
    // One more: the next step may begin at once.
    progress.max(0).saturating_add(1).saturating_mul(intervals).saturating_add(1)
}

/// Asks for the current steps of the selected processes.
fn query_steps(session: &mut DaemonSession<'_>, filter: &ProcessFilter) -> anyhow::Result<Vec<i64>> {
    let mut steps = Vec::new();
    session.query_daemons(&Request::Status { extended: true }, |_, _, body| {
        // A daemon that does not answer is reported when it gets the request.
        let Ok(reply) = body.and_then(|body| decode_status_reply(&body)) else { return Ok(()) };
        let own = |p: &&ProcessStatus| filter.selects(p);
        match &reply.detail {
            Some(detail) => steps.extend(detail.processes.iter().filter(own).filter_map(|p| p.current_step)),
            None => steps.extend(reply.current_step),
        }
        Ok(())
    })?;
    steps.retain(|step| *step >= 0);
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_given_once() {
        let sync = |on| SyncArgs { synchronized: on, start_in: None };
        assert_eq!(sync(false).plan(true, 5).unwrap(), StartPlan::AsAsked);
        assert_eq!(sync(true).plan(false, 0).unwrap(), StartPlan::Synchronized(DEFAULT_LEAD));
        assert!(sync(true).plan(true, 0).is_err() && sync(true).plan(false, 7).is_err());
    }

    #[test]
    fn a_common_step_is_ahead_of_the_fastest_process() {
        // Slow steps: the next one may begin at once, and two more before all have asked.
        assert_eq!(choose_steps_ahead(0), 4);
        // 20 steps a second.
        assert_eq!(choose_steps_ahead(20), 64);
        assert_eq!(choose_steps_ahead(-3), 4, "a process started anew");
    }
}
