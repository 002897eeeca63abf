//! Runs the real binaries in a private directory with a cleared environment.
//!
//! Each test file uses the part that it needs.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "a module of several test programs, each of which uses its part"
)]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything in a test may take before it counts as hung. Generous: machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The path of a tool's fresh binary.
pub fn bin(tool: &str) -> &'static str {
    match tool {
        "certck" => env!("CARGO_BIN_EXE_certck"),
        "datack" => env!("CARGO_BIN_EXE_datack"),
        "hostck" => env!("CARGO_BIN_EXE_hostck"),
        "permck" => env!("CARGO_BIN_EXE_permck"),
        "profctl" => env!("CARGO_BIN_EXE_profctl"),
        "profd" => env!("CARGO_BIN_EXE_profd"),
        "proftap" => env!("CARGO_BIN_EXE_proftap"),
        "tracecv" => env!("CARGO_BIN_EXE_tracecv"),
        "traceq" => env!("CARGO_BIN_EXE_traceq"),
        "tracewhy" => env!("CARGO_BIN_EXE_tracewhy"),
        other => panic!("no tool {other}"),
    }
}

/// All tools.
pub const TOOLS: [&str; 10] =
    ["certck", "datack", "hostck", "permck", "profctl", "profd", "proftap", "tracecv", "traceq", "tracewhy"];

/// A command with nothing in its environment but what every test fixes.
pub fn command(tool: &str) -> Command {
    let mut command = Command::new(bin(tool));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("COLUMNS", "100");
    command.stdin(Stdio::null());
    command
}

/// What a finished command left: status, and both streams as text.
#[derive(Debug)]
pub struct Done {
    /// Exit status; `None` for a death by signal.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Done {
    fn from(o: Output) -> Self {
        let text = |b| String::from_utf8(b).expect("tools write UTF-8");
        Self { status: o.status.code(), stdout: text(o.stdout), stderr: text(o.stderr) }
    }
}

impl Done {
    /// The JSON lines of standard output.
    pub fn records(&self) -> Vec<Value> {
        self.stdout.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
    }

    /// The records of one type.
    pub fn of_type(&self, name: &str) -> Vec<Value> {
        self.records().into_iter().filter(|r| r["type"] == name).collect()
    }

    /// Fails with everything that was said unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// Runs a tool to its end.
pub fn run<S: AsRef<OsStr>>(tool: &str, args: &[S]) -> Done {
    finish(command(tool).args(args))
}

/// Runs a prepared command to its end, within [`PATIENCE`].
pub fn finish(command: &mut Command) -> Done {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    finish_child(child)
}

/// Waits for a child whose output is piped.
pub fn finish_child(child: Child) -> Done {
    let pid = child.id();
    let (sent, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || sent.send(child.wait_with_output()));
    match done.recv_timeout(PATIENCE) {
        Ok(output) => output.expect("the child can be waited for").into(),
        Err(_) => {
            kill(pid, rustix::process::Signal::KILL);
            panic!("hung for {PATIENCE:?}");
        }
    }
}

/// Sends a signal to a process that the test started.
pub fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("pids fit")).expect("not zero");
    let _ = rustix::process::kill_process(pid, signal);
}

/// Calls `look` until it gives something, within [`PATIENCE`].
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("did not happen in {PATIENCE:?}: {what}");
}

/// A process that is killed when the test ends, whatever way it ends.
pub struct Guard(pub Child);

impl Guard {
    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to stop and returns its exit status.
    pub fn terminate(&mut self) -> Option<i32> {
        kill(self.pid(), rustix::process::Signal::TERM);
        self.status()
    }

    /// Waits for its end.
    pub fn status(&mut self) -> Option<i32> {
        eventually("the process ends", || self.0.try_wait().expect("can be waited for")).code()
    }

    /// What it wrote to standard error, read to the end.
    pub fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.0.stderr.take().expect("piped").read_to_string(&mut text).expect("readable");
        text
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a process has said so far.
pub struct Log(Arc<Mutex<String>>);

impl Log {
    /// Waits for some words.
    #[track_caller]
    pub fn says(&self, words: &str) {
        eventually(words, || self.0.lock().expect("no panics").contains(words).then_some(()));
    }

    /// How often it has said some words.
    pub fn count(&self, words: &str) -> usize {
        self.0.lock().expect("no panics").matches(words).count()
    }
}

/// Certificates, a running daemon, and room for traces, all in one private directory.
pub struct Deployment {
    /// The directory.
    pub dir: tempfile::TempDir,
    /// The daemon.
    pub daemon: Guard,
    /// Its port on 127.0.0.1.
    pub port: u16,
    tls: bool,
}

impl Deployment {
    /// Mints certificates and starts a daemon with mutual TLS.
    pub fn with_tls() -> Self {
        Self::start(true, &[])
    }

