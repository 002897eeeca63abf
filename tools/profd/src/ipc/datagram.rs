//! One datagram: checks who sent it, decodes it, hands it to the registry or the metric queue, and sends the reply.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::ipc::message::{Message, Poll, Register, Reply};
use common::ipc::socket::{Received, Socket};
use rustix::net::SocketAddrUnix;

use super::reply_address::check_reply_address;
use super::senders::{SenderError, SenderTable};
use crate::core::registry::rejections::RejectionCause;
use crate::core::registry::{ProfilerFunction, RegistrationError, SenderId};
use crate::core::user_shares::NoRoom;
use crate::plan::ipc::{AllowedUsers, IpcPlan};
use crate::sink::MetricQueue;
use crate::sink::metric::ReceivedMetric;
use crate::state::DaemonState;

/// Maximum number of datagrams of one socket that are handled before the other sockets get their turn.
const BATCH: usize = 256;

/// Handles the datagrams of all sockets.
pub(super) struct DatagramHandler {
    users: AllowedUsers,
    senders: SenderTable,
    state: Arc<DaemonState>,
    metrics: MetricQueue,
}

/// The socket that a datagram was received on; the reply is sent from it.
pub(super) struct ReceivingSocket<'a> {
    pub(super) socket: &'a Socket,
    pub(super) name: &'a str,
    pub(super) replies_to_registration: bool,
}

/// Where a datagram came from, by the kernel.
#[derive(Clone, Copy)]
struct Sender<'a> {
    id: SenderId,
    /// The address to reply to; `None` for a socket without a name.
    address: Option<&'a SocketAddrUnix>,
}

impl DatagramHandler {
    pub(super) fn new(plan: IpcPlan, state: Arc<DaemonState>, metrics: MetricQueue) -> Self {
        let senders = SenderTable::new(&plan, state.clone());
        Self { users: plan.users, senders, state, metrics }
    }

    /// Removes what has expired.
    pub(super) fn remove_expired(&self) {
        self.senders.remove_expired();
    }

    /// Receives and handles at most [`BATCH`] datagrams.
    ///
    /// # Errors
    /// `WouldBlock` when no more datagrams have arrived.
    pub(super) fn receive_batch(&self, at: &ReceivingSocket<'_>, buffer: &mut [u8]) -> io::Result<()> {
        for _ in 0..BATCH {
            let received = at.socket.receive(buffer)?;
            self.state.counters.ipc_datagrams.increment();
            self.handle_datagram(at, &buffer[..received.len], &received);
        }
        Ok(())
    }

    fn handle_datagram(&self, at: &ReceivingSocket<'_>, bytes: &[u8], received: &Received) {
        let Some(id) = self.check_credentials(at, received) else { return };
        let host_pid = id.host_pid;
        let Some(message) = self.decode_message(at, host_pid, bytes, received.truncated) else { return };
        let sender = Sender { id, address: self.find_reply_address(at, id, received) };
        match self.senders.identify_sender(at.name, id) {
            Ok(()) => {}
            // The kernel reports who sent a metric even after the sender has ended, so its last metrics count. Any other
            // message of it is of no use.
            Err(SenderError::Ended) => match &message {
                Message::Data(json) => return self.queue_metric(id, json),
                _ => return,
            },
            Err(SenderError::NoRoom(no_room)) => {
                let cause = match no_room {
                    NoRoom::TableFull => RejectionCause::SendersFull,
                    NoRoom::ShareUsed => RejectionCause::SenderShare,
                };
                return self.decline_sender(at, sender, &message, cause);
            }
        }
        if let Some(claimed) = claimed_pid(&message).filter(|pid| !self.senders.has_pid(host_pid, *pid)) {
            self.state.counters.ipc_wrong_pid.increment();
            self.note_rejection(id, RejectionCause::WrongPid);
            let reason = format!("rejected pid {host_pid}: its message claims pid {claimed}");
            return self.state.log.limited("wrong pid", at.name, reason);
        }
        if let Err(error) = self.handle_message(at, sender, &message) {
            self.decline_sender(at, sender, &message, error.into());
        }
    }

