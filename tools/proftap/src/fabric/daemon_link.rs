//! The link to a daemon: one registration (`ctxt`), a poll (`req`) at every interval, and the replies to both.
//!
//! Like libkineto, the link polls at the start and then at every interval. Unlike libkineto, which waits at most 9 times
//! 10 ms for the reply (pytorch/kineto 114171d, `libkineto/src/IpcFabricConfigClient.cpp`, `maxIpcRetries`), it accepts a
//! reply at any time, so a slow daemon loses no config. Replies arrive in the order in which they were sent; a reply to
//! `ctxt` can precede the first config, or never arrive (msMonitor b942bf5 sends none at its limit of processes).
//!
//! The current time is a parameter, and nothing blocks: the caller runs the poll(2) loop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use common::ipc::message::{ACTIVITIES, Message, Poll, Register, Reply};
use common::ipc::socket::{Received, Socket, buffer};
use rustix::net::SocketAddrUnix;

use super::args::FabricClientPlan;
use super::identity::{ProcessIdentity, TrustedUids};
use super::sockets::DaemonSockets;

/// How soon to send again when the receive queue of the daemon is full, and how often within an interval.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
const MAX_RETRIES: u32 = 9;
/// Number of unanswered polls after which the daemon is considered absent.
const MAX_UNANSWERED_POLLS: u32 = 3;
/// Maximum number of datagrams per call, so that a flood of them does not block the caller.
const MAX_DATAGRAMS_PER_CALL: usize = 64;

/// An event on the link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FabricEvent {
    /// A daemon has replied for the first time.
    Registered { processes: Option<i32>, socket: String },
    /// A config text, not parsed yet.
    Config(Vec<u8>),
    /// No daemon listens, or it no longer replies; with the reason.
    Absent(String),
    /// A datagram was dropped, for this reason.
    Dropped(String),
}

/// The client socket, and the state of the daemon.
#[derive(Debug)]
pub(crate) struct DaemonLink {
    socket: Socket,
    identity: ProcessIdentity,
    trusted_uids: TrustedUids,
    endpoints: Vec<DaemonEndpoint>,
    interval: Duration,
    /// Index of the endpoint used last.
    current: usize,
    /// The pid of the daemon, once it has replied.
    daemon_pid: Option<i32>,
    /// Whether the absence of a daemon has been reported.
    absence_reported: bool,
    unanswered: u32,
    retries: u32,
    next_poll: Instant,
    buffer: Vec<u8>,
}

/// The addresses of a daemon, as system calls take them.
#[derive(Debug)]
struct DaemonEndpoint {
    name: String,
    control: SocketAddrUnix,
    data: SocketAddrUnix,
}

impl DaemonEndpoint {
    fn new(daemon: &DaemonSockets) -> io::Result<Self> {
        Ok(Self {
            name: daemon.control.to_string(),
            control: daemon.control.to_kernel()?,
            data: daemon.data.to_kernel()?,
        })
    }
}

impl DaemonLink {
    /// Binds the client socket. Nothing is sent before the first [`Self::poll_if_due`].
    pub(crate) fn open(plan: &FabricClientPlan, now: Instant) -> io::Result<Self> {
        Ok(Self {
            socket: plan.client_socket.bind_socket()?,
            identity: plan.identity.clone(),
            trusted_uids: plan.trusted_uids.clone(),
            endpoints: plan.daemons.iter().map(DaemonEndpoint::new).collect::<io::Result<_>>()?,
            interval: plan.interval,
            current: 0,
            daemon_pid: None,
            absence_reported: false,
            unanswered: 0,
            retries: 0,
            next_poll: now,
            buffer: buffer(),
        })
    }

    /// Whether a daemon replies.
    pub(crate) fn is_connected(&self) -> bool {
        self.daemon_pid.is_some()
    }

    /// Returns when [`Self::poll_if_due`] has to be called next.
    pub(crate) fn next_poll_time(&self) -> Instant {
        self.next_poll
    }

