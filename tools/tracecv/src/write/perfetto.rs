//! Perfetto's traces: the packets of `perfetto_trace.proto`, with interned names.
//!
//! Field numbers are those of google/perfetto `protos/perfetto/trace/`. Slices on a track must nest, so what overlaps
//! stands on a further track of the same name. Flows are the events `s`, `t`, `f` of the Trace Event Format, which
//! `TrackEvent.legacy_event` carries.

mod annotation;
mod descriptor;

use std::io::Write;

use trace::model::{Event, EventId, EventSink, NameTable, TraceMeta};
use trace::read::OrderedValue;
use trace::rows::RawMembers;
use trace::spool::MemoryLimit;

use super::protobuf::Message;
use super::spelling::{complete_numbers, spell_cat};
use super::{Buffered, TraceWriter, describe_devices, digits};
use crate::losses::Losses;
use crate::timeline::sweep::SweepStep;
use crate::timeline::{TimedEvent, TimedKind, Timeline, is_async, text_of_id};
use descriptor::Tracks;

/// Fields of `TracePacket`.
mod packet {
    pub(super) const CHROME_EVENTS: u32 = 5;
    pub(super) const CLOCK_SNAPSHOT: u32 = 6;
    pub(super) const TIMESTAMP: u32 = 8;
    pub(super) const SEQUENCE_ID: u32 = 10;
    pub(super) const TRACK_EVENT: u32 = 11;
    pub(super) const INTERNED_DATA: u32 = 12;
    pub(super) const SEQUENCE_FLAGS: u32 = 13;
    pub(super) const TRACK_DESCRIPTOR: u32 = 60;
}

/// Fields of `TrackEvent`.
mod track_event {
    pub(super) const CATEGORY_IIDS: u32 = 3;
    pub(super) const DEBUG_ANNOTATIONS: u32 = 4;
    pub(super) const LEGACY_EVENT: u32 = 6;
    pub(super) const TYPE: u32 = 9;
    pub(super) const NAME_IID: u32 = 10;
    pub(super) const TRACK_UUID: u32 = 11;
    pub(super) const COUNTER_VALUE: u32 = 30;
    pub(super) const DOUBLE_COUNTER_VALUE: u32 = 44;
}

/// Fields of `LegacyEvent`.
mod legacy_event {
    pub(super) const PHASE: u32 = 2;
    pub(super) const UNSCOPED_ID: u32 = 6;
    pub(super) const ID_SCOPE: u32 = 7;
    pub(super) const LOCAL_ID: u32 = 10;
    pub(super) const BIND_TO_ENCLOSING: u32 = 12;
    pub(super) const PID_OVERRIDE: u32 = 18;
    pub(super) const TID_OVERRIDE: u32 = 19;
}

/// Values of `TrackEvent.Type`.
const SLICE_BEGIN: u64 = 1;
const SLICE_END: u64 = 2;
const INSTANT: u64 = 3;
const COUNTER: u64 = 4;

/// The one field of `Trace`.
const TRACE_PACKET: u32 = 1;

/// The one sequence of packets.
const SEQUENCE: u64 = 1;
/// `SEQ_INCREMENTAL_STATE_CLEARED`, `SEQ_NEEDS_INCREMENTAL_STATE`.
const STATE_CLEARED: u64 = 1;
const NEEDS_STATE: u64 = 2;

/// Fields of `InternedData`.
const EVENT_CATEGORIES: u32 = 1;
const EVENT_NAMES: u32 = 2;
const ANNOTATION_NAMES: u32 = 3;

/// Writes one trace.
pub(crate) struct PerfettoWriter<'w> {
    out: Buffered<'w>,
    timeline: Timeline,
    categories: NameTable,
    annotation_names: NameTable,
    losses: Losses,
    /// The fields of the event that is being taken.
    event: Message,
}

impl<'w> PerfettoWriter<'w> {
    pub(crate) fn new(to: &'w mut dyn Write, memory: MemoryLimit) -> Self {
        Self {
            out: Buffered::new(to),
            timeline: Timeline::new(memory),
            categories: NameTable::default(),
            annotation_names: NameTable::default(),
            losses: Losses::default(),
            event: Message::default(),
        }
    }

