//! The subcommands, one file each, and what they share: reading the ranks of a job.

pub(crate) mod comm;
pub(crate) mod idle;
pub(crate) mod ranks;

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use common::exit::Exit;
use common::out::Out;
use common::progress::{self, Unit};
use common::record::tracewhy as record;
use common::size::parse_size;
use trace::classifier::ClassRules;
use trace::inputs::{Input, Inputs};
use trace::meaning::{MeaningLookup, ResolvedSink};
use trace::read::{self, ReadFault};
use trace::report::report_faults;
use trace::spool::MemoryLimit;

use crate::job::Job;
use crate::part::collect::PartSink;
use crate::part::{IdleCause, StepTimes};
use crate::report::Report;

/// Form of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportForm {
    /// For people: sentences and tables. Not stable between versions
    #[default]
    Text,
    /// For programs: JSON Lines, as described in profguard-records(7)
    Json,
    /// Markdown, of bounded length, for pull requests, chats and assistants
    Md,
}

/// The traces of a job, and how to read them.
#[derive(Args, Clone, Debug)]
pub(crate) struct JobArgs {
    #[command(flatten)]
    inputs: Inputs,
    /// Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore
    #[arg(long, value_name = "CLASS=REGEX")]
    class: Vec<String>,
    /// Memory that the analysis may use, such as 512MiB or 4GiB; default 1GiB
    ///
    /// What does not fit goes to unlinked files in TMPDIR. The results are the same.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_memory: Option<u64>,
}

/// What was read.
pub(crate) struct ReadJob {
    pub(crate) job: Job,
    pub(crate) memory: MemoryLimit,
    files: u64,
    incomplete: u64,
    events: u64,
}

impl JobArgs {
    /// Reads every trace as a rank. `None` if there is none: it has been said why.
    ///
    /// # Errors
    /// A class or an argument is not valid, or a temporary file cannot be used.
    pub(crate) fn read_job(&self, out: &mut Out) -> anyhow::Result<Option<ReadJob>> {
        use anyhow::Context;
        let mut classes = ClassRules::default();
        for text in &self.class {
            classes.push_text(text).context("--class")?;
        }
        let memory = self.max_memory.map_or_else(MemoryLimit::default, |bytes| MemoryLimit { bytes });
        let mut read = ReadJob { job: Job::new(memory), memory, files: 0, incomplete: 0, events: 0 };
        let bar = progress::bar(out.diag(), Unit::Bytes, self.inputs.total_size(), "reading");
        let named = self.inputs.each(out, |out, input| {
            let (opened, source) = match input.open() {
                Ok(opened) => opened,
                Err(e) => {
                    out.failed(input.label(), &e);
                    return Ok(());
                }
            };
            let source = if bar.is_hidden() { source } else { Box::new(bar.wrap_read(source)) };
            self.read_rank(out, input, source, opened.rank, &classes, &mut read)
        })?;
        bar.finish_and_clear();
        if named == 0 {
            out.warn("no trace", "the list names none");
        }
        Ok((read.files > 0).then_some(read))
    }

    fn read_rank(
        &self,
        out: &Out,
        input: &Input,
        source: Box<dyn std::io::Read + Send>,
        rank: Option<i64>,
        classes: &ClassRules,
        to: &mut ReadJob,
    ) -> anyhow::Result<()> {
        let mut sink = PartSink::new(&mut to.job.families, to.memory);
        let lookup = MeaningLookup::new(input, classes.clone());
        let options = self.inputs.read_options();
        let mut outcome = read::read_trace(source, &options, &mut ResolvedSink { lookup, sink: &mut sink })?;
        outcome.meta.rank = outcome.meta.rank.or(rank);
        report_faults(out, &input.label(), &outcome);
        if matches!(outcome.error.as_ref().map(|e| &e.fault), Some(ReadFault::NotATrace(_))) {
            return Ok(());
        }
        to.files += 1;
        to.incomplete += u64::from(!outcome.complete);
        to.events += outcome.events;
        let number = u32::try_from(to.job.parts.len()).unwrap_or(u32::MAX);
        let arrivals = &mut to.job.arrivals;
        let part = sink.finish(input.label(), &outcome.meta, number, |arrival| arrivals.push(arrival))?;
        if let Some(other) = to.job.parts.iter().find(|other| other.rank == part.rank) {
            out.warn(input.label(), format_args!("is of rank {} as {} is", part.rank, other.path));
        }
        to.job.parts.push(part);
        Ok(())
    }
}

impl ReadJob {
    /// Writes the result: records with the summary, or a report.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn write(
        &self,
        out: &mut Out,
        form: ReportForm,
        records: impl FnOnce(&mut Out) -> std::io::Result<()>,
        report: impl FnOnce() -> Report,
    ) -> anyhow::Result<Exit> {
        match form {
            ReportForm::Text => report().write_text(out.text())?,
            ReportForm::Md => report().write_markdown(out.text())?,
            ReportForm::Json => {
                records(out)?;
                out.flush()?;
                let (ReadJob { files, incomplete, events, .. }, errors) = (self, out.diag().errors());
                let (files, incomplete, events) = (*files, *incomplete, *events);
                out.record(&record::ReasonSummary { files, incomplete, events, errors })?;
            }
        }
        Ok(Exit::Ok)
    }
}

/// Idle time by the names of its causes, without those that did not occur.
pub(crate) fn idle_by_cause(times: &StepTimes) -> BTreeMap<String, i64> {
    let named = IdleCause::ALL.into_iter().map(|cause| (cause.name().to_owned(), times.idle_for(cause)));
    named.filter(|(_, time)| *time > 0).collect()
}
