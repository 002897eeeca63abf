//! Traces of the Ascend PyTorch and MindSpore profilers: one directory per process.
//!
//! The directory is named `{worker}_{pid}_{14 or 17 digits}_ascend_pt` (torch_npu 2.14.0,
//! `torch_npu/profiler/_profiler_path_creator.py`; MindSpore 2.10.0: `_ascend_ms`). The name of the worker may contain
//! underscores, so the directory's name is parsed from the right. `profiler_info*.json` is written when recording ends,
//! `ASCEND_PROFILER_OUTPUT/analyse.done` when the analysis ends.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::document::{DocumentReader, JsonDocument};
use super::finder::{
    CompleteTrace, ExpectedTrace, MAX_ENTRIES, TraceFinder, TraceState, describe_foreign_owner,
};

/// The suffixes of the directories: PyTorch, MindSpore.
const SUFFIXES: [&str; 2] = ["_ascend_pt", "_ascend_ms"];
/// The directory with the results of the analysis.
const ANALYSIS_DIR: &str = "ASCEND_PROFILER_OUTPUT";

/// Returns where the trace of a process will appear, with `*` for what is not known in advance.
pub(crate) fn trace_dir_pattern(dir: &str, pid: i64) -> String {
    format!("{}/*_{pid}_*_ascend_pt", dir.trim_end_matches('/'))
}

/// Parses the name of a directory. Returns the pid and the time.
fn parse_dir_name(name: &str) -> Option<(i64, &str)> {
    let stem = SUFFIXES.iter().find_map(|s| name.strip_suffix(s))?;
    let (rest, time) = stem.rsplit_once('_')?;
    let (_, pid) = rest.rsplit_once('_')?;
    let digits = (14..=17).contains(&time.len()) && time.bytes().all(|b| b.is_ascii_digit());
    digits.then_some((pid.parse().ok()?, time))
}

/// Finds the traces of one request.
pub(crate) struct AscendTraceFinder {
    /// The requested directory, with its placeholders.
    dir: String,
    analyzed: bool,
    ranks: Option<usize>,
    /// The directories of traces that existed before the request, and those that are already reported.
    known: HashSet<PathBuf>,
    /// The directories in which traces are expected, and those of incomplete ones; to be watched.
    watched: Vec<PathBuf>,
}

impl AscendTraceFinder {
    /// Lists the directories that exist.
    pub(crate) fn new(dir: &str, analyzed: bool, ranks: Option<usize>) -> Self {
        let known = list_existing(dir);
        Self { dir: dir.to_owned(), analyzed, ranks, known, watched: Vec::new() }
    }

    /// Finds the latest new directory of a process.
    fn find_newest_dir(&self, dir: &Path, pid: i64) -> Option<PathBuf> {
        let own = list_names(dir).filter_map(|n| {
            // The name of the worker can have any encoding; the parsed part is ASCII.
            let name = n.to_string_lossy();
            let (found, time) = parse_dir_name(&name)?;
            let path = dir.join(&n);
            (found == pid && !self.known.contains(&path)).then(|| (time.to_owned(), path))
        });
        own.max().map(|(_, path)| path)
    }

    fn watch(&mut self, dir: PathBuf) {
        if !self.watched.contains(&dir) {
            self.watched.push(dir);
        }
    }

    /// Returns why a trace is not complete.
    fn find_missing_part(&self, trace: &Path, stop: Instant) -> Option<&'static str> {
        if self.analyzed {
            let is_analyzed = |dir: &Path| dir.join("analyse.done").is_file();
            let complete = is_analyzed(&trace.join(ANALYSIS_DIR)) || is_analyzed(trace);
            return (!complete).then_some("the analysis has not ended: no analyse.done yet");
        }
        let is_info = |n: &OsString| {
            let name = n.to_string_lossy();
            name.starts_with("profiler_info") && name.ends_with(".json")
        };
        let is_complete = |n: OsString| {
            let file = common::fsat::open_regular(&trace.join(n)).ok();
            let document = file.map(|(file, _)| DocumentReader::new(file).read_on(stop));
            matches!(document, Some(Ok(Some(JsonDocument::Complete { .. }))))
        };
        let complete = list_names(trace).filter(is_info).any(is_complete);
        (!complete).then_some("recording has not ended: no profiler_info*.json yet")
    }
}

