//! Single steps in which a rank was late, where that does not make it slow: how late, by what, and what that cost.
//!
//! On any rank, something takes long now and then. That costs as much as a slow rank, and does not make it one.

use super::evidence::{Evidence, LEAST_NOISE_ONCE, LEAST_SHARE_ONCE, LateRank, MOST_JUDGED, SlowCause};
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

impl Evidence<'_> {
    /// Finds the single steps in which a rank was late by what one cause explains, besides the steps in which it is slow; the
    /// latest first.
    pub(super) fn find_hiccups(&self, slow: &[LateRank]) -> Vec<(LateRank, SlowCause)> {
        let least = LEAST_SHARE_ONCE * self.step_length as f64;
        let least = least.max(LEAST_NOISE_ONCE * self.signal.noise);
        let is_slow = |part: usize, step: i64| {
            slow.iter().any(|late| late.part == part && late.slow.binary_search(&step).is_ok())
        };
        let mut steps: Vec<(i64, usize, i64)> = Vec::new();
        for part in self.signal.list_latest(MOST_JUDGED) {
            let late = self.signal.series[part].iter().filter(|(_, late)| *late as f64 > least);
            steps.extend(
                late.filter(|(step, _)| !is_slow(part, *step)).map(|(step, late)| (*late, part, *step)),
            );
        }
        steps.sort_unstable_by_key(|(late, part, step)| (std::cmp::Reverse(*late), *part, *step));
        steps.truncate(MOST_HICCUPS);
        let once = |(late, part, step): (i64, usize, i64)| LateRank {
            part,
            slow: vec![step],
            late,
            share: 1.0,
            partial: Some(2),
            by_cause: None,
        };
        let causes = steps.into_iter().map(once).map(|late| {
            let cause = self.cause_of_hiccup(&late);
            (late, cause)
        });
        causes.filter(|(_, cause)| *cause != SlowCause::Unknown).collect()
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
