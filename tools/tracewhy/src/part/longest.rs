//! Computations that take longer than usual: of each step, the one that exceeds most what is usual for its name on its rank.

use std::collections::BTreeMap;

use trace::model::{FastMap, NameTable};

use super::StepPart;

/// A computation that took longer than usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LongKernel {
    /// Its name, or the begin of it.
    pub(crate) name: String,
    /// Nanoseconds of the longest of that name in the step.
    pub(crate) time: i64,
    /// The median of that over the steps of the rank that have the name.
    pub(crate) usual: i64,
}

impl LongKernel {
    /// Nanoseconds beyond what is usual.
    pub(crate) fn excess(&self) -> i64 {
        self.time.saturating_sub(self.usual)
    }
}

/// Maximum number of names, each in a step, that are compared; later ones are not.
const MOST_ENTRIES: usize = 1 << 19;
/// Maximum number of names.
pub(super) const MOST_NAMES: u32 = 1 << 18;
/// Less than one part in this many of the step is not kept.
pub(crate) const LEAST_OF_STEP: i64 = 100;
/// Maximum length of a name that is kept, in bytes.
const MOST_BYTES: usize = 512;

/// The longest computations of each name in each step.
#[derive(Debug, Default)]
pub(super) struct LongestKernels(FastMap<(u32, u32), i64>);

impl LongestKernels {
    /// Takes a computation of the step of this index.
    pub(super) fn add(&mut self, name: u32, step: Option<usize>, time: i64) {
        let Some(step) = step.and_then(|step| u32::try_from(step).ok()) else { return };
        if self.0.len() < MOST_ENTRIES || self.0.contains_key(&(name, step)) {
            let longest = self.0.entry((name, step)).or_default();
            *longest = time.max(*longest);
        }
    }

    /// Finds those that exceed most what is usual, by number of the step.
    pub(super) fn find_unusual(self, names: &NameTable, steps: &[StepPart]) -> BTreeMap<i64, LongKernel> {
        let mut times: FastMap<u32, Vec<i64>> = FastMap::default();
        self.0.iter().for_each(|((name, _), time)| times.entry(*name).or_default().push(*time));
        let usual: FastMap<u32, i64> = times
            .into_iter()
            .map(|(name, mut times)| {
                // Of two, the shorter.
                let middle = (times.len() - 1) / 2;
                (name, *times.select_nth_unstable(middle).1)
            })
            .collect();
        let mut most: FastMap<u32, (i64, u32)> = FastMap::default();
        for ((name, step), time) in self.0 {
            let excess = time.saturating_sub(usual.get(&name).copied().unwrap_or(time));
            let of_step = most.entry(step).or_insert((excess, name));
            *of_step = (*of_step).max((excess, name));
        }
        let mut out = BTreeMap::new();
        for (step, (excess, name)) in most {
            let Some(step) = steps.get(step as usize) else { continue };
            if excess > step.times.span() / LEAST_OF_STEP {
                let usual = usual.get(&name).copied().unwrap_or(0);
                let (time, name) = (usual.saturating_add(excess), begin_of(names.name(name)).to_owned());
                out.insert(step.number, LongKernel { name, time, usual });
            }
        }
        out
    }
}

fn begin_of(name: &str) -> &str {
    let end = (0..=MOST_BYTES.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    &name[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::StepTimes;

    #[test]
    fn the_longest_is_compared_with_other_steps() {
        let mut names = NameTable::default();
        let [large, small, once] = ["large", "small", "once"].map(|name| names.intern(name.into()));
        let mut kernels = LongestKernels::default();
        for step in 0..5 {
            // Two shapes of one name: the larger one is usual.
            for time in [90, 5000] {
                kernels.add(large, Some(step), time);
            }
            kernels.add(small, Some(step), if step == 3 { 640 } else { 40 });
        }
        // Nothing says how long that takes.
        kernels.add(once, Some(2), 9000);
        kernels.add(small, None, 100_000);
        let times = StepTimes { compute: 10_000, ..StepTimes::default() };
        let steps: Vec<StepPart> =
            (0..5).map(|i| StepPart { number: 10 + i, times, ..StepPart::default() }).collect();
        let expected = LongKernel { name: "small".to_owned(), time: 640, usual: 40 };
        assert_eq!(kernels.find_unusual(&names, &steps), BTreeMap::from([(13, expected)]));
        assert_eq!(begin_of(&"é".repeat(400)).len(), 512);
    }
}
