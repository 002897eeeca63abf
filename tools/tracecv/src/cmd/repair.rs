//! `tracecv repair`: a trace that every reader takes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use common::error::HintExt;
use common::exit::Exit;
use common::out::{Format, Out};
use common::record::tracecv as record;
use trace::inputs::{TraceInput, TraceInputs};
use trace::model::{Event, EventSink};
use trace::report::format_count;
use trace::spool::MemoryLimit;

use super::cut::write_closing;
use super::{TraceReader, report_written, write_output};
use crate::links::{EventLinks, LinkSink};
use crate::write::TraceWriter;
use crate::write::chrome::ChromeWriter;

/// Write a damaged trace as a Chrome trace (JSON) that every reader takes
///
/// Brackets and commas are complete, texts are UTF-8, numbers that JSON does not know (`inf`, `NaN`) are null, times are
/// whole nanoseconds, durations are not negative, of a member that comes twice the last is there, what is open is closed at the last moment of its thread, and ends
/// without a begin are left out. Repairs and losses are reported on standard error; a loss is exit status 2.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    tracecv repair -o whole.json cut.json")]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    inputs: TraceInputs,
    /// File to write, compressed if its name ends with .gz; `-` is standard output
    #[arg(short, long, value_name = "OUT", default_value = "-")]
    output: PathBuf,
}

impl RepairArgs {
    /// Repairs one trace.
    pub(crate) fn run(self, out: &mut Out, format: Format) -> anyhow::Result<Exit> {
        if self.inputs.may_be_several() {
            return Err(anyhow::anyhow!("usage: one trace is repaired at a time")).hint("call it for each");
        }
        let mut reader = TraceReader::new(out, &self.inputs, 2).keeping_members();
        let mut written = Vec::new();
        self.inputs.for_each_input(out, |out, input| {
            if input.is_read_once() {
                return Err(anyhow::anyhow!(
                    "usage: a trace is read twice, and standard input or a FIFO can be read only once"
                ))
                .hint("name a file");
            }
            let mut links = LinkSink::new(MemoryLimit::default());
            if reader.read(out, input, &mut links)?.is_none() {
                return Ok(());
            }
            let links = links.finish()?;
            let events = self.write_whole(&mut reader, out, input, &links)?;
            for (count, what) in [
                (links.open.len(), "begins without an end: closed at the last moment of their thread"),
                (links.stray_ends.len(), "ends without a begin: left out"),
            ] {
                if count > 0 {
                    out.warn(input.label(), format_args!("{} {what}", format_count(count as u64)));
                }
            }
            let (path, not_held) = (self.output.to_string_lossy().into_owned(), BTreeMap::new());
            written.push(record::WrittenTrace {
                path,
                format: "chrome".to_owned(),
                traces: 1,
                events,
                not_held,
            });
            Ok(())
        })?;
        report_written(out, format, &self.output, &reader, &written)?;
        Ok(Exit::Ok)
    }

    fn write_whole(
        &self,
        reader: &mut TraceReader,
        out: &Out,
        input: &TraceInput,
        links: &EventLinks,
    ) -> anyhow::Result<u64> {
        write_output(&self.output, |to| {
            let mut writer = ChromeWriter::rewriting(to);
            writer.begin_trace("")?;
            let mut whole = WholeEvents { links, writer };
            let outcome = reader.read_again(out, input, &mut whole)?;
            let mut writer = whole.writer;
            writer.end_trace(&outcome.unwrap_or_default().meta)?;
            let events = writer.count_events();
            Box::new(writer).finish()?;
            Ok(events)
        })
    }
}

/// Events on their way to the repaired trace.
struct WholeEvents<'a, 'w> {
    links: &'a EventLinks,
    writer: ChromeWriter<'w>,
}

impl EventSink for WholeEvents<'_, '_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if self.links.is_stray_end(event) {
            return Ok(());
        }
        self.writer.write_exact(event)?;
        if event.phase == b'M' {
            return Ok(());
        }
        write_closing(&mut self.writer, event, self.links)
    }
}
