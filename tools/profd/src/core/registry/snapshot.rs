//! The registered processes in a form that the next daemon can take over. Times are ages, so that they do not depend on the
//! clock of one daemon.

use std::time::Duration;

use common::ipc::message::State;
use common::rpc::progress::ConfigProgress;
use serde::{Deserialize, Serialize};

use super::last_request::{LastConfig, MonitorConfig, RequestOutcome};
use super::process::{PendingConfig, ProcessKey, RegisteredProcess, SenderId, Uptime};
use super::profiler_state::FunctionReport;
use super::table::{RegistrationError, Registry};

/// One registered process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessSnapshot {
    pub(crate) job_id: i64,
    pub(crate) uid: u32,
    pub(crate) host_pid: i32,
    pub(crate) pid: i32,
    ancestors: Vec<i32>,
    devices: Vec<i32>,
    last_message_ms: u64,
    last_poll_ms: Option<u64>,
    pending: Option<PendingSnapshot>,
    trace: Option<ReportSnapshot>,
    monitor: Option<ReportSnapshot>,
    /// Until the monitor ends by itself.
    monitor_ends_in_ms: Option<u64>,
    last_request: Option<RequestSnapshot>,
    #[serde(default)]
    trace_file: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PendingSnapshot {
    text: String,
    trace_id: u64,
    age_ms: u64,
    monitor: Option<MonitorConfig>,
}

/// The state as on the wire of the process protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ReportSnapshot {
    state: i32,
    current_step: i32,
    start_step: i32,
    stop_step: i32,
    age_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RequestSnapshot {
    trace_id: u64,
    is_monitor: bool,
    outcome: RequestOutcome,
    age_ms: u64,
}

impl ProcessSnapshot {
    /// Returns whether it has a config that its process has not fetched.
    pub(crate) fn has_pending_config(&self) -> bool {
        self.pending.is_some()
    }
}

impl Registry {
    /// Returns every live process.
    pub(crate) fn take_snapshot(&self, now: Uptime) -> Vec<ProcessSnapshot> {
        let expiry = self.limits.config_expiry;
        let age_ms = |at: Uptime| to_ms(now.saturating_sub(at));
        let report = |report: FunctionReport| ReportSnapshot {
            state: report.state.to_wire(),
            current_step: report.current_step,
            start_step: report.start_step,
            stop_step: report.stop_step,
            age_ms: age_ms(report.at),
        };
        let is_released = |pending: &&PendingConfig| !self.held.contains(&pending.trace_id);
        let process = |(key, process): (&ProcessKey, &RegisteredProcess)| ProcessSnapshot {
            job_id: key.job_id,
            uid: key.uid,
            host_pid: key.host_pid,
            pid: process.pid,
            ancestors: process.claimed_ancestors.to_vec(),
            devices: process.devices.iter().copied().collect(),
            last_message_ms: age_ms(process.last_message),
            last_poll_ms: process.last_poll.map(age_ms),
            pending: process.unexpired_config(now, expiry).filter(is_released).map(|pending| {
                PendingSnapshot {
                    text: String::from_utf8_lossy(&pending.text).into_owned(),
                    trace_id: pending.trace_id,
                    age_ms: age_ms(pending.since),
                    monitor: pending.monitor,
                }
            }),
            trace: process.trace.map(report),
            monitor: process.monitor.map(report),
            monitor_ends_in_ms: process.monitor_ends.map(|end| to_ms(end.saturating_sub(now))),
            last_request: process.last_request.map(|request| RequestSnapshot {
                trace_id: request.trace_id,
                is_monitor: request.is_monitor,
                outcome: request.outcome,
                age_ms: age_ms(request.since),
            }),
            trace_file: process.trace_file.clone(),
        };
        self.live_processes(now).map(process).collect()
    }

