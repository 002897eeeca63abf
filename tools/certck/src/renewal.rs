//! One certificate directory renewed: its next content, made beside the old one and exchanged with it.
//!
//! The new directory is checked against every rule, and then exchanged with the old one atomically (renameat2(2),
//! RENAME_EXCHANGE), so that the directory is valid at any time.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use common::error::HintExt;
use common::out::Out;
use common::pki::passphrase::decrypt_block;
use common::pki::pem::Block;
use common::pki::role::LAYOUTS;
use common::pki::{Cert, CrlLimitArgs, Passphrase, Role, key, pem};
use common::record::RecordPath;
use common::record::certck::WrittenRecord;
use zeroize::Zeroizing;

use crate::authority::{IssuedLeaf, KeyAlgorithm, SigningKeyPair};
use crate::ca_dir::CaDir;
use crate::clock::format_rfc3339;
use crate::leaf::{LeafHost, LeafRequest, LeafSubject, StatusUrls, Validity, hosts_of};
use crate::minted_output::check_new_directory;
use crate::pem_block::encode_block;
use crate::staged_dirs::DirectoryStage;
use crate::{files, issued_log};

/// A directory before it is renewed.
pub(crate) struct PresentDir {
    /// As the user named it.
    pub(crate) dir: PathBuf,
    /// Where it is, all links followed.
    pub(crate) real: PathBuf,
    pub(crate) role: Role,
    pub(crate) cert: Cert,
}

impl PresentDir {
    /// Reads the leaf of a directory.
    ///
    /// # Errors
    /// It is not a certificate directory, or its leaf cannot be read.
    pub(crate) fn read_dir(dir: &Path) -> anyhow::Result<Self> {
        let real = dir.canonicalize().with_context(|| dir.display().to_string())?;
        let layout = LAYOUTS.iter().find(|l| real.join(l.leaf).symlink_metadata().is_ok());
        let layout = layout.with_context(|| {
            format!("{}: not a certificate directory: holds neither server.crt nor client.crt", dir.display())
        })?;
        let cert = files::read_certificate(&dir.join(layout.leaf))?;
        Ok(Self { dir: dir.to_owned(), real, role: layout.role, cert })
    }

    /// Rejects a directory with other files, which would be lost with it.
    pub(crate) fn check_nothing_lost(&self) -> anyhow::Result<()> {
        let known = self.role.layout().file_names();
        for entry in std::fs::read_dir(&self.real).with_context(|| self.dir.display().to_string())? {
            let name = entry?.file_name();
            if !known.iter().any(|k| name == *k) {
                let path = self.dir.join(name);
                return Err(anyhow::anyhow!("{}: would be lost with the old directory", path.display()))
                    .hint("move it away first");
            }
        }
        Ok(())
    }

    /// The private key's block, to see whether it is encrypted. Owner and mode are not checked here.
    fn read_key_block(&self) -> anyhow::Result<Option<Block>> {
        let path = self.real.join(self.role.layout().key);
        let blocks = files::read_file(&path).and_then(|bytes| Ok(pem::parse(&bytes)?));
        let blocks = blocks.with_context(|| self.dir.join(self.role.layout().key).display().to_string())?;
        Ok(blocks.into_iter().find(|b| key::is_private(&b.label)))
    }

    /// The passphrase for the new key: with --encrypt the one given; otherwise, if the old key is encrypted, the one that
    /// decrypts it.
    fn new_key_passphrase<'p>(&self, options: &RenewalOptions<'p>) -> anyhow::Result<Option<&'p Passphrase>> {
        let passphrase = options.passphrase;
        if options.plain || options.encrypt {
            return Ok(passphrase.filter(|_| options.encrypt));
        }
        match self.read_key_block()? {
            Some(block) if block.headers || block.label == "ENCRYPTED PRIVATE KEY" => {
                decrypt_block(&block, passphrase)
                    .with_context(|| self.dir.join(self.role.layout().key).display().to_string())
                    .hint(
                        "the new key is encrypted like the old one: give its passphrase, or a new one with --encrypt, or use --plain",
                    )?;
                Ok(passphrase)
            }
            _ => Ok(None),
        }
    }
}

