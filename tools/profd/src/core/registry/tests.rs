//! The registry, without processes, sockets or clocks.

use common::ipc::message::{Poll, Register, State, Status};
use common::rpc::message::{CommandStatus, FunctionState, OnDemand};

use super::process::PendingConfig;
use super::table::ConfigDelivery;
use super::trace_request::{AncestryClaim, TraceCommand, TraceOutcome};
use super::*;
use std::time::Duration;

const CONFIG: &str = "ACTIVITIES_LOG_FILE=/tmp/t.json";

fn limits() -> RegistryLimits {
    RegistryLimits {
        max_processes: 1000,
        jobs_per_process: 4,
        keep_alive: Duration::from_secs(60),
        config_expiry: Duration::from_secs(30),
    }
}

/// A registry with a clock that is moved by hand.
struct TestRegistry {
    registry: Registry,
    now: Uptime,
    id: u64,
}

fn test_registry() -> TestRegistry {
    test_registry_with(limits())
}

fn test_registry_with(limits: RegistryLimits) -> TestRegistry {
    TestRegistry { registry: Registry::new(limits), now: Uptime::from_secs(1), id: 100 }
}

impl TestRegistry {
    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// A poll of a process outside containers.
    fn poll(&mut self, job_id: i64, pids: &[i32]) -> Option<ConfigDelivery> {
        let m = Poll { config_type: 3, job_id, pids: pids.to_vec() };
        self.registry.poll_config(self.now, pids[0], &m).unwrap()
    }

    fn fetch(&mut self, job_id: i64, pid: i32) -> Option<String> {
        let delivery = self.poll(job_id, &[pid])?;
        self.registry.mark_delivered(delivery.key, delivery.trace_id);
        Some(String::from_utf8(delivery.text).unwrap())
    }

    fn request(&mut self, job_id: i64, pids: &[i32], process_limit: u32) -> TraceOutcome {
        self.ask(job_id, pids, process_limit, false)
    }

    fn ask(&mut self, job_id: i64, pids: &[i32], process_limit: u32, is_monitor: bool) -> TraceOutcome {
        let request =
            OnDemand { config: CONFIG.into(), job_id, pids: pids.to_vec(), process_limit, extended: true };
        // All claims are true, but those of pid 666.
        let claims = self.registry.ancestry_claims(self.now, &request);
        let confirmed = claims.into_iter().filter(|c| c.ancestor != 666).collect();
        let order = TraceCommand { request: &request, config: CONFIG, is_monitor, confirmed: &confirmed };
        let mut ids = || {
            self.id += 1;
            self.id
        };
        self.registry.trigger_processes(self.now, &order, &mut ids)
    }

    fn report(&mut self, of: ProfilerFunction, pid: i32, state: State, steps: (i32, i32, i32)) {
        let (current_step, start_step, stop_step) = steps;
        let m = Status { state, current_step, start_step, stop_step, pid, job_id: 0 };
        self.registry.record_status(self.now, pid, of, &m).unwrap();
    }
}

fn triggered(outcome: &TraceOutcome) -> Vec<i32> {
    outcome.triggered.iter().map(|t| t.pid).collect()
}

#[test]
fn a_config_is_delivered_once_with_its_id() {
    let mut test = test_registry();
    assert_eq!(test.poll(0, &[10]), None);
    let outcome = test.request(0, &[], 3);
    assert_eq!((outcome.matched.as_slice(), triggered(&outcome)), (&[10][..], vec![10]));
    assert_eq!(outcome.triggered[0].trace_id, "101");
    let text = "ACTIVITIES_LOG_FILE=/tmp/t.json\nREQUEST_TRACE_ID=101\n";
    assert_eq!(test.fetch(0, 10).as_deref(), Some(text));
    assert_eq!(test.fetch(0, 10), None);
}

#[test]
fn an_undelivered_config_stays_pending() {
    let mut test = test_registry();
    test.poll(0, &[10]);
    test.request(0, &[], 3);
    assert!(test.poll(0, &[10]).is_some());
    assert!(test.fetch(0, 10).is_some());
    assert_eq!(test.registry.count_pending(test.now), 0);
}

#[test]
fn a_late_delivery_does_not_remove_the_next_config() {
    let mut test = test_registry();
    test.poll(0, &[10]);
    test.request(0, &[], 3);
    let first = test.poll(0, &[10]).unwrap();
    test.wait(30);
    test.request(0, &[], 3);
    test.registry.mark_delivered(first.key, first.trace_id);
    assert!(test.poll(0, &[10]).is_some());
}

#[test]
fn configs_are_for_the_activity_profiler() {
    let mut test = test_registry();
    test.poll(0, &[10]);
    test.request(0, &[], 3);
    let events_only = Poll { config_type: 1, job_id: 0, pids: vec![10] };
    assert_eq!(test.registry.poll_config(test.now, 10, &events_only).unwrap(), None);
    assert!(test.fetch(0, 10).is_some());
}

