//! `certck mint renew`: new keys and certificates in the place of those that end soon.
//!
//! The new directory is made beside the old one, judged by every rule, and then exchanged with it in one step:
//! there is no moment in which the directory is broken.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::out::{Format, Out};
use common::pki::name::GeneralName;
use common::pki::{Cert, LoadOptions, Passphrase, PassphraseArgs, Role, inspect, pem};
use common::record::certck::Written;
use rustix::fs::{CWD, RenameFlags};
use time::{Duration, OffsetDateTime};

use super::crl::report;
use crate::authority::{Algorithm, Host, Issued, Key, Validity};
use crate::ca::Ca;
use crate::clock::rfc3339;
use crate::files;
use crate::stage::Stage;

/// Issue new keys and certificates in the place of those that end soon
///
/// Works on what `certck mint DIR` made. Names and roles stay; each directory is replaced in one step after its
/// successor was checked. A CRL that ends soon is renewed too. The root is not: what it signed ends with it.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  certck mint renew pki
  certck mint renew --before 60 --days 90 pki && systemctl restart profd")]
pub(crate) struct Args {
    /// The directory given to `certck mint`
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Renew what ends within so many days
    #[arg(long, value_name = "N", default_value_t = 30)]
    before: u16,
    /// Renew whatever the time left
    #[arg(long, conflicts_with = "before")]
    all: bool,
    /// Days that the new certificates are valid
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Kind of the new keys
    #[arg(long, value_enum, default_value_t)]
    algo: Algorithm,
    /// Say what would be renewed, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Encrypt the new private keys with the passphrase too
    #[arg(long, requires = "passphrase")]
    encrypt: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let passphrase = args.passphrase.read()?;
    let ca = Ca::open(&args.dir.join("ca"), passphrase.as_ref())?;
    let now = OffsetDateTime::now_utc().replace_nanosecond(0)?;
    let soon = |end: i64| args.all || end <= (now + Duration::days(i64::from(args.before))).unix_timestamp();
    let root_ends = ca.certificate.not_after;
    if root_ends.unix < (now + Duration::days(i64::from(args.days))).unix_timestamp() {
        bail!("ca: the root ends at {root_ends}, before the new certificates would: mint a new authority");
    }
    let places: Vec<(Role, PathBuf)> = [(Role::Server, "server_certs"), (Role::Client, "client_certs")]
        .into_iter()
        .map(|(role, name)| (role, args.dir.join(name)))
        .filter(|(_, dir)| dir.symlink_metadata().is_ok())
        .collect();
    let lock = passphrase.as_ref().filter(|_| args.encrypt);
    let renewal = Renewal { args, ca: &ca, now, lock };
    let mut written = Vec::new();
    let list_ends = ca.crl.as_ref().and_then(|crl| crl.next_update).map_or(0, |t| t.unix);
    if soon(list_ends) && !args.dry_run {
        let dirs: Vec<PathBuf> = places.iter().map(|(_, dir)| dir.clone()).collect();
        written.extend(ca.publish(ca.revoked(), args.days, &dirs)?);
    }
    for (role, dir) in &places {
        let old = files::certificate(&dir.join(role.layout().leaf))?;
        if soon(old.not_after.unix) {
            written.push(renewal.one(*role, dir, &old)?);
        } else {
            out.diag().info(dir.display(), format_args!("good until {}", old.not_after));
        }
    }
    report(&written, format, out)?;
    Ok(Exit::Ok)
}

/// One run.
struct Renewal<'a> {
    args: &'a Args,
    ca: &'a Ca,
    now: OffsetDateTime,
    /// What new keys are encrypted with.
    lock: Option<&'a Passphrase>,
}

impl Renewal<'_> {
    fn one(&self, role: Role, dir: &Path, old: &Cert) -> anyhow::Result<Written> {
        let until = self.now + Duration::days(i64::from(self.args.days));
        let validity = Validity { from: self.now - Duration::minutes(5), until };
        let key = self.args.algo.generate()?;
        let leaf = self.ca.authority.leaf(&key, role, &hosts(old)?, validity)?;
        if !self.args.dry_run {
            self.exchange(role, dir, &key, &leaf)?;
        }
        Ok(Written {
            what: "directory".to_owned(),
            path: dir.to_string_lossy().into_owned(),
            path_hex: Finding::new("", Severity::Note, dir).path_hex,
            number: leaf.serial,
            until: rfc3339(validity.until),
            revoked: None,
        })
    }

    fn exchange(&self, role: Role, dir: &Path, key: &Key, leaf: &Issued) -> anyhow::Result<()> {
        let layout = role.layout();
        let mut stage = Stage::begin(dir.parent().unwrap_or(Path::new(".")))?;
        let new = stage.unplaced("new")?;
        let root = pem::encode("CERTIFICATE", &self.ca.certificate.der);
        stage.file("new", layout.ca, root.as_bytes())?;
        stage.file("new", layout.leaf, leaf.pem.as_bytes())?;
        stage.file("new", layout.key, key.pem(self.lock)?.as_bytes())?;
        // The list in force may have come from elsewhere since.
        let list = files::read(&dir.join(layout.crl)).or_else(|_| files::read(&self.ca.path.join("ca.crl")));
        stage.file("new", layout.crl, &list.with_context(|| dir.join(layout.crl).display().to_string())?)?;
        fit(&new, role, dir, self.lock)?;
        // The old directory is under the new one's hidden name afterwards, and goes with the stage.
        rustix::fs::renameat_with(CWD, &new, CWD, dir, RenameFlags::EXCHANGE)
            .map_err(std::io::Error::from)
            .with_context(|| dir.display().to_string())
    }
}

/// Refuses a successor that would not serve.
fn fit(new: &Path, role: Role, dir: &Path, passphrase: Option<&Passphrase>) -> anyhow::Result<()> {
    let findings =
        inspect(new, role, &LoadOptions { warn_days: 0, passphrase, ..LoadOptions::now() }).findings;
    match findings.iter().find(|f| f.severity == Severity::Error) {
        Some(finding) => bail!("{}: its successor would not serve: {}", dir.display(), finding.reason()),
        None => Ok(()),
    }
}

/// The names that the old certificate is good for.
fn hosts(old: &Cert) -> anyhow::Result<Vec<Host>> {
    let names = old.extensions.subject_alt_name.iter().flat_map(|s| &s.value);
    names
        .map(|name| match name {
            GeneralName::Dns(text) => Host::parse(text).map_err(anyhow::Error::msg),
            GeneralName::Ip(bytes) => {
                let text = GeneralName::Ip(bytes.clone()).to_string();
                Host::parse(text.trim_start_matches("IP:")).map_err(anyhow::Error::msg)
            }
            other => bail!("{other}: a name of this form cannot be renewed"),
        })
        .collect()
}
