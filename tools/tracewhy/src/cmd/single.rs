//! Reading traces one rank after the other, each into a sink of its own.

use std::io::Read;
use std::path::PathBuf;

use common::out::Out;
use common::progress::{self, Unit};
use common::record::tracewhy as record;
use trace::analysis::collect::CollectOptions;
use trace::check::DoubtfulTraces;
use trace::inputs::{OpenedTrace, TraceInput, TraceInputs};
use trace::model::{EventSink, TraceMeta};
use trace::options::AnalysisOptions;
use trace::ranks::{RankRead, RankReader};
use trace::read::{ReadOptions, find_traces};
use trace::spool::MemoryLimit;

use super::JobArgs;
use crate::part::file::recognize;
use crate::part::number::number_or_place;

/// The counts of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadTotals {
    pub(crate) files: u64,
    pub(crate) incomplete: u64,
    pub(crate) events: u64,
    /// Ranks; a trace may have several.
    pub(crate) ranks: u64,
}

impl ReadTotals {
    /// Counts a rank, and its trace if it is the first of it.
    pub(super) fn count(&mut self, read: &RankRead, is_first: bool) {
        self.add(read.events, read.outcome.complete, is_first);
    }

    /// Counts a rank with its number of events.
    pub(super) fn add(&mut self, events: u64, complete: bool, is_first: bool) {
        self.files += u64::from(is_first);
        self.incomplete += u64::from(is_first && !complete);
        self.ranks += 1;
        self.events = self.events.saturating_add(events);
    }

    /// The place of the next rank.
    fn place(&self) -> usize {
        usize::try_from(self.ranks).unwrap_or(usize::MAX)
    }

    /// The two together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            incomplete: self.incomplete + other.incomplete,
            events: self.events.saturating_add(other.events),
            ranks: self.ranks + other.ranks,
        }
    }

    /// Ends the records of a run.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn write_summary(self, out: &mut Out) -> anyhow::Result<()> {
        out.flush()?;
        let Self { files, incomplete, events, .. } = self;
        let errors = out.diag().errors();
        Ok(out.record(&record::ReasonSummary { files, incomplete, events, errors })?)
    }
}

/// The rank whose trace was read.
pub(crate) struct TraceOfRank {
    /// The file.
    pub(crate) path: String,
    /// Its number; below zero if the trace says none, until [`crate::part::number::number_ranks`] gives it one.
    pub(crate) rank: i64,
    pub(crate) meta: TraceMeta,
}

/// An input that is open.
pub(super) struct OpenSource<'a> {
    pub(super) input: &'a TraceInput,
    pub(super) opened: OpenedTrace,
    /// It is a part file, and no trace.
    pub(super) is_part: bool,
    pub(super) bytes: Box<dyn Read + Send>,
    options: ReadOptions,
    collect: &'a CollectOptions,
    doubtful: &'a DoubtfulTraces,
}

impl<'a> OpenSource<'a> {
    /// The ranks of a trace, one after the other.
    pub(super) fn into_ranks(self) -> RankReader<'a> {
        RankReader::new(self.input, self.opened, self.bytes, self.options, self.collect, self.doubtful)
    }
}

/// How to analyze, and with how much memory: half of what may be used, since each trace is also summed up to find what is
/// wrong with it.
///
/// # Errors
/// A class, an expression or the file of options is not valid.
pub(super) fn options_of(analysis: &AnalysisOptions) -> anyhow::Result<CollectOptions> {
    let options = analysis.collect_options()?;
    Ok(CollectOptions { memory: MemoryLimit { bytes: options.memory.bytes / 2 }, ..options })
}

