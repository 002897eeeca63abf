//! `tracewhy ranks`: which rank of a job is slow, and why.

use std::collections::BTreeMap;

use clap::Args;
use common::exit::Exit;
use common::out::Out;
use common::record::tracewhy as record;
use trace::report::format_count;
use trace::units::{TimeUnit, format_duration};

use super::{JobArgs, ReportForm, idle_by_cause};
use crate::job::Job;
use crate::job::clocks::{ClockSamples, ClockSkew};
use crate::job::lateness::Lateness;
use crate::job::links::{LinkTimes, SlowLinks, SlowTransfers};
use crate::job::verdict::{BlamedRank, SlowCause, Verdict, judge};
use crate::part::call::{CallFamily, CollectiveKind};
use crate::part::kept::Arrival;
use crate::part::{IdleCause, RankPart, StepTimes};
use crate::report::{LEFT, RIGHT, Report};

/// Say which rank of a job is slow, and why
///
/// Takes one trace of each rank. For every collective in which all wait for the last, it finds who came last and by how
/// much, without comparing clocks; what that rank did meanwhile, it finds by comparing its steps with those of the others.
/// For jobs without devices, such as gloo on CPUs, the operators of their hosts decide. A job in which lateness changes
/// hands from step to step has no slow rank.
#[derive(Args, Debug)]
#[command(arg = super::report_form_arg(), after_long_help = "Examples:\n  \
    tracewhy ranks rank*.json.gz\n  \
    tracewhy --format json ranks rank*.json.gz | head -1 | jq '.rank, .cause'")]
pub(crate) struct RanksArgs {
    #[command(flatten)]
    job: JobArgs,
}

/// What was found of a job.
pub(super) struct RanksResult {
    pub(super) lateness: Lateness,
    pub(super) clocks: BTreeMap<u32, ClockSkew>,
    pub(super) links: SlowLinks,
    pub(super) verdict: Verdict,
}

impl RanksArgs {
    /// Reads the job and judges it.
    pub(crate) fn run(self, out: &mut Out, form: ReportForm) -> anyhow::Result<Exit> {
        let Some(mut read) = self.job.read_job(out)? else { return Ok(Exit::No) };
        let memory = read.memory;
        let mut evidence = RanksEvidence::new(&read.job);
        read.job.each_call(memory, |family, call| evidence.take(family, call))?;
        let job = &read.job;
        let result = evidence.judge(job);
        read.write(out, form, |out| write_records(out, job, &result), || describe(job, &result))
    }
}

/// What a job is judged by, while its collectives are read.
pub(super) struct RanksEvidence {
    lateness: Lateness,
    clocks: ClockSamples,
    links: LinkTimes,
    /// Work ran on devices.
    on_device: bool,
}

impl RanksEvidence {
    /// Of a job whose ranks are all known.
    pub(super) fn new(job: &Job) -> Self {
        Self {
            lateness: Lateness::new(job.parts.len()),
            clocks: ClockSamples::default(),
            links: LinkTimes::default(),
            on_device: job.parts.iter().any(|part| part.on_device),
        }
    }

    /// Takes one collective of the whole job.
    pub(super) fn take(&mut self, family: &CallFamily, call: &[Arrival]) {
        // Processes leave a barrier of gloo one after the other, as the host has time for them.
        if family.kind == CollectiveKind::Barrier && !self.on_device {
            return;
        }
        self.lateness.take(family, call);
        self.clocks.take(family, call);
        self.links.take(family, call);
    }

    /// Judges the job.
    pub(super) fn judge(self, job: &Job) -> RanksResult {
        let links = self.links.find_slow();
        let verdict = judge(job, &self.lateness, &links);
        RanksResult { lateness: self.lateness, clocks: self.clocks.fit(), links, verdict }
    }
}

/// So many ranks without a trace are named.
const MOST_MISSING: usize = 32;

fn write_records(out: &mut Out, job: &Job, result: &RanksResult) -> std::io::Result<()> {
    out.record(&verdict_record(job, result))?;
    for (index, part) in job.parts.iter().enumerate() {
        out.record(&rank_record(job, part, index, result))?;
    }
    result.links.transfers.iter().try_for_each(|slow| out.record(&link_record(job, slow)))
}

/// A slow link as it is reported.
pub(super) fn link_record(job: &Job, slow: &SlowTransfers) -> record::SlowLinkRecord {
    let ranks = slow.parts.iter().take(64).filter_map(|p| rank_of(job, *p as usize));
    record::SlowLinkRecord {
        kind: slow.family.kind.name().to_owned(),
        group: slow.family.group.clone(),
        ranks: ranks.collect(),
        bytes: slow.family.bytes,
        count: slow.count,
        time_ns: slow.time,
        usual_ns: slow.usual,
    }
}

pub(super) fn rank_of(job: &Job, index: usize) -> Option<i64> {
    job.parts.get(index).map(|part| part.rank)
}

