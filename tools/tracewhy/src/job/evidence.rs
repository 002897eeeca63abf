//! What a verdict is made of: how late each rank was in each step, what late ranks did while the others waited, and what that
//! cost.

use trace::clock::median;

use super::gain::Fault;
use super::lateness::Lateness;
use super::place::RankPlaces;
use super::signal::Signal;
use crate::part::longest::LongKernel;
use crate::part::{IdleCause, RankPart, StepTimes, sum_times};

/// Why a rank is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlowCause {
    /// It computes longer.
    Compute,
    /// Its host launches late.
    Host,
    /// It waits for data.
    Input,
    /// It copies longer.
    Copy,
    /// It collects garbage.
    GarbageCollection,
    /// Its transfers take longer.
    Link,
    /// Nothing that the traces show explains it.
    Unknown,
}

impl SlowCause {
    /// The name in records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Host => "host",
            Self::Input => "input",
            Self::Copy => "copy",
            Self::GarbageCollection => "garbage_collection",
            Self::Link => "link",
            Self::Unknown => "unknown",
        }
    }

    /// What the rank does, for people.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Compute => "it computes longer",
            Self::Host => "its host launches late",
            Self::Input => "it waits for data",
            Self::Copy => "it copies longer",
            Self::GarbageCollection => "it collects garbage",
            Self::Link => "its transfers take longer",
            Self::Unknown => "nothing in the traces says why",
        }
    }
}

/// Who is slow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SlowPlace {
    /// The rank of this index.
    Rank(usize),
    /// A pair of ranks, by index.
    Pair(usize, usize),
    /// A process group: its name, and the indices of its ranks.
    Group(String, Vec<usize>),
}

impl SlowPlace {
    /// The index of the rank, if it is one.
    pub(crate) fn rank(&self) -> Option<usize> {
        match self {
            Self::Rank(part) | Self::Pair(part, _) => Some(*part),
            Self::Group(..) => None,
        }
    }

    /// The index of the rank at the other end of a link.
    pub(crate) fn peer(&self) -> Option<usize> {
        match self {
            Self::Pair(_, peer) => Some(*peer),
            _ => None,
        }
    }
}

/// Something that makes others wait, and why.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FoundCause {
    pub(crate) place: SlowPlace,
    pub(crate) cause: SlowCause,
    /// What the other ranks waited for this, all together.
    pub(crate) lost: i64,
    /// How much later it comes by this, per step that is slow; of a link, how much longer a transfer takes.
    pub(crate) late: i64,
    /// Both of all causes of the rank.
    pub(crate) lost_of_all: i64,
    pub(crate) late_of_all: i64,
    /// From 0 to 1.
    pub(crate) confidence: f64,
    /// In how many steps it was slow, and of how many in which it was compared.
    pub(crate) slow_steps: usize,
    pub(crate) steps: usize,
    /// Numbers of the steps in which it was slow, if not in nearly all.
    pub(crate) only_steps: Vec<i64>,
    /// How many times as long as the others' its own such time is.
    pub(crate) ratio: Option<f64>,
    /// It begins more computations than the others, or equally many.
    pub(crate) more_kernels: Option<bool>,
    /// Where it was slow in some steps, the computation that took much longer there than in others, if one explains it.
    pub(crate) kernel: Option<LongKernel>,
}

/// Less than this share of a step is not called slow.
pub(super) const LEAST_SHARE: f64 = 0.03;
/// With few steps, or in single ones, a rank must be late by this share of its usual length.
pub(super) const LEAST_SHARE_ONCE: f64 = 0.2;
/// The same, as a multiple of the noise.
pub(super) const LEAST_NOISE_ONCE: f64 = 12.0;
/// Maximum number of ranks that may be late of which that is decided: the latest ones.
pub(super) const MOST_JUDGED: usize = 1024;
/// Minimum lateness of a median of steps, as a multiple of what it usually changes by.
pub(super) const LEAST_NOISE: f64 = 6.0;
/// With fewer steps, noise between them says little.
pub(super) const FEW_STEPS: usize = 3;
/// Maximum number of steps that are named.
const MOST_STEPS: usize = 32;
/// A cause explains at least this share of lateness: the first, and what comes beside it.
const LEAST_EXPLAINED: f64 = 0.3;
const LEAST_BESIDE: f64 = 0.2;

