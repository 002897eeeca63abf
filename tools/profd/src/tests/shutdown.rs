//! The end of the daemon: accepted configs are not lost, and nothing delays it. For tests with signals, the daemon is a
//! process of its own: this test binary, started once more.

use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use common::cli::Tool;
use common::exit::Exit;
use common::out::{Color, Out};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::*;
use crate::core::registry;
use crate::process::procfs::Procfs;
use crate::process::watch::WatchLimits;
use crate::state::DaemonState;
use crate::{Cli, ipc, log, shutdown, signals};

#[test]
fn an_accepted_config_is_still_fetched() {
    let daemon = TestDaemon::start_with(&["--drain-timeout=600s"]);
    let process = daemon.process("p");
    process.poll();
    assert_eq!(daemon.request(&[])["activityProfilersTriggered"], json!([process.pid]));
    let (address, trigger) = (daemon.address, daemon.daemon.as_ref().unwrap().trigger.clone());
    let ends = std::thread::spawn(move || daemon.stop());
    eventually("the daemon drains", || TcpStream::connect(address).is_err());
    assert!(process.poll().starts_with(CONFIG));
    eventually("nothing waits, so it ends", || ends.is_finished());
    drop((ends.join().unwrap(), trigger));
}

#[test]
fn an_unfetched_config_is_waited_for_until_the_drain_timeout() {
    let daemon = TestDaemon::start_with(&["--drain-timeout=50ms"]);
    let process = daemon.process("p");
    process.poll();
    daemon.request(&[]);
    let state = daemon.daemon.as_ref().unwrap().state.clone();
    daemon.stop();
    assert_eq!(state.registry().count_pending(state.uptime()), 1);
}

#[test]
fn arrived_datagrams_are_handled_before_a_socket_closes() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(dir.path(), "profd-test-last-batch", &[]);
    let bound = BoundDaemon::bind(&plan).unwrap();
    let own = Address::Path(dir.path().join("c/p"));
    let process = TestProcess::new(&own, &Address::in_socket_dir(&dir.path().join("d")));
    for _ in 0..5 {
        process.send(&metric());
    }
    // All is over before the fabric begins: only the last look finds them.
    let (trigger, shutdown) = shutdown::shutdown_channel();
    trigger.advance(DaemonPhase::Stopping);
    let counters: Arc<crate::counters::Counters> = Arc::default();
    let log = log::DaemonLog::start(Verbosity::Quiet, counters.clone()).unwrap();
    let registry = registry::Registry::new(plan.registry);
    let watch = WatchLimits { max_senders: 100, is_shared: false, max_pidfds: 100 };
    let state = Arc::new(
        DaemonState::new(registry, watch, counters.clone(), log, Procfs::default(), shutdown.clone())
            .unwrap(),
    );
    let recent = crate::sink::recent::RecentMetrics::new(false);
    let sinks = crate::sink::start::start_sinks(&plan.metrics, false, recent, &state).unwrap();
    let ended = ipc::start_ipc(bound.sockets.sockets, plan.ipc, sinks.queue, state, shutdown).unwrap();
    ended.join().unwrap();
    assert_eq!(counters.metrics_received.get(), 5);
}

#[test]
fn a_reader_that_stalls_does_not_delay_the_end() {
    let daemon = DaemonProcess::start("exec", &["--use-json", "--drain-timeout=600s"]);
    let process = daemon.process();
    // Several times the capacity of a pipe, which no reader empties.
    for _ in 0..2000 {
        process.send(&metric());
    }
    daemon.kill(Signal::TERM);
    eventually("the sockets are gone", || !daemon.dir.path().join("d/dynolog").exists());
    daemon.kill(Signal::TERM);
    assert_eq!(daemon.wait_for_exit(), Some(2), "it was asked for a record that it could not write");
}

