//! The processes that a requested pid stands for.
//!
//! A pid belongs to a pid namespace (pid_namespaces(7)), and any user may create one and choose
//! the pid that a process has in it. So a pid counts together with the user:
//!
//! - A requested pid is first that of the host. A process with that host pid matches.
//! - A process matches by the pid that it has in a namespace of its own only if no process of another user that is
//!   served has that pid on the host.
//! - If processes of several users have the pid in namespaces of their own, none of them matches by it.
//!
//! The same holds for a pid that a process claims as that of an ancestor. A requested pid that a registered process has
//! itself, unless that is a launcher, stands for this process alone and not for its descendants.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use common::rpc::message::OnDemand;

use super::process::{ProcessKey, RegisteredProcess, Uptime};
use super::process_role::ProcessRole;
use super::table::Registry;
use crate::core::process_scope::ProcessScope;

/// A process claims that a pid is that of one of its ancestors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AncestryClaim {
    pub(crate) host_pid: i32,
    pub(crate) ancestor: i32,
}

/// In which pid namespace a process has a pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PidScope {
    /// In the daemon's.
    Host,
    /// In one below it.
    Namespace,
}

/// The facts about the pids of a request, as looked up when it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PidFacts {
    /// The claims of ancestry that are true, and in which namespace the ancestor has the pid.
    pub(crate) confirmed: BTreeMap<AncestryClaim, PidScope>,
    /// The users of the processes that have a requested pid on the host, as far as they are served.
    pub(crate) host_owners: BTreeMap<i32, u32>,
    /// The roles of the processes of the job, by host pid, as far as they are not [`ProcessRole::Trainer`].
    pub(crate) roles: BTreeMap<i32, ProcessRole>,
    /// The ranks of the processes of the job, by host pid, as far as they are known. A launcher and a helper have none: what
    /// their environment says is the rank of another process.
    pub(crate) ranks: BTreeMap<i32, i64>,
    /// The names of what the processes of the job run, by host pid, if the request selects by name.
    pub(crate) names: BTreeMap<i32, String>,
}

impl PidFacts {
    /// Returns the rank of a process, unless it is a launcher or a helper.
    pub(super) fn rank_of(&self, host_pid: i32) -> Option<i64> {
        let is_trainer = self.role_of(host_pid) == ProcessRole::Trainer;
        self.ranks.get(&host_pid).filter(|_| is_trainer).copied()
    }

    pub(super) fn role_of(&self, host_pid: i32) -> ProcessRole {
        self.roles.get(&host_pid).copied().unwrap_or_default()
    }
}

/// A process and what it claims, to look facts up for while the registry is not locked.
#[derive(Clone, Debug)]
pub(crate) struct Claimant {
    pub(crate) host_pid: i32,
    pid: i32,
    ancestors: Arc<[i32]>,
}

/// The processes that match a request.
#[derive(Debug, Default)]
pub(super) struct MatchedProcesses {
    /// In the order in which they get a config: by pid, and in turn between users, so that no user takes all places.
    pub(super) keys: Vec<ProcessKey>,
    /// Requested pids that processes have in namespaces of their own, but that do not count there.
    pub(super) ambiguous: BTreeSet<i32>,
    /// Requested pids that some process has.
    pub(super) known: BTreeSet<i32>,
    /// Requested ranks that no process has.
    pub(super) unknown_ranks: Vec<i64>,
    /// Processes whose rank is not known, if ranks are requested.
    pub(super) without_rank: u64,
}

impl Claimant {
    #[cfg(test)]
    pub(crate) fn new(host_pid: i32, pid: i32, ancestors: &[i32]) -> Self {
        Self { host_pid, pid, ancestors: ancestors.into() }
    }

    /// Returns those requested pids that the process claims as ancestors.
    pub(crate) fn claims(&self, requested: &HashSet<i32>) -> impl Iterator<Item = AncestryClaim> {
        let claimed = self.ancestors.iter().filter(|pid| requested.contains(pid));
        claimed.map(|pid| AncestryClaim { host_pid: self.host_pid, ancestor: *pid })
    }

    /// Returns whether the process has a requested pid only in a namespace of its own.
    pub(crate) fn has_namespace_pid(&self, requested: &HashSet<i32>) -> Option<i32> {
        (self.pid != self.host_pid && requested.contains(&self.pid)).then_some(self.pid)
    }
}

impl Registry {
    /// Returns the processes of the job of a request. Facts are looked up for them without the lock of the registry.
    pub(crate) fn list_claimants(&self, now: Uptime, request: &OnDemand) -> Vec<Claimant> {
        if request.all_pids() {
            return Vec::new();
        }
        let claimant = |(key, process): (&ProcessKey, &RegisteredProcess)| Claimant {
            host_pid: key.host_pid,
            pid: process.pid,
            ancestors: process.claimed_ancestors.clone(),
        };
        self.live_processes_of(now, request.job_id).map(claimant).collect()
    }

