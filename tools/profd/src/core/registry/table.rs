//! The table of registered processes: registrations, polls and status messages in, configs out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::ipc::message::{ACTIVITIES, Poll, Register, Status};
use common::rpc::progress::{ConfigProgress, ConfigState};

use super::config_history::ConfigHistory;
use super::last_request::RequestOutcome;
use super::process::{ProcessKey, RegisteredProcess, SenderId, Uptime};
use super::profiler_state::{FunctionReport, to_function_state};
use super::rejections::Rejections;
use crate::core::process_scope::ProcessScope;
use crate::core::user_shares::{NoRoom, UserShares};

/// Maximum number of devices kept for one process; more than any host has.
const MAX_DEVICES: usize = 64;

/// Maximum number of claimed ancestors kept for one process: a deeper tree of processes than jobs have. The rest does not
/// count.
const MAX_CLAIMED_ANCESTORS: usize = 64;

/// Minimum time between two searches of a full table for expired entries.
const SEARCH_INTERVAL: Duration = Duration::from_millis(500);

/// Limits of the registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RegistryLimits {
    /// Maximum number of entries.
    pub(crate) max_processes: usize,
    /// Whether processes of several users are served, who share the table.
    pub(crate) is_shared: bool,
    /// Maximum number of jobs of one process.
    pub(crate) jobs_per_process: usize,
    /// A process expires when this long has passed since its last message.
    pub(crate) keep_alive: Duration,
    /// A pending config expires when it was not fetched for this long.
    pub(crate) config_expiry: Duration,
}

/// Why a process was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegistrationError {
    /// The table is full of live processes.
    TableFull,
    /// The user has no share left in the table.
    ShareUsed,
    /// The process is registered under the maximum number of jobs.
    TooManyJobs,
}

/// A config to send. It stays pending until [`Registry::mark_delivered`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigDelivery {
    pub(crate) key: ProcessKey,
    pub(crate) text: Vec<u8>,
    pub(crate) trace_id: u64,
}

/// The profiler function that a status message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProfilerFunction {
    Trace,
    Monitor,
}

/// How much [`Registry::remove_process`] or [`Registry::remove_expired`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RemovedCounts {
    pub(crate) processes: u64,
    /// Configs that were not fetched.
    pub(crate) configs: u64,
}

/// The table. See the module above.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(super) limits: RegistryLimits,
    pub(super) processes: BTreeMap<ProcessKey, RegisteredProcess>,
    /// The jobs of each host pid, and the user as whom it named each.
    jobs: BTreeMap<i32, Vec<(i64, u32)>>,
    shares: UserShares,
    /// Senders that were not registered.
    pub(crate) rejections: Rejections,
    /// The time of the last search of a full table for expired entries.
    last_search: Option<Uptime>,
    /// The progress of the configs of the last requests.
    pub(super) history: ConfigHistory,
    /// Removals that the next [`Registry::remove_expired`] reports.
    pub(super) unreported: RemovedCounts,
    /// The ids of pending configs that are not handed out yet.
    pub(super) held: BTreeSet<u64>,
}

impl Registry {
    pub(crate) fn new(limits: RegistryLimits) -> Self {
        Self {
            limits,
            processes: BTreeMap::new(),
            jobs: BTreeMap::new(),
            shares: UserShares::new(limits.max_processes, limits.is_shared),
            rejections: Rejections::default(),
            last_search: None,
            history: ConfigHistory::default(),
            unreported: RemovedCounts::default(),
            held: BTreeSet::new(),
        }
    }

    /// Handles `ctxt`. Returns how many live processes of that job of its user use that device.
    pub(crate) fn register_process(
        &mut self,
        now: Uptime,
        sender: SenderId,
        message: &Register,
    ) -> Result<i32, RegistrationError> {
        let Register { device, pid, job_id } = *message;
        let process = self.note_message(now, job_id, sender, pid)?;
        if process.devices.len() < MAX_DEVICES {
            process.devices.insert(device);
        }
        let same = self
            .live_processes_of(now, job_id)
            .filter(|(k, p)| k.uid == sender.uid && p.devices.contains(&device));
        Ok(i32::try_from(same.count()).unwrap_or(i32::MAX))
    }

    /// Handles `req`. Registers a process that has not sent `ctxt`: libkineto (PyTorch 2.15) sends none.
    ///
    /// Returns the pending config if there is one and the message asks for its type.
    pub(crate) fn poll_config(
        &mut self,
        now: Uptime,
        sender: SenderId,
        message: &Poll,
    ) -> Result<Option<ConfigDelivery>, RegistrationError> {
        let expiry = self.limits.config_expiry;
        let key = ProcessKey::new(message.job_id, sender);
        let process = self.note_message(now, message.job_id, sender, message.leaf())?;
        process.last_poll = Some(now);
        process.accepts_traces = message.config_type & ACTIVITIES != 0;
        let ancestors = message.pids.get(1..).unwrap_or_default();
        let ancestors = &ancestors[..ancestors.len().min(MAX_CLAIMED_ANCESTORS)];
        if *process.claimed_ancestors != *ancestors {
            process.claimed_ancestors = ancestors.into();
        }
        let config = process.unexpired_config(now, expiry).filter(|_| process.accepts_traces);
        let delivery = config.map(|c| ConfigDelivery { key, text: c.text.clone(), trace_id: c.trace_id });
        Ok(delivery.filter(|delivery| !self.held.contains(&delivery.trace_id)))
    }

