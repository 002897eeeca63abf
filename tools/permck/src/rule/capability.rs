//! File capabilities: powers of root that a program gets from whoever runs it.

use common::finding::Severity;

use super::{Hit, Judge, Rule, Subject};

pub(crate) static RULE: Rule =
    Rule { id: "capability", severity: Severity::Error, what: "running it gives powers of root", check };

fn check(s: &Subject<'_>, _: &Judge) -> Option<Hit> {
    let capability = s.xattrs.capability.as_ref()?;
    Some(Hit {
        found: format!("file capabilities {capability}"),
        expected: "none".into(),
        fix: format!("setcap -r {}", s.quoted()),
    })
}
