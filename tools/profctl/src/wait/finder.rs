//! The input and the result of a search for traces; the searches themselves are in `kineto` and `ascend`.

use std::path::PathBuf;
use std::time::Instant;

use crate::daemon_address::DaemonAddress;

/// A process that should write a trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExpectedTrace {
    pub(crate) host: String,
    /// The daemon of the process, to be asked what became of the request.
    pub(crate) daemon: Option<DaemonAddress>,
    /// The place of the daemon among those of the run.
    pub(crate) place: usize,
    pub(crate) pid: i64,
    /// The rank of the process in its job, if the daemon knows it.
    pub(crate) rank: Option<i64>,
    /// The id of the request, which the trace must carry; `None` if the daemon did not send one.
    pub(crate) trace_id: Option<String>,
    /// The log file that the daemon has told the process, if it is not the requested one.
    pub(crate) log_file: Option<String>,
}

/// A complete trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CompleteTrace {
    pub(crate) path: PathBuf,
    pub(crate) size_bytes: Option<u64>,
    /// The id in the trace.
    pub(crate) trace_id: Option<String>,
    /// A warning about the trace.
    pub(crate) remark: Option<String>,
    /// SHA-256 of what was copied, in hex, if it was.
    pub(crate) sha256: Option<String>,
    /// Where it was copied from.
    pub(crate) source: Option<String>,
}

/// The state of an expected trace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TraceState {
    Complete(CompleteTrace),
    /// A complete trace that may belong to another request: accepted at the deadline if no other one has appeared.
    Doubtful(CompleteTrace),
    /// A file that changed just now, or that has not been read to its end: to be checked again soon.
    Unsettled {
        path: PathBuf,
        reason: String,
    },
    /// Missing or incomplete.
    Waiting {
        path: PathBuf,
        reason: String,
    },
}

/// Finds the traces of one profiler.
pub(crate) trait TraceFinder {
    /// Checks the trace of a process. What takes longer than until `stop` is continued by the next call: the file may be of
    /// any size, and belong to any user.
    fn check_trace(&mut self, expected: &ExpectedTrace, stop: Instant) -> TraceState;
    /// Returns the directories in which traces appear and change.
    fn watched_directories(&self) -> Vec<PathBuf>;
    /// Returns how many of `expected` traces will appear.
    fn needed_count(&self, expected: usize) -> usize {
        expected
    }
}

/// Maximum number of entries of a directory that are looked at. Anybody can fill a directory such as `/tmp`.
pub(super) const MAX_ENTRIES: usize = 200_000;

/// Describes the owner of a file if it is neither this user nor root.
pub(super) fn describe_foreign_owner(uid: u32) -> Option<String> {
    let expected = uid == 0 || uid == rustix::process::geteuid().as_raw();
    (!expected).then(|| format!("belongs to uid {uid}"))
}
