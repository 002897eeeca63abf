//! However a trace is written, the answer is the same: the order of events and members, where the metadata stands,
//! white space, numbers as text, line ends, encodings, compression, containers.

use std::io::Write;
use std::path::Path;

use flate2::write::GzEncoder;
use serde_json::Value;

use crate::document::{Document, Json};
use crate::fixtures;
use crate::support::run;

/// What a way of writing a trace leaves of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Everything,
    /// The members beside the list of events are gone.
    Events,
    /// And nothing says that the list has ended.
    OpenEvents,
}

/// Everything that `info`, `sum` and `top` say about a trace, but for what depends on the file and not on its content.
fn answer(path: &Path, keeps: Keeps) -> Vec<Value> {
    const OF_THE_FILE: &[&str] =
        &["path", "size_bytes", "text_bytes", "gzip", "compression", "place", "repairs", "encoding"];
    const METADATA: &[&str] = &[
        "format",
        "producer",
        "rank",
        "world_size",
        "backend",
        "devices",
        "trace_name",
        "host",
        "start",
        "end",
        "base_time_ns",
        "trace_id",
    ];
    const OF_THE_END: &[&str] = &["complete", "partial", "partial_steps", "error", "errors", "incomplete"];
    const TOP: &str =
        "top -n 100000 --by kernel --by op --by runtime --by python --by api --by marker --by other";
    let mut records = Vec::new();
    for command in ["info", "sum", TOP] {
        let path = path.to_str().unwrap();
        let run = run(command.split(' ').chain(["--format", "json", path]));
        assert!(keeps == Keeps::OpenEvents || run.errors == 0, "{path}: {:?}", run.fatal);
        records.extend(run.records());
    }
    for record in &mut records {
        let object = record.as_object_mut().unwrap();
        let metadata = if keeps == Keeps::Everything { &[] } else { METADATA };
        let end = if keeps == Keeps::OpenEvents { OF_THE_END } else { &[] };
        OF_THE_FILE.iter().chain(metadata).chain(end).for_each(|key| _ = object.remove(*key));
    }
    // Rows of `top` that are equal in what it orders by stand in the order of the file.
    records.sort_by_key(ToString::to_string);
    records
}

fn check(name: &str, how: &str, dir: &Path, plain: &Path, bytes: &[u8], keeps: Keeps) {
    let path = dir.join(format!("{name}-{how}"));
    std::fs::write(&path, bytes).unwrap();
    let (a, b) = (answer(plain, keeps), answer(&path, keeps));
    let differences: Vec<String> = a
        .iter()
        .filter(|r| !b.contains(r))
        .map(|r| format!("- {r}"))
        .chain(b.iter().filter(|r| !a.contains(r)).map(|r| format!("+ {r}")))
        .collect();
    assert!(differences.is_empty(), "{name}, {how}:\n{}", differences.join("\n"));
}

/// Checks one way of writing for all fixtures. `None` from `write` leaves a fixture out.
fn check_all(how: &str, keeps: Keeps, write: impl Fn(&str, Document) -> Option<Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    for (name, document) in fixtures::all() {
        let plain = dir.path().join(format!("{name}.json"));
        std::fs::write(&plain, document.compact()).unwrap();
        if let Some(bytes) = write(name, document) {
            check(name, how, dir.path(), &plain, &bytes, keeps);
        }
    }
}

fn check_text(how: &str, write: impl Fn(Document) -> String) {
    check_all(how, Keeps::Everything, |_, document| Some(write(document).into_bytes()));
}

/// Moves events with a linear congruential generator: any order will do, but the same one each time. Begins and ends
/// of one moment keep theirs, which is what tells an empty span from the end of one and the begin of the next.
fn shuffle(events: &mut [Json], mut seed: u64) {
    for i in (1..events.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        events.swap(i, (seed >> 33) as usize % (i + 1));
    }
}

#[test]
fn shuffled() {
    for seed in 1..4 {
        check_text(&format!("shuffled-{seed}"), |mut d| {
            shuffle(&mut d.events, seed);
            d.compact()
        });
    }
}

#[test]
fn reversed() {
    check_text("reversed", |mut d| {
        d.events.reverse();
        d.compact()
    });
}

