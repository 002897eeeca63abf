//! Begin and end events, brought together to complete ones.
//!
//! They need not stand in the file in the order of time, so they are kept, by thread, until the file is read.

use std::collections::BTreeMap;

/// A begin or an end.
#[derive(Clone, Copy, Debug)]
struct Edge {
    at: i64,
    name: u32,
    begin: bool,
    tag: u32,
}

/// A begin event and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) lane: u32,
    pub(crate) name: u32,
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// What the caller gave with the begin.
    pub(crate) tag: u32,
    /// It has an end of its own.
    pub(crate) closed: bool,
}

/// Begins and ends that wait for the end of the file.
#[derive(Default)]
pub(crate) struct Pairs {
    lanes: BTreeMap<u32, Vec<Edge>>,
}

/// What came of matching.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Matched {
    pub(crate) pairs: Vec<Pair>,
    /// Begins that never ended; closed at their thread's last time.
    pub(crate) unclosed: u64,
    /// Ends without a begin; ignored.
    pub(crate) unopened: u64,
}

impl Pairs {
    /// Takes a begin. `tag` comes back with its pair.
    pub(crate) fn begin(&mut self, lane: u32, at: i64, name: u32, tag: u32) {
        self.lanes.entry(lane).or_default().push(Edge { at, name, begin: true, tag });
    }

    /// Takes an end.
    pub(crate) fn end(&mut self, lane: u32, at: i64, name: u32) {
        self.lanes.entry(lane).or_default().push(Edge { at, name, begin: false, tag: 0 });
    }

    /// Matches them: in the order of time, the file's order among equals; an end closes the innermost begin of
    /// its own name, or else the innermost of all. `any` is the name of ends that do not give one.
    pub(crate) fn finish(self, any: u32) -> Matched {
        let mut out = Matched::default();
        for (lane, mut edges) in self.lanes {
            edges.sort_by_key(|e| e.at);
            let last = edges.last().map_or(0, |e| e.at);
            let mut open: Vec<Edge> = Vec::new();
            let mut close = |b: Edge, end: i64, closed: bool| {
                out.pairs.push(Pair { lane, name: b.name, start: b.at, end, tag: b.tag, closed });
            };
            for edge in edges {
                if edge.begin {
                    open.push(edge);
                    continue;
                }
                match own(&open, edge.name, any).or(open.len().checked_sub(1)) {
                    Some(i) => close(open.remove(i), edge.at, true),
                    None => out.unopened += 1,
                }
            }
            out.unclosed += open.len() as u64;
            open.into_iter().rev().for_each(|b| close(b, last, false));
        }
        out
    }
}

/// The innermost open begin of this name, among the innermost few: a hostile file must not make every end
/// search a deep stack.
fn own(open: &[Edge], name: u32, any: u32) -> Option<usize> {
    const DEPTH: usize = 256;
    if name == any {
        return None;
    }
    let from = open.len().saturating_sub(DEPTH);
    open[from..].iter().rposition(|b| b.name == name).map(|i| i + from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: u32 = 0;

    fn spans(m: &Matched) -> Vec<(u32, i64, i64)> {
        m.pairs.iter().map(|p| (p.name, p.start, p.end)).collect()
    }

    #[test]
    fn ends_close_their_own_begins() {
        let mut p = Pairs::default();
        p.end(1, 9, 1); // Out of order in the file.
        p.begin(1, 0, 1, 0);
        p.begin(1, 2, 2, 0);
        p.begin(1, 3, 3, 0);
        p.end(1, 4, 2); // Not the innermost, but its own.
        p.end(1, 5, ANY);
        p.end(2, 5, 1);
        let m = p.finish(ANY);
        assert_eq!(spans(&m), [(2, 2, 4), (3, 3, 5), (1, 0, 9)]);
        assert_eq!((m.unclosed, m.unopened), (0, 1));
    }

    #[test]
    fn an_open_begin_lasts_to_the_end_of_its_thread() {
        let mut p = Pairs::default();
        p.begin(1, 0, 1, 7);
        p.begin(1, 3, 2, 8);
        p.begin(1, 6, 2, 9);
        let m = p.finish(ANY);
        assert_eq!(spans(&m), [(2, 6, 6), (2, 3, 6), (1, 0, 6)]);
        assert_eq!((m.unclosed, m.pairs[2].tag, m.pairs[2].closed), (3, 7, false));
    }
}
