//! Numbers that no account has: the next account that is created gets the file.

use common::finding::Severity;

use super::{AuditedEntry, EntryRule, RuleContext, Violation};

pub(crate) static RULE: EntryRule = EntryRule {
    id: "unowned",
    severity: Severity::Error,
    what: "its user or group does not exist",
    check: check_unowned,
};

fn check_unowned(s: &AuditedEntry<'_>, context: &RuleContext) -> Option<Violation> {
    let (uid, gid) = (s.st.stx_uid, s.st.stx_gid);
    let found = match (context.accounts.no_user(uid), context.accounts.no_group(gid)) {
        (true, true) => format!("uid {uid} and gid {gid} have no account"),
        (true, false) => format!("uid {uid} has no account"),
        (false, true) => format!("gid {gid} has no group"),
        (false, false) => return None,
    };
    Some(Violation {
        found,
        expected: "an existing user and group".into(),
        fix: format!("chown -h OWNER:GROUP {}", s.quoted_path()),
    })
}
