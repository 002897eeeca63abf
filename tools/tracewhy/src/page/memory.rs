//! The memory of a job as the report has it: the peak of each device of each rank, and of the highest ones their timeline
//! and what held them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use super::tables::{TableData, cut_text, row};
use crate::memory::DeviceMemory;

/// Maximum number of peaks, of devices with a timeline, and of holders of each.
const MOST_PEAKS: usize = 1024;
const MAX_SHOWN: usize = 8;
const MOST_HOLDERS: usize = 50;
/// Points of a timeline.
pub(crate) const TIMELINE_POINTS: usize = 160;
/// The name of the rest of a peak, which nothing in the recording asked for.
pub(crate) const BEFORE_RECORDING: &str = "(allocated before the recording)";

/// One device with its timeline.
#[derive(Debug, Serialize)]
struct ShownMemory {
    rank: i64,
    device: String,
    peak: i64,
    /// Nanoseconds from the first point to the peak, and to each point.
    peak_at: i64,
    at: Vec<i64>,
    /// The allocated bytes of each point: their maximum, and those at its end.
    allocated: Vec<i64>,
    left: Vec<i64>,
    reserved: Vec<Option<i64>>,
    /// `[bytes, share, blocks, operator, part]`.
    held: TableData,
}

impl ShownMemory {
    fn of_device(rank: i64, memory: &DeviceMemory) -> Self {
        let first = memory.timeline.first().map_or(0, |point| point.at);
        let since = |at: i64| at.saturating_sub(first);
        let share = |bytes: i64| (memory.peak > 0).then(|| bytes as f64 / memory.peak as f64);
        let name = |name: &str| if name.is_empty() { "-".to_owned() } else { cut_text(name) };
        let rest = memory.not_known();
        let before = (rest != 0).then(|| row![rest, share(rest), None::<i64>, BEFORE_RECORDING, "-"]);
        let held = memory.held.iter().map(|(holder, bytes, blocks)| {
            row![*bytes, share(*bytes), *blocks, name(&holder.operator).as_str(), name(&holder.part).as_str()]
        });
        let rows: Vec<_> = before.into_iter().chain(held.take(MOST_HOLDERS)).collect();
        let left_out = memory.held.len().saturating_sub(MOST_HOLDERS) as u64;
        Self {
            rank,
            device: cut_text(&memory.device),
            peak: memory.peak,
            peak_at: since(memory.peak_at),
            at: memory.timeline.iter().map(|point| since(point.at)).collect(),
            allocated: memory.timeline.iter().map(|point| point.allocated).collect(),
            left: memory.timeline.iter().map(|point| point.left).collect(),
            reserved: memory.timeline.iter().map(|point| point.reserved).collect(),
            held: TableData::first(rows.len(), rows.into_iter()).and_left_out(left_out, 0),
        }
    }
}

/// A peak, in the order in which they matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PeakRow {
    /// Work ran on a device, which says more than the host.
    on_device: bool,
    peak: i64,
    rank: Reverse<i64>,
    device: String,
    reserved: Option<i64>,
    before: i64,
    after: i64,
    allocations: u64,
}

/// The memory of a job.
#[derive(Debug, Default)]
pub(crate) struct JobMemory {
    peaks: Vec<PeakRow>,
    peaks_left_out: u64,
    shown: Vec<(PeakRow, ShownMemory)>,
}

impl JobMemory {
    /// Adds the devices of a rank.
    pub(crate) fn add_rank(&mut self, rank: i64, devices: &[DeviceMemory]) {
        for memory in devices {
            let row = PeakRow {
                on_device: memory.device != "cpu",
                peak: memory.peak,
                rank: Reverse(rank),
                device: cut_text(&memory.device),
                reserved: memory.reserved,
                before: memory.before,
                after: memory.after,
                allocations: memory.allocations,
            };
            let place = self.shown.partition_point(|(other, _)| *other >= row);
            if place < MAX_SHOWN {
                self.shown.insert(place, (row.clone(), ShownMemory::of_device(rank, memory)));
                self.shown.truncate(MAX_SHOWN);
            }
            self.peaks.push(row);
        }
        if self.peaks.len() > 2 * MOST_PEAKS {
            self.keep_highest();
        }
    }

    /// Gives ranks other numbers.
    pub(crate) fn number_ranks(&mut self, numbers: &BTreeMap<i64, i64>) {
        let renumber = |rank: &mut i64| *rank = numbers.get(rank).copied().unwrap_or(*rank);
        self.peaks.iter_mut().for_each(|row| renumber(&mut row.rank.0));
        for (row, shown) in &mut self.shown {
            renumber(&mut row.rank.0);
            renumber(&mut shown.rank);
        }
    }

    fn keep_highest(&mut self) {
        self.peaks.sort_by(|a, b| b.cmp(a));
        self.peaks_left_out += self.peaks.len().saturating_sub(MOST_PEAKS) as u64;
        self.peaks.truncate(MOST_PEAKS);
    }

    /// As the page has it.
    pub(crate) fn into_data(mut self) -> MemoryData {
        self.keep_highest();
        let rows = self
            .peaks
            .iter()
            .map(|p| row![p.rank.0, p.device.as_str(), p.peak, p.reserved, p.before, p.after, p.allocations]);
        MemoryData {
            peaks: TableData::first(MOST_PEAKS, rows).and_left_out(self.peaks_left_out, 0),
            shown: self.shown.into_iter().map(|(_, shown)| shown).collect(),
        }
    }
}

/// The memory of a job, as the page has it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct MemoryData {
    /// `[rank, device, peak, reserved, before, after, allocations]`, the highest first.
    peaks: TableData,
    /// Those with the highest peaks.
    shown: Vec<ShownMemory>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::account::{MemoryHolder, MemoryPoint};

    fn device(name: &str, peak: i64) -> DeviceMemory {
        let holder = |n: i64| (MemoryHolder { part: String::new(), operator: format!("op {n}") }, 1, 1);
        DeviceMemory {
            device: name.to_owned(),
            peak,
            peak_at: 30,
            held: (0..80).map(holder).collect(),
            timeline: [10, 30]
                .map(|at| MemoryPoint { at, allocated: peak, left: 7, reserved: None })
                .to_vec(),
            ..DeviceMemory::default()
        }
    }

    #[test]
    fn the_highest_peaks_are_shown_and_the_others_counted() {
        let mut memory = JobMemory::default();
        for rank in 0..3000 {
            memory.add_rank(rank, &[device("cpu", 1_000_000), device("cuda:0", 1000 + rank % 2000)]);
        }
        let data = serde_json::to_value(memory.into_data()).unwrap();
        let (rows, shown) = (data["peaks"]["rows"].as_array().unwrap(), data["shown"].as_array().unwrap());
        assert_eq!((rows.len(), &data["peaks"]["left_out"]), (1024, &(6000 - 1024).into()));
        assert_eq!((&rows[0][0], &rows[0][1], &rows[0][2]), (&1999.into(), &"cuda:0".into(), &2999.into()));
        assert_eq!((shown.len(), &shown[7]["rank"]), (8, &1992.into()));
        let held = &shown[0]["held"];
        // What the recording does not explain comes first.
        assert_eq!((&held["rows"][0][3], &held["rows"][0][0]), (&BEFORE_RECORDING.into(), &2919.into()));
        assert_eq!((held["rows"].as_array().unwrap().len(), &held["left_out"]), (51, &30.into()));
        assert_eq!((&shown[0]["at"], &shown[0]["peak_at"]), (&serde_json::json!([0, 20]), &20.into()));
        assert_eq!(shown[0]["left"], serde_json::json!([7, 7]));
    }
}
