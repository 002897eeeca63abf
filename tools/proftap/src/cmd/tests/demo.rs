//! `proftap demo` against a daemon for tests.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use common::ipc::message::{Message, State, Status};
use common::record::proftap::{Config, Summary, Trace as TraceRecord};

use serde_json::Value;

use super::TestDirs;
use super::trace::KinetoTrace;
use crate::cmd::demo::{DemoArgs, run_until};
use crate::process;
use crate::testing::{CapturedOutput, FakeDaemon};
use crate::wake::WakeReceiver;

/// The subcommand by itself.
#[derive(Parser)]
struct Demo {
    #[command(flatten)]
    args: DemoArgs,
}

/// Longer than any of the tests takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Trains until all configs have been fetched and `traces` traces are written. Returns the output and the number of
/// errors.
fn demo(dirs: &TestDirs, daemon: &FakeDaemon, traces: usize, more: &[&str]) -> (CapturedOutput, u64) {
    let socket = dirs.sockets.to_str().unwrap();
    let line = ["demo", "--socket", socket, "--poll-interval", "20ms", "--batch", "2", "--step-time", "15ms"];
    let args = Demo::parse_from(line.iter().chain(more)).args;
    let captured = CapturedOutput::default();
    let mut out = captured.new_out();
    let wake = WakeReceiver::new().unwrap();
    let (stop, started) = (wake.stop_on_drop(), Instant::now());
    thread::scope(|scope| {
        let (captured, daemon) = (&captured, &daemon);
        scope.spawn(move || {
            // Also when the condition panics; otherwise the job would train forever.
            let _stop = stop;
            let done = || daemon.has_delivered_all() && captured.records::<TraceRecord>().len() >= traces;
            while !done() && started.elapsed() < DEADLINE {
                thread::sleep(Duration::from_millis(5));
            }
        });
        run_until(&args, wake, &mut out).unwrap();
    });
    (captured, out.diag().errors())
}

fn trace_path(dirs: &TestDirs, stem: &str) -> PathBuf {
    dirs.traces.join(format!("{stem}_{}.json", process::own_pid()))
}

fn request(dirs: &TestDirs, file: &str, more: &str) -> String {
    format!("ACTIVITIES_LOG_FILE={}\n{more}\n  REQUEST_TRACE_ID=4711", dirs.traces.join(file).display())
}

#[test]
fn a_trace_of_three_iterations() {
    let dirs = TestDirs::new();
    let daemon = FakeDaemon::start_in(&dirs.sockets);
    let window = "PROFILE_START_ITERATION=0\nPROFILE_START_ITERATION_ROUNDUP=4\nACTIVITIES_ITERATIONS=3";
    daemon.queue_config(request(&dirs, "t.json", window));
    let (captured, errors) = demo(&dirs, &daemon, 1, &["--rank", "1", "--world-size", "3", "--device", "5"]);
    assert_eq!(errors, 0);

    let records = captured.records::<TraceRecord>();
    let path = trace_path(&dirs, "t");
    assert_eq!(records[0].path, path.to_str().unwrap());
    assert_eq!((records[0].steps, records[0].trace_id.as_deref()), (3, Some("4711")));
    assert_eq!(records[0].size_bytes, fs::metadata(&path).unwrap().len());
    assert_eq!(captured.records::<Config>().len(), 1);

    let trace = KinetoTrace::read(&path);
    trace.check();
    assert_eq!(trace.top("trace_id"), "4711");
    assert_eq!(trace.top("distributedInfo")["rank"], 1);
    assert_eq!(trace.top("distributedInfo")["world_size"], 3);
    let steps = trace.steps();
    assert_eq!(steps, (steps[0]..steps[0] + 3).collect::<Vec<_>>());
    assert_eq!(steps[0] % 4, 0);
    let device = trace.spans(&["kernel"]);
    assert!(device.iter().all(|k| k.event["pid"] == 5));
    let nccl = device.iter().filter(|k| k.event["name"].as_str().unwrap().starts_with("ncclDevKernel"));
    assert_eq!(nccl.count(), 6, "two all-reduces a step");
    assert_eq!(trace.spans(&["gpu_memcpy"]).len(), 6);

    drop(daemon);
    assert!(TestDirs::list_names(&dirs.sockets).is_empty(), "no socket is left behind");
    assert_eq!(TestDirs::list_names(&dirs.traces).len(), 1, "no temporary file is left behind");
}

