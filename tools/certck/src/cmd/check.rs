//! `certck check`: whether certificate directories are valid.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use common::exit::Exit;
use common::finding::Severity;
use common::fsat::write_report;
use common::out::{Diag, Out};
use common::policy::Mode;
use common::progress;
use common::report::{ReportFormat, nagios_exit_from};
use time::OffsetDateTime;

use crate::check_output::report_for;
use crate::check_report::CheckReport;
use crate::clock;
use crate::directory_check::{CheckOptions, CheckTally, CheckedDirectory, DirectoryChecker};
use crate::directory_source::DirectorySource;
use crate::metrics;
use crate::parallel::in_order;
use crate::suppressions::Suppressions;

/// Check certificate directories against every rule
///
/// Prints for each directory whether it is valid, which means that profd or profctl would start with it, and every rule
/// that it breaks: the file, what was found, what is expected and how to fix it. All times are UTC. A directory with a
/// ca.key and no leaf is an authority's, as `certck mint` makes it: its root, key and CRL are checked, and whether they
/// belong together; the key may be encrypted. With -r, authorities are checked only where they are named.
///
/// Exit status 1 means that a directory is invalid, or that there was none to check; 2 that one could not be checked. With
/// --fail-on warning it is also 1 if something expires soon, for cron jobs and pipelines.
/// With --format nagios the statuses are those of monitoring plug-ins: 0 for no findings, 1 for warnings, 2 for errors,
/// 3 if something could not be checked. Only an error in the command line itself is 2 there too.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  certck check /etc/profguard/server_certs
      Check that profd would start with it.
  certck check --host node17.example.org --warn-days 60 pki/server_certs
      Check that the server's certificate is valid for this name, and for two more months.
  certck check --fail-on warning --warn-days 14 pki/server_certs || echo 'renew it'
      Say with the exit status that something expires within two weeks.
  certck check --format json pki/server_certs | jq 'select(.type==\"certck.finding\")'
  certck check -r --format prometheus -o /var/lib/node_exporter/certck.prom /etc
      Write metrics of every certificate directory below /etc; from cron.
  certck check --prometheus /var/lib/node_exporter/certck.prom --format nagios \\
    /etc/profguard/server_certs
      Write the metrics in addition to another format.
  find /srv -name server_certs -print0 |
    certck check -0 --files-from - --format sarif -o certck.sarif

Suppression file:
  [[suppress]]
  rule = \"no-crl\"
  path = \"/etc/profguard\"             # optional: the file, or a directory above it
  reason = \"the PKI has no CRL yet\"
  until = 2027-01-31                  # the last day on which it counts

A suppressed finding does not count for the exit status. A directory with a suppressed error is
still invalid: the daemon does not read suppression files.")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    source: DirectorySource,
    #[command(flatten)]
    demands: CheckOptions,
    /// Check as of TIMESTAMP instead of now: RFC 3339, a date (midnight UTC), or seconds since 1970
    #[arg(long, value_name = "TIMESTAMP", value_parser = clock::parse_time)]
    at: Option<OffsetDateTime>,
    /// Lowest severity that makes the exit status 1, or that is critical with --format nagios
    #[arg(long, value_enum, default_value_t = Severity::Error, value_name = "SEVERITY")]
    fail_on: Severity,
    /// Write the report to FILE instead of standard output
    ///
    /// A regular file is replaced in one step. A new file gets mode 0640. An existing one keeps its mode and group: if
    /// another account reads it, such as node_exporter's, create it once with the mode that this account needs.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Also write metrics for node_exporter's textfile collector to FILE, replaced atomically
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
}

pub(crate) fn run(args: &CheckArgs, format: ReportFormat, out: &mut Out) -> anyhow::Result<Exit> {
    let Some(path) = &args.output else {
        let (diag, to) = out.parts();
        return check_all(args, format, diag, to);
    };
    write_report(path, Mode(0o640), |to| check_all(args, format, out.diag(), to))
}

