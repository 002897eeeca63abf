//! Files whose content could not be looked at, so that their class is told by the name alone.

use common::finding::Severity;

use super::{AuditedEntry, EntryRule, RuleContext, Violation};

pub(crate) static RULE: EntryRule = EntryRule {
    id: "unreadable",
    severity: Severity::Warning,
    what: "its content could not be read, so its class is a guess and keys in it go unseen",
    check: check_unreadable,
};

fn check_unreadable(s: &AuditedEntry<'_>, _: &RuleContext) -> Option<Violation> {
    let error = s.unread?;
    Some(Violation {
        found: format!("cannot be read: {}", crate::reason(error)),
        expected: "an audit by root or the owner".into(),
        fix: "run permck as root or as the owner".into(),
    })
}
