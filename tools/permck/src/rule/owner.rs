//! Owner and group: allowed are those of the policy, or else root and the owner of the audited path.

use common::finding::Severity;
use common::policy::Class;
use common::rule::Rule;
use rustix::fs::FileType;

use super::{AllowedIds, AuditedEntry, EntryRule, Violation};

pub(crate) static OWNER: EntryRule = EntryRule {
    description: Rule {
        id: "owner",
        severity: Severity::Error,
        what: "its owner is not allowed",
        why: "The owner can change the content and the mode of the entry at any time.",
        fix: "`chown -h OWNER PATH`",
        reference: "msMonitor security statement, file permission control (input files: owned by the user of the process)",
    },
    check: |s, context| {
        let AllowedIds::Ids(ids) = s.owner else { return None };
        // An owner that does not exist has a rule of its own.
        let unowned = s.owner_by_default && context.accounts.no_user(s.st.stx_uid);
        // Services keep their data in the home directory of their account, such as /var/lib/postgresql.
        let at_home = || {
            let by_default = s.owner_by_default && !context.strict && s.file_type() == FileType::Directory;
            by_default && context.is_home_of(s.st.stx_uid, &s.path())
        };
        (!s.owner.admits(s.st.stx_uid) && !unowned && !at_home()).then(|| Violation {
            found: format!("owned by {}", context.accounts.describe_user(s.st.stx_uid)),
            expected: join_names(ids, |id| context.accounts.describe_user(id)),
            fix: chown_command("chown", ids.first().copied(), s),
            severity: Some(severity_of_owner(s, context)),
        })
    },
};

pub(crate) static GROUP: EntryRule = EntryRule {
    description: Rule {
        id: "group",
        severity: Severity::Error,
        what: "its group is not allowed",
        why: "The members of the group have its permissions, such as reading configuration and traces.",
        fix: "`chgrp -h GROUP PATH`",
        reference: "msMonitor security statement, file permission control",
    },
    check: |s, context| {
        let AllowedIds::Ids(ids) = s.group else { return None };
        (!s.group.admits(s.st.stx_gid)).then(|| Violation {
            found: format!("group {}", context.accounts.describe_group(s.st.stx_gid)),
            expected: join_names(ids, |id| context.accounts.describe_group(id)),
            fix: chown_command("chgrp", ids.first().copied(), s),
            severity: Some(severity_of_group(s, context)),
        })
    },
};

/// Without a policy or --owner, an account that has files in a directory of its own is usual: services keep their data
/// like that. The directory itself is a warning, and what is below it a note. Other entries that an account has in
/// directories of another account are errors if they are run or are keys.
fn severity_of_owner(s: &AuditedEntry<'_>, context: &super::RuleContext) -> Severity {
    if context.strict || !s.owner_by_default || context.accounts.user_name(s.st.stx_uid).is_none() {
        return Severity::Error;
    }
    let above = if s.name.is_empty() { s.node.owner_above() } else { Some(s.dir_owner) };
    let grave = s.limit.is_some_and(|limit| {
        matches!(limit.class, Class::ProgramFile | Class::CryptoScript | Class::KeyFile)
    });
    match above == Some(s.st.stx_uid) {
        true => Severity::Note,
        false if grave => Severity::Error,
        false => Severity::Warning,
    }
}

/// A wrong group that has no permissions gets none.
fn severity_of_group(s: &AuditedEntry<'_>, context: &super::RuleContext) -> Severity {
    match s.granted_mode().0 & 0o070 {
        0 if !context.strict => Severity::Note,
        bits if bits & 0o020 == 0 && !context.strict => Severity::Warning,
        _ => Severity::Error,
    }
}

fn join_names(ids: &[u32], name: impl Fn(u32) -> String) -> String {
    match ids {
        [] => "an account that exists".into(),
        ids => ids.iter().map(|&id| name(id)).collect::<Vec<_>>().join(" or "),
    }
}

/// Returns the command that changes the owner or group. `-h` changes a symbolic link itself, not its target. A file with
/// several hard links may be a system file, so no command is given for it.
fn chown_command(command: &str, to: Option<u32>, s: &AuditedEntry<'_>) -> String {
    if s.file_type() != FileType::Directory && s.st.stx_nlink > 1 {
        return format!("it has {} hard links: first find the other names", s.st.stx_nlink);
    }
    to.map_or_else(String::new, |id| format!("{command} -h {id} {}", s.quoted_path()))
}