    /// Returns the host pids of the processes of a job.
    pub(crate) fn list_job_pids(&self, now: Uptime, job_id: i64) -> Vec<i32> {
        self.live_processes_of(now, job_id).map(|(key, _)| key.host_pid).collect()
    }

    pub(super) fn match_processes(
        &self,
        now: Uptime,
        request: &OnDemand,
        scope: &ProcessScope,
        facts: &PidFacts,
    ) -> MatchedProcesses {
        let in_scope = self
            .live_processes_of(now, request.job_id)
            .filter(|(key, _)| scope.contains(key.job_id, key.uid));
        let mut matched = MatchedProcesses::default();
        if request.all_pids() {
            matched.keys = in_scope.map(|(key, _)| *key).collect();
            matched.select(request.selection.as_ref(), facts);
            matched.order(facts);
            return matched;
        }
        let requested: HashSet<i32> = request.pids.iter().copied().collect();
        let named_itself = |key: &ProcessKey| requested.contains(&key.host_pid);
        let exact: HashSet<i32> = self
            .live_processes_of(now, request.job_id)
            .filter(|(key, _)| named_itself(key) && facts.role_of(key.host_pid) != ProcessRole::Launcher)
            .map(|(key, _)| key.host_pid)
            .collect();
        let mut by_namespace: Vec<(i32, ProcessKey)> = Vec::new();
        for (key, process) in in_scope {
            let found = match request.selection {
                Some(_) => find_own_pid(key, process, &requested),
                None => find_pid(key, process, &requested, &exact, facts),
            };
            match found {
                Some((pid, PidScope::Host)) => {
                    matched.keys.push(*key);
                    matched.known.insert(pid);
                }
                Some((pid, PidScope::Namespace)) => by_namespace.push((pid, *key)),
                None => {}
            }
        }
        let mut users: BTreeMap<i32, BTreeSet<u32>> = BTreeMap::new();
        for (pid, key) in &by_namespace {
            users.entry(*pid).or_default().insert(key.uid);
        }
        for (pid, key) in by_namespace {
            let is_of_other = facts.host_owners.get(&pid).is_some_and(|owner| *owner != key.uid);
            if is_of_other || users.get(&pid).is_some_and(|users| users.len() > 1) {
                matched.ambiguous.insert(pid);
            } else {
                matched.keys.push(key);
            }
            matched.known.insert(pid);
        }
        matched.select(request.selection.as_ref(), facts);
        matched.order(facts);
        matched
    }
}

impl MatchedProcesses {
    /// Orders the processes by role, then by pid and in turn between users.
    fn order(&mut self, facts: &PidFacts) {
        self.keys.sort_unstable_by_key(|key| key.host_pid);
        let mut dealt: BTreeMap<u32, u32> = BTreeMap::new();
        self.keys.sort_by_cached_key(|key| {
            let turn = dealt.entry(key.uid).or_default();
            *turn += 1;
            *turn
        });
        self.keys.sort_by_key(|key| facts.role_of(key.host_pid));
    }
}

/// Finds a requested pid that a process has itself; that of the host first.
fn find_own_pid(
    key: &ProcessKey,
    process: &RegisteredProcess,
    requested: &HashSet<i32>,
) -> Option<(i32, PidScope)> {
    if requested.contains(&key.host_pid) {
        return Some((key.host_pid, PidScope::Host));
    }
    requested.contains(&process.pid).then_some((process.pid, PidScope::Namespace))
}

/// Finds a requested pid that a process has, itself or as that of a confirmed ancestor; one of the host first.
fn find_pid(
    key: &ProcessKey,
    process: &RegisteredProcess,
    requested: &HashSet<i32>,
    exact: &HashSet<i32>,
    facts: &PidFacts,
) -> Option<(i32, PidScope)> {
    if requested.contains(&key.host_pid) {
        return Some((key.host_pid, PidScope::Host));
    }
    let is_requested = |pid: &&i32| requested.contains(pid) && !exact.contains(pid);
    let claims = process.claimed_ancestors.iter().filter(is_requested);
    let confirmed = claims.filter_map(|pid| {
        let claim = AncestryClaim { host_pid: key.host_pid, ancestor: *pid };
        Some((*pid, *facts.confirmed.get(&claim)?))
    });
    let confirmed: Vec<_> = confirmed.collect();
    let own = requested.contains(&process.pid).then_some((process.pid, PidScope::Namespace));
    let of_host = confirmed.iter().copied().find(|(_, scope)| *scope == PidScope::Host);
    of_host.or(own).or_else(|| confirmed.first().copied())
}
