//! Begin and end events, brought together to spans.
//!
//! They need not stand in the file in the order of time, so they are kept until it has been read.

use super::records::Edge;
use crate::model::FastMap;
use crate::spool::{MemoryLimit, Spool};

/// Begins and ends that found no partner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unmatched {
    /// Begins that never ended; closed at their thread's last moment.
    pub unclosed: u64,
    /// Ends without a begin; ignored.
    pub unopened: u64,
}

/// The facts about the threads that the edges belong to, by number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EdgeThreads<'a> {
    /// Whether begins and ends stand in the file in the order of time: then the file's order decides among equals.
    pub(crate) in_order: &'a [(bool, i64)],
    /// The last moment of any event.
    pub(crate) last_moments: &'a [i64],
    /// The name of ends that do not give one.
    pub(crate) any_name: u32,
}

/// Calls `each` with every begin, the end that it has, and whether that end is its own. An end closes the innermost
/// begin of its own name, or else the innermost of all.
///
/// # Errors
/// The error of the spool or of `each`; a thread has more open begins than memory is allowed for.
pub(crate) fn match_edges(
    edges: Spool<Edge, 7>,
    threads: EdgeThreads<'_>,
    limit: MemoryLimit,
    mut each: impl FnMut(&Edge, i64, bool) -> anyhow::Result<()>,
) -> anyhow::Result<Unmatched> {
    let in_order = |thread: u32| threads.in_order.get(thread as usize).is_none_or(|(in_order, _)| *in_order);
    // Where the file's order says nothing, ends come before the begins of the same moment.
    let rank = |e: &Edge| u8::from(e.begin && !in_order(e.thread));
    let mut sorted = edges.into_sorted(|e| (e.thread, e.at, rank(e), e.index))?;
    let mut matcher = Matcher { threads, limit, open: Vec::new(), out: Unmatched::default() };
    // The edges of one thread at one moment.
    let mut moment: Vec<Edge> = Vec::new();
    loop {
        let next = sorted.next_record()?;
        let is_other = |first: &Edge| next.is_none_or(|e| (e.thread, e.at) != (first.thread, first.at));
        if let Some(first) = moment.first().copied().filter(is_other) {
            matcher.take_moment(&moment, in_order(first.thread), &mut each)?;
            moment.clear();
            if next.is_none_or(|e| e.thread != first.thread) {
                matcher.close_thread(first.thread, &mut each)?;
            }
        }
        let Some(edge) = next else { return Ok(matcher.out) };
        moment.push(edge);
        matcher.check_memory(moment.len())?;
    }
}

struct Matcher<'a> {
    threads: EdgeThreads<'a>,
    limit: MemoryLimit,
    open: Vec<Edge>,
    out: Unmatched,
}

type EachSpan<'a> = dyn FnMut(&Edge, i64, bool) -> anyhow::Result<()> + 'a;

