//! The findings of an earlier audit, which are not reported again.
//!
//! A baseline is the JSON lines of an audit. A finding is known if its rule, path and found state are the same,
//! so a mode that got worse is new. Paths are compared as absolute ones: `b`, `./b` and `/a/b` are the same. A path through a
//! symbolic link is also looked for without it, and what the baseline has through a link also without that link, as it leads
//! now.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read};
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
    /// Type and mode, owner and group of each entry, by its path, and whether it was found again.
    entries: HashMap<PathBuf, (EntryState, AtomicBool)>,
    /// Findings and entries that the baseline has through a symbolic link, by their paths without it.
    known_by_real: HashMap<u64, u64>,
    entries_by_real: HashMap<PathBuf, PathBuf>,
}

/// Resolves symbolic links in the paths of a baseline.
#[derive(Default)]
struct LinkResolver {
    /// Directories without symbolic links.
    dirs: HashMap<PathBuf, Option<PathBuf>>,
}

impl LinkResolver {
    /// Returns what an absolute path may be without the symbolic links in it, if it has any: with and without the last part, which
    /// is a link of the tree, or an audited path that leads to the tree.
    fn resolve(&mut self, path: &Path) -> Vec<PathBuf> {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
        if !self.dirs.contains_key(dir) {
            self.dirs.insert(dir.to_owned(), dir.canonicalize().ok());
        }
        let Some(Some(dir)) = self.dirs.get(dir) else { return Vec::new() };
        let real = dir.join(name);
        let target = if real.is_symlink() && real.is_dir() { real.canonicalize().ok() } else { None };
        [real].into_iter().chain(target).filter(|real| real != path).collect()
    }
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
        let mut links = LinkResolver::default();
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
                for real in links.resolve(&absolute_path(&path)) {
                    let by_real = hash_finding(&f.rule, real.as_os_str().as_bytes(), &f.found);
                    baseline.known_by_real.insert(by_real, hash);
                }
            }
            if let Some(e) = common::record::read::<record::BaselineEntry>(&line).with_context(at)? {
                let path = e.path.to_path().context("path_hex is not hexadecimal").with_context(at)?;
                let st_mode =
                    u32::from_str_radix(&e.mode, 8).context("mode is not octal").with_context(at)?;
                let state = EntryState { st_mode, uid: e.uid, gid: e.gid };
                let path = absolute_path(&path);
                for real in links.resolve(&path) {
                    baseline.entries_by_real.insert(real, path.clone());
                }
                baseline.entries.insert(path, (state, AtomicBool::new(false)));
            }
            complete |= common::record::read::<record::AuditSummary>(&line).with_context(at)?.is_some();
        }
        ensure!(complete, "has no summary at its end: truncated, or not a baseline");
        Ok(baseline)
    }

    /// Returns whether a finding is in the baseline, and marks it as still there. `real` is its path without symbolic links,
    /// by which the baseline may have it.
    pub(crate) fn mark_known(&self, issue: &AuditIssue, real: &Path) -> bool {
        let f = &issue.finding;
        let real = hash_finding(&f.rule, real.as_os_str().as_bytes(), &f.found);
        let given = self.known.get(&hash_finding(&f.rule, &f.path_bytes(), &f.found));
        let known = given
            .or_else(|| self.known.get(&real))
            .or_else(|| self.known_by_real.get(&real).and_then(|hash| self.known.get(hash)));
        known.inspect(|found| found.store(true, Ordering::Relaxed)).is_some()
    }

    /// Compares an entry with the baseline; returns how it differs. A baseline without entries says nothing.
    pub(crate) fn compare_entry(&self, path: &Path, real: &Path, now: EntryState) -> Option<String> {
        if self.entries.is_empty() {
            return None;
        }
        let through_link = || self.entries_by_real.get(real).and_then(|path| self.entries.get(path));
        let known =
            self.entries.get(&absolute_path(path)).or_else(|| self.entries.get(real)).or_else(through_link);
        let Some((before, found)) = known else {
            return Some(format!("new: {now}"));
        };
        found.store(true, Ordering::Relaxed);
        (*before != now).then(|| format!("{now}; it was {before}"))
    }

    /// Returns the entries that no longer exist, in the order of their paths. One that was not audited this time may exist.
    pub(crate) fn list_missing_entries(&self) -> Vec<(&Path, EntryState)> {
        let is_gone = |path: &Path| {
            let gone = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
            path.symlink_metadata().is_err_and(|e| gone.contains(&e.kind()))
        };
        let left = self.entries.iter().filter(|(_, (_, found))| !found.load(Ordering::Relaxed));
        let mut missing: Vec<_> = left
            .map(|(path, (state, _))| (path.as_path(), *state))
            .filter(|(path, _)| is_gone(path))
            .collect();
        missing.sort_unstable_by_key(|(path, _)| *path);
        missing
    }

    /// Returns the number of findings that were not found again, and of all findings.
    pub(crate) fn count_not_found(&self) -> (u64, u64) {
        let gone = self.known.values().filter(|found| !found.load(Ordering::Relaxed)).count();
        (gone as u64, self.known.len() as u64)
    }
}

/// Returns an absolute path without `.` and `..`; links are not resolved, so that a tree is known by the name that the
/// user gives it, whatever it leads to.
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

fn hash_finding(rule: &str, path: &[u8], found: &str) -> u64 {
    let path = Path::new(OsStr::from_bytes(path));
    let absolute = absolute_path(path);
    let mut hasher = DefaultHasher::new();
    (rule, absolute, found).hash(&mut hasher);
    hasher.finish()
}
