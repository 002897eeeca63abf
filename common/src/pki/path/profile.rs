//! The requirements of RFC 5280, section 4, on each certificate, by its position in the path.

use super::{PathError, PathResult, ValidationRequest, target};
use crate::pki::cert::check_serial;
use crate::pki::extension::KeyUsage;
use crate::pki::name::GeneralName;
use crate::pki::{Cert, format_utc};

/// 2050-01-01: from then on times are GeneralizedTime, until then they must not be.
pub(super) const YEAR_2050: i64 = 2_524_608_000;

/// Where a certificate stands in the path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PathPosition {
    Leaf,
    Intermediate,
    Root,
}

pub(super) fn check_leaf(question: &ValidationRequest<'_>) -> PathResult {
    check_certificate(question, question.leaf, PathPosition::Leaf)
}

pub(super) fn check_intermediate(question: &ValidationRequest<'_>, cert: &Cert) -> PathResult {
    check_certificate(question, cert, PathPosition::Intermediate)
}

pub(super) fn check_root(question: &ValidationRequest<'_>, cert: &Cert) -> PathResult {
    check_certificate(question, cert, PathPosition::Root)
}

fn check_certificate(question: &ValidationRequest<'_>, cert: &Cert, place: PathPosition) -> PathResult {
    check_encoding(cert)?;
    check_validity(question, cert)?;
    if place != PathPosition::Leaf {
        check_ca(cert, place)?;
    }
    if question.conformance {
        check_conformance(cert, place)?;
        check_key_usage(cert)?;
        check_alt_names(cert)?;
    }
    Ok(())
}

fn check_encoding(cert: &Cert) -> PathResult {
    if let Some(broken) = cert.extensions.broken.first() {
        return Err(PathError::about("malformed-extension", cert, broken));
    }
    if !cert.signature.consistent {
        return Err(PathError::about("signature-algorithm", cert, "the two signature algorithms differ"));
    }
    if cert.version != 3 && cert.extensions.is_nonempty() {
        return Err(PathError::about("version", cert, "extensions in a certificate that is not version 3"));
    }
    if let Some(unknown) = cert.extensions.unknown.iter().find(|u| u.critical) {
        return Err(PathError::about(
            "critical-extension",
            cert,
            format_args!("critical extension {}", unknown.value),
        ));
    }
    Ok(())
}

fn check_validity(question: &ValidationRequest<'_>, cert: &Cert) -> PathResult {
    if question.at < cert.not_before.unix {
        return Err(PathError::about(
            "not-yet-valid",
            cert,
            format_args!("not valid before {}", cert.not_before),
        ));
    }
    if question.at > cert.not_after.unix {
        let text = format!("expired at {}; the time is {}", cert.not_after, format_utc(question.at));
        return Err(PathError::about("expired", cert, text));
    }
    Ok(())
}

/// Checks section 6.1.4 (k) and (n), for trust anchors too.
fn check_ca(cert: &Cert, place: PathPosition) -> PathResult {
    // Roots of version 1 have no extensions; that they are trust anchors is enough (RFC 5280, 6.1.4 (k)).
    let old = place == PathPosition::Root && cert.version == 1;
    if !cert.is_ca() && !old {
        return Err(PathError::about("not-a-ca", cert, "not a CA by its basicConstraints"));
    }
    let usage = cert.extensions.key_usage.as_ref();
    if usage.is_some_and(|k| !k.value.contains_all(KeyUsage::KEY_CERT_SIGN)) {
        return Err(PathError::about("ca-key-usage", cert, "keyUsage without keyCertSign"));
    }
    Ok(())
}

