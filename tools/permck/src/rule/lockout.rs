//! Whether tightening an entry would lock out the account that runs the tools: an account that is neither the owner nor
//! in the group has only the permissions of others.

use common::policy::Mode;

use super::{AllowedIds, AuditedEntry, RuleContext};

/// The account that would lose access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lockout {
    /// An account that may own entries here.
    Account(u32),
    /// No account is known, and the group is root's, which has no members.
    Anybody,
}

/// Returns the account that the mode `after` would lock out.
pub(crate) fn find_lockout(s: &AuditedEntry<'_>, after: Mode, context: &RuleContext) -> Option<Lockout> {
    let limit = s.limit?;
    let lost = lost_bits(s, after);
    if lost == 0 {
        return None;
    }
    let AllowedIds::Ids(ids) = s.owner else { return None };
    let accounts: Vec<u32> = ids.iter().copied().filter(|&id| id != 0).collect();
    if accounts.is_empty() {
        // Only the owner needs a key.
        let shared = limit.max.0 & 0o070 != 0 && s.secret.is_none();
        return (shared && s.st.stx_gid == 0).then_some(Lockout::Anybody);
    }
    let by_group = after.0 >> 3 & lost == lost;
    let reaches = |&uid: &u32| {
        let mut groups = context
            .accounts
            .user_name(uid)
            .map(|name| context.accounts.groups_of(name))
            .into_iter()
            .flatten();
        let member = s.st.stx_gid == uid || groups.any(|(_, gid)| gid == s.st.stx_gid);
        s.st.stx_uid == uid || member && by_group
    };
    accounts.iter().find(|uid| !reaches(uid)).map(|&uid| Lockout::Account(uid))
}

/// Returns the permissions that others would lose.
pub(crate) fn lost_bits(s: &AuditedEntry<'_>, after: Mode) -> u32 {
    s.mode().0 & !after.0 & 0o005
}

impl Lockout {
    /// Returns the command to run before the mode is changed, and a comment for the end of the line.
    pub(super) fn prerequisite(self, s: &AuditedEntry<'_>, context: &RuleContext) -> (String, &'static str) {
        let group = s.limit.is_some_and(|limit| limit.max.0 & 0o050 != 0);
        match self {
            Self::Anybody => (
                format!("chgrp GROUP {} && ", s.quoted_path()),
                "  # GROUP: that of the account that runs it, or uses it",
            ),
            Self::Account(uid) if group => (
                format!("chgrp {} {} && ", context.accounts.group_of(uid).unwrap_or(uid), s.quoted_path()),
                "",
            ),
            Self::Account(uid) => (format!("chown {uid} {} && ", s.quoted_path()), ""),
        }
    }

    /// Describes why the permissions of others are kept.
    pub(crate) fn describe(self, s: &AuditedEntry<'_>, context: &RuleContext) -> String {
        let (first, _) = self.prerequisite(s, context);
        let who = match self {
            Self::Account(uid) => context.accounts.describe_user(uid),
            Self::Anybody => "the account that uses it".into(),
        };
        format!(
            "permissions of others are kept: {who} would lose access; run `{}` first",
            first.trim_end_matches(" && ")
        )
    }
}
