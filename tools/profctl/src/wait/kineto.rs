//! Traces of libkineto: one JSON file per process.
//!
//! [`trace_path`] knows how libkineto names the file. libkineto writes only below one directory (`/tmp`, or
//! `$KINETO_ONDEMAND_TRACE_DIR` of the process) and uses a default name for any other path (pytorch/kineto 114171d,
//! `libkineto/src/Config.cpp`, `isAllowedOnDemandTraceFile` and `defaultTraceFileName`). A file can be written in place,
//! or renamed when it is complete.
//!
//! The directory is often `/tmp`, where every user can create a file of any name. So a file that lacks the expected
//! `trace_id`, or that belongs to another user while no `trace_id` is expected, is accepted only if no better one has
//! appeared at the deadline; a file with both faults is never accepted. Another owner alone is accepted: training often
//! runs as a user of its own.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::fsat::open_regular;
use common::rpc::config::trace_path;
use common::text::without_error_numbers;

use super::document::{DocumentReader, JsonDocument};
use super::finder::{
    CompleteTrace, ExpectedTrace, MAX_ENTRIES, TraceFinder, TraceState, describe_foreign_owner,
};

/// How long a file must be unchanged before its content is checked.
pub(super) const SETTLE_TIME: Duration = Duration::from_millis(150);
/// The directory that libkineto writes below unless `KINETO_ONDEMAND_TRACE_DIR` is set in its environment
/// (pytorch/kineto 114171d, `libkineto/src/Config.cpp`, `kDefaultOnDemandTraceDir`).
const DEFAULT_TRACE_DIR: &str = "/tmp/";
/// The name, up to the pid, of the file that it writes instead of one at a path that it does not allow.
const FALLBACK_PREFIX: &str = "libkineto_activities_";

/// Returns a warning if libkineto does not write to the path as the user expects (see the module).
pub(crate) fn find_path_problem(log_file: &str) -> Option<&'static str> {
    if !log_file.contains(".json") {
        Some(
            "no `.json` in the path: libkineto does not add the pid. profd gives each process another path; with other \
             daemons all processes write the same file",
        )
    } else if log_file.contains("..") {
        Some("libkineto rejects a path with `..`, and writes /tmp/libkineto_activities_PID.json instead")
    } else if !log_file.starts_with(DEFAULT_TRACE_DIR) {
        Some(
            "libkineto writes only below /tmp, or below KINETO_ONDEMAND_TRACE_DIR if that is set for the process; \
             otherwise it writes /tmp/libkineto_activities_PID.json",
        )
    } else {
        None
    }
}

/// Returns the file that libkineto writes instead of one at a path that it does not allow.
pub(super) fn default_trace_path(pid: i64) -> String {
    format!("{DEFAULT_TRACE_DIR}{FALLBACK_PREFIX}{pid}.json")
}

