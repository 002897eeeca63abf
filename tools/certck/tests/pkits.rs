//! The verdict engine against NIST's Public Key Interoperability Test Suite (PKITS, 2011), which is not part of
//! this project: skipped unless `PKITS_DIR` names a directory with its `certs` and `crls`, as
//! `unzip` makes it, or as the package `cryptography_vectors` holds it under `x509/PKITS_data`.
//!
//! File names tell what is expected: `ValidX…EE.crt` must be accepted, `InvalidX…EE.crt` rejected. Tests whose
//! verdict depends on settings that we do not have (an initial set of policies) are not among those.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

use common::pki::extension::KeyUsage;
use common::pki::path::{MAX_DEPTH, ValidationRequest, validate_path};
use common::pki::{Cert, Crl};

/// Valid paths that are rejected on purpose: whatever is not supported is on the safe side.
const REJECTED: &[(&str, &str)] = &[
    ("ValidDSASignaturesTest4EE", "DSA is not accepted"),
    ("ValidDSAParameterInheritanceTest5EE", "DSA is not accepted"),
    ("ValidIDPwithindirectCRLTest22EE", "indirect CRLs are not used"),
    ("ValidIDPwithindirectCRLTest24EE", "indirect CRLs are not used"),
    ("ValidIDPwithindirectCRLTest25EE", "indirect CRLs are not used"),
    ("ValidcRLIssuerTest28EE", "indirect CRLs are not used"),
    ("ValidcRLIssuerTest29EE", "indirect CRLs are not used"),
    ("ValidcRLIssuerTest30EE", "indirect CRLs are not used"),
    ("ValidcRLIssuerTest33EE", "indirect CRLs are not used"),
    ("ValiddeltaCRLTest5EE", "delta CRLs take nothing back"),
    ("ValiddeltaCRLTest7EE", "delta CRLs take nothing back"),
];

/// 2015-01-01: within the validity of the suite.
const AT: i64 = 1_420_070_400;

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let paths: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths
        .iter()
        .map(|p| (p.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(p).unwrap()))
        .collect()
}

/// The CA certificates that may lead from a certificate upwards, by name.
fn above<'a>(leaf: &Cert, all: &'a [(String, Cert)]) -> Vec<&'a Cert> {
    let mut names = vec![leaf.issuer.clone()];
    let mut found: Vec<&Cert> = Vec::new();
    let mut i = 0;
    while i < names.len() {
        let name = names[i].clone();
        for (_, cert) in all.iter().filter(|(_, c)| c.subject == name) {
            if !found.iter().any(|f| f.der == cert.der) {
                found.push(cert);
                names.push(cert.issuer.clone());
            }
        }
        i += 1;
    }
    found
}

#[test]
fn pkits() {
    let dir = std::env::var_os("PKITS_DIR").map(PathBuf::from);
    let Some(dir) = testkit::or_skip(dir.ok_or("no PKITS_DIR in the environment")) else { return };
    let certs = files(&dir.join("certs"));
    let certs: Vec<(String, Cert)> =
        certs.into_iter().filter_map(|(n, d)| Some((n, Cert::parse(&d).ok()?))).collect();
    let crls: Vec<Crl> = files(&dir.join("crls")).iter().filter_map(|(_, d)| Crl::parse(d).ok()).collect();
    let (leaves, authorities): (Vec<_>, Vec<_>) =
        certs.into_iter().partition(|(name, _)| name.ends_with("EE"));
    let root = authorities.iter().find(|(name, _)| name == "TrustAnchorRootCertificate").unwrap().1.clone();
    let (mut right, mut wrong) = (0, Vec::new());
    for (name, leaf) in &leaves {
        let expected = match () {
            () if name.starts_with("Invalid") => false,
            () if name.starts_with("Valid") => true,
            () => continue,
        };
        let intermediates: Vec<Cert> =
            above(leaf, &authorities).into_iter().filter(|c| c.der != root.der).cloned().collect();
        let issuers: Vec<_> = intermediates.iter().chain([&root]).map(|c| &c.subject).collect();
        let crls: Vec<Crl> = crls.iter().filter(|c| issuers.contains(&&c.issuer)).cloned().collect();
        let question = ValidationRequest {
            leaf,
            intermediates: &intermediates,
            roots: std::slice::from_ref(&root),
            crls: &crls,
            at: AT,
            purposes: &[],
            key_usage: KeyUsage(0),
            names: &[],
            max_depth: MAX_DEPTH,
            conformance: false,
        };
        let listed = REJECTED.iter().any(|(n, _)| n == name);
        match validate_path(&question) {
            verdict if verdict.is_ok() == (expected && !listed) => right += 1,
            verdict => wrong.push(format!("{name}: {:?}", verdict.map(|p| p.len()))),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(right > 190, "only {right} tests were found");
}
