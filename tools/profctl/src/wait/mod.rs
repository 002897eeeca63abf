//! Waiting for traces: what was there before, what has appeared since, and when it is complete.
//!
//! The processes write, on this machine or into a directory that it shares; we only look. inotify says when to
//! look, and a slow look beside it covers file systems that have no notifications.

pub(crate) mod ascend;
pub(crate) mod document;
pub(crate) mod kineto;
mod watch;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use common::duration::duration;
use common::finding::hex;
use common::progress::{Unit, bar};
use common::record::profctl::{TraceFile, TraceMissing};
use common::rpc::config::trace_path;
use common::text::Safe;

use crate::failure::seconds;
use crate::session::Session;
use watch::Watch;

/// How long a file must not change before it is taken for complete.
const SETTLE: Duration = Duration::from_millis(150);
/// How often to look without being told.
const SLOW: Duration = Duration::from_secs(1);
/// What a process may take beyond the recording: to ask, to warm up, to write.
const AROUND: Duration = Duration::from_secs(60);
/// The deadline where nobody knows how long recording takes.
const UNKNOWN: Duration = Duration::from_secs(600);

/// The options about waiting.
#[derive(Args, Debug)]
pub(crate) struct WaitOptions {
    /// Wait until the traces are complete, and print their paths
    ///
    /// The traces must appear on this machine, or in a directory that it shares with the processes'. As text, the
    /// result is then one path per line, in the order of completion; the answers of the daemons go to standard
    /// error. A trace without the id of the request, where it should have one, counts only when the time is over
    /// and no better one has come.
    #[arg(long)]
    wait: bool,
    /// Longest wait; by default the recording and 60 s, or 10 min when it is counted in steps
    #[arg(long, value_parser = duration, requires = "wait", value_name = "TIME")]
    wait_timeout: Option<Duration>,
}

impl WaitOptions {
    /// The plan, if waiting was asked for. `recording` is how long recording takes, where that is known.
    pub(crate) fn plan(&self, recording: Option<Duration>) -> Option<WaitPlan> {
        let usual = recording.map_or(UNKNOWN, |r| r.saturating_add(AROUND));
        self.wait.then(|| WaitPlan { timeout: self.wait_timeout.unwrap_or(usual) })
    }
}

/// How to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitPlan {
    /// From the last daemon's answer on.
    pub(crate) timeout: Duration,
}

/// The time from now until a recording ends that starts at `start_ms` since 1970 (0 is now).
pub(crate) fn until(start_ms: u64, duration_ms: u64) -> Duration {
    Duration::from_millis(start_ms)
        .saturating_sub(since_1970())
        .saturating_add(Duration::from_millis(duration_ms))
}

/// The wall clock.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// What the processes write.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Nothing to wait for.
    None,
    /// One file per process.
    Kineto { log_file: String },
    /// One directory per process.
    Ascend {
        dir: String,
        /// The process analyses it, too.
        analysed: bool,
        /// How many ranks record, when not all do.
        ranks: Option<usize>,
    },
}

impl Output {
    /// Where the trace of a process will appear.
    pub(crate) fn path(&self, pid: i64) -> Option<String> {
        match self {
            Self::Kineto { log_file } => Some(trace_path(log_file, pid)),
            _ => None,
        }
    }

    /// The directory that the processes do not make themselves, if it is not there: waiting would be in vain.
    pub(crate) fn missing(&self) -> Option<PathBuf> {
        let Self::Kineto { log_file } = self else { return None };
        let parent = Path::new(log_file).parent().filter(|p| !p.as_os_str().is_empty())?;
        (!parent.is_dir()).then(|| parent.to_owned())
    }

    /// Where it will appear, with `*` for what is not known yet.
    pub(crate) fn pattern(&self, pid: i64) -> Option<String> {
        match self {
            Self::Ascend { dir, .. } => Some(ascend::pattern(dir, pid)),
            _ => None,
        }
    }

    /// Either, for people.
    pub(crate) fn shown(&self, pid: i64) -> Option<String> {
        self.path(pid).or_else(|| self.pattern(pid))
    }
}

/// A process that should write a trace.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) host: String,
    pub(crate) pid: i64,
    pub(crate) trace_id: Option<String>,
}

/// A complete trace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) path: PathBuf,
    pub(crate) size_bytes: Option<u64>,
    /// The id that stands in it.
    pub(crate) trace_id: Option<String>,
    /// What is unusual about it.
    pub(crate) remark: Option<String>,
}

/// What one look at a process's trace found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Complete(Trace),
    /// A whole trace, of which nothing shows that it is the one: it counts if no better one comes in time.
    Doubtful(Trace),
    /// Something has just changed: look again soon.
    Unsettled {
        path: PathBuf,
    },
    /// Nothing, or not all of it.
    Waiting {
        path: PathBuf,
        reason: String,
    },
}

/// Knows where traces of one kind appear and when they are complete.
pub(crate) trait Traces {
    /// Looks for the trace of a process.
    fn look(&mut self, expected: &Expected) -> Look;
    /// The directories in which something may happen.
    fn directories(&self) -> Vec<PathBuf>;
    /// How many of so many expected traces will appear.
    fn needed(&self, expected: usize) -> usize {
        expected
    }
}

