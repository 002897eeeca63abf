//! `tracecv anon`: a trace without the names that identify its owner.

mod known;
mod pseudonyms;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use common::error::HintExt;
use common::exit::Exit;
use common::out::{Format, Out};
use common::record::tracecv as record;
use trace::classifier::ClassRules;
use trace::inputs::{TraceInput, TraceInputs};
use trace::meaning::{MeaningLookup, ResolvedSink};
use trace::model::{Event, EventSink, TraceMeta};

use super::{TraceReader, report_written, write_output};
use crate::write::TraceWriter;
use crate::write::chrome::ChromeWriter;
use pseudonyms::Pseudonyms;

/// Write a trace without the names that identify its owner, as a Chrome trace (JSON)
///
/// Times, ids, flows and numbers stay. Names of PyTorch's operators, of calls of runtimes, of kernels and collectives, and
/// marks of steps stay, too, so that analyses give the same. All other texts get a number in their place, the same text the
/// same number: Python functions, ranges, processes, threads, and texts in arguments, but for types and kinds. Paths, hosts,
/// ids of requests and members that analyses do not need are left out. Kernels that you wrote keep their names unless
/// --kernels is given.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    tracecv anon -o public.json.gz rank3.json.gz")]
pub(crate) struct AnonArgs {
    #[command(flatten)]
    inputs: TraceInputs,
    /// Replace the names of kernels, too, but for those of collectives and copies
    #[arg(long)]
    kernels: bool,
    /// File to write, compressed if its name ends with .gz; `-` is standard output
    #[arg(short, long, value_name = "OUT", default_value = "-")]
    output: PathBuf,
}

impl AnonArgs {
    /// Writes one trace with other names.
    pub(crate) fn run(self, out: &mut Out, format: Format) -> anyhow::Result<Exit> {
        if self.inputs.may_be_several() {
            return Err(anyhow::anyhow!("usage: one trace is written at a time")).hint("call it for each");
        }
        let mut reader = TraceReader::new(out, &self.inputs, 1);
        let mut written = Vec::new();
        self.inputs.for_each_input(out, |out, input| {
            let Some(events) = self.write_trace(&mut reader, out, input)? else { return Ok(()) };
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

    fn write_trace(
        &self,
        reader: &mut TraceReader,
        out: &Out,
        input: &TraceInput,
    ) -> anyhow::Result<Option<u64>> {
        let written = write_output(&self.output, |to| {
            let mut writer = ChromeWriter::rewriting(to);
            writer.begin_trace("")?;
            let names = Pseudonyms::new(self.kernels);
            let mut anonymous = AnonymousEvents { names, writer };
            let lookup = MeaningLookup::new(input, ClassRules::default());
            let outcome = reader.read(out, input, &mut ResolvedSink { lookup, sink: &mut anonymous })?;
            let Some(outcome) = outcome else { anyhow::bail!(super::NothingRead) };
            let mut writer = anonymous.writer;
            writer.end_trace(&without_identity(outcome.meta))?;
            let events = writer.count_events();
            Box::new(writer).finish()?;
            Ok(events)
        });
        match written {
            Err(e) if e.is::<super::NothingRead>() => Ok(None),
            other => other.map(Some),
        }
    }
}

/// Returns the metadata of a trace, without what identifies its owner.
fn without_identity(meta: TraceMeta) -> TraceMeta {
    // Of what a file says of its making, versions stay: anything else may be a name.
    let is_version = |hint: &String| {
        let is_of_version = |b: u8| b.is_ascii_digit() || b == b'.';
        hint.split_once(' ').is_some_and(|(_, value)| value.bytes().all(is_of_version))
    };
    let mut hints = meta.hints;
    hints.retain(is_version);
    TraceMeta { hints, trace_id: None, trace_name: None, host: None, members: Vec::new(), ..meta }
}

/// Events on their way to the new trace.
struct AnonymousEvents<'w> {
    names: Pseudonyms,
    writer: ChromeWriter<'w>,
}

impl EventSink for AnonymousEvents<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let (name, cat) = (self.names.name_of(event), self.names.cat_of(event));
        let args = self.names.arguments_of(event)?;
        let (pid, tid) = (self.names.id_of(event.pid), self.names.id_of(event.tid));
        let (id, scope) = (self.names.link_of(event.id), self.names.scope_of(event));
        let wanted = Event {
            name: name.as_str().into(),
            cat: cat.as_str().into(),
            pid: pid.as_id(),
            tid: tid.as_id(),
            id: id.as_id(),
            scope: scope.as_str().into(),
            args: &args,
            repaired: false,
            ..*event
        };
        self.writer.write_fields(&wanted)
    }
}
