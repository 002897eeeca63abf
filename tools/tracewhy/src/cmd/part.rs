//! `tracewhy part`: what is kept of ranks, for other hosts to put together.

use std::io::Write;
use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use common::exit::Exit;
use common::fsat::write_report;
use common::out::Out;
use common::policy::Mode;
use common::record::tracewhy as record;
use trace::report::format_count;

use super::single::ReadTotals;
use super::{JobArgs, ReportForm};
use crate::part::call::{CallPlace, FamilyTable};
use crate::part::collect::{PartSink, WantedDetail};
use crate::part::file::PartWriter;
use crate::report::Report;

/// Write what is kept of the traces of some ranks into a file, for `tracewhy` elsewhere
///
/// Where traces lie on many hosts, each makes a part file of its own, which is thousands of times as small; `ranks`, `comm`,
/// `idle`, `modules`, `diff` and `report` take part files beside traces or instead, with the same results. Clocks of the
/// hosts need not agree.
#[derive(Args, Debug)]
#[command(arg = super::report_form_arg(), after_long_help = "Examples:\n  \
    tracewhy part -o $HOSTNAME.part /data/traces/*.json.gz\n  \
    tracewhy ranks *.part")]
pub(crate) struct PartArgs {
    /// File to write; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    job: JobArgs,
}

impl PartArgs {
    fn write_ranks(&self, out: &mut Out, writer: &mut PartWriter<impl Write>) -> anyhow::Result<ReadTotals> {
        let (options, mut families) = (self.job.options()?, FamilyTable::default());
        let mut totals = ReadTotals::default();
        self.job.each_source(out, &options, |out, source| {
            let label = source.input.label();
            if source.is_part {
                out.error(label, "is a part file itself: give it to the other verbs, beside this one");
                return Ok(());
            }
            let mut ranks = source.into_ranks();
            let mut first = true;
            while !ranks.is_done() {
                let mut sink = PartSink::new(&mut families, &options).with_detail(WantedDetail::All);
                let Some(read) = ranks.read_next(out, &mut sink) else { continue };
                totals.count(&read, std::mem::take(&mut first));
                let write = |families: &FamilyTable, call, place: &CallPlace| {
                    writer.write_call(families, &call, place)
                };
                let meta = &read.outcome.meta;
                let part = sink.finish(label.clone(), meta, 0, write)?;
                writer.write_rank(&part, meta.rank, (read.events, read.outcome.complete))?;
            }
            Ok(())
        })?;
        Ok(totals)
    }

    /// Reads the traces and writes the file.
    pub(crate) fn run(self, out: &mut Out, form: ReportForm) -> anyhow::Result<Exit> {
        let to_stdout = self.output.as_os_str() == "-";
        let read = write_report(&self.output, Mode(0o640), |to| {
            let mut writer = PartWriter::new(to)?;
            let read = self.write_ranks(out, &mut writer)?;
            ensure!(read.files > 0, "no trace could be read, so no part file was written");
            writer.finish()?;
            Ok(read)
        });
        let totals = read?;
        if to_stdout {
            return Ok(Exit::Ok);
        }
        let path = self.output.display().to_string();
        match form {
            ReportForm::Json => {
                out.record(&record::PartFile { path, ranks: totals.ranks })?;
                totals.write_summary(out)?;
            }
            _ => {
                let ranks = format_count(totals.ranks);
                let noun = if totals.ranks == 1 { "rank" } else { "ranks" };
                let report =
                    Report::new(format!("{path}: {ranks} {noun} of {} events", format_count(totals.events)));
                match form {
                    ReportForm::Md => report.write_markdown(out.text())?,
                    _ => report.write_text(out.text())?,
                }
            }
        }
        Ok(Exit::Ok)
    }
}
