//! Symbolic links that lead nowhere or out of the audited tree.

use common::finding::Severity;
use common::text::safe;

use super::{AuditedEntry, EntryRule, RuleContext, SymlinkDestination, Violation};

pub(crate) static DANGLING: EntryRule = EntryRule {
    id: "link-dangling",
    severity: Severity::Warning,
    what: "it is a link that leads nowhere",
    check: check_dangling,
};

pub(crate) static OUTSIDE: EntryRule = EntryRule {
    id: "link-outside",
    severity: Severity::Warning,
    what: "it is a link that leads out of the tree",
    check: check_outside,
};

fn check_dangling(s: &AuditedEntry<'_>, _: &RuleContext) -> Option<Violation> {
    let link = s.link.filter(|l| l.leads == SymlinkDestination::Nowhere)?;
    Some(Violation {
        found: format!("link to {}, which does not exist", safe(&link.target.to_string_lossy())),
        expected: "a link to something in the tree".into(),
        fix: format!("rm {}, or create what it leads to", s.quoted_path()),
    })
}

fn check_outside(s: &AuditedEntry<'_>, _: &RuleContext) -> Option<Violation> {
    let link = s.link?;
    let SymlinkDestination::Outside(place) = &link.leads else { return None };
    Some(Violation {
        found: format!("link to {}, outside the tree", safe(&place.to_string_lossy())),
        expected: "a link to something in the tree".into(),
        fix: format!("replace {} by a copy, or audit what it leads to as well", s.quoted_path()),
    })
}
