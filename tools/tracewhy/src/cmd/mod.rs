//! The subcommands, one file each, and what they share: reading the ranks of a job.

pub(crate) mod comm;
pub(crate) mod diff;
pub(crate) mod idle;
pub(crate) mod modules;
pub(crate) mod ranks;
pub(crate) mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use common::exit::Exit;
use common::out::Out;
use common::progress::{self, Unit};
use common::record::tracewhy as record;
use common::size::parse_size;
use trace::classifier::ClassRules;
use trace::inputs::{Input, Inputs};
use trace::meaning::{MeaningLookup, ResolvedSink};
use trace::read::{self, ReadFault, ReadOptions, ReadOutcome, TraceSource};
use trace::report::{format_count, report_faults};
use trace::spool::MemoryLimit;

use crate::job::Job;
use crate::job::compare::SetSamples;
use crate::job::program::ProgramTotals;
use crate::part::collect::{PartSink, WantedDetail};
use crate::part::{IdleCause, RankPart, StepTimes};
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
    /// JUnit XML, one test case per kind of condition, for pipelines
    Junit,
}

/// `--format` of a command that has no conditions to report: put on the command, it takes the place of the tool's own, in
/// help, completion and parsing.
pub(crate) fn report_form_arg() -> clap::Arg {
    use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
    let forms = [ReportForm::Text, ReportForm::Json, ReportForm::Md];
    let values: Vec<PossibleValue> = forms.iter().filter_map(ValueEnum::to_possible_value).collect();
    let parser =
        PossibleValuesParser::new(values).map(|name| ReportForm::from_str(&name, false).unwrap_or_default());
    clap::Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .help("Form of the result on standard output")
        .help_heading("Common options")
        .default_value("text")
        .global(true)
        .value_parser(parser)
}

/// The traces of a job, and how to read them.
#[derive(Args, Clone, Debug)]
pub(crate) struct JobArgs {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    analysis: AnalysisArgs,
}

/// How traces are analyzed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Analysis options")]
pub(crate) struct AnalysisArgs {
    /// Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore
    ///
    /// May be given several times; the first that matches counts, and all go before what is known of kernel names.
    /// REGEX is looked for anywhere in the demangled name: `communication=^my_all_reduce`, `ignore=warm_?up`.
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
    /// What single names take, if that was asked for.
    pub(crate) samples: SetSamples,
    /// What parts of the program take, if that was asked for.
    pub(crate) program: ProgramTotals,
    /// What was wrong with the first traces of which something was lost: their names, and what.
    pub(crate) faults: Vec<(String, String)>,
    wanted: WantedDetail,
    pub(crate) files: u64,
    pub(crate) incomplete: u64,
    pub(crate) events: u64,
}

/// So many traces with faults are named.
const MOST_FAULTS: usize = 100;

impl JobArgs {
    /// Reads every trace as a rank. `None` if there is none: the reason has been reported.
    ///
    /// # Errors
    /// A class or an argument is not valid, or a temporary file cannot be used.
    pub(crate) fn read_job(&self, out: &mut Out) -> anyhow::Result<Option<ReadJob>> {
        self.analysis.read_inputs(out, &self.inputs, WantedDetail::None)
    }

    /// The same, with what parts of the program take.
    ///
    /// # Errors
    /// As of [`Self::read_job`].
    pub(crate) fn read_program(&self, out: &mut Out) -> anyhow::Result<Option<ReadJob>> {
        self.analysis.read_inputs(out, &self.inputs, WantedDetail::Program)
    }

    /// The same, with what single names and parts of the program take.
    ///
    /// # Errors
    /// As of [`Self::read_job`].
    pub(crate) fn read_all(&self, out: &mut Out) -> anyhow::Result<Option<ReadJob>> {
        self.analysis.read_inputs(out, &self.inputs, WantedDetail::All)
    }

    /// Another set of traces, to compare with.
    ///
    /// # Errors
    /// As of [`AnalysisArgs::read_set`].
    pub(crate) fn read_other_set(&self, out: &mut Out, path: &Path) -> anyhow::Result<Option<ReadJob>> {
        self.analysis.read_set(out, path)
    }
}

impl AnalysisArgs {
    /// Reads a trace, or those of a directory, with what single names take. `None` as of [`JobArgs::read_job`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn read_set(&self, out: &mut Out, path: &Path) -> anyhow::Result<Option<ReadJob>> {
        self.read_inputs(out, &Inputs::of_paths(list_traces(path)), WantedDetail::Names)
    }

    fn read_inputs(
        &self,
        out: &mut Out,
        inputs: &Inputs,
        wanted: WantedDetail,
    ) -> anyhow::Result<Option<ReadJob>> {
        let mut classes = ClassRules::default();
        for text in &self.class {
            classes.push_text(text).context("--class")?;
        }
        let memory = self.max_memory.map_or_else(MemoryLimit::default, |bytes| MemoryLimit { bytes });
        let mut read = ReadJob::new(memory, wanted);
        let bar = progress::bar(out.diag(), Unit::Bytes, inputs.total_size(), "reading");
        let named = inputs.each(out, |out, input| {
            let (opened, source) = match input.open() {
                Ok(opened) => opened,
                Err(e) => {
                    out.failed(input.label(), &e);
                    return Ok(());
                }
            };
            let source = if bar.is_hidden() { source } else { Box::new(bar.wrap_read(source)) };
            let lookup = MeaningLookup::new(input, classes.clone());
            let (rank, source) = (opened.rank, opened.source_of(source));
            read.read_rank(out, (input, rank), source, lookup, inputs.read_options())
        })?;
        bar.finish_and_clear();
        if named == 0 {
            out.warn("no trace", "the list names none");
        }
        Ok((read.files > 0).then_some(read))
    }
}

