//! Real PyTorch processes, with their own libkineto, behind profd and profctl: one, two, the ranks of torchrun, a data loader
//! with its workers, and two pid namespaces.
//!
//! Needs PROFGUARD_TORCH_PYTHON, a Python that has PyTorch; `tests/interop/run` makes one. Without it every
//! test here says that it was skipped. Nothing here takes longer than a minute, or else it fails.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod harness;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::{Deployment, Guard, PATIENCE, command, eventually, finish};
use serde_json::Value;

fn python() -> Option<PathBuf> {
    let python = std::env::var_os("PROFGUARD_TORCH_PYTHON").map(PathBuf::from);
    testkit::or_skip(python.ok_or("no PROFGUARD_TORCH_PYTHON in the environment"))
}

/// Gives a command the environment in which libkineto looks for the daemon.
fn prepare<'a>(d: &Deployment, train: &'a mut Command) -> &'a mut Command {
    train.env_clear().env("PATH", "/usr/bin:/bin").env("KINETO_USE_DAEMON", "1");
    train.env("KINETO_IPC_SOCKET_DIR", d.ipc()).env("KINETO_ONDEMAND_TRACE_DIR", d.dir.path().join("traces"));
    train.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// Starts the training script of the demo and waits until libkineto has registered.
fn train(d: &Deployment, python: &PathBuf, job: Option<&str>) -> Guard {
    let mut train = Command::new(python);
    train.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/demo/train.py"));
    prepare(d, &mut train);
    if let Some(job) = job {
        train.env("SLURM_JOB_ID", job);
    }
    let train = start_training(&mut train, 1);
    d.registered(train.pid());
    train
}

