//! What signals do: the daemon drains and removes its sockets, jobs and filters end, nothing is left behind.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

mod harness;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::{Deployment, Guard, command, eventually, kill};
use rustix::process::Signal;

#[test]
fn the_daemon_ends_cleanly_on_either_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut d = Deployment::plain();
        assert!(std::fs::read_dir(d.ipc()).unwrap().count() > 0);
        kill(d.daemon.pid(), signal);
        assert_eq!(d.daemon.status(), Some(0));
        assert_eq!(std::fs::read_dir(d.ipc()).unwrap().count(), 0);
        assert!(TcpStream::connect(("127.0.0.1", d.port)).is_err());
    }
}

#[test]
fn a_second_signal_skips_the_drain() {
    let mut d = Deployment::start(false, &["--drain-timeout", "600"]);
    // A client in the middle of its request holds the drain up.
    let mut slow = TcpStream::connect(("127.0.0.1", d.port)).unwrap();
    slow.write_all(&[20, 0]).unwrap();
    d.profctl(&["version"]).expect(0);
    kill(d.daemon.pid(), Signal::TERM);
    eventually("the daemon stops accepting", || {
        TcpStream::connect(("127.0.0.1", d.port)).is_err().then_some(())
    });
    kill(d.daemon.pid(), Signal::TERM);
    assert_eq!(d.daemon.status(), Some(0));
    assert_eq!(std::fs::read_dir(d.ipc()).unwrap().count(), 0);
}

#[test]
fn a_job_survives_its_daemon_and_finds_the_next_one() {
    let mut d = Deployment::plain();
    let mut job = d.job(&["--step-time", "5ms"]);
    d.daemon.terminate();
    d.restart(&mut command("profd"));
    d.registered(job.pid());
    assert_eq!(job.terminate(), Some(0));
}

#[test]
fn a_waiting_client_dies_like_one() {
    let d = Deployment::plain();
    let _job = d.job(&["--step-time", "5ms"]);
    let mut client = d.client();
    // So long a trace that the signal comes first.
    client.args(["gputrace", "--duration-ms", "600000", "--wait", "--wait-timeout", "700", "--log-file"]);
    client.arg(d.trace("never.json")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = Guard(client.spawn().unwrap());
    let mut said = BufReader::new(client.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("writes")), "it never came to wait");
    // Not SIGINT: whoever starts the tests in the background may have had it ignored.
    kill(client.pid(), Signal::TERM);
    let code = client.status();
    assert!(code.is_none() || code == Some(143), "{code:?}");
    assert_eq!(std::fs::read_dir(d.dir.path().join("traces")).unwrap().count(), 0);
}

#[test]
fn a_mint_that_is_ended_leaves_no_private_key() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    for signal in [Signal::TERM, Signal::INT] {
        let mut mint = command("certck");
        mint.args(["mint", "--algo", "rsa-4096"]).arg(&pki).stdout(Stdio::null());
        let mut mint = Guard(mint.spawn().unwrap());
        // It works in a hidden directory; making the keys takes longer than seeing that.
        let _begun = eventually("it begins", || std::fs::read_dir(&pki).ok()?.next());
        kill(mint.pid(), signal);
        if mint.status() == Some(0) {
            // It was faster: then all is there.
            assert_eq!(std::fs::read_dir(&pki).unwrap().count(), 3);
            std::fs::remove_dir_all(&pki).unwrap();
        }
        assert!(!pki.exists(), "{signal:?}");
    }
}

#[test]
fn a_watch_of_certificates_ends_with_a_summary() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    harness::run("certck", &["mint".as_ref(), pki.as_os_str()]).expect(0);
    std::fs::remove_file(pki.join("server_certs/ca.crl")).unwrap();
    let mut watch = command("certck");
    watch.args(["watch", "--format", "json"]).arg(pki.join("server_certs")).stdout(Stdio::piped());
    let mut watch = Guard(watch.stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(watch.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("no-crl"));
    // The next round would come in five minutes.
    kill(watch.pid(), Signal::TERM);
    assert!(lines.next().unwrap().contains("\"certck.summary\""));
    assert_eq!((lines.next(), watch.status()), (None, Some(0)));
}

/// A command that reads a trace and writes files.
struct Writing {
    tool: &'static str,
    args: &'static str,
    /// The output is a directory, and when this is in it, the command is at work. It reads a file more than once; the others
    /// read standard input.
    begun: Option<&'static str>,
}

const WRITING: [Writing; 10] = [
    Writing { tool: "tracecv", args: "convert --to chrome", begun: None },
    Writing { tool: "tracecv", args: "convert --to sqlite", begun: None },
    Writing { tool: "tracecv", args: "convert --to perfetto", begun: None },
    Writing { tool: "tracecv", args: "convert --to arrow", begun: None },
    Writing { tool: "tracecv", args: "anon", begun: None },
    Writing { tool: "tracewhy", args: "part", begun: None },
    Writing { tool: "traceq", args: "check", begun: None },
    Writing { tool: "tracewhy", args: "report", begun: None },
    Writing { tool: "tracecv", args: "cut --max-size 1MB", begun: Some("") },
    Writing { tool: "tracecv", args: "convert --to parquet", begun: Some("run=1/table=ranks") },
];

#[test]
fn a_command_that_is_stopped_leaves_nothing_behind() {
    for Writing { tool, args, begun } in WRITING {
        let dir = tempfile::tempdir().unwrap();
        let outputs = tempfile::tempdir().unwrap();
        let out = outputs.path().join("out");
        let mut stopped = command(tool);
        stopped.args(args.split(' ')).arg("-o").arg(&out).env("TMPDIR", outputs.path());
        stopped.stdout(Stdio::null()).stderr(Stdio::null());
        // Not SIGINT: who starts the tests in the background may have had it ignored.
        let code = match begun {
            None => {
                std::fs::write(&out, "former").unwrap();
                stop_reading_stdin(stopped.arg("-"))
            }
            Some(begun) => stop_reading_a_file(&mut stopped, &dir.path().join("t.json"), &out.join(begun)),
        };
        assert_eq!(code, None, "{tool} {args}: the signal ends it");
        let left = testkit::list_files(outputs.path());
        if begun.is_some() {
            assert_eq!(left, Vec::<PathBuf>::new(), "{tool} {args}");
        } else {
            assert_eq!(left, [&*out], "{tool} {args}");
            assert_eq!(std::fs::read(&out).unwrap(), b"former", "{tool} {args}");
        }
    }
}

const EVENT: &str =
    "{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"a\",\"pid\":1,\"tid\":1,\"ts\":1,\"dur\":1},\n";

fn stop_reading_stdin(command: &mut Command) -> Option<i32> {
    let mut child = Guard(command.stdin(Stdio::piped()).spawn().unwrap());
    let mut input = child.0.stdin.take().unwrap();
    input.write_all(b"[").unwrap();
    // More than the pipe holds: when this is written, the command is at work.
    input.write_all(EVENT.repeat(10_000).as_bytes()).unwrap();
    kill(child.pid(), Signal::TERM);
    child.status()
}

fn stop_reading_a_file(command: &mut Command, trace: &Path, begun: &Path) -> Option<i32> {
    let mut text = String::from("[");
    for at in 0..400_000 {
        text.push_str(&EVENT.replace("\"ts\":1", &format!("\"ts\":{at}")));
    }
    std::fs::write(trace, text.trim_end_matches(",\n").to_owned() + "]").unwrap();
    let mut child = Guard(command.arg(trace).spawn().unwrap());
    eventually("it begins to write", || begun.exists().then_some(()));
    kill(child.pid(), Signal::TERM);
    child.status()
}
