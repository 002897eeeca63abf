//! The audit trail: one JSON line for each request and for each client that was refused. It is append-only and does not
//! depend on the verbosity of the log.
//!
//! A line is written before the client gets its reply, so a client that makes many lines waits, and no line of an
//! answered request is lost. Lines are written by a thread of their own, many at once when many wait. While the trail
//! cannot be written, for example because the disk is full, requests are rejected before they are carried out; the lines
//! of those that were carried out already are kept and written later.

mod entry;
mod target;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::finding::hex;
use common::record;
use common::record::profd::Audit;
use tokio::sync::{mpsc, oneshot};

use crate::counters::Counters;
use crate::log::DaemonLog;
use crate::plan::AuditTarget;
pub(crate) use entry::make_record;
use target::AuditFile;
use writer::{AuditLine, write_lines};

/// Maximum number of lines that wait to be written. A client whose line finds no place waits for one.
const MAX_WAITING: usize = 1024;

/// The way to the audit trail.
#[derive(Debug)]
pub(crate) struct AuditTrail {
    /// `None` without `--audit-log`: the log has the lines as text.
    queue: Option<mpsc::Sender<AuditLine>>,
    is_failing: Arc<AtomicBool>,
    /// Random for each run, so that request ids of two runs differ.
    run_id: String,
    next_request: AtomicU64,
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
        let is_failing: Arc<AtomicBool> = Arc::default();
        let started = target.map(|target| {
            let file = AuditFile::open(target)?;
            let (queue, lines) = mpsc::channel(MAX_WAITING);
            let (end, done) = oneshot::channel::<()>();
            let (failing, counters, log) = (is_failing.clone(), counters.clone(), log.clone());
            std::thread::Builder::new().name("profd-audit".into()).spawn(move || {
                write_lines(lines, file, &failing, &counters, &log);
                drop(end);
            })?;
            io::Result::Ok((queue, AuditThread { done }))
        });
        let (queue, thread) = started.transpose()?.unzip();
        let trail = Self {
            queue,
            is_failing,
            run_id: random_run_id(),
            next_request: AtomicU64::new(1),
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
        self.is_failing.load(Ordering::Relaxed)
    }

    /// Returns what [`Self::is_failing`] reads, for those who do not keep the trail open.
    pub(crate) fn failing_flag(&self) -> Arc<AtomicBool> {
        self.is_failing.clone()
    }

    /// Returns the id for the next request.
    pub(crate) fn next_request_id(&self) -> String {
        format!("{}-{}", self.run_id, self.next_request.fetch_add(1, Ordering::Relaxed))
    }

    /// Writes a line, and returns when it is written.
    pub(crate) async fn write(&self, audit: &Audit) {
        if let Some(written) = self.enqueue(audit).await {
            let _ = written.await;
        }
    }

    /// Puts a line into the queue, and returns when it has a place there. What it returns is ready when the line is written.
    pub(crate) async fn enqueue(&self, audit: &Audit) -> Option<oneshot::Receiver<()>> {
        let queue = self.queue.as_ref()?;
        let mut line = Vec::with_capacity(512);
        // Serialization to memory does not fail: no record has a map whose keys are not text.
        record::write(&mut line, audit).ok()?;
        self.counters.audit_lines.increment();
        let (done, written) = oneshot::channel();
        queue.send(AuditLine { line, done }).await.ok().map(|()| written)
    }
}

fn random_run_id() -> String {
    let mut bytes = [0; 4];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    hex(&bytes)
}
