//! Damage costs what it touches: one byte changed, doubled, removed or zeroed, a run of zeros, or the file cut, at many
//! places of each fixture. All events that were not touched are read, whatever was lost is said by the exit status, and
//! nothing panics.
//!
//! `TRACE_DAMAGE=N` tries N places of each fixture and kind of damage instead of a few.

#![allow(clippy::ptr_arg, reason = "the changes have one type, and some of them change the length")]

use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};

use common::exit::Exit;
use serde_json::Value;

use crate::fixtures;
use crate::support::run;
use testkit::ToolRun;

/// Does something to a text at a place, with a number to choose by; returns the bytes of the text that it touched.
type Damage = fn(&mut Vec<u8>, usize, usize) -> Range<usize>;

/// The bytes that mean something to a reader, and some that mean nothing.
const BYTES: &[u8] = b"\"\\{}[],:0-eEx\n\0\xff";

fn change(text: &mut Vec<u8>, at: usize, n: usize) -> Range<usize> {
    text[at] = BYTES[n % BYTES.len()];
    at..at + 1
}

fn double(text: &mut Vec<u8>, at: usize, _: usize) -> Range<usize> {
    text.insert(at, text[at]);
    at..at + 1
}

fn remove(text: &mut Vec<u8>, at: usize, _: usize) -> Range<usize> {
    text.remove(at);
    at..at + 1
}

fn zero(text: &mut Vec<u8>, at: usize, _: usize) -> Range<usize> {
    text[at] = 0;
    at..at + 1
}

fn zero_run(text: &mut Vec<u8>, at: usize, n: usize) -> Range<usize> {
    let end = (at + 2 + n % 700).min(text.len());
    text[at..end].fill(0);
    at..end
}

fn remove_run(text: &mut Vec<u8>, at: usize, n: usize) -> Range<usize> {
    let end = (at + 2 + n % 700).min(text.len());
    text.drain(at..end);
    at..end
}

fn cut(text: &mut Vec<u8>, at: usize, _: usize) -> Range<usize> {
    let end = text.len();
    text.truncate(at);
    at..end
}

#[test]
fn a_changed_byte() {
    check_everywhere("damage::a_changed_byte", change);
}

#[test]
fn a_doubled_byte() {
    check_everywhere("damage::a_doubled_byte", double);
}

#[test]
fn a_byte_that_is_gone() {
    check_everywhere("damage::a_byte_that_is_gone", remove);
}

#[test]
fn a_zero() {
    check_everywhere("damage::a_zero", zero);
}

#[test]
fn a_run_of_zeros() {
    check_everywhere("damage::a_run_of_zeros", zero_run);
}

#[test]
fn a_piece_that_is_gone() {
    check_everywhere("damage::a_piece_that_is_gone", remove_run);
}

#[test]
fn a_cut() {
    check_everywhere("damage::a_cut", cut);
}

