//! Files that are not quite JSON, and times that cannot be.

use common::exit::Exit;
use serde_json::{Value, json};

use super::{Case, Expected, case, object, ok, regular, regular_total};

/// Files that are not quite JSON.
pub(super) fn damaged_cases() -> Vec<Case> {
    let whole = object(&regular(6));
    let sums = |n| vec![ok("sum", vec![regular_total(n)])];
    let in_name = |name: &str| {
        let event = format!(
            r#"{{"ph":"X","cat":"python_function","name":"{name}","pid":4,"tid":4,"ts":1,"dur":2,"args":{{"Python id":1}}}}"#
        );
        let mut events = regular(6);
        events.insert(3, event);
        object(&events)
    };
    let one_more = |mut total: Value| {
        total["events_read"] = json!(19);
        vec![ok("sum", vec![total])]
    };
    vec![
        case(
            "backslashes of a path",
            "t.json",
            in_name(r"C:\users\new\x.py(3): f"),
            one_more(regular_total(6)),
        ),
        case("quotes in a name", "t.json", in_name(r#"f("x", 'y')"#), one_more(regular_total(6))),
        case(
            "bytes that are no text",
            "t.json",
            {
                let text = in_name("@@");
                let at = text.find("@@").unwrap();
                [&text.as_bytes()[..at], b"\xff\xc3", &text.as_bytes()[at + 2..]].concat()
            },
            one_more(regular_total(6)),
        ),
        case("commas before the first event", "t.json", whole.replacen("[\n{", "[\n,,{", 1), sums(6)),
        case(
            "commas before the first event of an array",
            "t.json",
            format!("[,{}]", regular(6).join(",")),
            sums(6),
        ),
        case("commas before closing brackets", "t.json", whole.replace("}}", ",},}"), sums(6)),
        case("two commas between events", "t.json", whole.replace("},\n{", "},,\n{"), sums(6)),
        case("no comma between events", "t.json", whole.replace("},\n{", "}\n{"), sums(6)),
        case(
            "lines of a log",
            "t.json",
            whole.replacen("},\n{", "},\n[rank0]:[W1129 10:00:00] \"x\" is {slow}, a[3]\n{", 3),
            sums(6),
        ),
        case("zeros behind the end", "t.json", [whole.as_bytes(), &[0; 5000]].concat(), sums(6)),
        case(
            "white space and zeros behind the end",
            "t.json",
            [whole.as_bytes(), b"\r\n  \0\0\0 \n"].concat(),
            sums(6),
        ),
        case(
            "one event a line, with empty lines and CRLF",
            "t.json",
            regular(6).join("\r\n\r\n").replace("},\n{", "}\r\n{"),
            sums(6),
        ),
        case(
            "a second document behind the first",
            "t.json",
            {
                let (a, b) = (regular(6), 3);
                object(&a[..b]) + "\n" + &object(&a[b..])
            },
            sums(6),
        ),
        case(
            "an event nested too deeply",
            "t.json",
            {
                let mut events = regular(6);
                events.insert(
                    2,
                    format!(
                        r#"{{"ph":"i","name":"deep","ts":1,"args":{{"a":{}{}}}}}"#,
                        "[".repeat(100_000),
                        "]".repeat(100_000)
                    ),
                );
                object(&events)
            },
            vec![Expected {
                command: "sum",
                exit: Some(Exit::Failed),
                records: vec![json!({"type": "traceq.total", "kernels": 6, "compute_ns": 240_000})],
            }],
        ),
        case(
            "cut inside an event",
            "t.json",
            whole[..whole.len() - 60].to_owned(),
            vec![Expected {
                command: "sum",
                exit: Some(Exit::Failed),
                records: vec![json!({"type": "traceq.total", "kernels": 5, "complete": false})],
            }],
        ),
    ]
}

/// Times that cannot be.
pub(super) fn time_cases() -> Vec<Case> {
    let absolute = |events: Vec<String>| {
        // Microseconds of the Unix epoch, as before 2024.
        let text = events.join(",\n");
        let moved: Vec<String> = text
            .split("\"ts\":")
            .enumerate()
            .map(|(i, part)| {
                let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
                if i == 0 {
                    return part.to_owned();
                }
                format!(
                    "{}{}",
                    1_623_000_000_000_000_i64 + part[..digits].parse::<i64>().unwrap(),
                    &part[digits..]
                )
            })
            .collect();
        moved.join("\"ts\":")
    };
    let copy = |ts: &str, dur: &str| {
        format!(
            r#"{{"ph":"X","cat":"gpu_memcpy","name":"Memcpy DtoH","pid":0,"tid":7,"ts":{ts},"dur":{dur},"args":{{"device":0,"stream":7,"correlation":71}}}}"#
        )
    };
    let with =
        |event: String| format!(r#"{{"schemaVersion":1,"traceEvents":[{},{event}]}}"#, absolute(regular(5)));
    let total = json!({"type": "traceq.total", "device": 0, "kernels": 5, "compute_ns": 200_000, "total_ns": 840_000, "idle_ns": 640_000, "span_ns": 860_000});
    vec![
        case(
            "a copy at time 0 among absolute times",
            "t.json",
            with(copy("0", "3")),
            vec![ok("sum", vec![total.clone()])],
        ),
        case(
            "a copy in the far future",
            "t.json",
            with(copy("3623000000000000", "1")),
            vec![ok("sum", vec![total])],
        ),
    ]
}
