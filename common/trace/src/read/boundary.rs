//! Where events begin: places to cut a file into blocks, and the next event behind a damage.
//!
//! A place to cut is only likely: whether an event really begins there is known when everything before it has been
//! read ([`super::pipeline`]). Behind a damage it is unknown what came before, so there an event must prove itself: it
//! is a whole object without a fault, has a phase, and what follows is a comma, a bracket or another event.

use memchr::{memchr2, memrchr_iter};

use super::event::EventFields;
use super::kineto;
use super::scan::{JsonScan, ScanFault, StrictScanner};
use super::words::has_control;

/// Keys that events begin with.
const EVENT_KEYS: [&[u8]; 13] = [
    b"ph\"", b"name\"", b"cat\"", b"pid\"", b"tid\"", b"ts\"", b"dur\"", b"args\"", b"id\"", b"s\"", b"bp\"",
    b"tts\"", b"cname\"",
];

/// Keys of the root object besides those of [`kineto::KEYS`].
const ROOT_KEYS: [&str; 9] = [
    "traceEvents",
    "displayTimeUnit",
    "otherData",
    "metadata",
    "stackFrames",
    "samples",
    "systemTraceEvents",
    "powerTraceAsString",
    "controllerTraceDataKey",
];

/// How far back from the end of a block a place to cut it is looked for.
const CUT_RANGE: usize = 128 * 1024;

/// The last place where an event is likely to begin: behind a closing brace, with a comma or nothing between. Also
/// says whether it was a comma.
pub(super) fn find_cut(text: &[u8]) -> Option<(usize, bool)> {
    let from = text.len().saturating_sub(CUT_RANGE);
    memrchr_iter(b'{', &text[from..]).map(|i| i + from).find_map(|brace| {
        let before = text[..brace].trim_ascii_end();
        let comma = before.last() == Some(&b',');
        let before = if comma { before[..before.len() - 1].trim_ascii_end() } else { before };
        let key = text[brace + 1..].trim_ascii_start().strip_prefix(b"\"");
        let likely = before.last() == Some(&b'}')
            && key.is_some_and(|key| EVENT_KEYS.iter().any(|k| key.starts_with(k)));
        likely.then_some((brace, comma))
    })
}

/// Returns whether a key follows an opening brace. `None` if the text ends before that is known.
fn begins_with_key(text: &[u8]) -> Option<bool> {
    const LONGEST: usize = 256;
    let (quote, key) = text[1..].trim_ascii_start().split_first()?;
    if *quote != b'"' {
        return Some(false);
    }
    match memchr::memchr(b'"', &key[..key.len().min(LONGEST)]) {
        Some(end) => key[end + 1..].trim_ascii_start().first().map(|byte| *byte == b':'),
        None if key.len() < LONGEST => None,
        None => Some(false),
    }
}

/// The kind of text behind a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landmark {
    /// An event begins here.
    Event(usize),
    /// The list of events, or the whole document, ends with this bracket.
    ListEnd(usize),
    /// The text ends before it is clear what begins here.
    Unclear(usize),
    /// There is nothing.
    None,
}

impl Landmark {
    /// Where it is.
    pub(super) fn position(self) -> Option<usize> {
        match self {
            Self::Event(at) | Self::ListEnd(at) | Self::Unclear(at) => Some(at),
            Self::None => None,
        }
    }
}

/// Finds the next place from which on the text can be understood again. With `whole`, nothing comes behind the text.
pub(super) fn find_landmark(text: &[u8], mut from: usize, whole: bool) -> Landmark {
    loop {
        let next = text.get(from..).and_then(|rest| memchr2(b'{', b']', rest));
        let Some(at) = next.map(|i| i + from) else { return Landmark::None };
        let event = text[at] == b'{';
        let found = if event { prove_event(text, at, whole) } else { prove_list_end(text, at, whole) };
        match found {
            Proof::Given if event => return Landmark::Event(at),
            Proof::Given => return Landmark::ListEnd(at),
            Proof::Unclear if !whole => return Landmark::Unclear(at),
            Proof::Unclear | Proof::Failed => from = at + 1,
            Proof::FailedUntil(end) => from = end,
        }
    }
}

/// Whether a place is what it seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Given,
    Failed,
    /// Nothing before this place is worth a look.
    FailedUntil(usize),
    /// The text ends before that is decided.
    Unclear,
}

impl From<bool> for Proof {
    fn from(given: bool) -> Self {
        if given { Self::Given } else { Self::Failed }
    }
}

