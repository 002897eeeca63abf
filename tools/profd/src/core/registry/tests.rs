//! The registry, without processes, sockets or clocks.

use common::ipc::message::{Poll, Register, State, Status};
use common::rpc::config::Config;
use common::rpc::message::{CommandStatus, FunctionState, OnDemand};

use super::pid_match::{AncestryClaim, PidFacts, PidScope};
use super::process::PendingConfig;
use super::process_role::ProcessRole;
use super::table::ConfigDelivery;
use super::trace_request::{TraceCommand, TraceOutcome};
use super::*;
use crate::core::accounts::Accounts;
use crate::core::process_scope::ProcessScope;
use std::time::Duration;

const CONFIG: &str = "ACTIVITIES_LOG_FILE=/tmp/t.json";

fn limits() -> RegistryLimits {
    RegistryLimits {
        max_processes: 1000,
        is_shared: false,
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
        self.registry.poll_config(self.now, sender(pids[0]), &m).unwrap()
    }

    fn fetch(&mut self, job_id: i64, pid: i32) -> Option<String> {
        let delivery = self.poll(job_id, &[pid])?;
        self.registry.mark_delivered(self.now, delivery.key, delivery.trace_id);
        Some(String::from_utf8(delivery.text).unwrap())
    }

    fn request(&mut self, job_id: i64, pids: &[i32], process_limit: u32) -> TraceOutcome {
        self.ask(job_id, pids, process_limit, false)
    }

    fn ask(&mut self, job_id: i64, pids: &[i32], process_limit: u32, is_monitor: bool) -> TraceOutcome {
        let request = on_demand(job_id, pids, process_limit);
        // All claims are true, but those of pid 666.
        let requested = pids.iter().copied().collect();
        let claimants = self.registry.list_claimants(self.now, &request);
        let claims = claimants.iter().flat_map(|claimant| claimant.claims(&requested));
        let confirmed = claims.filter(|c| c.ancestor != 666).map(|c| (c, PidScope::Host)).collect();
        self.ask_with(
            &request,
            is_monitor,
            &PidFacts { confirmed, ..PidFacts::default() },
            &ProcessScope::default(),
        )
    }

    fn ask_with(
        &mut self,
        request: &OnDemand,
        is_monitor: bool,
        facts: &PidFacts,
        scope: &ProcessScope,
    ) -> TraceOutcome {
        let accounts = Accounts::parse("ann:x:1000:1::/:", "");
        let config = Config::parse(CONFIG).unwrap();
        let host_name = "node";
        let config = &config;
        let order = TraceCommand {
            request,
            config,
            host_name,
            is_monitor,
            scope,
            facts,
            accounts: &accounts,
            started: None,
        };
        let mut ids = || {
            self.id += 1;
            self.id
        };
        self.registry.trigger_processes(self.now, &order, &mut ids)
    }

    fn report(&mut self, of: ProfilerFunction, pid: i32, state: State, steps: (i32, i32, i32)) {
        let (current_step, start_step, stop_step) = steps;
        let m = Status { state, current_step, start_step, stop_step, pid, job_id: 0 };
        self.registry.record_status(self.now, sender(pid), of, &m).unwrap();
    }
}

fn sender(host_pid: i32) -> SenderId {
    of_user(1000, host_pid)
}

fn of_user(uid: u32, host_pid: i32) -> SenderId {
    SenderId { uid, account: uid, host_pid }
}

