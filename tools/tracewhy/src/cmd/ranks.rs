//! `tracewhy ranks`: which rank of a job is slow, and why.

use std::collections::BTreeMap;

use clap::Args;
use common::exit::Exit;
use common::out::Out;
use common::record::tracewhy as record;
use common::text::count_noun;
use trace::report::format_count;
use trace::spool::MemoryLimit;
use trace::units::{TimeUnit, format_duration};

use super::verdict_text::{headline, list_notes};
use super::{JobArgs, ReportForm, idle_by_cause};
use crate::job::Job;
use crate::job::clocks::{ClockSamples, ClockSkew};
use crate::job::evidence::{FoundCause, SlowPlace};
use crate::job::hiccups::Hiccup;
use crate::job::lateness::Lateness;
use crate::job::links::{LinkTimes, SlowLinks, SlowTransfers};
use crate::job::meetings::Meetings;
use crate::job::verdict::{Verdict, find_verdict};
use crate::part::call::{CallFamily, CollectiveKind};
use crate::part::kept::Arrival;
use crate::part::{IdleCause, RankPart};
use crate::report::{LEFT, RIGHT, Report};

/// Say which ranks of a job are slow, and why
///
/// Takes one trace of each rank. By the collectives in which all wait for the last, it finds who comes late and by how
/// much, without comparing clocks; what such a rank did meanwhile, it finds by comparing its steps with those of the others.
/// What costs the others most comes first. For jobs without devices, such as gloo on CPUs, the operators of their hosts
/// decide. A job in which lateness changes hands from step to step has no slow rank.
#[derive(Args, Debug)]
#[command(arg = super::report_form_arg(), after_long_help = "Examples:\n  \
    tracewhy ranks rank*.json.gz\n  \
    tracewhy --format json ranks rank*.json.gz | head -1 | jq '.rank, .cause'")]
pub(crate) struct RanksArgs {
    #[command(flatten)]
    job: JobArgs,
}

/// The result about a job.
pub(super) struct RanksResult {
    pub(super) lateness: Lateness,
    pub(super) clocks: BTreeMap<u32, ClockSkew>,
    pub(super) links: SlowLinks,
    pub(super) verdict: Verdict,
}

impl RanksArgs {
    /// Reads the job and decides which rank is slow.
    pub(crate) fn run(self, out: &mut Out, form: ReportForm) -> anyhow::Result<Exit> {
        let Some(mut read) = self.job.read_single_ranks(out)? else { return Ok(Exit::No) };
        let memory = read.memory;
        let mut evidence = RanksEvidence::new(&read.job, memory);
        read.job.each_call(memory, |family, call| evidence.take(family, call))?;
        let job = &read.job;
        let result = evidence.decide(job)?;
        read.write(out, form, |out| write_records(out, job, &result), || describe(job, &result))
    }
}

/// The evidence about a job while its collectives are read.
pub(super) struct RanksEvidence {
    lateness: Lateness,
    clocks: ClockSamples,
    links: LinkTimes,
    meetings: Meetings,
    /// Work ran on devices.
    on_device: bool,
}

impl RanksEvidence {
    /// Of a job whose ranks are all known.
    pub(super) fn new(job: &Job, memory: MemoryLimit) -> Self {
        Self {
            lateness: Lateness::of_job(job),
            clocks: ClockSamples::default(),
            links: LinkTimes::default(),
            meetings: Meetings::new(memory),
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
        self.meetings.take(family, call);
    }

    /// Decides which ranks are slow.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(super) fn decide(self, job: &Job) -> std::io::Result<RanksResult> {
        let (links, mut lateness) = (self.links.find_slow(), self.lateness);
        let verdict = find_verdict(job, &mut lateness, &links, self.meetings)?;
        Ok(RanksResult { lateness, clocks: self.clocks.fit(), links, verdict })
    }
}

/// Maximum number of ranks without a trace that are named.
const MOST_MISSING: usize = 32;

fn write_records(out: &mut Out, job: &Job, result: &RanksResult) -> std::io::Result<()> {
    out.record(&verdict_record(job, result))?;
    result.verdict.causes.iter().try_for_each(|found| out.record(&cause_record(job, found)))?;
    result.verdict.hiccups.iter().try_for_each(|hiccup| out.record(&hiccup_record(job, hiccup)))?;
    for (index, part) in job.parts.iter().enumerate() {
        out.record(&rank_record(job, part, index, result))?;
    }
    result.links.transfers.iter().try_for_each(|slow| out.record(&link_record(job, slow)))
}

