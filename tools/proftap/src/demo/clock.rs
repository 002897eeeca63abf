//! The one clock of all timings: monotonic, in nanoseconds since the job's start.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A monotonic origin, and the wall-clock time at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    wall_ns: i64,
}

impl Clock {
    /// Starts counting.
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now(), wall_ns: wall_ns() }
    }

    /// Nanoseconds since the origin.
    pub(crate) fn now(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// Nanoseconds since the epoch, of a time of this clock.
    pub(crate) fn wall(&self, ns: i64) -> i64 {
        self.wall_ns.saturating_add(ns)
    }
}

/// The system's wall clock, nanoseconds since the epoch.
pub(crate) fn wall_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
