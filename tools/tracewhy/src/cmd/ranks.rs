//! `tracewhy ranks`: which rank of a job is slow, and why.

use std::collections::BTreeMap;

use clap::Args;
use common::exit::Exit;
use common::out::Out;
use common::record::tracewhy as record;
use common::text::count_noun;
use trace::report::format_count;
use trace::shorten::short_name;
use trace::units::{TimeUnit, format_duration, format_percent};

use super::{JobArgs, ReportForm, idle_by_cause};
use crate::job::Job;
use crate::job::clocks::{ClockSamples, ClockSkew};
use crate::job::evidence::{FoundCause, SlowCause, SlowPlace};
use crate::job::lateness::Lateness;
use crate::job::links::{LinkTimes, SlowLinks, SlowTransfers};
use crate::job::verdict::{Verdict, find_verdict};
use crate::part::call::{CallFamily, CollectiveKind};
use crate::part::kept::Arrival;
use crate::part::{IdleCause, RankPart, StepTimes};
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
        let mut evidence = RanksEvidence::new(&read.job);
        read.job.each_call(memory, |family, call| evidence.take(family, call))?;
        let job = &read.job;
        let result = evidence.decide(job);
        read.write(out, form, |out| write_records(out, job, &result), || describe(job, &result))
    }
}

/// The evidence about a job while its collectives are read.
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
            lateness: Lateness::of_parts(&job.parts),
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

    /// Decides which ranks are slow.
    pub(super) fn decide(self, job: &Job) -> RanksResult {
        let (links, mut lateness) = (self.links.find_slow(), self.lateness);
        let verdict = find_verdict(job, &mut lateness, &links);
        RanksResult { lateness, clocks: self.clocks.fit(), links, verdict }
    }
}

/// Maximum number of ranks without a trace that are named.
const MOST_MISSING: usize = 32;

