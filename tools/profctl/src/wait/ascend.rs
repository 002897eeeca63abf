//! Traces of the Ascend PyTorch and MindSpore profilers: one directory per process.
//!
//! `{worker}_{pid}_{14 or 17 digits}_ascend_pt`, where the worker's name may contain anything, underscores too: it
//! is parsed from the right. `profiler_info*.json` is written when recording ends, and
//! `ASCEND_PROFILER_OUTPUT/analyse.done` when the analysis does.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::document::{Document, examine};
use super::{Expected, Look, Trace, Traces, stranger};

/// How the names end, by framework.
const SUFFIXES: [&str; 2] = ["_ascend_pt", "_ascend_ms"];
/// Where the analysis puts its results.
const ANALYSED: &str = "ASCEND_PROFILER_OUTPUT";

/// Where the trace of a process will appear.
pub(crate) fn pattern(dir: &str, pid: i64) -> String {
    format!("{}/*_{pid}_*_ascend_pt", dir.trim_end_matches('/'))
}

/// The pid and the time in a directory's name.
fn parse(name: &str) -> Option<(i64, &str)> {
    let stem = SUFFIXES.iter().find_map(|s| name.strip_suffix(s))?;
    let (rest, time) = stem.rsplit_once('_')?;
    let (_, pid) = rest.rsplit_once('_')?;
    let digits = (14..=17).contains(&time.len()) && time.bytes().all(|b| b.is_ascii_digit());
    digits.then_some((pid.parse().ok()?, time))
}

/// Looks for the traces of one request.
pub(crate) struct Ascend {
    dir: PathBuf,
    analysed: bool,
    ranks: Option<usize>,
    /// The names that were there before the request, and those already reported.
    known: HashSet<OsString>,
    /// Directories under way, to be told of what happens in them.
    open: Vec<PathBuf>,
}

impl Ascend {
    /// Takes note of the directories that are there.
    pub(crate) fn new(dir: &str, analysed: bool, ranks: Option<usize>) -> Self {
        let dir = PathBuf::from(dir);
        let known = names(&dir).collect();
        Self { dir, analysed, ranks, known, open: Vec::new() }
    }

    /// The latest new directory of a process.
    fn newest(&self, pid: i64) -> Option<PathBuf> {
        let new = names(&self.dir).filter(|n| !self.known.contains(n));
        let own = new.filter_map(|n| {
            // The worker's name may be in any encoding; what is parsed is ASCII.
            let name = n.to_string_lossy();
            let (found, time) = parse(&name)?;
            (found == pid).then(|| (time.to_owned(), n.clone()))
        });
        let (_, name) = own.max()?;
        Some(self.dir.join(name))
    }

    /// Why a directory is not complete.
    fn lacking(&self, trace: &Path) -> Option<&'static str> {
        if self.analysed {
            let done = |dir: &Path| dir.join("analyse.done").is_file();
            let complete = done(&trace.join(ANALYSED)) || done(trace);
            return (!complete).then_some("the analysis is not done");
        }
        let info = |n: &OsString| {
            let name = n.to_string_lossy();
            name.starts_with("profiler_info") && name.ends_with(".json")
        };
        let whole = |n: OsString| {
            let file = common::fsat::open_regular(&trace.join(n)).ok();
            file.is_some_and(|(mut f, _)| matches!(examine(&mut f), Ok(Document::Whole { .. })))
        };
        let complete = names(trace).filter(info).any(whole);
        (!complete).then_some("recording has not ended: no profiler_info*.json yet")
    }
}

fn names(dir: &Path) -> impl Iterator<Item = OsString> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.file_name())
}

impl Traces for Ascend {
    fn look(&mut self, expected: &Expected) -> Look {
        let Some(trace) = self.newest(expected.pid) else {
            let path = PathBuf::from(pattern(&self.dir.to_string_lossy(), expected.pid));
            return Look::Waiting { path, reason: "no such directory".to_owned() };
        };
        if let Some(reason) = self.lacking(&trace) {
            for dir in [trace.clone(), trace.join(ANALYSED)] {
                if !self.open.contains(&dir) {
                    self.open.push(dir);
                }
            }
            return Look::Waiting { path: trace, reason: reason.to_owned() };
        }
        // The same pid on another host must find a directory of its own.
        self.known.extend(trace.file_name().map(ToOwned::to_owned));
        self.open.retain(|d| !d.starts_with(&trace));
        let owner = std::fs::symlink_metadata(&trace).ok().map(|m| m.uid());
        let remark = owner.and_then(stranger).map(|who| format!("{} {who}", trace.display()));
        // No id stands in the tree of these profilers.
        Look::Complete(Trace { path: trace, size_bytes: None, trace_id: None, remark })
    }

    fn directories(&self) -> Vec<PathBuf> {
        let mut directories = vec![self.dir.clone()];
        directories.extend(self.open.iter().cloned());
        directories
    }

    fn needed(&self, expected: usize) -> usize {
        self.ranks.map_or(expected, |ranks| ranks.min(expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_from_the_right() {
        assert_eq!(parse("node_1.x_y_4242_20240102030405678_ascend_pt"), Some((4242, "20240102030405678")));
        assert_eq!(parse("h_7_20240102030405_ascend_ms"), Some((7, "20240102030405")));
        for bad in
            ["h_7_2024_ascend_pt", "7_20240102030405_ascend_pt", "h_x_20240102030405_ascend_pt", "h_7_x", ""]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn patterns_name_the_pid() {
        assert_eq!(pattern("/data/prof/", 7), "/data/prof/*_7_*_ascend_pt");
    }
}