    /// Polls the daemon if the interval has passed; without a daemon, tries to register with one.
    pub(crate) fn poll_if_due(&mut self, now: Instant, events: &mut Vec<FabricEvent>) {
        if now < self.next_poll {
            return;
        }
        self.next_poll = now + self.interval;
        if self.daemon_pid.is_some() && self.unanswered >= MAX_UNANSWERED_POLLS {
            self.mark_absent(
                format!("{}: no reply to {MAX_UNANSWERED_POLLS} polls", self.endpoints[self.current].name),
                events,
            );
        }
        let poll = self.poll_message();
        match self.daemon_pid {
            Some(_) => match self.send_control(&poll) {
                Ok(()) => self.mark_polled(),
                Err(e) if is_queue_full(&e) => self.schedule_retry(now),
                Err(e) => {
                    self.mark_absent(
                        format!("{}: {}", self.endpoints[self.current].name, describe_send_error(&e)),
                        events,
                    );
                    self.find_daemon(&poll, now, events);
                }
            },
            None => self.find_daemon(&poll, now, events),
        }
    }

    /// Receives the replies that have arrived.
    ///
    /// # Errors
    /// The client socket cannot be read.
    pub(crate) fn receive_replies(&mut self, now: Instant, events: &mut Vec<FabricEvent>) -> io::Result<()> {
        for _ in 0..MAX_DATAGRAMS_PER_CALL {
            let received = match self.socket.receive(&mut self.buffer) {
                Ok(received) => received,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The error of an earlier datagram, whose receiver has closed its socket.
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(e) => return Err(e),
            };
            match decode_trusted_reply(&self.buffer, &received, &self.trusted_uids) {
                Ok((reply, pid)) => self.handle_reply(reply, pid, now, events),
                Err(reason) => events.push(FabricEvent::Dropped(reason)),
            }
        }
        Ok(())
    }

    /// Sends a status to the control socket of the daemon, or a metric to its data socket.
    ///
    /// # Errors
    /// `WouldBlock` if the receive queue of the daemon is full, `NotConnected` without a daemon; `NotFound` or
    /// `ConnectionRefused` if the daemon has no data socket.
    pub(crate) fn send_message(&self, message: &Message) -> io::Result<()> {
        if !self.is_connected() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let endpoint = &self.endpoints[self.current];
        if let Message::Data(_) = message {
            return self.socket.send(&message.encode(), &endpoint.data);
        }
        self.socket.send(&message.encode(), &endpoint.control).map_err(|e| match e.kind() {
            // The daemon has ended since the last poll; the next poll reports that.
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => io::ErrorKind::NotConnected.into(),
            _ => e,
        })
    }

    fn handle_reply(&mut self, reply: Reply, pid: i32, now: Instant, events: &mut Vec<FabricEvent>) {
        if self.daemon_pid.is_some_and(|known| known != pid) {
            // Another process replies: the daemon was restarted between two polls, so register again.
            self.daemon_pid = None;
            self.next_poll = now;
        } else if self.daemon_pid.is_none() {
            self.daemon_pid = Some(pid);
            self.absence_reported = false;
            let processes = if let Reply::Registered(n) = reply { Some(n) } else { None };
            events.push(FabricEvent::Registered {
                processes,
                socket: self.endpoints[self.current].name.clone(),
            });
        }
        if let Reply::Config(text) = reply {
            self.unanswered = 0;
            if !text.is_empty() {
                events.push(FabricEvent::Config(text));
            }
        }
    }

    /// Registers with the first endpoint on which a process listens. An endpoint that does not reply is skipped
    /// afterwards.
    fn find_daemon(&mut self, poll: &Message, now: Instant, events: &mut Vec<FabricEvent>) {
        if self.unanswered >= MAX_UNANSWERED_POLLS - 1 && self.endpoints.len() > 1 {
            self.current = (self.current + 1) % self.endpoints.len();
            self.unanswered = 0;
        }
        let register = self.registration_message();
        let mut reasons = Vec::new();
        for _ in 0..self.endpoints.len() {
            match self.send_control(&register).and_then(|()| self.send_control(poll)) {
                Ok(()) => return self.mark_polled(),
                Err(e) if is_queue_full(&e) => return self.schedule_retry(now),
                Err(e) => reasons.push(format!(
                    "{}: {}",
                    self.endpoints[self.current].name,
                    describe_send_error(&e)
                )),
            }
            self.current = (self.current + 1) % self.endpoints.len();
        }
        self.unanswered = 0;
        if !self.absence_reported {
            self.absence_reported = true;
            events.push(FabricEvent::Absent(reasons.join(", ")));
        }
    }