fn on_demand(job_id: i64, pids: &[i32], process_limit: u32) -> OnDemand {
    OnDemand {
        config: CONFIG.into(),
        job_id,
        pids: pids.to_vec(),
        process_limit,
        selection: None,
        user: None,
        expand: false,
        extended: true,
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
    test.registry.mark_delivered(test.now, first.key, first.trace_id);
    assert!(test.poll(0, &[10]).is_some());
}

#[test]
fn configs_are_for_the_activity_profiler() {
    let mut test = test_registry();
    test.poll(0, &[10]);
    test.request(0, &[], 3);
    let events_only = Poll { config_type: 1, job_id: 0, pids: vec![10] };
    assert_eq!(test.registry.poll_config(test.now, sender(10), &events_only).unwrap(), None);
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
    let claim = |host_pid, ancestor| AncestryClaim { host_pid, ancestor };
    let requested = [5, 666, 6, 7].into();
    let claimants = test.registry.list_claimants(test.now, &on_demand(0, &[5, 666, 6, 7], 1));
    let claims: Vec<_> = claimants.iter().flat_map(|claimant| claimant.claims(&requested)).collect();
    assert_eq!(claims, [claim(10, 5), claim(10, 666), claim(11, 6)]);
    assert!(test.registry.list_claimants(test.now, &on_demand(0, &[], 1)).is_empty());
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
    test.registry.poll_config(test.now, sender(4242), &m).unwrap();
    assert_eq!(test.request(0, &[7], 0).matched, [7]);
    assert_eq!(test.request(0, &[4242], 0).matched, [7]);
    let (list, omitted) =
        test.registry.list_processes(test.now, &ProcessScope::default(), &Accounts::default(), 9);
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
    test.registry.record_status(test.now, sender(10), ProfilerFunction::Trace, &idle(10)).unwrap();
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
    assert_eq!(
        test.registry.aggregate_status(test.now, &ProcessScope::default()).nputrace,
        Some(FunctionState::Uninitialized)
    );
    test.report(ProfilerFunction::Trace, 1, State::Running, (7, 5, 9));
    test.report(ProfilerFunction::Trace, 2, State::Idle, (8, -1, -1));
    test.report(ProfilerFunction::Monitor, 2, State::Idle, (-1, -1, -1));
    let status = test.registry.aggregate_status(test.now, &ProcessScope::default());
    assert_eq!(status.nputrace, Some(FunctionState::Running), "the last writer does not win");
    assert_eq!((status.current_step, status.start_step, status.stop_step), (Some(7), Some(5), Some(9)));
    assert_eq!(status.npumonitor, Some(FunctionState::Idle));
    test.registry.remove_process(1);
    let status = test.registry.aggregate_status(test.now, &ProcessScope::default());
    assert_eq!(status.nputrace, Some(FunctionState::Idle));
    assert_eq!((status.current_step, status.start_step), (Some(8), None));
    test.registry.remove_process(2);
    assert_eq!(test.registry.aggregate_status(test.now, &ProcessScope::default()).current_step, Some(-1));
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
        assert_eq!(
            test.registry.aggregate_status(test.now, &ProcessScope::default()).nputrace,
            Some(word),
            "{states:?}"
        );
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
        let count = test.registry.register_process(test.now, sender(pid), &m).unwrap();
        assert_eq!(count, (pid + 7) / 8 - i32::from(pid < 8 && pid % 8 == 0), "pid {pid}");
    }
    let m = Register { device: 0, pid: 201, job_id: 0 };
    assert_eq!(test.registry.register_process(test.now, sender(201), &m), Err(RegistrationError::TableFull));
    assert_eq!(test.request(0, &[], 1000).triggered.len(), 200);
    // The ones that fell silent make room.
    test.wait(60);
    assert!(test.registry.register_process(test.now, sender(201), &m).is_ok());
}

#[test]
fn the_jobs_of_one_process_are_limited() {
    let mut test = test_registry();
    for job_id in 0..4 {
        test.poll(job_id, &[10]);
    }
    let m = Poll { config_type: 3, job_id: 4, pids: vec![10] };
    assert_eq!(test.registry.poll_config(test.now, sender(10), &m), Err(RegistrationError::TooManyJobs));
    assert_eq!(test.registry.find_single_job(10), None, "its metrics belong to no single job");
    test.poll(0, &[11]);
    assert_eq!(test.registry.find_single_job(11), Some((0, 11)));
}

