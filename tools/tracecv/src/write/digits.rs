//! Numbers of arguments that have more digits than a double holds: an integer of more than 64 bits, a long fraction. Formats whose
//! numbers are 64 bits wide round them.

/// What is lost of them.
pub(super) const LOST: &str = "digits of numbers that no double holds";

/// Counts the numbers in arguments, a text of JSON, that come out of such a format with other digits. Numbers that no double
/// comes near, such as `1e999`, are written as texts.
pub(super) fn count_rounded(args: &[u8]) -> u64 {
    // Sixteen digits and less always come back: most arguments have no more, and need no closer look.
    const EXACT: usize = 16;
    let (mut count, mut at) = (0, 0);
    while let Some(&byte) = args.get(at) {
        let rest = &args[at..];
        at += match byte {
            b'"' => length_of_text(rest),
            b'0'..=b'9' | b'-' => {
                let is_part = |b: &&u8| matches!(**b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let length = rest.iter().take_while(is_part).count();
                count += u64::from(length > EXACT && is_rounded(&rest[..length]));
                length
            }
            _ => 1,
        };
    }
    count
}

/// The length of a text from its quotation mark to the other one.
fn length_of_text(rest: &[u8]) -> usize {
    let mut escaped = false;
    let end = rest.iter().skip(1).position(|b| {
        let ends = *b == b'"' && !escaped;
        escaped = *b == b'\\' && !escaped;
        ends
    });
    end.map_or(rest.len(), |end| end + 2)
}

fn is_rounded(number: &[u8]) -> bool {
    let text = std::str::from_utf8(number).unwrap_or_default();
    if text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() {
        return false;
    }
    let double = text.parse::<f64>().ok().filter(|double| double.is_finite());
    double.is_some_and(|double| digits_of(text) != digits_of(&format!("{double:e}")))
}

/// The digits of a number without its sign, point and exponent, and without zeros at either end.
fn digits_of(number: &str) -> String {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::count_rounded;

    #[test]
    fn numbers_with_more_digits_than_a_double_are_counted() {
        let of = |value: &str| count_rounded(format!(r#"{{"a \\\" -9":{value},"b":[{value}]}}"#).as_bytes());
        for exact in [
            "0.30000000000000004",
            "18446744073709551615",
            "-9223372036854775808",
            "1.7976931348623157e308",
            "100000000000000000000.0",
            "1e999",
            r#""3.1415926535897932385""#,
            "true",
        ] {
            assert_eq!(of(exact), 0, "{exact}");
        }
        for rounded in ["3.1415926535897932385", "18446744073709551617", "-9223372036854775809"] {
            assert_eq!(of(rounded), 2, "{rounded}");
        }
    }
}
