//! Ids that no account has: a new account may get the id and with it the file.

use common::finding::Severity;
use common::rule::Rule;

use super::{AuditedEntry, EntryRule, RuleContext, Violation};

pub(crate) static RULE: EntryRule = EntryRule {
    description: Rule {
        id: "unowned",
        severity: Severity::Error,
        what: "its user or group does not exist",
        why: "The next account or group that is created may get the id, and with it the entry.",
        fix: "`chown -h OWNER:GROUP PATH`",
        reference: "msMonitor security statement, file permission control; find(1), -nouser and -nogroup",
    },
    check: check_unowned,
};

fn check_unowned(s: &AuditedEntry<'_>, context: &RuleContext) -> Option<Violation> {
    let (uid, gid) = (s.st.stx_uid, s.st.stx_gid);
    let found = match (context.accounts.no_user(uid), context.accounts.no_group(gid)) {
        (true, true) => format!("uid {uid} and gid {gid} do not exist"),
        (true, false) => format!("uid {uid} does not exist"),
        (false, true) => format!("gid {gid} does not exist"),
        (false, false) => return None,
    };
    Some(Violation {
        found,
        expected: "an existing user and group".into(),
        fix: format!("chown -h OWNER:GROUP {}", s.quoted_path()),
        ..Violation::default()
    })
}
