//! Runs the commands of one document, in order, in a directory of its own.
//!
//! What a document names stands for something in the sandbox:
//!
//! | in the document | in the sandbox |
//! |---|---|
//! | `/etc`, `/var`, `/opt`, `/srv`, `/models`, `/secure`, `/tmp` | directories of the machine of the block |
//! | `/data` | one directory of all machines, as on a shared file system |
//! | `node1.cluster`, `10.0.0.5`; `node2.cluster`, `10.0.0.6` | 127.0.0.1; 127.0.0.2 |
//! | `http://pki.cluster/` | a web server that publishes `/var/www/html` of the machine `pki` |
//! | port 1778, and profd's Unix sockets | a free port, and a directory of the machine |
//! | `python` | `proftap demo` with the arguments of [`DEMO`], which registers and writes traces as libkineto does |
//! | `scp` to a machine | `cp -p` into the directories of that machine |

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use super::harness::{Done, TOOLS, bin, eventually, finish};
use super::markdown::root;

const HOSTS: [(&str, &str); 4] = [
    ("node1.cluster", "127.0.0.1"),
    ("node2.cluster", "127.0.0.2"),
    ("10.0.0.5", "127.0.0.1"),
    ("10.0.0.6", "127.0.0.2"),
];
const DIRS: [&str; 7] = ["etc", "var", "opt", "srv", "models", "secure", "tmp"];
const SHARED_DIR: &str = "data";
/// The job that stands for `python train.py`. README and the chapter of the first trace name these arguments, so that
/// readers get what is shown.
const DEMO: &str = "demo --step-time 5ms --batch 1 --world-size 16";
/// The machine of blocks that name none.
const HERE: &str = "here";
const MACHINES: [&str; 4] = [HERE, "pki", "node1", "node2"];

/// The machines of one document and what runs on them.
pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
    /// The ports of [`HERE`] and of all other machines.
    ports: [u16; 2],
    web_port: u16,
    background: Vec<BackgroundCommand>,
}

/// A command that goes on running, and everything that it has started.
struct BackgroundCommand {
    child: Child,
    log: PathBuf,
}

impl Drop for BackgroundCommand {
    fn drop(&mut self) {
        if let Some(group) =
            rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap_or_default())
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
            std::thread::sleep(std::time::Duration::from_millis(50));
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        // Short, because a Unix socket's path has at most 107 bytes.
        let dir = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").expect("a directory");
        // As a root directory is: what is below a closed one is open to nobody.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode");
        let ports = [free_port(), free_port()];
        let web_port = publish(dir.path().join("pki/var/www/html"));
        let sandbox = Self { dir, ports, web_port, background: Vec::new() };
        MACHINES.iter().for_each(|machine| sandbox.create_machine(machine));
        std::fs::create_dir(sandbox.path(SHARED_DIR)).expect("a directory");
        sandbox.write_programs();
        sandbox
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The programs that the documents call by name.
    fn write_programs(&self) {
        let programs = self.path("bin");
        std::fs::create_dir(&programs).expect("a directory");
        for tool in TOOLS.into_iter().filter(|t| !matches!(*t, "profd" | "profctl")) {
            symlink(bin(tool), programs.join(tool)).expect("a link");
        }
        let (profd, profctl, proftap) = (bin("profd"), bin("profctl"), bin("proftap"));
        // The sockets are those of the machine, if the command asks for any.
        let daemon = format!(
            "case \"$*\" in *enable?ipc?monitor*) set -- --ipc dir=\"$KINETO_IPC_SOCKET_DIR\" \"$@\" ;; esac\n\
             exec {profd} --port $PROFD_PORT \"$@\""
        );
        let client = format!("exec {profctl} --port $PROFD_PORT \"$@\"");
        let python = format!("exec {proftap} -v {DEMO}");
        let scp = self.copy_program();
        for (name, script) in [
            ("profd", &daemon),
            ("dynolog", &daemon),
            ("profctl", &client),
            ("dyno", &client),
            ("python", &python),
            ("scp", &scp),
        ] {
            let path = programs.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("writable");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("ours");
        }
    }

    /// `scp [OPTION]... SOURCE [USER@]HOST:PATH`.
    fn copy_program(&self) -> String {
        let top = self.dir.path().display();
        format!(
            "while case $1 in -*) ;; *) false ;; esac; do shift; done\n\
             case $2 in *127.0.0.1:*) to={top}/node1 ;; *127.0.0.2:*) to={top}/node2 ;; *) exit 2 ;; esac\n\
             path=${{2#*:}}; cp -rp \"$1\" \"$to/${{path#{top}/*/}}\""
        )
    }

    /// Makes the directories of a machine.
    fn create_machine(&self, name: &str) {
        let dirs = ["home", "ipc", "models", "opt", "srv", "secure", "tmp", "etc/profguard"];
        for dir in dirs.into_iter().chain(["var/www/html", "var/lib/node_exporter", "var/log"]) {
            std::fs::create_dir_all(self.path(name).join(dir)).expect("a directory");
        }
        // profd does not use a directory of sockets that others can write to.
        std::fs::set_permissions(self.path(name).join("ipc"), PermissionsExt::from_mode(0o700))
            .expect("ours");
    }