/// A wait, begun before the request is sent.
pub(crate) struct Wait {
    traces: Option<Box<dyn Traces>>,
    plan: WaitPlan,
    start: Instant,
}

impl Wait {
    /// Takes note of what is there.
    pub(crate) fn new(output: Output, plan: WaitPlan, start: Instant) -> Self {
        let traces: Option<Box<dyn Traces>> = match output {
            Output::None => None,
            Output::Kineto { log_file } => Some(Box::new(kineto::Kineto::new(log_file))),
            Output::Ascend { dir, analysed, ranks } => {
                Some(Box::new(ascend::Ascend::new(&dir, analysed, ranks)))
            }
        };
        Self { traces, plan, start }
    }

    /// Waits for all expected traces, and writes a result for each.
    ///
    /// # Errors
    /// What standard output says.
    pub(crate) fn run(&mut self, session: &mut Session<'_>, expected: Vec<Expected>) -> anyhow::Result<()> {
        let Some(traces) = &mut self.traces else { return Ok(()) };
        let needed = traces.needed(expected.len());
        let progress = bar(session.out.diag(), Unit::Items, Some(needed as u64), "traces");
        progress.enable_steady_tick(Duration::from_millis(200));
        let start = self.start;
        let found = |expected: &Expected, trace: Trace| {
            progress.inc(1);
            progress.suspend(|| report(session, expected, trace, start))
        };
        let missing = watch_for(traces.as_mut(), expected, needed, self.plan.timeout, found)?;
        progress.finish_and_clear();
        for (expected, path, reason) in missing {
            session.summary().traces_missing += 1;
            session.out.error(
                format_args!("{}: pid {}", expected.host, expected.pid),
                format_args!(
                    "no complete trace after {}: {}: {reason}",
                    seconds(self.plan.timeout),
                    path.display()
                ),
            );
            if session.json() {
                session.out.record(&TraceMissing {
                    host: expected.host,
                    pid: expected.pid,
                    path: path.to_string_lossy().into_owned(),
                    path_hex: path_hex(&path),
                    reason,
                    waited_ms: ms(start),
                })?;
            }
        }
        if session.summary().traces_missing > 0 {
            session.out.diag().help(
                "did the process get to record? see its own log; must it write where this machine cannot see? \
                 see --wait-timeout",
            );
        }
        Ok(())
    }
}

/// Looks until `needed` traces are complete or the time is over. Returns what is missing and why.
///
/// # Errors
/// What `found` says.
fn watch_for(
    traces: &mut dyn Traces,
    mut pending: Vec<Expected>,
    needed: usize,
    timeout: Duration,
    mut found: impl FnMut(&Expected, Trace) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<(Expected, PathBuf, String)>> {
    let deadline = Instant::now() + timeout;
    let enough = pending.len() - needed.min(pending.len());
    let mut watch = Watch::new();
    loop {
        // Followed before looked at: what appears in between is then told.
        watch.follow(&traces.directories());
        let mut unsettled = false;
        let mut missing = Vec::new();
        let mut doubtful = Vec::new();
        for expected in std::mem::take(&mut pending) {
            match traces.look(&expected) {
                Look::Complete(trace) => found(&expected, trace)?,
                Look::Doubtful(trace) => doubtful.push((expected, trace)),
                Look::Unsettled { path } => {
                    unsettled = true;
                    missing.push((expected, path, "still being written".to_owned()));
                }
                Look::Waiting { path, reason } => missing.push((expected, path, reason)),
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            for (expected, trace) in doubtful.drain(..) {
                found(&expected, trace)?;
            }
        }
        if missing.len() + doubtful.len() <= enough {
            return Ok(Vec::new());
        }
        if left.is_zero() {
            return Ok(missing);
        }
        let doubtful = doubtful.into_iter().map(|(expected, _)| expected);
        pending = missing.into_iter().map(|(expected, ..)| expected).chain(doubtful).collect();
        watch.pause(left.min(if unsettled { SETTLE } else { SLOW }));
    }
}

/// Writes the result about a complete trace.
fn report(
    session: &mut Session<'_>,
    expected: &Expected,
    trace: Trace,
    start: Instant,
) -> anyhow::Result<()> {
    session.summary().traces_complete += 1;
    if let Some(remark) = &trace.remark {
        session.out.warn(format_args!("{}: pid {}", expected.host, expected.pid), remark);
    }
    let path = trace.path.to_string_lossy().into_owned();
    if session.json() {
        session.out.record(&TraceFile {
            host: expected.host.clone(),
            pid: expected.pid,
            path,
            path_hex: path_hex(&trace.path),
            trace_id: trace.trace_id,
            size_bytes: trace.size_bytes,
            complete: true,
            waited_ms: ms(start),
        })?;
    } else {
        writeln!(session.out.text(), "{}", Safe(&path))?;
    }
    Ok(session.out.flush()?)
}

/// What a record says of a path that is not UTF-8 beside its approximation.
fn path_hex(path: &Path) -> Option<String> {
    path.to_str().is_none().then(|| hex(path.as_os_str().as_bytes()))
}

/// What is to be said of a trace that neither we nor root own.
fn stranger(uid: u32) -> Option<String> {
    let known = uid == 0 || uid == rustix::process::geteuid().as_raw();
    (!known).then(|| format!("belongs to uid {uid}"))
}

fn ms(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