/// Opens every input; returns how many were named.
///
/// # Errors
/// An argument is not valid, or what `each` says.
pub(super) fn each_source(
    out: &mut Out,
    inputs: &TraceInputs,
    collect: &CollectOptions,
    mut each: impl FnMut(&mut Out, OpenSource<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let doubtful = DoubtfulTraces::default();
    let bar = progress::bar(out.diag(), Unit::Bytes, inputs.total_size(), "reading");
    let mut each_file = |out: &mut Out, input: &TraceInput| {
        let opened = input.open().and_then(|(opened, bytes)| {
            let bytes = if bar.is_hidden() { bytes } else { Box::new(bar.wrap_read(bytes)) };
            let (is_part, bytes) = recognize(bytes)?;
            Ok((opened, is_part, bytes))
        });
        let (opened, is_part, bytes) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                out.failed(input.label(), &e);
                return Ok(());
            }
        };
        let options = inputs.read_options();
        each(out, OpenSource { input, opened, is_part, bytes, options, collect, doubtful: &doubtful })
    };
    let named = inputs
        .for_each_input(out, |out, input| files_of(input).iter().try_for_each(|file| each_file(out, file)))?;
    bar.finish_and_clear();
    doubtful.finish(out);
    if named == 0 {
        out.warn("no trace", "the list names none");
    }
    Ok(named)
}

/// The part files that a directory without traces stands for; otherwise the input itself.
fn files_of(input: &TraceInput) -> Vec<TraceInput> {
    let TraceInput::Path(dir) = input else { return vec![input.clone()] };
    if !dir.is_dir() || !find_traces(dir, None).is_empty() {
        return vec![input.clone()];
    }
    let entries = dir.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let is_part = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "part") && path.is_file();
    let mut parts: Vec<PathBuf> = entries.filter(is_part).collect();
    parts.sort();
    match parts.is_empty() {
        true => vec![input.clone()],
        false => parts.into_iter().map(TraceInput::Path).collect(),
    }
}

impl JobArgs {
    /// How to analyze.
    ///
    /// # Errors
    /// As of [`options_of`].
    pub(crate) fn options(&self) -> anyhow::Result<CollectOptions> {
        options_of(&self.analysis)
    }

    /// Opens every input; returns how many were named.
    ///
    /// # Errors
    /// As of [`each_source`].
    pub(super) fn each_source(
        &self,
        out: &mut Out,
        collect: &CollectOptions,
        each: impl FnMut(&mut Out, OpenSource<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        each_source(out, &self.inputs, collect, each)
    }

    /// Whether it may be more than one trace.
    pub(crate) fn has_several(&self) -> bool {
        self.inputs.may_be_several()
    }

    /// Reads every rank into a sink of its own. `None` if there is none: the reason has been reported.
    ///
    /// # Errors
    /// A temporary file cannot be used, or what `each` says.
    pub(crate) fn each_rank<S: EventSink>(
        &self,
        out: &mut Out,
        collect: &CollectOptions,
        make: impl Fn(&CollectOptions) -> S,
        each: impl FnMut(&mut Out, TraceOfRank, S) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<ReadTotals>> {
        self.each_rank_or(out, collect, make, |_, _, _| Ok(false), each)
    }

    /// The same, where some inputs are no traces: `other` gets each with its place first, and returns whether it has read it.
    ///
    /// # Errors
    /// As of [`Self::each_rank`], or what `other` says.
    pub(crate) fn each_rank_or<S: EventSink>(
        &self,
        out: &mut Out,
        collect: &CollectOptions,
        make: impl Fn(&CollectOptions) -> S,
        mut other: impl FnMut(&mut Out, &OpenedTrace, usize) -> anyhow::Result<bool>,
        mut each: impl FnMut(&mut Out, TraceOfRank, S) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<ReadTotals>> {
        let mut totals = ReadTotals::default();
        self.each_source(out, collect, |out, source| {
            if source.is_part {
                let reason = "is a part file, which does not have this: name the traces";
                out.error(source.input.label(), reason);
                return Ok(());
            }
            if other(out, &source.opened, totals.place())? {
                totals.files += 1;
                totals.ranks += 1;
                return Ok(());
            }
            let path = source.input.label();
            let mut ranks = source.into_ranks();
            let mut first = true;
            while !ranks.is_done() {
                let mut sink = make(collect);
                let Some(read) = ranks.read_next(out, &mut sink) else { continue };
                let rank = number_or_place(read.outcome.meta.rank, totals.place());
                totals.count(&read, std::mem::take(&mut first));
                each(out, TraceOfRank { path: path.clone(), rank, meta: read.outcome.meta }, sink)?;
            }
            Ok(())
        })?;
        Ok((totals.files > 0).then_some(totals))
    }
}
