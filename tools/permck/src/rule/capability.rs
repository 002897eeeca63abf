//! File capabilities: powers of root that a program gets from whoever runs it.

use common::finding::Severity;

use super::{AuditedEntry, EntryRule, RuleContext, Violation};

pub(crate) static RULE: EntryRule = EntryRule {
    id: "capability",
    severity: Severity::Error,
    what: "running it gives powers of root",
    check: check_capabilities,
};

fn check_capabilities(s: &AuditedEntry<'_>, _: &RuleContext) -> Option<Violation> {
    let capability = s.xattrs.capability.as_ref()?;
    Some(Violation {
        found: format!("file capabilities {capability}"),
        expected: "none".into(),
        fix: format!("setcap -r {}", s.quoted_path()),
    })
}
