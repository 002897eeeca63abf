//! `tracewhy critical` beside a simulator that runs made-up programs on ranks with streams, events and collectives, and runs
//! them again with an operator for free.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::jobs::{Fault, Plan, write_job};
use support::random::Random;
use support::{of, records};

/// What a program does next, the same on all ranks; times are of each rank.
#[derive(Clone, Debug)]
enum Action {
    /// Time of the program itself.
    Pause(Vec<i64>),
    /// An operator: time before its launch, the stream, and time of its kernel.
    Operator(usize, Vec<i64>, usize, Vec<i64>),
    /// One stream waits for another.
    Wait(usize, usize),
    /// The host waits for the device.
    Synchronize,
    /// An all-reduce on stream 2, which takes so long when all have come.
    Reduce(i64),
    /// A step ends.
    EndStep,
}

const STREAMS: usize = 3;

fn make_program(random: &mut Random, ranks: usize, steps: usize) -> Vec<Action> {
    let times =
        |random: &mut Random, n: i64| (0..ranks).map(|_| 1000 + random.below(n)).collect::<Vec<i64>>();
    let mut program = Vec::new();
    for _ in 0..steps {
        for _ in 0..12 {
            let action = match random.below(12) {
                0 => Action::Pause(times(random, 20_000)),
                1 => Action::Wait(random.below(3) as usize, random.below(3) as usize),
                2 => Action::Synchronize,
                3 | 4 => Action::Reduce(10_000 + random.below(40_000)),
                n => {
                    let before = times(random, 15_000);
                    let kernel = times(random, 90_000);
                    Action::Operator((n % 5) as usize, before, random.below(2) as usize, kernel)
                }
            };
            program.push(action);
        }
        if random.below(2) == 0 {
            program.push(Action::Synchronize);
        }
        program.push(Action::EndStep);
    }
    program
}

/// One rank while it runs. Times are in nanoseconds.
struct Machine {
    host: i64,
    streams: [i64; STREAMS],
    /// What the next work of a stream has to wait for besides.
    waited: [i64; STREAMS],
    correlation: i64,
    /// Number of the last launch on each stream, for events.
    begun: i64,
    /// When all work of the step is done.
    done: i64,
    /// Ends of steps.
    ends: Vec<i64>,
    text: String,
}

impl Machine {
    fn event(&mut self, cat: &str, name: &str, place: &str, start: i64, end: i64, args: &str) {
        support::push_span(&mut self.text, cat, name, place, (start, end), args);
    }

