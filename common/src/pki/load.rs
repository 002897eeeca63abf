//! The options for loading a directory, and a directory that is valid.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use super::{Cert, Crl, MAX_CRL_BYTES, Passphrase, Role, inspect_directory};
use crate::finding::{Finding, Severity};

/// The options of checking a directory. `LoadOptions { warn_days: Some(7), ..LoadOptions::now() }` sets one value.
#[derive(Clone, Debug)]
pub struct LoadOptions<'a> {
    /// The time at which everything must be valid.
    pub at: OffsetDateTime,
    /// The passphrase of the private key.
    pub passphrase: Option<&'a Passphrase>,
    /// Names and addresses for which a server's certificate must be valid.
    pub hosts: &'a [String],
    /// How many days before something expires a warning is given. `None` is 30 days, or the last third of its validity if
    /// that is shorter.
    pub warn_days: Option<u32>,
    /// The largest CRL file that is read, in bytes.
    pub max_crl_bytes: u64,
    /// How strict the rules are.
    pub profile: Profile,
    /// The required owner of the directory and its files.
    pub owner: Owner,
}

/// The required owner of a directory and its files, besides root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// The user who runs this process, as a program requires that starts with the directory.
    #[default]
    Process,
    /// Another user, whose program starts with the directory.
    User(u32),
    /// The owner of the directory: for root, who checks directories of other users.
    Directory,
}

/// How strict the rules are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// The rules that are needed for safe connections with old and new peers; anything merely unusual is a warning.
    #[default]
    Compat,
    /// Also what RFC 5280 obliges CAs to; warnings are errors.
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
            warn_days: None,
            max_crl_bytes: MAX_CRL_BYTES,
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

/// A valid certificate directory.
#[derive(Clone)]
pub struct MtlsDir {
    pub(super) path: PathBuf,
    pub(super) role: Role,
    pub(super) max_crl_bytes: u64,
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) identity: CertifiedKey,
    pub(super) crls: Vec<Crl>,
    pub(super) warnings: Vec<Finding>,
}

impl fmt::Debug for MtlsDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MtlsDir").field("path", &self.path).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Why a directory is invalid: at least one finding of severity error.
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
        let Some(first) = self.findings.first() else { return f.write_str("invalid") };
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
    /// Reads and checks a directory.
    ///
    /// # Errors
    /// The findings of severity error.
    pub fn load(path: &Path, role: Role, options: &LoadOptions<'_>) -> Result<Self, LoadError> {
        let inspection = inspect_directory(path, role, options);
        inspection.dir.ok_or_else(|| LoadError {
            findings: inspection.findings.into_iter().filter(|f| f.severity == Severity::Error).collect(),
        })
    }

    /// Findings that should be fixed, though the directory is valid.
    #[must_use]
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The role that it is for.
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
        let same_roots = former.roots.iter().any(|root| self.roots.contains(root));
        former.crls.iter().filter(|old| !self.crls.iter().any(|new| new.der == old.der)).find_map(|old| {
            let signer = known.iter().find(|ca| old.is_issued_by(ca));
            let was_known = || known_before.iter().any(|ca| old.is_issued_by(ca));
            if signer.is_none() && (!same_roots || was_known()) {
                return None;
            }
            // By the key, where it is known: two CAs can have one name.
            let is_successor =
                |new: &&Crl| signer.map_or_else(|| new.has_issuer_of(old), |ca| new.is_issued_by(ca));
            let mut reasons = self.crls.iter().filter(is_successor).map(|new| new.older_than(old)).peekable();
            if reasons.peek().is_none() {
                return Some(format!("the CRL by {} is missing", old.issuer));
            }
            let reasons: Option<Vec<String>> = reasons.collect();
            let why = reasons?.into_iter().next()?;
            Some(format!("the CRL by {} is older: {why}", old.issuer))
        })
    }

    /// The roots that a former directory does not trust: another name or another key. A root that was issued again for the
    /// same key is the same trust anchor (RFC 5280, section 6.1.1 (d)).
    #[must_use]
    pub fn list_new_roots(&self, former: &Self) -> Vec<Cert> {
        let parse =
            |dir: &Self| -> Vec<Cert> { dir.roots.iter().filter_map(|der| Cert::parse(der).ok()).collect() };
        let known = parse(former);
        let is_known = |root: &Cert| known.iter().any(|k| k.subject == root.subject && k.key == root.key);
        parse(self).into_iter().filter(|root| !is_known(root)).collect()
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

    /// The trust anchors.
    #[must_use]
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The CRLs in use.
    #[must_use]
    pub fn crls(&self) -> &[Crl] {
        &self.crls
    }
}
