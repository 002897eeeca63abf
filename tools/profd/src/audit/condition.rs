//! The state of the trail: it can be written, or not at present.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Maximum duration of one write. After it the trail counts as failing: a pipe without a reader, or a
/// disk that does not answer. Clients wait longer for a reply.
const STALL_LIMIT: Duration = Duration::from_secs(6);

/// The condition of the trail: its thread notes it, and everybody reads it.
#[derive(Debug)]
pub(crate) struct TrailCondition {
    start: Instant,
    has_error: AtomicBool,
    /// When the write in progress began, in milliseconds since `start` and at least 1; 0 without one.
    write_began: AtomicU64,
}

impl TrailCondition {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), has_error: AtomicBool::new(false), write_began: AtomicU64::new(0) }
    }

    /// Returns whether the last write failed, or the one in progress takes too long.
    pub(crate) fn is_failing(&self) -> bool {
        self.has_error.load(Ordering::Relaxed) || self.is_stalled(self.elapsed_ms())
    }

    fn is_stalled(&self, now_ms: u64) -> bool {
        let began = self.write_began.load(Ordering::Relaxed);
        began > 0 && Duration::from_millis(now_ms.saturating_sub(began)) >= STALL_LIMIT
    }

    pub(super) fn begin_write(&self) {
        self.write_began.store(self.elapsed_ms().max(1), Ordering::Relaxed);
    }

    pub(super) fn end_write(&self) {
        self.write_began.store(0, Ordering::Relaxed);
    }

    /// Notes whether the last write failed. Returns what was noted before.
    pub(super) fn note_error(&self, has_error: bool) -> bool {
        self.has_error.swap(has_error, Ordering::Relaxed)
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_takes_too_long_is_a_failure() {
        let condition = TrailCondition::new();
        let limit = u64::try_from(STALL_LIMIT.as_millis()).unwrap();
        assert!(!condition.is_stalled(limit + 1), "nothing is written");
        condition.begin_write();
        assert!(!condition.is_failing() && condition.is_stalled(limit + 1000));
        condition.end_write();
        assert!(!condition.is_stalled(limit + 1000));
        assert!(!condition.note_error(true) && condition.is_failing());
        assert!(condition.note_error(false) && !condition.is_failing());
    }
}
