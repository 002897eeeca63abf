//! The process side: what each kind of process sends, byte for byte, and what it receives.

use common::ipc::message::{Register, State, Status};
use serde_json::json;

use super::*;

fn header(size: u64, name: &[u8]) -> Vec<u8> {
    let mut datagram = size.to_ne_bytes().to_vec();
    datagram.extend_from_slice(name);
    datagram.resize(40, 0);
    datagram
}

/// A datagram made by hand: header, then the words, then the job id.
fn encode_by_hand(name: &[u8], words: &[i32], job_id: i64) -> Vec<u8> {
    let mut payload: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
    payload.extend(job_id.to_ne_bytes());
    let mut datagram = header(payload.len() as u64, name);
    datagram.extend(payload);
    datagram
}

/// libkineto: only `req`, job id before the pids, activities only; an abstract name of its own.
#[test]
fn a_kineto_process_gets_its_config_byte_for_byte() {
    let daemon = TestDaemon::new();
    let own = Address::abstract_name(&format!("dynoconfigclient-{}", daemon.name));
    let process = TestProcess::new(&own, &Address::abstract_name(&daemon.name));
    let mut poll = header(20, b"req");
    for word in [2_i32, 1] {
        poll.extend(word.to_ne_bytes());
    }
    poll.extend(42_i64.to_ne_bytes());
    poll.extend(process.pid.to_ne_bytes());
    let receive = || {
        assert!(process.socket.wait(PATIENCE).unwrap());
        let mut buffer = buffer();
        let n = process.socket.receive(&mut buffer).unwrap().len;
        buffer[..n].to_vec()
    };
    process.send_bytes(&poll);
    assert_eq!(receive(), header(0, b"req"));
    let reply = daemon.ask(&on_demand(42, &[process.pid]));
    let id = reply["detail"]["triggered"][0]["trace_id"].as_str().unwrap();
    process.send_bytes(&poll);
    let text = format!("{CONFIG}\nREQUEST_TRACE_ID={id}\n");
    let mut expected = header(text.len() as u64, b"req");
    expected.extend_from_slice(text.as_bytes());
    assert_eq!(receive(), expected);
}

/// msMonitor's process side on the socket in the home directory: it would take an answer to `ctxt` for that to
/// its first poll.
#[test]
fn registration_gets_no_reply_on_the_home_socket() {
    let daemon = TestDaemon::new();
    let own = Address::Path(daemon.dir.path().join("c/ms"));
    let process = TestProcess::new(&own, &Address::in_home(&daemon.dir.path().join("h")).0);
    process.send_bytes(&encode_by_hand(b"ctxt", &[3, process.pid], 0));
    daemon.wait_for_counter("ipc.datagrams", 1);
    assert_eq!(daemon.request(&[])["activityProfilersTriggered"], json!([process.pid]));
    assert!(process.poll().starts_with(CONFIG), "the first answer is the answer to the poll");
}

#[test]
fn registration_gets_a_reply_on_other_sockets() {
    let daemon = TestDaemon::new();
    let process = daemon.process("p");
    process.send(&Message::Register(Register { device: 0, pid: process.pid, job_id: 0 }));
    assert_eq!(process.receive(), Reply::Registered(1));
}

#[test]
fn a_status_with_garbage_in_its_padding_is_accepted() {
    let daemon = TestDaemon::new();
    let process = daemon.process("p");
    let pid = process.pid;
    process.send_bytes(&encode_by_hand(b"npuTraceStatus", &[2, 7, 8, 10, pid, -559_038_737], 0));
    process.send_bytes(&encode_by_hand(b"npuMonitorStatus", &[0, -1, -1, -1, pid, 0], 0));
    let expected = json!({
        "status": 1, "nputrace": "Ready", "npumonitor": "Idle", "current_step": 7, "start_step": 8, "stop_step": 10,
    });
    eventually("both are taken", || daemon.ask(&json!({"fn": "getStatus"})) == expected);
}

