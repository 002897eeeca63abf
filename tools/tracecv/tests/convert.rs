//! `tracecv convert`: what goes in comes out, in every format as far as it holds it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::exit::Exit;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Fields, data, decode, number, run, text};
use tempfile::TempDir;
use trace::model::{Event, EventSink};
use trace::read::{ReadOptions, ReadOutcome, read_trace};

const TRACE: &str = r#"{"schemaVersion":1,"distributedInfo":{"backend":"nccl","rank":2,"world_size":4},
"deviceProperties":[{"id":0,"name":"GPU"}],"baseTimeNanoseconds":1700000000000000000,"traceEvents":[
{"ph":"M","name":"process_name","pid":41,"tid":0,"ts":0,"args":{"name":"python"}},
{"ph":"M","name":"thread_name","pid":41,"tid":42,"ts":0,"args":{"name":"main; thread"}},
{"ph":"X","cat":"cpu_op","name":"outer","pid":41,"tid":42,"ts":1.001,"dur":8,"args":{"n":1.5,"s":"\u00e9","l":[1,{"x":null}],"big":18446744073709551615},"cname":"red"},
{"ph":"X","cat":"cpu_op","name":"inner","pid":41,"tid":42,"ts":2,"dur":3.5},
{"ph":"X","cat":"cpu_op","name":"crossing","pid":41,"tid":42,"ts":8,"dur":3},
{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":41,"tid":42,"ts":3,"dur":1,"args":{"correlation":9}},
{"ph":"s","id":9,"cat":"ac2g","name":"ac2g","pid":41,"tid":42,"ts":3},
{"ph":"f","id":9,"cat":"ac2g","name":"ac2g","pid":0,"tid":7,"ts":15,"bp":"e"},
{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":15,"dur":2,"args":{"correlation":9,"device":0,"stream":7}},
{"ph":"B","name":"pair","pid":41,"tid":43,"ts":4},
{"ph":"E","pid":41,"tid":43,"ts":6,"args":{"late":true}},
{"ph":"i","s":"t","cat":"cpu_instant_event","name":"[memory]","pid":41,"tid":42,"ts":5,"args":{"Bytes":-512}},
{"ph":"C","name":"queue","pid":41,"ts":5,"args":{"length":3,"load":0.5}},
{"ph":"b","cat":"c","id":"0x1f","name":"async","pid":41,"tid":42,"ts":1},
{"ph":"e","cat":"c","id":"0x1f","name":"async","pid":41,"tid":42,"ts":9}]}"#;

/// A directory with the trace in it.
fn trace() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    std::fs::write(&path, TRACE).unwrap();
    (dir, path)
}

/// Converts the trace, and returns what is written.
fn convert(to: &str, name: &str) -> Vec<u8> {
    let (dir, path) = trace();
    let out = dir.path().join(name);
    let run = run(["convert", "--to", to, "-o", out.to_str().unwrap(), path.to_str().unwrap()]);
    assert_eq!((run.exit, run.fatal), (Exit::Ok, None));
    std::fs::read(out).unwrap()
}

/// Every event with all its fields; of its text, the members.
#[derive(Default)]
struct Seen(Vec<String>);

impl EventSink for Seen {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
        let (text, args) = (parsed(event.text), parsed(event.args));
        let fields = Event { text: b"", args: b"", ..*event };
        self.0.push(format!("{fields:?} {text} {args}"));
        Ok(())
    }
}

fn read(bytes: &[u8]) -> (Vec<String>, ReadOutcome) {
    let mut seen = Seen::default();
    let source = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let outcome = read_trace(source, &ReadOptions::default(), &mut seen).unwrap();
    assert!(outcome.complete, "{:?}", outcome.error);
    (seen.0, outcome)
}

#[test]
fn a_chrome_trace_stays_what_it_is() {
    let (before, meta_before) = read(TRACE.as_bytes());
    for name in ["out.json", "out.json.gz"] {
        let written = convert("chrome", name);
        assert_eq!(written.starts_with(&[0x1f, 0x8b]), name.ends_with("gz"));
        let (after, meta_after) = read(&written);
        assert_eq!(before, after);
        let told = |o: &ReadOutcome| format!("{:?}", o.meta);
        assert_eq!(told(&meta_before), told(&meta_after));
    }
}

