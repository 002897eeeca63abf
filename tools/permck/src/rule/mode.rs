//! Permission bits outside the maximum of the class, told apart by how grave they are: one finding per entry.

use common::finding::Severity;
use common::policy::Mode;
use rustix::fs::FileType;

use super::{Hit, Judge, Rule, Subject, lockout};

/// Others can write.
pub(crate) static WORLD_WRITABLE: Rule = Rule {
    id: "world-writable",
    severity: Severity::Error,
    what: "anybody can write to it",
    check: |s, judge| (excess(s)? & 0o002 != 0).then(|| hit(s, judge)),
};

/// The group can write where its class does not allow that.
pub(crate) static GROUP_WRITABLE: Rule = Rule {
    id: "group-writable",
    severity: Severity::Error,
    what: "its group can write to it",
    check: |s, judge| (excess(s)? & 0o022 == 0o020).then(|| hit(s, judge)),
};

/// Any other bit beyond the maximum.
pub(crate) static RULE: Rule = Rule {
    id: "mode",
    severity: Severity::Error,
    what: "its mode allows more than its class",
    check: |s, judge| {
        let excess = excess(s)?;
        (excess & 0o022 == 0 && excess != 0).then(|| hit(s, judge))
    },
};

/// The bits beyond the maximum, special bits left to their own rule.
fn excess(s: &Subject<'_>) -> Option<u32> {
    let mode = s.granted();
    match (s.standard, s.file_type()) {
        (Some(standard), _) => Some(mode.beyond(standard.max).0 & 0o777),
        // A link's mode means nothing, and a device in a tree is a finding of its own.
        (None, FileType::Symlink) => None,
        (None, _) => Some(mode.0 & 0o002),
    }
}

fn hit(s: &Subject<'_>, judge: &Judge) -> Hit {
    let mode = s.granted();
    let mut fix = s.chmod(s.tightened());
    if let Some(lockout) = lockout::of(s, s.tightened(), judge) {
        let (first, then) = lockout.first(s, judge);
        fix = format!("{first}{fix}{then}");
    }
    match s.standard {
        Some(standard) => {
            let row = standard.class.row();
            Hit {
                found: format!("mode {mode} allows {} too much for {}", mode.beyond(standard.max), row.what),
                expected: format!("at most {} ({}, told by {})", standard.max, row.name, standard.by),
                fix,
            }
        }
        None => Hit {
            found: format!("mode {mode} of {}", common::fsat::kind(u32::from(s.st.stx_mode))),
            expected: format!("nothing for others, as in {}", Mode(mode.0 & 0o770)),
            fix,
        },
    }
}
