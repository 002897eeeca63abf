//! `certck ocsp`: the revocation status of certificates by OCSP.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use common::exit::Exit;
use common::finding::Severity;
use common::out::Out;
use common::pki::role::{LAYOUTS, SECRET_LAYOUTS};
use common::pki::rule::REVOKED;
use common::pki::{Cert, Crl, CrlLimitArgs, format_utc, revocation_reason};
use common::record::certck as record;
use common::record::write as line;
use common::report::ReportFormat;
use common::text::Safe;
use time::OffsetDateTime;

use crate::check_output::LiveReport;
use crate::download::{self, DownloadOptions};
use crate::ocsp::{OcspAnswer, OcspError, OcspRequest, OcspStatus};
use crate::rules::{NO_RESPONDER, OCSP_ANSWER, OCSP_RULES, OCSP_UNKNOWN};
use crate::{crl_store, files};

/// Ask OCSP responders whether certificates are revoked
///
/// Asks about the leaf and its intermediates, each at the address in the certificate. A response counts only if it is
/// signed by the certificate's issuer or by a responder that the issuer authorized, is about this certificate, and is in
/// force; with a nonce it is also fresh. An address that cannot be reached is exit status 2: the status is unknown.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  certck ocsp /etc/profguard/server_certs
  certck ocsp --url http://ocsp.example.org/ --format json pki/server_certs
  certck ocsp --issuer ca.pem server.pem
  certck check \"$dir\" && certck ocsp --format nagios \"$dir\"")]
pub(crate) struct OcspArgs {
    /// Certificate directories, or PEM files that begin with the leaf
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Address of the responder for the leaves [default: the one in each certificate]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// File of issuers' certificates that are not in PATH; may be repeated
    #[arg(long, value_name = "FILE")]
    issuer: Vec<PathBuf>,
    #[command(flatten)]
    crl_limit: CrlLimitArgs,
    #[command(flatten)]
    limits: DownloadOptions,
}

pub(crate) fn run(args: &OcspArgs, format: ReportFormat, out: &mut Out) -> anyhow::Result<Exit> {
    let mut issuers = Vec::new();
    for path in &args.issuer {
        issuers.extend(files::read_certificates(path)?);
    }
    let mut report = OcspReport::default();
    for path in &args.paths {
        if let Err(e) = ask_all(args, path, &issuers, &mut report, out) {
            report.add_failure(&e, out);
        }
    }
    let elsewhere = LiveReport {
        own_rules: &OCSP_RULES,
        noun: "certificates",
        subjects: report.checked,
        failed: report.failed,
        findings: &report.findings,
        suppressed: 0,
        first_failure: report.first_failure.as_deref(),
        fail_on: Severity::Error,
        addition: String::new(),
        facts: Vec::new(),
    };
    let (diag, to) = out.parts();
    elsewhere.write_report(
        format,
        diag,
        to,
        |to| report.answers.iter().try_for_each(|a| line(to, a)),
        |to| report.answers.iter().try_for_each(|a| write_text(a, to)),
    )
}

/// The results of all requests.
#[derive(Default)]
struct OcspReport {
    answers: Vec<record::OcspRecord>,
    findings: Vec<record::FindingRecord>,
    /// Certificates for which a responder sent a response, valid or not.
    checked: u64,
    failed: u64,
    /// The first thing that could not be done.
    first_failure: Option<String>,
}

/// The certificates of one path, the leaf first, and what is known of their issuers.
struct OcspSubjects {
    file: PathBuf,
    chain: Vec<Cert>,
    issuers: Vec<Cert>,
    crls: Vec<Crl>,
}

impl OcspSubjects {
    fn read_path(path: &Path, crl_limit: CrlLimitArgs) -> anyhow::Result<Self> {
        if !path.is_dir() {
            let chain = files::read_certificates(path)?;
            ensure!(!chain.is_empty(), "{}: holds no certificate", path.display());
            return Ok(Self { file: path.to_owned(), chain, issuers: Vec::new(), crls: Vec::new() });
        }
        let mut leaves = LAYOUTS.iter().chain(&SECRET_LAYOUTS[..1]).map(|layout| layout.leaf);
        let there = leaves.find(|leaf| path.join(leaf).symlink_metadata().is_ok());
        let leaf = there.with_context(|| {
            format!("{}: holds neither {}", path.display(), LAYOUTS.map(|l| l.leaf).join(" nor "))
        })?;
        // Whether a CRL is valid is for `check`. One whose signature verifies counts here even if it has expired.
        let crls = crl_store::read_crls(&path.join("ca.crl"), crl_limit)?;
        Ok(Self {
            chain: files::read_certificates(&files::file_of_directory(path, leaf))?,
            issuers: files::read_certificates(&files::file_of_directory(path, "ca.crt"))?,
            crls: crls.crls,
            file: path.join(leaf),
        })
    }
}

fn ask_all(
    args: &OcspArgs,
    path: &Path,
    issuers: &[Cert],
    report: &mut OcspReport,
    out: &Out,
) -> anyhow::Result<()> {
    let subjects = OcspSubjects::read_path(path, args.crl_limit)?;
    let mut asked = false;
    let mut silent = Vec::new();
    for (i, cert) in subjects.chain.iter().enumerate().filter(|(_, c)| !c.is_self_issued()) {
        let Some(url) = args.url.as_ref().filter(|_| i == 0).or_else(|| responder_url(cert)) else {
            silent.push(cert);
            continue;
        };
        asked = true;
        if let Err(e) = ask_responder(args, &subjects, cert, issuers, url, report) {
            let about =
                format!("{}: {}: {}", subjects.file.display(), cert.subject, download::redact_url(url));
            report.add_failure(&e.context(about), out);
        }
    }
    if !asked {
        bail!(
            "{}: no certificate names an OCSP responder: give its address with --url",
            subjects.file.display()
        );
    }
    for cert in silent {
        let found = format!("{} names no OCSP responder", cert.subject);
        report.add_finding(path, NO_RESPONDER.at(&subjects.file).found(found));
    }
    Ok(())
}

