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
use std::time::{Duration, Instant, SystemTime};

use common::out::{Diag, DiagLine, LineFormat, Priority, Verbosity};
use common::record::{self, profd as record_types};
use common::text::{Safe, without_error_numbers};
use time::OffsetDateTime;

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
        at: SystemTime,
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

/// How the log looks, and how much it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogStyle {
    pub(crate) verbosity: Verbosity,
    pub(crate) format: LogFormat,
}

impl From<Verbosity> for LogStyle {
    fn from(verbosity: Verbosity) -> Self {
        Self { verbosity, format: LogFormat::Auto }
    }
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// `journald` in the systemd journal, otherwise `plain`
    #[default]
    Auto,
    /// `profd: subject: message`, as other tools: for terminals, and for readers that add the time
    Plain,
    /// The same after the time (UTC) and the level
    Text,
    /// One record `profd.log` for each line
    Json,
    /// `plain` with the priority in front, as the systemd journal reads it: it has its own time
    Journald,
}

impl LogFormat {
    /// Returns the function that formats lines; `None` for what every tool does.
    pub(crate) fn line_format(self) -> Option<LineFormat> {
        match self {
            Self::Auto => None,
            Self::Plain => Some(|line| line.plain()),
            Self::Text => Some(format_text),
            Self::Json => Some(format_json),
            Self::Journald => Some(|line| line.for_journal()),
        }
    }
}

fn level_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Error => "error",
        Priority::Warning => "warning",
        Priority::Notice => "notice",
        Priority::Info => "info",
        Priority::Debug => "debug",
    }
}

/// Formats a time by RFC 3339 in UTC, with milliseconds.
pub(crate) fn format_time(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}

fn format_text(line: &DiagLine<'_>) -> String {
    format!("{} {:7} {}", format_time(line.at), level_name(line.priority), line.plain())
}

fn format_json(line: &DiagLine<'_>) -> String {
    let entry = record_types::Log {
        time: format_time(line.at),
        level: level_name(line.priority).to_owned(),
        subject: Some(line.subject.to_owned()).filter(|subject| !subject.is_empty()),
        message: without_error_numbers(line.message),
    };
    let mut bytes = Vec::new();
    match record::write(&mut bytes, &entry) {
        Ok(()) => String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned(),
        Err(e) => Safe(&e.to_string()).to_string(),
    }
}

impl DaemonLog {
    /// Starts the thread that writes the lines.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(style: impl Into<LogStyle>, counters: Arc<Counters>) -> std::io::Result<Self> {
        let LogStyle { verbosity, format } = style.into();
        let (queue, lines) = sync_channel(MAX_QUEUED_LINES);
        let mut diag = Diag::new("profd", verbosity);
        format.line_format().into_iter().for_each(|format| diag.set_format(format));
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
            at: SystemTime::now(),
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
        let (subject, message) = (subject.to_string(), message.to_string());
        let item = LogItem::Line { at: SystemTime::now(), level, subject, message };
        if self.queue.try_send(item).is_err() {
            self.counters.log_dropped.increment();
        }
    }
}

fn write_lines(items: &Receiver<LogItem>, diag: &Diag) {
    for item in items {
        match item {
            LogItem::Line { at, level, subject, message } => {
                diag.write_line(at, level.priority(), &subject, &message);
            }
            LogItem::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

impl LogLevel {
    fn priority(self) -> Priority {
        match self {
            Self::Error => Priority::Error,
            Self::Warning => Priority::Warning,
            Self::Notice => Priority::Notice,
            Self::Debug => Priority::Debug,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_time_and_the_level_in_every_form() {
        let line = DiagLine {
            tool: "profd",
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_772_366_400_249),
            priority: Priority::Warning,
            subject: "ipc",
            message: "a \"b\"\nc (os error 2)",
        };
        let text = |format: LogFormat| format.line_format().unwrap()(&line);
        assert_eq!(text(LogFormat::Text), "2026-03-01T12:00:00.249Z warning profd: ipc: a \"b\"\\nc");
        assert_eq!(text(LogFormat::Plain), "profd: ipc: a \"b\"\\nc");
        assert_eq!(text(LogFormat::Journald), "<4>profd: ipc: a \"b\"\\nc");
        let json = r#"{"type":"profd.log","v":1,"time":"2026-03-01T12:00:00.249Z","level":"warning","subject":"ipc","message":"a \"b\"\nc"}"#;
        assert_eq!(text(LogFormat::Json), json);
    }

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
