//! AccountTable that no account has: the next account that is created gets the file.

use common::finding::Severity;

use super::{Hit, Judge, Rule, Subject};

pub(crate) static RULE: Rule =
    Rule { id: "unowned", severity: Severity::Error, what: "its user or group does not exist", check };

fn check(s: &Subject<'_>, judge: &Judge) -> Option<Hit> {
    let (uid, gid) = (s.st.stx_uid, s.st.stx_gid);
    let found = match (judge.ids.no_user(uid), judge.ids.no_group(gid)) {
        (true, true) => format!("uid {uid} and gid {gid} have no account"),
        (true, false) => format!("uid {uid} has no account"),
        (false, true) => format!("gid {gid} has no group"),
        (false, false) => return None,
    };
    Some(Hit {
        found,
        expected: "an existing user and group".into(),
        fix: format!("chown -h OWNER:GROUP {}", s.quoted()),
    })
}
