//! From the request to the complete trace: `--wait` against a daemon whose processes are threads of the test.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use common::exit::Exit;
use serde_json::json;

use super::fake_daemon::{FakeDaemon, frame};
use super::{run, run_against};

/// A daemon with two processes, which write their traces a moment after they were asked.
fn daemon(written: Vec<(String, String)>) -> FakeDaemon {
    let reply = frame(
        r#"{"processesMatched":[5,6],"activityProfilersTriggered":[5,6],"activityProfilersBusy":0,
            "detail":{"registered":2,"jobs":[{"job_id":0,"processes":2}],
            "triggered":[{"pid":5,"trace_id":"55"},{"pid":6,"trace_id":"66"}]}}"#,
    );
    FakeDaemon::with_handler(move |stream, _| {
        stream.write_all(&reply).unwrap();
        let written = written.clone();
        thread::spawn(move || {
            for (path, text) in written {
                thread::sleep(Duration::from_millis(60));
                fs::write(path, text).unwrap();
            }
        });
    })
}

fn trace(dir: &Path, pid: u32) -> (String, String) {
    let path = dir.join(format!("t_{pid}.json")).to_str().unwrap().to_owned();
    (path, format!("{{\"traceEvents\":[],\"trace_id\":\"{pid}{pid}\"}}"))
}

#[test]
fn every_trace_gets_a_record_when_it_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let log_file = dir.path().join("t.json");
    // What an earlier run left, with the id of that run.
    fs::write(dir.path().join("t_5.json"), "{\"trace_id\":\"1\"}").unwrap();
    let fake = daemon(vec![trace(dir.path(), 6), trace(dir.path(), 5)]);
    let ran = run_against(fake.port, &["gputrace", "--log-file", log_file.to_str().unwrap(), "--wait"]);
    assert_eq!(ran.exit, Exit::Ok);
    let files = ran.records_of("profctl.trace_file");
    assert_eq!(files.len(), 2);
    for file in &files {
        let pid = file["pid"].as_u64().unwrap();
        assert_eq!(file["path"], dir.path().join(format!("t_{pid}.json")).to_str().unwrap());
        assert_eq!(file["trace_id"], format!("{pid}{pid}"));
        assert_eq!((&file["complete"], &file["host"]), (&json!(true), &json!("127.0.0.1")));
        assert!(file["size_bytes"].as_u64().unwrap() > 10);
    }
    assert_eq!(ran.only_record("profctl.summary")["traces_complete"], 2);
    assert_eq!(ran.records()[0]["type"], "profctl.request");
}

#[test]
fn a_file_without_an_id_is_not_given_the_one_of_the_request() {
    let dir = tempfile::tempdir().unwrap();
    let log_file = dir.path().join("t.json");
    let planted = dir.path().join("t_5.json").to_str().unwrap().to_owned();
    let fake = daemon(vec![(planted.clone(), "{}".to_owned()), trace(dir.path(), 6)]);
    let args = ["gputrace", "--wait", "--wait-timeout", "1s", "--log-file", log_file.to_str().unwrap()];
    let ran = run_against(fake.port, &args);
    let files = ran.records_of("profctl.trace_file");
    let ids: Vec<_> = files.iter().map(|f| (f["pid"].as_u64().unwrap(), f.get("trace_id"))).collect();
    assert_eq!(ids, [(6, Some(&json!("66"))), (5, None)], "the doubtful one comes last");
    assert_eq!(files[1]["path"], planted);
}

#[test]
fn text_is_one_path_per_line_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let log_file = dir.path().join("t.json");
    let fake = daemon(vec![trace(dir.path(), 5), trace(dir.path(), 6)]);
    let port = fake.port.to_string();
    let ran = run(&[
        "--certs-dir",
        "NO_CERTS",
        "--hostname",
        "127.0.0.1",
        "--port",
        &port,
        "gputrace",
        "--wait",
        "--log-file",
        log_file.to_str().unwrap(),
    ]);
    let mut lines: Vec<_> = ran.stdout.lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, [trace(dir.path(), 5).0, trace(dir.path(), 6).0]);
}

#[test]
fn a_missing_trace_does_not_hide_the_complete_one() {
    let dir = tempfile::tempdir().unwrap();
    let log_file = dir.path().join("t.json");
    let fake = daemon(vec![trace(dir.path(), 5)]);
    let args = ["gputrace", "--wait", "--wait-timeout", "1s", "--log-file", log_file.to_str().unwrap()];
    let ran = run_against(fake.port, &args);
    assert_eq!(ran.exit, Exit::Failed);
    assert_eq!(ran.only_record("profctl.trace_file")["pid"], 5);
    let missing = ran.only_record("profctl.trace_missing");
    assert_eq!((&missing["pid"], &missing["reason"]), (&json!(6), &json!("no such file")));
    let summary = ran.only_record("profctl.summary");
    assert_eq!((&summary["traces_missing"], &summary["errors"]), (&json!(1), &json!(1)));
}