#[test]
fn pids_match_a_process_and_its_ancestors() {
    let mut test = test_registry();
    test.poll(0, &[10, 5, 1]);
    test.poll(0, &[11, 6, 1]);
    test.poll(7, &[12, 6, 1]);
    assert_eq!(test.request(0, &[0], 0).matched, [10, 11]);
    assert_eq!(test.request(0, &[6], 0).matched, [11]);
    assert_eq!(test.request(0, &[1], 0).matched, [10, 11]);
    assert_eq!(test.request(7, &[], 0).matched, [12]);
    let outcome = test.request(0, &[11, 99, 0], 0);
    assert_eq!((outcome.matched, outcome.unknown_pids), (vec![11], vec![99, 0]));
    assert_eq!(test.request(8, &[], 0).matched, [0; 0]);
}

#[test]
fn claimed_ancestors_count_only_once_confirmed() {
    let mut test = test_registry();
    test.poll(0, &[10, 5, 666]);
    test.poll(0, &[11, 6]);
    let ask = |pids: &[i32]| OnDemand {
        config: CONFIG.into(),
        job_id: 0,
        pids: pids.to_vec(),
        process_limit: 1,
        extended: false,
    };
    let claim = |host_pid, ancestor| AncestryClaim { host_pid, ancestor };
    assert_eq!(
        test.registry.ancestry_claims(test.now, &ask(&[5, 666, 6, 7])),
        [claim(10, 5), claim(10, 666), claim(11, 6)]
    );
    assert_eq!(test.registry.ancestry_claims(test.now, &ask(&[])), []);
    assert_eq!(test.request(0, &[5], 0).matched, [10]);
    let outcome = test.request(0, &[666], 1);
    assert_eq!((outcome.matched, outcome.unknown_pids), (vec![], vec![666]));
    // The last claim is the one that counts.
    test.poll(0, &[10]);
    assert_eq!(test.request(0, &[5], 0).matched, [0; 0]);
}

#[test]
fn a_process_in_a_container_matches_both_of_its_pids() {
    let mut test = test_registry();
    let m = Poll { config_type: 3, job_id: 0, pids: vec![7] };
    test.registry.poll_config(test.now, 4242, &m).unwrap();
    assert_eq!(test.request(0, &[7], 0).matched, [7]);
    assert_eq!(test.request(0, &[4242], 0).matched, [7]);
    let (list, omitted) = test.registry.list_processes(test.now, 9);
    assert_eq!((list[0].pid, list[0].host_pid, omitted), (7, Some(4242), 0));
}

#[test]
fn the_limit_counts_triggered_processes_and_the_rest_is_listed() {
    let mut test = test_registry();
    for pid in 1..=5 {
        test.poll(0, &[pid]);
    }
    let first = test.request(0, &[2], 3);
    assert_eq!(triggered(&first), [2]);
    test.wait(2);
    let outcome = test.request(0, &[], 2);
    assert_eq!(triggered(&outcome), [1, 3]);
    assert_eq!(outcome.beyond_limit, [4, 5]);
    assert_eq!((outcome.busy[0].pid, outcome.busy[0].since_ms), (2, 2000));
    assert_eq!(outcome.matched, [1, 2, 3, 4, 5]);
}

#[test]
fn fault_05_an_unfetched_config_expires() {
    let mut test = test_registry();
    test.poll(0, &[10]);
    test.request(0, &[], 3);
    test.wait(29);
    test.registry.record_status(test.now, 10, ProfilerFunction::Trace, &idle(10)).unwrap();
    assert_eq!(test.registry.count_pending(test.now), 1);
    test.wait(1);
    assert_eq!(test.registry.count_pending(test.now), 0);
    assert_eq!(test.fetch(0, 10), None, "an expired config is not delivered");
}

#[test]
fn fault_05_a_silent_process_expires() {
    let mut test = test_registry();
    test.poll(0, &[10]);
    test.poll(0, &[11]);
    test.request(0, &[10], 1);
    test.wait(59);
    test.poll(0, &[11]);
    test.wait(1);
    assert_eq!(test.request(0, &[], 0).matched, [11]);
    assert_eq!(test.registry.remove_expired(test.now), RemovedCounts { processes: 1, configs: 1 });
    assert!(!test.registry.contains_pid(10) && test.registry.contains_pid(11));
}

