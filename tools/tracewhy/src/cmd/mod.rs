//! The subcommands, one file each, and what they share: reading the ranks of a job.

pub(crate) mod comm;
pub(crate) mod critical;
pub(crate) mod diff;
pub(crate) mod flops;
pub(crate) mod idle;
pub(crate) mod mem;
pub(crate) mod modules;
pub(crate) mod part;
pub(crate) mod ranks;
pub(crate) mod report;
mod single;
pub(crate) mod stacks;
mod verdict_text;

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Args, ValueEnum};
use common::exit::Exit;
use common::out::Out;
use common::text::count_noun;
use trace::analysis::collect::CollectOptions;
use trace::inputs::TraceInputs;
use trace::model::{Event, EventSink};
use trace::options::AnalysisOptions;
use trace::read::ReadOutcome;
use trace::report::{format_count, warn_of_traces};
use trace::spool::MemoryLimit;

use crate::job::compare::SetSamples;
use crate::job::program::ProgramTotals;
use crate::job::{Job, TraceLeftOut};
use crate::memory::kineto::MemorySink;
use crate::page::{JobMemory, TIMELINE_POINTS};
use crate::part::collect::{PartSink, WantedDetail};
use crate::part::file::{LoadedRank, load_parts};
use crate::part::kept::Arrival;
use crate::part::number::{RankNumbers, number_or_place};
use crate::part::{IdleCause, MOST_RANKS, RankPart, StepTimes};
use crate::report::Report;
use single::{OpenSource, ReadTotals};

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
    /// Folded stacks: frames joined by `;`, and their time, as flamegraph.pl and others read
    Folded,
    /// JSON of <https://www.speedscope.app>
    Speedscope,
}

/// The forms of most commands.
pub(crate) const REPORT_FORMS: &[ReportForm] = &[ReportForm::Text, ReportForm::Json, ReportForm::Md];

/// `--format` of a command that has no conditions to report.
pub(crate) fn report_form_arg() -> clap::Arg {
    form_arg(REPORT_FORMS, "text")
}

/// Checks the form that was named before the command, where the form of each command may stand.
///
/// # Errors
/// The command does not write it.
pub(crate) fn check_form(form: ReportForm, forms: &[ReportForm]) -> anyhow::Result<()> {
    if form == ReportForm::default() || forms.contains(&form) {
        return Ok(());
    }
    let name = |form: &ReportForm| form.to_possible_value().map(|value| value.get_name().to_owned());
    let names: Vec<String> = forms.iter().filter_map(name).collect();
    let unknown = name(&form).unwrap_or_default();
    anyhow::bail!("--format: this command does not write {unknown}, but {}", names.join(", "))
}

/// `--format` of one command, which writes these: put on the command, it takes the place of the tool's own, in help,
/// completion and parsing.
pub(crate) fn form_arg(forms: &[ReportForm], usual: &'static str) -> clap::Arg {
    use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
    let values: Vec<PossibleValue> = forms.iter().filter_map(ValueEnum::to_possible_value).collect();
    let parser =
        PossibleValuesParser::new(values).map(|name| ReportForm::from_str(&name, false).unwrap_or_default());
    clap::Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .help("Form of the result on standard output")
        .help_heading("Common options")
        .default_value(usual)
        .global(true)
        .value_parser(parser)
}

/// The traces of a job, and how to read them.
#[derive(Args, Clone, Debug)]
pub(crate) struct JobArgs {
    #[command(flatten)]
    inputs: TraceInputs,
    #[command(flatten)]
    analysis: AnalysisOptions,
}

/// The input that was read.
pub(crate) struct ReadJob {
    pub(crate) job: Job,
    pub(crate) memory: MemoryLimit,
    /// The time of single names, if that was asked for.
    pub(crate) samples: SetSamples,
    /// The time of parts of the program, if that was asked for.
    pub(crate) program: ProgramTotals,
    /// The memory of its ranks, if that was asked for.
    pub(crate) memory_use: Option<JobMemory>,
    /// The faults of the first traces of which something was lost: their names, and the faults.
    pub(crate) faults: Vec<(String, String)>,
    wanted: WantedDetail,
    totals: ReadTotals,
}

