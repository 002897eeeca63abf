//! `permck audit`: check every entry of trees against the class that it belongs to.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use common::exit::Exit;
use common::finding::Severity;
use common::fsat::write_report;
use common::out::Out;
use common::policy::{Class, shell_quote};
use common::report::{End, ReportFormat, nagios_exit_from};

use common::inputs::PathInputs;
use common::system_paths::is_system_path;

use super::tree::TreeArgs;
use crate::baseline::Baseline;
use crate::collect::FindingCollector;
use crate::report::{self, AuditResult, FixCommand, TextOptions};
use crate::rule;

const EXAMPLES: &str = "\
Examples:
  permck audit /opt/profguard
      Check an installation; prints nothing and exits with 0 if nothing is wrong.
  permck audit --format json /srv/traces | jq -r 'select(.rule==\"world-writable\").path'
      List the entries that everyone may write to.
  permck audit --profile certs --format sarif -o audit.sarif /etc/profguard/server_certs
      Check a certificate directory; write SARIF for code scanning.
  permck audit --fail-on warning --owner profguard /srv/traces
      Also fail on warnings, and on files that neither profguard nor root owns.
  find /srv -maxdepth 1 -name 'run*' -print0 | permck audit -0 --files-from -
      Check the paths that another program lists.";

/// Check every entry of trees against the class that it belongs to
///
/// Walks each PATH, decides the class of every entry (program, key, log, configuration, data …) from the policy or its
/// content, and compares its mode with the maximum of the class. Prints every finding with what decided the class and
/// how to fix it. `permck rules` explains the rules.
///
/// Severity follows danger. Errors are private keys that others can read, and what others can write or execute with
/// the rights of somebody else; warnings are permissions to read that the table does not allow. What no other user can use
/// is a note: behind a closed directory, in a group without other members, or of the owner alone. So are root's files
/// as their package installed them, by the databases of dpkg and of rpm 4.16 and later. --strict uses the table alone.
/// In text, each cause is printed once: entries whose mode a umask explains are one cause.
///
/// Searches the first 16 KiB of every file for private keys, and all of a text file of up to 1 MiB. Mounts below a PATH
/// are not entered without --cross-mounts. Exceptions in the policy file accept findings until a date, with a reason: see
/// profguard-policy(5).
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    inputs: PathInputs,
    #[command(flatten)]
    tree: TreeArgs,
    /// Report only findings that are not in FILE, written by `permck baseline`
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write the report to FILE instead of standard output
    ///
    /// A regular file is replaced in one step. A new file gets mode 0640. An existing one keeps its mode and group: if
    /// another account reads it, such as node_exporter's, create it once with the mode that this account needs.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Lowest severity that makes the exit status 1, or that is critical with --format nagios
    #[arg(long, value_enum, default_value_t = Severity::Error, value_name = "SEVERITY")]
    fail_on: Severity,
    /// Lowest severity to print; findings that --fail-on counts are always printed
    #[arg(long, value_enum, default_value_t = Severity::Warning, value_name = "SEVERITY")]
    show: Severity,
    /// Maximum number of findings to print per cause in text; 0 prints all [default: 20 errors, 3 warnings or notes]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl AuditArgs {
    pub(crate) fn run(self, format: ReportFormat, out: &mut Out) -> anyhow::Result<Exit> {
        let Some(path) = &self.output else {
            let color = out.color();
            let (diag, to) = out.parts();
            return self.write_report(format, color, diag, to);
        };
        write_report(path, Class::DataFile.max(), |to| self.write_report(format, false, out.diag(), to))
    }

    fn write_report(
        &self,
        format: ReportFormat,
        color: bool,
        diag: &common::out::Diag,
        to: &mut (dyn Write + Send),
    ) -> anyhow::Result<Exit> {
        let baseline = self.baseline.as_deref().map(Baseline::load).transpose()?;
        let mut plan = self.tree.load_plan()?;
        let text = TextOptions { limit: self.limit, color, fix: self.fix_command() };
        let mut report = report::report_for(format, rule::report_source(self.fail_on), text);
        let least = self.show.min(self.fail_on);
        let foreign = !self.tree.has_policy();
        let collector = FindingCollector::new(diag, to, &mut *report, least, baseline.as_ref())
            .warn_about_system_paths(foreign);
        let options = self.tree.walk_options();
        let mut seen = crate::run::run_audit(&mut plan, self.inputs.paths()?, options, diag, &collector)?;
        seen.accepted += collector.report_missing_entries(&plan);
        if seen.paths == 0 {
            diag.warn("--files-from", "the list is empty: nothing was checked");
        }
        let (totals, known, hidden) = collector.finish()?;
        let gone = self.warn_of_fixed_findings(baseline.as_ref(), diag);
        let end = End {
            subjects: seen.entries,
            noun: "entries",
            totals,
            failed: diag.errors(),
            accepted: seen.accepted,
        };
        report.write_summary(to, &AuditResult { seen, known, gone, hidden, end })?;
        diag.info(
            "audit",
            format_args!(
                "{} entries, {} vanished, {} findings accepted",
                seen.entries, seen.vanished, seen.accepted
            ),
        );
        Ok(match format {
            ReportFormat::Nagios => nagios_exit_from(&end, self.fail_on),
            // The program that lists the paths may have failed.
            _ if seen.paths == 0 => Exit::No,
            _ if totals.at_least(self.fail_on) > 0 => Exit::No,
            _ => Exit::Ok,
        })
    }

    /// Returns the command that fixes what this audit finds.
    fn fix_command(&self) -> FixCommand {
        let paths: Vec<String> = self.inputs.given().iter().map(|path| shell_quote(path)).collect();
        let paths = if self.inputs.given_only() { paths.join(" ") } else { "PATH".to_owned() };
        // Of a system path it is first to be seen what would be changed.
        let is_system = |path: &PathBuf| path.canonicalize().is_ok_and(|real| is_system_path(&real));
        let in_image = self.tree.has_image();
        let needs_care = !in_image && self.inputs.given().iter().any(is_system);
        let options = self.tree.policy_options() + if needs_care { " --system --dry-run" } else { "" };
        FixCommand { options, paths, in_image }
    }

    /// Warns of fixed findings that are still in the baseline: it would hide them if they came back.
    fn warn_of_fixed_findings(&self, baseline: Option<&Baseline>, diag: &common::out::Diag) -> u64 {
        let (Some(path), Some(baseline)) = (&self.baseline, baseline) else { return 0 };
        let (gone, all) = baseline.count_not_found();
        if gone > 0 {
            let reason = "fixed since, and hidden if they come back; `permck baseline` updates the file";
            diag.warn(path.display(), format_args!("{gone} of {all} findings {reason}"));
        }
        gone
    }
}

#[cfg(test)]
mod tests;
