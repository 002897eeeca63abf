//! `xplane.pb` of JAX, XLA and TensorFlow (google/tsl `tsl/profiler/protobuf/xplane.proto`). It becomes what XLA's own
//! exporter makes of it (openxla/xla `xla/tsl/profiler/convert/xplane_to_trace_events.cc`): planes are processes, lines
//! are threads, statistics are arguments.
//!
//! A plane is kept in memory while it is read: its names stand behind its lines.

use prost::Message;
use prost::bytes::Bytes;

use super::database::TimeCell;
use super::emit::{Emitter, plain};
use super::error::ReadStop;
use super::window::InputWindow;
use super::wire::{each_message, read_field, read_varint};
use super::{ReadOptions, ReadOutcome};
use crate::model::{Defect, Dialect, Event, EventId, EventSink, FastMap};

/// The largest plane, in bytes.
const LONGEST_PLANE: u64 = 2 << 30;

/// The process of the host; devices are numbered from 1 (`xla/tsl/profiler/utils/trace_utils.h`).
const HOST_PROCESS: i64 = 701;

/// The first process of planes that are no device of the machine, which have numbers of their own (the same).
const FIRST_CUSTOM_PROCESS: i64 = 501;

/// Recognizes a profile by its first plane: a number, then a name of text.
pub(super) fn recognize(head: &[u8]) -> bool {
    let Some(plane) = read_field(head).filter(|f| f.number == 1 && f.wire == 2) else { return false };
    let mut inside = &head[plane.head..];
    if let Some([0x08]) = inside.first_chunk::<1>() {
        let Some((_, n)) = read_varint(&inside[1..]) else { return false };
        inside = &inside[1 + n..];
    }
    let Some(name) = read_field(inside).filter(|f| f.number == 2 && f.wire == 2 && f.length > 0) else {
        return false;
    };
    let text = inside.get(name.head..name.head.saturating_add(name.length as usize));
    text.is_some_and(|t| t.iter().all(|b| (b' '..=b'~').contains(b)))
}

#[derive(Clone, PartialEq, Message)]
struct Plane {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(bytes = "vec", tag = "2")]
    name: Vec<u8>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    lines: Vec<Bytes>,
    #[prost(message, repeated, tag = "4")]
    events: Vec<EventEntry>,
    #[prost(message, repeated, tag = "5")]
    stats: Vec<StatEntry>,
    #[prost(message, repeated, tag = "6")]
    own: Vec<Stat>,
}

#[derive(Clone, PartialEq, Message)]
struct EventEntry {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(message, optional, tag = "2")]
    value: Option<EventName>,
}

#[derive(Clone, PartialEq, Message)]
struct EventName {
    #[prost(bytes = "vec", tag = "2")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    short: Vec<u8>,
    #[prost(message, repeated, tag = "5")]
    stats: Vec<Stat>,
}

#[derive(Clone, PartialEq, Message)]
struct StatEntry {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(message, optional, tag = "2")]
    value: Option<StatName>,
}

#[derive(Clone, PartialEq, Message)]
struct StatName {
    #[prost(bytes = "vec", tag = "2")]
    name: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct PlaneLine {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(bytes = "vec", tag = "2")]
    name: Vec<u8>,
    #[prost(int64, tag = "3")]
    start_ns: i64,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    events: Vec<Bytes>,
    #[prost(bytes = "vec", tag = "11")]
    short: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct PlaneEvent {
    #[prost(int64, tag = "1")]
    name: i64,
    #[prost(int64, tag = "2")]
    offset_ps: i64,
    #[prost(int64, tag = "3")]
    dur_ps: i64,
    #[prost(message, repeated, tag = "4")]
    stats: Vec<Stat>,
    /// A sum over many, without a time.
    #[prost(int64, optional, tag = "5")]
    occurrences: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Stat {
    #[prost(int64, tag = "1")]
    name: i64,
    #[prost(double, optional, tag = "2")]
    double: Option<f64>,
    #[prost(uint64, optional, tag = "3")]
    unsigned: Option<u64>,
    #[prost(int64, optional, tag = "4")]
    signed: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "5")]
    text: Option<Vec<u8>>,
    /// The name of another statistic is the value.
    #[prost(uint64, optional, tag = "7")]
    reference: Option<u64>,
}

/// Reads a profile.
pub(super) fn read(
    mut window: InputWindow,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    out.meta.dialect = Dialect::Xplane;
    let mut emit = Emitter::new(sink, options, out);
    let result = each_message(&mut window, LONGEST_PLANE, "a plane", |bytes, at| {
        match Plane::decode(Bytes::copy_from_slice(bytes)) {
            Ok(plane) => read_plane(&plane, &mut emit, at),
            Err(_) => emit.count(Defect::UnreadableEvent, at),
        }
    });
    out.bytes = window.passed().bytes + window.rest().len() as u64;
    result?;
    out.complete = true;
    Ok(())
}

/// Names of a plane by number.
struct PlaneNames<'p> {
    events: FastMap<i64, &'p EventName>,
    stats: FastMap<i64, &'p [u8]>,
}

