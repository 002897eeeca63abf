//! Daemons that answer as the existing ones and ours do.

use common::exit::Exit;
use serde_json::json;

use super::fake_daemon::{FakeDaemon, frame};
use super::{run, run_against};

/// An upstream daemon: no detail, no command status.
const UPSTREAM: &str = r#"{"processesMatched":[5,6],"eventProfilersTriggered":[],"activityProfilersTriggered":[5,6],
    "eventProfilersBusy":0,"activityProfilersBusy":0}"#;

#[test]
fn status_of_every_kind_of_daemon() {
    let upstream = run_against(FakeDaemon::replying(r#"{"status":1}"#).port, &["status"]);
    assert_eq!(upstream.exit, Exit::Ok);
    assert_eq!(upstream.only_record("profctl.status")["outcome"], "done");
    let ms = FakeDaemon::replying(
        r#"{"nputrace":"Running","npumonitor":"Idle","current_step":6,"start_step":5,"stop_step":7,"new":[{}]}"#,
    );
    let record = run_against(ms.port, &["status"]).only_record("profctl.status");
    assert_eq!((&record["nputrace"], &record["stop_step"]), (&json!("Running"), &json!(7)));
    assert_eq!(ms.next_request(), json!({"fn": "getStatus", "extended": true}));
}

#[test]
fn version_and_its_text() {
    let fake = FakeDaemon::replying(r#"{"version":"0.5.1\u001b[2J"}"#);
    let ran = run_against(fake.port, &["version"]);
    assert_eq!(ran.only_record("profctl.version")["version"], "0.5.1\u{1b}[2J");
    assert_eq!(ran.only_record("profctl.summary")["done"], 1);
    let port = fake.port.to_string();
    let text = run(&["--certs-dir", "NO_CERTS", "--port", &port, "--hostname", "127.0.0.1", "version"]);
    assert_eq!(text.stdout, "127.0.0.1: 0.5.1\\x1b[2J\n");
}

#[test]
fn two_daemons_of_one_host_have_their_ports_in_the_text() {
    let daemons = ["1.0", "2.0"].map(|v| FakeDaemon::replying(&format!("{{\"version\":\"{v}\"}}")));
    let [first, second] = [&daemons[0], &daemons[1]].map(|daemon| daemon.port);
    let hosts = format!("127.0.0.1:{first},127.0.0.1:{second}");
    let text = run(&["--certs-dir", "NO_CERTS", "--hosts", &hosts, "version"]);
    let mut lines: Vec<_> = text.stdout.lines().collect();
    lines.sort_by_key(|line| line.ends_with("2.0"));
    assert_eq!(lines, [format!("127.0.0.1:{first}: 1.0"), format!("127.0.0.1:{second}: 2.0")]);
}

#[test]
fn dcgm_is_done_or_declined() {
    let yes = FakeDaemon::replying(r#"{"status":true}"#);
    assert_eq!(run_against(yes.port, &["dcgm-pause"]).exit, Exit::Ok);
    assert_eq!(yes.next_request(), json!({"fn": "dcgmProfPause", "duration_s": 300}));
    assert_eq!(run_against(yes.port, &["dcgm-pause", "--duration-s", "5"]).exit, Exit::Ok);
    assert_eq!(yes.next_request()["duration_s"], 5);
    assert_eq!(run_against(yes.port, &["dcgm-resume"]).exit, Exit::Ok);
    assert_eq!(yes.next_request(), json!({"fn": "dcgmProfResume"}));
    let no = FakeDaemon::replying(r#"{"status":false}"#);
    let ran = run_against(no.port, &["dcgm-resume"]);
    assert_eq!((ran.exit, &ran.only_record("profctl.request")["outcome"]), (Exit::No, &json!("declined")));
}

#[test]
fn a_trace_of_an_upstream_daemon() {
    let fake = FakeDaemon::replying(UPSTREAM);
    let ran =
        run_against(fake.port, &["gputrace", "--log-file", "/tmp/t.json", "--job-id", "7", "--pids", "5,6"]);
    assert_eq!(ran.exit, Exit::Ok);
    let record = ran.only_record("profctl.request");
    assert_eq!(record["function"], "gputrace");
    assert_eq!(record["matched_pids"], json!([5, 6]));
    assert_eq!(
        record["triggered"],
        json!([{"pid": 5, "path": "/tmp/t_5.json"}, {"pid": 6, "path": "/tmp/t_6.json"}])
    );
    let request = fake.next_request();
    assert_eq!((&request["job_id"], &request["pids"]), (&json!(7), &json!([5, 6])));
    assert_eq!(request["process_limit"], 3);
}

/// Existing clients put the request together as text: a quote in a path broke it, and the client died.
#[test]
fn quotes_and_backslashes_arrive_as_they_are() {
    let fake = FakeDaemon::replying(UPSTREAM);
    let path = "/tmp/a \"b\"\\n\\c'é{}.json";
    let ran = run_against(fake.port, &["gputrace", "--log-file", path]);
    let config = fake.next_request()["config"].as_str().unwrap().to_owned();
    assert_eq!(config.lines().next().unwrap(), format!("ACTIVITIES_LOG_FILE={path}"));
    assert_eq!(ran.only_record("profctl.request")["triggered"][0]["path"], "/tmp/a \"b\"\\n\\c'é{}_5.json");
    let filter = r#"Kernel:a"b\c"#;
    run_against(fake.port, &["npu-monitor", "--npu-monitor-start", "--filter", filter]);
    let request = fake.next_request();
    assert!(request["config"].as_str().unwrap().ends_with(&format!("\nNPU_MONITOR_FILTER={filter}")));
    assert_eq!(
        (&request["job_id"], &request["pids"], &request["process_limit"]),
        (&json!(0), &json!([0]), &json!(2_147_483_647))
    );
}

#[test]
fn a_line_break_in_an_option_is_rejected() {
    // The last ones end a line for some programs only.
    for mark in ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'] {
        let path = format!("/tmp/a{mark}PROFILE_WITH_STACK=true.json");
        let ran = run_against(1, &["gputrace", "--log-file", &path]);
        assert_eq!(ran.exit, Exit::Failed);
        let expected = "--log-file: the path has a control character or line separator";
        assert_eq!(ran.error.as_deref(), Some(expected), "{mark:?}");
    }
    let ran = run_against(1, &["npu-monitor", "--npu-monitor-stop", "--filter", "a\nb"]);
    assert_eq!(
        ran.error.as_deref(),
        Some("config key NPU_MONITOR_FILTER has a control character or line separator in its value")
    );
}

#[test]
fn a_config_that_is_too_long_is_rejected() {
    let long = format!("/tmp/{}.json", "x".repeat(5000));
    let ran = run_against(1, &["gputrace", "--log-file", &long]);
    assert!(ran.error.unwrap().contains("more than the 4032 that a process accepts"));
}

#[test]
fn an_ineffective_command_is_declined() {
    let fake = FakeDaemon::replying(r#"{"commandStatus":"ineffective"}"#);
    let ran = run_against(
        fake.port,
        &["nputrace", "--start-step", "-1", "--iterations", "1", "--log-file", "/tmp/p"],
    );
    assert_eq!(ran.exit, Exit::No);
    let record = ran.only_record("profctl.request");
    assert_eq!((&record["outcome"], &record["command_status"]), (&json!("declined"), &json!("ineffective")));
    assert!(record["reason"].as_str().unwrap().contains("npu-monitor is running"));
    assert_eq!(ran.only_record("profctl.summary")["declined"], 1);
}

#[test]
fn a_failed_request_is_declined_with_the_reason_of_the_daemon() {
    let fake =
        FakeDaemon::replying(r#"{"status":"failed with exception = [json.exception.type_error.302]"}"#);
    let ran = run_against(fake.port, &["gputrace", "--log-file", "/tmp/t.json"]);
    assert_eq!(ran.exit, Exit::No);
    assert!(
        ran.only_record("profctl.request")["reason"].as_str().unwrap().starts_with("failed with exception")
    );
}

#[test]
fn detail_of_profd_is_in_the_record() {
    let fake = FakeDaemon::replying(
        r#"{"processesMatched":[5,6],"activityProfilersTriggered":[5],"activityProfilersBusy":1,
            "commandStatus":"effective","detail":{"registered":2,"jobs":[{"job_id":0,"processes":2}],
            "busy":[{"pid":6,"since_ms":900}],"triggered":[{"pid":5,"trace_id":"18446744073709551615"}]}}"#,
    );
    let args = ["nputrace", "--start-step", "-1", "--iterations", "1", "--log-file", "/tmp/p"];
    let ran = run_against(fake.port, &args);
    let record = ran.only_record("profctl.request");
    assert_eq!(
        (ran.exit, &ran.only_record("profctl.summary")["partial"]),
        (Exit::No, &json!(1)),
        "one is busy"
    );
    assert_eq!(
        record["triggered"],
        json!([{"pid": 5, "trace_id": "18446744073709551615", "path_pattern": "/tmp/p/*_5_*_ascend_pt"}])
    );
    assert_eq!((&record["busy"], &record["jobs"]), (&json!(1), &json!([{"job_id": 0, "processes": 2}])));
}

#[test]
fn monitoring_is_also_stopped_in_processes_that_were_busy() {
    let reply = |triggered: &str, busy: u32| {
        super::fake_daemon::frame(&format!(
            r#"{{"processesMatched":[5,6],"activityProfilersTriggered":[{triggered}],"activityProfilersBusy":{busy}}}"#
        ))
    };
    let mut stops = 0;
    let fake = FakeDaemon::with_handler(move |stream, request| {
        use std::io::Write;
        let config = request["config"].as_str().unwrap_or_default();
        let is_stop = config.contains("NPU_MONITOR_STOP=true");
        stops += u32::from(is_stop);
        let frame = match (request["fn"].as_str(), is_stop && stops == 1) {
            (Some("getStatus"), _) => super::fake_daemon::frame(
                r#"{"nputrace":"Idle","npumonitor":"Running","current_step":3,"detail":{"processes":[]}}"#,
            ),
            (_, true) => reply("5", 1),
            _ => reply("5,6", 0),
        };
        stream.write_all(&frame).unwrap();
    });
    let ran = run_against(fake.port, &["monitor", "--duration", "1s", "--interval", "1s"]);
    let requests: Vec<_> = std::iter::repeat_with(|| fake.next_request()).take(4).collect();
    let stops = requests.iter().filter(|r| r["config"].to_string().contains("NPU_MONITOR_STOP=true")).count();
    assert_eq!((ran.exit, stops), (Exit::Ok, 2), "{}", ran.stdout);
    // The processes do not end by themselves before the last report.
    let start = requests[0]["config"].as_str().unwrap();
    assert!(start.contains("NPU_MONITOR_START=true") && start.contains("\nDURATION=11\n"), "{start}");
}

#[test]
fn every_host_gets_a_record_also_when_it_fails() {
    let good = FakeDaemon::replying(r#"{"version":"1"}"#).port;
    let silent = FakeDaemon::listen_with(super::fake_daemon::wait_for_close);
    let gone = FakeDaemon::listen_with(|stream| drop(stream.try_clone()));
    let hosts = format!("127.0.0.1:{good},127.0.0.1:{silent},127.0.0.1:{gone},127.0.0.1:1,127.0.0.1:{good}");
    let args =
        ["--certs-dir", "NO_CERTS", "--format", "json", "--hosts", &hosts, "--timeout", "2s", "version"];
    let ran = run(&args);
    assert_eq!(ran.exit, Exit::Failed);
    let mut outcomes: Vec<_> = ran
        .records_of("profctl.version")
        .iter()
        .map(|r| (r["port"].as_u64().unwrap(), r["outcome"].as_str().unwrap().to_owned()))
        .collect();
    outcomes.sort();
    let mut expected: Vec<_> = [(1, "failed"), (good, "done"), (silent, "failed"), (gone, "failed")]
        .map(|(p, o)| (u64::from(p), o.to_owned()))
        .to_vec();
    expected.sort();
    assert_eq!(outcomes, expected);
    let summary = ran.only_record("profctl.summary");
    assert_eq!(
        (&summary["hosts"], &summary["failed"], &summary["errors"]),
        (&json!(4), &json!(3), &json!(3))
    );
    assert_eq!(ran.records().last().unwrap()["type"], "profctl.summary");
}

#[test]
fn all_hosts_are_queried_within_the_limit() {
    let fake = FakeDaemon::replying(r#"{"version":"1"}"#);
    // Different addresses of one machine: the fake listens on the first only, so ask it by one name per port.
    let more: Vec<_> = (0..40).map(|_| FakeDaemon::replying(r#"{"version":"1"}"#)).collect();
    let ports: Vec<_> = more.iter().map(|f| format!("127.0.0.1:{}", f.port)).collect();
    let hosts = format!("127.0.0.1:{},{}", fake.port, ports.join(","));
    let ran = run(&[
        "--certs-dir",
        "NO_CERTS",
        "--format",
        "json",
        "--hosts",
        &hosts,
        "--parallel",
        "3",
        "version",
    ]);
    assert_eq!((ran.exit, ran.records_of("profctl.version").len()), (Exit::Ok, 41));
}

#[test]
fn a_reply_may_come_byte_by_byte() {
    let bytes = frame("\n {\"version\":\"slow\"}\n");
    let fake = FakeDaemon::with_handler(move |stream, _| {
        use std::io::Write;
        let _ = stream.set_nodelay(true);
        for byte in &bytes {
            stream.write_all(&[*byte]).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    });
    assert_eq!(run_against(fake.port, &["version"]).only_record("profctl.version")["version"], "slow");
}
