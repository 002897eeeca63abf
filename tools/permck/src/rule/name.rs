//! Names that forge lines in lists and logs, drive terminals, or read differently from what they are.

use common::finding::Severity;
use common::text::safe;

use super::{AuditedEntry, EntryRule, RuleContext, Violation};

pub(crate) static RULE: EntryRule = EntryRule {
    id: "name",
    severity: Severity::Warning,
    what: "its name holds control characters or is not UTF-8",
    check: check_name,
};

fn check_name(s: &AuditedEntry<'_>, _: &RuleContext) -> Option<Violation> {
    let name = s.own_name();
    // Nearly all names are printable ASCII.
    if name.iter().all(|b| (b' '..=b'~').contains(b)) {
        return None;
    }
    let found = match std::str::from_utf8(name) {
        Err(_) => "a name that is not UTF-8".to_owned(),
        Ok(text) if safe(text) != text => "a name with control characters".to_owned(),
        Ok(_) => return None,
    };
    Some(Violation { found, expected: "printable UTF-8".into(), fix: "rename it".into() })
}
