//! Times as options take them: a number with a unit. Which times make sense is for each option to say.

use std::time::Duration;

/// Longer is as good as forever, and sums with it would overflow clocks.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Nothing on a disk is older.
const OLDEST: Duration = Duration::from_secs(1000 * 365 * 24 * 3600);

/// Reads a time: `5s`, `1.5m`, `250ms`, `1h`, or seconds without a unit. For `value_parser` of an option.
///
/// # Errors
/// It is no such time, or none at all, or longer than a year.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 0.001), ("", 1.0), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let time = parse(text, &units, "the unit is ms, s, m or h", "expected a time such as 500ms, 1.5s or 2m")?;
    let time = time.filter(|t| !t.is_zero() && *t <= LONGEST);
    time.ok_or_else(|| "must be more than 0 and at most 365 days".to_owned())
}

/// Reads an age: `90s`, `30m`, `12h`, `14d`, `2w`. It must have a unit: what is deleted by age must not depend on
/// how a bare number is meant. For `value_parser` of an option.
///
/// # Errors
/// It is no such age, or longer than clocks can tell.
pub fn age(text: &str) -> Result<Duration, String> {
    let units = [("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0), ("w", 604_800.0)];
    let age = parse(text, &units, "the unit is s, m, h, d or w", "expected an age such as 90s, 12h or 14d")?;
    age.filter(|t| *t <= OLDEST).ok_or_else(|| "must be at most 1000 years".to_owned())
}

fn parse(text: &str, units: &[(&str, f64)], unit: &str, number: &str) -> Result<Option<Duration>, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let wanted = &text[digits.len()..];
    // No sign and no exponent.
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value = digits.parse::<f64>().ok().filter(|_| plain).ok_or(number)?;
    let (_, seconds) = units.iter().find(|(u, _)| *u == wanted).ok_or(unit)?;
    Ok(Duration::try_from_secs_f64(value * seconds).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let ms = |n| Ok(Duration::from_millis(n));
        assert_eq!(duration("5"), ms(5000));
        assert_eq!(duration("250ms"), ms(250));
        assert_eq!(duration("1.5s"), ms(1500));
        assert_eq!(duration("1.5m"), ms(90_000));
        assert_eq!(duration("8760h"), Ok(LONGEST));
    }

    #[test]
    fn ages_have_units_up_to_weeks() {
        let hours = |n: u64| Ok(Duration::from_secs(n * 3600));
        assert_eq!(
            (age("14d"), age("2w"), age("1.5h")),
            (hours(336), hours(336), Ok(Duration::from_secs(5400)))
        );
        assert_eq!(age("0s"), Ok(Duration::ZERO));
        for bad in ["", "14", "d", "-1d", "1y", "10ms", "1e3d", "99999999999999999999d"] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "s",
            ".",
            "0",
            "0s",
            "0.0000000000001ms",
            "-1",
            "+1",
            "1e3",
            "1e99s",
            "inf",
            "NaN",
            "1.2.3",
            "5 s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for bad in ["5d", "1y", "5S", "é", "5é", "8761h", "99999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
