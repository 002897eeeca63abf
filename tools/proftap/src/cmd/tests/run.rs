//! `proftap run` against a daemon made for tests, with a pipe for standard input.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

use clap::Parser;
use common::ipc::message::{Message, Poll, Register, State};
use common::record::proftap::{Config, Registered, Summary};

use super::Place;
use crate::cmd::run::{Args, run_on};
use crate::process;
use crate::testing::{Captured, Fake};
use crate::wake::Wake;

/// The subcommand by itself.
#[derive(Parser)]
struct Run {
    #[command(flatten)]
    args: Args,
}

/// Runs with these lines as input, and returns what was printed and how many errors there were.
fn run(place: &Place, input: &str, more: &[&str]) -> (Captured, u64) {
    let socket = place.sockets.to_str().unwrap();
    let line = ["run", "--socket", socket, "--poll-interval", "0.02", "--job", "7", "--exit-on-eof"];
    let args = Run::parse_from(line.iter().chain(more)).args;
    let (stdin, mut writer) = UnixStream::pair().unwrap();
    let input = input.to_owned();
    let feeder = thread::spawn(move || {
        writer.write_all(input.as_bytes()).unwrap();
        // Time for a few polls before the end of the input ends the command.
        thread::sleep(std::time::Duration::from_millis(200));
    });
    let captured = Captured::default();
    let mut out = captured.out();
    run_on(&args, Wake::new().unwrap(), stdin.as_fd(), &mut out).unwrap();
    feeder.join().unwrap();
    (captured, out.diag().errors())
}

#[test]
fn registers_prints_configs_and_sends_what_comes_in() {
    let place = Place::new();
    let daemon = Fake::start(&place.sockets);
    daemon.config("ACTIVITIES_LOG_FILE=/tmp/t.json\nACTIVITIES_ITERATIONS=5\n    REQUEST_TRACE_ID=99");
    let input = "{\"type\":\"proftap.status\",\"v\":1,\"function\":\"nputrace\",\"state\":\"ready\",\"start_step\":3}\n\
                 {\"kind\":\"Kernel\",\"deviceId\":-1,\"duration\":5,\"timestamp\":6}";
    let (captured, errors) = run(&place, input, &["--device", "2"]);
    assert_eq!(errors, 0);

    let registered = captured.records::<Registered>();
    assert_eq!(registered.len(), 1);
    assert_eq!((registered[0].job, registered[0].device, registered[0].processes), (7, 2, Some(1)));
    let configs = captured.records::<Config>();
    assert_eq!(configs[0].trace_id.as_deref(), Some("99"));
    assert_eq!(configs[0].settings[1].value, "5");
    assert_eq!(captured.records::<Summary>(), [Summary { configs: 1, sent: 2, errors: 0 }]);
    assert!(captured.lines().last().unwrap().contains("proftap.summary"));

    let heard = daemon.finish();
    assert_eq!(heard[0], Message::Register(Register { device: 2, pid: process::pid(), job_id: 7 }));
    let lineage = process::lineage();
    assert!(matches!(&heard[1], Message::Poll(Poll { pids, job_id: 7, .. }) if *pids == lineage));
    assert!(heard.iter().any(|m| matches!(m, Message::TraceStatus(s) if s.state == State::Ready)));
    let metric = |m: &Message| matches!(m, Message::Data(d) if d.starts_with(b"{\"deviceId\":-1"));
    assert!(heard.iter().any(metric), "{heard:?}");
    assert!(Place::names(&place.sockets).is_empty(), "no socket is left behind");
}

#[test]
fn a_bad_line_costs_itself_only() {
    let place = Place::new();
    let daemon = Fake::start(&place.sockets);
    let good = "{\"kind\":\"Kernel\",\"deviceId\":0,\"duration\":5,\"timestamp\":6}";
    let (captured, errors) = run(&place, &format!("nonsense\n{good}\n{{}}\n{good}\n"), &[]);
    assert_eq!(errors, 2);
    assert_eq!(captured.records::<Summary>(), [Summary { configs: 0, sent: 2, errors: 2 }]);
    assert_eq!(daemon.finish().iter().filter(|m| matches!(m, Message::Data(_))).count(), 2);
}

#[test]
fn without_a_daemon_nothing_is_lost_in_silence() {
    let place = Place::new();
    let (captured, errors) = run(&place, r#"{"kind":"Kernel","deviceId":0,"duration":5,"timestamp":6}"#, &[]);
    assert_eq!(errors, 1, "the unsent message is an error");
    assert_eq!(captured.records::<Summary>()[0].sent, 0);
    assert!(Place::names(&place.sockets).is_empty());
}

#[test]
fn a_config_that_cannot_be_read_is_an_error_and_the_next_one_counts() {
    let place = Place::new();
    let daemon = Fake::start(&place.sockets);
    daemon.config("no config at all");
    daemon.config("A=\u{1b}[2J");
    daemon.config("A=1");
    let (captured, errors) = run(&place, "", &[]);
    assert_eq!((captured.records::<Config>().len(), errors), (1, 2));
    assert_eq!(captured.records::<Summary>()[0].configs, 3);
}
