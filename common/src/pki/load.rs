//! What a directory is loaded with, and what it is once nothing is wrong with it.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use super::{Passphrase, Role, inspect};
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
        }
    }
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self::now()
    }
}

/// A certificate directory in which nothing is wrong that keeps it from serving.
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
