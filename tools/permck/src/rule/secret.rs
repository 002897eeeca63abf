//! Private keys in files of other classes, and in directories with other files.

use std::os::unix::ffi::OsStrExt;

use common::finding::Severity;
use common::policy::{Class, shell_quote};
use common::rule::Rule;

use super::{AuditedEntry, EntryRule, RuleContext, Violation};

pub(crate) static RULE: EntryRule = EntryRule {
    description: Rule {
        id: "secret",
        severity: Severity::Error,
        what: "it contains a private key, and other users may access it",
        why: "Every user who can read the file can use the key.",
        fix: "`chmod go= PATH`; replace the key if other users could read it, and move it to a key directory (0700)",
        reference: "msMonitor security statement, file permission control (keys: 0600 in a directory 0700)",
    },
    check: check_secret,
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
        fix: format!("move {} to a key directory, and change the setting that names it", shell_quote(&key)),
    })
}

fn escape_name(name: &[u8]) -> String {
    common::text::safe(&String::from_utf8_lossy(name))
}

fn check_secret(s: &AuditedEntry<'_>, _: &RuleContext) -> Option<Violation> {
    let (kind, at) = s.secret?;
    let limit = s.limit?;
    // The limit of a key file is 0600: the rules about modes report it.
    if matches!(limit.class, Class::KeyFile | Class::CryptoScript) {
        return None;
    }
    // Only the owner has access.
    if s.mode().0 & 0o077 == 0 {
        return None;
    }
    Some(Violation {
        found: format!(
            "{kind} at byte {at}, mode {} ({}; class {} by {})",
            s.mode(),
            limit.class.row().what,
            limit.class.row().name,
            limit.by
        ),
        expected: "private keys only in files of mode 0600, in a key directory".into(),
        fix: format!(
            "chmod go= {}; replace the key if other users could read it, and move it to a key directory",
            s.quoted_path()
        ),
    })
}
