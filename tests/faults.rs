//! Faults of the machine around a whole daemon: it is killed at any moment, runs out of descriptors, has its files
//! rotated under load, and its clock jumps. What was answered is in the audit trail, and the next request is served.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

mod harness;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::rpc::frame;
use harness::{Deployment, PATIENCE, bin, command, eventually, kill};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A connection over plain TCP.
struct Client(TcpStream);

impl Client {
    fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    fn ask(&mut self, request: &Value) -> io::Result<Value> {
        self.0.write_all(&frame::encode(request.to_string().as_bytes()).map_err(io::Error::other)?)?;
        let mut prefix = [0; frame::PREFIX];
        self.0.read_exact(&mut prefix)?;
        let mut body = vec![0; frame::length(prefix, 1 << 20).map_err(io::Error::other)?];
        self.0.read_exact(&mut body)?;
        Ok(serde_json::from_slice(&body)?)
    }
}

fn trace_request(dir: &Path) -> Value {
    let config =
        format!("ACTIVITIES_LOG_FILE={}\nACTIVITIES_ITERATIONS=1", dir.join("traces/t.json").display());
    json!({"fn": "setKinetOnDemandRequest", "config": config, "job_id": 0, "pids": [0], "process_limit": 3})
}

/// Sends trace requests over one connection until it fails or `is_over`, and counts the replies.
fn send_requests(port: u16, request: &Value, replies: &AtomicUsize, is_over: &AtomicBool) {
    let Ok(mut client) = Client::connect(port) else { return };
    while !is_over.load(Ordering::Relaxed) && client.ask(request).is_ok() {
        replies.fetch_add(1, Ordering::Relaxed);
    }
}

/// A process that asks for configs without a pause, and remembers the ids of those that it gets.
struct Poller {
    socket: UnixDatagram,
    daemon: PathBuf,
    trace_ids: Mutex<BTreeSet<String>>,
}

impl Poller {
    fn new(d: &Deployment) -> Self {
        let socket = UnixDatagram::bind(d.dir.path().join("poller")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self { socket, daemon: d.ipc().join("dynolog"), trace_ids: Mutex::default() }
    }

    fn poll(&self) {
        const HEADER: usize = 40;
        let payload = [
            &3_i32.to_ne_bytes()[..],
            &1_i32.to_ne_bytes(),
            &0_i64.to_ne_bytes(),
            &std::process::id().to_ne_bytes(),
        ]
        .concat();
        let mut message = vec![0; HEADER];
        message[..8].copy_from_slice(&(payload.len() as u64).to_ne_bytes());
        message[8..11].copy_from_slice(b"req");
        message.extend_from_slice(&payload);
        if self.socket.send_to(&message, &self.daemon).is_err() {
            return thread::sleep(Duration::from_millis(1));
        }
        let mut reply = [0; 8192];
        let Ok(length) = self.socket.recv(&mut reply) else { return };
        let text = String::from_utf8_lossy(&reply[HEADER.min(length)..length]);
        let ids = text.lines().filter_map(|line| line.strip_prefix("REQUEST_TRACE_ID="));
        self.trace_ids.lock().unwrap().extend(ids.map(str::to_owned));
    }
}

/// The audit lines of trace requests; a line that is not whole is counted in the second value.
fn read_audit(paths: &[PathBuf]) -> (Vec<Value>, usize) {
    let (mut lines, mut cut) = (Vec::new(), 0);
    for path in paths {
        for line in std::fs::read_to_string(path).unwrap().lines().filter(|line| !line.is_empty()) {
            match serde_json::from_str::<Value>(line) {
                Ok(line) if line["function"] == "setKinetOnDemandRequest" => lines.push(line),
                Ok(_) => {}
                Err(_) => cut += 1,
            }
        }
    }
    (lines, cut)
}

fn count_request_ids(lines: &[Value]) -> usize {
    lines.iter().map(|line| line["request_id"].as_str().unwrap()).collect::<BTreeSet<_>>().len()
}

#[test]
fn a_daemon_killed_at_any_moment_starts_again_and_has_a_line_for_each_answered_request() {
    const ROUNDS: usize = 12;
    let mut d = Deployment::plain();
    let audit = d.dir.path().join("audit.jsonl");
    let state = d.dir.path().join("state");
    let daemon = || {
        let mut daemon = command("profd");
        daemon.arg("--audit-log").arg(&audit).arg("--state-dir").arg(&state);
        daemon
    };
    let mut job = d.job(&["--step-time", "5ms"]);
    let poller = Poller::new(&d);
    let request = trace_request(d.dir.path());
    let replies = AtomicUsize::new(0);
    for round in 0..ROUNDS {
        kill(d.daemon.pid(), Signal::KILL);
        d.daemon.status();
        d.restart(&mut daemon());
        let (is_over, poller) = (AtomicBool::new(false), &poller);
        let before = replies.load(Ordering::Relaxed);
        thread::scope(|scope| {
            let port = d.port;
            for _ in 0..3 {
                let (request, replies) = (&request, &replies);
                scope.spawn(move || send_requests(port, request, replies, &AtomicBool::new(false)));
            }
            let is_past = &is_over;
            scope.spawn(move || {
                let start = Instant::now();
                while !is_past.load(Ordering::Relaxed) && start.elapsed() < PATIENCE {
                    poller.poll();
                }
            });
            eventually("a first reply", || (replies.load(Ordering::Relaxed) > before).then_some(()));
            // A different moment in each round: in the middle of reading, writing the trail, replying.
            thread::sleep(Duration::from_micros(700 * round as u64));
            kill(d.daemon.pid(), Signal::KILL);
            is_over.store(true, Ordering::Relaxed);
        });
        d.daemon.status();
    }
    let (lines, cut) = read_audit(std::slice::from_ref(&audit));
    let replies = replies.load(Ordering::Relaxed);
    assert!(replies >= ROUNDS && count_request_ids(&lines) == lines.len(), "{replies} replies");
    assert!(lines.len() >= replies, "{} lines of {replies} answered requests", lines.len());
    assert!(cut <= ROUNDS, "{cut} cut lines in {ROUNDS} rounds");
    // The job finds the next daemon by itself, and a trace is written as if nothing had been.
    d.restart(&mut daemon());
    // Nothing was handed out that no line tells of, also not by a daemon that took over.
    (0..3).for_each(|_| poller.poll());
    let processes = lines.iter().flat_map(|line| line["processes"].as_array().cloned().unwrap_or_default());
    let told: BTreeSet<String> = processes.filter_map(|p| Some(p["trace_id"].as_str()?.to_owned())).collect();
    let fetched = poller.trace_ids.lock().unwrap().clone();
    assert!(!fetched.is_empty() && fetched.is_subset(&told), "{:?}", fetched.difference(&told));
    d.registered(job.pid());
    let trace = d.trace("after.json");
    let (pid, trace) = (job.pid().to_string(), trace.to_str().unwrap());
    // It may still have to fetch what was asked for when the last daemon was killed.
    let ask = ["gputrace", "--pids", &pid, "--iterations", "2", "--wait", "--log-file", trace];
    eventually("a trace by the next daemon", || {
        let run = d.profctl(&ask);
        let is_busy = run.stderr.contains("declined: busy");
        (!is_busy).then(|| run.expect(0))
    });
    assert_eq!(job.terminate(), Some(0));
}

#[test]
fn with_few_descriptors_clients_and_processes_are_still_served() {
    const DESCRIPTORS: &str = "64";
    let mut d = Deployment::plain();
    d.daemon.terminate();
    let script = format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\"");
    d.restart(Command::new("sh").env_clear().args(["-c", &script, bin("profd")]));
    let silent: Vec<_> = (0..300).map_while(|_| TcpStream::connect(("127.0.0.1", d.port)).ok()).collect();
    assert!(silent.len() > 100, "the queue of the socket takes connections that are not accepted yet");
    let jobs: Vec<_> = (0..3).map(|_| d.job(&["--step-time", "20ms"])).collect();
    assert_eq!(d.pids().len(), jobs.len());
    d.profctl(&["version"]).expect(0);
    drop(silent);
    d.profctl(&["status"]).expect(0);
    assert_eq!(d.daemon.terminate(), Some(0));
}

