//! The Trace Event Format: an array of events, or an object with `traceEvents` and metadata around it.
//!
//! One reader for all producers: libkineto, the Ascend exporters and everybody else write the same events with
//! different categories ([`super::kineto`], [`super::ascend`]). Metadata may stand behind the events, so what the
//! trace says about itself is complete only when it has been read. This file knows what stands around the events;
//! lists of them are read by [`super::pipeline`].

use super::block::{BlockScratch, ListForm};
use super::boundary::{self, Landmark};
use super::deliver::Delivery;
use super::error::{InputPosition, ReadError, ReadFault};
use super::event::EventFields;
use super::pipeline::{self, ListEnd, ListTools};
use super::repair::{LenientScanner, QuoteGuess};
use super::scan::{JsonScan, ScanFault, StrictScanner, StringFaults};
use super::skip::ValueSkipper;
use super::transcribe::write_compact;
use super::window::{BLOCK, InputWindow, TEXT_LIMIT};
use super::words::has_control;
use super::{ReadOptions, ReadOutcome, ReadStop, kineto, value};
use crate::model::{Defect, Dialect, EventSink, RootMember};

/// How many keys of an object that is no trace are named.
const KEYS_SHOWN: usize = 4;

/// Reads a whole document; `out` holds what was found, however it ends.
pub(super) fn read_document(
    window: InputWindow,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    let mut reader = ChromeReader {
        window,
        tools: ListTools { threads: options.thread_count(), scratch: BlockScratch::default() },
        delivery: Delivery::new(sink, options, out),
        documents: 0,
        lists: 0,
        member_lists: 0,
        nested_ends: 0,
        other_keys: Vec::new(),
        told_by_metadata: false,
        keep_members: options.keep_members,
        kept_bytes: 0,
    };
    let result = reader.read_root();
    reader.finish();
    result
}

struct ChromeReader<'s> {
    window: InputWindow,
    tools: ListTools,
    delivery: Delivery<'s>,
    /// How many documents have begun: more than one is a repair.
    documents: u64,
    /// How many lists of events.
    lists: u64,
    /// How many members `traceEvents` the root object has.
    member_lists: u64,
    /// How many lists that held another have ended.
    nested_ends: u64,
    other_keys: Vec<String>,
    told_by_metadata: bool,
    /// Members beside the events are wanted as they stand.
    keep_members: bool,
    /// Bytes in those that were kept.
    kept_bytes: usize,
}

/// Where reading can go on behind something that cannot be understood.
enum WayOn {
    Event,
    RootKey,
    Nowhere,
}

type Result<T, E = ReadStop> = std::result::Result<T, E>;

