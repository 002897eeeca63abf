//! Whether a trace can be analyzed: the rules, and what breaks them. They check what [`crate::analysis`] found.

mod ranks;
mod rules;
mod single;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use crate::read::ReadOutcome;
use common::finding::{Finding, Severity};
use common::out::{Out, Verbosity};
use common::report::Source;
use common::rule::Rule;
use common::text::count_noun;

use crate::analysis::sum::Sums;
use crate::report::format_count;

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

/// What is said where no step has a name that the user gave.
pub(crate) const NO_STEP_NAMED: &str = "no annotation or operator has a name that --step-name matches (Python functions, async spans and rows of devices mark no steps)";

/// Warns on one line of what is wrong enough with a trace to make its sums doubtful.
pub fn warn_of_doubts(out: &Out, path: &Path, outcome: &ReadOutcome, sums: &Sums) {
    warn_of_step_names(out, path, sums);
    if let Some((_, doubts)) = describe_doubts(path, outcome, sums) {
        out.warn(path.display(), doubts);
    }
}

/// Warns of names of steps that the user gave in vain.
fn warn_of_step_names(out: &Out, path: &Path, sums: &Sums) {
    if sums.step_names_unused {
        out.warn(path.display(), NO_STEP_NAMED);
    }
}

/// Warns of the first trace that breaks a rule, and counts the others.
#[derive(Debug, Default)]
pub struct DoubtfulTraces(RefCell<BTreeMap<String, u64>>);

impl DoubtfulTraces {
    /// Warns of a trace, or counts it. With `--verbose`, warns of each.
    pub fn warn(&self, out: &Out, path: &Path, outcome: &ReadOutcome, sums: &Sums) {
        let Some((rule, doubts)) = describe_doubts(path, outcome, sums) else { return };
        if let (Some(count), Verbosity::Quiet | Verbosity::Normal) =
            (self.0.borrow_mut().get_mut(&rule), out.diag().verbosity())
        {
            *count += 1;
            return;
        }
        self.0.borrow_mut().insert(rule, 0);
        out.warn(path.display(), doubts);
    }

    /// Says how many more there are.
    pub fn finish(&self, out: &Out) {
        let more = self.0.borrow();
        let traces = more.values().sum();
        if traces == 0 {
            return;
        }
        let rules = more.iter().filter(|(_, count)| **count > 0);
        let rules: Vec<String> =
            rules.map(|(rule, count)| format!("{rule} {}", format_count(*count))).collect();
        let reason = format!("the same findings [{}]: see `traceq check`", rules.join(", "));
        out.warn(count_noun(traces, "more trace"), reason);
    }
}

/// The rule that is broken worst, and what is to be said of the trace.
fn describe_doubts(path: &Path, outcome: &ReadOutcome, sums: &Sums) -> Option<(String, String)> {
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
    Some((worst.rule.clone(), format!("{} [{}]{more}: see `traceq check`", worst.found, worst.rule)))
}
