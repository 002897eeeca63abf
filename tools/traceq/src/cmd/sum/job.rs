//! The ranks of a job beside each other: the least, the middle and the most of each time, and who has it.

use std::io::{self, Write};

use common::record::traceq as record;
use trace::split::Split;
use trace::table::{Align, Table};
use trace::units::TimeUnit;

/// A time that is compared.
type Measure = (&'static str, fn(&Split) -> i64);

const MEASURES: [Measure; 7] = [
    ("total", |s| s.total),
    ("compute", |s| s.compute),
    ("communication", |s| s.communication),
    ("exposed_communication", |s| s.exposed_communication),
    ("memcpy", |s| s.memcpy),
    ("exposed_memcpy", |s| s.exposed_memcpy),
    ("idle", Split::idle),
];

/// The times of all devices so far.
#[derive(Debug, Default)]
pub(super) struct JobTimes {
    /// Rank or else place among the devices, and times.
    devices: Vec<(i64, Split)>,
    /// Traces, or ranks within them.
    ranks: u64,
}

impl JobTimes {
    /// Says that another rank follows.
    pub(super) fn begin_rank(&mut self) {
        self.ranks += 1;
    }

    /// Adds a device of this rank.
    pub(super) fn add(&mut self, rank: Option<i64>, split: Split) {
        let place = self.devices.len() as i64;
        self.devices.push((rank.unwrap_or(place), split));
    }

    /// The comparison, if there are several ranks with devices.
    pub(super) fn records(&self) -> Vec<record::JobTime> {
        if self.ranks < 2 || self.devices.len() < 2 {
            return Vec::new();
        }
        self.compare_all()
    }

    /// The comparison of however many devices there are.
    pub(super) fn compare_all(&self) -> Vec<record::JobTime> {
        if self.devices.is_empty() {
            return Vec::new();
        }
        MEASURES.iter().map(|measure| self.compare(measure)).collect()
    }

    fn compare(&self, (name, of): &Measure) -> record::JobTime {
        let mut times: Vec<(i64, i64)> =
            self.devices.iter().map(|(rank, split)| (of(split), *rank)).collect();
        times.sort_unstable();
        let count = times.len();
        let ((min_ns, min_rank), (max_ns, max_rank)) = (times[0], times[count - 1]);
        let (low, high) = (times[(count - 1) / 2].0, times[count / 2].0);
        let (name, devices) = ((*name).to_owned(), count as u64);
        record::JobTime {
            step: None,
            name,
            devices,
            min_ns,
            min_rank,
            median_ns: low + (high - low) / 2,
            max_ns,
            max_rank,
        }
    }

    /// The unit of its times, if there is a comparison.
    pub(super) fn unit(&self) -> Option<TimeUnit> {
        self.records().first().map(|first| TimeUnit::for_largest(first.max_ns))
    }

    /// The comparison as rows: the least and its rank, the median, the most and its rank, what.
    pub(super) fn rows(&self, unit: TimeUnit) -> Vec<Vec<String>> {
        let row = |r: &record::JobTime| {
            let [min, median, max] = [r.min_ns, r.median_ns, r.max_ns].map(|t| unit.format_time(t));
            let name = r.name.replace('_', " ");
            vec![min, r.min_rank.to_string(), median, max, r.max_rank.to_string(), name]
        };
        self.records().iter().map(row).collect()
    }

    /// Writes the comparison for people.
    ///
    /// # Errors
    /// An I/O error of the stream.
    pub(super) fn write_text(&self, to: &mut dyn Write) -> io::Result<()> {
        let Some(unit) = self.unit() else { return Ok(()) };
        const RIGHT: Align = Align::Right;
        let mut table = Table::new(&[
            ("min", RIGHT),
            ("rank", RIGHT),
            ("median", RIGHT),
            ("max", RIGHT),
            ("rank", RIGHT),
            ("", Align::Left),
        ]);
        self.rows(unit).into_iter().for_each(|row| table.add_row(row));
        writeln!(to, "{} devices beside each other", self.devices.len())?;
        writeln!(to, "  times in {}", unit.name)?;
        table.write(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extremes_have_their_ranks() {
        let mut job = JobTimes::default();
        assert!(job.records().is_empty());
        for (rank, compute) in [(Some(4), 10), (None, 30), (Some(9), 20), (Some(2), 50)] {
            job.begin_rank();
            job.add(rank, Split { total: 100, compute, ..Split::default() });
        }
        let records = job.records();
        let compute = &records[1];
        assert_eq!((compute.min_ns, compute.min_rank), (10, 4));
        assert_eq!((compute.median_ns, compute.max_ns, compute.max_rank), (25, 50, 2));
        assert_eq!((records[6].name.as_str(), records[6].max_ns, records[6].max_rank), ("idle", 90, 4));
    }
}
