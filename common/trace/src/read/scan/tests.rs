//! Both scanners against serde_json and against each other, and what they take and reject.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::read::repair::{LenientScanner, QuoteGuess};
use crate::read::value::read_value;

/// A text as the only element of a list.
fn listed(text: &[u8]) -> Vec<u8> {
    [b"[", text, b"]"].concat()
}

fn strict(text: &[u8]) -> Result<Value, ScanFault> {
    let text = listed(text);
    let mut scan = StrictScanner::new(&text, 0);
    let value = read_value(&mut scan, &text)?;
    if scan.pos() == text.len() { Ok(value[0].clone()) } else { Err(ScanFault::WantComma) }
}

/// The value, and whether nothing had to be repaired.
fn lenient(text: &[u8]) -> Result<(Value, bool), ScanFault> {
    let text = listed(text);
    let read = |guess| {
        let mut scan = LenientScanner::new(&text, 0, guess, true);
        let value = read_value(&mut scan, &text)?;
        let whole = scan.pos() == text.len();
        if whole { Ok((value[0].clone(), scan.defects.is_empty())) } else { Err(ScanFault::WantComma) }
    };
    read(QuoteGuess::OfText).or_else(|_| read(QuoteGuess::MayEnd))
}

/// What the strict scanner notes about strings.
fn faults(text: &[u8]) -> StringFaults {
    let text = listed(text);
    let mut scan = StrictScanner::new(&text, 0);
    let _ = scan.scan_value();
    scan.string_faults()
}

fn skips(text: &[u8]) -> bool {
    let text = listed(text);
    let mut scan = StrictScanner::new(&text, 0);
    scan.scan_value().is_ok() && scan.pos() == text.len()
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
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}

proptest! {
    #[test]
    fn what_serde_json_writes_is_read(value in values(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        let ours = strict(&text).unwrap();
        prop_assert!(same(&value, &ours), "{value} {ours}");
        prop_assert!(skips(&text));
        // A raw zero is no JSON that anybody writes, and the only thing that the second scanner is stricter about.
        let (repaired, intact) = lenient(&text).unwrap();
        prop_assert!(same(&value, &repaired) && intact, "{value} {repaired}");
    }

    #[test]
    fn what_the_strict_scanner_takes_the_other_takes_alike(
        value in values(), at in any::<prop::sample::Index>(), byte in prop::sample::select(&b"{}[],:\"\\a1 -.e\n"[..]),
    ) {
        let mut text = serde_json::to_vec(&value).unwrap();
        let at = at.index(text.len());
        text[at] = byte;
        let ours = strict(&text);
        prop_assert_eq!(ours.is_ok(), skips(&text));
        if let Ok(ours) = ours {
            let (repaired, intact) = lenient(&text).unwrap();
            let odd = faults(&text) != StringFaults::default();
            prop_assert!(same(&ours, &repaired) && intact != odd, "{:?}: {ours} {repaired}", String::from_utf8_lossy(&text));
        }
        if serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok() {
            prop_assert!(skips(&text));
        }
    }
}

#[test]
fn invalid_json_is_rejected_or_repaired() {
    // What the second scanner makes of it; `None` if nothing.
    let cases: [(&str, Option<&str>); 31] = [
        ("{", None),
        ("[1", None),
        ("[1,", None),
        ("[1,]", Some("[1]")),
        ("[1,,2]", Some("[1,2]")),
        ("[,1]", Some("[1]")),
        ("{\"a\"}", None),
        ("{\"a\":}", Some("{\"a\":null}")),
        ("{\"a\":1,}", Some("{\"a\":1}")),
        ("{\"a\":1 \"b\":2}", Some("{\"a\":1,\"b\":2}")),
        ("{a:1}", None),
        ("[1 2]", None),
        ("[01]", Some("[null]")),
        ("[-]", Some("[null]")),
        ("[1.#INF, -nan(ind)]", Some("[null,null]")),
        ("[+1]", Some("[null]")),
        ("[tru]", Some("[null]")),
        ("\"", None),
        (r#"{"a":"C:\new\x"}"#, Some(r#"{"a":"C:\\new\\x"}"#)),
        (r#"{"a":"\u12g4"}"#, Some(r#"{"a":"\\u12g4"}"#)),
        (r#"{"a":"C:\dir\","b":1}"#, Some(r#"{"a":"C:\\dir\\","b":1}"#)),
        (r#"{"a":"x "y" z","b":1}"#, Some(r#"{"a":"x \"y\" z","b":1}"#)),
        (r#"{"a":"f("x", "y")","b":1}"#, Some(r#"{"a":"f(\"x\", \"y\")","b":1}"#)),
        (r#"["a "b" c", 1]"#, Some(r#"["a \"b\" c",1]"#)),
        // A line that was cut, and the next event: not one event with a strange name.
        ("{\"a\":\"x\n{\"ph\":\"X\",\"ts\":1}", None),
        ("{\"a\":\"x{\"ph\":\"X\",\"ts\":1}", None),
        ("{\"a\":\0 1\0}", Some("{\"a\":1}")),
        ("{\"a\":\"x\0y\"}", None),
        ("[}", None),
        ("{]", None),
        ("[1}", None),
    ];
    for (text, repaired) in cases {
        assert!(strict(text.as_bytes()).is_err() || text.contains('\0'), "{text}");
        let ours = lenient(text.as_bytes());
        let expected = repaired.map(|m| (serde_json::from_str::<Value>(m).unwrap(), false));
        assert_eq!(ours.clone().ok(), expected, "{text}: {ours:?}");
    }
}

#[test]
fn words_for_missing_numbers_are_null() {
    for text in ["NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "N/A", "None"] {
        let list = format!("[{text}]");
        assert_eq!(lenient(list.as_bytes()), Ok((serde_json::json!([null]), false)), "{text}");
    }
}

#[test]
fn strings_with_faults_are_read_and_told() {
    let of = |control, surrogate| StringFaults { control, surrogate };
    let long = format!("\"{}\n{}\"", "a".repeat(70), "b".repeat(70));
    for (text, found) in [
        ("\"\u{7f}\u{e9}\"", of(false, false)),
        ("\"a\tb\"", of(true, false)),
        ("\"\n\"", of(true, false)),
        ("{\"\u{1f}\": 1}", of(true, false)),
        (&long, of(true, false)),
        ("{ \"a\":\t1,\r\n\"b\": [] }", of(false, false)),
        (r#""\ud83d\ude00""#, of(false, false)),
        (r#""\\ud800""#, of(false, false)),
        (r#""\ud800""#, of(false, true)),
        (r#""\uDFFF\ud800""#, of(false, true)),
        (r#""\ud83dx""#, of(false, true)),
        (r#""\ud83d\u0041""#, of(false, true)),
        ("\"\\udabc \t\"", of(true, true)),
    ] {
        assert_eq!((skips(text.as_bytes()), faults(text.as_bytes())), (true, found), "{text:?}");
        let (_, intact) = lenient(text.as_bytes()).unwrap();
        assert_eq!(intact, found == StringFaults::default(), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(text).is_ok(), intact, "{text:?}");
    }
}

#[test]
fn depth_has_a_limit() {
    // One more stands around it.
    let deep = |n: usize| ("[".repeat(n - 1) + &"]".repeat(n - 1)).into_bytes();
    assert!(skips(&deep(128)) && strict(&deep(128)).is_ok());
    assert_eq!(strict(&deep(129)), Err(ScanFault::TooDeep));
    assert_eq!(lenient(&deep(200_000)), Err(ScanFault::TooDeep));
    assert!(!skips(&deep(129)));
}
