//! Metrics: a stream of datagrams into two sinks, in files and for Prometheus.

use std::time::{Duration, Instant};

use common::ipc::address::{Address, DATA};
use common::ipc::message::Message;
use common::ipc::socket::Socket;
use common::policy::Mode;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::client::{ask, connect};
use crate::report::say;
use crate::server::Daemon;

/// Metrics that are sent in a second, of all senders together.
const RATE: u64 = 100_000;
/// Threads that send.
const SENDERS: u64 = 2;
/// How long they send.
const SPAN: Duration = Duration::from_secs(10);
/// After which a metric that was not recorded counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends metrics of all kinds for a while, and says how many were recorded by each sink, and what memory that took.
pub(crate) fn metrics() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let log_dir = format!("--metric-log-dir={}", dir.path().join("m").display());
    let options = [&log_dir, "--metric-disk-reserve=0", "--metric-queue=65536", "--http-listen=127.0.0.1:0"];
    let daemon = Daemon::start_with(false, &options)?;
    let runtime = Runtime::new()?;
    send_metrics(&daemon, Duration::from_millis(500))?;
    let warm = memory_kib(&daemon)?;
    let before = read_counters(&runtime, &daemon)?;
    let start = Instant::now();
    let (sent, tries) = send_metrics(&daemon, SPAN)?;
    let took = start.elapsed();
    let counted = |counters: &Value, name: &str| {
        counters[name].as_u64().unwrap_or(0) - before[name].as_u64().unwrap_or(0)
    };
    let (mut counters, waited) = (read_counters(&runtime, &daemon)?, Instant::now());
    let names = ["metrics.sink.jsonl.recorded", "metrics.sink.prometheus.recorded"];
    while names.iter().any(|name| counted(&counters, name) < sent) && waited.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
        counters = read_counters(&runtime, &daemon)?;
    }
    let lost = ["metrics.dropped.queue_full", "metrics.dropped.not_written", "metrics.dropped.invalid"];
    say(&json!({
        "bench": "metrics into two sinks",
        "wanted_per_s": RATE,
        "sent_per_s": sent * 1000 / u64::try_from(took.as_millis())?.max(1),
        "sent": sent,
        "socket_full": tries,
        "recorded_jsonl": counted(&counters, names[0]),
        "recorded_prometheus": counted(&counters, names[1]),
        "lost": lost.iter().map(|name| counted(&counters, name)).sum::<u64>(),
        "recorded_after_ms": u64::try_from(waited.elapsed().as_millis())?,
        "memory_before_kib": warm,
        "memory_after_kib": memory_kib(&daemon)?,
    }))
}

/// Returns how many metrics were sent, and how often the socket of the daemon was full.
fn send_metrics(daemon: &Daemon, span: Duration) -> anyhow::Result<(u64, u64)> {
    let send = |n| -> anyhow::Result<(u64, u64)> {
        let socket =
            Socket::bind(&Address::Path(daemon.dir.path().join(format!("metrics-{n}"))), Mode(0o600))?;
        let to = Address::Path(daemon.dir.path().join(DATA)).to_kernel()?;
        let kinds = ["Kernel", "API", "Communication", "Memory", "RuntimeAPI", "Hccl", "MemCpy", "AclAPI"];
        let metric = |kind: &&str| {
            let json = json!({"kind": kind, "deviceId": n, "duration": 81_230_450, "timestamp": 1_772_366_400_249_000_000_u64});
            Message::Data(json.to_string().into_bytes()).encode()
        };
        let metrics: Vec<Vec<u8>> = kinds.iter().map(metric).collect();
        let (start, mut sent, mut full) = (Instant::now(), 0, 0);
        while start.elapsed() < span {
            // What is due by now, but no more than a little: a machine that is too slow must not go on for ever.
            let due = RATE * u64::try_from(start.elapsed().as_micros())? / 1_000_000 / SENDERS;
            for metric in
                (sent..due.min(sent + 1000)).filter_map(|i| metrics.get(usize::try_from(i % 8).ok()?))
            {
                // The queue of the socket is short (net.unix.max_dgram_qlen); processes try again, too.
                while socket.send(metric, &to).is_err() {
                    full += 1;
                    std::thread::yield_now();
                }
                sent += 1;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        let _ = std::fs::remove_file(daemon.dir.path().join(format!("metrics-{n}")));
        Ok((sent, full))
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..SENDERS).map(|n| scope.spawn(move || send(n))).collect();
        let mut total = (0, 0);
        for thread in running {
            let (sent, full) = thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked"))?;
            total = (total.0 + sent, total.1 + full);
        }
        Ok(total)
    })
}

fn read_counters(runtime: &Runtime, daemon: &Daemon) -> anyhow::Result<Value> {
    runtime.block_on(async {
        let mut connection = connect(daemon).await?;
        let reply = ask(&mut connection, br#"{"fn":"getStatus","extended":true}"#).await?;
        let reply: Value = serde_json::from_slice(&reply)?;
        Ok(reply["detail"]["counters"].clone())
    })
}

fn memory_kib(daemon: &Daemon) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.child.id()))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let words = line.and_then(|l| l.split_whitespace().next());
    Ok(words.ok_or_else(|| anyhow::anyhow!("no VmRSS"))?.parse()?)
}