/// Maximum number of traces with faults that are named.
const MOST_FAULTS: usize = 100;

impl JobArgs {
    /// The paths of the command line.
    pub(crate) fn named_paths(&self) -> &[std::path::PathBuf] {
        self.inputs.paths()
    }

    /// Reads every trace as a rank. `None` if there is none: the reason has been reported.
    ///
    /// # Errors
    /// A class or an argument is not valid, or a temporary file cannot be used.
    pub(crate) fn read_job(&self, out: &mut Out) -> anyhow::Result<Option<ReadJob>> {
        read_inputs(out, &self.analysis, &self.inputs, WantedDetail::None, false, DuplicateRanks::Kept)
    }

    /// The same, of one trace of each rank, to compare them with each other.
    ///
    /// # Errors
    /// As of [`Self::read_job`].
    pub(crate) fn read_single_ranks(&self, out: &mut Out) -> anyhow::Result<Option<ReadJob>> {
        read_inputs(out, &self.analysis, &self.inputs, WantedDetail::None, false, DuplicateRanks::LeftOut)
    }

    /// The same, with what parts of the program take.
    ///
    /// # Errors
    /// As of [`Self::read_job`].
    pub(crate) fn read_program(&self, out: &mut Out) -> anyhow::Result<Option<ReadJob>> {
        read_inputs(out, &self.analysis, &self.inputs, WantedDetail::Program, false, DuplicateRanks::Kept)
    }

    /// The same, with what single names and parts of the program take, and with the memory of the ranks; of traces of one
    /// rank, one is compared with others.
    ///
    /// # Errors
    /// As of [`Self::read_job`].
    pub(crate) fn read_all(&self, out: &mut Out) -> anyhow::Result<Option<ReadJob>> {
        read_inputs(out, &self.analysis, &self.inputs, WantedDetail::All, true, DuplicateRanks::LeftOut)
    }

    /// Another set of traces, to compare with.
    ///
    /// # Errors
    /// As of [`read_set`].
    pub(crate) fn read_other_set(&self, out: &mut Out, path: &Path) -> anyhow::Result<Option<ReadJob>> {
        read_set(out, &self.analysis, path)
    }
}

/// Reads a trace, or those of a directory, with what single names and parts of the program take. `None` as of
/// [`JobArgs::read_job`].
///
/// # Errors
/// As there.
pub(crate) fn read_set(
    out: &mut Out,
    analysis: &AnalysisOptions,
    path: &Path,
) -> anyhow::Result<Option<ReadJob>> {
    let inputs = TraceInputs::of_paths(vec![path.to_owned()]);
    read_inputs(out, analysis, &inputs, WantedDetail::All, false, DuplicateRanks::Kept)
}

fn read_inputs(
    out: &mut Out,
    analysis: &AnalysisOptions,
    inputs: &TraceInputs,
    wanted: WantedDetail,
    with_memory: bool,
    duplicates: DuplicateRanks,
) -> anyhow::Result<Option<ReadJob>> {
    let options = single::options_of(analysis)?;
    let mut read = ReadJob::new(options.memory, wanted);
    read.memory_use = with_memory.then(JobMemory::default);
    single::each_source(out, inputs, &options, |out, source| match source.is_part {
        true => read.read_parts(out, source),
        false => read.read_ranks(out, source, &options),
    })?;
    read.number_ranks(out);
    match duplicates {
        DuplicateRanks::LeftOut => read.keep_one_of_each_rank(out)?,
        DuplicateRanks::Kept => read.warn_of_duplicates(out),
    }
    Ok((read.totals.files > 0).then_some(read))
}

/// What becomes of further traces of one rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DuplicateRanks {
    /// They count like those of other ranks.
    Kept,
    /// One counts.
    LeftOut,
}

