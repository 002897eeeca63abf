//! `certck crl fetch`: downloads CRLs, as a cron job does.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::out::{Format, Out};
use common::pki::name::GeneralName;
use common::pki::role::{LAYOUTS, SECRET_LAYOUTS};
use common::pki::rule::{CRL_ISSUER, CRL_SIGNATURE, MALFORMED_CRL};
use common::pki::{Cert, Crl, CrlFile, CrlLimitArgs, LoadOptions, Role, inspect_crl};
use common::record::certck as record;
use common::record::certck::WrittenRecord;
use common::text::Safe;

use crate::ca_dir;
use crate::crl_store::CrlStore;
use crate::download::{self, DownloadOptions};
use crate::files;
use crate::rules::CRL_OLDER;
use crate::written_output::{report_load_errors, report_written};

/// Download CRLs and replace ca.crl with them
///
/// The addresses are those of --url, or the CRL distribution points of the leaf and the intermediates in DIR: of each
/// certificate, the first that has a valid CRL. A CRL must be signed by ca.crt or an intermediate, in force, and neither
/// older nor numbered lower than the present one, and DIR must be valid with it; otherwise ca.crl stays as it is, and the
/// exit status is 1. An address that cannot be reached is exit status 2. CRLs by other issuers in the same file are kept,
/// as is its owner.
///
/// The proxy is taken from http_proxy, https_proxy or all_proxy, except for hosts in no_proxy. certck sends it CONNECT
/// for http addresses too; some proxies must be configured to allow that for port 80.
#[derive(clap::Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck crl fetch /etc/profguard/server_certs
  certck crl fetch pki/server_certs pki/client_certs
  certck crl fetch --url https://pki.example.org/ca.crl --timeout 10 /etc/profguard/server_certs")]
pub(crate) struct CrlFetchArgs {
    /// Certificate directories of servers or clients
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,
    /// Address of the CRL [default: the distribution points of the leaf and its intermediates]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print what would be written, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    crl_limit: CrlLimitArgs,
    #[command(flatten)]
    limits: DownloadOptions,
}

pub(crate) fn run(args: &CrlFetchArgs, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let mut fetch = CrlFetch { args, format, got: HashMap::new(), summary: record::Summary::default() };
    for dir in &args.dirs {
        if let Err(e) = fetch.fetch_for_directory(dir, out) {
            out.diag().fatal(&e);
        }
    }
    let mut summary = fetch.summary;
    summary.errors = out.diag().errors();
    if format == Format::Json {
        out.record(&summary)?;
    }
    Ok(if summary.failed > 0 { Exit::No } else { Exit::Ok })
}

/// One run of the command.
struct CrlFetch<'a> {
    args: &'a CrlFetchArgs,
    format: Format,
    /// The downloaded CRLs, by address: several directories often have the same.
    got: HashMap<String, Vec<u8>>,
    summary: record::Summary,
}

/// Why a CRL from an address is not installed.
enum FetchFailure {
    /// It cannot be downloaded.
    Dead(anyhow::Error),
    /// It was downloaded and is invalid.
    Rejected(Box<Finding>),
}

