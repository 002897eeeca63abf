//! The training steps of a trace, and which step a moment belongs to.

/// One step, as the host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) number: i64,
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// The trace ends inside it.
    pub(crate) partial: bool,
}

/// Steps in the order of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps {
    steps: Vec<Step>,
    /// Marks that repeat a step: another thread's, or a copy.
    pub(crate) repeated: u64,
}

/// How many steps back a moment is looked for: marks of other threads may lie in between.
const BACK: usize = 8;

impl Steps {
    /// Puts marks in order. A mark that overlaps one of the same number only repeats it.
    pub(crate) fn new(mut marks: Vec<Step>) -> Self {
        marks.sort_unstable_by_key(|s| (s.start, -s.end, s.number));
        let mut out = Self::default();
        for mark in marks {
            let near = out.steps.iter().rev().take(BACK);
            if near.clone().any(|s| s.number == mark.number && mark.start < s.end) {
                out.repeated += 1;
            } else {
                out.steps.push(mark);
            }
        }
        out
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Step] {
        &self.steps
    }

    /// The index of the step that a moment belongs to: the latest to start of those that hold it.
    pub(crate) fn at(&self, moment: i64) -> Option<usize> {
        let after = self.steps.partition_point(|s| s.start <= moment);
        (after.saturating_sub(BACK)..after).rev().find(|&i| moment < self.steps[i].end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(number: i64, start: i64, end: i64) -> Step {
        Step { number, start, end, partial: false }
    }

    #[test]
    fn moments_find_their_step() {
        let steps = Steps::new(vec![step(6, 10, 20), step(5, 0, 10), step(5, 1, 9), step(7, 25, 30)]);
        let numbers: Vec<_> = steps.all().iter().map(|s| s.number).collect();
        assert_eq!((numbers, steps.repeated), (vec![5, 6, 7], 1));
        let found: Vec<_> = [-1, 0, 9, 10, 19, 20, 25, 30].iter().map(|t| steps.at(*t)).collect();
        assert_eq!(found, [None, Some(0), Some(0), Some(1), Some(1), None, Some(2), None]);
    }

    #[test]
    fn the_last_step_is_not_dropped() {
        let steps = Steps::new(vec![step(1, 0, 5)]);
        assert_eq!(steps.at(4), Some(0));
    }
}
