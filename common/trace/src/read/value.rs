//! Small values built whole: metadata, and arguments for those who want to see them.

use serde_json::{Map, Number, Value};

use super::repair::{LenientScanner, QuoteGuess};
use super::scan::{DEPTH_LIMIT, JsonScan, ScanFault, StrictScanner};
use super::span::{JsonScalar, JsonValue};
use crate::model::RawText;

/// The value that is next. Missing numbers (`NaN`, `inf`) become null.
pub(super) fn read_value<S: JsonScan>(scan: &mut S) -> Result<Value, ScanFault> {
    read_nested(scan, DEPTH_LIMIT)
}

/// The value that is next, with at most so many brackets inside each other.
fn read_nested<S: JsonScan>(scan: &mut S, depth: u32) -> Result<Value, ScanFault> {
    let first = scan.peek_byte()?;
    if depth == 0 && matches!(first, b'{' | b'[') {
        return Err(ScanFault::TooDeep);
    }
    match first {
        b'{' => {
            let mut map = Map::new();
            let mut more = scan.open_bracket(b'}')?;
            while more {
                let key = scan.scan_key()?.text_in(scan.text()).decode().into_owned();
                map.insert(key, read_nested(scan, depth - 1)?);
                more = scan.next_element(b'}')?;
            }
            Ok(Value::Object(map))
        }
        b'[' => {
            let mut items = Vec::new();
            let mut more = scan.open_bracket(b']')?;
            while more {
                items.push(read_nested(scan, depth - 1)?);
                more = scan.next_element(b']')?;
            }
            Ok(Value::Array(items))
        }
        _ => Ok(match scan.scan_flat(first)?.get() {
            JsonScalar::String(s) => Value::String(s.text_in(scan.text()).decode().into_owned()),
            JsonScalar::Number(n) => parse_json_number(n.text_in(scan.text()).raw),
            JsonScalar::True => Value::Bool(true),
            JsonScalar::False => Value::Bool(false),
            _ => Value::Null,
        }),
    }
}

/// A number as exactly as JSON values hold it: integers of 64 bits, else a float, else its text, as of `1e999`.
fn parse_json_number(text: &[u8]) -> Value {
    let text = std::str::from_utf8(text).unwrap_or("");
    if let Ok(n) = text.parse::<i64>() {
        return n.into();
    }
    if let Ok(n) = text.parse::<u64>() {
        return n.into();
    }
    text.parse().ok().and_then(Number::from_f64).map_or_else(|| text.into(), Value::Number)
}

/// An event's arguments as a value; `None` if there are none.
pub fn parse_arguments(text: &[u8]) -> Option<Value> {
    if text.is_empty() {
        return None;
    }
    // A reader has seen this text; what it let through and serde_json does not take, it reads itself.
    let repaired = || {
        let mut scan = LenientScanner::new(text, 0, QuoteGuess::MayEnd, true);
        // Each argument may be as deep as any value.
        read_nested(&mut scan, DEPTH_LIMIT + 1)
    };
    serde_json::from_slice(text).ok().or_else(|| repaired().ok())
}

/// Returns whether a text has the grammar of RFC 8259, whatever its depth and the size of its numbers.
pub fn is_json(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

/// One argument of an event, as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawValue<'a> {
    /// A text.
    Text(RawText<'a>),
    /// A number, in the file's own digits.
    Number(&'a [u8]),
    /// An object or array of JSON.
    Nested(&'a [u8]),
    /// A truth value, null, or a word for a missing number.
    Other,
}

/// Finds one of an event's arguments without building the others. The last of equal names counts.
pub fn find_argument<'a>(args: &'a [u8], name: &str) -> Option<RawValue<'a>> {
    let [value] = find_arguments(args, [name]);
    value
}

/// Finds some of an event's arguments, all in one go.
pub(super) fn find_arguments<'a, const N: usize>(
    args: &'a [u8],
    names: [&str; N],
) -> [Option<RawValue<'a>>; N] {
    let strict = find_members(&mut StrictScanner::new(args, 0), names);
    let lenient = || {
        find_members(&mut LenientScanner::new(args, 0, QuoteGuess::MayEnd, true), names).unwrap_or([None; N])
    };
    strict.unwrap_or_else(|_| lenient()).map(|value| {
        Some(match value?.get() {
            JsonScalar::String(span) => RawValue::Text(span.text_in(args)),
            JsonScalar::Number(span) => RawValue::Number(span.text_in(args).raw),
            JsonScalar::Nested(span) => RawValue::Nested(span.text_in(args).raw),
            _ => RawValue::Other,
        })
    })
}

fn find_members<S: JsonScan, const N: usize>(
    scan: &mut S,
    names: [&str; N],
) -> Result<[Option<JsonValue>; N], ScanFault> {
    let mut found = [None; N];
    if scan.peek_byte()? != b'{' {
        return Ok(found);
    }
    let mut more = scan.open_bracket(b'}')?;
    while more {
        let key = scan.scan_key()?.text_in(scan.text());
        let wanted =
            names.iter().position(|n| if key.escaped { key.decode() == *n } else { key.raw == n.as_bytes() });
        let value = scan.scan_value()?;
        if let Some(i) = wanted {
            found[i] = Some(value);
        }
        more = scan.next_element(b'}')?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_keep_what_can_be_kept() {
        let v = parse_arguments(
            br#"{"bw": inf, "n": 18446744073709551615, "x": N/A, "s": "\u00e9", "a": [1.5, -2]}"#,
        )
        .unwrap();
        assert_eq!(
            v,
            serde_json::json!({"bw": null, "n": 18446744073709551615u64, "x": null, "s": "é", "a": [1.5, -2]})
        );
        assert_eq!(parse_arguments(b""), None);
        assert_eq!(
            parse_arguments(br#"{"x":1e999,"y":-1E+400,"z":1e30}"#).unwrap(),
            serde_json::json!({"x":"1e999","y":"-1E+400","z":1e30})
        );
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(128), "]".repeat(128));
        assert!(parse_arguments(deep.as_bytes()).is_some());
    }

    #[test]
    fn one_argument_is_found_as_it_stands() {
        let args = br#"{"a": 1, "b": {"a": 2}, "a": 1.50, "c": "x\u0041", "d": null}"#;
        assert_eq!(find_argument(args, "a"), Some(RawValue::Number(b"1.50")));
        assert_eq!(find_argument(args, "b"), Some(RawValue::Nested(br#"{"a": 2}"#)));
        let text = RawText { raw: br"x\u0041", escaped: true };
        assert_eq!(find_argument(args, "c"), Some(RawValue::Text(text)));
        let several = find_arguments(args, ["d", "e", "a"]);
        assert_eq!(several, [Some(RawValue::Other), None, Some(RawValue::Number(b"1.50"))]);
        assert_eq!((find_argument(args, "d"), find_argument(args, "e")), (Some(RawValue::Other), None));
        assert_eq!(
            (find_argument(b"", "a"), find_argument(br#"{"a": inf}"#, "a")),
            (None, Some(RawValue::Other))
        );
    }
}
