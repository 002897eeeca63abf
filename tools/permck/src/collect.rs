//! Collects the findings of all threads, counts them, and writes them in a stable order.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::finding::{Finding, Severity};
use common::out::Diag;
use common::record::RecordPath;
use common::record::permck::BaselineEntry;
use common::report::Totals;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::baseline::{Baseline, EntryState};
use crate::inspect::IssueSink;
use crate::issue_spool::IssueSpool;
use crate::plan::{AuditIssue, AuditPlan, AuditRoot, root_issue};
use crate::policy::EntryLocation;
use crate::report::AuditReport;
use crate::rule::{AuditedEntry, CHANGED};
use common::walk::OpenDirectory;

/// Findings that are kept in memory to be sorted: more of them go to a temporary file.
const SORTED_IN_MEMORY: usize = 32 << 10;

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
    /// For reports that take findings in order.
    spool: IssueSpool,
    totals: Totals,
    known: u64,
    hidden: u64,
    broken: io::Result<()>,
    /// The audited directories, where there is a baseline, and the directories that patterns are relative to.
    roots: Vec<(PathBuf, PathBuf)>,
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
            spool: IssueSpool::new(SORTED_IN_MEMORY),
            totals: Totals::default(),
            known: 0,
            hidden: 0,
            broken: Ok(()),
            roots: Vec::new(),
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

    /// Reports the entries of the baseline that are gone from the audited directories; returns how many of these findings
    /// the policy accepts.
    pub(crate) fn report_missing_entries(&self, plan: &AuditPlan) -> u64 {
        let Some(baseline) = self.baseline.filter(|_| plan.filter.wants_rule(CHANGED.id)) else { return 0 };
        let roots = std::mem::take(&mut self.lock().roots);
        let mut accepted = 0;
        for (path, before) in baseline.list_missing_entries() {
            let below = |(root, base): &(PathBuf, PathBuf)| {
                Some((path.strip_prefix(root).ok()?.to_owned(), base.clone()))
            };
            // Within the innermost of the audited directories.
            let Some((below, base)) =
                roots.iter().filter_map(below).min_by_key(|(below, _)| below.as_os_str().len())
            else {
                continue;
            };
            if plan.filter.excludes_path(below.as_os_str().as_bytes(), &base) {
                continue;
            }
            let dir = FileType::from_raw_mode(before.st_mode) == FileType::Directory;
            let place = EntryLocation { below: Some(below.as_os_str().as_bytes()), root: &base, dir };
            if plan.policy.accepts_finding(CHANGED.id, place, None, plan.today) {
                accepted += 1;
                continue;
            }
            let issue = root_issue(changed_finding(path, format!("gone; it was {before}")));
            self.add_issues(vec![issue], |_| path.to_owned());
        }
        accepted
    }

    /// Adds findings; `real_path` returns the path of one without symbolic links.
    fn add_issues(&self, issues: Vec<AuditIssue>, real_path: impl Fn(&AuditIssue) -> PathBuf) {
        let mut state = self.lock();
        for issue in issues {
            // Also findings that are not shown count as still there.
            let known = self.baseline.is_some_and(|b| b.mark_known(&issue, &real_path(&issue)));
            if issue.finding.severity < self.least {
                state.hidden += u64::from(!known);
                continue;
            }
            if known {
                state.known += 1;
                continue;
            }
            state.totals.add(issue.finding.severity);
            state.add_issue(issue);
        }
    }

    /// Writes the findings, the gravest first, then in the order of the rules; returns the counts of those shown, of
    /// those in the baseline, and of those not shown.
    pub(crate) fn finish(self) -> io::Result<(Totals, u64, u64)> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let CollectorState { to, report, spool, totals, known, hidden, broken, .. } = state;
        broken?;
        spool.read_sorted(|issue| report.write_issue(to, issue))?;
        Ok((totals, known, hidden))
    }
}

/// A finding about an entry that is not as the baseline has it.
fn changed_finding(path: &Path, found: String) -> Finding {
    CHANGED.at(path).found(found).expected("as in the baseline").fix(CHANGED.fix)
}

impl CollectorState<'_> {
    fn add_issue(&mut self, issue: AuditIssue) {
        if self.broken.is_err() {
            return;
        }
        self.broken = match self.report.sorts_issues() {
            true => self.report.write_issue(self.to, &issue),
            false => self.spool.push(issue),
        };
    }
}

impl IssueSink for FindingCollector<'_> {
    fn admit_root(&self, root: &AuditRoot) -> Result<(), String> {
        if self.baseline.is_some() && root.is_dir {
            // By both names that the baseline may have it under.
            let names = [crate::baseline::absolute_path(&root.path), root.real.clone()];
            self.lock().roots.extend(names.map(|name| (name, root.base.clone())));
        }
        if self.warn_system_paths && common::system_paths::is_system_path(&root.real) {
            let reason = "is a system path, but the classes are those of an installation of these tools";
            self.diag.warn(root.path.display(), format_args!("{reason}; --policy FILE sets others"));
        }
        Ok(())
    }

    fn report_root_issues(&self, issues: Vec<AuditIssue>) {
        self.add_issues(issues, |issue| {
            let path = PathBuf::from(OsStr::from_bytes(&issue.finding.path_bytes()));
            path.canonicalize().unwrap_or(path)
        });
    }

    fn report_issues(
        &self,
        root: &AuditRoot,
        _dir: &OpenDirectory,
        subject: &AuditedEntry<'_>,
        issues: Vec<AuditIssue>,
    ) {
        self.add_issues(issues, |_| root.real_path(subject));
    }

    fn see_entry(&self, root: &AuditRoot, subject: &AuditedEntry<'_>) -> Option<Finding> {
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
        let found = self.baseline?.compare_entry(&path, &root.real_path(subject), state)?;
        Some(changed_finding(&path, found))
    }

    fn report_error(&self, path: PathBuf, error: Errno) {
        self.diag.error(path.display(), crate::reason(error));
    }
}
