//! The directory of a certificate authority as `certck mint` makes it: its root, its key, its CRL; one user at a
//! time.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use common::error::HintExt;
use common::finding::Severity;
use common::out::Out;
use common::pki::crl::CrlNumber;
use common::pki::{Cert, Crl, CrlLimitArgs, LoadOptions, Passphrase, inspect_crl};
use common::policy::shell_quote;
use common::record::RecordPath;
use common::record::certck::WrittenRecord;
use rcgen::{RevocationReason, RevokedCertParams, SerialNumber};
use time::OffsetDateTime;

use crate::authority::Authority;
use crate::authority_settings::AuthoritySettings;
use crate::crl_store::{self, CrlStore};
use crate::files;
use crate::leaf::Validity;

/// An authority's directory, locked.
pub(crate) struct CaDir {
    pub(crate) path: PathBuf,
    pub(crate) certificate: Cert,
    pub(crate) authority: Authority,
    /// How large its CRL may be, and those of the directories that get it.
    pub(crate) crl_limit: CrlLimitArgs,
    encrypted: bool,
    own: CrlStore,
    /// The CRL in force.
    crl: Option<Crl>,
}

/// The content of the next CRL.
pub(crate) struct NextCrl {
    /// The certificates that it revokes.
    pub(crate) revoked: Vec<RevokedCertParams>,
    /// Its validity in days; that of the present CRL if not given.
    pub(crate) days: Option<u16>,
}

/// The directory of the authority in use, in the one that was given to `certck mint`.
pub(crate) const PRESENT: &str = "ca";
/// The directory of the next authority during a rollover, until it is the only one.
pub(crate) const NEXT: &str = "ca.next";

/// The validity of a first CRL in days.
const FIRST_DAYS: u16 = 90;

impl CaDir {
    /// Opens and locks the directory.
    pub(crate) fn open(
        path: &Path,
        passphrase: Option<&Passphrase>,
        crl_limit: CrlLimitArgs,
    ) -> anyhow::Result<Self> {
        let path = &find_ca_dir(path);
        if !path.is_dir() {
            return Err(anyhow::anyhow!("{}: not a directory", path.display()))
                .hint("name the directory that holds ca.crt, ca.key and ca.crl");
        }
        let own = CrlStore::open(path, crl_limit)?;
        let certificate = files::read_certificate(&path.join("ca.crt"))?;
        let key = path.join("ca.key");
        let block = files::read_private_key(&key)?;
        let encrypted = block.label == "ENCRYPTED PRIVATE KEY";
        let authority =
            Authority::load(&certificate, &block, passphrase).with_context(|| key.display().to_string())?;
        if let Some(broken) = own.broken_blocks().first() {
            bail!("{}: {broken}", own.path.display());
        }
        let crl = own.latest_by(&certificate).cloned();
        Ok(Self { path: path.to_owned(), certificate, authority, crl_limit, encrypted, own, crl })
    }

    /// Whether its key is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// The present CRL. Without it, it is unknown what was revoked, and a new CRL would make all of it valid again.
    pub(crate) fn crl_in_force(&self) -> anyhow::Result<&Crl> {
        self.crl
            .as_ref()
            .with_context(|| format!("{}: no CRL by this authority", self.own.path.display()))
            .hint(
                "copy it back from a certificate directory that has it; or, if nothing was ever revoked, make the \
                 first one with `certck crl new --first`",
            )
    }

    /// The present CRL if it is valid: with an expired one, no directory is valid.
    pub(crate) fn usable_crl(&self) -> anyhow::Result<&Crl> {
        let crl = self.crl_in_force()?;
        check_crl(&self.own.path, crl, &self.certificate).hint("make a new one with `certck crl new`")?;
        Ok(crl)
    }

