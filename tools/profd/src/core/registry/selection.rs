//! The conditions of a request beyond job, user and pid: ranks and names.

use common::glob::Glob;
use common::rpc::selection::ProcessSelection;

use super::pid_match::{MatchedProcesses, PidFacts};
use super::process_role::ProcessRole;

impl MatchedProcesses {
    /// Keeps the processes that meet the conditions, and notes which ranks none of them has.
    pub(super) fn select(&mut self, selection: Option<&ProcessSelection>, facts: &PidFacts) {
        let Some(selection) = selection else { return };
        // `check_config` has rejected requests with patterns that cannot be parsed.
        let patterns: Vec<Glob> =
            selection.names.iter().filter_map(|pattern| Glob::parse(pattern).ok()).collect();
        if !selection.names.is_empty() {
            let name_matches = |name: &String| patterns.iter().any(|p| p.matches(name.as_bytes()));
            self.keys.retain(|key| facts.names.get(&key.host_pid).is_some_and(name_matches));
        }
        if selection.ranks.is_empty() {
            return;
        }
        let trainers = self.keys.iter().filter(|key| facts.role_of(key.host_pid) == ProcessRole::Trainer);
        self.without_rank = trainers.filter(|key| facts.rank_of(key.host_pid).is_none()).count() as u64;
        self.keys
            .retain(|key| facts.rank_of(key.host_pid).is_some_and(|rank| selection.ranks.contains(&rank)));
        let found: Vec<i64> = self.keys.iter().filter_map(|key| facts.rank_of(key.host_pid)).collect();
        let is_unknown = |rank: &&i64| !found.contains(rank);
        self.unknown_ranks = selection.ranks.iter().filter(is_unknown).copied().collect();
    }
}

