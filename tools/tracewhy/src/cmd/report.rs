//! `tracewhy report`: a job in one file of HTML, for people.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use common::exit::Exit;
use common::finding::Finding;
use common::fsat::write_report;
use common::input_lines::open_input;
use common::out::Out;
use common::policy::{Class, shell_quote};
use common::record::Record;
use common::record::traceq::TraceFinding;
use trace::report::format_count;
use trace::units::format_wall_clock;

use super::comm::CollectiveCosts;
use super::diff::{change_cells, describe_step};
use super::idle::known_causes;
use super::ranks::{self, RanksEvidence, RanksResult};
use super::verdict_text;
use super::{JobArgs, ReadJob, ReportForm};
use crate::job::Job;
use crate::job::compare::{SetSamples, compare_sets};
use crate::page::{
    Cell, ComparisonData, Findings, Flame, HeatMap, JobData, MeanTimes, MemoryData, PageData, RankSeries,
    StepSeries, TableData, VerdictData, row, step_numbers, write_page,
};
use crate::part::named::{ItemKind, OTHER_NAMES};
use crate::part::{IdleCause, sum_times};
use crate::report::Report;

/// Write a report of a job: one file of HTML that needs neither network nor server
///
/// The report has the verdict on the job, its steps, where the time goes, a map of ranks by steps, slow ranks and why,
/// collectives with their bandwidth, kernels, operators and modules, causes of idle time, memory over time and what held its
/// peak, and the definition of each number. Its size is bounded for any number of ranks and events: what it leaves out, it
/// says. Standard output gets the verdict.
#[derive(Args, Debug)]
#[command(arg = super::report_form_arg(), after_long_help = "Examples:\n  \
    tracewhy report -o report.html rank*.json.gz\n  \
    tracewhy report --base main/ -o report.html branch/\n  \
    traceq --format json check rank*.json.gz |
    tracewhy report --findings - -o report.html rank*.json.gz")]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    job: JobArgs,
    /// File to write; `-` is standard output
    ///
    /// A regular file is replaced in one step, and keeps its mode and group. A new file gets mode 0640.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Compare with this trace, or with the traces in this directory
    #[arg(long, value_name = "PATH")]
    base: Option<PathBuf>,
    /// Show what `traceq --format json check` found; `-` is standard input
    #[arg(long, value_name = "FILE")]
    findings: Option<PathBuf>,
    /// Title; default: the names of the traces
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
}

/// Maximum number of ranks, kinds of collectives, slow links, names of each kind, parts of each kind, changes and faults.
const MOST_RANKS: usize = 1024;
const MOST_COLLECTIVES: usize = 200;
const MOST_LINKS: usize = 50;
const MOST_NAMES: usize = 300;
const MOST_PARTS: usize = 300;
const MOST_CHANGES: usize = 300;
const MOST_FAULTS: usize = 50;

impl ReportArgs {
    /// Reads the job, decides which rank is slow, and writes the report.
    pub(crate) fn run(self, out: &mut Out, form: ReportForm) -> anyhow::Result<Exit> {
        // What may be wrong is known before anything is read for long.
        let findings = self.findings.as_deref().map(read_findings).transpose()?;
        let Some(mut read) = self.job.read_all(out)? else { return Ok(Exit::No) };
        let base = match &self.base {
            None => None,
            Some(path) => match self.job.read_other_set(out, path)? {
                Some(base) => Some((path.as_path(), base)),
                None => return Ok(Exit::Failed),
            },
        };
        if let Some((path, base)) = &base {
            let own = self.job.named_paths().first().map_or(Path::new("-"), PathBuf::as_path);
            if !base.is_comparable(out, path) || !read.is_comparable(out, own) {
                return Ok(Exit::Failed);
            }
        }
        let memory = read.memory;
        let (mut evidence, mut costs) = (RanksEvidence::new(&read.job, memory), CollectiveCosts::default());
        read.job.each_call(memory, |family, call| {
            evidence.take(family, call);
            costs.take(family, call);
        })?;
        let result = evidence.decide(&read.job)?;
        let samples = std::mem::take(&mut read.samples);
        let mut page = self.make_page(&read, &result, &costs, &samples);
        page.findings = match findings {
            Some(findings) => Findings::of(findings),
            None => Findings::not_given(self.findings_command()),
        };
        page.memory = read.memory_use.take().unwrap_or_default().into_data();
        page.comparison = base.map(|(path, base)| compare(path, base, &page.title, samples, &read));
        write_report(&self.output, Class::DataFile.max(), |to| Ok(write_page(to, &page)?))?;
        if self.output == Path::new("-") {
            return Ok(Exit::Ok);
        }
        let verdict = ranks::verdict_record(&read.job, &result);
        read.write(
            out,
            form,
            |out| out.record(&verdict),
            || {
                let mut report = Report::new(page.headline.clone());
                page.notes.iter().for_each(|note| report.add_note(note.clone()));
                report
            },
        )
    }

