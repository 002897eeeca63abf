//! Perfetto's own traces, as PyTorch, rocprofv3 and the Perfetto SDK write them (google/perfetto
//! `protos/perfetto/trace/trace_packet.proto`, `src/trace_processor/importers/proto`).
//!
//! Packets are read one after the other. What earlier packets of a sequence defined (names, defaults, clocks) is kept,
//! within a limit; of events, those that wait for the end of their slice are.

mod clocks;
mod events;
mod gpu;
mod messages;
mod sequences;
mod slices;
#[cfg(test)]
pub(super) mod tests;
mod tracks;

use std::collections::BTreeMap;
use std::io::Read;

use prost::Message;

use super::emit::{Emitter, damaged_at};
use super::error::ReadStop;
use super::window::InputWindow;
use super::wire::{each_field, each_message, is_text, read_field};
use super::{ReadOptions, ReadOutcome, packed};
use crate::model::{Defect, Dialect, EventSink, FastMap, TraceMeta};
use clocks::ClockTable;
use messages::{TraceFact, TracePacket};
use sequences::SequenceTable;
use slices::OpenSlices;
use tracks::TrackTable;

/// The largest packet, and the most that a compressed one may hold, in bytes.
const LONGEST_PACKET: u64 = 256 * 1024 * 1024;

/// Recognizes a trace by its first packet: field 1, with a field that packets have.
pub(super) fn recognize(head: &[u8]) -> bool {
    let Some(packet) = read_field(head).filter(|f| f.number == 1 && f.wire == 2 && !is_text(head)) else {
        return false;
    };
    let inside = &head[packet.head..];
    if packet.length == 0 {
        return inside.is_empty() || recognize(inside);
    }
    let known = |n: u64| matches!(n, 1..=136 | 3000..=3003);
    read_field(inside).is_some_and(|f| known(f.number) && f.head as u64 + f.length <= packet.length)
}

/// Reads a whole trace.
pub(super) fn read(
    mut window: InputWindow,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    out.meta.dialect = Dialect::Perfetto;
    let mut reader = PerfettoReader {
        emit: Emitter::new(sink, options, out),
        sequences: SequenceTable::default(),
        tracks: TrackTable::default(),
        clocks: ClockTable::default(),
        slices: OpenSlices::default(),
        flows: FastMap::default(),
        counters: FastMap::default(),
        latest: 0,
    };
    let mut result =
        each_message(&mut window, LONGEST_PACKET, "a packet", |bytes, at| reader.read_packet(bytes, at, 0));
    // Of a trace that breaks off, what was read.
    if !matches!(result, Err(ReadStop::Sink(_))) {
        result = reader.slices.hand_on_all(&mut reader.emit).and(result);
    }
    if result.is_ok() {
        result = reader.tracks.name_idle_threads(&mut reader.emit);
    }
    let base = reader.clocks.epoch_offset();
    out.meta.base_ns = base;
    out.bytes = window.passed().bytes + window.rest().len() as u64;
    result?;
    out.complete = true;
    Ok(())
}

struct PerfettoReader<'s> {
    emit: Emitter<'s>,
    sequences: SequenceTable,
    tracks: TrackTable,
    clocks: ClockTable,
    slices: OpenSlices,
    /// Flows that have begun.
    flows: FastMap<u64, ()>,
    /// Names of counters of a GPU, by GPU and number.
    counters: FastMap<(i32, u32), Vec<u8>>,
    /// The largest time so far: that of packets without one.
    latest: i64,
}

