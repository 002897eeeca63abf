//! ssh and rsync, bounded in time and output: each in a process group of its own, which is killed when the time is over, so that
//! nothing that they have started stays behind.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use common::error::io_reason;
use common::held_signals::HeldSignals;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often to look whether a program has ended, or was interrupted.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// How long a killed program may take to end. One that waits for a dead file system does not.
const KILL_TIME: Duration = Duration::from_secs(1);
/// The start of an error message that is shown, in bytes.
const MESSAGE: usize = 4 << 10;

/// When an attempt ends: at its deadline, or when a signal comes.
#[derive(Clone, Debug)]
pub(super) struct AttemptLimit {
    pub(super) deadline: Instant,
    /// `None` in tests.
    pub(super) signals: Option<Arc<HeldSignals>>,
}

impl AttemptLimit {
    /// Returns the limit of a part of the attempt.
    pub(super) fn within(&self, time: Duration) -> Self {
        Self { deadline: self.deadline.min(Instant::now() + time), ..self.clone() }
    }

    /// Returns the time that is left.
    ///
    /// # Errors
    /// The time is over, or a signal has come.
    pub(super) fn check(&self) -> anyhow::Result<Duration> {
        ensure!(!self.signals.as_ref().is_some_and(|signals| signals.has_arrived()), "interrupted");
        let left = self.deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "did not end in the time");
        Ok(left)
    }
}

/// Reads until the limit is reached.
pub(super) struct LimitedReader<'a, R> {
    pub(super) from: R,
    pub(super) limit: &'a AttemptLimit,
}

impl<R: Read> Read for LimitedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.limit.check().map_err(|e| io::Error::other(e.to_string()))?;
        self.from.read(buffer)
    }
}

/// Runs a command without input, and writes what it prints to `to`, at most `max_bytes`.
///
/// # Errors
/// It cannot be started, prints too much or fails, which its first line on standard error explains; `to` cannot be written; or
/// `limit` is reached.
pub(super) fn run_child(
    command: &mut Command,
    limit: &AttemptLimit,
    max_bytes: u64,
    to: &mut dyn Write,
) -> anyhow::Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut group = ChildGroup(command.spawn().map_err(|e| anyhow!(io_reason(&e)))?);
    let mut out = group.0.stdout.take();
    let mut err = group.0.stderr.take();
    out.as_ref().map_or(Ok(()), set_nonblocking)?;
    err.as_ref().map_or(Ok(()), set_nonblocking)?;
    let (mut buffer, mut message, mut printed) = (vec![0; 1 << 16], Vec::new(), 0);
    let mut status: Option<ExitStatus> = None;
    loop {
        let left = limit.check()?;
        let mut write = |bytes: &[u8]| {
            printed += bytes.len() as u64;
            ensure!(printed <= max_bytes, "longer than {max_bytes} bytes (--max-trace-bytes)");
            to.write_all(bytes).context("the copy cannot be written")
        };
        let mut note = |bytes: &[u8]| {
            let room = MESSAGE.saturating_sub(message.len());
            message.extend_from_slice(&bytes[..bytes.len().min(room)]);
            Ok(())
        };
        if drain_pipe(&mut out, &mut buffer, &mut write)? | drain_pipe(&mut err, &mut buffer, &mut note)? {
            continue;
        }
        // What it has started may hold the pipes open: they are read to here, after its end.
        if let Some(status) = status {
            let text = String::from_utf8_lossy(&message);
            // ssh warns of hosts that it did not know before it says what is wrong.
            let is_reason = |line: &&str| !line.is_empty() && !line.starts_with("Warning: ");
            let reason = text.lines().map(str::trim).find(is_reason).unwrap_or("it failed");
            ensure!(status.success(), "{reason}");
            return Ok(());
        }
        status = group.0.try_wait()?;
        if status.is_none() {
            wait_readable(&[out.as_ref().map(AsFd::as_fd), err.as_ref().map(AsFd::as_fd)], left);
        }
    }
}

fn set_nonblocking(pipe: &impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?)
}

