//! Symbolic links to missing files, and out of the audited tree.

use common::finding::Severity;
use common::policy::shell_quote;
use common::rule::Rule;
use common::text::safe;

use super::{AuditedEntry, EntryRule, RuleContext, SymlinkDestination, SymlinkTarget, Violation};

pub(crate) static DANGLING: EntryRule = EntryRule {
    description: Rule {
        id: "link-dangling",
        severity: Severity::Warning,
        what: "it is a symbolic link to a missing file",
        why: "A user who can create the target controls the content that is read through the link; writing through it creates a file elsewhere.",
        fix: "`rm PATH`, or create the target",
        reference: "symlink(7); path_resolution(7)",
    },
    check: check_dangling,
};

pub(crate) static OUTSIDE: EntryRule = EntryRule {
    description: Rule {
        id: "link-outside",
        severity: Severity::Warning,
        what: "it is a symbolic link out of the tree",
        why: "The target is not audited, and the users who can change it change what programs read in the tree.",
        fix: "`permck audit TARGET`, or replace the link by a copy",
        reference: "symlink(7); msMonitor security statement, file permission control (input files: not a link that leads elsewhere)",
    },
    check: check_outside,
};

/// A note where only root, or those who may own entries here, can change what the link leads to.
fn severity(s: &AuditedEntry<'_>, context: &RuleContext, link: &SymlinkTarget) -> Severity {
    let ours = |uid: u32| uid == 0 || uid == s.root_owner || uid == s.st.stx_uid;
    let kept = link.destination.is_some_and(|(uid, mode)| ours(uid) && !mode.is_writable_by_others());
    if kept && !context.strict { Severity::Note } else { Severity::Warning }
}

fn check_dangling(s: &AuditedEntry<'_>, context: &RuleContext) -> Option<Violation> {
    let link = s.link.filter(|l| l.leads == SymlinkDestination::Nowhere)?;
    Some(Violation {
        found: format!("symbolic link to {}, which does not exist", safe(&link.target.to_string_lossy())),
        expected: "a target in the tree".into(),
        fix: format!("rm {}, or create the target", s.quoted_path()),
        severity: Some(severity(s, context, link)),
    })
}

fn check_outside(s: &AuditedEntry<'_>, context: &RuleContext) -> Option<Violation> {
    let link = s.link?;
    let SymlinkDestination::Outside(place) = &link.leads else { return None };
    Some(Violation {
        found: format!("symbolic link to {}, outside the tree", safe(&place.to_string_lossy())),
        expected: "a target in the tree".into(),
        fix: format!("permck audit {}, or replace {} by a copy", shell_quote(place), s.quoted_path()),
        severity: Some(severity(s, context, link)),
    })
}
