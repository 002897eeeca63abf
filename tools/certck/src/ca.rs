//! The directory of a certificate authority as `certck mint` makes it: its root, its key, its CRL; one user at a
//! time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use common::error::HintExt;
use common::finding::{Finding, Severity};
use common::fsat;
use common::pki::{Cert, Crl, LoadOptions, Passphrase, inspect_crl};
use common::policy::Mode;
use common::record::certck::Written;
use rcgen::{RevocationReason, RevokedCertParams, SerialNumber};
use rustix::fs::FlockOperation;
use time::{Duration, OffsetDateTime};

use crate::authority::{Authority, Validity};
use crate::{clock, files};

/// An authority that nobody else changes meanwhile.
pub(crate) struct Ca {
    pub(crate) path: PathBuf,
    pub(crate) certificate: Cert,
    pub(crate) authority: Authority,
    /// The CRL in force.
    pub(crate) crl: Option<Crl>,
    _lock: File,
}

const KEY_FILE: Mode = Mode(0o600);

impl Ca {
    /// Opens and locks the directory.
    pub(crate) fn open(path: &Path, passphrase: Option<&Passphrase>) -> anyhow::Result<Self> {
        let shown = || path.display().to_string();
        let lock =
            File::open(path).with_context(shown).hint("name the directory that holds ca.crt and ca.key")?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| anyhow::anyhow!("another certck is at work in it"))
            .with_context(shown)?;
        let certificate = files::certificate(&path.join("ca.crt"))?;
        let key = path.join("ca.key");
        let authority = Authority::load(&certificate, &files::private_key(&key)?, passphrase)
            .with_context(|| key.display().to_string())?;
        let crl = match path.join("ca.crl") {
            crl if crl.symlink_metadata().is_ok_and(|m| m.len() > 0) => Some(files::crl(&crl)?),
            _ => None,
        };
        Ok(Self { path: path.to_owned(), certificate, authority, crl, _lock: lock })
    }

    /// What the CRL in force revokes.
    pub(crate) fn revoked(&self) -> Vec<RevokedCertParams> {
        self.crl.iter().flat_map(|crl| &crl.revoked).map(kept).collect()
    }

    /// Makes a new CRL, judges it as a peer would, and puts it into the authority's directory and the others.
    pub(crate) fn publish(
        &self,
        revoked: Vec<RevokedCertParams>,
        days: u16,
        places: &[PathBuf],
    ) -> anyhow::Result<Vec<Written>> {
        let now = OffsetDateTime::now_utc().replace_nanosecond(0)?;
        let validity =
            Validity { from: now - Duration::minutes(5), until: now + Duration::days(i64::from(days)) };
        let (number, count) = (self.next_number()?, revoked.len() as u64);
        let pem = self.authority.crl(number, revoked, validity)?;
        let own = self.path.join("ca.crl");
        acceptable(&own, &files::crl_of(pem.as_bytes())?, &self.certificate)?;
        let all = std::iter::once(own).chain(places.iter().map(|dir| dir.join("ca.crl")));
        let mut written = Vec::new();
        for path in all {
            fsat::write(&path, KEY_FILE, pem.as_bytes()).with_context(|| path.display().to_string())?;
            written.push(record(&path, number, validity.until, count));
        }
        Ok(written)
    }

    fn next_number(&self) -> anyhow::Result<u64> {
        let Some(number) = self.crl.as_ref().and_then(|crl| crl.number.as_ref()) else { return Ok(1) };
        let number = number.value.iter().try_fold(0u64, |n, &b| n.checked_mul(256)?.checked_add(b.into()));
        number.and_then(|n| n.checked_add(1)).context("ca.crl: its number is too large to be counted on")
    }
}

fn record(path: &Path, number: u64, until: OffsetDateTime, revoked: u64) -> Written {
    Written {
        what: "crl".to_owned(),
        path: path.to_string_lossy().into_owned(),
        path_hex: Finding::new("", Severity::Note, path).path_hex,
        number: format!("{number:02x}"),
        until: clock::rfc3339(until),
        revoked: Some(revoked),
    }
}

fn kept(entry: &common::pki::crl::Revoked) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: SerialNumber::from_slice(&entry.serial),
        revocation_time: OffsetDateTime::from_unix_timestamp(entry.at.unix)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH),
        reason_code: entry.reason.and_then(reason),
        invalidity_date: None,
    }
}

fn reason(code: u8) -> Option<RevocationReason> {
    use RevocationReason as R;
    let all = [
        R::Unspecified,
        R::KeyCompromise,
        R::CaCompromise,
        R::AffiliationChanged,
        R::Superseded,
        R::CessationOfOperation,
        R::CertificateHold,
        R::RemoveFromCrl,
        R::PrivilegeWithdrawn,
        R::AaCompromise,
    ];
    all.into_iter().find(|r| *r as u8 == code)
}

/// Refuses a CRL that a peer would refuse.
pub(crate) fn acceptable(path: &Path, crl: &Crl, issuer: &Cert) -> anyhow::Result<()> {
    let options = LoadOptions { warn_days: 0, ..LoadOptions::now() };
    let findings = inspect_crl(path, crl, issuer, &options);
    if let Some(finding) = findings.iter().find(|f| f.severity == Severity::Error) {
        bail!("{}: {}", finding.path, finding.reason());
    }
    Ok(())
}

/// Directories that are there: asked before anything is changed.
pub(crate) fn directories(places: &[PathBuf]) -> anyhow::Result<()> {
    for place in places {
        let meta = place.metadata().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => anyhow::anyhow!("does not exist"),
            _ => e.into(),
        });
        ensure!(
            meta.with_context(|| place.display().to_string())?.is_dir(),
            "{}: not a directory",
            place.display()
        );
    }
    Ok(())
}
