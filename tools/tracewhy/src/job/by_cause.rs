//! Ranks of which one cause stands out by itself.

use std::collections::BTreeMap;

use super::chance::Chances;
use super::evidence::{COMPONENTS, Evidence, LateRank, MOST_JUDGED, SlowCause};
use super::lateness::median_of_others;
use super::signal::Signal;
use crate::part::longest::{LEAST_OF_STEP, LongKernel};
use crate::part::{RankPart, StepPart, sum_times};

/// Lateness may be less than its cause by this multiple of the noise.
const LEAST_SEEN: f64 = 2.0;

impl Evidence<'_> {
    /// Ranks of which one cause alone stands out, where the work of all changes too much from step to step to say so of
    /// their lateness: what changes with the work is left out. `known` are late in nearly all of their steps or in some.
    pub(super) fn find_late_by_cause(&self, known: &[LateRank]) -> Vec<LateRank> {
        let mut out: Vec<LateRank> = Vec::new();
        let mut signals = self.list_steady();
        let on_device = self.parts.iter().any(|part| part.on_device);
        // What one computation takes longer than it usually does there. Stages have few equals to say what is chance.
        let has_kernels = on_device && !self.places.is_pipelined;
        let excess = |part: &RankPart, step: &StepPart| {
            part.long_kernels.get(&step.number).map_or(0, LongKernel::excess)
        };
        signals.extend(has_kernels.then(|| (SlowCause::Compute, self.signal_of(excess))));
        for (cause, signal) in signals {
            let chances = match cause {
                SlowCause::Compute => Chances::of_kernels(&signal, self.step_length / LEAST_OF_STEP),
                _ => self.chances_of(&signal),
            };
            for part in signal.list_latest(MOST_JUDGED) {
                // Of a rank that is late in some steps, a cause may stand out in all of them.
                let known = known.iter().find(|late| late.part == part);
                if known.is_some_and(|late| late.partial.is_none() || cause == SlowCause::Compute) {
                    continue;
                }
                let Some(late) = self.find_late_steps(&signal, &chances, part) else { continue };
                if known.is_some() && late.partial.is_some() {
                    continue;
                }
                // Computations that take long in several steps make the rank late often enough to say so by that.
                if cause == SlowCause::Compute && late.slow.len() > 1 {
                    continue;
                }
                let excess = late.slow.iter().map(|number| signal.at(*number, part).unwrap_or(0).max(0));
                let excess = sum_times(excess);
                let lateness = sum_times(late.slow.iter().filter_map(|number| self.late(*number, part)));
                // It must have come late by it, as far as noise lets that be seen.
                let noise = self.signal.noise * (late.slow.len() as f64).sqrt();
                if (lateness as f64) < excess as f64 / 2.0 - LEAST_SEEN * noise {
                    continue;
                }
                let late = match cause {
                    // That one computation took long says that it is no chance; others may have taken longer, too.
                    SlowCause::Compute => {
                        let steps = i64::try_from(late.slow.len()).unwrap_or(1).max(1);
                        LateRank { late: lateness / steps, by_cause: None, ..late }
                    }
                    _ => LateRank { by_cause: Some(cause), ..late },
                };
                match out.iter_mut().find(|other| other.part == part) {
                    Some(other) if other.late < late.late => *other = late,
                    Some(_) => {}
                    None => out.push(late),
                }
            }
        }
        out
    }

    /// What ranks spend beyond their equals for the causes that do not change with the work.
    pub(super) fn list_steady(&self) -> Vec<(SlowCause, Signal)> {
        // On a host, an operator that computes longer and one that is held up differ by degree only.
        let on_device = self.parts.iter().any(|part| part.on_device);
        let changes = |cause| cause == SlowCause::Compute || (cause == SlowCause::Host && !on_device);
        let steady = COMPONENTS.into_iter().filter(|(cause, _)| !changes(*cause));
        steady.map(|(cause, time)| (cause, self.signal_of(|_, step| time(&step.times)))).collect()
    }

    /// The time that ranks spend for something beyond their equals.
    fn signal_of(&self, time: impl Fn(&RankPart, &StepPart) -> i64) -> Signal {
        let mut series = vec![Vec::new(); self.parts.len()];
        for &number in &self.steps {
            let mut classes: BTreeMap<usize, Vec<(usize, i64)>> = BTreeMap::new();
            for (part, of_rank) in self.parts.iter().enumerate() {
                if let (Some(_), Some(step)) = (self.late(number, part), of_rank.step(number)) {
                    classes.entry(self.places.class(part)).or_default().push((part, time(of_rank, step)));
                }
            }
            for members in classes.into_values().filter(|members| members.len() > 1) {
                let mut sorted: Vec<i64> = members.iter().map(|(_, time)| *time).collect();
                sorted.sort_unstable();
                for (part, time) in members {
                    series[part].push((number, time - median_of_others(&sorted, time)));
                }
            }
        }
        Signal::new(series)
    }
}