/// Lists what is in a directory; with placeholders, in every directory whose name begins as the path does before the first of
/// them. What exists already does not belong to the request, wherever it is.
fn list_existing(dir: &str) -> HashSet<PathBuf> {
    let mut dirs = vec![PathBuf::from("/")];
    for part in dir.split('/').filter(|part| !part.is_empty()) {
        let begin = part.split('%').next().unwrap_or_default();
        let is_like = |name: &OsString| name.as_encoded_bytes().starts_with(begin.as_bytes());
        dirs = if begin == part {
            dirs.into_iter().map(|dir| dir.join(part)).collect()
        } else {
            let below = |dir: PathBuf| {
                list_names(&dir).filter(is_like).map(|name| dir.join(name)).collect::<Vec<_>>()
            };
            dirs.into_iter().flat_map(below).take(MAX_ENTRIES).collect()
        };
    }
    let paths = |dir: PathBuf| list_names(&dir).map(|name| dir.join(name)).collect::<Vec<_>>();
    dirs.into_iter().flat_map(paths).take(MAX_ENTRIES).collect()
}

fn list_names(dir: &Path) -> impl Iterator<Item = OsString> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().take(MAX_ENTRIES).map(|e| e.file_name())
}

impl TraceFinder for AscendTraceFinder {
    fn check_trace(&mut self, expected: &ExpectedTrace, stop: Instant) -> TraceState {
        let dir = PathBuf::from(expected.log_file.as_ref().unwrap_or(&self.dir));
        self.watch(dir.clone());
        let Some(trace) = self.find_newest_dir(&dir, expected.pid) else {
            let path = PathBuf::from(trace_dir_pattern(&dir.to_string_lossy(), expected.pid));
            return TraceState::Waiting { path, reason: "no such directory".to_owned() };
        };
        if let Some(reason) = self.find_missing_part(&trace, stop) {
            self.watch(trace.clone());
            self.watch(trace.join(ANALYSIS_DIR));
            return TraceState::Waiting { path: trace, reason: reason.to_owned() };
        }
        // A process with the same pid on another host has another directory.
        self.known.insert(trace.clone());
        self.watched.retain(|d| !d.starts_with(&trace));
        let owner = std::fs::symlink_metadata(&trace).ok().map(|m| m.uid());
        let remark =
            owner.and_then(describe_foreign_owner).map(|owner| format!("{} {owner}", trace.display()));
        // These profilers write no request id.
        TraceState::Complete(CompleteTrace { path: trace, remark, ..CompleteTrace::default() })
    }

    fn watched_directories(&self) -> Vec<PathBuf> {
        self.watched.clone()
    }

    fn needed_count(&self, expected: usize) -> usize {
        self.ranks.map_or(expected, |ranks| ranks.min(expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_from_the_right() {
        assert_eq!(
            parse_dir_name("node_1.x_y_4242_20240102030405678_ascend_pt"),
            Some((4242, "20240102030405678"))
        );
        assert_eq!(parse_dir_name("h_7_20240102030405_ascend_ms"), Some((7, "20240102030405")));
        for bad in
            ["h_7_2024_ascend_pt", "7_20240102030405_ascend_pt", "h_x_20240102030405_ascend_pt", "h_7_x", ""]
        {
            assert_eq!(parse_dir_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_exists_before_the_request_is_known_wherever_placeholders_lead() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a-node1/7", "a-node2/8", "b/7"] {
            std::fs::create_dir_all(dir.path().join(name).join("h_7_20240102030405_ascend_pt")).unwrap();
        }
        let known = |pattern: &str| {
            let known = list_existing(&format!("{}/{pattern}", dir.path().display()));
            let relative = |path: &PathBuf| path.strip_prefix(dir.path()).unwrap().display().to_string();
            let mut known: Vec<_> = known.iter().map(relative).collect();
            known.sort();
            known
        };
        let of = |parent: &str| format!("{parent}/h_7_20240102030405_ascend_pt");
        assert_eq!(known("a-%h/%r"), [of("a-node1/7"), of("a-node2/8")]);
        assert_eq!(known("b/7"), [of("b/7")]);
        assert_eq!(known("missing/%r"), [""; 0]);
    }

    #[test]
    fn patterns_name_the_pid() {
        assert_eq!(trace_dir_pattern("/data/prof/", 7), "/data/prof/*_7_*_ascend_pt");
    }
}
