//! The states of the two profiler functions of one process, and whether a command can take effect in it.

use common::ipc::message::{State, Status};
use common::rpc::message::{CommandStatus, FunctionState};

use super::uptime::Uptime;

/// The last status message about one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FunctionReport {
    pub(super) state: State,
    pub(super) current_step: i32,
    pub(super) start_step: i32,
    pub(super) stop_step: i32,
    /// When it came.
    pub(super) at: Uptime,
}

impl FunctionReport {
    pub(super) fn new(message: &Status, at: Uptime) -> Self {
        let Status { state, current_step, start_step, stop_step, .. } = *message;
        Self { state, current_step, start_step, stop_step, at }
    }

    /// Returns the report of a function that is not running any more.
    pub(super) fn ended(self) -> Self {
        match self.state {
            State::Running => Self { state: State::Idle, ..self },
            State::Uninitialized | State::Idle | State::Ready => self,
        }
    }

    /// Returns whether the first and last step are meaningful: only while a trace runs or is about to.
    pub(super) fn has_steps(&self) -> bool {
        matches!(self.state, State::Running | State::Ready)
    }
}

/// Converts a state of the process protocol to that of the client protocol.
pub(super) fn to_function_state(state: State) -> FunctionState {
    match state {
        State::Uninitialized => FunctionState::Uninitialized,
        State::Idle => FunctionState::Idle,
        State::Running => FunctionState::Running,
        State::Ready => FunctionState::Ready,
    }
}

/// Returns whether a command can take effect in a process, by what it reported: the rules of msMonitor (b942bf5), whose
/// two functions share the profiling hardware and therefore exclude each other.
///
/// Returns `None` for a process that never reported anything, as libkineto does not: no rule applies to it. When only
/// one function was reported, the other one counts as uninitialized.
pub(super) fn command_status(
    trace: Option<FunctionReport>,
    monitor: Option<FunctionReport>,
    is_monitor: bool,
) -> Option<CommandStatus> {
    if trace.is_none() && monitor.is_none() {
        return None;
    }
    let trace = trace.map_or(State::Uninitialized, |r| r.state);
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
