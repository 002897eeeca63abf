//! Private keys in files of other classes, and in directories with other files.

use std::os::unix::ffi::OsStrExt;

use common::finding::Severity;
use common::policy::{Class, Mode, shell_quote};
use common::rule::Rule;

use super::{AuditedEntry, EntryRule, RuleContext, Violation, danger};

pub(crate) static READABLE: EntryRule = EntryRule {
    description: Rule {
        id: "key-readable",
        severity: Severity::Error,
        what: "other users can read a private key",
        why: "Every user who can read the file can use the key, and who has read it keeps it after the mode is changed.",
        fix: "`chmod go= PATH`, then replace the key and revoke what was issued for it",
        reference: "msMonitor security statement, file permission control (keys: 0600 in a directory 0700)",
    },
    check: check_readable_key,
};

/// The directory is accessible to group or others because its other files need that.
pub(crate) static STRAY: EntryRule = EntryRule {
    description: Rule {
        id: "stray-key",
        severity: Severity::Warning,
        what: "a private key is in a directory with other files",
        why: "The directory is open to other users because of its other files, so only the mode of the key file protects the key.",
        fix: "`mv PATH KEY_DIR`, a directory with mode 0700; change the setting that names the key",
        reference: "msMonitor security statement, file permission control (key directory: 0700)",
    },
    check: check_stray_key,
};

fn check_stray_key(s: &AuditedEntry<'_>, context: &RuleContext) -> Option<Violation> {
    let key_dir = s.limit.is_some_and(|st| st.class == Class::KeyDir);
    let stray = s.stray.filter(|_| s.mode().0 & 0o077 != 0 && !key_dir)?;
    let key = s.path().join(std::ffi::OsStr::from_bytes(&stray.name));
    let more = if stray.keys > 1 { format!(" and {} more", stray.keys - 1) } else { String::new() };
    Some(Violation {
        found: format!(
            "private key {}{more} beside {} other entries",
            escape_name(&stray.name),
            stray.others
        ),
        expected: "private keys in a directory of their own, mode 0700".into(),
        fix: format!("move {} to a key directory, and change the setting that names it", shell_quote(&key)),
        severity: Some(danger::severity_of_bits(s, context, 0o055).min(STRAY.description.severity)),
    })
}

fn escape_name(name: &[u8]) -> String {
    common::text::safe(&String::from_utf8_lossy(name))
}

/// Returns whether others than the owner can read an entry that holds a private key, and with which permissions.
pub(super) fn readers(s: &AuditedEntry<'_>, context: &RuleContext) -> Option<Mode> {
    s.secret?;
    let mut usable = danger::usable_bits(s, context);
    let named = s.xattrs.access.as_ref().map_or(0, |acl| acl.named_grants().fold(0, |bits, g| bits | g.bits));
    let bits = s.granted_mode().0 & usable & 0o044;
    // An account that an ACL names may be in any group.
    usable = if usable == 0 { 0 } else { named & 4 };
    (bits != 0 || usable != 0).then_some(Mode(bits))
}

fn check_readable_key(s: &AuditedEntry<'_>, context: &RuleContext) -> Option<Violation> {
    let bits = readers(s, context)?;
    let (kind, at) = s.secret?;
    let place = if at == 0 { String::new() } else { format!(" at byte {at}") };
    let who = if bits.0 == 0 { "users whom its ACL names may read".into() } else { bits.describe(false) };
    Some(Violation {
        found: format!("{kind}{place}, mode {}: {who}", s.mode()),
        expected: "mode 0600, in a key directory".into(),
        fix: format!("chmod go= {}, then replace the key: who has read it keeps it", s.quoted_path()),
        ..Violation::default()
    })
}