/// Part of the lateness of a rank.
pub(super) struct CauseShare {
    pub(super) cause: SlowCause,
    pub(super) excess: i64,
    ratio: Option<f64>,
}

pub(super) type Component = (SlowCause, fn(&StepTimes) -> i64);

/// What a rank may have more of than others.
pub(super) const COMPONENTS: [Component; 5] = [
    (SlowCause::Compute, |t| t.compute),
    (SlowCause::Input, |t| t.idle_for(IdleCause::Input)),
    (SlowCause::GarbageCollection, |t| t.idle_for(IdleCause::Garbage)),
    (SlowCause::Copy, |t| t.exposed_copy),
    (SlowCause::Host, |t| {
        let causes =
            [IdleCause::HostLate, IdleCause::Allocation, IdleCause::Synchronization, IdleCause::Launch];
        sum_times(causes.iter().map(|cause| t.idle_for(*cause)))
    }),
];

/// What the verdict is made of.
pub(super) struct Evidence<'a> {
    pub(super) parts: &'a [RankPart],
    pub(super) lateness: &'a Lateness,
    pub(super) places: &'a RankPlaces,
    /// What slow collectives take from each rank in a step.
    pub(super) slow_transfers: &'a [i64],
    /// Numbers of the steps, in order.
    pub(super) steps: Vec<i64>,
    /// How late each rank was.
    pub(super) signal: Signal,
    pub(super) step_length: i64,
}

/// A rank that is late.
#[derive(Clone)]
pub(super) struct LateRank {
    pub(super) part: usize,
    /// The steps in which it is.
    pub(super) slow: Vec<i64>,
    pub(super) late: i64,
    /// How sure that is.
    pub(super) share: f64,
    /// It is late in many steps, but not nearly all: 0; in some: 1, 2, as of [`LEAST_PARTIAL`].
    pub(super) partial: Option<usize>,
    /// Why, where it was found by that alone.
    pub(super) by_cause: Option<SlowCause>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(
        parts: &'a [RankPart],
        lateness: &'a Lateness,
        places: &'a RankPlaces,
        slow_transfers: &'a [i64],
    ) -> Self {
        let steps = lateness.shared_steps();
        let series: Vec<Vec<(i64, i64)>> = (0..parts.len())
            .map(|part| {
                let at = |number: &i64| lateness.steps.get(number)?.get(part).filter(|at| at.is_compared);
                steps.iter().filter_map(|number| Some((*number, at(number)?.late))).collect()
            })
            .collect();
        let signal = Signal::new(series);
        let mut lengths: Vec<i64> =
            parts.iter().flat_map(|part| part.steps.iter().map(|step| step.times.span())).collect();
        let step_length = median(&mut lengths);
        Self { parts, lateness, places, slow_transfers, steps, signal, step_length }
    }

    pub(super) fn late(&self, number: i64, part: usize) -> Option<i64> {
        self.lateness.steps.get(&number)?.get(part).filter(|at| at.is_compared).map(|at| at.late)
    }

    /// Minimum of a median over this number of steps, in nanoseconds.
    pub(super) fn least_level(&self, signal: &Signal, steps: usize) -> f64 {
        let share = if steps < FEW_STEPS { LEAST_SHARE_ONCE } else { LEAST_SHARE };
        (share * self.step_length as f64).max(LEAST_NOISE * signal.noise / (steps.max(1) as f64).sqrt())
    }
}

