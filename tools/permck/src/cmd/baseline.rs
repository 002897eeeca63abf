//! `permck baseline`: record the findings of an audit.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use common::exit::Exit;
use common::finding::Severity;
use common::fsat::write_report;
use common::out::Out;
use common::policy::Class;
use common::report::End;

use common::inputs::PathInputs;

use super::tree::TreeArgs;
use crate::collect::FindingCollector;
use crate::report::{AuditReport, AuditResult, JsonReport};

const EXAMPLES: &str = "\
Examples:
  permck baseline -o /var/lib/permck/base.jsonl /opt/app
      Record the findings of today.
  permck audit --baseline /var/lib/permck/base.jsonl /opt/app
      Report only findings that are new since then.";

/// Record the findings of an audit, so that later audits report only new ones
///
/// Writes the findings of all severities as JSON lines. Audit the same paths with `permck audit --baseline FILE`. If an
/// entry cannot be read, no baseline is written, and an existing one is kept.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct BaselineArgs {
    #[command(flatten)]
    inputs: PathInputs,
    #[command(flatten)]
    tree: TreeArgs,
    /// Record type, mode, owner and group of every entry, too: audits then report every entry that is new or changed,
    /// also within what its class allows
    #[arg(long)]
    entries: bool,
    /// The baseline to write; an existing file is replaced in one step
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

impl BaselineArgs {
    /// The paths as absolute ones: a baseline is for audits from any working directory.
    fn absolute_paths(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<PathBuf>> + '_> {
        Ok(self.inputs.paths()?.map(|path| path.map(|path| crate::baseline::absolute_path(&path))))
    }

    pub(crate) fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let shown = || self.output.display().to_string();
        let totals = write_report(&self.output, Class::DataFile.max(), |file| {
            let mut report = JsonReport;
            let mut plan = self.tree.load_plan()?;
            let collector = FindingCollector::new(out.diag(), file, &mut report, Severity::Note, None)
                .warn_about_system_paths(!self.tree.has_policy())
                .write_entries(self.entries);
            let options = self.tree.walk_options();
            let seen =
                crate::run::run_audit(&mut plan, self.absolute_paths()?, options, out.diag(), &collector)?;
            let (totals, known, _) = collector.finish()?;
            let errors = out.diag().errors();
            let end = End {
                subjects: seen.entries,
                noun: "entries",
                totals,
                failed: errors,
                accepted: seen.accepted,
            };
            report.write_summary(file, &AuditResult { seen, known, end, ..AuditResult::default() })?;
            ensure!(errors == 0, "{}: not written, because of the errors above", shown());
            Ok(totals)
        })?;
        out.diag().info(shown(), format_args!("{} findings", totals.at_least(Severity::Note)));
        Ok(Exit::Ok)
    }
}