    /// The root and the CRL of the other authority during a rollover (`certck mint rollover`): `ca.next` beside `ca`, and the
    /// other way round. Both roots are trusted until its end. None outside of one.
    ///
    /// # Errors
    /// The root cannot be read, or it has no valid CRL.
    pub(crate) fn rollover_peer(&self) -> anyhow::Result<Option<(Cert, Crl)>> {
        let shown = || self.path.display().to_string();
        let real = self.path.canonicalize().with_context(shown)?;
        let name = match real.file_name() {
            Some(name) if name == PRESENT => NEXT,
            Some(name) if name == NEXT => PRESENT,
            _ => return Ok(None),
        };
        let other = real.with_file_name(name);
        if !other.is_dir() {
            return Ok(None);
        }
        let root = files::read_certificate(&other.join("ca.crt"))?;
        // It is not locked: another certck may have both in the other order.
        let path = other.join("ca.crl");
        let crls = crl_store::read_crls(&path, self.crl_limit)?.crls;
        let own = crls.into_iter().filter(|crl| crl.is_issued_by(&root));
        let crl = own.max_by_key(|crl| CrlNumber::from(crl));
        let crl = crl.with_context(|| format!("{}: no CRL by this authority", path.display()));
        let crl = crl.and_then(|crl| check_crl(&path, &crl, &root).map(|()| crl));
        crl.map(|crl| Some((root, crl)))
            .hint("both authorities of a rollover need a CRL that is in force: `certck crl new`")
    }

    /// Whether the CRL in force revokes a serial number, given in hex.
    pub(crate) fn revokes(&self, serial: &str) -> bool {
        let serial = common::finding::unhex(serial.as_bytes()).unwrap_or_default();
        self.crl.as_ref().is_some_and(|crl| crl.revokes(&serial))
    }

    /// The entries of the present CRL. With `first` there must be no CRL.
    pub(crate) fn revoked_entries(&self, first: bool) -> anyhow::Result<Vec<RevokedCertParams>> {
        if first {
            ensure!(self.crl.is_none(), "{}: exists: omit --first", self.own.path.display());
            return Ok(Vec::new());
        }
        Ok(self.crl_in_force()?.entries().map(|entry| keep_entry(&entry)).collect())
    }

    /// The certificate directories that CRLs go to, locked. One under another CA is an error, before anything is changed.
    /// One that cannot be read is reported, and the others get the CRL nevertheless: a revocation must not wait for it.
    pub(crate) fn open_crl_stores(&self, dirs: &[PathBuf], out: &Out) -> anyhow::Result<Vec<CrlStore>> {
        let mut seen = Vec::new();
        let mut places = Vec::new();
        for dir in dirs {
            let real = match dir.canonicalize() {
                Ok(real) => real,
                Err(e) => {
                    out.error(dir.display(), common::error::io_reason(&e));
                    continue;
                }
            };
            if seen.contains(&real) {
                continue;
            }
            self.check_belongs_to_ca(dir)?;
            match CrlStore::open(dir, self.crl_limit) {
                Ok(place) => places.push(place),
                Err(e) => out.diag().fatal(&e),
            }
            seen.push(real);
        }
        Ok(places)
    }

    /// Rejects a directory that does not belong to this authority. The root, a certificate of the chain or the CRL is
    /// enough to prove it, so that a broken or missing file does not keep a revocation out.
    pub(crate) fn check_belongs_to_ca(&self, dir: &Path) -> anyhow::Result<()> {
        let layout = crl_store::layout_of(dir).with_context(|| {
            format!("{}: not a certificate directory: holds neither server.crt nor client.crt", dir.display())
        })?;
        let own = &self.certificate;
        let mut foreign = None;
        let mut unreadable = None;
        for name in [layout.ca, layout.leaf] {
            match files::read_certificates(&dir.join(name)) {
                Ok(known) if known.iter().any(|c| c.subject == own.subject && c.key.spki == own.key.spki) => {
                    return Ok(());
                }
                Ok(known) => foreign = foreign.or_else(|| known.first().map(describe_ca)),
                Err(e) => unreadable = unreadable.or(Some(e)),
            }
        }
        let crls = crl_store::read_crls(&dir.join(layout.crl), self.crl_limit).unwrap_or_default();
        if crls.crls.iter().any(|crl| crl.is_issued_by(own)) {
            return Ok(());
        }
        match (foreign, unreadable) {
            (None, Some(e)) => Err(e),
            (theirs, _) => {
                let theirs = theirs.unwrap_or_default();
                Err(anyhow::anyhow!("{}: under {theirs}, not under {}", dir.display(), describe_ca(own)))
                    .hint("name directories whose ca.crt is this authority's")
            }
        }
    }