/// Identifies a file and its content without reading it: it differs after every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileVersion {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl FileVersion {
    fn from_metadata(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

/// A file that was found.
#[derive(Debug)]
struct SeenFile {
    version: FileVersion,
    first_seen: Instant,
    /// The file while it is being read.
    reader: Option<DocumentReader>,
    /// Its content, or why it is not a trace. Read once per version, for all processes whose trace it may be.
    content: Option<Result<TraceContent, String>>,
}

/// The origin of a complete trace.
#[derive(Clone, Debug)]
struct TraceContent {
    trace_id: Option<String>,
    owner: u32,
}

/// Whether the file at a path is an expected trace.
#[derive(Debug)]
enum CandidateState {
    /// The file does not exist.
    Absent,
    /// The file has changed just now, or has not been read to its end.
    Unsettled(String),
    /// It is the expected trace.
    Complete(CompleteTrace),
    /// It may be the expected trace.
    Doubtful(CompleteTrace),
    /// It is not, or it cannot be read, for this reason.
    Rejected(String),
}

/// Finds the traces of one request.
pub(crate) struct KinetoTraceFinder {
    log_file: String,
    fallback_dir: PathBuf,
    /// The files that existed before the request.
    preexisting: HashMap<PathBuf, FileVersion>,
    seen: HashMap<PathBuf, SeenFile>,
}

impl KinetoTraceFinder {
    /// Lists the files that exist.
    pub(crate) fn new(log_file: String) -> Self {
        Self::with_fallback(log_file, PathBuf::from(DEFAULT_TRACE_DIR))
    }

    fn with_fallback(log_file: String, fallback_dir: PathBuf) -> Self {
        let mut preexisting = HashMap::new();
        let example = trace_path(&log_file, 0);
        for (directory, prefix) in [
            (Path::new(&example).parent().unwrap_or(Path::new("/")), shared_name_prefix(&log_file)),
            (&fallback_dir, FALLBACK_PREFIX.to_owned()),
        ] {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten().take(MAX_ENTRIES) {
                if !entry.file_name().to_string_lossy().starts_with(&prefix) {
                    continue;
                }
                if let Ok(meta) = entry.metadata() {
                    preexisting.insert(entry.path(), FileVersion::from_metadata(&meta));
                }
            }
        }
        Self { log_file, fallback_dir, preexisting, seen: HashMap::new() }
    }

    /// Returns the paths where the trace of a process can be, the most likely first.
    fn candidate_paths(&self, expected: &ExpectedTrace) -> Vec<PathBuf> {
        let pid = expected.pid;
        let log_file = expected.log_file.as_ref().unwrap_or(&self.log_file);
        let mut paths = vec![PathBuf::from(trace_path(log_file, pid))];
        // Older versions of libkineto insert the pid before the first `.json` also in `.pt.trace.json`, other writers
        // before the last one.
        for at in [log_file.find(".json"), log_file.rfind(".json")].into_iter().flatten() {
            paths.push(format!("{}_{pid}{}", &log_file[..at], &log_file[at..]).into());
        }
        paths.push(self.fallback_dir.join(format!("{FALLBACK_PREFIX}{pid}.json")));
        paths.dedup();
        paths
    }

    fn describe_fallback(&self, path: &Path, expected: &ExpectedTrace) -> Option<String> {
        let log_file = expected.log_file.as_ref().unwrap_or(&self.log_file);
        let own = path.parent() == Some(&self.fallback_dir)
            && path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(FALLBACK_PREFIX));
        own.then(|| format!("the process does not write to {log_file}; it wrote {} instead", path.display()))
    }

    /// Checks the file at one path.
    fn check_candidate(&mut self, path: &Path, expected: &ExpectedTrace, stop: Instant) -> CandidateState {
        let Ok(meta) = std::fs::symlink_metadata(path) else { return CandidateState::Absent };
        let version = FileVersion::from_metadata(&meta);
        if self.preexisting.get(path) == Some(&version) {
            let reason = match meta.is_file() {
                true => "only the file of an earlier request exists",
                false => "what was there before the request is not a file",
            };
            return CandidateState::Rejected(reason.to_owned());
        }
        let being_written = || CandidateState::Unsettled("still being written".to_owned());
        // A file is read once it has not changed for some time, and then only once.
        let Some(seen) = self.seen.get_mut(path).filter(|seen| seen.version == version) else {
            let seen = SeenFile { version, first_seen: Instant::now(), reader: None, content: None };
            self.seen.insert(path.to_owned(), seen);
            return being_written();
        };
        if seen.content.is_none() && seen.first_seen.elapsed() < SETTLE_TIME {
            return being_written();
        }
        let content = match &seen.content {
            Some(content) => content.clone(),
            None => match seen.read_on(path, stop) {
                Ok(Some(content)) => content,
                Ok(None) => {
                    let read = seen.reader.as_ref().map_or(0, DocumentReader::read_bytes);
                    let reason =
                        format!("only {read} of its {} bytes could be read in the time", version.size);
                    return CandidateState::Unsettled(reason);
                }
                Err(e) => return CandidateState::Rejected(without_error_numbers(&e.to_string())),
            },
        };
        self.match_content(path, version, content, expected)
    }

    fn match_content(
        &self,
        path: &Path,
        version: FileVersion,
        content: Result<TraceContent, String>,
        expected: &ExpectedTrace,
    ) -> CandidateState {
        let TraceContent { trace_id, owner } = match content {
            Ok(content) => content,
            Err(reason) => return CandidateState::Rejected(reason),
        };
        let (path, remark) = (path.to_owned(), self.describe_fallback(path, expected));
        match_trace(
            CompleteTrace {
                path,
                size_bytes: Some(version.size),
                trace_id,
                remark,
                ..CompleteTrace::default()
            },
            describe_foreign_owner(owner),
            expected,
        )
    }
}