    /// Returns the address of a sender, if replies may be sent there.
    fn find_reply_address<'r>(
        &self,
        at: &ReceivingSocket<'_>,
        sender: SenderId,
        received: &'r Received,
    ) -> Option<&'r SocketAddrUnix> {
        let address = received.from.as_ref()?;
        if let Err(why) = check_reply_address(address, sender.uid) {
            let reason = format!("pid {} gets no reply: {why}", sender.host_pid);
            self.state.log.limited("reply address", at.name, reason);
            return None;
        }
        Some(address)
    }

    fn note_rejection(&self, sender: SenderId, cause: RejectionCause) {
        let now = self.state.uptime();
        self.state.registry().rejections.note(now, sender.uid, sender.host_pid, cause);
    }

    /// Returns who sent a datagram, if the user is served.
    fn check_credentials(&self, at: &ReceivingSocket<'_>, received: &Received) -> Option<SenderId> {
        let (counters, log) = (&self.state.counters, &self.state.log);
        let Some(sender) = received.credentials else {
            counters.ipc_no_credentials.increment();
            log.limited("no credentials", at.name, "rejected a datagram without credentials");
            return None;
        };
        let (pid, uid) = (sender.pid, sender.uid);
        let id = SenderId { uid, account: self.state.accounts().account_of(uid), host_pid: pid };
        if !self.users.contains(uid, sender.gid) && !self.is_in_served_group(pid, uid) {
            counters.ipc_foreign_uid.increment();
            self.note_rejection(id, RejectionCause::User);
            let reason = format!("rejected pid {pid}: user {uid} is not allowed (--allow-uid {uid})");
            log.limited("uid", at.name, reason);
            return None;
        }
        // The kernel reports pid 0 for a process outside the receiver's pid namespace (pid_namespaces(7)).
        if pid <= 0 {
            counters.ipc_other_namespace.increment();
            let reason = "rejected a process outside the daemon's pid namespace";
            log.limited("hidden pid", at.name, reason);
            return None;
        }
        Some(id)
    }

    /// Returns whether a sender has a served group besides that of its credentials: by the host's group file, or, since other
    /// sources may know more groups, by what the process has.
    fn is_in_served_group(&self, pid: i32, uid: u32) -> bool {
        if !self.users.may_contain(uid) || pid <= 0 {
            return false;
        }
        let of_user = self.state.accounts().groups_of(uid);
        self.users.contains_group(of_user.into_iter()) || {
            // Should the pid be another process's by now, it counts only if it is the same user's.
            let of_process = self.state.procfs.read_groups(pid).ok().filter(|(owner, _)| *owner == Some(uid));
            of_process.is_some_and(|(_, groups)| self.users.contains_group(groups.into_iter()))
        }
    }

    fn decode_message(
        &self,
        at: &ReceivingSocket<'_>,
        host_pid: i32,
        bytes: &[u8],
        is_truncated: bool,
    ) -> Option<Message> {
        let message = if is_truncated {
            Err("datagram is longer than any message".to_owned())
        } else {
            Message::decode(bytes).map_err(|e| e.to_string())
        };
        let log_malformed = |e: &String| {
            self.state.counters.ipc_malformed.increment();
            self.state.log.limited("malformed", at.name, format_args!("rejected pid {host_pid}: {e}"));
        };
        message.inspect_err(log_malformed).ok()
    }

    fn handle_message(
        &self,
        at: &ReceivingSocket<'_>,
        sender: Sender<'_>,
        message: &Message,
    ) -> Result<(), RegistrationError> {
        let record_status = |function, status| {
            self.state.registry().record_status(self.state.uptime(), sender.id, function, status)
        };
        match message {
            Message::Register(register) => self.handle_registration(at, sender, register),
            Message::Poll(poll) => self.handle_poll(at, sender, poll),
            Message::TraceStatus(status) => record_status(ProfilerFunction::Trace, status),
            Message::MonitorStatus(status) => record_status(ProfilerFunction::Monitor, status),
            Message::Data(json) => {
                self.queue_metric(sender.id, json);
                Ok(())
            }
        }
    }

    /// Counts and logs that a process is not registered. A poll still gets its reply, so that the process does not wait
    /// for one until its timeout.
    fn decline_sender(
        &self,
        at: &ReceivingSocket<'_>,
        sender: Sender<'_>,
        message: &Message,
        cause: RejectionCause,
    ) {
        let (counters, log, pid) = (&self.state.counters, &self.state.log, sender.id.host_pid);
        self.note_rejection(sender.id, cause);
        let (counter, log_cause) = match cause {
            RejectionCause::TooManyJobs => (&counters.ipc_too_many_jobs, "jobs"),
            RejectionCause::SenderShare | RejectionCause::ProcessShare => {
                (&counters.ipc_user_share, "user share")
            }
            _ => (&counters.ipc_registry_full, "registry full"),
        };
        counter.increment();
        let (user, why) = (self.state.accounts().describe(sender.id.uid), cause.explain(sender.id.uid));
        log.limited(log_cause, at.name, format_args!("pid {pid} of {user} is not registered: {why}"));
        if let (Message::Poll(_), Some(to)) = (message, sender.address) {
            self.send_reply(at, &Reply::Config(Vec::new()), to);
        }
    }

    fn handle_registration(
        &self,
        at: &ReceivingSocket<'_>,
        sender: Sender<'_>,
        message: &Register,
    ) -> Result<(), RegistrationError> {
        let state = &self.state;
        let count = state.registry().register_process(state.uptime(), sender.id, message)?;
        let Register { device, pid, job_id } = message;
        state.log.debug(at.name, format_args!("pid {pid} registered: job {job_id}, device {device}"));
        if let Some(to) = sender.address.filter(|_| at.replies_to_registration) {
            self.send_reply(at, &Reply::Registered(count), to);
        }
        Ok(())
    }

    fn handle_poll(
        &self,
        at: &ReceivingSocket<'_>,
        sender: Sender<'_>,
        message: &Poll,
    ) -> Result<(), RegistrationError> {
        let (state, pid) = (&self.state, sender.id.host_pid);
        state.counters.ipc_polls.increment();
        let Some(to) = sender.address else {
            state.counters.ipc_no_address.increment();
            let reason =
                format!("pid {pid} polls from a socket without a usable address, so it gets no reply");
            state.log.limited("no address", at.name, reason);
            return Ok(());
        };
        let mut registry = state.registry();
        let Some(config) = registry.poll_config(state.uptime(), sender.id, message)? else {
            drop(registry);
            self.send_reply(at, &Reply::Config(Vec::new()), to);
            return Ok(());
        };
        // Sent and removed under one lock: the process may cause the next request before this thread goes on, and must
        // not be busy with a config that it has received.
        let is_sent = self.send_reply(at, &Reply::Config(config.text), to);
        if is_sent {
            registry.mark_delivered(state.uptime(), config.key, config.trace_id);
        }
        drop(registry);
        if is_sent {
            state.handover_changed.store(true, Ordering::Relaxed);
            state.config_removed.notify_one();
            state.counters.configs_delivered.increment();
            let uid = sender.id.uid;
            state
                .log
                .notice(at.name, format_args!("trace {} delivered to pid {pid} uid {uid}", config.trace_id));
        } else {
            state.counters.configs_undeliverable.increment();
        }
        Ok(())
    }

    fn queue_metric(&self, sender: SenderId, json: &[u8]) {
        self.state.counters.metrics_received.increment();
        let process = self.state.registry().find_single_job(sender.host_pid);
        let facts = self.state.watch.facts(sender.host_pid);
        self.metrics.push(ReceivedMetric::new(sender, process, facts, json.to_vec()));
    }

    /// Sends a reply without waiting, and returns whether it was sent. A receiver that has ended or whose queue is full
    /// does not get it.
    fn send_reply(&self, at: &ReceivingSocket<'_>, reply: &Reply, to: &SocketAddrUnix) -> bool {
        let sent = at.socket.send(&reply.encode(), to);
        if let Err(e) = &sent {
            self.state.counters.ipc_reply_failed.increment();
            self.state.log.limited("reply", at.name, format_args!("cannot send a reply: {e}"));
        }
        sent.is_ok()
    }
}

impl From<RegistrationError> for RejectionCause {
    fn from(error: RegistrationError) -> Self {
        match error {
            RegistrationError::TableFull => Self::ProcessesFull,
            RegistrationError::ShareUsed => Self::ProcessShare,
            RegistrationError::TooManyJobs => Self::TooManyJobs,
        }
    }
}

/// Returns the pid that a message claims to come from.
fn claimed_pid(message: &Message) -> Option<i32> {
    match message {
        Message::Register(m) => Some(m.pid),
        Message::Poll(m) => Some(m.leaf()),
        Message::TraceStatus(m) | Message::MonitorStatus(m) => Some(m.pid),
        Message::Data(_) => None,
    }
}
