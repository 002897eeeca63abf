//! Begins and ends on one track, brought together: a slice is one event, as analyses and viewers of other formats expect.
//!
//! Slices wait until the outermost one on their track has ended, and are handed on in the order in which they began. Where
//! the times of a track go back, as in the first form of PyTorch, or where too much would wait, begins and ends stay two
//! events, as in a trace in JSON.

use super::super::emit::{Arguments, Emitter, plain};
use super::super::error::ReadStop;
use super::tracks::TrackId;
use crate::model::{Category, Event, EventId, FastMap};

/// The most that begins and ends may take in memory while they wait, in bytes.
const MOST_BYTES: usize = 64 << 20;

/// The line on which slices nest: a track, or the thread of a sequence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SliceLine {
    /// A track, by its id.
    Track(u64),
    /// A process and a thread.
    Thread(TrackId, TrackId),
}

/// The slices that wait for their ends.
#[derive(Debug, Default)]
pub(super) struct OpenSlices {
    lines: FastMap<SliceLine, Waiting>,
    bytes: usize,
}

/// The begins and ends of one line since the outermost open slice of it began.
#[derive(Debug, Default)]
struct Waiting {
    /// The place of the line among the others.
    number: usize,
    edges: Vec<Edge>,
    /// The begins without an end, innermost last, by their number in `edges`.
    open: Vec<usize>,
    last: i64,
    /// Begins and ends stay two events.
    apart: bool,
}

/// A begin or an end.
#[derive(Debug)]
struct Edge {
    event: OwnedEvent,
    /// Of a begin: the moment of its end, which says nothing else.
    end: Option<i64>,
    /// Of an end: its begin has its moment.
    is_taken: bool,
}

/// The content of such an event.
#[derive(Debug)]
struct OwnedEvent {
    phase: u8,
    category: Category,
    cat: Box<[u8]>,
    name: Box<[u8]>,
    pid: TrackId,
    tid: TrackId,
    start: i64,
    numbers: [Option<i64>; 6],
    task_type: Box<[u8]>,
    scope: Box<[u8]>,
    id: Option<i64>,
    local_id: bool,
    args: Arguments,
}

impl OwnedEvent {
    fn of(event: &Event<'_>, start: i64, args: Arguments) -> Self {
        Self {
            phase: event.phase,
            category: event.category,
            cat: event.cat.raw.into(),
            name: event.name.raw.into(),
            pid: TrackId::of_event(event.pid),
            tid: TrackId::of_event(event.tid),
            start,
            numbers: [
                event.correlation,
                event.external,
                event.device,
                event.stream,
                event.sequence,
                event.step_number,
            ],
            task_type: event.task_type.raw.into(),
            scope: event.scope.raw.into(),
            id: event.id.as_number(),
            local_id: event.local_id,
            args,
        }
    }

    fn bytes(&self) -> usize {
        let texts = [&self.cat, &self.name, &self.task_type, &self.scope];
        size_of::<Edge>() + texts.iter().map(|text| text.len()).sum::<usize>() + self.args.len()
    }

    /// Returns whether an end says nothing but when its begin ends.
    fn only_ends(&self, begin: &Self) -> bool {
        self.args.len() == 0 && self.cat.is_empty() && (self.name.is_empty() || self.name == begin.name)
    }

    fn send(self, dur: Option<i64>, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
        let [correlation, external, device, stream, sequence, step_number] = self.numbers;
        emit.args = self.args;
        emit.send(Event {
            phase: if dur.is_some() { b'X' } else { self.phase },
            category: self.category,
            cat: plain(&self.cat),
            name: plain(&self.name),
            pid: self.pid.as_id(),
            tid: self.tid.as_id(),
            start: Some(self.start),
            dur,
            correlation,
            external,
            device,
            stream,
            sequence,
            step_number,
            task_type: plain(&self.task_type),
            scope: plain(&self.scope),
            id: self.id.map_or(EventId::None, EventId::Number),
            local_id: self.local_id,
            ..Event::default()
        })
    }
}

impl OpenSlices {
    /// Takes a begin or an end, whose arguments wait in `emit`.
    pub(super) fn take(
        &mut self,
        line: SliceLine,
        event: &Event<'_>,
        at: i64,
        emit: &mut Emitter<'_>,
    ) -> Result<(), ReadStop> {
        let number = self.lines.len();
        let waiting = self.lines.entry(line).or_insert_with(|| Waiting { number, ..Waiting::default() });
        if waiting.apart {
            return emit.send(*event);
        }
        let own = OwnedEvent::of(event, at, std::mem::take(&mut emit.args));
        if at < waiting.last && !waiting.open.is_empty() {
            waiting.apart = true;
            self.bytes -= waiting.hand_on(false, emit)?;
            return own.send(None, emit);
        }
        waiting.last = at;
        if own.phase != b'B' && waiting.open.is_empty() {
            return own.send(None, emit);
        }
        self.bytes += own.bytes();
        waiting.push(own);
        if waiting.open.is_empty() {
            self.bytes -= waiting.hand_on(true, emit)?;
        } else if self.bytes > MOST_BYTES {
            self.hand_on_all(emit)?;
        }
        Ok(())
    }

    /// Hands on everything that waits, in the order in which the lines were met; what is open stays apart.
    pub(super) fn hand_on_all(&mut self, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
        let mut waiting: Vec<&mut Waiting> =
            self.lines.values_mut().filter(|waiting| !waiting.edges.is_empty()).collect();
        waiting.sort_by_key(|waiting| waiting.number);
        for waiting in waiting {
            waiting.apart = true;
            self.bytes -= waiting.hand_on(true, emit)?;
        }
        Ok(())
    }
}

impl Waiting {
    fn push(&mut self, event: OwnedEvent) {
        let mut is_taken = false;
        if event.phase == b'B' {
            self.open.push(self.edges.len());
        } else if let Some(begin) = self.open.pop().and_then(|i| self.edges.get_mut(i)) {
            is_taken = event.only_ends(&begin.event);
            begin.end = is_taken.then_some(event.start);
        }
        self.edges.push(Edge { event, end: None, is_taken });
    }

    /// Hands on what waits: begins that have their ends as slices, unless all are to stay apart. Returns how many bytes waited.
    fn hand_on(&mut self, together: bool, emit: &mut Emitter<'_>) -> Result<usize, ReadStop> {
        self.open.clear();
        let mut bytes = 0;
        for Edge { event, end, is_taken } in self.edges.drain(..) {
            bytes += event.bytes();
            if together && is_taken {
                continue;
            }
            let dur = end.filter(|_| together).map(|end| end.saturating_sub(event.start));
            event.send(dur, emit)?;
        }
        Ok(bytes)
    }
}
