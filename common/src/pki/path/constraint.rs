//! Name constraints, RFC 5280, sections 4.2.1.10 and 6.1.4 (g).

use super::target::{is_dns_name, parse_mailbox};
use super::{COMPARISONS, PathError, PathResult, PathSearch};
use crate::pki::Cert;
use crate::pki::extension::NameConstraints;
use crate::pki::name::{GeneralName, Name};

/// Checks every certificate of the path against the constraints of all certificates above it.
pub(super) fn check_name_constraints(work: &PathSearch<'_, '_>, path: &[&Cert], root: &Cert) -> PathResult {
    let mut above: Vec<&NameConstraints> = Vec::new();
    let constraints = |c: &'_ Cert| c.extensions.name_constraints.is_some();
    if !constraints(root) && !path.iter().any(|c| constraints(c)) {
        return Ok(());
    }
    for (i, cert) in std::iter::once(&root).chain(path.iter().rev()).enumerate() {
        let (first, last) = (i == 0, i == path.len());
        if !first && !above.is_empty() && (last || !cert.is_self_issued()) {
            constrained_names(cert).iter().try_for_each(|name| check_name(work, cert, name, &above))?;
        }
        if let Some(own) = &cert.extensions.name_constraints {
            well_formed(cert, &own.value)?;
            above.push(&own.value);
        }
    }
    Ok(())
}

/// All names of a certificate that constraints apply to.
fn constrained_names(cert: &Cert) -> Vec<GeneralName> {
    let mut names: Vec<GeneralName> =
        cert.extensions.subject_alt_name.iter().flat_map(|s| s.value.clone()).collect();
    // Old certificates have their e-mail address in the subject.
    if !names.iter().any(|n| matches!(n, GeneralName::Email(_))) {
        names.extend(cert.subject.email_addresses().map(|e| GeneralName::Email(e.to_owned())));
    }
    if !cert.subject.is_empty() {
        names.push(GeneralName::Directory(cert.subject.clone()));
    }
    names
}

fn check_name(
    work: &PathSearch<'_, '_>,
    cert: &Cert,
    name: &GeneralName,
    above: &[&NameConstraints],
) -> PathResult {
    let reject =
        || Err(PathError::about("name-constraints", cert, format_args!("the name {name} is not allowed")));
    for constraints in above {
        let mut permitted = None;
        for tree in constraints.permitted.iter().filter(|t| same_form(&t.base, name)) {
            work.spend_budget(&work.comparisons, COMPARISONS, "names to compare with constraints")?;
            match is_within_subtree(name, &tree.base) {
                // A name that cannot be compared is not permitted.
                None => return reject(),
                Some(inside) => permitted = Some(permitted.unwrap_or(false) || inside),
            }
        }
        if permitted == Some(false) {
            return reject();
        }
        for tree in constraints.excluded.iter().filter(|t| same_form(&t.base, name)) {
            work.spend_budget(&work.comparisons, COMPARISONS, "names to compare with constraints")?;
            if overlaps_subtree(name, &tree.base) != Some(false) {
                return reject();
            }
        }
    }
    Ok(())
}

