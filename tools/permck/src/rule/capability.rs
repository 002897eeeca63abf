//! File capabilities: privileges that a program gains when any user executes it (capabilities(7)).

use common::finding::Severity;
use common::rule::Rule;

use super::{AuditedEntry, EntryRule, RuleContext, Violation, danger};

pub(crate) static RULE: EntryRule = EntryRule {
    description: Rule {
        id: "capability",
        severity: Severity::Error,
        what: "it has file capabilities",
        why: "The program gains these privileges for every user who executes it.",
        fix: "`setcap -r PATH`",
        reference: "capabilities(7), section File capabilities; msMonitor security statement, running security",
    },
    check: check_capabilities,
};

fn check_capabilities(s: &AuditedEntry<'_>, context: &RuleContext) -> Option<Violation> {
    let capability = s.xattrs.capability.as_ref()?;
    Some(Violation {
        found: format!("file capabilities {capability}"),
        expected: "none".into(),
        fix: format!("setcap -r {}", s.quoted_path()),
        severity: Some(danger::severity_of_program(s, context)),
    })
}
