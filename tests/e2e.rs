//! The main job through the real binaries: certificates, daemon, process, request, trace, summary.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

mod harness;

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use harness::{Deployment, Done, Guard, bin, command, finish, run};
use serde_json::Value;

fn trace_request(d: &Deployment, more: &[&str]) -> Done {
    let log = d.trace("t.json");
    let mut client = d.client();
    client.args(["--format", "json", "gputrace", "--log-file"]).arg(&log);
    client.args(["--iterations", "5", "--wait", "--wait-timeout", "50"]).args(more);
    finish(&mut client)
}

/// Everything below a directory that others can read or write.
fn exposed(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let meta = entry.path().symlink_metadata().unwrap();
        if meta.mode() & 0o007 != 0 && !meta.is_symlink() {
            found.push(format!("{} {:o}", entry.path().display(), meta.mode()));
        }
        if meta.is_dir() {
            found.extend(exposed(&entry.path()));
        }
    }
    found
}

#[test]
fn a_trace_travels_from_request_to_summary() {
    let mut d = Deployment::with_tls();
    let mut job = d.job(&["--step-time", "5ms"]);
    let answer = trace_request(&d, &[]).expect(0);
    let request = &answer.of_type("profctl.request")[0];
    assert_eq!(request["triggered"][0]["pid"], job.pid());
    let file = &answer.of_type("profctl.trace_file")[0];
    let path = d.trace(&format!("t_{}.json", job.pid()));
    assert_eq!(file["path"], path.to_str().unwrap());

    // The same bytes that the client printed are what traceq reads.
    let mut sum = command("traceq");
    sum.args(["sum", "--files-from", "-", "--format", "json"]).stdin(Stdio::piped());
    let mut child = sum.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(answer.stdout.as_bytes()).unwrap();
    let sum = harness::finish_child(child).expect(0);
    let steps = sum.of_type("traceq.step");
    assert!(steps.len() >= 5, "{}", sum.stdout);
    let total = |r: &Value, k: &str| r[k].as_i64().unwrap_or_else(|| panic!("{k} in {r}"));
    for s in sum.records().iter().filter(|r| r.get("idle_ns").is_some() && r["total_ns"] != 0) {
        let parts = ["compute_ns", "exposed_communication_ns", "exposed_memcpy_ns", "idle_ns"];
        assert_eq!(parts.iter().map(|k| total(s, k)).sum::<i64>(), total(s, "total_ns"), "{s}");
    }

    // The trace says which request it answers.
    let info = run("traceq", &["info", "--format", "json", path.to_str().unwrap()]).expect(0);
    let id = request["triggered"][0]["trace_id"].as_str().unwrap();
    assert_eq!(info.of_type("traceq.info")[0]["trace_id"], id);

    assert_eq!(job.terminate(), Some(0));
    assert_eq!(d.daemon.terminate(), Some(0));
    assert_eq!(std::fs::read_dir(d.ipc()).unwrap().count(), 0, "sockets are left behind");
    assert_eq!(exposed(d.dir.path()), Vec::<String>::new());
}

#[test]
fn a_duration_works_as_well_as_iterations() {
    let d = Deployment::plain();
    let job = d.job(&["--step-time", "5ms"]);
    let mut client = d.client();
    client.args(["--format", "json", "gputrace", "--duration-ms", "200", "--wait", "--log-file"]);
    let answer = finish(client.arg(d.trace("d.json"))).expect(0);
    assert_eq!(answer.of_type("profctl.trace_file")[0]["pid"], job.pid());
}

#[test]
fn several_processes_each_write_their_own_trace() {
    let d = Deployment::plain();
    let jobs: Vec<_> = (0..3)
        .map(|rank| d.job(&["--step-time", "5ms", "--rank", &rank.to_string(), "--world-size", "3"]))
        .collect();
    let answer = trace_request(&d, &[]).expect(0);
    let mut got: Vec<u64> =
        answer.of_type("profctl.trace_file").iter().map(|f| f["pid"].as_u64().unwrap()).collect();
    let mut wanted: Vec<u64> = jobs.iter().map(|j| j.pid().into()).collect();
    got.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(got, wanted);
}

