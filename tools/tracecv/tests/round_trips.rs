//! What goes through another format and back is what it was.

#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use common::exit::Exit;
use serde_json::{Map, Value, json};
use support::run;
use testkit::{list_files, require_data};
use trace::analysis::collect::CollectOptions;
use trace::analysis::sum::Sums;
use trace::model::{Event, EventId, EventSink, TraceMeta};
use trace::ranks::sum_for_check;
use trace::read::{ReadOptions, TraceSource, read_trace};

/// Two steps with nested slices, flows, counters, moments, async spans and work on a device.
const TRACE: &str = r#"{"schemaVersion":1,"distributedInfo":{"backend":"nccl","rank":2,"world_size":4,"pg_config":[{"pg_name":"0","ranks":[0,1,2,3]}]},
"deviceProperties":[{"id":0,"name":"GPU","totalGlobalMem":85899345920}],"baseTimeNanoseconds":1700000000000000000,"displayTimeUnit":"ms",
"stackFrames":{"5":{"name":"main","category":"py"}},"metadata":{"big":18446744073709551615,"x":1.50},"traceEvents":[
{"ph":"M","name":"process_name","pid":41,"tid":0,"ts":0,"args":{"name":"python"}},
{"ph":"M","name":"thread_name","pid":41,"tid":42,"ts":0,"args":{"name":"main; thread"}},
{"ph":"X","cat":"user_annotation","name":"ProfilerStep#1","pid":41,"tid":42,"ts":0,"dur":20},
{"ph":"X","cat":"cpu_op","name":"outer","pid":41,"tid":42,"ts":1.001,"dur":8,"args":{"n":1.5,"s":"\u00e9\"","l":[1,{"x":null}],"Input Dims":[[2,3],[]],"Sequence number":7,"args":{"deep":1}},"cname":"red"},
{"ph":"X","cat":"cpu_op","name":"inner","pid":41,"tid":42,"ts":2,"dur":3.5,"args":{"Call stack":"a;b"}},
{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":41,"tid":42,"ts":3,"dur":1,"args":{"correlation":9,"External id":3}},
{"ph":"s","id":9,"cat":"ac2g","name":"ac2g","pid":41,"tid":42,"ts":3},
{"ph":"f","id":9,"cat":"ac2g","name":"ac2g","pid":0,"tid":7,"ts":15,"bp":"e"},
{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":15,"dur":2,"args":{"correlation":9,"device":0,"stream":7,"grid":[1,2,3]}},
{"ph":"X","cat":"kernel","name":"ncclDevKernel_AllReduce_Sum_f32_RING_LL","pid":0,"tid":8,"ts":17.5,"dur":2,"args":{"device":0,"stream":8,"Collective name":"allreduce","In msg nelems":64}},
{"ph":"i","s":"t","cat":"cpu_instant_event","name":"[memory]","pid":41,"tid":42,"ts":5,"args":{"Bytes":-512}},
{"ph":"C","name":"queue","pid":41,"ts":5,"args":{"length":3,"load":0.5}},
{"ph":"b","cat":"c","id":"0x1f","name":"async","pid":41,"tid":42,"ts":1},
{"ph":"e","cat":"c","id":"0x1f","name":"async","pid":41,"tid":42,"ts":9}]}"#;

/// An event by what every format has to keep.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    phase: char,
    name: String,
    pid: String,
    tid: String,
    start: Option<i64>,
    dur: Option<i64>,
    id: String,
    args: String,
}

/// The events of a trace, with times on the wall clock.
#[derive(Default)]
struct KeptEvents {
    events: Vec<Kept>,
    /// Arguments that a format adds, or that it spells by itself.
    without: &'static [&'static str],
}

