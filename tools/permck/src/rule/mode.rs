//! Permission bits beyond the maximum of the class: one finding per entry, by the gravest bit.

use common::finding::Severity;
use common::policy::{Class, Mode};
use common::rule::Rule;
use rustix::fs::FileType;

use super::{AuditedEntry, EntryRule, RuleContext, Violation, danger, lockout};

/// Others may write.
pub(crate) static WORLD_WRITABLE: EntryRule = EntryRule {
    description: Rule {
        id: "world-writable",
        severity: Severity::Error,
        what: "everyone may write to it",
        why: "Every local user can replace the content: programs that others run, or data that they trust.",
        fix: "`chmod o-w PATH`",
        reference: "msMonitor security statement, file permission control (no 666, no 777); chmod(1)",
    },
    check: |s, context| (excess_bits(s)? & 0o002 != 0).then(|| describe_excess(s, context)),
};

/// The group may write, and the class does not allow it.
pub(crate) static GROUP_WRITABLE: EntryRule = EntryRule {
    description: Rule {
        id: "group-writable",
        severity: Severity::Error,
        what: "its group may write to it",
        why: "Every member of the group can replace the content, which only the owner should change.",
        fix: "`chmod g-w PATH`",
        reference: "msMonitor security statement, file permission control (maximum mode of each class)",
    },
    check: |s, context| (excess_bits(s)? & 0o022 == 0o020).then(|| describe_excess(s, context)),
};

/// Any other bit beyond the maximum.
pub(crate) static RULE: EntryRule = EntryRule {
    description: Rule {
        id: "mode",
        severity: Severity::Error,
        what: "its mode exceeds the maximum of its class",
        why: "Users whom the class does not provide for can read, enter or execute the entry, or its owner can overwrite a program by mistake.",
        fix: "`chmod MODE PATH`, with the maximum mode of the class",
        reference: "msMonitor security statement, file permission control (maximum mode of each class)",
    },
    check: |s, context| {
        let excess = excess_bits(s)?;
        // A readable key has a rule of its own.
        let key = super::secret::readers(s, context).is_some()
            && s.limit.is_some_and(|l| l.class == Class::KeyFile);
        (excess & 0o022 == 0 && excess != 0 && !key).then(|| describe_excess(s, context))
    },
};

/// Returns the permission bits beyond the maximum, without special bits, which have a rule of their own.
fn excess_bits(s: &AuditedEntry<'_>) -> Option<u32> {
    let mode = s.granted_mode();
    match (s.limit, s.file_type()) {
        (Some(limit), _) => Some(mode.beyond(limit.max).0 & 0o777),
        // The mode of a symbolic link has no effect (symlink(7)).
        (None, FileType::Symlink) => None,
        (None, _) => Some(mode.0 & 0o002),
    }
}

fn describe_excess(s: &AuditedEntry<'_>, context: &RuleContext) -> Violation {
    let mode = s.granted_mode();
    let severity = Some(danger::severity_of_bits(s, context, excess_bits(s).unwrap_or(0)));
    // What only the owner can use is closed by --strict alone, but then it is what the advice is about.
    let narrowed = s.tightened_mode(context);
    let target = if narrowed == s.mode() { s.strictest_mode() } else { narrowed };
    let mut fix = s.chmod_command(target);
    if let Some(lockout) = lockout::find_lockout(s, target, context) {
        let (first, then) = lockout.prerequisite(s, context);
        fix = format!("{first}{fix}{then}");
    }
    match s.limit {
        Some(limit) => {
            let row = limit.class.row();
            // Special bits have a rule of their own.
            let beyond = Mode(mode.beyond(limit.max).0 & 0o777);
            Violation {
                found: format!("mode {mode}: {}", beyond.describe(limit.class.is_dir())),
                expected: format!(
                    "at most {} ({}; class {} by {})",
                    limit.max, row.what, limit.name, limit.by
                ),
                fix,
                severity,
            }
        }
        None => Violation {
            found: format!("{}, mode {mode}: others may write", common::fsat::kind(u32::from(s.st.stx_mode))),
            expected: format!("no access for others, such as {}", Mode(mode.0 & 0o770)),
            fix,
            severity,
        },
    }
}