    /// Adds the fields of a `TrackEvent` that are known before its track: categories, arguments, the id of a flow.
    fn describe_event(&mut self, message: &mut Message, event: &Event<'_>) {
        let cat = spell_cat(event);
        if !cat.is_empty() {
            let number = u64::from(self.categories.intern(cat));
            message.number(track_event::CATEGORY_IIDS, number + 1);
        }
        let added = complete_numbers(event);
        let args = added.as_deref().unwrap_or(event.args);
        let names = &mut self.annotation_names;
        let mut read = args.is_empty() || annotation::add_arguments(message, args, names);
        let other = RawMembers::of(event).other;
        read &= other.is_empty() || annotation::add_other(message, &other, names);
        self.losses.add("arguments of events that cannot be read", u64::from(!read));
        self.losses.add(digits::LOST, digits::count_rounded(args));
        match event.phase {
            b's' | b't' | b'f' => _ = message.message(track_event::LEGACY_EVENT, &describe_flow(event)),
            phase if is_async(phase) => self.describe_async(message, event),
            _ => {}
        }
    }

    /// Adds what the track of an async event does not say: its own process and thread, the scope of its id, and if that
    /// holds in the process only.
    fn describe_async(&mut self, to: &mut Message, event: &Event<'_>) {
        let mut legacy = Message::default();
        if !event.scope.is_empty() {
            legacy.text(legacy_event::ID_SCOPE, &event.scope.decode());
        }
        if event.local_id {
            legacy.number(legacy_event::LOCAL_ID, number_of_id(event));
        }
        let fitting = |id: EventId<'_>| id.as_number().filter(|n| i32::try_from(*n).is_ok());
        if let Some(pid) = fitting(event.pid) {
            legacy.signed(legacy_event::PID_OVERRIDE, pid);
        }
        match fitting(event.tid) {
            Some(tid) => _ = legacy.signed(legacy_event::TID_OVERRIDE, tid),
            None => {
                let lost = event.tid != EventId::None;
                self.losses.add("threads of async events that are not numbers of 32 bits", u64::from(lost));
            }
        }
        if !legacy.bytes.is_empty() {
            to.message(track_event::LEGACY_EVENT, &legacy);
        }
    }

    /// Takes a counter: each of its arguments is the value of a series.
    fn take_counter(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let Some(start) = event.start else {
            self.losses.add("events without a time", 1);
            return Ok(());
        };
        let Some(series) = trace::read::parse_members(event.args) else {
            self.losses.add("counters without values", 1);
            return Ok(());
        };
        self.losses.add("categories of counters", u64::from(!event.cat.is_empty()));
        for (name, value) in series {
            let mut message = Message::default();
            let OrderedValue::Number(value) = value else {
                self.losses.add("values of counters other than numbers", 1);
                continue;
            };
            match (value.as_i64(), value.as_f64()) {
                (Some(whole), _) => message.signed(track_event::COUNTER_VALUE, whole),
                (None, Some(value)) => message.double(track_event::DOUBLE_COUNTER_VALUE, value),
                (None, None) => {
                    self.losses.add("values of counters other than numbers", 1);
                    continue;
                }
            };
            let track = self.timeline.tracks.track_of_series(event, &name);
            self.timeline.take_value(event, track, start, &message.bytes)?;
        }
        Ok(())
    }

    fn write_packet(&mut self, packet: &Message) -> anyhow::Result<()> {
        append_packet(&mut self.out, packet)
    }