    /// Returns the command that makes this report with the findings of `traceq check`.
    fn findings_command(&self) -> String {
        let paths = self.job.named_paths();
        let mut named: Vec<String> = paths.iter().take(MOST_NAMED).map(|path| shell_quote(path)).collect();
        if named.is_empty() || paths.len() > MOST_NAMED {
            named.push("…".to_owned());
        }
        let output = if self.output == Path::new("-") { Path::new("report.html") } else { &self.output };
        let (named, output) = (named.join(" "), shell_quote(output));
        // A part file has nothing that could be checked.
        let has_parts = paths.iter().any(|path| path.extension().is_some_and(|ending| ending == "part"));
        let traces = if has_parts { "…" } else { named.as_str() };
        format!("traceq --format json check {traces} | tracewhy report --findings - -o {output} {named}")
    }

    fn make_page(
        &self,
        read: &ReadJob,
        result: &RanksResult,
        costs: &CollectiveCosts,
        samples: &SetSamples,
    ) -> PageData {
        let job = &read.job;
        let verdict = ranks::verdict_record(job, result);
        let numbers = step_numbers(&job.parts);
        let mut totals = MeanTimes::default();
        job.parts.iter().for_each(|p| totals.add(&known_causes(p, p.total()), p.steps.len()));
        let recorded = job.parts.iter().filter_map(|part| part.begin).min();
        PageData {
            title: self.title.clone().unwrap_or_else(|| title_of(job)),
            headline: verdict_text::headline(job, &result.verdict),
            notes: verdict_text::list_notes(job, &result.verdict, &result.clocks),
            recorded: recorded.and_then(format_wall_clock),
            verdict: VerdictData {
                rank: verdict.rank,
                lost_ns: verdict.lost_ns,
                confidence: verdict.confidence,
            },
            job: JobData {
                ranks: verdict.ranks,
                missing: verdict.missing,
                steps: numbers.len() as u64,
                step_ns: verdict.step_ns,
                collectives: verdict.collectives,
                on_device: verdict.on_device,
                files: read.totals.files,
                incomplete: read.totals.incomplete,
                events: read.totals.events,
            },
            totals: totals.divide(),
            steps: StepSeries::of_parts(&job.parts, &numbers, known_causes),
            rank_times: RankSeries::of_parts(&job.parts, known_causes),
            heat: HeatMap::of_parts(&job.parts, &numbers, &result.lateness),
            ranks: list_ranks(job, result),
            links: list_links(job, result),
            collectives: list_collectives(costs, &read.job),
            names: list_names(samples),
            program: list_program(read),
            flame: Flame::of_tree(&read.program.paths),
            memory: MemoryData::default(),
            reading: TableData::first(
                MOST_FAULTS,
                read.faults.iter().map(|(path, what)| row![path.as_str(), what.as_str()]),
            ),
            findings: Findings::default(),
            comparison: None,
        }
    }
}

/// Maximum number of names in a command that the page shows.
const MOST_NAMED: usize = 3;

/// The names of the traces: of many, the first and how many more.
fn title_of(job: &Job) -> String {
    let name = |path: &String| {
        let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
        crate::page::cut_text(&name.unwrap_or_else(|| path.clone()))
    };
    let first = job.parts.first().map(|part| name(&part.path)).unwrap_or_default();
    match job.parts.len() {
        0 | 1 => first,
        n => format!("{first} and {} more", format_count(n as u64 - 1)),
    }
}

/// Reads the findings from records of `traceq check`. Other records are passed over.
fn read_findings(path: &Path) -> anyhow::Result<Vec<Finding>> {
    /// Maximum length of a line in bytes, and number of findings: far more than is shown.
    const MOST_LINE: u64 = 1 << 20;
    const MOST_FINDINGS: usize = 100_000;
    let mut lines = open_input(path).with_context(|| path.display().to_string())?;
    let (mut findings, mut number) = (Vec::new(), 0_u64);
    let name = lines.name.clone();
    while let Some(line) = lines.next_line(b'\n', MOST_LINE).with_context(|| name.clone())? {
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let place = || format!("{name}:{number}");
        let record: serde_json::Value = serde_json::from_slice(&line)
            .context("no record: expected a line of JSON")
            .with_context(place)?;
        if record["type"] == TraceFinding::TYPE && findings.len() < MOST_FINDINGS {
            let found: TraceFinding = serde_json::from_value(record).with_context(place)?;
            findings.push(found.finding);
        }
    }
    Ok(findings)
}

