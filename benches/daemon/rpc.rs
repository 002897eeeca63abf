//! Requests of good clients, and the connections that they keep.

use std::io::Write;
use std::time::Duration;

use common::rpc::frame;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::SPAN;
use crate::client::{Target, ask, connect, load};
use crate::report::{say, summarize};
use crate::server::{Daemon, processor_time, start_child};

/// Requests a second, and how long the slowest take, by number of connections; connections that stay, and one
/// for each request as the existing clients do it.
pub(crate) fn rpc() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for tls in [false, true] {
        let daemon = Daemon::start(tls)?;
        for keep in [true, false] {
            for connections in [1, 64, 256] {
                let mut latencies = runtime.block_on(load(&daemon.target(), connections, keep))?;
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

/// Connections of [`own_connections`] at a time.
const AT_ONCE: usize = 64;

/// Requests a second over plain TCP with a connection each, beside a server that answers without any work. Client and
/// server share the processors, so the rates are of the pair, and what the server costs is its processor time.
pub(crate) fn own_connections() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (echo, port) = start_child(&["--echo-connections".as_ref()])?;
    // As nice as the other one: on a busy machine more would decide.
    let daemon = Daemon::start_with(false, &["--nice=0"])?;
    let servers =
        [("echo", echo.0.id(), Target { port, tls: None }), ("profd", daemon.child.id(), daemon.target())];
    let mut rates = Vec::new();
    for (name, pid, target) in servers {
        let before = processor_time(pid)?;
        let mut latencies = runtime.block_on(load(&target, AT_ONCE, false))?;
        let used = u64::try_from((processor_time(pid)? - before).as_nanos())?;
        let mut line = json!({
            "bench": "own_connections", "server": name, "connections": AT_ONCE,
            "processor_ns_per_request": used / (latencies.len() as u64).max(1),
        });
        summarize(&mut line, &mut latencies, SPAN);
        rates.push(latencies.len());
        say(&line)?;
    }
    if let [echo, profd] = rates[..] {
        say(&json!({"bench": "own_connections", "profd_of_echo_percent": 100 * profd / echo.max(1)}))?;
    }
    Ok(())
}

/// The child of [`own_connections`]: prints its port, and answers the first request of each connection, for a minute at
/// most. It has as many threads as the daemon.
pub(crate) fn echo_connections() -> anyhow::Result<()> {
    let reply =
        frame::encode(br#"{"nputrace":"Uninitialized","npumonitor":"Uninitialized","current_step":-1}"#)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
        let serve = async {
            loop {
                let (mut stream, _) = listener.accept().await?;
                let reply = reply.clone();
                tokio::spawn(async move {
                    // The request is short enough to come as one piece.
                    if stream.read(&mut [0; 4096]).await? > 0 {
                        stream.write_all(&reply).await?;
                        // The client closes it.
                        let _ = stream.read_u8().await;
                    }
                    std::io::Result::Ok(())
                });
            }
        };
        tokio::time::timeout(Duration::from_secs(60), serve).await.unwrap_or(Ok(()))
    })
}

/// As [`rpc`] over plain TCP with kept connections, with an audit trail in a file.
pub(crate) fn audited() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let dir = tempfile::tempdir()?;
    let option = format!("--audit-log={}", dir.path().join("audit.jsonl").display());
    let daemon = Daemon::start_with(false, &[&option, "--max-connections-per-peer=1024"])?;
    for connections in [1, 64] {
        let mut latencies = runtime.block_on(load(&daemon.target(), connections, true))?;
        let mut line = json!({"bench": "audited", "connections": connections});
        summarize(&mut line, &mut latencies, SPAN);
        say(&line)?;
    }
    Ok(())
}

/// Connections that stay open, as far as the limit on descriptors allows.
const CONNECTIONS: u64 = 10_000;

/// Descriptors that this process needs besides.
const OTHER_DESCRIPTORS: u64 = 256;

/// The memory of the daemon with many authenticated connections that stay open.
pub(crate) fn connections() -> anyhow::Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // The daemon has the same limit, and descriptors of its own for processes and pending connections.
    let possible = limit.maximum.map_or(CONNECTIONS, |maximum| maximum.saturating_sub(4 * OTHER_DESCRIPTORS));
    let wanted = CONNECTIONS.min(possible);
    let options = [
        "--max-connections=10000",
        "--max-connections-per-peer=10000",
        "--max-pending-connections=128",
        "--max-pending-connections-per-peer=128",
        "--max-processes=16",
        "--idle-timeout=1h",
    ];
    let daemon = Daemon::start_with(true, &options)?;
    let before = daemon.rss_kib()?;
    let held = runtime.block_on(async {
        let mut held = Vec::new();
        for _ in 0..wanted {
            let mut stream = connect(&daemon).await?;
            ask(&mut stream, br#"{"fn":"getVersion"}"#).await?;
            held.push(stream);
        }
        anyhow::Ok(held)
    })?;
    let after = daemon.rss_kib()?;
    say(&json!({
        "bench": "connections", "tls": true, "wanted": CONNECTIONS, "connections": held.len(), "rss_before_kib": before,
        "rss_kib": after, "kib_per_connection": after.saturating_sub(before) as usize / held.len().max(1),
    }))
}

/// How many requests and polls [`memory`] sends, if `PROFGUARD_BENCH_REQUESTS` does not say.
const REQUESTS: u64 = 1_000_000;

/// The memory of the daemon before and after a million requests, and a million polls. The first tenth is not counted: until
/// then pools and caches fill.
pub(crate) fn memory() -> anyhow::Result<()> {
    let given = std::env::var("PROFGUARD_BENCH_REQUESTS").ok().and_then(|text| text.parse().ok());
    let wanted: u64 = given.unwrap_or(REQUESTS);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for what in ["requests", "requests over TLS", "polls"] {
        let daemon = Daemon::start(what == "requests over TLS")?;
        let send = |n: u64| match what {
            "polls" => poll_often(&daemon, n),
            _ => runtime.block_on(ask_often(&daemon, n)),
        };
        send(wanted.div_ceil(10))?;
        let before = daemon.rss_kib()?;
        send(wanted)?;
        let after = daemon.rss_kib()?;
        say(&json!({
            "bench": "memory", "what": what, "n": wanted, "rss_before_kib": before, "rss_after_kib": after,
        }))?;
    }
    Ok(())
}

/// Sends requests over one connection.
async fn ask_often(daemon: &Daemon, n: u64) -> anyhow::Result<()> {
    let mut stream = connect(daemon).await?;
    for _ in 0..n {
        ask(&mut stream, br#"{"fn":"getStatus"}"#).await?;
    }
    Ok(())
}

/// How long the answer to one of them may take: what is measured is memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// Polls from one process.
fn poll_often(daemon: &Daemon, n: u64) -> anyhow::Result<()> {
    let process = daemon.process(&format!("memory-{n}"))?;
    for _ in 0..n {
        process.poll(PATIENCE)?;
    }
    Ok(())
}
