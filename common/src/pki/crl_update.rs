//! Newer CRLs for a directory that is already in use: each is checked by itself against the CAs in use.
//!
//! A revocation must reach a running program whatever else is wrong in its directory. The signature of a CRL proves who
//! issued it, so the mode of its file and the other files do not matter: a CRL that is signed by a CA in use, in force and
//! not older than the present one only makes the program stricter.

use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use time::OffsetDateTime;

use super::{Cert, Crl, CrlFile, LoadOptions, MtlsDir, inspect_crl, rule};
use crate::finding::{Finding, Severity, hex};
use crate::fsat;

/// The changes of a directory in use by the CRLs of a file.
#[derive(Debug, Default)]
pub struct CrlUpdate {
    /// The directory with the CRLs that were taken; `None` if none was.
    pub dir: Option<MtlsDir>,
    /// The CRLs that were taken.
    pub taken: Vec<Crl>,
    /// The CRLs that were not, each with the reason. One that is in use already is not among them.
    pub declined: Vec<String>,
}

impl MtlsDir {
    /// The directory with each CRL of its file that is newer than the one in use: signed by a CA that is in use,
    /// valid at `at`, complete, and neither numbered lower nor made earlier than that CA's present CRL. Roots, chain
    /// and key stay as they were loaded; modes, owners and other files are not looked at.
    ///
    /// # Errors
    /// The file cannot be read: it is missing, not a regular file, or too large.
    pub fn read_newer_crls(&self, at: OffsetDateTime) -> io::Result<CrlUpdate> {
        let bytes = read_crl_file(&self.path.join(self.role.layout().crl), self.max_crl_bytes)?;
        Ok(self.take_newer_crls(&CrlFile::parse(&bytes), at))
    }

    /// [`Self::read_newer_crls`] for a file that was read already.
    #[must_use]
    pub fn take_newer_crls(&self, file: &CrlFile, at: OffsetDateTime) -> CrlUpdate {
        let path = self.path.join(self.role.layout().crl);
        let issuers = self.crl_issuers();
        let options = LoadOptions { at, warn_days: Some(0), ..LoadOptions::now() };
        let mut update = CrlUpdate { declined: file.broken.clone(), ..CrlUpdate::default() };
        let mut present = self.crls.clone();
        for crl in file.crls.iter().filter(|crl| !self.crls.iter().any(|old| old.der == crl.der)) {
            match check_replacement(&path, crl, &issuers, &present, &options) {
                Ok(issuer) => {
                    present.retain(|old| !is_by_same_issuer(old, crl, issuer));
                    present.push(crl.clone());
                    update.taken.push(crl.clone());
                }
                Err(reason) => update.declined.push(format!("{}: {reason}", describe_crl(crl))),
            }
        }
        if !update.taken.is_empty() {
            update.dir = Some(Self { crls: present, ..self.clone() });
        }
        update
    }

    /// The CAs whose CRLs can be verified: the roots, and the intermediates of the directory's own chain.
    fn crl_issuers(&self) -> Vec<Cert> {
        let certificates = self.roots.iter().chain(&self.identity.cert);
        certificates.filter_map(|der| Cert::parse(der).ok()).filter(Cert::is_ca).collect()
    }
}

/// `CRL 03 by CN=X`, the number in hex as elsewhere.
fn describe_crl(crl: &Crl) -> String {
    match &crl.number {
        Some(number) => format!("CRL {} by {}", hex(&number.value), crl.issuer),
        None => format!("CRL without a number by {}", crl.issuer),
    }
}

/// Whether a present CRL is by the issuer of a new one: the certificate that verifies it, or what the CRLs say.
fn is_by_same_issuer(present: &Crl, new: &Crl, issuer: Option<&Cert>) -> bool {
    issuer.map_or_else(|| present.has_issuer_of(new), |issuer| present.is_issued_by(issuer))
}

/// The certificate that verifies a CRL that may replace the present ones by its issuer, or why it may not.
///
/// A CA below a root, whose certificate only its clients send, cannot be looked up here. A newer CRL in its name is
/// taken all the same where one in its name is in use: its signature is verified at each handshake, with the
/// certificate that the client sends, and a wrong one admits no client.
fn check_replacement<'a>(
    path: &Path,
    crl: &Crl,
    issuers: &'a [Cert],
    present: &[Crl],
    options: &LoadOptions<'_>,
) -> Result<Option<&'a Cert>, String> {
    let known = issuers.iter().find(|ca| crl.is_issued_by(ca));
    let is_unverified = |old: &Crl| !issuers.iter().any(|ca| old.is_issued_by(ca));
    let in_its_name = present.iter().any(|old| old.has_issuer_of(crl) && is_unverified(old));
    let issuer = match (known, issuers.first()) {
        (Some(issuer), _) => issuer,
        (None, Some(any)) if in_its_name => any,
        _ => return Err("not signed by a CA that is in use".to_owned()),
    };
    let needs_issuer = [rule::CRL_SIGNATURE.id, rule::CRL_ISSUER.id, rule::KEY_IDENTIFIER.id];
    let findings = inspect_crl(path, crl, issuer, options);
    let counts = |f: &&Finding| known.is_some() || !needs_issuer.contains(&f.rule.as_str());
    if let Some(finding) = findings.iter().filter(counts).find(|f| f.severity == Severity::Error) {
        return Err(finding.reason());
    }
    let mut replaced = present.iter().filter(|old| is_by_same_issuer(old, crl, known));
    replaced.find_map(|old| crl.older_than(old)).map_or(Ok(known), Err)
}

/// Reads the file, through a symbolic link too, because its signature proves the content, not its location.
fn read_crl_file(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    fsat::require_regular(&file)?;
    fsat::read_bounded(file, max_bytes)
}