fn same_form(a: &GeneralName, b: &GeneralName) -> bool {
    match (a, b) {
        (GeneralName::Other(x, _), GeneralName::Other(y, _)) => x == y,
        // IPv4 and IPv6 are one form: a constraint on one permits none of the other.
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

/// Whether a name lies in a subtree; `None` if that cannot be determined.
fn is_within_subtree(name: &GeneralName, base: &GeneralName) -> Option<bool> {
    match (name, base) {
        (GeneralName::Dns(name), GeneralName::Dns(base)) => is_dns_within(name, base),
        (GeneralName::Email(name), GeneralName::Email(base)) => is_email_within(name, base),
        (GeneralName::Uri(name), GeneralName::Uri(base)) => is_uri_within(name, base),
        (GeneralName::Ip(name), GeneralName::Ip(base)) => is_ip_within(name, base),
        (GeneralName::Directory(name), GeneralName::Directory(base)) => Some(is_directory_within(name, base)),
        _ => None,
    }
}

/// Whether some of the names that a name stands for lie in a subtree; `None` if that cannot be determined.
fn overlaps_subtree(name: &GeneralName, base: &GeneralName) -> Option<bool> {
    match (name, base) {
        (GeneralName::Dns(name), GeneralName::Dns(base)) => {
            Some(is_dns_within(name, base)? || wildcard_matches(name, base))
        }
        _ => is_within_subtree(name, base),
    }
}

fn is_directory_within(name: &Name, base: &Name) -> bool {
    name.is_within(base)
}

/// Zero or more labels added on the left. A wildcard is inside when all that it stands for is.
fn is_dns_within(name: &str, base: &str) -> Option<bool> {
    let plain = name.strip_prefix("*.").unwrap_or(name);
    if !is_dns_name(plain) {
        return None;
    }
    Some(base.is_empty() || ends_with_label(plain, base))
}

/// Whether `name` is a wildcard and `base` one of the names that it stands for: with one label in the star's
/// place.
fn wildcard_matches(name: &str, base: &str) -> bool {
    let Some(plain) = name.strip_prefix("*.") else { return false };
    ends_with_label(base, plain)
        && base.len() > plain.len()
        && !base[..base.len() - plain.len() - 1].contains('.')
}

fn ends_with_label(name: &str, base: &str) -> bool {
    let Some(at) = name.len().checked_sub(base.len()) else { return false };
    let tail = name.as_bytes().get(at..).is_some_and(|t| t.eq_ignore_ascii_case(base.as_bytes()));
    tail && (at == 0 || name.as_bytes()[at - 1] == b'.')
}

/// A mailbox, all mailboxes of a host, or with a leading period all hosts of a domain.
fn is_email_within(name: &str, base: &str) -> Option<bool> {
    let (local, host) = parse_mailbox(name)?;
    Some(match base.split_once('@') {
        Some((l, h)) => local == l && host.eq_ignore_ascii_case(h),
        None => host_within(host, base),
    })
}

/// Compares a URI's host; `None` without a host.
fn is_uri_within(name: &str, base: &str) -> Option<bool> {
    let authority = name.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = host.split(':').next()?;
    is_dns_name(host).then(|| host_within(host, base))
}

fn host_within(host: &str, base: &str) -> bool {
    match base.strip_prefix('.') {
        Some(domain) => host.len() > domain.len() && ends_with_label(host, domain),
        None => base.is_empty() || host.eq_ignore_ascii_case(base),
    }
}

fn is_ip_within(name: &[u8], base: &[u8]) -> Option<bool> {
    if !matches!(name.len(), 4 | 16) {
        return None;
    }
    if base.len() != 2 * name.len() {
        return Some(false);
    }
    let (network, mask) = base.split_at(name.len());
    Some(name.iter().zip(network).zip(mask).all(|((n, w), m)| n & m == w & m))
}

fn well_formed(cert: &Cert, constraints: &NameConstraints) -> PathResult {
    for tree in constraints.permitted.iter().chain(&constraints.excluded) {
        let host = |base: &str| base.is_empty() || is_dns_name(base.strip_prefix('.').unwrap_or(base));
        let good = tree.plain
            && match &tree.base {
                GeneralName::Dns(base) => base.is_empty() || is_dns_name(base),
                GeneralName::Email(base) => {
                    if base.contains('@') {
                        parse_mailbox(base).is_some()
                    } else {
                        host(base)
                    }
                }
                GeneralName::Uri(base) => host(base),
                GeneralName::Ip(bytes) => is_network(bytes),
                GeneralName::Directory(_) | GeneralName::Other(..) => true,
            };
        if !good {
            let text = format!("malformed name constraint {}", tree.base);
            return Err(PathError::about("name-constraints", cert, text));
        }
    }
    Ok(())
}

/// An address and a mask of leading ones.
fn is_network(bytes: &[u8]) -> bool {
    if !matches!(bytes.len(), 8 | 32) {
        return false;
    }
    let mask = &bytes[bytes.len() / 2..];
    let bits = mask.iter().fold(0u128, |n, &b| n << 8 | u128::from(b)) << (128 - 8 * mask.len());
    let ones = bits.leading_ones();
    ones == 128 || bits << ones == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_names_grow_on_the_left() {
        assert_eq!(is_dns_within("host.example.com", "example.com"), Some(true));
        assert_eq!(is_dns_within("example.com", "Example.com"), Some(true));
        assert_eq!(is_dns_within("badexample.com", "example.com"), Some(false));
        assert_eq!(is_dns_within("*.example.com", "example.com"), Some(true));
        assert_eq!(is_dns_within("*.example.com", "foo.example.com"), Some(false));
        assert_eq!(is_dns_within(".example.com", "example.com"), None);
    }

    #[test]
    fn a_wildcard_touches_what_it_stands_for_and_is_within_nothing_narrower() {
        let name = |text: &str| GeneralName::Dns(text.to_owned());
        let (star, foo) = (name("*.example.com"), name("foo.example.com"));
        assert_eq!(
            (is_within_subtree(&star, &foo), overlaps_subtree(&star, &foo)),
            (Some(false), Some(true))
        );
        assert_eq!(overlaps_subtree(&star, &name("a.foo.example.com")), Some(false));
        assert_eq!(overlaps_subtree(&name("example.com"), &foo), Some(false));
    }

    #[test]
    fn mailboxes_hosts_and_domains() {
        assert_eq!(is_email_within("a@example.com", "a@EXAMPLE.com"), Some(true));
        assert_eq!(is_email_within("A@example.com", "a@example.com"), Some(false));
        assert_eq!(is_email_within("a@example.com", "example.com"), Some(true));
        assert_eq!(is_email_within("a@mail.example.com", "example.com"), Some(false));
        assert_eq!(is_email_within("a@mail.example.com", ".example.com"), Some(true));
        assert_eq!(is_email_within("a@example.com", ".example.com"), Some(false));
        assert_eq!(is_email_within("a@b@example.com", "example.com"), None);
    }

    #[test]
    fn uris_are_their_hosts() {
        assert_eq!(is_uri_within("http://u@host.example.com:80/x", ".example.com"), Some(true));
        assert_eq!(is_uri_within("http://example.com/", "example.com"), Some(true));
        assert_eq!(is_uri_within("ldap:x", "example.com"), None);
        assert_eq!(is_uri_within("http://10.0.0.1/", "example.com"), None);
    }

    #[test]
    fn addresses_lie_in_networks() {
        assert_eq!(is_ip_within(&[192, 0, 2, 9], &[192, 0, 2, 0, 255, 255, 255, 0]), Some(true));
        assert_eq!(is_ip_within(&[192, 0, 3, 9], &[192, 0, 2, 0, 255, 255, 255, 0]), Some(false));
        assert_eq!(is_ip_within(&[0; 16], &[192, 0, 2, 0, 255, 255, 255, 0]), Some(false));
        assert_eq!(is_ip_within(&[1, 2, 3, 4, 5, 6, 7, 8], &[0; 8]), None);
        assert!(is_network(&[10, 0, 0, 0, 255, 128, 0, 0]) && is_network(&[0; 8]) && is_network(&[255; 32]));
        assert!(!is_network(&[10, 0, 0, 0, 255, 0, 255, 0]) && !is_network(&[10, 0, 0, 0]));
        assert!(!is_network(&[10, 0, 0, 0, 240, 240, 0, 0]));
    }
}