#[test]
fn nothing_matched_says_why() {
    let d = Deployment::plain();
    let none = trace_request(&d, &["--job-id", "7"]).expect(1);
    assert!(
        none.of_type("profctl.request")[0]["reason"].as_str().unwrap().contains("no process"),
        "{}",
        none.stdout
    );

    let job = d.job(&["--step-time", "5ms"]);
    let other = trace_request(&d, &["--job-id", "7"]).expect(1);
    let reason = other.of_type("profctl.request")[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("job 7") && reason.contains("job 0"), "{reason}");

    let pid = trace_request(&d, &["--pids", "999999"]).expect(1);
    assert!(
        pid.of_type("profctl.request")[0]["reason"].as_str().unwrap().contains("999999"),
        "{}",
        pid.stdout
    );
    drop(job);
}

#[test]
fn a_dead_process_is_never_matched() {
    let d = Deployment::plain();
    let job = d.job(&["--step-time", "5ms"]);
    let pid = job.pid();
    drop(job);
    harness::eventually("the daemon notices", || (!d.pids().contains(&pid.into())).then_some(()));
    trace_request(&d, &[]).expect(1);
}

#[test]
fn the_wrong_certificates_get_nothing() {
    let d = Deployment::with_tls();
    run("certck", &["mint", d.dir.path().join("other").to_str().unwrap()]).expect(0);
    let port = d.port.to_string();
    let other = d.dir.path().join("other/client_certs");
    let mut args =
        vec!["--certs-dir", other.to_str().unwrap(), "--hostname", "127.0.0.1", "--port", &port, "status"];
    let stranger = run("profctl", &args).expect(2);
    assert!(stranger.stderr.contains("127.0.0.1"), "{}", stranger.stderr);
    args[1] = "NO_CERTS";
    run("profctl", &args).expect(2);
    d.profctl(&["version"]).expect(0);
}

#[test]
fn a_second_daemon_on_the_port_does_not_start() {
    let d = Deployment::plain();
    let second =
        run("profd", &["--port", &d.port.to_string(), "--bind", "127.0.0.1", "--certs-dir", "NO_CERTS"]);
    let second = second.expect(2);
    assert!(second.stderr.contains(&d.port.to_string()), "{}", second.stderr);
    assert!(
        second.stderr.lines().any(|l| l.starts_with("profd: 127.0.0.1:") && l.contains("in use")),
        "{}",
        second.stderr
    );
}

#[test]
fn a_daemon_refuses_what_certck_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("c");
    run("certck", &["mint", certs.to_str().unwrap()]).expect(0);
    let key = certs.join("server_certs/server.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let server = certs.join("server_certs");
    let checked = run("certck", &["check", server.to_str().unwrap()]).expect(1);
    assert!(checked.stdout.contains("server.key"), "{}", checked.stdout);
    let started = run("profd", &["--port", "0", "--certs-dir", server.to_str().unwrap()]).expect(2);
    assert!(started.stderr.contains("server.key") && started.stderr.contains("0644"), "{}", started.stderr);
}

#[test]
fn metrics_of_the_host_are_kept() {
    let mut d = Deployment::plain();
    let mut tap = command("proftap");
    tap.args(["run", "--exit-on-eof"]).env("KINETO_IPC_SOCKET_DIR", d.ipc());
    let socket = d.dir.path().join("ipc");
    assert!(socket.exists());
    let child = tap.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = child;
    let metric = r#"{"kind":"Communication","deviceId":-1,"duration":5,"timestamp":1700000000000000000}"#;
    writeln!(child.stdin.take().unwrap(), "{metric}").unwrap();
    harness::finish_child(child).expect(0);
    let seen = || {
        let files = std::fs::read_dir(d.dir.path().join("metrics")).ok()?;
        let text: String = files.filter_map(|f| std::fs::read_to_string(f.ok()?.path()).ok()).collect();
        text.contains("\"Communication\"").then_some(text)
    };
    let text = harness::eventually("the metric is written", seen);
    let record: Value =
        serde_json::from_str(text.lines().find(|l| l.contains("Communication")).unwrap()).unwrap();
    assert_eq!(record["device_id"], -1, "{record}");
    assert_eq!(d.daemon.terminate(), Some(0));
}

