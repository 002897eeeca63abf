//! A certificate directory judged: every file, every rule, and what is left when nothing is wrong.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer,
    PrivateSec1KeyDer,
};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::pem::{self, Block};
use super::read::{Content, Directory};
use super::{Role, provider, rule};
use crate::finding::{Finding, Severity};

/// A passphrase; wiped when dropped, and never shown.
#[derive(Clone)]
pub struct Passphrase(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// What a directory is judged by. `LoadOptions { warn_days: 7, ..LoadOptions::now() }` sets one value.
#[derive(Clone, Debug)]
pub struct LoadOptions<'a> {
    /// The time at which everything must be valid.
    pub at: OffsetDateTime,
    /// What the private key is encrypted with.
    pub passphrase: Option<&'a Passphrase>,
    /// Names or addresses that a server's certificate must be good for.
    pub hosts: &'a [String],
    /// How many days before the end of a validity a warning begins.
    pub warn_days: u32,
}

impl LoadOptions<'_> {
    /// The current time, no passphrase, 30 days of warning.
    #[must_use]
    pub fn now() -> Self {
        Self { at: OffsetDateTime::now_utc(), passphrase: None, hosts: &[], warn_days: 30 }
    }
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self::now()
    }
}

/// Everything that was found in a directory, and its content if it can serve.
#[derive(Debug)]
pub struct Inspection {
    /// In the order of the files and rules.
    pub findings: Vec<Finding>,
    /// Present when no finding is an error.
    pub dir: Option<MtlsDir>,
}

/// A certificate directory in which nothing is wrong that keeps it from serving.
pub struct MtlsDir {
    path: PathBuf,
    role: Role,
    roots: Vec<CertificateDer<'static>>,
    identity: CertifiedKey,
    crls: Vec<CertificateRevocationListDer<'static>>,
    warnings: Vec<Finding>,
}

impl fmt::Debug for MtlsDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MtlsDir").field("path", &self.path).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Why a directory was refused: at least one finding of severity error.
#[derive(Clone, Debug)]
pub struct LoadError {
    findings: Vec<Finding>,
}

impl LoadError {
    /// The errors.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.findings.first() else { return f.write_str("refused") };
        write!(f, "{}: {}", first.path, first.reason())?;
        match self.findings.len() - 1 {
            0 => Ok(()),
            1 => f.write_str(", and 1 more error"),
            n => write!(f, ", and {n} more errors"),
        }
    }
}

impl std::error::Error for LoadError {}

impl MtlsDir {
    /// Reads and judges a directory.
    ///
    /// # Errors
    /// All that keeps it from serving, each with its rule.
    pub fn load(path: &Path, role: Role, options: &LoadOptions<'_>) -> Result<Self, LoadError> {
        let inspection = inspect(path, role, options);
        inspection.dir.ok_or_else(|| LoadError {
            findings: inspection.findings.into_iter().filter(|f| f.severity == Severity::Error).collect(),
        })
    }

    /// What is allowed, and should be mended.
    #[must_use]
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which end it is for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The leaf, then its intermediates.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.identity.cert
    }

    pub(super) fn certified_key(&self) -> &CertifiedKey {
        &self.identity
    }

    pub(super) fn roots_der(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    pub(super) fn crls_der(&self) -> &[CertificateRevocationListDer<'static>] {
        &self.crls
    }
}

/// Judges a directory by every rule. One broken file does not hide what is wrong with the others.
#[must_use]
pub fn inspect(path: &Path, role: Role, _options: &LoadOptions<'_>) -> Inspection {
    let mut findings = Vec::new();
    let Some(dir) = Directory::open(path, &mut findings) else { return Inspection { findings, dir: None } };
    let layout = role.layout();
    let blocks = |name, required, findings: &mut Vec<Finding>| blocks_of(&dir, name, required, findings);
    let certificates = |blocks: Vec<Block>| -> Vec<CertificateDer<'static>> {
        blocks.into_iter().filter(|b| b.label == "CERTIFICATE").map(|b| b.der.to_vec().into()).collect()
    };
    let roots = certificates(blocks(layout.ca, true, &mut findings));
    let chain = certificates(blocks(layout.leaf, true, &mut findings));
    let crls = blocks(layout.crl, false, &mut findings).into_iter().map(|b| b.der.to_vec().into()).collect();
    let key = blocks(layout.key, true, &mut findings).into_iter().find_map(key_of);
    for name in dir.names().iter().filter(|n| !layout.names().iter().any(|l| *n == l)) {
        let path = path.join(name);
        findings.push(rule::UNEXPECTED_FILE.at(&path).found("does not belong into this directory"));
    }
    let identity = key.filter(|_| !chain.is_empty()).and_then(|key| {
        CertifiedKey::from_der(chain, key, &provider())
            .map_err(|e| findings.push(rule::KEY_MISMATCH.at(&dir.path(layout.key)).found(e.to_string())))
            .ok()
    });
    let refused = findings.iter().any(|f| f.severity == Severity::Error);
    let dir = match identity {
        Some(identity) if !refused && !roots.is_empty() => {
            Some(MtlsDir { path: path.to_owned(), role, roots, identity, crls, warnings: findings.clone() })
        }
        _ => None,
    };
    Inspection { findings, dir }
}

fn blocks_of(dir: &Directory, name: &str, required: bool, findings: &mut Vec<Finding>) -> Vec<Block> {
    match dir.read(name, findings) {
        Content::Bytes(bytes) => pem::parse(&bytes).unwrap_or_else(|e| {
            findings.push(rule::PEM.at(&dir.path(name)).found(e.to_string()));
            Vec::new()
        }),
        Content::Absent if required => {
            findings.push(rule::MISSING_FILE.at(&dir.path(name)).found("does not exist"));
            Vec::new()
        }
        Content::Absent | Content::Refused => Vec::new(),
    }
}

fn key_of(block: Block) -> Option<PrivateKeyDer<'static>> {
    let der = block.der.to_vec();
    match block.label.as_str() {
        "PRIVATE KEY" => Some(PrivatePkcs8KeyDer::from(der).into()),
        "RSA PRIVATE KEY" if !block.headers => Some(PrivatePkcs1KeyDer::from(der).into()),
        "EC PRIVATE KEY" if !block.headers => Some(PrivateSec1KeyDer::from(der).into()),
        _ => None,
    }
}
