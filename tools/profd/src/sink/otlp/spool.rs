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
    /// Number of metrics that are recorded when it is taken. Totals are sent, so these are all since the last request.
    pub(super) metrics: usize,
    /// Whether it has totals, which a later request can make up for.
    pub(super) has_totals: bool,
}

/// What was dropped from a full spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DroppedCounts {
    pub(super) points: usize,
    pub(super) metrics: usize,
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
    /// Totals were dropped or rejected since this was last asked.
    has_lost_totals: bool,
    /// No further requests are added.
    is_closed: bool,
    /// The reader has ended.
    is_finished: bool,
}

impl RequestSpool {
    /// Creates a spool with a maximum size in bytes.
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
    /// Appends a request, and drops the oldest ones if the spool is full. Returns how much is dropped.
    pub(super) fn push(&self, request: SpooledRequest) -> DroppedCounts {
        let mut content = self.0.lock();
        content.bytes += request.body.len();
        content.requests.push_back(request);
        let mut dropped = DroppedCounts::default();
        while content.bytes > self.0.max_bytes {
            let Some(oldest) = content.requests.pop_front() else { break };
            content.bytes -= oldest.body.len();
            dropped.points += oldest.points;
            dropped.metrics += oldest.metrics;
            content.has_lost_totals |= oldest.has_totals;
        }
        self.0.changed.notify_all();
        dropped
    }

    /// Returns whether totals were dropped or rejected since the last call.
    pub(super) fn take_loss(&self) -> bool {
        std::mem::take(&mut self.0.lock().has_lost_totals)
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

    /// Notes that the collector has rejected points of a request.
    pub(super) fn note_rejected(&self, request: &SpooledRequest) {
        self.0.lock().has_lost_totals |= request.has_totals;
    }

    /// Removes a request that was sent or rejected. Returns whether it was there: it may have been dropped meanwhile.
    pub(super) fn remove(&self, request: &SpooledRequest) -> bool {
        let mut content = self.0.lock();
        let is_there =
            content.requests.front().is_some_and(|oldest| Arc::ptr_eq(&oldest.body, &request.body));
        if is_there {
            content.bytes -= request.body.len();
            content.requests.pop_front();
        }
        is_there
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
