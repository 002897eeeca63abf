//! Tests of what may stand around the events.

use super::*;
use crate::model::Event;
use crate::read::read_trace;
use crate::read::testing::DripReader;

/// Every event, spelled out.
#[derive(Default)]
struct List(Vec<String>);

impl EventSink for List {
    fn event(&mut self, e: &Event<'_>) -> anyhow::Result<()> {
        let args = String::from_utf8_lossy(e.args);
        let name = e.name.decode();
        let (category, ids) = (e.category.name(), (e.device, e.stream, e.correlation, e.external));
        self.0
            .push(format!("{} {category} {name} {:?} {:?} {ids:?} {args}", e.phase as char, e.start, e.dur));
        Ok(())
    }
}

fn list(text: &[u8], step: usize) -> (Vec<String>, ReadOutcome) {
    let mut list = List::default();
    let source = Box::new(DripReader::new(text, step));
    let out = read_trace(source, &ReadOptions::default(), &mut list).unwrap();
    (list.0, out)
}

#[test]
fn how_the_bytes_arrive_does_not_matter() {
    let text = r#" {"a": [1, {"b": "\u00e9"}], "traceEvents": [
        {"ph": "X", "cat": "Kernel", "name": "k\u00e9\"", "pid": 2, "tid": "stream 7", "ts": 1.0005, "dur": 2e0,
         "args": {"stream": 7, "correlation": 12, "external id": 0, "x": {"stream": 9}}},
        {"args": {"Task Type": "AI_CORE", "stream": "0x1f"}, "name": "n", "ts": "3.000", "ph": "i"}
    ], "baseTimeNanoseconds": 5, "distributedInfo": {"rank": 3}} "#;
    let expected = [
        r#"X kernel ké" Some(1001) Some(2000) (Some(2), Some(7), Some(12), None) {"stream": 7, "correlation": 12, "external id": 0, "x": {"stream": 9}}"#,
        r#"i marker n Some(3000) None (None, Some(31), None, None) {"Task Type": "AI_CORE", "stream": "0x1f"}"#,
    ];
    for step in [1, 2, 3, 7, 1000] {
        let (events, out) = list(text.as_bytes(), step);
        assert_eq!(events, expected, "{step}");
        assert!(out.complete && out.error.is_none());
        assert_eq!((out.meta.rank, out.meta.base_ns, out.bytes), (Some(3), Some(5), text.len() as u64));
        assert_eq!(out.meta.dialect, Dialect::Kineto);
    }
}