    /// Writes all names, before the events that use their numbers.
    fn write_names(&mut self) -> anyhow::Result<()> {
        /// A packet stays below what readers take (`kMaxPacketSize` of traced, 512 kB).
        const ENOUGH: usize = 128 * 1024;
        let mut first = true;
        let mut data = Message::default();
        for table in [EVENT_CATEGORIES, EVENT_NAMES, ANNOTATION_NAMES] {
            let count = match table {
                EVENT_CATEGORIES => self.categories.count_names(),
                EVENT_NAMES => self.timeline.names.count_names(),
                _ => self.annotation_names.count_names(),
            };
            for number in 0..count {
                let name = match table {
                    EVENT_CATEGORIES => self.categories.name(number),
                    EVENT_NAMES => self.timeline.names.name(number),
                    _ => self.annotation_names.name(number),
                };
                let mut entry = Message::default();
                entry.number(1, u64::from(number) + 1).text(2, name);
                data.message(table, &entry);
                if data.bytes.len() > ENOUGH {
                    self.write_packet(&interned_packet(
                        &std::mem::take(&mut data),
                        std::mem::take(&mut first),
                    ))?;
                }
            }
        }
        self.write_packet(&interned_packet(&data, first))
    }

    /// Writes what the trace says of itself, as `ChromeMetadata`, which trace_processor lists.
    fn write_about(&mut self, meta: &TraceMeta) -> anyhow::Result<()> {
        const METADATA: u32 = 2;
        const NAME: u32 = 1;
        const TEXT: u32 = 2;
        const NUMBER: u32 = 4;
        const JSON: u32 = 5;
        let mut about = Message::default();
        for (name, number) in [("rank", meta.rank), ("world_size", meta.world_size)] {
            if let Some(number) = number {
                about.message(METADATA, Message::default().text(NAME, name).signed(NUMBER, number));
            }
        }
        let texts = [
            ("backend", &meta.backend),
            ("trace_id", &meta.trace_id),
            ("trace_name", &meta.trace_name),
            ("host", &meta.host),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                about.message(METADATA, Message::default().text(NAME, name).text(TEXT, text));
            }
        }
        if let Some(devices) = describe_devices(meta) {
            about.message(METADATA, Message::default().text(NAME, "devices").text(JSON, &devices));
        }
        if about.bytes.is_empty() {
            return Ok(());
        }
        let mut message = Message::default();
        message.number(packet::SEQUENCE_ID, SEQUENCE).message(packet::CHROME_EVENTS, &about);
        self.write_packet(&message)
    }

    /// Relates the clock of the trace, which stands for the time since boot, to that of the world.
    fn write_clocks(&mut self, meta: &TraceMeta, origin: i64) -> anyhow::Result<()> {
        const REALTIME: u64 = 1;
        const BOOTTIME: u64 = 6;
        let begin = self.timeline.begin.unwrap_or(0);
        let Some(base) = meta.epoch_offset(begin).filter(|base| *base != 0) else { return Ok(()) };
        let mut snapshot = Message::default();
        for (clock, moment) in
            [(BOOTTIME, begin.saturating_sub(origin)), (REALTIME, begin.saturating_add(base))]
        {
            let mut reading = Message::default();
            reading.number(1, clock).signed(2, moment);
            snapshot.message(1, &reading);
        }
        let mut message = Message::default();
        message.number(packet::SEQUENCE_ID, SEQUENCE).message(packet::CLOCK_SNAPSHOT, &snapshot);
        self.write_packet(&message)
    }
}

impl EventSink for PerfettoWriter<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        match event.phase {
            b'C' => self.take_counter(event),
            b'M' => self.timeline.take_event(event, b""),
            _ => {
                let mut message = std::mem::take(&mut self.event);
                message.bytes.clear();
                self.describe_event(&mut message, event);
                let taken = self.timeline.take_event(event, &message.bytes);
                self.event = message;
                taken
            }
        }
    }
}

impl TraceWriter for PerfettoWriter<'_> {
    fn begin_trace(&mut self, _: &str) -> anyhow::Result<()> {
        Ok(())
    }

    fn end_trace(&mut self, meta: &TraceMeta) -> anyhow::Result<()> {
        let sorted = self.timeline.sort()?;
        // Its times are not negative.
        let origin = self.timeline.begin.map_or(0, |begin| begin.min(0));
        self.losses.add("times before zero (all are moved by the first)", u64::from(origin < 0));
        self.write_names()?;
        self.write_about(meta)?;
        self.write_clocks(meta, origin)?;
        let (out, timeline) = (&mut self.out, &mut self.timeline);
        let mut tracks = Tracks::default();
        sorted.sweep(|step| {
            let (event, lane) = match step {
                SweepStep::Open { event, lane }
                | SweepStep::Close { event, lane }
                | SweepStep::Point { event, lane } => (event, lane),
            };
            let track = tracks.describe(&timeline.tracks, event.track, lane, |p| append_packet(out, p))?;
            append_event(out, timeline, step, &event, track, origin)
        })?;
        tracks.describe_others(&timeline.tracks, |p| append_packet(out, p))?;
        self.losses.merge(&self.timeline.losses);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<Losses> {
        self.out.pass_all()?;
        Ok(self.losses)
    }
}