#[test]
fn rows_are_those_of_traceq_with_what_the_trace_says_of_itself() {
    let written = String::from_utf8(convert("jsonl", "out.jsonl")).unwrap();
    let records: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (events, about) = records.split_at(15);
    assert!(events.iter().all(|r| r["type"] == "traceq.event"));
    assert_eq!(events[8]["start_ns"], json!(15_000));
    assert_eq!(
        about,
        [
            json!({"type": "tracecv.trace", "v": 1, "path": about[0]["path"], "base_ns": 1_700_000_000_000_000_000_i64,
            "rank": 2, "world_size": 4, "backend": "nccl", "devices": {"0": "GPU"}, "producer": ["schema 1"]})
        ]
    );
    let csv = String::from_utf8(convert("csv", "out.csv")).unwrap();
    assert_eq!(csv.lines().count(), 16);
    assert!(csv.starts_with("path,category,cat,ph,name,"));
}

#[test]
fn stacks_hold_their_own_time() {
    let written = String::from_utf8(convert("folded", "out.folded")).unwrap();
    let stacks: BTreeMap<&str, u64> = written
        .lines()
        .map(|line| line.rsplit_once(' ').map(|(stack, ns)| (stack, ns.parse().unwrap())).unwrap())
        .collect();
    let thread = "python (pid 41);main, thread";
    assert_eq!(stacks[format!("{thread};outer").as_str()], 4_500);
    assert_eq!(stacks[format!("{thread};outer;inner").as_str()], 2_500);
    assert_eq!(stacks[format!("{thread};outer;inner;cudaLaunchKernel").as_str()], 1_000);
    // It begins within `outer` and ends behind it: nothing of it is lost.
    assert_eq!(stacks[format!("{thread};crossing").as_str()], 3_000);
    assert_eq!(stacks["python (pid 41);thread 43;pair"], 2_000);
    assert_eq!(stacks["python (pid 41);c 0x1f;async"], 8_000);
    assert_eq!(stacks["process (pid 0);thread 7;k"], 2_000);
    assert_eq!(stacks.len(), 7);
}

#[test]
fn speedscope_opens_and_closes_in_order() {
    let written: Value = serde_json::from_slice(&convert("speedscope", "out.speedscope.json")).unwrap();
    assert_eq!(written["$schema"], "https://www.speedscope.app/file-format-schema.json");
    let frames = written["shared"]["frames"].as_array().unwrap();
    let mut names = Vec::new();
    for profile in written["profiles"].as_array().unwrap() {
        assert_eq!((&profile["type"], &profile["unit"]), (&json!("evented"), &json!("nanoseconds")));
        let mut open = Vec::new();
        let mut last = profile["startValue"].as_i64().unwrap();
        for event in profile["events"].as_array().unwrap() {
            let at = event["at"].as_i64().unwrap();
            assert!(at >= last, "{profile}");
            last = at;
            let frame = event["frame"].as_u64().unwrap();
            assert!((frame as usize) < frames.len());
            match event["type"].as_str() {
                Some("O") => open.push(frame),
                _ => assert_eq!(open.pop(), Some(frame), "{profile}"),
            }
        }
        assert!(open.is_empty() && last == profile["endValue"].as_i64().unwrap());
        names.push(profile["name"].as_str().unwrap());
    }
    let thread = "python (pid 41) main; thread";
    assert!(names.contains(&thread) && names.contains(&format!("{thread} (overlapping, 2)").as_str()));
    assert!(written["name"].as_str().unwrap().contains("1700000000000001000 ns after the Unix epoch"));
}

/// What a Perfetto trace says, decoded by the field numbers of its descriptors.
#[derive(Default)]
struct DecodedTrace {
    tracks: BTreeMap<u64, Fields>,
    names: BTreeMap<u64, String>,
    annotation_names: BTreeMap<u64, String>,
    /// Moment, track and fields of each event.
    events: Vec<(u64, u64, Fields)>,
}

fn decode_perfetto(bytes: &[u8]) -> DecodedTrace {
    let mut out = DecodedTrace::default();
    for packet in data(&decode(bytes), 1) {
        let packet = decode(&packet);
        for interned in data(&packet, 12).iter().map(|bytes| decode(bytes)) {
            for (field, table) in [(2, &mut out.names), (3, &mut out.annotation_names)] {
                for entry in data(&interned, field).iter().map(|bytes| decode(bytes)) {
                    table.insert(number(&entry, 1).unwrap(), text(&entry, 2).unwrap());
                }
            }
        }
        for track in data(&packet, 60).iter().map(|bytes| decode(bytes)) {
            assert!(out.tracks.insert(number(&track, 1).unwrap(), track.clone()).is_none());
        }
        for event in data(&packet, 11).iter().map(|bytes| decode(bytes)) {
            let track = number(&event, 11).unwrap();
            assert!(out.tracks.contains_key(&track), "a track is described before its events");
            out.events.push((number(&packet, 8).unwrap(), track, event));
        }
    }
    out
}

