//! Single steps in which a rank was late, where that does not make it slow: how late, by what, and what that cost.
//!
//! On any rank, something takes long now and then. That costs as much as a slow rank, and does not make it one.

use std::collections::BTreeMap;

use super::evidence::{Evidence, LateRank, MOST_JUDGED, SlowCause};
use super::signal::Signal;
use crate::part::longest::LongKernel;

/// A rank that was late in one step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hiccup {
    /// The index of the rank, and the number of the step.
    pub(crate) part: usize,
    pub(crate) step: i64,
    /// By how much it was late.
    pub(crate) late: i64,
    /// The time that the other ranks waited for it, in nanoseconds.
    pub(crate) lost: i64,
    pub(crate) cause: SlowCause,
    /// The kernel that took long, if the cause is a computation.
    pub(crate) kernel: Option<LongKernel>,
}

/// Maximum number of hiccups of a job: the latest ones.
const MOST_HICCUPS: usize = 256;
/// A cause explains at least one part in this many of the lateness.
const LEAST_EXPLAINED: i64 = 2;

/// A rank that is late in a step by this share of it and this multiple of the noise has a hiccup there.
const LEAST_HICCUP: (f64, f64) = (0.15, 8.0);
/// The same, if chance does not explain it.
const LEAST_NO_CHANCE: (f64, f64) = (0.08, 4.0);
/// If more of its slow steps than one in this many are later still, that is how the rank is slow.
pub(super) const FEW_OF: usize = 4;

impl Evidence<'_> {
    /// Finds the single steps in which a rank was late by what one cause explains, besides what makes it slow; the latest
    /// first.
    pub(super) fn find_hiccups(&self, slow: &[LateRank]) -> Vec<(LateRank, SlowCause)> {
        // By rank and step, how late it was, and the cause if it was found by that.
        let mut steps: BTreeMap<(usize, i64), (i64, Option<SlowCause>)> = BTreeMap::new();
        for (part, number, late) in self.list_single(&self.signal) {
            let is_slow = |late: &&LateRank| late.part == part && late.slow.binary_search(&number).is_ok();
            let Some(slow) = slow.iter().find(is_slow) else {
                steps.insert((part, number), (late, None));
                continue;
            };
            if self.list_later_still(slow).is_some_and(|later| later.binary_search(&number).is_ok()) {
                steps.insert((part, number), (late - slow.late, None));
            }
        }
        for (cause, signal) in self.list_steady() {
            for (part, number, late) in self.list_single(&signal) {
                let is_slow = |late: &LateRank| late.part == part && late.slow.binary_search(&number).is_ok();
                if !slow.iter().any(is_slow) {
                    let most = steps.entry((part, number)).or_insert((late, Some(cause)));
                    if most.1.is_some() && most.0 < late {
                        *most = (late, Some(cause));
                    }
                }
            }
        }
        let mut steps: Vec<_> = steps.into_iter().collect();
        steps.sort_by_key(|((part, step), (late, _))| (std::cmp::Reverse(*late), *part, *step));
        steps.truncate(MOST_HICCUPS);
        let once = |((part, step), (late, by_cause)): ((usize, i64), (i64, Option<SlowCause>))| LateRank {
            part,
            slow: vec![step],
            late,
            share: 1.0,
            partial: Some(2),
            by_cause,
        };
        let causes = steps.into_iter().map(once).map(|late| {
            let cause = self.cause_of_hiccup(&late);
            (late, cause)
        });
        // What a slow rank waits for or copies counts as a whole in each of its steps.
        let counts = |late: &LateRank, cause: SlowCause| {
            cause == SlowCause::Compute
                || slow.iter().all(|slow| slow.part != late.part || slow.partial.is_some())
        };
        causes.filter(|(late, cause)| *cause != SlowCause::Unknown && counts(late, *cause)).collect()
    }

    /// The single steps in which ranks have more of something than noise and chance explain: index of the rank, number of the
    /// step, and how much more.
    fn list_single(&self, signal: &Signal) -> Vec<(usize, i64, i64)> {
        let chances = self.chances_of(signal);
        let [most, least] = [LEAST_HICCUP, LEAST_NO_CHANCE].map(|least| self.least_hiccup(signal, least));
        let is_one = |part: usize, number: i64, value: i64| {
            value as f64 > most || (value as f64 > least && !chances.explain(part, &[number]))
        };
        let of_part = |part: usize| {
            let series = signal.series[part].iter().map(move |(number, value)| (part, *number, *value));
            series.filter(|(part, number, value)| is_one(*part, *number, *value)).collect::<Vec<_>>()
        };
        signal.list_latest(MOST_JUDGED).into_iter().flat_map(of_part).collect()
    }

    fn least_hiccup(&self, signal: &Signal, (of_step, of_noise): (f64, f64)) -> f64 {
        (of_step * self.step_length as f64).max(of_noise * signal.noise)
    }

    /// The steps in which a rank that is slow in nearly all steps was later than usual by a hiccup, in order. None if these are
    /// many, or if it is slow in some steps only: that is how it is slow.
    pub(super) fn list_later_still(&self, late: &LateRank) -> Option<Vec<i64>> {
        let least = self.least_hiccup(&self.signal, LEAST_HICCUP);
        let is_later = |number: &&i64| {
            self.late(**number, late.part).is_some_and(|of_step| (of_step - late.late) as f64 > least)
        };
        let later: Vec<i64> = late.slow.iter().filter(is_later).copied().collect();
        (late.partial.is_none() && later.len() * FEW_OF <= late.slow.len()).then_some(later)
    }

    /// Describes hiccups, of which each has cost the others what `lost` says; what cost most comes first.
    pub(super) fn describe_hiccups(&self, hiccups: &[(LateRank, SlowCause)], lost: &[i64]) -> Vec<Hiccup> {
        let describe = |((late, cause), lost): (&(LateRank, SlowCause), &i64)| {
            let kernel = if *cause == SlowCause::Compute { self.long_kernel(late) } else { None };
            let (step, lost, cause) = (late.slow[0], *lost, *cause);
            Hiccup { part: late.part, step, late: late.late, lost, cause, kernel }
        };
        let mut out: Vec<Hiccup> = hiccups.iter().zip(lost).map(describe).collect();
        out.sort_by_key(|hiccup| std::cmp::Reverse(hiccup.lost));
        out
    }

    fn cause_of_hiccup(&self, late: &LateRank) -> SlowCause {
        let shares = self.explain_rank(late);
        let first = shares.first().filter(|share| share.excess >= late.late / LEAST_EXPLAINED);
        first.map_or(SlowCause::Unknown, |share| share.cause)
    }

    /// The computation that took much longer than usual in the latest of the steps, if it explains a good part of how late
    /// the rank was.
    pub(super) fn long_kernel(&self, late: &LateRank) -> Option<LongKernel> {
        let kernels = &self.parts.get(late.part)?.long_kernels;
        let longest = late.slow.iter().filter_map(|step| Some((*step, kernels.get(step)?)));
        let (step, kernel) = longest.max_by_key(|(_, kernel)| kernel.excess())?;
        let lateness = self.late(step, late.part)?;
        (kernel.excess() >= lateness / LEAST_EXPLAINED).then(|| kernel.clone())
    }
}
