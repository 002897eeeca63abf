//! `certck crl check`: CRLs checked against the CA that issued them, without a certificate directory.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use common::duration::parse_whole_days;
use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::out::{Format, Out};
use common::pki::pem::{self, Block};
use common::pki::{Cert, Crl, CrlLimitArgs, LoadOptions, format_utc, inspect_crl, rule};
use common::record::certck as record;
use common::report::Totals;
use common::text::Safe;

use crate::check_output::write_finding;
use crate::files;

/// Check CRLs against the CA that issued them
///
/// Prints for each CRL of each file whether it is valid: in strict DER, signed by the CA's key, in force now, numbered
/// and complete; and whether the CA may sign CRLs now. If --ca holds several certificates, each CRL is checked against
/// the one that issued it.
#[derive(clap::Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck crl check --ca pki/ca/ca.crt pki/server_certs/ca.crl
  certck crl check --ca /etc/profguard/server_certs/ca.crt --format json new.crl &&
    mv new.crl ca.crl")]
pub(crate) struct CrlCheckArgs {
    /// The CRLs, PEM or DER
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The certificates of the CA, PEM or DER
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// Warn of certificates and CRLs that expire within N days [default: 30, or the last third of their validity if that
    /// is shorter]
    #[arg(long, value_name = "N", value_parser = parse_whole_days)]
    warn_days: Option<u32>,
    /// Lowest severity that makes the exit status 1
    #[arg(long, value_enum, default_value_t = Severity::Error, value_name = "SEVERITY")]
    fail_on: Severity,
    #[command(flatten)]
    crl_limit: CrlLimitArgs,
}

pub(crate) fn run(args: &CrlCheckArgs, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let authorities = read_cas(&args.ca).with_context(|| args.ca.display().to_string())?;
    let options = LoadOptions { warn_days: args.warn_days, ..LoadOptions::now() };
    let mut summary = record::Summary::default();
    for file in &args.files {
        match read_blocks(file, "X509 CRL", args.crl_limit.max_crl_bytes)
            .with_context(|| file.display().to_string())
        {
            Err(e) => out.diag().fatal(&e),
            Ok(blocks) => {
                let several = blocks.len() > 1;
                for mut block in blocks {
                    let checked = CheckedCrl::new(args, file, &mut block, several, &authorities, &options);
                    checked.add_to(&mut summary);
                    checked.print_result(format, out)?;
                }
            }
        }
    }
    summary.errors = out.diag().errors();
    if format == Format::Json {
        out.record(&summary)?;
    }
    let totals = Totals {
        errors: summary.findings_error,
        warnings: summary.findings_warning,
        notes: summary.findings_note,
    };
    Ok(if totals.at_least(args.fail_on) > 0 { Exit::No } else { Exit::Ok })
}

/// Every certificate of a file.
fn read_cas(path: &Path) -> anyhow::Result<Vec<Cert>> {
    read_blocks(path, "CERTIFICATE", files::MAX_BYTES)?.iter().map(|b| Ok(Cert::parse(&b.der)?)).collect()
}

/// The blocks of a kind: those of PEM, or the one that DER is.
fn read_blocks(path: &Path, label: &str, limit: u64) -> anyhow::Result<Vec<Block>> {
    let bytes = files::read_file_up_to(path, limit)?;
    if bytes.first() == Some(&0x30) {
        return Ok(vec![Block { label: label.to_owned(), der: bytes, line: 1, headers: false }]);
    }
    let mut blocks = pem::parse(&bytes)?;
    blocks.retain(|b| b.label == label);
    ensure!(!blocks.is_empty(), "holds no `{label}` block");
    Ok(blocks)
}

/// One CRL and its findings.
struct CheckedCrl {
    /// The file; with the line, where there are several in it.
    name: String,
    path: String,
    revoked: usize,
    findings: Vec<Finding>,
}