#[test]
fn a_second_request_is_rejected_while_a_trace_is_recorded() {
    let dirs = TestDirs::new();
    let daemon = FakeDaemon::start_in(&dirs.sockets);
    daemon.queue_config(request(&dirs, "a.json", "PROFILE_START_TIME=0\nACTIVITIES_DURATION_MSECS=100"));
    // Refused: the first is still running.
    daemon.queue_config(request(&dirs, "b.json", "ACTIVITIES_ITERATIONS=1"));
    let (captured, errors) = demo(&dirs, &daemon, 1, &[]);
    assert_eq!(errors, 1);
    let records = captured.records::<TraceRecord>();
    assert_eq!(records.len(), 1);
    assert!(records[0].dur_ns >= 100_000_000, "{records:?}");
    let trace = KinetoTrace::read(&trace_path(&dirs, "a"));
    trace.check();
    assert!(!trace.spans(&["kernel"]).is_empty());
    assert_eq!(captured.records::<Summary>()[0].configs, 2);
}

#[test]
fn traces_are_where_a_client_expects_those_of_libkineto() {
    for (file, name) in
        [("a.pt.trace.json", format!("a_{}.pt.trace.json", process::own_pid())), ("plain", "plain".into())]
    {
        let dirs = TestDirs::new();
        let daemon = FakeDaemon::start_in(&dirs.sockets);
        daemon.queue_config(request(&dirs, file, "ACTIVITIES_ITERATIONS=1"));
        let (captured, errors) = demo(&dirs, &daemon, 1, &[]);
        assert_eq!(errors, 0);
        let path = dirs.traces.join(name);
        assert_eq!(captured.records::<TraceRecord>()[0].path, path.to_str().unwrap());
        KinetoTrace::read(&path).check();
    }
}

#[test]
fn a_request_cannot_make_the_job_write_elsewhere() {
    let dirs = TestDirs::new();
    let daemon = FakeDaemon::start_in(&dirs.sockets);
    let victim = dirs.traces.join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, trace_path(&dirs, "link")).unwrap();
    symlink(&dirs.traces, dirs.traces.join("dir")).unwrap();
    let window = "ACTIVITIES_ITERATIONS=1";
    daemon.queue_config(request(&dirs, "link.json", window));
    daemon.queue_config(request(&dirs, "dir/t.json", window));
    daemon.queue_config(request(&dirs, "../t/t.json", window));
    daemon.queue_config(format!("ACTIVITIES_LOG_FILE=t.json\n{window}"));
    daemon.queue_config(window);
    let (captured, errors) = demo(&dirs, &daemon, 0, &[]);
    assert_eq!(errors, 5);
    assert!(captured.records::<TraceRecord>().is_empty());
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert_eq!(captured.records::<Summary>(), [Summary { configs: 5, sent: 0, errors: 5 }]);
}

#[test]
fn malformed_datagrams_and_configs_do_not_stop_the_job() {
    let dirs = TestDirs::new();
    let daemon = FakeDaemon::start_in(&dirs.sockets);
    for garbage in [&b""[..], b"x", &[0xff; 40], &[b'A'; 9000], &[0; 70_000]] {
        daemon.queue_datagram(garbage);
    }
    daemon.queue_config("=\n=\n");
    daemon.queue_config(request(&dirs, "t.json", "ACTIVITIES_ITERATIONS=99999999999999999999"));
    daemon.queue_config(request(&dirs, "t.json", "ACTIVITIES_ITERATIONS=1"));
    let (captured, errors) = demo(&dirs, &daemon, 1, &[]);
    assert_eq!(errors, 2);
    assert_eq!(captured.records::<TraceRecord>().len(), 1);
    KinetoTrace::read(&trace_path(&dirs, "t")).check();
}