    fn host_event(&mut self, cat: &str, name: &str, start: i64, end: i64, args: &str) {
        self.event(cat, name, r#""pid":10,"tid":10"#, start, end, args);
    }

    /// A call of the runtime; its number.
    fn call(&mut self, name: &str, time: i64) -> i64 {
        self.correlation += 1;
        let (start, end) = (self.host, self.host + time);
        self.host_event("cuda_runtime", name, start, end, &format!("\"correlation\":{}", self.correlation));
        self.host = end;
        self.correlation
    }

    fn begin_on(&self, stream: usize, launched: i64) -> i64 {
        launched.max(self.streams[stream]).max(self.waited[stream])
    }

    fn device_event(
        &mut self,
        name: &str,
        stream: usize,
        (start, end): (i64, i64),
        correlation: i64,
        more: &str,
    ) {
        let args = format!(r#""device":0,"stream":{stream},"correlation":{correlation}{more}"#);
        self.event("kernel", name, &format!(r#""pid":0,"tid":{stream}"#), start, end, &args);
        self.streams[stream] = end;
        self.done = self.done.max(end);
    }
}

/// Runs a program on all ranks, with one operator or collectives for free.
fn run(program: &[Action], ranks: usize, free: Option<&str>) -> Vec<Machine> {
    let start = 5_000_000;
    let mut machines: Vec<Machine> = (0..ranks)
        .map(|rank| Machine {
            host: start + rank as i64 * 700,
            streams: [0; STREAMS],
            waited: [0; STREAMS],
            correlation: 0,
            begun: start + rank as i64 * 700,
            done: 0,
            ends: Vec::new(),
            text: String::new(),
        })
        .collect();
    let mut reduces = 0;
    for action in program {
        let mut arrivals = Vec::new();
        for (rank, machine) in machines.iter_mut().enumerate() {
            match action {
                Action::Pause(times) => machine.host += times[rank],
                Action::Operator(number, before, stream, kernel) => {
                    let name = format!("aten::op{number}");
                    let is_free = free == Some(name.as_str());
                    let time = |n: i64| if is_free { 0 } else { n };
                    let begin = machine.host;
                    machine.host += time(before[rank]);
                    let launched = machine.host;
                    let correlation = machine.call("cudaLaunchKernel", time(3000));
                    machine.host += time(500);
                    let end = machine.host;
                    machine.host_event("cpu_op", &name, begin, end, "");
                    let at = machine.begin_on(*stream, launched);
                    machine.device_event("kernel", *stream, (at, at + time(kernel[rank])), correlation, "");
                }
                Action::Wait(waits, source) if waits != source => {
                    let recorded = machine.call("cudaEventRecord", 1000);
                    let correlation = machine.call("cudaStreamWaitEvent", 1000);
                    let args = format!(
                        r#""stream":{waits},"wait_on_stream":{source},"wait_on_cuda_event_record_corr_id":{recorded},"correlation":{correlation},"device":0"#
                    );
                    let at = machine.host;
                    machine.event("cuda_sync", "Stream Wait Event", r#""pid":0,"tid":1"#, at, at + 1, &args);
                    machine.waited[*waits] = machine.waited[*waits].max(machine.streams[*source]);
                }
                Action::Wait(..) => {}
                Action::Synchronize => {
                    let all = machine.streams.into_iter().fold(machine.host, i64::max);
                    machine.call("cudaDeviceSynchronize", all - machine.host + 2000);
                }
                Action::Reduce(_) => {
                    let launched = machine.host;
                    let correlation = machine.call("cudaLaunchKernel", 3000);
                    arrivals.push((machine.begin_on(2, launched), correlation));
                }
                Action::EndStep => {
                    machine.done = machine.done.max(machine.host);
                    let (begun, host) = (machine.begun, machine.host);
                    let name = format!("ProfilerStep#{}", machine.ends.len());
                    machine.host_event("user_annotation", &name, begun, host, "");
                    machine.ends.push(machine.done);
                    machine.begun = machine.host;
                }
            }
        }
        if let Action::Reduce(time) = action {
            let time = if free == Some("all_reduce") { 0 } else { *time };
            let end = arrivals.iter().map(|(at, _)| *at).max().unwrap() + time;
            for (machine, (at, correlation)) in machines.iter_mut().zip(arrivals) {
                let more = format!(
                    r#","Collective name":"allreduce","In msg nelems":1000,"Out msg nelems":1000,"Group size":{ranks},"dtype":"Float","Process Group Name":"0","Seq":{reduces}"#
                );
                machine.device_event(
                    "ncclDevKernel_AllReduce_Sum_f32_RING_LL",
                    2,
                    (at, end),
                    correlation,
                    &more,
                );
            }
            reduces += 1;
        }
    }
    machines
}

fn write_traces(dir: &Path, machines: &[Machine]) -> Vec<PathBuf> {
    let write = |(rank, machine): (usize, &Machine)| {
        let path = dir.join(format!("rank{rank}.json"));
        let head = format!(
            r#"{{"schemaVersion":1,"distributedInfo":{{"rank":{rank},"world_size":{}}},"traceEvents":[{{"ph":"M","name":"process_name","pid":10,"tid":0,"ts":0,"args":{{"name":"python"}}}}"#,
            machines.len()
        );
        std::fs::write(&path, format!("{head}\n{}]}}\n", machine.text)).unwrap();
        path
    };
    machines.iter().enumerate().map(write).collect()
}

#[test]
fn paths_are_as_long_as_steps_and_gains_are_those_of_another_run() {
    let mut random = Random(3);
    let mut compared = 0;
    for case in 0..24 {
        let (ranks, steps) = ([1, 1, 2, 4][case % 4], 1 + case % 3);
        let program = make_program(&mut random, ranks, steps);
        let machines = run(&program, ranks, None);
        let dir = tempfile::tempdir().unwrap();
        let records = records("critical", write_traces(dir.path(), &machines));
        let paths = of(&records, "tracewhy.critical_step");
        assert_eq!(paths.len(), steps);
        for path in &paths {
            let (step, rank) =
                (path["step"].as_u64().unwrap() as usize, path["rank"].as_u64().unwrap() as usize);
            let begin = |machine: &Machine, rank: usize| match step {
                0 => 5_000_000 + rank as i64 * 700,
                _ => machine.ends[step - 1],
            };
            let lengths: Vec<i64> =
                machines.iter().enumerate().map(|(rank, m)| m.ends[step] - begin(m, rank)).collect();
            assert_eq!(path["step_ns"].as_i64(), Some(lengths[rank]), "case {case}");
            assert_eq!(path["path_ns"], path["step_ns"]);
            let sum: i64 = path["by_cause"].as_object().unwrap().values().filter_map(Value::as_i64).sum();
            assert_eq!(path["path_ns"], sum);
        }
        let last = paths.last().unwrap()["rank"].as_u64().unwrap() as usize;
        for item in of(&records, "tracewhy.critical_item") {
            let (name, gain) = (item["name"].as_str().unwrap(), item["gain_ns"].as_i64());
            if item["kind"] != "operator" && item["kind"] != "collective" {
                continue;
            }
            let again = run(&program, ranks, Some(name));
            let saved = machines[last].ends[steps - 1] - again[last].ends[steps - 1];
            assert_eq!(
                gain,
                Some(saved / steps as i64),
                "case {case}: {name} of {ranks} ranks, {steps} steps"
            );
            assert!(gain <= item["path_ns"].as_i64());
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared}");
}

const PLAN: Plan = Plan {
    seed: 5,
    ranks: 8,
    steps: 6,
    fault: Fault::Compute(40),
    bad: 5,
    skewed: true,
    overlapped: false,
    numbered: true,
};

/// Clocks that differ change nothing: the path goes through the slow rank, and computes there.
#[test]
fn the_path_is_on_the_slow_rank() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _) = write_job(dir.path(), &PLAN);
    let records = records("critical", paths);
    let steps = of(&records, "tracewhy.critical_step");
    assert_eq!(steps.len(), PLAN.steps);
    let (mut slow, mut whole) = (0, 0);
    for step in &steps {
        assert_eq!(step["path_ns"], step["step_ns"]);
        slow += step["by_rank"]["5"].as_i64().unwrap();
        whole += step["path_ns"].as_i64().unwrap();
    }
    assert!(slow * 10 > whole * 7, "{slow} of {whole}");
    let verdict = &records[0];
    let share =
        |cause: &str| verdict["by_cause"][cause].as_f64().unwrap() / verdict["step_ns"].as_f64().unwrap();
    assert!(share("compute") > 0.6 && share("communication") > 0.1, "{verdict}");
    let (_, text) = testkit::run_tool::<tracewhy::Cli>(&[
        "critical".into(),
        dir.path().join("rank5.json").into_os_string(),
    ]);
    assert!(text.starts_with("a step takes "), "{text}");
}

/// A backward pass on a thread of its own, while the program waits for it; and a graph of kernels with one launch.
#[test]
fn the_path_goes_through_threads_and_graphs() {
    let dir = tempfile::tempdir().unwrap();
    let x = |tid: i64, cat: &str, name: &str, ts: i64, dur: i64, args: &str| {
        format!(
            r#"{{"ph":"X","cat":"{cat}","name":"{name}","pid":1,"tid":{tid},"ts":{ts},"dur":{dur},"args":{{{args}}}}}"#
        )
    };
    let kernel = |name: &str, stream: i64, ts: i64, dur: i64, correlation: i64| {
        format!(
            r#"{{"ph":"X","cat":"kernel","name":"{name}","pid":0,"tid":{stream},"ts":{ts},"dur":{dur},"args":{{"device":0,"stream":{stream},"correlation":{correlation}}}}}"#
        )
    };
    let backward = "autograd::engine::evaluate_function: MmBackward0";
    let events = [
        x(1, "user_annotation", "ProfilerStep#1", 0, 1000, ""),
        // 0 to 100 the program, 100 to 150 an operator.
        x(1, "cpu_op", "aten::mm", 100, 50, ""),
        // 150 to 500 the program waits for the other thread, which works from 160 to 480.
        x(1, "python_function", "run_backward", 150, 350, ""),
        x(2, "cpu_op", backward, 160, 320, ""),
        x(1, "cuda_runtime", "cudaGraphLaunch", 500, 20, "\"correlation\":7"),
        // The graph: three kernels of one launch on two streams; from 510 to 900.
        kernel("a", 7, 510, 100, 7),
        kernel("b", 8, 612, 200, 7),
        kernel("c", 7, 815, 85, 7),
        x(1, "cuda_runtime", "cudaStreamSynchronize", 520, 400, "\"correlation\":8"),
    ];
    let path = dir.path().join("t.json");
    std::fs::write(&path, format!("[{}]", events.join(",\n"))).unwrap();
    let records = records("critical", [path]);
    let us = |n: i64| n * 1000;
    // Host: 100 of the program, 50 and 10 before the backward pass, 320 of it, 20 after it, 80 at the end of the step;
    // the launch is 10 before its first kernel, 5 lie between kernels, and the host goes on 20 after the last.
    assert_eq!(
        records[0]["by_cause"],
        json!({
            "host": us(100 + 50 + 10 + 320 + 20 + 80), "compute": us(385), "launch": us(10), "queue": us(5),
            "synchronization": us(20),
        })
    );
    let items = of(&records, "tracewhy.critical_item");
    let find = |name: &str| *items.iter().find(|item| item["name"] == name).unwrap();
    assert_eq!((&find(backward)["path_ns"], &find(backward)["gain_ns"]), (&json!(us(320)), &json!(us(320))));
    assert_eq!((&find("b")["path_ns"], &find("b")["gain_ns"]), (&json!(us(200)), &json!(us(200))));
}

/// The traces that HolisticTraceAnalysis tests its own path with.
#[test]
fn real_traces_have_paths_of_their_steps() {
    let mut seen = 0;
    for name in [
        "hta/tests/data/critical_path/cuda_event_sync/event_sync_trace.json.gz",
        "hta/tests/data/ns_resolution_trace/rank-0.Apr_03_18_51_38.1102.pt.trace.json.gz",
        "tracelens/tests/traces/h100/gaunernst_bert-small-uncased__1016001.json.gz",
    ] {
        let Some(path) = testkit::require_data(name) else { return };
        let records = records("critical", [path]);
        for step in of(&records, "tracewhy.critical_step") {
            assert_eq!(step["path_ns"], step["step_ns"], "{name}");
            let lost = step["by_cause"].get("not_known").and_then(Value::as_i64).unwrap_or(0);
            assert!(lost * 20 < step["step_ns"].as_i64().unwrap(), "{name}: {step}");
            seen += 1;
        }
        for item in of(&records, "tracewhy.critical_item") {
            assert!(item["gain_ns"].as_i64() <= item["path_ns"].as_i64(), "{item}");
        }
    }
    assert!(seen >= 5, "{seen}");
}

/// One limit for the ranks of a job together, and what does not fit is said.
#[test]
fn ranks_that_do_not_fit_into_memory_are_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan {
        seed: 3,
        ranks: 12,
        steps: 80,
        fault: Fault::None,
        bad: 0,
        skewed: false,
        overlapped: false,
        numbered: true,
    };
    let (paths, _) = write_job(dir.path(), &plan);
    let run = |limit: &str| {
        let options = ["--format", "json", "critical", "--max-memory", limit].map(std::ffi::OsString::from);
        let files = paths.iter().map(|path| path.clone().into_os_string());
        testkit::run_tool_to_end::<tracewhy::Cli>(options.into_iter().chain(files))
    };
    let all = run("1GiB");
    assert_eq!((all.errors, &all.of("tracewhy.critical")[0]["ranks"]), (0, &json!(12)));
    let some = run("16MiB");
    let kept = some.of("tracewhy.critical")[0]["ranks"].as_u64().unwrap();
    assert!((1..12).contains(&kept), "{kept}");
    assert_eq!((some.exit, some.errors), (common::exit::Exit::Failed, 1));
}