impl Matcher<'_> {
    /// Takes the edges of one moment. An end that finds no begin of its name waits for one of the same moment: a span
    /// of no length, whose end stands before its begin.
    fn take_moment(
        &mut self,
        moment: &[Edge],
        in_order: bool,
        each: &mut EachSpan<'_>,
    ) -> anyhow::Result<()> {
        let mut begins: FastMap<u32, u32> = FastMap::default();
        if moment.len() > 1 {
            moment.iter().filter(|e| e.begin).for_each(|e| *begins.entry(e.name).or_default() += 1);
        }
        let mut waiting = Vec::new();
        for edge in moment {
            let to_come = begins.get_mut(&edge.name);
            if edge.begin {
                to_come.into_iter().for_each(|n| *n -= 1);
                self.open.push(*edge);
                self.check_memory(moment.len())?;
                continue;
            }
            match self.find_own_begin(edge.name) {
                Some(i) => self.close(i, edge.at, each)?,
                None if edge.name != self.threads.any_name && to_come.is_some_and(|n| *n > 0) => {
                    waiting.push(*edge);
                }
                None if in_order || edge.name == self.threads.any_name => {
                    self.close_innermost(edge.at, in_order, each)?;
                }
                None => waiting.push(*edge),
            }
        }
        for edge in waiting {
            match self.find_own_begin(edge.name) {
                Some(i) => self.close(i, edge.at, each)?,
                None => self.close_innermost(edge.at, false, each)?,
            }
        }
        Ok(())
    }

    fn check_memory(&self, more: usize) -> anyhow::Result<()> {
        let count = self.open.len() + more;
        anyhow::ensure!(
            (count * size_of::<Edge>()) as u64 <= self.limit.of_tables(),
            "{count} begins are open at a time: raise --max-memory"
        );
        Ok(())
    }

    /// Closes the innermost begin; where the order of the file says nothing, one that lasted.
    fn close_innermost(&mut self, at: i64, in_order: bool, each: &mut EachSpan<'_>) -> anyhow::Result<()> {
        let lasted = if in_order { None } else { self.open.iter().rposition(|b| b.at < at) };
        match lasted.or(self.open.len().checked_sub(1)) {
            Some(i) => self.close(i, at, each),
            None => {
                self.out.unopened += 1;
                Ok(())
            }
        }
    }

    fn close(&mut self, i: usize, at: i64, each: &mut EachSpan<'_>) -> anyhow::Result<()> {
        let begin = self.open.remove(i);
        each(&begin, at, true)
    }

    /// The innermost open begin of this name, among the innermost few: a hostile file must not make every end
    /// search a deep stack.
    fn find_own_begin(&self, name: u32) -> Option<usize> {
        const DEPTH: usize = 256;
        if name == self.threads.any_name {
            return None;
        }
        let from = self.open.len().saturating_sub(DEPTH);
        self.open[from..].iter().rposition(|b| b.name == name).map(|i| i + from)
    }

    fn close_thread(&mut self, thread: u32, each: &mut EachSpan<'_>) -> anyhow::Result<()> {
        let last = self.threads.last_moments.get(thread as usize).copied().unwrap_or(i64::MIN);
        self.out.unclosed += self.open.len() as u64;
        for begin in std::mem::take(&mut self.open).into_iter().rev() {
            each(&begin, last.max(begin.at), false)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::{NO_DEVICE, NO_NUMBER};
    use super::*;
    use crate::model::RowTraits;

    const ANY: u32 = 0;

    /// `(thread, at, name, begin)` in the order of the file.
    fn spans(edges: &[(u32, i64, u32, bool)], last: i64) -> (Vec<(u32, i64, i64, bool)>, Unmatched) {
        let limit = MemoryLimit::default();
        let mut spool = Spool::new(limit);
        let mut in_order = vec![(true, i64::MIN); 4];
        for (index, &(thread, at, name, begin)) in (0..).zip(edges) {
            let (ordered, before) = &mut in_order[thread as usize];
            *ordered &= at >= *before;
            *before = at;
            let edge = Edge {
                at,
                index,
                thread,
                name,
                begin,
                external: false,
                repeats_mark: false,
                known: None,
                traits: RowTraits::default(),
                user: None,
                device: NO_DEVICE,
                correlation: NO_NUMBER,
                step_number: NO_NUMBER,
            };
            spool.push(edge).unwrap();
        }
        let threads = EdgeThreads { in_order: &in_order, last_moments: &[last; 4], any_name: ANY };
        let mut out = Vec::new();
        let unmatched = match_edges(spool, threads, limit, |b, end, closed| {
            out.push((b.name, b.at, end, closed));
            Ok(())
        })
        .unwrap();
        out.sort_unstable();
        (out, unmatched)
    }

    #[test]
    fn ends_close_their_own_begins_in_any_order_of_the_file() {
        let mut edges = vec![
            (1, 9, 1, false),
            (1, 0, 1, true),
            (1, 2, 2, true),
            (1, 3, 3, true),
            (1, 4, 2, false), // Not the innermost, but its own.
            (1, 5, ANY, false),
            (2, 5, 1, false),
        ];
        let expected = vec![(1, 0, 9, true), (2, 2, 4, true), (3, 3, 5, true)];
        for _ in 0..edges.len() {
            edges.rotate_left(1);
            let (spans, unmatched) = spans(&edges, 9);
            assert_eq!(spans, expected);
            assert_eq!(unmatched, Unmatched { unclosed: 0, unopened: 1 });
        }
    }

    #[test]
    fn an_open_begin_lasts_to_the_last_moment_of_its_thread() {
        let (spans, unmatched) = spans(&[(1, 0, 1, true), (1, 3, 2, true), (1, 6, 2, true)], 11);
        assert_eq!(spans, [(1, 0, 11, false), (2, 3, 11, false), (2, 6, 11, false)]);
        assert_eq!(unmatched.unclosed, 3);
    }

    #[test]
    fn an_end_may_stand_before_its_begin_of_the_same_moment() {
        let edges = [(1, 0, 1, true), (1, 4, 2, false), (1, 4, 2, true), (1, 9, 1, false), (1, 9, 3, false)];
        let (found, unmatched) = spans(&edges, 9);
        assert_eq!(found, [(1, 0, 9, true), (2, 4, 4, true)]);
        assert_eq!(unmatched, Unmatched { unclosed: 0, unopened: 1 });
        // What is open already ends first, in the order of the file.
        let edges = [(1, 0, 1, true), (1, 4, 1, false), (1, 4, 1, true), (1, 9, 1, false)];
        assert_eq!(spans(&edges, 9).0, [(1, 0, 4, true), (1, 4, 9, true)]);
        // No begin has the name of the end: it closes the innermost.
        let edges = [(1, 0, 1, true), (1, 4, 7, false), (1, 4, 2, true), (1, 9, 2, false)];
        assert_eq!(spans(&edges, 9).0, [(1, 0, 4, true), (2, 4, 9, true)]);
    }

    #[test]
    fn moments_may_be_equal() {
        // A span of no length, and two that follow each other.
        let mut edges = vec![
            (1, 0, 1, true),
            (1, 5, 2, true),
            (1, 5, 2, false),
            (1, 5, 1, false),
            (1, 5, 1, true),
            (1, 8, 1, false),
        ];
        let expected = vec![(1, 0, 5, true), (1, 5, 8, true), (2, 5, 5, true)];
        for _ in 0..edges.len() {
            assert_eq!(spans(&edges, 8).0, expected, "{edges:?}");
            edges.rotate_left(1);
        }
    }
}
