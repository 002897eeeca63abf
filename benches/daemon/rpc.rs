//! Requests of good clients, and the connections that they keep.

use std::sync::Arc;

use serde_json::json;

use crate::SPAN;
use crate::client::{ask, connect, load};
use crate::report::{say, summarize};
use crate::server::Daemon;

/// Requests a second, and how long the slowest take, by number of connections; connections that stay, and one
/// for each request as the existing clients do it.
pub(crate) fn rpc() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for tls in [false, true] {
        let daemon = Arc::new(Daemon::start(tls)?);
        for keep in [true, false] {
            for connections in [1, 64, 256] {
                let mut latencies = runtime.block_on(load(&daemon, connections, keep))?;
                let mut line = json!({
                    "bench": "rpc", "tls": tls, "connections": connections,
                    "per_request": if keep { "kept connection" } else { "own connection" },
                });
                summarize(&mut line, &mut latencies, SPAN);
                say(&line)?;
            }
        }
    }
    Ok(())
}

/// As [`rpc`] over plain TCP with kept connections, with an audit trail in a file.
pub(crate) fn audited() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let dir = tempfile::tempdir()?;
    let option = format!("--audit-log={}", dir.path().join("audit.jsonl").display());
    let daemon = Arc::new(Daemon::start_with(false, &[&option, "--max-connections-per-peer=1024"])?);
    for connections in [1, 64] {
        let mut latencies = runtime.block_on(load(&daemon, connections, true))?;
        let mut line = json!({"bench": "audited", "connections": connections});
        summarize(&mut line, &mut latencies, SPAN);
        say(&line)?;
    }
    Ok(())
}

/// The memory of the daemon with many authenticated connections that stay open.
pub(crate) fn connections() -> anyhow::Result<()> {
    const CONNECTIONS: usize = 2000;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let options = ["--max-connections=10000", "--max-connections-per-peer=10000", "--idle-timeout=10m"];
    let daemon = Daemon::start_with(true, &options)?;
    let rss_kib = || -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    let before = rss_kib()?;
    let held = runtime.block_on(async {
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = connect(&daemon).await?;
            ask(&mut stream, br#"{"fn":"getVersion"}"#).await?;
            held.push(stream);
        }
        anyhow::Ok(held)
    })?;
    let after = rss_kib()?;
    say(&json!({
        "bench": "connections", "tls": true, "connections": held.len(), "rss_before_kib": before, "rss_kib": after,
        "kib_per_connection": (after - before) as usize / held.len(),
    }))
}
