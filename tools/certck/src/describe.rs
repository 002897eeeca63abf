//! Certificates, CRLs, requests and keys as records, without verdicts and without the secret part of private keys.

use std::net::IpAddr;

use common::finding::hex;
use common::pki::der::{self, Der, Malformed, Time};
use common::pki::extension::{Extension, Extensions, Subtree};
use common::pki::key::{self, KeyError};
use common::pki::name::{GeneralName, Name};
use common::pki::passphrase;
use common::pki::pem::Block;
use common::pki::signature::{PublicKey, Signature};
use common::pki::{Cert, Crl, oid_name, sha256};
use common::record::certck as record;
use rustls::sign::SigningKey;

use crate::request::SigningRequest;

pub(crate) fn describe_certificate(cert: &Cert, path: String, line: u64) -> record::CertificateRecord {
    let e = &cert.extensions;
    let uris = |names: &[GeneralName]| -> Vec<String> {
        let uri = |n: &GeneralName| if let GeneralName::Uri(u) = n { Some(u.clone()) } else { None };
        names.iter().filter_map(uri).collect()
    };
    let unknown = e
        .unknown
        .iter()
        .map(|u| if u.critical { format!("{} (critical)", u.value) } else { u.value.clone() });
    let constraints = e.name_constraints.as_ref().map(|n| &n.value);
    record::CertificateRecord {
        path,
        line,
        subject: cert.subject.to_string(),
        issuer: cert.issuer.to_string(),
        serial: hex(&cert.serial),
        version: cert.version,
        not_before: cert.not_before.to_string(),
        not_after: cert.not_after.to_string(),
        key: cert.key.kind.to_string(),
        signature: cert.signature.name(),
        ca: cert.is_ca(),
        path_length: e.basic_constraints.as_ref().and_then(|b| b.value.path_len),
        key_usages: key_usages(e),
        extended_key_usages: extended_key_usages(e),
        names: alt_names(e),
        crl_urls: e
            .crl_distribution_points
            .iter()
            .flat_map(|p| &p.value)
            .flat_map(|p| uris(&p.names))
            .collect(),
        ocsp_urls: e.authority_info_access.iter().flat_map(|a| a.value.clone()).collect(),
        permitted_names: constraints.iter().flat_map(|c| &c.permitted).map(format_subtree).collect(),
        excluded_names: constraints.iter().flat_map(|c| &c.excluded).map(format_subtree).collect(),
        policies: e.policies.iter().flat_map(|p| &p.value).map(|oid| oid_name(oid)).collect(),
        policy_mappings: e
            .policy_mappings
            .iter()
            .flat_map(|m| &m.value)
            .map(|(issuer, subject)| format!("{} = {}", oid_name(issuer), oid_name(subject)))
            .collect(),
        require_explicit_policy: e.policy_constraints.as_ref().and_then(|c| c.value.require_explicit),
        inhibit_policy_mapping: e.policy_constraints.as_ref().and_then(|c| c.value.inhibit_mapping),
        inhibit_any_policy: e.inhibit_any_policy.as_ref().map(|n| n.value),
        critical_extensions: critical_extensions(e),
        subject_key_id: e.subject_key_id.as_ref().map(|s| hex(&s.value)),
        authority_key_id: e.authority_key_id.as_ref().and_then(|a| a.value.key_id.as_ref()).map(|k| hex(k)),
        other_extensions: unknown
            .chain(e.without_effect.iter().cloned())
            .chain(e.broken.iter().cloned())
            .collect(),
        sha256: hex(&sha256(&cert.der)),
        key_sha256: hex(&sha256(&cert.key.spki)),
    }
}

/// The parts of a certificate that can be read though the whole cannot, each with its value or why it is unreadable.
pub(crate) fn describe_readable_parts(bytes: &[u8]) -> Vec<(&'static str, String)> {
    fn shown<T: ToString>(value: Result<T, Malformed>) -> String {
        value.map_or_else(|e| format!("(unreadable: {e})"), |value| value.to_string())
    }
    fn validity(raw: &[u8]) -> Result<String, Malformed> {
        let mut both = Der::new(raw).open_sequence()?;
        Ok(format!("{} to {}", Time::read_der(&mut both)?, Time::read_der(&mut both)?))
    }
    let Ok((signature, tbs)) = Signature::split_signed(bytes) else { return Vec::new() };
    let mut rest = Der::new(tbs);
    let mut parts = Vec::new();
    // After a part that is not a DER element, it is unknown where the next one begins.
    let mut read_parts = || -> Result<(), Malformed> {
        rest.read_optional(der::explicit_tag(0))?;
        let serial = hex(rest.read_tagged(der::INTEGER)?);
        rest.read_raw_sequence()?;
        parts.push(("issuer", shown(Name::read_der(&mut Der::new(rest.read_raw_sequence()?.raw)))));
        parts.push(("valid", shown(validity(rest.read_raw_sequence()?.raw))));
        parts.insert(0, ("subject", shown(Name::read_der(&mut Der::new(rest.read_raw_sequence()?.raw)))));
        parts.push(("serial", serial));
        let key = PublicKey::read_der(&mut Der::new(rest.read_raw_sequence()?.raw));
        parts.push(("key", shown(key.map(|key| key.kind))));
        Ok(())
    };
    let _ = read_parts();
    parts.push(("signature", signature.name()));
    parts.push(("SHA-256", hex(&sha256(bytes))));
    parts
}

