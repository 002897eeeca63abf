//! Collects the findings of all threads, counts them, and writes them in a stable order.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::finding::{Finding, Severity};
use common::out::Diag;
use common::record::RecordPath;
use common::record::permck::BaselineEntry;
use common::report::Totals;
use rustix::io::Errno;

use crate::baseline::{Baseline, EntryState};
use crate::inspect::IssueSink;
use crate::plan::{AuditIssue, AuditRoot};
use crate::report::AuditReport;
use crate::rule::{AuditedEntry, CHANGED};
use common::walk::OpenDirectory;

/// Findings that are sorted together before they are written: bounds the memory of an audit with millions of findings.
const SORTED_RUN: usize = 32 << 10;

/// Collects the findings of an audit.
pub(crate) struct FindingCollector<'a> {
    state: Mutex<CollectorState<'a>>,
    diag: &'a Diag,
    least: Severity,
    baseline: Option<&'a Baseline>,
    /// Whether to warn of system paths, which the classes do not cover.
    warn_system_paths: bool,
    /// Whether to write every entry, for a baseline.
    write_entries: bool,
}

struct CollectorState<'a> {
    to: &'a mut (dyn Write + Send),
    report: &'a mut (dyn AuditReport + Send),
    run: Vec<AuditIssue>,
    totals: Totals,
    known: u64,
    hidden: u64,
    broken: io::Result<()>,
}

impl<'a> FindingCollector<'a> {
    /// Collects findings of severity `least` or graver that are not in the baseline.
    pub(crate) fn new(
        diag: &'a Diag,
        to: &'a mut (dyn Write + Send),
        report: &'a mut (dyn AuditReport + Send),
        least: Severity,
        baseline: Option<&'a Baseline>,
    ) -> Self {
        let state = CollectorState {
            to,
            report,
            run: Vec::new(),
            totals: Totals::default(),
            known: 0,
            hidden: 0,
            broken: Ok(()),
        };
        Self {
            state: Mutex::new(state),
            diag,
            least,
            baseline,
            warn_system_paths: false,
            write_entries: false,
        }
    }

    /// Sets whether system paths are warned of.
    pub(crate) fn warn_about_system_paths(self, warn_system_paths: bool) -> Self {
        Self { warn_system_paths, ..self }
    }

    /// Sets whether every entry is written.
    pub(crate) fn write_entries(self, write_entries: bool) -> Self {
        Self { write_entries, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, CollectorState<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_issues(&self, issues: Vec<AuditIssue>) {
        let mut state = self.lock();
        for issue in issues {
            // Also findings that are not shown count as still there.
            let known = self.baseline.is_some_and(|b| b.mark_known(&issue));
            if issue.finding.severity < self.least {
                state.hidden += u64::from(!known);
                continue;
            }
            if known {
                state.known += 1;
                continue;
            }
            state.totals.add(issue.finding.severity);
            state.run.push(issue);
        }
        if state.run.len() >= SORTED_RUN {
            state.write_sorted();
        }
    }

    /// Writes the remaining findings; returns the counts of those shown, of those in the baseline, and of those not
    /// shown.
    pub(crate) fn finish(self) -> io::Result<(Totals, u64, u64)> {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.write_sorted();
        state.broken.map(|()| (state.totals, state.known, state.hidden))
    }
}

impl CollectorState<'_> {
    fn write_sorted(&mut self) {
        self.run.sort_unstable_by(|a, b| sort_key(a).cmp(&sort_key(b)));
        for issue in self.run.drain(..) {
            if self.broken.is_ok() {
                self.broken = self.report.write_issue(self.to, &issue);
            }
        }
    }
}

/// Readable keys first, then what others can write, then by path.
fn sort_key(issue: &AuditIssue) -> (u8, &str, Option<&str>, &str) {
    let f = &issue.finding;
    let rank = match f.rule.as_str() {
        _ if f.severity != Severity::Error => 2,
        "key-readable" => 0,
        "world-writable" => 1,
        _ => 2,
    };
    (rank, &f.path, f.path_hex.as_deref(), &f.rule)
}

impl IssueSink for FindingCollector<'_> {
    fn admit_root(&self, root: &AuditRoot) -> Result<(), String> {
        if self.warn_system_paths && common::system_paths::is_system_path(&root.real) {
            let reason = "is a system path, but the classes are those of an installation of these tools";
            self.diag.warn(root.path.display(), format_args!("{reason}; --policy FILE sets others"));
        }
        Ok(())
    }

    fn report_root_issues(&self, issues: Vec<AuditIssue>) {
        self.add_issues(issues);
    }

    fn report_issues(
        &self,
        _root: &AuditRoot,
        _dir: &OpenDirectory,
        _subject: &AuditedEntry<'_>,
        issues: Vec<AuditIssue>,
    ) {
        self.add_issues(issues);
    }

    fn see_entry(&self, subject: &AuditedEntry<'_>) -> Option<Finding> {
        let state = EntryState::of(subject.st);
        if self.write_entries {
            let entry = BaselineEntry {
                path: RecordPath::from(&*subject.path()),
                mode: format!("{:o}", state.st_mode),
                uid: state.uid,
                gid: state.gid,
            };
            let mut collector = self.lock();
            if collector.broken.is_ok() {
                collector.broken = common::record::write(collector.to, &entry);
            }
            return None;
        }
        let path = subject.path();
        let (found, before) = self.baseline?.compare_entry(&path, state)?;
        Some(CHANGED.at(&path).found(found).expected(before).fix(CHANGED.fix))
    }

    fn report_error(&self, path: PathBuf, error: Errno) {
        self.diag.error(path.display(), crate::reason(error));
    }
}
