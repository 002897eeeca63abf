//! Reads the environments of processes, on a thread that Landlock does not confine.
//!
//! A process that Landlock confines may not look into processes outside (landlock(7), "Ptrace restrictions"), and
//! `/proc/<pid>/environ` is such a look. So one thread is started before the daemon is confined. What it may do is
//! limited by a list of system calls instead: it can open files to read, and nothing else.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// Maximum number of bytes of an environment that are read.
pub(super) const MAX_ENVIRONMENT: u64 = 256 * 1024;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum number of requests that wait.
const MAX_QUEUED: usize = 64;

/// System calls of a thread that opens files and reads them, and of its memory allocator.
const ALLOWED_CALLS: [libc::c_long; 23] = [
    libc::SYS_read,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_futex,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The way to the thread.
#[derive(Clone, Debug)]
pub(crate) struct EnvironmentReader(SyncSender<EnvironmentRequest>);

#[derive(Debug)]
struct EnvironmentRequest {
    host_pid: i32,
    answer: SyncSender<Vec<u8>>,
}

impl EnvironmentReader {
    /// Starts the thread. It confines itself before it reads anything; where it cannot, it reads nothing.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start() -> io::Result<Self> {
        let (requests, queue) = sync_channel(MAX_QUEUED);
        std::thread::Builder::new().name("profd-environ".into()).spawn(move || serve_requests(&queue))?;
        Ok(Self(requests))
    }

    /// Reads the environment of a process; empty if it cannot be read.
    pub(crate) fn read(&self, host_pid: i32) -> Vec<u8> {
        let (answer, answered) = sync_channel(1);
        match self.0.try_send(EnvironmentRequest { host_pid, answer }) {
            Ok(()) => answered.recv_timeout(TIMEOUT).unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }
}

fn serve_requests(queue: &Receiver<EnvironmentRequest>) {
    let is_confined = confine_thread().is_ok();
    for EnvironmentRequest { host_pid, answer } in queue {
        let bytes = if is_confined { read_environment(host_pid) } else { Vec::new() };
        let _ = answer.try_send(bytes);
    }
}

/// Reads the environment of a process (proc_pid_environ(5)); empty if it cannot be read.
fn read_environment(host_pid: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = File::open(format!("/proc/{host_pid}/environ"));
    let _ = file.and_then(|file| file.take(MAX_ENVIRONMENT).read_to_end(&mut bytes));
    bytes
}

fn confine_thread() -> anyhow::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let mut rules: BTreeMap<_, _> = ALLOWED_CALLS.iter().map(|call| (*call, Vec::new())).collect();
    // To read, and not to create or to truncate (open(2)).
    let writing = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE & !libc::O_DIRECTORY;
    let reads_only = SeccompCondition::new(
        2,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(u64::try_from(writing)?),
        u64::try_from(libc::O_RDONLY)?,
    )?;
    rules.insert(libc::SYS_openat, vec![SeccompRule::new(vec![reads_only])?]);
    let denied = SeccompAction::Errno(u32::try_from(libc::EPERM)?);
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let program: BpfProgram = SeccompFilter::new(rules, denied, SeccompAction::Allow, arch)?.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_are_read_by_a_thread_that_can_do_nothing_else() {
        let mut child =
            std::process::Command::new("sleep").arg("60").env_clear().env("RANK", "3").spawn().unwrap();
        let reader = EnvironmentReader::start().unwrap();
        let environment = reader.read(i32::try_from(child.id()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(environment, b"RANK=3\0");
        assert_eq!(reader.read(i32::MAX), b"");
        let attempts = std::thread::spawn(|| {
            confine_thread().unwrap();
            let dir = std::env::temp_dir();
            let written = File::create(dir.join("profd-environ-test")).map(drop).map_err(|e| e.kind());
            let connected = std::net::UdpSocket::bind("127.0.0.1:0").map(drop).map_err(|e| e.kind());
            (written, connected, File::open("/proc/self/status").is_ok())
        });
        let denied = Err(io::ErrorKind::PermissionDenied);
        assert_eq!(attempts.join().unwrap(), (denied, denied, true));
    }
}
