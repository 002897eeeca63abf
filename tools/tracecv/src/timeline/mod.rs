//! Events in the order of time, track by track: what formats with nested slices need, whatever the order of the file.
//!
//! A [`Timeline`] takes events as they come and keeps them in bounded memory; begins and ends are paired when all are
//! there, and a [`sweep`] opens and closes slices so that they nest on every lane.

mod pairs;
mod payload;
pub(crate) mod sweep;
mod tracks;

use trace::model::{Event, EventId, NameTable, RawText};
use trace::spool::{MemoryLimit, Spool, SpoolRecord};

use crate::losses::Losses;
pub(crate) use payload::PayloadSpan;
use payload::{LONGEST, PayloadStore};
pub(crate) use tracks::{OwnedId, TrackKind, TrackProcess, TrackTable};

/// The record that is kept of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedEvent {
    pub(crate) kind: TimedKind,
    pub(crate) track: u32,
    /// Number of its name.
    pub(crate) name: u32,
    /// Nanoseconds on the trace's clock.
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Place in the order of the file.
    pub(crate) index: u64,
    /// The writer's bytes for it.
    pub(crate) payload: PayloadSpan,
    /// The writer's bytes for the event that ends it, where that is another.
    pub(crate) end_payload: PayloadSpan,
}

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimedKind {
    /// Something with a beginning and an end.
    Slice,
    /// A beginning, until its end has been found.
    Begin,
    /// An end.
    End,
    /// A moment.
    Instant,
    /// A value.
    Value,
    /// The beginning of an arrow.
    FlowStart,
    /// An arrow passes through.
    FlowStep,
    /// The end of an arrow.
    FlowEnd,
}

impl TimedKind {
    const ALL: [Self; 8] = [
        Self::Slice,
        Self::Begin,
        Self::End,
        Self::Instant,
        Self::Value,
        Self::FlowStart,
        Self::FlowStep,
        Self::FlowEnd,
    ];
}

impl SpoolRecord<7> for TimedEvent {
    fn to_words(self) -> [i64; 7] {
        let ids = u64::from(self.track) << 32 | u64::from(self.name);
        let kind = (self.index << 3 | self.kind as u64) as i64;
        let (payload, end) = (self.payload.to_word(), self.end_payload.to_word());
        [self.start, self.end, ids as i64, kind, payload, end, 0]
    }

    fn from_words([start, end, ids, kind, payload, end_payload, _]: [i64; 7]) -> Self {
        let (ids, kind) = (ids as u64, kind as u64);
        Self {
            kind: TimedKind::ALL[(kind & 7) as usize],
            track: (ids >> 32) as u32,
            name: ids as u32,
            start,
            end,
            index: kind >> 3,
            payload: PayloadSpan::from_word(payload),
            end_payload: PayloadSpan::from_word(end_payload),
        }
    }
}

/// The events of one trace.
pub(crate) struct Timeline {
    pub(crate) tracks: TrackTable,
    pub(crate) names: NameTable,
    pub(crate) payloads: PayloadStore,
    pub(crate) losses: Losses,
    /// The first moment.
    pub(crate) begin: Option<i64>,
    events: Spool<TimedEvent, 7>,
    /// Begins and ends that wait to be paired.
    edges: Spool<TimedEvent, 7>,
    memory: MemoryLimit,
}

impl Timeline {
    pub(crate) fn new(memory: MemoryLimit) -> Self {
        Self {
            tracks: TrackTable::default(),
            names: NameTable::default(),
            payloads: PayloadStore::new(memory),
            losses: Losses::default(),
            begin: None,
            events: Spool::new(memory),
            edges: Spool::new(memory),
            memory,
        }
    }

