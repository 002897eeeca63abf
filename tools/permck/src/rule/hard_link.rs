//! Hard links to files of others: what is done to the name here is done to the file elsewhere.

use common::finding::Severity;
use rustix::fs::FileType;

use super::{AuditedEntry, EntryRule, HARD_LINK, RuleContext, Violation};

pub(crate) static RULE: EntryRule = EntryRule {
    id: HARD_LINK,
    severity: Severity::Error,
    what: "it is a hard link to a file of somebody else",
    check: check_hard_link,
};

fn check_hard_link(s: &AuditedEntry<'_>, context: &RuleContext) -> Option<Violation> {
    let foreign = s.st.stx_uid != s.dir_owner;
    (s.file_type() == FileType::RegularFile && s.st.stx_nlink > 1 && foreign).then(|| Violation {
        found: format!(
            "one of {} names of a file of {}, in a directory of {}",
            s.st.stx_nlink,
            context.accounts.user(s.st.stx_uid),
            context.accounts.user(s.dir_owner)
        ),
        expected: "files of the directory's owner, or with one name".into(),
        fix: format!(
            "find out what else it is called (find MOUNT -xdev -samefile {0}), then rm {0} if it does not belong here",
            s.quoted_path()
        ),
    })
}