impl DecodedTrace {
    fn name(&self, event: &[(u64, support::Field)]) -> &str {
        number(event, 10).map_or("", |iid| self.names[&iid].as_str())
    }

    /// The slices: name, start, duration, and how many slices are around each.
    fn slices(&self) -> Vec<(String, u64, u64, usize)> {
        let mut open: BTreeMap<u64, Vec<(String, u64)>> = BTreeMap::new();
        let mut out = Vec::new();
        for (at, track, event) in &self.events {
            let stack = open.entry(*track).or_default();
            match number(event, 9) {
                Some(1) => stack.push((self.name(event).to_owned(), *at)),
                Some(2) => {
                    let (name, start) = stack.pop().unwrap();
                    out.push((name, start, at - start, stack.len()));
                }
                _ => {}
            }
        }
        assert!(open.values().all(Vec::is_empty));
        out.sort();
        out
    }
}

#[test]
fn perfetto_holds_every_event() {
    let decoded = decode_perfetto(&convert("perfetto", "out.pftrace"));
    let slice = |name: &str, start, dur, depth| (name.to_owned(), start, dur, depth);
    assert_eq!(
        decoded.slices(),
        [
            slice("async", 1_000, 8_000, 0),
            slice("crossing", 8_000, 3_000, 0),
            slice("cudaLaunchKernel", 3_000, 1_000, 2),
            slice("inner", 2_000, 3_500, 1),
            slice("k", 15_000, 2_000, 0),
            slice("outer", 1_001, 8_000, 0),
            slice("pair", 4_000, 2_000, 0),
        ]
    );
    // Flows: phase and id, at the slices that they tie together. Without a phase, it is the thread of an async event.
    let flow = |event: &[(u64, support::Field)]| {
        let legacy = decode(data(event, 6).first()?);
        Some((number(&legacy, 2)? as u8, number(&legacy, 6)?))
    };
    let flows: Vec<_> =
        decoded.events.iter().filter_map(|(at, _, event)| Some((*at, flow(event)?))).collect();
    assert!(flows.contains(&(3_000, (b's', 9))) && flows.contains(&(15_000, (b'f', 9))) && flows.len() == 2);
    // Arguments, with numbers as they are.
    let outer = decoded.events.iter().find(|(_, _, event)| decoded.name(event) == "outer").unwrap();
    let mut arguments = BTreeMap::new();
    for annotation in data(&outer.2, 4).iter().map(|bytes| decode(bytes)) {
        arguments.insert(decoded.annotation_names[&number(&annotation, 1).unwrap()].as_str(), annotation);
    }
    assert_eq!(number(&arguments["n"], 5), Some(1.5f64.to_bits()));
    assert_eq!(number(&arguments["big"], 3), Some(u64::MAX));
    assert_eq!(text(&arguments["s"], 6).as_deref(), Some("\u{e9}"));
    assert_eq!(data(&arguments["l"], 12).len(), 2);
    assert!(arguments.contains_key("other"), "members beside the arguments");
    // The end of a pair has arguments of its own; counters have tracks.
    assert!(decoded.events.iter().any(|(_, _, e)| number(e, 9) == Some(2) && !data(e, 4).is_empty()));
    let counters: Vec<_> = decoded.events.iter().filter(|(_, _, e)| number(e, 9) == Some(4)).collect();
    assert_eq!(counters.len(), 2);
    assert!(counters.iter().any(|(_, _, e)| number(e, 30) == Some(3)));
    assert!(counters.iter().any(|(_, _, e)| number(e, 44) == Some(0.5f64.to_bits())));
    // Kineto's device 0 is no process of the kernel.
    assert!(decoded.tracks.values().any(|t| text(t, 2).as_deref() == Some("process (pid 0)")));
    let thread = decoded.tracks.values().find_map(|t| data(t, 4).first().map(|b| decode(b))).unwrap();
    assert_eq!((number(&thread, 1), number(&thread, 2)), (Some(41), Some(42)));
}

