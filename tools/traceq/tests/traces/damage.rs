//! Damage costs what it touches: one byte changed, doubled, removed or zeroed, a run of zeros, or the file cut, at many
//! places of each fixture. All events that were not touched are read, whatever was lost is said by the exit status, and
//! nothing panics.
//!
//! `TRACE_DAMAGE=N` tries N places of each fixture and kind of damage instead of a few, and `TRACE_DAMAGE_SECONDS=S` as many
//! of them as S seconds are enough for, which go around all fixtures.

#![allow(clippy::ptr_arg, reason = "the changes have one type, and some of them change the length")]

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::exit::Exit;
use serde_json::Value;

use crate::fixtures;
use crate::support::run;
use testkit::ToolRun;

/// Does something to a text at a place, with a number to choose by; returns the bytes of the text that it touched.
pub(crate) type Damage = fn(&mut Vec<u8>, usize, usize) -> Range<usize>;

/// The bytes that mean something to a reader, and some that mean nothing.
const BYTES: &[u8] = b"\"\\{}[],:0-eEx\n\0\xff";

pub(crate) fn change(text: &mut Vec<u8>, at: usize, n: usize) -> Range<usize> {
    text[at] = BYTES[n % BYTES.len()];
    at..at + 1
}

pub(crate) fn double(text: &mut Vec<u8>, at: usize, _: usize) -> Range<usize> {
    text.insert(at, text[at]);
    at..at + 1
}

fn remove(text: &mut Vec<u8>, at: usize, _: usize) -> Range<usize> {
    text.remove(at);
    at..at + 1
}

pub(crate) fn zero(text: &mut Vec<u8>, at: usize, _: usize) -> Range<usize> {
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

pub(crate) fn cut(text: &mut Vec<u8>, at: usize, _: usize) -> Range<usize> {
    let end = text.len();
    text.truncate(at);
    at..end
}

#[test]
fn a_changed_byte() {
    run_apart("damage::a_changed_byte", || check_fixtures(change));
}

#[test]
fn a_doubled_byte() {
    run_apart("damage::a_doubled_byte", || check_fixtures(double));
}

#[test]
fn a_byte_that_is_gone() {
    run_apart("damage::a_byte_that_is_gone", || check_fixtures(remove));
}

#[test]
fn a_zero() {
    run_apart("damage::a_zero", || check_fixtures(zero));
}

#[test]
fn a_run_of_zeros() {
    run_apart("damage::a_run_of_zeros", || check_fixtures(zero_run));
}

#[test]
fn a_piece_that_is_gone() {
    run_apart("damage::a_piece_that_is_gone", || check_fixtures(remove_run));
}

#[test]
fn a_cut() {
    run_apart("damage::a_cut", || check_fixtures(cut));
}

/// Runs checks in another process of this program, whose messages about damaged files go nowhere.
pub(crate) fn run_apart(test: &str, check: impl FnOnce() -> Progress) {
    const TOLD: &str = "TRACE_DAMAGE_TOLD";
    if let Some(told) = std::env::var_os(TOLD) {
        let Progress { done, wanted } = check();
        std::fs::write(told, format!("{done} of {wanted}")).unwrap();
        return;
    }
    let told = tempfile::NamedTempFile::new().unwrap();
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--exact", test, "--test-threads", "1"])
        .env(TOLD, told.path())
        .env("RUST_BACKTRACE", "0")
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let places = std::fs::read_to_string(told.path()).unwrap();
    if std::env::var_os("TRACE_DAMAGE").is_some() {
        testkit::note(format!("{places} places tried"));
    }
}

/// How many places were tried.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) done: usize,
    pub(crate) wanted: usize,
}

/// A trace that is to be damaged.
pub(crate) struct Victim<K> {
    pub(crate) name: String,
    pub(crate) text: Vec<u8>,
    /// Where its events are.
    pub(crate) events: Vec<Range<usize>>,
    pub(crate) whole: Reading<K>,
}

/// Damages every trace at so many places, one after the other, as long as there is time. `read` reads such a trace, and
/// `repairs` says how many repairs the last reading counted.
pub(crate) fn damage_all<K: Eq + Hash>(
    victims: &[Victim<K>],
    usual: usize,
    damage: Damage,
    read: impl Fn(&[u8]) -> Reading<K>,
    repairs: impl Fn() -> u64,
) -> Progress {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let places = number("TRACE_DAMAGE").map_or(usual, |n| n as usize);
    let until = number("TRACE_DAMAGE_SECONDS").map(|s| Instant::now() + Duration::from_secs(s));
    let mut failures = Vec::new();
    let mut seed = 7_u64;
    let mut random = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n
    };
    let find_marks = |text: &[u8]| (0..text.len()).filter(|i| BYTES.contains(&text[*i])).collect();
    let marks: Vec<Vec<usize>> = victims.iter().map(|victim| find_marks(&victim.text)).collect();
    let mut progress = Progress { done: 0, wanted: places * victims.len() };
    for i in 0..places {
        for (Victim { name, text, events, whole }, marks) in victims.iter().zip(&marks) {
            if until.is_some_and(|until| Instant::now() > until) {
                break;
            }
            let at = if i % 2 == 0 { random(text.len()) } else { marks[random(marks.len())] };
            let mut bytes = text.clone();
            let touched = damage(&mut bytes, at, random(1 << 20));
            let found = check(whole, events, touched, &bytes, &read, &repairs);
            if let Some(why) = found.err() {
                let around = bytes[at.saturating_sub(60)..(at + 40).min(bytes.len())].to_vec();
                let around = String::from_utf8_lossy(&around).into_owned();
                failures.push(format!("{name}, byte {at}, {around:?}: {why}"));
            }
            progress.done += 1;
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    progress
}

fn check_fixtures(damage: Damage) -> Progress {
    let dir = tempfile::tempdir().unwrap();
    let mut victims = Vec::new();
    for (name, document) in fixtures::all() {
        for lines in [false, true] {
            let (text, events) = document.with_places(lines);
            let (name, text) = (format!("{name}, lines {lines}"), text.into_bytes());
            let whole = read(dir.path(), &text);
            victims.push(Victim { name, text, events, whole });
        }
    }
    damage_all(&victims, 15, damage, |bytes| read(dir.path(), bytes), || repairs(dir.path()))
}

/// What `cat` gave: how often each event, without what its process's name tells, and whether anything was said.
pub(crate) struct Reading<K> {
    pub(crate) events: HashMap<K, i64>,
    pub(crate) count: i64,
    pub(crate) bytes: usize,
    pub(crate) exit: Exit,
}

fn read(dir: &Path, bytes: &[u8]) -> Reading<String> {
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

fn check<K: Eq + Hash>(
    whole: &Reading<K>,
    events: &[Range<usize>],
    touched: Range<usize>,
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Reading<K>,
    repairs: impl Fn() -> u64,
) -> Result<(), String> {
    // The brackets and commas beside an event belong to it: without them it runs into its neighbor.
    let near = |e: &&Range<usize>| e.start <= touched.end + 2 && touched.start <= e.end + 2;
    let allowed = events.iter().filter(near).count() as i64;
    let found = catch_unwind(AssertUnwindSafe(|| read(bytes))).map_err(|e| {
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
    if found.count < whole.count && found.exit == Exit::Ok && repairs() == 0 && !whole_again {
        return Err(format!("{} events fewer, and not a word", whole.count - found.count));
    }
    Ok(())
}
