//! One client and 2,000 hosts: the real `profctl`, and a daemon that answers on every loopback address.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::report::say;
use crate::server::Daemon;

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
