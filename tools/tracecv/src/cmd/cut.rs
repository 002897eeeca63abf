//! `tracecv cut`: a part of a trace, or its parts, each of which stands for itself.

mod pieces;
mod selection;

use std::path::{Path, PathBuf};

use clap::Args;
use common::error::HintExt;
use common::exit::Exit;
use common::out::{Format, Out};
use common::record::tracecv as record;
use common::size::parse_size;
use trace::inputs::{TraceInput, TraceInputs};
use trace::meaning::{MeaningLookup, ResolvedSink};
use trace::model::{Event, EventSink};
use trace::options::AnalysisOptions;
use trace::steps::parse_steps;

use super::{TraceReader, report_written, survey_trace, write_output};
use crate::links::{EventLinks, LinkSink};
use crate::losses::Losses;
use crate::survey::SurveySink;
use crate::write::TraceWriter;
use crate::write::chrome::ChromeWriter;
use selection::Selection;

/// Write a part of a trace, or divide it into pieces, as Chrome traces (JSON)
///
/// A part stands for itself: metadata is in each, a begin comes with its end, a flow with all its events, and what is open
/// is closed. Of spans, those are taken that overlap the time that is asked for; with --max-size, each event is in the
/// piece in which it starts, so that the pieces together are the whole. Reads the trace twice or three times.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    tracecv cut --steps 12-14 -o steps.json.gz rank3.json.gz\n  \
    tracecv cut --max-size 50MB -o pieces/ rank3.json.gz")]
pub(crate) struct CutArgs {
    #[command(flatten)]
    inputs: TraceInputs,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Divide the trace into pieces of about SIZE, such as 50MB, by time
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_size: Option<u64>,
    /// File to write, compressed if its name ends with .gz; `-` is standard output; with --max-size, a directory
    #[arg(short, long, value_name = "OUT", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    analysis: AnalysisOptions,
}

/// The conditions on what is kept. All that are given must hold.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SelectionArgs {
    /// Only events that end after this time
    #[arg(long, value_name = "NS", allow_negative_numbers = true)]
    from_ns: Option<i64>,
    /// Only events that start before this time
    #[arg(long, value_name = "NS", allow_negative_numbers = true)]
    to_ns: Option<i64>,
    /// Only these steps, such as 12 or 12-14: what starts in them on the host, and what that launched
    #[arg(long, value_name = "N[-M]", value_parser = parse_steps)]
    steps: Option<(i64, i64)>,
    /// Only events whose name contains TEXT
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
}

/// The name of these in what is left out.
const STRAY_ENDS: &str = "ends without a begin";

impl CutArgs {
    /// Cuts one trace.
    pub(crate) fn run(self, out: &mut Out, format: Format) -> anyhow::Result<Exit> {
        if self.max_size.is_some() && self.output.as_os_str() == "-" {
            return Err(anyhow::anyhow!("usage: pieces are files of a directory")).hint("name it with -o");
        }
        if self.inputs.may_be_several() {
            return Err(anyhow::anyhow!("usage: one trace is cut at a time")).hint("call it for each");
        }
        let options = self.analysis.collect_options()?;
        let mut reader = TraceReader::new(out, &self.inputs, 2).keeping_members();
        let mut written = Vec::new();
        self.inputs.for_each_input(out, |out, input| {
            if input.is_read_once() {
                return Err(anyhow::anyhow!(
                    "usage: a trace is read twice, and standard input or a FIFO can be read only once"
                ))
                .hint("name a file");
            }
            let mut links = LinkSink::new(options.memory);
            let survey =
                survey_trace(&mut reader, out, input, &options, || SurveySink::new(&options), &mut links)?;
            let Some(survey) = survey else { return Ok(()) };
            let links = links.finish()?;
            let selection = Selection::new(&self.selection, &survey, &links);
            written = match self.max_size {
                Some(size) => pieces::write(&mut reader, out, input, &self.output, size, &selection)?,
                None => self.write_part(&mut reader, out, input, &selection)?.into_iter().collect(),
            };
            Ok(())
        })?;
        let events: u64 = written.iter().map(|w| w.events).sum();
        report_written(out, format, &self.output, &reader, &written)?;
        if events == 0 && out.diag().errors() == 0 {
            out.warn(self.output.display(), "no event meets the conditions");
            return Ok(Exit::No);
        }
        Ok(Exit::Ok)
    }

    fn write_part(
        &self,
        reader: &mut TraceReader,
        out: &Out,
        input: &TraceInput,
        selection: &Selection<'_>,
    ) -> anyhow::Result<Option<record::WrittenTrace>> {
        let (events, losses) = write_output(&self.output, |to| {
            let mut writer = ChromeWriter::new(to);
            writer.begin_trace(&input.label())?;
            let mut part = Part { selection, writer, losses: Losses::default() };
            let lookup = MeaningLookup::new(input, selection.survey.classes.clone());
            let outcome = reader.read_again(out, input, &mut ResolvedSink { lookup, sink: &mut part })?;
            let Part { mut writer, losses, .. } = part;
            writer.end_trace(&outcome.unwrap_or_default().meta)?;
            let events = writer.count_events();
            Box::new(writer).finish()?;
            Ok((events, losses))
        })?;
        let path = self.output.to_string_lossy().into_owned();
        report_losses(out, &path, &losses);
        let not_held = losses.counts();
        Ok(Some(record::WrittenTrace { path, format: "chrome".to_owned(), traces: 1, events, not_held }))
    }
}

/// Reports what a part, or pieces, do not have, though it meets the conditions.
fn report_losses(out: &Out, path: &str, losses: &Losses) {
    if let Some(losses) = losses.describe() {
        let place = if path == "-" { "standard output" } else { path };
        out.warn(place, format_args!("left out: {losses}"));
    }
}

/// The events of a part, on their way to its file.
struct Part<'a, 'w> {
    selection: &'a Selection<'a>,
    writer: ChromeWriter<'w>,
    losses: Losses,
}

impl EventSink for Part<'_, '_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if !self.selection.has_event(event) {
            self.losses.add(STRAY_ENDS, u64::from(self.selection.leaves_out(event)));
            return Ok(());
        }
        write_closed(&mut self.writer, event, self.selection.links)
    }
}

/// Writes an event, and the end of a begin that has none.
pub(crate) fn write_closed(
    writer: &mut ChromeWriter<'_>,
    event: &Event<'_>,
    links: &EventLinks,
) -> anyhow::Result<()> {
    writer.event(event)?;
    write_closing(writer, event, links)
}

/// Writes the end of a begin that has none.
pub(crate) fn write_closing(
    writer: &mut ChromeWriter<'_>,
    event: &Event<'_>,
    links: &EventLinks,
) -> anyhow::Result<()> {
    let Some(end) = links.end_of_open(event) else { return Ok(()) };
    let phase = match event.phase {
        b'B' => b'E',
        b'b' => b'e',
        _ => b'F',
    };
    let closing = Event { phase, start: Some(end), args: b"", ..*event };
    writer.write_changed(event, &closing)
}

/// The path of a piece: `DIR/NAME-0001.json`.
fn piece_path(dir: &Path, input: &TraceInput, number: usize) -> PathBuf {
    let label = input.label();
    let name = Path::new(&label).file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let stem = name.split(".json").next().filter(|stem| !stem.is_empty()).unwrap_or("piece");
    let ending = if name.ends_with(".gz") { "json.gz" } else { "json" };
    dir.join(format!("{stem}-{number:04}.{ending}"))
}
