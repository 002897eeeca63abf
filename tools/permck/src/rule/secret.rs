//! Private keys in files that are not held to the mode of a key.

use common::finding::Severity;
use common::policy::Class;

use super::{Hit, Judge, Rule, Subject};

pub(crate) static RULE: Rule = Rule {
    id: "secret",
    severity: Severity::Error,
    what: "it holds a private key and is not kept as one",
    check,
};

fn check(s: &Subject<'_>, _: &Judge) -> Option<Hit> {
    let (kind, at) = s.secret?;
    let standard = s.standard?;
    // As a key file it is held to 0600, and the mode rules tell.
    if matches!(standard.class, Class::KeyFile | Class::CryptoScript) {
        return None;
    }
    // Nobody but the owner can read it: it lies where only its name is wrong.
    if s.mode().0 & 0o077 == 0 {
        return None;
    }
    Some(Hit {
        found: format!("{kind} at byte {at} of {}, mode {}", standard.class.row().what, s.mode()),
        expected: "private keys only in files of mode 0600 at most, in a key directory".into(),
        fix: format!(
            "chmod go= {}; replace the key if others could read it, and move it to a key directory",
            s.quoted()
        ),
    })
}
