//! One event: its members as the file has them.

use super::repair::{LenientScanner, QuoteGuess};
use super::scan::{JsonScan, ScanFault, StrictScanner, StringFaults};
use super::slots::{Argument, Member, Slot, VALUES};
use super::span::{JsonValue, TextSpan};
use super::words::has_control;

/// Members and arguments as they stand in the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EventFields {
    /// By [`Slot`]; the last is always missing.
    values: [JsonValue; VALUES],
    pub(super) local_id: JsonValue,
    pub(super) global_id: JsonValue,
    pub(super) args: TextSpan,
    /// It has no members at all.
    pub(super) empty: bool,
    /// It has members that are not needed.
    pub(super) others: bool,
    /// It has a member twice.
    pub(super) repeated: bool,
    /// What is wrong with its strings, if nothing else is.
    pub(super) faults: StringFaults,
}

impl EventFields {
    /// Reads the object that is next. Of a member that comes twice, the last counts; `lenient` reading rejects two
    /// phases, because two events may have run into each other.
    #[inline]
    pub(super) fn read<S: JsonScan>(scan: &mut S, lenient: bool) -> Result<Self, ScanFault> {
        let mut fields = Self::default();
        let mut more = scan.open_bracket(b'}')?;
        fields.empty = !more;
        while more {
            match Member::of_key(&scan.scan_key()?.text_in(scan.text()).unescape()) {
                None => {
                    fields.others = true;
                    scan.scan_value()?;
                }
                Some(Member::Args) if scan.peek_byte()? == b'{' => {
                    fields.repeated |= fields.args != TextSpan::default();
                    fields.read_arguments(scan)?;
                }
                Some(Member::Id2) if scan.peek_byte()? == b'{' => fields.read_id2(scan)?,
                Some(member) => {
                    if lenient && member == Member::Phase && fields.member(member) != JsonValue::MISSING {
                        return Err(ScanFault::TwoInOne);
                    }
                    fields.repeated |= fields.member(member) != JsonValue::MISSING;
                    let value = scan.scan_value()?;
                    fields.set(member.slot(), value);
                }
            }
            more = scan.next_element(b'}')?;
        }
        fields.faults = scan.string_faults();
        Ok(fields)
    }

    #[inline]
    fn read_arguments<S: JsonScan>(&mut self, scan: &mut S) -> Result<(), ScanFault> {
        let start = scan.pos();
        let mut more = scan.open_bracket(b'}')?;
        while more {
            let argument = Argument::of_key(&scan.scan_key()?.text_in(scan.text()).unescape());
            let value = scan.scan_value()?;
            if let Some(argument) = argument {
                self.set(argument.slot(), value);
            }
            more = scan.next_element(b'}')?;
        }
        self.args = TextSpan::new(start, scan.pos(), false);
        Ok(())
    }

    fn read_id2<S: JsonScan>(&mut self, scan: &mut S) -> Result<(), ScanFault> {
        let mut more = scan.open_bracket(b'}')?;
        while more {
            let key = scan.scan_key()?.text_in(scan.text()).unescape();
            let (local, global) = (&*key == b"local", &*key == b"global");
            let value = scan.scan_value()?;
            if local {
                self.local_id = value;
            } else if global {
                self.global_id = value;
            }
            more = scan.next_element(b'}')?;
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) fn set(&mut self, slot: Slot, value: JsonValue) {
        self.values[slot.index()] = value;
    }

    #[inline(always)]
    pub(super) fn get(&self, slot: Slot) -> JsonValue {
        self.values[slot.index()]
    }

    #[inline(always)]
    pub(super) fn member(&self, member: Member) -> JsonValue {
        self.get(member.slot())
    }

    #[inline(always)]
    pub(super) fn argument(&self, argument: Argument) -> JsonValue {
        self.get(argument.slot())
    }

    /// Returns whether it has a time.
    pub(super) fn has_time(&self) -> bool {
        self.member(Member::Ts) != JsonValue::MISSING
    }
}

/// Asserts that the repairing scanner takes alike what the strict one takes of a text. For fuzzing.
pub(super) fn assert_scanners_agree(text: &[u8]) {
    let starts = memchr::memchr_iter(b'{', text).take(64);
    for start in starts {
        let mut strict = StrictScanner::new(text, start);
        let Ok(fields) = EventFields::read(&mut strict, false) else { continue };
        // A control character is white space to the one, and looked for by its caller.
        if has_control(&text[start..strict.pos()]) {
            continue;
        }
        let mut lenient = LenientScanner::new(text, start, QuoteGuess::OfText, true);
        match EventFields::read(&mut lenient, true) {
            Ok(others) => {
                lenient.defects.sort_unstable();
                assert!(fields.faults.defects().eq(lenient.defects.iter().copied()), "{:?}", lenient.defects);
                let others = EventFields { faults: fields.faults, ..others };
                assert_eq!((fields, strict.pos()), (others, lenient.pos()));
            }
            Err(fault) => assert_eq!(fault, ScanFault::TwoInOne),
        }
    }
}
