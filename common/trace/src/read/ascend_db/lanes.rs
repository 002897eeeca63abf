//! The lanes of a timeline's overlap analysis, which a database does not have: when anything computed, when anything was
//! communicated, when that was not hidden, and when neither ran. By the rule of the exporter for its own
//! `StepTraceTime`: computation is what has a row in `COMPUTE_TASK_INFO`, communication is `COMMUNICATION_OP`.

use std::io;

use super::super::error::ReadStop;
use super::{AscendReader, Layer, MOST_DEVICES};
use crate::model::{Event, EventId};
use crate::spool::{MemoryLimit, Spool, SpoolRecord};

const LANES: [&str; 4] = ["Computing", "Communication", "Communication(Not Overlapped)", "Free"];

/// When the lanes of a device are on.
#[derive(Default)]
struct LaneSweep {
    now: Option<i64>,
    /// Until when computation and communication run.
    busy: [i64; 2],
    /// The stretch of each lane that may go on.
    open: [Option<(i64, i64)>; 4],
    /// Stretches that have ended, by lane.
    ended: Vec<(usize, i64, i64)>,
}

impl LaneSweep {
    /// Takes the next computation (0) or communication (1). Starts must not decrease.
    fn add(&mut self, start: i64, end: i64, kind: usize) {
        match self.now {
            None => (self.now, self.busy) = (Some(start), [start; 2]),
            Some(_) => self.advance(start),
        }
        self.busy[kind] = self.busy[kind].max(end);
    }

    /// Lays what ran until `to` on the lanes.
    fn advance(&mut self, to: i64) {
        while let Some(from) = self.now.filter(|now| *now < to) {
            let next = self.busy.iter().copied().filter(|end| *end > from).fold(to, i64::min);
            let [computes, communicates] = self.busy.map(|end| end > from);
            let on = [computes, communicates, communicates && !computes, !communicates && !computes];
            for (lane, _) in on.iter().enumerate().filter(|(_, on)| **on) {
                self.extend(lane, from, next);
            }
            self.now = Some(next);
        }
    }

    fn extend(&mut self, lane: usize, from: i64, to: i64) {
        match &mut self.open[lane] {
            Some((_, end)) if *end == from => *end = to,
            other => {
                if let Some((start, end)) = other.replace((from, to)) {
                    self.ended.push((lane, start, end));
                }
            }
        }
    }

    /// Ends what is still open.
    fn finish(&mut self) {
        self.advance(self.busy[0].max(self.busy[1]));
        for (lane, open) in self.open.iter_mut().enumerate() {
            if let Some((start, end)) = open.take() {
                self.ended.push((lane, start, end));
            }
        }
    }
}

/// A computation or a collective of a device.
#[derive(Clone, Copy, Debug)]
struct LanePiece {
    device: i64,
    start: i64,
    end: i64,
    communicates: bool,
}

impl SpoolRecord<3> for LanePiece {
    fn to_words(self) -> [i64; 3] {
        [self.device << 1 | i64::from(self.communicates), self.start, self.end]
    }

    fn from_words([device, start, end]: [i64; 3]) -> Self {
        Self { device: device >> 1, start, end, communicates: device & 1 != 0 }
    }
}

/// What the lanes of all devices are derived from.
pub(super) struct LanePieces(Spool<LanePiece, 3>);

impl Default for LanePieces {
    fn default() -> Self {
        Self(Spool::new(MemoryLimit::default()))
    }
}

impl LanePieces {
    /// Adds a task that computes.
    pub(super) fn add_computation(
        &mut self,
        device: Option<i64>,
        start: Option<i64>,
        end: Option<i64>,
    ) -> Result<(), ReadStop> {
        match device {
            Some(device) if (0..MOST_DEVICES).contains(&device) => self.add(device, start.zip(end), false),
            _ => Ok(()),
        }
    }

    fn add(&mut self, device: i64, span: Option<(i64, i64)>, communicates: bool) -> Result<(), ReadStop> {
        match span.filter(|(start, end)| end > start) {
            Some((start, end)) => self.0.push(LanePiece { device, start, end, communicates }).map_err(stop),
            None => Ok(()),
        }
    }
}

/// Ends reading since a temporary file cannot be used, which says nothing about the trace.
fn stop(error: io::Error) -> ReadStop {
    ReadStop::Sink(error.into())
}

