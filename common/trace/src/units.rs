//! Numbers for people: times with units, sizes, counts. Computed in integers.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A unit of time, for a whole table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeUnit {
    /// As it is written behind a number.
    pub name: &'static str,
    nanos: i64,
}

const UNITS: [TimeUnit; 3] = [
    TimeUnit { name: "s", nanos: 1_000_000_000 },
    TimeUnit { name: "ms", nanos: 1_000_000 },
    TimeUnit { name: "us", nanos: 1000 },
];

impl TimeUnit {
    /// The unit in which a table's largest time has few digits.
    pub fn for_largest(nanos: i64) -> Self {
        // A thousand of the smaller unit still read well.
        let fits = |u: &&Self| nanos.unsigned_abs() >= 10 * u.nanos.unsigned_abs();
        UNITS.iter().find(fits).copied().unwrap_or(UNITS[2])
    }

    /// A time in this unit, with three decimals.
    pub fn format_time(self, nanos: i64) -> String {
        let sign = if nanos < 0 { "-" } else { "" };
        let thousandths =
            (nanos.unsigned_abs() + self.nanos.unsigned_abs() / 2000) / (self.nanos.unsigned_abs() / 1000);
        format!("{sign}{}.{:03}", thousandths / 1000, thousandths % 1000)
    }
}

/// A time with the unit that suits it.
pub fn format_duration(nanos: i64) -> String {
    let unit =
        UNITS.iter().find(|u| nanos.unsigned_abs() >= u.nanos.unsigned_abs()).copied().unwrap_or(UNITS[2]);
    format!("{} {}", unit.format_time(nanos), unit.name)
}

/// A size.
pub fn format_bytes(n: u64) -> String {
    match n {
        0..1000 => format!("{n} B"),
        1000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.2} GB", n as f64 / 1e9),
    }
}

/// A share as percent.
pub fn format_percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |r| format!("{:.1}%", r * 100.0))
}

/// Nanoseconds since the Unix epoch as RFC 3339 in UTC. `None` where there is no such year.
pub fn format_wall_clock(nanos: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos)).ok()?.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_to_the_digit_shown() {
        assert_eq!(format_duration(1_234_567), "1.235 ms");
        assert_eq!(format_duration(1500), "1.500 us");
        assert_eq!(format_duration(7), "0.007 us");
        assert_eq!(format_duration(-61_000_000_000), "-61.000 s");
        assert_eq!(TimeUnit::for_largest(34_892_418).name, "ms");
        assert_eq!(TimeUnit::for_largest(0).name, "us");
    }

    #[test]
    fn sizes_and_clocks_read_well() {
        assert_eq!((format_bytes(999), format_bytes(2_218_825)), ("999 B".to_owned(), "2.2 MB".to_owned()));
        assert_eq!(
            format_wall_clock(1_722_470_400_000_001_000).as_deref(),
            Some("2024-08-01T00:00:00.000001Z")
        );
        assert_eq!((format_percent(Some(0.0625)), format_percent(None)), ("6.2%".to_owned(), "-".to_owned()));
    }
}
