//! `certck mint renew`: new keys and certificates for those that expire soon.
//!
//! The new directory is made beside the old one, checked against every rule, and then exchanged with it atomically
//! (renameat2(2), RENAME_EXCHANGE), so that the directory is valid at any time.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use common::error::HintExt;
use common::exit::Exit;
use common::out::{Format, Out};
use common::pki::passphrase::decrypt_block;
use common::pki::pem::Block;
use common::pki::role::LAYOUTS;
use common::pki::{Cert, Passphrase, PassphraseArgs, Role, key, pem};
use common::policy::shell_quote;
use common::record::RecordPath;
use common::record::certck::WrittenRecord;
use time::OffsetDateTime;

use crate::authority::{IssuedLeaf, KeyAlgorithm, SigningKeyPair};
use crate::ca_dir::{CaDir, NextCrl};
use crate::clock::format_rfc3339;
use crate::leaf::{LeafHost, LeafRequest, LeafSubject, StatusUrls, Validity, hosts_of};
use crate::minted_output::{check_new_directory, warn_if_long};
use crate::new_passphrase::read_new_passphrase;
use crate::pem_block::encode_block;
use crate::staged_dirs::DirectoryStage;
use crate::written_output::report_all_written;
use crate::{files, issued_log};

/// Renew keys and certificates that expire soon
///
/// Works on the directories that `certck mint` and `certck mint leaf` make. A certificate that expires soon is replaced by
/// a new key and certificate with the same name, hosts, CRL and OCSP addresses, role, key algorithm and length of
/// validity; if the key is encrypted, the new one is too, with the passphrase given. Each directory is replaced
/// atomically after the new one was checked, and keeps its owner; profd loads it within seconds. A CRL that expires soon
/// is renewed too, the root is not: everything that it signed expires with it at the latest.
///
/// Revoked certificates are not renewed unless --revoked is given: they are reported and the exit status is 1, because a
/// cron job must not undo a revocation. Certificates that the authority issued for other directories than the given ones
/// are named on standard error.
#[derive(clap::Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck mint renew pki
  certck mint renew pki node18_certs alice_certs
  certck mint renew --revoked pki pki/server_certs
  certck mint renew --before 60 --days 90 --role server pki")]
