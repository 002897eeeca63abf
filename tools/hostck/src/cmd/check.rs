//! `hostck check`: audits this host, or the root of an image.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::fsat::write_report;
use common::out::{Diag, Out};
use common::policy::Class;
use common::record::hostck as record;
use common::report::{self, End, GroupedText, ReportFormat, Totals, Writer, nagios_exit_from};

use crate::accepted::{AcceptedCounts, AcceptedFindings};
use crate::host::{self, AuditedHost};

/// The daemon's port where nothing else is said.
const PORT: u16 = 1778;

const EXAMPLES: &str = "\
Examples:
  hostck check --user profguard
      Audit this host for the account that runs the daemon.
  hostck check --root /var/lib/machines/image --user profguard
      Audit an image that is not running.
  hostck check --format json --show note > base.jsonl; hostck check --baseline base.jsonl
      Report only findings that are new since then.
  hostck check --format nagios
      One line for a monitoring system.";

/// Audit the host: account, umask, kernel settings, listeners, firewall, units, CANN, clock
///
/// Changes nothing, and works without privileges; firewall rules and the sudo rights of other accounts need root. A running
/// host is asked by its own programs, which are believed: `systemctl show` for units with their drop-ins, `sudo -l` for the
/// account, nft and iptables-save for the firewall. Where one does not answer, files are read instead and a note says so.
/// Input that could not be read is reported as a note of the rule `unseen`. --show selects the findings to print, --fail-on those that make the exit
/// status 1. Exceptions accept findings until a date, with a reason; a baseline accepts those of an earlier check. With
/// --root, fixes name files of the image. `hostck rules` explains each rule.
///
/// The firewall is evaluated for the first packet of a TCP connection from an address that no rule names, from the
/// rules that `nft -j list ruleset` and iptables-save list, or from the configuration files of an image. A rule that
/// is not understood, or that depends on more than this packet, makes the result unsure, which is a note. Options of
/// the daemon in flag files or variables that cannot be read are notes, too.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    /// Audit the system image below DIR instead of the running host
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Account that runs the tools [default: the account that runs hostck; none with --root]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// TCP port of the daemon [default: those that its units give it, or 1778]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Accept findings as FILE says: TOML with `[[exception]]`, each with `rules`, `reason`, `until` and, for some subjects
    /// only, `match`, as in profguard-policy(5); paths of an image may be written as the image has them
    #[arg(long, value_name = "FILE")]
    exceptions: Option<PathBuf>,
    /// Accept the findings in FILE, written by `hostck check --format json --show note`
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Lowest severity that makes the exit status 1, or that is critical with --format nagios
    #[arg(long, value_enum, default_value_t = Severity::Error, value_name = "SEVERITY")]
    fail_on: Severity,
    /// Lowest severity to print; findings that --fail-on counts are always printed
    #[arg(long, value_enum, default_value_t = Severity::Note, value_name = "SEVERITY")]
    show: Severity,
    /// Write the report to FILE instead of standard output
    ///
    /// A regular file is replaced in one step. A new file gets mode 0640. An existing one keeps its mode and group: if
    /// another account reads it, such as node_exporter's, create it once with the mode that this account needs.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Maximum number of findings to print per rule in text; 0 prints all
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

impl CheckArgs {
    pub(crate) fn run(self, format: ReportFormat, out: &mut Out) -> anyhow::Result<Exit> {
        let host = self.open_host()?;
        let Some(path) = &self.output else {
            let color = out.color();
            let (diag, to) = out.parts();
            return self.write_report(&host, format, color, diag, to);
        };
        write_report(path, Class::DataFile.max(), |to| {
            self.write_report(&host, format, false, out.diag(), to)
        })
    }

    fn write_report(
        &self,
        host: &AuditedHost,
        format: ReportFormat,
        color: bool,
        diag: &Diag,
        to: &mut (dyn Write + Send),
    ) -> anyhow::Result<Exit> {
        let accepted = AcceptedFindings::load(self.exceptions.as_deref(), self.baseline.as_deref())?;
        let mut findings = host.run_checks();
        let AcceptedCounts { accepted, baseline_gone } =
            accepted.remove_from(&mut findings, self.root.as_deref(), diag);
        let least = self.show.min(self.fail_on);
        findings.retain(|f| f.severity >= least);
        findings.sort_by(|a, b| (&a.path, &a.rule, &a.found).cmp(&(&b.path, &b.rule, &b.found)));
        let mut totals = Totals::default();
        findings.iter().for_each(|f| totals.add(f.severity));
        let end = End {
            subjects: host::CHECKS.len() as u64,
            noun: "checks",
            totals,
            failed: diag.errors(),
            accepted,
        };
        let mut writer: Box<dyn Writer> =
            match (report::writer(format, host::report_source(self.fail_on)), format) {
                (Some(writer), _) => writer,
                (None, ReportFormat::Json) => Box::new(HostRecordWriter { baseline_gone }),
                (None, _) => Box::new(GroupedText::new(self.limit, color, host::rule_heading)),
            };
        findings.iter().try_for_each(|f| writer.finding(to, f))?;
        writer.end(to, &end)?;
        Ok(match format {
            ReportFormat::Nagios => nagios_exit_from(&end, self.fail_on),
            _ if totals.at_least(self.fail_on) > 0 => Exit::No,
            _ => Exit::Ok,
        })
    }

