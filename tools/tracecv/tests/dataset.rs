//! `tracecv convert --to parquet`: tables that other programs read.

#![cfg(feature = "parquet")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::exit::Exit;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;
use support::run;
use trace::model::{Event, EventSink};
use trace::read::{ReadOptions, TraceSource, read_trace};

/// Two steps, of which the first launches a kernel that runs in the second.
fn trace(rank: i64) -> String {
    format!(
        r#"{{"distributedInfo":{{"backend":"nccl","rank":{rank},"world_size":2}},"baseTimeNanoseconds":1700000000000000000,"traceEvents":[
{{"ph":"X","cat":"kernel","name":"ncclDevKernel_AllReduce_Sum_f32_RING_LL","pid":0,"tid":7,"ts":15,"dur":2,"args":{{"correlation":9,"device":0,"stream":7,"Collective name":"allreduce","Group size":2,"In msg nelems":64,"dtype":"Float","grid":[1,2,3]}}}},
{{"ph":"X","cat":"user_annotation","name":"ProfilerStep#1","pid":1,"tid":1,"ts":0,"dur":10}},
{{"ph":"X","cat":"user_annotation","name":"ProfilerStep#2","pid":1,"tid":1,"ts":10,"dur":10}},
{{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":1,"tid":1,"ts":3,"dur":1,"args":{{"correlation":9}}}},
{{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":1,"tid":1,"ts":11.5,"dur":1,"cname":"red","args":{{"args":1,"Input Dims":[[2,3]]}}}}]}}"#
    )
}

/// The rows of a table, as JSON.
fn rows(dir: &Path, table: &str, part: &str) -> Vec<Value> {
    let path = dir.join(format!("run=1/table={table}/{part}.parquet"));
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_json_value_of_columns()).collect()
}

/// The columns that hold a value.
trait ToJson {
    fn to_json_value_of_columns(&self) -> Value;
}

impl ToJson for parquet::record::Row {
    fn to_json_value_of_columns(&self) -> Value {
        let value = |field: &parquet::record::Field| match field {
            parquet::record::Field::Long(n) => Some(Value::from(*n)),
            parquet::record::Field::Str(text) => Some(Value::from(text.as_str())),
            parquet::record::Field::Null => None,
            other => panic!("{other:?}"),
        };
        self.get_column_iter().filter_map(|(name, field)| Some((name.clone(), value(field)?))).collect()
    }
}

#[test]
fn rows_have_steps_wall_clock_and_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    std::fs::write(&path, trace(1)).unwrap();
    let out = dir.path().join("ds");
    let done = run(["convert", "--to", "parquet", "-o", out.to_str().unwrap(), path.to_str().unwrap()]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let part = "part-00001-of-00001";
    let events = rows(&out, "events", part);
    // Sorted by step and start, though the kernel is first in the file and runs in the second step.
    let order: Vec<_> = events.iter().map(|e| (e["step"].as_i64(), e["index"].as_i64().unwrap())).collect();
    assert_eq!(order, [(Some(1), 1), (Some(1), 3), (Some(1), 0), (Some(2), 2), (Some(2), 4)]);
    let kernel = &events[2];
    assert_eq!(kernel["start_ns"], 1_700_000_000_000_015_000_i64);
    assert_eq!(
        (&kernel["dur_ns"], &kernel["rank"], &kernel["category"]),
        (&2000.into(), &1.into(), &"collective".into())
    );
    assert_eq!(
        (&kernel["group_size"], &kernel["in_elements"], &kernel["dtype"]),
        (&2.into(), &64.into(), &"Float".into())
    );
    assert_eq!(kernel["args"], r#"{"grid":[1,2,3]}"#);
    assert_eq!(events[4]["args"], r#"{"args":1,"Input Dims":[[2,3]]}"#);
    assert_eq!(events[4]["other"], r#"{"cname":"red"}"#);
    assert_eq!(rows(&out, "kernels", part).len(), 1);
    assert_eq!(rows(&out, "collectives", part)[0]["collective"], "allreduce");
    let steps: Vec<_> = rows(&out, "steps", part).iter().map(|s| s["step"].as_i64().unwrap()).collect();
    assert_eq!(steps, [1, 2]);
    let ranks = rows(&out, "ranks", part);
    assert_eq!((ranks.len(), &ranks[0]["world_size"], &ranks[0]["events"]), (1, &2.into(), &5.into()));
}

#[test]
fn shards_write_one_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<String> = (0..5)
        .map(|rank| {
            let path = dir.path().join(format!("rank{rank}.json"));
            std::fs::write(&path, trace(rank)).unwrap();
            path.to_str().unwrap().to_owned()
        })
        .collect();
    let out = dir.path().join("ds");
    let mut seen = Vec::new();
    for shard in ["1/2", "2/2"] {
        let args = ["convert", "--to", "parquet", "--shard", shard, "-o", out.to_str().unwrap()];
        let done = run(args.iter().map(|s| (*s).to_owned()).chain(paths.clone()));
        assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
        let part = format!("part-0000{}-of-00002", &shard[..1]);
        let ranks = rows(&out, "ranks", &part);
        seen.extend(ranks.iter().map(|r| r["rank"].as_i64().unwrap()));
        assert_eq!(rows(&out, "events", &part).len(), ranks.len() * 5);
    }
    let mode = std::os::unix::fs::MetadataExt::mode(&out.metadata().unwrap());
    assert_eq!(mode & 0o027, 0, "closed to others: {mode:o}");
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

/// The records of the manifest of a part.
fn manifest(dir: &Path, part: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(format!("run=1/_manifest/{part}.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn traces_that_cannot_be_read_are_rows_and_the_manifest_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let whole = trace(0);
    std::fs::write(path("whole.json"), &whole).unwrap();
    std::fs::write(path("cut.json"), &whole[..whole.len() - 60]).unwrap();
    std::fs::write(path("bad.json"), "no trace").unwrap();
    std::fs::write(path("empty.json"), "").unwrap();
    let traces = ["whole.json", "cut.json", "bad.json", "empty.json"].map(path);
    let out = dir.path().join("ds");
    let args = ["convert", "--to", "parquet", "-o", out.to_str().unwrap()].map(str::to_owned);
    let done = run(args.iter().cloned().chain(traces.clone()));
    assert_eq!(done.exit, Exit::Failed);
    let part = "part-00001-of-00001";
    let ranks = rows(&out, "ranks", part);
    let mut status: Vec<_> =
        ranks.iter().map(|r| (r["trace"].clone(), r["status"].as_str().unwrap())).collect();
    status.sort_by_key(|(name, _)| traces.iter().position(|trace| name == trace));
    let words: Vec<_> = status.iter().map(|(_, word)| *word).collect();
    assert_eq!(words, ["complete", "incomplete", "unreadable", "unreadable"]);
    assert!(ranks.iter().all(|r| (r["status"] == "complete") == r["error"].is_null()), "{ranks:?}");
    let lines = manifest(&out, part);
    assert_eq!((&lines[0]["type"], &lines[0]["traces"]), (&"tracecv.part".into(), &4.into()));
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).cloned().collect::<Vec<_>>();
    assert_eq!(of("tracecv.part_trace").len(), 4);
    let tables = of("tracecv.part_table");
    assert_eq!(tables.len(), 6);
    for table in tables {
        let file = out.join("run=1").join(table["path"].as_str().unwrap());
        let sum = std::process::Command::new("sha256sum").arg(&file).output().unwrap().stdout;
        assert!(sum.starts_with(table["sha256"].as_str().unwrap().as_bytes()), "{table}");
        assert_eq!(table["size_bytes"], file.metadata().unwrap().len());
    }
}

#[test]
fn the_same_traces_give_the_same_bytes_and_another_number_of_parts_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    std::fs::write(&path, trace(1)).unwrap();
    let out = dir.path().join("ds");
    let convert = |shard: &str| {
        let args = ["convert", "--to", "parquet", "--shard", shard, "-o", out.to_str().unwrap()];
        run(args.iter().copied().chain([path.to_str().unwrap()]))
    };
    assert_eq!(convert("1/2").exit, Exit::Ok);
    let first = manifest(&out, "part-00001-of-00002");
    assert_eq!(convert("1/2").exit, Exit::Ok);
    assert_eq!(manifest(&out, "part-00001-of-00002"), first);
    // A part without any trace is there as well: so missing parts can be found.
    assert_eq!(convert("2/2").exit, Exit::Ok);
    assert_eq!(rows(&out, "ranks", "part-00002-of-00002"), Vec::<Value>::new());
    assert_eq!(manifest(&out, "part-00002-of-00002").len(), 7);
    let refused = convert("1/3").fatal.unwrap();
    assert!(refused.contains("is not one of 3 parts"), "{refused}");
}

#[test]
fn kernels_have_modules_and_memory_has_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    let events = [
        r#"{"ph":"X","cat":"python_function","name":"nn.Module: Net_0","pid":1,"tid":1,"ts":0,"dur":50}"#,
        r#"{"ph":"X","cat":"python_function","name":"nn.Module: Linear_1","pid":1,"tid":1,"ts":2,"dur":10}"#,
        r#"{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":1,"tid":1,"ts":3,"dur":5,"args":{"Sequence number":7}}"#,
        r#"{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":1,"tid":1,"ts":4,"dur":1,"args":{"correlation":1}}"#,
        r#"{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":1,"tid":1,"ts":20,"dur":1,"args":{"correlation":2}}"#,
        r#"{"ph":"X","cat":"cpu_op","name":"MmBackward0","pid":1,"tid":2,"ts":60,"dur":9,"args":{"Sequence number":7,"Fwd thread id":1}}"#,
        r#"{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":1,"tid":2,"ts":61,"dur":1,"args":{"correlation":3}}"#,
        r#"{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":1,"tid":2,"ts":90,"dur":1,"args":{"correlation":4}}"#,
        r#"{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":10,"dur":2,"args":{"correlation":1,"device":0,"stream":7}}"#,
        r#"{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":30,"dur":2,"args":{"correlation":2,"device":0,"stream":7}}"#,
        r#"{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":70,"dur":2,"args":{"correlation":3,"device":0,"stream":7}}"#,
        r#"{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":95,"dur":2,"args":{"correlation":4,"device":0,"stream":7}}"#,
        r#"{"ph":"i","s":"t","cat":"cpu_instant_event","name":"[memory]","pid":1,"tid":1,"ts":5,"args":{"Device Type":1,"Device Id":0,"Addr":139000,"Bytes":-512,"Total Allocated":1024,"Total Reserved":4096}}"#,
    ];
    std::fs::write(&path, format!("{{\"traceEvents\":[{}]}}", events.join(","))).unwrap();
    let out = dir.path().join("ds");
    let done = run(["convert", "--to", "parquet", "-o", out.to_str().unwrap(), path.to_str().unwrap()]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let part = "part-00001-of-00001";
    let modules: Vec<_> =
        rows(&out, "kernels", part).iter().map(|k| k["module"].as_str().map(str::to_owned)).collect();
    let name = |text: &str| Some(format!("nn.Module: {text}"));
    assert_eq!(modules, [name("Linear_1"), name("Net_0"), name("Linear_1"), None]);
    let memory = rows(&out, "memory", part);
    assert_eq!(
        (memory.len(), &memory[0]["bytes"], &memory[0]["address"]),
        (1, &(-512).into(), &"139000".into())
    );
    assert_eq!((&memory[0]["allocated_bytes"], &memory[0]["reserved_bytes"]), (&1024.into(), &4096.into()));
}

/// A kernel of `dur` us, launched 15 us before it starts.
fn launched(i: i64, (start, dur): (i64, i64), (host, device): (&str, &str)) -> String {
    format!(
        r#"{{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":{host},"tid":1,"ts":{},"dur":4,"args":{{"correlation":{i}}}}},
{{"ph":"X","cat":"kernel","name":"gemm","pid":{device},"tid":7,"ts":{start},"dur":{dur},"args":{{"device":0,"stream":7,"correlation":{i}}}}}"#,
        start - 15
    )
}

fn step(number: i64, host: &str, (start, dur): (i64, i64)) -> String {
    format!(
        r#"{{"ph":"X","cat":"user_annotation","name":"ProfilerStep#{number}","pid":{host},"tid":1,"ts":{start},"dur":{dur}}}"#
    )
}

fn convert(events: &[String], options: &[&str]) -> (testkit::ToolRun, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("t.json"), dir.path().join("ds"));
    let head = r#"{"schemaVersion":1,"distributedInfo":{"rank":0,"world_size":2},"traceEvents":["#;
    std::fs::write(&path, format!("{head}{}]}}", events.join(","))).unwrap();
    let args = ["convert", "--to", "parquet", "-o", out.to_str().unwrap(), path.to_str().unwrap()];
    (run(args.iter().chain(options).map(|s| (*s).to_owned())), dir)
}

/// Number of the step, rank, device events and length of the work.
fn step_rows(dir: &Path) -> Vec<(i64, i64, i64, i64)> {
    let rows = rows(&dir.join("ds"), "steps", "part-00001-of-00001");
    let number = |row: &Value, name: &str| row[name].as_i64().unwrap_or(-1);
    let mut found: Vec<_> = rows
        .iter()
        .map(|r| (number(r, "rank"), number(r, "step"), number(r, "device_events"), number(r, "total_ns")))
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn ranks_that_were_merged_into_one_file_are_told_apart() {
    let of_rank = |host: &str, device: &str, since: i64, dur: i64| {
        let ids = (host, device);
        vec![
            step(1, host, (since, 400)),
            launched(1, (since + 50, dur), ids),
            launched(2, (since + 150, dur), ids),
            step(2, host, (since + 400, 400)),
            launched(3, (since + 450, dur), ids),
        ]
    };
    let named =
        [of_rank("\"[TP00] 83\"", "\"[TP00] 0\"", 0, 10), of_rank("\"[TP01] 84\"", "\"[TP01] 0\"", 300, 40)]
            .concat();
    let (done, dir) = convert(&named, &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let expected = [(0, 1, 2, 110_000), (0, 2, 1, 10_000), (1, 1, 2, 140_000), (1, 2, 1, 40_000)];
    assert_eq!(step_rows(dir.path()), expected);
    let part = "part-00001-of-00001";
    let events = rows(&dir.path().join("ds"), "events", part);
    let of = |rank: i64| events.iter().filter(|e| e["rank"] == rank).count();
    assert_eq!((events.len(), of(0), of(1)), (16, 8, 8));
    let ranks = rows(&dir.path().join("ds"), "ranks", part);
    let counts: Vec<_> = ranks.iter().map(|r| (r["rank"].as_i64(), r["events"].as_i64())).collect();
    assert_eq!(counts, [(Some(0), Some(8)), (Some(1), Some(8))]);
    // Nothing tells whose these are.
    let nameless = [of_rank("83", "0", 0, 10), of_rank("84", "0", 300, 40)].concat();
    let (refused, dir) = convert(&nameless, &[]);
    assert_eq!((refused.exit, refused.errors), (Exit::Failed, 1));
    assert!(rows(&dir.path().join("ds"), "events", part).is_empty());
    let ranks = rows(&dir.path().join("ds"), "ranks", part);
    assert_eq!((ranks.len(), &ranks[0]["status"]), (1, &"unreadable".into()), "{ranks:?}");
    assert!(ranks[0]["error"].as_str().unwrap().contains("cannot be distinguished"), "{ranks:?}");
}

#[test]
fn an_event_at_an_impossible_time_belongs_to_no_step() {
    let since = 1_623_000_000_000_000;
    let ids = ("100", "0");
    let events = [
        step(1, "100", (since, 400)),
        launched(1, (since + 50, 10), ids),
        launched(2, (since + 150, 10), ids),
        launched(3, (since + 250, 10), ids),
        launched(4, (since + 350, 10), ids).replacen(&(since + 350).to_string(), "0", 1),
    ];
    let (done, dir) = convert(&events, &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    assert_eq!(step_rows(dir.path()), [(0, 1, 3, 210_000)]);
    // It is an event all the same.
    assert_eq!(rows(&dir.path().join("ds"), "kernels", "part-00001-of-00001").len(), 4);
}

#[test]
fn steps_are_those_that_the_user_names() {
    let events = [
        step(0, "100", (0, 400)).replace("ProfilerStep#0", "my batch 7"),
        launched(1, (50, 10), ("100", "0")),
        step(0, "100", (400, 400)).replace("ProfilerStep#0", "my batch 8"),
        launched(2, (450, 20), ("100", "0")),
    ];
    assert_eq!(step_rows(convert(&events, &[]).1.path()), []);
    let (done, dir) = convert(&events, &["--step-name", r"^my batch (\d+)", "--class", "copy=gemm"]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    assert_eq!(step_rows(dir.path()), [(0, 7, 1, 10_000), (0, 8, 1, 20_000)]);
    let kernels = rows(&dir.path().join("ds"), "kernels", "part-00001-of-00001");
    assert!(kernels.iter().all(|k| k["category"] == "memcpy"), "{kernels:?}");
}

/// Runs `tracecv convert --to parquet` with these arguments.
fn convert_to(out: &Path, more: &[&Path], options: &[&str]) -> testkit::ToolRun {
    let args = ["convert", "--to", "parquet", "-o"].map(OsString::from);
    let options = options.iter().map(OsString::from);
    let more = more.iter().map(|path| path.as_os_str().to_owned());
    run(args.into_iter().chain([out.as_os_str().to_owned()]).chain(options).chain(more))
}

/// Everything below a directory, with the bytes of files.
fn tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(tree(&path))
        } else {
            found.push((path.clone(), std::fs::read(path).unwrap()))
        }
    }
    found.sort();
    found
}

#[test]
fn traces_that_are_not_there_replace_no_part() {
    let dir = tempfile::tempdir().unwrap();
    let [good, absent, empty, out] = ["good", "absent", "empty", "ds"].map(|name| dir.path().join(name));
    std::fs::create_dir(&good).unwrap();
    std::fs::create_dir(&empty).unwrap();
    for rank in [0, 1] {
        std::fs::write(good.join(format!("rank{rank}.json")), trace(rank)).unwrap();
    }
    let list = dir.path().join("list");
    std::fs::write(&list, "").unwrap();
    let fails = |out: &Path, inputs: &[&Path], options: &[&str], reason: &str| {
        let done = convert_to(out, inputs, options);
        let said = done.fatal.unwrap_or_default();
        assert!(done.exit == Exit::Failed && said.contains(reason), "{inputs:?} {options:?}: {said}");
    };
    for shard in ["1/2", "2/2"] {
        assert_eq!(convert_to(&out, &[&good], &["--shard", shard]).exit, Exit::Ok);
    }
    let before = tree(&out);
    for shard in ["1/2", "2/2"] {
        for inputs in
            [&[&*absent] as &[&Path], &[&empty], &[&absent, &empty], &[&good.join("rank0.json"), &absent]]
        {
            // Of the last list, part 1 has a trace that is there.
            if inputs.len() < 2 || inputs[1] != &*absent || shard == "2/2" {
                fails(&out, inputs, &["--shard", shard], "nothing was written");
            }
        }
        fails(&out, &[], &["--shard", shard, "--files-from", list.to_str().unwrap()], "names no trace");
    }
    std::fs::write(
        &list,
        format!("{}\n{{\"type\":\"profctl.trace_file\"}}\n", good.join("rank0.json").display()),
    )
    .unwrap();
    fails(&out, &[], &["--shard", "1/2", "--files-from", list.to_str().unwrap()], "a line of the list");
    assert_eq!(tree(&out), before);
    let fresh = dir.path().join("fresh");
    fails(&fresh, &[&absent], &[], "1 of 1 traces cannot be opened");
    fails(&fresh, &[&good, &good.join("rank1.json")], &[], "is named twice");
    let link = dir.path().join("link.json");
    std::os::unix::fs::symlink(good.join("rank1.json"), &link).unwrap();
    fails(&fresh, &[&good, &link], &[], "is named twice");
    fails(&good.join("rank0.json"), &[&good], &[], "is a file, and a data set is a directory");
    assert!(!fresh.exists());
    // What is being written is no input.
    fails(&out, &[&out], &[], "is in the data set that is being written");
    for run in ["__HIVE_DEFAULT_PARTITION__", &"r".repeat(201)] {
        fails(&fresh, &[&good], &["--run", run], "");
    }
}

#[test]
fn a_data_set_in_the_directory_of_the_traces_is_none_of_them() {
    let dir = tempfile::tempdir().unwrap();
    for rank in 0..4 {
        std::fs::write(dir.path().join(format!("rank{rank}.json")), trace(rank)).unwrap();
    }
    let out = dir.path().join("x/../ds");
    std::fs::create_dir(dir.path().join("x")).unwrap();
    for _ in 0..2 {
        let mut seen = Vec::new();
        for shard in 1..=4 {
            let done = convert_to(&out, &[dir.path()], &["--shard", &format!("{shard}/4")]);
            assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
            let ranks = rows(&out, "ranks", &format!("part-0000{shard}-of-00004"));
            seen.extend(
                ranks
                    .iter()
                    .map(|row| (row["rank"].as_i64().unwrap(), row["trace_number"].as_i64().unwrap())),
            );
        }
        assert_eq!(seen, [(0, 1), (1, 2), (2, 3), (3, 4)]);
    }
}

#[test]
fn parts_of_different_lists_do_not_come_together() {
    let dir = tempfile::tempdir().unwrap();
    let traces = dir.path().join("traces");
    std::fs::create_dir(&traces).unwrap();
    let rank = |rank: i64| traces.join(format!("rank{rank}.json"));
    for n in 1..4 {
        std::fs::write(rank(n), trace(n)).unwrap();
    }
    let out = dir.path().join("ds");
    let part = |shard: &str| convert_to(&out, &[&traces], &["--shard", shard]);
    assert_eq!((part("1/2").exit, part("2/2").exit), (Exit::Ok, Exit::Ok));
    let before = tree(&out);
    std::fs::write(rank(0), trace(0)).unwrap();
    for shard in ["1/2", "2/2"] {
        let said = part(shard).fatal.unwrap();
        assert!(said.contains("was made from another list of traces"), "{said}");
    }
    std::fs::remove_file(rank(0)).unwrap();
    std::fs::remove_file(rank(2)).unwrap();
    assert!(part("2/2").fatal.is_some());
    assert_eq!(tree(&out), before);
    // Another run has another list.
    assert_eq!(convert_to(&out, &[&traces], &["--run", "two"]).exit, Exit::Ok);
}

#[test]
fn kernels_in_two_halves_are_kernels() {
    let halves = |event: &str| {
        let at = |name: &str| -> i64 {
            event
                .split(name)
                .nth(1)
                .unwrap()
                .split(',')
                .next()
                .unwrap()
                .trim_end_matches('}')
                .parse()
                .unwrap()
        };
        let (start, dur) = (at("\"ts\":"), at("\"dur\":"));
        let begin = event.replace("\"ph\":\"X\"", "\"ph\":\"B\"").replace(&format!(",\"dur\":{dur}"), "");
        let tid = event.split("\"tid\":").nth(1).unwrap().split(',').next().unwrap();
        let pid = event.split("\"pid\":").nth(1).unwrap().split(',').next().unwrap();
        format!("{begin},\n{{\"ph\":\"E\",\"pid\":{pid},\"tid\":{tid},\"ts\":{}}}", start + dur)
    };
    let ids = ("100", "0");
    let collective = r#"{"ph":"X","cat":"kernel","name":"ncclDevKernel_AllReduce_Sum_f32_RING_LL","pid":0,"tid":8,"ts":420,"dur":30,"args":{"device":0,"stream":8,"correlation":3,"Collective name":"allreduce","Seq":7}}"#;
    let plain = [
        step(1, "100", (0, 400)),
        launched(1, (50, 10), ids),
        // Its launch is in the first step.
        launched(2, (405, 15), ids),
        step(2, "100", (400, 400)),
        launched(3, (700, 20), ids).lines().next().unwrap().trim_end_matches(',').to_owned(),
        collective.to_owned(),
    ];
    let split: Vec<String> =
        plain.iter().flat_map(|lines| lines.split(",\n").map(halves).collect::<Vec<_>>()).collect();
    let part = "part-00001-of-00001";
    let (done, whole) = convert(&plain, &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let (done, halved) = convert(&split, &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    for table in ["kernels", "collectives", "steps"] {
        let read = |dir: &Path| {
            let mut rows = rows(&dir.join("ds"), table, part);
            rows.iter_mut().for_each(|row| _ = row.as_object_mut().unwrap().remove("index"));
            rows
        };
        assert_eq!(read(halved.path()), read(whole.path()), "{table}");
        assert!(!read(whole.path()).is_empty(), "{table}");
    }
    assert_eq!(step_rows(halved.path()), [(0, 1, 2, 370_000), (0, 2, 1, 30_000)]);
    // The events are as they stand there; a kernel has the index of its begin.
    let events = rows(&halved.path().join("ds"), "events", part);
    assert_eq!(events.len(), 2 * rows(&whole.path().join("ds"), "events", part).len());
    for kernel in rows(&halved.path().join("ds"), "kernels", part) {
        let event = events.iter().find(|event| event["index"] == kernel["index"]).unwrap();
        assert_eq!(
            (&event["ph"], &event["name"], &event["start_ns"]),
            (&"B".into(), &kernel["name"], &kernel["start_ns"])
        );
    }
}

#[test]
fn work_whose_launch_is_not_in_the_trace_is_in_the_step_that_traceq_sum_has_it_in() {
    let ids = ("100", "0");
    let kernel_alone = |events: &str, extra: &str| {
        let kernel = events.lines().nth(1).unwrap();
        kernel.replace("\"device\":0", &format!("{extra}\"device\":0"))
    };
    let steps_of = |dir: &Path| -> Vec<Option<i64>> {
        let kernels = rows(&dir.join("ds"), "kernels", "part-00001-of-00001");
        kernels.iter().map(|kernel| kernel["step"].as_i64()).collect()
    };
    let linked = [step(1, "100", (0, 400)), launched(1, (50, 90), ids)];
    // Left over from before: neither in the sums nor in a step. Asked for by an operator: in no step.
    for extra in ["", "\"External id\":5,"] {
        let events = [&linked[..], &[kernel_alone(&launched(2, (350, 10), ids), extra)]].concat();
        let (done, dir) = convert(&events, &[]);
        assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
        assert_eq!(step_rows(dir.path()), [(0, 1, 1, 90_000)], "{extra}");
        assert_eq!(steps_of(dir.path()), [None, Some(1)], "{extra}");
    }
    // Nothing is linked: what starts in a step is of it.
    let events = [linked[0].clone(), kernel_alone(&launched(2, (350, 10), ids), "")];
    let (_, dir) = convert(&events, &[]);
    assert_eq!(step_rows(dir.path()), [(0, 1, 1, 10_000)]);
    assert_eq!(steps_of(dir.path()), [Some(1)]);
}

/// The lanes say how the time of an Ascend timeline divides, not its work, which `kernels` has.
#[test]
fn steps_of_an_ascend_timeline_are_those_of_its_lanes() {
    let process = |pid: i64, name: &str, label: &str| {
        format!(
            r#"{{"ph":"M","name":"process_name","pid":{pid},"args":{{"name":"{name}"}}}},
{{"ph":"M","name":"process_labels","pid":{pid},"args":{{"labels":"{label}"}}}}"#
        )
    };
    let span = |pid: i64, name: &str, start: i64, dur: i64| {
        format!(r#"{{"ph":"X","name":"{name}","pid":{pid},"tid":1,"ts":"{start}","dur":{dur},"args":{{}}}}"#)
    };
    let events = [
        process(1, "Python", "CPU"),
        process(2, "Ascend Hardware", "NPU"),
        process(3, "Overlap Analysis", "NPU"),
        span(1, "ProfilerStep#3", 1000, 500).replace("\"args\"", "\"cat\":\"user_annotation\",\"args\""),
        span(2, "MatMul", 1110, 200).replace("\"args\":{}", "\"args\":{\"Task Type\":\"AI_CORE\"}"),
        span(3, "Computing", 1100, 210),
        span(3, "Communication", 1300, 90),
        span(3, "Communication(Not Overlapped)", 1310, 80),
        span(3, "Free", 1390, 60),
    ];
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("trace_view.json"), dir.path().join("ds"));
    std::fs::write(&path, format!("[{}]", events.join(","))).unwrap();
    let done = convert_to(&out, &[&path], &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let steps = rows(&out, "steps", "part-00001-of-00001");
    let numbers =
        ["step", "total_ns", "compute_ns", "communication_ns", "exposed_communication_ns", "idle_ns"];
    let found: Vec<_> = numbers.iter().map(|name| steps[0][name].as_i64()).collect();
    assert_eq!(found, [3, 350_000, 210_000, 90_000, 80_000, 60_000].map(Some), "{steps:?}");
    assert_eq!(rows(&out, "kernels", "part-00001-of-00001")[0]["step"], 3);
}

/// Of work of CANN no call has the number as its correlation: arrows and connections lead from operators to it.
#[test]
fn kernels_of_an_ascend_timeline_have_modules() {
    let process = |pid: i64, name: &str| {
        format!(r#"{{"ph":"M","name":"process_name","pid":{pid},"args":{{"name":"{name}"}}}}"#)
    };
    let span = |cat: &str, name: &str, (pid, tid): (i64, i64), (start, dur): (i64, i64), args: &str| {
        let cat = if cat.is_empty() { String::new() } else { format!(r#""cat":"{cat}","#) };
        format!(
            r#"{{"ph":"X",{cat}"name":"{name}","pid":{pid},"tid":{tid},"ts":"{start}","dur":{dur},"args":{{{args}}}}}"#
        )
    };
    let arrow = |phase: &str, (pid, tid): (i64, i64), at: i64, id: i64| {
        format!(
            r#"{{"ph":"{phase}","bp":"e","cat":"async_npu","name":"torch_to_npu","id":{id},"pid":{pid},"tid":{tid},"ts":"{at}"}}"#
        )
    };
    let kernel = |name: &str, start: i64, connection: i64| {
        let args = format!(r#""Task Type":"AI_CORE","connection_id":{connection}"#);
        span("", name, (3, 2), (start, 10), &args)
    };
    let call = |start: i64, tid: i64, connection: i64| {
        let args = format!(r#""level":"node","connection_id":{connection}"#);
        span("", "Node@launch", (2, tid), (start, 2), &args)
    };
    let events = [
        process(1, "Python"),
        process(2, "CANN"),
        process(3, "Ascend Hardware"),
        span("python_function", "nn.Module: Net_0", (1, 7), (1000, 500), ""),
        span("python_function", "nn.Module: Linear_3", (1, 7), (1100, 100), ""),
        // The operator asks on the thread of the framework; another thread calls later, outside of the module.
        arrow("s", (1, 7), 1110, 1_300_000),
        arrow("f", (3, 2), 1300, 1_300_000),
        call(1250, 8, 41),
        kernel("by_arrow", 1300, 41),
        // Without an arrow: the call counts, on the thread of the framework that has its number.
        call(1150, 7, 42),
        kernel("by_connection", 1320, 42),
        call(1600, 7, 43),
        kernel("outside", 1700, 43),
        kernel("alone", 1720, 44),
    ];
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("trace_view.json"), dir.path().join("ds"));
    std::fs::write(&path, format!("[{}]", events.join(","))).unwrap();
    let done = convert_to(&out, &[&path], &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let kernels = rows(&out, "kernels", "part-00001-of-00001");
    let modules: Vec<_> =
        kernels.iter().map(|k| (k["name"].as_str().unwrap(), k["module"].as_str())).collect();
    let linear = Some("nn.Module: Linear_3");
    let expected = [("by_arrow", linear), ("by_connection", linear), ("outside", None), ("alone", None)];
    assert_eq!(modules, expected);
}

/// Several changes of one moment have their order in the trace: the level after each is that of those before it.
#[test]
fn changes_of_memory_have_an_order() {
    let change = |bytes: i64| {
        format!(
            r#"{{"ph":"i","s":"t","cat":"cpu_instant_event","name":"[memory]","pid":1,"tid":1,"ts":5,"args":{{"Device Type":1,"Device Id":0,"Addr":1,"Bytes":{bytes}}}}}"#
        )
    };
    let (done, dir) = convert(&[200, -100, 50, -150].map(change), &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let mut memory = rows(&dir.path().join("ds"), "memory", "part-00001-of-00001");
    memory.sort_by_key(|row| row["index"].as_i64().unwrap());
    let bytes: Vec<_> = memory.iter().map(|row| row["bytes"].as_i64().unwrap()).collect();
    assert_eq!(bytes, [200, -100, 50, -150]);
    assert!(memory.windows(2).all(|pair| pair[0]["index"] != pair[1]["index"]), "{memory:?}");
}

#[test]
fn names_of_traces_need_not_be_utf8_and_ranks_need_not_be_known() {
    let dir = tempfile::tempdir().unwrap();
    let traces = dir.path().join("traces");
    std::fs::create_dir(&traces).unwrap();
    let odd = traces.join(OsStr::from_bytes(b"\xffbad.json"));
    let nameless = trace(0).replace("\"rank\":0,", "");
    std::fs::write(traces.join("a.json"), &nameless).unwrap();
    std::fs::write(&odd, &nameless).unwrap();
    let out = dir.path().join("ds");
    let done = convert_to(&out, &[&traces], &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let part = "part-00001-of-00001";
    for table in ["kernels", "collectives", "steps", "events", "ranks"] {
        let mut numbers: Vec<_> =
            rows(&out, table, part).iter().map(|row| row["trace_number"].as_i64()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers, [Some(1), Some(2)], "{table}");
    }
    let hex =
        manifest(&out, part).iter().find_map(|line| line["path_hex"].as_str().map(str::to_owned)).unwrap();
    assert!(hex.ends_with("2fff6261642e6a736f6e"), "{hex}");
}

#[test]
fn a_trace_that_is_only_not_closed_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("t.json"), dir.path().join("ds"));
    std::fs::write(&path, r#"[{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":1,"tid":1,"ts":1,"dur":1}"#)
        .unwrap();
    let done = convert_to(&out, &[&path], &[]);
    assert_eq!(done.fatal, None);
    let ranks = rows(&out, "ranks", "part-00001-of-00001");
    assert_eq!(ranks[0]["status"] == "complete", ranks[0]["error"].is_null(), "{ranks:?}");
}

/// The table of events of a data set of one trace.
fn write_part(dir: &Path) -> PathBuf {
    let path = dir.join("t.json");
    std::fs::write(&path, trace(1)).unwrap();
    let out = dir.join("ds");
    let done = run(["convert", "--to", "parquet", "-o", out.to_str().unwrap(), path.to_str().unwrap()]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    out.join("run=1/table=events/part-00001-of-00001.parquet")
}

/// Takes every event.
struct Nothing;

impl EventSink for Nothing {
    fn event(&mut self, _: &Event<'_>) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Converts a file to a Chrome trace. Returns that, or why there is none or not all of it.
fn read_back(part: &Path) -> Result<String, String> {
    let out = part.with_extension("json");
    let _ = std::fs::remove_file(&out);
    let done = run(["convert", "--to", "chrome", "-o", out.to_str().unwrap(), part.to_str().unwrap()]);
    let source = TraceSource::of_file(Box::new(File::open(part).unwrap()), part.to_owned());
    let outcome = read_trace(source, &ReadOptions::default(), &mut Nothing).unwrap();
    let Some(error) = outcome.error else {
        // A changed text may be no JSON, or no text: then something was lost.
        assert!(done.exit == Exit::Ok || !outcome.defects.losses().is_empty());
        return Ok(std::fs::read_to_string(&out).unwrap());
    };
    assert_eq!(done.exit, Exit::Failed);
    // What could not be read leaves nothing.
    assert_eq!(out.exists(), outcome.events > 0, "{error}");
    Err(error.to_string())
}

#[test]
fn a_changed_bit_of_a_page_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let part = write_part(dir.path());
    let whole = std::fs::read(&part).unwrap();
    // Without the table of ranks beside it.
    let damaged = dir.path().join("damaged.parquet");
    std::fs::write(&damaged, &whole).unwrap();
    let good = read_back(&damaged).unwrap();
    let reader = SerializedFileReader::new(File::open(&part).unwrap()).unwrap();
    let (mut noticed, mut places) = (0, 0);
    for column in reader.metadata().row_group(0).columns() {
        let (start, length) = column.byte_range();
        // The last bytes are those of a page; its header is before.
        for back in [1, 2] {
            let mut bytes = whole.clone();
            bytes[(start + length) as usize - back] ^= 1;
            std::fs::write(&damaged, &bytes).unwrap();
            places += 1;
            match read_back(&damaged) {
                Ok(text) => assert_eq!(text, good, "{}", column.column_path()),
                Err(said) => {
                    assert!(said.contains("CRC"), "{}: {said}", column.column_path());
                    noticed += 1;
                }
            }
        }
    }
    // Four columns are not read: the rank, the step and the category, which the events say, and the number of the trace.
    assert!(places > 60 && noticed >= places - 8, "{noticed} of {places}");
}

#[test]
fn any_changed_byte_is_noticed_or_of_no_consequence_or_an_error_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(write_part(dir.path())).unwrap();
    let damaged = dir.path().join("damaged.parquet");
    for at in (0..whole.len()).step_by(29) {
        let mut bytes = whole.clone();
        bytes[at] = !bytes[at];
        std::fs::write(&damaged, &bytes).unwrap();
        let _ = read_back(&damaged);
    }
    std::fs::write(&damaged, &whole[..whole.len() / 2]).unwrap();
    assert!(read_back(&damaged).is_err());
    assert!(!damaged.with_extension("json").exists());
}

/// Writes a file of one row: columns by their place in the schema.
fn write_row(path: &Path, schema: &str) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    while let Some(mut column) = group.next_column().unwrap() {
        match column.untyped() {
            ColumnWriter::Int64ColumnWriter(c) => _ = c.write_batch(&[7], None, None).unwrap(),
            ColumnWriter::ByteArrayColumnWriter(c) => {
                c.write_batch(&[ByteArray::from("X")], None, None).unwrap();
            }
            _ => panic!("another type"),
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

/// A column is known by its whole path: one inside of another is none of a data set.
#[test]
fn columns_inside_of_others_are_not_taken_for_those_of_a_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("foreign.parquet");
    let all = "required int64 start_ns; required int64 dur_ns; required binary name; required binary ph; required int64 index;";
    write_row(&path, &format!("message m {{ required group x {{ {all} }} }}"));
    let said = read_back(&path).unwrap_err();
    assert!(said.contains("without the column start_ns") && said.contains("x.start_ns"), "{said}");
    write_row(
        &path,
        &format!("message m {{ {all} required group x {{ required int64 name; required int64 cat; }} }}"),
    );
    let text = read_back(&path).unwrap();
    assert!(text.contains(r#"{"ph":"X","name":"X","ts":0.007,"dur":0.007}"#), "{text}");
}
