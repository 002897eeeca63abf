//! The readers of files that only this tool has, for the fuzzer: whatever the bytes are, they return, and what they return
//! adds up.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use trace::spool::MemoryLimit;

use crate::job::Job;
use crate::job::clocks::ClockSamples;
use crate::job::lateness::Lateness;
use crate::job::links::LinkTimes;
use crate::job::meetings::Meetings;
use crate::job::verdict::find_verdict;
use crate::memory::{ascend, pickle, snapshot};
use crate::part::RankPart;
use crate::part::call::FamilyTable;
use crate::part::file::{PartWriter, load_parts};
use crate::part::kept::Arrival;

const MEMORY: MemoryLimit = MemoryLimit { bytes: 16 << 20 };

/// Reads any bytes as `mem` does what is no trace: a pickled snapshot of PyTorch, or a table of Ascend's.
pub fn read_memory(bytes: &[u8]) {
    const POINTS: usize = 10;
    let read = if pickle::looks_like_pickle(bytes) {
        snapshot::read_snapshot(bytes, MEMORY, POINTS)
    } else {
        ascend::read_table(bytes, MEMORY, POINTS)
    };
    for device in read.unwrap_or_default() {
        device.not_known();
        assert!(device.timeline.len() <= POINTS, "{} points", device.timeline.len());
        assert!(device.timeline.iter().all(|point| point.allocated <= device.peak), "a point above the peak");
    }
}

/// Reads any bytes as the lines of a part file, analyzes the job that they make, and writes its ranks again.
pub fn read_part_lines(lines: &[u8]) {
    // The sum at the end of a compressed file would keep the fuzzer from what is in it.
    let Some(file) = compress(lines) else { return };
    let mut job = Job::new(MEMORY);
    let Ok(loaded) = load_parts(file.as_slice(), &mut job.families, MEMORY) else { return };
    let arrivals = &mut job.arrivals;
    let taken = loaded.calls.for_each(|call: Arrival| arrivals.push(call));
    job.parts = loaded.ranks.into_iter().map(|rank| rank.part).collect();
    if taken.is_ok() {
        analyze_job(&mut job);
    }
    write_again(&job.parts);
}

fn compress(lines: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(lines).ok()?;
    encoder.finish().ok()
}

fn analyze_job(job: &mut Job) {
    let (mut lateness, mut clocks) = (Lateness::of_job(job), ClockSamples::default());
    let (mut links, mut meetings) = (LinkTimes::default(), Meetings::new(MEMORY));
    let ended = job.each_call(MEMORY, |family, call| {
        lateness.take(family, call);
        clocks.take(family, call);
        links.take(family, call);
        meetings.take(family, call);
    });
    if ended.is_err() {
        return;
    }
    if let Ok(verdict) = find_verdict(job, &mut lateness, &links.find_slow(), meetings) {
        assert!(verdict.causes.iter().all(|found| (0.0..=1.0).contains(&found.confidence)));
        clocks.fit();
    }
}

/// Writes the parts again, and asserts that they are read as the same.
fn write_again(parts: &[RankPart]) {
    let write = || -> std::io::Result<Vec<u8>> {
        let mut writer = PartWriter::new(Vec::new())?;
        for part in parts {
            writer.write_rank(part, Some(part.rank), (0, true))?;
        }
        writer.finish()
    };
    let Ok(file) = write() else { return };
    // Escapes make lines longer: one may be too long now.
    let Ok(again) = load_parts(file.as_slice(), &mut FamilyTable::default(), MEMORY) else { return };
    assert_eq!(parts.len(), again.ranks.len());
    for (before, after) in parts.iter().zip(again.ranks) {
        assert_eq!(*before, RankPart { rank: before.rank, ..after.part });
    }
}
