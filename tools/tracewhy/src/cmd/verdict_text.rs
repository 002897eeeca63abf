//! The verdict on a job in sentences.

use std::collections::BTreeMap;

use common::text::count_noun;
use trace::shorten::short_name;
use trace::units::{format_duration, format_percent};

use crate::job::Job;
use crate::job::clocks::ClockSkew;
use crate::job::evidence::{FoundCause, SlowCause, SlowPlace};
use crate::job::hiccups::Hiccup;
use crate::job::verdict::{NOTHING_SHARED, ONLY_RANK, Verdict};
use crate::part::longest::LongKernel;
use crate::part::{RankPart, sum_times};

/// The line that says the most important thing.
pub(super) fn headline(job: &Job, verdict: &Verdict) -> String {
    let Verdict { causes, steps, .. } = verdict;
    let Some(first) = causes.first() else {
        let count = job.parts.len();
        return match (count, *steps) {
            (0 | 1, _) => describe_only_rank(job.parts.first()),
            (_, 0) => "who is slow is not known: the ranks share no collective in which all wait".to_owned(),
            _ => format!(
                "no rank is slow, of {} in {}{}: who comes last changes, or it does not matter",
                if job.world_size() > count {
                    format!("the {count} of {} that have a trace", job.world_size())
                } else {
                    count.to_string()
                },
                count_noun(*steps as u64, "step"),
                if job.parts.iter().any(|part| part.is_cut) { ", as far as the traces go" } else { "" }
            ),
        };
    };
    let of_first: Vec<&FoundCause> = causes.iter().filter(|found| found.place == first.place).collect();
    describe_place(job, &of_first)
}

/// How the steps of a rank divide that has no other beside it.
fn describe_only_rank(part: Option<&RankPart>) -> String {
    let times = part.map(RankPart::mean_step).unwrap_or_default();
    if times.span() <= 0 {
        return format!("who is slow is not known: {ONLY_RANK}");
    }
    let share = |time: i64| format_percent(Some(time as f64 / times.span() as f64));
    format!(
        "{ONLY_RANK}; its step takes {}: {} compute, {} exposed communication, {} idle",
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
                .filter_map(|p| job.rank_of(*p))
                .map(|rank| rank.to_string())
                .collect();
            let more = if parts.len() > MOST { ", …" } else { "" };
            format!("the group `{}` (ranks {}{more}) is slow", short_name(name), ranks.join(", "))
        }
        place => format!("rank {} is slow", place.rank().and_then(|part| job.rank_of(part)).unwrap_or(-1)),
    };
    format!("{who}: {what}{} (confidence {:.2})", when(first), first.confidence)
}

fn describe_cause(job: &Job, found: &FoundCause) -> String {
    let what = match found.place.peer().and_then(|part| job.rank_of(part)) {
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

/// Lists the cost of the first place, and other slow places, the most expensive first. Empty for a single place.
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

/// The hiccups that cost most.
fn list_hiccups(job: &Job, hiccups: &[Hiccup]) -> Vec<String> {
    const MOST: usize = 4;
    let describe = |hiccup: &Hiccup| {
        let rank = job.rank_of(hiccup.part).unwrap_or(-1);
        let (late, lost) = (format_duration(hiccup.late), format_duration(hiccup.lost));
        let kernel = hiccup.kernel.as_ref().map(|kernel| format!(": {}", describe_kernel(kernel)));
        format!(
            "hiccup in step {}: rank {rank} came {late} late, {}{}; others lose {lost} by that",
            hiccup.step,
            hiccup.cause.describe(),
            kernel.unwrap_or_default()
        )
    };
    let mut out: Vec<String> = hiccups.iter().take(MOST).map(describe).collect();
    if hiccups.len() > MOST {
        let lost = format_duration(sum_times(hiccups[MOST..].iter().map(|hiccup| hiccup.lost)));
        let count = count_noun((hiccups.len() - MOST) as u64, "more hiccup");
        out.push(format!("{count}, by which others lose {lost}: --format json has all"));
    }
    out
}

fn describe_kernel(LongKernel { name, time, usual }: &LongKernel) -> String {
    format!(
        "`{}` takes {}, and {} in other steps",
        short_name(name),
        format_duration(*time),
        format_duration(*usual)
    )
}

/// Sentences that explain the verdict, and say what was not decided.
pub(super) fn list_notes(job: &Job, verdict: &Verdict, clocks: &BTreeMap<u32, ClockSkew>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(more) = verdict.causes.first().and_then(|found| found.more_kernels) {
        notes.push(if more {
            "it runs more computations than the others: its share of the work is larger".to_owned()
        } else {
            "it runs as many computations as the others, and they take longer: a slower device, or larger inputs"
                .to_owned()
        });
    }
    notes.extend(verdict.causes.first().and_then(|found| found.kernel.as_ref()).map(describe_kernel));
    notes.extend(list_others(job, &verdict.causes));
    notes.extend(list_hiccups(job, &verdict.hiccups));
    let furthest = clocks.values().map(|c| c.fit.offset.abs()).max().unwrap_or(0);
    let drift = clocks.values().filter_map(ClockSkew::drift_per_second).map(i64::abs).max().unwrap_or(0);
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
    notes.extend(verdict.explained.iter().map(|explained| format!("not slow by that: {explained}")));
    // The headline says these.
    let is_headline =
        |undecided: &str| verdict.causes.is_empty() && [ONLY_RANK, NOTHING_SHARED].contains(&undecided);
    let undecided = verdict.undecided.iter().filter(|undecided| !is_headline(undecided));
    notes.extend(undecided.map(|undecided| format!("not decided: {undecided}")));
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
            kernel: None,
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