pub(super) fn verdict_record(job: &Job, result: &RanksResult) -> record::RanksVerdict {
    let Verdict { blamed, undecided, steps, step_length, .. } = &result.verdict;
    let of_blamed = blamed.as_ref();
    record::RanksVerdict {
        rank: of_blamed.and_then(|b| rank_of(job, b.part)),
        cause: of_blamed.map(|b| b.cause.name().to_owned()),
        lost_ns: of_blamed.map_or(0, |b| b.lost),
        confidence: round(of_blamed.map_or_else(|| confidence_of_none(result), |b| b.confidence)),
        peer: of_blamed.and_then(|b| b.peer).and_then(|peer| rank_of(job, peer)),
        late_ns: of_blamed.map(|b| b.late),
        ratio: of_blamed.and_then(|b| b.ratio).map(round),
        more_kernels: of_blamed.and_then(|b| b.more_kernels),
        only_steps: of_blamed.map(|b| b.only_steps.clone()).unwrap_or_default(),
        ranks: job.parts.len() as u64,
        missing: job.world_size().saturating_sub(job.parts.len()) as u64,
        missing_ranks: job.missing_ranks(MOST_MISSING),
        steps: *steps as u64,
        step_ns: *step_length,
        collectives: result.lateness.collectives,
        on_device: job.parts.iter().any(|part| part.on_device),
        undecided: undecided.clone(),
    }
}

/// That no rank is slow is as sure as the share of the ranks that were seen, if collectives could be compared at all.
fn confidence_of_none(result: &RanksResult) -> f64 {
    if result.lateness.collectives == 0 || result.verdict.steps < 3 {
        return 0.0;
    }
    if result.verdict.undecided.is_empty() { 0.95 } else { 0.5 }
}

fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// The mean of the steps of a rank.
pub(super) fn mean_step(part: &RankPart) -> StepTimes {
    let mut times = part.total();
    let count = i64::try_from(part.steps.len()).unwrap_or(i64::MAX).max(1);
    for time in [
        &mut times.compute,
        &mut times.communication,
        &mut times.exposed_communication,
        &mut times.exposed_copy,
    ]
    .into_iter()
    .chain(&mut times.idle)
    {
        *time /= count;
    }
    times
}

pub(super) fn rank_record(
    job: &Job,
    part: &RankPart,
    index: usize,
    result: &RanksResult,
) -> record::RankLateness {
    let times = mean_step(part);
    let arrivals = result.lateness.ranks.get(index).cloned().unwrap_or_default();
    let clock = u32::try_from(index).ok().and_then(|index| result.clocks.get(&index));
    record::RankLateness {
        path: part.path.clone(),
        rank: part.rank,
        steps: part.steps.len() as u64,
        late_ns: result.verdict.levels.get(index).copied().unwrap_or(0),
        collectives: arrivals.compared,
        last: arrivals.last,
        lost_ns: arrivals.lost,
        step_ns: times.span(),
        compute_ns: times.compute,
        exposed_communication_ns: times.exposed_communication,
        exposed_copy_ns: times.exposed_copy,
        idle_ns: times.idle(),
        idle_by_cause: idle_by_cause(&times),
        clock_against: clock.and_then(|c| rank_of(job, c.against as usize)),
        clock_offset_ns: clock.map(|c| c.fit.offset),
        clock_drift_ppb: clock.and_then(ClockSkew::drift_per_second),
    }
}

/// The line that says the most important thing.
pub(super) fn headline(job: &Job, result: &RanksResult) -> String {
    let Verdict { blamed, steps, .. } = &result.verdict;
    let Some(b) = blamed else {
        let count = job.parts.len();
        return match (count, result.lateness.collectives) {
            (0 | 1, _) => "who is slow is not known: one rank can be compared with no other".to_owned(),
            (_, 0) => "who is slow is not known: the ranks share no collective in which all wait".to_owned(),
            _ => format!(
                "no rank is slow, of {count} in {steps} steps: who comes last changes, or it does not matter"
            ),
        };
    };
    let rank = rank_of(job, b.part).unwrap_or(-1);
    let what = match (b.peer.and_then(|peer| rank_of(job, peer)), b.ratio) {
        (Some(peer), _) => format!("its transfers with rank {peer} take longer"),
        (None, Some(ratio)) if (1.05..100.0).contains(&ratio) && b.cause != SlowCause::Host => {
            format!("{}, {ratio:.2} times as long as the others", b.cause.describe())
        }
        _ => b.cause.describe().to_owned(),
    };
    let confidence = b.confidence;
    format!("rank {rank} is slow: {what}{} (confidence {confidence:.2})", when(b, *steps))
}

fn when(blamed: &BlamedRank, steps: usize) -> String {
    match blamed.only_steps.as_slice() {
        [] => format!("; it comes {} late in each of {steps} steps", format_duration(blamed.late)),
        [step] => format!("; it comes {} late in step {step}", format_duration(blamed.late)),
        [first, ..] => {
            let count = blamed.only_steps.len();
            format!(
                "; it comes {} late in {count} of {steps} steps, first in step {first}",
                format_duration(blamed.late)
            )
        }
    }
}