impl AscendReader<'_> {
    /// Returns whether the file says enough to derive the lanes of its devices.
    pub(super) fn derives_lanes(&self) -> bool {
        ["startNs", "endNs", "deviceId", "globalTaskId", "taskType"]
            .iter()
            .all(|column| self.database.has_column("TASK", column))
    }

    /// The lanes of every device.
    pub(super) fn derive_lanes(&mut self) -> Result<(), ReadStop> {
        if !self.derives_lanes() {
            return Ok(());
        }
        for device in self.devices.clone() {
            self.add_collectives(device)?;
        }
        let pieces = std::mem::take(&mut self.pieces);
        let mut pieces = pieces.0.into_sorted(|piece| (piece.device, piece.start)).map_err(stop)?;
        let mut next = pieces.next_record().map_err(stop)?;
        for device in self.devices.clone() {
            let pid = self.layer_pid(Layer::Overlap, device);
            self.emit.name_process(pid, b"Overlap Analysis")?;
            self.emit.label_process(pid, format!("NPU {device}").as_bytes())?;
            for (tid, name) in LANES.iter().enumerate() {
                self.emit.name_thread(pid, tid as i64, name.as_bytes())?;
            }
            let mut sweep = LaneSweep::default();
            while let Some(piece) = next.filter(|piece| piece.device <= device) {
                if piece.device == device {
                    sweep.add(piece.start, piece.end, usize::from(piece.communicates));
                    self.send_stretches(pid, &mut sweep)?;
                }
                next = pieces.next_record().map_err(stop)?;
            }
            sweep.finish();
            self.send_stretches(pid, &mut sweep)?;
        }
        Ok(())
    }

    /// Adds the collectives of a device to what its lanes are derived from.
    fn add_collectives(&mut self, device: i64) -> Result<(), ReadStop> {
        let has = |column| self.database.has_column("COMMUNICATION_OP", column);
        if !(has("startNs") && has("endNs")) {
            return Ok(());
        }
        let here = match self.device_of_collective() {
            Some(expression) => format!("{expression} = {device}"),
            None => "1".to_owned(),
        };
        let query = format!("SELECT o.startNs, o.endNs FROM COMMUNICATION_OP o WHERE {here}");
        self.database
            .each_row(&query, |row| self.pieces.add(device, row.integer(0).zip(row.integer(1)), true))
    }

    fn send_stretches(&mut self, pid: i64, sweep: &mut LaneSweep) -> Result<(), ReadStop> {
        for (lane, start, end) in sweep.ended.drain(..) {
            self.emit.send(Event {
                phase: b'X',
                name: LANES[lane].into(),
                pid: EventId::Number(pid),
                tid: EventId::Number(lane as i64),
                start: Some(start),
                dur: Some(end.saturating_sub(start)),
                ..Event::default()
            })?;
        }
        Ok(())
    }

    /// The source of the device of a collective operation: a column, its tasks, or nothing where there is one device.
    pub(super) fn device_of_collective(&self) -> Option<&'static str> {
        let has = |table, column| self.database.has_column(table, column);
        if has("COMMUNICATION_OP", "deviceId") {
            return Some("o.deviceId");
        }
        let tasks = has("TASK", "connectionId") && has("COMMUNICATION_OP", "connectionId");
        (self.devices.len() > 1 && tasks)
            .then_some("(SELECT min(t.deviceId) FROM TASK t WHERE t.connectionId = o.connectionId)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the same lanes worked out one moment at a time.
    #[test]
    fn lanes_are_right_at_every_moment() {
        let mut seed = 7u64;
        let mut random = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        for _ in 0..200 {
            let mut spans: Vec<(i64, i64, usize)> = (0..1 + random(8))
                .map(|_| {
                    let start = random(40) as i64;
                    (start, start + 1 + random(12) as i64, random(2) as usize)
                })
                .collect();
            spans.sort_unstable();
            let mut sweep = LaneSweep::default();
            spans.iter().for_each(|(start, end, kind)| sweep.add(*start, *end, *kind));
            sweep.finish();
            let (first, last) = (spans[0].0, spans.iter().map(|s| s.1).max().unwrap());
            for at in -1..60 {
                let runs = |kind| spans.iter().any(|(a, b, k)| *k == kind && (*a..*b).contains(&at));
                let inside = (first..last).contains(&at);
                let expected = [runs(0), runs(1), runs(1) && !runs(0), inside && !runs(0) && !runs(1)];
                for (lane, on) in expected.into_iter().enumerate() {
                    let found =
                        sweep.ended.iter().filter(|(l, a, b)| *l == lane && (*a..*b).contains(&at)).count();
                    assert_eq!(found, usize::from(on), "{spans:?} lane {lane} at {at}");
                }
            }
        }
    }
}
