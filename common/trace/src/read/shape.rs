//! Events of one writer look alike, and are read faster by what they have in common.
//!
//! Between two values of an event stand a comma, white space, the next key and a colon: in a trace of a million events
//! only some hundred different texts. And many values are always the same where they stand: the category, the process, a
//! version ([`super::habits`] knows which). [`EventShapes`] keeps the texts between values that vary as a tree, with the
//! others in them. An event that goes along a path of it is read by comparing whole texts; nothing but the values that
//! vary is scanned. The texts were read by the strict scanner before, so what stands in the tree means what that
//! scanner made of it. An event that leaves the tree is read by the strict scanner, which then learns its path.

use super::event::EventFields;
use super::habits::{Habit, Habits, PlacedValue};
use super::scan::{JsonScan, ScanFault, StrictScanner, StringFaults};
use super::slots::{Argument, Member, Slot};
use super::span::{JsonValue, TextSpan};
use super::words::word_at;

/// Larger trees are of files whose events do not look alike.
const MOST_NODES: usize = 2048;
const MOST_CHILDREN: usize = 64;
/// Number of events that could not be learned after which no more are tried.
const MOST_FAILURES: u64 = 1000;
const LONGEST_TEXT: usize = 1024;

/// A text up to a value that varies, or to the end of the event.
#[derive(Debug, Default)]
struct ShapeNode {
    text: Box<[u8]>,
    /// The values in the text that are used, with their places in it.
    fixed: Vec<(Slot, JsonValue)>,
    /// Where the value behind the text belongs; `None` if the event ends.
    slot: Option<Slot>,
    /// There are members that are not needed.
    others: bool,
    /// Where in the text the arguments begin, with their brace, and where they have ended.
    args_from: Option<usize>,
    args_to: Option<usize>,
    /// The shapes that may come behind the value.
    next: Vec<usize>,
}

/// The tree.
#[derive(Debug)]
pub(super) struct EventShapes {
    nodes: Vec<ShapeNode>,
    habits: Habits,
    nested: NestedMemory,
    hits: u64,
    misses: u64,
    /// Events that could not be learned.
    failures: u64,
}

impl Default for EventShapes {
    fn default() -> Self {
        Self {
            nodes: vec![ShapeNode::default()],
            habits: Habits::default(),
            nested: NestedMemory::default(),
            hits: 0,
            misses: 0,
            failures: 0,
        }
    }
}

impl EventShapes {
    /// Reads the event whose brace is at `start`: its fields, and where it ends.
    #[inline]
    pub(super) fn read_event(
        &mut self,
        text: &[u8],
        start: usize,
    ) -> Result<(EventFields, usize), ScanFault> {
        let useful = self.misses < self.hits + 1000;
        if useful {
            if let Some(read) = self.follow(text, start) {
                self.hits += 1;
                return Ok(read);
            }
            self.misses += 1;
        }
        let mut scan = StrictScanner::new(text, start);
        let fields = EventFields::read(&mut scan, false)?;
        // What is odd is read anew each time, so that it is counted.
        let odd = fields.repeated || fields.faults != StringFaults::default();
        if useful && !odd && self.failures < MOST_FAILURES && self.nodes.len() < MOST_NODES {
            self.failures += u64::from(!self.learn(text, start));
        }
        Ok((fields, scan.pos()))
    }

    /// Reads an event along a path of the tree.
    #[inline]
    fn follow(&mut self, text: &[u8], start: usize) -> Option<(EventFields, usize)> {
        let mut fields = EventFields::default();
        let mut scan = StrictScanner::new(text, start);
        let (mut at, mut args, mut node) = (start, 0, 0);
        loop {
            node = self.find_next(node, text.get(at..)?)?;
            let passed = &self.nodes[node];
            for (slot, value) in &passed.fixed {
                fields.set(*slot, value.moved(0, at));
            }
            fields.others |= passed.others;
            if passed.args_from.is_some() || passed.args_to.is_some() {
                args = passed.pass_arguments(at, args, &mut fields);
            }
            at += passed.text.len();
            let Some(slot) = passed.slot else {
                fields.set(Slot::NONE, JsonValue::MISSING);
                fields.empty = scan.pos() == start && !passed.text.contains(&b'"');
                fields.faults = scan.string_faults();
                return Some((fields, at));
            };
            scan.go_to(at);
            let value = match *text.get(at)? {
                // This text has been seen before arguments that were none.
                b'{' if slot == Member::Args.slot() => return None,
                b'{' | b'[' => self.nested.scan_nested(&mut scan),
                first => scan.scan_flat(first),
            };
            fields.set(slot, value.ok()?);
            at = scan.pos();
        }
    }

