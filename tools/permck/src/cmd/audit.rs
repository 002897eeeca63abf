//! `permck audit`: check every entry of trees against the class that it belongs to.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use common::exit::Exit;
use common::finding::Severity;
use common::fsat::Output;
use common::out::Out;
use common::policy::Class;
use common::report::{End, ReportFormat, nagios_exit_from};

use common::inputs::PathInputs;

use super::tree::TreeArgs;
use crate::baseline::Baseline;
use crate::collect::FindingCollector;
use crate::report::{self, AuditResult};
use crate::rule;

const EXAMPLES: &str = "\
Examples:
  permck audit /opt/profguard
      Check an installation; prints nothing and exits 0 when all is well.
  permck audit --format json /srv/traces | jq -r 'select(.rule==\"world-writable\").path'
      Which entries can anybody write to?
  permck audit --profile certs --format sarif -o audit.sarif /etc/profguard/server_certs
      A certificate directory, for code scanning.
  permck audit --fail-on warning --owner profguard /srv/traces
      Refuse warnings too, and files of anybody but profguard and root.
  find /srv -maxdepth 1 -name 'run*' -print0 | permck audit -0 --files-from -
      Check what another program lists.";

/// Check every entry of trees against the class that it belongs to
///
/// Walks each PATH, tells what every entry is (program, key, log, configuration, data …) and holds its mode to
/// the maximum of its class. Prints what breaks a rule, why it was told so, and how to mend it.
///
/// Private keys are looked for in the first 16 KiB of every file, and in all of a text up to 1 MiB. What is mounted
/// below a PATH is not looked at without --cross-mounts. Findings that are accepted for a time are exceptions in the
/// policy file, with a reason and an end: see profguard-policy(5).
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    inputs: PathInputs,
    #[command(flatten)]
    tree: TreeArgs,
    /// Report only what is not in FILE, which `permck baseline` wrote
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write the report to FILE, replaced in one step, instead of standard output
    ///
    /// A new file gets mode 0640. An existing one keeps its mode and group: where another account reads it, such as
    /// node_exporter, create it once with the mode that is wanted.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Least severity that makes the exit status 1; with --format nagios, that is critical
    #[arg(long, value_enum, default_value_t = Severity::Error, value_name = "SEVERITY")]
    fail_on: Severity,
    /// Least severity that is shown
    #[arg(long, value_enum, default_value_t = Severity::Warning, value_name = "SEVERITY")]
    show: Severity,
    /// Findings shown per rule in text; 0 shows all
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

impl AuditArgs {
    pub(crate) fn run(self, format: ReportFormat, out: &mut Out) -> anyhow::Result<Exit> {
        let Some(path) = &self.output else {
            let color = out.color();
            let (diag, to) = out.parts();
            return self.write_report(format, color, diag, to);
        };
        let shown = || path.display().to_string();
        let mut file = BufWriter::new(Output::create(path, Class::DataFile.max()).with_context(shown)?);
        let exit = self.write_report(format, false, out.diag(), &mut file)?;
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.commit().with_context(shown)?;
        Ok(exit)
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
        let mut report = report::report_for(
            format,
            rule::report_source(self.fail_on),
            self.limit,
            color,
            rule::rule_heading,
        );
        let least = self.show.min(self.fail_on);
        let foreign = !self.tree.has_policy();
        let collector = FindingCollector::new(diag, to, &mut *report, least, baseline.as_ref())
            .warn_about_system_paths(foreign);
        let options = self.tree.walk_options();
        let seen = crate::run::run_audit(&mut plan, self.inputs.paths()?, options, diag, &collector)?;
        if seen.paths == 0 {
            diag.warn("--files-from", "names no path: nothing was looked at");
        }
        let (totals, known) = collector.finish()?;
        let gone = self.warn_of_fixed_findings(baseline.as_ref(), diag);
        let end = End {
            subjects: seen.entries,
            noun: "entries",
            totals,
            failed: diag.errors(),
            accepted: seen.accepted,
        };
        report.write_summary(to, &AuditResult { seen, known, gone, end })?;
        diag.info(
            "audit",
            format_args!(
                "{} entries, {} vanished, {} findings accepted",
                seen.entries, seen.vanished, seen.accepted
            ),
        );
        Ok(match format {
            ReportFormat::Nagios => nagios_exit_from(&end, self.fail_on),
            // What lists the paths may have failed: that is not well.
            _ if seen.paths == 0 => Exit::No,
            _ if totals.at_least(self.fail_on) > 0 => Exit::No,
            _ => Exit::Ok,
        })
    }

    /// What was mended since would be hidden again when it came back.
    fn warn_of_fixed_findings(&self, baseline: Option<&Baseline>, diag: &common::out::Diag) -> u64 {
        let (Some(path), Some(baseline)) = (&self.baseline, baseline) else { return 0 };
        let (gone, all) = baseline.count_not_found();
        if gone > 0 {
            let reason =
                "are no longer there, and hidden if they come back; `permck baseline` writes it anew";
            diag.warn(path.display(), format_args!("{gone} of its {all} findings {reason}"));
        }
        gone
    }
}

#[cfg(test)]
mod tests;