impl ReadJob {
    fn new(memory: MemoryLimit, wanted: WantedDetail) -> Self {
        Self {
            job: Job::new(memory),
            memory,
            samples: SetSamples::default(),
            program: ProgramTotals::default(),
            memory_use: None,
            faults: Vec::new(),
            wanted,
            totals: ReadTotals::default(),
        }
    }

    /// Says so as an error unless something can be compared with it: nothing takes less time than something, and a set of traces in which
    /// nothing was recorded would pass for a faster one. `path` names it.
    fn is_comparable(&self, out: &mut Out, path: &Path) -> bool {
        let has_work = self.job.parts.iter().any(|part| part.total().span() > 0);
        if !has_work {
            out.error(path.display(), "has nothing to compare: no step of it has work");
        }
        has_work
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

    fn read_ranks(
        &mut self,
        out: &Out,
        source: OpenSource<'_>,
        options: &CollectOptions,
    ) -> anyhow::Result<()> {
        let label = source.input.label();
        if self.job.parts.len() >= MOST_RANKS {
            out.error(&label, format_args!("is left out: with it, there are more than {MOST_RANKS} ranks"));
            return Ok(());
        }
        let path = source.opened.path.clone();
        let mut ranks = source.into_ranks();
        let mut first = true;
        while !ranks.is_done() {
            let mut sink = PartSink::new(&mut self.job.families, options).with_detail(self.wanted);
            let mut blocks = self.memory_use.is_some().then(|| MemorySink::new(beside_parts(self.memory)));
            let read = match &mut blocks {
                None => ranks.read_next(out, &mut sink),
                Some(blocks) => ranks.read_next(out, &mut BothSinks(&mut sink, blocks)),
            };
            let Some(read) = read else { continue };
            let number = u32::try_from(self.job.parts.len()).unwrap_or(u32::MAX);
            let arrivals = &mut self.job.arrivals;
            let meta = &read.outcome.meta;
            let mut part =
                sink.finish(label.clone(), meta, number, |_, arrival, _| arrivals.push(arrival))?;
            part.is_cut = !read.outcome.complete;
            if first {
                self.note_faults(&part.path, &read.outcome);
            }
            if let (Some(memory_use), Some(blocks)) = (&mut self.memory_use, blocks) {
                let mut devices = blocks.finish(TIMELINE_POINTS)?;
                // Tables beside the timeline are those of all that is in it.
                if first {
                    let limit = beside_parts(self.memory);
                    devices.extend(mem::read_tables(out, &mem::tables_beside(&path), limit, TIMELINE_POINTS));
                }
                memory_use.add_rank(part.rank, &devices);
            }
            self.totals.count(&read, std::mem::take(&mut first));
            self.add_part(part);
        }
        Ok(())
    }

    /// Adds the ranks of a part file; of one that is not whole, none.
    fn read_parts(&mut self, out: &Out, source: OpenSource<'_>) -> anyhow::Result<()> {
        let label = source.input.label();
        let loaded = match load_parts(source.bytes, &mut self.job.families, self.memory) {
            Ok(loaded) => loaded,
            Err(e) => {
                out.failed(&label, &e);
                return Ok(());
            }
        };
        if self.job.parts.len() + loaded.ranks.len() > MOST_RANKS {
            out.error(&label, format_args!("is left out: with it, there are more than {MOST_RANKS} ranks"));
            return Ok(());
        }
        let first = u32::try_from(self.job.parts.len()).unwrap_or(u32::MAX);
        let arrivals = &mut self.job.arrivals;
        loaded
            .calls
            .for_each(|call| arrivals.push(Arrival { part: first.saturating_add(call.part), ..call }))?;
        for LoadedRank { mut part, rank, events, complete } in loaded.ranks {
            part.rank = number_or_place(rank, self.job.parts.len());
            part.is_cut = !complete;
            self.totals.add(events, complete, true);
            self.add_part(part);
        }
        Ok(())
    }

    /// Numbers the ranks whose traces do not give their rank.
    fn number_ranks(&mut self, out: &Out) {
        let mut numbers = RankNumbers::of_known(self.job.parts.iter().map(|part| part.rank));
        let are_known = numbers.are_known();
        let (mut given, mut unnumbered) = (BTreeMap::new(), Vec::new());
        for part in self.job.parts.iter_mut().filter(|part| part.rank < 0) {
            let number = numbers.number_of(part.rank);
            given.insert(part.rank, number);
            part.rank = number;
            if are_known {
                let reason = format!("does not say its rank: {number} stands for it here");
                unnumbered.push((part.path.clone(), reason));
            }
        }
        let of_all = "do not say their ranks: here they have numbers that no other has";
        warn_of_traces(out, of_all, &unnumbered);
        if let Some(memory_use) = &mut self.memory_use {
            memory_use.number_ranks(&given);
        }
    }

    /// With two traces of one rank, no collective would be known to be one.
    fn keep_one_of_each_rank(&mut self, out: &Out) -> anyhow::Result<()> {
        let left_out = self.job.keep_one_of_each_rank(self.memory)?.into_iter();
        let warnings: Vec<(String, String)> = left_out
            .map(|TraceLeftOut { path, rank, kept }| {
                let reason = match kept == path {
                    true => format!("is left out once: it is there twice, as rank {rank}"),
                    false => format!("is left out: {kept} is of rank {rank}, too"),
                };
                (path, reason)
            })
            .collect();
        warn_of_traces(out, "are left out: others are of the same ranks", &warnings);
        Ok(())
    }

    fn warn_of_duplicates(&self, out: &Out) {
        let mut seen: BTreeMap<i64, &str> = BTreeMap::new();
        let mut warnings = Vec::new();
        for part in &self.job.parts {
            match seen.get(&part.rank) {
                Some(other) => {
                    warnings.push((part.path.clone(), format!("is of rank {} as {other} is", part.rank)));
                }
                None => _ = seen.insert(part.rank, &part.path),
            }
        }
        warn_of_traces(out, "are of ranks of which others are, too", &warnings);
    }

    fn add_part(&mut self, mut part: RankPart) {
        self.fold_detail(&mut part);
        self.job.parts.push(part);
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
            ReportForm::Md => report().write_markdown(out.text())?,
            ReportForm::Json => {
                records(out)?;
                self.write_summary(out, None)?;
            }
            _ => report().write_text(out.text())?,
        }
        Ok(Exit::Ok)
    }