#[test]
fn no_config_text_is_four_bytes_long() {
    assert!(PendingConfig::new("A=1", 1, Uptime::ZERO, None).text.len() > 4);
}

/// An unprivileged user gives a process the pid of another one, in a new pid namespace.
#[test]
fn a_pid_of_another_users_namespace_is_not_that_of_the_host() {
    let mut test = test_registry();
    let inside = Poll { config_type: 3, job_id: 0, pids: vec![30_123] };
    test.registry.poll_config(test.now, of_user(2000, 900), &inside).unwrap();
    let request = on_demand(0, &[30_123], 3);
    let ask = |test: &mut TestRegistry, owner: Option<u32>| {
        let host_owners = owner.map(|uid| (30_123, uid)).into_iter().collect();
        let facts = PidFacts { host_owners, ..PidFacts::default() };
        test.ask_with(&request, false, &facts, &ProcessScope::default())
    };
    // The victim has not polled yet, so it is not in the registry.
    let outcome = ask(&mut test, Some(1000));
    assert_eq!((outcome.matched.as_slice(), outcome.ambiguous_pids.as_slice()), (&[][..], &[30_123][..]));
    assert!(outcome.explain_exclusions(false).unwrap().contains("host pid"));
    // The victim alone has it.
    test.poll(0, &[30_123]);
    let outcome = ask(&mut test, Some(1000));
    assert_eq!((outcome.triggered.len(), outcome.triggered[0].uid), (1, Some(1000)));
    assert_eq!(outcome.triggered[0].user.as_deref(), Some("ann"));
    // The same user's process in a container counts: there is no other one of that pid.
    let mut test = test_registry();
    test.registry.poll_config(test.now, of_user(2000, 900), &inside).unwrap();
    assert_eq!(ask(&mut test, None).triggered[0].host_pid, Some(900));
    test.wait(1);
    assert_eq!(ask(&mut test, Some(2000)).busy.len(), 1);
}

#[test]
fn a_namespace_pid_of_several_users_stands_for_none() {
    let mut test = test_registry();
    let inside = Poll { config_type: 3, job_id: 0, pids: vec![7, 1] };
    for (uid, host_pid) in [(1000, 900), (2000, 901)] {
        test.registry.poll_config(test.now, of_user(uid, host_pid), &inside).unwrap();
    }
    let none = test.ask_with(&on_demand(0, &[7], 3), false, &PidFacts::default(), &ProcessScope::default());
    assert_eq!((none.triggered.len(), none.ambiguous_pids.as_slice()), (0, &[7][..]));
    let claim = |host_pid| (AncestryClaim { host_pid, ancestor: 1 }, PidScope::Namespace);
    let facts = PidFacts { confirmed: [claim(900), claim(901)].into(), ..PidFacts::default() };
    let none = test.ask_with(&on_demand(0, &[1], 3), false, &facts, &ProcessScope::default());
    assert_eq!((none.triggered.len(), none.ambiguous_pids.as_slice()), (0, &[1][..]));
    // One of the users, or the host pid, is meant.
    let scope = ProcessScope::default().of_user(2000);
    let one = test.ask_with(&on_demand(0, &[7], 3), false, &facts, &scope);
    assert_eq!(one.triggered[0].host_pid, Some(901));
    let other = test.ask_with(&on_demand(0, &[900], 3), false, &facts, &ProcessScope::default());
    assert_eq!(other.triggered[0].uid, Some(1000));
}

#[test]
fn places_are_dealt_in_turn_between_users() {
    let mut test = test_registry();
    for pid in 1..=5 {
        test.registry
            .poll_config(test.now, of_user(2000, pid), &Poll { config_type: 3, job_id: 0, pids: vec![pid] })
            .unwrap();
    }
    test.poll(0, &[50]);
    let outcome = test.request(0, &[], 3);
    assert_eq!(triggered(&outcome), [1, 50, 2]);
    assert_eq!(outcome.beyond_limit, [3, 4, 5]);
}

