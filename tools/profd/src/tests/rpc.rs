//! Requests over plain TCP.

use std::io::Write;

use serde_json::json;

use super::*;

#[test]
fn several_requests_go_over_one_connection() {
    let daemon = TestDaemon::new();
    let mut client = daemon.connect();
    for _ in 0..3 {
        assert_eq!(client.ask(&json!({"fn": "getVersion"})), json!({"version": env!("CARGO_PKG_VERSION")}));
    }
    // Sent before the first answer is read, too.
    client.send(br#"{"fn":"getVersion"}"#);
    client.send(br#"{"fn":"dcgmProfPause","duration_s":5}"#);
    assert!(client.read_reply().unwrap()["version"].is_string());
    assert_eq!(client.read_reply(), Some(json!({"status": false})));
}

/// A request of the existing clients, byte for byte: a line break first, pretty-printed.
#[test]
fn requests_of_existing_clients_get_a_reply() {
    let daemon = TestDaemon::new();
    let mut client = daemon.connect();
    let body = b"\n{\n    \"fn\": \"setKinetOnDemandRequest\",\n    \"config\": \"ACTIVITIES_LOG_FILE=/tmp/a.json\\nPROFILE_START_TIME=0\\nACTIVITIES_DURATION_MSECS=500\",\n    \"job_id\": 0,\n    \"pids\": [0],\n    \"process_limit\": 3\n}";
    client.0.write_all(&u32::try_from(body.len()).unwrap().to_ne_bytes()).unwrap();
    client.0.write_all(body).unwrap();
    let expected = json!({
        "processesMatched": [], "eventProfilersTriggered": [], "activityProfilersTriggered": [],
        "eventProfilersBusy": 0, "activityProfilersBusy": 0, "commandStatus": "ineffective",
    });
    assert_eq!(client.read_reply(), Some(expected));
    assert_eq!(daemon.ask(&json!({"fn": "dcgmResume"})), json!({"status": false}));
}

#[test]
fn an_invalid_request_is_rejected_with_the_reason() {
    let daemon = TestDaemon::new();
    for (body, reason) in [
        (&b"{"[..], "request is not valid JSON (line 1, column 1)"),
        (b"[1]", "request is not a JSON object"),
        (br#"{"fn":"evil\nline"}"#, "request names an unknown function"),
        (br#"{"fn":"setKinetOnDemandRequest"}"#, "request field `config` is missing"),
        (
            br#"{"fn":"setKinetOnDemandRequest","config":"A=1","pids":[99999999999]}"#,
            "request field `pids` is not an array of at most 4096 process ids",
        ),
    ] {
        let mut client = daemon.connect();
        client.send(body);
        assert_eq!(client.read_rejection(), reason);
    }
    assert_eq!(daemon.counter("rpc.bad_request"), 5);
    let mut client = daemon.connect();
    client.send(&vec![b'['; 60_000]);
    assert!(client.read_rejection().starts_with("request is not valid JSON"));
}

#[test]
fn the_reason_arrives_even_if_more_was_sent_than_is_read() {
    let daemon = TestDaemon::new();
    let mut client = daemon.connect();
    client.0.write_all(&100_000_i32.to_ne_bytes()).unwrap();
    client.0.write_all(&[b' '; 100_000]).unwrap();
    assert_eq!(client.read_rejection(), "frame length 100000 is beyond the limit of 65536 bytes");
}

#[test]
fn a_config_that_would_add_keys_is_rejected() {
    let daemon = TestDaemon::start_with(&["--output-root=/data"]);
    let process = daemon.process("p");
    process.poll();
    for (config, reason) in [
        (
            "ACTIVITIES_LOG_FILE=/data/x\r=1",
            "config key ACTIVITIES_LOG_FILE has a control character or line separator in its value",
        ),
        (
            "ACTIVITIES_LOG_FILE=/data/x\u{2028}ACTIVITIES_LOG_FILE=/etc/cron.d/x",
            "config key ACTIVITIES_LOG_FILE has a control character or line separator in its value",
        ),
        (
            "ACTIVITIES_LOG_FILE=/data/x\nREQUEST_TRACE_ID=7",
            "config key REQUEST_TRACE_ID is set by the daemon only",
        ),
        ("A=1\nA=2", "config key A is given twice"),
        ("", "config is empty"),
        (
            "ACTIVITIES_LOG_FILE=/etc/cron.d/x",
            "config key ACTIVITIES_LOG_FILE names a path elsewhere; this daemon lets processes write below /data only \
             (--output-root)",
        ),
    ] {
        let mut request = on_demand(0, &[]);
        request["config"] = config.into();
        let reply = daemon.ask(&request);
        assert_eq!(
            (&reply["status"], &reply["error"]["message"]),
            (&json!("failed"), &json!(reason)),
            "{config:?}"
        );
    }
    assert_eq!(process.poll(), "");
    let mut request = on_demand(0, &[]);
    request["config"] = "ACTIVITIES_LOG_FILE=/data/x.json".into();
    assert_eq!(daemon.ask(&request)["activityProfilersTriggered"], json!([process.pid]));
}

#[test]
fn a_request_in_progress_is_finished_and_an_idle_client_is_not_waited_for() {
    let daemon =
        TestDaemon::start_with(&["--drain-timeout=600s", "--read-timeout=600s", "--idle-timeout=600s"]);
    let (mut idle, mut busy) = (daemon.connect(), daemon.connect());
    idle.ask(&json!({"fn": "getVersion"}));
    let frame = frame::encode(br#"{"fn":"getVersion"}"#).unwrap();
    busy.0.write_all(&frame[..6]).unwrap();
    // Unless the daemon has seen the beginning, there is nothing to finish.
    daemon.wait_for_counter("rpc.requests_begun", 2);
    daemon.daemon.as_ref().unwrap().trigger.advance(DaemonPhase::Draining);
    assert!(idle.read_reply().is_none());
    eventually("nothing new is taken", || TcpStream::connect(daemon.address).is_err());
    busy.0.write_all(&frame[6..]).unwrap();
    assert!(busy.read_reply().unwrap()["version"].is_string());
    assert!(busy.read_reply().is_none());
    daemon.stop();
}

#[test]
fn no_config_is_accepted_while_the_daemon_drains() {
    let daemon = TestDaemon::start_with(&["--drain-timeout=600s", "--read-timeout=600s"]);
    let process = daemon.process("p");
    process.poll();
    let mut client = daemon.connect();
    let frame = frame::encode(on_demand(0, &[]).to_string().as_bytes()).unwrap();
    client.0.write_all(&frame[..6]).unwrap();
    daemon.wait_for_counter("rpc.requests_begun", 1);
    daemon.daemon.as_ref().unwrap().trigger.advance(DaemonPhase::Draining);
    client.0.write_all(&frame[6..]).unwrap();
    let error = json!({"code": "stopping", "message": "the daemon is stopping"});
    assert_eq!(client.read_reply(), Some(json!({"status": "failed", "error": error})));
    daemon.stop();
}

#[test]
fn a_second_signal_does_not_wait_for_requests() {
    let daemon = TestDaemon::start_with(&["--drain-timeout=600s", "--read-timeout=600s"]);
    let mut slow = daemon.connect();
    slow.0.write_all(&[20]).unwrap();
    daemon.wait_for_counter("rpc.accepted", 1);
    let trigger = daemon.daemon.as_ref().unwrap().trigger.clone();
    trigger.advance(DaemonPhase::Draining);
    trigger.advance(DaemonPhase::Stopping);
    daemon.stop();
    assert!(slow.read_reply().is_none());
}
