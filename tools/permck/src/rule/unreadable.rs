//! Files whose content could not be looked at, so that their class is told by the name alone.

use common::finding::Severity;

use super::{Hit, Judge, Rule, Subject};

pub(crate) static RULE: Rule = Rule {
    id: "unreadable",
    severity: Severity::Warning,
    what: "its content could not be read, so its class is a guess and keys in it go unseen",
    check,
};

fn check(s: &Subject<'_>, _: &Judge) -> Option<Hit> {
    let error = s.unread?;
    Some(Hit {
        found: format!("cannot be read: {}", crate::reason(error)),
        expected: "an audit by root or the owner".into(),
        fix: "run permck as root or as the owner".into(),
    })
}