impl CrlFetch<'_> {
    fn fetch_for_directory(&mut self, dir: &Path, out: &mut Out) -> anyhow::Result<()> {
        let chain = DirectoryChain::read_directory(dir)?;
        let sources = match (&self.args.url, &chain.unreadable) {
            (Some(url), _) => vec![vec![url.clone()]],
            (None, None) => chain.crl_urls(),
            (None, Some(e)) => anyhow::bail!("{e}"),
        };
        ensure!(
            !sources.is_empty(),
            "{}: the certificates have no CRL distribution point: give an address with --url",
            dir.display()
        );
        for addresses in sources {
            self.try_urls(dir, &chain, &addresses, out)?;
        }
        Ok(())
    }

    /// Tries the addresses of one CRL until one has a valid CRL. What failed before is then a warning only.
    fn try_urls(
        &mut self,
        dir: &Path,
        chain: &DirectoryChain,
        urls: &[String],
        out: &mut Out,
    ) -> anyhow::Result<()> {
        let mut troubles = Vec::new();
        for url in urls {
            match self.fetch_url(dir, chain, url, out)? {
                Ok(()) => {
                    for trouble in troubles {
                        match trouble {
                            FetchFailure::Dead(e) => out.warn(dir.display(), format_args!("{e:#}")),
                            FetchFailure::Rejected(f) => out.warn(&f.path, f.reason()),
                        }
                    }
                    return Ok(());
                }
                Err(trouble) => troubles.push(trouble),
            }
        }
        for trouble in troubles {
            match trouble {
                FetchFailure::Dead(e) => out.diag().fatal(&e.context(dir.display().to_string())),
                FetchFailure::Rejected(finding) => self.report_rejected(dir, *finding, out)?,
            }
        }
        Ok(())
    }

    fn fetch_url(
        &mut self,
        dir: &Path,
        chain: &DirectoryChain,
        url: &str,
        out: &mut Out,
    ) -> anyhow::Result<Result<(), FetchFailure>> {
        let shown = download::redact_url(url);
        if !self.got.contains_key(url) {
            match download::get_document(url, &self.args.limits, self.args.crl_limit.max_crl_bytes) {
                Ok(bytes) => drop(self.got.insert(url.to_owned(), bytes)),
                Err(e) => return Ok(Err(FetchFailure::Dead(e.context(shown)))),
            }
        }
        let bytes = self.got.get(url).map(Vec::as_slice).unwrap_or_default();
        let good = match check_fetched(bytes, Path::new(&shown), chain, dir) {
            Ok(good) => good,
            Err(finding) => return Ok(Err(FetchFailure::Rejected(finding))),
        };
        for (new, issuer) in good {
            if let Err(failure) = self.take_crl(dir, &shown, &new, issuer, out)? {
                return Ok(Err(failure));
            }
        }
        Ok(Ok(()))
    }

    /// Installs a CRL that is valid by itself, unless the directory would lose by it.
    fn take_crl(
        &mut self,
        dir: &Path,
        from: &str,
        new: &Crl,
        issuer: &Cert,
        out: &mut Out,
    ) -> anyhow::Result<Result<(), FetchFailure>> {
        // The directory is locked from here on, so that what is compared is what is replaced.
        let lists = CrlStore::open(dir, self.args.crl_limit)?;
        if let Some(why) = lists.explain_older(new, issuer) {
            let finding = CRL_OLDER.at(Path::new(from)).found(why).expected("the same or a newer one").fix(
                "check which server answers at the address; if the present CRL is wrong, replace it by hand",
            );
            return Ok(Err(FetchFailure::Rejected(finding.into())));
        }
        let text = lists.with_replaced(new, issuer);
        if let Some(mut finding) = lists.new_load_error(&text) {
            finding.path = from.to_owned();
            return Ok(Err(FetchFailure::Rejected(finding.into())));
        }
        self.install_crl(&lists, new, &text, out)?;
        Ok(Ok(()))
    }

    fn install_crl(&mut self, lists: &CrlStore, new: &Crl, text: &str, out: &mut Out) -> anyhow::Result<()> {
        self.summary.checked += 1;
        let written =
            WrittenRecord { dry_run: self.args.dry_run, ..ca_dir::written_record(&lists.path, new) };
        let unchanged = lists.has_exactly(new);
        if !unchanged {
            for broken in lists.broken_blocks() {
                out.warn(lists.path.display(), format_args!("{broken}; it is left out"));
            }
            if !self.args.dry_run {
                lists.replace_file(text)?;
                self.summary.made += 1;
            }
        }
        if unchanged {
            // cron mails each line, so nothing is printed.
            let list = format!("number {}, until {}", written.number, written.expires);
            out.diag().info(lists.path.display(), format_args!("unchanged: {list}"));
            return Ok(());
        }
        report_written(&written, self.format, out)?;
        report_load_errors(lists, self.format, &mut self.summary, out)
    }

    fn report_rejected(&mut self, dir: &Path, finding: Finding, out: &mut Out) -> anyhow::Result<()> {
        self.summary.checked += 1;
        self.summary.failed += 1;
        self.summary.findings_error += 1;
        let client = dir.join(Role::Client.layout().leaf).symlink_metadata().is_ok();
        let role = if client { Role::Client } else { Role::Server };
        let dir = dir.to_string_lossy().into_owned();
        match self.format {
            Format::Json => {
                out.record(&record::FindingRecord { dir, role: role.name().to_owned(), finding })?
            }
            Format::Text => {
                let (from, why) = (Safe(&finding.path), finding.reason());
                writeln!(out.text(), "{}: not replaced: {from}: {}", Safe(&dir), Safe(&why))?;
            }
        }
        Ok(())
    }
}

