//! `tracewhy critical`: what a step waits for from its beginning to its end, and what it would gain.

use std::collections::BTreeMap;

use clap::Args;
use common::exit::Exit;
use common::out::Out;
use common::record::tracewhy as record;
use trace::report::format_count;
use trace::shorten::short_name;
use trace::units::{TimeUnit, format_duration, format_percent};

use super::single::TraceOfRank;
use super::{JobArgs, ReportForm};
use crate::critical::PathCause;
use crate::critical::build::{JobGraph, build_graph};
use crate::critical::collect::{BudgetSpent, PathBudget, PathRank, PathSink};
use crate::critical::graph::{PathGraph, Wait};
use crate::critical::path::{StepPath, walk_back};
use crate::critical::replay::{order_nodes, replay_without};
use crate::part::number::number_ranks;
use crate::report::{LEFT, RIGHT, Report};

/// Say what a step waits for from its beginning to its end, over hosts, devices and ranks
///
/// The critical path goes from the end of a step back to its beginning, always to what was waited for last: the launch,
/// the work before on the stream, an event of another stream, the device that the host waited for, the rank that came
/// last to a collective. It is as long as the step. For the operators that take most of it, the steps are replayed as
/// if the operator took no time: a step gains at most its time on the path, and less where other work takes its place.
#[derive(Args, Debug)]
#[command(arg = super::report_form_arg(), after_long_help = "Examples:\n  \
    tracewhy critical rank*.json.gz\n  \
    tracewhy --format json critical rank0.json.gz | jq 'select(.gain_ns > 1000000)'")]
pub(crate) struct CriticalArgs {
    /// Of how many operators to say what a step would gain
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    number: usize,
    #[command(flatten)]
    job: JobArgs,
}

/// The path of one step of the job.
struct JobStep {
    number: i64,
    length: i64,
    path: StepPath,
}

/// The path of a job: through the steps of the rank that takes longest.
#[derive(Default)]
struct JobPath {
    /// Index of the rank.
    rank: usize,
    steps: Vec<JobStep>,
    /// The nodes that may end the last step, and those that ran when the first began.
    ends: Vec<Wait>,
    begin: Option<Wait>,
}

/// A step of a rank: its number, begin and end.
struct RankStep {
    number: i64,
    begin: i64,
    end: Wait,
    ends: Vec<Wait>,
}

impl CriticalArgs {
    /// Reads the job and writes its path.
    pub(crate) fn run(self, out: &mut Out, form: ReportForm) -> anyhow::Result<Exit> {
        let mut ranks: Vec<PathRank> = Vec::new();
        let options = self.job.options()?;
        let mut budget = PathBudget::new(options.memory);
        let mut left_out = LeftOut::default();
        let totals = self.job.each_rank(out, &options, PathSink::new, |out, rank, sink| {
            match sink.finish(rank.rank, &mut budget) {
                Ok(done) => ranks.push(done),
                Err(e) if e.is::<BudgetSpent>() => left_out.add(rank),
                Err(e) => out.failed(&rank.path, &e),
            }
            Ok(())
        })?;
        left_out.report(out, ranks.len());
        let Some(totals) = totals else { return Ok(Exit::No) };
        number_ranks(ranks.iter_mut().map(|rank| &mut rank.rank));
        let job = build_graph(&ranks);
        let path = find_path(&ranks, &job);
        let records = to_records(&ranks, &job.graph, &path, self.number);
        match form {
            ReportForm::Json => {
                out.record(&records.verdict)?;
                records.items.iter().try_for_each(|item| out.record(item))?;
                records.steps.iter().try_for_each(|step| out.record(step))?;
                totals.write_summary(out)?;
            }
            ReportForm::Md => describe(&records).write_markdown(out.text())?,
            _ => describe(&records).write_text(out.text())?,
        }
        Ok(Exit::Ok)
    }
}

/// Ranks that do not fit into memory.
#[derive(Default)]
struct LeftOut {
    first: Option<String>,
    count: u64,
}

impl LeftOut {
    fn add(&mut self, rank: TraceOfRank) {
        self.first.get_or_insert(rank.path);
        self.count += 1;
    }

    /// Says what is not on the path.
    fn report(&self, out: &Out, kept: usize) {
        let Some(first) = &self.first else { return };
        if self.count == 1 {
            return out.error(first, BudgetSpent);
        }
        let more = self.count - 1;
        out.error(
            first,
            format_args!(
                "{BudgetSpent}; so have {more} more ranks: the path is that of the {kept} that fit, without these"
            ),
        );
    }
}

