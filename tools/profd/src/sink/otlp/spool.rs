//! Requests that wait to be sent, in bounded memory.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the end of the daemon waits for the spool to be sent.
const LAST_DELIVERY: Duration = Duration::from_secs(2);

/// A request: the bytes of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpooledRequest {
    pub(super) body: Arc<[u8]>,
    /// Number of points in it.
    pub(super) points: usize,
}

/// Where requests are put.
pub(super) struct SpoolWriter(Arc<RequestSpool>);

/// Where they are taken.
pub(super) struct SpoolReader(Arc<RequestSpool>);

pub(super) struct RequestSpool {
    content: Mutex<SpoolContent>,
    changed: Condvar,
    max_bytes: usize,
}

#[derive(Default)]
struct SpoolContent {
    requests: VecDeque<SpooledRequest>,
    bytes: usize,
    /// Nothing more is put.
    is_closed: bool,
    /// The reader has ended.
    is_finished: bool,
}

impl RequestSpool {
    /// Creates a spool of at most so many bytes.
    pub(super) fn create(max_bytes: usize) -> (SpoolWriter, SpoolReader) {
        let spool = Arc::new(Self { content: Mutex::default(), changed: Condvar::new(), max_bytes });
        (SpoolWriter(spool.clone()), SpoolReader(spool))
    }

    fn lock(&self) -> MutexGuard<'_, SpoolContent> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, at most until the deadline.
    fn wait<'a>(
        &self,
        content: MutexGuard<'a, SpoolContent>,
        until: Option<Instant>,
    ) -> MutexGuard<'a, SpoolContent> {
        match until {
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                self.changed.wait_timeout(content, left).unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.changed.wait(content).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl SpoolWriter {
    /// Appends a request, and drops the oldest ones if the spool is full. Returns the number of points dropped.
    pub(super) fn push(&self, request: SpooledRequest) -> usize {
        let mut content = self.0.lock();
        content.bytes += request.body.len();
        content.requests.push_back(request);
        let mut dropped = 0;
        while content.bytes > self.0.max_bytes {
            let Some(oldest) = content.requests.pop_front() else { break };
            content.bytes -= oldest.body.len();
            dropped += oldest.points;
        }
        self.0.changed.notify_all();
        dropped
    }

    /// Closes the spool, and waits a while until its reader has taken and sent everything.
    pub(super) fn close_and_wait(&self) {
        let until = Instant::now() + LAST_DELIVERY;
        let mut content = self.0.lock();
        content.is_closed = true;
        self.0.changed.notify_all();
        while !content.is_finished && Instant::now() < until {
            content = self.0.wait(content, Some(until));
        }
    }
}

impl SpoolReader {
    /// Returns the oldest request, which stays in the spool, and waits for one. `None` when the spool is closed and empty.
    pub(super) fn wait_for_oldest(&self) -> Option<SpooledRequest> {
        let mut content = self.0.lock();
        loop {
            match content.requests.front() {
                Some(oldest) => return Some(oldest.clone()),
                None if content.is_closed => return None,
                None => content = self.0.wait(content, None),
            }
        }
    }

    /// Removes a request that was sent or refused, unless it was dropped meanwhile.
    pub(super) fn remove(&self, request: &SpooledRequest) {
        let mut content = self.0.lock();
        if content.requests.front().is_some_and(|oldest| Arc::ptr_eq(&oldest.body, &request.body)) {
            content.bytes -= request.body.len();
            content.requests.pop_front();
        }
    }

    /// Waits for `pause`, less long if the spool is closed. Returns whether it is.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut content = self.0.lock();
        while !content.is_closed && Instant::now() < until {
            content = self.0.wait(content, Some(until));
        }
        content.is_closed
    }

    /// Returns the number of points that wait.
    pub(super) fn count_points(&self) -> usize {
        self.0.lock().requests.iter().map(|r| r.points).sum()
    }
}

impl Drop for SpoolReader {
    fn drop(&mut self) {
        self.0.lock().is_finished = true;
        self.0.changed.notify_all();
    }
}
