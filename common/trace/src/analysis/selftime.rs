//! Self time: how long each span was the innermost of its thread.
//!
//! The innermost of several is the one that started last; of those that start together the longer is the outer one,
//! and of equal ones the later in the file is the inner one. Real threads have spans that overlap without nesting; by
//! this rule nothing of them is lost and nothing counted twice: the self times of a thread add up to the time in which
//! any of its spans ran.

/// A span of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<T> {
    /// Number of its thread.
    pub thread: u32,
    /// Start.
    pub start: i64,
    /// End.
    pub end: i64,
    /// The item that gets its own time.
    pub what: T,
}

/// Computes the self times of spans that come in order: by thread, start, the longer first, and what decides among equals.
#[derive(Clone, Debug)]
pub struct SelfTimes<T> {
    open: Vec<Span<T>>,
    thread: u32,
    now: i64,
}

impl<T> Default for SelfTimes<T> {
    fn default() -> Self {
        Self { open: Vec::new(), thread: 0, now: i64::MIN }
    }
}

impl<T: Copy> SelfTimes<T> {
    /// Takes the next span, or none at the end. Calls `add` with a span and a stretch of its self time, any number of
    /// times for each.
    pub fn take(&mut self, span: Option<Span<T>>, mut add: impl FnMut(&T, i64, i64)) {
        if span.as_ref().is_none_or(|s| s.thread != self.thread) {
            self.run_until(i64::MAX, &mut add);
            self.open.clear();
            self.now = i64::MIN;
        }
        if let Some(span) = span {
            self.thread = span.thread;
            self.run_until(span.start, &mut add);
            self.open.push(span);
        }
    }

    /// Counts the time until a moment for the innermost span.
    fn run_until(&mut self, moment: i64, add: &mut impl FnMut(&T, i64, i64)) {
        while let Some(top) = self.open.last() {
            let from = self.now.max(top.start);
            let until = top.end.min(moment);
            if until > from {
                add(&top.what, from, until);
                self.now = until;
            }
            if top.end > moment {
                break;
            }
            self.open.pop();
        }
        self.now = self.now.max(moment);
    }

    /// How many spans are open.
    pub fn depth(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(spans: &[(i64, i64)]) -> Vec<i64> {
        let mut out = vec![0; spans.len()];
        let mut sorted: Vec<_> = (0..).zip(spans.iter().copied()).collect();
        sorted.sort_by_key(|(i, (start, end))| (*start, std::cmp::Reverse(*end), *i));
        let mut times = SelfTimes::default();
        let spans = sorted.into_iter().map(|(i, (start, end))| Some(Span { thread: 0, start, end, what: i }));
        for span in spans.chain([None]) {
            times.take(span, |i: &usize, from, to| out[*i] += to - from);
        }
        out
    }

    #[test]
    fn nested_and_crossing_spans() {
        assert_eq!(times(&[(0, 10), (2, 4), (6, 7)]), [7, 2, 1]);
        assert_eq!(times(&[(0, 10), (5, 15)]), [5, 10]);
        assert_eq!(times(&[(0, 10), (0, 10), (10, 12), (3, 3)]), [0, 10, 2, 0]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(spans in prop::collection::vec((0i64..60, 0i64..30), 1..20)) {
            let spans: Vec<_> = spans.into_iter().map(|(s, d)| (s, s + d)).collect();
            let covered = (0..100).filter(|t| spans.iter().any(|(s, e)| (*s..*e).contains(t))).count();
            prop_assert_eq!(times(&spans).iter().sum::<i64>(), covered as i64);
        }
    }
}
