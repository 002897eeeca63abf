//! Is a trace fit for analysis? The rules, and what breaks them. They judge what [`crate::analysis`] found.

mod ranks;
mod rules;
mod single;

use std::path::Path;

use common::finding::{Finding, Severity};
use common::out::Out;
use common::report::Source;
use common::rule::Rule;
use trace::read::ReadOutcome;

use crate::analysis::sum::Sums;

pub(crate) use ranks::{RankFacts, check_ranks};
pub(crate) use rules::RULES;
pub(crate) use single::check_trace;

/// Who writes a report, and by which rules.
pub(crate) fn report_source(fail_on: Severity) -> Source {
    Source { tool: "traceq", version: env!("CARGO_PKG_VERSION"), rules: RULES.to_vec(), fail_on }
}

/// The heading of a rule's findings.
pub(crate) fn rule_heading(id: &str) -> &'static str {
    RULES.iter().find(|rule| rule.id == id).map_or("", |rule| rule.what)
}

/// A finding of a rule, with its fix.
fn finding_of(rule: &Rule, path: &Path, found: String, expected: &str) -> Finding {
    rule.at(path).found(found).expected(expected).fix(rule.fix)
}

/// Says on one line what is wrong enough with a trace to make its sums doubtful.
pub(crate) fn warn_of_doubts(out: &Out, path: &Path, outcome: &ReadOutcome, sums: &Sums) {
    // What could not be read has been reported.
    let doubtful =
        |f: &Finding| f.severity > Severity::Note && !rules::SAID_IN_READING.contains(&f.rule.as_str());
    let findings: Vec<Finding> = check_trace(path, outcome, sums).into_iter().filter(doubtful).collect();
    if let Some(worst) = findings.iter().max_by_key(|f| f.severity) {
        let more = match findings.len() - 1 {
            0 => String::new(),
            1 => ", and 1 more finding".to_owned(),
            n => format!(", and {n} more findings"),
        };
        out.warn(path.display(), format_args!("{} [{}]{more}: see `traceq check`", worst.found, worst.rule));
    }
}
