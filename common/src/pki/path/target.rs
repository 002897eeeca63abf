//! Whether the leaf has the names and the key usages that are required.

use std::fmt;
use std::net::IpAddr;

use super::{COMPARISONS, PathError, PathResult, PathSearch, ValidationRequest};
use crate::pki::name::{GeneralName, parse_ip};
use crate::pki::{Cert, oid, oid_name};

/// A name that a peer must have in its subjectAltName.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerName {
    /// A DNS name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// An e-mail address.
    Email(String),
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
            Self::Email(name) => f.write_str(name),
        }
    }
}

pub(super) fn check_target(work: &PathSearch<'_, '_>) -> PathResult {
    let question = work.question;
    let leaf = question.leaf;
    for name in question.names {
        if !has_name(work, leaf, name)? {
            return Err(PathError::about("name-mismatch", leaf, format_args!("not valid for {name}")));
        }
    }
    let usage = leaf.extensions.key_usage.as_ref().map(|k| k.value);
    if usage.is_some_and(|k| !k.contains_all(question.key_usage)) {
        let text = format!("keyUsage lacks {}", question.key_usage.usage_names().join(" or "));
        return Err(PathError::about("key-usage", leaf, text));
    }
    check_purposes(question, leaf)
}

fn has_name(work: &PathSearch<'_, '_>, leaf: &Cert, wanted: &PeerName) -> PathResult<bool> {
    for name in leaf.extensions.subject_alt_name.iter().flat_map(|s| &s.value) {
        // Both lists are untrusted, and may be long.
        work.spend_budget(&work.comparisons, COMPARISONS, "names to compare")?;
        if matches_name(wanted, name) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Section 4.2.1.12: without the extension, any purpose; anyExtendedKeyUsage is any, too.
fn check_purposes(question: &ValidationRequest<'_>, cert: &Cert) -> PathResult {
    let Some(usages) = cert.extensions.extended_key_usage.as_ref().map(|e| &e.value) else { return Ok(()) };
    if usages.iter().any(|u| *u == oid::ANY_EKU) {
        return Ok(());
    }
    match question.purposes.iter().find(|p| !usages.contains(p)) {
        None => Ok(()),
        Some(p) => Err(PathError::about(
            "extended-key-usage",
            cert,
            format_args!("extendedKeyUsage lacks {}", oid_name(p)),
        )),
    }
}

/// An extendedKeyUsage of a CA limits what it issues. RFC 5280 leaves that open; OpenSSL, webpki and browsers do it.
pub(super) fn check_purposes_of_issuers(
    question: &ValidationRequest<'_>,
    path: &[&Cert],
    root: &Cert,
) -> PathResult {
    path.iter().skip(1).copied().chain([root]).try_for_each(|cert| check_purposes(question, cert))
}

fn matches_name(wanted: &PeerName, name: &GeneralName) -> bool {
    match (wanted, name) {
        (PeerName::Dns(wanted), GeneralName::Dns(pattern)) => dns_matches(wanted, pattern),
        (PeerName::Ip(wanted), GeneralName::Ip(bytes)) => parse_ip(bytes) == Some(*wanted),
        (PeerName::Email(wanted), GeneralName::Email(text)) => {
            match (parse_mailbox(wanted), parse_mailbox(text)) {
                (Some((a, x)), Some((b, y))) => a == b && x.eq_ignore_ascii_case(y),
                _ => false,
            }
        }
        _ => false,
    }
}

/// RFC 6125: a `*` stands for one whole leftmost label, and for nothing else.
fn dns_matches(wanted: &str, pattern: &str) -> bool {
    let wanted = wanted.strip_suffix('.').unwrap_or(wanted);
    if !is_dns_name(wanted) || !is_dns_pattern(pattern) {
        return false;
    }
    match pattern.strip_prefix("*.") {
        Some(rest) => wanted.split_once('.').is_some_and(|(_, tail)| tail.eq_ignore_ascii_case(rest)),
        None => wanted.eq_ignore_ascii_case(pattern),
    }
}

/// Whether it is a DNS name, or one with a wildcard for its first label and two more.
#[must_use]
pub fn is_dns_pattern(text: &str) -> bool {
    match text.strip_prefix("*.") {
        Some(rest) => is_dns_name(rest) && rest.contains('.'),
        None => is_dns_name(text),
    }
}

/// The preferred syntax of RFC 1034 as RFC 1123 changed it; the last label is not a number, so that an address
/// is not taken for a name.
pub(super) fn is_dns_name(text: &str) -> bool {
    let label = |l: &str| {
        let inner = l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (1..=63).contains(&l.len()) && inner && !l.starts_with('-') && !l.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or("");
    text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// The local part and the host of an e-mail address.
pub(super) fn parse_mailbox(text: &str) -> Option<(&str, &str)> {
    let (local, host) = text.split_once('@')?;
    let plain = |b: u8| b.is_ascii_graphic() && !b"()<>[]:;,\\\"".contains(&b);
    let good =
        !local.is_empty() && local.bytes().all(plain) && !local.starts_with('.') && !local.ends_with('.');
    (good && !local.contains("..") && is_dns_name(host)).then_some((local, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_whole_first_label() {
        assert!(dns_matches("a.example.com", "*.Example.com"));
        for (name, pattern) in [
            ("example.com", "*.example.com"),
            ("a.b.example.com", "*.example.com"),
            ("ab.example.com", "a*.example.com"),
            ("example.com", "*.com"),
            ("a.b", "a.*"),
            ("x.com", "*"),
        ] {
            assert!(!dns_matches(name, pattern), "{name} {pattern}");
        }
    }

    #[test]
    fn names_have_a_form() {
        assert!(is_dns_name("a-1.example") && is_dns_name("localhost"));
        for wrong in ["", ".", ".a", "a.", "a..b", "-a.b", "a-.b", "a_b.c", "1.2.3.4", "a b"] {
            assert!(!is_dns_name(wrong), "{wrong}");
        }
        assert_eq!(parse_mailbox("a.b@example.com"), Some(("a.b", "example.com")));
        for wrong in ["a", "@example.com", "a@", "a@b@example.com", "a@.example.com", "a b@example.com"] {
            assert!(parse_mailbox(wrong).is_none(), "{wrong}");
        }
    }
}
