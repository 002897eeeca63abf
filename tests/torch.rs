//! A real PyTorch process, with its own libkineto, behind profd and profctl.
//!
//! Needs PROFGUARD_TORCH_PYTHON, a Python that has PyTorch; `tests/interop/run` makes one. Without it every
//! test here says that it was skipped.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod harness;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use harness::{Deployment, Guard, command, finish};

fn python() -> Option<PathBuf> {
    let python = std::env::var_os("PROFGUARD_TORCH_PYTHON").map(PathBuf::from);
    testkit::or_skip(python.ok_or("no PROFGUARD_TORCH_PYTHON in the environment"))
}

/// Starts the training script of the demo and waits until libkineto has registered.
fn train(d: &Deployment, python: &PathBuf, job: Option<&str>) -> Guard {
    let mut train = std::process::Command::new(python);
    train.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/demo/train.py"));
    train.env_clear().env("PATH", "/usr/bin:/bin").env("KINETO_USE_DAEMON", "1");
    train.env("KINETO_IPC_SOCKET_DIR", d.ipc()).env("KINETO_ONDEMAND_TRACE_DIR", d.dir.path().join("traces"));
    if let Some(job) = job {
        train.env("SLURM_JOB_ID", job);
    }
    let mut train = Guard(train.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("python starts"));
    let mut line = String::new();
    BufReader::new(train.0.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
    assert_eq!(line, "training\n");
    d.registered(train.pid());
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
