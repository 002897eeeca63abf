//! The reply to `getStatus`: one state for all processes, and the state of each.
//!
//! The existing daemons (dynolog c3a231a, msMonitor b942bf5) keep one state for the host: each message overwrites it,
//! and it outlives the process that sent it. Here each process has its own, which is removed with the process, and the
//! one state that clients expect is an aggregate:
//!
//! - Running when any process runs, else Ready when any is Ready: the hardware is in use, or about to be;
//! - else Idle or Uninitialized when every process that reported is in that state;
//! - Uninitialized when no process reported;
//! - else, with some Idle and some Uninitialized, unknown.
//!
//! `current_step` is the highest one reported by a process that is in the aggregate state, and the steps of the trace
//! are those of the same process, so that the three belong together.

use std::collections::BTreeSet;

use common::ipc::message::State;
use common::rpc::message::{FunctionState, ProcessStatus, RejectedSenders, StatusReply};

use super::process::{ProcessKey, RegisteredProcess, Uptime};
use super::profiler_state::{FunctionReport, to_function_state};
use super::table::Registry;
use crate::core::accounts::Accounts;
use crate::core::process_scope::ProcessScope;

impl Registry {
    /// Returns the reply to `getStatus`, with the fields of both kinds of existing clients: they print what they get.
    pub(crate) fn aggregate_status(&self, now: Uptime, scope: &ProcessScope) -> StatusReply {
        let visible = || self.visible_processes(now, scope);
        let traces: Vec<FunctionReport> = visible().filter_map(|(_, p)| p.trace).collect();
        let monitors: Vec<FunctionReport> = visible().filter_map(|(_, p)| p.monitor_report(now)).collect();
        let nputrace = aggregate_states(&traces);
        let is_in_aggregate = |r: &&FunctionReport| {
            to_function_state(r.state) == nputrace || nputrace == FunctionState::Unknown
        };
        let leading = traces.iter().filter(is_in_aggregate).max_by_key(|r| r.current_step);
        let steps = leading.filter(|r| r.has_steps());
        StatusReply {
            status: Some(1),
            nputrace: Some(nputrace),
            npumonitor: Some(aggregate_states(&monitors)),
            current_step: Some(leading.map_or(-1, |r| r.current_step.into())),
            start_step: steps.map(|r| r.start_step.into()),
            stop_step: steps.map(|r| r.stop_step.into()),
            detail: None,
        }
    }

    /// Returns the status of each process, of at most `limit` of them, and the number that was left out.
    pub(crate) fn list_processes(
        &self,
        now: Uptime,
        scope: &ProcessScope,
        accounts: &Accounts,
        limit: usize,
    ) -> (Vec<ProcessStatus>, u64) {
        let (listed, total) = self.list_page(now, scope, accounts, 0, limit);
        let omitted = total - listed.len() as u64;
        (listed, omitted)
    }

    /// Returns the status of at most `limit` processes from the one at `offset`, and the number of all.
    pub(crate) fn list_page(
        &self,
        now: Uptime,
        scope: &ProcessScope,
        accounts: &Accounts,
        offset: usize,
        limit: usize,
    ) -> (Vec<ProcessStatus>, u64) {
        let visible = || self.visible_processes(now, scope);
        let status = |(key, process): (&ProcessKey, &RegisteredProcess)| ProcessStatus {
            user: accounts.name_of(key.uid).map(str::to_owned),
            ..self.process_status(now, *key, process)
        };
        let listed: Vec<_> = visible().skip(offset).take(limit).map(status).collect();
        (listed, visible().count() as u64)
    }

    /// Returns the host pids of the processes in `scope`.
    pub(crate) fn list_host_pids(&self, now: Uptime, scope: &ProcessScope) -> Vec<i32> {
        self.visible_processes(now, scope).map(|(key, _)| key.host_pid).collect()
    }

