//! `setKinetOnDemandRequest`: who matches, who gets the config, and why the others do not.

use std::collections::{BTreeMap, BTreeSet};

use common::rpc::message::{
    Busy, CommandStatus, JobCount, OnDemand, OnDemandDetail, OnDemandReply, Triggered,
};

use super::status::verdict;
use super::{Key, Now, Pending, Process, Registry, text_for};

/// A process says that a pid is its ancestor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    pub(crate) host_pid: i32,
    pub(crate) ancestor: i32,
}

/// A request, and what was found out about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    pub(crate) request: &'a OnDemand,
    /// The config's text, checked.
    pub(crate) config: &'a str,
    pub(crate) is_monitor: bool,
    /// Those of [`Registry::claims`] that are true.
    pub(crate) ancestry: &'a BTreeSet<Claim>,
}

/// What a request came to, before it is worded for a client.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Leaf pids of the processes that match.
    pub(crate) matched: Vec<i32>,
    pub(crate) triggered: Vec<Triggered>,
    pub(crate) busy: Vec<Busy>,
    pub(crate) beyond_limit: Vec<i32>,
    pub(crate) unknown_pids: Vec<i32>,
    /// Matching processes whose reported status keeps the command from taking effect.
    pub(crate) blocked: Vec<(i32, CommandStatus)>,
    /// The verdict; `None` when no matching process ever reported a status.
    pub(crate) command_status: Option<CommandStatus>,
    registered: u64,
    jobs: Vec<JobCount>,
}

/// Most job ids that a detailed answer lists.
const MAX_JOBS: usize = 1024;

impl Registry {
    /// Hands a config to the processes that match. `ids` gives each its trace id.
    pub(crate) fn on_demand(&mut self, now: Now, order: &Order<'_>, ids: &mut dyn FnMut() -> u64) -> Outcome {
        let Order { request, config, is_monitor, ancestry } = *order;
        let mut outcome = self.survey(now, request, ancestry);
        let mut verdicts = Vec::new();
        for key in self.matching(now, request, ancestry) {
            let expiry = self.limits.config_expiry;
            let Some(process) = self.processes.get_mut(&key) else { continue };
            outcome.matched.push(process.leaf);
            let verdict = verdict(process.trace, process.monitor, is_monitor);
            verdicts.push(verdict);
            if let Some(status) = verdict.filter(|v| *v != CommandStatus::Effective) {
                outcome.blocked.push((process.leaf, status));
            } else if let Some(waiting) = process.waiting(now, expiry) {
                let since_ms =
                    u64::try_from(now.saturating_sub(waiting.since).as_millis()).unwrap_or(u64::MAX);
                outcome.busy.push(Busy { pid: process.leaf, since_ms });
            } else if outcome.triggered.len() >= request.process_limit as usize {
                outcome.beyond_limit.push(process.leaf);
            } else {
                let trace_id = ids();
                // One that has expired may still be there.
                self.untold.configs += u64::from(process.pending.is_some());
                process.pending = Some(Pending { text: text_for(config, trace_id), trace_id, since: now });
                outcome.triggered.push(Triggered { pid: process.leaf, trace_id: trace_id.to_string() });
            }
        }
        outcome.command_status = overall(&verdicts);
        outcome
    }

    /// The claims of ancestry on which a request depends: for each process of the job that does not answer to a
    /// requested pid itself, those requested pids that it claims as ancestors.
    pub(crate) fn claims(&self, now: Now, request: &OnDemand) -> Vec<Claim> {
        if request.all_pids() {
            return Vec::new();
        }
        let mut claims = Vec::new();
        for (key, p) in self.live(now).filter(|(k, _)| k.job_id == request.job_id) {
            let claimed = request.pids.iter().filter(|pid| p.claimed.contains(pid));
            claims.extend(claimed.map(|pid| Claim { host_pid: key.host_pid, ancestor: *pid }));
        }
        claims
    }

    fn matching(&self, now: Now, request: &OnDemand, ancestry: &BTreeSet<Claim>) -> Vec<Key> {
        let answers = |key: &Key, p: &Process, pid: i32| {
            // Its own pid, in any of the name spaces that it is known in, or an ancestor's.
            let claim = Claim { host_pid: key.host_pid, ancestor: pid };
            pid == p.leaf || pid == key.host_pid || ancestry.contains(&claim)
        };
        let wanted = |key: &Key, p: &Process| {
            key.job_id == request.job_id
                && (request.all_pids() || request.pids.iter().any(|pid| answers(key, p, *pid)))
        };
        self.live(now).filter(|(k, p)| wanted(k, p)).map(|(k, _)| *k).collect()
    }

