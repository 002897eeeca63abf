//! Reading traces one rank after the other, each into a sink of its own.

use std::io::Read;

use anyhow::Context;
use common::out::Out;
use common::progress::{self, Unit};
use common::record::tracewhy as record;
use trace::classifier::ClassRules;
use trace::inputs::{Input, Inputs, Opened};
use trace::meaning::{MeaningLookup, ResolvedSink};
use trace::model::{EventSink, TraceMeta};
use trace::pairs::PairSink;
use trace::read::{self, ReadFault, ReadOptions, ReadOutcome};
use trace::report::report_faults;
use trace::spool::MemoryLimit;

use super::{AnalysisArgs, JobArgs};
use crate::part::file::recognize;

/// What a run has read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadTotals {
    pub(crate) files: u64,
    pub(crate) incomplete: u64,
    pub(crate) events: u64,
}

impl ReadTotals {
    /// Counts a trace.
    pub(super) fn count(&mut self, outcome: &ReadOutcome) {
        self.add(outcome.events, outcome.complete);
    }

    /// Counts a trace with so many events.
    pub(super) fn add(&mut self, events: u64, complete: bool) {
        self.files += 1;
        self.incomplete += u64::from(!complete);
        self.events = self.events.saturating_add(events);
    }

    /// The two together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            incomplete: self.incomplete + other.incomplete,
            events: self.events.saturating_add(other.events),
        }
    }

    /// Ends the records of a run.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn write_summary(self, out: &mut Out) -> anyhow::Result<()> {
        out.flush()?;
        let Self { files, incomplete, events } = self;
        let errors = out.diag().errors();
        Ok(out.record(&record::ReasonSummary { files, incomplete, events, errors })?)
    }
}

/// Whose trace was read.
pub(crate) struct TraceOfRank {
    /// The file.
    pub(crate) path: String,
    /// Its number: what the trace says, or else its place among the traces.
    pub(crate) rank: i64,
    pub(crate) meta: TraceMeta,
}

/// An input that is open.
pub(super) struct OpenSource<'a> {
    pub(super) input: &'a Input,
    pub(super) opened: Opened,
    /// It is a part file, and no trace.
    pub(super) is_part: bool,
    pub(super) bytes: Box<dyn Read + Send>,
    lookup: MeaningLookup<'a>,
    options: ReadOptions,
}

impl OpenSource<'_> {
    /// Reads a trace into a sink; `None` if it is none, which has been said.
    ///
    /// # Errors
    /// What the sink says.
    pub(super) fn read_into<S: EventSink>(
        self,
        out: &Out,
        sink: &mut S,
    ) -> anyhow::Result<Option<ReadOutcome>> {
        let Self { input, opened, bytes, lookup, options, .. } = self;
        let (rank, source) = (opened.rank, opened.source_of(bytes));
        let mut pairs = PairSink::new(sink);
        let mut outcome = read::read_trace(source, &options, &mut ResolvedSink { lookup, sink: &mut pairs })?;
        outcome.meta.rank = outcome.meta.rank.or(rank);
        report_faults(out, &input.label(), &outcome);
        let is_none = matches!(outcome.error.as_ref().map(|e| &e.fault), Some(ReadFault::NotATrace(_)));
        Ok((!is_none).then_some(outcome))
    }
}

impl AnalysisArgs {
    /// The user's classes of device work.
    ///
    /// # Errors
    /// One is not valid.
    pub(super) fn classes(&self) -> anyhow::Result<ClassRules> {
        let mut classes = ClassRules::default();
        for text in &self.class {
            classes.push_text(text).context("--class")?;
        }
        Ok(classes)
    }

    /// Opens every input; returns how many were named.
    ///
    /// # Errors
    /// A class or an argument is not valid, or what `each` says.
    pub(super) fn each_source(
        &self,
        out: &mut Out,
        inputs: &Inputs,
        mut each: impl FnMut(&mut Out, OpenSource<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let classes = self.classes()?;
        let bar = progress::bar(out.diag(), Unit::Bytes, inputs.total_size(), "reading");
        let named = inputs.each(out, |out, input| {
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
            let lookup = MeaningLookup::new(input, classes.clone());
            let options = inputs.read_options();
            each(out, OpenSource { input, opened, is_part, bytes, lookup, options })
        })?;
        bar.finish_and_clear();
        if named == 0 {
            out.warn("no trace", "the list names none");
        }
        Ok(named)
    }

    /// How much memory may be used.
    pub(super) fn memory(&self) -> MemoryLimit {
        self.max_memory.map_or_else(MemoryLimit::default, |bytes| MemoryLimit { bytes })
    }
}

impl JobArgs {
    /// How much memory may be used.
    pub(crate) fn memory(&self) -> MemoryLimit {
        self.analysis.memory()
    }

    /// Opens every input; returns how many were named.
    ///
    /// # Errors
    /// As of [`AnalysisArgs::each_source`].
    pub(super) fn each_source(
        &self,
        out: &mut Out,
        each: impl FnMut(&mut Out, OpenSource<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        self.analysis.each_source(out, &self.inputs, each)
    }

    /// Whether it may be more than one trace.
    pub(crate) fn has_several(&self) -> bool {
        self.inputs.several()
    }

    /// Reads every trace into a sink of its own. `None` if there is none: it has been said why.
    ///
    /// # Errors
    /// A class or an argument is not valid, a temporary file cannot be used, or what `each` says.
    pub(crate) fn each_rank<S: EventSink>(
        &self,
        out: &mut Out,
        make: impl Fn(MemoryLimit) -> S,
        each: impl FnMut(&mut Out, TraceOfRank, S) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<ReadTotals>> {
        self.each_rank_or(out, make, |_, _, _| Ok(false), each)
    }

    /// The same, where some inputs are no traces: `other` gets each with its place first, and tells whether it has taken it.
    ///
    /// # Errors
    /// As of [`Self::each_rank`], or what `other` says.
    pub(crate) fn each_rank_or<S: EventSink>(
        &self,
        out: &mut Out,
        make: impl Fn(MemoryLimit) -> S,
        mut other: impl FnMut(&mut Out, &Opened, i64) -> anyhow::Result<bool>,
        mut each: impl FnMut(&mut Out, TraceOfRank, S) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<ReadTotals>> {
        let memory = self.memory();
        let mut totals = ReadTotals::default();
        self.analysis.each_source(out, &self.inputs, |out, source| {
            if source.is_part {
                let reason = "is a part file, which does not have this: name the traces";
                out.error(source.input.label(), reason);
                return Ok(());
            }
            let place = i64::try_from(totals.files).unwrap_or(i64::MAX);
            if other(out, &source.opened, place)? {
                totals.files += 1;
                return Ok(());
            }
            let mut sink = make(memory);
            let label = source.input.label();
            let Some(outcome) = source.read_into(out, &mut sink)? else { return Ok(()) };
            totals.count(&outcome);
            let rank = outcome.meta.rank.unwrap_or(place);
            each(out, TraceOfRank { path: label, rank, meta: outcome.meta }, sink)
        })?;
        Ok((totals.files > 0).then_some(totals))
    }
}
