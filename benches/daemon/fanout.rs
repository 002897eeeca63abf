//! One client and 2,000 hosts: the real `profctl`, and a daemon that answers on every loopback address.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::report::say;
use crate::server::{Daemon, Reaped};

/// The hosts: addresses of this machine (RFC 1122, section 3.2.1.3).
const HOSTS: &str = "127.1.[0-7].[1-250]";
const HOST_COUNT: u64 = 2000;
const ROUNDS: usize = 3;

/// The time of `profctl version` for all hosts, over plain TCP and over mutual TLS, and that of a request for traces. One
/// daemon answers for all, so the processor time of 2,000 handshakes on both sides is part of it.
pub(crate) fn fanout() -> anyhow::Result<()> {
    for tls in [false, true] {
        let options = [
            "--bind=0.0.0.0",
            "--insecure-listen",
            "--max-connections=4096",
            "--max-connections-per-peer=4096",
            "--max-pending-connections-per-peer=4096",
        ];
        let options = if tls { [&options[..1], &options[2..]].concat() } else { options.to_vec() };
        let daemon = Daemon::start_with(tls, &options)?;
        for (name, command) in
            [("version", &["version"][..]), ("status", &["status"]), ("gputrace", GPUTRACE)]
        {
            let mut times = Vec::new();
            let mut answered = 0;
            for _ in 0..ROUNDS {
                let (time, done) = ask_all(&daemon, tls, command)?;
                times.push(time);
                answered = done;
            }
            times.sort_unstable();
            let ms = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            say(&json!({
                "bench": "fanout", "tls": tls, "command": name, "hosts": HOST_COUNT, "answered": answered,
                "median_ms": ms(&times[ROUNDS / 2]), "best_ms": ms(&times[0]),
            }))?;
        }
    }
    Ok(())
}

/// Processes of the synchronized start.
const SYNCED_PROCESSES: usize = 64;

/// How far apart the traces of 64 processes begin that are told to start at one time. They share this machine, so what is
/// measured is the way from the request to the process, and not the clocks.
pub(crate) fn skew() -> anyhow::Result<()> {
    let daemon = Daemon::start(false)?;
    let start = |_| -> anyhow::Result<Reaped> {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_proftap"));
        demo.args(["demo", "--quiet", "--batch=1", "--step-time=250ms"]);
        demo.env("KINETO_IPC_SOCKET_DIR", daemon.dir.path()).stdin(Stdio::null());
        Ok(Reaped(demo.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    };
    let _jobs = (0..SYNCED_PROCESSES).map(start).collect::<anyhow::Result<Vec<_>>>()?;
    let client = |args: &[&str]| -> anyhow::Result<Vec<Value>> {
        let mut client = Command::new(env!("CARGO_BIN_EXE_profctl"));
        client.args(["--quiet", "--format=json", "--certs-dir=NO_CERTS", "--hostname=127.0.0.1"]);
        let output =
            client.arg(format!("--port={}", daemon.port)).args(args).stderr(Stdio::null()).output()?;
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    };
    let begin = Instant::now();
    while client(&["status"])?[0]["processes"].as_array().map_or(0, Vec::len) < SYNCED_PROCESSES {
        anyhow::ensure!(begin.elapsed() < Duration::from_secs(60), "not all processes have registered");
        std::thread::sleep(Duration::from_millis(200));
    }
    let trace = daemon.dir.path().join("skew.json").display().to_string();
    let options = ["--synchronized", "--start-in=6s", "--duration-ms=200", "--process-limit=64", "--wait"];
    let records = client(&[&["gputrace"], &options[..], &["--log-file", &trace]].concat())?;
    let of_type = |name: &str| records.iter().find(|r| r["type"] == name).cloned().unwrap_or_default();
    let skew = of_type("profctl.start_skew");
    say(&json!({
        "bench": "skew", "processes": SYNCED_PROCESSES, "traces": skew["traces"], "skew_us": skew["skew_us"],
        "first_after_us": skew["first_after_us"], "uncertainty_us": skew["uncertainty_us"],
    }))
}

const GPUTRACE: &[&str] = &["gputrace", "--log-file", "/tmp/bench-%h.json"];

/// Runs the client once. Returns its time, and the number of daemons that have answered.
fn ask_all(daemon: &Daemon, tls: bool, command: &[&str]) -> anyhow::Result<(Duration, u64)> {
    let certs = daemon.dir.path().join("pki/client_certs");
    let mut client = Command::new(env!("CARGO_BIN_EXE_profctl"));
    client.args(["--quiet", "--format=json", "--timeout=30s", "--server-name=localhost", "--hosts", HOSTS]);
    client.arg(format!("--port={}", daemon.port)).arg("--certs-dir");
    client.arg(if tls { certs.into_os_string() } else { "NO_CERTS".into() });
    let begin = Instant::now();
    let output = client.args(command).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    let time = begin.elapsed();
    let text = String::from_utf8(output.stdout)?;
    let summary: Value = serde_json::from_str(text.lines().last().unwrap_or("null"))?;
    let count = |key: &str| summary[key].as_u64().unwrap_or(0);
    anyhow::ensure!(count("hosts") == HOST_COUNT, "the summary counts {summary}");
    Ok((time, count("done") + count("declined")))
}
