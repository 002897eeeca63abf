//! `certck mint renew`: new keys and certificates for those that expire soon.

use std::path::{Path, PathBuf};

use common::duration::days_within;
use common::error::HintExt;
use common::exit::Exit;
use common::out::{Format, Out};
use common::pki::{CrlLimitArgs, PassphraseArgs, Role};
use common::policy::shell_quote;
use time::OffsetDateTime;

use crate::authority::KeyAlgorithm;
use crate::ca_dir::{CaDir, NextCrl};
use crate::clock::format_rfc3339;
use crate::issued_log;
use crate::minted_output::warn_if_long;
use crate::new_passphrase::read_new_passphrase;
use crate::renewal::{PresentDir, Renewal, RenewalOptions};
use crate::written_output::report_all_written;

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
    #[arg(long, value_name = "N", value_parser = days_within(0..=u16::MAX))]
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
    #[arg(long, value_name = "N", value_parser = days_within(1..=3650))]
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
    crl_limit: CrlLimitArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(crate) fn run(args: &RenewArgs, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let passphrase =
        if args.encrypt { read_new_passphrase(&args.passphrase)? } else { args.passphrase.read()? };
    let ca = CaDir::open(&args.dir, passphrase.as_ref(), args.crl_limit)?;
    let list = ca.crl_in_force()?;
    let list_is_due = list.next_update.is_none_or(|end| expires_soon(args, list.this_update.unix, end.unix));
    let leaves = leaf_dirs(&args.dir, &args.leaves)?
        .iter()
        .map(|dir| PresentDir::read_dir(dir))
        .collect::<anyhow::Result<Vec<_>>>()?;
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
            let options = RenewalOptions {
                days: args.days,
                algo: args.algo,
                encrypt: args.encrypt,
                plain: args.plain,
                passphrase: passphrase.as_ref(),
            };
            due.push(Renewal::plan_renewal(&options, &ca, &ca.certificate, old, out)?);
        }
    }
    args.days.into_iter().for_each(|days| warn_if_long(days, out));
    let mut written = Vec::new();
    if args.all || list_is_due {
        written.extend(match args.dry_run {
            true => ca.preview_crl(None, &places, out)?,
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

/// The certificate directories that are given, or those of `certck mint`.
pub(crate) fn leaf_dirs(dir: &Path, given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    let usual = ["server_certs", "client_certs"].map(|name| dir.join(name));
    let there: Vec<_> = usual.into_iter().filter(|dir| dir.symlink_metadata().is_ok()).collect();
    if there.is_empty() {
        return Err(anyhow::anyhow!("{}: holds neither server_certs nor client_certs", dir.display()))
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
