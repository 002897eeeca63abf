//! Every rule that a certificate directory is held to: one table, used to find, to document and to test.

use std::path::Path;

use crate::finding::{Finding, Severity};

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable id, in kebab case.
    pub id: &'static str,
    /// How bad it is to break it.
    pub severity: Severity,
    /// What it demands.
    pub what: &'static str,
}

impl Rule {
    /// A finding of this rule about a path.
    #[must_use]
    pub fn at(&self, path: &Path) -> Finding {
        Finding::new(self.id, self.severity, path)
    }
}

macro_rules! rules {
    ($($name:ident $id:literal $severity:ident $what:literal;)*) => {
        $(#[doc = $what] pub const $name: Rule = Rule { id: $id, severity: Severity::$severity, what: $what };)*
        /// All of them.
        pub const RULES: &[Rule] = &[$($name),*];
    };
}

rules! {
    // Files, judged before they are read.
    DIRECTORY "directory" Error "the directory exists, is a directory and can be listed";
    MODE "mode" Error "no file or directory allows more than its class of the permission table";
    OWNER "owner" Error "the owner is the user who runs the tool, or root";
    MISSING_FILE "missing-file" Error "the root, the leaf and the leaf's private key are there";
    UNREADABLE "unreadable" Error "each file is a regular file, no link, that can be read and is at most 1 MiB";
    UNEXPECTED_FILE "unexpected-file" Warning "nothing lies in the directory that does not belong there";
    STRAY_KEY "stray-key" Error "no private key lies in the directory but the leaf's: above all not the CA's";
    // What the files consist of.
    PEM "pem" Error "each file is well-formed PEM and holds what its name says";
    EXTRA_CONTENT "extra-content" Warning "a file holds nothing that its name does not say";
    MALFORMED_KEY "malformed-key" Error "the private key can be read and used";
    KEY_ENCRYPTED "key-encrypted" Error "the private key can be decrypted with what was given";
    KEY_MISMATCH "key-mismatch" Error "the private key belongs to the leaf";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_in_kebab_case() {
        let mut ids: Vec<_> = RULES.iter().map(|r| r.id).collect();
        assert!(ids.iter().all(|id| id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
        ids.sort_unstable();
        let n = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), n);
    }
}
