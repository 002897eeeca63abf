//! Faults of a file that is read all the same: a closed list, each with its cost.

use std::collections::BTreeMap;

/// The cost of a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DefectCost {
    /// Usual, or allowed by the format: worth a count, not a word.
    Allowed,
    /// Read all the same: a warning.
    Repaired,
    /// Not read, though nothing is wrong with it: the format holds more than these tools read. A loss, and a warning.
    Unread,
    /// One event could not be read.
    EventLost,
    /// More than an event could not be read.
    MoreLost,
}

macro_rules! defects {
    ($($(#[$doc:meta])* $variant:ident $name:literal $cost:ident $words:literal,)*) => {
        /// Something wrong in a file that was read all the same.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Defect {
            $($(#[$doc])* $variant,)*
        }

        impl Defect {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in records.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns its cost.
            pub fn cost(self) -> DefectCost {
                match self { $(Self::$variant => DefectCost::$cost,)* }
            }

            /// Returns whether strict reading rejects a file because of it: something is wrong with the file.
            pub fn is_fault(self) -> bool {
                !matches!(self.cost(), DefectCost::Allowed | DefectCost::Unread)
            }

            /// Describes it for people; a count stands before the text.
            pub fn describe(self) -> &'static str {
                match self { $(Self::$variant => $words,)* }
            }
        }
    };
}

defects! {
    /// A comma behind the last event, as writers leave that may crash at any time.
    TrailingComma "trailing_comma" Allowed "comma behind the last event",
    /// An object without members among the events: JAX ends its list so (openxla/xla
    /// `xla/tsl/profiler/convert/trace_events_to_json.cc`).
    EmptyEvent "empty_event" Allowed "empty object among the events",
    /// An event with a duration does not give it.
    NoDuration "no_dur" Allowed "complete event without a duration",
    /// An event does not give its time.
    NoTime "no_ts" Allowed "event without a time",
    /// NaN, an infinity, or another word that writers put where a number is missing or too large.
    MissingNumber "missing_number" Allowed "event with NaN, an infinity or a word in the place of a number, taken as null",
    /// An object among the events has no `ph`.
    NoPhase "no_phase" Repaired "object without a phase among the events, skipped",
    /// A value in the list of events is not an object.
    NotAnEvent "not_an_event" Repaired "value in the list that is not an event, skipped",
    /// A duration below zero counts as zero.
    NegativeDuration "negative_dur" Repaired "negative duration, counted as zero",
    /// A member that an event has twice: the last counts.
    RepeatedMember "repeated_member" Repaired "event with a member that comes twice, of which the last counts",
    /// A time that is not a number.
    BadTime "bad_ts" Repaired "time that is not a number, left out",
    /// A duration that is not a number.
    BadDuration "bad_dur" Repaired "duration that is not a number, left out",
    /// A time that is a number, of more microseconds than fit until the year 2116.
    TimeOutOfRange "ts_out_of_range" Repaired "time that is out of range, left out",
    /// A duration that is a number, and longer than all of time.
    DurationOutOfRange "dur_out_of_range" Repaired "duration that is out of range, left out",
    /// A duration that only a broken clock measures.
    LongerThan7Days "longer_than_7_days" Repaired "duration of more than 7 days, left out",
    /// Two events without a comma between them.
    MissingComma "missing_comma" Repaired "missing comma between events",
    /// More commas than one, or one before the first event.
    ExtraComma "extra_comma" Repaired "extra comma between events",
    /// A comma before a closing bracket inside an event.
    CommaInEvent "extra_comma_in_event" Repaired "extra comma inside an event",
    /// Two members of an event without a comma between them.
    MissingMemberComma "missing_comma_in_event" Repaired "missing comma inside an event",
    /// The list of events is not closed.
    MissingEndBracket "missing_end_bracket" Repaired "list of events that is not closed",
    /// Events where a list of them, or its opening bracket, is missed.
    MissingStartBracket "missing_start_bracket" Repaired "list of events that is not opened",
    /// The name of the list of events has a wrong byte.
    DamagedListName "damaged_list_name" Repaired "list of events whose name is damaged",
    /// A bracket too many between events.
    StrayBracket "stray_bracket" Repaired "extra bracket between events",
    /// A second list or document behind the first, as some Ascend exporters append.
    SecondDocument "second_document" Repaired "further list or document behind the first, read too",
    /// The file says twice of which rank it is, and not the same.
    SecondRank "second_rank" Repaired "second rank that the file names as its own: traces of several ranks were put together",
    /// A list inside the list of events.
    NestedList "nested_list" Repaired "list inside the list of events, read too",
    /// One event per line, without a list around them.
    EventPerLine "event_per_line" Repaired "events one after the other, without a list",
    /// A backslash that begins no escape: the text is kept as it stands.
    InvalidEscape "invalid_escape" Repaired "text with a raw backslash, kept as it stands",
    /// A quotation mark inside a text.
    RawQuote "raw_quote" Repaired "text with a raw quotation mark, kept as it stands",
    /// A control character inside a text, where JSON wants an escape: a tab, a line end.
    RawControl "raw_control" Repaired "event with a raw control character in a text, kept as it stands",
    /// The escape of half a character, such as `\ud800`, which is shown as U+FFFD.
    LoneSurrogate "lone_surrogate" Repaired "event with half a character in a text, shown as U+FFFD",
    /// An invalid value, such as `1.#INF`.
    BadValue "bad_value" Repaired "unreadable value, left out",
    /// Bytes of zero between values.
    NulBytes "nul_bytes" Repaired "bytes of zero inside an event, skipped",
    /// Zeros behind the end, as a file system leaves them that lost its power.
    PaddingBehindEnd "padding_behind_end" Repaired "padding with zeros",
    /// Text between events, such as a line of a log.
    TextBetweenEvents "text_between_events" Repaired "text between events, skipped",
    /// Text behind the end of the document that holds no event: a line of a log, padding.
    TextBehindEnd "text_behind_end" Repaired "text behind the end of the trace, skipped",
    /// Text that is not UTF-8; what cannot be decoded is shown as U+FFFD.
    InvalidUtf8 "invalid_utf8" Repaired "event with text that is not UTF-8",
    /// The file is in UTF-16.
    Utf16 "utf16" Repaired "file in UTF-16",
    /// A log of changes lies beside a database.
    ChangesLeftOut "changes_left_out" Repaired "log of changes beside the database, which may still be written: left out",
    /// A time on a clock of which the file does not say how it runs.
    UnknownClock "unknown_clock" Repaired "time on a clock that nothing ties to the others, taken as it stands",
    /// A sample of a stack has no weight.
    SampleWithoutWeight "sample_without_weight" Repaired "sample without a weight, which takes no time",
    /// A packet that needs earlier definitions of its sequence, some of which were lost.
    PacketWithoutState "packet_without_state" EventLost "packet that needs names that were lost",
    /// A value of a counter of Perfetto whose packet does not say which track it is of.
    CounterWithoutTrack "counter_without_track" EventLost "value of a counter without a track",
    /// A packet of Perfetto with events of an operating system.
    UnreadKernelEvents "unread_kernel_events" Unread "packet of events of the kernel (ftrace), which are not read",
    /// A packet of Perfetto with samples of stacks or of the heap.
    UnreadSamples "unread_samples" Unread "packet of samples of stacks or of the heap, which are not read",
    /// A packet of Perfetto with measurements of a machine or its processes.
    UnreadMeasurements "unread_measurements" Unread "packet of measurements of the system, which are not read",
    /// A packet of Perfetto with anything else that happened.
    UnreadPacket "unread_packet" Unread "packet of another kind that is not read, such as a log",
    /// A field of an event of Perfetto that says more about it, such as a typed argument, a call stack, a message of protobuf.
    UnreadArgument "unread_argument" Unread "argument of a type that is not read, such as a typed one or a call stack",
    /// A name that a file gives by a number, and does not have.
    MissingName "missing_name" EventLost "name that the file does not have, shown as `unknown`",
    /// A table of a database that is a view or a virtual table: what it shows is not read.
    NotATable "not_a_table" MoreLost "table that is a view or a virtual table, which is not read",
    /// A weight of a sample that the file does not have.
    WeightWithoutSample "weight_without_sample" EventLost "weight without a sample",
    /// The writer says that it lost data.
    DataLost "data_lost" MoreLost "place where the writer lost data",
    /// An event that could not be read.
    UnreadableEvent "unreadable_event" EventLost "unreadable event",
    /// An event nested too deeply.
    TooDeep "nested_too_deeply" EventLost "event nested too deeply",
    /// An event, or what looks like one, that is too long.
    EventTooLong "event_too_long" EventLost "event of more than 16 MiB",
    /// An event that gives its time, but not its phase.
    MissingPhase "missing_phase" EventLost "event without a phase",
    /// Something that the file says about itself could not be read.
    UnreadableMetadata "unreadable_metadata" EventLost "unreadable value outside the events",
}

/// How often a defect was met, and where first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefectCount {
    /// How often.
    pub count: u64,
    /// Line of the first, counted from one.
    pub line: u64,
    /// Byte of the first, counted from zero.
    pub offset: u64,
}

/// How often each defect was met.
#[derive(Clone, Debug, Default)]
pub struct DefectCounts(BTreeMap<Defect, DefectCount>);

impl DefectCounts {
    /// Counts `count` of one; its place, line and byte, is asked for only the first time.
    pub fn add(&mut self, defect: Defect, count: u64, place: impl FnOnce() -> (u64, u64)) {
        let entry = self.0.entry(defect).or_insert_with(|| {
            let (line, offset) = place();
            DefectCount { count: 0, line, offset }
        });
        entry.count += count;
    }

    /// How often one was met.
    pub fn count_of(&self, defect: Defect) -> u64 {
        self.0.get(&defect).map_or(0, |found| found.count)
    }

    /// Every defect that was met, those that cost most last.
    pub fn iter(&self) -> impl Iterator<Item = (Defect, &DefectCount)> {
        self.0.iter().map(|(defect, count)| (*defect, count))
    }

    /// Counts by name of what could be read all the same.
    pub fn repairs(&self) -> BTreeMap<String, u64> {
        self.counts(|cost| cost <= DefectCost::Repaired)
    }

    /// Counts by name of what was lost.
    pub fn losses(&self) -> BTreeMap<String, u64> {
        self.counts(|cost| cost > DefectCost::Repaired)
    }

    fn counts(&self, of: impl Fn(DefectCost) -> bool) -> BTreeMap<String, u64> {
        let wanted = self.iter().filter(|(defect, _)| of(defect.cost()));
        wanted.map(|(defect, count)| (defect.name().to_owned(), count.count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_is_kept_and_names_are_unique() {
        let mut counts = DefectCounts::default();
        counts.add(Defect::MissingComma, 1, || (3, 40));
        counts.add(Defect::MissingComma, 2, || panic!("asked for once"));
        counts.add(Defect::UnreadableEvent, 1, || (1, 0));
        let all: Vec<_> = counts.iter().map(|(d, c)| (d.name(), c.count, c.line, c.offset)).collect();
        assert_eq!(all, [("missing_comma", 3, 3, 40), ("unreadable_event", 1, 1, 0)]);
        counts.add(Defect::UnreadSamples, 4, || (0, 9));
        let losses = counts.losses();
        assert_eq!((counts.repairs().len(), losses["unreadable_event"], losses["unread_samples"]), (1, 1, 4));
        assert!(Defect::UnreadableEvent.is_fault() && !Defect::UnreadSamples.is_fault());
        let names: std::collections::HashSet<_> = Defect::ALL.iter().map(|d| d.name()).collect();
        assert_eq!(names.len(), Defect::ALL.len());
    }
}
