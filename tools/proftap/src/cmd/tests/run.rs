//! `proftap run` against a daemon for tests, with a pipe for standard input.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

use clap::Parser;
use common::ipc::message::{Message, Poll, Register, State};
use common::record::proftap::{Config, Registered, Summary};

use super::TestDirs;
use crate::cmd::run::{RunArgs, run_on};
use crate::process;
use crate::testing::{CapturedOutput, FakeDaemon};
use crate::wake::WakeReceiver;

/// The subcommand by itself.
#[derive(Parser)]
struct Run {
    #[command(flatten)]
    args: RunArgs,
}

/// Runs with these lines as input. Returns the output and the number of errors.
fn run(dirs: &TestDirs, input: &str, more: &[&str]) -> (CapturedOutput, u64) {
    let socket = dirs.sockets.to_str().unwrap();
    let line = ["run", "--socket", socket, "--poll-interval", "20ms", "--job-id", "7", "--exit-on-eof"];
    let args = Run::parse_from(line.iter().chain(more)).args;
    let (stdin, mut writer) = UnixStream::pair().unwrap();
    let input = input.to_owned();
    let feeder = thread::spawn(move || {
        writer.write_all(input.as_bytes()).unwrap();
        // Allows a few polls before the end of the input ends the run.
        thread::sleep(std::time::Duration::from_millis(200));
    });
    let captured = CapturedOutput::default();
    let mut out = captured.new_out();
    run_on(&args, WakeReceiver::new().unwrap(), stdin.as_fd(), &mut out).unwrap();
    feeder.join().unwrap();
    (captured, out.diag().errors())
}

#[test]
fn registers_prints_configs_and_forwards_the_input() {
    let dirs = TestDirs::new();
    let daemon = FakeDaemon::start_in(&dirs.sockets);
    daemon.queue_config("ACTIVITIES_LOG_FILE=/tmp/t.json\nACTIVITIES_ITERATIONS=5\n    REQUEST_TRACE_ID=99");
    let input = "{\"type\":\"proftap.status\",\"v\":1,\"function\":\"nputrace\",\"state\":\"ready\",\"start_step\":3}\n\
                 {\"kind\":\"Kernel\",\"deviceId\":-1,\"duration\":5,\"timestamp\":6}";
    let (captured, errors) = run(&dirs, input, &["--device", "2"]);
    assert_eq!(errors, 0);

    let registered = captured.records::<Registered>();
    assert_eq!(registered.len(), 1);
    assert_eq!((registered[0].job_id, registered[0].device, registered[0].processes), (7, 2, Some(1)));
    let configs = captured.records::<Config>();
    assert_eq!(configs[0].trace_id.as_deref(), Some("99"));
    assert_eq!(configs[0].settings[1].value, "5");
    assert_eq!(captured.records::<Summary>(), [Summary { configs: 1, sent: 2, errors: 0 }]);
    assert!(captured.lines().last().unwrap().contains("proftap.summary"));

    let received = daemon.stop_and_take_messages();
    assert_eq!(received[0], Message::Register(Register { device: 2, pid: process::own_pid(), job_id: 7 }));
    let lineage = process::list_own_and_ancestor_pids();
    assert!(matches!(&received[1], Message::Poll(Poll { pids, job_id: 7, .. }) if *pids == lineage));
    assert!(received.iter().any(|m| matches!(m, Message::TraceStatus(s) if s.state == State::Ready)));
    let metric = |m: &Message| matches!(m, Message::Data(d) if d.starts_with(b"{\"deviceId\":-1"));
    assert!(received.iter().any(metric), "{received:?}");
    assert!(TestDirs::list_names(&dirs.sockets).is_empty(), "no socket is left behind");
}

#[test]
fn an_invalid_line_does_not_affect_the_others() {
    let dirs = TestDirs::new();
    let daemon = FakeDaemon::start_in(&dirs.sockets);
    let good = "{\"kind\":\"Kernel\",\"deviceId\":0,\"duration\":5,\"timestamp\":6}";
    let (captured, errors) = run(&dirs, &format!("nonsense\n{good}\n{{}}\n{good}\n"), &[]);
    assert_eq!(errors, 2);
    assert_eq!(captured.records::<Summary>(), [Summary { configs: 0, sent: 2, errors: 2 }]);
    assert_eq!(daemon.stop_and_take_messages().iter().filter(|m| matches!(m, Message::Data(_))).count(), 2);
}

#[test]
fn unsent_messages_are_reported_without_a_daemon() {
    let dirs = TestDirs::new();
    let (captured, errors) = run(&dirs, r#"{"kind":"Kernel","deviceId":0,"duration":5,"timestamp":6}"#, &[]);
    assert_eq!(errors, 1, "the unsent message is an error");
    assert_eq!(captured.records::<Summary>()[0].sent, 0);
    assert!(TestDirs::list_names(&dirs.sockets).is_empty());
}

#[test]
fn an_invalid_config_does_not_affect_the_next_one() {
    let dirs = TestDirs::new();
    let daemon = FakeDaemon::start_in(&dirs.sockets);
    daemon.queue_config("no config at all");
    daemon.queue_config("A=\u{1b}[2J");
    daemon.queue_config("A=1");
    let (captured, errors) = run(&dirs, "", &[]);
    assert_eq!((captured.records::<Config>().len(), errors), (1, 2));
    assert_eq!(captured.records::<Summary>()[0].configs, 3);
}
