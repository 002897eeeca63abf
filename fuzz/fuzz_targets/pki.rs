//! Certificates, revocation lists and PEM files, and the validation of the path that they may form.
//!
//! The input is a PEM file, or DER elements one after the other: the first certificate is the leaf, the last one
//! the root, those between are what a peer sent besides.
#![no_main]

use common::pki::extension::KeyUsage;
use common::pki::path::{self, MAX_DEPTH, PeerName, ValidationRequest};
use common::pki::{Cert, Crl, pem};
use libfuzzer_sys::fuzz_target;

/// 2026-11-23: within the validity of the seeds.
const AT: i64 = 1_795_392_000;

fuzz_target!(|bytes: &[u8]| {
    let elements: Vec<Vec<u8>> = match pem::parse(bytes) {
        Ok(blocks) => blocks.iter().map(|b| b.der.to_vec()).collect(),
        Err(_) => split(bytes).map(<[u8]>::to_vec).collect(),
    };
    let certs: Vec<Cert> = elements.iter().filter_map(|e| Cert::parse(e).ok()).collect();
    let crls: Vec<Crl> = elements.iter().filter_map(|e| Crl::parse(e).ok()).collect();
    for cert in &certs {
        let _ = (cert.is_ca(), cert.is_self_issued(), cert.is_valid_at(AT), cert.subject.to_string());
        let _ = crls.iter().filter_map(|crl| crl.find_entry(&cert.serial)).count();
    }
    for conformance in [false, true] {
        validate(&certs, &crls, conformance);
    }
});

fn validate(certs: &[Cert], crls: &[Crl], conformance: bool) {
    let Some((leaf, rest)) = certs.split_first() else { return };
    let (intermediates, roots) = rest.split_at(rest.len().saturating_sub(1));
    let names = [PeerName::Dns("localhost".to_owned())];
    let question = ValidationRequest {
        leaf,
        intermediates,
        roots,
        crls,
        at: AT,
        purposes: &[],
        key_usage: KeyUsage::DIGITAL_SIGNATURE,
        names: &names,
        max_depth: MAX_DEPTH,
        conformance,
    };
    match path::validate_path(&question) {
        Ok(path) => {
            assert!(path.len() <= 2 + MAX_DEPTH && path.first().is_some_and(|first| first.der == leaf.der));
            assert!(path.windows(2).all(|pair| pair[0].is_issued_by(pair[1])));
        }
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
}

/// DER elements with lengths of up to two bytes; what is left over is one more.
fn split(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (head, body) = match rest {
            [] => return None,
            [_, n @ 0..=0x7f, ..] => (2, usize::from(*n)),
            [_, 0x81, n, ..] => (3, usize::from(*n)),
            [_, 0x82, a, b, ..] => (4, usize::from(*a) << 8 | usize::from(*b)),
            all => (all.len(), 0),
        };
        let (element, left) = rest.split_at(rest.len().min(head + body));
        rest = left;
        Some(element)
    })
    .take(16)
}