    /// Returns the rejections of the users in `scope`, the most recent first. What was rejected has no job, so within some
    /// jobs they are those of the users who have a process in them.
    pub(crate) fn list_rejections(
        &self,
        now: Uptime,
        accounts: &Accounts,
        scope: &ProcessScope,
    ) -> Vec<RejectedSenders> {
        if scope.jobs.is_none() {
            return self.rejections.list(now, accounts, |uid| scope.contains_user(uid));
        }
        let users: BTreeSet<u32> = self.visible_processes(now, scope).map(|(key, _)| key.uid).collect();
        self.rejections.list(now, accounts, |uid| users.contains(&uid))
    }

    fn visible_processes(
        &self,
        now: Uptime,
        scope: &ProcessScope,
    ) -> impl Iterator<Item = (&ProcessKey, &RegisteredProcess)> {
        self.live_processes(now).filter(|(key, _)| scope.contains(key.job_id, key.uid))
    }

    fn process_status(&self, now: Uptime, key: ProcessKey, process: &RegisteredProcess) -> ProcessStatus {
        let ms = |since: Uptime| u64::try_from(now.saturating_sub(since).as_millis()).unwrap_or(u64::MAX);
        let steps = process.trace.filter(FunctionReport::has_steps);
        ProcessStatus {
            pid: process.pid,
            host_pid: (process.pid != key.host_pid).then_some(key.host_pid),
            uid: Some(key.uid),
            user: None,
            job_id: key.job_id,
            device: process.devices.first().copied(),
            last_seen_ms: Some(ms(process.last_message)),
            last_poll_ms: process.last_poll.map(ms),
            pending_ms: process.unexpired_config(now, self.limits.config_expiry).map(|c| ms(c.since)),
            nputrace: process.trace.map(|r| to_function_state(r.state)),
            npumonitor: process.monitor_report(now).map(|r| to_function_state(r.state)),
            current_step: process.trace.map(|r| r.current_step.into()),
            start_step: steps.map(|r| r.start_step.into()),
            stop_step: steps.map(|r| r.stop_step.into()),
            last_request: process.last_request.map(|r| r.to_reply(now)),
            ..ProcessStatus::default()
        }
    }
}

fn aggregate_states(reports: &[FunctionReport]) -> FunctionState {
    let any = |state| reports.iter().any(|r| r.state == state);
    match (any(State::Running), any(State::Ready), any(State::Idle), any(State::Uninitialized)) {
        (true, ..) => FunctionState::Running,
        (_, true, ..) => FunctionState::Ready,
        (_, _, true, true) => FunctionState::Unknown,
        (_, _, true, false) => FunctionState::Idle,
        (_, _, false, _) => FunctionState::Uninitialized,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::registry::rejections::RejectionCause;
    use crate::core::registry::{RegistryLimits, SenderId};
    use common::ipc::message::Poll;

    #[test]
    fn within_jobs_only_their_users_are_shown() {
        let at = Uptime::from_secs;
        let mut registry = Registry::new(RegistryLimits {
            max_processes: 9,
            is_shared: true,
            jobs_per_process: 1,
            keep_alive: at(60),
            config_expiry: at(60),
        });
        for (uid, job_id) in [(1000, 7), (1001, 8)] {
            let host_pid = i32::try_from(uid).unwrap();
            let poll = Poll { config_type: 3, job_id, pids: vec![host_pid] };
            registry.poll_config(at(1), SenderId { uid, account: uid, host_pid }, &poll).unwrap();
            registry.rejections.note(at(1), uid, host_pid, RejectionCause::WrongPid);
        }
        registry.rejections.note(at(1), 1002, 1002, RejectionCause::User);
        let users = |scope: ProcessScope| -> Vec<u32> {
            let listed = registry.list_rejections(at(2), &Accounts::default(), &scope);
            listed.iter().map(|r| r.uid).collect()
        };
        assert_eq!(users(ProcessScope::default()).len(), 3);
        assert_eq!(users(ProcessScope { jobs: Some([7].into()), users: None }), [1000]);
        assert_eq!(users(ProcessScope { jobs: None, users: Some([1002].into()) }), [1002]);
        assert_eq!(users(ProcessScope { jobs: Some([7].into()), users: Some([1001].into()) }), [0; 0]);
    }
}