fn write_records(out: &mut Out, job: &Job, result: &RanksResult) -> std::io::Result<()> {
    out.record(&verdict_record(job, result))?;
    result.verdict.causes.iter().try_for_each(|found| out.record(&cause_record(job, found)))?;
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

/// Something that makes others wait, as it is reported.
fn cause_record(job: &Job, found: &FoundCause) -> record::SlowCauseRecord {
    let (group, parts) = match &found.place {
        SlowPlace::Group(name, parts) => (Some(name.clone()), parts.as_slice()),
        _ => (None, [].as_slice()),
    };
    record::SlowCauseRecord {
        rank: found.place.rank().and_then(|part| rank_of(job, part)),
        cause: found.cause.name().to_owned(),
        peer: peer_of(job, &found.place),
        group,
        ranks: parts.iter().take(MOST_OF_GROUP).filter_map(|part| rank_of(job, *part)).collect(),
        lost_ns: found.lost,
        late_ns: found.late,
        ratio: found.ratio.map(round),
        more_kernels: found.more_kernels,
        slow_steps: found.slow_steps as u64,
        steps: found.steps as u64,
        only_steps: found.only_steps.clone(),
        confidence: round(found.confidence),
    }
}

/// Maximum number of ranks of a group that are named.
const MOST_OF_GROUP: usize = 64;

fn peer_of(job: &Job, place: &SlowPlace) -> Option<i64> {
    match place {
        SlowPlace::Pair(_, peer) => rank_of(job, *peer),
        _ => None,
    }
}

pub(super) fn verdict_record(job: &Job, result: &RanksResult) -> record::RanksVerdict {
    let Verdict { causes, undecided, steps, step_length, .. } = &result.verdict;
    let first = causes.first();
    let group = first.and_then(|found| match &found.place {
        SlowPlace::Group(name, _) => Some(name.clone()),
        _ => None,
    });
    record::RanksVerdict {
        rank: first.and_then(|found| rank_of(job, found.place.rank()?)),
        group,
        cause: first.map(|found| found.cause.name().to_owned()),
        causes: causes.len() as u64,
        lost_ns: first.map_or(0, |found| found.lost_of_all),
        confidence: round(first.map_or_else(|| confidence_of_none(result), |found| found.confidence)),
        peer: first.and_then(|found| peer_of(job, &found.place)),
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

/// The mean of the steps of a rank.
pub(super) fn mean_step(part: &RankPart) -> StepTimes {
    let mut times = part.total();
    let count = i64::try_from(part.steps.len()).unwrap_or(i64::MAX).max(1);
    for time in [
        &mut times.compute,
        &mut times.communication,
        &mut times.exposed_communication,
        &mut times.exposed_copy,
        &mut times.before,
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
    let Verdict { causes, steps, .. } = &result.verdict;
    let Some(first) = causes.first() else {
        let count = job.parts.len();
        return match (count, *steps) {
            (0 | 1, _) => describe_only_rank(job.parts.first()),
            (_, 0) => "who is slow is not known: the ranks share no collective in which all wait".to_owned(),
            _ => format!(
                "no rank is slow, of {count} in {}: who comes last changes, or it does not matter",
                count_noun(*steps as u64, "step")
            ),
        };
    };
    let of_first: Vec<&FoundCause> = causes.iter().filter(|found| found.place == first.place).collect();
    describe_place(job, &of_first)
}

/// How the steps of a rank divide that has no other beside it.
fn describe_only_rank(part: Option<&RankPart>) -> String {
    let times = part.map(mean_step).unwrap_or_default();
    if times.span() <= 0 {
        return "who is slow is not known: one rank can be compared with no other".to_owned();
    }
    let share = |time: i64| format_percent(Some(time as f64 / times.span() as f64));
    format!(
        "one rank can be compared with no other; its step takes {}: {} compute, {} exposed communication, {} idle",
        format_duration(times.span()),
        share(times.compute),
        share(times.exposed_communication),
        share(times.idle())
    )
}

/// Who is slow, by all causes of one place.
fn describe_place(job: &Job, causes: &[&FoundCause]) -> String {
    let Some(first) = causes.first() else { return String::new() };
    let what: Vec<String> = causes.iter().map(|found| describe_cause(job, found)).collect();
    let what = what.join(", and ");
    let who = match &first.place {
        SlowPlace::Group(name, parts) => {
            const MOST: usize = 8;
            let ranks: Vec<String> = parts
                .iter()
                .take(MOST)
                .filter_map(|p| rank_of(job, *p))
                .map(|rank| rank.to_string())
                .collect();
            let more = if parts.len() > MOST { ", …" } else { "" };
            format!("the group `{}` (ranks {}{more}) is slow", short_name(name), ranks.join(", "))
        }
        place => format!("rank {} is slow", place.rank().and_then(|part| rank_of(job, part)).unwrap_or(-1)),
    };
    format!("{who}: {what}{} (confidence {:.2})", when(first), first.confidence)
}

fn describe_cause(job: &Job, found: &FoundCause) -> String {
    let what = match peer_of(job, &found.place) {
        Some(peer) => format!("its transfers with rank {peer} take longer"),
        None => found.cause.describe().to_owned(),
    };
    match found.ratio {
        Some(ratio) if (1.05..100.0).contains(&ratio) && found.cause != SlowCause::Host => {
            format!(
                "{what}, {ratio:.2} times as long as {}",
                match found.cause {
                    SlowCause::Link => "equal ones",
                    _ => "the others",
                }
            )
        }
        _ => what,
    }
}

fn when(found: &FoundCause) -> String {
    let (late, steps) = (format_duration(found.late_of_all), found.steps);
    if found.cause == SlowCause::Link && found.ratio.is_some() {
        return format!("; each takes {late} more");
    }
    let all = count_noun(steps as u64, "step");
    match found.only_steps.as_slice() {
        [] if found.slow_steps == steps => format!("; it comes {late} late in each of {all}"),
        [] => format!("; it comes {late} late in {} of {all}", found.slow_steps),
        [step] => format!("; it comes {late} late in step {step}"),
        [first, ..] => {
            format!("; it comes {late} late in {} of {all}, first in step {first}", found.slow_steps)
        }
    }
}

/// What the first costs, and who is slow besides, what costs most first; nothing if there is only one.
fn list_others(job: &Job, causes: &[FoundCause]) -> Vec<String> {
    const MOST: usize = 8;
    let mut places: Vec<Vec<&FoundCause>> = Vec::new();
    for found in causes {
        match places.iter_mut().find(|of_place| of_place[0].place == found.place) {
            Some(of_place) => of_place.push(found),
            None => places.push(vec![found]),
        }
    }
    if places.len() < 2 {
        return Vec::new();
    }
    let lost = |of_place: &[&FoundCause]| format_duration(of_place[0].lost_of_all);
    let mut out = vec![format!("others lose {} by that", lost(&places[0]))];
    for of_place in places.iter().skip(1).take(MOST) {
        out.push(format!("also, {}: others lose {} by that", describe_place(job, of_place), lost(of_place)));
    }
    if places.len() > MOST + 1 {
        out.push(format!("{} more are slow: --format json has all", places.len() - MOST - 1));
    }
    out
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
        "{}, per step, in {}; what others lose is of {} and all ranks",
        if job.parts.iter().any(|p| p.on_device) { "devices" } else { "operators of the host" },
        unit.name,
        count_noun(result.verdict.steps as u64, "step")
    );
    report.add_table(title, &columns, rows.collect());
    add_links(&mut report, job, &result.links);
    if job.parts.len() == 1 {
        report.add_note("see `tracewhy idle`, `modules` and `critical` for what one rank spends its time on");
    }
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
    if let Some(more) = result.verdict.causes.first().and_then(|found| found.more_kernels) {
        notes.push(if more {
            "it runs more computations than the others: its share of the work is larger".to_owned()
        } else {
            "it runs as many computations as the others, and they take longer: a slower device, or larger inputs"
                .to_owned()
        });
    }
    notes.extend(list_others(job, &result.verdict.causes));
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
            "clocks differ by up to {}{drift}; no lateness was derived from them",
            format_duration(furthest)
        ));
    }
    let without_steps =
        |calls: bool| job.parts.iter().any(|part| !part.has_steps && (part.calls > 0) == calls);
    if without_steps(true) {
        notes.push("traces without steps were divided into parts of equally many collectives".to_owned());
    }
    if without_steps(false) {
        notes.push("a trace without steps and collectives is taken for one step".to_owned());
    }
    notes.extend(result.verdict.undecided.iter().map(|undecided| format!("not decided: {undecided}")));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(place: SlowPlace, cause: SlowCause, lost: i64) -> FoundCause {
        FoundCause {
            place,
            cause,
            lost,
            late: 500_000,
            lost_of_all: lost,
            late_of_all: 500_000,
            confidence: 0.9,
            slow_steps: 0,
            steps: 0,
            only_steps: Vec::new(),
            ratio: Some(6.0),
            more_kernels: None,
        }
    }

    fn job() -> Job {
        let mut job = Job::new(trace::spool::MemoryLimit { bytes: 1 << 20 });
        job.parts = (0..4).map(|rank| RankPart { rank, ..RankPart::default() }).collect();
        job
    }

    #[test]
    fn a_link_is_late_in_no_step() {
        let link = found(SlowPlace::Pair(1, 3), SlowCause::Link, 9);
        assert_eq!(
            describe_place(&job(), &[&link]),
            "rank 1 is slow: its transfers with rank 3 take longer, 6.00 times as long as equal ones; each takes \
             500.000 us more (confidence 0.90)"
        );
        let group = found(SlowPlace::Group("tp".into(), vec![0, 1, 2]), SlowCause::Link, 9);
        let says = describe_place(&job(), &[&group]);
        assert!(
            says.starts_with("the group `tp` (ranks 0, 1, 2) is slow: its transfers take longer"),
            "{says}"
        );
    }

    #[test]
    fn several_are_all_told() {
        let first =
            FoundCause { slow_steps: 5, steps: 8, ..found(SlowPlace::Rank(2), SlowCause::Compute, 7000) };
        let other = FoundCause { ratio: None, ..found(SlowPlace::Rank(2), SlowCause::Host, 7000) };
        assert_eq!(list_others(&job(), &[first.clone(), other.clone()]), Vec::<String>::new());
        let says = describe_place(&job(), &[&first, &other]);
        let expected = "it computes longer, 6.00 times as long as the others, and its host launches late; it comes 500.000 us \
                        late in 5 of 8 steps";
        assert!(says.contains(expected), "{says}");
        let third = FoundCause { only_steps: vec![4], ..found(SlowPlace::Rank(0), SlowCause::Copy, 3000) };
        let notes = list_others(&job(), &[first, other, third]);
        assert_eq!(notes[0], "others lose 7.000 us by that");
        assert!(notes[1].starts_with("also, rank 0 is slow: it copies longer"), "{notes:?}");
        assert!(
            notes[1].ends_with("late in step 4 (confidence 0.90): others lose 3.000 us by that"),
            "{notes:?}"
        );
    }
}
