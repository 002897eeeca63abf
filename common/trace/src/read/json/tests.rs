//! The scanner against serde_json, and what it takes and refuses on its own.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::read::testing::DripReader;

fn scanner(text: &[u8], step: usize) -> JsonScanner<'_> {
    let mut buffer = InputBuffer::new(Box::new(DripReader::new(text, step)));
    buffer.mark();
    JsonScanner::new(buffer)
}

/// A whole document, built; nothing may follow it.
fn build(text: &[u8], step: usize) -> Result<Value> {
    let mut scan = scanner(text, step);
    let value = scan.read_value()?;
    end(&mut scan).map(|()| value)
}

/// A whole document, skipped.
fn skip(text: &[u8], step: usize) -> Result<()> {
    let mut scan = scanner(text, step);
    scan.skip_value()?;
    end(&mut scan)
}

fn end(scan: &mut JsonScanner<'_>) -> Result<()> {
    match scan.peek_byte()? {
        None => Ok(()),
        Some(_) => Err(scan.syntax_error("something follows")),
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z\"\\\\\n\u{1f600}]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z\\\\ ]{0,20}", inner, 0..6)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

/// Equal, but for the last bit of floats, which serde_json rounds for speed.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) if x.is_f64() => {
            let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap_or(f64::NAN));
            (x - y).abs() <= x.abs() * 1e-14
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, x)| y.get(k).is_some_and(|y| same(x, y)))
        }
        _ => a == b,
    }
}

proptest! {
    #[test]
    fn agrees_with_serde_json(value in values(), pretty in any::<bool>(), step in 1usize..50) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.unwrap();
        let built = build(text.as_bytes(), step);
        prop_assert!(built.as_ref().is_ok_and(|b| same(b, &value)), "{text}: {built:?}");
        prop_assert!(skip(text.as_bytes(), step).is_ok());
    }

    /// Whatever serde_json takes we take, with the same value; what we refuse it refuses. Building and
    /// skipping agree with each other, and nothing panics.
    #[test]
    fn agrees_on_damaged_text(
        value in values(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..5),
        step in 1usize..50,
    ) {
        let mut text = serde_json::to_vec(&value).unwrap();
        for (at, byte, how) in edits {
            if text.is_empty() { break }
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => _ = text.remove(at),
                2 => text.insert(at, b"\"\\{}[],:0-.eE tfn"[byte as usize % 17]),
                _ => text.truncate(at),
            }
        }
        let (built, skipped) = (build(&text, step), skip(&text, step));
        prop_assert_eq!(built.is_ok(), skipped.is_ok());
        if serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok() {
            prop_assert!(built.is_ok(), "{:?}: {:?}", String::from_utf8_lossy(&text), built);
        }
        if let (Ok(theirs), Ok(ours)) = (serde_json::from_slice::<Value>(&text), &built) {
            prop_assert!(same(&theirs, ours), "{theirs} {ours}");
        }
    }
}

#[test]
fn what_is_no_json_is_refused() {
    let cases = [
        "",
        "{",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "[1 2]",
        "01",
        "-",
        "1.",
        "1e",
        "+1",
        "tru",
        "truex",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "[}",
        "{]",
        "nul",
        "-true",
        "1}",
        "[,]",
        "{,}",
    ];
    for text in cases {
        assert!(skip(text.as_bytes(), 1).is_err(), "{text}");
        assert!(build(text.as_bytes(), 1).is_err(), "{text}");
    }
}

#[test]
fn words_for_missing_numbers_are_null() {
    for text in ["NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "N/A", "None"] {
        for step in [1, 3, 20] {
            assert_eq!(
                build(format!("[{text}]").as_bytes(), step).unwrap(),
                serde_json::json!([null]),
                "{text}"
            );
        }
    }
}

#[test]
fn depth_has_a_limit() {
    let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert!(skip(deep(128).as_bytes(), 9).is_ok());
    let e = skip(deep(129).as_bytes(), 9).unwrap_err();
    assert!(matches!(e.fault, ReadFault::TooDeep(_)));
    assert!(matches!(build(deep(200_000).as_bytes(), 99).unwrap_err().fault, ReadFault::TooDeep(_)));
}

#[test]
fn errors_say_where() {
    let e = skip(b"{\n  \"a\": 1,\n  \"b\" 2}", 2).unwrap_err();
    assert_eq!((e.at.line, e.at.column, e.at.offset), (3, 7, 18));
    assert_eq!(e.to_string(), "expected `:` after the key, found `2` (byte 18)");
}