/// The parts of a CRL that can be read though the whole cannot.
pub(crate) fn describe_readable_crl_parts(bytes: &[u8]) -> Vec<(&'static str, String)> {
    let Ok((signature, tbs)) = Signature::split_signed(bytes) else { return Vec::new() };
    let mut rest = Der::new(tbs);
    let mut parts = Vec::new();
    let mut read_parts = || -> Result<(), Malformed> {
        rest.read_optional(der::INTEGER)?;
        rest.read_raw_sequence()?;
        let name = Name::read_der(&mut Der::new(rest.read_raw_sequence()?.raw));
        parts.push(("issuer", name.map_or_else(|e| format!("(unreadable: {e})"), |name| name.to_string())));
        parts.push(("issued", Time::read_der(&mut rest)?.to_string()));
        parts.push(("expires", Time::read_der(&mut rest)?.to_string()));
        Ok(())
    };
    let _ = read_parts();
    parts.push(("signature", signature.name()));
    parts.push(("SHA-256", hex(&sha256(bytes))));
    parts
}

fn key_usages(e: &Extensions) -> Vec<String> {
    e.key_usage.iter().flat_map(|k| k.value.usage_names()).map(str::to_owned).collect()
}

fn extended_key_usages(e: &Extensions) -> Vec<String> {
    e.extended_key_usage.iter().flat_map(|k| &k.value).map(|u| oid_name(u)).collect()
}

fn alt_names(e: &Extensions) -> Vec<String> {
    e.subject_alt_name.iter().flat_map(|s| &s.value).map(ToString::to_string).collect()
}

/// The names of the critical extensions among those that are understood.
fn critical_extensions(e: &Extensions) -> Vec<String> {
    fn is_critical<T>(extension: &Option<Extension<T>>) -> bool {
        extension.as_ref().is_some_and(|e| e.critical)
    }
    let all = [
        (is_critical(&e.basic_constraints), "basicConstraints"),
        (is_critical(&e.key_usage), "keyUsage"),
        (is_critical(&e.extended_key_usage), "extKeyUsage"),
        (is_critical(&e.subject_alt_name), "subjectAltName"),
        (is_critical(&e.name_constraints), "nameConstraints"),
        (is_critical(&e.subject_key_id), "subjectKeyIdentifier"),
        (is_critical(&e.authority_key_id), "authorityKeyIdentifier"),
        (is_critical(&e.policies), "certificatePolicies"),
        (is_critical(&e.policy_mappings), "policyMappings"),
        (is_critical(&e.policy_constraints), "policyConstraints"),
        (is_critical(&e.inhibit_any_policy), "inhibitAnyPolicy"),
        (is_critical(&e.crl_distribution_points), "cRLDistributionPoints"),
        (is_critical(&e.authority_info_access), "authorityInfoAccess"),
    ];
    all.into_iter().filter(|(critical, _)| *critical).map(|(_, name)| name.to_owned()).collect()
}

/// Formats a subtree of names; addresses with the length of their prefix.
fn format_subtree(tree: &Subtree) -> String {
    let GeneralName::Ip(bytes) = &tree.base else { return tree.base.to_string() };
    let (address, mask) = bytes.split_at(bytes.len() / 2);
    let address = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
        (Ok(four), _) => IpAddr::from(four),
        (_, Ok(sixteen)) => IpAddr::from(sixteen),
        _ => return tree.base.to_string(),
    };
    let bits: u32 = mask.iter().map(|b| b.leading_ones()).take_while(|n| *n > 0).sum();
    format!("IP:{address}/{bits}")
}

pub(crate) fn describe_crl(crl: &Crl, path: String, line: u64) -> record::CrlRecord {
    record::CrlRecord {
        revoked: describe_revoked(crl).collect(),
        ..describe_crl_without_entries(crl, path, line)
    }
}