impl ChromeReader<'_> {
    fn read_root(&mut self) -> Result<()> {
        let mut open = false;
        while let Some(byte) = self.peek_behind_padding()? {
            match byte {
                b'[' => {
                    self.begin_document()?;
                    self.window.consume(1);
                    open = !self.read_list(ListForm::Bracketed)?;
                }
                b'{' => self.read_braced()?,
                b']' if self.has_nested_list() => {
                    self.nested_ends += 1;
                    self.window.consume(1);
                }
                b',' | b']' | b'}' if self.documents > 0 => {
                    self.count_here(Defect::StrayBracket)?;
                    self.window.consume(1);
                }
                _ => match self.find_way_on(false)? {
                    WayOn::Event if self.documents == 1 && self.is_event_alone() => {
                        self.count_here(Defect::EventPerLine)?;
                        self.read_list(ListForm::Bare)?;
                    }
                    WayOn::Event => open = !self.read_list(ListForm::Bracketed)?,
                    WayOn::RootKey => self.read_members()?,
                    WayOn::Nowhere => break,
                },
            }
        }
        if let Some(fault) = self.window.fault.take() {
            return Err(self.error_at_end(fault));
        }
        self.check_for_events()?;
        if open {
            return self.accept_unclosed_array();
        }
        self.delivery.out.complete = true;
        Ok(())
    }

    /// Returns whether a list that held another has not ended yet: the end of the inner one was taken for its own.
    fn has_nested_list(&self) -> bool {
        self.delivery.out.defects.count_of(Defect::NestedList) > self.nested_ends
    }

    /// Counts the beginning of a document, and a repair if it is not the first.
    fn begin_document(&mut self) -> Result<()> {
        self.member_lists = 0;
        self.documents += 1;
        if self.documents > 1 { self.count_here(Defect::SecondDocument) } else { Ok(()) }
    }

    /// Skips white space, byte order marks and zeros, and shows the next byte.
    fn peek_behind_padding(&mut self) -> Result<Option<u8>> {
        let mut zeros = None;
        let next = loop {
            match self.window.peek_byte() {
                Some(0) => {
                    zeros = zeros.or(Some(self.window.passed()));
                    let run = self.window.rest().iter().take_while(|b| **b == 0).count();
                    self.window.consume(run);
                }
                Some(0xef) if self.window.rest().starts_with(b"\xef\xbb\xbf") => self.window.consume(3),
                other => break other,
            }
        };
        if let Some(passed) = zeros {
            let defect = if next.is_none() { Defect::PaddingBehindEnd } else { Defect::NulBytes };
            self.delivery.count(defect, 1, || passed.position_behind(b""))?;
        }
        Ok(next)
    }

    /// Returns whether no comma or bracket follows the event that is next, which was found behind other text: then
    /// there was no list around it either.
    fn is_event_alone(&self) -> bool {
        let mut scan = StrictScanner::new(self.window.rest(), 0);
        scan.scan_value().is_ok() && !matches!(scan.peek_byte(), Ok(b',' | b']'))
    }

    /// Reads an object: the root of a document, or an event that stands in no list.
    fn read_braced(&mut self) -> Result<()> {
        const ENOUGH: usize = 64 * 1024;
        self.window.fill_to(ENOUGH);
        let mut text = self.window.rest();
        if boundary::begins_with_root_key(text[1..].trim_ascii_start()) == Some(true) {
            // Hardly an event: its list need not be read twice.
            text = &text[..text.len().min(ENOUGH)];
        }
        let mut scan = StrictScanner::new(text, 0);
        let fields = EventFields::read(&mut scan, false);
        let phase = fields.as_ref().is_ok_and(|f| f.phase_in(text).is_some());
        if phase {
            self.documents += 1;
            let again = self.documents > 1;
            self.count_here(if again { Defect::SecondDocument } else { Defect::EventPerLine })?;
            self.read_list(ListForm::Bare)?;
            return Ok(());
        }
        if fields.is_ok_and(|f| f.empty) && self.documents > 0 {
            let length = scan.pos();
            self.count_here(Defect::EmptyEvent)?;
            self.window.consume(length);
            return Ok(());
        }
        self.begin_document()?;
        self.window.consume(1);
        self.read_members()
    }

    /// Reads the members of the root object up to its closing brace: `traceEvents`, with metadata before and behind.
    fn read_members(&mut self) -> Result<()> {
        loop {
            match self.window.peek_byte() {
                None => return Err(self.truncated("an object")),
                Some(b'}') => {
                    self.window.consume(1);
                    return Ok(());
                }
                Some(b',') => self.window.consume(1),
                Some(b']') if self.has_nested_list() => {
                    self.nested_ends += 1;
                    self.window.consume(1);
                }
                Some(b'"') if self.read_member()? => {}
                Some(_) => match self.find_way_on(true)? {
                    WayOn::RootKey => {}
                    WayOn::Event => self.read_member_list()?,
                    WayOn::Nowhere => return Ok(()),
                },
            }
        }
    }

    /// Reads a member of the root object. `false` if it cannot be understood.
    fn read_member(&mut self) -> Result<bool> {
        let Some(key) = self.read_key()? else { return Ok(false) };
        if self.window.peek_byte().is_none() {
            return Err(self.truncated("an object"));
        }
        if key == "traceEvents" && self.window.peek_byte() == Some(b'[') {
            if self.member_lists > 0 {
                self.count_here(Defect::SecondDocument)?;
            }
            self.member_lists += 1;
            self.window.consume(1);
            self.read_member_list()?;
            return Ok(true);
        }
        if key == "traceEvents" && self.window.peek_byte() == Some(b'{') {
            return Ok(false);
        }
        if self.lists == 0 && self.window.peek_byte() == Some(b'[') && is_nearly(&key, "traceEvents") {
            self.count_here(Defect::DamagedListName)?;
            self.window.consume(1);
            self.read_member_list()?;
            return Ok(true);
        }
        if self.keep_members && key != "traceEvents" {
            self.keep_value(&key);
        }
        if kineto::KEYS.contains(&key.as_str()) {
            return self.read_metadata(&key);
        }
        // For an error message: more than a few are of no use, and they cost memory.
        self.other_keys.extend((self.other_keys.len() <= KEYS_SHOWN).then_some(key));
        self.skip_value()
    }

    /// Keeps the value that is next, which stays where it is, unless it is too long, or no JSON that can be repaired.
    fn keep_value(&mut self, key: &str) {
        /// All of them, in bytes.
        const MOST_BYTES: usize = 4 * TEXT_LIMIT;
        const MOST: usize = 256;
        let mut size = BLOCK;
        let (length, repaired) = loop {
            self.window.fill_to(size);
            let mut scan = StrictScanner::new(self.window.rest(), 0);
            match scan.scan_value() {
                Ok(_) => break (scan.pos(), false),
                Err(ScanFault::End) if !self.window.is_done() && size < TEXT_LIMIT => size *= 2,
                Err(_) => {
                    let mut scan = self.lenient_scanner();
                    match scan.scan_value() {
                        Ok(_) => break (scan.pos(), true),
                        Err(_) => return,
                    }
                }
            }
        };
        let value = &self.window.rest()[..length];
        let members = &mut self.delivery.out.meta.members;
        let is_text = std::str::from_utf8(value).is_ok();
        let known = || members.iter().any(|known| known.name == key);
        if is_text && self.kept_bytes + length <= MOST_BYTES && members.len() < MOST && !known() {
            self.kept_bytes += length + key.len();
            let mut json = Vec::new();
            if repaired {
                write_compact(value, true, &mut json);
            } else {
                json.extend_from_slice(value);
            }
            members.push(RootMember { name: key.to_owned(), value: json });
        }
    }

    /// The scanner that repairs, for the value that is next.
    fn lenient_scanner(&self) -> LenientScanner<'_> {
        LenientScanner::new(self.window.rest(), 0, QuoteGuess::MayEnd, self.window.is_done())
    }

    /// Counts what is wrong with the value that is next, which the strict scanner has read.
    fn count_faults(&mut self, length: usize, faults: StringFaults) -> Result<()> {
        let zeros = !faults.control && has_control(&self.window.rest()[..length]);
        for defect in faults.defects().chain(zeros.then_some(Defect::NulBytes)) {
            self.count_here(defect)?;
        }
        Ok(())
    }

    /// Reads a key and its colon.
    fn read_key(&mut self) -> Result<Option<String>> {
        const LONGEST: usize = 64 * 1024;
        self.window.fill_to(LONGEST);
        let mut scan = StrictScanner::new(self.window.rest(), 0);
        let key = match scan.scan_key() {
            Ok(key) => key.text_in(self.window.rest()).decode().into_owned(),
            Err(ScanFault::End) if self.window.is_done() => return Err(self.truncated("an object")),
            Err(_) => return Ok(None),
        };
        let (length, faults) = (scan.pos(), scan.string_faults());
        for defect in faults.defects() {
            self.count_here(defect)?;
        }
        self.window.consume(length);
        Ok(Some(key))
    }

    /// Reads a list of events inside the root object.
    fn read_member_list(&mut self) -> Result<()> {
        if self.read_list(ListForm::Bracketed)? { Ok(()) } else { Err(self.truncated("`traceEvents`")) }
    }

    /// Reads the events that are next. `false` if their list is not closed.
    fn read_list(&mut self, form: ListForm) -> Result<bool> {
        self.lists += 1;
        let (window, delivery) = (&mut self.window, &mut self.delivery);
        match pipeline::read_list(window, form, &mut self.tools, delivery)? {
            ListEnd::Closed => Ok(true),
            ListEnd::Truncated => Err(self.truncated("an event")),
            ListEnd::Unclosed => match self.window.fault.take() {
                Some(fault) => Err(self.error_at_end(fault)),
                None => Ok(form == ListForm::Bare),
            },
        }
    }

    /// Reads a value that the file says about itself. `false` if it cannot be understood.
    fn read_metadata(&mut self, key: &str) -> Result<bool> {
        let mut size = BLOCK;
        loop {
            self.window.fill_to(size);
            let rest = self.window.rest();
            let mut scan = StrictScanner::new(rest, 0);
            match value::read_value(&mut scan, rest) {
                Ok(value) => {
                    let (length, faults) = (scan.pos(), scan.string_faults());
                    self.count_faults(length, faults)?;
                    let known = self.delivery.out.meta.rank;
                    if key == "distributedInfo" && kineto::names_other_rank(known, &value) {
                        self.count_here(Defect::SecondRank)?;
                    }
                    self.told_by_metadata |= kineto::read_metadata(&mut self.delivery.out.meta, key, &value);
                    self.window.consume(length);
                    return Ok(true);
                }
                Err(ScanFault::End) if self.window.is_done() => return Err(self.truncated("a value")),
                Err(ScanFault::End) if size < TEXT_LIMIT => size *= 2,
                Err(ScanFault::End) => {
                    self.count_here(Defect::UnreadableMetadata)?;
                    return self.skip_value();
                }
                Err(_) => return self.repair_metadata(key),
            }
        }
    }

    fn repair_metadata(&mut self, key: &str) -> Result<bool> {
        let mut scan = self.lenient_scanner();
        let Ok(value) = value::read_value(&mut scan, self.window.rest()) else { return Ok(false) };
        let (length, defects) = (scan.pos(), std::mem::take(&mut scan.defects));
        for defect in defects {
            self.count_here(defect)?;
        }
        self.told_by_metadata |= kineto::read_metadata(&mut self.delivery.out.meta, key, &value);
        self.window.consume(length);
        Ok(true)
    }

    /// Skips a value, however long it is. `false` if it cannot be understood.
    fn skip_value(&mut self) -> Result<bool> {
        self.window.fill_to(BLOCK);
        let rest = self.window.rest();
        let mut scan = StrictScanner::new(rest, 0);
        let length = match scan.scan_value() {
            Ok(_) => {
                let (length, faults) = (scan.pos(), scan.string_faults());
                self.count_faults(length, faults)?;
                length
            }
            Err(ScanFault::End) if self.window.is_done() => return Err(self.truncated("a value")),
            // It is long, or nested deeply: nothing but its brackets is looked at.
            Err(ScanFault::End | ScanFault::TooDeep) => return self.skip_long_value(),
            Err(_) => {
                let mut scan = self.lenient_scanner();
                if scan.scan_value().is_err() {
                    return Ok(false);
                }
                let (length, defects) = (scan.pos(), std::mem::take(&mut scan.defects));
                for defect in defects {
                    self.count_here(defect)?;
                }
                length
            }
        };
        self.window.consume(length);
        Ok(true)
    }

    fn skip_long_value(&mut self) -> Result<bool> {
        let mut skipper = ValueSkipper::default();
        loop {
            match skipper.feed(self.window.rest()) {
                Some(length) => {
                    self.window.consume(length);
                    return Ok(true);
                }
                None => self.window.consume(self.window.rest().len()),
            }
            if self.window.is_done() {
                return Err(self.truncated("a value"));
            }
            self.window.fill_to(BLOCK);
        }
    }

    /// Skips what cannot be understood, up to the next event or member of the root object.
    fn find_way_on(&mut self, inside: bool) -> Result<WayOn> {
        let start = self.window.passed();
        let mut phases = 0;
        let mut size = BLOCK;
        let way = loop {
            self.window.fill_to(size);
            let (rest, whole) = (self.window.rest(), self.window.is_done());
            let landmark = boundary::find_landmark(rest, 0, whole || rest.len() >= TEXT_LIMIT);
            // In the place of a member there is one byte that was none; elsewhere a member says that there is an object.
            let key = boundary::find_root_key(rest, usize::from(inside && rest.first() == Some(&b'"')));
            let (at, way) = match (landmark, key) {
                (Landmark::Event(at), key) if key.is_none_or(|k| at < k) => (at, Some(WayOn::Event)),
                (Landmark::ListEnd(at), key) if key.is_none_or(|k| at < k) => (at + 1, None),
                (_, Some(key)) => (key, Some(WayOn::RootKey)),
                (Landmark::Unclear(at), None) => (at, None),
                (_, None) if whole => (rest.len(), Some(WayOn::Nowhere)),
                (_, None) => (rest.len().saturating_sub(256), None),
            };
            phases += boundary::count_phases(&rest[..at]);
            self.window.consume(at);
            match way {
                Some(way) => break way,
                None => size = if at == 0 { size * 2 } else { BLOCK },
            }
        };
        let nowhere = matches!(way, WayOn::Nowhere);
        if nowhere && self.documents == 0 {
            return Err(not_a_trace("is not a trace: it is neither a JSON object nor an array").into());
        }
        self.documents = self.documents.max(1);
        let nothing_skipped = self.window.passed().bytes == start.bytes;
        let defect = match phases {
            0 if nothing_skipped => Defect::MissingStartBracket,
            0 if inside => Defect::UnreadableMetadata,
            0 if nowhere => Defect::TextBehindEnd,
            0 => Defect::TextBetweenEvents,
            _ => Defect::UnreadableEvent,
        };
        self.delivery.count(defect, phases.max(1), || start.position_behind(b""))?;
        Ok(way)
    }

    fn count_here(&mut self, defect: Defect) -> Result<()> {
        let passed = self.window.passed();
        self.delivery.count(defect, 1, || passed.position_behind(b""))
    }

    /// Rejects what has no events and was never meant to have any.
    fn check_for_events(&self) -> Result<()> {
        let out = &self.delivery.out;
        if out.events > 0 {
            return Ok(());
        }
        let count = |defect| out.defects.count_of(defect);
        let objects = count(Defect::NoPhase) + count(Defect::MissingPhase);
        let reason = match () {
            () if self.documents == 0 => "is empty".to_owned(),
            () if objects > 0 => {
                format!("is not a trace: none of its {objects} objects is an event with a `ph`")
            }
            () if count(Defect::NotAnEvent) + count(Defect::TextBetweenEvents) > 0 => {
                "is not a trace: its list has no events".to_owned()
            }
            () if self.lists == 0 => describe_keys(&self.other_keys),
            () => return Ok(()),
        };
        Err(not_a_trace(reason).into())
    }

    /// A bare array without its end. Programs that may crash are allowed to write one; profilers close theirs,
    /// so of a profile, something is missing.
    fn accept_unclosed_array(&mut self) -> Result<()> {
        if self.delivery.decide_dialect(self.told_by_metadata) != Dialect::Chrome {
            return Err(self.truncated("the list of events"));
        }
        self.count_here(Defect::MissingEndBracket)
    }

    /// The input ends inside something; it may have ended too early itself.
    fn truncated(&mut self, inside: &'static str) -> ReadStop {
        let fault = self.window.fault.take().unwrap_or(ReadFault::Truncated(inside));
        self.error_at_end(fault)
    }

    fn error_at_end(&self, fault: ReadFault) -> ReadStop {
        ReadError::new(self.window.passed().position_behind(self.window.rest()), fault).into()
    }

    /// Adds the facts that are known only at the end, however that came.
    fn finish(&mut self) {
        let dialect = self.delivery.decide_dialect(self.told_by_metadata);
        let bytes = self.window.passed().bytes + self.window.rest().len() as u64;
        (self.delivery.out.meta.dialect, self.delivery.out.bytes) = (dialect, bytes);
        let mut unread = std::mem::take(&mut self.other_keys);
        let members = &self.delivery.out.meta.members;
        unread.retain(|key| members.iter().all(|kept| kept.name != *key));
        self.delivery.out.unread_members = unread;
    }
}

