//! Who may be asked for a trace: jobs, their processes, the configs that wait for them and what they report.
//!
//! Pure: messages, the sender's host pid and the time go in, replies come out. Whether a sender is who it says
//! is decided before ([`crate::ipc`]); sending, and forgetting a process that died, is told from outside.
//!
//! A process is keyed by the pid that the kernel vouches for, never by the pid that it claims, and by its job:
//! one process may hold two profilers that name different jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::ipc::message::{ACTIVITIES, Poll, Register, Status};
use common::rpc::config::TRACE_ID;

pub(crate) mod status;
pub(crate) mod trace_request;

use status::Report;

/// Time since the daemon started.
pub(crate) type Now = Duration;

/// Most devices kept for one process: no host has more.
const MAX_DEVICES: usize = 64;

/// How often a full table is searched for room.
const SEARCH: Duration = Duration::from_millis(500);

/// How much is kept, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most entries.
    pub(crate) processes: usize,
    /// Most jobs under which one process may appear.
    pub(crate) jobs_per_process: usize,
    /// A process that was not heard for so long is forgotten.
    pub(crate) keep_alive: Duration,
    /// A config that was not fetched for so long is forgotten.
    pub(crate) config_expiry: Duration,
}

/// A process within a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) job_id: i64,
    /// As the kernel numbers it in our pid name space.
    pub(crate) host_pid: i32,
}

/// What is known of a process.
#[derive(Debug)]
struct Process {
    /// Its pid as it knows itself; the same as the host pid outside containers.
    leaf: i32,
    /// The ancestors that it claimed on its last poll. They count only where a request finds them confirmed.
    claimed: Vec<i32>,
    devices: BTreeSet<i32>,
    heard: Now,
    polled: Option<Now>,
    pending: Option<Pending>,
    trace: Option<Report>,
    monitor: Option<Report>,
}

/// A config that waits for its process.
#[derive(Debug)]
struct Pending {
    text: Vec<u8>,
    trace_id: u64,
    since: Now,
}

/// Why a process is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The table is full of live processes.
    Full,
    /// The process appears under too many jobs already.
    TooManyJobs,
}

/// A config to send. It stays pending until [`Registry::delivered`] says that it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handout {
    pub(crate) key: Key,
    pub(crate) text: Vec<u8>,
    pub(crate) trace_id: u64,
}

/// Which function a status message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Trace,
    Monitor,
}

/// What was forgotten by [`Registry::sweep`] or [`Registry::gone`], or in passing before a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forgotten {
    pub(crate) processes: u64,
    /// Configs that were never fetched.
    pub(crate) configs: u64,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Registry {
    limits: Limits,
    processes: BTreeMap<Key, Process>,
    /// The jobs of each host pid.
    jobs: BTreeMap<i32, Vec<i64>>,
    /// When a full table was last searched for room.
    searched: Option<Now>,
    /// What was forgotten in passing; the next sweep tells.
    untold: Forgotten,
}