impl Evidence<'_> {
    /// Finds what late ranks did while the others waited; `lost` is what each of them cost the others.
    pub(super) fn explain(&self, late: &[LateRank], lost: &[i64]) -> Vec<FoundCause> {
        let mut out = Vec::new();
        for (late, &lost_of_all) in late.iter().zip(lost) {
            let mut shares = self.explain_rank(late);
            let explained = sum_times(shares.iter().map(|share| share.excess));
            let confidence =
                late.share * (0.5 + 0.5 * (explained as f64 / late.late.max(1) as f64).clamp(0.0, 1.0));
            if shares.is_empty() {
                shares.push(CauseShare { cause: SlowCause::Unknown, excess: late.late, ratio: None });
            }
            let whole = sum_times(shares.iter().map(|share| share.excess)).max(1);
            let (own, others) =
                self.compare(late.part, &late.slow, |_, kernels| i64::try_from(kernels).unwrap_or(i64::MAX));
            let only_steps = match late.partial {
                Some(_) => late.slow.iter().copied().take(MOST_STEPS).collect(),
                None => Vec::new(),
            };
            let kernel = late.partial.and_then(|_| self.long_kernel(late));
            out.extend(shares.into_iter().map(|CauseShare { cause, excess, ratio }| {
                let of_whole = |time: i64| (time as f64 * (excess as f64 / whole as f64)).round() as i64;
                FoundCause {
                    place: SlowPlace::Rank(late.part),
                    cause,
                    lost: of_whole(lost_of_all),
                    late: of_whole(late.late),
                    lost_of_all,
                    late_of_all: late.late,
                    confidence: confidence.clamp(0.0, 0.99),
                    slow_steps: late.slow.len(),
                    steps: self.signal.series[late.part].len(),
                    only_steps: only_steps.clone(),
                    ratio,
                    more_kernels: (cause == SlowCause::Compute && others > 0)
                        .then_some(own * 50 > others * 51),
                    kernel: kernel.clone().filter(|_| cause == SlowCause::Compute),
                }
            }));
        }
        out
    }

    /// The causes that explain a good part of how late a rank is, the largest first; none if nothing does.
    pub(super) fn explain_rank(&self, late: &LateRank) -> Vec<CauseShare> {
        let hiccups = self.list_later_still(late).unwrap_or_default();
        let usual: Vec<i64> =
            late.slow.iter().copied().filter(|number| hiccups.binary_search(number).is_err()).collect();
        let loads = usual.iter().filter_map(|number| self.lateness.steps.get(number)?.get(late.part));
        let by_load = sum_times(loads.map(|at| at.by_load)) / i64::try_from(usual.len()).unwrap_or(1).max(1);
        let of_component = |(cause, time): Component| {
            let (own, others) = self.compare(late.part, &usual, |times, _| time(times));
            // More tokens take longer.
            let others = if cause == SlowCause::Compute { others.saturating_add(by_load) } else { others };
            let ratio = (others > 0).then(|| own as f64 / others as f64);
            let excess = match cause {
                // Where times have long tails, means of them are chance.
                SlowCause::Compute if late.partial.is_none() && usual.len() >= FEW_STEPS => {
                    self.usual_excess(late.part, &usual, time).saturating_sub(by_load)
                }
                _ => own - others,
            };
            CauseShare { cause, excess, ratio }
        };
        let mut shares: Vec<CauseShare> = COMPONENTS.into_iter().map(of_component).collect();
        if let Some(cause) = late.by_cause {
            shares.retain(|share| share.cause == cause);
            shares.iter_mut().for_each(|share| share.excess = late.late);
            return shares;
        }
        shares.sort_by_key(|share| std::cmp::Reverse(share.excess));
        let explains = |excess: i64, least: f64| excess as f64 > late.late as f64 * least;
        if !shares.first().is_some_and(|first| explains(first.excess, LEAST_EXPLAINED)) {
            return Vec::new();
        }
        // Beside a cause that does not change with the work, computations may be longer by chance.
        let by_chance = LEAST_NOISE * self.signal.noise / (usual.len().max(1) as f64).sqrt();
        let is_chance = |share: &CauseShare| {
            share.cause == SlowCause::Compute && late.partial.is_none() && share.excess as f64 <= by_chance
        };
        let steady = shares.iter().filter(|share| share.cause != SlowCause::Compute);
        let is_explained = steady.into_iter().any(|share| explains(share.excess, LEAST_EXPLAINED));
        shares.retain(|share| explains(share.excess, LEAST_BESIDE) && !(is_explained && is_chance(share)));
        shares
    }

    /// The fault by which a rank is late: how much earlier it would be without it, in each of its steps.
    ///
    /// What it waits for, copies or is held up by is known by itself. Of computations, noise cannot be distinguished: where a
    /// rank comes about as late in each step, what these differ by is chance, which stays.
    pub(super) fn fault_of(&self, late: &LateRank) -> Fault {
        let causes: Vec<SlowCause> = self.explain_rank(late).iter().map(|share| share.cause).collect();
        let mut steps = late.slow.clone();
        let own: Vec<i64> = if causes.is_empty() || causes.contains(&SlowCause::Compute) {
            let chance = LEAST_NOISE * self.signal.noise;
            let varies = late.partial.is_some() || self.list_later_still(late).is_none();
            let earlier = |number: &i64| {
                let of_step = self.late(*number, late.part).unwrap_or(0);
                let more = of_step.saturating_sub(late.late);
                let is_usual = (more.saturating_abs() as f64) <= chance || (more > 0 && !varies);
                if is_usual || late.slow.len() == 1 { late.late } else { of_step }
            };
            steps.iter().map(earlier).collect()
        } else {
            // Why the first work of a trace came late is not recorded: as in the other steps.
            let first = self.signal.series[late.part].first().map(|(number, _)| *number);
            let is_whole = |number: i64| Some(number) != first || !self.begins_with(late.part, number);
            if let Some(first) = first.filter(|first| late.partial.is_none() && !is_whole(*first)) {
                steps.insert(0, first);
                steps.dedup();
            }
            let excess = |number: i64| {
                let of_cause = COMPONENTS.iter().filter(|(cause, _)| causes.contains(cause));
                sum_times(of_cause.map(|(_, time)| {
                    let (own, others) = self.compare(late.part, &[number], |times, _| time(times));
                    own - others
                }))
            };
            let mut known: Vec<i64> =
                steps.iter().filter(|number| is_whole(**number)).map(|number| excess(*number)).collect();
            let usual = if known.is_empty() { late.late } else { median(&mut known) };
            steps.iter().map(|number| if is_whole(*number) { excess(*number) } else { usual }).collect()
        };
        Fault { part: late.part, steps, late: own.into_iter().map(|time| time.max(0)).collect() }
    }

    /// The trace of a rank begins with this step.
    fn begins_with(&self, part: usize, number: i64) -> bool {
        let step = self.parts.get(part).and_then(|part| part.step(number));
        step.is_some_and(|step| step.times.before == 0)
    }

    /// The median over steps of what a rank has more of than its equals.
    fn usual_excess(&self, part: usize, steps: &[i64], of: fn(&StepTimes) -> i64) -> i64 {
        let excess = |number: &i64| {
            let (own, others) = self.compare(part, &[*number], |times, _| of(times));
            own - others
        };
        median(&mut steps.iter().map(excess).collect::<Vec<i64>>())
    }

    /// The mean of something over steps: a rank's own, and the median of those of its equals.
    fn compare(&self, part: usize, steps: &[i64], of: impl Fn(&StepTimes, u64) -> i64) -> (i64, i64) {
        /// What is summed up over steps does not overflow.
        const MOST: i64 = 1_000_000_000_000_000;
        let (mut own, mut others, mut count) = (0, 0, 0);
        let class = self.places.class(part);
        for &number in steps {
            let Some(step) = self.parts.get(part).and_then(|p| p.step(number)) else { continue };
            let mut rest: Vec<i64> = self
                .parts
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != part && self.places.class(*i) == class)
                .filter_map(|(_, p)| p.step(number))
                .map(|s| of(&s.times, s.kernels).min(MOST))
                .collect();
            if rest.is_empty() {
                continue;
            }
            own = i64::saturating_add(own, of(&step.times, step.kernels).min(MOST));
            others = i64::saturating_add(others, median(&mut rest));
            count += 1;
        }
        let count = count.max(1);
        (own / count, others / count)
    }
}
