//! The conversation with a daemon: `ctxt` once, `req` at every interval, and the replies to both.
//!
//! The timing is libkineto's: ask at the start and then at every interval. Unlike it, nothing here waits for an
//! answer: a reply counts whenever it comes, so a slow daemon costs no config. Replies are read in the order in
//! which they were queued; an answer to `ctxt` may stand before the first config, or never come.
//!
//! Time is passed in, and nothing blocks: the caller owns the poll(2) loop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use common::ipc::message::{ACTIVITIES, Message, Poll, Register, Reply};
use common::ipc::socket::{Received, Socket, buffer};
use common::policy::Mode;
use rustix::net::SocketAddrUnix;

use super::{Daemon, Identity, Plan, Trust};

/// How soon to try again when the daemon's queue is full, and how often before the next interval.
const RETRY: Duration = Duration::from_millis(10);
const RETRIES: u32 = 9;
/// So many polls without an answer, and the daemon is taken for gone.
const PATIENCE: u32 = 3;
/// At most so many datagrams per call, so that a flood cannot keep the caller from its other duties.
const BATCH: usize = 64;

/// What the conversation brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A daemon answered that did not know us before.
    Registered { processes: Option<i32>, socket: String },
    /// A config text, not yet looked at.
    Config(Vec<u8>),
    /// No daemon listens, or it has fallen silent.
    Absent(String),
    /// A datagram that was dropped, and why.
    Dropped(String),
}

/// A socket of our own and what we know of the daemon.
#[derive(Debug)]
pub(crate) struct Link {
    socket: Socket,
    who: Identity,
    trust: Trust,
    places: Vec<Place>,
    interval: Duration,
    /// The place spoken to last.
    at: usize,
    /// The process that answers there, once it has.
    known: Option<i32>,
    /// Whether its absence has been told.
    told_absent: bool,
    unanswered: u32,
    retries: u32,
    next_poll: Instant,
    buffer: Vec<u8>,
}

/// A daemon's addresses, ready for the kernel.
#[derive(Debug)]
struct Place {
    name: String,
    control: SocketAddrUnix,
    data: SocketAddrUnix,
}

impl Place {
    fn new(daemon: &Daemon) -> io::Result<Self> {
        Ok(Self {
            name: daemon.control.to_string(),
            control: daemon.control.to_kernel()?,
            data: daemon.data.to_kernel()?,
        })
    }
}