#[test]
fn a_text_has_many_spellings() {
    let plain = r#"[{"ph":"X","cat":"kernel","name":"k","pid":7,"tid":"t","ts":1,"dur":2,"args":{"stream":3,"correlation":4}}]"#;
    let escape = |text: &str, word: &str| {
        let letters: String = word.chars().map(|c| format!("\\u{:04X}", c as u32)).collect();
        text.replace(&format!("\"{word}\""), &format!("\"{letters}\""))
    };
    // The arguments stay as the file spells them.
    let meaning = |text: &str| {
        let events = list(text.as_bytes(), 1000).0;
        events.iter().map(|e| e.split(" {").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for word in ["ph", "X", "cat", "kernel", "k", "tid", "t", "args", "stream", "correlation"] {
        assert_eq!(meaning(&escape(plain, word)), meaning(plain), "{word}");
    }
    let named = |label: &str| {
        format!(
            r#"[{{"ph":"M","name":"process_name","pid":1,"args":{{"name":"{label}"}}}},{{"ph":"i","ts":1}}]"#
        )
    };
    for text in [
        named("CANN"),
        named(r"CA\u004eN"),
        escape(&named("CANN"), "process_name"),
        escape(&named("CANN"), "name"),
    ] {
        assert_eq!(list(text.as_bytes(), 1000).1.meta.dialect, Dialect::Ascend, "{text}");
    }
}

#[test]
fn documents_come_in_many_forms() {
    let (a, b) = (r#"{"ph":"i","name":"a","ts":1}"#, r#"{"ph":"i","name":"b","ts":2}"#);
    let cases: [(String, &[&str]); 27] = [
        (format!("[{a},{b}]"), &[]),
        (format!("[{a}][{b}]"), &["second_document"]),
        (format!("[[{a},{b}]]"), &["nested_list"]),
        (format!("{{\"traceEvents\":[[{a},{b}]],\"schemaVersion\":1}}"), &["nested_list"]),
        (format!("[{a}]\n,[{b}]"), &["stray_bracket", "second_document"]),
        (format!("{a}\n{b}\n"), &["event_per_line"]),
        (format!("{a}{b}"), &["event_per_line"]),
        (format!("12:00 started\n{a}\n{b}\n"), &["event_per_line", "text_between_events"]),
        (format!("12:00 started\n{a},\n{b}]\n"), &["text_between_events"]),
        (format!("{{\"traceEvents\":[{a}]}}\n{{\"traceEvents\":[{b}]}}"), &["second_document"]),
        (format!("{{\"traceEvents\":[{a}],\"traceEvents\":[{b}]}}"), &["second_document"]),
        (format!("{{\"traceEvents\":[{a},{b}]}}\0\0\0\n\0"), &["padding_behind_end"]),
        (format!("[{a},{b}]done\n"), &["text_behind_end"]),
        (format!("started\n[{a},{b}]"), &["text_between_events"]),
        (format!("[{a},{b}"), &["missing_end_bracket"]),
        (format!("{{\"traceEvents\":[{a}],{b}],\"x\":1}}"), &["missing_start_bracket"]),
        (format!("{{\"traceEvents\":{a},{b}],\"schemaVersion\":1}}"), &["missing_start_bracket"]),
        (format!("x\"displayTimeUnit\":\"ms\",\"traceEvents\":[{a},{b}]}}"), &["text_between_events"]),
        (format!("{{\"deviceProperties\":[{{]}},\"traceEvents\":[{a},{b}]}}"), &["unreadable_metadata"]),
        (format!("{{\"traceName\":\"C:\\dir\\x\",\"traceEvents\":[{a},{b}]}}"), &["invalid_escape"]),
        (format!("{{\"traceName\":\"a\tb\",\"traceEvents\":[{a},{b}]}}"), &["raw_control"]),
        (format!("{{\"traceEvents\":[{a},{b}],\"x\":[\"\n\\ud800\"]}}"), &["raw_control", "lone_surrogate"]),
        (format!("{{\"traceEvents\":[{a},{b}],\"x\":[1,\u{1}2]}}"), &["nul_bytes"]),
        (format!("{{\"traceEvents\":[{a},{b}],\"x\n\":1}}"), &["raw_control"]),
        (format!("{{\"traceEvents\":[{a},{b}],\"x\":\"C:\\dir\"}}"), &["invalid_escape"]),
        (
            format!("{}\n{b}\n", a.replace("\"ph\"", "\"x\":\"\t\",\"ph\"")),
            &["event_per_line", "raw_control"],
        ),
        (format!("\u{feff}[{a},{b}]"), &[]),
    ];
    for (text, defects) in cases {
        for step in [1, 1000] {
            let (events, out) = list(text.as_bytes(), step);
            let names: Vec<&str> = events.iter().map(|e| e.split(' ').nth(2).unwrap()).collect();
            let found: Vec<&str> = out.defects.iter().map(|(d, _)| d.name()).collect();
            assert_eq!((&names[..], found), (&["a", "b"][..], defects.to_vec()), "{text}: {:?}", out.error);
            assert_eq!(out.complete, !defects.contains(&"missing_end_bracket"), "{text}");
            assert!(out.error.is_none(), "{text}");
        }
    }
}

#[test]
fn utf16_is_read() {
    let text = r#"[{"ph":"i","name":"é","ts":1}]"#;
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let (events, out) = list(&[b"\xfe\xff".as_slice(), &bytes].concat(), 3);
    assert_eq!((events.len(), out.complete, out.defects.repairs()["utf16"]), (1, true, 1));
    assert!(events[0].contains('é'));
}

#[test]
fn utf32_is_rejected_by_its_name() {
    let text = r#"[{"ph":"i","name":"a","ts":1}]"#;
    for (mark, unit) in [("\u{feff}", u32::to_be_bytes as fn(u32) -> [u8; 4]), ("", u32::to_le_bytes)] {
        let bytes: Vec<u8> = format!("{mark}{text}").chars().flat_map(|c| unit(c as u32)).collect();
        let (events, out) = list(&bytes, 3);
        assert_eq!((events.len(), out.complete, out.defects.iter().count()), (0, false, 0));
        assert!(out.error.unwrap().to_string().contains("UTF-32"));
    }
}

#[test]
fn what_is_lost_is_counted_where_it_stands() {
    let text =
        "{\"traceEvents\":[\n{\"ph\":\"i\",\"ts\":1},\n  {\"ph\":\"i\", ts:2},\n{\"ph\":\"i\",\"ts\":3}]}";
    let (events, out) = list(text.as_bytes(), 5);
    let (defect, count) = out.defects.iter().next().unwrap();
    assert_eq!((events.len(), out.complete), (2, true));
    assert_eq!((defect, count.count, count.line, count.offset), (Defect::UnreadableEvent, 1, 3, 38));
}

#[test]
fn strict_reading_stops_at_the_first_repair() {
    let text = "[{\"ph\":\"i\",\"ts\":1},\n{\"ph\":\"i\",\"ts\":2,},{}]";
    let options = ReadOptions { strict: true, ..ReadOptions::default() };
    let source = Box::new(DripReader::new(text.as_bytes(), 9));
    let out = read_trace(source, &options, &mut List::default()).unwrap();
    let e = out.error.unwrap();
    assert_eq!((e.place(), out.complete), (":2:1".to_owned(), false));
    assert_eq!(e.to_string(), "rejected by --strict: extra comma inside an event (byte 20)");
}

#[test]
fn only_crash_safe_writers_may_leave_the_end_out() {
    let (events, out) = list(b"[{\"ph\":\"i\",\"ts\":1},\n", 5);
    assert_eq!((events.len(), out.error.is_none(), out.complete), (1, true, false));
    let ascend = r#"[{"name":"process_name","pid":9,"args":{"name":"Overlap Analysis"},"ph":"M"},"#;
    let (_, out) = list(ascend.as_bytes(), 5);
    let said = format!("the file ends inside the list of events (byte {})", ascend.len());
    assert_eq!(out.error.unwrap().to_string(), said);
}

/// What nothing else shows where their numbers of launches and streams differ.
#[test]
fn a_second_rank_is_reported() {
    let seconds = |text: &str| {
        let (events, out) = list(text.as_bytes(), 5);
        (events.len(), out.meta.rank, out.defects.count_of(Defect::SecondRank))
    };
    let of = |rank| format!(r#"{{"distributedInfo":{{"rank":{rank}}},"traceEvents":[{{"ph":"i","ts":1}}]}}"#);
    assert_eq!(seconds(&of(3)), (1, Some(3), 0));
    assert_eq!(seconds(&(of(3) + &of(3))), (2, Some(3), 0));
    assert_eq!(seconds(&(of(3) + &of(4))).2, 1);
    let list = of(3).replace(r#"{"rank":3}"#, r#"[{"rank":3},{"rank":4}]"#);
    assert_eq!(seconds(&list), (1, Some(3), 1));
}

#[test]
fn metadata_before_a_cut_is_kept() {
    let text = r#"{"distributedInfo":{"rank":3},"traceEvents":[{"ph":"i","ts":1},{"ph":"i","#;
    let (events, out) = list(text.as_bytes(), 5);
    assert_eq!((events.len(), out.meta.rank, out.complete), (1, Some(3), false));
    assert_eq!(
        out.error.unwrap().to_string(),
        format!("the file ends inside an event (byte {})", text.len())
    );
}

#[test]
fn an_endless_event_costs_itself_and_no_memory() {
    let text = format!(
        "[{{\"ph\":\"i\",\"ts\":1,\"a\":\"{}\"}},\n{{\"ph\":\"i\",\"ts\":2}}]",
        "a".repeat(18_000_000)
    );
    let (events, out) = list(text.as_bytes(), 1_000_000);
    assert_eq!((events.len(), out.complete), (1, true), "{:?}", out.defects);
    assert_eq!(out.defects.losses()["event_too_long"], 1);
    let long =
        format!("{{\"samples\":[{}1],\"traceEvents\":[{{\"ph\":\"i\",\"ts\":1}}]}}", "1,".repeat(2_000_000));
    let (events, out) = list(long.as_bytes(), 1_000_000);
    assert_eq!((events.len(), out.complete), (1, true));
}

#[test]
fn what_is_no_trace_is_rejected_with_the_reason() {
    for (text, reason) in [
        ("", "is empty"),
        ("{\"a\":1,\"b\":[2]}", "is not a trace: its object has no list `traceEvents` (it has `a`, `b`)"),
        ("[[1,2],[3,4]]", "is not a trace: its list has no events"),
        ("[{\"a\":1},{\"b\":2}]", "is not a trace: none of its 2 objects is an event with a `ph`"),
        ("hello", "is not a trace: it begins with neither"),
    ] {
        let (_, out) = list(text.as_bytes(), 3);
        let error = out.error.unwrap().to_string();
        assert!(error.starts_with(reason), "{text}: {error}");
    }
}

#[test]
fn a_bracket_that_ends_the_input_inside_an_object_is_no_trace() {
    for text in ["{ x ]", "{\"traceEvents\" x ]"] {
        let (events, out) = list(text.as_bytes(), 5);
        assert!(events.is_empty() && out.error.is_some(), "{text}");
    }
}

#[test]
fn members_without_a_place_are_named() {
    let (_, out) =
        list(br#"{"pg_config":[{"a":1}],"rank":1,"traceEvents":[],"deviceProperties":[],"x":{}}"#, 1000);
    assert_eq!(out.unread_members, ["pg_config", "rank", "x"]);
}

/// One byte costs no more than that: not even in the name of the list.
#[test]
fn a_list_whose_name_is_damaged_is_read() {
    let event = r#"{"ph":"X","name":"a","pid":1,"tid":1,"ts":1,"dur":2}"#;
    for name in ["traceEv\\nts", "tracevents", "traceEEvents", "traceEv\0nts", "rraceEvents", "traceEvent]"] {
        let (events, out) = list(format!(r#"{{"a":[{{"ph":1}}],"{name}":[{event}],"b":1}}"#).as_bytes(), 7);
        assert_eq!(events.len(), 1, "{name}: {:?}", out.error);
        assert_eq!((out.complete, out.defects.count_of(Defect::DamagedListName)), (true, 1), "{name}");
    }
    for name in ["events", "traceEventsOfAll", "samples", "stackFrames"] {
        let out = list(format!(r#"{{"{name}":[{event}],"b":1}}"#).as_bytes(), 7).1;
        assert_eq!(out.events, 0, "{name}");
    }
}
