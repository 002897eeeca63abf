//! Whether a trace can be analyzed: the rules, and what breaks them. They check what [`crate::analysis`] found.

mod ranks;
mod rules;
mod single;

use std::cell::Cell;
use std::path::Path;

use crate::read::ReadOutcome;
use common::finding::{Finding, Severity};
use common::out::Out;
use common::report::Source;
use common::rule::Rule;

use crate::analysis::sum::Sums;

pub use ranks::{RankFacts, check_ranks};
pub use rules::RULES;
pub use single::check_trace;

/// The tool that writes a report, and its rules.
pub fn report_source(fail_on: Severity) -> Source {
    Source { tool: "traceq", version: env!("CARGO_PKG_VERSION"), rules: RULES.to_vec(), fail_on }
}

/// The heading of a rule's findings.
pub fn rule_heading(id: &str) -> &'static str {
    RULES.iter().find(|rule| rule.id == id).map_or("", |rule| rule.what)
}

/// A finding of a rule, with its fix.
fn finding_of(rule: &Rule, path: &Path, found: String, expected: &str) -> Finding {
    rule.at(path).found(found).expected(expected).fix(rule.fix)
}

/// Warns on one line of what is wrong enough with a trace to make its sums doubtful.
pub fn warn_of_doubts(out: &Out, path: &Path, outcome: &ReadOutcome, sums: &Sums) {
    warn_of_step_names(out, path, sums);
    if let Some(doubts) = describe_doubts(path, outcome, sums) {
        out.warn(path.display(), doubts);
    }
}

/// Warns of names of steps that the user gave in vain.
fn warn_of_step_names(out: &Out, path: &Path, sums: &Sums) {
    if sums.step_names_unused {
        out.warn(path.display(), "no range has a name that --step-name matches");
    }
}

/// Warns of the first of many traces that are doubtful, and counts the others.
#[derive(Debug, Default)]
pub struct DoubtfulTraces(Cell<u64>);

impl DoubtfulTraces {
    /// Maximum number of traces of which the warnings are shown.
    const MOST: u64 = 16;

    /// Warns of a trace, or counts it.
    pub fn warn(&self, out: &Out, path: &Path, outcome: &ReadOutcome, sums: &Sums) {
        if let Some(doubts) = describe_doubts(path, outcome, sums) {
            self.0.set(self.0.get() + 1);
            if self.0.get() <= Self::MOST {
                out.warn(path.display(), doubts);
            }
        }
    }

    /// Says how many more there are.
    pub fn finish(&self, out: &Out) {
        if let Some(more @ 1..) = self.0.get().checked_sub(Self::MOST) {
            out.warn(format_args!("{more} more traces"), "have findings, too: see `traceq check`");
        }
    }
}

fn describe_doubts(path: &Path, outcome: &ReadOutcome, sums: &Sums) -> Option<String> {
    // What could not be read has been reported.
    let doubtful =
        |f: &Finding| f.severity > Severity::Note && !rules::SAID_IN_READING.contains(&f.rule.as_str());
    let findings: Vec<Finding> = check_trace(path, outcome, sums).into_iter().filter(doubtful).collect();
    let worst = findings.iter().max_by_key(|f| f.severity)?;
    let more = match findings.len() - 1 {
        0 => String::new(),
        1 => ", and 1 more finding".to_owned(),
        n => format!(", and {n} more findings"),
    };
    Some(format!("{} [{}]{more}: see `traceq check`", worst.found, worst.rule))
}