/// Returns whether an event begins at this brace.
fn prove_event(text: &[u8], brace: usize, whole: bool) -> Proof {
    /// Brackets that stand so close together are one heap, and each of its braces would lead down into it.
    const HEAP: usize = 4096;
    match begins_with_key(&text[brace..]) {
        Some(true) => {}
        Some(false) => return Proof::Failed,
        None => return Proof::Unclear,
    }
    let mut scan = StrictScanner::new(text, brace);
    let fields = match EventFields::read(&mut scan, false) {
        Ok(fields) => fields,
        Err(ScanFault::End) => return Proof::Unclear,
        Err(ScanFault::TooDeep) if scan.pos() - brace < HEAP => return Proof::FailedUntil(scan.pos()),
        Err(_) => return Proof::Failed,
    };
    if fields.phase_in(text).is_none() || has_control(&text[brace..scan.pos()]) {
        return Proof::Failed;
    }
    match scan.peek_byte() {
        // The end of the input is as good as a comma.
        Err(_) if !whole => Proof::Unclear,
        behind => matches!(behind, Err(_) | Ok(b',' | b']' | b'{' | b'[')).into(),
    }
}

/// Returns whether this bracket ends the list of events: behind it comes the end of the root object, one of its
/// members, or nothing.
fn prove_list_end(text: &[u8], bracket: usize, whole: bool) -> Proof {
    let end = if whole { Proof::Given } else { Proof::Unclear };
    let rest = text[bracket + 1..].trim_ascii_start();
    match rest.first() {
        None => end,
        Some(b'}') if rest[1..].iter().all(|b| b.is_ascii_whitespace() || *b == 0) => end,
        Some(b',') => match begins_with_root_key(rest[1..].trim_ascii_start()) {
            None if !whole => Proof::Unclear,
            known => (known == Some(true)).into(),
        },
        Some(_) => Proof::Failed,
    }
}

/// Returns whether a text begins with a key that root objects of traces have.
pub(super) fn begins_with_root_key(text: &[u8]) -> Option<bool> {
    const LONGEST: usize = 64;
    let Some((b'"', rest)) = text.split_first() else { return text.first().map(|_| false) };
    let Some(end) = memchr::memchr(b'"', &rest[..rest.len().min(LONGEST)]) else {
        return if rest.len() < LONGEST { None } else { Some(false) };
    };
    let key = &rest[..end];
    if !ROOT_KEYS.iter().chain(&kineto::KEYS).any(|k| k.as_bytes() == key) {
        return Some(false);
    }
    rest[end + 1..].trim_ascii_start().first().map(|b| *b == b':')
}

/// Finds the next member of the root object that is known.
pub(super) fn find_root_key(text: &[u8], from: usize) -> Option<usize> {
    let quotes = memchr::memchr_iter(b'"', text.get(from..)?).map(|i| i + from);
    quotes.into_iter().find(|&i| begins_with_root_key(&text[i..]) == Some(true))
}

/// How many events a damaged text seems to hold, by their phases.
pub(super) fn count_phases(text: &[u8]) -> u64 {
    let phases = memchr::memmem::find_iter(text, b"\"ph\"");
    phases.filter(|i| text[i + 4..].trim_ascii_start().first() == Some(&b':')).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"ph": "X", "args": {"a": [{"b": "]"}, {"c": 1}]}, "ts": 1}"#;

    #[test]
    fn files_are_cut_between_events() {
        for (between, comma) in [(",", true), (" ,\n  ", true), ("\n", false), ("", false)] {
            let text = format!("{EVENT}{between}{EVENT}");
            assert_eq!(find_cut(text.as_bytes()), Some((EVENT.len() + between.len(), comma)), "{between:?}");
        }
        assert_eq!(find_cut(&EVENT.as_bytes()[..EVENT.len() - 30]), None);
    }

    #[test]
    fn an_event_must_prove_itself() {
        let text = format!("x\" {{\"a\": {{\"name\": 1}}, {{\"ph\": 2}}, {{\"ph\": \"X\", }}, {EVENT}, y");
        let at = text.find(EVENT).unwrap();
        assert_eq!(find_landmark(text.as_bytes(), 0, true), Landmark::Event(at));
        assert_eq!(find_landmark(&text.as_bytes()[..at + 20], 0, false), Landmark::Unclear(at));
        assert_eq!(find_landmark(&text.as_bytes()[..at + 20], 0, true), Landmark::None);
        for (end, whole) in [("], \"traceName\": 1", false), ("]\n}\n", true), ("] ", true)] {
            assert_eq!(
                find_landmark(format!("a [1], {end}").as_bytes(), 0, whole),
                Landmark::ListEnd(7),
                "{end}"
            );
        }
    }
}