#[test]
fn a_job_of_one_user_is_not_that_of_another() {
    let mut test = test_registry();
    test.poll(7, &[10]);
    test.registry
        .poll_config(test.now, of_user(2000, 11), &Poll { config_type: 3, job_id: 7, pids: vec![11] })
        .unwrap();
    let counted = test.registry.register_process(
        test.now,
        of_user(2000, 11),
        &Register { device: 0, pid: 11, job_id: 7 },
    );
    assert_eq!(counted, Ok(1));
    let scope = ProcessScope { users: Some([1000].into()), jobs: None };
    let outcome = test.ask_with(&on_demand(7, &[], 3), false, &PidFacts::default(), &scope);
    assert_eq!(outcome.matched, [10]);
    let (listed, _) = test.registry.list_processes(test.now, &scope, &Accounts::default(), 9);
    assert_eq!(listed.iter().map(|p| p.uid).collect::<Vec<_>>(), [Some(1000)]);
}

#[test]
fn one_user_does_not_fill_the_table() {
    let mut test = test_registry_with(RegistryLimits { max_processes: 10, is_shared: true, ..limits() });
    let poll = |test: &mut TestRegistry, uid, pid| {
        let m = Poll { config_type: 3, job_id: 0, pids: vec![pid] };
        test.registry.poll_config(test.now, of_user(uid, pid), &m)
    };
    for pid in 1..=5 {
        poll(&mut test, 2000, pid).unwrap();
    }
    assert_eq!(poll(&mut test, 2000, 6), Err(RegistrationError::ShareUsed));
    for pid in 11..=13 {
        poll(&mut test, 1000, pid).unwrap();
    }
    test.registry.remove_process(1);
    test.registry.remove_process(2);
    test.registry.remove_process(3);
    poll(&mut test, 2000, 7).unwrap();
}

/// Jobs with many processes that claim many ancestors: a request names as many pids as it may.
#[test]
fn many_claims_are_listed_without_comparing_each_with_each() {
    let mut test = test_registry_with(RegistryLimits { max_processes: 2000, ..limits() });
    let claimed: Vec<i32> = (100_000..100_255).collect();
    for pid in 1..=1500 {
        let pids: Vec<i32> = std::iter::once(pid).chain(claimed.iter().copied()).collect();
        test.poll(0, &pids);
    }
    let request = on_demand(0, &(200_000..204_096).collect::<Vec<_>>(), 3);
    let claimants = test.registry.list_claimants(test.now, &request);
    let requested = request.pids.iter().copied().collect();
    assert_eq!(claimants.iter().flat_map(|c| c.claims(&requested)).count(), 0);
    // What one process claims is bounded, too.
    let all = claimed.iter().copied().collect();
    assert_eq!(claimants[0].claims(&all).count(), 64);
}

/// 10 launches 20 and 30, and 20 has a data loader 25.
#[test]
fn processes_that_train_come_first_and_a_named_one_stands_for_itself() {
    let mut test = test_registry();
    for pids in [&[10][..], &[20, 10], &[25, 20, 10], &[30, 10]] {
        test.poll(0, pids);
    }
    let claim = |host_pid, ancestor| (AncestryClaim { host_pid, ancestor }, PidScope::Host);
    let facts = PidFacts {
        confirmed: [(20, 10), (25, 10), (25, 20), (30, 10)].map(|(pid, of)| claim(pid, of)).into(),
        roles: [(10, ProcessRole::Launcher), (25, ProcessRole::Helper)].into(),
        ..PidFacts::default()
    };
    let mut matched = |pids: &[i32]| {
        let outcome = test.ask_with(&on_demand(0, pids, 0), false, &facts, &ProcessScope::default());
        outcome.matched
    };
    assert_eq!(matched(&[]), [20, 30, 25, 10]);
    assert_eq!(matched(&[20]), [20], "not its data loader");
    assert_eq!(matched(&[10]), [20, 30, 25, 10], "a launcher stands for what it has started");
    assert_eq!(matched(&[20, 25]), [20, 25]);
}
