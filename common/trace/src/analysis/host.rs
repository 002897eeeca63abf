//! Host time in operators: per thread the union of their spans, summed over threads, up to any moment.

use std::io;

use crate::spool::{MemoryLimit, Spool, SpoolRecord};

/// A stretch of time of a thread in which it is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BusySpan {
    pub(crate) thread: u32,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl SpoolRecord<3> for BusySpan {
    fn to_words(self) -> [i64; 3] {
        [i64::from(self.thread), self.start, self.end]
    }

    fn from_words([thread, start, end]: [i64; 3]) -> Self {
        Self { thread: thread as u32, start, end }
    }
}

/// Collects the busy time of threads. Spans within the one before, which most are, cost nothing.
#[derive(Debug)]
pub(crate) struct BusyTime {
    spans: Spool<BusySpan, 3>,
    /// By thread, the span that the next one may join.
    open: Vec<Option<(i64, i64)>>,
}

impl BusyTime {
    /// Nothing yet.
    pub(crate) fn new(limit: MemoryLimit) -> Self {
        Self { spans: Spool::new(limit), open: Vec::new() }
    }

    /// Adds a span of a thread.
    ///
    /// # Errors
    /// An I/O error of the spool.
    #[inline]
    pub(crate) fn add(&mut self, thread: u32, start: i64, end: i64) -> io::Result<()> {
        let slot = thread as usize;
        if slot >= self.open.len() {
            self.open.resize(slot + 1, None);
        }
        match &mut self.open[slot] {
            Some((from, to)) if start <= *to && end >= *from => {
                (*from, *to) = ((*from).min(start), (*to).max(end));
            }
            open => {
                if let Some((from, to)) = open.replace((start, end)) {
                    self.spans.push(BusySpan { thread, start: from, end: to })?;
                }
            }
        }
        Ok(())
    }

    /// Returns whether there is no span.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.iter().all(Option::is_none)
    }

    /// How long threads were busy up to each of some moments, and in all. `scope_of` says to which answer a thread
    /// belongs, if to any, and `moments` are the questions of each; they are answered in their order.
    ///
    /// # Errors
    /// An I/O error of the spool.
    pub(crate) fn sum_until(
        mut self,
        limit: MemoryLimit,
        moments: &[Vec<i64>],
        keep: impl Fn(i64) -> bool,
        scope_of: impl Fn(u32) -> usize,
    ) -> io::Result<Vec<CoveredTime>> {
        for (thread, open) in (0u32..).zip(std::mem::take(&mut self.open)) {
            if let Some((start, end)) = open {
                self.spans.push(BusySpan { thread, start, end })?;
            }
        }
        let mut edges: Spool<BusyEdge, 2> = Spool::new(limit);
        let mut spans = self.spans.into_sorted(|s| (s.thread, s.start))?;
        let mut last: Option<BusySpan> = None;
        let mut close = |span: BusySpan| -> io::Result<()> {
            let scope = scope_of(span.thread) as u32;
            edges.push(BusyEdge { at: span.start, scope, begin: true })?;
            edges.push(BusyEdge { at: span.end, scope, begin: false })
        };
        while let Some(span) = spans.next_record()? {
            if !keep(span.start) {
                continue;
            }
            match &mut last {
                Some(l) if l.thread == span.thread && span.start <= l.end => l.end = l.end.max(span.end),
                _ => {
                    if let Some(done) = last.replace(span) {
                        close(done)?;
                    }
                }
            }
        }
        last.map_or(Ok(()), close)?;
        sum_edges(edges, moments)
    }
}

/// How much is covered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CoveredTime {
    /// Up to each moment that was asked for.
    pub(crate) until: Vec<i64>,
    /// In all.
    pub(crate) total: i64,
}

#[derive(Clone, Copy, Debug)]
struct BusyEdge {
    at: i64,
    scope: u32,
    begin: bool,
}

impl SpoolRecord<2> for BusyEdge {
    fn to_words(self) -> [i64; 2] {
        [self.at, i64::from(self.scope) << 1 | i64::from(self.begin)]
    }

    fn from_words([at, word]: [i64; 2]) -> Self {
        Self { at, scope: (word >> 1) as u32, begin: word & 1 == 1 }
    }
}

/// A running sum over one scope.
#[derive(Clone, Copy, Default)]
struct Running {
    at: i64,
    busy: i64,
    sum: i64,
}

impl Running {
    fn advance(&mut self, moment: i64) {
        self.sum = self.sum.saturating_add(self.busy.saturating_mul(moment.saturating_sub(self.at)));
        self.at = moment;
    }
}

fn sum_edges(edges: Spool<BusyEdge, 2>, moments: &[Vec<i64>]) -> io::Result<Vec<CoveredTime>> {
    // Questions in the order of time, with the place of their answers.
    let mut questions: Vec<(i64, usize, usize)> = Vec::new();
    for (scope, list) in moments.iter().enumerate() {
        questions.extend(list.iter().enumerate().map(|(i, &at)| (at, scope, i)));
    }
    questions.sort_unstable();
    let mut answers: Vec<CoveredTime> =
        moments.iter().map(|m| CoveredTime { until: vec![0; m.len()], total: 0 }).collect();
    let mut running = vec![Running::default(); moments.len()];
    let mut questions = questions.into_iter().peekable();
    let mut edges = edges.into_sorted(|e| e.at)?;
    while let Some(edge) = edges.next_record()? {
        while let Some((at, scope, i)) = questions.next_if(|q| q.0 <= edge.at) {
            running[scope].advance(at);
            answers[scope].until[i] = running[scope].sum;
        }
        if let Some(r) = running.get_mut(edge.scope as usize) {
            r.advance(edge.at);
            r.busy += if edge.begin { 1 } else { -1 };
        }
    }
    for (_, scope, i) in questions {
        answers[scope].until[i] = running[scope].sum;
    }
    for (answer, r) in answers.iter_mut().zip(running) {
        answer.total = r.sum;
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(limit: MemoryLimit, spans: &[(u32, i64, i64)], moments: Vec<i64>) -> CoveredTime {
        let mut busy = BusyTime::new(limit);
        spans.iter().for_each(|(t, s, e)| busy.add(*t, *s, *e).unwrap());
        busy.sum_until(limit, &[moments], |_| true, |_| 0).unwrap().remove(0)
    }

    #[test]
    fn threads_add_up() {
        let spans = [(0, 0, 10), (0, 20, 30), (1, 5, 25), (0, 2, 3), (0, 24, 26)];
        let moments = vec![-1, 0, 5, 7, 10, 22, 25, 30, 99];
        let sums = covered(MemoryLimit::default(), &spans, moments);
        assert_eq!(sums.until, [0, 0, 5, 9, 15, 29, 35, 40, 40]);
        assert_eq!(sums.total, 40);
    }

    #[test]
    fn any_order_and_any_limit_give_the_same() {
        let n = 20_000i64;
        let spans: Vec<_> =
            (0..n).map(|i| ((i % 3) as u32, (i * 7919 % n) * 10, (i * 7919 % n) * 10 + 15)).collect();
        let in_order = {
            let mut s = spans.clone();
            s.sort_unstable();
            s
        };
        let all = |limit, spans: &[(u32, i64, i64)]| {
            covered(MemoryLimit { bytes: limit }, spans, vec![500, 100_000])
        };
        assert_eq!(all(1 << 30, &spans), all(1, &in_order));
        assert_eq!(all(1, &spans), all(1 << 30, &in_order));
    }
}
