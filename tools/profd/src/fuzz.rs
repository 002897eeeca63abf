//! Entry points for the fuzz targets; the tool does not use them.

use std::collections::BTreeMap;
use std::time::Duration;

use common::ipc::message::{Poll, Register, State, Status};
use common::rpc::config::Config;
use common::rpc::message::OnDemand;

use crate::core::accounts::Accounts;
use crate::core::process_scope::ProcessScope;
use crate::core::registry::pid_match::{PidFacts, PidScope};
use crate::core::registry::trace_request::TraceCommand;
use crate::core::registry::{ProfilerFunction, Registry, RegistryLimits, RemovedCounts, SenderId, Uptime};

const MAX_PROCESSES: usize = 12;

/// Handles a sequence of messages, requests, ends of processes and steps of the clock, four bytes each, and checks what must
/// hold for any of them.
///
/// # Panics
/// A config reaches another process than the one that it was made pending for, or reaches it twice, or is lost without
/// being counted; a limit is exceeded; a process that was removed matches.
pub fn check_message_sequence(bytes: &[u8]) {
    let mut run = Sequence::new();
    for step in bytes.chunks_exact(4) {
        run.take_step([step[0], step[1], step[2], step[3]]);
    }
    run.finish();
}

struct Sequence {
    registry: Registry,
    accounts: Accounts,
    now: Uptime,
    next_trace: u64,
    /// For whom each accepted config is, until it was delivered.
    pending: BTreeMap<u64, SenderId>,
    accepted: u64,
    delivered: u64,
    removed: RemovedCounts,
}

impl Sequence {
    fn new() -> Self {
        let limits = RegistryLimits {
            max_processes: MAX_PROCESSES,
            is_shared: true,
            jobs_per_process: 2,
            keep_alive: Duration::from_secs(60),
            config_expiry: Duration::from_secs(20),
        };
        Self {
            registry: Registry::new(limits),
            accounts: Accounts::parse("a:x:1:1::/:\nb:x:2:1::/:", "a:100:10"),
            now: Uptime::from_secs(1),
            next_trace: 0,
            pending: BTreeMap::new(),
            accepted: 0,
            delivered: 0,
            removed: RemovedCounts::default(),
        }
    }

    fn take_step(&mut self, [kind, who, a, b]: [u8; 4]) {
        // Few users, pids and jobs, so that they meet; pid 1 of a namespace is everybody's.
        let uid = [1, 2, 101, 3][usize::from(who >> 6)];
        let sender =
            SenderId { uid, account: self.accounts.account_of(uid), host_pid: i32::from(who & 0x3f) + 10 };
        let job_id = i64::from(a & 3);
        let pid = if a & 0x80 == 0 { sender.host_pid } else { 1 };
        match kind % 8 {
            0 | 1 => self.poll(sender, job_id, pid, i32::from(b & 0x0f)),
            2 => {
                let message = Register { device: i32::from(b), pid, job_id };
                let _ = self.registry.register_process(self.now, sender, &message);
            }
            3 => {
                let state =
                    [State::Uninitialized, State::Idle, State::Running, State::Ready][usize::from(b & 3)];
                let message = Status { state, current_step: 1, start_step: 2, stop_step: 3, pid, job_id };
                let function = if b & 4 == 0 { ProfilerFunction::Trace } else { ProfilerFunction::Monitor };
                let _ = self.registry.record_status(self.now, sender, function, &message);
            }
            4 => self.request(job_id, who, a, b),
            5 => {
                let removed = self.registry.remove_process(sender.host_pid);
                self.count_removed(removed);
                self.pending.retain(|_, of| of.host_pid != sender.host_pid);
                assert!(!self.registry.contains_pid(sender.host_pid), "a removed process is not there");
            }
            6 => self.now += Duration::from_secs(u64::from(b)),
            _ => {
                let removed = self.registry.remove_expired(self.now);
                self.count_removed(removed);
            }
        }
        let (listed, omitted) =
            self.registry.list_processes(self.now, &ProcessScope::default(), &self.accounts, 99);
        assert!(listed.len() <= MAX_PROCESSES && omitted == 0, "the table has a limit");
    }

    fn poll(&mut self, sender: SenderId, job_id: i64, pid: i32, ancestor: i32) {
        let message = Poll { config_type: 3, job_id, pids: vec![pid, ancestor, 1] };
        let Ok(Some(delivery)) = self.registry.poll_config(self.now, sender, &message) else { return };
        let owner = self.pending.remove(&delivery.trace_id);
        assert_eq!(owner, Some(sender), "a config is for one process, and for it once");
        // Now and then the reply cannot be sent: it stays pending.
        if ancestor == 15 {
            self.pending.insert(delivery.trace_id, sender);
            return;
        }
        self.registry.mark_delivered(self.now, delivery.key, delivery.trace_id);
        self.delivered += 1;
    }

    fn request(&mut self, job_id: i64, who: u8, a: u8, b: u8) {
        let pids = match b & 3 {
            0 => vec![],
            1 => vec![1],
            2 => vec![i32::from(who & 0x3f) + 10],
            _ => vec![1, i32::from(b >> 4), i32::from(who & 0x3f) + 10],
        };
        let request = OnDemand {
            config: "A=1".to_owned(),
            job_id,
            pids,
            process_limit: u32::from(a >> 5),
            selection: None,
            user: None,
            expand: false,
            extended: true,
        };
        let scope = if a & 4 == 0 { ProcessScope::default() } else { ProcessScope::default().of_user(1) };
        let requested = request.pids.iter().copied().collect();
        let claimants = self.registry.list_claimants(self.now, &request);
        let claims = claimants.iter().flat_map(|claimant| claimant.claims(&requested));
        let level = if a & 8 == 0 { PidScope::Namespace } else { PidScope::Host };
        let facts = PidFacts {
            confirmed: claims.map(|claim| (claim, level)).collect(),
            host_owners: if a & 16 == 0 { BTreeMap::new() } else { [(1, 0)].into() },
            ..PidFacts::default()
        };
        let config = Config::parse("A=1").unwrap_or_default();
        let command = TraceCommand {
            request: &request,
            config: &config,
            host_name: "node",
            is_monitor: false,
            scope: &scope,
            facts: &facts,
            accounts: &self.accounts,
            started: None,
        };
        let next = &mut self.next_trace;
        let outcome = self.registry.trigger_processes(self.now, &command, &mut || {
            *next += 1;
            *next
        });
        assert!(outcome.triggered.len() <= request.process_limit as usize, "the request has a limit");
        for process in outcome.audited.iter().filter(|p| p.trace_id.is_some()) {
            assert!(scope.contains(job_id, process.uid), "only what the client may trace");
            let account = self.accounts.account_of(process.uid);
            let sender = SenderId { uid: process.uid, account, host_pid: process.host_pid };
            self.pending.insert(process.trace_id.unwrap_or_default(), sender);
            self.accepted += 1;
        }
    }

    fn count_removed(&mut self, removed: RemovedCounts) {
        self.removed.processes += removed.processes;
        self.removed.configs += removed.configs;
    }

    /// Every accepted config was delivered, or counted when it was removed.
    fn finish(mut self) {
        let removed = self.registry.remove_expired(self.now + Duration::from_secs(3600));
        self.count_removed(removed);
        assert_eq!(
            self.accepted,
            self.delivered + self.removed.configs,
            "no config is lost without being counted"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_sequence_of_messages_keeps_what_was_accepted() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        for length in 0..1500 {
            let bytes: Vec<u8> = (0..length % 200).flat_map(|_| random()).collect();
            check_message_sequence(&bytes);
        }
    }
}
