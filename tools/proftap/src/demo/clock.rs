//! The clock of all timings: monotonic, in nanoseconds since the start of the job.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A monotonic origin, and the wall-clock time at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobClock {
    origin: Instant,
    wall_ns: i64,
}

impl JobClock {
    /// Starts the clock at 0.
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now(), wall_ns: epoch_ns_now() }
    }

    /// Returns the time in nanoseconds since the start.
    pub(crate) fn now_ns(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// Converts a time of this clock to nanoseconds since the Unix epoch.
    pub(crate) fn epoch_ns_at(&self, ns: i64) -> i64 {
        self.wall_ns.saturating_add(ns)
    }
}

/// Returns the wall-clock time in nanoseconds since the Unix epoch.
pub(crate) fn epoch_ns_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Formats a wall-clock time as the 17 digits `yyyymmddHHMMSSmmm` in UTC, as in the names of the directories of the
/// Ascend PyTorch profiler.
pub(crate) fn format_timestamp(wall_ns: i64) -> String {
    let ms = wall_ns.max(0) / 1_000_000;
    let (day, ms_of_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = date_of_day(day);
    let (hour, minute, rest) = (ms_of_day / 3_600_000, ms_of_day / 60_000 % 60, ms_of_day % 60_000);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{rest:05}")
}

/// Converts a number of days since 1970-01-01 to year, month and day of the Gregorian calendar.
fn date_of_day(day: i64) -> (i64, i64, i64) {
    // Years start in March here, so that the leap day is the last day of its year. A 400-year period started 719 468
    // days before 1970.
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with counting the days one by one.
    #[test]
    fn the_calendar_agrees_with_counting() {
        let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
        let mut day = 0;
        for year in 1970..2105 {
            let february = if leap(year) { 29 } else { 28 };
            let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(months) {
                for d in 1..=length {
                    assert_eq!(date_of_day(day), (year, month, d));
                    day += 1;
                }
            }
        }
    }

    #[test]
    fn timestamps_have_17_digits() {
        assert_eq!(format_timestamp(1_763_892_000_007_000_000), "20251123100000007");
        assert_eq!(format_timestamp(0), "19700101000000000");
    }
}
