//! The rules of checkers: the same few sentences for its `rules` command, its findings and its reports.

use std::path::Path;

use crate::finding::{Finding, Severity};

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable id, in kebab case.
    pub id: &'static str,
    /// How bad it is to break it.
    pub severity: Severity,
    /// Its requirement, or the fault that it finds, in one sentence or heading.
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

    /// The address of the first of its references that has one: `https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.3`.
    #[must_use]
    pub fn reference_uri(&self) -> Option<String> {
        self.reference.split("; ").find_map(|part| {
            rfc_address(part).or_else(|| repository_address(part)).or_else(|| manual_page_address(part))
        })
    }
}

/// The address of `RFC 5280, section 4.2.1.3`.
fn rfc_address(reference: &str) -> Option<String> {
    let (number, section) = reference.strip_prefix("RFC ")?.split_once(", section ")?;
    let is_section = section.split('.').all(is_number);
    (is_number(number) && is_section)
        .then(|| format!("https://www.rfc-editor.org/rfc/rfc{number}#section-{section}"))
}

/// The address of `pytorch/kineto issue 996`, or of a file: `pytorch/kineto libkineto/src/Config.cpp`.
fn repository_address(reference: &str) -> Option<String> {
    let (repository, rest) = reference.split_once(' ')?;
    let is_name =
        |text: &str| !text.is_empty() && !text.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let (owner, name) = repository.split_once('/')?;
    if !(is_name(owner) && is_name(name)) {
        return None;
    }
    let within = match rest.strip_prefix("issue ") {
        Some(number) => is_number(number).then(|| format!("issues/{number}"))?,
        // What stands behind the path is within the file.
        None => format!("blob/HEAD/{}", rest.split(", ").next()?),
    };
    Some(format!("https://github.com/{repository}/{within}"))
}

/// The address of a manual page of the system: `proc_sys_fs(5), protected_hardlinks`. Ours are installed with the tools.
fn manual_page_address(reference: &str) -> Option<String> {
    const OURS: [&str; 8] = ["certck", "permck", "hostck", "datack", "prof", "traceq", "tracecv", "tracewhy"];
    let (name, rest) = reference.split_once('(')?;
    let (section, _) = rest.split_once(')')?;
    let is_page = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let is_section = matches!(section.as_bytes(), [b'1'..=b'8']);
    (is_page && is_section && !OURS.iter().any(|ours| name.starts_with(ours)))
        .then(|| format!("https://man7.org/linux/man-pages/man{section}/{name}.{section}.html"))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_the_address_of_its_first_part_that_has_one() {
        let uri = |reference| {
            Rule { id: "x", severity: Severity::Note, what: "", why: "", fix: "", reference }.reference_uri()
        };
        let page = |name: &str| Some(format!("https://man7.org/linux/man-pages/{name}.html"));
        let section = Some("https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5".to_owned());
        assert_eq!(uri("RFC 5280, section 4.1.2.5"), section);
        assert_eq!(uri("RFC 5280, section 4.1.2.5; systemd-timesyncd.service(8)"), section);
        assert_eq!(uri("msMonitor security statement, accounts; sudoers(5)"), page("man5/sudoers.5"));
        assert_eq!(uri("acl(5), section Object creation and default ACLs"), page("man5/acl.5"));
        assert_eq!(uri("Hyperloom issue 769; symlink(7)"), page("man7/symlink.7"));
        let issue = Some("https://github.com/pytorch/kineto/issues/996".to_owned());
        assert_eq!(uri("pytorch/kineto issue 996; Hyperloom issue 769"), issue);
        assert_eq!(
            uri("pytorch/kineto libkineto/src/output_json.cpp, distributedInfo").as_deref(),
            Some("https://github.com/pytorch/kineto/blob/HEAD/libkineto/src/output_json.cpp")
        );
        for none in [
            "RFC 5280",
            "RFC 5280, section 4..5",
            "traceq(1), EXIT STATUS",
            "profguard-policy(5)",
            "pytorch/kineto issue x",
            "x(9)",
        ] {
            assert_eq!(uri(none), None, "{none}");
        }
    }
}