    /// The name of a block's machine.
    pub(crate) fn machine(name: Option<&str>) -> &'static str {
        let name = name.unwrap_or(HERE);
        MACHINES.into_iter().find(|m| *m == name).unwrap_or_else(|| panic!("no machine {name}"))
    }

    /// A line of output with the paths that a document has: `~` for the home directory, and those of the machine.
    pub(crate) fn without_directories(&self, line: &str) -> String {
        let machines = MACHINES.iter().fold(line.to_owned(), |line, machine| {
            let top = self.path(machine).display().to_string();
            line.replace(&format!("{top}/home"), "~").replace(&top, "")
        });
        machines.replace(&self.dir.path().display().to_string(), "")
    }

    fn port(&self, machine: &str) -> String {
        self.ports[usize::from(machine != HERE)].to_string()
    }

    /// Puts the sandbox's directories and hosts in the place of those of the document.
    pub(crate) fn substitute(&self, text: &str, machine: &str) -> String {
        let here = self.path(machine).display().to_string();
        let mut out = String::with_capacity(text.len());
        let mut before = ' ';
        for (i, c) in text.char_indices() {
            let named = |dir: &str| {
                let rest = text[i + 1..].strip_prefix(dir);
                rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
            };
            // Not in the middle of a path or of an expression of sed.
            let begins = !(before.is_alphanumeric() || matches!(before, '/' | '.' | '*' | '}' | '~' | '_'));
            if c == '/' && begins && DIRS.iter().any(|dir| named(dir)) {
                out.push_str(&here);
            } else if c == '/' && begins && named(SHARED_DIR) {
                out.push_str(&self.dir.path().display().to_string());
            }
            out.push(c);
            before = c;
        }
        let out = out.replace("http://pki.cluster/", &format!("http://127.0.0.1:{}/", self.web_port));
        HOSTS.iter().fold(out, |out, (name, address)| out.replace(name, address))
    }

    /// The same for what is printed, where ports are shown too.
    pub(crate) fn substitute_output(&self, text: &str, machine: &str) -> String {
        self.substitute(text, machine).replace("1778", &self.port(machine))
    }

    /// The other way round, as well as it can be done: for new text of a document.
    pub(crate) fn restore(&self, output: &str, names_hosts: bool) -> String {
        let mut out = self.without_directories(output);
        out = out.replace(&format!("http://127.0.0.1:{}/", self.web_port), "http://pki.cluster/");
        out = self.ports.iter().fold(out, |out, port| out.replace(&port.to_string(), "1778"));
        if names_hosts {
            out = HOSTS.iter().take(2).fold(out, |out, (name, address)| out.replace(address, name));
        }
        out
    }

    fn shell(&self, command: &str, machine: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", &self.substitute(command, machine)]).env_clear();
        let programs = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", self.path("bin").display());
        for (name, value) in [("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("COLUMNS", "100"), ("NO_COLOR", "1")] {
            shell.env(name, value);
        }
        shell.env("PATH", programs).env("REPOSITORY", root()).env("HOME", self.path(machine).join("home"));
        shell.env("SANDBOX", self.dir.path()).env("PROFD_PORT", self.port(machine));
        shell.env("KINETO_IPC_SOCKET_DIR", self.path(machine).join("ipc"));
        shell.current_dir(self.path(machine).join("home")).stdin(Stdio::null());
        shell
    }

    /// Runs a command to its end, as a terminal would show it: both streams in one.
    pub(crate) fn run(&self, command: &str, machine: &str) -> Done {
        finish(&mut self.shell(&format!("{{ {command}\n}} 2>&1"), machine))
    }

    /// Starts a command and waits until it has printed some words. Returns what it has printed by then.
    pub(crate) fn start(&mut self, command: &str, machine: &str, words: &str) -> String {
        let log = self.path(&format!("log{}", self.background.len()));
        let file = std::fs::File::create(&log).expect("writable");
        let mut shell = self.shell(command, machine);
        shell.stdout(file.try_clone().expect("a descriptor")).stderr(file).process_group(0);
        let child = shell.spawn().expect("sh starts");
        self.background.push(BackgroundCommand { child, log });
        let background = self.background.last_mut().expect("just pushed");
        eventually(&format!("`{command}` prints {words:?}"), || {
            let said = std::fs::read_to_string(&background.log).expect("readable");
            let ended = background.child.try_wait().expect("can be waited for");
            assert!(said.contains(words) || ended.is_none(), "`{command}` ended ({ended:?}):\n{said}");
            said.contains(words).then_some(said)
        })
    }
}

/// A port on which nobody listens, below those that the kernel gives out by itself, and another one for each call: tests
/// of several processes run at the same time.
fn free_port() -> u16 {
    static CALLS: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 400).expect("small") * 30;
    let ports = std::iter::repeat_with(|| first + CALLS.fetch_add(1, Ordering::Relaxed) % 12_000);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.take(1000).find(is_free).expect("a free port")
}

/// Serves the files of a directory as they are at each request. Returns the port.
fn publish(dir: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let name = request.split(' ').nth(1).and_then(|p| Path::new(p).file_name()).map(|n| dir.join(n));
            let body = name.and_then(|path| std::fs::read(path).ok());
            let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
            let body = body.unwrap_or_default();
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    port
}
