//! Load on `profd`, from outside: the real binary, on loopback, for a bounded time. Prints one JSON line for each
//! measurement; `cargo bench --bench daemon`, with names of measurements to run only those.
//!
//! Client and daemon share the machine, so the numbers are of the pair.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::ipc::address::Address;
use common::ipc::message::{Message, Poll, Reply};
use common::ipc::socket::{Socket, buffer};
use common::pki::{LoadOptions, MinVersion, MtlsDir, Role};
use common::policy::Mode;
use common::rpc::frame;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// How long one measurement takes.
const SPAN: Duration = Duration::from_secs(3);
/// What libkineto waits for the answer to a poll.
const KINETO_WAITS: Duration = Duration::from_millis(90);
/// After which a process tries again to send: libkineto's pause; msMonitor's process side pauses for 1 ms.
const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// How many processes poll at the same moment.
const PROCESSES: usize = 1000;
const CONFIG: &str = "ACTIVITIES_LOG_FILE=/tmp/bench.json\nACTIVITIES_ITERATIONS=5";

/// Measures and prints.
type Measurement = fn() -> anyhow::Result<()>;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, dir] = args.as_slice() {
        if flag == "--child" {
            return child(name, Path::new(dir));
        }
    }
    let wanted: Vec<&String> = args.iter().filter(|a| !a.starts_with('-')).collect();
    if let [flag, port, tls] = args.as_slice() {
        if flag == "--silent-peers" {
            return hold_connections(port.parse()?, tls == "tls");
        }
    }
    if let [flag, port] = args.as_slice() {
        if flag == "--pipelining-peers" {
            return pipeline_requests(port.parse()?);
        }
    }
    if let [flag, dir] = args.as_slice() {
        if flag == "--rustls-server" {
            return serve_rustls_alone(Path::new(dir));
        }
    }
    let measurements: [(&str, Measurement); 9] = [
        ("rpc", rpc),
        ("silent_peers", silent_peers),
        ("pipelining", pipelining),
        ("audited", audited),
        ("connections", connections),
        ("handshakes", handshakes),
        ("polls", polls),
        ("burst", burst),
        ("trigger", trigger),
    ];
    for (name, run) in measurements {
        if wanted.is_empty() || wanted.iter().any(|w| *w == name) {
            run()?;
        }
    }
    Ok(())
}

/// A daemon, and the directory that its sockets and certificates are in.
struct Daemon {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
    tls: Option<TlsConnector>,
}

impl Daemon {
    /// With room for many connections from this one address.
    fn start(tls: bool) -> anyhow::Result<Self> {
        Self::start_with(tls, &["--max-connections-per-peer=1024", "--max-pending-connections-per-peer=512"])
    }

