//! HTTP: what it serves, and clients that mean no good.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::ipc::message::Message;

use super::{PATIENCE, TestDaemon, eventually};

fn start(flags: &[&str]) -> (TestDaemon, SocketAddr) {
    let daemon = TestDaemon::start_with(&[&["--http-listen=127.0.0.1:0"], flags].concat());
    let address = daemon.http.unwrap();
    (daemon, address)
}

/// Sends a request and returns the status line, the headers and the body.
fn exchange(address: SocketAddr, request: &str) -> (String, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let (status, headers) = head.split_once("\r\n").unwrap();
    (status.trim_start_matches("HTTP/1.1 ").to_owned(), headers.to_owned(), body.to_owned())
}

fn get(address: SocketAddr, path: &str) -> (String, String) {
    let (status, _, body) = exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    (status, body)
}

#[test]
fn metrics_of_host_daemon_and_processes_are_served() {
    let (daemon, address) = start(&["--dynolog-names", "--dynolog-interval=1s"]);
    let process = daemon.process("p");
    process.poll();
    let json = br#"{"kind":"Marker","deviceId":-1,"duration":1500000000,"timestamp":6,"domain":"a\"b\n","name":"n"}"#;
    process.send(&Message::Data(json.to_vec()));
    daemon.wait_for_counter("metrics.sink.prometheus.recorded", 1);
    let (status, text) = get(address, "/metrics");
    assert_eq!(status, "200 OK");
    let labels = format!("kind=\"Marker\",device=\"host\",pid=\"{}\"", process.pid);
    for line in [
        "profd_registered_processes 1",
        "profd_ipc_polls_total 1",
        "profd_sink_recorded_total{sink=\"prometheus\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    let activity = text.lines().find(|l| l.starts_with("profd_activity_seconds_total{")).unwrap();
    assert!(
        activity.contains(&labels) && activity.ends_with("job_id=\"0\",domain=\"a\\\"b\\n\"} 1.5"),
        "{activity}"
    );
    assert!(text.contains("\nnode_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} "));
    assert!(text.contains("\nnode_memory_MemTotal_bytes ") && text.contains("\nprocess_open_fds "));
    eventually("the second sample", || get(address, "/metrics").1.contains("\ncpu_util{host_name="));
    // Each metric is described once, and all its samples stand together.
    let mut seen = std::collections::BTreeSet::new();
    for name in text.lines().filter_map(|l| l.strip_prefix("# TYPE ")).map(|l| l.split(' ').next().unwrap()) {
        assert!(seen.insert(name), "{name} comes twice");
    }
}

#[test]
fn the_dashboard_and_the_rules_name_metrics_that_are_served() {
    let (_daemon, address) = start(&[]);
    let (_, page) = get(address, "/metrics");
    // Those of certificates are on the page of a daemon with certificates only.
    let source = include_str!("../http/daemon_page.rs");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for file in ["grafana/profd.json", "prometheus/profd.rules.yml", "prometheus/profd.test.yml"] {
        let text = std::fs::read_to_string(root.join("packaging").join(file)).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let is_metric =
            |word: &&str| ["profd_", "process_", "node_"].iter().any(|start| word.starts_with(start));
        let names: std::collections::BTreeSet<&str> = words.filter(is_metric).collect();
        assert!(names.len() >= 8, "{file}: {names:?}");
        for name in names {
            let served =
                page.contains(&format!("\n# TYPE {name} ")) || source.contains(&format!("\"{name}\""));
            assert!(served, "{file}: nothing is called {name}");
        }
    }
}

#[test]
fn health_is_told_with_reasons() {
    let (daemon, address) = start(&[]);
    assert_eq!(get(address, "/healthz"), ("200 OK".to_owned(), "healthy\n".to_owned()));
    assert_eq!(get(address, "/readyz"), ("200 OK".to_owned(), "ready\n".to_owned()));
    daemon.daemon.as_ref().unwrap().trigger.advance(crate::shutdown::DaemonPhase::Draining);
    let (status, body) = get(address, "/readyz");
    assert_eq!(status, "503 Service Unavailable");
    assert_eq!(body, "not ready\nrpc: the daemon is stopping and accepts no connections\n");
    assert_eq!(get(address, "/healthz").0, "200 OK");
}

#[test]
fn what_is_no_request_for_these_gets_its_status() {
    let (daemon, address) = start(&[]);
    let status = |request: &str| exchange(address, request).0;
    assert_eq!(get(address, "/").0, "404 Not Found");
    assert_eq!(status("POST /metrics HTTP/1.1\r\n\r\n"), "405 Method Not Allowed");
    assert_eq!(status("\x16\x03\x01\r\n\r\n"), "400 Bad Request");
    assert_eq!(status(&format!("GET /{}", "a".repeat(8187))), "431 Request Header Fields Too Large");
    let (status, headers, body) = exchange(address, "HEAD /healthz HTTP/1.1\r\n\r\n");
    assert_eq!((status.as_str(), body.as_str()), ("200 OK", ""));
    assert!(headers.contains("Content-Length: 8"), "{headers}");
    assert_eq!(daemon.counter("http.rejected"), 4);
}

#[test]
fn silent_clients_do_not_keep_others_out() {
    let (daemon, address) = start(&[]);
    let silent: Vec<TcpStream> = (0..400).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(get(address, "/healthz").0, "200 OK");
    assert!(daemon.counter("http.closed.pending") >= 400 - 128);
    // The oldest were closed, and the youngest are at their deadline.
    for stream in [&silent[0], silent.last().unwrap()] {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!((&mut &*stream).read(&mut [0; 16]).unwrap_or(0), 0);
    }
}

#[test]
fn clients_that_take_no_answer_do_not_keep_others_out_for_long() {
    let (_daemon, address) = start(&[]);
    let lazy = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        stream
    };
    let _lazy: Vec<TcpStream> = (0..100).map(lazy).collect();
    // While they wait for their answers, another one may be closed without any.
    let begun = Instant::now();
    let mut answer = String::new();
    while answer.is_empty() && begun.elapsed() < PATIENCE {
        let mut stream = lazy(0);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        if stream.read_to_string(&mut answer).is_err() {
            answer.clear();
        }
    }
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer:?}");
}
