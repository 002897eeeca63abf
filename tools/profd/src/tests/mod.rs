//! Tests of the daemon with real sockets: port 0, socket files in a temporary directory, unique abstract names.

mod access;
mod audit;
mod faults;
mod http;
mod ipc;
mod metrics;
mod operation;
mod other_users;
mod rpc;
mod shutdown;
mod silent_peers;
mod tls;
mod worker;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::Parser;
use common::ipc::address::Address;
use common::ipc::message::{Message, Poll, Reply};
use common::ipc::socket::{Socket, buffer};
use common::out::Verbosity;
use common::policy::Mode;
use common::rpc::frame;
use common::rpc::message::OnDemand;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::access::AccessControl;
use crate::account::read_accounts;
use crate::certs::ServerCertificates;
use crate::daemon::{BoundDaemon, RunningDaemon, create_metric_dir};
use crate::plan::flags::DaemonFlags;
use crate::plan::{DaemonPlan, HostEnvironment};
use crate::shutdown::DaemonPhase;

/// Longer than anything takes here, also on a busy machine; only a fault waits that long.
const PATIENCE: Duration = Duration::from_secs(20);
const CONFIG: &str = "ACTIVITIES_LOG_FILE=/tmp/t.json\nACTIVITIES_ITERATIONS=5";

#[derive(Parser)]
struct TestArgs {
    #[command(flatten)]
    flags: DaemonFlags,
}

/// A running daemon.
struct TestDaemon {
    daemon: Option<RunningDaemon>,
    runtime: Runtime,
    dir: tempfile::TempDir,
    address: SocketAddr,
    http: Option<SocketAddr>,
    name: String,
}

impl TestDaemon {
    fn new() -> Self {
        Self::start_with(&[])
    }

    fn start_with(flags: &[&str]) -> Self {
        Self::start(tempfile::tempdir().unwrap(), flags, None)
    }

    /// With the plan of another user; this process stays what it is.
    fn start_as(uid: u32, flags: &[&str]) -> Self {
        Self::start_planned(tempfile::tempdir().unwrap(), flags, None, uid)
    }

    fn start(dir: tempfile::TempDir, flags: &[&str], tls: Option<Arc<ServerCertificates>>) -> Self {
        Self::start_planned(dir, flags, tls, rustix::process::geteuid().as_raw())
    }

    fn start_planned(
        dir: tempfile::TempDir,
        flags: &[&str],
        tls: Option<Arc<ServerCertificates>>,
        uid: u32,
    ) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("profd-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let plan = plan_of(uid, dir.path(), &name, flags);
        let bound = BoundDaemon::bind(&plan).unwrap();
        create_metric_dir(&plan).unwrap();
        let access = AccessControl::load(plan.rules.as_deref(), &read_accounts(), tls.is_some()).unwrap();
        let access = Arc::new(access);
        let address = bound.listeners[0].local_addr().unwrap();
        let http = bound.http.as_ref().map(|listener| listener.local_addr().unwrap());
        let daemon = RunningDaemon::start(&plan, bound, tls, access, &runtime, Verbosity::Quiet).unwrap();
        Self { daemon: Some(daemon), runtime, dir, address, http, name }
    }

    fn connect(&self) -> TestClient {
        TestClient::connect(self.address)
    }

    /// Sends one request on a new connection.
    fn ask(&self, request: &Value) -> Value {
        self.connect().ask(request)
    }

    fn request(&self, pids: &[i32]) -> Value {
        self.ask(&on_demand(0, pids))
    }

    /// A process that uses the sockets of `KINETO_IPC_SOCKET_DIR`.
    fn process(&self, name: &str) -> TestProcess {
        let own = Address::Path(self.dir.path().join("c").join(name));
        TestProcess::new(&own, &Address::in_socket_dir(&self.dir.path().join("d")))
    }

    fn counter(&self, name: &str) -> u64 {
        self.daemon.as_ref().unwrap().state.counters.snapshot()[name]
    }

    /// Waits until a counter is at least `n`.
    fn wait_for_counter(&self, name: &str, n: u64) {
        eventually(name, || self.counter(name) >= n);
    }

    fn stop(mut self) -> tempfile::TempDir {
        let daemon = self.daemon.take().unwrap();
        daemon.trigger.advance(DaemonPhase::Draining);
        daemon.finish(&self.runtime);
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }
}