#[test]
fn a_trail_that_is_rotated_under_load_loses_no_line() {
    let mut d = Deployment::plain();
    let audit = d.dir.path().join("audit.jsonl");
    d.daemon.terminate();
    d.restart(command("profd").arg("--audit-log").arg(&audit));
    let (request, replies, over) = (trace_request(d.dir.path()), AtomicUsize::new(0), AtomicBool::new(false));
    let mut files = vec![audit.clone()];
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| send_requests(d.port, &request, &replies, &over));
        }
        for n in 1..=3 {
            let moved = d.dir.path().join(format!("audit.jsonl.{n}"));
            std::fs::rename(&audit, &moved).unwrap();
            files.push(moved);
            eventually("a new file with lines", || audit.metadata().is_ok_and(|m| m.len() > 0).then_some(()));
        }
        over.store(true, Ordering::Relaxed);
    });
    let (lines, cut) = read_audit(&files);
    assert_eq!((count_request_ids(&lines), lines.len(), cut), (replies.into_inner(), lines.len(), 0));
}

/// libfaketime of Debian and Fedora, which puts a clock of ours below a program.
fn find_libfaketime() -> Result<PathBuf, &'static str> {
    let dirs =
        ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib64/faketime"];
    let found = dirs.iter().map(|dir| Path::new(dir).join("libfaketimeMT.so.1")).find(|path| path.exists());
    found.ok_or("no libfaketime")
}

#[test]
fn when_the_clock_jumps_certificates_are_checked_by_the_new_time_and_nothing_else_changes() {
    let Some(library) = testkit::or_skip(find_libfaketime()) else { return };
    let mut d = Deployment::with_tls();
    d.daemon.terminate();
    let clock = d.dir.path().join("clock");
    let set_clock = |offset: &str| {
        let new = clock.with_extension("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(&new, &clock).unwrap();
    };
    set_clock("+0");
    let faked = |daemon: &mut Command| {
        daemon.env("LD_PRELOAD", &library).env("FAKETIME_TIMESTAMP_FILE", &clock);
        // Timers go on as they are; the file is read at every call, so the daemon must be able to open it.
        daemon.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_NO_CACHE", "1").arg("--no-sandbox");
    };
    let mut daemon = command("profd");
    faked(&mut daemon);
    d.restart(&mut daemon);
    let mut job = d.job(&["--step-time", "5ms"]);
    for offset in ["+3h", "-3m", "+200d", "+0"] {
        set_clock(offset);
        let trace = d.trace(&format!("{offset}.json"));
        let wanted = ["gputrace", "--iterations", "2", "--wait", "--log-file", trace.to_str().unwrap()];
        d.profctl(&wanted).expect(0);
        assert_eq!(d.pids(), [u64::from(job.pid())], "{offset}: a registration does not depend on the clock");
    }
    for offset in ["+400d", "-400d"] {
        set_clock(offset);
        let refused = d.profctl(&["version"]).expect(2).stderr;
        assert!(
            refused.contains("rejected the client certificate") && refused.contains("clock"),
            "{refused}"
        );
        set_clock("+0");
        d.profctl(&["version"]).expect(0);
    }
    assert_eq!((job.terminate(), d.daemon.terminate()), (Some(0), Some(0)));
}
