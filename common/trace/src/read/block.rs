//! Events out of a piece of a list, and what to do where it is damaged.
//!
//! [`decode_block`] is a function of the text and of what stands before it; it keeps nothing, so any thread may run it
//! on any block. An event is read by the strict scanner; where that stops, by the one that repairs; where that stops,
//! too, the event is lost, and the next one that proves itself goes on.

use super::boundary::{self, Landmark};
use super::decode::{DialectSigns, Remarks};
use super::event::EventFields;
use super::repair::{LenientScanner, QuoteGuess};
use super::row::Row;
use super::scan::{JsonScan, ScanFault, StrictScanner};
use super::shape::EventShapes;
use super::span::TextSpan;
use super::words::{has_control, has_control_or_beyond_ascii, word_at};
use crate::model::Defect;

/// The state before a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListState {
    /// The opening bracket.
    Opened,
    /// A comma.
    Comma,
    /// An event.
    Event,
    /// Something that could not be read.
    Damage,
}

/// The state behind a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Supply {
    /// More.
    More,
    /// Nothing: the input ends.
    End,
    /// More, but not together with this text: an event that does not end in it is too long.
    Later,
}

/// Whether there are brackets around the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListForm {
    /// A list, as the whole document or behind `traceEvents`.
    Bracketed,
    /// Events one after the other.
    Bare,
}

/// How far a text was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockEnd {
    /// To its end, or to something that needs more text.
    Open(ListState),
    /// To the end of the list.
    Closed,
    /// The input ends inside an event.
    Truncated,
}

/// The events of a text.
pub(super) struct Batch {
    pub(super) rows: Vec<Row>,
    /// Defects with how often, and where in the text.
    pub(super) defects: Vec<(Defect, u64, usize)>,
    pub(super) signs: DialectSigns,
    /// How much of the text was read.
    pub(super) consumed: usize,
    pub(super) end: BlockEnd,
}

/// Caches that make reading faster, and change nothing: how events look, and memory to put rows in.
#[derive(Default)]
pub(super) struct BlockScratch {
    shapes: EventShapes,
    pub(super) rows: Vec<Row>,
}

/// Reads the events of a text.
pub(super) fn decode_block(
    text: &[u8],
    state: ListState,
    form: ListForm,
    supply: Supply,
    scratch: &mut BlockScratch,
) -> Batch {
    let mut rows = std::mem::take(&mut scratch.rows);
    rows.clear();
    let batch = Batch {
        rows,
        defects: Vec::new(),
        signs: DialectSigns::default(),
        consumed: 0,
        end: BlockEnd::Open(state),
    };
    let mut decoder = BlockDecoder {
        text,
        pos: 0,
        state,
        form,
        supply,
        bytes: ByteCheck::default(),
        faults: Vec::new(),
        separator: (0, 0),
        shapes: &mut scratch.shapes,
        batch,
    };
    let end = decoder.read_elements();
    decoder.batch.end = end;
    decoder.batch.consumed = decoder.pos;
    decoder.batch
}

/// Whether a text has bytes that want a closer look, as far as it has been read: of a text that holds many short lists,
/// each list looks at no more than it has.
#[derive(Default)]
struct ByteCheck {
    until: usize,
    has_control: bool,
    beyond_ascii: bool,
}

impl ByteCheck {
    #[inline]
    fn pass_to(&mut self, end: usize, text: &[u8]) {
        /// Few enough bytes to be still in the L1 cache when they are decoded.
        const AHEAD: usize = 4096;
        if end > self.until {
            let part = &text[self.until..text.len().min(end + AHEAD)];
            self.until += part.len();
            let (control, beyond_ascii) = has_control_or_beyond_ascii(part);
            self.has_control |= control;
            self.beyond_ascii |= beyond_ascii;
        }
    }
}

