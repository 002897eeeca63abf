//! Begin and end events, brought together to spans.
//!
//! They need not stand in the file in the order of time, so they are kept until it has been read.

use super::records::Edge;
use super::spool::{MemoryLimit, Spool};

/// Begins and ends that found no partner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unmatched {
    /// Begins that never ended; closed at their thread's last moment.
    pub(crate) unclosed: u64,
    /// Ends without a begin; ignored.
    pub(crate) unopened: u64,
}

/// What is known of the threads that the edges belong to, by number.
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
/// What the spool or `each` says; a thread has more open begins than memory is allowed for.
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
    let mut matcher =
        Matcher { threads, limit, open: Vec::new(), deferred: Vec::new(), out: Unmatched::default() };
    let mut current: Option<(u32, i64)> = None;
    while let Some(edge) = sorted.next_record()? {
        if current.is_some_and(|(thread, at)| (thread, at) != (edge.thread, edge.at)) {
            matcher.close_deferred(&mut each)?;
        }
        if let Some((thread, _)) = current.filter(|(thread, _)| *thread != edge.thread) {
            matcher.close_thread(thread, &mut each)?;
        }
        current = Some((edge.thread, edge.at));
        matcher.take(edge, in_order(edge.thread), &mut each)?;
    }
    if let Some((thread, _)) = current {
        matcher.close_deferred(&mut each)?;
        matcher.close_thread(thread, &mut each)?;
    }
    Ok(matcher.out)
}

struct Matcher<'a> {
    threads: EdgeThreads<'a>,
    limit: MemoryLimit,
    open: Vec<Edge>,
    /// Ends that may belong to a begin of the same moment.
    deferred: Vec<Edge>,
    out: Unmatched,
}

type EachSpan<'a> = dyn FnMut(&Edge, i64, bool) -> anyhow::Result<()> + 'a;

impl Matcher<'_> {
    fn take(&mut self, edge: Edge, in_order: bool, each: &mut EachSpan<'_>) -> anyhow::Result<()> {
        if edge.begin {
            self.open.push(edge);
            let bytes = (self.open.len() * size_of::<Edge>()) as u64;
            anyhow::ensure!(
                bytes <= self.limit.of_tables(),
                "{} begins are open at a time: raise --max-memory",
                self.open.len()
            );
            return Ok(());
        }
        match self.find_own_begin(edge.name) {
            Some(i) => self.close(i, edge.at, each),
            None if in_order || edge.name == self.threads.any_name => {
                self.close_innermost(edge.at, in_order, each)
            }
            None => {
                self.deferred.push(edge);
                Ok(())
            }
        }
    }

    fn close_deferred(&mut self, each: &mut EachSpan<'_>) -> anyhow::Result<()> {
        for edge in std::mem::take(&mut self.deferred) {
            match self.find_own_begin(edge.name) {
                Some(i) => self.close(i, edge.at, each)?,
                None => self.close_innermost(edge.at, false, each)?,
            }
        }
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
    use super::*;
    use crate::analysis::records::{NO_DEVICE, NO_NUMBER};
    use trace::model::RowTraits;

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
