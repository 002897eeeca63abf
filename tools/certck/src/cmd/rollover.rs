//! `certck mint rollover`: a new root in the place of the old one, in three steps.
//!
//! Both roots are trusted while certificates of either are in use, so that no peer is rejected. Each directory is replaced
//! as a whole.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use common::duration::days_within;
use common::error::HintExt;
use common::exit::Exit;
use common::out::{Format, Out};
use common::pki::{Cert, Crl, CrlLimitArgs, Passphrase, PassphraseArgs};
use common::policy::shell_quote;
use common::record::RecordPath;
use common::record::certck::WrittenRecord;
use rustix::fs::{CWD, RenameFlags};

use crate::authority::{Authority, KeyAlgorithm, Validity};
use crate::authority_settings::{self, AuthoritySettings};
use crate::ca_dir::{CaDir, NEXT, PRESENT};
use crate::leaf::parse_common_name;
use crate::mint_plan::random_ca_name;
use crate::pem_block::encode_block;
use crate::renewal::{KeyCheck, NewDirectory, PresentDir, Renewal, RenewalOptions, encode_roots};
use crate::staged_dirs::DirectoryStage;
use crate::written_output::report_all_written;
use crate::{files, issued_log};

/// Replace the root of an authority, in three steps during which both roots are trusted
///
/// begin makes a new root in DIR/ca.next, and adds it and its CRL to every certificate directory: both roots are trusted
/// from then on. renew replaces the certificates of the old root by those of the new one. finish removes the old root and
/// its CRL from every directory, makes DIR/ca.next the authority, and keeps the old one in DIR/ca.old-KEY.
///
/// Go on to the next step when the last one has reached every host: a peer that trusts only one of the roots rejects
/// certificates of the other. A running profd takes a new root with --accept-new-roots, or after a restart. A step that was
/// interrupted is run again. Publish the CRLs of both authorities as one file, or at two addresses: `certck crl fetch` takes
/// both. `certck mint leaf`, `revoke` and `crl new` work on DIR/ca.next as on any authority.
#[derive(clap::Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck mint rollover begin pki pki/server_certs pki/client_certs node18_certs
  certck mint rollover renew pki pki/server_certs pki/client_certs node18_certs
  certck mint rollover finish pki pki/server_certs pki/client_certs node18_certs")]
pub(crate) struct RolloverArgs {
    /// The step
    #[arg(value_enum, value_name = "STEP")]
    step: RolloverStep,
    /// The directory that was given to `certck mint`
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Certificate directories [default: DIR/server_certs and DIR/client_certs]
    #[arg(value_name = "LEAF_DIR")]
    leaves: Vec<PathBuf>,
    /// Common name of the root [default: "profguard CA" and six random hexadecimal digits]
    #[arg(long, value_name = "NAME", value_parser = parse_common_name)]
    name: Option<String>,
    /// Validity of the root in days [default: 3650]
    #[arg(long, value_name = "N", value_parser = days_within(1..=9125))]
    ca_days: Option<u16>,
    /// Key algorithm of the new root and, in renew, of new keys [default: that of the old ones]
    #[arg(long, value_enum)]
    algo: Option<KeyAlgorithm>,
    /// Finish although certificates of the old root are still valid: their holders are rejected then
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    crl_limit: CrlLimitArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// The steps of a rollover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum RolloverStep {
    /// Make a new root, and trust both
    Begin,
    /// Issue the certificates again under the new root
    Renew,
    /// Trust the new root only
    Finish,
}

pub(crate) fn run(args: &RolloverArgs, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let passphrase = args.passphrase.read()?;
    let leaves = super::renew::leaf_dirs(&args.dir, &args.leaves)?;
    let leaves = leaves.iter().map(|dir| PresentDir::read_dir(dir)).collect::<anyhow::Result<Vec<_>>>()?;
    // A directory of secrets that has more files than ours would lose them.
    leaves.iter().try_for_each(PresentDir::check_nothing_lost)?;
    let rollover = Rollover { args, leaves: &leaves, passphrase: passphrase.as_ref() };
    let written = match args.step {
        RolloverStep::Begin => rollover.begin()?,
        RolloverStep::Renew => rollover.renew(out)?,
        RolloverStep::Finish => rollover.finish(out)?,
    };
    report_all_written(&written, format, out)?;
    Ok(out.diag().exit())
}

struct Rollover<'a> {
    args: &'a RolloverArgs,
    leaves: &'a [PresentDir],
    passphrase: Option<&'a Passphrase>,
}

