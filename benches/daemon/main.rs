//! Load on `profd`, from outside: the real binary, on loopback, for a bounded time. Prints one JSON line for each
//! measurement; `cargo bench --bench daemon`, with names of measurements to run only those.
//!
//! Client and daemon share the machine, so the numbers are of the pair.
mod client;
mod fanout;
mod handshake;
mod hostile;
mod ipc;
mod metrics;
mod notice;
mod report;
mod rpc;
mod server;

use std::path::Path;
use std::time::Duration;

/// How long one measurement takes.
const SPAN: Duration = Duration::from_secs(3);

/// Measures and prints.
type Measurement = fn() -> anyhow::Result<()>;

const MEASUREMENTS: [(&str, Measurement); 15] = [
    ("rpc", rpc::rpc),
    ("own_connections", rpc::own_connections),
    ("silent_peers", hostile::silent_peers),
    ("pipelining", hostile::pipelining),
    ("audited", rpc::audited),
    ("connections", rpc::connections),
    ("memory", rpc::memory),
    ("handshakes", handshake::handshakes),
    ("polls", ipc::polls),
    ("burst", ipc::burst),
    ("trigger", ipc::trigger),
    ("metrics", metrics::metrics),
    ("notice", notice::notice),
    ("fanout", fanout::fanout),
    ("skew", fanout::skew),
];

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    // The children of measurements.
    match words.as_slice() {
        ["--child", name, dir] => return ipc::child(name, Path::new(dir)),
        ["--silent-peers", port, tls] => return hostile::hold_connections(port.parse()?, *tls == "tls"),
        ["--pipelining-peers", port] => return hostile::pipeline_requests(port.parse()?),
        ["--echo-connections"] => return rpc::echo_connections(),
        ["--echo-server", dir] => return ipc::echo(Path::new(dir)),
        ["--rustls-server", dir] => return handshake::serve_rustls_alone(Path::new(dir)),
        _ => {}
    }
    let wanted: Vec<&str> = words.into_iter().filter(|a| !a.starts_with('-')).collect();
    for (name, run) in MEASUREMENTS {
        if wanted.is_empty() || wanted.contains(&name) {
            run()?;
        }
    }
    Ok(())
}