    /// Registers a process as it was `elapsed` before `now`. `account` is what its user is counted for.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn restore_process(
        &mut self,
        now: Uptime,
        elapsed: Duration,
        account: u32,
        snapshot: &ProcessSnapshot,
    ) -> Result<(), RegistrationError> {
        let at = |age_ms: u64| now.saturating_sub(elapsed).saturating_sub(Duration::from_millis(age_ms));
        let sender = SenderId { uid: snapshot.uid, account, host_pid: snapshot.host_pid };
        let last_message = at(snapshot.last_message_ms);
        let process = self.note_message(last_message, snapshot.job_id, sender, snapshot.pid)?;
        let report = |report: ReportSnapshot| {
            let state = [State::Uninitialized, State::Idle, State::Running, State::Ready];
            Some(FunctionReport {
                state: state.into_iter().find(|state| state.to_wire() == report.state)?,
                current_step: report.current_step,
                start_step: report.start_step,
                stop_step: report.stop_step,
                at: at(report.age_ms),
            })
        };
        process.claimed_ancestors = snapshot.ancestors.as_slice().into();
        process.devices = snapshot.devices.iter().copied().collect();
        process.last_poll = snapshot.last_poll_ms.map(at);
        process.pending = snapshot.pending.as_ref().map(|pending| PendingConfig {
            text: pending.text.clone().into_bytes(),
            trace_id: pending.trace_id,
            since: at(pending.age_ms),
            monitor: pending.monitor,
        });
        process.trace = snapshot.trace.and_then(report);
        process.monitor = snapshot.monitor.and_then(report);
        process.monitor_ends = snapshot
            .monitor_ends_in_ms
            .map(|ms| now.saturating_add(Duration::from_millis(ms)).saturating_sub(elapsed));
        process.last_request = snapshot.last_request.map(|request| LastConfig {
            trace_id: request.trace_id,
            is_monitor: request.is_monitor,
            outcome: request.outcome,
            since: at(request.age_ms),
        });
        process.trace_file.clone_from(&snapshot.trace_file);
        process.last_trace_id = snapshot.last_request.map(|request| request.trace_id);
        self.restore_history(snapshot, at);
        Ok(())
    }

    /// Remembers what became of the last config of a process that is not restored because it has ended, so that a client
    /// that waits for the trace gets the reason.
    pub(crate) fn remember_ended(&mut self, now: Uptime, elapsed: Duration, snapshot: &ProcessSnapshot) {
        self.restore_history(snapshot, |age_ms| {
            now.saturating_sub(elapsed).saturating_sub(Duration::from_millis(age_ms))
        });
        let last = snapshot.last_request.map(|request| request.trace_id);
        self.history.note(last, ConfigProgress::EndedAfter, now);
    }

    fn restore_history(&mut self, snapshot: &ProcessSnapshot, at: impl Fn(u64) -> Uptime) {
        let Some(RequestSnapshot { trace_id, outcome, age_ms, .. }) = snapshot.last_request else { return };
        let ProcessSnapshot { job_id, uid, host_pid, .. } = *snapshot;
        self.history.add(trace_id, ProcessKey { job_id, uid, host_pid }, at(age_ms));
        let progress = match outcome {
            RequestOutcome::Pending => return,
            RequestOutcome::Delivered | RequestOutcome::Running | RequestOutcome::Finished => {
                ConfigProgress::Fetched
            }
            RequestOutcome::Expired => ConfigProgress::Expired,
        };
        self.history.note(Some(trace_id), progress, at(age_ms));
    }
}