    fn open_host(&self) -> anyhow::Result<AuditedHost> {
        let live = self.root.is_none();
        let root = self.root.as_deref().unwrap_or(Path::new("/"));
        let shown = || root.display().to_string();
        let mut host = AuditedHost::open(root, live, self.user.clone(), self.port.unwrap_or(PORT))
            .map_err(|e| anyhow::anyhow!(common::error::io_reason(&e)))
            .with_context(shown)?;
        host.asks_units = self.port.is_none();
        let system = ["etc", "usr", "bin"].iter().any(|dir| host.stat(dir).is_ok());
        ensure!(system, "{}: not a system root: etc, usr and bin are missing", shown());
        if let Some(user) = &self.user {
            require_user(&host, user)?;
        } else if live {
            let uid = rustix::process::geteuid().as_raw();
            host.user = Some(host.ids.user_name(uid).map_or_else(|| uid.to_string(), str::to_owned));
            host.env = std::env::vars_os()
                .filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)))
                .collect();
        }
        Ok(host)
    }
}

/// Writes `hostck.finding` and `hostck.summary`.
struct HostRecordWriter {
    baseline_gone: u64,
}

impl Writer for HostRecordWriter {
    fn finding(&mut self, to: &mut dyn Write, finding: &Finding) -> io::Result<()> {
        common::record::write(to, &record::HostFinding { finding: finding.clone() })
    }

    fn end(&mut self, to: &mut dyn Write, end: &End) -> io::Result<()> {
        let summary = record::HostSummary {
            checks: end.subjects,
            findings: end.totals.at_least(Severity::Note),
            error_findings: end.totals.errors,
            warning_findings: end.totals.warnings,
            note_findings: end.totals.notes,
            accepted: end.accepted,
            baseline_gone: self.baseline_gone,
            errors: end.failed,
        };
        common::record::write(to, &summary)
    }
}

/// Requires that an account exists: findings about one that does not would be wrong.
fn require_user(host: &AuditedHost, user: &str) -> anyhow::Result<()> {
    let listed = host.ids.uid_of(user).is_some_and(|uid| host.ids.user_name(uid).is_some());
    let exists = if listed || host.ids.complete {
        listed
    } else if host.live {
        // The name service may have accounts that the files do not list.
        host.is_known_to_name_service(user)
    } else {
        let passwd = host.read_file("etc/passwd");
        let shown = || host.display_path("etc/passwd").display().to_string();
        passwd.map_err(|e| anyhow::anyhow!(common::error::io_reason(&e))).with_context(shown)?;
        return Ok(());
    };
    ensure!(exists, "--user {user}: no such user{}", if host.live { "" } else { " in this root" });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{clean_dir, hostck, write};

    #[test]
    fn a_missing_account_and_an_empty_root_are_errors() {
        assert_eq!(hostck(&["check", "--user", "no-such-user-here"]).0, Exit::Failed);
        let dir = clean_dir();
        let root = dir.path().to_str().unwrap();
        assert_eq!(hostck(&["check", "--root", root]).0, Exit::Failed);
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        assert_eq!(hostck(&["check", "--root", root, "--user", "ann"]).0, Exit::Failed);
        let (exit, text) = hostck(&["check", "--root", root]);
        assert_eq!(exit, Exit::Ok);
        assert!(text.contains("etc/passwd: no such file or directory"), "{text}");
        write(&dir.path().join("etc/passwd"), 0o644, "ann:x:1000:1000::/home/ann:/bin/sh\n");
        write(&dir.path().join("etc/group"), 0o644, "ann:x:1000:\n");
        assert_eq!(hostck(&["check", "--root", root, "--user", "ann"]).0, Exit::Ok);
        assert_eq!(hostck(&["check", "--root", root, "--user", "bob"]).0, Exit::Failed);
    }

    /// Several findings of one rule about one file are all shown, or counted.
    #[test]
    fn all_findings_about_a_file_are_printed_or_counted() {
        let dir = clean_dir();
        let units = dir.path().join("etc/systemd/system");
        std::fs::create_dir_all(&units).unwrap();
        write(&units.join("profd.service"), 0o644, "[Service]\nExecStart=/bin/profd\n");
        let root = dir.path().to_str().unwrap();
        let (_, text) = hostck(&["check", "--root", root]);
        assert!(text.contains("has no SystemCallFilter") && text.contains("has no LimitCORE"), "{text}");
        assert!(
            text.contains("50-profguard.conf") && text.contains("'SystemCallFilter=@system-service'"),
            "{text}"
        );
        assert!(!text.contains("more; --limit"), "{text}");
        assert!(
            hostck(&["check", "--root", root, "--limit", "1"]).1.contains("and 1 more; --limit 0 shows all")
        );
    }
}