/// Appends a packet to the `Trace`, whose one field it is.
fn append_packet(out: &mut Buffered<'_>, packet: &Message) -> anyhow::Result<()> {
    let mut trace = Message { bytes: std::mem::take(&mut out.bytes) };
    trace.message(TRACE_PACKET, packet);
    out.bytes = trace.bytes;
    Ok(out.pass_enough()?)
}

fn interned_packet(data: &Message, first: bool) -> Message {
    let mut message = Message::default();
    let flags = if first { STATE_CLEARED | NEEDS_STATE } else { NEEDS_STATE };
    message.number(packet::SEQUENCE_ID, SEQUENCE).number(packet::SEQUENCE_FLAGS, flags);
    message.message(packet::INTERNED_DATA, data);
    message
}

/// Appends the packet of something that happens on a track.
fn append_event(
    out: &mut Buffered<'_>,
    timeline: &mut Timeline,
    step: SweepStep,
    event: &TimedEvent,
    track: u64,
    origin: i64,
) -> anyhow::Result<()> {
    let (kind, moment, payload) = match step {
        SweepStep::Close { .. } => (Some(SLICE_END), event.end, event.end_payload),
        SweepStep::Open { .. } => (Some(SLICE_BEGIN), event.start, event.payload),
        SweepStep::Point { .. } => {
            let kind = match event.kind {
                TimedKind::Value => Some(COUNTER),
                TimedKind::FlowStart | TimedKind::FlowStep | TimedKind::FlowEnd => None,
                _ => Some(INSTANT),
            };
            (kind, event.start, event.payload)
        }
    };
    let payload = timeline.payloads.get(payload)?;
    let mut trace = Message { bytes: std::mem::take(&mut out.bytes) };
    trace.nested(TRACE_PACKET, |whole| {
        whole
            .signed(packet::TIMESTAMP, moment.saturating_sub(origin))
            .number(packet::SEQUENCE_ID, SEQUENCE)
            .number(packet::SEQUENCE_FLAGS, NEEDS_STATE)
            .nested(packet::TRACK_EVENT, |message| {
                if let Some(kind) = kind {
                    message.number(track_event::TYPE, kind);
                }
                message.number(track_event::TRACK_UUID, track);
                // Ends have a name, too: slices of one thread on several lanes are distinguished by it.
                if kind != Some(COUNTER) {
                    message.number(track_event::NAME_IID, u64::from(event.name) + 1);
                }
                message.bytes.extend_from_slice(payload);
            });
    });
    out.bytes = trace.bytes;
    Ok(out.pass_enough()?)
}

/// The `LegacyEvent` of an arrow: phase, id, and whether its end belongs to the slice around it.
fn describe_flow(event: &Event<'_>) -> Message {
    let mut message = Message::default();
    message
        .number(legacy_event::PHASE, u64::from(event.phase))
        .number(legacy_event::UNSCOPED_ID, number_of_id(event))
        .number(legacy_event::BIND_TO_ENCLOSING, 1);
    message
}

fn number_of_id(event: &Event<'_>) -> u64 {
    event.id.as_number().map_or_else(|| hash_id(&text_of_id(event.id)), |n| n as u64)
}

/// A number for a text: hexadecimal digits are one, anything else is hashed (FNV-1a).
fn hash_id(text: &str) -> u64 {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    u64::from_str_radix(digits, 16).unwrap_or_else(|_| text.bytes().fold(0xcbf2_9ce4_8422_2325, hash))
}
