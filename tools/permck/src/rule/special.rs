//! setuid, setgid and sticky bits, which no class allows, and the flags that keep a file from being changed.

use common::finding::Severity;
use rustix::fs::{FileType, StatxAttributes};

use super::{AuditedEntry, EntryRule, RuleContext, Violation};

/// setuid, setgid, sticky.
pub(crate) static RULE: EntryRule = EntryRule {
    id: "special-bits",
    severity: Severity::Error,
    what: "it has a setuid, setgid or sticky bit",
    check: check_special_bits,
};

/// Immutable or append-only: worth knowing before somebody tries to fix or delete it.
pub(crate) static IMMUTABLE: EntryRule = EntryRule {
    id: "immutable",
    severity: Severity::Note,
    what: "it has a flag that keeps it from being changed",
    check: check_immutable,
};

fn check_special_bits(s: &AuditedEntry<'_>, _: &RuleContext) -> Option<Violation> {
    let mode = s.mode();
    if mode.0 & 0o7000 == 0 || s.file_type() == FileType::Symlink {
        return None;
    }
    let names = [(0o4000, "setuid"), (0o2000, "setgid"), (0o1000, "sticky")];
    let set: Vec<_> = names.iter().filter(|(bit, _)| mode.0 & bit != 0).map(|(_, name)| *name).collect();
    Some(Violation {
        found: format!("mode {mode} is {}", set.join(", ")),
        expected: "none of setuid, setgid, sticky".into(),
        fix: s.chmod_command(s.tightened_mode()),
    })
}

fn check_immutable(s: &AuditedEntry<'_>, _: &RuleContext) -> Option<Violation> {
    let flags =
        [(StatxAttributes::IMMUTABLE, "immutable", "i"), (StatxAttributes::APPEND, "append-only", "a")];
    let (_, name, letter) = flags.into_iter().find(|&(flag, ..)| s.has_attribute(flag))?;
    Some(Violation {
        found: format!("is {name}: its mode cannot be changed, nor can it be deleted"),
        expected: String::new(),
        fix: format!("chattr -{letter} {} before changing it", s.quoted_path()),
    })
}
