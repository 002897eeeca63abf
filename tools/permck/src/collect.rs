//! Collects what the threads of an audit find, counts it, and hands it to a report in a stable order.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::finding::Severity;
use common::out::Out;
use rustix::io::Errno;

use crate::inspect::{Issue, Sink};
use crate::report::Report;
use crate::rule::Subject;
use crate::walk::Dir;

/// Findings kept before they are sorted and written: an audit that finds less is sorted as a whole, and one
/// that finds millions stays small.
const RUN: usize = 32 << 10;

/// Counts of findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) errors: u64,
    pub(crate) warnings: u64,
    pub(crate) notes: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, severity: Severity) {
        *match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
            Severity::Note => &mut self.notes,
        } += 1;
    }

    /// Findings at least this grave.
    pub(crate) fn at_least(&self, severity: Severity) -> u64 {
        match severity {
            Severity::Error => self.errors,
            Severity::Warning => self.errors + self.warnings,
            Severity::Note => self.errors + self.warnings + self.notes,
        }
    }
}

/// The sink of an audit.
pub(crate) struct Collector<'a> {
    state: Mutex<State<'a>>,
    least: Severity,
}

struct State<'a> {
    out: &'a mut Out,
    report: &'a mut (dyn Report + Send),
    run: Vec<Issue>,
    totals: Totals,
    broken: io::Result<()>,
}

impl<'a> Collector<'a> {
    /// Collects findings that are at least as grave as `least`.
    pub(crate) fn new(out: &'a mut Out, report: &'a mut (dyn Report + Send), least: Severity) -> Self {
        let state = State { out, report, run: Vec::new(), totals: Totals::default(), broken: Ok(()) };
        Self { state: Mutex::new(state), least }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, issues: Vec<Issue>) {
        let mut state = self.lock();
        for issue in issues.into_iter().filter(|i| i.finding.severity >= self.least) {
            state.totals.add(issue.finding.severity);
            state.run.push(issue);
        }
        if state.run.len() >= RUN {
            state.write();
        }
    }

    /// Writes what is left; the counts, or what kept it from being written.
    pub(crate) fn finish(self) -> io::Result<Totals> {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.write();
        state.broken.map(|()| state.totals)
    }
}

impl State<'_> {
    fn write(&mut self) {
        self.run.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
        for issue in self.run.drain(..) {
            if self.broken.is_ok() {
                self.broken = self.report.issue(self.out, &issue);
            }
        }
    }
}

fn order(issue: &Issue) -> (&str, Option<&str>, &str) {
    (&issue.finding.path, issue.finding.path_hex.as_deref(), &issue.finding.rule)
}

impl Sink for Collector<'_> {
    fn issues(&self, _dir: &Dir, _subject: &Subject<'_>, issues: Vec<Issue>) {
        self.add(issues);
    }

    fn failed(&self, path: PathBuf, error: Errno) {
        self.lock().out.error(path.display(), crate::reason(error));
    }
}
