//! Traces whose numbers cannot be taken as they stand: events at impossible times, ranks merged into one file, durations
//! that overrun; and steps that the user names. Everything is computed by hand; times in files are microseconds.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::path::{Path, PathBuf};

use common::exit::Exit;
use serde_json::{Value, json};
use support::{of, records};
use testkit::ToolRun;

fn run(args: &[&str]) -> ToolRun {
    testkit::run_tool_to_end::<tracewhy::Cli>(args)
}

fn write(dir: &Path, name: &str, events: &[String]) -> PathBuf {
    let path = dir.join(name);
    let text = format!(
        r#"{{"schemaVersion":1,"deviceProperties":[{{"id":0,"name":"NVIDIA H100 80GB HBM3"}}],"distributedInfo":{{"rank":0,"world_size":1}},"traceEvents":[
{}]}}"#,
        events.join(",\n")
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// A range of the host.
fn range(cat: &str, name: &str, pid: &str, (at, dur): (i64, i64)) -> String {
    format!(
        r#"{{"ph":"X","cat":"{cat}","name":"{name}","pid":{pid},"tid":10,"ts":{at},"dur":{dur},"args":{{}}}}"#
    )
}

/// A matrix product, its launch and its kernel 20 us later.
fn launched(i: i64, at: i64, (start, dur): (i64, i64), (host, device): (&str, &str)) -> String {
    let work = r#""Input Dims":[[64,64],[64,64]],"Input type":["float","float"]"#;
    format!(
        r#"{{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":{host},"tid":10,"ts":{at},"dur":15,"args":{{"External id":{i},{work}}}}},
{{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":{host},"tid":10,"ts":{},"dur":4,"args":{{"correlation":{i}}}}},
{{"ph":"X","cat":"kernel","name":"gemm","pid":{device},"tid":7,"ts":{start},"dur":{dur},"args":{{"device":0,"stream":7,"correlation":{i}}}}}"#,
        at + 5
    )
}

const PLAIN: (&str, &str) = ("100", "0");
const EPOCH: i64 = 1_623_000_000_000_000;

/// Two steps of four kernels of 40 us every 100 us since `since`.
fn two_steps(since: i64) -> Vec<String> {
    let mut events = Vec::new();
    for step in 0..2 {
        let begin = since + step * 1000;
        events.push(range("user_annotation", &format!("ProfilerStep#{}", step + 1), "100", (begin, 900)));
        for k in 0..4 {
            let at = begin + k * 100;
            events.push(launched(step * 10 + k + 1, at, (at + 20, 40), PLAIN));
        }
    }
    events
}

fn step_record(records: &[Value], number: i64) -> &Value {
    of(records, "tracewhy.idle").into_iter().find(|r| r["step"] == number).unwrap()
}

/// Whatever stands at the time 0 among times since 1970, no verb counts it.
#[test]
fn events_at_impossible_times_count_nowhere() {
    let odd = [
        // A kernel that a step launched, a host range, a begin and its end, an allocation, a mark.
        launched(77, EPOCH + 500, (0, 0), PLAIN),
        range("cpu_op", "aten::mm", "100", (0, 30)),
        range("user_annotation", "ProfilerStep#3", "100", (1, 10)),
        r#"{"ph":"i","s":"t","cat":"cpu_instant_event","name":"[memory]","pid":100,"tid":10,"ts":0,"args":{"Bytes":999999,"Total Allocated":999999,"Addr":5,"Device Type":1,"Device Id":0}}"#.to_owned(),
    ];
    for odd in odd {
        let dir = tempfile::tempdir().unwrap();
        let memory = r#"{"ph":"i","s":"t","cat":"cpu_instant_event","name":"[memory]","pid":100,"tid":10,"ts":1623000000000040,"args":{"Bytes":512,"Total Allocated":512,"Addr":7,"Device Type":1,"Device Id":0}}"#;
        let mut good = two_steps(EPOCH);
        good.push(memory.to_owned());
        // Of what was launched, the launch alone is good.
        let launch_only = odd.rsplit_once(",\n").map(|(before, _)| before.to_owned());
        let expected =
            write(dir.path(), "good.json", &[good.clone(), launch_only.into_iter().collect()].concat());
        let path = write(dir.path(), "odd.json", &[good, vec![odd.clone()]].concat());
        for verb in ["idle", "ranks", "comm", "modules", "critical", "flops", "stacks", "mem"] {
            let lines = |path: &Path| {
                let run = run(&["--format", "json", verb, path.to_str().unwrap()]);
                let mut records = run.records();
                records.retain(|r| !r["type"].as_str().unwrap().ends_with("summary"));
                records.iter_mut().for_each(|r| _ = r.as_object_mut().unwrap().remove("path"));
                (run.exit, records)
            };
            assert_eq!(lines(&path), lines(&expected), "{verb}: {odd}");
        }
    }
}

/// The same through a pipe, which can be read only once.
#[test]
fn what_comes_through_a_pipe_is_read_again_from_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let text = [two_steps(EPOCH), vec![launched(77, EPOCH + 500, (0, 0), PLAIN)]].concat();
    let path = write(dir.path(), "odd.json", &text);
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let to = pipe.clone();
    let writer = std::thread::spawn(move || std::fs::write(to, bytes).unwrap());
    let through = records("idle", [&pipe]);
    writer.join().unwrap();
    let direct = records("idle", [&path]);
    assert_eq!(step_record(&through, 1)["span_ns"], step_record(&direct, 1)["span_ns"]);
    assert_eq!(step_record(&through, 1)["span_ns"], 340_000);
}

/// Two ranks in one file, by what merging tools write into process ids and names.
#[test]
fn merged_ranks_are_taken_apart() {
    let rank = |host: &str, device: &str, dur: i64| -> Vec<String> {
        let mut events = vec![range("user_annotation", "ProfilerStep#1", host, (0, 1000))];
        events.extend((0..5).map(|i| launched(i + 1, i * 200, (i * 200 + 30, dur), (host, device))));
        events
    };
    let name = |pid: i64, name: &str| {
        format!(r#"{{"ph":"M","name":"process_name","pid":{pid},"tid":0,"args":{{"name":"{name}"}}}}"#)
    };
    let in_ids =
        [rank("\"[TP00] 83\"", "\"[TP00] 0\"", 60), rank("\"[TP01] 84\"", "\"[TP01] 0\"", 90)].concat();
    let in_names = [
        rank("83", "1083", 60),
        rank("84", "1084", 90),
        vec![
            name(83, "rank 0: python"),
            name(1083, "rank 0: GPU 0"),
            name(84, "rank 1: python"),
            name(1084, "rank 1: GPU 0"),
        ],
    ]
    .concat();
    for events in [in_ids, in_names] {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), "merged.json", &events);
        let check = |input: &Path| {
            let records = records("idle", [input]);
            let totals: Vec<_> =
                of(&records, "tracewhy.idle").into_iter().filter(|r| r["step"].is_null()).collect();
            let found: Vec<_> = totals
                .iter()
                .map(|r| (r["rank"].clone(), r["span_ns"].clone(), r["idle_ns"].clone()))
                .collect();
            let of_rank = |rank: i64, dur: i64| (json!(rank), json!(800_000 + dur), json!(800_000 - 4 * dur));
            assert_eq!(found, [of_rank(0, 60_000), of_rank(1, 90_000)]);
            let summary = of(&records, "tracewhy.summary")[0].clone();
            assert_eq!(summary["errors"], 0);
        };
        check(&path);
        // Whatever the verb, each rank is one.
        let verdict = records("ranks", [&path]);
        assert_eq!(of(&verdict, "tracewhy.ranks")[0]["ranks"], 2);
        let flops = records("flops", [&path]);
        let kernels: Vec<_> = of(&flops, "tracewhy.flops").iter().map(|r| r["kernel_ns"].clone()).collect();
        assert_eq!(kernels, [json!(300_000), json!(450_000)]);
        let path_of_job = records("critical", [&path]);
        assert_eq!(of(&path_of_job, "tracewhy.critical")[0]["ranks"], 2);
        // A part file has both.
        let part = dir.path().join("both.part");
        let made = run(&["part", "-o", part.to_str().unwrap(), path.to_str().unwrap()]);
        assert_eq!((made.exit, made.stdout.contains("2 ranks")), (Exit::Ok, true), "{}", made.stdout);
        check(&part);
    }
}