    /// Starts a daemon without TLS.
    pub fn plain() -> Self {
        Self::start(false, &[])
    }

    /// Starts a daemon with more options.
    pub fn start(tls: bool, more: &[&str]) -> Self {
        // Short, because a Unix socket's path has at most 107 bytes; below /tmp, because libkineto writes there.
        let dir = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").expect("a temporary directory");
        for sub in ["ipc", "traces", "metrics"] {
            common::fsat::create_dir(&dir.path().join(sub), common::policy::Mode(0o700))
                .expect("a directory");
        }
        if tls {
            run("certck", &[OsStr::new("mint"), dir.path().join("certs").as_os_str()]).expect(0);
        }
        let (daemon, port) = start_daemon(command("profd").args(more), dir.path(), tls);
        Self { dir, daemon, port, tls }
    }

    /// Starts a daemon in the place of one that has ended, by a command that takes the daemon's options.
    pub fn restart(&mut self, daemon: &mut Command) {
        (self.daemon, self.port) = start_daemon(daemon, self.dir.path(), self.tls);
    }

    /// What the daemon writes to standard error from now on.
    pub fn log(&mut self) -> Log {
        let stderr = self.daemon.0.stderr.take().expect("piped");
        let text: Arc<Mutex<String>> = Arc::default();
        let all = text.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                all.lock().expect("no panics").push_str(&format!("{line}\n"));
            }
        });
        Log(text)
    }

    /// The directory of the IPC sockets, for `KINETO_IPC_SOCKET_DIR`.
    pub fn ipc(&self) -> PathBuf {
        self.dir.path().join("ipc")
    }

    /// A path for traces.
    pub fn trace(&self, name: &str) -> PathBuf {
        self.dir.path().join("traces").join(name)
    }

    /// A client's command line up to its subcommand.
    pub fn client(&self) -> Command {
        let mut client = command("profctl");
        let certs =
            if self.tls { self.dir.path().join("certs/client_certs") } else { PathBuf::from("NO_CERTS") };
        client.arg("--certs-dir").arg(certs).args([
            "--hostname",
            "127.0.0.1",
            "--port",
            &self.port.to_string(),
        ]);
        client
    }

    /// Runs the client to its end.
    pub fn profctl<S: AsRef<OsStr>>(&self, args: &[S]) -> Done {
        finish(self.client().args(args))
    }

    /// Starts the demo job and waits until the daemon knows it.
    pub fn job(&self, args: &[&str]) -> Guard {
        let mut demo = command("proftap");
        demo.arg("demo").args(args).env("KINETO_IPC_SOCKET_DIR", self.ipc());
        let child = demo.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("proftap starts");
        let job = Guard(child);
        self.registered(job.pid());
        job
    }

    /// Waits until the daemon knows a process.
    pub fn registered(&self, pid: u32) {
        eventually("the process registers", || self.pids().contains(&u64::from(pid)).then_some(()));
    }

    /// The pids that the daemon knows.
    pub fn pids(&self) -> Vec<u64> {
        let status = self.profctl(&["--format", "json", "status"]).expect(0);
        let records = status.of_type("profctl.status");
        let processes = records[0]["processes"].as_array().cloned().unwrap_or_default();
        processes.iter().filter_map(|p| p["pid"].as_u64()).collect()
    }
}

/// Starts a daemon on the directories of a deployment. Returns it with its port.
fn start_daemon(daemon: &mut Command, dir: &Path, tls: bool) -> (Guard, u16) {
    let certs = if tls { dir.join("certs/server_certs") } else { PathBuf::from("NO_CERTS") };
    daemon.args(["--port", "0", "--bind", "127.0.0.1", "--format", "json", "--enable-ipc-monitor"]);
    daemon.arg("--certs-dir").arg(certs);
    daemon.arg("--ipc").arg(format!("dir={}", dir.join("ipc").display()));
    daemon.arg("--metric-log-dir").arg(dir.join("metrics"));
    let child = daemon.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("profd starts");
    let mut daemon = Guard(child);
    let mut ready = String::new();
    BufReader::new(daemon.0.stdout.take().expect("piped")).read_line(&mut ready).expect("readable");
    let Ok(record) = serde_json::from_str::<Value>(&ready) else {
        panic!("profd did not become ready: {}", daemon.stderr());
    };
    let port = port(&record);
    (daemon, port)
}

/// The port in a `profd.ready` record.
pub fn port(ready: &Value) -> u16 {
    let address = ready["addresses"][0].as_str().expect("an address");
    address.parse::<std::net::SocketAddr>().expect("address and port").port()
}
