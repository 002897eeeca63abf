//! Waiting for traces: which files exist before the request, which appear afterwards, and when they are complete.
//!
//! The processes write the traces on this machine or into a directory that it shares; here they are only read. inotify
//! notifies of changes; polling covers file systems without notifications, such as NFS.

mod args;
mod ascend;
mod document;
mod finder;
pub(crate) mod kineto;
mod output;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::progress::{Unit, bar};
use common::record::RecordPath;
use common::record::profctl::{TraceFile, TraceMissing};
use common::text::Safe;

pub(crate) use args::{WaitArgs, WaitPlan, time_since_epoch, time_until_recording_ends};
pub(crate) use finder::ExpectedTrace;
pub(crate) use output::TraceOutput;

use crate::duration_text::format_duration;
use crate::session::DaemonSession;
use ascend::AscendTraceFinder;
use finder::{CompleteTrace, TraceFinder, TraceState};
use kineto::{KinetoTraceFinder, SETTLE_TIME};
use watch::DirectoryWatch;

/// How often to check without a notification.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A trace that did not appear in time.
type MissingTrace = (ExpectedTrace, PathBuf, String);

/// A wait for traces. Created before the request is sent.
pub(crate) struct TraceWait {
    finder: Option<Box<dyn TraceFinder>>,
    plan: WaitPlan,
    start: Instant,
}

impl TraceWait {
    /// Lists the files that exist before the request.
    pub(crate) fn new(output: TraceOutput, plan: WaitPlan, start: Instant) -> Self {
        let finder: Option<Box<dyn TraceFinder>> = match output {
            TraceOutput::None => None,
            TraceOutput::Kineto { log_file } => Some(Box::new(KinetoTraceFinder::new(log_file))),
            TraceOutput::Ascend { dir, analyzed, ranks } => {
                Some(Box::new(AscendTraceFinder::new(&dir, analyzed, ranks)))
            }
        };
        Self { finder, plan, start }
    }

    /// Waits for all expected traces, and reports each complete or missing one.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn wait_for_traces(
        &mut self,
        session: &mut DaemonSession<'_>,
        expected: Vec<ExpectedTrace>,
    ) -> anyhow::Result<()> {
        let Some(finder) = &mut self.finder else { return Ok(()) };
        let needed = finder.needed_count(expected.len());
        let progress = bar(session.out.diag(), Unit::Items, Some(needed as u64), "traces");
        progress.enable_steady_tick(Duration::from_millis(200));
        let start = self.start;
        let found = |expected: &ExpectedTrace, trace: CompleteTrace| {
            progress.inc(1);
            progress.suspend(|| report_complete_trace(session, expected, trace, start))
        };
        let missing = poll_until_complete(finder.as_mut(), expected, needed, self.plan.timeout, found)?;
        progress.finish_and_clear();
        for trace in missing {
            self.report_missing_trace(session, trace)?;
        }
        if session.summary_mut().traces_missing > 0 {
            session.out.diag().help(
                "see the log of the process for whether it recorded; check that it writes to a directory that this \
                 machine shares; or increase --wait-timeout",
            );
        }
        Ok(())
    }

    fn report_missing_trace(
        &self,
        session: &mut DaemonSession<'_>,
        (expected, path, reason): MissingTrace,
    ) -> anyhow::Result<()> {
        session.summary_mut().traces_missing += 1;
        let limit = format_duration(self.plan.timeout);
        session.out.error(
            format_args!("{}: pid {}", expected.host, expected.pid),
            format_args!("no complete trace after {limit}: {}: {reason}", path.display()),
        );
        if session.writes_records() {
            session.out.record(&TraceMissing {
                host: expected.host,
                pid: expected.pid,
                path: RecordPath::from(&*path),
                reason,
                waited_ms: elapsed_ms(self.start),
            })?;
        }
        Ok(())
    }
}

/// Checks the traces until `needed` of them are complete or the time is over. Returns the missing ones.
///
/// # Errors
/// The first error of `found`.
fn poll_until_complete(
    finder: &mut dyn TraceFinder,
    mut pending: Vec<ExpectedTrace>,
    needed: usize,
    timeout: Duration,
    mut found: impl FnMut(&ExpectedTrace, CompleteTrace) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<MissingTrace>> {
    let deadline = Instant::now() + timeout;
    let not_needed = pending.len() - needed.min(pending.len());
    let mut watch = DirectoryWatch::new();
    loop {
        // Watch before checking: a file that appears in between is then notified of.
        watch.add_directories(&finder.watched_directories());
        let mut unsettled = false;
        let mut missing = Vec::new();
        let mut doubtful = Vec::new();
        for expected in std::mem::take(&mut pending) {
            match finder.check_trace(&expected) {
                TraceState::Complete(trace) => found(&expected, trace)?,
                TraceState::Doubtful(trace) => doubtful.push((expected, trace)),
                TraceState::Unsettled { path } => {
                    unsettled = true;
                    missing.push((expected, path, "still being written".to_owned()));
                }
                TraceState::Waiting { path, reason } => missing.push((expected, path, reason)),
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        // At the deadline a doubtful trace is better than none.
        if left.is_zero() {
            for (expected, trace) in doubtful.drain(..) {
                found(&expected, trace)?;
            }
        }
        if missing.len() + doubtful.len() <= not_needed {
            return Ok(Vec::new());
        }
        if left.is_zero() {
            return Ok(missing);
        }
        let doubtful = doubtful.into_iter().map(|(expected, _)| expected);
        pending = missing.into_iter().map(|(expected, ..)| expected).chain(doubtful).collect();
        watch.wait_for_change(left.min(if unsettled { SETTLE_TIME } else { POLL_INTERVAL }));
    }
}

/// Writes the result about a complete trace.
fn report_complete_trace(
    session: &mut DaemonSession<'_>,
    expected: &ExpectedTrace,
    trace: CompleteTrace,
    start: Instant,
) -> anyhow::Result<()> {
    session.summary_mut().traces_complete += 1;
    if let Some(remark) = &trace.remark {
        session.out.warn(format_args!("{}: pid {}", expected.host, expected.pid), remark);
    }
    let path = RecordPath::from(&*trace.path);
    if session.writes_records() {
        session.out.record(&TraceFile {
            host: expected.host.clone(),
            pid: expected.pid,
            path,
            trace_id: trace.trace_id,
            size_bytes: trace.size_bytes,
            complete: true,
            waited_ms: elapsed_ms(start),
        })?;
    } else {
        writeln!(session.out.text(), "{}", Safe(&path.path))?;
    }
    Ok(session.out.flush()?)
}

fn elapsed_ms(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
