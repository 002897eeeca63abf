//! `certck crl`: CRLs checked, made and fetched.

use std::path::PathBuf;

use clap::Subcommand;
use common::duration::days_within;
use common::exit::Exit;
use common::out::{Format, Out};
use common::pki::{CrlLimitArgs, PassphraseArgs};

use crate::ca_dir::{CaDir, NextCrl};
use crate::issued_log;
use crate::written_output::report_published;

/// Check, make and fetch certificate revocation lists
#[derive(Subcommand, Debug)]
#[command(after_long_help = "Examples:
  certck crl check --ca pki/ca/ca.crt pki/server_certs/ca.crl
  certck crl new pki/ca --days 30 --to pki/server_certs --to pki/client_certs
  certck crl fetch /etc/profguard/server_certs")]
pub(crate) enum CrlCommand {
    Check(super::crlcheck::CrlCheckArgs),
    New(NewCrlArgs),
    Fetch(super::fetch::CrlFetchArgs),
}

/// Make a new CRL that revokes what the present one revokes
///
/// The CRL gets the next number and a new validity. It is written to the authority's directory and to every --to
/// directory, each replaced atomically; CRLs by other CAs in the same file are kept. A directory that is not under this
/// authority, or whose CRL is newer than the authority's, is rejected before anything is written. The exit status is 1
/// if a --to directory has the new CRL but is invalid for another reason.
#[derive(clap::Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck crl new pki/ca --days 30 --to pki/server_certs --to pki/client_certs
  certck crl new --first /etc/pki/lab-ca")]
pub(crate) struct NewCrlArgs {
    /// The authority's directory (ca.crt, ca.key, ca.crl), or the directory that was given to `certck mint`
    #[arg(value_name = "CA_DIR")]
    ca: PathBuf,
    #[command(flatten)]
    publish: PublishArgs,
}

/// The validity of a new CRL and the directories that get it.
#[derive(clap::Args, Debug)]
pub(crate) struct PublishArgs {
    /// Validity of the CRL in days [default: crl_days of the authority's authority.toml; else that of the present CRL, or
    /// 90]
    #[arg(long, value_name = "N", value_parser = days_within(1..=3650))]
    pub(crate) days: Option<u16>,
    /// Also replace ca.crl in this certificate directory; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Vec<PathBuf>,
    /// Make the first CRL, number 01, without a present one. If the CRL was lost, copy it back instead: otherwise
    /// everything that it revoked is valid again
    #[arg(long)]
    pub(crate) first: bool,
    #[command(flatten)]
    pub(crate) crl_limit: CrlLimitArgs,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
}

pub(crate) fn run(cmd: &CrlCommand, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    match cmd {
        CrlCommand::Check(args) => super::crlcheck::run(args, format, out),
        CrlCommand::Fetch(args) => super::fetch::run(args, format, out),
        CrlCommand::New(args) => {
            let passphrase = args.publish.passphrase.read()?;
            let ca = CaDir::open(&args.ca, passphrase.as_ref(), args.publish.crl_limit)?;
            let places = ca.open_crl_stores(&args.publish.to, out)?;
            let next = NextCrl { revoked: ca.revoked_entries(args.publish.first)?, days: args.publish.days };
            let written = ca.publish_crl(next, &places, out)?;
            let exit = report_published(&written, &places, format, out)?;
            issued_log::warn_about_other_dirs(&ca, &args.publish.to, out);
            Ok(exit)
        }
    }
}
