//! The fabric: what each kind of process sends, byte for byte, and what it gets.

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
fn by_hand(name: &[u8], words: &[i32], job_id: i64) -> Vec<u8> {
    let mut payload: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
    payload.extend(job_id.to_ne_bytes());
    let mut datagram = header(payload.len() as u64, name);
    datagram.extend(payload);
    datagram
}

/// libkineto: only `req`, job id before the pids, activities only; an abstract name of its own.
#[test]
fn a_kineto_process_gets_its_config_byte_for_byte() {
    let rig = Rig::new();
    let own = Address::abstract_name(&format!("dynoconfigclient-{}", rig.name));
    let process = Process::new(&own, &Address::abstract_name(&rig.name));
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
    let reply = rig.ask(&on_demand(42, &[process.pid]));
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
fn registration_is_not_answered_on_the_home_socket() {
    let rig = Rig::new();
    let own = Address::Path(rig.dir.path().join("c/ms"));
    let process = Process::new(&own, &Address::in_home(&rig.dir.path().join("h")).0);
    process.send_bytes(&by_hand(b"ctxt", &[3, process.pid], 0));
    rig.counted("ipc.datagrams", 1);
    assert_eq!(rig.request(&[])["activityProfilersTriggered"], json!([process.pid]));
    assert!(process.poll().starts_with(CONFIG), "the first answer is the answer to the poll");
}

#[test]
fn registration_is_answered_elsewhere() {
    let rig = Rig::new();
    let process = rig.process("p");
    process.send(&Message::Register(Register { device: 0, pid: process.pid, job_id: 0 }));
    assert_eq!(process.receive(), Reply::Registered(1));
}

#[test]
fn a_status_with_garbage_in_its_padding_is_taken() {
    let rig = Rig::new();
    let process = rig.process("p");
    let pid = process.pid;
    process.send_bytes(&by_hand(b"npuTraceStatus", &[2, 7, 8, 10, pid, -559_038_737], 0));
    process.send_bytes(&by_hand(b"npuMonitorStatus", &[0, -1, -1, -1, pid, 0], 0));
    let expected = json!({
        "status": 1, "nputrace": "Ready", "npumonitor": "Idle", "current_step": 7, "start_step": 8, "stop_step": 10,
    });
    eventually("both are taken", || rig.ask(&json!({"fn": "getStatus"})) == expected);
}

/// The two functions share hardware.
#[test]
fn a_trace_is_refused_while_the_monitor_runs() {
    let rig = Rig::new();
    let process = rig.process("p");
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
    assert_eq!(rig.ask(&request), json!({"commandStatus": "ineffective"}));
    process.send(&Message::MonitorStatus(status(State::Idle)));
    process.poll();
    let reply = rig.ask(&request);
    assert_eq!(reply["commandStatus"], "effective");
    assert_eq!(reply["activityProfilersTriggered"], json!([process.pid]));
}

#[test]
fn lies_are_rejected_and_counted_by_cause() {
    let rig = Rig::new();
    let process = rig.process("p");
    process.send_bytes(b"short");
    process.send_bytes(&[header(4000, b"data"), b"12345".to_vec()].concat());
    process.send_bytes(&by_hand(b"reqXYZ", &[3, 1], 0));
    process.send_bytes(&[&8_u64.to_ne_bytes()[..], &[b'r'; 40]].concat());
    process.send_bytes(&vec![0; buffer().len() + 10]);
    rig.counted("ipc.rejected.malformed", 5);
    process.send(&Message::Register(Register { device: 0, pid: process.pid + 1, job_id: 0 }));
    rig.counted("ipc.rejected.pid", 1);
    assert_eq!(process.poll(), "", "and it goes on");
}

#[test]
fn a_poll_from_nowhere_is_not_answered_and_does_no_harm() {
    let rig = Rig::new();
    let process = rig.process("p");
    let poll = Message::Poll(Poll { config_type: 3, job_id: 0, pids: vec![process.pid] });
    let nameless = std::os::unix::net::UnixDatagram::unbound().unwrap();
    nameless.send_to(&poll.encode(), rig.dir.path().join("d/dynolog")).unwrap();
    rig.counted("ipc.rejected.no_address", 1);
    assert_eq!(process.poll(), "");
}

/// The daemon must have let go of a config before its process can act on it.
#[test]
fn a_config_in_hand_keeps_nobody_busy() {
    let rig = Rig::new();
    let process = rig.process("p");
    process.poll();
    let mut client = rig.connect();
    for _ in 0..500 {
        let reply = client.ask(&on_demand(0, &[]));
        assert_eq!(reply["activityProfilersTriggered"], json!([process.pid]), "{reply}");
        assert!(process.poll().starts_with(CONFIG));
    }
}

#[test]
fn a_restarted_process_may_use_its_name_again() {
    let rig = Rig::new();
    for _ in 0..3 {
        let process = rig.process("same");
        process.poll();
        rig.request(&[]);
        assert!(process.poll().starts_with(CONFIG));
    }
}

#[test]
fn a_flood_of_metrics_is_dropped_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = dir.path().join("m");
    let rig = Rig::with(&["--metric-log-dir", metrics.to_str().unwrap(), "--metric-queue=1"]);
    let process = rig.process("p");
    for _ in 0..2000 {
        process.send(&Message::Data(br#"{"kind":"API","deviceId":0,"duration":5,"timestamp":6}"#.to_vec()));
    }
    assert_eq!(process.poll(), "");
    let sum = || {
        ["metrics.recorded", "metrics.dropped.queue_full", "metrics.dropped.not_written"]
            .iter()
            .map(|c| rig.counter(c))
            .sum::<u64>()
    };
    eventually("every metric is accounted for", || sum() == 2000);
}
