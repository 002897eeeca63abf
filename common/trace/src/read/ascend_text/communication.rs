//! Collectives with their times: `communication.json` of a rank, and `cluster_communication.json` of several.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::super::ascend::{AscendLayer, layer_process};
use super::super::database::TimeCell;
use super::super::decimal::nanos_from_micros;
use super::super::emit::{Emitter, plain};
use super::super::error::ReadStop;
use super::super::rocprof::{WindowReader, json_fault, read_json};
use super::super::window::InputWindow;
use super::super::{ReadOptions, ReadOutcome};
use crate::model::{Category, Dialect, Event, EventId, EventSink};

/// Recognizes either file by what an operation has.
pub(in super::super) fn recognize(head: &[u8]) -> bool {
    let has = |word: &[u8]| memchr::memmem::find(head, word).is_some();
    head.trim_ascii_start().first() == Some(&b'{')
        && has(b"\"Communication Time Info\"")
        && !has(b"\"traceEvents\"")
}

/// Reads a file.
pub(in super::super) fn read(
    window: InputWindow,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    out.meta.dialect = Dialect::Ascend;
    let emit = Emitter::new(sink, options, out);
    let mut reader = OperationReader { emit, stop: None, path: Vec::new(), named: Vec::new() };
    let mut source = WindowReader(window);
    let result = read_json(&mut source, Level(&mut reader));
    let stop = reader.stop.take();
    out.bytes = source.0.passed().bytes;
    match (stop, result) {
        (Some(stop), _) => Err(stop),
        (None, Err(e)) => Err(json_fault(&mut source.0, &e)),
        (None, Ok(())) => {
            out.complete = true;
            Ok(())
        }
    }
}

/// The times of an operation: the start in microseconds, the others in milliseconds.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TimeInfo {
    #[serde(rename = "Start Timestamp(us)")]
    start: Option<f64>,
    #[serde(rename = "Elapse Time(ms)")]
    elapse: Option<f64>,
    #[serde(rename = "Transit Time(ms)")]
    transit: Option<f64>,
    #[serde(rename = "Wait Time(ms)")]
    wait: Option<f64>,
    #[serde(rename = "Synchronization Time(ms)")]
    synchronization: Option<f64>,
    #[serde(rename = "Idle Time(ms)")]
    idle: Option<f64>,
}

/// The transfers over one kind of link.
#[derive(Deserialize)]
struct LinkInfo {
    #[serde(rename = "Transit Size(MB)", default)]
    size: f64,
    #[serde(rename = "Transit Time(ms)", default)]
    time: f64,
    #[serde(rename = "Bandwidth(GB/s)", default)]
    bandwidth: f64,
}

struct OperationReader<'s> {
    emit: Emitter<'s>,
    /// Why the sink cannot go on.
    stop: Option<ReadStop>,
    /// The keys around the object that is read.
    path: Vec<String>,
    /// Processes that have been named.
    named: Vec<i64>,
}

impl OperationReader<'_> {
    /// Sends one operation, which stands below `STEP: CLASS: NAME@GROUP`, and in a file of several ranks below
    /// `RANKS: STEP: NAME@GROUP: RANK`. What is no operation, but their sum, has no start.
    fn send_operation(
        &mut self,
        times: &TimeInfo,
        links: &BTreeMap<String, LinkInfo>,
    ) -> Result<(), ReadStop> {
        let (Some(start), Some(elapse)) = (times.start, times.elapse) else { return Ok(()) };
        let [outer @ .., last] = &self.path[..] else { return Ok(()) };
        let (key, rank) = match outer {
            [_, _, key] if last.parse::<i64>().is_ok_and(|rank| rank >= 0) => (key, last.parse::<i64>().ok()),
            _ => (last, None),
        };
        // The shortest text of a float is what the file has: decimal microseconds.
        let Some(start) = nanos_from_micros(start.to_string().as_bytes()) else { return Ok(()) };
        let end = nanos_of_millis(elapse).map_or(i64::MAX, |length| start.saturating_add(length));
        let span = self.emit.check_span(TimeCell::of_nanos(start), TimeCell::of_nanos(end), (0, 0))?;
        let (name, group) = key.rsplit_once('@').unwrap_or((key, ""));
        let args = &mut self.emit.args;
        args.some_text("group_name", group.as_bytes());
        let step = outer.iter().find(|key| key.starts_with("step"));
        args.some_text("step", step.map_or(&b""[..], |step| step.as_bytes()));
        if let Some(class) = outer.iter().find(|key| matches!(key.as_str(), "p2p" | "collective")) {
            args.text(b"class", class.as_bytes());
        }
        let parts = [
            ("transit_ns", times.transit),
            ("wait_ns", times.wait),
            ("synchronization_ns", times.synchronization),
            ("idle_ns", times.idle),
        ];
        for (key, value) in parts {
            args.some_integer(key, value.and_then(nanos_of_millis));
        }
        for (link, info) in links.iter().filter(|(_, info)| info.size > 0.0) {
            args.real(format!("{link} size(MB)").as_bytes(), info.size);
            args.some_integer(&format!("{link} transit_ns"), nanos_of_millis(info.time));
            args.real(format!("{link} bandwidth(GB/s)").as_bytes(), info.bandwidth);
        }
        let name = name.to_owned();
        let pid = layer_process(0, AscendLayer::Communication, rank.unwrap_or(0));
        self.name_process(pid, rank)?;
        self.emit.send(Event {
            phase: b'X',
            category: Category::Collective,
            name: plain(name.as_bytes()),
            pid: EventId::Number(pid),
            tid: EventId::Number(0),
            start: span.start,
            dur: span.dur,
            untimed: span.untimed,
            ..Event::default()
        })
    }

    /// Names a process; that of one rank of several says which.
    fn name_process(&mut self, pid: i64, rank: Option<i64>) -> Result<(), ReadStop> {
        const MOST: usize = 65_536;
        if self.named.contains(&pid) || self.named.len() >= MOST {
            return Ok(());
        }
        self.named.push(pid);
        // The name and its arguments are sent at once: those of the operation wait.
        let args = std::mem::take(&mut self.emit.args);
        match rank {
            Some(rank) => self.emit.name_process(pid, format!("rank {rank} Communication").as_bytes())?,
            None => self.emit.name_process(pid, b"Communication")?,
        }
        self.emit.args = args;
        Ok(())
    }
}

fn nanos_of_millis(millis: f64) -> Option<i64> {
    let nanos = (millis * 1e6).round();
    (nanos.abs() < 9e15).then_some(nanos as i64)
}

/// An object around operations, or one of them.
struct Level<'r, 's>(&'r mut OperationReader<'s>);

impl<'de> DeserializeSeed<'de> for Level<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Level<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of communication operations")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        /// Ranks, step, operation, rank.
        const DEEPEST: usize = 4;
        let (mut times, mut links) = (None, BTreeMap::new());
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "Communication Time Info" => times = Some(map.next_value::<TimeInfo>()?),
                "Communication Bandwidth Info" => links = map.next_value()?,
                _ if self.0.path.len() >= DEEPEST => _ = map.next_value::<IgnoredAny>()?,
                _ => {
                    self.0.path.push(key);
                    map.next_value_seed(Level(&mut *self.0))?;
                    self.0.path.pop();
                }
            }
        }
        let Some(times) = times else { return Ok(()) };
        self.0.send_operation(&times, &links).map_err(|stop| {
            self.0.stop = Some(stop);
            serde::de::Error::custom("stopped")
        })
    }
}