fn read_plane(plane: &Plane, emit: &mut Emitter<'_>, at: u64) -> Result<(), ReadStop> {
    let names = PlaneNames {
        events: plane.events.iter().filter_map(|e| Some((e.key, e.value.as_ref()?))).collect(),
        stats: plane.stats.iter().filter_map(|e| Some((e.key, e.value.as_ref()?.name.as_slice()))).collect(),
    };
    if plane.name == b"Task Environment" {
        for stat in &plane.own {
            if names.stats.get(&stat.name) == Some(&b"profile_start_time".as_slice()) {
                emit.out.meta.base_ns = stat.signed.or(stat.unsigned.and_then(|n| i64::try_from(n).ok()));
            }
        }
    }
    let device = plane.name.starts_with(b"/device:");
    let host = plane.name.starts_with(b"/host:CPU") || plane.name.starts_with(b"/host:CUPTI");
    if !(device || host) {
        let has_events = |line: &Bytes| PlaneLine::decode(line.clone()).is_ok_and(|l| !l.events.is_empty());
        if plane.lines.iter().any(has_events) {
            note_unread(&plane.name, emit);
        }
        return Ok(());
    }
    let pid = match (device, plane.name.starts_with(b"/device:CUSTOM:")) {
        (true, true) => plane.id.saturating_add(FIRST_CUSTOM_PROCESS),
        (true, false) => plane.id.saturating_add(1),
        (false, _) => HOST_PROCESS,
    };
    emit.name_process(pid, &plane.name)?;
    for bytes in &plane.lines {
        let Ok(line) = PlaneLine::decode(bytes.clone()) else {
            emit.count(Defect::UnreadableEvent, at)?;
            continue;
        };
        // The number of a line is its low half, in the exporter's JSON too.
        let tid = line.id & 0xffff_ffff;
        emit.name_thread(pid, tid, if line.short.is_empty() { &line.name } else { &line.short })?;
        for event in &line.events {
            match PlaneEvent::decode(event.clone()) {
                Ok(event) if event.occurrences.is_none() => {
                    send_event(&event, &line, (pid, tid), &names, emit, at)?
                }
                Ok(_) => {}
                Err(_) => emit.count(Defect::UnreadableEvent, at)?,
            }
        }
    }
    Ok(())
}

/// Notes a plane whose events are not read: a few of them.
fn note_unread(name: &[u8], emit: &mut Emitter<'_>) {
    const MOST: usize = 16;
    let unread = &mut emit.out.unread_members;
    let name = common::text::safe(&String::from_utf8_lossy(name)).to_string();
    if unread.len() < MOST && !unread.contains(&name) {
        unread.push(name);
    }
}

fn send_event(
    event: &PlaneEvent,
    line: &PlaneLine,
    (pid, tid): (i64, i64),
    names: &PlaneNames<'_>,
    emit: &mut Emitter<'_>,
    at: u64,
) -> Result<(), ReadStop> {
    let start = i128::from(line.start_ns) * 1000 + i128::from(event.offset_ps);
    let end = TimeCell::of_nanos(nanos(start).saturating_add(nanos(event.dur_ps.into())));
    let times = emit.check_span(TimeCell::of_nanos(nanos(start)), end, (0, at))?;
    let known = names.events.get(&event.name);
    emit.count_missing_names(u64::from(known.is_none()))?;
    let (full, short) = known.map_or((&b"unknown"[..], &b""[..]), |n| (&n.name, &n.short));
    let mut shown = Event {
        phase: b'X',
        name: plain(if short.is_empty() { full } else { short }),
        pid: EventId::Number(pid),
        tid: EventId::Number(tid),
        start: times.start,
        dur: times.dur,
        untimed: times.untimed,
        ..Event::default()
    };
    if !short.is_empty() && short != full {
        emit.args.text(b"long_name", full);
    }
    // The stats of an event take precedence over those of its metadata.
    let common = known.map_or(&[][..], |n| n.stats.as_slice());
    let own = |name: i64| event.stats.iter().any(|s| s.name == name);
    for stat in common.iter().filter(|s| !own(s.name)).chain(&event.stats) {
        let Some(key) = names.stats.get(&stat.name) else { continue };
        let number = stat.signed.or(stat.unsigned.and_then(|n| i64::try_from(n).ok()));
        match *key {
            b"correlation_id" => shown.correlation = number,
            b"step_num" => shown.step_number = number,
            // The exporter's own accounts.
            [b'_', ..] => continue,
            _ => {}
        }
        match stat {
            Stat { text: Some(text), .. } => emit.args.text(key, text),
            Stat { reference: Some(id), .. } => emit
                .args
                .text(key, i64::try_from(*id).ok().and_then(|id| names.stats.get(&id)).unwrap_or(&&b""[..])),
            Stat { double: Some(x), .. } => emit.args.real(key, *x),
            Stat { unsigned: Some(n), .. } => emit.args.json(key, &n.to_string()),
            Stat { signed: Some(n), .. } => emit.args.json(key, &n.to_string()),
            // Bytes have no meaning outside of XLA.
            _ => continue,
        };
    }
    emit.send(shown)
}

/// Picoseconds to the nearest nanosecond, as microseconds with six digits are read.
fn nanos(ps: i128) -> i64 {
    i64::try_from((ps + 500).div_euclid(1000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