impl CheckedCrl {
    fn new(
        args: &CrlCheckArgs,
        file: &Path,
        block: &mut Block,
        several: bool,
        authorities: &[Cert],
        options: &LoadOptions<'_>,
    ) -> Self {
        let path = file.to_string_lossy().into_owned();
        let name = if several { format!("{path}:{}", block.line) } else { path.clone() };
        let (revoked, mut findings) = match Crl::from_der(std::mem::take(&mut *block.der)) {
            Ok(crl) => {
                let mut findings = Vec::new();
                if let Some(issuer) = find_issuer(&crl, authorities) {
                    findings = inspect_crl(file, &crl, issuer, options);
                    findings.extend(check_issuer(&args.ca, issuer, options));
                }
                (crl.revoked_count(), findings)
            }
            Err(e) => {
                let found = rule::MALFORMED_CRL.at(file).found(e.to_string()).expected("a CRL in DER");
                (0, vec![found])
            }
        };
        if several {
            findings.iter_mut().for_each(|f| f.found = format!("line {}: {}", block.line, f.found));
        }
        Self { name, path, revoked, findings }
    }

    fn count_of(&self, severity: Severity) -> u64 {
        self.findings.iter().filter(|f| f.severity == severity).count() as u64
    }

    fn add_to(&self, summary: &mut record::Summary) {
        summary.checked += 1;
        summary.failed += u64::from(self.count_of(Severity::Error) > 0);
        summary.findings_error += self.count_of(Severity::Error);
        summary.findings_warning += self.count_of(Severity::Warning);
        summary.findings_note += self.count_of(Severity::Note);
    }

    fn print_result(self, format: Format, out: &mut Out) -> anyhow::Result<()> {
        if format == Format::Json {
            for finding in self.findings {
                out.record(&record::FindingRecord {
                    dir: self.path.clone(),
                    role: "ca".to_owned(),
                    finding,
                })?;
            }
            return Ok(());
        }
        let verdict = if self.count_of(Severity::Error) > 0 { "invalid" } else { "valid" };
        writeln!(out.text(), "{}: {verdict}, {} revoked", Safe(&self.name), self.revoked)?;
        for finding in &self.findings {
            let elsewhere = (finding.path != self.path).then_some(finding.path.as_str());
            write_finding(out.text(), elsewhere, finding)?;
        }
        Ok(())
    }
}

/// The CA that issued a CRL, by name and key; else by name; else the first CA, and the rules report the difference.
fn find_issuer<'a>(crl: &Crl, authorities: &'a [Cert]) -> Option<&'a Cert> {
    let signed = authorities.iter().find(|c| crl.is_issued_by(c));
    let named = || authorities.iter().find(|c| c.subject == crl.issuer);
    signed.or_else(named).or(authorities.first())
}

/// Findings about a CA that is not a CA or not valid now. Whether it may sign CRLs is checked with the CRL.
fn check_issuer(path: &Path, issuer: &Cert, options: &LoadOptions<'_>) -> Vec<Finding> {
    let (at, now) = (options.at.unix_timestamp(), format_utc(options.at.unix_timestamp()));
    let mut findings = Vec::new();
    if !issuer.is_ca() {
        findings.push(
            rule::NOT_A_CA
                .at(path)
                .found(format!("{} is not a CA by its basicConstraints", issuer.subject))
                .expected("the certificate of the CA")
                .fix("name the file that holds the CA's certificate with --ca"),
        );
    }
    if at < issuer.not_before.unix {
        let found = format!("{} is valid from {} on", issuer.subject, issuer.not_before);
        findings.push(rule::NOT_YET_VALID.at(path).found(found).expected(format!("valid at {now}")));
    }
    if at > issuer.not_after.unix {
        findings.push(
            rule::EXPIRED
                .at(path)
                .found(format!("{} expired at {}", issuer.subject, issuer.not_after))
                .expected(format!("valid at {now}"))
                .fix("make a new CA with `certck mint`: peers reject everything that this one signed"),
        );
    }
    findings
}