    /// Holds pending configs back: no process gets one, and the next daemon does not take it over, until it is released.
    pub(crate) fn hold_configs(&mut self, trace_ids: impl IntoIterator<Item = u64>) {
        self.held.extend(trace_ids);
    }

    /// Lets processes fetch configs that were held back.
    pub(crate) fn release_configs(&mut self, trace_ids: impl IntoIterator<Item = u64>) {
        for id in trace_ids {
            self.held.remove(&id);
        }
    }

    /// Removes a pending config after it was sent, unless another one has replaced it since.
    pub(crate) fn mark_delivered(&mut self, now: Uptime, key: ProcessKey, trace_id: u64) {
        if let Some(process) = self.processes.get_mut(&key) {
            if process.pending.as_ref().is_some_and(|p| p.trace_id == trace_id) {
                process.clear_pending(now, RequestOutcome::Delivered);
                let at = process.last_poll.unwrap_or(process.last_message);
                self.history.note(Some(trace_id), ConfigProgress::Fetched, at);
            }
        }
    }

    /// Handles `npuTraceStatus` and `npuMonitorStatus`.
    pub(crate) fn record_status(
        &mut self,
        now: Uptime,
        sender: SenderId,
        function: ProfilerFunction,
        message: &Status,
    ) -> Result<(), RegistrationError> {
        let process = self.note_message(now, message.job_id, sender, message.pid)?;
        let report = FunctionReport::new(message, now);
        let is_monitor = function == ProfilerFunction::Monitor;
        match function {
            ProfilerFunction::Trace => process.trace = Some(report),
            ProfilerFunction::Monitor => process.monitor = Some(report),
        }
        if let Some(record) = process.last_request.as_mut().filter(|r| r.is_monitor == is_monitor) {
            record.note_state(now, to_function_state(report.state));
        }
        Ok(())
    }

    /// Returns the job id and the reported pid of a process that is registered under exactly one job.
    pub(crate) fn find_single_job(&self, host_pid: i32) -> Option<(i64, i32)> {
        let [(job_id, uid)] = *self.jobs.get(&host_pid)?.as_slice() else { return None };
        self.processes.get(&ProcessKey { job_id, uid, host_pid }).map(|p| (job_id, p.pid))
    }

    /// Returns whether a host pid is registered under any job.
    pub(crate) fn contains_pid(&self, host_pid: i32) -> bool {
        self.jobs.contains_key(&host_pid)
    }

    /// Removes a process that has ended, with all its jobs.
    pub(crate) fn remove_process(&mut self, host_pid: i32) -> RemovedCounts {
        let mut removed = RemovedCounts::default();
        for (job_id, uid) in self.jobs.remove(&host_pid).unwrap_or_default() {
            if let Some(process) = self.processes.remove(&ProcessKey { job_id, uid, host_pid }) {
                self.shares.remove(process.account);
                self.history.note(process.last_trace_id, ConfigProgress::EndedAfter, process.last_message);
                removed.processes += 1;
                removed.configs += u64::from(process.pending.is_some());
            }
        }
        removed
    }

    /// Removes expired processes and configs. Every other method checks the times itself, so this may run at any
    /// interval.
    pub(crate) fn remove_expired(&mut self, now: Uptime) -> RemovedCounts {
        let RegistryLimits { keep_alive, config_expiry, .. } = self.limits;
        self.rejections.forget_old(now, keep_alive);
        let mut removed = std::mem::take(&mut self.unreported);
        let (jobs, shares, history) = (&mut self.jobs, &mut self.shares, &mut self.history);
        self.processes.retain(|key, process| {
            let is_live = process.is_live(now, keep_alive);
            let has_config = is_live && process.unexpired_config(now, config_expiry).is_some();
            if !has_config && process.pending.is_some() {
                process.clear_pending(now, RequestOutcome::Expired);
                history.note(process.last_trace_id, ConfigProgress::Expired, now);
                removed.configs += 1;
            }
            if !is_live {
                removed.processes += 1;
                remove_job(jobs, *key);
                shares.remove(process.account);
            }
            is_live
        });
        removed
    }

