//! Durations as options take them: a number with a unit. Which durations make sense is for each option to say.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Longer is as good as forever, and sums with it would overflow clocks.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Nothing on a disk is older.
const OLDEST: Duration = Duration::from_secs(1000 * 365 * 24 * 3600);

/// Every unit and its length in seconds, the same for all options.
const UNITS: [(&str, f64); 6] =
    [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0), ("w", 604_800.0)];

/// Parses a time limit: `5s`, `1.5m`, `250ms`, `1h`, `2d`; a number without a unit is seconds. For `value_parser` of an
/// option.
///
/// # Errors
/// The text is not a duration, is zero, or is longer than a year.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let time = parse_number_and_unit(text, Some(1.0), "expected a time such as 500ms, 1.5s or 2m")?;
    let time = time.filter(|t| !t.is_zero() && *t <= LONGEST);
    time.ok_or_else(|| "must be more than 0 and at most 365 days".to_owned())
}

/// Parses an age: `90s`, `30m`, `12h`, `14d`, `2w`. It must have a unit: what is deleted by age must not depend on
/// how a bare number is meant. For `value_parser` of an option.
///
/// # Errors
/// The text is not an age, or is longer than 1000 years.
pub fn parse_age(text: &str) -> Result<Duration, String> {
    let age = parse_number_and_unit(text, None, "expected an age such as 90s, 12h or 14d")?;
    age.filter(|t| *t <= OLDEST).ok_or_else(|| "must be at most 1000 years".to_owned())
}

/// Parses a duration whose number without a unit is milliseconds, and returns milliseconds: `500`, `500ms`, `5s`. For
/// options whose unit existing clients have fixed; the range is for the option to check.
///
/// # Errors
/// The text is not a duration, or not a whole number of milliseconds.
pub fn parse_whole_milliseconds(text: &str) -> Result<u64, String> {
    parse_whole(text, 0.001, "milliseconds, or a time such as 500ms or 5s")
}

/// As [`parse_whole_milliseconds`], in seconds.
///
/// # Errors
/// The text is not a duration, or not a whole number of seconds that fits.
pub fn parse_whole_seconds(text: &str) -> Result<u32, String> {
    let expected = "seconds, or a time such as 90s or 5m";
    parse_whole(text, 1.0, expected)?.try_into().map_err(|_| format!("must be at most {} s", u32::MAX))
}

/// As [`parse_whole_milliseconds`], in days: `30`, `30d`, `4w`.
///
/// # Errors
/// The text is not a duration, or not a whole number of days that fits.
pub fn parse_whole_days(text: &str) -> Result<u32, String> {
    let days = parse_whole(text, 86_400.0, "days, such as 30, 30d or 4w")?;
    days.try_into().map_err(|_| format!("must be at most {} days", u32::MAX))
}

/// Returns a `value_parser` for whole numbers of days within a range.
pub fn days_within(range: RangeInclusive<u16>) -> impl Fn(&str) -> Result<u16, String> + Clone + Send + Sync {
    move |text| {
        let days = u16::try_from(parse_whole_days(text)?).ok().filter(|days| range.contains(days));
        days.ok_or_else(|| format!("must be {} to {} days", range.start(), range.end()))
    }
}

/// Parses a duration as a whole number of `unit`, which is in seconds and also what a bare number counts.
fn parse_whole(text: &str, unit: f64, expected: &str) -> Result<u64, String> {
    if let Ok(count) = text.parse() {
        return Ok(count);
    }
    let expected = format!("expected a whole number of {expected}");
    let time = parse_number_and_unit(text, Some(unit), &expected)?.ok_or(&*expected)?;
    let (nanos, step) = (time.as_nanos(), Duration::from_secs_f64(unit).as_nanos());
    (nanos % step == 0).then_some(nanos / step).and_then(|n| n.try_into().ok()).ok_or(expected)
}

/// Parses a number, and the unit after it; without one it counts `bare` seconds, where that is allowed. `None` is longer
/// than a [`Duration`] can be.
fn parse_number_and_unit(text: &str, bare: Option<f64>, expected: &str) -> Result<Option<Duration>, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    // No sign and no exponent.
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value = digits.parse::<f64>().ok().filter(|_| plain).ok_or(expected)?;
    let known = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, seconds)| *seconds);
    let seconds = known.or(bare.filter(|_| unit.is_empty()));
    let seconds = seconds.ok_or_else(|| "the unit is ms, s, m, h, d or w".to_owned())?;
    Ok(Duration::try_from_secs_f64(value * seconds).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_bare_numbers_are_seconds() {
        let ms = |n| Ok(Duration::from_millis(n));
        assert_eq!(parse_duration("5"), ms(5000));
        assert_eq!(parse_duration("250ms"), ms(250));
        assert_eq!(parse_duration("1.5s"), ms(1500));
        assert_eq!(parse_duration("1.5m"), ms(90_000));
        assert_eq!(parse_duration("1d"), ms(86_400_000));
        assert_eq!(parse_duration("8760h"), Ok(LONGEST));
    }

    #[test]
    fn ages_have_a_unit_always() {
        let hours = |n: u64| Ok(Duration::from_secs(n * 3600));
        assert_eq!(
            (parse_age("14d"), parse_age("2w"), parse_age("1.5h")),
            (hours(336), hours(336), Ok(Duration::from_secs(5400)))
        );
        assert_eq!(parse_age("0s"), Ok(Duration::ZERO));
        for bad in ["", "14", "d", "-1d", "1y", "1e3d", "99999999999999999999d"] {
            assert!(parse_age(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bare_numbers_keep_the_unit_of_their_option() {
        assert_eq!(parse_whole_milliseconds("500"), Ok(500));
        assert_eq!(parse_whole_milliseconds("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(parse_whole_milliseconds("0.3s"), Ok(300));
        assert_eq!(parse_whole_milliseconds("2m"), Ok(120_000));
        assert_eq!(parse_whole_seconds("60"), Ok(60));
        assert_eq!(parse_whole_seconds("5000ms"), Ok(5));
        for bad in ["", "-1", "0.5", "0.5ms", "1e3", "5 s", "18446744073709551616"] {
            assert!(parse_whole_milliseconds(bad).is_err(), "{bad}");
        }
        assert_eq!(
            (parse_whole_days("30"), parse_whole_days("2w"), parse_whole_days("48h")),
            (Ok(30), Ok(14), Ok(2))
        );
        assert_eq!(days_within(1..=90)("90d"), Ok(90));
        assert_eq!(days_within(1..=90)("13w"), Err("must be 1 to 90 days".to_owned()));
        assert!(parse_whole_days("1h").is_err() && parse_whole_days("30 days").is_err());
        for bad in ["1500ms", "4294967296", "1.5", "99999999999999999999w"] {
            assert!(parse_whole_seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_rejected() {
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
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        for bad in ["1y", "5S", "é", "5é", "8761h", "366d", "99999999999999999999h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
