//! What a checker demands: the same few sentences for its `rules` command, its findings and its reports.

use std::path::Path;

use crate::finding::{Finding, Severity};

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable id, in kebab case.
    pub id: &'static str,
    /// How bad it is to break it.
    pub severity: Severity,
    /// What it demands, or what it finds, in one sentence or heading.
    pub what: &'static str,
    /// The consequence of breaking it, in one sentence.
    pub why: &'static str,
    /// How to fix what breaks it: a command, where there is one. Findings have a fix of their own, with the file's path.
    pub fix: &'static str,
    /// Where it comes from: an RFC with its section, a row of the security statement, or a manual page.
    pub reference: &'static str,
}

impl Rule {
    /// A finding of this rule about a path.
    #[must_use]
    pub fn at(&self, path: &Path) -> Finding {
        Finding { reference: self.reference.to_owned(), ..Finding::new(self.id, self.severity, path) }
    }

    /// The address of the reference, if that is an RFC: `https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.3`.
    #[must_use]
    pub fn reference_uri(&self) -> Option<String> {
        let rfc = self.reference.split("; ").next()?;
        let (number, section) = rfc.strip_prefix("RFC ")?.split_once(", section ")?;
        let is_section = section.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        let is_number = number.bytes().all(|b| b.is_ascii_digit());
        (is_number && is_section)
            .then(|| format!("https://www.rfc-editor.org/rfc/rfc{number}#section-{section}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_rfc_with_a_section_has_an_address() {
        let uri = |reference| {
            Rule { id: "x", severity: Severity::Note, what: "", why: "", fix: "", reference }.reference_uri()
        };
        let section = Some("https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5".to_owned());
        assert_eq!(uri("RFC 5280, section 4.1.2.5"), section);
        assert_eq!(uri("RFC 5280, section 4.1.2.5; systemd-timesyncd.service(8)"), section);
        assert_eq!(uri("RFC 5280"), None);
        assert_eq!(uri("RFC 5280, section 4..5"), None);
        assert_eq!(uri("acl(5), section 3"), None);
    }
}
