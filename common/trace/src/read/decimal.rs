//! Exact numbers from decimal text. Microseconds become integer nanoseconds without passing through a float:
//! sixteen digits before the point and three behind, as profilers write them, do not fit one.

use super::scan::number_length;

/// The largest time, in the year 2116, and the smallest. Their difference and a duration more still fit, so that
/// times add and subtract safely everywhere.
const LATEST: i64 = i64::MAX / 2;
const EARLIEST: i64 = -(i64::MAX / 4);

/// Decimal microseconds as nanoseconds, rounded half away from zero. `None` for anything but a decimal number
/// (white space around it is allowed: some writers end the text with a tab), or one out of range.
#[inline]
pub(crate) fn nanos_from_micros(text: &[u8]) -> Option<i64> {
    if let Some(nanos) = usual_nanos_from_micros(text) {
        return Some(nanos);
    }
    let text = text.trim_ascii();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let magnitude = parse_plain(digits).or_else(|| parse_scientific(digits))?;
    let nanos = i64::try_from(magnitude).ok()?;
    let nanos = if negative { -nanos } else { nanos };
    (EARLIEST..=LATEST).contains(&nanos).then_some(nanos)
}

/// [`nanos_from_micros`] of what nearly all times are: at most 16 digits, and three or none behind a point. Such a
/// time is written exactly in nanoseconds.
#[inline]
pub(crate) fn usual_nanos_from_micros(text: &[u8]) -> Option<i64> {
    let (whole, rest) = take_digits(text)?;
    if text.len() - rest.len() > 16 {
        return None;
    }
    let thousandths = match rest {
        [] => 0,
        [b'.', a, b, c] => {
            i64::from(digit_value(*a)?) * 100 + i64::from(digit_value(*b)?) * 10 + i64::from(digit_value(*c)?)
        }
        _ => return None,
    };
    whole.checked_mul(1000)?.checked_add(thousandths).filter(|nanos| *nanos <= LATEST)
}

/// The number that a text begins with, of 1 to 18 digits, and the rest of the text. Eight digits at a time: the
/// values of neighbours are brought together as 10 a + b, then pairs of those, then pairs of these.
#[inline]
fn take_digits(text: &[u8]) -> Option<(i64, &[u8])> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut rest = text;
    let mut value: u64 = 0;
    while let Some((word, more)) = rest.split_first_chunk::<8>() {
        let values = u64::from_le_bytes(*word) ^ (ONES * 0x30);
        if (values.wrapping_add(ONES * 0x76) | values) & (ONES * 0x80) != 0
            || rest.len() + 18 < text.len() + 8
        {
            break;
        }
        let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
        let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
        let high = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
        value = value * 100_000_000 + (low.wrapping_add(high) >> 32);
        rest = more;
    }
    while let Some((digit, more)) = rest.split_first().and_then(|(b, more)| Some((digit_value(*b)?, more))) {
        if text.len() - rest.len() == 18 {
            return None;
        }
        value = value * 10 + u64::from(digit);
        rest = more;
    }
    if rest.len() == text.len() { None } else { Some((value as i64, rest)) }
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

/// Tells whether a text is a number of JSON, however large.
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
    if let Some((value, [])) = take_digits(text) {
        return Some(value);
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
        let cases: [(&str, Option<i64>); 22] = [
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
    fn digits_are_taken_eight_at_a_time() {
        for length in 1..19 {
            let text = "1234567890123456789"[..length].to_owned() + ".5";
            let value = text[..length].parse().unwrap();
            assert_eq!(take_digits(text.as_bytes()), Some((value, &b".5"[..])), "{text}");
            let other = text[..length - 1].to_owned() + ":";
            let value = other[..length - 1].parse().ok().map(|n| (n, &b":"[..]));
            assert_eq!(take_digits(other.as_bytes()), value, "{other}");
        }
        assert_eq!(take_digits(b"1234567890123456789"), None);
        assert_eq!(take_digits(b"1234567890123456.789"), Some((1_234_567_890_123_456, &b".789"[..])));
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
