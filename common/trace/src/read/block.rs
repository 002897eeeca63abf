//! Events out of a piece of a list, and what to do where it is damaged.
//!
//! [`decode_block`] is a function of the text and of what stands before it; it keeps nothing, so any thread may run
//! it on any block. An event is read by the strict scanner; where that stops, by the one that repairs; where that stops, too,
//! the event is lost, and the next one that proves itself goes on.

use memchr::memchr;

use super::boundary::{self, Landmark};
use super::event::{DialectSigns, EventFields, Remarks};
use super::mend::{LenientScanner, QuoteGuess};
use super::row::Row;
use super::scan::{JsonScan, ScanFault, StrictScanner, TextSpan};
use crate::model::Defect;

/// What stands before a text.
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

/// What comes behind a text.
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

/// What a text holds.
pub(super) struct Batch {
    pub(super) rows: Vec<Row>,
    /// Defects with how often, and where in the text.
    pub(super) defects: Vec<(Defect, u64, usize)>,
    pub(super) signs: DialectSigns,
    /// How much of the text was read.
    pub(super) consumed: usize,
    pub(super) end: BlockEnd,
}

/// Reads the events of a text.
pub(super) fn decode_block(text: &[u8], state: ListState, form: ListForm, supply: Supply) -> Batch {
    let batch = Batch {
        rows: Vec::with_capacity(text.len() / 256),
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
        has_nul: memchr(0, text).is_some(),
        is_ascii: text.is_ascii(),
        faults: Vec::new(),
        batch,
    };
    let end = decoder.read_elements();
    decoder.batch.end = end;
    decoder.batch.consumed = decoder.pos;
    decoder.batch
}

struct BlockDecoder<'a> {
    text: &'a [u8],
    pos: usize,
    state: ListState,
    form: ListForm,
    supply: Supply,
    has_nul: bool,
    is_ascii: bool,
    /// What decoding the last event remarked.
    faults: Vec<Defect>,
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
            let space = self.text[self.pos..].iter().take_while(|b| b.is_ascii_whitespace()).count();
            self.pos += space;
            let Some(&byte) = self.text.get(self.pos) else { return BlockEnd::Open(self.state) };
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
        let mut scan = StrictScanner::new(self.text, start);
        match EventFields::read(&mut scan, false) {
            Ok(fields) => {
                let end = scan.pos();
                if self.has_nul && memchr(0, &self.text[start..end]).is_some() {
                    return self.mend_event(start);
                }
                self.take_object(&fields, start, end, false);
                None
            }
            Err(ScanFault::End) if self.supply == Supply::More => Some(BlockEnd::Open(self.state)),
            Err(_) => self.mend_event(start),
        }
    }

    /// Reads an object that the strict scanner could not.
    fn mend_event(&mut self, start: usize) -> Option<BlockEnd> {
        let mut fault = ScanFault::End;
        for guess in [QuoteGuess::OfText, QuoteGuess::MayEnd] {
            let mut scan = LenientScanner::new(self.text, start, guess, self.supply != Supply::More);
            match EventFields::read(&mut scan, true) {
                Ok(fields) if fields.phase_in(self.text).is_some() && self.may_end_at(scan.pos()) => {
                    let end = scan.pos();
                    for defect in std::mem::take(&mut scan.defects) {
                        self.count(defect, start);
                    }
                    self.take_object(&fields, start, end, true);
                    return None;
                }
                Ok(_) => fault = ScanFault::TwoInOne,
                Err(ScanFault::End) if self.supply == Supply::More => {
                    return Some(BlockEnd::Open(self.state));
                }
                Err(found) => fault = found,
            }
        }
        self.lose_event(start, fault)
    }

    /// Tells whether what stands behind an object that was repaired is what stands behind events.
    fn may_end_at(&self, end: usize) -> bool {
        let rest = self.text[end..].iter().find(|b| !b.is_ascii_whitespace() && **b != 0);
        matches!(rest, None | Some(b',' | b']' | b'{'))
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
        if !self.is_ascii && std::str::from_utf8(&self.text[start..end]).is_err() {
            self.count(Defect::InvalidUtf8, start);
        }
        let mut remarks = Remarks { signs: &mut self.batch.signs, defects: &mut self.faults };
        let mut row = fields.decode(self.text, phase, TextSpan::new(start, end, false), &mut remarks);
        row.repaired = repaired;
        self.batch.rows.push(row);
        while let Some(defect) = self.faults.pop() {
            self.count(defect, start);
        }
    }

    /// Goes on behind an event that cannot be read.
    fn lose_event(&mut self, start: usize, fault: ScanFault) -> Option<BlockEnd> {
        let whole = self.supply != Supply::More;
        let landmark = boundary::find_landmark(self.text, start + 1, whole);
        if fault == ScanFault::End && self.supply == Supply::End && landmark == Landmark::None {
            return Some(BlockEnd::Truncated);
        }
        if let Landmark::Unclear(_) = landmark {
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
        if byte == b'[' && matches!(self.first_behind(start + 1), Some(b'{' | b'[' | b']')) {
            // A list inside the list, or a second one behind it: its events are events, too.
            self.count(Defect::SecondDocument, start);
            (self.state, self.pos) = (ListState::Opened, start + 1);
            return None;
        }
        let mut scan = StrictScanner::new(self.text, start);
        match scan.scan_value() {
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

    fn first_behind(&self, at: usize) -> Option<u8> {
        self.text[at..].iter().find(|b| !b.is_ascii_whitespace()).copied()
    }

    /// Skips text that is no value.
    fn skip_text(&mut self, start: usize) -> Option<BlockEnd> {
        let landmark = boundary::find_landmark(self.text, start, self.supply != Supply::More);
        let end = landmark.position().unwrap_or(self.text.len());
        let skipped = &self.text[start..end];
        let zeros = skipped.iter().all(|b| *b == 0 || b.is_ascii_whitespace());
        if landmark == Landmark::None && zeros {
            if self.supply == Supply::More {
                // They may be padding behind the end.
                return Some(BlockEnd::Open(self.state));
            }
            self.count(Defect::PaddingBehindEnd, start);
            self.pos = end;
            return Some(BlockEnd::Open(self.state));
        }
        if let (Landmark::Unclear(_), Supply::More) = (landmark, self.supply) {
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