    /// The node behind another whose text is next.
    #[inline]
    fn find_next(&mut self, node: usize, rest: &[u8]) -> Option<usize> {
        let next = &self.nodes[node].next;
        let first = *next.first()?;
        if begins_with(rest, &self.nodes[first].text) {
            return Some(first);
        }
        let i = 1 + next[1..].iter().position(|&n| begins_with(rest, &self.nodes[n].text))?;
        let found = next[i];
        // What comes often comes to the front.
        self.nodes[node].next.swap(i, i / 2);
        Some(found)
    }

    /// Adds the path of an event that the strict scanner has read. `false` if there is no room for it.
    fn learn(&mut self, text: &[u8], start: usize) -> bool {
        let Some(pieces) = record_path(text, start) else { return false };
        let values = pieces.iter().filter_map(|piece| piece.placed_value(text));
        let Some(habits) = self.habits.note(values) else { return false };
        let (mut node, mut run, mut run_start) = (0, ShapeNode::default(), start);
        for (i, piece) in pieces.iter().enumerate() {
            run.append(piece, run_start);
            let Some(value) = &piece.value else { break };
            // The text goes on where the value is fixed, and what comes next fits behind it.
            let fits = |next: &PathPiece| run.has_room_for(next) && next.to - run_start <= LONGEST_TEXT;
            if habits[i] == Habit::Fixed && pieces.get(i + 1).is_some_and(fits) {
                run.fix(value, run_start);
                continue;
            }
            run.slot = Some(value.slot);
            run.text = text[run_start..piece.to].into();
            if habits[i] == Habit::Broken {
                // Texts behind this node have a value in them that has turned out to vary.
                self.nodes[node].next.clear();
            }
            let Some(child) = self.add_child(node, std::mem::take(&mut run)) else { return false };
            (node, run_start) = (child, value.end);
        }
        run.text = text[run_start..pieces.last().map_or(run_start, |end| end.to)].into();
        self.add_child(node, run).is_some()
    }

    /// The child of a node that is like this one. `None` if there is no room for it.
    fn add_child(&mut self, node: usize, new: ShapeNode) -> Option<usize> {
        let same = |n: &&usize| {
            let known = &self.nodes[**n];
            (known.slot, known.args_from, known.args_to, &known.fixed, &known.text)
                == (new.slot, new.args_from, new.args_to, &new.fixed, &new.text)
        };
        let siblings = &self.nodes[node].next;
        if let Some(&known) = siblings.iter().find(same) {
            return Some(known);
        }
        if siblings.len() == MOST_CHILDREN {
            return None;
        }
        let number = self.nodes.len();
        self.nodes[node].next.push(number);
        self.nodes.push(new);
        Some(number)
    }
}

impl ShapeNode {
    /// Takes notice of arguments that begin or end in the text, which stands at `at`. Returns where the last ones begin.
    fn pass_arguments(&self, at: usize, args: usize, fields: &mut EventFields) -> usize {
        // Of arguments that come twice, the first end where the second begin.
        if let Some(to) = self.args_to.filter(|to| self.args_from.is_none_or(|from| *to <= from)) {
            fields.args = TextSpan::new(args, at + to, false);
        }
        let Some(from) = self.args_from else { return args };
        if let Some(to) = self.args_to.filter(|to| *to > from) {
            fields.args = TextSpan::new(at + from, at + to, false);
        }
        at + from
    }

    /// Appends a piece; the text begins at `start`.
    fn append(&mut self, piece: &PathPiece, start: usize) {
        self.args_from = self.args_from.or(piece.args_from.map(|at| at - start));
        self.args_to = self.args_to.or(piece.args_to.map(|at| at - start));
        self.others |= piece.value.as_ref().is_some_and(|value| value.other);
    }

    /// Returns whether a piece can be appended: arguments begin and end once in a text.
    fn has_room_for(&self, piece: &PathPiece) -> bool {
        let free = |own: Option<usize>, new: Option<usize>| own.is_none() || new.is_none();
        free(self.args_from, piece.args_from) && free(self.args_to, piece.args_to)
    }

    /// Appends a value that is always the same.
    fn fix(&mut self, value: &PathValue, start: usize) {
        if value.slot != Slot::NONE {
            self.fixed.push((value.slot, value.value.moved(start, 0)));
        }
    }
}

/// Objects and arrays that were scanned before: shapes of tensors and grids of kernels come again and again.
#[derive(Debug, Default)]
pub(super) struct NestedMemory {
    /// By a hash of how they begin.
    texts: Vec<Vec<u8>>,
}

impl NestedMemory {
    const PLACES: usize = 1024;
    const LONGEST: usize = 256;

