//! Owner and group: who may own an entry is said by the policy, or is the owner of the audited path and root.

use common::finding::Severity;
use rustix::fs::FileType;

use super::{Allowed, Hit, Rule, Subject};

pub(crate) static OWNER: Rule = Rule {
    id: "owner",
    severity: Severity::Error,
    what: "it belongs to somebody else",
    check: |s, judge| {
        let Allowed::Ids(ids) = s.owner else { return None };
        (!s.owner.admits(s.st.stx_uid)).then(|| Hit {
            found: format!("owned by {}", judge.ids.user(s.st.stx_uid)),
            expected: list(ids, |id| judge.ids.user(id)),
            fix: fix("chown", ids.first().copied(), s),
        })
    },
};

pub(crate) static GROUP: Rule = Rule {
    id: "group",
    severity: Severity::Error,
    what: "it belongs to another group",
    check: |s, judge| {
        let Allowed::Ids(ids) = s.group else { return None };
        (!s.group.admits(s.st.stx_gid)).then(|| Hit {
            found: format!("group {}", judge.ids.group(s.st.stx_gid)),
            expected: list(ids, |id| judge.ids.group(id)),
            fix: fix("chgrp", ids.first().copied(), s),
        })
    },
};

fn list(ids: &[u32], name: impl Fn(u32) -> String) -> String {
    match ids {
        [] => "an account that exists".into(),
        ids => ids.iter().map(|&id| name(id)).collect::<Vec<_>>().join(" or "),
    }
}

/// `-h`: a link's own owner, not that of what it leads to. Who gives away a file with other names gives those away,
/// and one of them may be a file of the system.
fn fix(command: &str, to: Option<u32>, s: &Subject<'_>) -> String {
    if s.file_type() != FileType::Directory && s.st.stx_nlink > 1 {
        return format!("it has {} names: first find out what the others are", s.st.stx_nlink);
    }
    to.map_or_else(String::new, |id| format!("{command} -h {id} {}", s.quoted()))
}