/// Nothing tells whose the equal numbers are: no sum of both.
#[test]
fn merged_ranks_without_names_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let rank = |host: &str, dur: i64| -> Vec<String> {
        (0..5).map(|i| launched(i + 1, i * 200, (i * 200 + 30, dur), (host, "0"))).collect()
    };
    let path = write(dir.path(), "merged.json", &[rank("83", 60), rank("84", 90)].concat());
    for verb in ["idle", "critical", "flops", "stacks", "mem", "comm", "ranks", "modules"] {
        let run = run(&[verb, path.to_str().unwrap()]);
        assert_eq!((run.exit, run.stdout.as_str()), (Exit::Failed, ""), "{verb}");
        assert_eq!(run.errors, 1, "{verb}");
    }
}

/// The user's steps are those of every verb that has steps, by the option and by the file.
#[test]
fn steps_are_those_that_the_user_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut events = Vec::new();
    for batch in 0..3 {
        let begin = batch * 1000;
        events.push(range("user_annotation", &format!("my batch {}", batch + 5), "100", (begin, 900)));
        events.extend(
            (0..2).map(|k| launched(batch * 10 + k + 1, begin + k * 100, (begin + k * 100 + 20, 40), PLAIN)),
        );
    }
    let path = write(dir.path(), "batches.json", &events);
    let config = dir.path().join("team.toml");
    std::fs::write(&config, "step-name = ['^my batch (\\d+)']\n").unwrap();
    for option in [["--step-name", r"^my batch (\d+)"], ["--config", config.to_str().unwrap()]] {
        let idle = records("idle", [option[0], option[1], path.to_str().unwrap()]);
        for (number, before) in [(5, 0), (6, 860_000), (7, 860_000)] {
            let step = step_record(&idle, number);
            assert_eq!((&step["span_ns"], &step["before_ns"]), (&json!(140_000), &json!(before)), "{step}");
        }
        let critical = records("critical", [option[0], option[1], path.to_str().unwrap()]);
        assert_eq!(of(&critical, "tracewhy.critical")[0]["steps"], 3);
        let flops = records("flops", [option[0], option[1], path.to_str().unwrap()]);
        assert_eq!(of(&flops, "tracewhy.flops")[0]["wall_ns"], 2_700_000);
    }
    assert_eq!(run(&["idle", "--step-name", "(", path.to_str().unwrap()]).exit, Exit::Failed);
}