/// The first address that can be asked.
fn responder_url(cert: &Cert) -> Option<&String> {
    let addresses = cert.extensions.authority_info_access.as_ref().map(|a| &a.value);
    addresses.into_iter().flatten().find(|a| a.starts_with("http://") || a.starts_with("https://"))
}

fn ask_responder(
    args: &OcspArgs,
    subjects: &OcspSubjects,
    cert: &Cert,
    issuers: &[Cert],
    url: &str,
    report: &mut OcspReport,
) -> anyhow::Result<()> {
    let mut known = subjects.issuers.iter().chain(&subjects.chain).chain(issuers);
    let issuer = known
        .find(|c| c.is_ca() && cert.is_issued_by(c))
        .context("the issuer's certificate is missing: name its file with --issuer")?;
    let question = OcspRequest::new(cert, issuer, random_nonce()?);
    let response =
        download::post_document(url, "application/ocsp-request", &question.to_der(), &args.limits)?;
    let at = OffsetDateTime::now_utc().unix_timestamp();
    let dir = subjects.file.as_path();
    let url = &download::redact_url(url);
    match question.check_response(&response, &subjects.crls, at) {
        Ok(answer) => {
            report.add_answer(dir, cert, &answer);
            report.answers.push(ocsp_record(&subjects.file, cert, url, &answer));
        }
        Err(OcspError::Responder(says)) => bail!("the responder says: {says}"),
        Err(error @ OcspError::Answer(_)) => report.add_finding(
            dir,
            OCSP_ANSWER
                .at(dir)
                .found(format!("{}: the response of {url}: {error}", cert.subject))
                .expected("a valid response")
                .fix("check the responder, and which server answers in its place"),
        ),
    }
    report.checked += 1;
    Ok(())
}

/// A nonce that cannot be predicted.
fn random_nonce() -> anyhow::Result<[u8; 32]> {
    let mut nonce = [0; 32];
    let n = rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty())?;
    ensure!(n == nonce.len(), "no random numbers");
    Ok(nonce)
}

impl OcspReport {
    fn add_answer(&mut self, file: &Path, cert: &Cert, answer: &OcspAnswer) {
        match answer.status {
            OcspStatus::Good => {}
            OcspStatus::Revoked { at, reason } => self.add_finding(
                file,
                REVOKED
                    .at(file)
                    .found(format!("{} was revoked at {at}{}", cert.subject, revocation_reason(reason)))
                    .expected("a certificate that is not revoked")
                    .fix("if its holder may have a new key and certificate: `certck mint renew --revoked CA_DIR DIR`; with another CA: \
                         have it issued again"),
            ),
            OcspStatus::Unknown => self.add_finding(
                file,
                OCSP_UNKNOWN
                    .at(file)
                    .found(format!("{} is unknown to the responder", cert.subject))
                    .expected("good or revoked")
                    .fix("ask the CA whether it issued this certificate"),
            ),
        }
    }

    /// Says what could not be done, to a monitoring system too.
    fn add_failure(&mut self, error: &anyhow::Error, out: &Out) {
        self.first_failure.get_or_insert_with(|| format!("{error:#}"));
        out.diag().fatal(error);
    }

    fn add_finding(&mut self, dir: &Path, finding: common::finding::Finding) {
        self.failed += u64::from(finding.severity == Severity::Error);
        let dir = dir.to_string_lossy().into_owned();
        self.findings.push(record::FindingRecord { dir, role: "responder".to_owned(), finding });
    }
}

fn ocsp_record(file: &Path, cert: &Cert, url: &str, answer: &OcspAnswer) -> record::OcspRecord {
    let (status, revoked_at, reason) = match answer.status {
        OcspStatus::Good => ("good", None, None),
        OcspStatus::Revoked { at, reason } => ("revoked", Some(format_utc(at.unix)), reason),
        OcspStatus::Unknown => ("unknown", None, None),
    };
    record::OcspRecord {
        path: file.to_string_lossy().into_owned(),
        subject: cert.subject.to_string(),
        serial: common::finding::hex(&cert.serial),
        url: url.to_owned(),
        status: status.to_owned(),
        revoked_at,
        reason,
        this_update: answer.this_update.to_string(),
        next_update: answer.next_update.map(|t| t.to_string()),
        signer: answer.signer.clone(),
        nonce: answer.fresh,
    }
}

fn write_text(answer: &record::OcspRecord, to: &mut dyn Write) -> std::io::Result<()> {
    let until = answer.next_update.as_ref().map(|t| format!(" until {t}")).unwrap_or_default();
    writeln!(to, "{}: {}: {}{until}", Safe(&answer.path), Safe(&answer.subject), answer.status)?;
    let made = if answer.nonce { "fresh (it has our nonce)" } else { "precomputed (it has no nonce)" };
    writeln!(to, "  signed by {}, known at {}, {made}", Safe(&answer.signer), answer.this_update)
}