impl Registry {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            processes: BTreeMap::new(),
            jobs: BTreeMap::new(),
            searched: None,
            untold: Forgotten::default(),
        }
    }

    /// Takes a `ctxt`. Returns how many processes of that job use that device.
    pub(crate) fn register(&mut self, now: Now, host_pid: i32, m: &Register) -> Result<i32, Refused> {
        let process = self.heard(now, Key { job_id: m.job_id, host_pid }, m.pid)?;
        if process.devices.len() < MAX_DEVICES {
            process.devices.insert(m.device);
        }
        let count = self.live(now).filter(|(k, p)| k.job_id == m.job_id && p.devices.contains(&m.device));
        Ok(i32::try_from(count.count()).unwrap_or(i32::MAX))
    }

    /// Takes a `req`. A process that never sent `ctxt` is taken in all the same: libkineto sends none. Returns
    /// the config, if one waits and is of a wanted type.
    pub(crate) fn poll(&mut self, now: Now, host_pid: i32, m: &Poll) -> Result<Option<Handout>, Refused> {
        let expiry = self.limits.config_expiry;
        let key = Key { job_id: m.job_id, host_pid };
        let process = self.heard(now, key, m.leaf())?;
        process.polled = Some(now);
        let ancestors = m.pids.get(1..).unwrap_or_default();
        if process.claimed != ancestors {
            process.claimed = ancestors.to_vec();
        }
        let wanted = m.config_type & ACTIVITIES != 0;
        let waiting = process.waiting(now, expiry).filter(|_| wanted);
        Ok(waiting.map(|p| Handout { key, text: p.text.clone(), trace_id: p.trace_id }))
    }

    /// The config left: only now is it forgotten.
    pub(crate) fn delivered(&mut self, key: Key, trace_id: u64) {
        if let Some(process) = self.processes.get_mut(&key)
            && process.pending.as_ref().is_some_and(|p| p.trace_id == trace_id)
        {
            process.pending = None;
        }
    }

    /// Takes a status message.
    pub(crate) fn report(
        &mut self,
        now: Now,
        host_pid: i32,
        of: Function,
        m: &Status,
    ) -> Result<(), Refused> {
        let process = self.heard(now, Key { job_id: m.job_id, host_pid }, m.pid)?;
        let report = Some(Report::new(m));
        match of {
            Function::Trace => process.trace = report,
            Function::Monitor => process.monitor = report,
        }
        Ok(())
    }

    /// The job and leaf pid of a process that is registered under exactly one job.
    pub(crate) fn whois(&self, host_pid: i32) -> Option<(i64, i32)> {
        let [job_id] = self.jobs.get(&host_pid)?.as_slice() else { return None };
        let key = Key { job_id: *job_id, host_pid };
        self.processes.get(&key).map(|p| (*job_id, p.leaf))
    }

    /// Whether anything is known of a host pid.
    pub(crate) fn knows(&self, host_pid: i32) -> bool {
        self.jobs.contains_key(&host_pid)
    }

    /// Forgets a process that died.
    pub(crate) fn gone(&mut self, host_pid: i32) -> Forgotten {
        let mut forgotten = Forgotten::default();
        for job_id in self.jobs.remove(&host_pid).unwrap_or_default() {
            if let Some(process) = self.processes.remove(&Key { job_id, host_pid }) {
                forgotten.processes += 1;
                forgotten.configs += u64::from(process.pending.is_some());
            }
        }
        forgotten
    }

    /// Frees what has expired. Everything else looks at the time itself, so this may run as rarely as it likes.
    pub(crate) fn sweep(&mut self, now: Now) -> Forgotten {
        let Limits { keep_alive, config_expiry, .. } = self.limits;
        let mut forgotten = std::mem::take(&mut self.untold);
        let jobs = &mut self.jobs;
        self.processes.retain(|key, process| {
            let alive = process.alive(now, keep_alive);
            if process.pending.is_some() && (!alive || process.waiting(now, config_expiry).is_none()) {
                process.pending = None;
                forgotten.configs += 1;
            }
            if !alive {
                forgotten.processes += 1;
                forget_job(jobs, *key);
            }
            alive
        });
        forgotten
    }

    /// Configs that wait now.
    pub(crate) fn waiting(&self, now: Now) -> usize {
        let expiry = self.limits.config_expiry;
        self.live(now).filter(|(_, p)| p.waiting(now, expiry).is_some()).count()
    }

    /// Every process that was heard recently enough.
    fn live(&self, now: Now) -> impl Iterator<Item = (&Key, &Process)> {
        let keep_alive = self.limits.keep_alive;
        self.processes.iter().filter(move |(_, p)| p.alive(now, keep_alive))
    }

    /// Notes that a process spoke, and takes it in if it is new.
    fn heard(&mut self, now: Now, key: Key, leaf: i32) -> Result<&mut Process, Refused> {
        if !self.processes.contains_key(&key) {
            self.admit(now, key)?;
        }
        let process = self.processes.entry(key).or_insert_with(|| Process::new(leaf, now));
        if !process.alive(now, self.limits.keep_alive) {
            self.untold.processes += 1;
            self.untold.configs += u64::from(process.pending.is_some());
            *process = Process::new(leaf, now);
        }
        process.leaf = leaf;
        process.heard = now;
        Ok(process)
    }

    fn admit(&mut self, now: Now, key: Key) -> Result<(), Refused> {
        // Not for every one of a flood.
        let lately = |at: Now| now.saturating_sub(at) < SEARCH;
        if self.processes.len() >= self.limits.processes && !self.searched.is_some_and(lately) {
            self.searched = Some(now);
            self.untold = self.sweep(now);
        }
        if self.processes.len() >= self.limits.processes {
            return Err(Refused::Full);
        }
        let jobs = self.jobs.entry(key.host_pid).or_default();
        if jobs.len() >= self.limits.jobs_per_process {
            return Err(Refused::TooManyJobs);
        }
        jobs.push(key.job_id);
        Ok(())
    }
}

fn forget_job(jobs: &mut BTreeMap<i32, Vec<i64>>, key: Key) {
    if let Some(of_process) = jobs.get_mut(&key.host_pid) {
        of_process.retain(|j| *j != key.job_id);
        if of_process.is_empty() {
            jobs.remove(&key.host_pid);
        }
    }
}

impl Process {
    fn new(leaf: i32, now: Now) -> Self {
        Self {
            leaf,
            claimed: Vec::new(),
            devices: BTreeSet::new(),
            heard: now,
            polled: None,
            pending: None,
            trace: None,
            monitor: None,
        }
    }

    fn alive(&self, now: Now, keep_alive: Duration) -> bool {
        now.saturating_sub(self.heard) < keep_alive
    }

    /// The config that waits, unless it has waited too long.
    fn waiting(&self, now: Now, expiry: Duration) -> Option<&Pending> {
        self.pending.as_ref().filter(|p| now.saturating_sub(p.since) < expiry)
    }
}

/// A config as it goes to a process: its text, then the id, each line ended. Never four bytes long, which
/// msMonitor's process side would take for a registration answer.
fn text_for(config: &str, trace_id: u64) -> Vec<u8> {
    format!("{config}\n{TRACE_ID}={trace_id}\n").into_bytes()
}

#[cfg(test)]
pub(crate) mod tests;