    /// Scans an object or array, which is next. One that begins with the whole of another is that one: its last bracket
    /// closes the first.
    #[inline]
    pub(super) fn scan_nested(&mut self, scan: &mut StrictScanner<'_>) -> Result<JsonValue, ScanFault> {
        let start = scan.pos();
        let place = Self::place_of(scan.text(), start);
        if let Some(known) = place.and_then(|place| self.texts.get(place)).filter(|known| !known.is_empty()) {
            if scan.text().get(start..).is_some_and(|rest| begins_with(rest, known)) {
                scan.go_to(start + known.len());
                return Ok(JsonValue::nested(TextSpan::new(start, scan.pos(), false)));
            }
        }
        let value = scan.scan_nested()?;
        let is_kept = scan.pos() - start <= Self::LONGEST && scan.string_faults() == StringFaults::default();
        if let Some(place) = place.filter(|_| is_kept) {
            self.texts.resize(Self::PLACES, Vec::new());
            let known = &mut self.texts[place];
            known.clear();
            known.extend_from_slice(&scan.text()[start..scan.pos()]);
        }
        Ok(value)
    }

    #[inline]
    fn place_of(text: &[u8], start: usize) -> Option<usize> {
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        let word = |i: usize| word_at(text, start + 8 * i);
        let mixed = (word(0)?.wrapping_mul(MIX) ^ word(1)?).wrapping_mul(MIX) ^ word(2)?;
        Some((mixed.wrapping_mul(MIX) >> 54) as usize % Self::PLACES)
    }
}

/// Returns whether a text begins with another. Most that differ do so in the first eight bytes, and for short ones a call
/// would take longer than comparing them.
#[inline(always)]
pub(super) fn begins_with(rest: &[u8], text: &[u8]) -> bool {
    const SHORT: usize = 24;
    let Some(rest) = rest.get(..text.len()) else { return false };
    let Some(tail) = text.len().checked_sub(8) else { return rest == text };
    if word_at(rest, 0) != word_at(text, 0) {
        return false;
    }
    if text.len() > SHORT {
        return rest[8..] == text[8..];
    }
    let middle = tail / 2;
    word_at(rest, middle) == word_at(text, middle) && word_at(rest, tail) == word_at(text, tail)
}

/// A text between two values of an event, and the value behind it.
struct PathPiece {
    /// Where the text begins and ends.
    from: usize,
    to: usize,
    /// Where in it the arguments begin, with their brace, and where they have ended.
    args_from: Option<usize>,
    args_to: Option<usize>,
    /// The value; none behind the last text.
    value: Option<PathValue>,
}

struct PathValue {
    slot: Slot,
    /// It is a member that is not needed.
    other: bool,
    value: JsonValue,
    /// Where it ends.
    end: usize,
}

impl PathPiece {
    fn placed_value<'a>(&self, text: &'a [u8]) -> Option<PlacedValue<'a>> {
        let PathValue { slot, end, .. } = self.value.as_ref()?;
        let most = most_fixed_values(*slot);
        Some(PlacedValue { text_before: &text[self.from..self.to], value: &text[self.to..*end], most })
    }
}

/// How many different values may be fixed in a place: many, where what follows depends on the value; none, where it
/// is another one in every event.
fn most_fixed_values(slot: Slot) -> usize {
    let is_member = |members: &[Member]| members.iter().any(|m| m.slot() == slot);
    let is_argument = |arguments: &[Argument]| arguments.iter().any(|a| a.slot() == slot);
    if is_member(&[Member::Phase, Member::Cat]) {
        16
    } else if is_member(&[Member::Pid, Member::Tid])
        || is_argument(&[Argument::Stream, Argument::Device, Argument::ForwardThread])
    {
        4
    } else if slot == Slot::NONE
        || is_member(&[Member::Args, Member::Scope])
        || is_argument(&[Argument::TaskType])
    {
        1
    } else {
        0
    }
}

/// The texts between the values of an event. `None` for what is too unusual to be kept.
fn record_path(text: &[u8], start: usize) -> Option<Vec<PathPiece>> {
    let mut recorder = PathRecorder { path: Vec::new(), from: start, args_from: None, args_to: None };
    let mut scan = StrictScanner::new(text, start);
    let mut more = scan.open_bracket(b'}').ok()?;
    while more {
        let key = scan.scan_key().ok()?.text_in(text);
        let first = scan.peek_byte().ok()?;
        match Member::of_key(key.raw) {
            _ if key.escaped => return None,
            Some(Member::Id2) => return None,
            // Two in one text between values.
            Some(Member::Args) if first == b'{' && recorder.args_from.is_some() => return None,
            Some(Member::Args) if first == b'{' => {
                recorder.args_from = Some(scan.pos());
                let mut more = scan.open_bracket(b'}').ok()?;
                while more {
                    let key = scan.scan_key().ok()?.text_in(text);
                    if key.escaped {
                        return None;
                    }
                    scan.peek_byte().ok()?;
                    let slot = Argument::of_key(key.raw).map_or(Slot::NONE, Argument::slot);
                    recorder.record_value(&mut scan, slot, false)?;
                    more = scan.next_element(b'}').ok()?;
                }
                recorder.args_to = Some(scan.pos());
            }
            member => {
                recorder.record_value(
                    &mut scan,
                    member.map_or(Slot::NONE, Member::slot),
                    member.is_none(),
                )?;
            }
        }
        more = scan.next_element(b'}').ok()?;
    }
    recorder.record_text(scan.pos(), None)?;
    Some(recorder.path)
}

