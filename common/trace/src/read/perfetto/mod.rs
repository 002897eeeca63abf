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
use super::wire::{each_message, is_text, read_field};
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
            return if holds_other_events(bytes, &packet) {
                self.emit.count(Defect::UnreadPacket, at)
            } else {
                Ok(())
            };
        }
        const NEEDS_STATE: u32 = 2;
        let sequence = self.sequences.get(packet.sequence);
        if packet.flags.unwrap_or(0) & NEEDS_STATE != 0 && !sequence.valid {
            return self.emit.count(Defect::PacketWithoutState, at);
        }
        let time = self.time_of(&packet, at)?;
        if let Some(event) = &packet.track_event {
            self.read_track_event(event, packet.sequence, time, at)?;
        }
        if let Some(stage) = &packet.gpu_stage {
            self.read_gpu_stage(stage, packet.sequence, time)?;
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

/// Returns whether a packet holds events, samples or measurements of a kind that is not read: those of the kernel above
/// all (`trace_packet.proto`; what describes the trace, its processes and the machine is none of them).
fn holds_other_events(bytes: &[u8], packet: &TracePacket) -> bool {
    const OTHERS: &[u64] = &[
        1, 7, 9, 37, 38, 39, 40, 49, 54, 56, 57, 62, 63, 65, 66, 71, 73, 74, 75, 76, 77, 84, 88, 91, 95, 99,
        100, 101, 102, 103, 110, 115, 117, 118, 119, 120, 129, 132, 135,
    ];
    let mut rest = bytes;
    while let Some(field) = read_field(rest) {
        if OTHERS.contains(&field.number) {
            return true;
        }
        let end = usize::try_from(field.length).unwrap_or(usize::MAX).saturating_add(field.head);
        let Some(behind) = rest.get(end..) else { break };
        rest = behind;
    }
    // The events of Chrome in its old form.
    packet.about.as_ref().is_some_and(|about| about.facts.is_empty())
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