/// Starts a command, and waits until so many of its processes have said that they train.
fn start_training(command: &mut Command, processes: usize) -> Guard {
    let mut train = Guard(command.stdout(Stdio::piped()).spawn().expect("it starts"));
    let lines = BufReader::new(train.0.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let (sent, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.filter(|line| line == "training").try_for_each(|line| sent.send(line)));
    for _ in 0..processes {
        said.recv_timeout(PATIENCE).expect("it trains");
    }
    train
}

#[test]
fn a_real_trace_of_five_iterations() {
    let Some(python) = python() else { return };
    let d = Deployment::with_tls();
    let job = train(&d, &python, None);
    let mut client = d.client();
    client.args([
        "--format",
        "json",
        "gputrace",
        "--iterations",
        "5",
        "--wait",
        "--wait-timeout",
        "50",
        "--log-file",
    ]);
    let answer = finish(client.arg(d.trace("torch.json"))).expect(0);
    let file = &answer.of_type("profctl.trace_file")[0];
    assert_eq!(file["pid"], job.pid());
    let path = file["path"].as_str().unwrap();
    assert_eq!(path, d.trace(&format!("torch_{}.json", job.pid())).to_str().unwrap());

    let info = finish(command("traceq").args(["info", "--format", "json", path])).expect(0);
    let info = &info.of_type("traceq.info")[0];
    let id = &answer.of_type("profctl.request")[0]["triggered"][0]["trace_id"];
    assert_eq!(&info["trace_id"], id, "{info}");
    assert_eq!(info["complete"], true, "{info}");
    let sum = finish(command("traceq").args(["sum", "--format", "json", path])).expect(0);
    assert!(
        !sum.of_type("traceq.step").is_empty() || !sum.of_type("traceq.total").is_empty(),
        "{}",
        sum.stdout
    );
    let top = finish(command("traceq").args(["top", "--format", "json", path])).expect(0);
    assert!(top.stdout.contains("aten::addmm") || top.stdout.contains("aten::linear"), "{}", top.stdout);
}

#[test]
fn a_real_trace_of_a_duration_in_a_batch_job() {
    let Some(python) = python() else { return };
    let d = Deployment::plain();
    let job = train(&d, &python, Some("4711"));
    // Another job's request does not reach it.
    let mut other = d.client();
    finish(other.args(["gputrace", "--duration-ms", "100", "--log-file"]).arg(d.trace("no.json"))).expect(1);
    let mut client = d.client();
    client.args([
        "--format",
        "json",
        "gputrace",
        "--job-id",
        "4711",
        "--duration-ms",
        "300",
        "--wait",
        "--log-file",
    ]);
    let answer = finish(client.arg(d.trace("job.json"))).expect(0);
    assert_eq!(answer.of_type("profctl.trace_file")[0]["pid"], job.pid());
}

#[test]
fn two_real_processes_and_a_request_for_one() {
    let Some(python) = python() else { return };
    let d = Deployment::plain();
    let (one, two) = (train(&d, &python, None), train(&d, &python, None));
    let mut client = d.client();
    client.args([
        "--format",
        "json",
        "gputrace",
        "--duration-ms",
        "200",
        "--wait",
        "--pids",
        &two.pid().to_string(),
    ]);
    let answer = finish(client.arg("--log-file").arg(d.trace("one.json"))).expect(0);
    let files = answer.of_type("profctl.trace_file");
    assert_eq!(files.len(), 1);
    assert_eq!(files[0]["pid"], two.pid());
    assert!(!d.trace(&format!("one_{}.json", one.pid())).exists());
}

/// What the daemon knows of each process.
fn processes(d: &Deployment) -> Vec<Value> {
    let status = d.profctl(&["--format", "json", "status"]).expect(0);
    status.of_type("profctl.status")[0]["processes"].as_array().cloned().unwrap_or_default()
}

/// Asks for traces of a third of a second, and returns what is known of each file.
fn request_traces(d: &Deployment, more: &[&str], file: &Path) -> Vec<Value> {
    let mut client = d.client();
    client.args(["--format", "json", "gputrace", "--duration-ms", "300", "--wait", "--wait-timeout", "50"]);
    let answer = finish(client.args(more).arg("--log-file").arg(file)).expect(0);
    let files = answer.of_type("profctl.trace_file");
    let paths: BTreeSet<&str> = files.iter().filter_map(|f| f["path"].as_str()).collect();
    assert_eq!(paths.len(), files.len(), "{files:?}");
    for path in paths {
        let info = finish(command("traceq").args(["info", "--format", "json", path])).expect(0);
        assert_eq!(info.of_type("traceq.info")[0]["complete"], true, "{}", info.stdout);
    }
    files
}

#[test]
fn two_ranks_of_torchrun_write_a_trace_each() {
    let Some(python) = python() else { return };
    let d = Deployment::plain();
    let mut torchrun = Command::new(python);
    torchrun.args(["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]);
    torchrun.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/torch-ranks.py"));
    prepare(&d, &mut torchrun).env("GLOO_SOCKET_IFNAME", "lo").env("OMP_NUM_THREADS", "1");
    let mut torchrun = start_training(&mut torchrun, 2);
    // torchrun has imported PyTorch, too, and registers; it has no rank.
    let ranks = eventually("both ranks register", || {
        let mut known = processes(&d);
        known.retain(|p| p["rank"].is_number());
        known.sort_by_key(|p| p["rank"].as_u64());
        (known.len() == 2).then_some(known)
    });
    assert!(ranks.iter().enumerate().all(|(i, p)| p["rank"] == i && p["world_size"] == 2), "{ranks:?}");
    let pids: Vec<String> = ranks.iter().map(|p| p["pid"].to_string()).collect();
    let files = request_traces(&d, &["--pids", &pids.join(",")], &d.trace("rank.json"));
    assert_eq!(files.len(), 2, "{files:?}");
    for (rank, file) in ranks.iter().map(|rank| (rank, d.trace(&format!("rank_{}.json", rank["pid"])))) {
        let calls = command("traceq").args(["top", "--by", "collective-call"]).arg(file).output().unwrap();
        let calls = String::from_utf8(calls.stdout).unwrap();
        assert!(calls.contains("all_reduce") || calls.contains("allreduce"), "{rank}: {calls}");
    }
    torchrun.terminate();
    eventually("all are gone", || d.pids().is_empty().then_some(()));
}

#[test]
fn a_data_loader_with_spawned_workers_is_traced_with_them() {
    let Some(python) = python() else { return };
    let d = Deployment::plain();
    let mut train = Command::new(python);
    train.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/torch-loader.py"));
    let mut train = start_training(prepare(&d, &mut train), 1);
    // The workers inherit the variables, and import PyTorch.
    eventually("it and its workers register", || (d.pids().len() == 3).then_some(()));
    let files = request_traces(&d, &[], &d.trace("loader.json"));
    let pids: BTreeSet<u64> = files.iter().filter_map(|f| f["pid"].as_u64()).collect();
    assert_eq!(pids, d.pids().into_iter().collect(), "{files:?}");
    let path = d.trace(&format!("loader_{}.json", train.pid()));
    let top = finish(command("traceq").args(["top", "--by", "op"]).arg(path)).expect(0).stdout;
    assert!(top.contains("aten::addmm") || top.contains("aten::linear"), "{top}");
    train.terminate();
    eventually("all are gone", || d.pids().is_empty().then_some(()));
}

/// As in two containers that share a directory: libkineto would write the same file in both.
#[test]
fn two_real_processes_of_one_pid_write_a_file_each() {
    let Some(python) = python() else { return };
    let options = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child"];
    if !Command::new("unshare").args(options).arg("true").status().is_ok_and(|status| status.success()) {
        return testkit::skip("no pid namespaces for this user");
    }
    let d = Deployment::plain();
    let _jobs: Vec<Guard> = (0..2)
        .map(|_| {
            let mut job = Command::new("unshare");
            job.args(options).arg(&python).arg(concat!(env!("CARGO_MANIFEST_DIR"), "/demo/train.py"));
            start_training(prepare(&d, &mut job), 1)
        })
        .collect();
    eventually("both register", || (d.pids() == [1, 1]).then_some(()));
    let files = request_traces(&d, &[], &d.trace("pid1.json"));
    assert_eq!((files.len(), std::fs::read_dir(d.trace("")).unwrap().count()), (2, 2), "{files:?}");
}