fn describe(job: &Job, result: &RanksResult) -> Report {
    let mut report = Report::new(headline(job, result));
    let mut order: Vec<usize> = (0..job.parts.len()).collect();
    let lost = |index: usize| result.lateness.ranks.get(index).map_or(0, |rank| rank.lost);
    order.sort_by_key(|&index| (std::cmp::Reverse(lost(index)), job.parts[index].rank));
    let records: Vec<record::RankLateness> =
        order.iter().map(|&index| rank_record(job, &job.parts[index], index, result)).collect();
    let unit = TimeUnit::for_largest(records.iter().map(|r| r.step_ns).max().unwrap_or(0));
    let columns = [
        ("rank", RIGHT),
        ("late", RIGHT),
        ("last in", RIGHT),
        ("others lose", RIGHT),
        ("step", RIGHT),
        ("compute", RIGHT),
        ("copy", RIGHT),
        ("input", RIGHT),
        ("garbage", RIGHT),
        ("other idle", RIGHT),
        ("exposed comm", RIGHT),
        ("clock", RIGHT),
    ];
    let rows = records.iter().map(|r| {
        let cause = |cause: IdleCause| r.idle_by_cause.get(cause.name()).copied().unwrap_or(0);
        let (input, garbage) = (cause(IdleCause::Input), cause(IdleCause::Garbage));
        let other = r.idle_ns - input - garbage;
        let mut cells = vec![r.rank.to_string(), unit.format_time(r.late_ns)];
        cells.push(format!("{} of {}", format_count(r.last), format_count(r.collectives)));
        let times = [
            r.lost_ns,
            r.step_ns,
            r.compute_ns,
            r.exposed_copy_ns,
            input,
            garbage,
            other,
            r.exposed_communication_ns,
        ];
        cells.extend(times.iter().map(|time| unit.format_time(*time)));
        cells.push(r.clock_offset_ns.map_or_else(|| "-".to_owned(), |offset| unit.format_time(offset)));
        cells
    });
    let title = format!(
        "{}, per step, in {}; what others lose is of all {} steps and ranks",
        if job.parts.iter().any(|p| p.on_device) { "devices" } else { "operators of the host" },
        unit.name,
        result.verdict.steps
    );
    report.add_table(title, &columns, rows.collect());
    add_links(&mut report, job, &result.links);
    list_notes(job, result).into_iter().for_each(|note| report.add_note(note));
    report
}

fn add_links(report: &mut Report, job: &Job, links: &SlowLinks) {
    if links.transfers.is_empty() {
        return;
    }
    let columns = [
        ("kind", LEFT),
        ("bytes", RIGHT),
        ("time", RIGHT),
        ("usual", RIGHT),
        ("count", RIGHT),
        ("ranks", LEFT),
    ];
    let rows = links.transfers.iter().map(|t| {
        let ranks: Vec<String> =
            t.parts.iter().take(8).filter_map(|p| rank_of(job, *p as usize)).map(|r| r.to_string()).collect();
        let more = if t.parts.len() > 8 { ", …" } else { "" };
        vec![
            t.family.kind.name().to_owned(),
            t.family.bytes.map_or_else(|| "-".to_owned(), format_count),
            format_duration(t.time),
            format_duration(t.usual),
            format_count(t.count),
            ranks.join(", ") + more,
        ]
    });
    report.add_table("transfers that take longer than equal ones of other ranks", &columns, rows.collect());
}

/// Sentences that explain the verdict, and say what was not decided.
pub(super) fn list_notes(job: &Job, result: &RanksResult) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(more) = result.verdict.blamed.as_ref().and_then(|b| b.more_kernels) {
        notes.push(if more {
            "it runs more computations than the others: its share of the work is larger".to_owned()
        } else {
            "it runs as many computations as the others, and they take longer: a slower device, or larger inputs"
                .to_owned()
        });
    }
    let furthest = result.clocks.values().map(|c| c.fit.offset.abs()).max().unwrap_or(0);
    let drift =
        result.clocks.values().filter_map(ClockSkew::drift_per_second).map(i64::abs).max().unwrap_or(0);
    if furthest > 0 {
        let drift = if drift > 0 {
            format!(", and drift by up to {:.1} us/s", drift as f64 / 1e3)
        } else {
            String::new()
        };
        notes.push(format!(
            "clocks differ by up to {}{drift}; no lateness was told from them",
            format_duration(furthest)
        ));
    }
    if job.parts.iter().any(|part| !part.has_steps) {
        notes.push("traces without steps were divided into parts of equally many collectives".to_owned());
    }
    notes.extend(result.verdict.undecided.iter().map(|undecided| format!("not decided: {undecided}")));
    notes
}
