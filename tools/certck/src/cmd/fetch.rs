//! `certck crl fetch`: the cron job that keeps revocation alive.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use common::exit::Exit;
use common::finding::{Finding, Severity, hex};
use common::fsat;
use common::out::{Format, Out};
use common::pki::name::GeneralName;
use common::pki::role::LAYOUTS;
use common::pki::{Cert, Crl, pem};
use common::policy::{Class, Mode};
use common::record::certck::Written;

use super::crl::report;
use crate::download::{self, Limits};
use crate::{ca, files};

/// Download a CRL, and replace ca.crl if it is good
///
/// The address is the one given, or the CRL distribution point of the leaf in DIR. The CRL must be signed by
/// ca.crt or an intermediate, in force, and neither older nor numbered lower than the present one; else ca.crl
/// stays as it is. CRLs by other issuers in the same file are kept.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  certck crl fetch /etc/profguard/server_certs
  certck crl fetch --url https://pki.example.org/ca.crl --timeout 10 /etc/profguard/server_certs")]
pub(crate) struct Args {
    /// A server's or client's certificate directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Where the CRL is [default: the leaf's distribution point]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Say what would be written, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    limits: Limits,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let chain = chain(&args.dir)?;
    let url = match &args.url {
        Some(url) => url.clone(),
        None => address(&chain).with_context(|| args.dir.display().to_string())?,
    };
    let bytes = download::get(&url, &args.limits).with_context(|| url.clone())?;
    let new = files::crl_of(&bytes).with_context(|| url.clone())?;
    let issuer = chain.iter().find(|c| c.subject == new.issuer && c.is_ca());
    let issuer = issuer
        .with_context(|| format!("{url}: issued by {}, who is not in {}", new.issuer, args.dir.display()))?;
    ca::acceptable(Path::new(&url), &new, issuer)?;
    let path = args.dir.join("ca.crl");
    let present = present(&path, out);
    for old in present.iter().filter(|old| old.issuer == new.issuer) {
        not_before(&new, old).with_context(|| url.clone())?;
    }
    if present.iter().any(|old| old.der == new.der) {
        out.diag().info(&url, "unchanged");
        report(&[], format, out)?;
        return Ok(Exit::Ok);
    }
    let others = present.iter().filter(|old| old.issuer != new.issuer);
    let text: String = std::iter::once(&new)
        .chain(others)
        .map(|crl| pem::encode("X509 CRL", &crl.der).to_string())
        .collect();
    if !args.dry_run {
        let Mode(mode) = Class::KeyFile.max();
        fsat::write(&path, Mode(mode), text.as_bytes()).with_context(|| path.display().to_string())?;
    }
    report(&[written(&path, &new)], format, out)?;
    Ok(Exit::Ok)
}

/// The root and what the leaf's file holds.
fn chain(dir: &Path) -> anyhow::Result<Vec<Cert>> {
    let mut chain = files::certificates(&dir.join("ca.crt"))?;
    for layout in LAYOUTS {
        let leaf = dir.join(layout.leaf);
        if leaf.symlink_metadata().is_ok() {
            chain.extend(files::certificates(&leaf)?);
        }
    }
    ensure!(!chain.is_empty(), "{}: holds no certificate", dir.display());
    Ok(chain)
}

/// The first HTTP address among the leaves' distribution points.
fn address(chain: &[Cert]) -> anyhow::Result<String> {
    let points = chain.iter().filter(|c| !c.is_ca()).flat_map(|c| &c.extensions.crl_distribution_points);
    let names = points.flat_map(|p| &p.value).flat_map(|p| &p.names);
    let mut urls = names.filter_map(|n| match n {
        GeneralName::Uri(uri) if uri.starts_with("http://") || uri.starts_with("https://") => {
            Some(uri.clone())
        }
        _ => None,
    });
    urls.next().context("the certificate names no place to get a CRL from: give one with --url")
}

/// The lists that are there. What cannot be read is replaced: that is what this command is for.
fn present(path: &Path, out: &Out) -> Vec<Crl> {
    let read = || -> anyhow::Result<Vec<Crl>> {
        let blocks = pem::parse(&files::read(path)?)?;
        blocks.iter().map(|b| Ok(Crl::parse(&b.der)?)).collect()
    };
    if path.symlink_metadata().is_err() {
        return Vec::new();
    }
    read().unwrap_or_else(|e| {
        out.warn(path.display(), format_args!("{e:#}; it will be replaced"));
        Vec::new()
    })
}

/// A list that is older than the present one would bring revoked certificates back.
fn not_before(new: &Crl, old: &Crl) -> anyhow::Result<()> {
    let number = |crl: &Crl| {
        let bytes = crl.number.as_ref().map(|n| n.value.clone()).unwrap_or_default();
        let first = bytes.iter().position(|&b| b != 0).unwrap_or(bytes.len());
        bytes[first..].to_vec()
    };
    let (a, b) = (number(new), number(old));
    if (a.len(), &a) < (b.len(), &b) {
        bail!("its number is {}, lower than the present {}", hex(&a), hex(&b));
    }
    if new.this_update.unix < old.this_update.unix {
        bail!("was made at {}, before the present one at {}", new.this_update, old.this_update);
    }
    Ok(())
}

fn written(path: &Path, crl: &Crl) -> Written {
    Written {
        what: "crl".to_owned(),
        path: path.to_string_lossy().into_owned(),
        path_hex: Finding::new("", Severity::Note, path).path_hex,
        number: crl.number.as_ref().map(|n| hex(&n.value)).unwrap_or_default(),
        until: crl.next_update.map(|t| t.to_string()).unwrap_or_default(),
        revoked: Some(crl.revoked.len() as u64),
    }
}