/// Reads what is in a pipe, at most a buffer, and closes one that has ended. Returns whether anything was read.
fn drain_pipe(
    pipe: &mut Option<impl Read>,
    buffer: &mut [u8],
    take: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let Some(reader) = pipe else { return Ok(false) };
    match reader.read(buffer) {
        Ok(0) => *pipe = None,
        Ok(n) => {
            take(&buffer[..n])?;
            return Ok(true);
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
        Err(e) => bail!(io_reason(&e)),
    }
    Ok(false)
}

/// Waits until a pipe is readable, at the longest for [`CHECK_INTERVAL`].
fn wait_readable(pipes: &[Option<std::os::fd::BorrowedFd<'_>>], left: Duration) {
    let mut fds: Vec<_> =
        pipes.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    let time = left.min(CHECK_INTERVAL);
    match Timespec::try_from(time) {
        Ok(time) if !fds.is_empty() => drop(poll(&mut fds, Some(&time))),
        _ => std::thread::sleep(time.min(CHECK_INTERVAL / 10)),
    }
}

/// A child that leads a process group, which is killed when this is dropped before the child has ended.
struct ChildGroup(Child);

impl Drop for ChildGroup {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let end = Instant::now() + KILL_TIME;
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, time: Duration, max_bytes: u64) -> (String, Result<(), String>) {
        let limit = AttemptLimit { deadline: Instant::now() + time, signals: None };
        let mut to = Vec::new();
        let ran = run_child(Command::new("/bin/sh").args(["-c", script]), &limit, max_bytes, &mut to);
        (String::from_utf8(to).unwrap(), ran.map_err(|e| format!("{e:#}")))
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn output_and_reasons_are_taken_as_they_come() {
        assert_eq!(run("echo a; echo b", LONG, 9), ("a\nb\n".into(), Ok(())));
        assert_eq!(
            run("echo; echo 'Permission denied' >&2; exit 255", LONG, 9).1,
            Err("Permission denied".into())
        );
        assert_eq!(run("echo 'Warning: added' >&2; echo no >&2; exit 1", LONG, 9).1, Err("no".into()));
        assert_eq!(run("exit 1", LONG, 9).1, Err("it failed".into()));
        let (_, long) = run("while :; do echo yyyyyyyy; done", LONG, 1 << 20);
        assert_eq!(long, Err("longer than 1048576 bytes (--max-trace-bytes)".into()));
        let much = "i=0; while [ $i -lt 20000 ]; do echo eeeeeeeeeeee >&2; i=$((i+1)); done; echo x";
        assert_eq!(run(much, LONG, 9), ("x\n".into(), Ok(())));
        // What it leaves behind on purpose, such as the master of several connections, holds a pipe open.
        assert_eq!(run("sleep 60 & echo x", LONG, 9), ("x\n".into(), Ok(())));
    }

    #[test]
    fn all_that_it_has_started_ends_with_the_time() {
        for hanging in ["sleep 600 & sleep 600", "exec >&- 2>&-; sleep 600 & wait"] {
            let begin = Instant::now();
            let dir = tempfile::tempdir().unwrap();
            let pid_file = dir.path().join("pid");
            let script = format!("echo $$ > {}; {hanging}", pid_file.display());
            let (_, ran) = run(&script, Duration::from_millis(400), 9);
            assert_eq!(ran, Err("did not end in the time".into()));
            assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
            let leader: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
            let group = Pid::from_raw(leader).unwrap();
            // Killed ones stay until their new parent has waited for them.
            let end = Instant::now() + Duration::from_secs(20);
            while rustix::process::test_kill_process_group(group).is_ok() {
                assert!(Instant::now() < end && !has_living_member(leader), "{hanging}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Whether a process of the group is anything but a zombie (proc_pid_stat(5)).
    fn has_living_member(group: i32) -> bool {
        let stats = std::fs::read_dir("/proc").unwrap().flatten();
        let mut stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        stats.any(|stat| {
            let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            fields.len() > 2 && fields[0] != "Z" && fields[2] == group.to_string()
        })
    }
}
