//! The traces that have not appeared: checked until they are complete, can no longer appear, or the time is over.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::finder::{CompleteTrace, ExpectedTrace, TraceFinder, TraceState};
use super::inquiry::{RequestKey, RequestNews, RequestState};
use super::kineto::SETTLE_TIME;
use super::watch::DirectoryWatch;

/// How often to look whether the daemons have said something.
const NEWS_INTERVAL: Duration = Duration::from_millis(50);
/// The longest time that the check of one trace may take at once. Its file may be of any size.
const CHECK_TIME: Duration = Duration::from_millis(100);

/// A trace that did not appear.
#[derive(Clone, Debug)]
pub(crate) struct MissingTrace {
    pub(crate) expected: ExpectedTrace,
    pub(crate) path: PathBuf,
    pub(crate) reason: String,
    /// It can no longer appear; else the time was over.
    pub(crate) is_final: bool,
    /// The last known state of the request, if the time was over.
    pub(super) state: Option<RequestState>,
}

/// A trace that is waited for.
struct PendingTrace {
    expected: ExpectedTrace,
    /// Why it can no longer appear, and when to believe that.
    verdict: Option<(String, Instant)>,
    /// The last known state of its request.
    state: Option<RequestState>,
}

/// A check of all pending traces.
#[derive(Default)]
struct CheckRound {
    missing: Vec<IncompleteTrace>,
    doubtful: Vec<(PendingTrace, CompleteTrace)>,
}

/// A trace that is not complete yet.
struct IncompleteTrace {
    trace: PendingTrace,
    /// Where it is expected.
    path: PathBuf,
    reason: String,
    /// The file has changed just now, or has not been read to its end: whether it is complete is not known.
    is_unsettled: bool,
}

/// Checks the traces until `needed` of them are complete, the others can no longer appear, or the time is over. Returns the
/// missing ones. `news` returns what the daemons have said about the requests since the last call.
///
/// # Errors
/// The first error of `found`.
pub(super) fn poll_until_complete(
    finder: &mut dyn TraceFinder,
    expected: Vec<ExpectedTrace>,
    needed: usize,
    timeout: Duration,
    mut news: impl FnMut() -> Vec<(RequestKey, RequestNews)>,
    mut found: impl FnMut(&ExpectedTrace, CompleteTrace) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<MissingTrace>> {
    let deadline = Instant::now() + timeout;
    let not_needed = expected.len() - needed.min(expected.len());
    let mut pending: Vec<_> =
        expected.into_iter().map(|expected| PendingTrace { expected, verdict: None, state: None }).collect();
    let mut given_up: Vec<MissingTrace> = Vec::new();
    let mut watch = DirectoryWatch::new();
    loop {
        // Watch before checking: a file that appears in between is then notified of.
        watch.add_directories(&finder.watched_directories());
        note_news(&mut pending, news());
        let mut round = check_all(finder, pending, deadline, &mut found)?;
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        // When nothing better can appear, a doubtful trace is better than none.
        let is_over =
            |trace: &PendingTrace| left.is_zero() || trace.verdict.as_ref().is_some_and(|(_, at)| now >= *at);
        let (over, doubtful) = round.doubtful.into_iter().partition::<Vec<_>, _>(|(trace, _)| is_over(trace));
        round.doubtful = doubtful;
        over.into_iter().try_for_each(|(trace, complete)| found(&trace.expected, complete))?;
        // The last words of a process may still have to be read.
        let is_given_up = |m: &IncompleteTrace| left.is_zero() || !m.is_unsettled && is_over(&m.trace);
        let (over, missing) = round.missing.into_iter().partition::<Vec<_>, _>(is_given_up);
        round.missing = missing;
        given_up.extend(over.into_iter().map(|IncompleteTrace { trace, path, reason, .. }| {
            let PendingTrace { expected, verdict, state } = trace;
            match verdict {
                Some((verdict, at)) if now >= at => {
                    MissingTrace { expected, path, reason: verdict, is_final: true, state: None }
                }
                _ => MissingTrace { expected, path, reason, is_final: false, state },
            }
        }));
        let waiting = round.missing.len() + round.doubtful.len();
        if waiting + given_up.len() <= not_needed {
            return Ok(Vec::new());
        }
        if waiting == 0 {
            return Ok(given_up);
        }
        let doubtful = round.doubtful.into_iter().map(|(trace, _)| trace);
        let is_unsettled = round.missing.iter().any(|missing| missing.is_unsettled);
        pending = round.missing.into_iter().map(|missing| missing.trace).chain(doubtful).collect();
        let interval = if is_unsettled { SETTLE_TIME } else { watch.poll_interval() };
        let verdicts = pending.iter().filter_map(|trace| trace.verdict.as_ref().map(|(_, at)| *at));
        let until = verdicts.filter(|at| *at > now).fold(now + left.min(interval), Instant::min);
        let mut pause = until.saturating_duration_since(Instant::now());
        while !pause.is_zero() && !watch.wait_for_change(pause.min(NEWS_INTERVAL)) {
            if note_news(&mut pending, news()) {
                break;
            }
            pause = until.saturating_duration_since(Instant::now());
        }
    }
}

/// Notes what the daemons have said, and returns whether it is that a trace can no longer appear.
fn note_news(pending: &mut [PendingTrace], all: Vec<(RequestKey, RequestNews)>) -> bool {
    let mut has_verdict = false;
    for ((place, id), news) in all {
        let own = |trace: &&mut PendingTrace| {
            trace.expected.place == place && trace.expected.trace_id.as_ref() == Some(&id)
        };
        let Some(trace) = pending.iter_mut().find(own).filter(|trace| trace.verdict.is_none()) else {
            continue;
        };
        match news {
            RequestNews::Verdict(verdict) => {
                // The file may be there already, and must be seen not to change.
                let grace = verdict.grace.max(3 * SETTLE_TIME);
                trace.verdict = Some((verdict.reason, Instant::now() + grace));
                has_verdict = true;
            }
            RequestNews::State(state) => trace.state = Some(state),
        }
    }
    has_verdict
}

fn check_all(
    finder: &mut dyn TraceFinder,
    pending: Vec<PendingTrace>,
    deadline: Instant,
    found: &mut dyn FnMut(&ExpectedTrace, CompleteTrace) -> anyhow::Result<()>,
) -> anyhow::Result<CheckRound> {
    let mut round = CheckRound::default();
    for trace in pending {
        let now = Instant::now();
        let stop = (now + CHECK_TIME).min(deadline.max(now));
        match finder.check_trace(&trace.expected, stop) {
            TraceState::Complete(complete) => found(&trace.expected, complete)?,
            TraceState::Doubtful(complete) => round.doubtful.push((trace, complete)),
            TraceState::Unsettled { path, reason } => {
                round.missing.push(IncompleteTrace { trace, path, reason, is_unsettled: true });
            }
            TraceState::Waiting { path, reason } => {
                round.missing.push(IncompleteTrace { trace, path, reason, is_unsettled: false });
            }
        }
    }
    Ok(round)
}
