//! Input that was made to hurt: `traceq` says a line for each cause, in bounded memory, whatever comes down the pipe.
//!
//! `TRACE_HOSTILE_MB=10000` sends that much where size is the attack, instead of a little.

#![allow(clippy::unwrap_used, reason = "a test program")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Address space that the program may have, in KiB: its threads' stacks and arenas included.
const LIMIT_KIB: u64 = 500_000;

/// Runs `traceq` under a limit of memory, with what `send` writes on its standard input.
fn run_under_limit(args: &str, send: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + Send) -> Output {
    let script = format!("ulimit -v {LIMIT_KIB}; exec \"$0\" {args} -");
    let mut child = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_traceq")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // It may end before it has read all: a closed pipe is its right.
        scope.spawn(move || _ = send(&mut stdin));
        child.wait_with_output().unwrap()
    })
}

/// The exit status, after checking that a short line for each cause was said and nothing broke.
fn status(output: &Output) -> i32 {
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().filter(|l| !l.starts_with("traceq: help:")).collect();
    assert!(lines.len() <= 4, "{said}");
    assert!(lines.iter().all(|l| l.starts_with("traceq: ") && l.len() < 300), "{said}");
    output.status.code().unwrap_or_else(|| panic!("{}: {said}", output.status))
}

fn megabytes() -> usize {
    std::env::var("TRACE_HOSTILE_MB").map_or(60, |n| n.parse().unwrap())
}

fn repeat(to: &mut dyn Write, what: &[u8], bytes: usize) -> std::io::Result<()> {
    let block = what.repeat((1 << 20) / what.len() + 1);
    for _ in 0..bytes / block.len() + 1 {
        to.write_all(&block)?;
    }
    Ok(())
}

const HEAD: &[u8] = br#"{"schemaVersion":1,"traceEvents":[{"ph":"X","cat":"cpu_op","name":"a","pid":1,"tid":1,"ts":1,"dur":2},"#;

#[test]
fn one_string_without_end() {
    for start in [&br#"{"ph":"X","name":""#[..], br#"{"ph":"X","ts":1,"args":{"x":""#, br#""#] {
        let output = run_under_limit("sum", |to| {
            to.write_all(HEAD)?;
            to.write_all(start)?;
            repeat(to, b"x", megabytes() * 1_000_000)
        });
        assert_eq!(status(&output), 2);
    }
}

#[test]
fn brackets_without_end() {
    for bracket in [&b"["[..], b"{\"a\":", b"{\"ph\":\"X\",\"args\":{", b"[{\"a\":["] {
        for limit in [100_000, 300_000] {
            let output = run_under_limit("sum", |to| {
                to.write_all(HEAD)?;
                to.write_all(br#"{"ph":"X","ts":1,"args":{"x":"#)?;
                repeat(to, bracket, limit)
            });
            assert_eq!(status(&output), 2, "{}", String::from_utf8_lossy(bracket));
        }
    }
}

#[test]
fn numbers_of_a_million_digits() {
    for (key, sign) in [("ts", ""), ("dur", "-"), ("pid", ""), ("id", "0."), ("x", "1e")] {
        let output = run_under_limit("sum --format json", |to| {
            to.write_all(HEAD)?;
            write!(to, r#"{{"ph":"X","name":"n","cat":"cpu_op","{key}":{sign}"#)?;
            repeat(to, b"7", 1_000_000)?;
            to.write_all(br#"},{"ph":"X","cat":"cpu_op","name":"b","pid":1,"tid":1,"ts":5,"dur":2}]}"#)
        });
        // Whatever is thought of that event, its neighbors count.
        status(&output);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("\"host_op_ns\":4000"), "{key}: {text}");
    }
}

#[test]
fn compressed_bombs() {
    let bomb = |head: &[u8], what: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(head).unwrap();
        repeat(&mut encoder, what, megabytes() * 1_000_000).unwrap();
        encoder.finish().unwrap()
    };
    for (head, what) in [
        (HEAD, &b" "[..]),
        (HEAD, b"\0"),
        (b"", b"\0"),
        (HEAD, b"["),
        (HEAD, b"\""),
        (HEAD, b","),
        (HEAD, b"{},"),
    ] {
        let bytes = bomb(head, what);
        let output = run_under_limit("sum", |to| to.write_all(&bytes));
        let what = String::from_utf8_lossy(what).into_owned();
        assert!(status(&output) <= 2, "{what:?}");
        // An open list with nothing but events is allowed to be one; all others are not.
        assert!(what.trim().is_empty() || what == "{}," || status(&output) == 2, "{what:?}");
    }
    // A bomb in a bomb is no trace.
    let bytes = bomb(&[], b"x");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&bytes).unwrap();
    let twice = encoder.finish().unwrap();
    assert_eq!(status(&run_under_limit("sum", |to| to.write_all(&twice))), 2);
}

/// Everything that is kept by name, thread, device or step must have a bound.
#[test]
fn as_many_of_everything_as_there_are_events() {
    let n = 3_000;
    for command in ["sum", "info", "top", "top --by marker", "cat --format csv"] {
        let output = run_under_limit(command, |to| {
            to.write_all(HEAD)?;
            for i in 0..n {
                writeln!(
                    to,
                    r#"{{"ph":"X","cat":"kernel","name":"k{i}","pid":{i},"tid":{i},"ts":{i},"dur":1,"args":{{"device":{i},"stream":{i},"correlation":{i}}}}},
{{"ph":"X","cat":"user_annotation","name":"ProfilerStep#{i}","pid":{i},"tid":"t{i}","ts":{i},"dur":1}},
{{"ph":"B","cat":"c{i}","name":"b{i}","pid":1,"tid":{i},"ts":{i}}},{{"ph":"M","name":"process_name","pid":{i},"args":{{"name":"p{i}"}}}},"#
                )?;
            }
            to.write_all(br#"{"ph":"i","name":"end","ts":9}]}"#)
        });
        assert!(status(&output) <= 2, "{command}");
    }
}
