//! Damage to real traces: one byte changed, doubled or zeroed, or the file cut, at many places of each Chrome trace of the
//! shared sample data. As in `damage`, which also says what `TRACE_DAMAGE` and `TRACE_DAMAGE_SECONDS` do; but read by the
//! library, since these are larger. Skipped where the data is absent.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Cursor, Read};
use std::ops::Range;

use common::exit::Exit;
use testkit::{list_files, require_data};
use trace::model::{Event, EventSink};
use trace::read::{ReadOptions, read_trace};

use crate::damage::{Damage, Progress, Reading, Victim, change, cut, damage_all, double, run_apart, zero};

#[test]
fn a_changed_byte() {
    run_on_all("damage_of_real_traces::a_changed_byte", change);
}

#[test]
fn a_doubled_byte() {
    run_on_all("damage_of_real_traces::a_doubled_byte", double);
}

#[test]
fn a_zero() {
    run_on_all("damage_of_real_traces::a_zero", zero);
}

#[test]
fn a_cut() {
    run_on_all("damage_of_real_traces::a_cut", cut);
}

fn run_on_all(test: &str, damage: Damage) {
    if require_data("").is_some() {
        run_apart(test, || check_all(damage));
    }
}

fn check_all(damage: Damage) -> Progress {
    let repairs = Cell::new(0);
    let victims = find_victims(&repairs);
    assert!(victims.len() > 20, "{} traces", victims.len());
    damage_all(&victims, 3, damage, |bytes| read(bytes, &repairs), || repairs.get())
}

/// Every Chrome trace that is whole: of a large one the beginning and the end.
fn find_victims(repairs: &Cell<u64>) -> Vec<Victim<u64>> {
    let root = require_data("").unwrap();
    let mut seen = HashSet::new();
    let mut victims = Vec::new();
    for path in list_files(&root) {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        if !(name.ends_with(".json") || name.ends_with(".json.gz")) {
            continue;
        }
        let mut text = std::fs::read(&path).unwrap();
        if name.ends_with(".gz") {
            let packed = std::mem::take(&mut text);
            if flate2::read::MultiGzDecoder::new(packed.as_slice()).read_to_end(&mut text).is_err() {
                continue;
            }
        }
        if serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_err() {
            continue;
        }
        let Some((text, events)) = find_events(&text).and_then(|events| shorten(&text, events)) else {
            continue;
        };
        let whole = read(&text, repairs);
        let is_whole = whole.exit == Exit::Ok && repairs.get() == 0 && whole.count == events.len() as i64;
        if is_whole && seen.insert(text.clone()) {
            victims.push(Victim { name, text, events, whole });
        }
    }
    victims
}

/// Where the events of well-formed JSON are: objects of the list that is all, or is called `traceEvents`.
fn find_events(text: &[u8]) -> Option<Vec<Range<usize>>> {
    const KEY: &[u8] = b"\"traceEvents\"";
    let skip_space = |from: usize| (from..text.len()).find(|i| !text[*i].is_ascii_whitespace());
    let mut list = skip_space(0)?;
    if text[list] != b'[' {
        let key = text.windows(KEY.len()).position(|window| window == KEY)?;
        list = skip_space(skip_space(key + KEY.len())? + 1)?;
    }
    if text[list] != b'[' {
        return None;
    }
    let (mut events, mut depth, mut start) = (Vec::new(), 0, 0);
    let (mut in_string, mut escaped) = (false, false);
    for (i, byte) in text.iter().enumerate().skip(list + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                if depth == 0 {
                    start = i;
                }
                depth += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    events.push(start..i + 1);
                }
            }
            b']' => return Some(events).filter(|events| !events.is_empty()),
            _ => {}
        }
    }
    None
}

/// A trace that is read in a millisecond.
fn shorten(text: &[u8], mut events: Vec<Range<usize>>) -> Option<(Vec<u8>, Vec<Range<usize>>)> {
    const MOST: usize = 100_000;
    let (first, last) = (events.first()?.start, events.last()?.end);
    let tail = &text[last..];
    if first > MOST || tail.len() > MOST {
        return None;
    }
    events.retain(|event| event.end - first <= MOST);
    let mut short = text[..events.last()?.end].to_vec();
    short.extend_from_slice(tail);
    Some((short, events))
}

/// How often each event occurs, by the hash of what it says.
#[derive(Default)]
struct Hashes(HashMap<u64, i64>);

impl EventSink for Hashes {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let mut hash = DefaultHasher::new();
        // Not the category, which the names of processes may give.
        (event.phase, event.name.decode(), event.cat.decode(), event.args).hash(&mut hash);
        (event.pid, event.tid, event.id, event.start, event.dur).hash(&mut hash);
        *self.0.entry(hash.finish()).or_default() += 1;
        Ok(())
    }
}

fn read(bytes: &[u8], repairs: &Cell<u64>) -> Reading<u64> {
    let mut hashes = Hashes::default();
    let options = ReadOptions { threads: Some(1), ..ReadOptions::default() };
    let source = Box::new(Cursor::new(bytes.to_vec()));
    let outcome = read_trace(source, &options, &mut hashes).unwrap();
    repairs.set(outcome.defects.repairs().values().sum());
    let whole = outcome.error.is_none() && outcome.defects.losses().is_empty();
    let exit = if whole { Exit::Ok } else { Exit::Failed };
    let count = hashes.0.values().sum();
    Reading { events: hashes.0, count, bytes: bytes.len(), exit }
}