    /// What there is, and which requested pids are not among it.
    fn survey(&self, now: Now, request: &OnDemand, ancestry: &BTreeSet<Claim>) -> Outcome {
        let mut jobs: BTreeMap<i64, u64> = BTreeMap::new();
        let mut known: BTreeSet<i32> = ancestry.iter().map(|claim| claim.ancestor).collect();
        for (key, p) in self.live(now) {
            *jobs.entry(key.job_id).or_default() += 1;
            if key.job_id == request.job_id {
                known.extend([p.leaf, key.host_pid]);
            }
        }
        let asked = if request.all_pids() { &[] } else { request.pids.as_slice() };
        let count = |(job_id, processes)| JobCount { job_id, processes };
        Outcome {
            registered: jobs.values().sum(),
            unknown_pids: asked.iter().filter(|pid| !known.contains(pid)).copied().collect(),
            jobs: jobs.into_iter().take(MAX_JOBS).map(count).collect(),
            ..Outcome::default()
        }
    }
}

/// One word for all: the command is effective if any matching process takes it.
fn overall(verdicts: &[Option<CommandStatus>]) -> Option<CommandStatus> {
    let has = |status| verdicts.contains(&Some(status));
    match verdicts {
        [] => Some(CommandStatus::Ineffective),
        _ if has(CommandStatus::Effective) => Some(CommandStatus::Effective),
        // A process that has no say takes it; the verdict of the others does not stand for it.
        _ if verdicts.contains(&None) => None,
        _ if has(CommandStatus::Unknown) => Some(CommandStatus::Unknown),
        _ => Some(CommandStatus::Ineffective),
    }
}

impl Outcome {
    /// Words it for a client. Existing msMonitor clients take the presence of the lists for success, so they are
    /// left out when processes matched and none may be triggered; when nothing matched, the empty lists are
    /// what makes clients of both kinds say so.
    pub(crate) fn reply(self, is_monitor: bool, extended: bool) -> OnDemandReply {
        let refused = self.command_status.is_some_and(|s| s != CommandStatus::Effective);
        let lists = extended || !refused || self.matched.is_empty();
        let list = |pids: Vec<i64>| lists.then_some(pids);
        OnDemandReply {
            processes_matched: list(self.matched.iter().map(|p| i64::from(*p)).collect()),
            event_profilers_triggered: list(Vec::new()),
            activity_profilers_triggered: list(self.triggered.iter().map(|t| t.pid.into()).collect()),
            event_profilers_busy: lists.then_some(0),
            activity_profilers_busy: lists.then_some(i64::try_from(self.busy.len()).unwrap_or(i64::MAX)),
            command_status: self.command_status,
            detail: extended.then(|| self.detail(is_monitor)),
        }
    }

    fn detail(self, is_monitor: bool) -> OnDemandDetail {
        let reason = self.reason(is_monitor);
        OnDemandDetail {
            registered: self.registered,
            jobs: self.jobs,
            unknown_pids: self.unknown_pids,
            beyond_limit: self.beyond_limit,
            busy: self.busy,
            triggered: self.triggered,
            reason,
        }
    }

    /// Why not every matching process was triggered, or why none matched.
    fn reason(&self, is_monitor: bool) -> Option<String> {
        if self.matched.is_empty() {
            let nobody = if self.registered == 0 { "no process is registered" } else { "no process matches" };
            return Some(nobody.to_owned());
        }
        let first = self.blocked.first()?.1;
        let why = match (is_monitor, first) {
            (true, CommandStatus::Ineffective) => "nputrace is running or npumonitor is not initialised",
            (false, CommandStatus::Ineffective) => "npumonitor is running or nputrace is not initialised",
            (true, _) => "the state of nputrace is not known",
            (false, _) => "the state of npumonitor is not known",
        };
        let (n, all) = (self.blocked.len(), self.matched.len());
        Some(format!("in {n} of {all} matching processes {why}"))
    }
}