struct BlockDecoder<'a> {
    text: &'a [u8],
    pos: usize,
    state: ListState,
    form: ListForm,
    supply: Supply,
    bytes: ByteCheck,
    shapes: &'a mut EventShapes,
    /// The defects of the last event.
    faults: Vec<Defect>,
    /// A comma and the white space behind it, as they were the last time: up to seven bytes, and which they are.
    separator: (u64, u64),
    batch: Batch,
}

impl BlockDecoder<'_> {
    fn read_elements(&mut self) -> BlockEnd {
        if self.state == ListState::Damage {
            if let Some(end) = self.find_way_on(self.pos) {
                return end;
            }
        }
        loop {
            if self.state == ListState::Event {
                self.step_over_usual_comma();
            }
            let space = self.text[self.pos..].iter().take_while(|b| b.is_ascii_whitespace()).count();
            self.pos += space;
            let Some(&byte) = self.text.get(self.pos) else { return BlockEnd::Open(self.state) };
            // Only what the text begins with has had all the room there is.
            if self.supply == Supply::Later && self.pos > 0 {
                self.supply = Supply::More;
            }
            let end = match byte {
                b'{' => self.read_event(),
                b',' => self.step_over_comma(),
                b']' => Some(self.close_list()),
                _ => self.read_other(byte),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn count(&mut self, defect: Defect, at: usize) {
        self.batch.defects.push((defect, 1, at));
    }

    /// Steps over the comma behind an event and the white space behind that, if they are what they were the last time.
    #[inline(always)]
    fn step_over_usual_comma(&mut self) {
        let (usual, mask) = self.separator;
        let Some(word) = word_at(self.text, self.pos) else { return };
        if mask != 0 && word & mask == usual {
            self.pos += mask.count_ones() as usize / 8;
            self.state = ListState::Comma;
            return;
        }
        let bytes = word.to_le_bytes();
        let space = bytes[1..].iter().take_while(|b| b.is_ascii_whitespace()).count();
        if bytes[0] == b',' && space < 7 {
            let mask = u64::MAX >> (56 - 8 * space);
            self.separator = (word & mask, mask);
        }
    }

    fn step_over_comma(&mut self) -> Option<BlockEnd> {
        if self.state != ListState::Event && self.state != ListState::Damage {
            self.count(Defect::ExtraComma, self.pos);
        }
        self.state = ListState::Comma;
        self.pos += 1;
        None
    }

    fn close_list(&mut self) -> BlockEnd {
        if self.state == ListState::Comma {
            self.count(Defect::TrailingComma, self.pos);
        }
        self.pos += 1;
        BlockEnd::Closed
    }

    /// Reads the object whose brace is next.
    fn read_event(&mut self) -> Option<BlockEnd> {
        let start = self.pos;
        match self.shapes.read_event(self.text, start) {
            Ok((fields, end)) => {
                self.bytes.pass_to(end, self.text);
                if self.bytes.has_control && has_control(&self.text[start..end]) {
                    return self.repair_event(start, ScanFault::NulInString);
                }
                self.take_object(&fields, start, end, false);
                None
            }
            Err(ScanFault::End) if self.supply == Supply::More => Some(BlockEnd::Open(self.state)),
            Err(fault) => self.repair_event(start, fault),
        }
    }

    /// Reads an object that the strict scanner could not.
    fn repair_event(&mut self, start: usize, strict: ScanFault) -> Option<BlockEnd> {
        let mut fault = strict;
        for guess in [QuoteGuess::OfText, QuoteGuess::MayEnd] {
            let mut scan = LenientScanner::new(self.text, start, guess, self.supply != Supply::More);
            match EventFields::read(&mut scan, true) {
                // Not before it is clear what comes next.
                Ok(_) if self.supply == Supply::More && self.first_behind(scan.pos()).is_none() => {
                    return Some(BlockEnd::Open(self.state));
                }
                Ok(fields) if fields.phase_in(self.text).is_some() && self.may_end_at(scan.pos()) => {
                    let end = scan.pos();
                    for defect in std::mem::take(&mut scan.defects) {
                        self.count(defect, start);
                    }
                    self.take_object(&fields, start, end, true);
                    return None;
                }
                Ok(_) if strict == ScanFault::End => fault = ScanFault::TwoInOne,
                Ok(_) => {}
                Err(ScanFault::End) if self.supply == Supply::More => {
                    return Some(BlockEnd::Open(self.state));
                }
                // The other scanner may look for the end of a string in vain where this one found something wrong.
                Err(found) if strict == ScanFault::End => fault = found,
                Err(_) => {}
            }
        }
        self.lose_event(start, fault)
    }

    /// Returns whether what stands behind an object that was repaired is what stands behind events.
    fn may_end_at(&self, end: usize) -> bool {
        matches!(self.first_behind(end), None | Some(b',' | b']' | b'{'))
    }

    /// Takes an object that was read: an event, if it has a phase.
    #[inline]
    fn take_object(&mut self, fields: &EventFields, start: usize, end: usize, repaired: bool) {
        if self.state == ListState::Event && self.form == ListForm::Bracketed {
            self.count(Defect::MissingComma, start);
        }
        self.state = ListState::Event;
        self.pos = end;
        let Some(phase) = fields.phase_in(self.text) else {
            return self.count(
                if fields.empty {
                    Defect::EmptyEvent
                } else if fields.has_time() {
                    Defect::MissingPhase
                } else {
                    Defect::NoPhase
                },
                start,
            );
        };
        self.bytes.pass_to(end, self.text);
        let not_utf8 = self.bytes.beyond_ascii && std::str::from_utf8(&self.text[start..end]).is_err();
        if not_utf8 {
            self.count(Defect::InvalidUtf8, start);
        }
        for defect in fields.faults.defects() {
            self.count(defect, start);
        }
        let mut remarks = Remarks { signs: &mut self.batch.signs, defects: &mut self.faults };
        let mut row = fields.decode(self.text, phase, TextSpan::new(start, end, false), &mut remarks);
        row.repaired = repaired || not_utf8 || fields.faults.control;
        self.batch.rows.push(row);
        while let Some(defect) = self.faults.pop() {
            self.count(defect, start);
        }
    }

    /// Goes on behind an event that cannot be read.
    fn lose_event(&mut self, start: usize, fault: ScanFault) -> Option<BlockEnd> {
        let whole = self.supply != Supply::More;
        let landmark = boundary::find_landmark(self.text, start + 1, whole);
        // Where everything up to the end is inside the event, so is every bracket.
        if fault == ScanFault::End
            && self.supply == Supply::End
            && matches!(landmark, Landmark::None | Landmark::ListEnd(_))
        {
            return Some(BlockEnd::Truncated);
        }
        if self.supply == Supply::More && matches!(landmark, Landmark::Unclear(_) | Landmark::None) {
            // Not before it is clear what comes next.
            return Some(BlockEnd::Open(self.state));
        }
        let defect = match fault {
            ScanFault::End if self.supply == Supply::Later => Defect::EventTooLong,
            ScanFault::TooDeep => Defect::TooDeep,
            _ => Defect::UnreadableEvent,
        };
        let end = landmark.position().unwrap_or(self.text.len());
        let count = boundary::count_phases(&self.text[start..end]).max(1);
        self.batch.defects.push((defect, count, start));
        self.state = ListState::Damage;
        self.go_to(landmark)
    }

    /// Goes on behind text that was lost already.
    fn find_way_on(&mut self, from: usize) -> Option<BlockEnd> {
        let landmark = boundary::find_landmark(self.text, from, self.supply != Supply::More);
        let end = landmark.position().unwrap_or(self.text.len());
        let count = boundary::count_phases(&self.text[from..end]);
        if count > 0 {
            self.batch.defects.push((Defect::UnreadableEvent, count, from));
        }
        self.go_to(landmark)
    }

    fn go_to(&mut self, landmark: Landmark) -> Option<BlockEnd> {
        self.pos = landmark.position().unwrap_or(self.text.len());
        match landmark {
            Landmark::Event(_) | Landmark::ListEnd(_) => None,
            Landmark::Unclear(_) | Landmark::None => Some(BlockEnd::Open(ListState::Damage)),
        }
    }

    /// Something that is neither object nor comma nor the end.
    fn read_other(&mut self, byte: u8) -> Option<BlockEnd> {
        let start = self.pos;
        if byte == b'"' && self.form == ListForm::Bracketed {
            match boundary::begins_with_root_key(&self.text[start..]) {
                Some(true) => {
                    self.count(Defect::MissingEndBracket, start);
                    return Some(BlockEnd::Closed);
                }
                None if self.supply == Supply::More => return Some(BlockEnd::Open(self.state)),
                _ => {}
            }
        }
        if byte == b'}' && self.supply == Supply::End && self.first_behind(start + 1).is_none() {
            // The root object ends, and with it the input.
            self.count(Defect::MissingEndBracket, start);
            return Some(BlockEnd::Closed);
        }
        if self.supply == Supply::More && self.first_behind(start + 1).is_none() {
            return Some(BlockEnd::Open(self.state));
        }
        if byte == b'[' && matches!(self.first_behind(start + 1), Some(b'{' | b'[' | b']')) {
            // A list inside the list, or a second one behind it: its events are events, too.
            let inside = matches!(self.state, ListState::Opened | ListState::Comma);
            self.count(if inside { Defect::NestedList } else { Defect::SecondDocument }, start);
            (self.state, self.pos) = (ListState::Opened, start + 1);
            return None;
        }
        if byte < b' ' {
            return self.skip_text(start);
        }
        let mut scan = StrictScanner::new(self.text, start);
        match scan.scan_value() {
            Ok(_) if self.supply == Supply::More && self.first_behind(scan.pos()).is_none() => {
                return Some(BlockEnd::Open(self.state));
            }
            Ok(_) if matches!(scan.peek_byte(), Ok(b',' | b']')) => {
                (self.pos, self.state) = (scan.pos(), ListState::Event);
                self.count(Defect::NotAnEvent, start);
                return None;
            }
            Err(ScanFault::End) if self.supply == Supply::More => return Some(BlockEnd::Open(self.state)),
            _ => {}
        }
        self.skip_text(start)
    }

    /// The first byte from a place on that is neither white space nor a control character.
    fn first_behind(&self, at: usize) -> Option<u8> {
        self.text[at..].iter().find(|b| **b > b' ').copied()
    }

    /// Skips text that is no value.
    fn skip_text(&mut self, start: usize) -> Option<BlockEnd> {
        let landmark = boundary::find_landmark(self.text, start, self.supply != Supply::More);
        let end = landmark.position().unwrap_or(self.text.len());
        let skipped = &self.text[start..end];
        let zeros = skipped.iter().all(|b| *b == 0 || b.is_ascii_whitespace());
        if self.supply == Supply::More && matches!(landmark, Landmark::Unclear(_) | Landmark::None) {
            return Some(BlockEnd::Open(self.state));
        }
        if landmark == Landmark::None && zeros {
            self.count(Defect::PaddingBehindEnd, start);
            self.pos = end;
            return Some(BlockEnd::Open(self.state));
        }
        let phases = boundary::count_phases(skipped);
        let defect = match phases {
            0 if zeros => Defect::NulBytes,
            0 if skipped
                .iter()
                .all(|b| matches!(b, b'}' | b']' | b'[' | b',' | b'{') || b.is_ascii_whitespace()) =>
            {
                Defect::StrayBracket
            }
            0 => Defect::TextBetweenEvents,
            _ => Defect::UnreadableEvent,
        };
        self.batch.defects.push((defect, phases.max(1), start));
        let state = self.state;
        let end = self.go_to(landmark);
        // A comma that is missing behind skipped text is not missed.
        if state == ListState::Event {
            self.state = ListState::Damage;
        }
        end
    }
}

#[cfg(test)]
mod tests;
