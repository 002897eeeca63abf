//! Whether a rank is slow, and why.
//!
//! A rank is slow if it comes later than the others by more than its lateness changes from step to step, and by enough to
//! matter. What it did meanwhile is told by what it has more of than the others in the same steps.

use trace::clock::median;

use super::Job;
use super::lateness::Lateness;
use super::links::SlowLinks;
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

/// The verdict on a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// The slow rank.
    pub(crate) blamed: Option<BlamedRank>,
    /// What could not be decided, as sentences.
    pub(crate) undecided: Vec<String>,
    /// Steps that were compared.
    pub(crate) steps: usize,
    /// Median length of a step.
    pub(crate) step_length: i64,
    /// By index of the rank: the median of how much later it comes in a step.
    pub(crate) levels: Vec<i64>,
}

/// A slow rank.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BlamedRank {
    /// Its index.
    pub(crate) part: usize,
    pub(crate) cause: SlowCause,
    /// The other end, of a slow link between two ranks.
    pub(crate) peer: Option<usize>,
    /// What the other ranks waited for it, all together.
    pub(crate) lost: i64,
    /// How much later it comes, per step that is slow.
    pub(crate) late: i64,
    /// From 0 to 1.
    pub(crate) confidence: f64,
    /// Numbers of the steps in which it was slow, if not in nearly all.
    pub(crate) only_steps: Vec<i64>,
    /// How many times as long as the others' its own such time is.
    pub(crate) ratio: Option<f64>,
    /// It begins more computations than the others, or equally many.
    pub(crate) more_kernels: Option<bool>,
}

/// Less than this share of a step is not called slow.
const LEAST_SHARE: f64 = 0.03;
/// A single step must be late by this share of its usual length.
const LEAST_SHARE_ONCE: f64 = 0.2;
/// Lateness must be so many times what it usually changes by: that of a median of steps, and that of one step.
const LEAST_NOISE: f64 = 6.0;
const LEAST_NOISE_ONCE: f64 = 12.0;
/// From the median of distances to a standard deviation, of normal noise.
const TO_DEVIATION: f64 = 1.4826;
/// With fewer steps, noise between them says little.
const FEW_STEPS: usize = 3;
/// So many steps are named.
const MOST_STEPS: usize = 32;

/// What the verdict is made of.
struct Evidence<'a> {
    parts: &'a [RankPart],
    lateness: &'a Lateness,
    /// Numbers of the steps, in order.
    steps: Vec<i64>,
    levels: Vec<i64>,
    /// What lateness changes by, from step to step.
    noise: f64,
    step_length: i64,
}

/// Judges a job.
pub(crate) fn judge(job: &Job, lateness: &Lateness, links: &SlowLinks) -> Verdict {
    let evidence = Evidence::new(&job.parts, lateness);
    // Who waits in slow transfers comes late to what follows, and only the transfers explain it.
    let late = evidence.find_persistent().or_else(|| evidence.find_single());
    let explained = late.clone().filter(|blamed| blamed.cause != SlowCause::Unknown);
    let blamed = explained.or_else(|| blame_link(links)).or(late).or_else(|| evidence.find_late_end());
    let mut undecided = evidence.list_undecided(job);
    if blamed.is_none() && !links.transfers.is_empty() {
        undecided.push("some groups transfer more slowly than their equals, and share no rank".to_owned());
    }
    Verdict {
        blamed,
        undecided,
        steps: evidence.steps.len(),
        step_length: evidence.step_length,
        levels: evidence.levels,
    }
}

fn blame_link(links: &SlowLinks) -> Option<BlamedRank> {
    let first = links.transfers.first()?;
    Some(BlamedRank {
        part: links.part? as usize,
        cause: SlowCause::Link,
        peer: links.peer.map(|p| p as usize),
        lost: links.lost(),
        late: first.time - first.usual,
        confidence: 0.9,
        only_steps: Vec::new(),
        ratio: Some(first.time as f64 / first.usual.max(1) as f64),
        more_kernels: None,
    })
}