impl Drop for TestDaemon {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.trigger.advance(DaemonPhase::Stopping);
            daemon.finish(&self.runtime);
        }
    }
}

fn plan(dir: &Path, name: &str, flags: &[&str]) -> DaemonPlan {
    plan_of(rustix::process::geteuid().as_raw(), dir, name, flags)
}

fn plan_of(uid: u32, dir: &Path, name: &str, flags: &[&str]) -> DaemonPlan {
    for sub in ["h", "d", "c"] {
        let _ = std::fs::create_dir(dir.join(sub));
    }
    let ipc = format!("--ipc=abstract={name},home={0}/h,dir={0}/d", dir.display());
    let base =
        ["profd", "--certs-dir=NO_CERTS", "--port=0", "--bind=127.0.0.1", "--enable-ipc-monitor", &ipc];
    let args = base.iter().chain(flags).copied();
    let environment =
        HostEnvironment { uid, accounts: read_accounts(), processors: 4, ..HostEnvironment::default() };
    DaemonPlan::new(TestArgs::try_parse_from(args).unwrap().flags, &environment).unwrap()
}

/// A client on plain TCP.
struct TestClient(TcpStream);

impl TestClient {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.send(request.to_string().as_bytes());
        self.read_reply().expect("a reply")
    }

    fn send(&mut self, body: &[u8]) {
        self.0.write_all(&frame::encode(body).unwrap()).unwrap();
    }

    /// Reads the next frame; `None` when the daemon has closed the connection.
    fn read_reply(&mut self) -> Option<Value> {
        let mut prefix = [0; 4];
        self.0.read_exact(&mut prefix).ok()?;
        let mut body = vec![0; frame::length(prefix, frame::MAX_REPLY).unwrap()];
        self.0.read_exact(&mut body).unwrap();
        Some(serde_json::from_slice(&body).unwrap())
    }

    /// Reads the reason that the daemon sends before it closes the connection.
    fn read_rejection(&mut self) -> String {
        let reply = self.read_reply().expect("a rejection");
        assert_eq!(reply["status"], "failed");
        assert!(self.read_reply().is_none());
        reply["error"]["message"].as_str().unwrap().to_owned()
    }
}

/// A training process: its socket, and the address of the daemon.
struct TestProcess {
    socket: Socket,
    daemon: Address,
    pid: i32,
}

impl TestProcess {
    fn new(own: &Address, daemon: &Address) -> Self {
        let socket = Socket::bind(own, Mode(0o600)).unwrap();
        Self { socket, daemon: daemon.clone(), pid: i32::try_from(std::process::id()).unwrap() }
    }

    fn send(&self, message: &Message) {
        self.send_bytes(&message.encode());
    }

    /// Retries while the queue of the daemon is full, as libkineto and msMonitor do.
    fn send_bytes(&self, datagram: &[u8]) {
        let to = self.daemon.to_kernel().unwrap();
        eventually("the daemon takes a datagram", || self.socket.send(datagram, &to).is_ok());
    }

    fn receive(&self) -> Reply {
        self.try_receive(PATIENCE).expect("a reply")
    }

    fn try_receive(&self, limit: Duration) -> Option<Reply> {
        if !self.socket.wait(limit).unwrap() {
            return None;
        }
        let mut buffer = buffer();
        let received = self.socket.receive(&mut buffer).unwrap();
        Some(Reply::decode(&buffer[..received.len]).unwrap())
    }

    fn send_poll(&self, job_id: i64) {
        self.send(&Message::Poll(Poll { config_type: 3, job_id, pids: vec![self.pid] }));
    }

    /// Polls and returns the config, empty if there is none.
    fn poll(&self) -> String {
        self.send_poll(0);
        let Reply::Config(text) = self.receive() else { panic!("not an answer to a poll") };
        String::from_utf8(text).unwrap()
    }
}

fn on_demand(job_id: i64, pids: &[i32]) -> Value {
    let request = OnDemand {
        config: CONFIG.into(),
        job_id,
        pids: pids.to_vec(),
        process_limit: 1000,
        selection: None,
        user: None,
        expand: false,
        extended: true,
    };
    serde_json::from_slice(&common::rpc::message::Request::OnDemand(request).encode()).unwrap()
}

/// Waits until a condition holds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
