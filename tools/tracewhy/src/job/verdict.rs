//! Whether a rank is slow, and why.
//!
//! A rank is slow if it comes later than the others by more than its lateness changes from step to step, and by enough to
//! matter. What it did meanwhile is found by comparing its times with those of the others in the same steps.

use std::collections::BTreeSet;
use std::io;

use common::text::count_noun;
use trace::clock::median;
use trace::units::format_duration;

use super::Job;
use super::chance::Chances;
use super::evidence::{
    Evidence, FEW_STEPS, FoundCause, LEAST_NOISE, LEAST_NOISE_ONCE, LEAST_SHARE, LEAST_SHARE_ONCE, LateRank,
    MOST_JUDGED, SlowCause, SlowPlace,
};
use super::gain::{Fault, find_costs};
use super::hiccups::Hiccup;
use super::lateness::{Lateness, median_of_others};
use super::links::SlowLinks;
use super::load::take_out_load;
use super::meetings::Meetings;
use super::place::{RankPlaces, list_groups};
use super::signal::{FEW_RANKS, Signal, TO_DEVIATION};
use super::stretches::Stretches;
use crate::part::sum_times;

/// The verdict on a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// Why the job is slow; what costs most comes first.
    pub(crate) causes: Vec<FoundCause>,
    /// Single steps in which a rank was late that is not slow; what cost most comes first.
    pub(crate) hiccups: Vec<Hiccup>,
    /// What looks like a slow rank and is explained by its work, as sentences.
    pub(crate) explained: Vec<String>,
    /// What could not be decided, as sentences.
    pub(crate) undecided: Vec<String>,
    /// Steps that were compared.
    pub(crate) steps: usize,
    /// Median length of a step.
    pub(crate) step_length: i64,
    /// By index of the rank: the median of how much later it comes in a step.
    pub(crate) levels: Vec<i64>,
}

/// Why nothing is decided about a job with a trace of one rank only.
pub(crate) const ONLY_RANK: &str = "one rank can be compared with no other";
/// Why nothing is decided about ranks that do not wait for each other.
pub(crate) const NOTHING_SHARED: &str =
    "the ranks share no collective in which all wait for the last: who is late";

/// A rank that is late in fewer steps must be later: the share of its steps, and how many at least; the share of a step
/// by which each is late, and the multiple of the noise. The first that fits counts.
const LEAST_PARTIAL: [(f64, usize, f64, f64); 3] =
    [(0.4, 3, LEAST_SHARE, 3.5), (0.2, 3, 0.04, 5.0), (0.0, 1, LEAST_SHARE_ONCE, LEAST_NOISE_ONCE)];
/// Maximum number of ranks that are late.
const MOST_LATE: usize = 256;
/// In nearly all steps: this share.
const NEARLY_ALL: f64 = 0.75;

