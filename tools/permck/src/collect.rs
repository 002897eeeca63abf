//! Collects what the threads of an audit find, counts it, and hands it to a report in a stable order.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::finding::Severity;
use common::out::Diag;
use common::report::Totals;
use rustix::io::Errno;

use crate::baseline::Baseline;
use crate::inspect::IssueSink;
use crate::plan::{AuditIssue, AuditRoot};
use crate::report::AuditReport;
use crate::rule::AuditedEntry;
use common::walk::OpenDirectory;

/// Findings kept before they are sorted and written: an audit that finds less is sorted as a whole, and one
/// that finds millions stays small.
const RUN: usize = 32 << 10;

/// The sink of an audit.
pub(crate) struct FindingCollector<'a> {
    state: Mutex<CollectorState<'a>>,
    diag: &'a Diag,
    least: Severity,
    baseline: Option<&'a Baseline>,
    /// Whether to warn of paths that the classes do not describe.
    foreign: bool,
}

struct CollectorState<'a> {
    to: &'a mut (dyn Write + Send),
    report: &'a mut (dyn AuditReport + Send),
    run: Vec<AuditIssue>,
    totals: Totals,
    known: u64,
    broken: io::Result<()>,
}

impl<'a> FindingCollector<'a> {
    /// Collects findings that are at least as grave as `least` and not in the baseline.
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
            broken: Ok(()),
        };
        Self { state: Mutex::new(state), diag, least, baseline, foreign: false }
    }

    /// Warns of paths of the system, because no policy tells what they are.
    pub(crate) fn warn_about_system_paths(self, foreign: bool) -> Self {
        Self { foreign, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, CollectorState<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_issues(&self, issues: Vec<AuditIssue>) {
        let mut state = self.lock();
        for issue in issues {
            // The baseline is told of all that is found, shown or not: what is not found is gone.
            let known = self.baseline.is_some_and(|b| b.mark_known(&issue));
            if issue.finding.severity < self.least {
                continue;
            }
            if known {
                state.known += 1;
                continue;
            }
            state.totals.add(issue.finding.severity);
            state.run.push(issue);
        }
        if state.run.len() >= RUN {
            state.write_sorted();
        }
    }

    /// Writes what is left; the counts of what was shown and of what the baseline knows, or what kept it from
    /// being written.
    pub(crate) fn finish(self) -> io::Result<(Totals, u64)> {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.write_sorted();
        state.broken.map(|()| (state.totals, state.known))
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

fn sort_key(issue: &AuditIssue) -> (&str, Option<&str>, &str) {
    (&issue.finding.path, issue.finding.path_hex.as_deref(), &issue.finding.rule)
}

impl IssueSink for FindingCollector<'_> {
    fn admit_root(&self, root: &AuditRoot) -> Result<(), String> {
        if self.foreign && common::system_paths::is_system_path(&root.real) {
            let reason = "is part of the system, and the classes are those of an installation of these tools";
            self.diag.warn(root.path.display(), format_args!("{reason}: --policy FILE tells others"));
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

    fn report_error(&self, path: PathBuf, error: Errno) {
        self.diag.error(path.display(), crate::reason(error));
    }
}