    /// Makes the next CRL, checks it, and writes it to the authority's directory and the others. A failure in one of them
    /// is reported, and the others are written all the same.
    pub(crate) fn publish_crl(
        &self,
        next: NextCrl,
        places: &[CrlStore],
        out: &Out,
    ) -> anyhow::Result<Vec<WrittenRecord>> {
        let validity = self.next_validity(next.days.or_else(|| self.usual_crl_days(out)))?;
        let number = self.next_number()?;
        let crl = Crl::from_der(self.authority.sign_crl(number, next.revoked, validity)?)?;
        check_crl(&self.own.path, &crl, &self.certificate)?;
        self.check_keeps_revocations(&crl)?;
        for place in places {
            self.check_successor(&crl, place)?;
        }
        // The authority's own CRL is replaced first, because the others must not be newer than it.
        self.own.replace_file(&self.own.with_replaced(&crl, &self.certificate))?;
        let mut written = vec![written_record(&self.own.path, &crl)];
        for place in places {
            for broken in place.broken_blocks() {
                out.warn(place.path.display(), format_args!("{broken}; removed"));
            }
            match place.replace_file(&place.with_replaced(&crl, &self.certificate)) {
                Ok(()) => written.push(written_record(&place.path, &crl)),
                Err(e) => out.diag().fatal(&e),
            }
        }
        Ok(written)
    }

    /// Returns the CRL that [`Self::publish_crl`] would write.
    pub(crate) fn preview_crl(
        &self,
        days: Option<u16>,
        places: &[CrlStore],
        out: &Out,
    ) -> anyhow::Result<Vec<WrittenRecord>> {
        let validity = self.next_validity(days.or_else(|| self.usual_crl_days(out)))?;
        let revoked = self.revoked_entries(false)?;
        let crl = Crl::from_der(self.authority.sign_crl(self.next_number()?, revoked, validity)?)?;
        let preview = |place: &CrlStore| WrittenRecord { dry_run: true, ..written_record(&place.path, &crl) };
        Ok(std::iter::once(&self.own).chain(places).map(preview).collect())
    }

    /// The validity of a CRL by the authority's settings. That they cannot be read keeps no revocation back.
    fn usual_crl_days(&self, out: &Out) -> Option<u16> {
        match AuthoritySettings::read_file(&self.path) {
            Ok(settings) => settings.crl_days,
            Err(e) => {
                out.warn("the CRL is valid for as long as the one before", format_args!("{e:#}"));
                None
            }
        }
    }

    fn next_validity(&self, days: Option<u16>) -> anyhow::Result<Validity> {
        let Some(crl) = &self.crl else { return Validity::for_days(days.unwrap_or(FIRST_DAYS)) };
        let mut validity = match (days, crl.next_update) {
            (None, Some(until)) => Validity::as_long_as(crl.this_update, until)?,
            (days, _) => Validity::for_days(days.unwrap_or(FIRST_DAYS))?,
        };
        // A CRL whose thisUpdate is before that of the present one would count as older.
        validity.from = validity.from.max(OffsetDateTime::from_unix_timestamp(crl.this_update.unix)?);
        Ok(validity)
    }