impl PerfettoReader<'_> {
    fn read_packet(&mut self, bytes: &[u8], at: u64, depth: u32) -> Result<(), ReadStop> {
        let Ok(packet) = TracePacket::decode(bytes) else {
            return self.emit.count(Defect::UnreadableEvent, at);
        };
        if let Some(packed) = packet.compressed.as_deref().or(packet.zstd.as_deref()) {
            return self.read_packed(packed, packet.zstd.is_some(), at, depth);
        }
        self.update_sequence(&packet, at)?;
        if let Some(snapshot) = &packet.clock_snapshot {
            self.clocks.take_snapshot(packet.sequence.unwrap_or(0), snapshot);
        }
        for fact in packet.about.iter().flat_map(|about| &about.facts) {
            learn_fact(&mut self.emit.out.meta, fact);
        }
        if let Some(track) = &packet.track {
            self.tracks.describe(track, &mut self.emit)?;
        }
        if packet.track_event.is_none() && packet.gpu_stage.is_none() && packet.gpu_counter.is_none() {
            return match find_unread(bytes, &packet) {
                Some(kind) => self.emit.count(kind, at),
                None => Ok(()),
            };
        }
        const NEEDS_STATE: u32 = 2;
        let sequence = self.sequences.get(packet.sequence);
        if packet.flags.unwrap_or(0) & NEEDS_STATE != 0 && !sequence.valid {
            return self.emit.count(Defect::PacketWithoutState, at);
        }
        let time = self.time_of(&packet, at)?;
        if let Some(event) = &packet.track_event {
            self.read_track_event(event, field_of(bytes, 11), packet.sequence, time, at)?;
        }
        if let Some(stage) = &packet.gpu_stage {
            self.read_gpu_stage(stage, field_of(bytes, 53), packet.sequence, time, at)?;
        }
        if let Some(counters) = &packet.gpu_counter {
            self.read_gpu_counters(counters, time)?;
        }
        Ok(())
    }

    /// Takes what a packet says about its sequence: cleared, defaults, names, in this order.
    fn update_sequence(&mut self, packet: &TracePacket, at: u64) -> Result<(), ReadStop> {
        const CLEARED: u32 = 1;
        let seen = self.sequences.has(packet.sequence);
        let sequence = self.sequences.get_mut(packet.sequence).map_err(|what| damaged_at(at, what))?;
        if packet.dropped.unwrap_or(0) != 0 {
            sequence.valid = false;
            // Every sequence begins like this.
            if seen && packet.first != Some(true) {
                self.emit.count(Defect::DataLost, at)?;
            }
        }
        let sequence = self.sequences.get_mut(packet.sequence).map_err(|what| damaged_at(at, what))?;
        if packet.flags.unwrap_or(0) & CLEARED != 0 || packet.cleared == Some(true) {
            sequence.clear();
        }
        if let Some(defaults) = &packet.defaults {
            sequence.defaults = defaults.clone();
        }
        if let Some(thread) = &packet.thread {
            sequence.set_thread(thread);
        }
        if let Some(interned) = &packet.interned {
            self.sequences.intern(packet.sequence, interned).map_err(|what| damaged_at(at, what))?;
        }
        Ok(())
    }

    /// The time of a packet on the trace's clock.
    fn time_of(&mut self, packet: &TracePacket, at: u64) -> Result<i64, ReadStop> {
        let Some(stamp) = packet.timestamp else { return Ok(self.latest) };
        let sequence = packet.sequence.unwrap_or(0);
        let clock = packet.clock.filter(|c| *c != 0).or(self.sequences.get(packet.sequence).defaults.clock);
        let (time, known) = self.clocks.convert(sequence, clock, stamp);
        if !known {
            self.emit.count(Defect::UnknownClock, at)?;
        }
        self.latest = self.latest.max(time);
        Ok(time)
    }

    /// Packets within a packet.
    fn read_packed(&mut self, packed: &[u8], zstd: bool, at: u64, depth: u32) -> Result<(), ReadStop> {
        const DEEPEST: u32 = 1;
        if depth > DEEPEST {
            return self.emit.count(Defect::UnreadableEvent, at);
        }
        let mut bytes = Vec::new();
        let source: Box<dyn Read + '_> = match (zstd, packed) {
            (true, _) => Box::new(packed::ZstdFrames::new(packed)),
            (false, [0x1f, 0x8b, ..]) => Box::new(super::gzip::GzipMembers::new(packed)),
            (false, _) => Box::new(flate2::bufread::ZlibDecoder::new(packed)),
        };
        // What came before a damaged place is read.
        if source.take(LONGEST_PACKET).read_to_end(&mut bytes).is_err() {
            self.emit.count(Defect::UnreadableEvent, at)?;
        }
        let mut rest = &bytes[..];
        while let Some(field) = read_field(rest) {
            let end = (field.head as u64).saturating_add(field.length);
            let Some(whole) = usize::try_from(end).ok().and_then(|end| rest.get(..end)) else { break };
            if field.number == 1 && field.wire == 2 {
                self.read_packet(&whole[field.head..], at, depth + 1)?;
            }
            rest = &rest[whole.len()..];
        }
        Ok(())
    }
}

/// The value of a field of a packet.
fn field_of(packet: &[u8], number: u64) -> &[u8] {
    each_field(packet).find(|(field, _)| field.number == number).map_or(b"", |(_, value)| value)
}

/// The kind of what a packet holds that is not read: events of the kernel above all. What describes the trace, its
/// processes and the machine is none of it (`trace_packet.proto`; numbers that are not there belong to extensions).
fn find_unread(bytes: &[u8], packet: &TracePacket) -> Option<Defect> {
    each_field(bytes).find_map(|(field, _)| match field.number {
        // The events of Chrome in its old form.
        5 => {
            packet.about.as_ref().is_some_and(|about| about.facts.is_empty()).then_some(Defect::UnreadPacket)
        }
        1 | 95 | 117 | 118 | 120 | 129 => Some(Defect::UnreadKernelEvents),
        37 | 54 | 56 | 62 | 66 | 68 | 73 | 74 | 75 | 135 => Some(Defect::UnreadSamples),
        7 | 9 | 38 | 40 | 71 | 77 | 91 | 115 | 119 => Some(Defect::UnreadMeasurements),
        2..=4 | 6 | 8 | 10..=13 | 33..=36 | 41..=48 | 50..=53 | 55 | 58..=61 | 64 | 67 | 69 | 70 | 72 => None,
        78 | 79 | 82 | 83 | 86 | 87 | 89 | 90 | 97 | 98 | 105 | 107 | 109 | 111 | 113 | 122..=128 => None,
        130 | 131 | 133 | 134 | 138..=140 | 900 => None,
        _ => Some(Defect::UnreadPacket),
    })
}

/// Takes what `tracecv` has kept of what a trace said of itself.
fn learn_fact(meta: &mut TraceMeta, fact: &TraceFact) {
    const MOST_DEVICES: usize = 4096;
    let text = || fact.text.as_deref().map(|text| String::from_utf8_lossy(text).into_owned());
    match fact.name.as_deref().unwrap_or_default() {
        b"rank" => meta.rank = fact.number.or(meta.rank),
        b"world_size" => meta.world_size = fact.number.or(meta.world_size),
        b"backend" => meta.backend = text().or(meta.backend.take()),
        b"trace_id" => meta.trace_id = text().or(meta.trace_id.take()),
        b"trace_name" => meta.trace_name = text().or(meta.trace_name.take()),
        b"host" => meta.host = text().or(meta.host.take()),
        b"devices" => {
            let names = fact.json.as_deref().and_then(|json| serde_json::from_slice(json).ok());
            let names: BTreeMap<i64, String> = names.unwrap_or_default();
            meta.devices.extend(names.into_iter().take(MOST_DEVICES));
        }
        _ => {}
    }
}

/// The number that a text of digits is.
fn number_in(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}
