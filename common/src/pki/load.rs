//! What a directory is loaded with, and what it is once nothing is wrong with it.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use super::{Cert, Crl, Passphrase, Role, inspect_directory};
use crate::finding::{Finding, Severity};

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
    /// How much is demanded.
    pub profile: Profile,
    /// Whose the directory and its files must be.
    pub owner: Owner,
}

/// Whose a directory and its files must be, besides root's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// The user who runs this process: what a program demands that starts with it.
    #[default]
    Process,
    /// Another user, whose program will start with it.
    User(u32),
    /// Whoever owns the directory: what can be demanded by root, who runs the check for others.
    Directory,
}

/// How much is demanded of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// What is needed to serve safely with old and new peers; what is only unusual is a warning.
    #[default]
    Compat,
    /// Besides, what RFC 5280 obliges CAs to; and what is unusual is an error.
    Strict,
}

impl LoadOptions<'_> {
    /// The current time, no passphrase, 30 days of warning, the compatible profile.
    #[must_use]
    pub fn now() -> Self {
        Self {
            at: OffsetDateTime::now_utc(),
            passphrase: None,
            hosts: &[],
            warn_days: 30,
            profile: Profile::Compat,
            owner: Owner::Process,
        }
    }
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self::now()
    }
}

/// A certificate directory in which nothing is wrong that keeps it from serving.
#[derive(Clone)]
pub struct MtlsDir {
    pub(super) path: PathBuf,
    pub(super) role: Role,
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) identity: CertifiedKey,
    pub(super) crls: Vec<CertificateRevocationListDer<'static>>,
    pub(super) warnings: Vec<Finding>,
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
        let inspection = inspect_directory(path, role, options);
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

    /// Why it must not replace a former one that is in use, if so: a CRL is missing or older, and certificates that it
    /// revokes would be accepted again. The CRL of a root or of an intermediate in the chain may go with it; whether one
    /// of a client's intermediate may go cannot be known.
    #[must_use]
    pub fn explain_lost_revocations(&self, former: &Self) -> Option<String> {
        let authorities = |dir: &Self| -> Vec<Cert> {
            let certificates = dir.roots.iter().chain(&dir.identity.cert);
            certificates.filter_map(|der| Cert::parse(der).ok()).collect()
        };
        let (known, known_before) = (authorities(self), authorities(former));
        let is_by = |crl: &Crl, authorities: &[Cert]| authorities.iter().any(|ca| crl.is_issued_by(ca));
        let same_roots = former.roots.iter().any(|root| self.roots.contains(root));
        let now: Vec<Crl> = self.crls().collect();
        for old in former.crls() {
            let is_needed = is_by(&old, &known) || (same_roots && !is_by(&old, &known_before));
            let mut successors = now.iter().filter(|new| new.has_issuer_of(&old)).peekable();
            if is_needed && successors.peek().is_none() {
                return Some(format!("the CRL by {} is missing", old.issuer));
            }
            if is_needed && let Some(why) = successors.find_map(|new| new.older_than(&old)) {
                return Some(format!("the CRL by {} is an older one: {why}", old.issuer));
            }
        }
        None
    }

    /// The leaf, then its intermediates.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.identity.cert
    }

    /// The chain with the key that signs for it.
    #[must_use]
    pub fn certified_key(&self) -> &CertifiedKey {
        &self.identity
    }

    pub(super) fn roots_der(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    pub(super) fn crls_der(&self) -> &[CertificateRevocationListDer<'static>] {
        &self.crls
    }
}