/// The steps of a rank: from the end of the one before, or from its mark, to the end of all that it launched.
fn steps_of_rank(rank: &PathRank, job: &JobGraph, index: usize) -> Vec<RankStep> {
    let Some(nodes) = job.ranks.get(index) else { return Vec::new() };
    let mut work: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, piece) in rank.work.iter().enumerate() {
        let moment = piece.launch.map_or(piece.start, |(_, at)| at);
        if let Some(step) = rank.steps.at(moment) {
            work.entry(step).or_default().push(number);
        }
    }
    let mut out: Vec<RankStep> = Vec::new();
    for (place, step) in rank.steps.all().iter().enumerate() {
        let own = work.remove(&place).unwrap_or_default();
        let ends = nodes.ends_of_step(&job.graph, rank.main, step.end, own.into_iter());
        let begin = out.last().map_or(step.start, |before| before.end.at);
        if let Some(end) = ends.iter().copied().max_by_key(|end| end.at).filter(|end| end.at > begin) {
            out.push(RankStep { number: step.number, begin, end, ends });
        }
    }
    out
}

/// The path from the end of the rank whose steps take longest together.
fn find_path(ranks: &[PathRank], job: &JobGraph) -> JobPath {
    let length = |steps: &[RankStep]| match (steps.first(), steps.last()) {
        (Some(first), Some(last)) => last.end.at - first.begin,
        _ => 0,
    };
    let of_ranks = ranks.iter().enumerate().map(|(index, rank)| (index, steps_of_rank(rank, job, index)));
    // Of equal ones, the first.
    let longest = of_ranks.rev().max_by_key(|(_, steps)| length(steps));
    let Some((index, steps)) = longest else { return JobPath::default() };
    let (Some(first), Some(last), Some(rank)) = (steps.first(), steps.last(), ranks.get(index)) else {
        return JobPath::default();
    };
    let lengths: Vec<i64> = steps.iter().map(|step| step.end.at - step.begin).collect();
    let paths = walk_back(&job.graph, last.end.node, last.end.offset, &lengths);
    let begin =
        job.ranks.get(index).and_then(|nodes| nodes.begin_of_step(&job.graph, rank.main, first.begin));
    let ends = last.ends.clone();
    let of_step = |(step, path): (&RankStep, StepPath)| JobStep {
        number: step.number,
        length: step.end.at - step.begin,
        path,
    };
    JobPath { rank: index, steps: steps.iter().zip(paths).map(of_step).collect(), ends, begin }
}

/// The records of the result.
struct CriticalRecords {
    verdict: record::CriticalPath,
    items: Vec<record::CriticalItem>,
    steps: Vec<record::CriticalStep>,
}

/// By how much a moment comes earlier, where the ends of nodes do by `ends`.
fn shift_at(ends: &[i64], wait: &Wait) -> i64 {
    ends.get(wait.node as usize).copied().unwrap_or(0)
}

fn named_causes(by_cause: &BTreeMap<PathCause, i64>, count: i64) -> BTreeMap<String, i64> {
    let named = |cause: PathCause| Some((cause.name().to_owned(), by_cause.get(&cause)? / count));
    PathCause::ALL.into_iter().filter_map(named).collect()
}

fn to_records(ranks: &[PathRank], graph: &PathGraph, path: &JobPath, most: usize) -> CriticalRecords {
    let steps = &path.steps;
    let count = i64::try_from(steps.len()).unwrap_or(i64::MAX).max(1);
    let (mut by_cause, mut by_item) = (BTreeMap::new(), BTreeMap::new());
    for step in steps {
        for (cause, time) in &step.path.by_cause {
            *by_cause.entry(*cause).or_insert(0) += time;
        }
        for ((item, cause), (time, pieces)) in &step.path.by_item {
            let (sum, n, causes): &mut (i64, u64, BTreeMap<PathCause, i64>) =
                by_item.entry(*item).or_default();
            *sum += time;
            *n += pieces;
            *causes.entry(*cause).or_default() += time;
        }
    }
    let whole: i64 = steps.iter().map(|step| step.length).sum();
    let mut ordered: Vec<_> = by_item.into_iter().collect();
    ordered.sort_by_key(|(item, (time, ..))| (std::cmp::Reverse(*time), *item));
    let order = if ordered.is_empty() || most == 0 { Vec::new() } else { order_nodes(graph) };
    let items = ordered.into_iter().enumerate().filter_map(|(place, (item, (time, pieces, causes)))| {
        let name = graph.items.get(item as usize)?;
        let gain = (place < most).then(|| gain_without(graph, &order, item, path) / count);
        Some(record::CriticalItem {
            kind: name.kind.to_owned(),
            name: name.name.clone(),
            path_ns: time / count,
            share: (whole > 0).then(|| time as f64 / whole as f64),
            count: pieces,
            by_cause: named_causes(&causes, count),
            // Of means, rounding may exceed.
            gain_ns: gain.map(|gain| gain.min(time / count)),
        })
    });
    let items = items.collect();
    let rank_of = |index: usize| ranks.get(index).map_or(-1, |rank| rank.rank);
    let step_record = |step: &JobStep| record::CriticalStep {
        step: step.number,
        rank: rank_of(path.rank),
        step_ns: step.length,
        path_ns: step.path.length(),
        by_cause: named_causes(&step.path.by_cause, 1),
        by_rank: step
            .path
            .by_rank
            .iter()
            .map(|(rank, time)| (rank_of(*rank as usize).to_string(), *time))
            .collect(),
    };
    CriticalRecords {
        verdict: record::CriticalPath {
            ranks: ranks.len() as u64,
            steps: steps.len() as u64,
            step_ns: whole / count,
            by_cause: named_causes(&by_cause, count),
            on_device: ranks.iter().any(|rank| !rank.work.is_empty()),
        },
        items,
        steps: steps.iter().map(step_record).collect(),
    }
}

