//! Where results and diagnostics go. Standard output carries the result and nothing else.
//!
//! Results are buffered and written through [`Out`]; diagnostics are single lines of the form
//! `tool: subject: reason` on standard error. Printing anywhere else is denied by a lint.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::error::hint_of;
use crate::exit::Exit;
use crate::fsat::NamedWriter;
use crate::record::{self, Record};
use crate::text::{Safe, without_error_numbers};

/// The two forms of result that every tool can write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: tables and sentences. Not stable between versions.
    #[default]
    Text,
    /// For programs: JSON Lines, one record per line, as described in profguard-records(7).
    Json,
}

/// When to color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Decides for one stream.
    #[must_use]
    pub fn enabled(self, stream: &impl IsTerminal) -> bool {
        let wanted = || {
            let set = |k| std::env::var_os(k).is_some_and(|v| !v.is_empty());
            stream.is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
        };
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => wanted(),
        }
    }
}

/// The tool's two output streams, and the memory of whether something failed.
pub struct Out {
    diag: Diag,
    stdout: Box<dyn Write + Send>,
    color: bool,
    line_buffered: bool,
}

impl Out {
    /// Writes results to standard output.
    #[must_use]
    pub fn new(tool: &'static str, color: Color, verbosity: Verbosity) -> Self {
        let stdout = io::stdout();
        let color = color.enabled(&stdout);
        Self::to(
            Box::new(BufWriter::with_capacity(
                1 << 16,
                NamedWriter { to: stdout, name: "standard output".to_owned() },
            )),
            tool,
            color,
            verbosity,
        )
    }

    /// Writes results to any writer; what tests use.
    #[must_use]
    pub fn to(stdout: Box<dyn Write + Send>, tool: &'static str, color: bool, verbosity: Verbosity) -> Self {
        Self { diag: Diag::new(tool, verbosity), stdout, color, line_buffered: false }
    }

    /// Whether results may carry color.
    #[must_use]
    pub fn color(&self) -> bool {
        self.color
    }

    /// Flushes after every record from now on: for commands that watch or wait.
    pub fn flush_each_record(&mut self) {
        self.line_buffered = true;
    }

    /// The stream for results in text or another format.
    pub fn text(&mut self) -> &mut dyn Write {
        &mut self.stdout
    }

    /// The diagnostics and the stream for results, for those who need both at once.
    pub fn parts(&mut self) -> (&Diag, &mut (dyn Write + Send)) {
        (&self.diag, &mut *self.stdout)
    }

    /// Writes one record as a JSON line.
    ///
    /// # Errors
    /// An I/O error of the stream, a closed pipe included.
    pub fn record<R: Record>(&mut self, record: &R) -> io::Result<()> {
        record::write(&mut self.stdout, record)?;
        if self.line_buffered { self.stdout.flush() } else { Ok(()) }
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// An I/O error of the stream: a full disk is found out here.
    pub fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }

    /// Diagnostics, shareable with threads.
    #[must_use]
    pub fn diag(&self) -> &Diag {
        &self.diag
    }

    /// Changes how lines of diagnostics look.
    pub fn set_line_format(&mut self, format: LineFormat) {
        self.diag.set_format(format);
    }

    /// Reports that one input failed; the others go on, and the exit status becomes 2.
    pub fn error(&self, subject: impl Display, reason: impl Display) {
        self.diag.error(subject, reason);
    }

    /// Reports a failed input whose reason is an error chain.
    pub fn failed(&self, subject: impl Display, error: &anyhow::Error) {
        self.diag.error(subject, format_args!("{error:#}"));
        if let Some(hint) = hint_of(error) {
            self.diag.help(hint);
        }
    }

    /// Reports something that does not change the exit status.
    pub fn warn(&self, subject: impl Display, reason: impl Display) {
        self.diag.warn(subject, reason);
    }
}

/// How much a tool says on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Errors and warnings.
    #[default]
    Normal,
    /// Also each step.
    Verbose,
}

/// The priority of a line, as syslog(3) numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Something failed.
    Error,
    /// Something is wrong, and the work goes on.
    Warning,
    /// Normal, and worth knowing.
    Notice,
    /// A step of the run.
    Info,
    /// A step of it.
    Debug,
}

/// One line of diagnostics.
#[derive(Clone, Copy, Debug)]
pub struct DiagLine<'a> {
    /// The tool.
    pub tool: &'static str,
    /// When it happened.
    pub at: SystemTime,
    /// How important it is.
    pub priority: Priority,
    /// Its subject; empty if the message names it.
    pub subject: &'a str,
    /// The reason. It may hold text of peers, which is not escaped yet.
    pub message: &'a str,
}

/// Formats a line of diagnostics, without the newline.
pub type LineFormat = fn(&DiagLine<'_>) -> String;

impl DiagLine<'_> {
    /// Formats the line as every tool does: `tool: subject: reason`, untrusted text escaped.
    #[must_use]
    pub fn plain(&self) -> String {
        let colon = if self.subject.is_empty() { "" } else { ": " };
        let text = format!("{}{colon}{}", self.subject, self.message);
        format!("{}: {}", self.tool, Safe(&without_error_numbers(&text)))
    }

    /// Formats the line for the journal: with its priority in front (sd-daemon(3)).
    #[must_use]
    pub fn for_journal(&self) -> String {
        format!("{}{}", self.priority.journal_prefix(), self.plain())
    }
}

