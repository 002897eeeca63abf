//! The fabric to the training processes: datagrams in, replies out, nothing waits for a single process.
//!
//! It has a thread of its own, because processes wait only tens of milliseconds for a reply and must not queue
//! behind TLS handshakes. Sockets are drained when the kernel says that there is something, a batch at a time;
//! replies are sent at once or not at all, and a config is forgotten only when it was sent.

mod readiness;
pub(crate) mod sockets;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use common::ipc::message::{Message, Poll, Register, Reply, Status};
use common::ipc::socket::{Received, Socket, buffer};
use rustix::net::SocketAddrUnix;
use tokio::sync::watch as latest;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::core::registry::{Function, Now, Refused};
use crate::process::procfs::Users;
use crate::process::watch::{self, Lookup};
use crate::shutdown::{Phase, Shutdown};
use crate::sink::{Arrival, Queue};
use crate::state::Shared;
use sockets::Bound;

/// Datagrams of one socket before the others get their turn.
const BATCH: usize = 256;
/// How often what expired is freed.
const SWEEP: Duration = Duration::from_secs(5);

/// How the fabric treats senders.
#[derive(Clone, Debug)]
pub(crate) struct FabricPlan {
    pub(crate) users: Users,
    /// Most senders watched.
    pub(crate) senders: usize,
    /// A sender that is not registered and was not heard for so long is forgotten.
    pub(crate) keep_alive: Duration,
    /// How long configs that were accepted may wait to be fetched after the signal to stop.
    pub(crate) drain: Duration,
}

struct Fabric {
    plan: FabricPlan,
    shared: Arc<Shared>,
    metrics: Option<Queue>,
    /// When the last sweep was.
    swept: Mutex<Now>,
}

/// Serves the sockets on a thread of its own until the shutdown. The sockets' files go with it.
pub(crate) fn start(
    sockets: Vec<Bound>,
    plan: FabricPlan,
    metrics: Option<Queue>,
    shared: Arc<Shared>,
    shutdown: Shutdown,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let fabric = Arc::new(Fabric { plan, shared, metrics, swept: Mutex::default() });
    std::thread::Builder::new()
        .name("profd-ipc".into())
        .spawn(move || runtime.block_on(fabric.run(sockets, shutdown)))
}