/// How certificates are renewed.
#[derive(Clone, Copy, Default)]
pub(crate) struct RenewalOptions<'a> {
    /// The validity in days; that of the old certificate if not given.
    pub(crate) days: Option<u16>,
    /// The algorithm of the key; that of the old one if not given.
    pub(crate) algo: Option<KeyAlgorithm>,
    /// Whether the key is encrypted, or left plain, whatever the old one is.
    pub(crate) encrypt: bool,
    pub(crate) plain: bool,
    pub(crate) passphrase: Option<&'a Passphrase>,
}

/// One directory that is due, and what its certificate will be.
pub(crate) struct Renewal<'a> {
    old: &'a PresentDir,
    hosts: Vec<LeafHost>,
    addresses: StatusUrls,
    validity: Validity,
    algo: KeyAlgorithm,
    /// The passphrase of the new key; `None` leaves it unencrypted.
    lock: Option<&'a Passphrase>,
}

impl<'a> Renewal<'a> {
    /// Plans the renewal of a certificate of `issuer` by an authority, the same one or its successor.
    ///
    /// # Errors
    /// The certificate is another CA's, or the directory has other files or no key.
    pub(crate) fn plan_renewal(
        options: &RenewalOptions<'a>,
        ca: &CaDir,
        issuer: &Cert,
        old: &'a PresentDir,
        out: &Out,
    ) -> anyhow::Result<Self> {
        let (shown, cert) = (|| old.dir.display().to_string(), &old.cert);
        ensure!(cert.is_issued_by(issuer), "{}: not issued by {}", shown(), issuer.subject);
        old.check_nothing_lost()?;
        if old.real.join(old.role.layout().key).symlink_metadata().is_err() {
            return Err(anyhow::anyhow!(
                "{}: holds no key: its certificate was issued for a signing request",
                shown()
            ))
            .hint("make a new signing request where the key is, and issue the certificate with `certck mint leaf --csr`");
        }
        let validity = match options.days {
            Some(days) => Validity::for_days(days),
            None => Validity::as_long_as(cert.not_before, cert.not_after),
        };
        let (validity, cut) = validity.with_context(shown)?.within_issuer(&ca.certificate)?;
        if cut {
            let end = ca.certificate.not_after;
            out.warn(shown(), format_args!("expires at {end}, as the root does"));
        }
        let algo = options.algo.map_or_else(|| KeyAlgorithm::for_key(&cert.key), Ok).with_context(shown)?;
        Ok(Self {
            old,
            hosts: hosts_of(cert).with_context(shown)?,
            addresses: StatusUrls::of_certificate(cert),
            validity,
            algo,
            lock: old.new_key_passphrase(options)?,
        })
    }

    /// Issues the certificate and replaces the directory, or says what would be written.
    ///
    /// # Errors
    /// The new directory would be invalid, or cannot be put in place.
    pub(crate) fn renew_dir(&self, ca: &CaDir, dry_run: bool) -> anyhow::Result<WrittenRecord> {
        let old = self.old;
        // A dry run issues nothing, so there is no serial number.
        if dry_run {
            return Ok(self.written_record(None));
        }
        let key = self.algo.generate_key()?;
        let leaf = ca.authority.issue_leaf(
            &key,
            &LeafRequest {
                role: old.role,
                subject: LeafSubject::Same(&old.cert.subject),
                hosts: &self.hosts,
                validity: self.validity,
                addresses: &self.addresses,
            },
        )?;
        self.exchange_dir(ca, &key, &leaf)?;
        Ok(self.written_record(Some(leaf.serial)))
    }

    /// Without a serial number, nothing was issued.
    fn written_record(&self, serial: Option<String>) -> WrittenRecord {
        let dir = &self.old.dir;
        WrittenRecord {
            what: "directory".to_owned(),
            path: RecordPath::from(&**dir),
            number: serial.clone().unwrap_or_default(),
            dry_run: serial.is_none(),
            serial,
            expires: format_rfc3339(self.validity.until),
            revoked: None,
        }
    }