impl ReadJob {
    fn new(memory: MemoryLimit, wanted: WantedDetail) -> Self {
        Self {
            job: Job::new(memory),
            memory,
            samples: SetSamples::default(),
            program: ProgramTotals::default(),
            faults: Vec::new(),
            wanted,
            files: 0,
            incomplete: 0,
            events: 0,
        }
    }

    /// Adds what a rank has of names and parts of the program to the job's; only the sums are kept.
    fn fold_detail(&mut self, part: &mut RankPart) {
        if self.wanted.has_names() {
            self.samples.add_rank(part);
            part.named = Vec::new();
        }
        self.program.add_rank(part);
        (part.program, part.paths) = Default::default();
    }

    fn note_faults(&mut self, label: &str, outcome: &ReadOutcome) {
        if self.faults.len() >= MOST_FAULTS {
            return;
        }
        let losses = outcome.defects.losses();
        let what = match &outcome.error {
            Some(error) => error.with_place(),
            None if losses.is_empty() => return,
            None => {
                let counts = losses.iter().map(|(cause, n)| format!("{cause} {}", format_count(*n)));
                format!("lost: {}", counts.collect::<Vec<_>>().join(", "))
            }
        };
        self.faults.push((label.to_owned(), what));
    }

    fn read_rank(
        &mut self,
        out: &Out,
        (input, rank): (&Input, Option<i64>),
        source: TraceSource,
        lookup: MeaningLookup<'_>,
        options: ReadOptions,
    ) -> anyhow::Result<()> {
        let mut sink = PartSink::new(&mut self.job.families, self.memory).with_detail(self.wanted);
        let mut outcome = read::read_trace(source, &options, &mut ResolvedSink { lookup, sink: &mut sink })?;
        outcome.meta.rank = outcome.meta.rank.or(rank);
        report_faults(out, &input.label(), &outcome);
        if matches!(outcome.error.as_ref().map(|e| &e.fault), Some(ReadFault::NotATrace(_))) {
            return Ok(());
        }
        self.files += 1;
        self.incomplete += u64::from(!outcome.complete);
        self.events += outcome.events;
        let number = u32::try_from(self.job.parts.len()).unwrap_or(u32::MAX);
        let arrivals = &mut self.job.arrivals;
        let mut part = sink.finish(input.label(), &outcome.meta, number, |arrival| arrivals.push(arrival))?;
        if let Some(other) = self.job.parts.iter().find(|other| other.rank == part.rank) {
            out.warn(input.label(), format_args!("is of rank {} as {} is", part.rank, other.path));
        }
        self.fold_detail(&mut part);
        self.note_faults(&input.label(), &outcome);
        self.job.parts.push(part);
        Ok(())
    }

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
            ReportForm::Text | ReportForm::Junit => report().write_text(out.text())?,
            ReportForm::Md => report().write_markdown(out.text())?,
            ReportForm::Json => {
                records(out)?;
                self.write_summary(out, None)?;
            }
        }
        Ok(Exit::Ok)
    }

    /// Ends the records of a run, which may have read another set.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn write_summary(&self, out: &mut Out, other: Option<&Self>) -> anyhow::Result<()> {
        out.flush()?;
        let sum = |of: fn(&Self) -> u64| of(self) + other.map_or(0, of);
        let (files, incomplete, events) = (sum(|r| r.files), sum(|r| r.incomplete), sum(|r| r.events));
        let errors = out.diag().errors();
        Ok(out.record(&record::ReasonSummary { files, incomplete, events, errors })?)
    }
}

/// What a path stands for. In a directory that holds no traces by their names, all JSON files are: `profctl` lets users
/// name them.
fn list_traces(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() || !read::find_traces(path).is_empty() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let is_json = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".json") || name.ends_with(".json.gz")
    };
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_json).collect();
    found.sort();
    // Without any, opening it says why.
    if found.is_empty() { vec![path.to_owned()] } else { found }
}

/// Idle time by the names of its causes, without those that did not occur.
pub(crate) fn idle_by_cause(times: &StepTimes) -> BTreeMap<String, i64> {
    let named = IdleCause::ALL.into_iter().map(|cause| (cause.name().to_owned(), times.idle_for(cause)));
    named.filter(|(_, time)| *time > 0).collect()
}