/// Clients that hang up at the worst moment kill existing daemons by SIGPIPE.
#[test]
fn clients_that_hang_up_before_their_answer_do_not_end_the_daemon() {
    let mut d = Deployment::plain();
    for _ in 0..50 {
        let mut client = std::net::TcpStream::connect(("127.0.0.1", d.port)).unwrap();
        let frame = common::rpc::frame::encode(br#"{"fn":"getVersion"}"#).unwrap();
        // Two requests: the second answer meets a connection that the first one's reset has closed.
        client.write_all(&frame).unwrap();
        client.write_all(&frame).unwrap();
        drop(client);
    }
    d.profctl(&["version"]).expect(0);
    assert!(d.daemon.0.try_wait().unwrap().is_none());
}

/// The pipeline of the manual, through a shell and jq.
#[test]
fn the_documented_pipeline_runs() {
    if testkit::require("bash").is_none() || testkit::require("jq").is_none() {
        return;
    }
    let d = Deployment::plain();
    let _job = d.job(&["--step-time", "5ms", "--rank", "3", "--world-size", "8"]);
    let script = format!(
        "set -o pipefail; {} --certs-dir NO_CERTS --hostname 127.0.0.1 --port {} gputrace --iterations 3 --log-file {} \
         --wait --format json | {} sum --files-from - --format json | jq -r 'select(.idle_ratio>=0).rank'",
        bin("profctl"),
        d.port,
        d.trace("p.json").display(),
        bin("traceq")
    );
    let mut shell = std::process::Command::new("bash");
    let done = finish(shell.arg("-c").arg(script).env("LC_ALL", "C")).expect(0);
    assert!(!done.stdout.is_empty() && done.stdout.lines().all(|l| l == "3"), "{}", done.stdout);
}

/// As in two containers: both processes are pid 1 of a pid namespace, and write to one directory.
#[test]
fn two_processes_of_one_pid_write_a_file_each() {
    let d = Deployment::plain();
    let options = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child"];
    let can_unshare = std::process::Command::new("unshare").args(options).arg("true").output();
    if !can_unshare.is_ok_and(|done| done.status.success()) {
        return testkit::skip("no pid namespaces for this user");
    }
    let _jobs: Vec<_> = (0..2)
        .map(|_| {
            let mut job = std::process::Command::new("unshare");
            job.args(options).arg(bin("proftap")).args(["demo", "--step-time", "5ms"]);
            job.env("KINETO_IPC_SOCKET_DIR", d.ipc()).stdout(Stdio::null()).stderr(Stdio::null());
            Guard(job.spawn().unwrap())
        })
        .collect();
    harness::eventually("both register", || (d.pids() == [1, 1]).then_some(()));
    let trace = d.trace("two.json");
    let wanted = ["gputrace", "--iterations", "2", "--wait", "--log-file", trace.to_str().unwrap()];
    let done = d.profctl(&wanted).expect(0);
    let paths: std::collections::BTreeSet<&str> = done.stdout.lines().collect();
    assert_eq!((paths.len(), std::fs::read_dir(d.trace("")).unwrap().count()), (2, 2), "{}", done.stdout);
    // With placeholders each name says whose it is.
    let named = d.trace("%j-%H.json");
    let wanted = ["--format", "json", "gputrace", "--iterations", "2", "--wait", "--log-file"];
    let done = finish(d.client().args(wanted).arg(&named)).expect(0);
    for process in done.of_type("profctl.request")[0]["triggered"].as_array().unwrap() {
        let path = d.trace(&format!("0-{}_1.json", process["host_pid"]));
        assert_eq!(process["path"], path.to_str().unwrap());
        assert!(path.is_file(), "{path:?}");
    }
    let unknown = d.profctl(&["gputrace", "--log-file", "/tmp/%x.json"]).expect(2);
    assert!(unknown.stderr.contains("unknown placeholder"), "{}", unknown.stderr);
}
