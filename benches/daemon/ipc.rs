//! The process side: polls, bursts of them, and the way of a request to a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::ipc::address::Address;
use common::ipc::message::{Message, Poll, Reply};
use common::ipc::socket::{Socket, buffer};
use common::policy::Mode;
use common::rpc::frame;
use serde_json::json;

use crate::SPAN;
use crate::report::{say, summarize};
use crate::server::{Daemon, Reaped};

/// What libkineto waits for the answer to a poll.
pub(crate) const KINETO_WAITS: Duration = Duration::from_millis(90);

/// After which a process tries again to send: libkineto's pause; msMonitor's process side pauses for 1 ms.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// How many processes poll at the same moment.
const PROCESSES: usize = 1000;

pub(crate) const CONFIG: &str = "ACTIVITIES_LOG_FILE=/tmp/bench.json\nACTIVITIES_ITERATIONS=5";

/// Polls a second, from threads that each wait for their answer before they poll again.
pub(crate) fn polls() -> anyhow::Result<()> {
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

/// Many processes that poll at the same moment: the first time, when the daemon does not know them, and later. The same with
/// a server that answers without any work: with more processes than processors, the scheduler sets the time.
pub(crate) fn burst() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--echo-server").arg(dir.path());
    let mut echo = Reaped(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let stdout = echo.0.stdout.take().ok_or_else(|| anyhow::anyhow!("no standard output"))?;
    BufReader::new(stdout).read_line(&mut String::new())?;
    burst_at("echo", dir.path())?;
    drop(echo);
    let daemon = Daemon::start(false)?;
    burst_at("profd", daemon.dir.path())
}

/// The peer of [`burst`]: answers each datagram with an empty config, until it is killed.
pub(crate) fn echo(dir: &Path) -> anyhow::Result<()> {
    let socket = Socket::bind(&Address::in_socket_dir(dir), Mode(0o600))?;
    let (answer, mut buffer) = (Reply::Config(Vec::new()).encode(), buffer());
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "ready")?;
    stdout.flush()?;
    loop {
        socket.wait(Duration::from_secs(60))?;
        while let Ok(received) = socket.receive(&mut buffer) {
            if let Some(from) = &received.from {
                let _ = socket.send(&answer, from);
            }
        }
    }
}

/// Lets processes poll the server whose socket is in a directory.
fn burst_at(server: &str, dir: &Path) -> anyhow::Result<()> {
    let mut children = Vec::new();
    for n in 0..PROCESSES {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--child").arg(format!("burst-{n}")).arg(dir);
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
            "bench": "ipc burst", "server": server, "processes": PROCESSES, "round": round, "answered": latencies.len(),
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

/// The child of [`burst`]: polls at the instants that it reads, and says how long the answer took, or `lost`.
pub(crate) fn child(name: &str, dir: &Path) -> anyhow::Result<()> {
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
pub(crate) fn trigger() -> anyhow::Result<()> {
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
pub(crate) struct Process {
    socket: Socket,
    daemon: rustix::net::SocketAddrUnix,
    poll: Vec<u8>,
}

impl Process {
    pub(crate) fn new(name: &str, dir: &Path) -> anyhow::Result<Self> {
        let socket = Socket::bind(&Address::Path(dir.join(name)), Mode(0o600))?;
        let pid = i32::try_from(std::process::id())?;
        let parent = i32::try_from(std::os::unix::process::parent_id())?;
        let poll = Message::Poll(Poll { config_type: 3, job_id: 0, pids: vec![pid, parent] }).encode();
        Ok(Self { socket, daemon: Address::in_socket_dir(dir).to_kernel()?, poll })
    }

    /// Polls once: how long the answer took from the first try to send, and the config.
    pub(crate) fn poll(&self, patience: Duration) -> anyhow::Result<(Duration, Vec<u8>)> {
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
