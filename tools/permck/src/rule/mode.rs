//! Permission bits outside the maximum of the class, told apart by how grave they are: one finding per entry.

use common::finding::Severity;
use common::policy::Mode;
use rustix::fs::FileType;

use super::{AuditedEntry, EntryRule, RuleContext, Violation, lockout};

/// Others can write.
pub(crate) static WORLD_WRITABLE: EntryRule = EntryRule {
    id: "world-writable",
    severity: Severity::Error,
    what: "anybody can write to it",
    check: |s, context| (excess_bits(s)? & 0o002 != 0).then(|| describe_excess(s, context)),
};

/// The group can write where its class does not allow that.
pub(crate) static GROUP_WRITABLE: EntryRule = EntryRule {
    id: "group-writable",
    severity: Severity::Error,
    what: "its group can write to it",
    check: |s, context| (excess_bits(s)? & 0o022 == 0o020).then(|| describe_excess(s, context)),
};

/// Any other bit beyond the maximum.
pub(crate) static RULE: EntryRule = EntryRule {
    id: "mode",
    severity: Severity::Error,
    what: "its mode allows more than its class",
    check: |s, context| {
        let excess = excess_bits(s)?;
        (excess & 0o022 == 0 && excess != 0).then(|| describe_excess(s, context))
    },
};

/// The bits beyond the maximum, special bits left to their own rule.
fn excess_bits(s: &AuditedEntry<'_>) -> Option<u32> {
    let mode = s.granted_mode();
    match (s.limit, s.file_type()) {
        (Some(limit), _) => Some(mode.beyond(limit.max).0 & 0o777),
        // A link's mode means nothing, and a device in a tree is a finding of its own.
        (None, FileType::Symlink) => None,
        (None, _) => Some(mode.0 & 0o002),
    }
}

fn describe_excess(s: &AuditedEntry<'_>, context: &RuleContext) -> Violation {
    let mode = s.granted_mode();
    let mut fix = s.chmod_command(s.tightened_mode());
    if let Some(lockout) = lockout::find_lockout(s, s.tightened_mode(), context) {
        let (first, then) = lockout.prerequisite(s, context);
        fix = format!("{first}{fix}{then}");
    }
    match s.limit {
        Some(limit) => {
            let row = limit.class.row();
            Violation {
                found: format!("mode {mode} allows {} too much for {}", mode.beyond(limit.max), row.what),
                expected: format!("at most {} ({}, told by {})", limit.max, row.name, limit.by),
                fix,
            }
        }
        None => Violation {
            found: format!("mode {mode} of {}", common::fsat::kind(u32::from(s.st.stx_mode))),
            expected: format!("nothing for others, as in {}", Mode(mode.0 & 0o770)),
            fix,
        },
    }
}