fn to_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use common::ipc::message::{Poll, Register, Status};
    use common::rpc::config::Config;
    use common::rpc::message::{CommandStatus, FunctionState, OnDemand};

    use super::*;
    use crate::core::accounts::Accounts;
    use crate::core::process_scope::ProcessScope;
    use crate::core::registry::pid_match::PidFacts;
    use crate::core::registry::trace_request::{TraceCommand, TraceOutcome};
    use crate::core::registry::{ProfilerFunction, RegistryLimits};

    const START: Uptime = Uptime::from_secs(1000);

    fn registry() -> Registry {
        Registry::new(RegistryLimits {
            max_processes: 9,
            is_shared: false,
            jobs_per_process: 4,
            keep_alive: Duration::from_secs(60),
            config_expiry: Duration::from_secs(30),
        })
    }

    fn sender() -> SenderId {
        SenderId { uid: 1000, account: 1000, host_pid: 70 }
    }

    fn poll(registry: &mut Registry, now: Uptime) -> Option<String> {
        let message = Poll { config_type: 3, job_id: 0, pids: vec![7, 5] };
        let delivery = registry.poll_config(now, sender(), &message).unwrap()?;
        registry.mark_delivered(now, delivery.key, delivery.trace_id);
        Some(String::from_utf8(delivery.text).unwrap())
    }

    fn report(registry: &mut Registry, now: Uptime, function: ProfilerFunction, state: State) {
        let status = Status { state, current_step: 12, start_step: 0, stop_step: 0, pid: 7, job_id: 0 };
        registry.record_status(now, sender(), function, &status).unwrap();
    }

    fn request(registry: &mut Registry, now: Uptime, text: &str) -> TraceOutcome {
        let (config, accounts, scope) =
            (Config::parse(text).unwrap(), Accounts::default(), ProcessScope::default());
        let request = OnDemand {
            config: text.into(),
            job_id: 0,
            pids: vec![],
            process_limit: 3,
            user: None,
            expand: false,
            extended: true,
            selection: None,
        };
        let command = TraceCommand {
            request: &request,
            config: &config,
            host_name: "node",
            is_monitor: config.is_monitor(),
            scope: &scope,
            facts: &PidFacts::default(),
            accounts: &accounts,
            started: None,
        };
        registry.trigger_processes(now, &command, &mut || 42)
    }

    fn states(registry: &Registry, now: Uptime) -> (Option<FunctionState>, String) {
        let (listed, _) = registry.list_processes(now, &ProcessScope::default(), &Accounts::default(), 9);
        let outcome = listed[0].last_request.as_ref().map(|r| r.outcome.clone()).unwrap_or_default();
        (listed[0].npumonitor, outcome)
    }

    const MONITOR: &str = "NPU_MONITOR_START=true\nNPU_MONITOR_STOP=false\nDURATION=3";
    const TRACE: &str = "ACTIVITIES_LOG_FILE=/tmp/t.json";

    /// The process reports nothing at its end (msMonitor b942bf5).
    #[test]
    fn a_monitor_with_a_duration_ends_by_itself() {
        let at = |seconds| START + Duration::from_secs(seconds);
        let mut registry = registry();
        poll(&mut registry, START);
        report(&mut registry, START, ProfilerFunction::Trace, State::Idle);
        report(&mut registry, START, ProfilerFunction::Monitor, State::Idle);
        assert_eq!(request(&mut registry, START, MONITOR).triggered.len(), 1);
        assert_eq!(states(&registry, START).1, "pending");
        poll(&mut registry, at(1));
        assert_eq!(states(&registry, at(1)).1, "delivered");
        report(&mut registry, at(2), ProfilerFunction::Monitor, State::Running);
        assert_eq!(states(&registry, at(2)), (Some(FunctionState::Running), "running".into()));
        let blocked = request(&mut registry, at(8), TRACE);
        assert_eq!(blocked.blocked, [(7, CommandStatus::Ineffective)], "3 s and the grace are not over");
        assert_eq!(states(&registry, at(9)).0, Some(FunctionState::Idle));
        assert_eq!(request(&mut registry, at(9), TRACE).triggered.len(), 1);
        // It reports that it goes on: that counts.
        report(&mut registry, at(10), ProfilerFunction::Monitor, State::Running);
        assert_eq!(states(&registry, at(60)).0, Some(FunctionState::Running));
    }

    #[test]
    fn a_config_that_is_not_fetched_is_said_to_have_expired() {
        let mut registry = registry();
        poll(&mut registry, START);
        request(&mut registry, START, TRACE);
        let later = START + Duration::from_secs(31);
        registry.remove_expired(later);
        assert_eq!(states(&registry, later).1, "expired");
    }

    #[test]
    fn a_process_is_the_same_after_a_restart_and_its_times_go_on() {
        let mut first = registry();
        first.register_process(START, sender(), &Register { device: 3, pid: 7, job_id: 0 }).unwrap();
        poll(&mut first, START);
        report(&mut first, START, ProfilerFunction::Trace, State::Idle);
        report(&mut first, START, ProfilerFunction::Monitor, State::Idle);
        request(&mut first, START, TRACE);
        let at = |seconds| START + Duration::from_secs(seconds);
        let snapshots = first.take_snapshot(at(5));
        let text = serde_json::to_string(&snapshots).unwrap();
        let read: Vec<ProcessSnapshot> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, snapshots);
        // The next daemon has a clock of its own; 10 s lie between them.
        let now = Uptime::from_secs(3600);
        let mut second = registry();
        second.restore_process(now, Duration::from_secs(10), 1000, &read[0]).unwrap();
        let list = |registry: &Registry, now| {
            registry.list_processes(now, &ProcessScope::default(), &Accounts::default(), 9).0
        };
        assert_eq!(list(&second, now), list(&first, at(15)));
        assert_eq!(list(&second, now)[0].pending_ms, Some(15_000));
        let state =
            |registry: &Registry| registry.list_config_states(now, &ProcessScope::default(), &[42])[0].state;
        assert_eq!(state(&second), ConfigProgress::Pending, "a client that waits still gets an answer");
        let late = now + Duration::from_secs(16);
        assert_eq!(poll(&mut second, late), None, "its expiry is that of the request");
        let mut third = registry();
        third.restore_process(now, Duration::from_secs(10), 1000, &read[0]).unwrap();
        assert_eq!(poll(&mut third, now).unwrap(), "ACTIVITIES_LOG_FILE=/tmp/t.json\nREQUEST_TRACE_ID=42\n");
        assert_eq!(state(&third), ConfigProgress::Fetched);
        assert_eq!(
            third.list_trace_files(now).into_iter().collect::<Vec<_>>(),
            [("/tmp/t_7.json".to_owned(), 70)]
        );
        third.remove_process(70);
        assert_eq!(state(&third), ConfigProgress::EndedAfter);
    }

    #[test]
    fn a_config_that_is_held_back_leaves_by_no_way() {
        let mut registry = registry();
        poll(&mut registry, START);
        request(&mut registry, START, TRACE);
        registry.hold_configs([42]);
        assert_eq!(poll(&mut registry, START), None);
        assert!(!registry.take_snapshot(START)[0].has_pending_config());
        registry.release_configs([42]);
        assert!(registry.take_snapshot(START)[0].has_pending_config());
        assert!(poll(&mut registry, START).is_some());
    }

    #[test]
    fn a_process_that_ended_between_two_daemons_leaves_the_reason() {
        let state = |fetches: bool| {
            let mut first = registry();
            poll(&mut first, START);
            request(&mut first, START, TRACE);
            if fetches {
                poll(&mut first, START);
            }
            let mut second = registry();
            second.remember_ended(START, Duration::from_secs(3), &first.take_snapshot(START)[0]);
            assert_eq!(second.count_processes(START), 0);
            second.list_config_states(START, &ProcessScope::default(), &[42])[0].state
        };
        assert_eq!((state(false), state(true)), (ConfigProgress::EndedBefore, ConfigProgress::EndedAfter));
    }
}