#[test]
fn without_triggered_processes_there_is_no_wait() {
    let fake = FakeDaemon::replying(
        r#"{"processesMatched":[],"activityProfilersTriggered":[],"activityProfilersBusy":0}"#,
    );
    let ran =
        run_against(fake.port, &["gputrace", "--wait", "--log-file", "/tmp/t.json", "--fail-on-no-process"]);
    assert_eq!((ran.exit, ran.records_of("profctl.trace_missing").len()), (Exit::No, 0));
}

/// Asked for in vain: the processes would write nothing, and the wait would be to its deadline.
#[test]
fn a_missing_directory_is_reported_before_the_request() {
    let dir = tempfile::tempdir().unwrap();
    let log_file = dir.path().join("nowhere/t.json");
    let fake = daemon(Vec::new());
    let ran = run_against(fake.port, &["gputrace", "--wait", "--log-file", log_file.to_str().unwrap()]);
    assert_eq!((ran.exit, ran.records_of("profctl.request").len()), (Exit::Failed, 0));
}

#[test]
fn without_wait_the_expected_paths_are_printed() {
    let fake = daemon(Vec::new());
    let port = fake.port.to_string();
    let ran = run(&[
        "--certs-dir",
        "NO_CERTS",
        "--port",
        &port,
        "--hostname",
        "127.0.0.1",
        "gputrace",
        "--log-file",
        "/tmp/t.json",
    ]);
    assert_eq!(
        ran.stdout,
        "127.0.0.1: 2 of 2 matching processes triggered\n\
         127.0.0.1: pid 5 writes /tmp/t_5.json\n127.0.0.1: pid 6 writes /tmp/t_6.json\n"
    );
}

/// Their processes can have one pid, as containers do, and their directory can be shared.
#[test]
fn no_two_daemons_are_told_the_same_file() {
    let fakes = [daemon(Vec::new()), daemon(Vec::new())];
    let hosts = fakes.each_ref().map(|fake| format!("127.0.0.1:{}", fake.port)).join(",");
    for (log_file, begin) in
        [("/tmp/t.json", "/tmp/t"), ("/tmp/rank%r.json", "/tmp/rank%r"), ("/tmp/t", "/tmp/t")]
    {
        let args = [
            "--certs-dir",
            "NO_CERTS",
            "--format",
            "json",
            "--hosts",
            &hosts,
            "gputrace",
            "--log-file",
            log_file,
        ];
        let ran = run(&args);
        let asked: std::collections::BTreeSet<String> =
            fakes.iter().map(|fake| fake.next_request()["config"].as_str().unwrap().to_owned()).collect();
        assert_eq!(asked.len(), 2, "{asked:?}");
        for fake in &fakes {
            let told = format!("ACTIVITIES_LOG_FILE={begin}_{}{}\n", fake.port, &log_file[begin.len()..]);
            assert!(asked.iter().any(|config| config.starts_with(&told)), "{told}: {asked:?}");
        }
        let requests = ran.records_of("profctl.request");
        let triggered = requests.iter().flat_map(|request| request["triggered"].as_array().unwrap());
        let paths: std::collections::BTreeSet<&str> =
            triggered.map(|t| t["path"].as_str().unwrap()).collect();
        // Without .json libkineto has no place for the pid.
        assert_eq!(paths.len(), if log_file.ends_with(".json") { 4 } else { 2 }, "{paths:?}");
    }
}

/// A rule of the daemon may count the questions of a wait as requests (profd-rules(5)).
#[test]
fn a_wait_goes_on_to_ask_a_daemon_that_has_answered_too_often() {
    let dir = tempfile::tempdir().unwrap();
    let log_file = dir.path().join("t.json");
    let triggered = frame(
        r#"{"processesMatched":[5],"activityProfilersTriggered":[5],"activityProfilersBusy":0,
            "detail":{"registered":1,"jobs":[{"job_id":0,"processes":1}],"triggered":[{"pid":5,"trace_id":"55"}]}}"#,
    );
    let limited = frame(r#"{"status":"failed","error":{"code":"rate","message":"3 requests a minute"}}"#);
    let ended = frame(r#"{"configs":[{"trace_id":"55","state":"ended_before","since_ms":5}]}"#);
    let mut questions = 0;
    let fake = FakeDaemon::with_handler(move |stream, request| {
        let reply = match request["fn"].as_str() {
            Some("getConfigStates") => {
                questions += 1;
                if questions == 1 { &limited } else { &ended }
            }
            _ => &triggered,
        };
        stream.write_all(reply).unwrap();
    });
    let wait = |time: &str| {
        let args = ["gputrace", "--wait", "--wait-timeout", time, "--log-file", log_file.to_str().unwrap()];
        run_against(fake.port, &args).only_record("profctl.trace_missing")["reason"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let reason = wait("3s");
    assert!(reason.ends_with("does not say what became of the request: 3 requests a minute"), "{reason}");
    assert_eq!(wait("30s"), "the process ended before it fetched the request");
}
