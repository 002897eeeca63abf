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
pub struct BeginEndPair {
    pub lane: u32,
    pub name: u32,
    pub start: i64,
    pub end: i64,
    /// What the caller gave with the begin.
    pub tag: u32,
    /// It has an end of its own.
    pub closed: bool,
}

/// Begins and ends that wait for the end of the file.
#[derive(Default)]
pub struct BeginEndPairs {
    lanes: BTreeMap<u32, Vec<Edge>>,
}

/// What came of matching.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MatchedPairs {
    pub pairs: Vec<BeginEndPair>,
    /// Begins that never ended; closed at their thread's last time.
    pub unclosed: u64,
    /// Ends without a begin; ignored.
    pub unopened: u64,
}

impl BeginEndPairs {
    /// Takes a begin. `tag` comes back with its pair.
    pub fn push_begin(&mut self, lane: u32, at: i64, name: u32, tag: u32) {
        self.lanes.entry(lane).or_default().push(Edge { at, name, begin: true, tag });
    }

    /// Takes an end.
    pub fn push_end(&mut self, lane: u32, at: i64, name: u32) {
        self.lanes.entry(lane).or_default().push(Edge { at, name, begin: false, tag: 0 });
    }

    /// Matches them: in the order of time, the file's order among equals; an end closes the innermost begin of
    /// its own name, or else the innermost of all. `any` is the name of ends that do not give one.
    pub fn match_pairs(self, any: u32) -> MatchedPairs {
        let mut out = MatchedPairs::default();
        for (lane, mut edges) in self.lanes {
            edges.sort_by_key(|e| e.at);
            let last = edges.last().map_or(0, |e| e.at);
            let mut open: Vec<Edge> = Vec::new();
            let mut close = |b: Edge, end: i64, closed: bool| {
                out.pairs.push(BeginEndPair { lane, name: b.name, start: b.at, end, tag: b.tag, closed });
            };
            for edge in edges {
                if edge.begin {
                    open.push(edge);
                    continue;
                }
                match find_own_begin(&open, edge.name, any).or(open.len().checked_sub(1)) {
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
fn find_own_begin(open: &[Edge], name: u32, any: u32) -> Option<usize> {
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

    fn spans(m: &MatchedPairs) -> Vec<(u32, i64, i64)> {
        m.pairs.iter().map(|p| (p.name, p.start, p.end)).collect()
    }

    #[test]
    fn ends_close_their_own_begins() {
        let mut p = BeginEndPairs::default();
        p.push_end(1, 9, 1); // Out of order in the file.
        p.push_begin(1, 0, 1, 0);
        p.push_begin(1, 2, 2, 0);
        p.push_begin(1, 3, 3, 0);
        p.push_end(1, 4, 2); // Not the innermost, but its own.
        p.push_end(1, 5, ANY);
        p.push_end(2, 5, 1);
        let m = p.match_pairs(ANY);
        assert_eq!(spans(&m), [(2, 2, 4), (3, 3, 5), (1, 0, 9)]);
        assert_eq!((m.unclosed, m.unopened), (0, 1));
    }

    #[test]
    fn an_open_begin_lasts_to_the_end_of_its_thread() {
        let mut p = BeginEndPairs::default();
        p.push_begin(1, 0, 1, 7);
        p.push_begin(1, 3, 2, 8);
        p.push_begin(1, 6, 2, 9);
        let m = p.match_pairs(ANY);
        assert_eq!(spans(&m), [(2, 6, 6), (2, 3, 6), (1, 0, 6)]);
        assert_eq!((m.unclosed, m.pairs[2].tag, m.pairs[2].closed), (3, 7, false));
    }
}