/// Runs the checks in another process of this program, whose messages about damaged files go nowhere.
fn check_everywhere(test: &str, damage: Damage) {
    const QUIET: &str = "TRACE_DAMAGE_QUIET";
    if std::env::var_os(QUIET).is_some() {
        return check_fixtures(damage);
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--exact", test, "--test-threads", "1"])
        .env(QUIET, "1")
        .env("RUST_BACKTRACE", "0")
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn check_fixtures(damage: Damage) {
    let places = std::env::var("TRACE_DAMAGE").map_or(30, |n| n.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    let mut seed = 7_u64;
    let mut random = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n
    };
    for (name, document) in fixtures::all() {
        for lines in [false, true] {
            let (text, events) = document.with_places(lines);
            let whole = read(dir.path(), text.as_bytes());
            let marks: Vec<usize> =
                (0..text.len()).filter(|i| BYTES.contains(&text.as_bytes()[*i])).collect();
            for i in 0..places / 2 {
                let at = if i % 2 == 0 { random(text.len()) } else { marks[random(marks.len())] };
                let mut bytes = text.clone().into_bytes();
                let touched = damage(&mut bytes, at, random(1 << 20));
                let found = check(dir.path(), &whole, &events, touched, &bytes);
                if let Some(why) = found.err() {
                    let around =
                        String::from_utf8_lossy(&bytes[at.saturating_sub(60)..(at + 40).min(bytes.len())])
                            .into_owned();
                    failures.push(format!("{name}, lines {lines}, byte {at}, {around:?}: {why}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// What `cat` gave: how often each event, without what its process's name tells, and whether anything was said.
struct Reading {
    events: HashMap<String, i64>,
    count: i64,
    bytes: usize,
    exit: Exit,
}

fn read(dir: &Path, bytes: &[u8]) -> Reading {
    let path = dir.join("damaged.json");
    std::fs::write(&path, bytes).unwrap();
    let run: ToolRun = run(["cat", "--format", "json", path.to_str().unwrap()]);
    let mut reading = Reading { events: HashMap::new(), count: 0, bytes: bytes.len(), exit: run.exit };
    for line in run.stdout.lines().filter(|l| l.contains(r#""type":"traceq.event""#)) {
        let mut event: Value = match serde_json::from_str(line) {
            Ok(event) => event,
            // JSON allows more digits than this parser does.
            Err(e) if e.to_string().starts_with("number out of range") => line.into(),
            Err(e) => panic!("a record is no JSON: {e}: {line}"),
        };
        if let Some(members) = event.as_object_mut() {
            ["category", "device", "stream", "rank"].iter().for_each(|key| _ = members.remove(*key));
        }
        *reading.events.entry(event.to_string()).or_default() += 1;
        reading.count += 1;
    }
    reading
}

/// Causes of repairs that `info` counts for a file, as a number.
fn repairs(dir: &Path) -> u64 {
    let run = run(["info", "--format", "json", dir.join("damaged.json").to_str().unwrap()]);
    let info = run.of("traceq.info");
    let counts = info.first().and_then(|i| i["repairs"].as_object());
    counts.map_or(0, |c| c.values().filter_map(Value::as_u64).sum())
}

fn check(
    dir: &Path,
    whole: &Reading,
    events: &[Range<usize>],
    touched: Range<usize>,
    bytes: &[u8],
) -> Result<(), String> {
    // The brackets and commas beside an event belong to it: without them it runs into its neighbor.
    let near = |e: &&Range<usize>| e.start <= touched.end + 2 && touched.start <= e.end + 2;
    let allowed = events.iter().filter(near).count() as i64;
    let found = catch_unwind(AssertUnwindSafe(|| read(dir, bytes))).map_err(|e| {
        let text = e.downcast_ref::<String>().map(String::as_str);
        text.or(e.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned()
    })?;
    let missing: i64 =
        whole.events.iter().map(|(e, n)| (n - found.events.get(e).copied().unwrap_or(0)).max(0)).sum();
    // Of an object whose list of events lost its name, what else it holds is anybody's guess.
    let nameless = touched.len() > 1 && touched.start < events[0].start;
    if missing > allowed && !(nameless && found.exit == Exit::Failed) {
        return Err(format!("{missing} events lost, {allowed} touched, exit {:?}", found.exit));
    }
    let made_up: i64 =
        found.events.iter().map(|(e, n)| (n - whole.events.get(e).copied().unwrap_or(0)).max(0)).sum();
    if made_up > allowed {
        return Err(format!("{made_up} events made up, {allowed} touched"));
    }
    // Two halves of different events can make a good one: nothing tells that there was more.
    let whole_again = bytes.len() < whole.bytes && touched.len() > 1 && touched.end < whole.bytes;
    if found.count < whole.count && found.exit == Exit::Ok && repairs(dir) == 0 && !whole_again {
        return Err(format!("{} events fewer, and not a word", whole.count - found.count));
    }
    Ok(())
}