/// Computes the gain of all steps together without an item.
fn gain_without(graph: &PathGraph, order: &[u32], item: u32, path: &JobPath) -> i64 {
    let ends = replay_without(graph, order, item);
    let recorded = path.ends.iter().map(|end| end.at).max().unwrap_or(0);
    let moved = path.ends.iter().map(|end| end.at + shift_at(&ends, end)).max().unwrap_or(0);
    // What was there before the first step is no gain of steps; what begins with it has moved by nothing but that.
    let before =
        path.begin.as_ref().filter(|begin| begin.offset.is_none()).map_or(0, |begin| shift_at(&ends, begin));
    (recorded - moved + before).max(0)
}

fn describe(records: &CriticalRecords) -> Report {
    let CriticalRecords { verdict, items, steps } = records;
    if verdict.steps == 0 {
        return Report::new(
            "the traces mark no steps, so no step has a path: name the ranges that are steps with --step-name"
                .to_owned(),
        );
    }
    let share =
        |time: i64| format_percent((verdict.step_ns > 0).then(|| time as f64 / verdict.step_ns as f64));
    let mut causes: Vec<(&String, i64)> =
        verdict.by_cause.iter().map(|(cause, time)| (cause, *time)).collect();
    causes.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    let first = causes.first().map_or_else(String::new, |(cause, time)| {
        format!(", {} of it {}", share(*time), cause.replace('_', " "))
    });
    let best = items.iter().filter(|item| item.kind != "host").max_by_key(|item| item.gain_ns);
    let gain = best.filter(|item| item.gain_ns > Some(0)).map_or_else(String::new, |item| {
        format!(
            "; without {} it would be {} shorter",
            short_name(&item.name),
            share(item.gain_ns.unwrap_or(0))
        )
    });
    let mut report = Report::new(format!("a step takes {}{first}{gain}", format_duration(verdict.step_ns)));
    let unit = TimeUnit::for_largest(verdict.step_ns);
    let rows = causes
        .iter()
        .map(|(cause, time)| vec![unit.format_time(*time), share(*time), cause.replace('_', " ")]);
    report.add_table(
        match verdict.steps {
            1 => format!("the path of the step, in {}", unit.name),
            n => format!("the path of a step, mean of {n} steps, in {}", unit.name),
        },
        &[("time", RIGHT), ("%", RIGHT), ("cause", LEFT)],
        rows.collect(),
    );
    let rows = items.iter().map(|item| {
        vec![
            unit.format_time(item.path_ns),
            format_percent(item.share),
            item.gain_ns.map_or_else(|| "-".to_owned(), |gain| unit.format_time(gain)),
            format_count(item.count),
            item.kind.clone(),
            item.name.clone(),
        ]
    });
    let columns =
        [("on path", RIGHT), ("%", RIGHT), ("gain", RIGHT), ("count", RIGHT), ("kind", LEFT), ("name", LEFT)];
    report.add_table("what is on it, and what a step would gain if it were free", &columns, rows.collect());
    if verdict.ranks > 1 {
        let mut by_rank: BTreeMap<&String, i64> = BTreeMap::new();
        for (rank, time) in steps.iter().flat_map(|step| &step.by_rank) {
            *by_rank.entry(rank).or_default() += time;
        }
        let mut rows: Vec<_> = by_rank.into_iter().collect();
        rows.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        let whole: i64 = rows.iter().map(|(_, time)| time).sum();
        let percent = |time: i64| format_percent((whole > 0).then(|| time as f64 / whole as f64));
        let rows = rows.into_iter().map(|(rank, time)| vec![rank.clone(), percent(time)]);
        report.add_table("ranks that it is on", &[("rank", RIGHT), ("%", RIGHT)], rows.collect());
    }
    if !verdict.on_device {
        report.add_note(
            "nothing ran on a device: the path is that of the host, and collectives are part of it",
        );
    }
    report
}
