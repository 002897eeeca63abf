//! A certificate directory checked against every rule, and its content if it is valid.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};

use super::checks::{Bundle, DirectoryContent, RuleChecker};
use super::directory_reader::DirectoryReader;
use super::key::KeyError;
use super::name::Name;
use super::read::OpenDirectory;
use super::role::Layout;
use super::{Cert, Crl, LoadOptions, MtlsDir, Role, rule, unexpected_files};
use crate::finding::{Finding, Severity, hex};

/// The findings in a directory, and its content if it is valid.
#[derive(Debug)]
pub struct Inspection {
    /// In the order of the files and rules; a key that others can read comes first.
    pub findings: Vec<Finding>,
    /// Present when no finding is an error.
    pub dir: Option<MtlsDir>,
    /// When each certificate and CRL that could be read expires.
    pub expiries: Vec<Expiry>,
}

/// When a certificate (notAfter) or CRL (nextUpdate) expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The file.
    pub path: PathBuf,
    /// The certificate's subject, or the CRL's issuer.
    pub name: String,
    /// The certificate's serial number, or the CRL's number, in hexadecimal, to distinguish two of one name.
    pub serial: String,
    /// Seconds since 1970, UTC.
    pub at: i64,
}

/// Checks a directory against every rule. A broken file does not hide the faults of the others.
#[must_use]
pub fn inspect_directory(path: &Path, role: Role, options: &LoadOptions<'_>) -> Inspection {
    let mut findings = Vec::new();
    let Some(dir) = OpenDirectory::open(path, options.owner, &mut findings) else {
        return Inspection { findings, dir: None, expiries: Vec::new() };
    };
    let layout = role.layout_of(|name| dir.has_entry(name));
    let max_crl_bytes = options.max_crl_bytes;
    let mut reader = DirectoryReader { dir, layout, staged: None, max_crl_bytes, findings };
    let mut case = reader.read_content(role);
    let key = reader.read_key(&mut case, options.passphrase);
    reader.findings.extend(unexpected_files::find_unexpected_files(
        &reader.dir,
        reader.layout,
        &case.roots.items,
    ));
    let mut checker = RuleChecker::new(options, reader.findings);
    checker.check_all(&case);
    let findings = checker.into_findings();
    let is_invalid = findings.iter().any(|f| f.severity == Severity::Error);
    let dir =
        key.filter(|_| !is_invalid).map(|key| build_mtls_dir(path, &case, key, max_crl_bytes, &findings));
    Inspection { findings, dir, expiries: collect_expiries(&case) }
}

/// Checks a directory's certificates and CRLs, with other bytes in place of the CRL file if some are given. Owners, modes
/// and the key are not checked, because the user who renews the CRL may be another than the daemon's and need not know
/// its passphrase.
#[must_use]
pub fn inspect_certificates(
    path: &Path,
    role: Role,
    crl: Option<&[u8]>,
    options: &LoadOptions<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(dir) = OpenDirectory::open(path, options.owner, &mut findings) else { return findings };
    let layout = role.layout_of(|name| dir.has_entry(name));
    let max_crl_bytes = options.max_crl_bytes;
    let mut reader = DirectoryReader { dir, layout, staged: crl, max_crl_bytes, findings };
    let case = reader.read_content(role);
    reader.findings.retain(|f| f.rule != rule::MODE.id && f.rule != rule::OWNER.id);
    let mut checker = RuleChecker::new(options, reader.findings);
    checker.check_all(&case);
    checker.into_findings()
}

/// The files of an authority's directory, as `certck mint` makes it, with the root in place of a leaf.
const AUTHORITY: Layout =
    Layout { role: Role::Server, ca: "ca.crt", leaf: "ca.crt", key: "ca.key", crl: "ca.crl" };

/// The other files of `certck mint`: the log of issued certificates, and the settings for new ones.
const KEPT: [&str; 2] = ["issued.jsonl", SETTINGS];
const SETTINGS: &str = "authority.toml";