    fn mark_absent(&mut self, reason: String, events: &mut Vec<FabricEvent>) {
        self.daemon_pid = None;
        self.unanswered = 0;
        self.absence_reported = true;
        events.push(FabricEvent::Absent(reason));
    }

    fn mark_polled(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
        self.retries = 0;
    }

    /// Polls again soon, because the receive queue of the daemon is full: it is running, but busy.
    fn schedule_retry(&mut self, now: Instant) {
        if self.retries < MAX_RETRIES {
            self.retries += 1;
            self.next_poll = now + RETRY_INTERVAL.min(self.interval);
        } else {
            self.mark_polled();
        }
    }

    fn send_control(&self, message: &Message) -> io::Result<()> {
        self.socket.send(&message.encode(), &self.endpoints[self.current].control)
    }

    fn registration_message(&self) -> Message {
        let ProcessIdentity { job_id, device, .. } = self.identity;
        Message::Register(Register { device, pid: self.identity.pid(), job_id })
    }

    fn poll_message(&self) -> Message {
        Message::Poll(Poll {
            config_type: ACTIVITIES,
            job_id: self.identity.job_id,
            pids: self.identity.pids.clone(),
        })
    }
}

impl AsFd for DaemonLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Decodes a datagram of a trusted sender. Returns the reply, and the pid of the sender.
///
/// # Errors
/// The sender is not trusted, or the datagram is not a reply; with the reason.
fn decode_trusted_reply(
    buffer: &[u8],
    received: &Received,
    trusted_uids: &TrustedUids,
) -> Result<(Reply, i32), String> {
    let sender = received.credentials.ok_or("the kernel reports no credentials of the sender")?;
    if !trusted_uids.contains(sender.uid) {
        return Err(format!(
            "sender with uid {} (pid {}) is not trusted; see --daemon-uid",
            sender.uid, sender.pid
        ));
    }
    if received.truncated {
        return Err(format!("longer than {} bytes", buffer.len()));
    }
    let reply = Reply::decode(&buffer[..received.len]).map_err(|e| e.to_string())?;
    Ok((reply, sender.pid))
}

fn is_queue_full(e: &io::Error) -> bool {
    // send(2) names ENOBUFS for the same condition.
    e.kind() == io::ErrorKind::WouldBlock
        || e.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}

