//! POSIX ACLs that grant more than the mode shows.
//!
//! With an ACL, the group bits of the mode are the mask, and named users and groups do not show at all (acl(5)). They
//! are neither the owner nor the owning group, so they count as others, who have no access in any class.

use common::finding::Severity;
use common::rule::Rule;

use super::{AuditedEntry, EntryRule, RuleContext, Violation, danger};
use crate::xattr::{Acl, format_bits};

/// The access ACL.
pub(crate) static RULE: EntryRule = EntryRule {
    description: Rule {
        id: "acl",
        severity: Severity::Error,
        what: "its ACL grants more than its mode shows",
        why: "Users and groups have access that the mode does not show, because the group bits of the mode are then the mask of the ACL.",
        fix: "`chmod MODE PATH && setfacl -b PATH`",
        reference: "acl(5), section Correspondence between ACL entries and file permission bits",
    },
    check: check_access_acl,
};

/// The ACL that new entries of a directory get.
pub(crate) static DEFAULT: EntryRule = EntryRule {
    description: Rule {
        id: "acl-default",
        severity: Severity::Warning,
        what: "its default ACL grants access to other users",
        why: "New entries inherit the ACL and are accessible to other users, whatever the umask is.",
        fix: "`setfacl -k PATH`",
        reference: "acl(5), section Object creation and default ACLs",
    },
    check: check_default_acl,
};

fn check_access_acl(s: &AuditedEntry<'_>, context: &RuleContext) -> Option<Violation> {
    let acl = s.xattrs.access.as_ref()?;
    if acl.broken {
        return Some(Violation {
            found: "malformed ACL".into(),
            expected: "none".into(),
            fix: removal_command(s, context),
            severity: Some(danger::severity_of_grant(s, context, 7)),
        });
    }
    let granted = describe_grants(acl, context);
    (!granted.is_empty()).then(|| Violation {
        found: format!("ACL grants {granted}, in addition to mode {}", s.granted_mode()),
        expected: "no access for named users and groups".into(),
        fix: removal_command(s, context),
        severity: Some(danger::severity_of_grant(s, context, granted_bits(acl))),
    })
}

fn check_default_acl(s: &AuditedEntry<'_>, context: &RuleContext) -> Option<Violation> {
    let acl = s.xattrs.default.as_ref()?;
    let mut granted = describe_grants(acl, context);
    if let Some(others) = acl.other_bits().filter(|&o| o != 0) {
        let separator = if granted.is_empty() { "" } else { ", " };
        granted = format!("{granted}{separator}{} to others", format_bits(others));
    }
    (!granted.is_empty()).then(|| Violation {
        found: format!("default ACL grants {granted}"),
        expected: "no access for named users, named groups and others".into(),
        fix: format!("setfacl -k {}", s.quoted_path()),
        ..Violation::default()
    })
}

/// Returns the permissions of all named users and groups together.
fn granted_bits(acl: &Acl) -> u32 {
    acl.named_grants().fold(0, |bits, grant| bits | grant.bits)
}

fn describe_grants(acl: &Acl, context: &RuleContext) -> String {
    let name = |g: crate::xattr::AclGrant| {
        let who = if g.group {
            context.accounts.describe_group(g.id)
        } else {
            context.accounts.describe_user(g.id)
        };
        format!("{} to {}{who}", format_bits(g.bits), if g.group { "group " } else { "" })
    };
    acl.named_grants().map(name).collect::<Vec<_>>().join(", ")
}

/// Returns the command that removes the ACL. `setfacl -b` alone would leave the mask in the group bits.
fn removal_command(s: &AuditedEntry<'_>, context: &RuleContext) -> String {
    format!("{} && setfacl -b {}", s.chmod_command(without_acl(s, context)), s.quoted_path())
}

/// Returns the mode for an entry whose ACL is removed: effective permissions, without those beyond the class.
pub(crate) fn without_acl(s: &AuditedEntry<'_>, context: &RuleContext) -> common::policy::Mode {
    let tight = s.tightened_mode(context).0;
    let group = s.xattrs.access.as_ref().and_then(Acl::owning_group_bits).unwrap_or(0);
    common::policy::Mode(tight & (0o707 | group << 3))
}
