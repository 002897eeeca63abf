//! The findings of an earlier audit, which are not reported again.
//!
//! A baseline is the JSON lines of an audit. A finding is known if its rule, path and found state are the same,
//! so a mode that got worse is new. Paths are compared as absolute ones: `b`, `./b` and `/a/b` are the same.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use common::policy::Mode;
use common::record::permck as record;

use crate::plan::AuditIssue;

/// Maximum length of a line in bytes.
const MAX_LINE: u64 = 1 << 20;

/// The findings of an earlier audit.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    /// Each finding, and whether it was found again.
    known: HashMap<u64, AtomicBool>,
    /// Type and mode, owner and group of each entry, by the hash of its path, and whether it was found again.
    entries: HashMap<u64, (EntryState, AtomicBool)>,
}

/// Type and mode, owner and group of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryState {
    pub(crate) st_mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl EntryState {
    pub(crate) fn of(st: &rustix::fs::Statx) -> Self {
        Self { st_mode: u32::from(st.stx_mode), uid: st.stx_uid, gid: st.stx_gid }
    }
}

impl std::fmt::Display for EntryState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = common::fsat::kind(self.st_mode);
        write!(f, "{kind}, mode {}, uid {}, gid {}", Mode::of(self.st_mode), self.uid, self.gid)
    }
}

impl Baseline {
    /// Reads what `permck baseline` or `permck audit --format json` wrote.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let shown = || path.display().to_string();
        let (file, meta) = common::fsat::open_regular(path)
            .map_err(|e| anyhow::anyhow!(crate::io_reason(&e)))
            .with_context(shown)?;
        crate::trusted(&meta).with_context(shown)?;
        Self::parse(BufReader::new(file)).with_context(shown)
    }

    fn parse(mut reader: impl BufRead) -> anyhow::Result<Self> {
        let mut baseline = Self::default();
        let mut complete = false;
        for number in 1.. {
            let mut line = String::new();
            if reader.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
                break;
            }
            ensure!((line.len() as u64) < MAX_LINE, "line {number} is longer than {MAX_LINE} bytes");
            let at = || format!("line {number}");
            let finding = common::record::read::<record::PermckFinding>(&line).with_context(at)?;
            if let Some(f) = finding {
                let path = f.path.to_path().context("path_hex is not hexadecimal").with_context(at)?;
                let hash = hash_finding(&f.rule, path.as_os_str().as_bytes(), &f.found);
                baseline.known.insert(hash, AtomicBool::new(false));
            }
            if let Some(e) = common::record::read::<record::BaselineEntry>(&line).with_context(at)? {
                let path = e.path.to_path().context("path_hex is not hexadecimal").with_context(at)?;
                let st_mode =
                    u32::from_str_radix(&e.mode, 8).context("mode is not octal").with_context(at)?;
                let state = EntryState { st_mode, uid: e.uid, gid: e.gid };
                baseline.entries.insert(hash_path(&path), (state, AtomicBool::new(false)));
            }
            complete |= common::record::read::<record::AuditSummary>(&line).with_context(at)?.is_some();
        }
        ensure!(complete, "has no summary at its end: truncated, or not a baseline");
        Ok(baseline)
    }

    /// Returns whether a finding is in the baseline, and marks it as still there.
    pub(crate) fn mark_known(&self, issue: &AuditIssue) -> bool {
        let f = &issue.finding;
        let known = self.known.get(&hash_finding(&f.rule, &f.path_bytes(), &f.found));
        known.inspect(|found| found.store(true, Ordering::Relaxed)).is_some()
    }

    /// Compares an entry with the baseline; returns how it differs. A baseline without entries says nothing.
    pub(crate) fn compare_entry(&self, path: &Path, now: EntryState) -> Option<(String, String)> {
        if self.entries.is_empty() {
            return None;
        }
        let Some((before, found)) = self.entries.get(&hash_path(path)) else {
            return Some((format!("new: {now}"), String::new()));
        };
        found.store(true, Ordering::Relaxed);
        (*before != now).then(|| (now.to_string(), before.to_string()))
    }

    /// Returns the number of entries that no longer exist.
    pub(crate) fn count_missing_entries(&self) -> u64 {
        self.entries.values().filter(|(_, found)| !found.load(Ordering::Relaxed)).count() as u64
    }

    /// Returns the number of findings that were not found again, and of all findings.
    pub(crate) fn count_not_found(&self) -> (u64, u64) {
        let gone = self.known.values().filter(|found| !found.load(Ordering::Relaxed)).count();
        (gone as u64, self.known.len() as u64)
    }
}

/// Returns an absolute path without `.` and `..`; links are not resolved, so that a tree is known by the name that the
/// user gives it.
pub(crate) fn absolute_path(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

fn hash_path(path: &Path) -> u64 {
    let absolute = absolute_path(path);
    let mut hasher = DefaultHasher::new();
    absolute.hash(&mut hasher);
    hasher.finish()
}

fn hash_finding(rule: &str, path: &[u8], found: &str) -> u64 {
    let path = Path::new(OsStr::from_bytes(path));
    let absolute = absolute_path(path);
    let mut hasher = DefaultHasher::new();
    (rule, absolute, found).hash(&mut hasher);
    hasher.finish()
}