/// Decides which ranks of a job are slow, why, and what that costs.
///
/// # Errors
/// The temporary file of the meetings cannot be used.
pub(crate) fn find_verdict(
    job: &Job,
    lateness: &mut Lateness,
    links: &SlowLinks,
    meetings: Meetings,
) -> io::Result<Verdict> {
    let places = RankPlaces::of_calls(&job.parts, &lateness.shared);
    let steps = i64::try_from(lateness.shared_steps().len()).unwrap_or(i64::MAX).max(1);
    let indices = 0..u32::try_from(job.parts.len()).unwrap_or(u32::MAX);
    let slow_transfers: Vec<i64> = indices.map(|part| links.excess_of(part) / steps).collect();
    lateness.settle(&job.parts, &places, &slow_transfers);
    take_out_load(&mut lateness.steps, &places);
    let (meetings, stretches) = Stretches::collect(meetings, lateness, &places)?;
    let evidence = Evidence::new(&job.parts, lateness, &places, &slow_transfers);
    let mut undecided = evidence.list_undecided(job);
    let mut late = evidence.find_late(&stretches);
    let nobody_late = late.is_empty();
    let mut late_groups = Vec::new();
    // By slow transfers, and by who has no trace, a whole group is late: no rank of it is the one.
    for (group, parts) in list_groups(&job.families, &lateness.shared) {
        late_groups.extend(evidence.take_late_group(&mut late, &group, &parts));
    }
    let hiccups = evidence.find_hiccups(&late);
    let all = late.iter().chain(hiccups.iter().map(|(late, _)| late));
    let faults: Vec<Fault> = all.map(|late| evidence.fault_of(late)).collect();
    let costs = find_costs(meetings, evidence.lateness, &places, &faults, late.len())?;
    if costs.left_out > 0 {
        let steps = count_noun(costs.left_out, "step");
        undecided.push(format!("{steps} with too many collectives to go through: what others lose there"));
    }
    let (of_late, of_hiccups) = costs.lost.split_at(late.len());
    let mut causes = evidence.explain(&late, of_late);
    let hiccups = evidence.describe_hiccups(&hiccups, of_hiccups);
    let of_links = evidence.blame_links(links);
    if of_links.is_none() {
        undecided.extend(late_groups);
        undecided.extend(evidence.describe_halves().filter(|_| nobody_late));
    }
    if causes.is_empty() && !links.transfers.is_empty() && evidence.place_of_links(links).is_none() {
        undecided.push("some groups transfer more slowly than their equals, and share no rank".to_owned());
    }
    // Who is in slow transfers comes late to what follows: if nothing else explains that, they do.
    let is_in_slow = |part: usize| {
        let part = u32::try_from(part).unwrap_or(u32::MAX);
        of_links.is_some() && links.transfers.iter().any(|slow| slow.parts.contains(&part))
    };
    causes.retain(|found| found.cause != SlowCause::Unknown || !found.place.rank().is_some_and(is_in_slow));
    causes.extend(of_links);
    if causes.is_empty() {
        causes.extend(evidence.find_late_end());
    }
    causes.sort_by_key(|found| std::cmp::Reverse((found.lost_of_all, found.lost)));
    Ok(Verdict {
        causes,
        hiccups,
        explained: evidence.describe_load().into_iter().collect(),
        undecided,
        steps: evidence.steps.len(),
        step_length: evidence.step_length,
        levels: evidence.signal.levels,
    })
}

