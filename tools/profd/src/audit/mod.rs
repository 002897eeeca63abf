//! The audit trail: one JSON line for each request and for each client that was rejected. It is append-only and does not
//! depend on the verbosity of the log.
//!
//! A line is written before the client gets its reply, so a client that makes many lines waits, and no line of an
//! answered request is lost. Lines are written by a thread of their own, many at once when many wait. While the trail
//! cannot be written, for example because the disk is full, requests are rejected before they are carried out; the lines
//! of those that were carried out already are kept and written later. Of those that are rejected meanwhile, lines beyond
//! the queue are counted by client: see [`unwritten`].
//!
//! Clients that are rejected in their handshake share lines when they are many, with a count: see [`rejections`].

mod condition;
mod entry;
mod rejections;
mod target;
mod unwritten;
mod writer;

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use common::finding::hex;
use common::record;
use common::record::profd::Audit;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::counters::Counters;
use crate::log::DaemonLog;
use crate::plan::AuditTarget;
pub(crate) use condition::TrailCondition;
pub(crate) use entry::make_record;
use rejections::RejectionCounter;
pub(crate) use rejections::{CountedRejections, RejectionLine};
use target::AuditFile;
pub(crate) use target::check_target;
use unwritten::UnwrittenCounter;
use writer::{AuditLine, write_lines};

/// Maximum number of lines that wait to be written. A line that finds no place waits for one.
const MAX_WAITING: usize = 1024;

/// The way to the audit trail.
#[derive(Debug)]
pub(crate) struct AuditTrail {
    /// `None` without `--audit-log`: the log has the lines as text.
    queue: Option<mpsc::Sender<AuditLine>>,
    condition: Arc<TrailCondition>,
    /// Random for each run, so that request ids of two runs differ.
    run_id: String,
    next_request: AtomicU64,
    /// Rejections of unauthenticated peers, most of which share a line.
    rejections: Mutex<RejectionCounter>,
    /// Lines that found no place.
    unwritten: Mutex<UnwrittenCounter>,
    counters: Arc<Counters>,
}

/// The thread that writes the trail. It ends when the trail is dropped.
#[derive(Debug)]
pub(crate) struct AuditThread {
    pub(crate) done: oneshot::Receiver<()>,
}

impl AuditTrail {
    /// Opens the trail and starts its thread; without a target there is none.
    ///
    /// # Errors
    /// The file cannot be opened, the journal does not answer, or the thread cannot be started.
    pub(crate) fn start(
        target: Option<&AuditTarget>,
        counters: &Arc<Counters>,
        log: &DaemonLog,
    ) -> io::Result<(Self, Option<AuditThread>)> {
        let condition = Arc::new(TrailCondition::new());
        let started = target.map(|target| {
            let file = AuditFile::open(target)?;
            let (queue, lines) = mpsc::channel(MAX_WAITING);
            let (end, done) = oneshot::channel::<()>();
            let (noted, counters, log) = (condition.clone(), counters.clone(), log.clone());
            let name = target.to_string();
            std::thread::Builder::new().name("profd-audit".into()).spawn(move || {
                write_lines(lines, (file, &name), &noted, &counters, &log);
                drop(end);
            })?;
            io::Result::Ok((queue, AuditThread { done }))
        });
        let (queue, thread) = started.transpose()?.unzip();
        let trail = Self {
            queue,
            condition,
            run_id: random_run_id(),
            next_request: AtomicU64::new(1),
            rejections: Mutex::default(),
            unwritten: Mutex::default(),
            counters: counters.clone(),
        };
        Ok((trail, thread))
    }

    /// Returns whether lines are written apart from the log.
    pub(crate) fn is_enabled(&self) -> bool {
        self.queue.is_some()
    }

    /// Returns whether the trail cannot be written at present. Nothing must be carried out then.
    pub(crate) fn is_failing(&self) -> bool {
        self.condition.is_failing()
    }

    /// Returns what [`Self::is_failing`] reads, for those who do not keep the trail open.
    pub(crate) fn condition(&self) -> Arc<TrailCondition> {
        self.condition.clone()
    }

    /// Returns the id for the next request.
    pub(crate) fn next_request_id(&self) -> String {
        format!("{}-{}", self.run_id, self.next_request.fetch_add(1, Ordering::Relaxed))
    }

    /// Decides whether a client that was rejected before it was authenticated gets a line of its own.
    pub(crate) fn note_rejection(&self, address: IpAddr, reason: &str) -> RejectionLine {
        self.lock_rejections().note(address, reason, Instant::now())
    }

    /// Returns the rejections that were counted in the last minute, once it is over, or at once with `is_end`.
    pub(crate) fn take_counted_rejections(&self, is_end: bool) -> Vec<CountedRejections> {
        self.lock_rejections().take_counted(Instant::now(), is_end)
    }

    fn lock_rejections(&self) -> MutexGuard<'_, RejectionCounter> {
        self.rejections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the line of a request that was carried out into the queue. It is written in any case: if the queue is full, it
    /// waits for a place by itself. What is returned is ready when it is written; `None` without a trail.
    pub(crate) fn enqueue_without_loss(&self, audit: &Audit) -> Option<oneshot::Receiver<()>> {
        let queue = self.queue.as_ref()?;
        let (line, written) = make_line(audit)?;
        self.counters.audit_lines.increment();
        if let Err(TrySendError::Full(line)) = queue.try_send(line) {
            let queue = queue.clone();
            tokio::spawn(async move { queue.send(line).await });
        }
        Some(written)
    }

    /// Puts a line into the queue, and returns when it has a place there. Dropped before that, it puts none.
    pub(crate) async fn enqueue(&self, audit: &Audit) -> Option<oneshot::Receiver<()>> {
        let (line, written) = make_line(audit)?;
        self.queue.as_ref()?.send(line).await.ok()?;
        self.counters.audit_lines.increment();
        Some(written)
    }

    /// Counts a line that found no place, of a request that changed nothing.
    pub(crate) fn count_unwritten(&self, address: IpAddr, audit: Audit) {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).note(address, audit);
    }

    /// Returns the lines for what was counted while the trail could not be written, once it can.
    pub(crate) fn take_unwritten(&self) -> Vec<Audit> {
        if self.is_failing() {
            return Vec::new();
        }
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn make_line(audit: &Audit) -> Option<(AuditLine, oneshot::Receiver<()>)> {
    let mut line = Vec::with_capacity(512);
    // Serialization to memory does not fail: no record has a map whose keys are not text.
    record::write(&mut line, audit).ok()?;
    let (done, written) = oneshot::channel();
    Some((AuditLine { line, done }, written))
}

fn random_run_id() -> String {
    let mut bytes = [0; 4];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    hex(&bytes)
}
