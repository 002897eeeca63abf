//! One good client beside many that are silent, slow, or take no replies.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::rpc::frame;
use serde_json::json;

use crate::SPAN;
use crate::client::{ask, connect};
use crate::report::{say, summarize};
use crate::server::{Daemon, Reaped};

/// Silent and dripping connections of one address, whose owner opens another one for each that is closed.
const SILENT: usize = 1000;

const DRIPPING: usize = 100;

/// One client that asks again and again, beside a thousand silent connections of its own address, at default settings.
pub(crate) fn silent_peers() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for tls in [false, true] {
        let daemon = Daemon::start_with(tls, &[])?;
        for beside in [false, true] {
            let mut holder = None;
            if beside {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["--silent-peers", &daemon.port.to_string(), if tls { "tls" } else { "plain" }]);
                let mut child = Reaped(command.stdout(Stdio::piped()).spawn()?);
                let stdout = child.0.stdout.take().ok_or_else(|| anyhow::anyhow!("no standard output"))?;
                BufReader::new(stdout).read_line(&mut String::new())?;
                holder = Some(child);
            }
            let (mut latencies, failed) = runtime.block_on(ask_alone(&daemon));
            drop(holder);
            let mut line = json!({
                "bench": "silent_peers", "tls": tls, "silent": if beside { SILENT } else { 0 },
                "dripping": if beside { DRIPPING } else { 0 }, "failed": failed,
            });
            summarize(&mut line, &mut latencies, SPAN);
            say(&line)?;
        }
    }
    Ok(())
}

/// One request a connection, a hundred a second at most; how long each took, and how many failed.
async fn ask_alone(daemon: &Daemon) -> (Vec<Duration>, u64) {
    let (end, mut latencies, mut failed) = (Instant::now() + SPAN, Vec::new(), 0);
    while Instant::now() < end {
        let start = Instant::now();
        let answer = async { ask(&mut connect(daemon).await?, br#"{"fn":"getStatus"}"#).await };
        match answer.await {
            Ok(_) => latencies.push(start.elapsed()),
            Err(_) => failed += 1,
        }
        tokio::time::sleep(Duration::from_millis(10).saturating_sub(start.elapsed())).await;
    }
    (latencies, failed)
}

/// The child of [`silent_peers`]: holds connections until it is killed, for a minute at most.
pub(crate) fn hold_connections(port: u16, tls: bool) -> anyhow::Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised)?;
    // The beginning of a ClientHello, or of a request of 64 bytes.
    let first: &[u8] =
        if tls { b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" } else { b"\x40\0\0\0{\"fn\"   " };
    let open = || -> std::io::Result<std::net::TcpStream> {
        let stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let mut peers = Vec::new();
    for _ in 0..SILENT + DRIPPING {
        peers.push((open()?, 0));
    }
    writeln!(std::io::stdout(), "ready")?;
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        for (n, (stream, sent)) in peers.iter_mut().enumerate() {
            if n >= SILENT && stream.write_all(&first[*sent..=*sent]).is_ok() {
                *sent = (*sent + 1).min(first.len() - 1);
            }
            let open_still =
                matches!(stream.read(&mut [0; 64]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
            if open_still {
                continue;
            }
            if let Ok(again) = open() {
                (*stream, *sent) = (again, 0);
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Connections that send requests without a pause and read no reply.
const PIPELINING: usize = 300;

/// One client that asks again and again with a connection each, beside clients that pipeline requests and never read.
pub(crate) fn pipelining() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let daemon = Daemon::start_with(false, &[])?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--pipelining-peers", &daemon.port.to_string()]);
    let mut peers = Reaped(command.stdout(Stdio::piped()).spawn()?);
    let stdout = peers.0.stdout.take().ok_or_else(|| anyhow::anyhow!("no standard output"))?;
    BufReader::new(stdout).read_line(&mut String::new())?;
    let (mut latencies, failed) = runtime.block_on(ask_alone(&daemon));
    drop(peers);
    let mut line = json!({"bench": "pipelining", "peers": PIPELINING, "failed": failed});
    summarize(&mut line, &mut latencies, SPAN);
    say(&line)
}

/// The child of [`pipelining`]: floods until it is killed, for a minute at most.
pub(crate) fn pipeline_requests(port: u16) -> anyhow::Result<()> {
    let request = frame::encode(br#"{"fn":"getStatus","extended":true}"#)?.repeat(64);
    let open = || -> std::io::Result<std::net::TcpStream> {
        let stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let mut peers = (0..PIPELINING).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
    writeln!(std::io::stdout(), "ready")?;
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        for stream in &mut peers {
            match stream.write(&request) {
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => *stream = open()?,
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
