//! Where metrics come from, and where they and samples of the host go.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::json;

use super::tls::MintedAuthority;
use super::worker::Worker;
use super::*;

/// Sends a request over plain text and returns the answer.
fn get(daemon: &TestDaemon, path: &str) -> String {
    let mut stream = TcpStream::connect(daemon.http.unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    // One that serves TLS may close the connection before it has read everything, or before everything is written.
    let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The same over TLS; an error of the handshake or of the daemon's closing.
fn get_over_tls(
    daemon: &TestDaemon,
    config: Arc<rustls::ClientConfig>,
    path: &str,
) -> std::io::Result<String> {
    let tcp = TcpStream::connect(daemon.http.unwrap())?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let connection = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, tcp);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Err(e) if answer.is_empty() => Err(e),
        _ => Ok(answer),
    }
}

fn read_all(dir: &Path, prefix: &str) -> String {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    named.map(|entry| std::fs::read_to_string(entry.path()).unwrap()).collect()
}

#[test]
fn metrics_say_whose_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let mappings = dir.path().join("mappings.csv");
    std::fs::write(&mappings, "# ours\nTEAM,team\n").unwrap();
    let flags = [
        "--http-listen=127.0.0.1:0",
        "--metric-log-dir",
        dir.path().to_str().unwrap(),
        "--metric-disk-reserve=0",
        "--env-attribution-mappings-file",
        mappings.to_str().unwrap(),
    ];
    let daemon = TestDaemon::start_with(&flags);
    let variables = [("RANK", "3"), ("SLURM_JOB_ID", "4711"), ("POD_NAME", "job-0"), ("TEAM", "vision")];
    let mut worker = Worker::start_with(daemon.dir.path(), &variables);
    worker.run_command("poll");
    worker.run_command("metric");
    daemon.wait_for_counter("metrics.sink.prometheus.recorded", 1);
    let labels = "rank=\"3\",slurm_job_id=\"4711\",pod=\"job-0\",team=\"vision\"} 1.5";
    let page = get(&daemon, "/metrics");
    assert!(
        page.lines().any(|l| l.starts_with("profd_activity_seconds_total{") && l.ends_with(labels)),
        "{page}"
    );
    daemon.wait_for_counter("metrics.sink.jsonl.recorded", 1);
    let record: serde_json::Value = serde_json::from_str(read_all(dir.path(), "metrics-").trim()).unwrap();
    assert_eq!(
        (&record["rank"], &record["slurm_job_id"], &record["pod"]),
        (&json!(3), &json!("4711"), &json!("job-0"))
    );
    assert_eq!(record["attributes"], json!({"team": "vision"}));
    let reply = daemon.ask(&json!({"fn": "getMetrics"}));
    assert_eq!(reply["series"][0]["labels"]["rank"], "3");
    assert_eq!((&reply["series"][0]["dur_ns"], &reply["total"]), (&json!(1_500_000_000_u64), &json!(1)));
}

#[test]
fn attribution_can_be_switched_off() {
    let daemon = TestDaemon::start_with(&["--http-listen=127.0.0.1:0", "--metric-attribution=none"]);
    let mut worker = Worker::start_with(daemon.dir.path(), &[("RANK", "3")]);
    worker.run_command("poll");
    worker.run_command("metric");
    daemon.wait_for_counter("metrics.sink.prometheus.recorded", 1);
    let page = get(&daemon, "/metrics");
    assert!(page.contains("profd_activity_seconds_total{") && !page.contains("rank="), "{page}");
}

#[test]
fn samples_of_the_host_are_recorded_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--metric-log-dir", dir.path().to_str().unwrap(), "--metric-format=jsonl,csv"];
    let daemon = TestDaemon::start_with(
        &[&flags[..], &["--metric-disk-reserve=0", "--host-metrics", "--host-interval=1s"]].concat(),
    );
    daemon.wait_for_counter("samples.recorded", 4);
    let lines = read_all(dir.path(), "samples-");
    assert!(lines.contains("\"type\":\"profd.sample\"") && lines.contains("\"cpu_util\":"), "{lines}");
    assert!(lines.contains("time,host,device,name,value\n") && lines.contains(",cpu_u_ms,"), "{lines}");
    assert_eq!(read_all(dir.path(), "metrics-"), "", "readers of metrics see no samples");
    let reply = daemon.ask(&json!({"fn": "getMetrics"}));
    assert!(reply["samples"][0]["values"]["uptime"].as_f64().unwrap() > 0.0);
    let second = daemon.ask(&json!({"fn": "getMetrics", "offset": 1}));
    assert_eq!((&second["samples"], &second["offset"]), (&serde_json::Value::Null, &json!(1)));
}

#[test]
fn without_an_option_samples_are_shown_and_not_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = TestDaemon::start_with(&["--metric-log-dir", dir.path().to_str().unwrap()]);
    eventually("the first sample", || !daemon.ask(&json!({"fn": "getMetrics"}))["samples"].is_null());
    assert_eq!((daemon.counter("samples.recorded"), read_all(dir.path(), "samples-")), (0, String::new()));
}

