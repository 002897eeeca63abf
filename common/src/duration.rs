//! Times as options take them: a number with a unit. Which times make sense is for each option to say.

use std::time::Duration;

/// Longer is as good as forever, and sums with it would overflow clocks.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads a time: `5s`, `1.5m`, `250ms`, `1h`, or seconds without a unit. For `value_parser` of an option.
///
/// # Errors
/// It is no such time, or none at all, or longer than a year.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("the unit is ms, s, m or h".to_owned()),
    };
    // No sign and no exponent.
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number = digits.parse::<f64>().ok().filter(|_| plain);
    let number = number.ok_or("expected a time such as 500ms, 1.5s or 2m")?;
    let time = Duration::try_from_secs_f64(number * unit).ok().filter(|t| !t.is_zero() && *t <= LONGEST);
    time.ok_or_else(|| "must be more than 0 and at most 365 days".to_owned())
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