/// The two functions share hardware.
#[test]
fn a_trace_is_declined_while_the_monitor_runs() {
    let daemon = TestDaemon::new();
    let process = daemon.process("p");
    let status = |state| Status {
        state,
        current_step: -1,
        start_step: -1,
        stop_step: -1,
        pid: process.pid,
        job_id: 0,
    };
    process.send(&Message::TraceStatus(status(State::Idle)));
    process.send(&Message::MonitorStatus(status(State::Running)));
    process.poll();
    let mut request = on_demand(0, &[]);
    request["extended"] = false.into();
    assert_eq!(daemon.ask(&request), json!({"commandStatus": "ineffective"}));
    process.send(&Message::MonitorStatus(status(State::Idle)));
    process.poll();
    let reply = daemon.ask(&request);
    assert_eq!(reply["commandStatus"], "effective");
    assert_eq!(reply["activityProfilersTriggered"], json!([process.pid]));
}

#[test]
fn invalid_datagrams_are_rejected_and_counted_by_cause() {
    let daemon = TestDaemon::new();
    let process = daemon.process("p");
    process.send_bytes(b"short");
    process.send_bytes(&[header(4000, b"data"), b"12345".to_vec()].concat());
    process.send_bytes(&encode_by_hand(b"reqXYZ", &[3, 1], 0));
    process.send_bytes(&[&8_u64.to_ne_bytes()[..], &[b'r'; 40]].concat());
    process.send_bytes(&vec![0; buffer().len() + 10]);
    daemon.wait_for_counter("ipc.rejected.malformed", 5);
    process.send(&Message::Register(Register { device: 0, pid: process.pid + 1, job_id: 0 }));
    daemon.wait_for_counter("ipc.rejected.pid", 1);
    assert_eq!(process.poll(), "", "and it goes on");
}

#[test]
fn a_poll_from_an_unnamed_socket_gets_no_reply() {
    let daemon = TestDaemon::new();
    let process = daemon.process("p");
    let poll = Message::Poll(Poll { config_type: 3, job_id: 0, pids: vec![process.pid] });
    let nameless = std::os::unix::net::UnixDatagram::unbound().unwrap();
    nameless.send_to(&poll.encode(), daemon.dir.path().join("d/dynolog")).unwrap();
    daemon.wait_for_counter("ipc.rejected.no_address", 1);
    assert_eq!(process.poll(), "");
}

/// The daemon must have let go of a config before its process can act on it.
#[test]
fn a_delivered_config_does_not_make_its_process_busy() {
    let daemon = TestDaemon::new();
    let process = daemon.process("p");
    process.poll();
    let mut client = daemon.connect();
    for _ in 0..500 {
        let reply = client.ask(&on_demand(0, &[]));
        assert_eq!(reply["activityProfilersTriggered"], json!([process.pid]), "{reply}");
        assert!(process.poll().starts_with(CONFIG));
    }
}

#[test]
fn a_restarted_process_may_reuse_its_socket_name() {
    let daemon = TestDaemon::new();
    for _ in 0..3 {
        let process = daemon.process("same");
        process.poll();
        daemon.request(&[]);
        assert!(process.poll().starts_with(CONFIG));
    }
}

#[test]
fn a_flood_of_metrics_is_dropped_without_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = dir.path().join("m");
    let daemon = TestDaemon::start_with(&["--metric-log-dir", metrics.to_str().unwrap(), "--metric-queue=1"]);
    let process = daemon.process("p");
    for _ in 0..2000 {
        process.send(&Message::Data(br#"{"kind":"API","deviceId":0,"duration":5,"timestamp":6}"#.to_vec()));
    }
    assert_eq!(process.poll(), "");
    let sum = || {
        ["metrics.recorded", "metrics.dropped.queue_full", "metrics.dropped.not_written"]
            .iter()
            .map(|c| daemon.counter(c))
            .sum::<u64>()
    };
    eventually("every metric is accounted for", || sum() == 2000);
}
