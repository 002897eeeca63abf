//! Names that can forge lines in lists and logs, or control a terminal.

use common::finding::Severity;
use common::policy::shell_quote;
use common::rule::Rule;
use common::text::safe;

use super::{AuditedEntry, EntryRule, RuleContext, Violation};

pub(crate) static RULE: EntryRule = EntryRule {
    description: Rule {
        id: "name",
        severity: Severity::Warning,
        what: "its name contains control characters or is not UTF-8",
        why: "The name can forge lines in logs and listings, or send control sequences to a terminal.",
        fix: "`mv -- PATH NEW_PATH`",
        reference: "POSIX.1-2017, Base Definitions, section Portable Filename Character Set; console_codes(4)",
    },
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
    Some(Violation {
        found,
        expected: "printable UTF-8".into(),
        fix: format!("mv -- {} {}", s.quoted_path(), shell_quote(&s.path().with_file_name("NEW_NAME"))),
        ..Violation::default()
    })
}