    /// Ends the records of a run, which may have read another set.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn write_summary(&self, out: &mut Out, other: Option<&Self>) -> anyhow::Result<()> {
        self.totals.plus(other.map(|other| other.totals).unwrap_or_default()).write_summary(out)
    }
}

/// Warns of what traces lack, once for each reason.
pub(crate) fn warn_of_each<'a>(out: &Out, found: impl Iterator<Item = (&'a str, &'static str)>) {
    let mut reasons: BTreeMap<&str, (&str, u64)> = BTreeMap::new();
    found.for_each(|(path, reason)| reasons.entry(reason).or_insert((path, 0)).1 += 1);
    for (reason, (first, count)) in reasons {
        match count - 1 {
            0 => out.warn(first, reason),
            more => out
                .warn(first, format_args!("{reason}; the same holds for {} more", count_noun(more, "trace"))),
        }
    }
}

/// Returns the memory for the account of memory, beside the rest of an analysis.
fn beside_parts(memory: MemoryLimit) -> MemoryLimit {
    MemoryLimit { bytes: memory.bytes / 4 }
}

/// Gives each event to both sinks.
struct BothSinks<'a, A, B>(&'a mut A, &'a mut B);

impl<A: EventSink, B: EventSink> EventSink for BothSinks<'_, A, B> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.0.event(event)?;
        self.1.event(event)
    }
}

/// Idle time by the names of its causes, without those that did not occur.
pub(crate) fn idle_by_cause(times: &StepTimes) -> BTreeMap<String, i64> {
    let named = IdleCause::ALL.into_iter().map(|cause| (cause.name().to_owned(), times.idle_for(cause)));
    named.filter(|(_, time)| *time > 0).collect()
}
