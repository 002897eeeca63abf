//! `traceq cat`: the events themselves.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use common::error::HintExt;
use common::exit::Exit;
use common::out::Out;

use super::{Format, Tally};
use crate::write::line;
use trace::analysis::collect::CollectOptions;
use trace::analysis::resolve::{FoundSteps, find_steps};
use trace::classifier::{ClassRules, EventClassifier};
use trace::inputs::{TraceInput, TraceInputs};
use trace::meaning::MeaningLookup;
use trace::model::{Category, Event, EventSink, EventWorker, PreparedEvents};
use trace::options::AnalysisOptions;
use trace::read::{self, ReadOptions};
use trace::rows;
use trace::steps::parse_steps;

/// Write the events, as they stand in the file: text, JSON Lines or CSV
///
/// In constant memory and in the file's order. Times are nanoseconds on the trace's own clock. All conditions
/// that are given must hold. A file whose rows are classified by the names of their processes (Ascend, JAX) is read twice,
/// because the names may stand at its end; of what comes through a pipe, rows are classified by the names before them.
#[derive(Args, Debug)]
#[command(arg = super::format_arg(&[Format::Text, Format::Json, Format::Csv]), after_long_help = "Examples:\n  \
    traceq cat --format csv --category kernel,collective log_4242.json.gz > kernels.csv\n  \
    traceq cat --format json --steps 12 --name nccl log_4242.json.gz | jq '.dur_ns // empty'")]
pub(crate) struct CatArgs {
    #[command(flatten)]
    inputs: TraceInputs,
    /// Only events of these categories
    #[arg(long, value_enum, value_name = "CATEGORY", value_delimiter = ',')]
    category: Vec<Category>,
    /// Only events whose name contains TEXT
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only events of these steps, such as 12 or 12-14: on the host those that start in them, on a device those that they
    /// launched
    ///
    /// Reads the trace twice, so not from standard input or a FIFO.
    #[arg(long, alias = "step", value_name = "N[-M]", allow_negative_numbers = true, value_parser = parse_steps)]
    steps: Option<(i64, i64)>,
    /// Only events that end after this time
    #[arg(long, value_name = "NS", allow_negative_numbers = true)]
    from_ns: Option<i64>,
    /// Only events that start before this time
    #[arg(long, value_name = "NS", allow_negative_numbers = true)]
    to_ns: Option<i64>,
    /// Leave out the arguments
    #[arg(long)]
    no_args: bool,
    #[command(flatten)]
    analysis: AnalysisOptions,
}

impl CatArgs {
    /// Writes the events of one trace after the other.
    pub(crate) fn run(self, out: &mut Out, format: Format) -> anyhow::Result<Exit> {
        if !matches!(format, Format::Text | Format::Json | Format::Csv) {
            format.is_json("cat")?;
        }
        let options = self.analysis.collect_options()?;
        let mut tally = Tally::default();
        let several = self.inputs.may_be_several();
        let mut header = format == Format::Csv;
        let cat = Arc::new(self);
        let named = cat.inputs.for_each_input(out, |out, input| {
            // Before a FIFO is opened, which waits for its writer.
            if cat.steps.is_some() {
                check_readable_twice(input)?;
            }
            let Some((opened, source)) = super::open_input(out, input) else { return Ok(()) };
            let window = cat.steps.map(|s| StepWindow::find_in_trace(input, s, &options)).transpose()?;
            if std::mem::take(&mut header) {
                writeln!(out.text(), "{}", rows::COLUMNS.join(","))?;
            }
            let path = several.then(|| opened.path.to_string_lossy().into());
            let (cat, window) = (Arc::clone(&cat), window.map(Arc::new));
            let selection = EventSelection { cat, window, format, path, classes: options.classes.clone() };
            let lookup = MeaningLookup::new(input, options.classes.clone());
            let mut writer = EventWriter { selection, out, lines: Vec::new(), written: 0, lookup };
            let outcome = read::read_trace(source, &writer.selection.cat.inputs.read_options(), &mut writer)?;
            writer.pass_lines()?;
            tally.records += writer.written;
            super::count_outcome(out, &mut tally, opened, outcome);
            Ok(())
        })?;
        let nothing = tally.records == 0 && named > 0 && cat.has_conditions();
        let exit = tally.finish(out, format == Format::Json, named)?;
        Ok(if nothing { exit.max(Exit::No) } else { exit })
    }

    /// Whether there is a condition that events may fail: that none holds is then an answer.
    fn has_conditions(&self) -> bool {
        !self.category.is_empty()
            || self.name.is_some()
            || self.steps.is_some()
            || self.from_ns.is_some()
            || self.to_ns.is_some()
    }

