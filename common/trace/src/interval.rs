//! Sets of time: unions, differences and lengths, in integer nanoseconds.

/// Times covered, as disjoint pieces in order; pieces that touch are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntervalSet(Vec<(i64, i64)>);

impl IntervalSet {
    /// The union of spans in any order. Empty and reversed ones cover nothing.
    pub fn union(mut spans: Vec<(i64, i64)>) -> Self {
        spans.retain(|(start, end)| start < end);
        spans.sort_unstable();
        spans.dedup_by(|next, kept| {
            let joined = next.0 <= kept.1;
            if joined {
                kept.1 = kept.1.max(next.1);
            }
            joined
        });
        Self(spans)
    }

    /// How much time it covers.
    pub fn length(&self) -> i64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    /// What is covered here and not there.
    pub fn difference(&self, other: &Self) -> Self {
        let mut out = Vec::new();
        let mut cuts = other.0.iter().peekable();
        for &(mut start, end) in &self.0 {
            while let Some(&&(from, to)) = cuts.peek() {
                if to <= start {
                    cuts.next();
                    continue;
                }
                if from >= end {
                    break;
                }
                if from > start {
                    out.push((start, from));
                }
                start = to;
                if to >= end {
                    break;
                }
                cuts.next();
            }
            if start < end {
                out.push((start, end));
            }
        }
        Self(out)
    }

    /// The pieces.
    pub fn intervals(&self) -> &[(i64, i64)] {
        &self.0
    }
}

/// A union that grows span by span. Spans that come nearly in order, nested ones above all, cost no memory.
#[derive(Clone, Debug, Default)]
pub struct UnionBuilder {
    ordered: Vec<(i64, i64)>,
    late: Vec<(i64, i64)>,
}

impl UnionBuilder {
    /// Adds a span.
    #[inline]
    pub fn add(&mut self, start: i64, end: i64) {
        if start >= end {
            return;
        }
        match self.ordered.last_mut() {
            Some(last) if start < last.0 => {
                if end > last.1 || !self.late.last().is_some_and(|l| l.0 <= start && end <= l.1) {
                    self.late.push((start, end));
                    self.merge_late();
                }
            }
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => self.ordered.push((start, end)),
        }
    }

    /// Merges what came late, once there is enough of it to be worth the sorting.
    fn merge_late(&mut self) {
        if self.late.len() > self.ordered.len().max(4096) {
            self.ordered = std::mem::take(self).finish().0;
        }
    }

    /// The union.
    pub fn finish(mut self) -> IntervalSet {
        self.ordered.append(&mut self.late);
        IntervalSet::union(self.ordered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Which of the first hundred nanoseconds are covered.
    fn ticks(spans: &[(i64, i64)]) -> Vec<bool> {
        (0..100).map(|t| spans.iter().any(|(s, e)| (*s..*e).contains(&t))).collect()
    }

    fn spans() -> impl Strategy<Value = Vec<(i64, i64)>> {
        prop::collection::vec((0i64..80, -2i64..20), 0..30)
            .prop_map(|v| v.into_iter().map(|(s, d)| (s, s + d)).collect())
    }

    proptest! {
        #[test]
        fn sets_agree_with_counting(a in spans(), b in spans()) {
            let (ta, tb) = (ticks(&a), ticks(&b));
            let (sa, sb) = (IntervalSet::union(a.clone()), IntervalSet::union(b));
            prop_assert_eq!(sa.length() as usize, ta.iter().filter(|t| **t).count());
            let both: Vec<bool> = ta.iter().zip(&tb).map(|(x, y)| *x && !*y).collect();
            prop_assert_eq!(ticks(sa.difference(&sb).intervals()), both);
            let mut growing = UnionBuilder::default();
            a.iter().for_each(|(s, e)| growing.add(*s, *e));
            prop_assert_eq!(growing.finish(), sa);
        }
    }

    #[test]
    fn late_spans_are_merged_on_the_way() {
        let mut growing = UnionBuilder::default();
        (0..20_000).rev().for_each(|i| growing.add(i * 10, i * 10 + 5));
        assert!(growing.late.len() <= 10_001);
        assert_eq!(growing.finish().length(), 100_000);
    }
}
