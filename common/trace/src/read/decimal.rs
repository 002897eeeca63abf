//! Exact numbers from decimal text. Microseconds become integer nanoseconds without passing through a float:
//! sixteen digits before the point and three behind, as profilers write them, do not fit one.

use super::scan::number_length;
use super::words::parse_digits;

/// The largest time, in the year 2116, and the smallest. Their difference and a duration more still fit, so that
/// times add and subtract safely everywhere.
const LATEST: i64 = i64::MAX / 2;
const EARLIEST: i64 = -(i64::MAX / 4);

/// Returns whether a time in nanoseconds is one that is read.
pub(super) fn is_in_range(nanos: i64) -> bool {
    (EARLIEST..=LATEST).contains(&nanos)
}

/// Decimal microseconds as nanoseconds, rounded half away from zero. `None` for anything but a decimal number
/// (white space around it is allowed: some writers end the text with a tab), or one out of range.
#[inline]
pub(crate) fn nanos_from_micros(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let magnitude = parse_plain(digits).or_else(|| parse_scientific(digits))?;
    let nanos = i64::try_from(magnitude).ok()?;
    let nanos = if negative { -nanos } else { nanos };
    is_in_range(nanos).then_some(nanos)
}

/// [`nanos_from_micros`] of what nearly all times are: at most 16 digits, and three or none behind a point, from
/// `start` to `end`. Such a time is written exactly in nanoseconds.
#[inline]
pub(crate) fn usual_nanos_from_micros(text: &[u8], start: usize, end: usize) -> Option<i64> {
    let point = end.checked_sub(4).filter(|point| *point > start && text[*point] == b'.');
    let whole = parse_digits(text, start, point.unwrap_or(end))? as i64;
    let thousandths = point.map_or(Some(0), |point| parse_digits(text, point + 1, end))? as i64;
    whole.checked_mul(1000)?.checked_add(thousandths).filter(|nanos| *nanos <= LATEST)
}

/// The common form: at most 15 or so digits, a point, any fraction, no exponent.
#[inline]
fn parse_plain(digits: &[u8]) -> Option<u128> {
    let mut whole: u64 = 0;
    let mut i = 0;
    while let Some(d) = digits.get(i).map(|b| b.wrapping_sub(b'0')).filter(|d| *d <= 9) {
        whole = whole.checked_mul(10)?.checked_add(u64::from(d))?;
        i += 1;
    }
    if i == 0 {
        return None;
    }
    let mut nanos = u128::from(whole) * 1000;
    if i == digits.len() {
        return Some(nanos);
    }
    if digits[i] != b'.' {
        return None;
    }
    let fraction = &digits[i + 1..];
    for (b, weight) in fraction.iter().zip([100, 10, 1]) {
        nanos += u128::from(digit_value(*b)?) * weight;
    }
    let rest = fraction.get(3..).unwrap_or(&[]);
    if !rest.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(nanos + u128::from(rest.first().is_some_and(|b| *b >= b'5')))
}

/// With an exponent, as a spreadsheet or a careless printer leaves it.
fn parse_scientific(digits: &[u8]) -> Option<u128> {
    let split = digits.iter().position(|b| matches!(b, b'e' | b'E'))?;
    let exponent: i32 = std::str::from_utf8(&digits[split + 1..]).ok()?.parse().ok()?;
    let mantissa = &digits[..split];
    let point = mantissa.iter().position(|b| *b == b'.').unwrap_or(mantissa.len());
    let mut value: u128 = 0;
    let mut fraction = 0;
    for (i, b) in mantissa.iter().enumerate().filter(|(i, _)| *i != point) {
        value = value.checked_mul(10)?.checked_add(u128::from(digit_value(*b)?))?;
        fraction += i32::from(i > point);
    }
    if mantissa.is_empty() {
        return None;
    }
    let shift = exponent.checked_add(3)?.checked_sub(fraction)?;
    match u32::try_from(shift) {
        Ok(up) if value != 0 => value.checked_mul(10u128.checked_pow(up)?),
        Ok(_) => Some(0),
        Err(_) => match 10u128.checked_pow(shift.unsigned_abs()) {
            Some(scale) => Some(value / scale + u128::from(value % scale >= scale.div_ceil(2))),
            None => Some(0),
        },
    }
}

/// Returns whether a text is a number of JSON, however large.
pub(crate) fn is_number(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    number_length(&[text, b" "].concat()) == Ok(text.len())
}

fn digit_value(b: u8) -> Option<u8> {
    Some(b.wrapping_sub(b'0')).filter(|d| *d <= 9)
}

/// An integer, as text of decimal digits or of `0x` and hexadecimal digits; a fraction of zeros is allowed.
#[inline]
pub(crate) fn parse_integer(text: &[u8]) -> Option<i64> {
    if let Some(value) = parse_digits(text, 0, text.len()) {
        return Some(value as i64);
    }
    let text = text.trim_ascii();
    if let Some(hex) = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X")) {
        return i64::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok();
    }
    let whole = match text.iter().position(|b| *b == b'.') {
        Some(point) if text[point + 1..].iter().all(|b| *b == b'0') => &text[..point],
        _ => text,
    };
    std::str::from_utf8(whole).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_exact() {
        let cases: [(&str, Option<i64>); 24] = [
            ("1234567890123456.789", Some(1_234_567_890_123_456_789)),
            ("9012345.1", Some(9_012_345_100)),
            ("1736412474714258.990", Some(1_736_412_474_714_258_990)),
            ("1736412474714258.990\t", Some(1_736_412_474_714_258_990)),
            ("0.60003125", Some(600)),
            ("0.0005", Some(1)),
            ("0.0004999", Some(0)),
            ("-3.5", Some(-3500)),
            ("7", Some(7000)),
            ("7.", Some(7000)),
            ("1.69512E+15", Some(1_695_120_000_000_000_000)),
            ("1e-05", Some(0)),
            ("5e-4", Some(1)),
            ("4.999e-4", Some(0)),
            ("0e999999", Some(0)),
            ("1e-999999", Some(0)),
            ("1e400", None),
            ("1e99999999999", None),
            ("", None),
            (".5", None),
            ("1.2.3", None),
            ("N/A", None),
            ("99999999999999999999", None),
            ("9223372036854775.807", None),
        ];
        for (text, nanos) in cases {
            assert_eq!(nanos_from_micros(text.as_bytes()), nanos, "{text}");
            let usual = usual_nanos_from_micros(text.as_bytes(), 0, text.len());
            assert!(usual.is_none() || usual == nanos, "{text}");
        }
    }

    #[test]
    fn numbers_are_told_from_what_is_none() {
        for (text, number) in [
            ("9223372036854775807", true),
            ("-1e999\t", true),
            ("1.5E+3", true),
            ("", false),
            ("1.", false),
            ("N/A", false),
            ("1 2", false),
        ] {
            assert_eq!(is_number(text.as_bytes()), number, "{text}");
        }
    }

    #[test]
    fn integers_come_in_several_spellings() {
        let cases: [(&str, Option<i64>); 9] = [
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("0x1f", Some(31)),
            ("7.0", Some(7)),
            ("7.5", None),
            ("", None),
            ("stream 7", None),
            ("18446744073709551615", None),
            ("0x", None),
        ];
        for (text, value) in cases {
            assert_eq!(parse_integer(text.as_bytes()), value, "{text}");
        }
    }
}
