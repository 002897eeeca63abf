//! The daemon under a service manager: sockets that are passed, the watchdog, the log, a restart.

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::json;

use super::shutdown::{DaemonProcess, TEST_ARGS, VAR};
use super::worker::Worker;
use super::*;

/// Sockets of a service manager: a TCP listener as descriptor 3 and a datagram socket as descriptor 4.
#[test]
fn passed_sockets_are_served_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dynolog");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let datagrams = UnixDatagram::bind(&path).unwrap();
    let mut sh = Command::new("sh");
    let script = "exec 3<&0 4>&2 2>/dev/null; export LISTEN_PID=$$ LISTEN_FDS=2; exec \"$@\"";
    sh.args(["-c", script, "sh"]).arg(std::env::current_exe().unwrap()).args(TEST_ARGS);
    sh.env(VAR, "profd --certs-dir=NO_CERTS --port=1 --enable-ipc-monitor --no-sandbox");
    sh.stdin(OwnedFd::from(listener)).stderr(OwnedFd::from(datagrams)).stdout(Stdio::null());
    let mut daemon = sh.spawn().unwrap();
    let status = json!({"fn": "getStatus", "extended": true});
    let reply = TestClient::connect(address).ask(&status);
    assert_eq!(reply["detail"]["health"]["status"], "ok", "{reply}");
    let process = TestProcess::new(&Address::Path(dir.path().join("p")), &Address::Path(path.clone()));
    assert_eq!(process.poll(), "");
    let reply = TestClient::connect(address).ask(&status);
    assert_eq!(reply["detail"]["processes"][0]["pid"], process.pid);
    rustix::process::kill_process(rustix::process::Pid::from_child(&daemon), Signal::TERM).unwrap();
    assert!(daemon.wait().unwrap().success());
    assert!(path.exists(), "its maker removes it");
}

/// The same by a program of systemd, which starts the daemon at the first connection.
#[test]
fn sockets_of_systemd_socket_activate_are_served() {
    let Some(activate) = testkit::require("systemd-socket-activate") else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(activate);
    command.args(["-l", &format!("127.0.0.1:{port}"), "-E", VAR]).arg(std::env::current_exe().unwrap());
    command.args(TEST_ARGS).env(VAR, "profd --certs-dir=NO_CERTS --no-sandbox");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut daemon = command.spawn().unwrap();
    let mut connected = None;
    eventually("systemd listens", || {
        connected = TcpStream::connect(("127.0.0.1", port)).ok();
        connected.is_some()
    });
    let stream = connected.unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let health = TestClient(stream).ask(&json!({"fn": "getHealth"}));
    assert_eq!((&health["ready"], &health["problems"][0]["code"]), (&json!(true), &json!("ipc_disabled")));
    rustix::process::kill_process(rustix::process::Pid::from_child(&daemon), Signal::TERM).unwrap();
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn a_passed_socket_of_another_kind_is_an_error() {
    let stream = std::os::unix::net::UnixStream::pair().unwrap().0;
    let mut sh = Command::new("sh");
    let script = "exec 3<&0; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"";
    sh.args(["-c", script, "sh"]).arg(std::env::current_exe().unwrap()).args(TEST_ARGS);
    sh.env(VAR, "profd --certs-dir=NO_CERTS").stdin(OwnedFd::from(stream)).stdout(Stdio::null());
    let done = sh.stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && text.contains("descriptor 3 is neither"), "{text}");
}

#[test]
fn a_service_manager_gets_readiness_and_its_watchdog_is_notified() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let how = format!("export NOTIFY_SOCKET={} WATCHDOG_USEC=200000; exec", path.display());
    let daemon = DaemonProcess::start(&how, &[]);
    let next = || {
        let mut buffer = [0; 256];
        let n = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    };
    let mut said = Vec::new();
    while said.iter().filter(|s: &&String| *s == "WATCHDOG=1\n").count() < 3 {
        said.push(next());
    }
    let ready = said.iter().find(|text| text.starts_with("READY=1\n")).unwrap();
    assert!(ready.contains("STATUS=listening on 127.0.0.1:"), "{ready}");
    daemon.kill(Signal::TERM);
    while !next().starts_with("STOPPING=1\n") {}
    assert_eq!(daemon.wait_for_exit(), Some(0));
}

#[test]
fn the_thread_for_processes_shows_itself() {
    let daemon = TestDaemon::new();
    let state = daemon.daemon.as_ref().unwrap().state.clone();
    eventually("the thread for processes shows itself", || state.ipc_silence() < Duration::from_secs(1));
    assert_eq!(daemon.ask(&json!({"fn": "getHealth"}))["status"], "ok");
}