fn list_ranks(job: &Job, result: &RanksResult) -> TableData {
    let mut order: Vec<usize> = (0..job.parts.len()).collect();
    let others_wait = |index: usize| result.lateness.ranks.get(index).map_or(0, |rank| rank.others_wait);
    // The slow ranks are there, whatever the others cost.
    let blamed: BTreeSet<usize> =
        result.verdict.causes.iter().filter_map(|found| found.place.rank()).collect();
    order.sort_by_key(|&i| (!blamed.contains(&i), std::cmp::Reverse(others_wait(i)), job.parts[i].rank));
    let rows = order.into_iter().map(|index| {
        let part = &job.parts[index];
        let r = ranks::rank_record(job, part, index, result);
        let mut cells = row![
            r.rank,
            r.path.as_str(),
            r.steps,
            r.late_ns,
            r.last,
            r.collectives,
            r.others_wait_ns,
            r.step_ns,
            r.compute_ns,
            r.exposed_communication_ns,
            r.exposed_copy_ns,
        ];
        let idle = known_causes(part, part.mean_step());
        cells.extend(IdleCause::ALL.iter().map(|cause| Cell::from(idle.idle_for(*cause))));
        cells.push(Cell::from(r.clock_offset_ns));
        cells
    });
    TableData::first(MOST_RANKS, rows)
}

fn list_links(job: &Job, result: &RanksResult) -> TableData {
    let rows = result.links.transfers.iter().map(|slow| {
        let r = ranks::link_record(job, slow);
        let ranks: Vec<String> = r.ranks.iter().map(i64::to_string).collect();
        row![r.kind.as_str(), r.bytes, r.time_ns, r.usual_ns, r.count, ranks.join(", ").as_str()]
    });
    TableData::first(MOST_LINKS, rows)
}

fn list_collectives(costs: &CollectiveCosts, job: &Job) -> TableData {
    let rows = costs.records(job);
    let rows = rows.iter().map(|r| {
        let group = match r.pair {
            Some((from, to)) => format!("{} {from} to {to}", r.group),
            None => r.group.clone(),
        };
        let exposed = (r.total_ns > 0).then(|| r.exposed_ns as f64 / r.total_ns as f64);
        row![
            r.kind.as_str(),
            r.bytes,
            r.group_size.unwrap_or(r.ranks),
            r.count,
            r.time_ns,
            r.transfer_ns,
            r.algorithm_gbps,
            r.bus_gbps,
            r.total_ns,
            exposed,
            group.as_str()
        ]
    });
    TableData::first(MOST_COLLECTIVES, rows)
}

/// The names with the most time: of each kind, so that operators, which contain each other, leave room for kernels.
fn list_names(samples: &SetSamples) -> TableData {
    let steps = samples.steps().max(1);
    let (mut rows, mut left_out, mut time_left_out) = (Vec::new(), 0, 0);
    for kind in [ItemKind::Kernel, ItemKind::Operator, ItemKind::Collective] {
        let mut names: Vec<_> = samples.each_name().filter(|(k, ..)| *k == kind).collect();
        names.sort_by_key(|(_, name, time, _)| (*name == OTHER_NAMES, std::cmp::Reverse(*time)));
        let whole = sum_times(names.iter().map(|(_, _, time, _)| *time)).max(1);
        for (place, (kind, name, time, calls)) in names.into_iter().enumerate() {
            if place >= MOST_NAMES {
                left_out += 1;
                time_left_out = i64::saturating_add(time_left_out, time);
                continue;
            }
            rows.push(row![
                kind.name(),
                name,
                time / i64::try_from(steps).unwrap_or(i64::MAX),
                calls as f64 / steps as f64,
                time / i64::try_from(calls.max(1)).unwrap_or(i64::MAX),
                time as f64 / whole as f64
            ]);
        }
    }
    TableData::first(rows.len(), rows.into_iter()).and_left_out(left_out, time_left_out)
}

fn list_program(read: &ReadJob) -> TableData {
    let mut records = super::modules::list_records(&read.program);
    let (mut shown, mut before) = (0, String::new());
    let all = records.len();
    // Of each part, those with the most time; they come so.
    records.retain(|r| {
        if r.part != before {
            (shown, before) = (0, r.part.clone());
        }
        shown += 1;
        shown <= MOST_PARTS
    });
    let left_out = all - records.len();
    let rows = records.iter().map(|r| {
        let name = r.name.as_deref().unwrap_or("(none)");
        row![r.part.as_str(), name, r.own_ns, r.total_ns, r.share, r.count]
    });
    TableData::first(records.len(), rows).and_left_out(left_out as u64, 0)
}

fn compare(base: &Path, other: ReadJob, title: &str, samples: SetSamples, read: &ReadJob) -> ComparisonData {
    let changes = compare_sets(other.samples, samples);
    ComparisonData {
        text: describe_step(&changes),
        base: crate::page::cut_text(&base.display().to_string()),
        new: title.to_owned(),
        base_ranks: other.job.parts.len() as u64,
        new_ranks: read.job.parts.len() as u64,
        changes: TableData::first(MOST_CHANGES, changes.iter().map(change_cells)),
    }
}
