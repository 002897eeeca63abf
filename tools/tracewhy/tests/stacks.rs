//! `tracewhy stacks` beside an oracle that looks at every range for every launch, and beside the tables of TraceLens.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsString;

use common::exit::Exit;
use serde_json::Value;
use support::random::Random;
use support::{of, records};

/// A range of the host: thread, start, end, name.
type Range = (u64, i64, i64, String);

/// Work: launching thread, launch, duration, name.
type Launched = (u64, i64, i64, String);

/// Ranges that nest and ranges that do not, on three threads, and launches at any moment.
fn make_ranges(random: &mut Random) -> (Vec<Range>, Vec<Launched>) {
    let mut ranges: Vec<Range> = Vec::new();
    for i in 0..120 {
        // No two ranges of a thread start at one moment, so that nothing decides between them but time.
        let (thread, start) = (random.below(3) as u64 + 1, i * 50 + random.below(49));
        let length = [10, 200, 1500][random.below(3) as usize] + random.below(90);
        ranges.push((thread, start, start + length, format!("op{}", random.below(12))));
    }
    let launched = (0..200)
        .map(|i| {
            let thread = random.below(3) as u64 + 1;
            (thread, random.below(7000), 5 + random.below(40), format!("kernel{}", i % 7))
        })
        .collect();
    (ranges, launched)
}

/// The ranges that a moment is called from, the outermost first: the innermost that holds it, and so on from its start.
fn stack_at(ranges: &[Range], thread: u64, at: i64, before: i64) -> Vec<String> {
    let holds = |r: &&Range| r.0 == thread && r.1 <= at && r.1 < before && r.2 > at;
    match ranges.iter().filter(holds).max_by_key(|r| r.1) {
        None => vec![format!("thread {thread}")],
        Some(inner) => {
            let mut stack = stack_at(ranges, thread, inner.1, inner.1);
            stack.push(inner.3.clone());
            stack
        }
    }
}