/// Parses a download, and returns the CRLs that are valid, each with its issuer in the directory. Several CAs, such as an
/// old and a new root, may publish one file: a CRL by none of the directory's CAs is left out if there is another one.
fn check_fetched<'c>(
    bytes: &[u8],
    from: &Path,
    chain: &'c DirectoryChain,
    dir: &Path,
) -> Result<Vec<(Crl, &'c Cert)>, Box<Finding>> {
    let file = CrlFile::parse(bytes);
    if let Some(broken) = file.broken.first() {
        return Err(MALFORMED_CRL.at(from).found(broken.as_str()).expected("CRLs in DER or PEM").into());
    }
    let (mut good, mut rejected) = (Vec::new(), None);
    for crl in file.crls {
        match check_one_fetched(&crl, from, chain, dir) {
            Ok(issuer) => good.push((crl, issuer)),
            // Of one of its CAs, the reason counts whatever else is there.
            Err(finding) if ![CRL_ISSUER.id, CRL_SIGNATURE.id].contains(&finding.rule.as_str()) => {
                return Err(finding);
            }
            Err(finding) => rejected = rejected.or(Some(finding)),
        }
    }
    match rejected {
        _ if !good.is_empty() => Ok(good),
        Some(finding) => Err(finding),
        None => Err(MALFORMED_CRL.at(from).found("the file is empty").expected("CRLs in DER or PEM").into()),
    }
}

/// Checks a CRL against its issuer in the directory.
fn check_one_fetched<'c>(
    crl: &Crl,
    from: &Path,
    chain: &'c DirectoryChain,
    dir: &Path,
) -> Result<&'c Cert, Box<Finding>> {
    let named = || chain.issuing_cas().filter(|c| c.subject == crl.issuer);
    let signed = named().find(|c| crl.is_issued_by(c));
    let Some(issuer) = signed.or_else(|| named().next()) else {
        let mut finding = CRL_ISSUER
            .at(from)
            .found(format!("issued by {}", crl.issuer))
            .expected(format!("a CA in {}", dir.display()));
        finding.severity = Severity::Error;
        return Err(finding.into());
    };
    let options = LoadOptions { warn_days: Some(0), ..LoadOptions::now() };
    let findings = inspect_crl(from, crl, issuer, &options);
    match findings.into_iter().find(|f| f.severity == Severity::Error) {
        Some(finding) => Err(finding.into()),
        None => Ok(issuer),
    }
}

/// The certificates of a directory.
struct DirectoryChain {
    roots: Vec<Cert>,
    /// The leaf and its intermediates.
    path: Vec<Cert>,
    /// Why the leaf could not be read, which matters only if its distribution points are needed.
    unreadable: Option<String>,
}

impl DirectoryChain {
    fn read_directory(dir: &Path) -> anyhow::Result<Self> {
        let roots = files::read_certificates(&files::file_of_directory(dir, "ca.crt"))?;
        ensure!(!roots.is_empty(), "{}: holds no certificate", dir.join("ca.crt").display());
        let (mut path, mut unreadable) = (Vec::new(), None);
        // The two layouts of a secret have the same files.
        for layout in LAYOUTS.iter().chain(&SECRET_LAYOUTS[..1]) {
            let leaf = files::file_of_directory(dir, layout.leaf);
            if leaf.symlink_metadata().is_ok() {
                match files::read_certificates(&leaf) {
                    Ok(certificates) => path.extend(certificates),
                    Err(e) => unreadable = Some(format!("{e:#}")),
                }
            }
        }
        Ok(Self { roots, path, unreadable })
    }

    fn issuing_cas(&self) -> impl Iterator<Item = &Cert> {
        self.roots.iter().chain(&self.path).filter(|c| c.is_ca())
    }

    /// The distribution points of each certificate, without repetition.
    fn crl_urls(&self) -> Vec<Vec<String>> {
        let mut sources: Vec<Vec<String>> = Vec::new();
        for cert in self.path.iter().filter(|c| !c.is_self_issued()) {
            let urls = http_urls(cert);
            if !urls.is_empty() && !sources.contains(&urls) {
                sources.push(urls);
            }
        }
        sources
    }
}

/// The HTTP addresses among a certificate's distribution points, without those of indirect CRLs, which are rejected
/// here.
fn http_urls(cert: &Cert) -> Vec<String> {
    let points = cert.extensions.crl_distribution_points.iter().flat_map(|p| &p.value);
    let names = points.filter(|p| !p.other_issuer).flat_map(|p| &p.names);
    let urls = names.filter_map(|n| match n {
        GeneralName::Uri(uri) if uri.starts_with("http://") || uri.starts_with("https://") => {
            Some(uri.clone())
        }
        _ => None,
    });
    urls.collect()
}
