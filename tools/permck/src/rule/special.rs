//! setuid, setgid and sticky bits, which no class allows, and immutable and append-only flags.

use common::finding::Severity;
use common::rule::Rule;
use rustix::fs::{FileType, StatxAttributes};

use super::{AuditedEntry, EntryRule, RuleContext, Violation, danger};

/// The setuid, setgid and sticky bits.
pub(crate) static RULE: EntryRule = EntryRule {
    description: Rule {
        id: "special-bits",
        severity: Severity::Error,
        what: "it has a setuid, setgid or sticky bit",
        why: "A setuid or setgid program runs with the rights of its owner or group for every user who starts it; a fault in it gives them these rights.",
        fix: "`chmod u-s,g-s,-t PATH`",
        reference: "msMonitor security statement, file permission control (no class allows these bits); chmod(1)",
    },
    check: check_special_bits,
};

/// The immutable and append-only flags, which prevent fixes and deletions.
pub(crate) static IMMUTABLE: EntryRule = EntryRule {
    description: Rule {
        id: "immutable",
        severity: Severity::Note,
        what: "it has an immutable or append-only flag",
        why: "Neither a fix nor a clean-up can change or delete the file before the flag is removed.",
        fix: "`chattr -i -a PATH`, before a change",
        reference: "chattr(1)",
    },
    check: check_immutable,
};

fn check_special_bits(s: &AuditedEntry<'_>, context: &RuleContext) -> Option<Violation> {
    let mode = s.mode();
    if mode.0 & 0o7000 == 0 || s.file_type() == FileType::Symlink {
        return None;
    }
    let names = [(0o4000, "setuid"), (0o2000, "setgid"), (0o1000, "sticky")];
    let set: Vec<_> = names.iter().filter(|(bit, _)| mode.0 & bit != 0).map(|(_, name)| *name).collect();
    Some(Violation {
        found: format!("mode {mode}: {} set", set.join(", ")),
        expected: "no setuid, setgid or sticky bit".into(),
        fix: s.chmod_command(s.strictest_mode()),
        severity: Some(severity(s, context)),
    })
}

/// On directories, setgid passes the group on to new entries, sticky protects entries from each other, and setuid does
/// nothing; on a file that no user may execute, they do nothing (chmod(1)).
fn severity(s: &AuditedEntry<'_>, context: &RuleContext) -> Severity {
    let program = s.file_type() == FileType::RegularFile && s.mode().0 & 0o6000 != 0;
    match program {
        true => danger::severity_of_program(s, context),
        false if context.strict => Severity::Error,
        false => Severity::Note,
    }
}

fn check_immutable(s: &AuditedEntry<'_>, _: &RuleContext) -> Option<Violation> {
    let flags =
        [(StatxAttributes::IMMUTABLE, "immutable", "i"), (StatxAttributes::APPEND, "append-only", "a")];
    let (_, name, letter) = flags.into_iter().find(|&(flag, ..)| s.has_attribute(flag))?;
    Some(Violation {
        found: format!("{name}: it cannot be deleted and its mode cannot be changed"),
        expected: String::new(),
        fix: format!("chattr -{letter} {} before changing it", s.quoted_path()),
        ..Violation::default()
    })
}
