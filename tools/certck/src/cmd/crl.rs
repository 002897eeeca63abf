//! `certck crl`: revocation lists, checked, made and fetched.

use std::path::PathBuf;

use clap::Subcommand;
use common::exit::Exit;
use common::out::{Format, Out};
use common::pki::{PassphraseArgs, Role};
use common::record::certck::{self as record, Summary, Written};
use common::text::Safe;

use crate::ca::{Ca, Next};
use crate::issued;
use crate::lists::Lists;
use crate::verdict::sentence;

/// Check, make and fetch certificate revocation lists
#[derive(Subcommand, Debug)]
pub(crate) enum Cmd {
    Check(super::crlcheck::Args),
    New(New),
    Fetch(super::fetch::Args),
}

/// Make a new CRL with what the present one revokes
///
/// The CRL gets the next number and a new validity. It goes into the authority's directory and into every --to
/// directory, each replaced in one step; CRLs by other CAs in the same file are kept. A directory that is not under
/// this authority, or whose CRL knows more than the authority's, is refused before anything is written. The exit status
/// is 1 if a --to directory has the new CRL but would not be loaded as a whole.
#[derive(clap::Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck crl new pki/ca --days 30 --to pki/server_certs --to pki/client_certs
  certck crl new --first /etc/pki/lab-ca")]
pub(crate) struct New {
    /// The authority's directory: ca.crt, ca.key, ca.crl; or the one given to `certck mint`
    #[arg(value_name = "CA_DIR")]
    ca: PathBuf,
    #[command(flatten)]
    publish: Publish,
}

/// How a CRL is made and where it goes.
#[derive(clap::Args, Debug)]
pub(crate) struct Publish {
    /// Days until the CRL must have been renewed [default: as many as the present one had, or 90]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub(crate) days: Option<u16>,
    /// A certificate directory whose ca.crl is replaced too; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Vec<PathBuf>,
    /// There was no CRL before, and nothing is revoked: make the first one. Where the CRL was lost, copy it back
    /// instead: without it, all that it revoked is good again
    #[arg(long)]
    pub(crate) first: bool,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
}

pub(crate) fn run(cmd: &Cmd, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    match cmd {
        Cmd::Check(args) => super::crlcheck::run(args, format, out),
        Cmd::Fetch(args) => super::fetch::run(args, format, out),
        Cmd::New(args) => {
            let ca = Ca::open(&args.ca, args.publish.passphrase.read()?.as_ref())?;
            let places = ca.places(&args.publish.to)?;
            let next = Next { revoked: ca.revoked(args.publish.first)?, days: args.publish.days };
            let written = ca.publish(next, &places, out)?;
            let exit = report_published(&written, &places, format, out)?;
            issued::remind(&ca, &args.publish.to, out);
            Ok(exit)
        }
    }
}

/// Prints what was written, and what keeps a program from loading a directory that got the CRL.
///
/// A running profd takes the CRL all the same; with anything else it goes on as it was, and it would not start again.
pub(crate) fn report_published(
    written: &[Written],
    places: &[Lists],
    format: Format,
    out: &mut Out,
) -> anyhow::Result<Exit> {
    for w in written {
        report_written(w, format, out)?;
    }
    let made = written.iter().filter(|w| !w.dry_run).count() as u64;
    let mut summary = Summary { made, ..Summary::default() };
    for place in places {
        report_load_errors(place, format, &mut summary, out)?;
    }
    summary.errors = out.diag().errors();
    if format == Format::Json {
        out.record(&summary)?;
    }
    let answer = if summary.refused > 0 { Exit::No } else { Exit::Ok };
    Ok(answer.max(out.diag().exit()))
}

/// Prints what was written: CRLs and directories.
pub(crate) fn report(written: &[Written], format: Format, out: &mut Out) -> anyhow::Result<()> {
    report_published(written, &[], format, out).map(drop)
}

/// Prints one CRL or directory that was written, or would be.
pub(crate) fn report_written(w: &Written, format: Format, out: &mut Out) -> anyhow::Result<()> {
    if format == Format::Json {
        return Ok(out.record(w)?);
    }
    let number = match &w.serial {
        Some(serial) => format!("serial {serial}, "),
        None if w.number.is_empty() => String::new(),
        None => format!("number {}, ", w.number),
    };
    let revoked = w.revoked.map(|n| format!("{n} revoked, ")).unwrap_or_default();
    let would = if w.dry_run { "would write " } else { "" };
    Ok(writeln!(out.text(), "{would}{}: {number}{revoked}until {}", Safe(&w.path), w.until)?)
}

/// Prints what keeps a program from loading a directory that has a new CRL, and counts it.
pub(crate) fn report_load_errors(
    place: &Lists,
    format: Format,
    summary: &mut Summary,
    out: &mut Out,
) -> anyhow::Result<()> {
    let Some((role, findings)) = place.load_errors() else { return Ok(()) };
    summary.refused += 1;
    summary.findings_error += findings.len() as u64;
    let dir = place.dir().to_string_lossy().into_owned();
    if format == Format::Json {
        for finding in findings {
            out.record(&record::Finding { dir: dir.clone(), role: role.name().to_owned(), finding })?;
        }
        return Ok(());
    }
    let consequence = match role {
        Role::Server => "a running profd takes the new CRL and nothing else, and does not start again",
        Role::Client => "profctl does not start with it",
    };
    writeln!(out.text(), "{}: not valid: {consequence} until this is fixed:", Safe(&dir))?;
    for finding in &findings {
        sentence(out.text(), Some(&finding.path), finding)?;
    }
    Ok(())
}