/// A slow link as it is reported.
pub(super) fn link_record(job: &Job, slow: &SlowTransfers) -> record::SlowLinkRecord {
    let ranks = slow.parts.iter().take(64).filter_map(|p| job.rank_of(*p as usize));
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

/// Something that makes others wait, as it is reported.
fn cause_record(job: &Job, found: &FoundCause) -> record::SlowCauseRecord {
    let (group, parts) = match &found.place {
        SlowPlace::Group(name, parts) => (Some(name.clone()), parts.as_slice()),
        _ => (None, [].as_slice()),
    };
    record::SlowCauseRecord {
        rank: found.place.rank().and_then(|part| job.rank_of(part)),
        cause: found.cause.name().to_owned(),
        peer: found.place.peer().and_then(|part| job.rank_of(part)),
        group,
        ranks: parts.iter().take(MOST_OF_GROUP).filter_map(|part| job.rank_of(*part)).collect(),
        lost_ns: found.lost,
        late_ns: found.late,
        ratio: found.ratio.map(round),
        more_kernels: found.more_kernels,
        slow_steps: found.slow_steps as u64,
        steps: found.steps as u64,
        only_steps: found.only_steps.clone(),
        kernel: found.kernel.as_ref().map(|kernel| kernel.name.clone()),
        kernel_ns: found.kernel.as_ref().map(|kernel| kernel.time),
        kernel_usual_ns: found.kernel.as_ref().map(|kernel| kernel.usual),
        confidence: round(found.confidence),
    }
}

/// A step in which a rank was late that is not slow, as it is reported.
fn hiccup_record(job: &Job, hiccup: &Hiccup) -> record::HiccupRecord {
    let Hiccup { part, step, late, lost, cause, kernel } = hiccup;
    record::HiccupRecord {
        rank: job.rank_of(*part).unwrap_or(-1),
        step: *step,
        cause: cause.name().to_owned(),
        late_ns: *late,
        lost_ns: *lost,
        kernel: kernel.as_ref().map(|kernel| kernel.name.clone()),
        kernel_ns: kernel.as_ref().map(|kernel| kernel.time),
        kernel_usual_ns: kernel.as_ref().map(|kernel| kernel.usual),
    }
}

/// Maximum number of ranks of a group that are named.
const MOST_OF_GROUP: usize = 64;

pub(super) fn verdict_record(job: &Job, result: &RanksResult) -> record::RanksVerdict {
    let Verdict { causes, hiccups, explained, undecided, steps, step_length, .. } = &result.verdict;
    let first = causes.first();
    let group = first.and_then(|found| match &found.place {
        SlowPlace::Group(name, _) => Some(name.clone()),
        _ => None,
    });
    record::RanksVerdict {
        rank: first.and_then(|found| job.rank_of(found.place.rank()?)),
        group,
        cause: first.map(|found| found.cause.name().to_owned()),
        causes: causes.len() as u64,
        hiccups: hiccups.len() as u64,
        lost_ns: first.map_or(0, |found| found.lost_of_all),
        confidence: round(first.map_or_else(|| confidence_of_none(result), |found| found.confidence)),
        peer: first.and_then(|found| found.place.peer().and_then(|part| job.rank_of(part))),
        late_ns: first.map(|found| found.late_of_all),
        ratio: first.and_then(|found| found.ratio).map(round),
        more_kernels: first.and_then(|found| found.more_kernels),
        only_steps: first.map(|found| found.only_steps.clone()).unwrap_or_default(),
        ranks: job.parts.len() as u64,
        missing: job.world_size().saturating_sub(job.parts.len()) as u64,
        missing_ranks: job.missing_ranks(MOST_MISSING),
        steps: *steps as u64,
        step_ns: *step_length,
        collectives: result.lateness.collectives,
        on_device: job.parts.iter().any(|part| part.on_device),
        explained: explained.clone(),
        undecided: undecided.clone(),
    }
}

/// That no rank is slow is as sure as the share of the ranks that were seen, if collectives could be compared at all.
fn confidence_of_none(result: &RanksResult) -> f64 {
    if result.verdict.steps < 3 {
        return 0.0;
    }
    if result.verdict.undecided.is_empty() { 0.95 } else { 0.5 }
}

fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

pub(super) fn rank_record(
    job: &Job,
    part: &RankPart,
    index: usize,
    result: &RanksResult,
) -> record::RankLateness {
    let times = part.mean_step();
    let arrivals = result.lateness.ranks.get(index).cloned().unwrap_or_default();
    let clock = u32::try_from(index).ok().and_then(|index| result.clocks.get(&index));
    record::RankLateness {
        path: part.path.clone(),
        rank: part.rank,
        steps: part.steps.len() as u64,
        late_ns: result.verdict.levels.get(index).copied().unwrap_or(0),
        collectives: arrivals.compared,
        last: arrivals.last,
        others_wait_ns: arrivals.others_wait,
        step_ns: times.span(),
        compute_ns: times.compute,
        exposed_communication_ns: times.exposed_communication,
        exposed_copy_ns: times.exposed_copy,
        idle_ns: times.idle(),
        idle_by_cause: idle_by_cause(&times),
        clock_against: clock.and_then(|c| job.rank_of(c.against as usize)),
        clock_offset_ns: clock.map(|c| c.fit.offset),
        clock_drift_ppb: clock.and_then(ClockSkew::drift_per_second),
    }
}

fn describe(job: &Job, result: &RanksResult) -> Report {
    let mut report = Report::new(headline(job, &result.verdict));
    let mut order: Vec<usize> = (0..job.parts.len()).collect();
    let others_wait = |index: usize| result.lateness.ranks.get(index).map_or(0, |rank| rank.others_wait);
    order.sort_by_key(|&index| (std::cmp::Reverse(others_wait(index)), job.parts[index].rank));
    let records: Vec<record::RankLateness> =
        order.iter().map(|&index| rank_record(job, &job.parts[index], index, result)).collect();
    let unit = TimeUnit::for_largest(records.iter().map(|r| r.step_ns).max().unwrap_or(0));
    let columns = [
        ("rank", RIGHT),
        ("late", RIGHT),
        ("last in", RIGHT),
        ("others wait", RIGHT),
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
            r.others_wait_ns,
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
        "{}, per step, in {}; what others wait is of {} and all ranks",
        if job.parts.iter().any(|p| p.on_device) { "devices" } else { "operators of the host" },
        unit.name,
        count_noun(result.verdict.steps as u64, "step")
    );
    report.add_table(title, &columns, rows.collect());
    add_links(&mut report, job, &result.links);
    if job.parts.len() == 1 {
        report.add_note("see `tracewhy idle`, `modules` and `critical` for what one rank spends its time on");
    }
    list_notes(job, &result.verdict, &result.clocks).into_iter().for_each(|note| report.add_note(note));
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
            t.parts.iter().take(8).filter_map(|p| job.rank_of(*p as usize)).map(|r| r.to_string()).collect();
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
