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
    /// The trace marks no steps; these were told from its optimizer.
    pub(crate) derived: bool,
}

/// The end of one call of an optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    /// Which optimizer.
    pub(crate) name: u32,
    pub(crate) start: i64,
    pub(crate) end: i64,
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

    /// Tells the steps of a trace that marks none, as on-demand traces of libkineto do not: a step lasts from
    /// the end of one optimizer call to the end of the next. They are numbered from 0, and the first is called
    /// partial since nothing says that the recording began at its beginning. With several optimizers, the one
    /// that comes first counts. Of a trace that was `cut`, no step is known to be whole.
    pub(crate) fn from_optimizer(mut updates: Vec<Update>, begin: i64, cut: bool) -> Self {
        updates.sort_unstable_by_key(|u| (u.start, u.end));
        let Some(first) = updates.first().map(|u| u.name) else { return Self::default() };
        updates.retain(|u| u.name == first);
        let mut start = begin;
        let step = |(i, end): (usize, i64)| {
            let from = std::mem::replace(&mut start, end);
            Step { number: i as i64, start: from, end, partial: cut || i == 0 }
        };
        let steps = updates.iter().map(|u| u.end).enumerate().map(step).filter(|s| s.start < s.end).collect();
        Self { steps, repeated: 0, derived: true }
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
    fn optimizer_calls_end_steps_where_none_are_marked() {
        let update = |name, start, end| Update { name, start, end };
        let steps =
            Steps::from_optimizer(vec![update(1, 28, 30), update(1, 8, 10), update(2, 12, 14)], 0, false);
        let spans: Vec<_> = steps.all().iter().map(|s| (s.number, s.start, s.end, s.partial)).collect();
        assert_eq!(spans, [(0, 0, 10, true), (1, 10, 30, false)]);
        assert!(steps.derived);
        assert_eq!(Steps::from_optimizer(Vec::new(), 0, false).all(), []);
    }

    #[test]
    fn the_last_step_is_not_dropped() {
        let steps = Steps::new(vec![step(1, 0, 5)]);
        assert_eq!(steps.at(4), Some(0));
    }
}