    fn wants_event(&self, event: &Event<'_>) -> bool {
        (self.category.is_empty() || self.category.contains(&event.category))
            && self.name.as_ref().is_none_or(|part| event.name.decode().contains(part.as_str()))
            && self
                .from_ns
                .is_none_or(|from| event.start.is_some_and(|s| s + event.dur.unwrap_or(0).max(1) > from))
            && self.to_ns.is_none_or(|to| event.start.is_some_and(|s| s < to))
    }
}

/// The events of a trace that are written, and how.
#[derive(Clone)]
struct EventSelection {
    cat: Arc<CatArgs>,
    window: Option<Arc<StepWindow>>,
    format: Format,
    path: Option<Arc<str>>,
    classes: ClassRules,
}

impl EventSelection {
    /// Appends an event whose category, device and stream are known, if it is wanted. Returns whether it is.
    fn write_event(&self, event: &Event<'_>, lines: &mut Vec<u8>) -> bool {
        let wanted = self.cat.wants_event(event) && self.window.as_ref().is_none_or(|w| w.holds_event(event));
        if wanted {
            let (path, with_args) = (self.path.as_deref(), !self.cat.no_args);
            match self.format {
                Format::Json => rows::write_record(lines, event, path, with_args),
                Format::Csv => rows::write_csv_row(lines, event, path.unwrap_or(""), with_args),
                _ => line::write_line(lines, event),
            }
        }
        wanted
    }
}

/// Writes lines ahead, of events that need no other to be classified.
struct LineWorker {
    selection: EventSelection,
    classifier: EventClassifier,
}

impl EventWorker for LineWorker {
    fn prepare(&mut self, event: &Event<'_>, prepared: &mut PreparedEvents) -> bool {
        let meaning = self.classifier.meaning_by_itself(event);
        if let Some(meaning) = meaning {
            let written = self.selection.write_event(&meaning.apply_to(event), &mut prepared.text);
            prepared.records += u64::from(written);
        }
        meaning.is_some()
    }
}

/// Writes the events that are wanted.
struct EventWriter<'a> {
    selection: EventSelection,
    out: &'a mut Out,
    /// Lines that are passed on together, and never in parts: if the program is stopped, its output ends with a whole line.
    lines: Vec<u8>,
    written: u64,
    lookup: MeaningLookup<'a>,
}

impl EventWriter<'_> {
    fn pass_lines(&mut self) -> io::Result<()> {
        self.out.text().write_all(&self.lines)?;
        self.lines.clear();
        Ok(())
    }
}

impl EventSink for EventWriter<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        /// More than the buffer of standard output holds, so that it copies nothing.
        const ENOUGH: usize = 128 * 1024;
        let event = &self.lookup.resolve(event)?;
        self.written += u64::from(self.selection.write_event(event, &mut self.lines));
        if self.lines.len() >= ENOUGH {
            self.pass_lines()?;
        }
        Ok(())
    }

    fn note_names_first(&mut self) {
        self.lookup.note_names_first();
    }

    fn make_worker(&self) -> Option<Box<dyn EventWorker>> {
        let selection = self.selection.clone();
        let classifier = EventClassifier::new(selection.classes.clone());
        Some(Box::new(LineWorker { selection, classifier }))
    }

    fn take_prepared(&mut self, prepared: PreparedEvents) -> anyhow::Result<()> {
        self.pass_lines()?;
        self.written += prepared.records;
        Ok(self.out.text().write_all(&prepared.text)?)
    }
}

/// Where the steps are: their times on the host, and what they launched.
struct StepWindow {
    spans: Vec<(i64, i64)>,
    launched: HashSet<i64>,
}

/// Rejects standard input and FIFOs.
fn check_readable_twice(input: &TraceInput) -> anyhow::Result<()> {
    if input.is_read_once() {
        return Err(anyhow::anyhow!(
            "usage: --steps reads the trace twice, and standard input or a FIFO can be read only once"
        ))
        .hint("name a file");
    }
    Ok(())
}

impl StepWindow {
    /// Looks for the steps from one number to another in a trace.
    fn find_in_trace(
        input: &TraceInput,
        (first, last): (i64, i64),
        options: &CollectOptions,
    ) -> anyhow::Result<Self> {
        let (opened, bytes) = input.open().with_context(|| input.label())?;
        let mut collected = options.collector();
        let outcome = read::read_trace(opened.source_of(bytes), &ReadOptions::default(), &mut collected)?;
        let FoundSteps { spans, launched } = find_steps(collected, outcome.meta.dialect, first..=last)?;
        Ok(Self { spans, launched })
    }

    fn holds_event(&self, event: &Event<'_>) -> bool {
        if let (true, Some(correlation)) = (event.category.is_on_device(), event.correlation) {
            return self.launched.contains(&correlation);
        }
        event.start.is_some_and(|s| self.spans.iter().any(|(from, to)| (*from..*to).contains(&s)))
    }
}