impl Evidence<'_> {
    /// The ranks that are late: in nearly all of their steps, or in any share of them.
    fn find_late(&self, stretches: &Stretches) -> Vec<LateRank> {
        let chances = self.chances_of(&self.signal);
        let judged = self.signal.list_latest(MOST_JUDGED);
        let late = judged.into_iter().filter_map(|part| self.find_late_steps(&self.signal, &chances, part));
        let mut out: Vec<LateRank> = late.collect();
        let cost = |late: &LateRank| late.late.saturating_mul(late.slow.len() as i64);
        for late in self.find_late_by_cause(&out) {
            match out.iter_mut().find(|known| known.part == late.part) {
                Some(known) if late.partial < known.partial || cost(&late) > cost(known) => *known = late,
                Some(_) => {}
                None => out.push(late),
            }
        }
        out.iter_mut().for_each(|late| self.measure_usual(stretches, late));
        let by_order = self.find_late_by_order(stretches, &out);
        out.retain(|known| !by_order.iter().any(|late| late.part == known.part));
        out.extend(by_order);
        out.sort_by_key(|late| (std::cmp::Reverse(cost(late)), late.part));
        out.truncate(MOST_LATE);
        out.sort_by_key(|late| late.part);
        // What passes from rank to rank is slow on none of them.
        let most_few = (self.parts.len() / 4).max(1);
        let of_kind = |out: &[LateRank], few: bool| {
            out.iter().filter(|late| late.partial.is_some_and(|p| (p > 0) == few)).count()
        };
        if of_kind(&out, true) > most_few {
            out.retain(|late| late.partial.is_none_or(|p| p == 0));
        }
        if of_kind(&out, false) * 2 > self.parts.len() {
            out.retain(|late| late.partial != Some(0));
        }
        out
    }

    /// Measures how late a rank is that computes longer in nearly all steps: by its stretches, of which tails say less, if they
    /// are known in as many steps.
    fn measure_usual(&self, stretches: &Stretches, late: &mut LateRank) {
        let computes = |late: &LateRank| {
            self.explain_rank(late).first().is_none_or(|first| first.cause == SlowCause::Compute)
        };
        let is_few = self.places.equals(late.part) < FEW_RANKS;
        if is_few || late.partial.is_some() || late.by_cause.is_some() || !computes(late) {
            return;
        }
        // Of the first step, the begin is not known.
        let known = (stretches.count_steps(late.part) + 1) as f64;
        let usual = stretches.find_shift(late.part);
        if usual > 0 && known >= NEARLY_ALL * self.signal.series[late.part].len() as f64 {
            late.late = usual;
        }
    }

    /// What chance does to the ranks. Less than a thousandth of a step matters to nobody.
    pub(super) fn chances_of<'s>(&'s self, signal: &'s Signal) -> Chances<'s> {
        Chances::new(signal, self.places, self.step_length / 1000)
    }

    /// The steps in which a rank has more of something than can be noise.
    pub(super) fn find_late_steps(
        &self,
        signal: &Signal,
        chances: &Chances<'_>,
        part: usize,
    ) -> Option<LateRank> {
        let is_exception = |slow: &[i64]| !self.is_common(signal, part, slow) && !chances.explain(part, slow);
        let series = signal.series.get(part).filter(|series| !series.is_empty())?;
        let slower_than = |least: f64| -> Vec<i64> {
            series.iter().filter(|(_, late)| *late as f64 > least).map(|(number, _)| *number).collect()
        };
        let share_of = |slow: &[i64]| slow.len() as f64 / series.len() as f64;
        let level = signal.levels[part];
        if level as f64 >= self.least_level(signal, series.len()) {
            let slow = slower_than(level as f64 / 3.0);
            let share = share_of(&slow);
            if share >= NEARLY_ALL && is_exception(&slow) {
                return Some(LateRank { part, slow, late: level, share, partial: None, by_cause: None });
            }
        }
        if series.len() < FEW_STEPS {
            return None;
        }
        for (kind, (share, fewest, of_step, of_noise)) in LEAST_PARTIAL.into_iter().enumerate() {
            let slow = slower_than((of_step * self.step_length as f64).max(of_noise * signal.noise));
            if slow.len() < fewest || share_of(&slow) < share || !is_exception(&slow) {
                continue;
            }
            let sum = sum_times(slow.iter().filter_map(|number| signal.at(*number, part)));
            let late = sum / i64::try_from(slow.len()).ok()?;
            // Noise may hide for how many steps that holds: if nearly all are as late as those of a rank that is slow in all of
            // them, it is.
            let all = slower_than(late as f64 / 3.0);
            if level > 0 && share_of(&all) >= NEARLY_ALL && !self.is_common(signal, part, &all) {
                return Some(LateRank {
                    part,
                    slow: all,
                    late: level,
                    share: 0.9,
                    partial: None,
                    by_cause: None,
                });
            }
            let partial = (share_of(&slow) < NEARLY_ALL).then_some(kind);
            return Some(LateRank { part, slow, late, share: 0.9, partial, by_cause: None });
        }
        None
    }

    /// Returns whether several equals are as late in these steps, so that the rank is not an exception.
    fn is_common(&self, signal: &Signal, part: usize, steps: &[i64]) -> bool {
        if self.places.equals(part) < FEW_RANKS {
            return false;
        }
        let level = |part: usize| {
            let mut late: Vec<i64> = steps.iter().filter_map(|number| signal.at(*number, part)).collect();
            (!late.is_empty()).then(|| median(&mut late))
        };
        let Some(own) = level(part) else { return true };
        let class = self.places.class(part);
        let mut levels: Vec<i64> =
            (0..self.parts.len()).filter(|i| self.places.class(*i) == class).filter_map(level).collect();
        let middle = median(&mut levels);
        let mut spread: Vec<i64> = levels.iter().map(|l| (l - middle).abs()).collect();
        ((own - middle) as f64) < LEAST_NOISE * TO_DEVIATION * median(&mut spread) as f64
    }

    /// The rank that is later than its equals by most for the tokens that it gets.
    fn describe_load(&self) -> Option<String> {
        let level = |part: usize| {
            let at = self.steps.iter().filter_map(|number| self.lateness.steps.get(number)?.get(part));
            median(&mut at.filter(|at| at.is_compared).map(|at| at.by_load).collect::<Vec<_>>())
        };
        let (by_load, part) = (0..self.parts.len()).map(|part| (level(part), part)).max()?;
        let matters = by_load > 0 && by_load as f64 >= self.least_level(&self.signal, self.steps.len());
        matters.then(|| {
            format!(
                "rank {} comes {} later in each step since its all-to-alls are larger: it has more to compute",
                self.parts[part].rank,
                format_duration(by_load)
            )
        })
    }

    /// Ranks that are later than the rest, and too many to be the exception.
    fn describe_halves(&self) -> Option<String> {
        let mut levels: Vec<(i64, usize)> = self
            .signal
            .levels
            .iter()
            .copied()
            .zip(0..)
            .filter(|(_, i)| !self.signal.series[*i].is_empty())
            .collect();
        levels.sort_unstable();
        let least = self.least_level(&self.signal, self.steps.len()) as i64;
        let few = levels.len().div_ceil(4);
        // The widest gap between the earlier and the later ones.
        let gaps = levels.windows(2).enumerate().map(|(i, pair)| (pair[1].0 - pair[0].0, i + 1));
        let (gap, place) = gaps.max()?;
        let (early, later) = levels.split_at(place);
        if levels.len() < FEW_RANKS || gap < least || early.len() < few || later.len() < few {
            return None;
        }
        let (first, last) = (later.first()?.0, later.last()?.0);
        if last - first > gap {
            return None;
        }
        let ranks = self.name_ranks(later.iter().map(|(_, part)| *part));
        Some(format!(
            "{} of {} ranks come later than the rest ({ranks}): which of them are the exception, and why",
            later.len(),
            levels.len()
        ))
    }

    fn name_ranks(&self, parts: impl IntoIterator<Item = usize>) -> String {
        const MOST: usize = 8;
        let mut ranks: Vec<i64> = parts.into_iter().filter_map(|i| Some(self.parts.get(i)?.rank)).collect();
        ranks.sort_unstable();
        let named: Vec<String> = ranks.iter().take(MOST).map(i64::to_string).collect();
        format!("{}{}", named.join(", "), if ranks.len() > MOST { ", …" } else { "" })
    }

    /// Takes the ranks of a group out of the late ones if all of it is equally late and nothing explains it.
    fn take_late_group(
        &self,
        late: &mut Vec<LateRank>,
        group: &str,
        parts: &BTreeSet<u32>,
    ) -> Option<String> {
        let is_member = |part: usize| u32::try_from(part).is_ok_and(|part| parts.contains(&part));
        let members: Vec<&LateRank> = late.iter().filter(|late| is_member(late.part)).collect();
        let (least, most) = (members.iter().map(|m| m.late).min()?, members.iter().map(|m| m.late).max()?);
        let is_alike = members.len() == parts.len() && most - least <= most / 4;
        if !is_alike || members.iter().any(|member| !self.explain_rank(member).is_empty()) {
            return None;
        }
        let ranks = self.name_ranks(members.iter().map(|m| m.part));
        late.retain(|late| !is_member(late.part));
        Some(format!(
            "the ranks of the group `{group}` ({ranks}) come late together, by {}, and do nothing longer than others: whether \
             its transfers are slow",
            format_duration(least)
        ))
    }

    /// A rank that comes when the others do, by their clocks, and is busy with each collective for longer: the end of its
    /// transfers comes later.
    fn find_late_end(&self) -> Option<FoundCause> {
        let (part, rank) = self.lateness.ranks.iter().enumerate().max_by_key(|(_, rank)| rank.longer_time)?;
        let steps = self.steps.len();
        let longer = rank.longer_time / i64::try_from(steps).ok().filter(|n| *n > 0)?;
        if (longer as f64) < self.least_level(&self.signal, steps)
            || self.parts.len() < 3
            || (rank.longer as f64) < NEARLY_ALL * rank.compared as f64
        {
            return None;
        }
        let lost = longer.saturating_mul(steps as i64);
        Some(FoundCause {
            place: SlowPlace::Rank(part),
            cause: SlowCause::Link,
            lost,
            late: longer,
            lost_of_all: lost,
            late_of_all: longer,
            confidence: 0.6,
            slow_steps: steps,
            steps,
            only_steps: Vec::new(),
            ratio: None,
            more_kernels: None,
            kernel: None,
        })
    }

    /// What slow transfers have in common.
    fn place_of_links(&self, links: &SlowLinks) -> Option<SlowPlace> {
        let first = links.transfers.first()?;
        match (links.part, links.peer) {
            (Some(part), Some(peer)) => Some(SlowPlace::Pair(part as usize, peer as usize)),
            (Some(part), None) => Some(SlowPlace::Rank(part as usize)),
            _ => links.is_group.then(|| {
                let parts = first.parts.iter().map(|p| *p as usize).collect();
                SlowPlace::Group(first.family.group.clone(), parts)
            }),
        }
    }

    /// What slow transfers have in common, if they cost as much of a step as a late rank must.
    fn blame_links(&self, links: &SlowLinks) -> Option<FoundCause> {
        let (first, place) = (links.transfers.first()?, self.place_of_links(links)?);
        let steps = i64::try_from(self.steps.len()).unwrap_or(i64::MAX).max(1);
        if ((links.most_lost() / steps) as f64) < self.least_level(&self.signal, self.steps.len()) {
            return None;
        }
        // Those outside wait for the ones in it.
        let members: BTreeSet<usize> =
            links.transfers.iter().flat_map(|t| t.parts.iter().map(|part| *part as usize)).collect();
        let excess =
            members.iter().filter_map(|part| self.slow_transfers.get(*part)).max().copied().unwrap_or(0);
        let waiting =
            self.steps.iter().filter_map(|number| self.lateness.steps.get(number)).flat_map(|step| {
                let outside = step.iter().enumerate().filter(|(part, _)| !members.contains(part));
                outside.map(|(_, at)| at.waited().min(excess))
            });
        let lost = links.lost().saturating_add(sum_times(waiting));
        let late = first.time - first.usual;
        Some(FoundCause {
            place,
            cause: SlowCause::Link,
            lost,
            late,
            lost_of_all: lost,
            late_of_all: late,
            confidence: 0.9,
            slow_steps: self.steps.len(),
            steps: self.steps.len(),
            only_steps: Vec::new(),
            ratio: Some(first.time as f64 / first.usual.max(1) as f64),
            more_kernels: None,
            kernel: None,
        })
    }

    /// Stages that only one rank has each, and that work longer than others: their place may explain it.
    fn describe_stages(&self) -> Option<String> {
        let alone: Vec<usize> = (0..self.parts.len())
            .filter(|part| self.places.is_pipelined && self.places.equals(*part) == 1)
            .collect();
        let mut levels: Vec<Vec<i64>> = vec![Vec::new(); alone.len()];
        let mut before = None;
        for &number in &self.steps {
            let own = self.lateness.own_times(self.places, before, number, self.slow_transfers);
            before = Some(number);
            let times: Option<Vec<i64>> = alone
                .iter()
                .map(|part| (*own.get(*part)?).filter(|own| own.is_whole).map(|own| own.time))
                .collect();
            let Some(times) = times else { continue };
            let mut sorted = times.clone();
            sorted.sort_unstable();
            if sorted.len() > 1 {
                let apart = times.iter().map(|time| time - median_of_others(&sorted, *time));
                apart.zip(&mut levels).for_each(|(apart, levels)| levels.push(apart));
            }
        }
        let longer = |(levels, part): (&mut Vec<i64>, &usize)| {
            let level = median(levels);
            let mut apart: Vec<i64> = levels.iter().map(|l| (l - level).abs()).collect();
            let noise = LEAST_NOISE * TO_DEVIATION * median(&mut apart) as f64;
            let least = (LEAST_SHARE * self.step_length as f64).max(noise);
            (levels.len() >= FEW_STEPS && level as f64 >= least).then_some((level, *part))
        };
        let (level, part) = levels.iter_mut().zip(&alone).filter_map(longer).max()?;
        Some(format!(
            "rank {} works {} longer in each step than the other stages of the pipeline, each of which is on one rank: \
             whether it is slow, or its stage is larger",
            self.parts[part].rank,
            format_duration(level)
        ))
    }

    fn list_undecided(&self, job: &Job) -> Vec<String> {
        let mut out = Vec::new();
        let missing = job.world_size().saturating_sub(self.parts.len());
        if missing > 0 {
            out.push(format!("{missing} of {} ranks have no trace: whether they are late", job.world_size()));
        }
        if self.parts.len() < 2 {
            out.push(ONLY_RANK.to_owned());
        } else if self.steps.is_empty() {
            out.push(NOTHING_SHARED.to_owned());
        } else if self.steps.len() < FEW_STEPS {
            out.push("with fewer than three steps, little can be distinguished from noise".to_owned());
        }
        let cut = self.parts.iter().enumerate().filter(|(_, part)| part.is_cut).map(|(i, _)| i);
        let cut: Vec<usize> = cut.collect();
        if !cut.is_empty() {
            let ranks = self.name_ranks(cut);
            out.push(format!(
                "the traces of some ranks are incomplete ({ranks}): whether they are late in what is lost"
            ));
        }
        if self.lateness.left_out > 0 {
            let last = self.steps.last().copied().unwrap_or(0);
            out.push(format!("too many steps of too many ranks to compare: who is late behind step {last}"));
        }
        out.extend(self.describe_stages());
        let (on_device, on_host) =
            self.parts.iter().fold((0, 0), |(d, h), p| if p.on_device { (d + 1, h) } else { (d, h + 1) });
        if on_device > 0 && on_host > 0 {
            out.push(format!("{on_host} of {} ranks have no work on a device", self.parts.len()));
        }
        out
    }
}