impl SeenFile {
    /// Reads on in a file that has stopped changing. Returns its content, or why it is not a trace; `None` if there is more
    /// to read after `stop`.
    fn read_on(
        &mut self,
        path: &Path,
        stop: Instant,
    ) -> std::io::Result<Option<Result<TraceContent, String>>> {
        if self.reader.is_none() {
            self.reader = Some(DocumentReader::new(open_regular(path)?.0));
        }
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let Some(document) = reader.read_on(stop)? else { return Ok(None) };
        let now = reader.file().metadata()?;
        let content = match document {
            _ if FileVersion::from_metadata(&now) != self.version => Err("still being written".to_owned()),
            JsonDocument::Truncated => Err(format!("truncated JSON document of {} bytes", self.version.size)),
            JsonDocument::NotJson => Err("not a JSON document".to_owned()),
            JsonDocument::Complete { trace_id } => {
                Ok(TraceContent { trace_id: trace_id.filter(|id| !id.is_empty()), owner: now.uid() })
            }
        };
        self.reader = None;
        self.content = Some(content.clone());
        Ok(Some(content))
    }
}

/// Decides whether a complete trace is the expected one. `foreign_owner` describes its owner, if that is neither this
/// user nor root.
fn match_trace(
    mut trace: CompleteTrace,
    foreign_owner: Option<String>,
    expected: &ExpectedTrace,
) -> CandidateState {
    let with_path = |remark: &str| format!("{} {remark}", trace.path.display());
    let (doubt, remark) = match (&expected.trace_id, &trace.trace_id, &foreign_owner) {
        (Some(expected_id), Some(id), _) if expected_id != id => {
            return CandidateState::Rejected(format!("the trace of another request (trace_id {id})"));
        }
        (Some(_), None, Some(owner)) => {
            return CandidateState::Rejected(format!("has no trace_id, and {owner}"));
        }
        (Some(_), None, None) => {
            (true, Some(with_path("has no trace_id, and may belong to another request")))
        }
        (None, _, Some(owner)) => {
            (true, Some(with_path(&format!("{owner}, and may belong to another request"))))
        }
        (Some(_), Some(_), Some(owner)) => (false, Some(with_path(owner))),
        (_, _, None) => (false, None),
    };
    trace.remark = match (trace.remark, remark) {
        (Some(one), Some(two)) => Some(format!("{one}; {two}")),
        (one, two) => one.or(two),
    };
    if doubt { CandidateState::Doubtful(trace) } else { CandidateState::Complete(trace) }
}

/// Returns the prefix that the names of all traces of a log file share.
fn shared_name_prefix(log_file: &str) -> String {
    let example = trace_path(log_file, 0);
    let name = Path::new(&example).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    name.split(".json")
        .next()
        .unwrap_or_default()
        .split('%')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".pt.trace")
        .trim_end_matches("_0")
        .to_owned()
}