#[test]
fn an_npu_process_sends_its_status() {
    let dirs = TestDirs::new();
    let daemon = FakeDaemon::start_in(&dirs.sockets);
    let dir = dirs.traces.display();
    daemon.queue_config(format!(
        "ACTIVITIES_LOG_FILE={dir}\nPROFILE_START_ITERATION=0\nPROFILE_START_STEP=12\nACTIVITIES_ITERATIONS=2"
    ));
    let (captured, errors) = demo(&dirs, &daemon, 1, &["--npu"]);
    assert_eq!((errors, captured.records::<TraceRecord>().len()), (0, 1));
    let received = daemon.stop_and_take_messages();
    let state = |m: &Message| if let Message::TraceStatus(s) = m { Some(*s) } else { None };
    let mut states: Vec<Status> = received.iter().filter_map(state).collect();
    states.dedup_by_key(|s| s.state);
    let order: Vec<State> = states.iter().map(|s| s.state).collect();
    assert_eq!(order, [State::Idle, State::Ready, State::Running, State::Idle]);
    assert_eq!((states[1].start_step, states[1].stop_step), (12, 14));
    assert!(received.iter().any(|m| matches!(m, Message::MonitorStatus(s) if s.state == State::Idle)));
    check_tree(&dirs, &captured.records::<TraceRecord>()[0]);
}

/// The directory of an Ascend profile: its name, its modes, its files, and the lanes of its timeline.
fn check_tree(dirs: &TestDirs, record: &TraceRecord) {
    let tree = PathBuf::from(&record.path);
    assert_eq!(tree.parent(), Some(&*dirs.traces));
    let name = tree.file_name().unwrap().to_str().unwrap();
    let time = name.strip_suffix("_ascend_pt").and_then(|n| n.rsplit_once('_')).unwrap();
    assert!(time.0.ends_with(&format!("_{}", process::own_pid())) && time.1.len() == 17, "{name}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let output = tree.join("ASCEND_PROFILER_OUTPUT");
    assert_eq!((mode(&tree), mode(&output)), (0o750, 0o750));
    assert!(output.join("analyse.done").exists());
    let read = |path: &Path| -> Value {
        assert_eq!(mode(path), 0o640);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    assert_eq!(read(&tree.join("profiler_info_0.json"))["rank_id"], "0");
    let view = read(&output.join("trace_view.json"));
    let total = |name: &str| -> f64 {
        let lane = view.as_array().unwrap().iter().filter(|e| e["name"] == name && e["ph"] == "X");
        lane.map(|e| e["dur"].as_f64().unwrap()).sum()
    };
    assert!(total("Computing") > 0.0 && total("Free") > 0.0);
    assert!(total("Communication") >= total("Communication(Not Overlapped)"));
    let tasks = view.as_array().unwrap().iter().filter(|e| e["args"]["Task Type"] == "KERNEL_AICORE");
    assert!(tasks.clone().count() > 0 && tasks.clone().all(|e| e["ts"].is_string()));
    let flows = |ph: &str| {
        let all = view.as_array().unwrap().iter();
        let mut ids: Vec<_> = all
            .filter(|e| e["ph"] == *ph && e["cat"] == "HostToDevice")
            .map(|e| e["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(flows("s"), flows("f"));
}

#[test]
fn a_recording_that_is_cut_short_is_reported() {
    let dirs = TestDirs::new();
    let daemon = FakeDaemon::start_in(&dirs.sockets);
    daemon.queue_config(request(&dirs, "t.json", "ACTIVITIES_ITERATIONS=1000"));
    let (captured, errors) = demo(&dirs, &daemon, 0, &[]);
    assert_eq!((errors, captured.records::<TraceRecord>().len()), (1, 0));
    assert!(TestDirs::list_names(&dirs.traces).is_empty());
}