    fn start_with(tls: bool, options: &[&str]) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let pki = dir.path().join("pki");
        let (certs, tls) = if tls {
            let mut mint = Command::new(env!("CARGO_BIN_EXE_certck"));
            let minted = mint.arg("mint").arg(&pki).stdout(Stdio::null()).status()?;
            anyhow::ensure!(minted.success(), "certck mint failed");
            let client = MtlsDir::load(&pki.join("client_certs"), Role::Client, &LoadOptions::now())?;
            let config = client.client_config(MinVersion::Tls13)?;
            (pki.join("server_certs"), Some(TlsConnector::from(Arc::new(config))))
        } else {
            (PathBuf::from("NO_CERTS"), None)
        };
        let mut child = Command::new(env!("CARGO_BIN_EXE_profd"))
            .args(["--port=0", "--bind=127.0.0.1", "--format=json", "--quiet", "--enable-ipc-monitor"])
            .args(options)
            .arg("--certs-dir")
            .arg(certs)
            .arg(format!("--ipc=dir={}", dir.path().display()))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ready = String::new();
        let stdout = child.stdout.take().ok_or_else(|| anyhow::anyhow!("no standard output"))?;
        BufReader::new(stdout).read_line(&mut ready)?;
        let ready: Value = serde_json::from_str(&ready)?;
        let address = ready["addresses"][0].as_str().unwrap_or_default().to_owned();
        let port = address.rsplit(':').next().unwrap_or_default().parse()?;
        Ok(Self { child, dir, port, tls })
    }

    fn process(&self, name: &str) -> anyhow::Result<Process> {
        Process::new(name, self.dir.path())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Requests a second, and how long the slowest take, by number of connections; connections that stay, and one
/// for each request as the existing clients do it.
fn rpc() -> anyhow::Result<()> {
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

/// Silent and dripping connections of one address, whose owner opens another one for each that is closed.
const SILENT: usize = 1000;
const DRIPPING: usize = 100;

/// One client that asks again and again, beside a thousand silent connections of its own address, at default settings.
fn silent_peers() -> anyhow::Result<()> {
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
fn hold_connections(port: u16, tls: bool) -> anyhow::Result<()> {
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
fn pipelining() -> anyhow::Result<()> {
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
fn pipeline_requests(port: u16) -> anyhow::Result<()> {
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

/// As [`rpc`] over plain TCP with kept connections, with an audit trail in a file.
fn audited() -> anyhow::Result<()> {
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
fn connections() -> anyhow::Result<()> {
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

/// The processor time of a mutual TLS handshake with one request, in the daemon and in a server that does nothing else:
/// rustls with its own verifier, the same certificates and the same CRL. Processor time, because wall time is that of client
/// and server together.
fn handshakes() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let daemon = Arc::new(Daemon::start(true)?);
    let mut command = Command::new(std::env::current_exe()?);
    let dir = daemon.dir.path().join("pki/server_certs");
    let mut alone = Reaped(command.arg("--rustls-server").arg(&dir).stdout(Stdio::piped()).spawn()?);
    let stdout = alone.0.stdout.take().ok_or_else(|| anyhow::anyhow!("no standard output"))?;
    let mut port = String::new();
    BufReader::new(stdout).read_line(&mut port)?;
    let alone_at = Arc::new(Target { port: port.trim().parse()?, tls: daemon.tls.clone() });
    let daemon_at = Arc::new(Target { port: daemon.port, tls: daemon.tls.clone() });
    let mut costs = Vec::new();
    for (name, pid, target) in
        [("rustls alone", alone.0.id(), alone_at), ("profd", daemon.child.id(), daemon_at)]
    {
        let before = processor_time(pid)?;
        let requests = runtime.block_on(load_target(&target, 16))?;
        let used = processor_time(pid)? - before;
        let us = u64::try_from(used.as_micros())? / requests.max(1);
        costs.push(us);
        say(
            &json!({"bench": "handshakes", "server": name, "requests": requests, "processor_us_per_request": us}),
        )?;
    }
    if let [alone, profd] = costs[..] {
        say(&json!({"bench": "handshakes", "profd_of_rustls_alone_percent": 100 * alone / profd.max(1)}))?;
    }
    Ok(())
}

/// A server to connect to.
struct Target {
    port: u16,
    tls: Option<TlsConnector>,
}

async fn load_target(target: &Arc<Target>, connections: usize) -> anyhow::Result<u64> {
    let end = Instant::now() + SPAN;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let target = target.clone();
        tasks.spawn(async move {
            let mut requests = 0;
            while Instant::now() < end {
                ask(&mut connect_to(target.port, target.tls.as_ref()).await?, br#"{"fn":"getVersion"}"#)
                    .await?;
                requests += 1;
            }
            anyhow::Ok(requests)
        });
    }
    let mut all = 0;
    while let Some(requests) = tasks.join_next().await {
        all += requests??;
    }
    Ok(all)
}

/// The processor time of all threads of a process (proc(5), schedstat: nanoseconds on a processor first).
fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let mut all = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        all += text.split_whitespace().next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(all))
}

/// The child of [`handshakes`]: prints its port, and serves until it is killed, for a minute at most.
fn serve_rustls_alone(dir: &Path) -> anyhow::Result<()> {
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
    use tokio_rustls::rustls::server::WebPkiClientVerifier;
    use tokio_rustls::rustls::{RootCertStore, ServerConfig, version};
    let provider = common::pki::crypto_provider();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("ca.crt"))?)?;
    let crl = CertificateRevocationListDer::from_pem_file(dir.join("ca.crl"))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = verifier.with_crls([crl]).enforce_revocation_expiration().build()?;
    let chain = CertificateDer::pem_file_iter(dir.join("server.crt"))?.collect::<Result<Vec<_>, _>>()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(dir.join("server.key"))?)?;
    config.send_tls13_tickets = 0;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
        let serve = async {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut stream: Box<dyn Stream> = Box::new(acceptor.accept(stream).await?);
                    let mut prefix = [0; frame::PREFIX];
                    stream.read_exact(&mut prefix).await?;
                    stream.read_exact(&mut vec![0; frame::length(prefix, frame::MAX_REPLY)?]).await?;
                    stream.write_all(&frame::encode(br#"{"version":"0"}"#)?).await?;
                    stream.flush().await?;
                    // The client closes it.
                    let _ = stream.read_u8().await;
                    anyhow::Ok(())
                });
            }
        };
        let served: Result<anyhow::Result<()>, _> =
            tokio::time::timeout(Duration::from_secs(60), serve).await;
        served.unwrap_or(Ok(()))
    })
}