impl TraceFinder for KinetoTraceFinder {
    fn check_trace(&mut self, expected: &ExpectedTrace, stop: Instant) -> TraceState {
        let mut best = None;
        let mut unsettled = None;
        let mut doubtful = None;
        let paths = self.candidate_paths(expected);
        for path in &paths {
            match self.check_candidate(path, expected, stop) {
                CandidateState::Absent => {}
                CandidateState::Complete(trace) => return TraceState::Complete(trace),
                CandidateState::Doubtful(trace) => doubtful = doubtful.or(Some(trace)),
                CandidateState::Unsettled(reason) => unsettled = Some((path.clone(), reason)),
                CandidateState::Rejected(reason) => best = best.or_else(|| Some((path.clone(), reason))),
            }
        }
        if let Some(trace) = doubtful {
            return TraceState::Doubtful(trace);
        }
        match (unsettled, best) {
            (Some((path, reason)), _) => TraceState::Unsettled { path, reason },
            (None, Some((path, reason))) => TraceState::Waiting { path, reason },
            (None, None) => {
                let has_dir = paths[0].parent().is_none_or(Path::is_dir);
                let reason = if has_dir { "no such file" } else { "no such directory on this machine" };
                TraceState::Waiting { path: paths[0].clone(), reason: reason.to_owned() }
            }
        }
    }

    fn watched_directories(&self) -> Vec<PathBuf> {
        let example = trace_path(&self.log_file, 0);
        let mut directories: Vec<_> = Path::new(&example).parent().map(Path::to_owned).into_iter().collect();
        directories.push(self.fallback_dir.clone());
        directories
    }
}

#[cfg(test)]
impl KinetoTraceFinder {
    /// Uses a directory of the test instead of `/tmp`.
    pub(crate) fn with_test_fallback(log_file: &Path, fallback_dir: &Path) -> Self {
        Self::with_fallback(log_file.to_str().unwrap().to_owned(), fallback_dir.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_and_the_trace_id_decide_together() {
        let match_of = |expected_id: Option<&str>, id: Option<&str>, uid: u32| {
            let owned = |id: Option<&str>| id.map(str::to_owned);
            let expected = ExpectedTrace { pid: 7, trace_id: owned(expected_id), ..ExpectedTrace::default() };
            let trace = CompleteTrace { path: "/t".into(), trace_id: owned(id), ..CompleteTrace::default() };
            match match_trace(trace, describe_foreign_owner(uid), &expected) {
                CandidateState::Complete(t) => ("trace", t.remark.unwrap_or_default()),
                CandidateState::Doubtful(t) => ("doubtful", t.remark.unwrap_or_default()),
                CandidateState::Rejected(reason) => ("rejected", reason),
                other => panic!("{other:?}"),
            }
        };
        let me = rustix::process::geteuid().as_raw();
        let other = me + 4321;
        for known in [me, 0] {
            assert_eq!(match_of(Some("5"), Some("5"), known), ("trace", String::new()));
            assert_eq!(match_of(None, Some("5"), known), ("trace", String::new()));
            assert_eq!(match_of(None, None, known), ("trace", String::new()));
            assert_eq!(match_of(Some("5"), Some("6"), known).0, "rejected");
            assert_eq!(match_of(Some("5"), None, known).0, "doubtful");
        }
        let owner_remark = format!("/t belongs to uid {other}");
        assert_eq!(match_of(Some("5"), Some("5"), other), ("trace", owner_remark.clone()));
        assert_eq!(match_of(Some("5"), Some("6"), other).0, "rejected");
        assert_eq!(
            match_of(Some("5"), None, other),
            ("rejected", format!("has no trace_id, and belongs to uid {other}"))
        );
        for id in [None, Some("5")] {
            assert_eq!(
                match_of(None, id, other),
                ("doubtful", format!("{owner_remark}, and may belong to another request"))
            );
        }
    }

    #[test]
    fn the_prefix_is_common_to_all_pids() {
        assert_eq!(shared_name_prefix("/tmp/t.json"), "t");
        assert_eq!(shared_name_prefix("/tmp/t.pt.trace.json"), "t");
        assert_eq!(shared_name_prefix("/tmp/plain"), "plain");
    }

    #[test]
    fn paths_that_libkineto_changes_are_pointed_out() {
        assert_eq!(find_path_problem("/tmp/t.json"), None);
        assert!(find_path_problem("/tmp/t").unwrap().contains("same file"));
        assert!(find_path_problem("/tmp/../x.json").unwrap().contains(".."));
        assert!(find_path_problem("/data/t.json").unwrap().contains("KINETO_ONDEMAND_TRACE_DIR"));
    }
}