impl<'a> Evidence<'a> {
    fn new(parts: &'a [RankPart], lateness: &'a Lateness) -> Self {
        let steps: Vec<i64> = lateness.steps.keys().copied().filter(|number| *number != i64::MIN).collect();
        let late = |number: &i64, part: usize| lateness.steps[number][part].late;
        let levels: Vec<i64> = (0..parts.len())
            .map(|part| median(&mut steps.iter().map(|number| late(number, part)).collect::<Vec<_>>()))
            .collect();
        let mut changes: Vec<i64> = steps
            .iter()
            .flat_map(|number| {
                levels.iter().enumerate().map(move |(part, level)| (late(number, part) - level).abs())
            })
            .collect();
        let noise = median(&mut changes) as f64 * TO_DEVIATION;
        let mut lengths: Vec<i64> =
            parts.iter().flat_map(|part| part.steps.iter().map(|step| step.times.span())).collect();
        let step_length = median(&mut lengths);
        Self { parts, lateness, steps, levels, noise, step_length }
    }

    fn late(&self, number: i64, part: usize) -> i64 {
        self.lateness.steps.get(&number).and_then(|s| s.get(part)).map_or(0, |s| s.late)
    }

    /// What lateness of a median of all steps must exceed.
    fn least_level(&self) -> f64 {
        let count = self.steps.len().max(1) as f64;
        let share = if self.steps.len() < FEW_STEPS { LEAST_SHARE_ONCE } else { LEAST_SHARE };
        (share * self.step_length as f64).max(LEAST_NOISE * self.noise / count.sqrt())
    }

    /// A rank that is late in nearly every step.
    fn find_persistent(&self) -> Option<BlamedRank> {
        let (part, &level) = self.levels.iter().enumerate().max_by_key(|(_, level)| **level)?;
        if (level as f64) < self.least_level() || self.is_common(level) {
            return None;
        }
        let slow: Vec<i64> =
            self.steps.iter().copied().filter(|number| self.late(*number, part) > level / 3).collect();
        let share = slow.len() as f64 / self.steps.len().max(1) as f64;
        if share < 0.75 {
            return None;
        }
        Some(self.blame(part, level, &slow, share))
    }

    /// Whether several ranks are as late, so that the latest is no exception.
    fn is_common(&self, level: i64) -> bool {
        if self.levels.len() < 5 {
            return false;
        }
        let mut levels = self.levels.clone();
        let middle = median(&mut levels);
        let mut spread: Vec<i64> = levels.iter().map(|l| (l - middle).abs()).collect();
        ((level - middle) as f64) < LEAST_NOISE * TO_DEVIATION * median(&mut spread) as f64
    }

    /// A rank that is very late in one step or in some.
    fn find_single(&self) -> Option<BlamedRank> {
        let least = (LEAST_SHARE_ONCE * self.step_length as f64).max(LEAST_NOISE_ONCE * self.noise);
        let is_slow = |number: i64, part: usize| {
            (self.late(number, part) - self.levels.get(part).copied().unwrap_or(0)) as f64 > least
        };
        if self.steps.len() < FEW_STEPS {
            return None;
        }
        let sum = |part: &usize| {
            let slow = self.steps.iter().filter(|number| is_slow(**number, *part));
            sum_times(slow.map(|number| self.late(*number, *part)))
        };
        let part = (0..self.parts.len()).max_by_key(sum)?;
        let slow: Vec<i64> = self.steps.iter().copied().filter(|n| is_slow(*n, part)).collect();
        let late = sum(&part) / i64::try_from(slow.len()).ok().filter(|n| *n > 0)?;
        let mut blamed = self.blame(part, late, &slow, 0.9);
        blamed.only_steps = slow.into_iter().take(MOST_STEPS).collect();
        Some(blamed)
    }

