//! The subcommands, one file each, and what they share: reading traces with one bar of progress for all of them.

pub(crate) mod anon;
pub(crate) mod convert;
pub(crate) mod cut;
pub(crate) mod merge;
pub(crate) mod repair;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use common::fsat::write_report;
use common::out::{Format, Out};
use common::policy::Mode;
use common::progress::{self, Unit};
use common::record::tracecv as record;
use common::text::without_error_numbers;
use flate2::Compression;
use flate2::write::GzEncoder;
use trace::analysis::collect::CollectOptions;
use trace::inputs::{TraceInput, TraceInputs};
use trace::meaning::{MeaningLookup, ResolvedSink};
use trace::model::{EventSink, TraceMeta};
use trace::pairs::PairSink;
use trace::ranks::{RankFilter, sum_for_check};
use trace::read::{self, ReadFault, ReadOptions, ReadOutcome};
use trace::report::report_faults;

use crate::survey::{ExtentSink, SurveySink, SurveyedTrace, UnlaunchedWork};

/// Mode of a new output: as that of traces that a profiler writes for its group.
const OUTPUT_MODE: Mode = Mode(0o640);

/// Reads the traces of a run.
pub(crate) struct TraceReader {
    options: ReadOptions,
    bar: indicatif::ProgressBar,
    /// Traces read, wholly or in part.
    pub(crate) files: u64,
    /// Those of them that could not be read to their end.
    pub(crate) incomplete: u64,
    /// Why the last one could not be read at all.
    pub(crate) rejection: Option<String>,
    /// The system could not open a trace, or not read on: which says nothing about the trace.
    pub(crate) system_failed: bool,
    /// Lists of members that no output has, with the first trace that has them, and how many others do.
    lost_members: BTreeMap<String, (String, u64)>,
}

impl TraceReader {
    /// With a bar that counts the bytes of all inputs; `passes` is how often each is read.
    pub(crate) fn new(out: &Out, inputs: &TraceInputs, passes: u64) -> Self {
        let total = inputs.total_size().map(|bytes| bytes.saturating_mul(passes));
        let bar = progress::bar(out.diag(), Unit::Bytes, total, "reading");
        Self {
            options: inputs.read_options(),
            bar,
            files: 0,
            incomplete: 0,
            rejection: None,
            system_failed: false,
            lost_members: BTreeMap::new(),
        }
    }

    /// Keeps the members of Chrome traces beside their events, for who writes such traces.
    #[must_use]
    pub(crate) fn keeping_members(mut self) -> Self {
        self.options.keep_members = true;
        self
    }

    /// Reads one trace into `sink`, and reports its faults. `None` if it is no trace at all, or so damaged that no event
    /// could be read.
    ///
    /// # Errors
    /// The error of the sink.
    pub(crate) fn read(
        &mut self,
        out: &Out,
        input: &TraceInput,
        sink: &mut dyn EventSink,
    ) -> anyhow::Result<Option<ReadOutcome>> {
        let Some(outcome) = self.read_again(out, input, sink)? else { return Ok(None) };
        report_faults(out, &input.label(), &outcome);
        if outcome.has_no_result() || (outcome.error.is_some() && outcome.events == 0) {
            self.rejection = outcome.error.as_ref().map(|e| without_error_numbers(&e.to_string()));
            return Ok(None);
        }
        // How a viewer is to show times says nothing about the recording.
        let mut lost = outcome.unread_members.clone();
        lost.retain(|name| name != "displayTimeUnit");
        if !lost.is_empty() {
            let list = read::list_members(&lost);
            self.lost_members
                .entry(list)
                .and_modify(|(_, others)| *others += 1)
                .or_insert_with(|| (input.label(), 0));
        }
        self.files += 1;
        self.incomplete += u64::from(!outcome.complete);
        Ok(Some(outcome))
    }

    /// Says which members the outputs do not have: once for all traces that have the same, as those of a job do.
    pub(crate) fn report_lost_members(&self, out: &Out) {
        for (list, (label, others)) in &self.lost_members {
            let as_others = match others {
                0 => String::new(),
                1 => " (as in another trace)".to_owned(),
                _ => format!(" (as in {others} others)"),
            };
            out.warn(label, format_args!("members beside the events that are not kept{as_others}: {list}"));
        }
    }

    /// Adds the bytes of a trace that has to be read once more to those that the bar counts.
    #[cfg(feature = "parquet")]
    pub(crate) fn expect_again(&self, input: &TraceInput) {
        if let TraceInput::Path(path) = input {
            self.bar.inc_length(path.metadata().map_or(0, |meta| meta.len()));
        }
    }

