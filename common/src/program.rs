//! Other programs, run with a list of arguments and no shell, bounded in time and output.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::error::io_reason;

/// The start of an error message that is shown, in bytes.
const MESSAGE: u64 = 4 << 10;

/// The output of a program, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramEnd {
    /// Its standard output.
    pub text: String,
    /// The start of its standard error.
    pub message: String,
    /// Whether its exit status is 0.
    pub success: bool,
}

/// Runs a prepared command without input, and returns its standard output. It is killed when it takes longer than
/// `deadline` or prints more than `limit` bytes.
///
/// # Errors
/// It cannot be started, takes too long, prints too much, or fails: then the first line of its standard error that is
/// none of klog's, which kubectl prints before the one that is for people.
pub fn run_program(command: &mut Command, deadline: Duration, limit: u64) -> Result<String, String> {
    let ProgramEnd { text, message, success } = run_to_end(command, deadline, limit)?;
    let lines = || message.lines().map(str::trim).filter(|line| !line.is_empty());
    let shown = || lines().find(|line| !is_klog_line(line)).or_else(|| lines().next());
    if success { Ok(text) } else { Err(shown().unwrap_or("it failed").to_owned()) }
}

/// Returns whether a line has the header of klog (k8s.io/klog, `formatHeader`): severity, month and day, as in `E1130 `.
fn is_klog_line(line: &str) -> bool {
    let header = line.as_bytes().get(..6);
    header.is_some_and(|h| b"IWEF".contains(&h[0]) && h[1..5].iter().all(u8::is_ascii_digit) && h[5] == b' ')
}

/// Like [`run_program`], for programs whose exit status is a part of the answer.
///
/// # Errors
/// It cannot be started, takes too long, or prints too much.
pub fn run_to_end(command: &mut Command, deadline: Duration, limit: u64) -> Result<ProgramEnd, String> {
    let end = Instant::now() + deadline;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| io_reason(&e))?;
    let answer = read_output(&mut child, end, limit);
    if answer.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
    }
    let status = wait_until(&mut child, end).ok_or_else(|| timeout_reason(deadline));
    let (text, message) = answer.map_err(|e| e.unwrap_or_else(|| timeout_reason(deadline)))?;
    Ok(ProgramEnd { text, message, success: status?.success() })
}

fn timeout_reason(deadline: Duration) -> String {
    match deadline.as_secs() {
        0 => format!("no answer within {} ms", deadline.as_millis()),
        seconds => format!("no answer within {seconds} s"),
    }
}

/// Reads standard output and the start of standard error. The error is `None` where the time is up.
fn read_output(child: &mut Child, end: Instant, limit: u64) -> Result<(String, String), Option<String>> {
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else { return Err(None) };
    let (send, text) = mpsc::channel();
    let (send_message, message) = mpsc::channel();
    // The threads end with the program, whose end of the pipes closes then.
    std::thread::spawn(move || send.send(read_up_to(out, limit + 1)));
    std::thread::spawn(move || send_message.send(read_up_to(err, MESSAGE)));
    let left = || end.saturating_duration_since(Instant::now());
    let text = text.recv_timeout(left()).map_err(|_| None)?;
    if text.len() as u64 > limit {
        return Err(Some(format!("its output is larger than {} MiB", limit >> 20)));
    }
    let message = message.recv_timeout(left()).map_err(|_| None)?;
    Ok((String::from_utf8_lossy(&text).into_owned(), String::from_utf8_lossy(&message).into_owned()))
}

/// Reads up to a limit, and reads over the rest of short messages so that the program is not held up.
fn read_up_to(mut from: impl Read, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.by_ref().take(limit).read_to_end(&mut bytes);
    if limit == MESSAGE {
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    }
    bytes
}

fn wait_until(child: &mut Child, end: Instant) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: u64, deadline: Duration) -> Result<String, String> {
        let mut command = Command::new("/bin/sh");
        run_program(command.args(["-c", script]), deadline, limit)
    }

    #[test]
    fn programs_are_bounded_in_time_and_output() {
        let (short, long) = (Duration::from_millis(1500), Duration::from_secs(120));
        assert_eq!(sh("echo yes", 100, long), Ok("yes\n".into()));
        assert_eq!(sh("echo; echo 'must be root' >&2; exit 4", 100, long), Err("must be root".into()));
        assert_eq!(sh("exit 1", 100, long), Err("it failed".into()));
        let klog = "E1130 20:58:13.800625   28773 memcache.go:265] \"Unhandled Error\"";
        let script = format!("echo '{klog}' >&2; echo 'connection refused' >&2; exit 1");
        assert_eq!(sh(&script, 100, long), Err("connection refused".into()));
        assert_eq!(sh(&format!("echo '{klog}' >&2; exit 1"), 100, long), Err(klog.into()));
        let millis = Duration::from_millis(20);
        assert_eq!(sh("exec sleep 600", 100, millis), Err("no answer within 20 ms".into()));
        assert_eq!(
            sh("while :; do echo yyyyyyyy; done", 1 << 20, long),
            Err("its output is larger than 1 MiB".into())
        );
        assert_eq!(sh("exec sleep 600", 100, short), Err("no answer within 1 s".into()));
        // It closes its output, and does not end.
        assert_eq!(sh("exec >&- 2>&-; exec sleep 600", 100, short), Err("no answer within 1 s".into()));
        // Much on standard error does not hold it up.
        assert_eq!(
            sh("i=0; while [ $i -lt 20000 ]; do echo eeeeeeeeeeee >&2; i=$((i+1)); done; echo x", 9, long),
            Ok("x\n".into())
        );
    }
}
