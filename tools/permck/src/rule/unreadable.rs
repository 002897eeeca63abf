//! Files whose content could not be read, so that only the name decides the class.

use common::finding::Severity;
use common::rule::Rule;

use super::{AuditedEntry, EntryRule, RuleContext, Violation};

pub(crate) static RULE: EntryRule = EntryRule {
    description: Rule {
        id: "unreadable",
        severity: Severity::Warning,
        what: "its content could not be read: the class is a guess, and keys in it are missed",
        why: "Private keys in the file are not found, and only its name decides its class.",
        fix: "run `permck audit` as root or as the owner",
        reference: "permck-audit(1)",
    },
    check: check_unreadable,
};

fn check_unreadable(s: &AuditedEntry<'_>, _: &RuleContext) -> Option<Violation> {
    let error = s.unread?;
    Some(Violation {
        found: format!("cannot be read: {}", crate::reason(error)),
        expected: "an audit by root or the owner".into(),
        fix: "run permck as root or as the owner".into(),
        ..Violation::default()
    })
}
