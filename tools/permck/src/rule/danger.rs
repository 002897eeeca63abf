//! How grave a finding about permissions is: who besides the owner can use them, and for what.
//!
//! The table of rules has the severity of the worst case, which `--strict` keeps for all. Otherwise what no other user can
//! use is a note: permissions of a group without other members, and everything behind a directory that nobody else may
//! enter.

use common::finding::Severity;
use common::policy::Mode;
use rustix::fs::FileType;

use super::{AuditedEntry, RuleContext};

/// The permissions of group and others that somebody else than the owner and root has, as bits of a mode.
pub(crate) fn usable_bits(s: &AuditedEntry<'_>, context: &RuleContext) -> u32 {
    let group = if context.is_private_group(s.st.stx_gid, s.st.stx_uid) { 0 } else { 0o070 };
    // Another name of the file may be in another directory.
    if context.strict || s.file_type() != FileType::Directory && s.st.stx_nlink > 1 {
        return if context.strict { 0o077 } else { group | 0o007 };
    }
    let reach = s.reach();
    let own = |uid: u32| uid == 0 || uid == s.st.stx_uid || uid == s.root_owner;
    if reach.closed_by.is_some_and(own) {
        return 0;
    }
    match reach.only_group {
        // Its members are the group of the entry, or others.
        Some(gid) if context.is_private_group(gid, s.st.stx_uid) => 0,
        Some(gid) if gid == s.st.stx_gid => group,
        _ => group | 0o007,
    }
}

/// The severity of permissions that an entry should not grant.
pub(crate) fn severity_of_bits(s: &AuditedEntry<'_>, context: &RuleContext, bits: u32) -> Severity {
    if context.strict {
        return Severity::Error;
    }
    let used = bits & usable_bits(s, context);
    let sticky_dir = s.file_type() == FileType::Directory && s.mode().0 & 0o1000 != 0;
    match used {
        // In a sticky directory no user can replace the entries of others (chmod(1)).
        used if used & 0o022 != 0 && !sticky_dir => Severity::Error,
        0 => Severity::Note,
        _ => Severity::Warning,
    }
}

/// The severity of a program that runs with the rights of its owner or group, or with capabilities: a note where nobody
/// else can start it.
pub(crate) fn severity_of_program(s: &AuditedEntry<'_>, context: &RuleContext) -> Severity {
    match usable_bits(s, context) & s.granted_mode().0 & 0o011 {
        0 if !context.strict => Severity::Note,
        _ => Severity::Error,
    }
}

/// Returns the severity of access that a user or group has by name, `bits` as in an ACL.
pub(crate) fn severity_of_grant(s: &AuditedEntry<'_>, context: &RuleContext, bits: u32) -> Severity {
    match bits {
        _ if context.strict => Severity::Error,
        // A named user may be in any group, so only a closed directory stops everybody.
        _ if usable_bits(s, context) == 0 => Severity::Note,
        bits if bits & 2 != 0 => Severity::Error,
        _ => Severity::Warning,
    }
}

/// The umask that a mode looks like: that of ordinary files and directories, or of programs, also where nobody may write.
/// None if the mode is not what programs create by default.
pub(crate) fn umask_of(mode: Mode) -> Option<Mode> {
    let written = if mode.is_writable_by_others() { mode.0 } else { mode.0 | 0o200 };
    let fits = |umask: &Mode| [0o666, 0o777].iter().any(|full| written == full & !umask.0);
    [0o022, 0o002, 0o000].map(Mode).into_iter().find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_of_a_umask_are_told_from_others() {
        let umasks =
            [0o644, 0o755, 0o444, 0o555, 0o664, 0o777, 0o640, 0o641, 0o4755, 0o604].map(Mode).map(umask_of);
        let known = [0o022, 0o022, 0o022, 0o022, 0o002, 0o000].map(|umask| Some(Mode(umask)));
        assert_eq!(umasks, [&known[..], &[None; 4]].concat()[..]);
    }
}