/// The entries of a CRL one after another: there may be millions.
pub(crate) fn describe_revoked(crl: &Crl) -> impl Iterator<Item = record::RevokedRecord> + '_ {
    crl.entries().map(|r| record::RevokedRecord {
        serial: hex(&r.serial),
        at: r.at.to_string(),
        reason: r.reason,
    })
}

/// Everything about a CRL but its entries.
pub(crate) fn describe_crl_without_entries(crl: &Crl, path: String, line: u64) -> record::CrlRecord {
    let critical = crl.unknown_critical.iter().map(|name| format!("{name} (critical)"));
    record::CrlRecord {
        path,
        line,
        issuer: crl.issuer.to_string(),
        number: crl.number.as_ref().map(|n| hex(&n.value)),
        this_update: crl.this_update.to_string(),
        next_update: crl.next_update.map(|t| t.to_string()),
        signature: crl.signature.name(),
        authority_key_id: crl.authority_key_id.as_ref().and_then(|a| a.key_id.as_ref()).map(|id| hex(id)),
        scope: describe_scope(crl),
        other_extensions: critical
            .chain(crl.unknown.iter().cloned())
            .chain(crl.broken.iter().cloned())
            .collect(),
        revoked: Vec::new(),
        sha256: hex(&sha256(&crl.der)),
    }
}

/// Describes the limits of a CRL, by the names of RFC 5280, sections 5.2.4 and 5.2.5.
fn describe_scope(crl: &Crl) -> Vec<String> {
    let mut parts: Vec<String> =
        crl.delta.then(|| "delta (deltaCRLIndicator)".to_owned()).into_iter().collect();
    let Some(scope) = &crl.scope else { return parts };
    let names = scope.names.iter().map(ToString::to_string);
    parts.extend(
        names
            .chain(scope.relative.iter().map(ToString::to_string))
            .map(|n| format!("distribution point {n}")),
    );
    for (is_set, name) in [
        (scope.only_users, "onlyContainsUserCerts"),
        (scope.only_cas, "onlyContainsCACerts"),
        (scope.only_attributes, "onlyContainsAttributeCerts"),
        (scope.reasons.is_some(), "onlySomeReasons"),
        (scope.indirect, "indirectCRL"),
    ] {
        parts.extend(is_set.then(|| name.to_owned()));
    }
    parts
}

pub(crate) fn describe_request(request: &SigningRequest, path: String, line: u64) -> record::RequestRecord {
    let e = &request.extensions;
    record::RequestRecord {
        path,
        line,
        subject: request.subject.to_string(),
        key: request.key.kind.to_string(),
        signature: request.signature.name(),
        signed_by_key: request.is_signed_by_key(),
        ca: request.is_ca(),
        key_usages: key_usages(e),
        extended_key_usages: extended_key_usages(e),
        names: alt_names(e),
        key_sha256: hex(&sha256(&request.key.spki)),
    }
}

/// Describes a private key. One that is encrypted is not decrypted.
///
/// # Errors
/// It is not a key that can be used.
pub(crate) fn describe_key(block: &Block, path: String, line: u64) -> Result<record::KeyRecord, KeyError> {
    let form = block.label.clone();
    let mut key = record::KeyRecord {
        path,
        line,
        form,
        encrypted: true,
        encryption: None,
        key: None,
        key_sha256: None,
    };
    match key::read_private_key(block, None) {
        Ok(read) => {
            let public = read_public_half(read.as_ref());
            key.encrypted = false;
            // The public half names the curve also where the file gives it by numbers.
            let named =
                key::describe_algorithm(&block.label, &block.der).filter(|name| name.contains("explicit"));
            key.key = public.as_ref().map(|p| match named {
                Some(named) => format!("{} ({named})", p.kind),
                None => p.kind.to_string(),
            });
            key.key_sha256 = public.map(|p| hex(&sha256(&p.spki)));
        }
        Err(KeyError::Encrypted) => key.encryption = Some(passphrase::describe_encryption(&block.der)?),
        Err(KeyError::Traditional) => {
            key.encryption = Some("OpenSSL's traditional format, which is insecure".to_owned());
        }
        // Of a kind that is not supported, what it says of itself.
        Err(e) => match key::describe_algorithm(&block.label, &block.der) {
            Some(named) => {
                key.encrypted = false;
                key.key = Some(format!("{named} (not supported here)"));
            }
            None => return Err(e),
        },
    }
    Ok(key)
}

/// The public half of a private key.
fn read_public_half(key: &dyn SigningKey) -> Option<PublicKey> {
    let spki = key.public_key()?;
    PublicKey::read_der(&mut Der::new(&spki)).ok()
}