    /// Returns what became of the configs with these ids, as far as their processes are in `scope` and they are not
    /// forgotten.
    pub(crate) fn list_config_states(
        &self,
        now: Uptime,
        scope: &ProcessScope,
        trace_ids: &[u64],
    ) -> Vec<ConfigState> {
        let state = |id: &u64| {
            let record = self.history.get(*id).filter(|r| scope.contains(r.key.job_id, r.key.uid))?;
            let mut state = record.to_state(*id, now);
            // A process that has expired and a config that has are removed at intervals only: say it as it is now.
            let process = self.processes.get(&record.key).filter(|p| p.is_live(now, self.limits.keep_alive));
            if let Some(process) = process {
                let ms = |at: Uptime| u64::try_from(now.saturating_sub(at).as_millis()).unwrap_or(u64::MAX);
                state.last_poll_ms = process.last_poll.map(ms);
                state.profiler_busy = !process.accepts_traces;
                let is_expired = process.unexpired_config(now, self.limits.config_expiry).is_none();
                if state.state == ConfigProgress::Pending && is_expired {
                    state.state = ConfigProgress::Expired;
                }
            }
            Some(state)
        };
        trace_ids.iter().filter_map(state).collect()
    }

    /// Returns the number of pending configs.
    pub(crate) fn count_pending(&self, now: Uptime) -> usize {
        let expiry = self.limits.config_expiry;
        self.live_processes(now).filter(|(_, p)| p.unexpired_config(now, expiry).is_some()).count()
    }

    /// Returns the number of processes that have not expired, once for each of their jobs.
    pub(crate) fn count_processes(&self, now: Uptime) -> usize {
        self.live_processes(now).count()
    }

    /// Returns the files that live processes write for their last requests, and the host pid of each.
    pub(super) fn list_trace_files(&self, now: Uptime) -> BTreeMap<String, i32> {
        let file = |(key, process): (&ProcessKey, &RegisteredProcess)| {
            Some((process.trace_file.clone()?, key.host_pid))
        };
        self.live_processes(now).filter_map(file).collect()
    }

    /// Returns every process that has not expired.
    pub(super) fn live_processes(
        &self,
        now: Uptime,
    ) -> impl Iterator<Item = (&ProcessKey, &RegisteredProcess)> {
        let keep_alive = self.limits.keep_alive;
        self.processes.iter().filter(move |(_, p)| p.is_live(now, keep_alive))
    }

    /// Returns every process of a job, of all users, that has not expired.
    pub(super) fn live_processes_of(
        &self,
        now: Uptime,
        job_id: i64,
    ) -> impl Iterator<Item = (&ProcessKey, &RegisteredProcess)> {
        let first = ProcessKey { job_id, uid: 0, host_pid: i32::MIN };
        let last = ProcessKey { job_id, uid: u32::MAX, host_pid: i32::MAX };
        let keep_alive = self.limits.keep_alive;
        self.processes.range(first..=last).filter(move |(_, p)| p.is_live(now, keep_alive))
    }

    /// Notes the time of a message, and registers its process if it is new.
    pub(super) fn note_message(
        &mut self,
        now: Uptime,
        job_id: i64,
        sender: SenderId,
        pid: i32,
    ) -> Result<&mut RegisteredProcess, RegistrationError> {
        let key = ProcessKey::new(job_id, sender);
        if !self.processes.contains_key(&key) {
            self.reserve_entry(now, key, sender.account)?;
        }
        let new = || RegisteredProcess::new(pid, sender.account, now);
        let process = self.processes.entry(key).or_insert_with(new);
        // An expired process that was not removed yet starts anew: its old config and status do not count.
        if !process.is_live(now, self.limits.keep_alive) {
            self.unreported.processes += 1;
            self.unreported.configs += u64::from(process.pending.is_some());
            self.history.note(process.last_trace_id, ConfigProgress::Expired, now);
            *process = RegisteredProcess::new(pid, process.account, now);
        }
        process.pid = pid;
        process.last_message = now;
        Ok(process)
    }

    /// Makes sure that there is room for a new process, and notes its job.
    fn reserve_entry(&mut self, now: Uptime, key: ProcessKey, account: u32) -> Result<(), RegistrationError> {
        // A search visits every entry, so a flood of new processes must not cause one each.
        let is_recent = |at: Uptime| now.saturating_sub(at) < SEARCH_INTERVAL;
        if self.shares.check_room(account).is_err() && !self.last_search.is_some_and(is_recent) {
            self.last_search = Some(now);
            self.unreported = self.remove_expired(now);
        }
        self.shares.check_room(account)?;
        let jobs = self.jobs.entry(key.host_pid).or_default();
        if jobs.len() >= self.limits.jobs_per_process {
            return Err(RegistrationError::TooManyJobs);
        }
        jobs.push((key.job_id, key.uid));
        self.shares.add(account);
        Ok(())
    }
}

impl From<NoRoom> for RegistrationError {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::TableFull => Self::TableFull,
            NoRoom::ShareUsed => Self::ShareUsed,
        }
    }
}

fn remove_job(jobs: &mut BTreeMap<i32, Vec<(i64, u32)>>, key: ProcessKey) {
    if let Some(of_process) = jobs.get_mut(&key.host_pid) {
        of_process.retain(|job| *job != (key.job_id, key.uid));
        if of_process.is_empty() {
            jobs.remove(&key.host_pid);
        }
    }
}