    /// A rank that comes when the others do, by their clocks, and is busy with each collective for longer: the end of its
    /// transfers comes later.
    fn find_late_end(&self) -> Option<BlamedRank> {
        let (part, &level) = self.levels.iter().enumerate().min_by_key(|(_, level)| **level)?;
        let longer = -level;
        let rank = self.lateness.ranks.get(part)?;
        if (longer as f64) < self.least_level() || self.levels.len() < 3 || rank.compared == 0 {
            return None;
        }
        let calls = i64::try_from(rank.compared).ok()? / i64::try_from(self.steps.len().max(1)).ok()?;
        let of_call = longer / calls.max(1);
        let start = median(&mut rank.starts.clone());
        if start.abs() * 4 > of_call {
            return None;
        }
        let lost = longer.saturating_mul(self.steps.len() as i64);
        Some(BlamedRank {
            part,
            cause: SlowCause::Link,
            peer: None,
            lost,
            late: longer,
            confidence: 0.6,
            only_steps: Vec::new(),
            ratio: None,
            more_kernels: None,
        })
    }

    /// Finds what a rank did while the others waited.
    fn blame(&self, part: usize, late: i64, slow: &[i64], share: f64) -> BlamedRank {
        let of_steps = slow.iter().filter_map(|number| self.lateness.steps.get(number)?.get(part));
        let lost = sum_times(of_steps.map(|step| step.lost));
        let mut best: Option<(SlowCause, i64, Option<f64>)> = None;
        for (cause, time) in COMPONENTS {
            let (own, others) = self.compare(part, slow, |times, _| time(times));
            if best.is_none_or(|(_, excess, _)| own - others > excess) {
                let ratio = (others > 0).then(|| own as f64 / others as f64);
                best = Some((cause, own - others, ratio));
            }
        }
        // It must explain a good part of it.
        let (cause, excess, ratio) =
            best.filter(|(_, excess, _)| *excess * 10 > late * 3).unwrap_or((SlowCause::Unknown, 0, None));
        let (own, others) = self.compare(part, slow, |_, kernels| kernels as i64);
        let more_kernels = (cause == SlowCause::Compute && others > 0).then_some(own * 50 > others * 51);
        let explained = (excess as f64 / late.max(1) as f64).clamp(0.0, 1.0);
        let confidence = (share * (0.5 + 0.5 * explained)).clamp(0.0, 0.99);
        let ratio = ratio.filter(|_| cause != SlowCause::Unknown);
        BlamedRank {
            part,
            cause,
            peer: None,
            lost,
            late,
            confidence,
            only_steps: Vec::new(),
            ratio,
            more_kernels,
        }
    }

    /// The mean of something over steps: a rank's own, and the median of the others'.
    fn compare(&self, part: usize, steps: &[i64], of: impl Fn(&StepTimes, u64) -> i64) -> (i64, i64) {
        /// What is summed up over steps does not overflow.
        const MOST: i64 = 1_000_000_000_000_000;
        let (mut own, mut others, mut count) = (0, 0, 0);
        for &number in steps {
            let Some(step) = self.parts.get(part).and_then(|p| p.step(number)) else { continue };
            let mut rest: Vec<i64> = self
                .parts
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != part)
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

    fn list_undecided(&self, job: &Job) -> Vec<String> {
        let mut out = Vec::new();
        let missing = job.world_size().saturating_sub(self.parts.len());
        if missing > 0 {
            out.push(format!("{missing} of {} ranks have no trace: whether they are late", job.world_size()));
        }
        if self.parts.len() < 2 {
            out.push("one rank can be compared with no other".to_owned());
        } else if self.lateness.collectives == 0 {
            out.push("the ranks share no collective in which all wait for the last: who is late".to_owned());
        } else if self.steps.len() < FEW_STEPS {
            out.push("with fewer than three steps, little can be told from noise".to_owned());
        }
        let (on_device, on_host) =
            self.parts.iter().fold((0, 0), |(d, h), p| if p.on_device { (d + 1, h) } else { (d, h + 1) });
        if on_device > 0 && on_host > 0 {
            out.push(format!("{on_host} of {} ranks have no work on a device", self.parts.len()));
        }
        out
    }
}

type Component = (SlowCause, fn(&StepTimes) -> i64);

/// What a rank may have more of than others.
const COMPONENTS: [Component; 5] = [
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
