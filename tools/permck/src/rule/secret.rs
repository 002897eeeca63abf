//! Private keys in files that are not held to the mode of a key.

use std::os::unix::ffi::OsStrExt;

use common::finding::Severity;
use common::policy::{Class, shell_quote};

use super::{AuditedEntry, EntryRule, RuleContext, Violation};

pub(crate) static RULE: EntryRule = EntryRule {
    id: "secret",
    severity: Severity::Error,
    what: "it holds a private key and is not kept as one",
    check: check_secret,
};

/// Its directory is open to others, as its other files need it.
pub(crate) static STRAY: EntryRule = EntryRule {
    id: "stray-key",
    severity: Severity::Warning,
    what: "a private key lies among other things",
    check: check_stray_key,
};

fn check_stray_key(s: &AuditedEntry<'_>, _: &RuleContext) -> Option<Violation> {
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
        fix: format!("move {} to a key directory, and the setting that names it", shell_quote(&key)),
    })
}

fn escape_name(name: &[u8]) -> String {
    common::text::safe(&String::from_utf8_lossy(name))
}

fn check_secret(s: &AuditedEntry<'_>, _: &RuleContext) -> Option<Violation> {
    let (kind, at) = s.secret?;
    let limit = s.limit?;
    // As a key file it is held to 0600, and the mode rules tell.
    if matches!(limit.class, Class::KeyFile | Class::CryptoScript) {
        return None;
    }
    // Nobody but the owner can read it: it lies where only its name is wrong.
    if s.mode().0 & 0o077 == 0 {
        return None;
    }
    Some(Violation {
        found: format!("{kind} at byte {at} of {}, mode {}", limit.class.row().what, s.mode()),
        expected: "private keys only in files of mode 0600 at most, in a key directory".into(),
        fix: format!(
            "chmod go= {}; replace the key if others could read it, and move it to a key directory",
            s.quoted_path()
        ),
    })
}