    /// Reads a trace whose faults have been reported. `None` if it cannot be opened.
    ///
    /// # Errors
    /// The error of the sink.
    pub(crate) fn read_again(
        &mut self,
        out: &Out,
        input: &TraceInput,
        sink: &mut dyn EventSink,
    ) -> anyhow::Result<Option<ReadOutcome>> {
        let (opened, source) = match input.open() {
            Ok(opened) => opened,
            Err(e) => {
                out.failed(input.label(), &e);
                self.rejection = Some(without_error_numbers(&format!("{e:#}")));
                self.system_failed = true;
                return Ok(None);
            }
        };
        let source = if self.bar.is_hidden() { source } else { Box::new(self.bar.wrap_read(source)) };
        let mut outcome = read::read_trace(opened.source_of(source), &self.options, sink)?;
        opened.complete(&mut outcome.meta);
        // What decompressors and databases say has no number of the system.
        let is_of_system =
            |e: &read::ReadError| matches!(&e.fault, ReadFault::Io(e) if e.raw_os_error().is_some());
        self.system_failed |= outcome.error.as_ref().is_some_and(is_of_system);
        Ok(Some(outcome))
    }
}

/// Nothing could be read, so nothing is written. The reason has been reported.
#[derive(Debug)]
pub(crate) struct NothingRead;

impl std::fmt::Display for NothingRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no trace could be read")
    }
}

impl std::error::Error for NothingRead {}

/// Says what the outputs do not have, and writes a record for each of them, and the summary, if records are what is written.
///
/// # Errors
/// Standard output is the trace itself, or cannot be written.
pub(crate) fn report_written(
    out: &mut Out,
    format: Format,
    output: &Path,
    reader: &TraceReader,
    written: &[record::WrittenTrace],
) -> anyhow::Result<()> {
    reader.report_lost_members(out);
    if format != Format::Json || output.as_os_str() == "-" {
        return Ok(());
    }
    for trace in written {
        out.record(trace)?;
    }
    let TraceReader { files, incomplete, .. } = *reader;
    let (outputs, errors) = (written.len() as u64, out.diag().errors());
    Ok(out.record(&record::ConversionSummary { files, incomplete, outputs, errors })?)
}

/// Reads one trace for what must be known before its events are written, and into `other`. Ranks that were merged into one
/// file are told apart. `new_survey` makes a survey of one of them. `None` if it is no trace, or if they cannot be distinguished.
///
/// # Errors
/// The error of `other`; the trace cannot be read a second time.
pub(crate) fn survey_trace<S: EventSink>(
    reader: &mut TraceReader,
    out: &Out,
    input: &TraceInput,
    options: &CollectOptions,
    new_survey: impl Fn() -> SurveySink,
    other: &mut S,
) -> anyhow::Result<Option<SurveyedTrace>> {
    let (mut collected, mut survey) = (options.collector(), new_survey());
    let lookup = MeaningLookup::new(input, options.classes.clone());
    let mut extent = ExtentSink::default();
    let mut pairs = PairSink::new(&mut survey);
    let mut spans = (&mut extent, &mut pairs);
    let mut both = (&mut spans, other);
    let mut resolved = ResolvedSink { lookup, sink: &mut both };
    let read = reader.read(out, input, &mut (&mut collected, &mut resolved))?;
    let Some(outcome) = read else { return Ok(None) };
    let sums = match sum_for_check(collected, &outcome) {
        Ok(sums) => sums,
        Err(e) => {
            out.failed(input.label(), &e);
            reader.rejection = Some(without_error_numbers(&format!("{e:#}")));
            return Ok(None);
        }
    };
    let mut ranks = BTreeMap::new();
    if !sums.scopes.are_several() && sums.recorded.impossible.is_empty() {
        ranks.insert(0, survey.finish(outcome.meta.clone(), sums.recorded.clone(), extent)?);
    } else {
        for (number, scope) in (0u32..).zip(&sums.scopes.scopes) {
            let (mut survey, mut extent) = (new_survey(), ExtentSink::default());
            let mut pairs = PairSink::new(&mut survey);
            let mut spans = (&mut extent, &mut pairs);
            let mut filter = RankFilter::new(&sums, number, &mut spans);
            let lookup = MeaningLookup::new(input, options.classes.clone());
            reader.read_again(out, input, &mut ResolvedSink { lookup, sink: &mut filter })?;
            let rank = if sums.scopes.are_several() { scope.rank } else { outcome.meta.rank };
            let meta = TraceMeta { rank, ..outcome.meta.clone() };
            ranks.insert(number, survey.finish(meta, sums.recorded.clone(), extent)?);
        }
    }
    ranks.values_mut().for_each(|survey| survey.unlaunched = UnlaunchedWork::of(&sums));
    Ok(Some(SurveyedTrace {
        sums,
        classes: options.classes.clone(),
        ranks,
        #[cfg(feature = "parquet")]
        outcome,
    }))
}

/// Writes a file, or standard output for `-`; compressed if its name ends with `.gz`. The file is there when `fill`
/// succeeds, and as it was when it fails.
///
/// # Errors
/// As `fill` does, and each error of the file with its name.
pub(crate) fn write_output<T>(
    path: &Path,
    fill: impl FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let compressed = path.extension().is_some_and(|e| e == "gz");
    write_report(path, OUTPUT_MODE, |to| {
        if !compressed {
            return fill(to);
        }
        // A third of the time of the usual level, and a tenth more bytes.
        let mut encoder = GzEncoder::new(to, Compression::new(3));
        let filled = fill(&mut encoder)?;
        encoder.finish()?;
        Ok(filled)
    })
}