/// Checks the demands on conforming CAs, sections 4.1 and 4.2.
fn check_conformance(cert: &Cert, place: PathPosition) -> PathResult {
    let ca = cert.is_ca();
    let e = &cert.extensions;
    let reject = |code, text: &str| Err(PathError::about(code, cert, text));
    if cert.version != 3 {
        return reject("version", "not X.509 version 3");
    }
    if let Err(why) = check_serial(&cert.serial) {
        return Err(PathError::about("serial-number", cert, format_args!("the serial number {why}")));
    }
    if cert.issuer.is_empty() {
        return reject("empty-issuer", "the issuer's name is empty");
    }
    if cert.subject.is_empty() && (ca || place != PathPosition::Leaf) {
        return reject("empty-subject", "the subject of a CA is empty");
    }
    if cert.subject.is_empty() && !e.subject_alt_name.as_ref().is_some_and(|s| s.critical) {
        return reject("empty-subject", "the subject is empty, and no critical subjectAltName replaces it");
    }
    if [cert.not_before, cert.not_after].iter().any(|t| t.generalized && t.unix < YEAR_2050) {
        return reject("time-encoding", "a GeneralizedTime before the year 2050");
    }
    // 4.2.1.1: may be left out where the key signs itself.
    let key_id = e.authority_key_id.as_ref().is_some_and(|a| a.value.key_id.is_some());
    let own_key = || cert.is_self_issued() || cert.signature.verify(&cert.key).is_ok();
    if !(key_id || place == PathPosition::Root && own_key()) {
        return reject("authority-key-identifier", "no authority key identifier");
    }
    if e.authority_key_id.as_ref().is_some_and(|a| a.value.issuer.is_some() != a.value.serial.is_some()) {
        return reject("authority-key-identifier", "an issuer and a serial number that do not come together");
    }
    if ca && e.subject_key_id.is_none() {
        return reject("subject-key-identifier", "a CA without a subject key identifier");
    }
    if e.authority_key_id.as_ref().is_some_and(|a| a.critical)
        || e.subject_key_id.as_ref().is_some_and(|s| s.critical)
    {
        return reject("criticality", "a critical key identifier");
    }
    if e.authority_info_access.as_ref().is_some_and(|a| a.critical) {
        return reject("criticality", "a critical authority information access");
    }
    if place != PathPosition::Leaf && e.basic_constraints.as_ref().is_some_and(|b| !b.critical) {
        return reject("criticality", "the basicConstraints of a CA are not critical");
    }
    if e.policy_constraints.as_ref().is_some_and(|p| !p.critical)
        || e.inhibit_any_policy.as_ref().is_some_and(|p| !p.critical)
    {
        return reject("criticality", "policy constraints that are not critical");
    }
    if let Some(constraints) = &e.name_constraints {
        if !ca {
            return reject("name-constraints", "name constraints in a certificate that is not a CA's");
        }
        if !constraints.critical {
            return reject("criticality", "the name constraints are not critical");
        }
    }
    Ok(())
}

/// How basicConstraints and keyUsage go together, sections 4.2.1.3 and 4.2.1.9.
fn check_key_usage(cert: &Cert) -> PathResult {
    let usage = cert.extensions.key_usage.as_ref().map(|k| k.value);
    let signs = usage.is_none_or(|k| k.contains_all(KeyUsage::KEY_CERT_SIGN));
    if usage.is_some_and(|k| k.0 == 0) {
        return Err(PathError::about("key-usage", cert, "an empty keyUsage"));
    }
    if !cert.is_ca() && usage.is_some_and(|k| k.contains_all(KeyUsage::KEY_CERT_SIGN)) {
        return Err(PathError::about("key-usage", cert, "keyCertSign without being a CA"));
    }
    if cert.key.kind.only_signs() && usage.is_some_and(|k| k.0 & !KeyUsage::SIGNING.0 != 0) {
        let text = format!("a keyUsage that {} is not capable of", cert.key.kind);
        return Err(PathError::about("key-usage", cert, text));
    }
    let length = cert.extensions.basic_constraints.as_ref().and_then(|b| b.value.path_len);
    if length.is_some() && !(cert.is_ca() && signs) {
        return Err(PathError::about(
            "path-length",
            cert,
            "a path length without being a CA that signs certificates",
        ));
    }
    Ok(())
}

/// Section 4.2.1.6: the forms of names.
fn check_alt_names(cert: &Cert) -> PathResult {
    for name in cert.extensions.subject_alt_name.iter().flat_map(|s| &s.value) {
        let good = match name {
            GeneralName::Dns(text) => target::is_dns_pattern(text),
            GeneralName::Email(text) => target::parse_mailbox(text).is_some(),
            GeneralName::Ip(bytes) => matches!(bytes.len(), 4 | 16),
            GeneralName::Uri(text) => text.split_once(':').is_some_and(|(scheme, rest)| {
                scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && !rest.is_empty()
            }),
            GeneralName::Directory(name) => !name.is_empty(),
            GeneralName::Other(..) => true,
        };
        if !good {
            return Err(PathError::about("malformed-name", cert, format_args!("malformed name {name}")));
        }
    }
    Ok(())
}