impl Link {
    /// Binds our socket. Nothing is sent before the first [`Self::tick`].
    pub(crate) fn open(plan: &Plan, now: Instant) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::bind(&plan.own.address()?, Mode(0o600))?,
            who: plan.who.clone(),
            trust: plan.trust.clone(),
            places: plan.daemons.iter().map(Place::new).collect::<io::Result<_>>()?,
            interval: plan.interval,
            at: 0,
            known: None,
            told_absent: false,
            unanswered: 0,
            retries: 0,
            next_poll: now,
            buffer: buffer(),
        })
    }

    /// Whether a daemon has answered and still does.
    pub(crate) fn is_up(&self) -> bool {
        self.known.is_some()
    }

    /// When [`Self::tick`] has something to do next.
    pub(crate) fn deadline(&self) -> Instant {
        self.next_poll
    }

    /// Polls the daemon when it is time, and looks for one while there is none.
    pub(crate) fn tick(&mut self, now: Instant, events: &mut Vec<Event>) {
        if now < self.next_poll {
            return;
        }
        self.next_poll = now + self.interval;
        if self.known.is_some() && self.unanswered >= PATIENCE {
            self.lose(format!("{} has not answered {PATIENCE} times", self.places[self.at].name), events);
        }
        let poll = self.poll();
        match self.known {
            Some(_) => match self.say(&poll) {
                Ok(()) => self.asked(),
                Err(e) if is_full(&e) => self.try_again(now),
                Err(e) => {
                    self.lose(format!("{}: {}", self.places[self.at].name, plain(&e)), events);
                    self.seek(&poll, now, events);
                }
            },
            None => self.seek(&poll, now, events),
        }
    }

    /// Reads the replies that have come.
    ///
    /// # Errors
    /// The socket itself is broken.
    pub(crate) fn receive(&mut self, now: Instant, events: &mut Vec<Event>) -> io::Result<()> {
        for _ in 0..BATCH {
            let received = match self.socket.receive(&mut self.buffer) {
                Ok(received) => received,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The kernel hands back what became of an earlier datagram of ours.
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(e) => return Err(e),
            };
            match judge(&self.buffer, &received, &self.trust) {
                Ok((reply, pid)) => self.take(reply, pid, now, events),
                Err(reason) => events.push(Event::Dropped(reason)),
            }
        }
        Ok(())
    }

    /// Sends a status to the daemon's control socket or a metric to its data socket.
    ///
    /// # Errors
    /// `WouldBlock` when its queue is full, `NotConnected` while there is no daemon; `NotFound` or
    /// `ConnectionRefused` from a daemon that takes no metrics.
    pub(crate) fn send(&self, message: &Message) -> io::Result<()> {
        if !self.is_up() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let place = &self.places[self.at];
        if let Message::Data(_) = message {
            return self.socket.send(&message.encode(), &place.data);
        }
        self.socket.send(&message.encode(), &place.control).map_err(|e| match e.kind() {
            // Gone since the last poll; the next one will tell.
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => io::ErrorKind::NotConnected.into(),
            _ => e,
        })
    }

    fn take(&mut self, reply: Reply, pid: i32, now: Instant, events: &mut Vec<Event>) {
        if self.known.is_some_and(|known| known != pid) {
            // Another process answers: the daemon was restarted between two polls and does not know us.
            self.known = None;
            self.next_poll = now;
        } else if self.known.is_none() {
            self.known = Some(pid);
            self.told_absent = false;
            let processes = if let Reply::Registered(n) = reply { Some(n) } else { None };
            events.push(Event::Registered { processes, socket: self.places[self.at].name.clone() });
        }
        if let Reply::Config(text) = reply {
            self.unanswered = 0;
            if !text.is_empty() {
                events.push(Event::Config(text));
            }
        }
    }

    /// Registers with the first place where somebody listens. A place that listens and does not answer is left
    /// for the next one.
    fn seek(&mut self, poll: &Message, now: Instant, events: &mut Vec<Event>) {
        if self.unanswered >= PATIENCE - 1 && self.places.len() > 1 {
            self.at = (self.at + 1) % self.places.len();
            self.unanswered = 0;
        }
        let register = self.register();
        let mut reasons = Vec::new();
        for _ in 0..self.places.len() {
            match self.say(&register).and_then(|()| self.say(poll)) {
                Ok(()) => return self.asked(),
                Err(e) if is_full(&e) => return self.try_again(now),
                Err(e) => reasons.push(format!("{}: {}", self.places[self.at].name, plain(&e))),
            }
            self.at = (self.at + 1) % self.places.len();
        }
        self.unanswered = 0;
        if !self.told_absent {
            self.told_absent = true;
            events.push(Event::Absent(reasons.join(", ")));
        }
    }

    fn lose(&mut self, reason: String, events: &mut Vec<Event>) {
        self.known = None;
        self.unanswered = 0;
        self.told_absent = true;
        events.push(Event::Absent(reason));
    }

    fn asked(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
        self.retries = 0;
    }

    /// The daemon's queue is full: it is alive and busy.
    fn try_again(&mut self, now: Instant) {
        if self.retries < RETRIES {
            self.retries += 1;
            self.next_poll = now + RETRY.min(self.interval);
        } else {
            self.asked();
        }
    }

    fn say(&self, message: &Message) -> io::Result<()> {
        self.socket.send(&message.encode(), &self.places[self.at].control)
    }

    fn register(&self) -> Message {
        let Identity { job, device, .. } = self.who;
        Message::Register(Register { device, pid: self.who.pid(), job_id: job })
    }

    fn poll(&self) -> Message {
        Message::Poll(Poll { config_type: ACTIVITIES, job_id: self.who.job, pids: self.who.pids.clone() })
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Decides whether a datagram is a reply of the daemon, and which process sent it.
fn judge(buffer: &[u8], received: &Received, trust: &Trust) -> Result<(Reply, i32), String> {
    let sender = received.credentials.ok_or("sender is not known to the kernel")?;
    if !trust.believes(sender.uid) {
        return Err(format!("uid {} (pid {}) is not a user that a daemon runs as", sender.uid, sender.pid));
    }
    if received.truncated {
        return Err(format!("longer than {} bytes", buffer.len()));
    }
    let reply = Reply::decode(&buffer[..received.len]).map_err(|e| e.to_string())?;
    Ok((reply, sender.pid))
}

fn is_full(e: &io::Error) -> bool {
    // ENOBUFS is the kernel's word for the same thing.
    e.kind() == io::ErrorKind::WouldBlock
        || e.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}

/// What an error of sending means here.
fn plain(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::NotFound => "no such socket".to_owned(),
        io::ErrorKind::ConnectionRefused => "nobody listens".to_owned(),
        _ => e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fabric::Own;
    use common::ipc::address::Address;
    use common::ipc::message::{State, Status};
    use common::ipc::socket::Credentials;
    use std::path::Path;

    const SECOND: Duration = Duration::from_secs(1);

    fn plan(dir: &Path, daemons: &[&str]) -> Plan {
        let place = |name: &&str| Daemon {
            control: Address::Path(dir.join(name)),
            data: Address::Path(dir.join(format!("{name}_data"))),
        };
        Plan {
            who: Identity { job: 7, device: 1, pids: vec![4242, 1] },
            daemons: daemons.iter().map(place).collect(),
            own: Own::In(dir.to_owned()),
            interval: SECOND,
            trust: Trust::new(rustix::process::geteuid().as_raw(), None),
        }
    }

    fn daemon(dir: &Path, name: &str) -> Socket {
        Socket::bind(&Address::Path(dir.join(name)), Mode(0o600)).unwrap()
    }

    fn hear(daemon: &Socket) -> Option<(Message, SocketAddrUnix)> {
        let mut buf = buffer();
        let got = daemon.receive(&mut buf).ok()?;
        Some((Message::decode(&buf[..got.len]).unwrap(), got.from.unwrap()))
    }

    fn tick(link: &mut Link, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        link.tick(now, &mut events);
        link.receive(now, &mut events).unwrap();
        events
    }

    #[test]
    fn registers_polls_and_takes_a_config() {
        let dir = tempfile::tempdir().unwrap();
        let fake = daemon(dir.path(), "d");
        let t0 = Instant::now();
        let mut link = Link::open(&plan(dir.path(), &["d"]), t0).unwrap();
        assert_eq!(tick(&mut link, t0), []);
        let (ctxt, to) = hear(&fake).unwrap();
        assert_eq!(ctxt, Message::Register(Register { device: 1, pid: 4242, job_id: 7 }));
        let (req, _) = hear(&fake).unwrap();
        assert!(matches!(&req, Message::Poll(p) if p.pids == [4242, 1] && p.config_type == ACTIVITIES));

        fake.send(&Reply::Registered(3).encode(), &to).unwrap();
        fake.send(&Reply::Config(b"A=1".to_vec()).encode(), &to).unwrap();
        let socket = dir.path().join("d").display().to_string();
        let expected = [Event::Registered { processes: Some(3), socket }, Event::Config(b"A=1".to_vec())];
        assert_eq!(tick(&mut link, t0), expected);
        assert!(link.is_up());

        // The next poll comes at the interval, alone; an empty answer is no event.
        assert_eq!(link.deadline(), t0 + SECOND);
        tick(&mut link, t0 + SECOND);
        assert!(matches!(hear(&fake), Some((Message::Poll(_), _))));
        assert!(hear(&fake).is_none());
        fake.send(&Reply::Config(vec![]).encode(), &to).unwrap();
        assert_eq!(tick(&mut link, t0 + SECOND), []);
    }

    #[test]
    fn absence_is_told_once_and_a_new_daemon_is_registered_with() {
        let dir = tempfile::tempdir().unwrap();
        let t0 = Instant::now();
        let mut link = Link::open(&plan(dir.path(), &["a", "b"]), t0).unwrap();
        let first = tick(&mut link, t0);
        assert!(matches!(&first[..], [Event::Absent(r)] if r.contains("a: no such socket, ")), "{first:?}");
        assert_eq!(tick(&mut link, t0 + SECOND), []);

        let fake = daemon(dir.path(), "b");
        tick(&mut link, t0 + 2 * SECOND);
        let (ctxt, to) = hear(&fake).unwrap();
        assert!(matches!(ctxt, Message::Register(_)));
        // A daemon that leaves `ctxt` unanswered, as one of msMonitor's kind should.
        fake.send(&Reply::Config(vec![]).encode(), &to).unwrap();
        let events = tick(&mut link, t0 + 2 * SECOND);
        assert!(matches!(&events[..], [Event::Registered { processes: None, .. }]), "{events:?}");

        drop(fake);
        let events = tick(&mut link, t0 + 3 * SECOND);
        assert!(matches!(&events[..], [Event::Absent(_)]), "{events:?}");
        assert!(!link.is_up());
        let again = daemon(dir.path(), "b");
        tick(&mut link, t0 + 4 * SECOND);
        assert!(matches!(hear(&again), Some((Message::Register(_), _))));
    }

    #[test]
    fn a_message_for_a_daemon_that_has_just_gone_is_not_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let fake = daemon(dir.path(), "d");
        let t0 = Instant::now();
        let mut link = Link::open(&plan(dir.path(), &["d"]), t0).unwrap();
        let status = Message::TraceStatus(Status {
            state: State::Idle,
            current_step: 1,
            start_step: -1,
            stop_step: -1,
            pid: 1,
            job_id: 7,
        });
        let kind = |link: &Link, message: &Message| link.send(message).map_err(|e| e.kind());
        assert_eq!(kind(&link, &status), Err(io::ErrorKind::NotConnected));
        tick(&mut link, t0);
        let (_, to) = hear(&fake).unwrap();
        fake.send(&Reply::Registered(1).encode(), &to).unwrap();
        tick(&mut link, t0);
        assert_eq!(kind(&link, &status), Ok(()));
        // This one has no socket for metrics.
        assert_eq!(kind(&link, &Message::Data(b"{}".to_vec())), Err(io::ErrorKind::NotFound));
        drop(fake);
        assert_eq!(kind(&link, &status), Err(io::ErrorKind::NotConnected));
    }

    #[test]
    fn a_silent_place_is_left_for_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let (silent, good) = (daemon(dir.path(), "a"), daemon(dir.path(), "b"));
        let t0 = Instant::now();
        let mut link = Link::open(&plan(dir.path(), &["a", "b"]), t0).unwrap();
        (0..3).for_each(|n| drop(tick(&mut link, t0 + n * SECOND)));
        assert!(hear(&silent).is_some());
        assert!(matches!(hear(&good), Some((Message::Register(_), _))));
    }

    #[test]
    fn a_daemon_that_falls_silent_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let fake = daemon(dir.path(), "d");
        let t0 = Instant::now();
        let mut link = Link::open(&plan(dir.path(), &["d"]), t0).unwrap();
        tick(&mut link, t0);
        let (_, to) = hear(&fake).unwrap();
        fake.send(&Reply::Registered(1).encode(), &to).unwrap();
        let mut events = Vec::new();
        for n in 0..5 {
            events.extend(tick(&mut link, t0 + n * SECOND));
            while hear(&fake).is_some() {}
        }
        assert!(matches!(&events[..], [Event::Registered { .. }, Event::Absent(_)]), "{events:?}");
    }

    #[test]
    fn garbage_and_oversize_are_dropped_and_the_link_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let fake = daemon(dir.path(), "d");
        let t0 = Instant::now();
        let mut link = Link::open(&plan(dir.path(), &["d"]), t0).unwrap();
        tick(&mut link, t0);
        let (_, to) = hear(&fake).unwrap();
        let mut lie = Reply::Config(b"12345".to_vec()).encode();
        lie[..8].copy_from_slice(&u64::MAX.to_ne_bytes());
        let huge = Reply::Config(vec![b'A'; 70_000]).encode();
        for datagram in [&b"x"[..], &[0; 40], &lie, &huge] {
            fake.send(datagram, &to).unwrap();
        }
        fake.send(&Reply::Config(b"A=1".to_vec()).encode(), &to).unwrap();
        let events = tick(&mut link, t0);
        assert!(events[..4].iter().all(|e| matches!(e, Event::Dropped(_))), "{events:?}");
        assert_eq!(events[5], Event::Config(b"A=1".to_vec()));
    }

    #[test]
    fn what_another_user_sends_is_not_believed() {
        let datagram = Reply::Config(b"A=1".to_vec()).encode();
        let from = |uid| Received {
            len: datagram.len(),
            from: None,
            credentials: Some(Credentials { pid: 9, uid, gid: 0 }),
            truncated: false,
        };
        let trust = Trust::new(1000, None);
        assert_eq!(judge(&datagram, &from(1000), &trust).unwrap().1, 9);
        assert!(judge(&datagram, &from(0), &trust).is_ok());
        assert!(judge(&datagram, &from(1001), &trust).unwrap_err().starts_with("uid 1001"));
        let unknown = Received { credentials: None, ..from(0) };
        assert!(judge(&datagram, &unknown, &trust).is_err());
    }

    #[test]
    fn the_socket_file_goes_with_the_link() {
        let dir = tempfile::tempdir().unwrap();
        let link = Link::open(&plan(dir.path(), &["d"]), Instant::now()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        drop(link);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
