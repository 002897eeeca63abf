//! Sizes as options take them, a number of bytes or a number with a unit, and as text shows them.

/// Every unit and its length in bytes, in the notation of GNU coreutils (dd(1), "suffixes"): `K` and `KiB` are 1024 bytes,
/// `KB` is 1000.
const UNITS: [(&str, u64); 13] = [
    ("B", 1),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
    ("T", 1 << 40),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Parses a size and returns bytes: `65536`, `64KiB`, `10MiB`, `1.5GB`. Letters may be small; a number without a unit is
/// bytes. For `value_parser` of an option.
///
/// # Errors
/// The text is not a size, not a whole number of bytes, or is 8 EiB or more.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let expected = || "expected a size such as 65536, 64KiB, 10MiB or 1.5GB".to_owned();
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[number.len()..];
    let known = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, bytes)| *bytes);
    let unit = known.or(unit.is_empty().then_some(1)).ok_or_else(expected)?;
    count_bytes(number.trim_end(), unit).ok_or_else(expected)
}

/// Multiplies a decimal number with `unit`, exactly.
fn count_bytes(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || number.ends_with('.') || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let scale = 10_u128.checked_pow(fraction.len().try_into().ok()?)?;
    let digits = format!("{whole}{fraction}").parse::<u128>().ok()?;
    let scaled = digits.checked_mul(unit.into())?;
    let bytes = (scaled % scale == 0).then_some(scaled / scale)?;
    i64::try_from(bytes).ok()?.try_into().ok()
}

/// Writes a size as people read it, in powers of 1024 with one decimal: `512 bytes`, `19.5 MiB`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    const NAMES: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} byte{}", if bytes == 1 { "" } else { "s" });
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < NAMES.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, NAMES[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_bare_numbers_are_bytes() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65536),
            ("64K", 65536),
            ("64k", 65536),
            ("64KiB", 65536),
            ("64kB", 64_000),
            ("1.5GB", 1_500_000_000),
            ("0.5KiB", 512),
            ("1T", 1 << 40),
            ("7B", 7),
            ("2 MB", 2_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn sizes_are_written_for_people() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (20 << 20, "20.0 MiB"),
            ((1 << 30) + (1 << 29), "1.5 GiB"),
            (3 << 50, "3072.0 TiB"),
        ] {
            assert_eq!(format_size(bytes), text);
        }
    }

    #[test]
    fn what_is_not_a_size_is_rejected() {
        for bad in ["", "K", "-1", "+1", "1e3", "1.K", ".5K", "1.2.3K", "0.3", "1P", "8388608T", "é", "5é"]
        {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert!(parse_size(&format!("0.{}1K", "0".repeat(100))).is_err());
        assert!(parse_size(&"9".repeat(40)).is_err());
    }
}