/// Describes an error of sending to a daemon.
fn describe_send_error(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::NotFound => "no such socket".to_owned(),
        io::ErrorKind::ConnectionRefused => "no process listens on the socket".to_owned(),
        _ => e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fabric::sockets::ClientSocketKind;
    use common::ipc::address::Address;
    use common::ipc::message::{State, Status};
    use common::ipc::socket::Credentials;
    use common::policy::Mode;
    use std::path::Path;

    const SECOND: Duration = Duration::from_secs(1);

    fn plan(dir: &Path, daemons: &[&str]) -> FabricClientPlan {
        let sockets = |name: &&str| DaemonSockets {
            control: Address::Path(dir.join(name)),
            data: Address::Path(dir.join(format!("{name}_data"))),
        };
        FabricClientPlan {
            identity: ProcessIdentity { job_id: 7, device: 1, pids: vec![4242, 1] },
            daemons: daemons.iter().map(sockets).collect(),
            client_socket: ClientSocketKind::File(dir.to_owned()),
            interval: SECOND,
            trusted_uids: TrustedUids::new(rustix::process::geteuid().as_raw(), None),
        }
    }

    fn bind_daemon(dir: &Path, name: &str) -> Socket {
        Socket::bind(&Address::Path(dir.join(name)), Mode(0o600)).unwrap()
    }

    fn receive_message(daemon: &Socket) -> Option<(Message, SocketAddrUnix)> {
        let mut buf = buffer();
        let got = daemon.receive(&mut buf).ok()?;
        Some((Message::decode(&buf[..got.len]).unwrap(), got.from.unwrap()))
    }

    fn poll_and_receive(link: &mut DaemonLink, now: Instant) -> Vec<FabricEvent> {
        let mut events = Vec::new();
        link.poll_if_due(now, &mut events);
        link.receive_replies(now, &mut events).unwrap();
        events
    }

    #[test]
    fn registers_polls_and_takes_a_config() {
        let dir = tempfile::tempdir().unwrap();
        let fake = bind_daemon(dir.path(), "d");
        let t0 = Instant::now();
        let mut link = DaemonLink::open(&plan(dir.path(), &["d"]), t0).unwrap();
        assert_eq!(poll_and_receive(&mut link, t0), []);
        let (ctxt, to) = receive_message(&fake).unwrap();
        assert_eq!(ctxt, Message::Register(Register { device: 1, pid: 4242, job_id: 7 }));
        let (req, _) = receive_message(&fake).unwrap();
        assert!(matches!(&req, Message::Poll(p) if p.pids == [4242, 1] && p.config_type == ACTIVITIES));

        fake.send(&Reply::Registered(3).encode(), &to).unwrap();
        fake.send(&Reply::Config(b"A=1".to_vec()).encode(), &to).unwrap();
        let socket = dir.path().join("d").display().to_string();
        let expected =
            [FabricEvent::Registered { processes: Some(3), socket }, FabricEvent::Config(b"A=1".to_vec())];
        assert_eq!(poll_and_receive(&mut link, t0), expected);
        assert!(link.is_connected());

        // The next poll is sent at the interval, without a registration; an empty reply is not an event.
        assert_eq!(link.next_poll_time(), t0 + SECOND);
        poll_and_receive(&mut link, t0 + SECOND);
        assert!(matches!(receive_message(&fake), Some((Message::Poll(_), _))));
        assert!(receive_message(&fake).is_none());
        fake.send(&Reply::Config(vec![]).encode(), &to).unwrap();
        assert_eq!(poll_and_receive(&mut link, t0 + SECOND), []);
    }

    #[test]
    fn absence_is_reported_once_and_a_new_daemon_is_registered_with() {
        let dir = tempfile::tempdir().unwrap();
        let t0 = Instant::now();
        let mut link = DaemonLink::open(&plan(dir.path(), &["a", "b"]), t0).unwrap();
        let first = poll_and_receive(&mut link, t0);
        assert!(
            matches!(&first[..], [FabricEvent::Absent(r)] if r.contains("a: no such socket, ")),
            "{first:?}"
        );
        assert_eq!(poll_and_receive(&mut link, t0 + SECOND), []);

        let fake = bind_daemon(dir.path(), "b");
        poll_and_receive(&mut link, t0 + 2 * SECOND);
        let (ctxt, to) = receive_message(&fake).unwrap();
        assert!(matches!(ctxt, Message::Register(_)));
        // A daemon that does not reply to `ctxt`.
        fake.send(&Reply::Config(vec![]).encode(), &to).unwrap();
        let events = poll_and_receive(&mut link, t0 + 2 * SECOND);
        assert!(matches!(&events[..], [FabricEvent::Registered { processes: None, .. }]), "{events:?}");

        drop(fake);
        let events = poll_and_receive(&mut link, t0 + 3 * SECOND);
        assert!(matches!(&events[..], [FabricEvent::Absent(_)]), "{events:?}");
        assert!(!link.is_connected());
        let again = bind_daemon(dir.path(), "b");
        poll_and_receive(&mut link, t0 + 4 * SECOND);
        assert!(matches!(receive_message(&again), Some((Message::Register(_), _))));
    }

    #[test]
    fn a_message_for_a_daemon_that_has_just_ended_is_not_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let fake = bind_daemon(dir.path(), "d");
        let t0 = Instant::now();
        let mut link = DaemonLink::open(&plan(dir.path(), &["d"]), t0).unwrap();
        let status = Message::TraceStatus(Status {
            state: State::Idle,
            current_step: 1,
            start_step: -1,
            stop_step: -1,
            pid: 1,
            job_id: 7,
        });
        let kind = |link: &DaemonLink, message: &Message| link.send_message(message).map_err(|e| e.kind());
        assert_eq!(kind(&link, &status), Err(io::ErrorKind::NotConnected));
        poll_and_receive(&mut link, t0);
        let (_, to) = receive_message(&fake).unwrap();
        fake.send(&Reply::Registered(1).encode(), &to).unwrap();
        poll_and_receive(&mut link, t0);
        assert_eq!(kind(&link, &status), Ok(()));
        // This daemon has no data socket.
        assert_eq!(kind(&link, &Message::Data(b"{}".to_vec())), Err(io::ErrorKind::NotFound));
        drop(fake);
        assert_eq!(kind(&link, &status), Err(io::ErrorKind::NotConnected));
    }

    #[test]
    fn a_silent_endpoint_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let (silent, good) = (bind_daemon(dir.path(), "a"), bind_daemon(dir.path(), "b"));
        let t0 = Instant::now();
        let mut link = DaemonLink::open(&plan(dir.path(), &["a", "b"]), t0).unwrap();
        (0..3).for_each(|n| drop(poll_and_receive(&mut link, t0 + n * SECOND)));
        assert!(receive_message(&silent).is_some());
        assert!(matches!(receive_message(&good), Some((Message::Register(_), _))));
    }

    #[test]
    fn a_daemon_that_stops_replying_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let fake = bind_daemon(dir.path(), "d");
        let t0 = Instant::now();
        let mut link = DaemonLink::open(&plan(dir.path(), &["d"]), t0).unwrap();
        poll_and_receive(&mut link, t0);
        let (_, to) = receive_message(&fake).unwrap();
        fake.send(&Reply::Registered(1).encode(), &to).unwrap();
        let mut events = Vec::new();
        for n in 0..5 {
            events.extend(poll_and_receive(&mut link, t0 + n * SECOND));
            while receive_message(&fake).is_some() {}
        }
        assert!(
            matches!(&events[..], [FabricEvent::Registered { .. }, FabricEvent::Absent(_)]),
            "{events:?}"
        );
    }

    #[test]
    fn malformed_and_oversized_datagrams_are_dropped_and_the_link_continues() {
        let dir = tempfile::tempdir().unwrap();
        let fake = bind_daemon(dir.path(), "d");
        let t0 = Instant::now();
        let mut link = DaemonLink::open(&plan(dir.path(), &["d"]), t0).unwrap();
        poll_and_receive(&mut link, t0);
        let (_, to) = receive_message(&fake).unwrap();
        let mut lie = Reply::Config(b"12345".to_vec()).encode();
        lie[..8].copy_from_slice(&u64::MAX.to_ne_bytes());
        let huge = Reply::Config(vec![b'A'; 70_000]).encode();
        for datagram in [&b"x"[..], &[0; 40], &lie, &huge] {
            fake.send(datagram, &to).unwrap();
        }
        fake.send(&Reply::Config(b"A=1".to_vec()).encode(), &to).unwrap();
        let events = poll_and_receive(&mut link, t0);
        assert!(events[..4].iter().all(|e| matches!(e, FabricEvent::Dropped(_))), "{events:?}");
        assert_eq!(events[5], FabricEvent::Config(b"A=1".to_vec()));
    }

    #[test]
    fn datagrams_of_other_users_are_dropped() {
        let datagram = Reply::Config(b"A=1".to_vec()).encode();
        let from = |uid| Received {
            len: datagram.len(),
            from: None,
            credentials: Some(Credentials { pid: 9, uid, gid: 0 }),
            truncated: false,
        };
        let trusted_uids = TrustedUids::new(1000, None);
        assert_eq!(decode_trusted_reply(&datagram, &from(1000), &trusted_uids).unwrap().1, 9);
        assert!(decode_trusted_reply(&datagram, &from(0), &trusted_uids).is_ok());
        assert!(
            decode_trusted_reply(&datagram, &from(1001), &trusted_uids).unwrap_err().contains("uid 1001")
        );
        let unknown = Received { credentials: None, ..from(0) };
        assert!(decode_trusted_reply(&datagram, &unknown, &trusted_uids).is_err());
    }

    #[test]
    fn the_socket_file_is_removed_with_the_link() {
        let dir = tempfile::tempdir().unwrap();
        let link = DaemonLink::open(&plan(dir.path(), &["d"]), Instant::now()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        drop(link);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
