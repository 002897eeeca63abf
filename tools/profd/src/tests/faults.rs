//! What the existing daemons get wrong, one test for each that can be a daemon's fault, by number. Those that
//! need no sockets have theirs elsewhere: 7 in `sink::metric`, 8 and 14 in `listen`, 12 in `config`, parts of 5, 6
//! and 10 in `registry`. 9 is mostly the client's.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use serde_json::json;

use super::child::Worker;
use super::*;

#[test]
fn fault_01_a_client_that_hangs_up_early_loses_only_its_own_reply() {
    let rig = Rig::new();
    for _ in 0..50 {
        let mut client = rig.connect();
        // Several replies for nobody: the first is reset, the next ones break the pipe.
        for _ in 0..4 {
            client.send(br#"{"fn":"getStatus","extended":true}"#);
        }
        rustix::net::sockopt::set_socket_linger(&client.0, Some(Duration::ZERO)).unwrap();
    }
    rig.counted("rpc.broken", 50);
    assert_eq!(rig.ask(&json!({"fn": "getVersion"}))["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn fault_02_silent_clients_cost_nobody_anything() {
    let rig = Rig::with(&["--read-timeout=600s", "--idle-timeout=600s"]);
    let silent: Vec<Client> = (0..30).map(|_| rig.connect()).collect();
    let mut trickling = rig.connect();
    trickling.0.write_all(&[20]).unwrap();
    let start = Instant::now();
    rig.ask(&json!({"fn": "getVersion"}));
    assert!(start.elapsed() < PATIENCE);
    drop(silent);
}

#[test]
fn fault_02_a_silent_client_is_let_go_in_time() {
    let rig = Rig::with(&["--read-timeout=50ms", "--idle-timeout=50ms"]);
    let (mut silent, mut trickling, mut idle) = (rig.connect(), rig.connect(), rig.connect());
    trickling.0.write_all(&[20]).unwrap();
    idle.ask(&json!({"fn": "getVersion"}));
    for client in [&mut silent, &mut trickling, &mut idle] {
        assert!(client.reply().is_none());
    }
    // Being silent after an answer is no fault.
    rig.counted("rpc.timeout", 2);
    assert_eq!(rig.counter("rpc.timeout"), 2);
}

#[test]
fn fault_03_a_process_that_asks_and_goes_away_blocks_nobody() {
    let rig = Rig::new();
    let stays = rig.process("stays");
    assert_eq!(stays.poll(), "");
    let start = Instant::now();
    for n in 0..20 {
        let goes = rig.process(&format!("goes-{n}"));
        goes.send_poll(0);
        drop(goes);
        assert_eq!(stays.poll(), "");
    }
    // A daemon that tries again for seconds at each of them takes longer.
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn fault_03_a_config_that_nobody_took_waits_for_the_next_poll() {
    let rig = Rig::new();
    let process = rig.process("p");
    process.poll();
    rig.request(&[]);
    // Its queue is full: a reply to it would block.
    let full = rig.process("full");
    let own = Address::Path(rig.dir.path().join("c/p")).to_kernel().unwrap();
    while full.socket.send(b"x", &own).is_ok() {}
    process.send_poll(0);
    rig.counted("configs.undeliverable", 1);
    let mut buffer = buffer();
    while process.socket.receive(&mut buffer).is_ok() {}
    assert!(process.poll().starts_with(CONFIG));
    rig.counted("configs.delivered", 1);
}

#[test]
fn fault_04_two_hundred_processes_poll_at_once_and_all_get_their_answer() {
    let rig = Rig::new();
    let processes: Vec<Process> = (0..200).map(|n| rig.process(&format!("p{n}"))).collect();
    let start = Instant::now();
    for _ in 0..5 {
        processes.iter().for_each(|p| p.send_poll(0));
        for p in &processes {
            assert_eq!(p.receive(), Reply::Config(Vec::new()));
        }
    }
    // At 98 messages a second this takes ten seconds.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn fault_04_processes_with_pids_of_their_own_all_get_their_answer() {
    let rig = Rig::new();
    let mut workers: Vec<Worker> = (0..24).map(|_| Worker::start(rig.dir.path())).collect();
    let start = Instant::now();
    workers.iter_mut().for_each(|w| w.begin("poll"));
    assert!(workers.iter_mut().all(|w| w.answer().is_empty()));
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    let matched = rig.request(&[])["processesMatched"].as_array().unwrap().len();
    assert_eq!(matched, workers.len());
}

#[test]
fn fault_05_a_dead_process_is_not_matched() {
    let rig = Rig::new();
    let (mut dies, mut lives) = (Worker::start(rig.dir.path()), Worker::start(rig.dir.path()));
    dies.tell("poll");
    lives.tell("poll");
    let (dead, alive) = (dies.pid(), lives.pid());
    let both = rig.request(&[dead, alive]);
    assert_eq!(both["activityProfilersTriggered"].as_array().unwrap().len(), 2, "{both}");
    assert!(lives.tell("poll").starts_with(CONFIG));
    dies.kill();
    let one = rig.request(&[dead, alive]);
    assert_eq!(one["processesMatched"], json!([alive]));
    assert_eq!(one["activityProfilersTriggered"], json!([alive]));
    assert_eq!(one["activityProfilersBusy"], 0, "a config of the dead keeps nobody busy");
    assert_eq!(one["detail"]["unknown_pids"], json!([dead]));
    // And it is forgotten without anybody asking.
    rig.counted("processes.gone", 1);
}

#[test]
fn fault_06_status_is_the_processes_own_and_goes_with_them() {
    let rig = Rig::new();
    let mut runs = Worker::start(rig.dir.path());
    let mut idles = Worker::start(rig.dir.path());
    runs.tell("trace running");
    idles.tell("trace idle");
    let status = || rig.ask(&json!({"fn": "getStatus"}));
    eventually("both have reported", || {
        rig.ask(&json!({"fn": "getStatus", "extended": true}))["detail"]["processes"]
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
    let rig = Rig::with(&["--metric-log-dir", metrics.to_str().unwrap(), "--metric-disk-reserve=0"]);
    let process = rig.process("p");
    for kind in ["Communication", "AclAPI", "NodeAPI", "RuntimeAPI", "Kernel"] {
        let json = format!(r#"{{"kind":"{kind}","deviceId":-1,"duration":5,"timestamp":6}}"#);
        process.send(&Message::Data(json.into_bytes()));
    }
    process.send(&Message::Data(b"nonsense".to_vec()));
    rig.counted("metrics.dropped.invalid", 1);
    rig.counted("metrics.recorded", 5);
    rig.stop();
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
    let rig = Rig::new();
    let other = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let refusal =
        |plan: &DaemonPlan| format!("{:#}", BoundDaemon::bind(plan, &runtime).map(|_| ()).unwrap_err());
    let mut taken = plan(other.path(), "profd-test-unused", &[]);
    taken.port = rig.address.port();
    let e = refusal(&taken);
    assert!(e.contains("the port is in use"), "{e}");
    let e = refusal(&plan(other.path(), &rig.name, &[]));
    assert_eq!(e, format!("@{}: another process listens on this socket", rig.name));
    for sub in ["h", "d"] {
        assert_eq!(std::fs::read_dir(other.path().join(sub)).unwrap().count(), 0);
    }
}

#[test]
fn fault_09_quotes_and_backslashes_reach_the_process_as_they_are() {
    let rig = Rig::new();
    let process = rig.process("p");
    process.poll();
    let mut request = on_demand(0, &[]);
    request["config"] = "ACTIVITIES_LOG_FILE=/tmp/a \"b\"\\n\\c=d.json".into();
    assert_eq!(rig.ask(&request)["activityProfilersTriggered"], json!([process.pid]));
    let config = process.poll();
    assert_eq!(config.lines().next(), Some("ACTIVITIES_LOG_FILE=/tmp/a \"b\"\\n\\c=d.json"));
}

#[test]
fn fault_10_a_full_table_is_answered_and_counted() {
    let rig = Rig::with(&["--max-processes=1"]);
    let first = rig.process("first");
    first.poll();
    let mut second = Worker::start(rig.dir.path());
    assert_eq!(second.tell("poll"), "", "it does not wait in vain");
    rig.counted("ipc.refused.registry_full", 1);
    let status = rig.ask(&json!({"fn": "getStatus", "extended": true}));
    assert_eq!(status["detail"]["processes"].as_array().unwrap().len(), 1);
    assert_eq!(status["detail"]["counters"]["ipc.refused.registry_full"], 1);
}

#[test]
fn fault_11_a_length_of_another_byte_order_is_refused_in_words() {
    let rig = Rig::new();
    let mut client = rig.connect();
    client.0.write_all(&20_i32.swap_bytes().to_ne_bytes()).unwrap();
    assert!(client.refusal().ends_with("looks byte-swapped: the peer uses another byte order"));
    let mut client = rig.connect();
    client.0.write_all(&i32::MAX.to_ne_bytes()).unwrap();
    assert_eq!(client.refusal(), "frame length 2147483647 is beyond the limit of 65536 bytes");
}

#[test]
fn fault_13_socket_files_are_private_and_go_with_the_daemon() {
    let rig = Rig::new();
    let files = ["h/dynolog.sock", "h/dynolog_data.sock", "d/dynolog", "d/dynolog_data"];
    let paths: Vec<_> = files.iter().map(|f| rig.dir.path().join(f)).collect();
    for path in &paths {
        assert_eq!(std::fs::symlink_metadata(path).unwrap().mode() & 0o777, 0o600, "{}", path.display());
    }
    let _dir = rig.stop();
    assert!(paths.iter().all(|p| !p.exists()));
}

#[test]
fn fault_13_a_process_cannot_speak_for_another() {
    let rig = Rig::new();
    let victim = rig.process("victim");
    victim.poll();
    rig.request(&[]);
    let mut thief = Worker::start(rig.dir.path());
    thief.tell(&format!("forge {}", victim.pid));
    rig.counted("ipc.rejected.pid", 1);
    // Nor by an ancestor that is not its own; one that is, counts.
    let parent = i32::try_from(std::process::id()).unwrap();
    thief.tell(&format!("poll {parent} 2147483000"));
    assert_eq!(rig.request(&[2_147_483_000])["processesMatched"], json!([]));
    assert_eq!(rig.counter("requests.untrue_ancestors"), 1);
    let of_parent = rig.request(&[parent]);
    assert_eq!(of_parent["processesMatched"].as_array().unwrap().len(), 2, "{of_parent}");
    assert!(victim.poll().starts_with(CONFIG), "the config is still there for its owner");
}