#[test]
fn metrics_over_tls_are_for_clients_whose_rule_allows_it() {
    let minted = MintedAuthority::new();
    let dir = tempfile::tempdir().unwrap();
    let (rules, audit) = (dir.path().join("rules.toml"), dir.path().join("audit.jsonl"));
    let certs = minted.dir("server_certs");
    let daemon_with = |rule: &str| {
        std::fs::write(&rules, format!("version = 1\n[[rule]]\nname = \"r\"\n{rule}\n")).unwrap();
        let flags = [
            "--http-listen=127.0.0.1:0",
            "--http-tls",
            "--certs-dir",
            certs.to_str().unwrap(),
            "--rules",
            rules.to_str().unwrap(),
            "--audit-log",
            audit.to_str().unwrap(),
        ];
        minted.serve(&flags)
    };
    let issuer = format!("issuer = [{:?}]", minted.issuer());
    let daemon = daemon_with(&format!("{issuer}\nallow = [\"read\"]\nusers = [\"4242\"]"));
    let process = daemon.process("p");
    process.poll();
    process.send(&Message::Data(br#"{"kind":"Kernel","deviceId":0,"duration":5,"timestamp":6}"#.to_vec()));
    daemon.wait_for_counter("metrics.sink.prometheus.recorded", 1);
    let page = get_over_tls(&daemon, minted.client(), "/metrics").unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("node_cpu_seconds_total"), "{page}");
    assert!(!page.contains("profd_activity_seconds_total{"), "of another user than the rule names");
    assert!(get_over_tls(&daemon, minted.client(), "/readyz").unwrap().contains("ready"));
    let lines = std::fs::read_to_string(&audit).unwrap();
    let is_served = |line: &&str| {
        let audit = common::record::read::<common::record::profd::Audit>(line).unwrap().unwrap();
        (audit.function.as_str(), audit.answer.as_str(), audit.rule.as_deref()) == ("http", "done", Some("r"))
            && audit.subject.is_some()
    };
    assert_eq!(lines.lines().filter(is_served).count(), 2, "{lines}");
    assert!(
        get_over_tls(&daemon, minted.client_with_certificate_of(&MintedAuthority::new()), "/metrics")
            .is_err()
    );
    assert!(!get(&daemon, "/metrics").contains("node_cpu"), "plain text is no TLS");
    daemon.wait_for_counter("http.handshake_failed", 2);
    eventually("the refusal is recorded", || {
        std::fs::read_to_string(&audit).unwrap().contains("\"handshake\"")
    });
    drop(daemon);
    let daemon = daemon_with("subject = [\"CN=nobody\"]\nallow = [\"admin\"]");
    let page = get_over_tls(&daemon, minted.client(), "/metrics").unwrap();
    assert!(page.starts_with("HTTP/1.1 403 Forbidden"), "{page}");
    let lines = std::fs::read_to_string(&audit).unwrap();
    assert!(lines.contains("\"function\":\"http\"") && lines.contains("\"forbidden\""), "{lines}");
}

#[test]
fn a_collector_that_wants_a_certificate_gets_it() {
    use common::pki::{LoadOptions, MinVersion, MtlsDir, Role};
    let minted = MintedAuthority::new();
    let dir = MtlsDir::load(&minted.dir("server_certs"), Role::Server, &LoadOptions::now()).unwrap();
    let config = Arc::new(dir.server_config(MinVersion::Tls13).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("--otlp-endpoint=https://localhost:{}", listener.local_addr().unwrap().port());
    let (send, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while let Ok((tcp, _)) = listener.accept() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, tcp);
            let mut head = [0; 4096];
            let n = stream.read(&mut head).map_err(|e| e.to_string());
            let _ = send.send(n.map(|n| String::from_utf8_lossy(&head[..n]).into_owned()));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let path = |name: &str| minted.dir("client_certs").join(name).display().to_string();
    let (ca, cert, key) = (path("ca.crt"), path("client.crt"), path("client.key"));
    let flags = [&endpoint, "--otlp-ca", &ca, "--otlp-interval=1s", "--host-metrics"];
    let without = TestDaemon::start_with(&flags);
    let refused = received.recv_timeout(PATIENCE).unwrap().unwrap_err();
    drop(without);
    assert!(refused.contains("certificate"), "{refused}");
    let _with = TestDaemon::start_with(&[&flags[..], &["--otlp-cert", &cert, "--otlp-key", &key]].concat());
    eventually("the collector gets a request", || {
        received.recv_timeout(PATIENCE).unwrap().is_ok_and(|head| head.starts_with("POST /v1/metrics "))
    });
}

#[test]
fn unauthenticated_peers_share_lines_of_the_audit_trail_and_none_is_uncounted() {
    let minted = MintedAuthority::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let daemon = minted.serve(&["--audit-log", path.to_str().unwrap()]);
    let stranger = minted.client_with_certificate_of(&MintedAuthority::new());
    for _ in 0..25 {
        assert!(super::tls::ask(&daemon, stranger.clone()).is_err());
    }
    daemon.wait_for_counter("rpc.handshake_failed", 25);
    let refusals = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let lines =
            text.lines().map(|l| common::record::read::<common::record::profd::Audit>(l).unwrap().unwrap());
        lines.filter(|line| line.function == "handshake").map(|line| line.count).collect::<Vec<_>>()
    };
    eventually("the first lines", || refusals(&path).len() == 10);
    daemon.stop();
    // The end of the daemon ends the minute.
    let lines = refusals(&path);
    assert_eq!((lines.len(), lines[10]), (11, Some(15)), "{lines:?}");
}