/// Checks the directory of an authority: its root, the root's key, its CRL.
#[must_use]
pub fn inspect_authority(path: &Path, options: &LoadOptions<'_>) -> Inspection {
    let mut findings = Vec::new();
    let Some(dir) = OpenDirectory::open(path, options.owner, &mut findings) else {
        return Inspection { findings, dir: None, expiries: Vec::new() };
    };
    let max_crl_bytes = options.max_crl_bytes;
    let mut reader = DirectoryReader { dir, layout: &AUTHORITY, staged: None, max_crl_bytes, findings };
    let (roots, _) = reader.read_blocks(AUTHORITY.ca, true);
    let roots = reader.parse_certificates(AUTHORITY.ca, roots);
    let (crls, crl_present) = reader.read_blocks(AUTHORITY.crl, false);
    let crls = reader.parse_crls(AUTHORITY.crl, crls);
    let chain = Bundle { path: roots.path.clone(), items: roots.items.clone(), broken: roots.broken };
    let mut case = DirectoryContent { role: Role::Server, roots, chain, crls, crl_present };
    reader.read_key(&mut case, options.passphrase);
    // An authority's key should be encrypted, and no daemon has to start with it.
    let closed = KeyError::Encrypted.to_string();
    reader.findings.retain(|f| f.rule != rule::KEY_ENCRYPTED.id || f.found != closed);
    let mut unexpected = unexpected_files::find_unexpected_files(&reader.dir, reader.layout, &[]);
    let kept = KEPT.map(|name| reader.dir.file_path(name));
    unexpected
        .retain(|f| f.rule != rule::UNEXPECTED_FILE.id || !kept.iter().any(|k| Path::new(&f.path) == k));
    reader.findings.extend(unexpected);
    // Its mode and owner matter, because what it sets goes into every new certificate.
    reader.dir.read_file(SETTINGS, &mut reader.findings);
    case.chain.items.clear();
    let mut checker = RuleChecker::new(options, reader.findings);
    checker.check_authority(&case);
    Inspection { findings: checker.into_findings(), dir: None, expiries: collect_expiries(&case) }
}

fn collect_expiries(case: &DirectoryContent) -> Vec<Expiry> {
    let end = |path: &Path, name: &Name, serial: &[u8], at| Expiry {
        path: path.to_owned(),
        name: name.to_string(),
        serial: hex(serial),
        at,
    };
    let certs = |b: &Bundle<Cert>| {
        b.items.iter().map(|c| end(&b.path, &c.subject, &c.serial, c.not_after.unix)).collect::<Vec<_>>()
    };
    let crls = case.crls.items.iter().filter_map(|c| {
        let number = c.number.as_ref().map_or(&[][..], |n| &n.value);
        Some(end(&case.crls.path, &c.issuer, number, c.next_update?.unix))
    });
    [certs(&case.roots), certs(&case.chain)].concat().into_iter().chain(crls).collect()
}

/// Checks the chain that a live peer presented, against the roots and CRLs of a directory. Findings are about `name`.
#[must_use]
pub fn inspect_peer(
    name: &Path,
    chain: &[CertificateDer<'_>],
    role: Role,
    dir: &MtlsDir,
    options: &LoadOptions<'_>,
) -> Vec<Finding> {
    fn parse_items<T>(
        path: &Path,
        items: impl Iterator<Item = Result<T, super::Malformed>>,
    ) -> (Bundle<T>, Vec<Finding>) {
        let mut bundle = Bundle { path: path.to_owned(), items: Vec::new(), broken: false };
        let mut findings = Vec::new();
        for (i, item) in items.enumerate() {
            match item {
                Ok(item) => bundle.items.push(item),
                Err(e) => {
                    bundle.broken = true;
                    let found = format!("certificate {}: {e}", i + 1);
                    findings.push(
                        rule::MALFORMED_CERTIFICATE.at(path).found(found).expected("a certificate in DER"),
                    );
                }
            }
        }
        (bundle, findings)
    }
    let (chain, findings) = parse_items(name, chain.iter().map(|c| Cert::parse(c)));
    let (roots, _) = parse_items(&dir.path().join("ca.crt"), dir.roots().iter().map(|c| Cert::parse(c)));
    let crls = Bundle { path: dir.path().join("ca.crl"), items: dir.crls().to_vec(), broken: false };
    let crl_present = !crls.items.is_empty();
    let case = DirectoryContent { role, roots, chain, crls, crl_present };
    let mut checker = RuleChecker::new(options, findings);
    checker.check_all(&case);
    checker.into_findings()
}

/// Checks one CRL against the CA that must have issued it: form, signature, dates. Findings are about `path`.
#[must_use]
pub fn inspect_crl(path: &Path, crl: &Crl, issuer: &Cert, options: &LoadOptions<'_>) -> Vec<Finding> {
    let bundle = |items| Bundle { path: path.to_owned(), items, broken: false };
    let case = DirectoryContent {
        role: Role::Server,
        roots: bundle(vec![issuer.clone()]),
        chain: bundle(Vec::new()),
        crls: Bundle { path: path.to_owned(), items: vec![crl.clone()], broken: false },
        crl_present: true,
    };
    let mut checker = RuleChecker::new(options, Vec::new());
    checker.check_revocation(&case);
    checker.into_findings()
}

fn build_mtls_dir(
    path: &Path,
    case: &DirectoryContent,
    key: Arc<dyn SigningKey>,
    max_crl_bytes: u64,
    findings: &[Finding],
) -> MtlsDir {
    let ders = |certs: &[Cert]| certs.iter().map(|c| c.der.clone()).collect::<Vec<_>>();
    MtlsDir {
        path: path.to_owned(),
        role: case.role,
        max_crl_bytes,
        roots: ders(&case.roots.items),
        identity: CertifiedKey::new(ders(&case.chain.items), key),
        crls: case.crls.items.clone(),
        warnings: findings.to_vec(),
    }
}
