//! The log: lines on standard error, each with a level. A queue and a thread stand before standard error.
//!
//! | level | for | shown |
//! |---|---|---|
//! | error | something failed that the operator must fix | always |
//! | warning | something is wrong and the daemon goes on; what peers can provoke goes through [`DaemonLog::limited`] | not with `--quiet` |
//! | notice | normal and worth knowing: readiness, the audit line of a request, a reload, the end | not with `--quiet` |
//! | debug | each step | with `--verbose` |
//!
//! A reader of standard error that stalls does not stall the daemon: lines beyond the queue are dropped and counted. Only
//! the lines about requests are not dropped: the clients that make them wait.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::out::{Diag, Verbosity};

use crate::counters::Counters;

/// Maximum number of lines that wait for standard error.
const MAX_QUEUED_LINES: usize = 1024;
/// How often a line that must not be lost looks for a place in the queue.
const QUEUE_RETRY_INTERVAL: Duration = Duration::from_millis(2);
/// Minimum time between two lines of one cause that peers can provoke.
const CAUSE_INTERVAL: Duration = Duration::from_secs(10);
/// Maximum number of causes. They are constants of this program, of which there are fewer.
const MAX_CAUSES: usize = 256;

/// The way to the log. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct DaemonLog {
    queue: SyncSender<LogItem>,
    limits: Arc<Mutex<HashMap<&'static str, CauseLimit>>>,
    counters: Arc<Counters>,
    verbosity: Verbosity,
}

/// When a cause was last logged, and how many lines were left out since.
#[derive(Debug)]
struct CauseLimit {
    since: Instant,
    suppressed: u64,
}

enum LogItem {
    Line {
        level: LogLevel,
        subject: String,
        message: String,
    },
    /// Asks for a reply when every line before it is written.
    Flush(SyncSender<()>),
}

/// How important a line is. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogLevel {
    Error,
    Warning,
    Notice,
    Debug,
}

impl DaemonLog {
    /// Starts the thread that writes the lines.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(verbosity: Verbosity, counters: Arc<Counters>) -> std::io::Result<Self> {
        let (queue, lines) = sync_channel(MAX_QUEUED_LINES);
        let diag = Diag::new("profd", verbosity);
        std::thread::Builder::new().name("profd-log".into()).spawn(move || write_lines(&lines, &diag))?;
        Ok(Self { queue, limits: Arc::default(), counters, verbosity })
    }

    /// Logs that something failed.
    pub(crate) fn error(&self, subject: impl Display, message: impl Display) {
        self.counters.log_errors.increment();
        self.queue_line(LogLevel::Error, subject, message);
    }

    /// Logs that something is wrong that does not stop the daemon from serving.
    pub(crate) fn warning(&self, subject: impl Display, message: impl Display) {
        self.queue_line(LogLevel::Warning, subject, message);
    }

    /// Logs something normal that the operator should know: what changed, and who asked for it.
    pub(crate) fn notice(&self, subject: impl Display, message: impl Display) {
        self.queue_line(LogLevel::Notice, subject, message);
    }

    /// Logs a notice that must not be lost: it waits until the reader of standard error has taken earlier lines.
    pub(crate) async fn notice_without_loss(&self, subject: impl Display, message: impl Display) {
        if !self.shows(LogLevel::Notice) {
            return;
        }
        let mut item = LogItem::Line {
            level: LogLevel::Notice,
            subject: subject.to_string(),
            message: message.to_string(),
        };
        while let Err(TrySendError::Full(back)) = self.queue.try_send(item) {
            item = back;
            tokio::time::sleep(QUEUE_RETRY_INTERVAL).await;
        }
    }

    /// Logs a step; shown with `--verbose` only.
    pub(crate) fn debug(&self, subject: impl Display, message: impl Display) {
        self.queue_line(LogLevel::Debug, subject, message);
    }

    /// Logs a warning that peers can provoke: one in [`CAUSE_INTERVAL`] for each cause, with the number of those that
    /// were left out.
    pub(crate) fn limited(&self, cause: &'static str, subject: impl Display, message: impl Display) {
        let Some(suppressed) = self.count_suppressed(cause, Instant::now()) else { return };
        match suppressed {
            0 => self.warning(subject, message),
            n => self.warning(subject, format_args!("{message} ({n} more of this kind since the last line)")),
        }
    }

    /// Waits until the lines logged before are written, but no longer than `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) {
        let (done, finished) = sync_channel(1);
        if self.queue.try_send(LogItem::Flush(done)).is_ok() {
            let _ = finished.recv_timeout(timeout);
        }
    }

    /// Returns how many lines of a cause were left out since its last line; `None` if this one must be left out too.
    fn count_suppressed(&self, cause: &'static str, now: Instant) -> Option<u64> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limit) = limits.get_mut(cause) {
            if now.saturating_duration_since(limit.since) < CAUSE_INTERVAL {
                limit.suppressed += 1;
                return None;
            }
            limit.since = now;
            return Some(std::mem::take(&mut limit.suppressed));
        }
        if limits.len() < MAX_CAUSES {
            limits.insert(cause, CauseLimit { since: now, suppressed: 0 });
        }
        Some(0)
    }

    fn shows(&self, level: LogLevel) -> bool {
        match level {
            LogLevel::Error => true,
            LogLevel::Warning | LogLevel::Notice => self.verbosity >= Verbosity::Normal,
            LogLevel::Debug => self.verbosity >= Verbosity::Verbose,
        }
    }

    fn queue_line(&self, level: LogLevel, subject: impl Display, message: impl Display) {
        // Checked here as well as by the writer, so that a line that is not shown costs no formatting.
        if !self.shows(level) {
            return;
        }
        let item = LogItem::Line { level, subject: subject.to_string(), message: message.to_string() };
        if self.queue.try_send(item).is_err() {
            self.counters.log_dropped.increment();
        }
    }
}

fn write_lines(items: &Receiver<LogItem>, diag: &Diag) {
    for item in items {
        match item {
            LogItem::Line { level: LogLevel::Error, subject, message } => diag.error(subject, message),
            LogItem::Line { level: LogLevel::Warning, subject, message } => diag.warn(subject, message),
            LogItem::Line { level: LogLevel::Notice, subject, message } => diag.notice(subject, message),
            LogItem::Line { level: LogLevel::Debug, subject, message } => diag.debug(subject, message),
            LogItem::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_logged_once_in_an_interval_and_the_rest_is_counted() {
        let log = DaemonLog::start(Verbosity::Quiet, Arc::default()).unwrap();
        let start = Instant::now();
        assert_eq!(log.count_suppressed("a", start), Some(0));
        assert_eq!(log.count_suppressed("a", start), None);
        assert_eq!(log.count_suppressed("b", start), Some(0));
        assert_eq!(log.count_suppressed("a", start + CAUSE_INTERVAL), Some(1));
        assert_eq!(log.count_suppressed("a", start + 2 * CAUSE_INTERVAL), Some(0));
    }
}