    /// Takes an event that has a time and a track, with what the writer made of it; metadata names the tracks.
    ///
    /// # Errors
    /// A temporary file cannot be written.
    pub(crate) fn take_event(&mut self, event: &Event<'_>, payload: &[u8]) -> anyhow::Result<()> {
        if event.phase == b'M' {
            if !self.tracks.learn_name(event) {
                self.losses.add("metadata events of other kinds", 1);
            }
            return Ok(());
        }
        let Some(kind) = kind_of_phase(event.phase) else {
            self.losses.add(describe_phase(event.phase), 1);
            return Ok(());
        };
        let Some(start) = event.start else {
            self.losses.add("events without a time", 1);
            return Ok(());
        };
        let track = if is_async(event.phase) {
            self.tracks.track_of_async(event)
        } else {
            self.tracks.track_of_thread(event.pid, event.tid)
        };
        self.push(event, kind, track, start, payload)
    }

    /// Takes one value of a counter, whose track the writer chose.
    ///
    /// # Errors
    /// As [`Self::take_event`].
    pub(crate) fn take_value(
        &mut self,
        event: &Event<'_>,
        track: u32,
        start: i64,
        payload: &[u8],
    ) -> anyhow::Result<()> {
        self.push(event, TimedKind::Value, track, start, payload)
    }

    fn push(
        &mut self,
        event: &Event<'_>,
        kind: TimedKind,
        track: u32,
        start: i64,
        payload: &[u8],
    ) -> anyhow::Result<()> {
        let is_slice = kind == TimedKind::Slice;
        self.losses.add(
            "durations that events lack (they take no time)",
            u64::from(is_slice && event.dur.is_none()),
        );
        self.losses.add("arguments of an event of more than 4 MiB", u64::from(payload.len() > LONGEST));
        let dur = if is_slice { event.dur.unwrap_or(0).max(0) } else { 0 };
        let end = start.saturating_add(dur);
        self.begin = Some(self.begin.map_or(start, |begin| begin.min(start)));
        self.tracks.note_moment(track, end);
        let timed = TimedEvent {
            kind,
            track,
            name: self.names.intern(event.name),
            start,
            end,
            index: event.index,
            payload: self.payloads.push(payload)?,
            end_payload: PayloadSpan::default(),
        };
        let spool = match kind {
            TimedKind::Begin | TimedKind::End => &mut self.edges,
            _ => &mut self.events,
        };
        Ok(spool.push(timed)?)
    }

    /// The events in the order of tracks and time, paired.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(crate) fn sort(&mut self) -> anyhow::Result<sweep::SortedEvents> {
        self.pair_edges()?;
        let events = std::mem::replace(&mut self.events, Spool::new(self.memory));
        Ok(sweep::SortedEvents::of(events)?)
    }
}

/// Returns whether events of a phase belong to the spans of an id (Trace Event Format, "Async Events").
pub(crate) fn is_async(phase: u8) -> bool {
    matches!(phase, b'b' | b'n' | b'e' | b'S' | b'T' | b'p' | b'F')
}

fn kind_of_phase(phase: u8) -> Option<TimedKind> {
    Some(match phase {
        b'X' => TimedKind::Slice,
        b'B' | b'b' | b'S' => TimedKind::Begin,
        b'E' | b'e' | b'F' => TimedKind::End,
        b'i' | b'I' | b'n' | b'R' | b'T' | b'p' => TimedKind::Instant,
        b's' => TimedKind::FlowStart,
        b't' => TimedKind::FlowStep,
        b'f' => TimedKind::FlowEnd,
        _ => return None,
    })
}

/// Phases that are on no track (Trace Event Format, "Event Descriptions").
fn describe_phase(phase: u8) -> &'static str {
    match phase {
        b'C' => "counters",
        b'N' | b'O' | b'D' => "object events",
        b'P' => "samples",
        b'V' | b'v' => "memory dumps",
        b'c' => "clock syncs",
        _ => "events of other phases",
    }
}

/// The text of an id.
pub(crate) fn text_of_id(id: EventId<'_>) -> String {
    match id {
        EventId::None => String::new(),
        EventId::Number(n) => n.to_string(),
        EventId::Text(text) => text.decode().into_owned(),
    }
}

/// Text of a name, for tables.
fn text(of: RawText<'_>) -> String {
    of.decode().into_owned()
}