    fn exchange_dir(&self, ca: &CaDir, key: &SigningKeyPair, leaf: &IssuedLeaf) -> anyhow::Result<()> {
        let (old, layout) = (self.old, self.old.role.layout());
        // Other roots of the directory stay: while a root is replaced, both are trusted.
        let mut roots = files::read_certificates(&old.real.join(layout.ca)).unwrap_or_default();
        let own = &ca.certificate;
        roots.retain(|root| root.subject != own.subject || root.key.spki != own.key.spki);
        roots.insert(0, own.clone());
        // The list in force may have come from elsewhere since.
        let read_crls = |path: &Path| files::read_file_up_to(path, ca.crl_limit.max_crl_bytes);
        let list = read_crls(&old.real.join(layout.crl))
            .or_else(|_| read_crls(&ca.path.join("ca.crl")))
            .with_context(|| old.dir.join(layout.crl).display().to_string())?;
        let content = NewDirectory {
            roots: encode_roots(&roots),
            leaf: leaf.pem.clone().into_bytes(),
            key: key.to_pem(self.lock)?.as_bytes().to_vec().into(),
            crl: list.to_vec(),
            crl_limit: ca.crl_limit,
        };
        let check = KeyCheck::With(self.lock);
        content.exchange_with(old, check, || {
            issued_log::append_line(ca, &issued_log::issued_line(leaf, old.role, &self.hosts, &old.dir)?)
        })
    }
}

/// Certificates as the content of a file.
pub(crate) fn encode_roots(roots: &[Cert]) -> Vec<u8> {
    roots.iter().flat_map(|root| encode_block("CERTIFICATE", &root.der).as_bytes().to_vec()).collect()
}

/// The bytes of a file of CRLs; nothing where there is none. One that cannot be read, or is too large, would be lost.
fn read_crl_file(path: &Path, limit: CrlLimitArgs) -> anyhow::Result<Vec<u8>> {
    match files::read_file_up_to(path, limit.max_crl_bytes) {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::NotFound) => {
            Ok(Vec::new())
        }
        Err(e) => Err(e),
    }
}

/// Whether the key of a new directory is checked.
#[derive(Clone, Copy)]
pub(crate) enum KeyCheck<'a> {
    /// With the passphrase that opens it, if it is encrypted.
    With(Option<&'a Passphrase>),
    /// It is not: it is the one of the old directory.
    Unchanged,
}

/// The content of a new directory.
pub(crate) struct NewDirectory {
    pub(crate) roots: Vec<u8>,
    pub(crate) leaf: Vec<u8>,
    pub(crate) key: Zeroizing<Vec<u8>>,
    pub(crate) crl: Vec<u8>,
    /// How large a CRL may be.
    pub(crate) crl_limit: CrlLimitArgs,
}

impl NewDirectory {
    /// The content of a directory as it is.
    ///
    /// # Errors
    /// One of its files but the CRL is missing or cannot be read.
    pub(crate) fn read_dir(dir: &PresentDir, crl_limit: CrlLimitArgs) -> anyhow::Result<Self> {
        let layout = dir.role.layout();
        let read = |name: &str| {
            files::read_file(&dir.real.join(name)).with_context(|| dir.dir.join(name).display().to_string())
        };
        Ok(Self {
            roots: read(layout.ca)?.to_vec(),
            leaf: read(layout.leaf)?.to_vec(),
            key: read(layout.key)?,
            crl: read_crl_file(&dir.real.join(layout.crl), crl_limit)
                .with_context(|| dir.dir.join(layout.crl).display().to_string())?,
            crl_limit,
        })
    }

    /// Makes the new directory beside the old one, checks it, and exchanges the two. `before` runs in between.
    ///
    /// # Errors
    /// The new directory would be invalid, `before` failed, or a system call did; the old directory stays then.
    pub(crate) fn exchange_with(
        &self,
        old: &PresentDir,
        check: KeyCheck<'_>,
        before: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let layout = old.role.layout();
        let mut stage = DirectoryStage::begin(old.real.parent().unwrap_or(Path::new(".")))?;
        let new = stage.add_unplaced_dir("new")?;
        stage.write_file("new", layout.ca, &self.roots)?;
        stage.write_file("new", layout.leaf, &self.leaf)?;
        stage.write_file("new", layout.key, &self.key)?;
        stage.write_file("new", layout.crl, &self.crl)?;
        let (passphrase, keyless) = match check {
            KeyCheck::With(passphrase) => (passphrase, false),
            KeyCheck::Unchanged => (None, true),
        };
        check_new_directory(&new, old.role, &old.dir, passphrase, keyless, self.crl_limit)?;
        // The daemon must be able to read them.
        let give = || stage.give_ownership("new", &layout.file_names(), &old.real.metadata()?);
        give().with_context(|| old.dir.display().to_string())?;
        before()?;
        stage.check_interrupt()?;
        // The old directory is under the new one's hidden name afterwards, and goes with the stage.
        stage.exchange_with("new", &old.real).with_context(|| old.dir.display().to_string())
    }
}