impl EventSink for KeptEvents {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let id = |id: EventId<'_>| match id {
            EventId::None => String::new(),
            EventId::Number(n) => n.to_string(),
            EventId::Text(text) => text.decode().into_owned(),
        };
        let mut args: Value = serde_json::from_slice(event.args).unwrap_or(json!({}));
        if let Some(members) = args.as_object_mut() {
            members.retain(|key, _| !self.without.contains(&key.as_str()));
        }
        self.events.push(Kept {
            phase: char::from(event.phase),
            name: event.name.decode().into_owned(),
            pid: id(event.pid),
            tid: id(event.tid),
            start: event.start,
            dur: event.dur,
            id: id(event.id),
            args: args.to_string(),
        });
        Ok(())
    }
}

fn events_without(path: &Path, without: &'static [&'static str]) -> Vec<Kept> {
    let file = Box::new(std::fs::File::open(path).unwrap());
    let mut kept = KeptEvents { events: Vec::new(), without };
    let source = TraceSource::of_file(file, path.to_owned());
    let outcome = read_trace(source, &ReadOptions::default(), &mut kept).unwrap();
    assert!(outcome.complete, "{}: {:?}", path.display(), outcome.error);
    for event in &mut kept.events {
        event.start = event.start.map(|start| start + outcome.meta.base_ns.unwrap_or(0));
    }
    kept.events
}

fn events(path: &Path) -> Vec<Kept> {
    events_without(path, &[])
}

fn convert(to: &str, from: &Path, out: &Path) {
    let done = run(["convert", "--to", to, "-o", out.to_str().unwrap(), from.to_str().unwrap()]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None), "{} to {to}", from.display());
}

fn root_members(path: &Path) -> Map<String, Value> {
    let text = std::fs::read(path).unwrap();
    let mut plain = Vec::new();
    let text = if text.starts_with(b"\x1f\x8b") {
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&text[..]), &mut plain).unwrap();
        plain
    } else {
        text
    };
    let Ok(Value::Object(mut members)) = serde_json::from_slice(&text) else { return Map::new() };
    if members.remove("traceEvents").is_some() { members } else { Map::new() }
}

#[test]
fn a_chrome_trace_keeps_the_members_beside_its_events() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("t.json"), dir.path().join("out.json"));
    std::fs::write(&from, TRACE).unwrap();
    convert("chrome", &from, &to);
    assert_eq!(root_members(&from), root_members(&to));
    assert!(std::fs::read_to_string(&to).unwrap().contains("18446744073709551615,\"x\":1.50"));
    // `anon` leaves these members out.
    let anonymous = dir.path().join("anon.json");
    let done = run(["anon", "-o", anonymous.to_str().unwrap(), from.to_str().unwrap()]);
    assert_eq!(done.exit, Exit::Ok);
    assert!(!root_members(&anonymous).contains_key("stackFrames"));
}

