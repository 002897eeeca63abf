//! Tests of damaged lists of events.

use super::*;

const A: &str = r#"{"ph":"X","name":"a","ts":1,"dur":1,"args":{"x":[{"name":"i"},{"b":1}]}}"#;
const B: &str = r#"{"name":"b","ph":"i","ts":2}"#;

/// With nothing known of how events look.
fn decode_block(text: &[u8], state: ListState, form: ListForm, supply: Supply) -> Batch {
    super::decode_block(text, state, form, supply, &mut BlockScratch::default())
}

/// The names of the events, and the defects.
fn read(text: &str) -> (Vec<String>, Vec<(&'static str, u64)>, BlockEnd) {
    let batch = decode_block(text.as_bytes(), ListState::Opened, ListForm::Bracketed, Supply::End);
    let name = |row: &Row| row.name.text_in(text.as_bytes()).decode().into_owned();
    let mut defects = std::collections::BTreeMap::new();
    batch.defects.iter().for_each(|(d, n, _)| *defects.entry(d.name()).or_default() += n);
    (batch.rows.iter().map(name).collect(), defects.into_iter().collect(), batch.end)
}

#[test]
fn damage_costs_what_it_touches() {
    type Case<'a> = (String, &'a str, &'a [(&'a str, u64)]);
    let cases: [Case<'_>; 28] = [
        (format!("{A},{B}]"), "a b", &[]),
        (format!("{A},{B},]"), "a b", &[("trailing_comma", 1)]),
        (format!("{A},,{B}]"), "a b", &[("extra_comma", 1)]),
        (format!(",{A},{B}]"), "a b", &[("extra_comma", 1)]),
        (format!("{A}{B}]"), "a b", &[("missing_comma", 1)]),
        (format!("{A},{{}}]"), "a", &[("empty_event", 1)]),
        (format!("{A},null,7,[1],{B}]"), "a b", &[("not_an_event", 3)]),
        (format!("{A},\n  WARNING: {{x}}\n{B}]"), "a b", &[("text_between_events", 1)]),
        (format!("{A}}},{B}]"), "a b", &[("stray_bracket", 1)]),
        (format!("[{A},{B}]"), "a b", &[("nested_list", 1)]),
        (format!("{A},[{B}]"), "a b", &[("nested_list", 1)]),
        (format!("{A}\n[{B}]"), "a b", &[("second_document", 1)]),
        (format!("{A},\0\0{B}]"), "a b", &[("nul_bytes", 1)]),
        (format!("{A},{}", B.replace('2', "2,") + "]"), "a b", &[("extra_comma_in_event", 1)]),
        (
            format!("{A},{}", B.replace("\"b\"", "\"C:\\new\\x\"") + "]"),
            "a C:\\new\\x",
            &[("invalid_escape", 1)],
        ),
        (format!("{A},{}", B.replace("\"b\"", "\"b \"c\" d\"") + "]"), "a b \"c\" d", &[("raw_quote", 1)]),
        (format!("{A},{}", B.replace("\"b\"", "\"b\tc\nd\"") + "]"), "a b\tc\nd", &[("raw_control", 1)]),
        (format!("{A},{}", B.replace("\"b\"", "\"b\u{1f}\"") + "]"), "a b\u{1f}", &[("raw_control", 1)]),
        (format!("{},{B}]", A.replace("\"i\"", "\"\r\"")), "a b", &[("raw_control", 1)]),
        (
            format!("{A},{}", B.replace("\"b\"", r#""b\udc00","x":"\ud800""#) + "]"),
            "a b\u{fffd}",
            &[("lone_surrogate", 1)],
        ),
        // Lost: a missing colon, a brace too many, a key without its quote, a line cut and written over.
        (format!("{},{B}]", A.replacen(':', " ", 1)), "b", &[("unreadable_event", 1)]),
        (format!("{{{A},{B}]"), "a b", &[("unreadable_event", 1)]),
        (format!("{},{B}]", A.replacen("ts\"", "ts", 1)), "b", &[("unreadable_event", 1)]),
        (format!("{}{B},{A}]", &A[..20]), "b a", &[("unreadable_event", 1)]),
        (format!("{}\n{B},{A}]", &A[..18]), "b a", &[("unreadable_event", 1)]),
        // Zeros over the end of one event and the begin of the next: both are lost, none is made of their halves.
        (format!("{B},{}\0\0\0{},{B}]", &A[..19], &A[18..]), "b b", &[("unreadable_event", 1)]),
        (format!("{},{B}]", A.replace("\"ph\"", "\"qh\"")), "b", &[("missing_phase", 1)]),
        (
            format!("{},{B}]", A.replace("{\"b\":1}", &("[".repeat(200) + &"]".repeat(200)))),
            "b",
            &[("nested_too_deeply", 1)],
        ),
    ];
    for (text, names, defects) in cases {
        let (found, counted, end) = read(&text);
        assert_eq!((found.join(" ").as_str(), &counted[..]), (names, defects), "{text}");
        assert_eq!(end, BlockEnd::Closed, "{text}");
    }
}

#[test]
fn the_end_of_a_damaged_list_is_found() {
    for (behind, end) in [
        ("], \"traceName\": \"x\"}", BlockEnd::Closed),
        (" \"traceName\": \"x\"}", BlockEnd::Closed),
        ("}\n", BlockEnd::Closed),
        ("\0\0\0", BlockEnd::Open(ListState::Event)),
        ("", BlockEnd::Open(ListState::Event)),
        (",{\"ph\":\"X\",\"na", BlockEnd::Truncated),
    ] {
        assert_eq!(read(&format!("{A},{B}{behind}")).2, end, "{behind:?}");
    }
    let broken = format!("{A},{}], \"traceName\": 1", &B[..20]);
    assert_eq!(read(&broken), (vec!["a".to_owned()], vec![("unreadable_event", 1)], BlockEnd::Closed));
}

#[test]
fn text_that_is_not_utf8_is_counted() {
    let text = [br#"{"ph":"X","name":"a"#.as_slice(), b"\xff", br#"","ts":1,"dur":1},"#, B.as_bytes(), b"]"]
        .concat();
    let batch = decode_block(&text, ListState::Opened, ListForm::Bracketed, Supply::End);
    assert_eq!((batch.rows.len(), &batch.defects[..]), (2, &[(Defect::InvalidUtf8, 1, 0)][..]));
}

#[test]
fn a_text_may_end_anywhere_if_more_comes() {
    let text = format!("{A}, x\n {B},, {A}\n]");
    let whole = decode_block(text.as_bytes(), ListState::Opened, ListForm::Bracketed, Supply::End);
    for cut in 0..text.len() {
        let first =
            decode_block(&text.as_bytes()[..cut], ListState::Opened, ListForm::Bracketed, Supply::More);
        let BlockEnd::Open(state) = first.end else { panic!("{cut}") };
        let rest = &text.as_bytes()[first.consumed..];
        let second = decode_block(rest, state, ListForm::Bracketed, Supply::End);
        assert_eq!(first.rows.len() + second.rows.len(), whole.rows.len(), "{cut}");
        let count = |b: &Batch| b.defects.iter().map(|d| d.1).sum::<u64>();
        assert_eq!(count(&first) + count(&second), count(&whole), "{cut}");
        assert_eq!(second.end, BlockEnd::Closed);
    }
}