pub(crate) struct RenewArgs {
    /// The directory that was given to `certck mint`, or its ca directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Certificate directories to renew [default: DIR/server_certs and DIR/client_certs]
    #[arg(value_name = "LEAF_DIR")]
    leaves: Vec<PathBuf>,
    /// Renew what expires within N days [default: 30, or the last third of its validity if that is shorter]
    #[arg(long, value_name = "N")]
    before: Option<u16>,
    /// Renew everything, whenever it expires
    #[arg(long, conflicts_with = "before")]
    all: bool,
    /// Renew revoked certificates too: their holders get valid certificates again
    #[arg(long)]
    revoked: bool,
    /// Renew only certificates of this role
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// Validity of the new certificates in days [default: that of the old ones]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: Option<u16>,
    /// Key algorithm of the new keys [default: that of the old ones]
    #[arg(long, value_enum)]
    algo: Option<KeyAlgorithm>,
    /// Print what would be renewed, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Encrypt the new private keys [default: if the old ones are encrypted]
    #[arg(long, requires = "passphrase")]
    encrypt: bool,
    /// Do not encrypt the new private keys, even if the old ones are encrypted
    #[arg(long, conflicts_with = "encrypt")]
    plain: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(crate) fn run(args: &RenewArgs, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let passphrase =
        if args.encrypt { read_new_passphrase(&args.passphrase)? } else { args.passphrase.read()? };
    let ca = CaDir::open(&args.dir, passphrase.as_ref())?;
    let list = ca.crl_in_force()?;
    let list_is_due = list.next_update.is_none_or(|end| expires_soon(args, list.this_update.unix, end.unix));
    let leaves =
        leaf_dirs(args)?.iter().map(|dir| PresentDir::read_dir(dir)).collect::<anyhow::Result<Vec<_>>>()?;
    let dirs: Vec<_> = leaves.iter().map(|old| old.dir.clone()).collect();
    let places = ca.open_crl_stores(&dirs, out)?;
    // Everything that can fail is checked before anything is changed.
    let mut due = Vec::new();
    let mut kept_out = false;
    for old in &leaves {
        if !args.revoked && has_role(args, old) && ca.crl_in_force()?.find_entry(&old.cert.serial).is_some() {
            out.warn(
                old.dir.display(),
                "is revoked and was not renewed: give --revoked to renew it all the same",
            );
            kept_out = true;
        } else if is_due(args, &ca, old, out)? {
            due.push(Renewal::plan_renewal(args, &ca, old, passphrase.as_ref(), out)?);
        }
    }
    args.days.into_iter().for_each(|days| warn_if_long(days, out));
    let mut written = Vec::new();
    if args.all || list_is_due {
        written.extend(match args.dry_run {
            true => ca.preview_crl(None, &places)?,
            false => {
                ca.publish_crl(NextCrl { revoked: ca.revoked_entries(false)?, days: None }, &places, out)?
            }
        });
    }
    for renewal in &due {
        match renewal.renew_dir(&ca, args.dry_run) {
            Ok(directory) => written.push(directory),
            // The directories that were replaced before stay replaced, and the others are renewed all the same.
            Err(e) => out.diag().fatal(&e),
        }
    }
    report_all_written(&written, format, out)?;
    warn_about_others(args, &ca, &leaves, out);
    Ok(if kept_out { Exit::No.max(out.diag().exit()) } else { out.diag().exit() })
}

/// Warns of valid certificates whose directories were not given: of each that expires soon, and of the others in one
/// line.
fn warn_about_others(args: &RenewArgs, ca: &CaDir, leaves: &[PresentDir], out: &Out) {
    let dirs: Vec<_> = leaves.iter().map(|old| old.dir.clone()).collect();
    let Some(known) = issued_log::IssuedLog::read_log(&ca.path) else { return };
    // Those given may have been issued for another place and moved.
    let given: Vec<_> = leaves.iter().map(|old| old.cert.serial.as_slice()).collect();
    let others = known.find_unlisted(ca, &dirs, &given, args.role);
    let time = |unix: i64| OffsetDateTime::from_unix_timestamp(unix).map(format_rfc3339).unwrap_or_default();
    let (soon, later): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|o| args.all || expires_soon(args, o.from, o.until));
    for other in soon {
        let how = if other.here {
            format!(
                "renew it with `certck mint renew {} {}`",
                shell_quote(&args.dir),
                shell_quote(&other.dir)
            )
        } else {
            "it is not on this machine: copy it here, or replace it with `certck mint leaf`".to_owned()
        };
        out.warn(other.dir.display(), format_args!("not renewed, expires at {}: {how}", time(other.until)));
    }
    let named =
        later.iter().take(NAMED).map(|o| format!("{} (expires at {})", shell_quote(&o.dir), time(o.until)));
    let mut named: Vec<_> = named.collect();
    if later.len() > NAMED {
        named.push(format!("{} more", later.len() - NAMED));
    }
    if !named.is_empty() {
        out.warn(
            "left alone",
            format_args!("{}: to renew them too, add them to the command line", named.join(", ")),
        );
    }
}

/// The most directories that are named that are not due yet.
const NAMED: usize = 20;

fn leaf_dirs(args: &RenewArgs) -> anyhow::Result<Vec<PathBuf>> {
    if !args.leaves.is_empty() {
        return Ok(args.leaves.clone());
    }
    let usual = ["server_certs", "client_certs"].map(|name| args.dir.join(name));
    let there: Vec<_> = usual.into_iter().filter(|dir| dir.symlink_metadata().is_ok()).collect();
    if there.is_empty() {
        return Err(anyhow::anyhow!("{}: holds neither server_certs nor client_certs", args.dir.display()))
            .hint("name the certificate directories after it");
    }
    Ok(there)
}

/// Whether something with this validity is due for renewal: by default as soon as `check` warns of it.
fn expires_soon(args: &RenewArgs, from: i64, until: i64) -> bool {
    let third = until.saturating_sub(from).max(0) / 3;
    let before = args.before.map_or((30 * DAY).min(third), |days| i64::from(days) * DAY);
    until.saturating_sub(before) <= OffsetDateTime::now_utc().unix_timestamp()
}

const DAY: i64 = 86_400;

fn has_role(args: &RenewArgs, old: &PresentDir) -> bool {
    args.role.is_none_or(|role| role == old.role)
}

fn is_due(args: &RenewArgs, ca: &CaDir, old: &PresentDir, out: &Out) -> anyhow::Result<bool> {
    if !has_role(args, old) {
        return Ok(false);
    }
    let (ends, root) = (old.cert.not_after, ca.certificate.not_after);
    if args.all || ca.crl_in_force()?.find_entry(&old.cert.serial).is_some() {
        return Ok(true);
    }
    if !expires_soon(args, old.cert.not_before.unix, ends.unix) {
        out.diag().info(old.dir.display(), format_args!("expires at {ends}: not due"));
        return Ok(false);
    }
    if ends.unix >= root.unix {
        // A new one could not last longer.
        out.warn(
            old.dir.display(),
            format_args!("expires with the root at {root}: make a new authority with `certck mint`"),
        );
        return Ok(false);
    }
    Ok(true)
}