#[test]
fn removals_between_cleanups_are_counted_by_the_next_one() {
    // A process that comes back after it was silent for too long.
    let mut test = test_registry();
    test.poll(0, &[10]);
    test.request(0, &[], 1);
    test.wait(60);
    test.poll(0, &[10]);
    assert_eq!(test.registry.remove_expired(test.now), RemovedCounts { processes: 1, configs: 1 });
    assert_eq!(test.registry.remove_expired(test.now), RemovedCounts::default());
    // A config that expired and is replaced.
    test.request(0, &[], 1);
    test.wait(30);
    test.request(0, &[], 1);
    assert_eq!(test.registry.remove_expired(test.now), RemovedCounts { processes: 0, configs: 1 });
    // Room that was made for a new process.
    let mut test = test_registry_with(RegistryLimits { max_processes: 1, ..limits() });
    test.poll(0, &[10]);
    test.request(0, &[], 1);
    test.wait(60);
    test.poll(0, &[11]);
    assert_eq!(test.registry.remove_expired(test.now), RemovedCounts { processes: 1, configs: 1 });
}

#[test]
fn fault_05_an_ended_process_is_removed_with_all_its_jobs() {
    let mut test = test_registry();
    test.poll(0, &[10]);
    test.poll(1, &[10]);
    test.request(0, &[], 1);
    assert_eq!(test.registry.remove_process(10), RemovedCounts { processes: 2, configs: 1 });
    assert_eq!(test.request(0, &[], 1).matched, [0; 0]);
    assert_eq!(test.registry.remove_process(10), RemovedCounts::default());
}

#[test]
fn an_expired_process_that_polls_again_starts_anew() {
    let mut test = test_registry();
    test.poll(0, &[10, 5]);
    test.request(0, &[], 1);
    test.wait(61);
    assert_eq!(test.poll(0, &[10, 5]), None);
    assert_eq!(test.request(0, &[5], 0).matched, [10]);
}

fn idle(pid: i32) -> Status {
    Status { state: State::Idle, current_step: -1, start_step: -1, stop_step: -1, pid, job_id: 0 }
}

#[test]
fn fault_06_status_is_kept_per_process_and_removed_with_it() {
    let mut test = test_registry();
    assert_eq!(test.registry.aggregate_status(test.now).nputrace, Some(FunctionState::Uninitialized));
    test.report(ProfilerFunction::Trace, 1, State::Running, (7, 5, 9));
    test.report(ProfilerFunction::Trace, 2, State::Idle, (8, -1, -1));
    test.report(ProfilerFunction::Monitor, 2, State::Idle, (-1, -1, -1));
    let status = test.registry.aggregate_status(test.now);
    assert_eq!(status.nputrace, Some(FunctionState::Running), "the last writer does not win");
    assert_eq!((status.current_step, status.start_step, status.stop_step), (Some(7), Some(5), Some(9)));
    assert_eq!(status.npumonitor, Some(FunctionState::Idle));
    test.registry.remove_process(1);
    let status = test.registry.aggregate_status(test.now);
    assert_eq!(status.nputrace, Some(FunctionState::Idle));
    assert_eq!((status.current_step, status.start_step), (Some(8), None));
    test.registry.remove_process(2);
    assert_eq!(test.registry.aggregate_status(test.now).current_step, Some(-1));
}

#[test]
fn states_are_aggregated_to_one() {
    use FunctionState as F;
    use State as S;
    for (states, word) in [
        (&[S::Idle, S::Idle][..], F::Idle),
        (&[S::Uninitialized], F::Uninitialized),
        (&[S::Idle, S::Ready], F::Ready),
        (&[S::Ready, S::Running, S::Uninitialized], F::Running),
        (&[S::Idle, S::Uninitialized], F::Unknown),
    ] {
        let mut test = test_registry();
        for (pid, state) in (1..).zip(states) {
            test.report(ProfilerFunction::Trace, pid, *state, (-1, -1, -1));
        }
        assert_eq!(test.registry.aggregate_status(test.now).nputrace, Some(word), "{states:?}");
    }
}

/// The table of the protocol, every combination.
#[test]
fn commands_take_effect_by_the_rules_of_msmonitor() {
    use CommandStatus::{Effective, Ineffective, Unknown};
    use State as S;
    let states = [S::Uninitialized, S::Idle, S::Running, S::Ready];
    let trace = [
        // npumonitor: Uninitialized, Idle, Running, Ready; rows: nputrace likewise.
        [Ineffective, Ineffective, Ineffective, Ineffective],
        [Unknown, Effective, Ineffective, Unknown],
        [Unknown, Effective, Ineffective, Unknown],
        [Unknown, Effective, Ineffective, Unknown],
    ];
    let monitor = [
        [Ineffective, Unknown, Unknown, Unknown],
        [Ineffective, Effective, Effective, Effective],
        [Ineffective, Ineffective, Ineffective, Ineffective],
        [Ineffective, Effective, Effective, Effective],
    ];
    for (is_monitor, table) in [(false, trace), (true, monitor)] {
        for (t, row) in states.iter().zip(table) {
            for (m, expected) in states.iter().zip(row) {
                let mut test = test_registry();
                test.report(ProfilerFunction::Trace, 1, *t, (-1, -1, -1));
                test.report(ProfilerFunction::Monitor, 1, *m, (-1, -1, -1));
                let outcome = test.ask(0, &[], 1, is_monitor);
                assert_eq!(outcome.command_status, Some(expected), "{t:?} {m:?} {is_monitor}");
                assert_eq!(outcome.triggered.is_empty(), expected != Effective);
            }
        }
    }
}

