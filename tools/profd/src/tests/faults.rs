//! One test for each fault of the existing daemons (dynolog c3a231a, msMonitor b942bf5) that is not repeated here, by
//! number. Those that need no sockets are tested elsewhere: 7 in `sink::metric`, 8 and 14 in `rpc::listen`, 12 in `plan`,
//! parts of 5, 6 and 10 in `core::registry`. 9 is mostly a fault of the client.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use super::worker::Worker;
use super::*;

#[test]
fn fault_01_a_client_that_closes_early_loses_only_its_own_reply() {
    let daemon = TestDaemon::new();
    for _ in 0..50 {
        let mut client = daemon.connect();
        // Several replies that are not read: the first write is reset, the next ones get EPIPE.
        for _ in 0..4 {
            client.send(br#"{"fn":"getStatus","extended":true}"#);
        }
        rustix::net::sockopt::set_socket_linger(&client.0, Some(Duration::ZERO)).unwrap();
    }
    daemon.wait_for_counter("rpc.io_errors", 50);
    assert_eq!(daemon.ask(&json!({"fn": "getVersion"}))["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn fault_02_silent_clients_do_not_delay_others() {
    let daemon = TestDaemon::start_with(&["--read-timeout=600s", "--idle-timeout=600s"]);
    let silent: Vec<TestClient> = (0..30).map(|_| daemon.connect()).collect();
    let mut trickling = daemon.connect();
    trickling.0.write_all(&[20]).unwrap();
    assert_eq!(daemon.ask(&json!({"fn": "getVersion"}))["version"], env!("CARGO_PKG_VERSION"));
    // They were not closed for it: each still gets its reply.
    for mut client in silent {
        assert_eq!(client.ask(&json!({"fn": "getVersion"}))["version"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn fault_02_a_silent_client_is_closed_after_its_timeout() {
    let daemon = TestDaemon::start_with(&["--read-timeout=50ms", "--idle-timeout=50ms"]);
    let (mut silent, mut trickling, mut idle) = (daemon.connect(), daemon.connect(), daemon.connect());
    trickling.0.write_all(&[20]).unwrap();
    idle.ask(&json!({"fn": "getVersion"}));
    for client in [&mut silent, &mut trickling, &mut idle] {
        assert!(client.read_reply().is_none());
    }
    // Being silent after an answer is not a fault.
    daemon.wait_for_counter("rpc.timeout", 2);
    assert_eq!(daemon.counter("rpc.timeout"), 2);
}

#[test]
fn fault_03_a_process_that_polls_and_ends_does_not_delay_others() {
    let daemon = TestDaemon::new();
    let stays = daemon.process("stays");
    assert_eq!(stays.poll(), "");
    for n in 0..20 {
        let goes = daemon.process(&format!("goes-{n}"));
        goes.send_poll(0);
        drop(goes);
        // A daemon that tries again for seconds at each of them does not get to this poll in time.
        assert_eq!(stays.poll(), "");
    }
}

#[test]
fn fault_03_an_undeliverable_config_stays_pending_until_the_next_poll() {
    let daemon = TestDaemon::new();
    let process = daemon.process("p");
    process.poll();
    daemon.request(&[]);
    // Its queue is full: a reply to it would block.
    let full = daemon.process("full");
    let own = Address::Path(daemon.dir.path().join("c/p")).to_kernel().unwrap();
    while full.socket.send(b"x", &own).is_ok() {}
    process.send_poll(0);
    daemon.wait_for_counter("configs.undeliverable", 1);
    let mut buffer = buffer();
    while process.socket.receive(&mut buffer).is_ok() {}
    assert!(process.poll().starts_with(CONFIG));
    daemon.wait_for_counter("configs.delivered", 1);
}

#[test]
fn fault_04_two_hundred_processes_poll_at_once_and_all_get_a_reply() {
    let daemon = TestDaemon::new();
    let processes: Vec<TestProcess> = (0..200).map(|n| daemon.process(&format!("p{n}"))).collect();
    for _ in 0..5 {
        processes.iter().for_each(|p| p.send_poll(0));
        for p in &processes {
            assert_eq!(p.receive(), Reply::Config(Vec::new()));
        }
    }
}

#[test]
fn fault_04_processes_with_pids_of_their_own_all_get_a_reply() {
    let daemon = TestDaemon::new();
    let mut workers: Vec<Worker> = (0..24).map(|_| Worker::start(daemon.dir.path())).collect();
    workers.iter_mut().for_each(|w| w.send_command("poll"));
    assert!(workers.iter_mut().all(|w| w.read_reply().is_empty()));
    let matched = daemon.request(&[])["processesMatched"].as_array().unwrap().len();
    assert_eq!(matched, workers.len());
}

#[test]
fn fault_05_a_dead_process_is_not_matched() {
    let daemon = TestDaemon::new();
    let (mut dies, mut lives) = (Worker::start(daemon.dir.path()), Worker::start(daemon.dir.path()));
    dies.run_command("poll");
    lives.run_command("poll");
    let (dead, alive) = (dies.pid(), lives.pid());
    let both = daemon.request(&[dead, alive]);
    assert_eq!(both["activityProfilersTriggered"].as_array().unwrap().len(), 2, "{both}");
    assert!(lives.run_command("poll").starts_with(CONFIG));
    dies.kill();
    let one = daemon.request(&[dead, alive]);
    assert_eq!(one["processesMatched"], json!([alive]));
    assert_eq!(one["activityProfilersTriggered"], json!([alive]));
    assert_eq!(one["activityProfilersBusy"], 0, "a config of the dead keeps nobody busy");
    assert_eq!(one["detail"]["unknown_pids"], json!([dead]));
    // It is removed without a request.
    daemon.wait_for_counter("processes.removed", 1);
}

#[test]
fn fault_06_status_belongs_to_a_process_and_is_removed_with_it() {
    let daemon = TestDaemon::new();
    let mut runs = Worker::start(daemon.dir.path());
    let mut idles = Worker::start(daemon.dir.path());
    runs.run_command("trace running");
    idles.run_command("trace idle");
    let status = || daemon.ask(&json!({"fn": "getStatus"}));
    eventually("both have reported", || {
        daemon.ask(&json!({"fn": "getStatus", "extended": true}))["detail"]["processes"]
            .as_array()
            .unwrap()
            .len()
            == 2
    });
    let expected = json!({
        "status": 1, "nputrace": "Running", "npumonitor": "Uninitialized", "current_step": 7, "start_step": 5,
        "stop_step": 9,
    });
    assert_eq!(status(), expected, "the last writer does not win");
    runs.kill();
    let expected = json!({"status": 1, "nputrace": "Idle", "npumonitor": "Uninitialized", "current_step": 7});
    assert_eq!(status(), expected);
    idles.kill();
    assert_eq!(status()["nputrace"], "Uninitialized");
}

#[test]
fn fault_07_every_metric_is_recorded_with_its_device() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = dir.path().join("metrics");
    let daemon =
        TestDaemon::start_with(&["--metric-log-dir", metrics.to_str().unwrap(), "--metric-disk-reserve=0"]);
    let process = daemon.process("p");
    for kind in ["Communication", "AclAPI", "NodeAPI", "RuntimeAPI", "Kernel"] {
        let json = format!(r#"{{"kind":"{kind}","deviceId":-1,"duration":5,"timestamp":6}}"#);
        process.send(&Message::Data(json.into_bytes()));
    }
    process.send(&Message::Data(b"nonsense".to_vec()));
    daemon.wait_for_counter("metrics.dropped.invalid", 1);
    daemon.wait_for_counter("metrics.recorded", 5);
    daemon.stop();
    let files: Vec<_> = std::fs::read_dir(&metrics).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let text = std::fs::read_to_string(&files[0]).unwrap();
    let record = |line| common::record::read::<common::record::profd::Metric>(line).unwrap().unwrap();
    let kinds: Vec<_> = text.lines().map(record).map(|m| (m.kind, m.device_id)).collect();
    assert_eq!(kinds.len(), 5);
    assert!(kinds.iter().all(|(_, device)| *device == -1));
    assert_eq!(std::fs::metadata(&files[0]).unwrap().mode() & 0o777, 0o440);
    assert_eq!(std::fs::metadata(&metrics).unwrap().mode() & 0o777, 0o750);
}

#[test]
fn fault_08_a_second_daemon_does_not_start_and_leaves_nothing() {
    let daemon = TestDaemon::new();
    let other = tempfile::tempdir().unwrap();
    let refusal = |plan: &DaemonPlan| format!("{:#}", BoundDaemon::bind(plan).map(|_| ()).unwrap_err());
    let mut taken = plan(other.path(), "profd-test-unused", &[]);
    taken.port = daemon.address.port();
    let e = refusal(&taken);
    assert!(e.contains("the port is in use"), "{e}");
    let e = refusal(&plan(other.path(), &daemon.name, &[]));
    assert_eq!(e, format!("@{}: another process listens on this socket", daemon.name));
    for sub in ["h", "d"] {
        assert_eq!(std::fs::read_dir(other.path().join(sub)).unwrap().count(), 0);
    }
}

#[test]
fn fault_09_quotes_and_backslashes_reach_the_process_unchanged() {
    let daemon = TestDaemon::new();
    let process = daemon.process("p");
    process.poll();
    let mut request = on_demand(0, &[]);
    request["config"] = "ACTIVITIES_LOG_FILE=/tmp/a \"b\"\\n\\c=d.json".into();
    assert_eq!(daemon.ask(&request)["activityProfilersTriggered"], json!([process.pid]));
    let config = process.poll();
    assert_eq!(config.lines().next(), Some("ACTIVITIES_LOG_FILE=/tmp/a \"b\"\\n\\c=d.json"));
}

#[test]
fn fault_10_a_poll_at_a_full_table_gets_a_reply_and_is_counted() {
    let daemon = TestDaemon::start_with(&["--max-processes=1"]);
    let first = daemon.process("first");
    first.poll();
    let mut second = Worker::start(daemon.dir.path());
    assert_eq!(second.run_command("poll"), "", "it does not wait in vain");
    daemon.wait_for_counter("ipc.declined.registry_full", 1);
    let status = daemon.ask(&json!({"fn": "getStatus", "extended": true}));
    assert_eq!(status["detail"]["processes"].as_array().unwrap().len(), 1);
    assert_eq!(status["detail"]["counters"]["ipc.declined.registry_full"], 1);
}

#[test]
fn fault_11_a_length_of_another_byte_order_is_rejected_with_the_reason() {
    let daemon = TestDaemon::new();
    let mut client = daemon.connect();
    client.0.write_all(&20_i32.swap_bytes().to_ne_bytes()).unwrap();
    assert!(client.read_rejection().ends_with("looks byte-swapped: the peer uses another byte order"));
    let mut client = daemon.connect();
    client.0.write_all(&i32::MAX.to_ne_bytes()).unwrap();
    assert_eq!(client.read_rejection(), "frame length 2147483647 is beyond the limit of 65536 bytes");
}

#[test]
fn fault_13_socket_files_are_private_and_removed_by_the_daemon() {
    let daemon = TestDaemon::new();
    let files = ["h/dynolog.sock", "h/dynolog_data.sock", "d/dynolog", "d/dynolog_data"];
    let paths: Vec<_> = files.iter().map(|f| daemon.dir.path().join(f)).collect();
    for path in &paths {
        assert_eq!(std::fs::symlink_metadata(path).unwrap().mode() & 0o777, 0o600, "{}", path.display());
    }
    let _dir = daemon.stop();
    assert!(paths.iter().all(|p| !p.exists()));
}

#[test]
fn fault_13_a_process_cannot_impersonate_another() {
    let daemon = TestDaemon::new();
    let victim = daemon.process("victim");
    victim.poll();
    daemon.request(&[]);
    let mut thief = Worker::start(daemon.dir.path());
    thief.run_command(&format!("forge {}", victim.pid));
    daemon.wait_for_counter("ipc.rejected.pid", 1);
    // Nor by an ancestor that is not its own; one that is, counts.
    let parent = i32::try_from(std::process::id()).unwrap();
    thief.run_command(&format!("poll {parent} 2147483000"));
    assert_eq!(daemon.request(&[2_147_483_000])["processesMatched"], json!([]));
    assert_eq!(daemon.counter("requests.false_ancestors"), 1);
    let of_parent = daemon.request(&[parent]);
    assert_eq!(of_parent["processesMatched"].as_array().unwrap().len(), 2, "{of_parent}");
    assert!(victim.poll().starts_with(CONFIG), "the config is still there for its owner");
}