#[test]
fn metadata_last() {
    check_text("metadata-last", |mut d| {
        d.after.append(&mut d.before);
        let (meta, mut events): (Vec<_>, Vec<_>) =
            d.events.into_iter().partition(|e| e.get("ph").and_then(Json::text) == Some("M"));
        events.extend(meta);
        d.events = events;
        d.compact()
    });
}

#[test]
fn metadata_first() {
    check_text("metadata-first", |mut d| {
        d.before.append(&mut d.after);
        d.compact()
    });
}

#[test]
fn pretty() {
    check_text("pretty", |d| d.pretty());
}

#[test]
fn one_event_a_line_in_a_list() {
    check_text("lines-in-a-list", |d| d.with_places(true).0);
}

#[test]
fn crlf() {
    check_text("crlf", |d| d.pretty().replace('\n', "\r\n"));
}

#[test]
fn members_in_any_order() {
    for turn in 1..5 {
        check_text(&format!("members-{turn}"), |mut d| {
            d.events.iter_mut().for_each(|e| {
                e.change_objects(&mut |members| {
                    let n = members.len();
                    if n > 0 {
                        members.rotate_left(turn % n);
                        if turn % 2 == 0 {
                            members.reverse();
                        }
                    }
                });
            });
            d.compact()
        });
    }
}

/// Ids and times as text, as some writers have them.
#[test]
fn numbers_as_text() {
    const KEYS: &[&str] = &[
        "pid",
        "tid",
        "ts",
        "dur",
        "correlation",
        "id",
        "External id",
        "device",
        "stream",
        "Ev Idx",
        "rank",
        "world_size",
    ];
    check_text("numbers-as-text", |mut d| {
        let mut change = |members: &mut Vec<(String, Json)>| {
            for (_, value) in members.iter_mut().filter(|(k, _)| KEYS.contains(&k.as_str())) {
                if let Json::Scalar(text) = value {
                    if !text.starts_with('"') {
                        *text = format!("\"{text}\"");
                    }
                }
            }
        };
        d.events.iter_mut().for_each(|e| e.change_objects(&mut change));
        d.before.iter_mut().for_each(|(_, v)| v.change_objects(&mut change));
        d.compact()
    });
}

/// Keys and names spelled with escapes.
#[test]
fn escaped_text() {
    check_text("escaped", |d| {
        let text = d.compact();
        text.replace("\"ph\"", r#""p\u0068""#).replace("aten::", r"\u0061ten::")
    });
}

#[test]
fn escaped_categories() {
    check_text("escaped-categories", |d| {
        let text = d.compact().replace("kernel", r"kerne\u006c").replace("Overlap", r"Overla\u0070");
        text.replace("\"name\"", r#""\u006eame""#)
    });
}

#[test]
fn byte_order_mark() {
    check_text("bom", |d| format!("\u{feff}{}", d.compact()));
}

#[test]
fn utf_16() {
    check_all("utf-16le", Keeps::Everything, |_, d| {
        Some([0xFEFF].into_iter().chain(d.compact().encode_utf16()).flat_map(u16::to_le_bytes).collect())
    });
    check_all("utf-16be", Keeps::Everything, |_, d| {
        Some([0xFEFF].into_iter().chain(d.pretty().encode_utf16()).flat_map(u16::to_be_bytes).collect())
    });
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed() {
    check_all("gzip", Keeps::Everything, |_, d| Some(gzip(d.compact().as_bytes())));
    check_all("gzip-members", Keeps::Everything, |_, d| {
        Some(d.compact().as_bytes().chunks(700).flat_map(gzip).collect())
    });
}

/// What a trace says about itself outside its events is lost with the object; the sums are not.
#[test]
fn bare_array() {
    check_all("bare-array", Keeps::Events, |_, mut d| {
        d.bare = true;
        Some(d.compact().into_bytes())
    });
}

#[test]
fn array_that_is_never_closed() {
    check_all("open-array", Keeps::OpenEvents, |_, mut d| {
        d.bare = true;
        let text = d.compact();
        Some(format!("{},\n", text.strip_suffix(']').unwrap()).into_bytes())
    });
}

#[test]
fn one_event_a_line() {
    check_all("ndjson", Keeps::Events, |_, d| Some(d.lines().into_bytes()));
}