#[test]
fn what_a_format_cannot_hold_is_counted() {
    let (dir, path) = trace();
    let out = dir.path().join("o.folded");
    let args = ["convert", "--format", "json", "--to", "folded", "-o"];
    let run = run(args.iter().copied().chain([out.to_str().unwrap(), path.to_str().unwrap()]));
    let written = &run.of("tracecv.output")[0];
    assert_eq!((&written["traces"], &written["events"]), (&json!(1), &json!(15)));
    assert_eq!(
        written["not_held"],
        json!({"`;` and control characters in names": 1, "arguments of events": 6, "counters": 1, "flows": 2, "moments": 1,
            "other members of events": 3})
    );
    assert_eq!(run.of("tracecv.summary")[0]["files"], 1);
}

#[test]
fn each_trace_gets_a_file_in_a_directory() {
    let (dir, path) = trace();
    let path = path.to_str().unwrap();
    let out = dir.path().join("out/");
    let out = format!("{}/", out.display());
    assert_eq!(run(["convert", "--to", "chrome", "-o", &out, path, path]).exit, Exit::Ok);
    let names: Vec<_> =
        testkit::list_files(Path::new(&out)).iter().map(|f| f.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["t-2.json", "t.json"]);
    let mode = std::os::unix::fs::MetadataExt::mode(&Path::new(&out).metadata().unwrap());
    assert_eq!(mode & 0o027, 0, "closed to others: {mode:o}");
    let failed = run(["convert", "--to", "chrome", "-o", "x.json", path, path]);
    assert!(failed.fatal.unwrap().contains("a file of format chrome holds one trace"));
}

#[test]
fn what_is_no_trace_leaves_no_file() {
    let (dir, path) = trace();
    let (bad, out) = (dir.path().join("bad.json"), dir.path().join("out.csv"));
    std::fs::write(&bad, "no trace").unwrap();
    let args = |input: &Path| {
        let [out, input] = [&out, input].map(|p| p.to_str().unwrap().to_owned());
        ["convert".to_owned(), "--to".to_owned(), "csv".to_owned(), "-o".to_owned(), out, input]
    };
    assert_eq!(run(args(&bad)).exit, Exit::Failed);
    assert!(!out.exists());
    // Of a trace that breaks off, there is what could be read.
    std::fs::write(&bad, &TRACE[..900]).unwrap();
    assert_eq!(run(args(&bad)).exit, Exit::Failed);
    assert!(std::fs::read_to_string(&out).unwrap().lines().count() > 3);
    assert_eq!(run(args(&path)).exit, Exit::Ok);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Damaged anywhere, a trace is written in every format all the same, and what is written is whole.
    #[test]
    fn damage_hurts_no_writer(at in 0..TRACE.len(), byte in any::<u8>(), length in 0..20_usize) {
        let mut bytes = TRACE.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, [byte]);
        tracecv::fuzz_conversion(&bytes);
        tracecv::fuzz_tables(&bytes);
    }
}

#[test]
fn spans_of_opentelemetry_nest_as_slices_do() {
    let written: Value = serde_json::from_slice(&convert("otlp", "out.otlp.json")).unwrap();
    let resource = &written["resourceSpans"][0];
    let rank = json!({"key": "rank", "value": {"intValue": "2"}});
    assert!(resource["resource"]["attributes"].as_array().unwrap().contains(&rank));
    let scopes = resource["scopeSpans"].as_array().unwrap();
    let spans: BTreeMap<&str, &Value> = scopes
        .iter()
        .flat_map(|scope| scope["spans"].as_array().unwrap())
        .map(|span| (span["name"].as_str().unwrap(), span))
        .collect();
    assert_eq!(spans.len(), 7);
    assert_eq!(spans["inner"]["parentSpanId"], spans["outer"]["spanId"]);
    assert_eq!(spans["outer"].get("parentSpanId"), None);
    assert_eq!(spans["k"]["startTimeUnixNano"], "1700000000000015000");
    assert_eq!(spans["k"]["endTimeUnixNano"], "1700000000000017000");
    let ids: std::collections::BTreeSet<&str> =
        spans.values().map(|s| s["spanId"].as_str().unwrap()).collect();
    assert!(ids.len() == 7 && ids.iter().all(|id| id.len() == 16));
    assert!(spans.values().all(|s| s["traceId"].as_str().unwrap().len() == 32));
    let attributes = spans["outer"]["attributes"].as_array().unwrap();
    assert!(attributes.contains(&json!({"key": "n", "value": {"doubleValue": 1.5}})));
}
