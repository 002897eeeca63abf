//! A training process with a pid of its own: this test binary, started once more.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use common::ipc::address::Address;
use common::ipc::message::{Message, Poll, Reply, State, Status};

use super::TestProcess;

const VAR: &str = "PROFD_TEST_CHILD";
const MARK: &str = "child: ";

/// A process that carries out commands, one for each line of its standard input.
pub(super) struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Worker {
    pub(super) fn start(dir: &Path) -> Self {
        Self::spawn(Command::new(std::env::current_exe().unwrap()), dir.as_os_str())
    }

    /// Starts a worker with further variables in its environment.
    pub(super) fn start_with(dir: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.envs(variables.iter().copied());
        Self::spawn(command, dir.as_os_str())
    }

    /// Starts a worker of another user, which uses abstract names. This process must be root's.
    pub(super) fn start_as(name: &str, uid: u32) -> Self {
        let mut command = become_user(uid);
        command.arg(std::env::current_exe().unwrap());
        Self::spawn(command, format!("@{name}").as_ref())
    }

    /// The same with supplementary groups, as a list with commas.
    pub(super) fn start_in_groups(name: &str, uid: u32, groups: &str) -> Self {
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={uid}")).arg(format!("--groups={groups}"));
        command.arg(std::env::current_exe().unwrap());
        Self::spawn(command, format!("@{name}").as_ref())
    }

    /// Starts a worker of another user that is pid 1 of a new namespace. `None` if such a user cannot create one.
    pub(super) fn start_in_namespace(name: &str, uid: u32) -> Option<Self> {
        let options = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"];
        if !become_user(uid).args(options).arg("true").status().is_ok_and(|status| status.success()) {
            return None;
        }
        let mut command = become_user(uid);
        command.args(options).arg(std::env::current_exe().unwrap());
        Some(Self::spawn(command, format!("@{name}").as_ref()))
    }

    fn spawn(mut command: Command, place: &OsStr) -> Self {
        command.args([
            "--exact",
            "tests::worker::carries_out_commands",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ]);
        command.env(VAR, place).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, stdout }
    }

    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Carries out a command, `poll` with ancestors, `trace STATE` or `forge PID`, and returns the reply of the daemon, if
    /// there is one.
    pub(super) fn run_command(&mut self, line: &str) -> String {
        self.send_command(line);
        self.read_reply()
    }

    /// Sends a command without waiting for its reply.
    pub(super) fn send_command(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for the reply to a command.
    pub(super) fn read_reply(&mut self) -> String {
        loop {
            let mut answer = String::new();
            assert!(self.stdout.read_line(&mut answer).unwrap() > 0, "the worker ended");
            if let Some((_, said)) = answer.split_once(MARK) {
                return said.trim_end().replace("\\n", "\n");
            }
        }
    }

    pub(super) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

/// `setpriv` replaces itself by the command, so the child's pid is the command's.
fn become_user(uid: u32) -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        format!("--reuid={uid}"),
        format!("--regid={uid}"),
        "--clear-groups".to_owned(),
        "--".to_owned(),
    ]);
    command
}

/// The worker itself, when the environment says so; otherwise an empty test.
#[test]
#[ignore = "the child of other tests"]
fn carries_out_commands() {
    let Some(dir) = std::env::var_os(VAR).map(PathBuf::from) else { return };
    let pid = i32::try_from(std::process::id()).unwrap();
    let process = match dir.to_str().and_then(|name| name.strip_prefix('@')) {
        Some(name) => {
            // In a namespace the pid alone does not make a unique name.
            let started =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
            let own = Address::abstract_name(&format!("{name}-child-{pid}-{started}"));
            TestProcess::new(&own, &Address::abstract_name(name))
        }
        None => {
            let own = Address::Path(dir.join("c").join(format!("child-{pid}")));
            TestProcess::new(&own, &Address::in_socket_dir(&dir.join("d")))
        }
    };
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let mut words = line.split(' ');
        let answer = match words.next() {
            Some("poll") => {
                let pids = std::iter::once(pid).chain(words.map(|w| w.parse().unwrap())).collect();
                process.send(&Message::Poll(Poll { config_type: 3, job_id: 0, pids }));
                let Reply::Config(text) = process.receive() else { panic!() };
                String::from_utf8(text).unwrap().replace('\n', "\\n")
            }
            Some("trace") => {
                let state = if words.next() == Some("running") { State::Running } else { State::Idle };
                let (current_step, start_step, stop_step) = (7, 5, 9);
                let status = Status { state, current_step, start_step, stop_step, pid, job_id: 0 };
                process.send(&Message::TraceStatus(status));
                String::new()
            }
            Some("metric") => {
                let json = br#"{"kind":"Kernel","deviceId":0,"duration":1500000000,"timestamp":6}"#;
                process.send(&Message::Data(json.to_vec()));
                String::new()
            }
            // A poll that claims the pid of another process.
            Some("forge") => {
                let other = words.next().unwrap().parse().unwrap();
                process.send(&Message::Poll(Poll { config_type: 3, job_id: 0, pids: vec![other] }));
                String::new()
            }
            other => panic!("{other:?}"),
        };
        println!("\n{MARK}{answer}");
    }
}