async fn load(daemon: &Arc<Daemon>, connections: usize, keep: bool) -> anyhow::Result<Vec<Duration>> {
    let end = Instant::now() + SPAN;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let daemon = daemon.clone();
        tasks.spawn(async move { client(&daemon, keep, end).await });
    }
    let mut all = Vec::new();
    while let Some(latencies) = tasks.join_next().await {
        all.extend(latencies??);
    }
    Ok(all)
}

async fn client(daemon: &Daemon, keep: bool, end: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut kept = if keep { Some(connect(daemon).await?) } else { None };
    while Instant::now() < end {
        let start = Instant::now();
        match &mut kept {
            Some(stream) => ask(stream, br#"{"fn":"getStatus"}"#).await?,
            None => ask(&mut connect(daemon).await?, br#"{"fn":"getStatus"}"#).await?,
        };
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn connect(daemon: &Daemon) -> anyhow::Result<Box<dyn Stream>> {
    connect_to(daemon.port, daemon.tls.as_ref()).await
}

async fn connect_to(port: u16, tls: Option<&TlsConnector>) -> anyhow::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(match tls {
        None => Box::new(stream),
        Some(tls) => Box::new(tls.connect(ServerName::try_from("localhost")?, stream).await?),
    })
}

async fn ask(stream: &mut Box<dyn Stream>, request: &[u8]) -> anyhow::Result<Vec<u8>> {
    stream.write_all(&frame::encode(request)?).await?;
    stream.flush().await?;
    let mut prefix = [0; frame::PREFIX];
    stream.read_exact(&mut prefix).await?;
    let mut body = vec![0; frame::length(prefix, frame::MAX_REPLY)?];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// Polls a second, from threads that each wait for their answer before they poll again.
fn polls() -> anyhow::Result<()> {
    let daemon = Daemon::start(false)?;
    for threads in [1, 4] {
        let end = Instant::now() + SPAN;
        let run = |n| -> anyhow::Result<Vec<Duration>> {
            let process = daemon.process(&format!("poll-{threads}-{n}"))?;
            let mut latencies = Vec::new();
            while Instant::now() < end {
                latencies.push(process.poll(KINETO_WAITS)?.0);
            }
            Ok(latencies)
        };
        let mut latencies = std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|n| scope.spawn(move || run(n))).collect();
            let ended =
                running.into_iter().map(|t| t.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")));
            ended.collect::<anyhow::Result<Vec<_>>>().map(|all| all.concat())
        })?;
        let mut line = json!({"bench": "ipc polls", "sockets": threads});
        summarize(&mut line, &mut latencies, SPAN);
        say(&line)?;
    }
    Ok(())
}

/// Many processes that poll at the same moment: the first time, when the daemon does not know them, and later.
fn burst() -> anyhow::Result<()> {
    let daemon = Daemon::start(false)?;
    let mut children = Vec::new();
    for n in 0..PROCESSES {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--child").arg(format!("burst-{n}")).arg(daemon.dir.path());
        let mut child = Reaped(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
        let stdout = child.0.stdout.take().ok_or_else(|| anyhow::anyhow!("no standard output"))?;
        let mut stdout = BufReader::new(stdout);
        // It is up, and waits.
        stdout.read_line(&mut String::new())?;
        children.push((child, stdout));
    }
    for round in 0..5 {
        let at = since_epoch() + Duration::from_millis(500);
        for (child, _) in &mut children {
            if let Some(stdin) = &mut child.0.stdin {
                writeln!(stdin, "{}", at.as_nanos())?;
            }
        }
        let mut latencies = Vec::new();
        for (_, stdout) in &mut children {
            let mut nanos = String::new();
            stdout.read_line(&mut nanos)?;
            latencies.extend(nanos.trim().parse().ok().map(Duration::from_nanos));
        }
        let in_time = latencies.iter().filter(|l| **l <= KINETO_WAITS).count();
        let mut line = json!({
            "bench": "ipc burst", "processes": PROCESSES, "round": round, "answered": latencies.len(),
            "within_90_ms": in_time,
        });
        summarize(&mut line, &mut latencies, SPAN);
        if let Some(line) = line.as_object_mut() {
            line.remove("per_s");
        }
        say(&line)?;
    }
    Ok(())
}

/// A process that is killed when it goes out of scope.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The child of [`burst`]: polls at the instants that it reads, and says how long the answer took, or `lost`.
fn child(name: &str, dir: &Path) -> anyhow::Result<()> {
    let process = Process::new(name, dir)?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "ready")?;
    stdout.flush()?;
    for line in std::io::stdin().lines() {
        let at = Duration::from_nanos(line?.parse()?);
        std::thread::sleep(at.saturating_sub(since_epoch()));
        match process.poll(Duration::from_secs(5)) {
            Ok((latency, _)) => writeln!(stdout, "{}", latency.as_nanos())?,
            Err(_) => writeln!(stdout, "lost")?,
        }
        stdout.flush()?;
    }
    Ok(())
}

/// From the request to the config in the hands of a process that polls at once.
fn trigger() -> anyhow::Result<()> {
    let daemon = Daemon::start(false)?;
    let process = daemon.process("trigger")?;
    process.poll(KINETO_WAITS)?;
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", daemon.port))?;
    stream.set_nodelay(true)?;
    let request = json!({"fn": "setKinetOnDemandRequest", "config": CONFIG, "job_id": 0, "pids": [], "process_limit": 3});
    let request = frame::encode(request.to_string().as_bytes())?;
    let (start, mut latencies) = (Instant::now(), Vec::new());
    while start.elapsed() < SPAN {
        let asked = Instant::now();
        stream.write_all(&request)?;
        let mut prefix = [0; frame::PREFIX];
        stream.read_exact(&mut prefix)?;
        stream.read_exact(&mut vec![0; frame::length(prefix, frame::MAX_REPLY)?])?;
        let (_, config) = process.poll(KINETO_WAITS)?;
        anyhow::ensure!(!config.is_empty(), "the config was not there");
        latencies.push(asked.elapsed());
    }
    let mut line = json!({"bench": "trigger to delivery"});
    summarize(&mut line, &mut latencies, SPAN);
    say(&line)
}

/// The process side.
struct Process {
    socket: Socket,
    daemon: rustix::net::SocketAddrUnix,
    poll: Vec<u8>,
}

impl Process {
    fn new(name: &str, dir: &Path) -> anyhow::Result<Self> {
        let socket = Socket::bind(&Address::Path(dir.join(name)), Mode(0o600))?;
        let pid = i32::try_from(std::process::id())?;
        let parent = i32::try_from(std::os::unix::process::parent_id())?;
        let poll = Message::Poll(Poll { config_type: 3, job_id: 0, pids: vec![pid, parent] }).encode();
        Ok(Self { socket, daemon: Address::in_socket_dir(dir).to_kernel()?, poll })
    }

    /// Polls once: how long the answer took from the first try to send, and the config.
    fn poll(&self, patience: Duration) -> anyhow::Result<(Duration, Vec<u8>)> {
        let start = Instant::now();
        // The daemon's queue holds 10 datagrams on most systems (net.unix.max_dgram_qlen).
        while self.socket.send(&self.poll, &self.daemon).is_err() {
            anyhow::ensure!(start.elapsed() < patience, "the daemon took nothing");
            std::thread::sleep(RETRY_PAUSE);
        }
        anyhow::ensure!(self.socket.wait(patience)?, "no answer");
        let mut buffer = buffer();
        let received = self.socket.receive(&mut buffer)?;
        let latency = start.elapsed();
        match Reply::decode(&buffer[..received.len])? {
            Reply::Config(config) => Ok((latency, config)),
            Reply::Registered(_) => anyhow::bail!("not an answer to a poll"),
        }
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn summarize(line: &mut Value, latencies: &mut [Duration], span: Duration) {
    latencies.sort_unstable();
    let at = |share: f64| {
        let last = latencies.len().saturating_sub(1);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index into what was measured"
        )]
        let index = (last as f64 * share).round() as usize;
        latencies.get(index).map_or(0, Duration::as_micros)
    };
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    line["n"] = latencies.len().into();
    line["per_s"] = (latencies.len() as u64 / span.as_secs()).into();
    line["p50_us"] = u64::try_from(p50).unwrap_or(u64::MAX).into();
    line["p99_us"] = u64::try_from(p99).unwrap_or(u64::MAX).into();
    line["max_us"] = u64::try_from(max).unwrap_or(u64::MAX).into();
}

fn say(line: &Value) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}