fn not_a_trace(what: impl Into<String>) -> ReadError {
    ReadError::new(InputPosition::default(), ReadFault::NotATrace(what.into()))
}

/// Names a few members of an object, and that there are more.
pub fn list_members(keys: &[String]) -> String {
    let mut list = keys.iter().take(KEYS_SHOWN).map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
    if keys.len() > KEYS_SHOWN {
        list.push_str(", …");
    }
    list
}

/// An object without events, with the first few keys that it has instead.
fn describe_keys(keys: &[String]) -> String {
    let list = list_members(keys);
    let has = if keys.is_empty() { String::new() } else { format!(" (it has {list})") };
    format!("is not a trace: its object has no list `traceEvents`{has}")
}

/// Whether hardly more than one byte makes the difference: another one, one more, or one less. A backslash takes the next
/// one with it.
fn is_nearly(key: &str, name: &str) -> bool {
    const MOST: usize = 3;
    let (key, name): (Vec<char>, Vec<char>) = (key.chars().collect(), name.chars().collect());
    let (longer, shorter) = (key.len().max(name.len()), key.len().min(name.len()));
    let before = key.iter().zip(&name).take_while(|(a, b)| a == b).count();
    let behind = key.iter().rev().zip(name.iter().rev()).take_while(|(a, b)| a == b).count();
    longer < shorter + MOST && longer < before + behind + MOST
}

#[cfg(test)]
mod tests;
