//! Traces that are nearly right: events moved, doubled, removed, cut and joined wrongly, numbers and texts at their
//! limits. Reading never panics, what it sums is consistent, and it makes no difference how the input arrives, which
//! scanner takes it and how many threads there are.
#![no_main]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::ops::Range;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use trace::model::{Event, EventSink};
use trace::read::ReadOptions;

fuzz_target!(|bytes: &[u8]| {
    traceq::fuzz_trace(bytes);
    trace::read::fuzz_agreement(bytes);
    let whole = read(Box::new(io::Cursor::new(bytes.to_vec())));
    for step in [7, 4093] {
        let drip = DripReader { rest: io::Cursor::new(bytes.to_vec()), step };
        assert_eq!(whole, read(Box::new(drip)), "{step} bytes at a time");
    }
});

/// Gives a few bytes at a time, so that everything is cut everywhere.
struct DripReader {
    rest: io::Cursor<Vec<u8>>,
    step: usize,
}

impl Read for DripReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.step.min(buf.len());
        self.rest.read(&mut buf[..n])
    }
}

/// All that was read, in short: number and hash of the events, whether they are all, what went wrong.
type Summary = (u64, u64, bool, Option<String>);

fn read(source: Box<dyn Read + Send>) -> Summary {
    let mut seen = EventHashes(DefaultHasher::new());
    let outcome =
        trace::read::read_trace(source, &ReadOptions::default(), &mut seen).expect("the sink does not fail");
    let error = outcome.error.map(|e| e.to_string());
    (outcome.events, seen.0.finish(), outcome.complete, error)
}

struct EventHashes(DefaultHasher);

impl EventSink for EventHashes {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        format!("{event:?}").hash(&mut self.0);
        Ok(())
    }
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random(u64::from(seed) | 1 << 40);
    // Bytes, too: what nobody thought of.
    if random.below(4) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let mut text = data[..size].to_vec();
    for _ in 0..=random.below(3) {
        mutate(&mut text, &mut random);
    }
    text.truncate(max_size.min(data.len()));
    data[..text.len()].copy_from_slice(&text);
    text.len()
});

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }

    fn choose<'a>(&mut self, from: &[&'a [u8]]) -> &'a [u8] {
        from[self.below(from.len())]
    }
}

const NUMBERS: &[&[u8]] = &[
    b"0",
    b"-1",
    b"-0.0005",
    b"1e308",
    b"1e-320",
    b"9223372036854775807",
    b"18446744073709551616",
    b"4611686018427387903.999",
    b"-2305843009213693951",
    b"\"1736412474714258.990\\t\"",
    b"NaN",
    b"-Infinity",
    b"N/A",
    b"0x10",
    b"1.",
    b".5",
    b"+1",
    b"00",
    b"null",
    b"[]",
];

const TEXTS: &[&[u8]] = &[
    br"C:\users\new\x",
    br#"a"b"#,
    br"\ud800",
    br"\u0000",
    b"\xff\xfe",
    b"\0",
    b"ProfilerStep#9",
    b"Optimizer.step#Adam",
    b"ncclDevKernel_AllReduce",
    b"Communication(Not Overlapped)",
    b"}],",
    b"{\"ph\":\"X\"",
    br#"\"#,
    b"nameph\":",
    b"\xe2\x80\xa8",
];

/// What stands between two events, or should not.
const BETWEEN: &[&[u8]] = &[
    b"",
    b",",
    b",,",
    b"\n",
    b"]",
    b"[",
    b"][",
    b"}{",
    b"]}\n{\"traceEvents\":[",
    b"\nWARNING: [x] {y} \"z\n",
    b"\0\0\0\0",
    b"\xef\xbb\xbf",
    b"{}",
    b"null,",
    b"}",
    b"\"",
    b"\r\n",
];

fn mutate(text: &mut Vec<u8>, random: &mut Random) {
    let events = find_events(text);
    if events.is_empty() {
        return;
    }
    let one = events[random.below(events.len())].clone();
    match random.below(9) {
        0 => {
            let copy = text[one.clone()].to_vec();
            let at = events[random.below(events.len())].start;
            text.splice(at..at, copy);
        }
        1 => _ = text.drain(one),
        2 => {
            let other = events[random.below(events.len())].clone();
            let (a, b) = if one.start < other.start { (one, other) } else { (other, one) };
            if a.end <= b.start {
                let (first, second) = (text[a.clone()].to_vec(), text[b.clone()].to_vec());
                text.splice(b, first);
                text.splice(a, second);
            }
        }
        3 => replace_scalar(text, one, random, NUMBERS, |b| b.is_ascii_digit() || b".-+eE".contains(&b)),
        4 => replace_scalar(text, one, random, TEXTS, |b| b.is_ascii_alphabetic() || b" _:#@".contains(&b)),
        5 => _ = text.splice(one.end..one.end, random.choose(BETWEEN).iter().copied()),
        6 => text.truncate(one.start + random.below(one.len())),
        7 => {
            let marks: Vec<usize> = one.filter(|i| b"{}[]\",:\\".contains(&text[*i])).collect();
            if let Some(at) = marks.get(random.below(marks.len())) {
                text.remove(*at);
            }
        }
        _ => {
            let at = one.start + random.below(one.len());
            text.insert(at, b"{}[]\",:\\0\n"[random.below(10)]);
        }
    }
}

/// Where objects without objects around them begin and end, by brackets alone; the outermost one counts as its parts.
fn find_events(text: &[u8]) -> Vec<Range<usize>> {
    let list = text.iter().position(|b| *b == b'[').map_or(0, |i| i + 1);
    let (mut events, mut depth, mut start) = (Vec::new(), 0_usize, list);
    for (i, b) in text.iter().enumerate().skip(list) {
        match b {
            b'{' => {
                if depth == 0 {
                    start = i;
                }
                depth += 1;
            }
            b'}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    events.push(start..i + 1);
                }
            }
            _ => {}
        }
    }
    events
}

/// Puts something else for a run of the bytes that `of` names.
fn replace_scalar(
    text: &mut Vec<u8>,
    event: Range<usize>,
    random: &mut Random,
    with: &[&[u8]],
    of: fn(u8) -> bool,
) {
    let from = event.start + random.below(event.len());
    let Some(start) = (from..event.end).find(|i| of(text[*i])) else { return };
    let end = (start..event.end).find(|i| !of(text[*i])).unwrap_or(event.end);
    text.splice(start..end, random.choose(with).iter().copied());
}