/// A directory before it is renewed.
struct PresentDir {
    /// As the user named it.
    dir: PathBuf,
    /// Where it is, all links followed.
    real: PathBuf,
    role: Role,
    cert: Cert,
}

impl PresentDir {
    fn read_dir(dir: &Path) -> anyhow::Result<Self> {
        let real = dir.canonicalize().with_context(|| dir.display().to_string())?;
        let layout = LAYOUTS.iter().find(|l| real.join(l.leaf).symlink_metadata().is_ok());
        let layout = layout.with_context(|| {
            format!("{}: not a certificate directory: holds neither server.crt nor client.crt", dir.display())
        })?;
        let cert = files::read_certificate(&dir.join(layout.leaf))?;
        Ok(Self { dir: dir.to_owned(), real, role: layout.role, cert })
    }

    /// Rejects a directory with other files, which would be lost with it.
    fn check_nothing_lost(&self) -> anyhow::Result<()> {
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
    fn new_key_passphrase<'p>(
        &self,
        args: &RenewArgs,
        passphrase: Option<&'p Passphrase>,
    ) -> anyhow::Result<Option<&'p Passphrase>> {
        if args.plain || args.encrypt {
            return Ok(passphrase.filter(|_| args.encrypt));
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

/// One directory that is due, and what its certificate will be.
struct Renewal<'a> {
    old: &'a PresentDir,
    hosts: Vec<LeafHost>,
    addresses: StatusUrls,
    validity: Validity,
    algo: KeyAlgorithm,
    /// The passphrase of the new key; `None` leaves it unencrypted.
    lock: Option<&'a Passphrase>,
}

impl<'a> Renewal<'a> {
    fn plan_renewal(
        args: &RenewArgs,
        ca: &CaDir,
        old: &'a PresentDir,
        passphrase: Option<&'a Passphrase>,
        out: &Out,
    ) -> anyhow::Result<Self> {
        let (shown, cert) = (|| old.dir.display().to_string(), &old.cert);
        ensure!(cert.is_issued_by(&ca.certificate), "{}: not issued by {}", shown(), ca.certificate.subject);
        old.check_nothing_lost()?;
        if old.real.join(old.role.layout().key).symlink_metadata().is_err() {
            return Err(anyhow::anyhow!(
                "{}: holds no key: its certificate was issued for a signing request",
                shown()
            ))
            .hint("make a new signing request where the key is, and issue the certificate with `certck mint leaf --csr`");
        }
        let validity = match args.days {
            Some(days) => Validity::for_days(days),
            None => Validity::as_long_as(cert.not_before, cert.not_after),
        };
        let (validity, cut) = validity.with_context(shown)?.within_issuer(&ca.certificate)?;
        if cut {
            let end = ca.certificate.not_after;
            out.warn(shown(), format_args!("expires at {end}, as the root does"));
        }
        let algo = args.algo.map_or_else(|| KeyAlgorithm::for_key(&cert.key), Ok).with_context(shown)?;
        Ok(Self {
            old,
            hosts: hosts_of(cert).with_context(shown)?,
            addresses: StatusUrls::of_certificate(cert),
            validity,
            algo,
            lock: old.new_key_passphrase(args, passphrase)?,
        })
    }

    fn renew_dir(&self, ca: &CaDir, dry_run: bool) -> anyhow::Result<WrittenRecord> {
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
        let mut stage = DirectoryStage::begin(old.real.parent().unwrap_or(Path::new(".")))?;
        let new = stage.add_unplaced_dir("new")?;
        let root = encode_block("CERTIFICATE", &ca.certificate.der);
        stage.write_file("new", layout.ca, root.as_bytes())?;
        stage.write_file("new", layout.leaf, leaf.pem.as_bytes())?;
        stage.write_file("new", layout.key, key.to_pem(self.lock)?.as_bytes())?;
        // The list in force may have come from elsewhere since.
        let list = files::read_file(&old.real.join(layout.crl))
            .or_else(|_| files::read_file(&ca.path.join("ca.crl")));
        stage.write_file(
            "new",
            layout.crl,
            &list.with_context(|| old.dir.join(layout.crl).display().to_string())?,
        )?;
        check_new_directory(&new, old.role, &old.dir, self.lock, false)?;
        // The daemon must be able to read them.
        let give = || stage.give_ownership("new", &layout.file_names(), &old.real.metadata()?);
        give().with_context(|| old.dir.display().to_string())?;
        issued_log::append_line(ca, &issued_log::issued_line(leaf, old.role, &self.hosts, &old.dir)?)?;
        stage.check_interrupt()?;
        // The old directory is under the new one's hidden name afterwards, and goes with the stage.
        stage.exchange_with("new", &old.real).with_context(|| old.dir.display().to_string())
    }
}