#[test]
fn processes_that_report_no_status_are_triggered() {
    let mut test = test_registry();
    test.poll(0, &[1]);
    let outcome = test.request(0, &[], 1);
    assert_eq!((outcome.command_status, triggered(&outcome)), (None, vec![1]));
    let reply = outcome.into_reply(false, false);
    assert_eq!(reply.command_status, None);
    assert_eq!(reply.processes_matched, Some(vec![1]));
}

#[test]
fn a_reply_without_a_match_suits_both_kinds_of_clients() {
    let mut test = test_registry();
    let reply = test.request(0, &[], 1).into_reply(false, false);
    let json = serde_json::to_string(&reply).unwrap();
    let expected = concat!(
        r#"{"processesMatched":[],"eventProfilersTriggered":[],"activityProfilersTriggered":[],"#,
        r#""eventProfilersBusy":0,"activityProfilersBusy":0,"commandStatus":"ineffective"}"#
    );
    assert_eq!(json, expected);
    test.poll(3, &[1]);
    let detail = test.request(0, &[9], 1).into_reply(false, true).detail.unwrap();
    assert_eq!((detail.registered, detail.jobs[0].job_id, detail.jobs[0].processes), (1, 3, 1));
    assert_eq!(detail.unknown_pids, [9]);
    assert_eq!(detail.reason.as_deref(), Some("no process matches"));
}

#[test]
fn a_blocked_command_triggers_no_process_and_has_a_reason() {
    let mut test = test_registry();
    test.report(ProfilerFunction::Trace, 1, State::Idle, (-1, -1, -1));
    test.report(ProfilerFunction::Monitor, 1, State::Running, (-1, -1, -1));
    let json = serde_json::to_string(&test.request(0, &[], 1).into_reply(false, false)).unwrap();
    assert_eq!(json, r#"{"commandStatus":"ineffective"}"#);
    let detail = test.request(0, &[], 1).into_reply(false, true).detail.unwrap();
    let reason = "in 1 of 1 matching processes npumonitor is running or nputrace is not initialized";
    assert_eq!(detail.reason.as_deref(), Some(reason));
    // One that can, is triggered; the other is not.
    test.report(ProfilerFunction::Trace, 2, State::Idle, (-1, -1, -1));
    test.report(ProfilerFunction::Monitor, 2, State::Idle, (-1, -1, -1));
    let outcome = test.request(0, &[], 5);
    assert_eq!((outcome.command_status, triggered(&outcome)), (Some(CommandStatus::Effective), vec![2]));
}

#[test]
fn fault_10_more_than_fifty_processes_and_an_error_at_the_limit() {
    let mut test = test_registry_with(RegistryLimits { max_processes: 200, ..limits() });
    for pid in 1..=200 {
        let m = Register { device: pid % 8, pid, job_id: 0 };
        let count = test.registry.register_process(test.now, pid, &m).unwrap();
        assert_eq!(count, (pid + 7) / 8 - i32::from(pid < 8 && pid % 8 == 0), "pid {pid}");
    }
    let m = Register { device: 0, pid: 201, job_id: 0 };
    assert_eq!(test.registry.register_process(test.now, 201, &m), Err(RegistrationError::TableFull));
    assert_eq!(test.request(0, &[], 1000).triggered.len(), 200);
    // The ones that fell silent make room.
    test.wait(60);
    assert!(test.registry.register_process(test.now, 201, &m).is_ok());
}

#[test]
fn the_jobs_of_one_process_are_limited() {
    let mut test = test_registry();
    for job_id in 0..4 {
        test.poll(job_id, &[10]);
    }
    let m = Poll { config_type: 3, job_id: 4, pids: vec![10] };
    assert_eq!(test.registry.poll_config(test.now, 10, &m), Err(RegistrationError::TooManyJobs));
    assert_eq!(test.registry.find_single_job(10), None, "its metrics belong to no single job");
    test.poll(0, &[11]);
    assert_eq!(test.registry.find_single_job(11), Some((0, 11)));
}

#[test]
fn no_config_text_is_four_bytes_long() {
    assert!(PendingConfig::new("A=1", 1, Uptime::ZERO).text.len() > 4);
}