impl Fabric {
    async fn run(self: Arc<Self>, sockets: Vec<Bound>, mut shutdown: Shutdown) {
        let mut tasks = JoinSet::new();
        let (close, closed) = latest::channel(());
        for bound in sockets {
            tasks.spawn(self.clone().listen(bound, closed.clone()));
        }
        let mut tick = interval(SWEEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = self.drained(shutdown.clone());
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                biased;
                () = shutdown.reached(Phase::Stopping) => break,
                () = &mut end => break,
                _ = tick.tick() => self.sweep(),
            }
        }
        drop(close);
        while tasks.join_next().await.is_some() {}
    }

    /// Waits until the daemon ends and no config waits for its process; after the signal not longer than the plan
    /// allows. Clients were told that those configs are on their way.
    async fn drained(&self, mut shutdown: Shutdown) {
        shutdown.reached(Phase::Draining).await;
        let fetched = async {
            shutdown.reached(Phase::Answered).await;
            let shared = &self.shared;
            shared.bury();
            while shared.registry().waiting(shared.now()) > 0 {
                shared.config_left.notified().await;
            }
        };
        let _ = timeout(self.plan.drain, fetched).await;
    }

    /// One socket, until it is closed: then what has arrived is still taken.
    async fn listen(self: Arc<Self>, bound: Bound, mut closed: latest::Receiver<()>) {
        let Bound { socket, name, answers_registration } = bound;
        let socket = match readiness::watch(socket) {
            Ok(socket) => socket,
            Err(e) => return self.shared.log.error(&name, format_args!("cannot listen: {e}")),
        };
        let mut buffer = buffer();
        loop {
            let mut ready = tokio::select! {
                biased;
                _ = closed.changed() => break,
                Ok(ready) = socket.readable() => ready,
            };
            let at = Door { socket: ready.get_inner(), name: &name, answers_registration };
            match self.batch(&at, &mut buffer) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(e) => {
                    self.shared.counters.ipc_receive_errors.bump();
                    self.shared.log.limited("ipc receive", &name, format_args!("cannot receive: {e}"));
                    sleep(Duration::from_millis(100)).await;
                }
            }
            tokio::task::yield_now().await;
        }
        let at = Door { socket: socket.get_ref(), name: &name, answers_registration };
        let _ = self.batch(&at, &mut buffer);
    }

    /// Takes at most [`BATCH`] datagrams. `WouldBlock` when there are no more.
    fn batch(&self, at: &Door<'_>, buffer: &mut [u8]) -> io::Result<()> {
        for _ in 0..BATCH {
            let received = at.socket.receive(buffer)?;
            self.shared.counters.ipc_datagrams.bump();
            self.take(at, &buffer[..received.len], &received);
        }
        Ok(())
    }

    /// One datagram.
    fn take(&self, at: &Door<'_>, bytes: &[u8], received: &Received) {
        let (counters, log) = (&self.shared.counters, &self.shared.log);
        let Some(sender) = received.credentials else {
            counters.ipc_no_credentials.bump();
            return log.limited("no credentials", at.name, "rejected a datagram without credentials");
        };
        let (pid, uid) = (sender.pid, sender.uid);
        if !self.plan.users.admit(uid) {
            counters.ipc_foreign_uid.bump();
            let reason = format_args!("rejected pid {pid}: its user {uid} is not served here (--allow-uid)");
            return log.limited("uid", at.name, reason);
        }
        if pid <= 0 {
            counters.ipc_hidden_pid.bump();
            let reason = "rejected a process that is not in this daemon's pid name space";
            return log.limited("hidden pid", at.name, reason);
        }
        let message = if received.truncated {
            Err("datagram is longer than any message".to_owned())
        } else {
            Message::decode(bytes).map_err(|e| e.to_string())
        };
        let message = match message {
            Ok(message) => message,
            Err(e) => {
                counters.ipc_malformed.bump();
                return log.limited("malformed", at.name, format_args!("rejected pid {pid}: {e}"));
            }
        };
        let from = received.from.as_ref();
        match self.identify(at, pid) {
            Ok(()) => {}
            // The kernel vouches for who sent a metric, and it claims no more than that: the last ones count too.
            Err(Stranger::Gone) => match &message {
                Message::Data(json) => return self.metric(pid, json),
                _ => return,
            },
            Err(Stranger::OneTooMany) => return self.turn_away(at, from, pid, &message, Refused::Full),
        }
        if let Some(claimed) = claimed_pid(&message).filter(|claimed| !self.goes_by(pid, *claimed)) {
            counters.ipc_wrong_pid.bump();
            let reason = format_args!("rejected pid {pid}: it says that it is pid {claimed}");
            return log.limited("wrong pid", at.name, reason);
        }
        let taken = match &message {
            Message::Register(m) => self.register(at, from, pid, m),
            Message::Poll(m) => self.poll(at, from, pid, m),
            Message::TraceStatus(m) => self.report(pid, Function::Trace, m),
            Message::MonitorStatus(m) => self.report(pid, Function::Monitor, m),
            Message::Data(json) => {
                self.metric(pid, json);
                Ok(())
            }
        };
        if let Err(refused) = taken {
            self.turn_away(at, from, pid, &message, refused);
        }
    }

    /// Says no to a process that is not taken in. Who polls shall not wait for a reply in vain.
    fn turn_away(
        &self,
        at: &Door<'_>,
        from: Option<&SocketAddrUnix>,
        pid: i32,
        message: &Message,
        refused: Refused,
    ) {
        let (counters, log) = (&self.shared.counters, &self.shared.log);
        match refused {
            Refused::Full => {
                counters.ipc_full.bump();
                let reason = format_args!("pid {pid} is not taken in: the table is full (--max-processes)");
                log.limited("registry full", at.name, reason);
            }
            Refused::TooManyJobs => {
                counters.ipc_too_many_jobs.bump();
                log.limited("jobs", at.name, format_args!("pid {pid} is not taken in under one more job"));
            }
        }
        if let (Message::Poll(_), Some(to)) = (message, from) {
            self.send(at, &Reply::Config(Vec::new()), to);
        }
    }

    /// Makes sure that a sender is alive and watched.
    fn identify(&self, at: &Door<'_>, host_pid: i32) -> Result<(), Stranger> {
        match self.shared.watch.lookup(self.shared.now(), host_pid) {
            Lookup::Alive => return Ok(()),
            // It ended and its pid may be another's by now.
            Lookup::Ended => {
                self.shared.forget(host_pid);
            }
            Lookup::Unknown => {}
        }
        if self.shared.watch.len() >= self.plan.senders {
            self.sweep();
        }
        if self.shared.watch.len() >= self.plan.senders {
            return Err(Stranger::OneTooMany);
        }
        self.meet(host_pid).map_err(|_| {
            self.shared.counters.ipc_sender_gone.bump();
            self.shared.log.detail(at.name, format_args!("pid {host_pid} ended before it was heard"));
            Stranger::Gone
        })
    }

    /// Gets to know a sender, and waits for its end from now on.
    fn meet(&self, host_pid: i32) -> io::Result<()> {
        let pidfd = match watch::open(host_pid) {
            Ok(fd) => Some(Arc::new(fd)),
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => return Err(e),
            // Without one, the process is forgotten when it falls silent.
            Err(_) => {
                self.shared.counters.ipc_unwatched.bump();
                None
            }
        };
        if pidfd.as_ref().is_some_and(watch::has_ended) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let waiter = pidfd.clone().and_then(|fd| self.await_end(host_pid, fd));
        self.shared.watch.insert(self.shared.now(), host_pid, pidfd, waiter);
        Ok(())
    }

    /// Whether a sender has that pid in one of its name spaces. Outside containers nothing needs to be read.
    fn goes_by(&self, host_pid: i32, claimed: i32) -> bool {
        if claimed == host_pid {
            return true;
        }
        if let Some(pids) = self.shared.watch.pids(host_pid) {
            return pids.contains(&claimed);
        }
        let Ok(pids) = self.shared.proc.pids(host_pid) else { return false };
        let goes_by = pids.contains(&claimed);
        self.shared.watch.note_pids(host_pid, pids.into());
        goes_by
    }

    fn await_end(&self, host_pid: i32, pidfd: Arc<std::os::fd::OwnedFd>) -> Option<tokio::task::AbortHandle> {
        let end = readiness::watch(pidfd).ok()?;
        let shared = self.shared.clone();
        let task = tokio::spawn(async move {
            if end.readable().await.is_ok() {
                shared.log.detail("ipc", format_args!("pid {host_pid} has ended"));
                shared.forget(host_pid);
            }
        });
        Some(task.abort_handle())
    }

    fn register(
        &self,
        at: &Door<'_>,
        from: Option<&SocketAddrUnix>,
        host_pid: i32,
        m: &Register,
    ) -> Result<(), Refused> {
        let count = self.shared.registry().register(self.shared.now(), host_pid, m)?;
        let (pid, job, device) = (m.pid, m.job_id, m.device);
        self.shared.log.detail(at.name, format_args!("pid {pid} registered: job {job}, device {device}"));
        if at.answers_registration
            && let Some(to) = from
        {
            self.send(at, &Reply::Registered(count), to);
        }
        Ok(())
    }

    fn poll(
        &self,
        at: &Door<'_>,
        from: Option<&SocketAddrUnix>,
        host_pid: i32,
        m: &Poll,
    ) -> Result<(), Refused> {
        let shared = &self.shared;
        shared.counters.ipc_polls.bump();
        let Some(to) = from else {
            shared.counters.ipc_no_address.bump();
            let reason = format_args!("pid {host_pid} polls from a socket without a name");
            shared.log.limited("no address", at.name, reason);
            return Ok(());
        };
        let mut registry = shared.registry();
        if let Some(handout) = registry.poll(shared.now(), host_pid, m)? {
            // Sent and forgotten in one step: the process may have the next request made before we go on, and
            // must not be busy with what it has in hand.
            let sent = self.send(at, &Reply::Config(handout.text), to);
            if sent {
                registry.delivered(handout.key, handout.trace_id);
            }
            drop(registry);
            if sent {
                shared.config_left.notify_one();
                shared.counters.configs_delivered.bump();
                let handed = format_args!("trace {} handed to pid {host_pid}", handout.trace_id);
                shared.log.notice(at.name, handed);
            } else {
                shared.counters.configs_undeliverable.bump();
            }
        } else {
            drop(registry);
            self.send(at, &Reply::Config(Vec::new()), to);
        }
        Ok(())
    }

    fn report(&self, host_pid: i32, of: Function, m: &Status) -> Result<(), Refused> {
        self.shared.registry().report(self.shared.now(), host_pid, of, m)
    }

    fn metric(&self, host_pid: i32, json: &[u8]) {
        self.shared.counters.metrics_received.bump();
        let Some(queue) = &self.metrics else { return };
        let process = self.shared.registry().whois(host_pid);
        queue.offer(Arrival::now(host_pid, process, json.to_vec()));
    }

    /// Sends a reply, or not: a receiver that is gone or does not read is its own loss.
    fn send(&self, at: &Door<'_>, reply: &Reply, to: &SocketAddrUnix) -> bool {
        let sent = at.socket.send(&reply.encode(), to);
        if let Err(e) = &sent {
            self.shared.counters.ipc_reply_failed.bump();
            self.shared.log.limited("reply", at.name, format_args!("reply not taken by its process: {e}"));
        }
        sent.is_ok()
    }

    /// Frees what expired and who ended; at most once in a while, since a flood of strangers asks for it too.
    fn sweep(&self) {
        let now = self.shared.now();
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(*swept) < SWEEP / 10 {
            return;
        }
        *swept = now;
        self.shared.bury();
        let forgotten = self.shared.registry().sweep(now);
        self.shared.count(forgotten);
        let registry = self.shared.registry();
        let keep_alive = self.plan.keep_alive;
        self.shared.watch.retain(|pid, heard| registry.knows(pid) || now.saturating_sub(heard) < keep_alive);
    }
}

/// The socket that a datagram came in on; the reply leaves there too.
struct Door<'a> {
    socket: &'a Socket,
    name: &'a str,
    answers_registration: bool,
}

/// Why a sender could not be identified.
enum Stranger {
    /// It has ended.
    Gone,
    /// There is no room to get to know it.
    OneTooMany,
}

/// The pid that a message says it is from.
fn claimed_pid(message: &Message) -> Option<i32> {
    match message {
        Message::Register(m) => Some(m.pid),
        Message::Poll(m) => Some(m.leaf()),
        Message::TraceStatus(m) | Message::MonitorStatus(m) => Some(m.pid),
        Message::Data(_) => None,
    }
}