fn write_trace(ranges: &[Range], launched: &[Launched], halves: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut events = Vec::new();
    for (thread, start, end, name) in ranges {
        let place = format!(r#""cat":"cpu_op","name":"{name}","pid":1,"tid":{thread}"#);
        if halves {
            // In two halves, in the order of time, as `B` and `E` must be.
            events.push((*start, 1, format!(r#"{{"ph":"B",{place},"ts":{start}}}"#)));
            events.push((*end, 0, format!(r#"{{"ph":"E",{place},"ts":{end}}}"#)));
        } else {
            events.push((*start, 0, format!(r#"{{"ph":"X",{place},"ts":{start},"dur":{}}}"#, end - start)));
        }
    }
    for (number, (thread, at, dur, name)) in launched.iter().enumerate() {
        events.push((*at, 2, format!(
            r#"{{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":1,"tid":{thread},"ts":{at},"dur":1,"args":{{"correlation":{}}}}}"#,
            number + 1
        )));
        events.push((*at, 3, format!(
            r#"{{"ph":"X","cat":"kernel","name":"{name}","pid":0,"tid":7,"ts":{},"dur":{dur},"args":{{"device":0,"stream":7,"correlation":{}}}}}"#,
            10_000 + number * 50,
            number + 1
        )));
    }
    events.sort_by_key(|(at, order, _)| (*at, *order));
    let texts: Vec<String> = events.into_iter().map(|(_, _, text)| text).collect();
    std::fs::write(dir.path().join("t.json"), format!("[{}]", texts.join(",\n"))).unwrap();
    dir
}

/// Stacks joined by `;`, with their times in nanoseconds.
fn stacks(args: &[&str], dir: &tempfile::TempDir) -> BTreeMap<String, i64> {
    let mut args: Vec<OsString> = args.iter().map(Into::into).collect();
    args.push(dir.path().join("t.json").into());
    let (exit, text) = testkit::run_tool::<tracewhy::Cli>(&args);
    assert_eq!(exit, Exit::Ok, "{text}");
    let parse = |line: &str| {
        let (stack, time) = line.rsplit_once(' ').unwrap();
        (stack.to_owned(), time.parse().unwrap())
    };
    text.lines().map(parse).collect()
}

#[test]
fn device_time_belongs_to_the_stack_at_its_launch() {
    let mut random = Random(7);
    for _ in 0..8 {
        let (ranges, launched) = make_ranges(&mut random);
        let mut expected: BTreeMap<String, i64> = BTreeMap::new();
        for (thread, at, dur, name) in &launched {
            let mut stack = stack_at(&ranges, *thread, *at, i64::MAX);
            stack.push(name.clone());
            *expected.entry(stack.join(";")).or_default() += dur * 1000;
        }
        let found = stacks(&["stacks"], &write_trace(&ranges, &launched, false));
        assert_eq!(found, expected);
    }
}

#[test]
fn host_time_is_that_of_the_innermost_range() {
    let mut random = Random(8);
    for _ in 0..8 {
        let (ranges, _) = make_ranges(&mut random);
        let mut expected: BTreeMap<String, i64> = BTreeMap::new();
        for thread in 1..=3 {
            for at in 0..9000 {
                let stack = stack_at(&ranges, thread, at, i64::MAX);
                if stack.len() > 1 {
                    *expected.entry(stack.join(";")).or_default() += 1000;
                }
            }
        }
        let found = stacks(&["stacks", "--by", "host"], &write_trace(&ranges, &[], false));
        assert_eq!(found, expected);
    }
}

/// Ranges that nest come to the same in halves.
#[test]
fn halves_of_ranges_are_operators() {
    let nested: Vec<Range> = [(0, 100, "a"), (10, 60, "b"), (20, 30, "c"), (70, 90, "b"), (200, 300, "d")]
        .map(|(start, end, name)| (1, start, end, name.to_owned()))
        .to_vec();
    let launched: Vec<Launched> =
        [5, 15, 25, 65, 75, 150, 250].map(|at| (1, at, at + 1, "k".to_owned())).to_vec();
    for by in ["device", "host"] {
        let args = ["stacks", "--by", by];
        let whole = stacks(&args, &write_trace(&nested, &launched, false));
        assert_eq!(stacks(&args, &write_trace(&nested, &launched, true)), whole);
        assert!(whole.len() > 3, "{whole:?}");
    }
}

#[test]
fn speedscope_has_the_same_stacks() {
    let mut random = Random(9);
    let (ranges, launched) = make_ranges(&mut random);
    let dir = write_trace(&ranges, &launched, false);
    let args = ["--format", "speedscope", "stacks"].map(OsString::from);
    let (_, text) =
        testkit::run_tool::<tracewhy::Cli>(&[&args[..], &[dir.path().join("t.json").into()]].concat());
    let document: Value = serde_json::from_str(&text).unwrap();
    let profile = &document["profiles"][0];
    assert_eq!((profile["type"].as_str(), profile["unit"].as_str()), (Some("sampled"), Some("nanoseconds")));
    let frame =
        |n: &Value| document["shared"]["frames"][n.as_u64().unwrap() as usize]["name"].as_str().unwrap();
    let names = |sample: &Value| sample.as_array().unwrap().iter().map(frame).collect::<Vec<_>>().join(";");
    let samples = profile["samples"].as_array().unwrap().iter().map(names);
    let weights = profile["weights"].as_array().unwrap().iter().map(|w| w.as_i64().unwrap());
    let found: BTreeMap<String, i64> = samples.zip(weights).collect();
    let folded = stacks(&["stacks"], &dir);
    assert_eq!(found, folded);
    assert_eq!(profile["endValue"].as_i64(), Some(folded.values().sum()));
    // Records say it once more.
    let records = records("stacks", [dir.path().join("t.json")]);
    let own: i64 = of(&records, "tracewhy.stack").iter().map(|r| r["own_ns"].as_i64().unwrap()).sum();
    let count: u64 = of(&records, "tracewhy.stack").iter().map(|r| r["count"].as_u64().unwrap()).sum();
    assert_eq!((own, count), (folded.values().sum(), launched.len() as u64));
}

/// TraceLens calls the time of the kernels that an operator launches itself `total_direct_kernel_time`.
#[test]
fn operators_have_the_times_of_tracelens() {
    let mut compared = 0;
    for trace in [
        "h100/gaunernst_bert-small-uncased__1016001",
        "h100/Falconsai_nsfw_image_detection__1016002",
        "h100/Qwen_Qwen1.5-0.5B-Chat__1016005",
        "h100/facebook_timesformer-base-finetuned-k400__1016002",
        "mi300/gaunernst_bert-small-uncased__1016001",
        "mi300/Falconsai_nsfw_image_detection__1016002",
        "mi300/Qwen_Qwen1.5-0.5B-Chat__1016005",
    ] {
        let path = format!("tracelens/tests/traces/{trace}");
        let Some(table) = testkit::require_data(&format!("{path}_perf_report_csvs/ops_summary.csv")) else {
            return;
        };
        let Some(file) = testkit::require_data(&format!("{path}.json.gz")) else { return };
        let table = std::fs::read_to_string(table).unwrap();
        let mut lines = table.lines();
        assert!(lines.next().unwrap().starts_with("name,total_direct_kernel_time_sum,"));
        let theirs: BTreeMap<&str, f64> = lines
            .map(|line| {
                let mut cells = line.split(',');
                (cells.next().unwrap(), cells.next().unwrap().parse().unwrap())
            })
            .collect();
        let mut ours: BTreeMap<&str, i64> = BTreeMap::new();
        let records = records("stacks", [file]);
        for stack in of(&records, "tracewhy.stack") {
            let frames = stack["frames"].as_array().unwrap();
            let operator =
                frames.iter().rev().skip(1).find_map(|f| theirs.get_key_value(f.as_str().unwrap()));
            if let Some((name, _)) = operator {
                *ours.entry(name).or_default() += stack["own_ns"].as_i64().unwrap();
            }
        }
        for (name, time) in theirs {
            let own = ours.get(name).map_or(0.0, |ns| *ns as f64 / 1e3);
            assert!((own - time).abs() < 0.01, "{trace}: {name}: {own} is {time}");
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn a_form_that_a_command_does_not_write_is_an_error() {
    let trace = write_trace(&[], &[], false);
    let path = trace.path().join("t.json");
    for (form, verb) in [("md", "stacks"), ("junit", "ranks"), ("speedscope", "comm"), ("folded", "diff")] {
        let args = ["--format".into(), form.into(), verb.into(), path.clone(), path.clone()];
        let run = testkit::run_tool_to_end::<tracewhy::Cli>(args);
        assert_eq!((run.exit, run.stdout.as_str()), (Exit::Failed, ""), "{verb}");
        let reason = run.fatal.unwrap_or_default();
        assert!(reason.contains(&format!("does not write {form}")), "{reason}");
    }
}
