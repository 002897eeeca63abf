//! Diagnostics that cost nobody anything: a queue and a thread before standard error.
//!
//! A log reader that stalls must not stall the daemon, so lines beyond the queue are dropped and counted; and a
//! peer must not fill the log, so what peers can provoke goes through [`Log::limited`].

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::out::{Diag, Verbosity};

use crate::counters::Counters;

/// Lines that wait for standard error.
const QUEUE: usize = 1024;
/// How often a cause that peers can provoke is logged.
const INTERVAL: Duration = Duration::from_secs(10);
/// Most causes told apart; the causes are ours, so this is never reached.
const CAUSES: usize = 256;

/// Where diagnostics go. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    queue: SyncSender<Item>,
    limits: Arc<Mutex<HashMap<&'static str, Limit>>>,
    counters: Arc<Counters>,
    verbosity: Verbosity,
}

#[derive(Debug)]
struct Limit {
    since: Instant,
    suppressed: u64,
}

enum Item {
    Line {
        level: Level,
        subject: String,
        message: String,
    },
    /// Everything before is out.
    Flush(SyncSender<()>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Error,
    Notice,
    Detail,
}

impl Log {
    /// Starts the thread.
    pub(crate) fn start(verbosity: Verbosity, counters: Arc<Counters>) -> std::io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let diag = Diag::new("profd", verbosity);
        std::thread::Builder::new().name("profd-log".into()).spawn(move || write_all(&lines, &diag))?;
        Ok(Self { queue, limits: Arc::default(), counters, verbosity })
    }

    /// Something failed.
    pub(crate) fn error(&self, subject: impl Display, message: impl Display) {
        self.line(Level::Error, subject, message);
    }

    /// Something that the operator should know: what changed, and who asked for it.
    pub(crate) fn notice(&self, subject: impl Display, message: impl Display) {
        self.line(Level::Notice, subject, message);
    }

    /// What is being done; only with `--verbose`.
    pub(crate) fn detail(&self, subject: impl Display, message: impl Display) {
        self.line(Level::Detail, subject, message);
    }

    /// A notice that peers can provoke: one in [`INTERVAL`] for each cause, and how many were left out.
    pub(crate) fn limited(&self, cause: &'static str, subject: impl Display, message: impl Display) {
        let Some(suppressed) = self.may_say(cause, Instant::now()) else { return };
        match suppressed {
            0 => self.notice(subject, message),
            n => self.notice(subject, format_args!("{message} (and {n} more like this since the last line)")),
        }
    }

    /// Waits until what was said before is written, but not for long.
    pub(crate) fn flush(&self, limit: Duration) {
        let (done, finished) = sync_channel(1);
        if self.queue.try_send(Item::Flush(done)).is_ok() {
            let _ = finished.recv_timeout(limit);
        }
    }

    fn may_say(&self, cause: &'static str, now: Instant) -> Option<u64> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limit) = limits.get_mut(cause) {
            if now.saturating_duration_since(limit.since) < INTERVAL {
                limit.suppressed += 1;
                return None;
            }
            limit.since = now;
            return Some(std::mem::take(&mut limit.suppressed));
        }
        if limits.len() < CAUSES {
            limits.insert(cause, Limit { since: now, suppressed: 0 });
        }
        Some(0)
    }

    fn line(&self, level: Level, subject: impl Display, message: impl Display) {
        let shown = match level {
            Level::Error => true,
            Level::Notice => self.verbosity >= Verbosity::Normal,
            Level::Detail => self.verbosity >= Verbosity::Verbose,
        };
        if !shown {
            return;
        }
        let item = Item::Line { level, subject: subject.to_string(), message: message.to_string() };
        if self.queue.try_send(item).is_err() {
            self.counters.log_dropped.bump();
        }
    }
}

fn write_all(items: &Receiver<Item>, diag: &Diag) {
    for item in items {
        match item {
            Item::Line { level: Level::Error, subject, message } => diag.error(subject, message),
            Item::Line { level: Level::Notice, subject, message } => diag.warn(subject, message),
            Item::Line { level: Level::Detail, subject, message } => diag.info(subject, message),
            Item::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once_in_an_interval_and_the_rest_is_counted() {
        let log = Log::start(Verbosity::Quiet, Arc::default()).unwrap();
        let start = Instant::now();
        assert_eq!(log.may_say("a", start), Some(0));
        assert_eq!(log.may_say("a", start), None);
        assert_eq!(log.may_say("b", start), Some(0));
        assert_eq!(log.may_say("a", start + INTERVAL), Some(1));
        assert_eq!(log.may_say("a", start + 2 * INTERVAL), Some(0));
    }
}
