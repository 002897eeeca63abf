//! The events that belong together: begins and their ends, the events of a flow. If one is kept, all are.

use std::borrow::Cow;

use trace::model::{Event, EventId, EventSink, FastMap, FastState, NameTable};
use trace::spool::{MemoryLimit, Spool, SpoolRecord};

use crate::timeline::TrackTable;

/// One event of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PairEdge {
    track: u32,
    begins: bool,
    name: u32,
    at: i64,
    index: u64,
}

impl SpoolRecord<3> for PairEdge {
    fn to_words(self) -> [i64; 3] {
        let ids = u64::from(self.track) << 32 | u64::from(self.name);
        [self.at, ids as i64, (self.index << 1 | u64::from(self.begins)) as i64]
    }

    fn from_words([at, ids, index]: [i64; 3]) -> Self {
        let (ids, index) = (ids as u64, index as u64);
        Self { track: (ids >> 32) as u32, name: ids as u32, at, begins: index & 1 == 1, index: index >> 1 }
    }
}

/// Collects pairs and flows while a trace is read for the first time.
pub(crate) struct LinkSink {
    tracks: TrackTable,
    names: NameTable,
    edges: Spool<PairEdge, 3>,
    /// The first moment of each flow.
    flows: FastMap<u64, i64>,
    state: FastState,
}

/// The pairs and flows of a trace.
pub(crate) struct EventLinks {
    /// Start, end and name of the pair that an event is of, by its number in the file.
    pairs: FastMap<u64, (i64, i64, u32)>,
    names: NameTable,
    flows: FastMap<u64, i64>,
    state: FastState,
    /// Begins without an end: track, number in the file, and the last moment of the track.
    pub(crate) open: Vec<OpenBegin>,
    /// Ends without a begin, by their number in the file.
    pub(crate) stray_ends: Vec<u64>,
}

/// A begin that has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenBegin {
    /// Its number in the file.
    pub(crate) index: u64,
    /// The last moment of its track.
    pub(crate) end: i64,
}

impl LinkSink {
    pub(crate) fn new(memory: MemoryLimit) -> Self {
        Self {
            tracks: TrackTable::default(),
            names: NameTable::default(),
            edges: Spool::new(memory),
            flows: FastMap::default(),
            state: FastState::default(),
        }
    }

    /// Pairs what was collected, as [`crate::timeline::Timeline`] does.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(crate) fn finish(self) -> anyhow::Result<EventLinks> {
        let Self { tracks, names, edges, flows, state } = self;
        let mut links = EventLinks {
            pairs: FastMap::default(),
            names: NameTable::default(),
            flows,
            state,
            open: Vec::new(),
            stray_ends: Vec::new(),
        };
        let mut sorted = edges.into_sorted(|e| (e.track, e.at, e.index))?;
        let mut open: Vec<PairEdge> = Vec::new();
        loop {
            let next = sorted.next_record()?;
            if open.last().is_some_and(|begin| next.is_none_or(|edge| edge.track != begin.track)) {
                for begin in open.drain(..) {
                    let last = tracks.tracks.get(begin.track as usize).map_or(begin.at, |t| t.last);
                    let end = last.max(begin.at);
                    links.pairs.insert(begin.index, (begin.at, end, begin.name));
                    links.open.push(OpenBegin { index: begin.index, end });
                }
            }
            let Some(edge) = next else { break };
            if edge.begins {
                open.push(edge);
                continue;
            }
            let nameless = names.name(edge.name).is_empty();
            let named = open.iter().rposition(|begin| begin.name == edge.name).filter(|_| !nameless);
            match named.or_else(|| open.len().checked_sub(1)) {
                Some(at) => {
                    let begin = open.remove(at);
                    let pair = (begin.at, edge.at, begin.name);
                    links.pairs.insert(begin.index, pair);
                    links.pairs.insert(edge.index, pair);
                }
                None => links.stray_ends.push(edge.index),
            }
        }
        links.open.sort_unstable_by_key(|begin| begin.index);
        links.stray_ends.sort_unstable();
        links.names = names;
        Ok(links)
    }
}

impl EventSink for LinkSink {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let Some(at) = event.start.filter(|_| event.phase != b'M') else { return Ok(()) };
        let track = match event.phase {
            b's' | b't' | b'f' => {
                let key = flow_key(&self.state, event);
                let first = self.flows.entry(key).or_insert(at);
                *first = at.min(*first);
                return Ok(());
            }
            b'b' | b'e' | b'S' | b'F' => self.tracks.track_of_async(event),
            _ => self.tracks.track_of_thread(event.pid, event.tid),
        };
        self.tracks.note_moment(track, at.saturating_add(event.dur.unwrap_or(0)));
        if let b'B' | b'E' | b'b' | b'e' | b'S' | b'F' = event.phase {
            let begins = matches!(event.phase, b'B' | b'b' | b'S');
            let name = self.names.intern(event.name);
            self.edges.push(PairEdge { track, begins, name, at, index: event.index })?;
        }
        Ok(())
    }
}

impl EventLinks {
    /// The time of what an event belongs to: of the pair or flow, or its own. `None` for what has no time.
    pub(crate) fn span_of(&self, event: &Event<'_>) -> Option<(i64, i64)> {
        let at = event.start?;
        match event.phase {
            b's' | b't' | b'f' => {
                let first = self.flows.get(&flow_key(&self.state, event)).copied().unwrap_or(at);
                Some((first, first))
            }
            b'B' | b'E' | b'b' | b'e' | b'S' | b'F' => {
                Some(self.pairs.get(&event.index).map_or((at, at), |(start, end, _)| (*start, *end)))
            }
            _ => Some((at, at.saturating_add(event.dur.unwrap_or(0)))),
        }
    }

    /// The name of an event; an end may come without the name of its begin.
    pub(crate) fn name_of<'a>(&'a self, event: &Event<'a>) -> Cow<'a, str> {
        let pair = self.pairs.get(&event.index).filter(|_| event.name.is_empty());
        pair.map_or_else(|| event.name.decode(), |(.., name)| self.names.name(*name).into())
    }

    /// The end of a begin that has none in the file.
    pub(crate) fn end_of_open(&self, event: &Event<'_>) -> Option<i64> {
        let found = self.open.binary_search_by_key(&event.index, |begin| begin.index).ok()?;
        self.open.get(found).map(|begin| begin.end)
    }

    /// Whether an event is an end that nothing begins.
    pub(crate) fn is_stray_end(&self, event: &Event<'_>) -> bool {
        self.stray_ends.binary_search(&event.index).is_ok()
    }
}

/// A flow is identified by category, name and id (Trace Event Format, "Flow Events").
fn flow_key(state: &FastState, event: &Event<'_>) -> u64 {
    use std::hash::BuildHasher;
    let id: (i64, &[u8]) = match event.id {
        EventId::None => (0, b""),
        EventId::Number(n) => (n, b"#"),
        EventId::Text(text) => (0, text.raw),
    };
    state.hash_one((event.cat.raw, event.name.raw, id))
}
