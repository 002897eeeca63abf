//! Hard links to files of other users: a change here changes the file under its other names.

use common::finding::Severity;
use common::rule::Rule;
use rustix::fs::FileType;

use super::{AuditedEntry, EntryRule, HARD_LINK, RuleContext, Violation};

pub(crate) static RULE: EntryRule = EntryRule {
    description: Rule {
        id: HARD_LINK,
        severity: Severity::Error,
        what: "it is a hard link to a file of another user",
        why: "A change through this name changes the file of another user under its other names, which may be system files.",
        fix: "`find MOUNT -xdev -samefile PATH` lists the names; `rm PATH` removes this one",
        reference: "proc_sys_fs(5), protected_hardlinks",
    },
    check: check_hard_link,
};

fn check_hard_link(s: &AuditedEntry<'_>, context: &RuleContext) -> Option<Violation> {
    let foreign = s.st.stx_uid != s.dir_owner;
    (s.file_type() == FileType::RegularFile && s.st.stx_nlink > 1 && foreign).then(|| Violation {
        found: format!(
            "one of {} hard links to a file of {}, in a directory of {}",
            s.st.stx_nlink,
            context.accounts.describe_user(s.st.stx_uid),
            context.accounts.describe_user(s.dir_owner)
        ),
        expected: "a file of the directory's owner, or without other hard links".into(),
        fix: format!(
            "find MOUNT -xdev -samefile {0}, which lists the other names; rm {0}, if it does not belong here",
            s.quoted_path()
        ),
        ..Violation::default()
    })
}