/// The recorder of an event's path.
struct PathRecorder {
    path: Vec<PathPiece>,
    /// Where the last value has ended.
    from: usize,
    /// Where arguments have begun and ended since then.
    args_from: Option<usize>,
    args_to: Option<usize>,
}

impl PathRecorder {
    /// Records the value that is next, and the text before it.
    fn record_value(&mut self, scan: &mut StrictScanner<'_>, slot: Slot, other: bool) -> Option<()> {
        let start = scan.pos();
        let value = scan.scan_value().ok()?;
        self.record_text(start, Some(PathValue { slot, other, value, end: scan.pos() }))
    }

    fn record_text(&mut self, to: usize, value: Option<PathValue>) -> Option<()> {
        let from = self.from;
        self.from = value.as_ref().map_or(to, |value| value.end);
        let (args_from, args_to) = (self.args_from.take(), self.args_to.take());
        self.path.push(PathPiece { from, to, args_from, args_to, value });
        (to - from <= LONGEST_TEXT).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn events_of_one_shape_are_read_alike() {
        let event = |i: usize| {
            format!(
                "{{\"ph\": \"X\", \"name\": \"e\\\"{i}\",\n  \"args\": {{\"correlation\": {i}, \"x\": [{{\"a\": {i}}}]}}, \"ts\": {i}.5}}"
            )
        };
        let text = (0..50).map(event).collect::<Vec<_>>().join(",");
        let (mut shapes, mut at) = (EventShapes::default(), 0);
        for i in 0..50 {
            let mut scan = StrictScanner::new(text.as_bytes(), at);
            let fields = EventFields::read(&mut scan, false).unwrap();
            assert_eq!(shapes.read_event(text.as_bytes(), at), Ok((fields, scan.pos())), "{i}");
            at = scan.pos() + 1;
        }
        // The second shows that the list is not always the same.
        assert_eq!((shapes.hits, shapes.misses), (48, 2));
    }

    fn events() -> impl Strategy<Value = String> {
        let member = prop::sample::select(vec![
            r#""ph": "X""#,
            r#""ph":"i""#,
            r#""ts": 1.5"#,
            r#""ts":"2""#,
            r#""pid": [1, {"a": 2}]"#,
            r#""args": {}"#,
            r#""args":{"stream": 7}"#,
            r#""args":{"x": 1, "device": 0 }"#,
            r#""args": null"#,
            r#""id2": {"local": 1}"#,
            r#""x": {}"#,
            r#""na\u006de": "n""#,
            r#""name": "a}",{""#,
            r#""name": "a\\""#,
            "\"name\": \"a\tb\"",
            r#""name": "\ud83d\ude00""#,
            r#""x": ["\ud83d", "abcdefghijklmnopqrstuvwxyz"]"#,
            r#""dur""#,
        ]);
        let comma = prop::sample::select(vec![",", ", ", ",\n  "]);
        let end = prop::sample::select(vec!["}", " }", "\n}", ""]);
        (prop::collection::vec((member, comma), 0..5), end).prop_map(|(members, end)| {
            let mut text = "{".to_owned();
            for (i, (member, comma)) in members.iter().enumerate() {
                text.push_str(if i > 0 { comma } else { "" });
                text.push_str(member);
            }
            text + end
        })
    }

    proptest! {
        /// Whatever was learnt before: the same fields, the same end, or the same fault.
        #[test]
        fn the_tree_reads_what_the_scanner_reads(events in prop::collection::vec(events(), 1..30)) {
            let mut shapes = EventShapes::default();
            for event in events.iter().chain(&events) {
                let text = format!("{event},");
                let mut scan = StrictScanner::new(text.as_bytes(), 0);
                let plain = EventFields::read(&mut scan, false).map(|fields| (fields, scan.pos()));
                prop_assert_eq!(shapes.read_event(text.as_bytes(), 0), plain, "{}", event);
            }
        }
    }
}