fn check_all(
    args: &CheckArgs,
    format: ReportFormat,
    diag: &Diag,
    to: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let at = args.at.unwrap_or_else(OffsetDateTime::now_utc);
    let suppressions = Suppressions::read_file(args.demands.suppress.as_deref(), at)?;
    for expired in &suppressions.expired {
        diag.warn("suppression", expired);
    }
    let passphrase = args.demands.passphrase.read()?;
    let checker = DirectoryChecker {
        demands: &args.demands,
        at,
        passphrase: passphrase.as_ref(),
        suppressions: &suppressions,
    };
    let mut reports = CheckReports::new(format, args.fail_on, args.prometheus.as_deref(), diag, to);
    let bar =
        progress::bar(diag, progress::Unit::Items, args.source.known_count(), "certificate directories");
    in_order(
        args.source.find_directories()?,
        |item| item.map(|dir| checker.check_directory(dir)),
        |checked| {
            bar.inc(1);
            reports.add_result(checked)
        },
    )?;
    bar.finish_and_clear();
    reports.finish_hosts(args)
}

/// The report, the metrics beside it, and what both end with.
struct CheckReports<'a> {
    format: ReportFormat,
    fail_on: Severity,
    diag: &'a Diag,
    to: &'a mut dyn Write,
    report: Box<dyn CheckReport>,
    metrics: Option<(&'a Path, Box<dyn CheckReport>)>,
    tally: CheckTally,
}

impl<'a> CheckReports<'a> {
    fn new(
        format: ReportFormat,
        fail_on: Severity,
        prometheus: Option<&'a Path>,
        diag: &'a Diag,
        to: &'a mut dyn Write,
    ) -> Self {
        let metrics = prometheus.map(|path| (path, report_for(ReportFormat::Prometheus, fail_on)));
        Self {
            format,
            fail_on,
            diag,
            to,
            report: report_for(format, fail_on),
            metrics,
            tally: CheckTally::default(),
        }
    }

    fn add_result(&mut self, checked: anyhow::Result<CheckedDirectory>) -> anyhow::Result<()> {
        let checked = match checked {
            Ok(checked) => checked,
            Err(e) => {
                self.report.add_failure(&format!("{e:#}"));
                self.diag.fatal(&e);
                return Ok(());
            }
        };
        if let Some(finding) = checked.findings.iter().find(|_| !checked.readable) {
            self.add_failure(&finding.path, &finding.reason());
        }
        self.tally.count_directory(&checked);
        if let Some((_, metrics)) = &mut self.metrics {
            metrics.add_directory(&mut io::sink(), &checked)?;
        }
        self.report.add_directory(self.to, &checked)
    }

    /// Reports what could not be done.
    fn add_failure(&mut self, subject: &str, reason: &str) {
        self.report.add_failure(&format!("{subject}: {reason}"));
        self.diag.error(subject, reason);
    }

    fn finish_hosts(mut self, args: &CheckArgs) -> anyhow::Result<Exit> {
        match self.tally.unchecked_hosts(&args.demands) {
            Some((dir, true)) => {
                let reason =
                    format!("applies to servers only, and {} is not a server's directory", dir.display());
                self.add_failure("--host", &reason);
            }
            Some((dir, false)) => {
                self.diag.warn(
                    "--host",
                    format_args!("does not apply to {}, which is not a server's directory", dir.display()),
                );
            }
            None => {}
        }
        self.finish()
    }

    fn finish(mut self) -> anyhow::Result<Exit> {
        self.tally.summary.errors = self.diag.errors();
        if let Some((path, mut metrics)) = self.metrics.take() {
            if let Err(e) = metrics::write_textfile(path, metrics.as_mut(), &self.tally) {
                self.report.add_failure(&format!("{e:#}"));
                self.diag.fatal(&e);
                self.tally.summary.errors = self.diag.errors();
            }
        }
        let (end, summary) = (self.tally.report_end(), &self.tally.summary);
        self.report.finish_report(self.to, &end, summary)?;
        let nothing = summary.checked == 0 && summary.errors == 0;
        if nothing {
            self.diag.warn("nothing to check", "no certificate directory was found");
        }
        Ok(match self.format {
            ReportFormat::Nagios if nothing => Exit::Unknown,
            ReportFormat::Nagios => nagios_exit_from(&end, self.fail_on),
            _ if end.totals.at_least(self.fail_on) > 0 || nothing => Exit::No,
            _ => Exit::Ok,
        })
    }
}
