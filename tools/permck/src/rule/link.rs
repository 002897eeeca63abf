//! Symbolic links that lead nowhere or out of the audited tree.

use common::finding::Severity;
use common::text::safe;

use super::{Hit, Judge, Leads, Rule, Subject};

pub(crate) static DANGLING: Rule = Rule {
    id: "link-dangling",
    severity: Severity::Warning,
    what: "it is a link that leads nowhere",
    check: dangling,
};

pub(crate) static OUTSIDE: Rule = Rule {
    id: "link-outside",
    severity: Severity::Warning,
    what: "it is a link that leads out of the tree",
    check: outside,
};

fn dangling(s: &Subject<'_>, _: &Judge) -> Option<Hit> {
    let link = s.link.filter(|l| l.leads == Leads::Nowhere)?;
    Some(Hit {
        found: format!("link to {}, which does not exist", safe(&link.target.to_string_lossy())),
        expected: "a link to something in the tree".into(),
        fix: format!("rm {}, or create what it leads to", s.quoted()),
    })
}

fn outside(s: &Subject<'_>, _: &Judge) -> Option<Hit> {
    let link = s.link?;
    let Leads::Outside(place) = &link.leads else { return None };
    Some(Hit {
        found: format!("link to {}, outside the tree", safe(&place.to_string_lossy())),
        expected: "a link to something in the tree".into(),
        fix: format!("replace {} by a copy, or audit what it leads to as well", s.quoted()),
    })
}