impl Rollover<'_> {
    fn path_of(&self, name: &str) -> PathBuf {
        self.args.dir.join(name)
    }

    fn open_ca(&self, name: &str) -> anyhow::Result<CaDir> {
        CaDir::open(&self.path_of(name), self.passphrase, self.args.crl_limit)
    }

    /// Makes the new authority, unless it is there from an interrupted run, and adds it to the directories.
    fn begin(&self) -> anyhow::Result<Vec<WrittenRecord>> {
        let old = self.open_ca(PRESENT)?;
        for leaf in self.leaves {
            old.check_belongs_to_ca(&leaf.dir)?;
        }
        if !self.path_of(NEXT).is_dir() {
            self.make_authority(&old)?;
        }
        let new = self.open_ca(NEXT)?;
        let (root, crl) = (&new.certificate, new.usable_crl()?);
        let mut written = vec![root_record(&new.path, root)];
        for leaf in self.leaves {
            let mut content = NewDirectory::read_dir(leaf, self.args.crl_limit)?;
            let mut roots = roots_of(leaf)?;
            if !roots.iter().any(|known| known.der == root.der) {
                roots.push(root.clone());
            }
            content.roots = encode_roots(&roots);
            content.crl = replace_crls(&content.crl, root, Some(crl));
            content.exchange_with(leaf, KeyCheck::Unchanged, || Ok(()))?;
            written.push(root_record(&leaf.dir, root));
        }
        Ok(written)
    }

    fn make_authority(&self, old: &CaDir) -> anyhow::Result<()> {
        let algo = self.args.algo.map_or_else(|| KeyAlgorithm::for_key(&old.certificate.key), Ok)?;
        let name = self.args.name.clone().map_or_else(random_ca_name, Ok)?;
        let validity = Validity::for_days(self.args.ca_days.unwrap_or(3650))?;
        let (authority, root) = Authority::new(algo.generate_key()?, &name, validity)?;
        let mut settings = AuthoritySettings::read_file(&old.path)?;
        settings.algo = self.args.algo.or(settings.algo);
        let crl_validity = match (settings.crl_days, old.crl_in_force()?) {
            (None, Crl { this_update, next_update: Some(until), .. }) => {
                Validity::as_long_as(*this_update, *until)?
            }
            (days, _) => Validity::for_days(days.unwrap_or(90))?,
        };
        let crl = authority.sign_crl(1, Vec::new(), crl_validity.within_issuer(&root.cert)?.0)?;
        // Like the old one: with a passphrase only if that one has it.
        let lock = self.passphrase.filter(|_| old.is_encrypted());
        let mut stage = DirectoryStage::begin(&self.args.dir)?;
        stage.add_dir(NEXT)?;
        stage.write_file(NEXT, "ca.crt", root.pem.as_bytes())?;
        stage.write_file(NEXT, "ca.key", authority.key_pem(lock)?.as_bytes())?;
        stage.write_file(NEXT, "ca.crl", encode_block("X509 CRL", &crl).as_bytes())?;
        stage.write_file(NEXT, issued_log::FILE, b"")?;
        stage.write_file(NEXT, authority_settings::FILE, settings.to_toml()?.as_bytes())?;
        stage.commit()
    }

    /// Issues the certificates of the old root again. Those of the new root stay as they are.
    fn renew(&self, out: &Out) -> anyhow::Result<Vec<WrittenRecord>> {
        let (old, new) = (self.open_ca(PRESENT)?, self.open_next()?);
        let revoked = old.crl_in_force()?;
        let options =
            RenewalOptions { algo: self.args.algo, passphrase: self.passphrase, ..RenewalOptions::default() };
        let mut due = Vec::new();
        for leaf in self.leaves.iter().filter(|leaf| !leaf.cert.is_issued_by(&new.certificate)) {
            let roots = roots_of(leaf)?;
            if !roots.iter().any(|root| root.der == new.certificate.der) {
                return Err(anyhow::anyhow!("{}: does not trust the new root", leaf.dir.display()))
                    .hint("run the step begin for this directory first, and bring the result to every host");
            }
            if revoked.revokes(&leaf.cert.serial) {
                out.error(leaf.dir.display(), "is revoked and was not renewed");
                continue;
            }
            due.push(Renewal::plan_renewal(&options, &new, &old.certificate, leaf, out)?);
        }
        due.iter().map(|renewal| renewal.renew_dir(&new, false)).collect()
    }

    /// Removes the old root from the directories, and puts the new authority in its place.
    fn finish(&self, out: &Out) -> anyhow::Result<Vec<WrittenRecord>> {
        let (old, new) = (self.open_ca(PRESENT)?, self.open_next()?);
        // The two were exchanged before an interruption: only the old one must still be renamed.
        if self.leaves.iter().all(|leaf| leaf.cert.is_issued_by(&old.certificate))
            && !self.leaves.iter().any(|leaf| trusts(leaf, &new.certificate))
        {
            return self.put_aside(&new.certificate, &old.certificate);
        }
        if !self.args.force {
            self.check_nothing_in_use(&old, &new)?;
        }
        let mut written = Vec::new();
        for leaf in self.leaves {
            if !leaf.cert.is_issued_by(&new.certificate) {
                out.error(leaf.dir.display(), "left as it is: its certificate is by the old root");
                continue;
            }
            let mut content = NewDirectory::read_dir(leaf, self.args.crl_limit)?;
            let mut roots = roots_of(leaf)?;
            roots.retain(|root| root.der != old.certificate.der);
            content.roots = encode_roots(&roots);
            content.crl = replace_crls(&content.crl, &old.certificate, None);
            content.exchange_with(leaf, KeyCheck::Unchanged, || Ok(()))?;
            written.push(root_record(&leaf.dir, &new.certificate));
        }
        let (present, next) = (self.path_of(PRESENT), self.path_of(NEXT));
        rustix::fs::renameat_with(CWD, &present, CWD, &next, RenameFlags::EXCHANGE)
            .map_err(std::io::Error::from)
            .with_context(|| next.display().to_string())?;
        written.extend(self.put_aside(&old.certificate, &new.certificate)?);
        Ok(written)
    }

    /// Rejects an end while certificates of the old root are in use.
    fn check_nothing_in_use(&self, old: &CaDir, new: &CaDir) -> anyhow::Result<()> {
        let hint = "renew it; or give --force, with which its holder is rejected";
        if let Some(leaf) = self.leaves.iter().find(|leaf| !leaf.cert.is_issued_by(&new.certificate)) {
            return Err(anyhow::anyhow!("{}: its certificate is by the old root", leaf.dir.display()))
                .hint(hint);
        }
        let dirs: Vec<PathBuf> = self.leaves.iter().map(|leaf| leaf.dir.clone()).collect();
        let Some(issued) = issued_log::IssuedLog::read_log(&old.path) else { return Ok(()) };
        let again = issued_log::IssuedLog::read_log(&new.path);
        let is_replaced = |dir: &Path| again.as_ref().is_some_and(|log| log.names_directory(dir));
        let left = issued.find_unlisted(old, &dirs, &[], None);
        let left: Vec<String> = left
            .iter()
            .filter(|other| !is_replaced(&other.dir))
            .map(|other| shell_quote(&other.dir))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(anyhow::anyhow!("{}: has valid certificates by the old root: {}", old.path.display(), left.join(", ")))
            .hint("renew them, or issue them again with `certck mint leaf`; or give --force, with which they are rejected")
    }

    fn open_next(&self) -> anyhow::Result<CaDir> {
        let next = self.path_of(NEXT);
        ensure!(next.is_dir(), "{}: does not exist: run the step begin first", next.display());
        self.open_ca(NEXT)
    }

    /// Renames the old authority, which is in the place of the new one.
    fn put_aside(&self, old: &Cert, new: &Cert) -> anyhow::Result<Vec<WrittenRecord>> {
        let id = common::finding::hex(&common::pki::sha256(&old.key.spki)[..4]);
        let aside = self.path_of(&format!("{PRESENT}.old-{id}"));
        rustix::fs::renameat_with(CWD, self.path_of(NEXT), CWD, &aside, RenameFlags::NOREPLACE)
            .map_err(std::io::Error::from)
            .with_context(|| aside.display().to_string())?;
        Ok(vec![root_record(&self.path_of(PRESENT), new)])
    }
}

/// The roots that a directory trusts.
fn roots_of(leaf: &PresentDir) -> anyhow::Result<Vec<Cert>> {
    files::read_certificates(&leaf.real.join(leaf.role.layout().ca))
}

fn trusts(leaf: &PresentDir, root: &Cert) -> bool {
    roots_of(leaf).is_ok_and(|roots| roots.iter().any(|known| known.der == root.der))
}

/// A file of CRLs with those of one CA replaced.
fn replace_crls(text: &[u8], issuer: &Cert, by: Option<&Crl>) -> Vec<u8> {
    let present = common::pki::CrlFile::parse(text);
    let kept = present.crls.iter().filter(|crl| !crl.is_issued_by(issuer)).chain(by);
    kept.flat_map(|crl| encode_block("X509 CRL", &crl.der).as_bytes().to_vec()).collect()
}

/// The record of a directory whose root is new.
fn root_record(path: &Path, root: &Cert) -> WrittenRecord {
    WrittenRecord {
        what: "root".to_owned(),
        path: RecordPath::from(path),
        number: common::finding::hex(&root.serial),
        serial: Some(common::finding::hex(&root.serial)),
        expires: root.not_after.to_string(),
        revoked: None,
        dry_run: false,
    }
}