/// Checks the patterns of a selection.
///
/// # Errors
/// The first one that cannot be parsed.
pub(crate) fn check_patterns(selection: &ProcessSelection) -> Result<(), String> {
    selection.names.iter().try_for_each(|pattern| Glob::parse(pattern).map(|_| ()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::ipc::message::Poll;
    use common::rpc::config::Config;
    use common::rpc::message::OnDemand;
    use common::rpc::progress::ConfigProgress;

    use super::*;
    use crate::core::accounts::Accounts;
    use crate::core::process_scope::ProcessScope;
    use crate::core::registry::pid_match::{AncestryClaim, PidScope};
    use crate::core::registry::trace_request::{TraceCommand, TraceOutcome};
    use crate::core::registry::{Registry, RegistryLimits, SenderId, Uptime};

    const MINUTE: Duration = Duration::from_secs(60);

    fn poll(registry: &mut Registry, now: Uptime, pids: &[i32], config_type: i32) -> Option<u64> {
        let sender = SenderId { uid: 1000, account: 1000, host_pid: pids[0] };
        let message = Poll { config_type, job_id: 0, pids: pids.into() };
        let delivery = registry.poll_config(now, sender, &message).unwrap()?;
        registry.mark_delivered(now, delivery.key, delivery.trace_id);
        Some(delivery.trace_id)
    }

    /// A launcher 5 with ranks 6 and 7, and a data loader 8 of rank 1.
    fn registry() -> Registry {
        let mut registry = Registry::new(RegistryLimits {
            max_processes: 9,
            is_shared: false,
            jobs_per_process: 1,
            keep_alive: MINUTE,
            config_expiry: MINUTE,
        });
        for pids in [&[5][..], &[6, 5], &[7, 5], &[8, 7, 5]] {
            poll(&mut registry, Uptime::ZERO, pids, 3);
        }
        registry
    }

    fn facts() -> PidFacts {
        let claim = |host_pid, ancestor| (AncestryClaim { host_pid, ancestor }, PidScope::Host);
        PidFacts {
            confirmed: [claim(6, 5), claim(7, 5), claim(8, 7), claim(8, 5)].into(),
            roles: [(5, ProcessRole::Launcher), (8, ProcessRole::Helper)].into(),
            ranks: [(5, 3), (6, 0), (7, 1), (8, 1)].into(),
            names: [(5, "torchrun"), (6, "train.py"), (7, "train.py"), (8, "train.py")]
                .map(|(pid, name)| (pid, name.to_owned()))
                .into(),
            ..PidFacts::default()
        }
    }

    fn trigger(registry: &mut Registry, now: Uptime, selection: Option<ProcessSelection>) -> TraceOutcome {
        let request = OnDemand {
            config: "A=1".into(),
            pids: selection.as_ref().map(|s| s.pids.clone()).unwrap_or_default(),
            process_limit: 10,
            selection,
            ..OnDemand::default()
        };
        let mut next = 100 * now.as_secs();
        let command = TraceCommand {
            request: &request,
            config: &Config::parse("A=1").unwrap(),
            host_name: "node",
            is_monitor: false,
            scope: &ProcessScope::default(),
            facts: &facts(),
            accounts: &Accounts::default(),
            started: None,
        };
        registry.trigger_processes(now, &command, &mut || {
            next += 1;
            next
        })
    }

    fn selected(selection: ProcessSelection) -> (Vec<i32>, Vec<i64>) {
        let outcome = trigger(&mut registry(), Uptime::ZERO, Some(selection));
        let reply = outcome.into_reply(false, true);
        let detail = reply.detail.unwrap();
        assert!(detail.selected);
        let mut pids: Vec<_> = detail.triggered.iter().map(|t| t.pid).collect();
        pids.sort_unstable();
        (pids, detail.unknown_ranks)
    }

    #[test]
    fn a_rank_is_one_process_and_neither_its_helper_nor_the_launcher() {
        let ranks = |ranks: &[i64]| {
            selected(ProcessSelection { ranks: ranks.to_vec(), ..ProcessSelection::default() })
        };
        assert_eq!(ranks(&[1]), (vec![7], vec![]));
        assert_eq!(ranks(&[0, 1, 9]), (vec![6, 7], vec![9]));
        assert_eq!(ranks(&[3]), (vec![], vec![3]), "the launcher's variable is not its rank");
    }

    #[test]
    fn names_are_patterns_and_conditions_add_up() {
        let names = |pattern: &str, ranks: &[i64]| {
            let names = vec![pattern.to_owned()];
            selected(ProcessSelection { names, ranks: ranks.to_vec(), ..ProcessSelection::default() }).0
        };
        assert_eq!(names("train*", &[]), [6, 7, 8]);
        assert_eq!(names("torchrun", &[]), [5]);
        assert_eq!(names("train.py", &[0]), [6]);
        assert_eq!(names("other", &[]), Vec::<i32>::new());
        let bad = ProcessSelection { names: vec!["[a".to_owned()], ..ProcessSelection::default() };
        assert!(check_patterns(&bad).is_err());
    }

    #[test]
    fn an_exact_pid_is_not_that_of_its_descendants() {
        let pids = |pids: &[i32]| {
            selected(ProcessSelection { pids: pids.to_vec(), ..ProcessSelection::default() }).0
        };
        assert_eq!(pids(&[5]), [5]);
        assert_eq!(pids(&[7]), [7]);
        assert_eq!(pids(&[]), [5, 6, 7, 8]);
    }

    #[test]
    fn what_became_of_a_config_is_remembered() {
        let mut registry = registry();
        let at = Uptime::from_secs;
        let triggered = trigger(&mut registry, at(1), None).triggered;
        let id_of =
            |pid: i32| triggered.iter().find(|t| t.pid == pid).unwrap().trace_id.parse::<u64>().unwrap();
        let state = |registry: &Registry, now, pid| {
            registry.list_config_states(now, &ProcessScope::default(), &[id_of(pid)])[0].clone()
        };
        assert_eq!(poll(&mut registry, at(2), &[6, 5], 3), Some(id_of(6)));
        assert_eq!(poll(&mut registry, at(2), &[7, 5], 1), None, "its profiler is running");
        let fetched = state(&registry, at(3), 6);
        assert_eq!((fetched.state, fetched.since_ms), (ConfigProgress::Fetched, 1000));
        let busy = state(&registry, at(3), 7);
        assert_eq!((busy.state, busy.profiler_busy), (ConfigProgress::Pending, true));
        registry.remove_process(6);
        registry.remove_process(5);
        assert_eq!(state(&registry, at(3), 6).state, ConfigProgress::EndedAfter);
        assert_eq!(state(&registry, at(3), 5).state, ConfigProgress::EndedBefore);
        poll(&mut registry, at(50), &[7, 5], 1);
        assert_eq!(state(&registry, at(62), 7).state, ConfigProgress::Expired, "also before it is removed");
        let hidden = ProcessScope { users: Some([1].into()), jobs: None };
        assert_eq!(registry.list_config_states(at(3), &hidden, &[id_of(6)]), []);
        assert_eq!(registry.list_config_states(at(3), &ProcessScope::default(), &[424_242]), []);
    }
}