#[test]
fn the_drain_ends_in_time_although_a_client_and_a_config_are_waited_for() {
    let daemon = DaemonProcess::start("exec", &["--drain-timeout=2s"]);
    let process = daemon.process();
    process.poll();
    assert_eq!(daemon.ask(&on_demand(0, &[]))["activityProfilersTriggered"], json!([process.pid]));
    let mut slow = TcpStream::connect(daemon.address()).unwrap();
    slow.write_all(&[20, 0]).unwrap();
    let start = Instant::now();
    daemon.kill(Signal::TERM);
    assert_eq!(daemon.wait_for_exit(), Some(0));
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(1700) && took < Duration::from_millis(2500), "{took:?}");
}

#[test]
fn a_restart_loses_neither_configs_nor_processes() {
    let state = tempfile::tempdir().unwrap();
    std::fs::set_permissions(state.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let flags = [format!("--state-dir={}", state.path().display()), "--drain-timeout=100ms".to_owned()];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let file = state.path().join("handover.json");
    // Killed, so that nothing is written at the end.
    for signal in [Signal::TERM, Signal::KILL] {
        let daemon = DaemonProcess::start("exec", &flags);
        let process = daemon.process();
        process.poll();
        let given = daemon.ask(&on_demand(0, &[]))["detail"]["triggered"][0]["trace_id"].clone();
        daemon.kill(signal);
        daemon.wait_for_exit();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let next = DaemonProcess::start("exec", &flags);
        let again = next.ask(&on_demand(0, &[]));
        assert_eq!(
            again["detail"]["busy"][0]["pid"], process.pid,
            "it is known, and its config is not lost: {again}"
        );
        let config = next.process().poll();
        assert!(config.contains(&format!("REQUEST_TRACE_ID={}", given.as_str().unwrap())), "{config}");
        let status = next.ask(&json!({"fn": "getStatus", "extended": true}));
        assert_eq!(status["detail"]["processes"][0]["last_request"]["outcome"], "delivered", "{status}");
        eventually("what was fetched is not handed over", || {
            !std::fs::read_to_string(&file).unwrap().contains("REQUEST_TRACE_ID")
        });
        drop(next);
        std::fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_config_whose_process_ended_between_two_daemons_is_counted_and_has_its_reason() {
    let state = tempfile::tempdir().unwrap();
    std::fs::set_permissions(state.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let flag = format!("--state-dir={}", state.path().display());
    let start = || TestDaemon::start_with(&[&flag, "--drain-timeout=50ms"]);
    let daemon = start();
    let mut worker = Worker::start(daemon.dir.path());
    worker.run_command("poll");
    let given = daemon.request(&[])["detail"]["triggered"][0]["trace_id"].as_str().unwrap().to_owned();
    drop(daemon);
    worker.kill();
    let next = start();
    let counters = ["configs.expired", "processes.removed"].map(|name| next.counter(name));
    assert_eq!(counters, [1, 1]);
    let question =
        common::rpc::message::Request::ConfigStates { trace_ids: vec![given.parse().unwrap()], wait_ms: 0 };
    let reply = next.ask(&serde_json::from_slice(&question.encode()).unwrap());
    assert_eq!(reply["configs"][0]["state"], "ended_before", "{reply}");
}

#[test]
fn a_question_about_requests_is_held_back_until_a_process_ends() {
    let daemon = TestDaemon::new();
    let mut workers = [0, 1].map(|_| Worker::start(daemon.dir.path()));
    workers.iter_mut().for_each(|worker| drop(worker.run_command("poll")));
    let triggered = daemon.request(&[])["detail"]["triggered"].as_array().unwrap().clone();
    let id_of = |worker: &Worker| {
        triggered.iter().find(|t| t["pid"] == worker.pid()).unwrap()["trace_id"].as_str().unwrap().to_owned()
    };
    let [first, second] = workers;
    let ids = [id_of(&first), id_of(&second)];
    let question =
        |ids: &[String], wait_ms: u32| json!({"fn": "getConfigStates", "trace_ids": ids, "wait_ms": wait_ms});
    let states =
        |reply: &Value| [0, 1].map(|n| reply["configs"][n]["state"].as_str().unwrap_or_default().to_owned());
    assert_eq!(states(&daemon.ask(&question(&ids, 10))), ["pending", "pending"]);
    let (mut both, mut other) = (daemon.connect(), daemon.connect());
    both.send(question(&ids, 60_000).to_string().as_bytes());
    other.send(question(&ids[1..], 60_000).to_string().as_bytes());
    let begin = std::time::Instant::now();
    first.kill();
    assert_eq!(states(&both.read_reply().unwrap()), ["ended_before", "pending"]);
    assert!(begin.elapsed() < Duration::from_secs(9), "the time was over: {:?}", begin.elapsed());
    // What has come to its end is answered at once; a shutdown does not wait.
    assert_eq!(states(&both.ask(&question(&ids, 60_000))), ["ended_before", "pending"]);
    daemon.stop();
    assert_eq!(states(&other.read_reply().unwrap()), ["pending", ""]);
    assert!(begin.elapsed() < Duration::from_secs(9), "the time was over: {:?}", begin.elapsed());
}

#[test]
fn a_state_file_that_is_not_its_own_is_left_alone() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("handover.json");
    let flag = format!("--state-dir={}", state.path().display());
    let start = || TestDaemon::start_with(&[&flag, "--drain-timeout=50ms"]);
    let daemon = start();
    let process = daemon.process("p");
    process.poll();
    daemon.request(&[]);
    drop(daemon);
    let good: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let registered = || start().ask(&json!({"fn": "listProcesses"}))["total"].clone();
    let with = |change: &dyn Fn(&mut Value), mode: u32| {
        let mut changed = good.clone();
        change(&mut changed);
        std::fs::write(&file, changed.to_string()).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        registered()
    };
    assert_eq!(with(&|_| {}, 0o600), 1);
    assert_eq!(with(&|_| {}, 0o644), 0, "others could have read it");
    assert_eq!(with(&|v| v["boot_id"] = "another".into(), 0o600), 0);
    assert_eq!(with(&|v| v["host"] = "another".into(), 0o600), 0);
    assert_eq!(with(&|v| v["version"] = 2.into(), 0o600), 0);
    assert_eq!(with(&|v| v["written_ns"] = 0.into(), 0o600), 0, "old");
    assert_eq!(with(&|v| v["processes"][0]["started"] = 1.into(), 0o600), 0, "another process with that pid");
    assert_eq!(with(&|v| v["processes"][0]["uid"] = 4_000_000.into(), 0o600), 0);
    assert_eq!(with(&|v| v["processes"] = "x".into(), 0o600), 0);
    std::fs::write(&file, "{").unwrap();
    assert_eq!(registered(), 0);
}

#[test]
fn a_daemon_that_has_just_started_says_so() {
    let daemon = TestDaemon::new();
    let detail = &daemon.request(&[])["detail"];
    let reason = detail["reason"].as_str().unwrap();
    assert!(reason.starts_with("no process is registered yet: the daemon is up "), "{reason}");
    assert!(reason.ends_with(" s, processes come back within 5 s"), "{reason}");
    assert!(detail["started_ms"].as_u64().unwrap() < 5000);
}

#[test]
fn the_status_of_a_process_is_its_own() {
    let daemon = TestDaemon::new();
    let process = daemon.process("p");
    process.poll();
    let one = |daemon: &TestDaemon| {
        let list = daemon.ask(&json!({"fn": "listProcesses"}));
        assert_eq!((&list["total"], &list["offset"]), (&json!(1), &json!(0)), "{list}");
        list["processes"][0].clone()
    };
    let status = one(&daemon);
    let own = std::env::current_exe().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(status["command"], own);
    assert_eq!(status["uid"], rustix::process::getuid().as_raw());
    assert!(status["last_seen_ms"].as_u64().unwrap() < 20_000 && status["last_request"].is_null());
    let asked = daemon.request(&[]);
    let request = one(&daemon)["last_request"].clone();
    assert_eq!((&request["outcome"], &request["function"]), (&json!("pending"), &json!("trace")));
    assert_eq!(request["trace_id"], asked["detail"]["triggered"][0]["trace_id"]);
    process.poll();
    assert_eq!(one(&daemon)["last_request"]["outcome"], "delivered");
    let empty = daemon.ask(&json!({"fn": "listProcesses", "offset": 1}));
    assert_eq!((&empty["processes"], &empty["total"]), (&json!([]), &json!(1)));
    // A client that does not ask for it gets nothing new.
    let plain = daemon.ask(&json!({"fn": "getStatus"}));
    assert_eq!(plain.as_object().unwrap().keys().count(), 4, "{plain}");
}

#[test]
fn every_line_of_a_json_log_is_a_record() {
    let daemon = DaemonProcess::start_with_log("exec", &["--log-format=json"]);
    daemon.process().poll();
    daemon.ask(&json!({"fn": "getVersion"}));
    daemon.kill(Signal::TERM);
    let log = daemon.read_log();
    let mut levels = std::collections::BTreeSet::new();
    for line in log.lines().filter(|line| !line.is_empty()) {
        let record: common::record::profd::Log =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(record.time.ends_with('Z') && !record.message.is_empty());
        levels.insert(record.level);
    }
    assert!(["warning", "notice"].iter().all(|level| levels.contains(*level)), "{levels:?}\n{log}");
}
