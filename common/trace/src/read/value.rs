//! Small values built whole: metadata, and arguments for those who want to see them.

use std::borrow::Cow;

use serde_json::{Number, Value};

use super::repair::{LenientScanner, QuoteGuess};
use super::scan::{DEPTH_LIMIT, JsonScan, ScanFault, StrictScanner};
use super::span::{JsonScalar, JsonValue};
use crate::model::RawText;

/// A value of JSON whose objects keep all their members, in the order of the file: also those that have one name. Texts
/// without escapes are those of the file.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderedValue<'a> {
    /// Null, or a word for a missing number.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text, or a number that is out of range.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Self>),
    /// An object.
    Members(OrderedMembers<'a>),
}

/// The members of an object, each with its name.
pub type OrderedMembers<'a> = Vec<(Cow<'a, str>, OrderedValue<'a>)>;

/// Of members with one name, the last.
impl From<OrderedValue<'_>> for Value {
    fn from(value: OrderedValue<'_>) -> Self {
        match value {
            OrderedValue::Null => Self::Null,
            OrderedValue::Bool(truth) => Self::Bool(truth),
            OrderedValue::Number(number) => Self::Number(number),
            OrderedValue::Text(text) => Self::String(text.into_owned()),
            OrderedValue::List(items) => items.into_iter().map(Self::from).collect(),
            OrderedValue::Members(members) => Self::Object(
                members.into_iter().map(|(key, value)| (key.into_owned(), value.into())).collect(),
            ),
        }
    }
}

/// As JSON.
impl std::fmt::Display for OrderedValue<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |text: &str| Value::from(text).to_string();
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(value) => f.write_str(&text(value)),
            Self::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "[" } else { "," })?;
                }
                f.write_str(if items.is_empty() { "[]" } else { "]" })
            }
            Self::Members(members) => {
                for (i, (key, value)) in members.iter().enumerate() {
                    write!(f, "{}{}:{value}", if i == 0 { "{" } else { "," }, text(key))?;
                }
                f.write_str(if members.is_empty() { "{}" } else { "}" })
            }
        }
    }
}

/// The value that is next in the text that is scanned. Missing numbers (`NaN`, `inf`) become null.
pub(super) fn read_value<S: JsonScan>(scan: &mut S, text: &[u8]) -> Result<Value, ScanFault> {
    read_nested(scan, text, DEPTH_LIMIT).map(Value::from)
}

/// Reads the next value of the text that is scanned, with at most `depth` brackets inside each other.
fn read_nested<'a, S: JsonScan>(
    scan: &mut S,
    text: &'a [u8],
    depth: u32,
) -> Result<OrderedValue<'a>, ScanFault> {
    let first = scan.peek_byte()?;
    if depth == 0 && matches!(first, b'{' | b'[') {
        return Err(ScanFault::TooDeep);
    }
    match first {
        b'{' => {
            let mut members = Vec::new();
            let mut more = scan.open_bracket(b'}')?;
            while more {
                let key = scan.scan_key()?.text_in(text).decode();
                members.push((key, read_nested(scan, text, depth - 1)?));
                more = scan.next_element(b'}')?;
            }
            Ok(OrderedValue::Members(members))
        }
        b'[' => {
            let mut items = Vec::new();
            let mut more = scan.open_bracket(b']')?;
            while more {
                items.push(read_nested(scan, text, depth - 1)?);
                more = scan.next_element(b']')?;
            }
            Ok(OrderedValue::List(items))
        }
        _ => Ok(match scan.scan_flat(first)?.get() {
            JsonScalar::String(s) => OrderedValue::Text(s.text_in(text).decode()),
            JsonScalar::Number(n) => parse_json_number(n.text_in(text).raw),
            JsonScalar::True => OrderedValue::Bool(true),
            JsonScalar::False => OrderedValue::Bool(false),
            _ => OrderedValue::Null,
        }),
    }
}

/// A number as exactly as JSON values hold it: integers of 64 bits, else a float, else its text, as of `1e999`.
fn parse_json_number(text: &[u8]) -> OrderedValue<'_> {
    let text = std::str::from_utf8(text).unwrap_or("");
    // Zero below zero is a float.
    let whole = || text.parse::<i64>().ok().filter(|n| *n != 0 || !text.starts_with('-')).map(Number::from);
    let large = || text.parse::<u64>().ok().map(Number::from);
    let float = || text.parse().ok().and_then(Number::from_f64);
    let number = whole().or_else(large).or_else(float);
    number.map_or(OrderedValue::Text(text.into()), OrderedValue::Number)
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
        read_nested(&mut scan, text, DEPTH_LIMIT + 1).map(Value::from)
    };
    serde_json::from_slice(text).ok().or_else(|| repaired().ok())
}

/// Parses the members of an object, such as the arguments of an event, in their order. `None` if the text is invalid or not
/// an object.
pub fn parse_members(text: &[u8]) -> Option<OrderedMembers<'_>> {
    let strict = read_nested(&mut StrictScanner::new(text, 0), text, DEPTH_LIMIT + 1);
    let repaired =
        |_| read_nested(&mut LenientScanner::new(text, 0, QuoteGuess::MayEnd, true), text, DEPTH_LIMIT + 1);
    match strict.or_else(repaired) {
        Ok(OrderedValue::Members(members)) => Some(members),
        _ => None,
    }
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

/// Finds some of an event's arguments, all in one go. The last of equal names counts.
pub fn find_arguments<'a, const N: usize>(args: &'a [u8], names: [&str; N]) -> [Option<RawValue<'a>>; N] {
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
    fn members_of_one_name_are_all_there() {
        let text = r#"{"b":[1,{"x":-0.0,"x":null}],"a":"q\"","b":true,"l":[],"m":{}}"#;
        let members = parse_members(text.as_bytes()).unwrap();
        assert_eq!(OrderedValue::Members(members.clone()).to_string(), text);
        let last = serde_json::json!({"a":"q\"","b":true,"l":[],"m":{}});
        assert_eq!(Value::from(OrderedValue::Members(members)), last);
        assert_eq!(parse_members(b"{\"a\": -0, \"a\": inf}").unwrap()[0].1.to_string(), "-0.0");
        assert_eq!([&b""[..], b"[1]", b"{"].map(parse_members), [None, None, None]);
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