    /// Rejects a CRL that lacks an entry of the present one: other software revokes serial numbers that rcgen cannot
    /// write.
    fn check_keeps_revocations(&self, new: &Crl) -> anyhow::Result<()> {
        let Some(serial) = self.crl.as_ref().and_then(|old| find_lost_serial(old, new)) else {
            return Ok(());
        };
        let shown = self.own.path.display();
        Err(anyhow::anyhow!("{shown}: revokes {serial}, which is not a positive number and would be lost"))
            .hint("make this authority's CRLs with the software that made this one")
    }

    /// Rejects a directory whose CRL is newer or revokes more.
    fn check_successor(&self, new: &Crl, place: &CrlStore) -> anyhow::Result<()> {
        let shown = place.path.display();
        let source = || {
            let (from, to) = (shell_quote(&place.path), shell_quote(&self.own.path));
            format!("if that CRL is the right one, copy it to the authority: cp {from} {to}")
        };
        if let Some(why) = place.explain_older(new, &self.certificate) {
            return Err(anyhow::anyhow!("{shown}: would be replaced by an older CRL: {why}")).hint(source());
        }
        if let Some(serial) = place.latest_by(&self.certificate).and_then(|old| find_lost_serial(old, new)) {
            return Err(anyhow::anyhow!("{shown}: revokes {serial}, and the new CRL would not"))
                .hint(source());
        }
        Ok(())
    }

    fn next_number(&self) -> anyhow::Result<u64> {
        let Some(number) = self.crl.as_ref().and_then(|crl| crl.number.as_ref()) else { return Ok(1) };
        let number = number.value.iter().try_fold(0u64, |n, &b| n.checked_mul(256)?.checked_add(b.into()));
        number.and_then(|n| n.checked_add(1)).context("ca.crl: its number is too large to be incremented")
    }
}

/// The directory itself, or its `ca` if it is one that was given to `certck mint`.
fn find_ca_dir(dir: &Path) -> PathBuf {
    let below = dir.join("ca");
    if below.is_dir() && !dir.join("ca.crt").exists() { below } else { dir.to_owned() }
}

/// An authority's name and the beginning of its key's hash, because several may have the same name.
fn describe_ca(cert: &Cert) -> String {
    let key = common::finding::hex(&common::pki::sha256(&cert.key.spki)[..4]);
    format!("{} (key {key})", cert.subject)
}

/// The first serial number that an old CRL revokes and a new one does not.
fn find_lost_serial(old: &Crl, new: &Crl) -> Option<String> {
    let entry = old.entries().find(|entry| !new.revokes(&entry.serial))?;
    Some(common::finding::hex(&entry.serial))
}

/// The record of a CRL that was written.
pub(crate) fn written_record(path: &Path, crl: &Crl) -> WrittenRecord {
    WrittenRecord {
        what: "crl".to_owned(),
        path: RecordPath::from(path),
        number: crl.number.as_ref().map(|n| common::finding::hex(&n.value)).unwrap_or_default(),
        serial: None,
        expires: crl.next_update.map(|t| t.to_string()).unwrap_or_default(),
        revoked: Some(crl.revoked_count() as u64),
        dry_run: false,
    }
}

fn keep_entry(entry: &common::pki::crl::RevokedEntry) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: SerialNumber::from_slice(&entry.serial),
        revocation_time: OffsetDateTime::from_unix_timestamp(entry.at.unix)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH),
        reason_code: entry.reason.and_then(reason_of_code),
        invalidity_date: None,
    }
}

fn reason_of_code(code: u8) -> Option<RevocationReason> {
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

/// Checks that a CRL is valid for peers.
pub(crate) fn check_crl(path: &Path, crl: &Crl, issuer: &Cert) -> anyhow::Result<()> {
    let options = LoadOptions { warn_days: Some(0), ..LoadOptions::now() };
    let findings = inspect_crl(path, crl, issuer, &options);
    if let Some(finding) = findings.iter().find(|f| f.severity == Severity::Error) {
        bail!("{}: {}", finding.path, finding.reason());
    }
    Ok(())
}
