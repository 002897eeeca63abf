//! Self time: how long each span was the innermost of its thread.
//!
//! The innermost of several is the one that started last. Real threads have spans that overlap without nesting;
//! by this rule nothing of them is lost and nothing counted twice: the self times of a thread add up to the
//! time in which any of its spans ran.

/// A named span of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) lane: u32,
    pub(crate) name: u32,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// Calls `add` with the name of a span and a stretch of its self time, any number of times per span. Sorts the
/// spans on the way.
pub(crate) fn self_times(spans: &mut [Span], mut add: impl FnMut(u32, i64)) {
    // Of spans that start together the longer is the outer one.
    spans.sort_unstable_by_key(|s| (s.lane, s.start, std::cmp::Reverse(s.end)));
    for thread in spans.chunk_by(|a, b| a.lane == b.lane) {
        let mut open: Vec<Span> = Vec::new();
        let mut now = i64::MIN;
        for &span in thread {
            run_until(span.start, &mut now, &mut open, &mut add);
            open.push(span);
        }
        run_until(i64::MAX, &mut now, &mut open, &mut add);
    }
}

/// Gives the time until a moment to whoever is innermost.
fn run_until(moment: i64, now: &mut i64, open: &mut Vec<Span>, add: &mut impl FnMut(u32, i64)) {
    while let Some(top) = open.last() {
        let from = (*now).max(top.start);
        let until = top.end.min(moment);
        if until > from {
            add(top.name, until - from);
            *now = until;
        }
        if top.end > moment {
            break;
        }
        open.pop();
    }
    *now = (*now).max(moment);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(spans: &[(i64, i64)]) -> Vec<i64> {
        let mut out = vec![0; spans.len()];
        let span = |(i, (start, end)): (usize, &(i64, i64))| Span {
            lane: 0,
            name: i as u32,
            start: *start,
            end: *end,
        };
        let mut spans: Vec<_> = spans.iter().enumerate().map(span).collect();
        self_times(&mut spans, |name, time| out[name as usize] += time);
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
