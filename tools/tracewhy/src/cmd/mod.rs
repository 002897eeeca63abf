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

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use common::exit::Exit;
use common::out::Out;
use common::size::parse_size;
use trace::inputs::Inputs;
use trace::read::{self, ReadOutcome};
use trace::report::format_count;
use trace::spool::MemoryLimit;

use crate::job::Job;
use crate::job::compare::SetSamples;
use crate::job::program::ProgramTotals;
use crate::part::collect::{PartSink, WantedDetail};
use crate::part::file::{LoadedRank, load_parts};
use crate::part::kept::Arrival;
use crate::part::{IdleCause, RankPart, StepTimes};
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

/// `--format` of a command that has no conditions to report.
pub(crate) fn report_form_arg() -> clap::Arg {
    form_arg(&[ReportForm::Text, ReportForm::Json, ReportForm::Md], "text")
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
    totals: ReadTotals,
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
        let memory = self.memory();
        let mut read = ReadJob::new(memory, wanted);
        self.each_source(out, inputs, |out, source| match source.is_part {
            true => read.read_parts(out, source),
            false => read.read_rank(out, source),
        })?;
        Ok((read.totals.files > 0).then_some(read))
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
            totals: ReadTotals::default(),
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

    fn read_rank(&mut self, out: &Out, source: OpenSource<'_>) -> anyhow::Result<()> {
        let label = source.input.label();
        let mut sink = PartSink::new(&mut self.job.families, self.memory).with_detail(self.wanted);
        let Some(outcome) = source.read_into(out, &mut sink)? else { return Ok(()) };
        self.totals.count(&outcome);
        let number = u32::try_from(self.job.parts.len()).unwrap_or(u32::MAX);
        let arrivals = &mut self.job.arrivals;
        let part = sink.finish(label, &outcome.meta, number, |_, arrival, _| arrivals.push(arrival))?;
        self.note_faults(&part.path, &outcome);
        self.add_part(out, part);
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
        let first = u32::try_from(self.job.parts.len()).unwrap_or(u32::MAX);
        let arrivals = &mut self.job.arrivals;
        loaded
            .calls
            .for_each(|call| arrivals.push(Arrival { part: first.saturating_add(call.part), ..call }))?;
        for LoadedRank { mut part, rank, events, complete } in loaded.ranks {
            let place = i64::try_from(self.job.parts.len()).unwrap_or(i64::MAX);
            part.rank = rank.unwrap_or(place);
            self.totals.add(events, complete);
            self.add_part(out, part);
        }
        Ok(())
    }

    fn add_part(&mut self, out: &Out, mut part: RankPart) {
        if let Some(other) = self.job.parts.iter().find(|other| other.rank == part.rank) {
            out.warn(&part.path, format_args!("is of rank {} as {} is", part.rank, other.path));
        }
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