impl Priority {
    /// The prefix of a line by which the journal stores its priority (sd-daemon(3)).
    fn journal_prefix(self) -> &'static str {
        match self {
            Self::Error => "<3>",
            Self::Warning => "<4>",
            Self::Notice => "<5>",
            Self::Info => "<6>",
            Self::Debug => "<7>",
        }
    }
}

/// Returns whether a stream is the journal's, by `JOURNAL_STREAM`: its device and inode (systemd.exec(5)).
fn is_journal(stream: impl std::os::fd::AsFd, journal_stream: Option<&std::ffi::OsStr>) -> bool {
    let Some((device, inode)) = journal_stream.and_then(|v| v.to_str()).and_then(|v| v.split_once(':'))
    else {
        return false;
    };
    rustix::fs::fstat(stream).is_ok_and(|s| device == s.st_dev.to_string() && inode == s.st_ino.to_string())
}

/// Diagnostics: one line each on standard error, untrusted text escaped.
#[derive(Debug)]
pub struct Diag {
    tool: &'static str,
    verbosity: Verbosity,
    errors: AtomicU64,
    format: LineFormat,
}

impl Diag {
    /// Diagnostics of one tool.
    #[must_use]
    pub fn new(tool: &'static str, verbosity: Verbosity) -> Self {
        let in_journal = is_journal(io::stderr(), std::env::var_os("JOURNAL_STREAM").as_deref());
        let format: LineFormat = if in_journal { |line| line.for_journal() } else { |line| line.plain() };
        Self { tool, verbosity, errors: AtomicU64::new(0), format }
    }

    /// Changes how lines look.
    pub fn set_format(&mut self, format: LineFormat) {
        self.format = format;
    }

    /// How much is written.
    #[must_use]
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// How many errors were reported.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// The status that the errors reported so far amount to.
    pub fn exit(&self) -> Exit {
        if self.errors() > 0 { Exit::Failed } else { Exit::Ok }
    }

    /// Reports a failure and remembers it for the exit status.
    pub fn error(&self, subject: impl Display, reason: impl Display) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.line(Priority::Error, &subject, &reason);
    }

    /// Reports a failure that has no subject of its own.
    pub fn fatal(&self, error: &anyhow::Error) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.line(Priority::Error, &"", &format_args!("{error:#}"));
        if let Some(hint) = hint_of(error) {
            self.help(hint);
        }
    }

    /// Reports something that the user should know; silent with `--quiet`.
    pub fn warn(&self, subject: impl Display, reason: impl Display) {
        if self.verbosity >= Verbosity::Normal {
            self.line(Priority::Warning, &subject, &reason);
        }
    }

    /// Reports something normal that the user should know, such as readiness; silent with `--quiet`.
    pub fn notice(&self, subject: impl Display, what: impl Display) {
        if self.verbosity >= Verbosity::Normal {
            self.line(Priority::Notice, &subject, &what);
        }
    }

    /// Reports a step of the work, for debugging; only with `--verbose`.
    pub fn debug(&self, subject: impl Display, what: impl Display) {
        if self.verbosity >= Verbosity::Verbose {
            self.line(Priority::Debug, &subject, &what);
        }
    }

    /// Reports what is being done; only with `--verbose`.
    pub fn info(&self, subject: impl Display, what: impl Display) {
        if self.verbosity >= Verbosity::Verbose {
            self.line(Priority::Info, &subject, &what);
        }
    }

    /// Says what the user can do about the line before.
    pub fn help(&self, hint: impl Display) {
        let hint = hint.to_string();
        if self.verbosity >= Verbosity::Normal {
            hint.lines().for_each(|line| self.line(Priority::Notice, &"help", &line));
        }
    }

    fn line(&self, priority: Priority, subject: &dyn Display, message: &dyn Display) {
        self.write_line(SystemTime::now(), priority, &subject.to_string(), &message.to_string());
    }

    /// Writes a line about something that happened at a given time, whatever the verbosity. One write per line, so that
    /// lines of several threads do not mix; a closed stderr is not an error.
    pub fn write_line(&self, at: SystemTime, priority: Priority, subject: &str, message: &str) {
        let line = DiagLine { tool: self.tool, at, priority, subject, message };
        let text = (self.format)(&line) + "\n";
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_written_to_the_journal_only() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let stream = std::fs::File::create(dir.path().join("stream")).unwrap();
        let meta = stream.metadata().unwrap();
        let name = |device: u64| std::ffi::OsString::from(format!("{device}:{}", meta.ino()));
        assert!(is_journal(&stream, Some(&name(meta.dev()))));
        assert!(!is_journal(&stream, Some(&name(meta.dev() + 1))));
        assert!(!is_journal(&stream, Some(std::ffi::OsStr::new("journal"))) && !is_journal(&stream, None));
        let line = DiagLine {
            tool: "tool",
            at: SystemTime::UNIX_EPOCH,
            priority: Priority::Error,
            subject: "a",
            message: "b\nc",
        };
        assert_eq!((line.for_journal(), line.plain()), ("<3>tool: a: b\\nc".into(), "tool: a: b\\nc".into()));
    }
}
