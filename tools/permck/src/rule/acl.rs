//! POSIX ACLs that grant more than the mode shows.
//!
//! With an ACL, the group bits of the mode show the mask, and named users and groups do not show at all. They
//! are neither the owner nor the owning group, so what they get counts as what others get: nothing, in every
//! class of the table.

use common::finding::Severity;

use super::{Hit, Judge, Rule, Subject};
use crate::xattr::{Acl, rwx};

/// The access ACL.
pub(crate) static RULE: Rule = Rule {
    id: "acl",
    severity: Severity::Error,
    what: "its ACL grants more than its mode shows",
    check: access,
};

/// The ACL that new entries of a directory get.
pub(crate) static DEFAULT: Rule = Rule {
    id: "acl-default",
    severity: Severity::Warning,
    what: "new entries get an ACL that grants access to others",
    check: default,
};

fn access(s: &Subject<'_>, judge: &Judge) -> Option<Hit> {
    let acl = s.xattrs.access.as_ref()?;
    if acl.broken {
        return Some(Hit {
            found: "an ACL that cannot be read".into(),
            expected: "none".into(),
            fix: remove(s),
        });
    }
    let granted = names(acl, judge);
    (!granted.is_empty()).then(|| Hit {
        found: format!("ACL grants {granted} beside mode {}", s.granted()),
        expected: "no access for named users and groups".into(),
        fix: remove(s),
    })
}

fn default(s: &Subject<'_>, judge: &Judge) -> Option<Hit> {
    let acl = s.xattrs.default.as_ref()?;
    let mut granted = names(acl, judge);
    if let Some(others) = acl.others().filter(|&o| o != 0) {
        let separator = if granted.is_empty() { "" } else { ", " };
        granted = format!("{granted}{separator}{} to others", rwx(others));
    }
    (!granted.is_empty()).then(|| Hit {
        found: format!("default ACL grants {granted}"),
        expected: "no access for named users, named groups and others".into(),
        fix: format!("setfacl -k {}", s.quoted()),
    })
}

fn names(acl: &Acl, judge: &Judge) -> String {
    let name = |g: crate::xattr::Grant| {
        let who = if g.group { judge.ids.group(g.id) } else { judge.ids.user(g.id) };
        format!("{} to {}{who}", rwx(g.bits), if g.group { "group " } else { "" })
    };
    acl.grants().map(name).collect::<Vec<_>>().join(", ")
}

/// `setfacl -b` alone would leave the mask in the group's bits.
fn remove(s: &Subject<'_>) -> String {
    format!("{} && setfacl -b {}", s.chmod(without_acl(s)), s.quoted())
}

/// The mode that leaves each what it really has and takes away what its class does not allow.
pub(crate) fn without_acl(s: &Subject<'_>) -> common::policy::Mode {
    let tight = s.tightened().0;
    let group = s.xattrs.access.as_ref().and_then(Acl::owning_group).unwrap_or(0);
    common::policy::Mode(tight & (0o707 | group << 3))
}
