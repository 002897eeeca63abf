//! Begins and their ends.

use trace::spool::Spool;

use super::{TimedEvent, TimedKind, Timeline};

impl Timeline {
    /// Makes slices of begins and ends. An end closes the innermost open begin, or the innermost of its own name if that
    /// is another; a begin that is never closed ends with its track; an end without a begin is left out and counted.
    pub(super) fn pair_edges(&mut self) -> anyhow::Result<()> {
        let edges = std::mem::replace(&mut self.edges, Spool::new(self.memory));
        let mut sorted = edges.into_sorted(|e| (e.track, e.start, e.index))?;
        let mut open: Vec<TimedEvent> = Vec::new();
        while let Some(edge) = sorted.next_record()? {
            if open.last().is_some_and(|begin| begin.track != edge.track) {
                self.close_all(&mut open)?;
            }
            if edge.kind == TimedKind::Begin {
                open.push(edge);
                continue;
            }
            let nameless = self.names.name(edge.name).is_empty();
            let named = open.iter().rposition(|begin| begin.name == edge.name).filter(|_| !nameless);
            match named.or_else(|| open.len().checked_sub(1)) {
                Some(at) => {
                    let begin = open.remove(at);
                    let renamed = !nameless && begin.name != edge.name;
                    self.losses.add("names of ends that are not those of their begins", u64::from(renamed));
                    let closed = TimedEvent { end: edge.start, end_payload: edge.payload, ..begin };
                    self.events.push(TimedEvent { kind: TimedKind::Slice, ..closed })?;
                }
                None => self.losses.add("ends without a begin", 1),
            }
        }
        self.close_all(&mut open)
    }

    fn close_all(&mut self, open: &mut Vec<TimedEvent>) -> anyhow::Result<()> {
        self.losses.add("ends of slices that are open (they end with their track)", open.len() as u64);
        for begin in open.drain(..) {
            let last = self.tracks.tracks.get(begin.track as usize).map_or(begin.start, |t| t.last);
            let end = last.max(begin.start);
            self.events.push(TimedEvent { kind: TimedKind::Slice, end, ..begin })?;
        }
        Ok(())
    }
}