#[test]
fn a_hangup_that_is_ignored_at_the_start_stays_ignored() {
    let daemon = DaemonProcess::start("trap '' HUP; exec", &[]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    assert!(signals::ignores_signal(&status, Signal::HUP.as_raw()), "{status}");
    daemon.kill(Signal::TERM);
    assert_eq!(daemon.wait_for_exit(), Some(0));
}

fn metric() -> Message {
    let json =
        br#"{"kind":"Kernel","deviceId":0,"duration":5,"timestamp":1772366400249000000,"name":"matmul"}"#;
    Message::Data(json.to_vec())
}

pub(super) const VAR: &str = "PROFD_TEST_DAEMON";

/// What makes this test binary run the daemon of [`VAR`].
pub(super) const TEST_ARGS: [&str; 5] =
    ["--exact", "tests::shutdown::runs_the_daemon", "--ignored", "--nocapture", "--test-threads=1"];

/// A daemon that is a process of its own. Its standard output is read up to the first record and no further.
pub(super) struct DaemonProcess {
    child: Child,
    _stdout: ChildStdout,
    dir: tempfile::TempDir,
    ready: Value,
}

impl DaemonProcess {
    /// `how` is what the shell does before it becomes the daemon.
    pub(super) fn start(how: &str, flags: &[&str]) -> Self {
        Self::spawn(how, flags, Stdio::null())
    }

    /// The same, with its log for [`Self::read_log`].
    pub(super) fn start_with_log(how: &str, flags: &[&str]) -> Self {
        Self::spawn(how, flags, Stdio::piped())
    }

    fn spawn(how: &str, flags: &[&str], log: Stdio) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["d", "c"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
        let ipc = format!("--ipc=dir={}/d", dir.path().display());
        let base = ["profd", "--format=json", "--certs-dir=NO_CERTS", "--port=0", "--bind=127.0.0.1"];
        let all = [&base[..], &["--enable-ipc-monitor", &ipc], flags].concat().join(" ");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{how} \"$@\""), "sh"]).arg(std::env::current_exe().unwrap());
        command.args(TEST_ARGS);
        command.env(VAR, all).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut said = Vec::new();
        while !(said.ends_with(b"\n") && String::from_utf8_lossy(&said).contains("profd.ready")) {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            said.push(byte[0]);
        }
        let said = String::from_utf8_lossy(&said).into_owned();
        let ready = said.lines().find(|line| line.contains("profd.ready")).unwrap();
        let ready = serde_json::from_str(&ready[ready.find('{').unwrap()..]).unwrap();
        Self { child, _stdout: stdout, dir, ready }
    }

    pub(super) fn address(&self) -> std::net::SocketAddr {
        self.ready["addresses"][0].as_str().unwrap().parse().unwrap()
    }

    /// Sends one request.
    pub(super) fn ask(&self, request: &Value) -> Value {
        TestClient::connect(self.address()).ask(request)
    }

    pub(super) fn process(&self) -> TestProcess {
        let own = Address::Path(self.dir.path().join("c/p"));
        TestProcess::new(&own, &Address::in_socket_dir(&self.dir.path().join("d")))
    }

    /// Reads the log to its end.
    pub(super) fn read_log(mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub(super) fn kill(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit status; none after a signal.
    pub(super) fn wait_for_exit(mut self) -> Option<i32> {
        let mut status = None;
        eventually("the daemon ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for DaemonProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemon itself, when the environment says so; otherwise an empty test.
#[test]
#[ignore = "the daemon of other tests"]
#[expect(clippy::exit, reason = "the test harness would report to a reader that stalls")]
fn runs_the_daemon() {
    let Ok(args) = std::env::var(VAR) else { return };
    let mut out = Out::new("profd", Color::Never, Verbosity::Normal);
    let ended = Cli::try_parse_from(args.split(' ')).unwrap().run(&mut out).unwrap();
    out.flush().unwrap();
    std::process::exit(if ended.max(out.diag().exit()) == Exit::Ok { 0 } else { 2 });
}
