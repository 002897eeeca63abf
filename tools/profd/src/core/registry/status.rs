//! What processes report about their profilers, and what that comes to over many of them.
//!
//! Existing daemons keep one value for the host: the last writer wins and outlives its process. Here every
//! process has its own, which goes when it goes, and the one word that clients expect is an aggregate:
//!
//! - Running when any process runs, else Ready when any is Ready: the hardware is taken, or about to be;
//! - else Idle or Uninitialized when all that ever reported say so;
//! - Uninitialized when none ever reported;
//! - else (some Idle, some Uninitialized) unknown: there is no word for it.
//!
//! `current_step` is the highest reported by a process that is in the aggregate's state, and the steps of the
//! trace are that same process's, so that the three belong together.

use common::ipc::message::{State, Status};
use common::rpc::message::{CommandStatus, FunctionState, ProcessStatus, StatusReply};

use super::{Now, Process, Registry};

/// The last status message about one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    state: State,
    current_step: i32,
    start_step: i32,
    stop_step: i32,
}

impl Report {
    pub(crate) fn new(m: &Status) -> Self {
        let Status { state, current_step, start_step, stop_step, .. } = *m;
        Self { state, current_step, start_step, stop_step }
    }

    /// The steps mean something only while a trace is on or about to be.
    fn has_steps(&self) -> bool {
        matches!(self.state, State::Running | State::Ready)
    }
}

fn word(state: State) -> FunctionState {
    match state {
        State::Uninitialized => FunctionState::Uninitialized,
        State::Idle => FunctionState::Idle,
        State::Running => FunctionState::Running,
        State::Ready => FunctionState::Ready,
    }
}

impl Registry {
    /// The answer to `getStatus`, for existing clients of both kinds: they print it as it comes.
    pub(crate) fn status(&self, now: Now) -> StatusReply {
        let traces: Vec<Report> = self.live(now).filter_map(|(_, p)| p.trace).collect();
        let monitors: Vec<Report> = self.live(now).filter_map(|(_, p)| p.monitor).collect();
        let nputrace = aggregate(&traces);
        let shown = |r: &&Report| word(r.state) == nputrace || nputrace == FunctionState::Unknown;
        let lead = traces.iter().filter(shown).max_by_key(|r| r.current_step);
        let steps = lead.filter(|r| r.has_steps());
        StatusReply {
            status: Some(1),
            nputrace: Some(nputrace),
            npumonitor: Some(aggregate(&monitors)),
            current_step: Some(lead.map_or(-1, |r| r.current_step.into())),
            start_step: steps.map(|r| r.start_step.into()),
            stop_step: steps.map(|r| r.stop_step.into()),
            detail: None,
        }
    }

    /// Every process, at most `limit` of them, and how many were left out.
    pub(crate) fn list(&self, now: Now, limit: usize) -> (Vec<ProcessStatus>, u64) {
        let listed: Vec<_> = self.live(now).take(limit).map(|(k, p)| self.show(now, *k, p)).collect();
        let omitted = self.live(now).count() - listed.len();
        (listed, omitted as u64)
    }

    fn show(&self, now: Now, key: super::Key, p: &Process) -> ProcessStatus {
        let ms = |since: Now| u64::try_from(now.saturating_sub(since).as_millis()).unwrap_or(u64::MAX);
        let steps = p.trace.filter(Report::has_steps);
        ProcessStatus {
            pid: p.leaf,
            host_pid: (p.leaf != key.host_pid).then_some(key.host_pid),
            job_id: key.job_id,
            device: p.devices.first().copied(),
            last_poll_ms: p.polled.map(ms),
            pending_ms: p.waiting(now, self.limits.config_expiry).map(|w| ms(w.since)),
            nputrace: p.trace.map(|r| word(r.state)),
            npumonitor: p.monitor.map(|r| word(r.state)),
            current_step: p.trace.map(|r| r.current_step.into()),
            start_step: steps.map(|r| r.start_step.into()),
            stop_step: steps.map(|r| r.stop_step.into()),
        }
    }
}

fn aggregate(reports: &[Report]) -> FunctionState {
    let any = |state| reports.iter().any(|r| r.state == state);
    match (any(State::Running), any(State::Ready), any(State::Idle), any(State::Uninitialized)) {
        (true, ..) => FunctionState::Running,
        (_, true, ..) => FunctionState::Ready,
        (_, _, true, true) => FunctionState::Unknown,
        (_, _, true, false) => FunctionState::Idle,
        (_, _, false, _) => FunctionState::Uninitialized,
    }
}

/// Whether a command can take effect in a process, by what it reported; `None` if it never reported anything,
/// as libkineto does not, and so has no say. The two functions exclude each other. One that was not reported
/// while the other was is Uninitialized, as it is in the process.
pub(crate) fn verdict(
    process_trace: Option<Report>,
    monitor: Option<Report>,
    is_monitor: bool,
) -> Option<CommandStatus> {
    if process_trace.is_none() && monitor.is_none() {
        return None;
    }
    let trace = process_trace.map_or(State::Uninitialized, |r| r.state);
    let monitor = monitor.map_or(State::Uninitialized, |r| r.state);
    Some(match (is_monitor, trace, monitor) {
        (true, State::Running, _) | (true, _, State::Uninitialized) => CommandStatus::Ineffective,
        (true, State::Idle | State::Ready, _) => CommandStatus::Effective,
        (true, State::Uninitialized, _) => CommandStatus::Unknown,
        (false, _, State::Running) | (false, State::Uninitialized, _) => CommandStatus::Ineffective,
        (false, _, State::Idle) => CommandStatus::Effective,
        (false, _, State::Uninitialized | State::Ready) => CommandStatus::Unknown,
    })
}