#[test]
fn every_shared_chrome_trace_keeps_its_members() {
    let Some(root) = require_data("") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for path in list_files(&root) {
        let name = path.to_string_lossy();
        if !(name.ends_with(".json") || name.ends_with(".json.gz"))
            || path.metadata().unwrap().len() > 2_000_000
        {
            continue;
        }
        let before = root_members(&path);
        let out = dir.path().join("out.json");
        let done = run(["convert", "--to", "chrome", "-o", out.to_str().unwrap(), path.to_str().unwrap()]);
        if done.exit != Exit::Ok || before.is_empty() {
            continue;
        }
        let after = root_members(&out);
        for (key, value) in &before {
            assert_eq!(after.get(key), Some(value), "{name}: {key}");
        }
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

/// Slices, moments, counters and flows come back with their names, times and arguments. Perfetto has pairs of begin and
/// end for all slices, and tracks in the place of ids.
#[test]
fn a_trace_comes_back_from_perfetto() {
    let dir = tempfile::tempdir().unwrap();
    let [from, between, to] = ["t.json", "t.pftrace", "back.json"].map(|name| dir.path().join(name));
    std::fs::write(&from, TRACE).unwrap();
    convert("perfetto", &from, &between);
    convert("chrome", &between, &to);
    // Members of an event beside those that every format knows come back as an argument.
    let after = contents(&events_without(&to, &["other"]));
    assert_eq!(contents(&events(&from)), after);
    assert!(std::fs::read_to_string(&to).unwrap().contains(r#""other":{"cname":"red"}"#));
}

/// What happened, by kind: name, start, duration and arguments of slices; the others with their moment.
fn contents(events: &[Kept]) -> BTreeMap<(String, String, i64, i64, String), u64> {
    let mut open: BTreeMap<(String, String, String), Vec<&Kept>> = BTreeMap::new();
    let mut out = BTreeMap::new();
    let mut add = |kind: &str, event: &Kept, dur: i64| {
        let at = event.start.unwrap_or(0);
        // Perfetto's counters have one value: those of several series are told by their names.
        let series: Map<String, Value> = match kind {
            "C" => serde_json::from_str(&event.args).unwrap(),
            _ => Map::new(),
        };
        for (key, value) in &series {
            let name = if series.len() > 1 { format!("{}: {key}", event.name) } else { event.name.clone() };
            *out.entry((kind.to_owned(), name, at, dur, value.to_string())).or_default() += 1;
        }
        if series.is_empty() {
            let key = (kind.to_owned(), event.name.clone(), at, dur, event.args.clone());
            *out.entry(key).or_default() += 1;
        }
    };
    let mut sorted: Vec<&Kept> = events.iter().collect();
    sorted.sort_by_key(|event| event.start);
    for event in sorted {
        let thread = (event.pid.clone(), event.tid.clone(), event.id.clone());
        match event.phase {
            'X' => add("slice", event, event.dur.unwrap_or(0)),
            'B' | 'b' => open.entry(thread).or_default().push(event),
            'E' | 'e' => {
                let begin = open.get_mut(&thread).and_then(Vec::pop).unwrap();
                add("slice", begin, event.start.unwrap() - begin.start.unwrap());
            }
            'M' => {}
            other => add(&other.to_string(), event, 0),
        }
    }
    out
}

#[cfg(feature = "parquet")]
#[test]
fn a_trace_comes_back_from_a_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let [from, between, to] = ["t.json", "ds", "back.json"].map(|name| dir.path().join(name));
    std::fs::write(&from, TRACE).unwrap();
    convert("parquet", &from, &between);
    convert("chrome", &between, &to);
    assert_eq!(events(&from), events(&to));
    let (before, after) = (root_members(&from), root_members(&to));
    for key in ["rank", "world_size", "backend"] {
        assert_eq!(before["distributedInfo"][key], after["distributedInfo"][key]);
    }
    // Members of events beside those that all have.
    assert!(std::fs::read_to_string(&to).unwrap().contains(r#""cname":"red""#));
}

/// The events of a Chrome trace as they stand in it, without their times.
fn texts(path: &Path) -> Vec<Value> {
    let text: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let list = if text.is_array() { &text } else { &text["traceEvents"] };
    let mut events = list.as_array().unwrap().clone();
    for event in events.iter_mut().filter_map(Value::as_object_mut) {
        event.retain(|key, _| key != "ts" && key != "dur");
    }
    events
}

/// Arguments and other members that look like what columns say, or that they do not say.
#[cfg(feature = "parquet")]
#[test]
fn odd_arguments_come_back_from_a_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let [from, between, to] = ["t.json", "ds", "back.json"].map(|name| dir.path().join(name));
    let kernel = |rest: &str| {
        format!(r#"{{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":15,"dur":2{rest}}}"#)
    };
    let events: Vec<String> = [
        "",
        r#","args":{}"#,
        r#","args":null"#,
        r#","args":"text""#,
        r#","args":[1]"#,
        r#","args":{"correlation":3}"#,
        r#","args":{"device":0}"#,
        r#","args":{"stream":7}"#,
        r#","args":{"stream_id":7}"#,
        r#","args":{"stream_id":7,"stream":7,"correlation":3,"correlation_id":3}"#,
        r#","args":{"device":null,"stream":null}"#,
        r#","args":{"device":"0","stream":7.0}"#,
        r#","args":{"args":{"device":0}}"#,
        r#","args":{"args":[1,2],"External id":0}"#,
        r#","no_args":["device"]"#,
        r#","no_args":[],"args":{"device":0,"stream":7}"#,
        r#","args":{"Process Group Ranks":"[0, 1]","Input Dims":[[1],[]],"dtype":"[x"}"#,
        r#","args":{"Process Group Ranks":[0,1],"Input Dims":"[[1],[]]","Call stack":"a\nb"}"#,
        r#","args":{"bytes":"5","Seq":1.0,"Group size":[2]}"#,
        r#","x":[1,{"y":null}],"cname":null"#,
    ]
    .map(kernel)
    .to_vec();
    let others =
        r#"{"ph":"i","name":"m","pid":[1],"tid":true,"ts":3},{"ph":"i","name":5,"pid":null,"ts":4,"id":{}}"#;
    std::fs::write(&from, format!("[{},{others}]", events.join(","))).unwrap();
    convert("parquet", &from, &between);
    convert("chrome", &between, &to);
    for (i, (before, after)) in texts(&from).iter().zip(texts(&to)).enumerate() {
        // Objects without members are left out.
        let mut before = before.clone();
        if before["args"] == json!({}) {
            before.as_object_mut().unwrap().remove("args");
        }
        assert_eq!(before, after, "{i}");
    }
}

/// Values inside each other deeper than messages of protobuf may be, and numbers larger than any float.
#[test]
fn deep_and_large_arguments_come_back_from_perfetto() {
    let dir = tempfile::tempdir().unwrap();
    let [from, between, to] = ["t.json", "t.pftrace", "back.json"].map(|name| dir.path().join(name));
    let deep = |depth: usize| format!("{}7{}", r#"[{"a":"#.repeat(depth / 2), "}]".repeat(depth / 2));
    let args = format!(r#"{{"a":{},"b":{},"c":{},"d":"1e999"}}"#, deep(20), deep(26), deep(120));
    let text = format!(r#"[{{"ph":"X","name":"e","pid":1,"tid":2,"ts":1,"dur":2,"args":{args}}}]"#);
    std::fs::write(&from, text.replace("\"1e999\"", "1e999")).unwrap();
    convert("perfetto", &from, &between);
    convert("chrome", &between, &to);
    let after = texts(&to).into_iter().find(|event| event["name"] == "e").unwrap();
    assert_eq!(after["args"], serde_json::from_str::<Value>(&args).unwrap());
}

/// Members with one name, names of threads on which nothing happens, and what async events say besides their ids.
#[test]
fn details_come_back_from_perfetto() {
    let dir = tempfile::tempdir().unwrap();
    let [from, between, to] = ["t.json", "t.pftrace", "back.json"].map(|name| dir.path().join(name));
    let events = [
        r#"{"ph":"M","name":"thread_name","pid":5,"tid":9,"args":{"name":"idle"}}"#,
        r#"{"ph":"M","name":"thread_name","pid":0,"tid":7,"args":{"name":"idle stream"}}"#,
        r#"{"ph":"X","name":"x","pid":5,"tid":6,"ts":1,"dur":1,"args":{"z":1,"a":2,"z":[{"k":1,"k":2}]}}"#,
        r#"{"ph":"b","cat":"c","name":"s","id":3,"pid":5,"tid":6,"ts":1}"#,
        r#"{"ph":"n","cat":"c","name":"s","id":3,"pid":6,"tid":8,"ts":2}"#,
        r#"{"ph":"e","cat":"c","name":"s","id":3,"pid":5,"tid":0,"ts":3}"#,
        r#"{"ph":"b","cat":"c","name":"l","id2":{"local":4},"scope":"w","pid":5,"tid":6,"ts":1}"#,
        r#"{"ph":"e","cat":"c","name":"l","id2":{"local":4},"scope":"w","pid":5,"tid":6,"ts":2}"#,
    ];
    std::fs::write(&from, format!("[{}]", events.join(","))).unwrap();
    convert("perfetto", &from, &between);
    convert("chrome", &between, &to);
    let back = std::fs::read_to_string(&to).unwrap();
    assert!(back.contains(r#"{"z":1,"a":2,"z":[{"k":1,"k":2}]}"#), "{back}");
    let mut back = texts(&to);
    for event in &mut back {
        // Members that only JSON has are an argument, too.
        let is_other = event.pointer("/args/other").is_some();
        event.as_object_mut().unwrap().retain(|key, _| key != "args" || !is_other);
    }
    for event in texts(&from).iter().filter(|event| event["ph"] != "X") {
        assert!(back.contains(event), "{event} of {back:?}");
    }
}

/// Attributes of OpenTelemetry have one name each: arguments that have that of another are counted.
#[test]
fn attributes_that_have_one_name_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("t.json"), dir.path().join("t.otlp.json"));
    let events = [
        r#"{"ph":"X","name":"x","pid":5,"tid":6,"ts":1,"dur":1,"args":{"z":1,"a":{"k":1,"k":2},"z":"last"}}"#,
        r#"{"ph":"B","name":"y","pid":5,"tid":6,"ts":2,"args":{"a":1,"b":2}}"#,
        r#"{"ph":"E","name":"y","pid":5,"tid":6,"ts":3,"args":{"a":3,"category":"of the end"}}"#,
    ];
    std::fs::write(&from, format!("[{}]", events.join(","))).unwrap();
    let args = ["convert", "--format", "json", "--to", "otlp", "-o"];
    let done = run(args.iter().copied().chain([to.to_str().unwrap(), from.to_str().unwrap()]));
    assert_eq!(done.of("tracecv.output")[0]["not_held"]["arguments with the name of a later one"], 4);
    let written: Value = serde_json::from_slice(&std::fs::read(&to).unwrap()).unwrap();
    let spans = written["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    let value = |text: &str| json!({"stringValue": text});
    let whole = |n: i64| json!({"intValue": n.to_string()});
    let nested = json!({"kvlistValue": {"values": [{"key": "k", "value": whole(2)}]}});
    let attributes = |list: &[(&str, Value)]| {
        Value::from_iter(list.iter().map(|(key, value)| json!({"key": key, "value": value})))
    };
    let first = attributes(&[("category", value("other")), ("a", nested), ("z", value("last"))]);
    let second = attributes(&[("b", whole(2)), ("a", whole(3)), ("category", value("of the end"))]);
    assert_eq!((&spans[0]["attributes"], &spans[1]["attributes"]), (&first, &second));
}

/// What Perfetto does not have of events that are not what they should be is counted.
#[test]
fn odd_pairs_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("t.json"), dir.path().join("t.pftrace"));
    let not_held = |events: &[&str]| {
        let events: Vec<String> =
            events.iter().map(|event| format!(r#"{{"pid":1,"tid":2,{event}}}"#)).collect();
        std::fs::write(&from, format!("[{}]", events.join(","))).unwrap();
        let args = ["convert", "--format", "json", "--to", "perfetto", "-o"];
        let done = run(args.iter().copied().chain([to.to_str().unwrap(), from.to_str().unwrap()]));
        done.of("tracecv.output")[0].get("not_held").cloned().unwrap_or(json!({}))
    };
    let (a, b) = (r#""ph":"B","name":"a","ts":1"#, r#""ph":"B","name":"b","ts":2"#);
    let (end_a, end_b) = (r#""ph":"E","name":"a","ts":3"#, r#""ph":"E","name":"b","ts":4"#);
    assert_eq!(not_held(&[a, b, end_a, end_b]), json!({}));
    assert_eq!(not_held(&[a, r#""ph":"E","ts":3"#]), json!({}));
    assert_eq!(not_held(&[end_a, a, end_a]), json!({"ends without a begin": 1}));
    assert_eq!(not_held(&[a, end_b]), json!({"names of ends that are not those of their begins": 1}));
    let open = "ends of slices that are open (they end with their track)";
    assert_eq!(not_held(&[a, b, end_b]), json!({open: 1}));
    let complete = [r#""ph":"X","name":"a","ts":1"#, r#""ph":"X","name":"a","ts":1,"dur":0"#];
    assert_eq!(not_held(&complete), json!({"durations that events lack (they take no time)": 1}));
}

/// Texts that are not quite JSON are read, counted, and written as JSON, also beside the events.
#[test]
fn raw_control_characters_are_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("t.json"), dir.path().join("out.json"));
    let text = "{\"x\":[\"a\tb\", 1],\"y\":\"\\ud800\",\"z\":\"C:\\dir\",\"traceEvents\":[{\"ph\":\"i\",\"name\":\"e\n\",\"ts\":1}]}";
    std::fs::write(&from, text).unwrap();
    convert("chrome", &from, &to);
    assert_eq!(texts(&to)[0]["name"], "e\n");
    let members = root_members(&to);
    assert_eq!(
        (&members["x"], &members["y"], &members["z"]),
        (&json!(["a\tb", 1]), &json!("\u{fffd}"), &json!("C:\\dir"))
    );
    let strict =
        ["convert", "--strict", "--to", "chrome", "-o", to.to_str().unwrap(), from.to_str().unwrap()];
    assert_ne!(run(strict).errors, 0);
}

#[cfg(feature = "parquet")]
#[test]
fn a_part_with_several_traces_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<_> = [0, 1].map(|rank| dir.path().join(format!("rank{rank}.json"))).to_vec();
    for (rank, path) in paths.iter().enumerate() {
        std::fs::write(path, TRACE.replace("\"rank\":2", &format!("\"rank\":{rank}"))).unwrap();
    }
    let out = dir.path().join("ds");
    let args = ["convert", "--to", "parquet", "-o", out.to_str().unwrap()];
    let paths = paths.iter().map(|path| path.to_str().unwrap());
    assert_eq!(run(args.into_iter().chain(paths)).exit, Exit::Ok);
    let part = out.join("run=1/table=events/part-00001-of-00001.parquet");
    let mut none = KeptEvents::default();
    let source = TraceSource::of_file(Box::new(std::fs::File::open(&part).unwrap()), part);
    let outcome = read_trace(source, &ReadOptions::default(), &mut none).unwrap();
    assert!(outcome.error.unwrap().to_string().contains("several traces") && none.events.is_empty());
}

/// A database, its data set, and a database of that: the same operators, calls, kernels and collectives.
#[cfg(all(feature = "parquet", feature = "sqlite"))]
#[test]
fn a_database_comes_back_from_a_data_set() {
    let mut databases = Vec::new();
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own.json");
    std::fs::write(&own, TRACE).unwrap();
    let first = dir.path().join("ascend_pytorch_profiler_2.db");
    convert("ascend-db", &own, &first);
    databases.push(first);
    let shared = "msinsight/test/data/pytorch/db/level1/rank0_ascend_pt/ASCEND_PROFILER_OUTPUT";
    databases.extend(require_data(shared).map(|tree| tree.join("ascend_pytorch_profiler_0.db")));
    for (i, first) in databases.iter().enumerate() {
        let [between, last] = ["ds", "db"].map(|name| dir.path().join(format!("{i}.{name}")));
        convert("parquet", first, &between);
        convert("ascend-db", &between, &last);
        for query in TABLES {
            let (before, after) = (rows(first, query), rows(&last, query));
            assert!(!before.is_empty() || i == 0, "{query}");
            assert_eq!(before, after, "{} {query}", first.display());
        }
    }
}

/// Rows by name and time, as other programs join them.
#[cfg(feature = "sqlite")]
const TABLES: [&str; 4] = [
    "SELECT s.value, t.startNs, t.endNs - t.startNs, t.streamId FROM TASK t JOIN COMPUTE_TASK_INFO i USING (globalTaskId)
        JOIN STRING_IDS s ON s.id = i.name",
    "SELECT s.value, o.startNs, o.endNs - o.startNs, 0 FROM COMMUNICATION_OP o JOIN STRING_IDS s ON s.id = o.opName",
    "SELECT s.value, CAST(p.startNs AS INTEGER), p.endNs - p.startNs, p.globalTid FROM PYTORCH_API p
        JOIN STRING_IDS s ON s.id = p.name WHERE p.type = 50001 AND s.value NOT LIKE 'ProfilerStep#%'",
    "SELECT s.value, a.startNs, a.endNs - a.startNs, a.globalTid FROM CANN_API a JOIN STRING_IDS s ON s.id = a.name",
];

#[cfg(feature = "sqlite")]
fn rows(path: &Path, query: &str) -> Vec<(String, i64, i64, i64)> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare(query).unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let mut rows: Vec<_> = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
    rows.sort();
    rows
}

/// The same recording as text and as a database: made one of the other, they have the same sums, which Python works out.
#[cfg(feature = "sqlite")]
#[test]
fn a_timeline_and_its_database_have_the_same_sums() {
    const SCRIPT: &str = "
import csv, json, sqlite3, sys
from decimal import Decimal
table, timeline, database = sys.argv[1:]
ns = lambda x: int((Decimal(str(x).strip()) * 1000).quantize(0, 'ROUND_HALF_UP'))
events = json.load(open(timeline), parse_float=Decimal)
names = {e['pid']: e['args']['name'] for e in events if e['ph'] == 'M' and e['name'] == 'process_name'}
rows = list(csv.DictReader(open(table, newline='')))
kernels = {(r['Name'], ns(r['Start Time(us)'])) for r in rows if r['Accelerator Core'] != 'HCCL'}
of = lambda process: [(e['name'], ns(e['ts']), ns(e['dur'])) for e in events if e['ph'] == 'X' and names[e['pid']] == process]
rows = of('Ascend Hardware')
text = [e for e in rows if e[:2] in kernels]
collectives = [e for e in of('Communication') + of('HCCL') if e[0].startswith('hcom_')]
c = sqlite3.connect('file:' + database + '?mode=ro', uri=True)
tasks = c.execute('select s.value, t.startNs, t.endNs - t.startNs from TASK t join COMPUTE_TASK_INFO i using (globalTaskId) join STRING_IDS s on s.id = i.name').fetchall()
ops = c.execute('select s.value, o.startNs, o.endNs - o.startNs from COMMUNICATION_OP o join STRING_IDS s on s.id = o.opName').fetchall()
assert len(text) == len(kernels) and sorted(text) == sorted(tasks), (len(text), len(kernels), len(tasks))
assert sorted(collectives) == sorted(ops), (len(collectives), len(ops))
print(sum(e[2] for e in tasks), sum(e[2] for e in ops))";
    for rank in [0, 1] {
        let tree =
            format!("msinsight/test/data/pytorch/text/level1/rank{rank}_ascend_pt/ASCEND_PROFILER_OUTPUT");
        let Some(tree) = require_data(&tree) else { return };
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("out.db");
        let timeline = tree.join("trace_view.json");
        convert("ascend-db", &timeline, &database);
        let script = dir.path().join("sums.py");
        std::fs::write(&script, SCRIPT).unwrap();
        let table = tree.join("kernel_details.csv");
        let Ok(python) = testkit::find("python3").inspect_err(|reason| testkit::skip(reason)) else { return };
        let output =
            std::process::Command::new(python).arg(&script).args([&table, &timeline, &database]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let sums = String::from_utf8(output.stdout).unwrap();
        assert!(sums.split_whitespace().all(|ns| ns.parse::<i64>().unwrap() > 1_000_000), "{sums}");
    }
}

/// The sums of a trace, and what it says of itself.
fn sums(path: &Path) -> (Sums, TraceMeta) {
    let mut collected = CollectOptions::default().collector();
    let file = Box::new(std::fs::File::open(path).unwrap());
    let source = TraceSource::of_file(file, path.to_owned());
    let outcome = read_trace(source, &ReadOptions::default(), &mut collected).unwrap();
    (sum_for_check(collected, &outcome).unwrap(), outcome.meta)
}

/// Copies of one name that overlap on a stream, and spans that are on no thread, have their times after Perfetto, too; and
/// the trace knows whose it is.
#[test]
fn sums_and_ranks_come_back_from_perfetto() {
    let dir = tempfile::tempdir().unwrap();
    let [from, between, to] = ["t.json", "t.pftrace", "back.json"].map(|name| dir.path().join(name));
    let trace = json!({"schemaVersion": 1, "host_name": "node7", "trace_id": "A1",
        "distributedInfo": {"backend": "nccl", "rank": 5, "world_size": 8}, "deviceProperties": [{"id": 0, "name": "H100"}],
        "traceEvents": [
        {"ph": "X", "cat": "gpu_memcpy", "name": "copy", "pid": 0, "tid": 7, "ts": 1, "dur": 10, "args": {"device": 0, "stream": 7}},
        {"ph": "X", "cat": "gpu_memcpy", "name": "copy", "pid": 0, "tid": 7, "ts": 6, "dur": 20, "args": {"device": 0, "stream": 7}},
        {"ph": "X", "cat": "cpu_op", "name": "outer", "pid": 1, "tid": 1, "ts": 1, "dur": 5},
        {"ph": "X", "cat": "cpu_op", "name": "same", "pid": 1, "tid": 1, "ts": 1, "dur": 5},
        {"ph": "b", "cat": "cpu_op", "id": "0x7", "name": "away", "pid": 1, "tid": 1, "ts": 100},
        {"ph": "e", "cat": "cpu_op", "id": "0x7", "name": "away", "pid": 1, "tid": 1, "ts": 900}]});
    std::fs::write(&from, trace.to_string()).unwrap();
    convert("perfetto", &from, &between);
    convert("chrome", &between, &to);
    let slices = |path: &Path| {
        let of = |e: Kept| (e.phase != 'M').then_some((e.phase, e.name, e.start, e.dur, e.id));
        let mut slices: Vec<_> = events(path).into_iter().filter_map(of).collect();
        slices.sort();
        slices
    };
    assert_eq!(slices(&from), slices(&to));
    let (before, about) = sums(&from);
    for path in [&between, &to] {
        let (after, told) = sums(path);
        assert_eq!(before.host[0].host_op, after.host[0].host_op);
        assert_eq!(
            (about.rank, about.world_size, &about.devices),
            (told.rank, told.world_size, &told.devices)
        );
        assert_eq!(
            (&about.backend, &about.host, &about.trace_id),
            (&told.backend, &told.host, &told.trace_id)
        );
    }
}

/// Whether everything on the host counts or only its operators follows from the events: not from what is beside them.
#[test]
fn host_time_does_not_depend_on_the_format() {
    let dir = tempfile::tempdir().unwrap();
    let [plain, told] = ["plain.json", "told.json"].map(|name| dir.path().join(name));
    let events = r#""traceEvents":[{"ph":"M","name":"process_name","pid":1,"args":{"name":"/host:CPU"}},
        {"ph":"X","name":"train","pid":1,"tid":1,"ts":5,"dur":20}]"#;
    std::fs::write(&plain, format!("{{{events}}}")).unwrap();
    std::fs::write(&told, format!(r#"{{"baseTimeNanoseconds":1700000000000000000,{events}}}"#)).unwrap();
    assert_eq!([&plain, &told].map(|path| sums(path).0.host[0].host_op), [20_000, 20_000]);
}

#[cfg(feature = "parquet")]
#[test]
fn names_of_devices_come_back_from_a_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let [from, between] = ["t.json", "ds"].map(|name| dir.path().join(name));
    std::fs::write(&from, TRACE).unwrap();
    convert("parquet", &from, &between);
    let part = between.join("run=1/table=events/part-00001-of-00001.parquet");
    assert_eq!(sums(&part).1.devices, sums(&from).1.devices);
    assert_eq!(sums(&part).1.devices[&0], "GPU");
}
