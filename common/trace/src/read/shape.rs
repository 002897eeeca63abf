//! Events of one writer look alike, and are read faster by what they have in common.
//!
//! Between two values of an event stand a comma, white space, the next key and a colon: in a trace of a million events
//! only some hundred different texts. [`EventShapes`] keeps them as a tree. An event that goes along a path of it is
//! read by comparing whole texts; nothing but its values is scanned. The texts were read by the strict scanner before,
//! so what stands in the tree means what that scanner made of it. An event that leaves the tree is read by the strict
//! scanner, which then learns its path.

use super::event::{Argument, EventFields, Member};
use super::scan::{JsonScan, ScanFault, StrictScanner};
use super::span::TextSpan;
use super::words::word_at;

/// Larger trees are of files whose events do not look alike.
const MOST_NODES: usize = 2048;
const MOST_CHILDREN: usize = 32;
const LONGEST_TEXT: usize = 1024;

/// What the value behind a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Member(Member),
    Argument(Argument),
    /// A member that nobody looks at.
    Other,
    /// An argument that nobody looks at.
    Skip,
    /// There is no value: the event ends.
    End,
}

/// A text between two values.
#[derive(Debug)]
struct Node {
    text: Box<[u8]>,
    step: Step,
    /// Where in the text the arguments begin, with their brace, and where they have ended.
    args_from: Option<usize>,
    args_to: Option<usize>,
    /// What may come behind the value.
    next: Vec<usize>,
}

/// The tree.
#[derive(Debug)]
pub(super) struct EventShapes {
    nodes: Vec<Node>,
    hits: u64,
    misses: u64,
}

impl Default for EventShapes {
    fn default() -> Self {
        let root =
            Node { text: [].into(), step: Step::Skip, args_from: None, args_to: None, next: Vec::new() };
        Self { nodes: vec![root], hits: 0, misses: 0 }
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
        if useful && self.nodes.len() < MOST_NODES {
            self.learn(text, start);
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
            let Node { text: passed, step, args_from, args_to, .. } = &self.nodes[node];
            // Of arguments that come twice, the first end where the second begin.
            let (from, to) = (*args_from, *args_to);
            if let Some(to) = to.filter(|to| from.is_none_or(|from| *to <= from)) {
                fields.args = TextSpan::new(args, at + to, false);
            }
            if let Some(from) = from {
                args = at + from;
                if let Some(to) = to.filter(|to| *to > from) {
                    fields.args = TextSpan::new(args, at + to, false);
                }
            }
            at += passed.len();
            if *step == Step::End {
                fields.empty = scan.pos() == start && !passed.contains(&b'"');
                return Some((fields, at));
            }
            scan.go_to(at);
            let value = match *text.get(at)? {
                // This text has been seen before arguments that were none.
                b'{' if *step == Step::Member(Member::Args) => return None,
                b'{' | b'[' => scan.scan_nested(),
                first => scan.scan_flat(first),
            };
            let value = value.ok()?;
            match *step {
                Step::Member(member) => fields.set_member(member, value),
                Step::Argument(argument) => fields.set_argument(argument, value),
                Step::Other => fields.others = true,
                Step::Skip | Step::End => {}
            }
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

    /// Adds the path of an event that the strict scanner has read.
    fn learn(&mut self, text: &[u8], start: usize) {
        let Some(path) = record_path(text, start) else { return };
        let mut node = 0;
        for recorded in path {
            let same = |n: &&usize| {
                let known = &self.nodes[**n];
                (known.step, known.args_from, known.args_to, &known.text)
                    == (recorded.step, recorded.args_from, recorded.args_to, &recorded.text)
            };
            node = match self.nodes[node].next.iter().find(same) {
                Some(&known) => known,
                None if self.nodes[node].next.len() == MOST_CHILDREN => return,
                None => {
                    let new = self.nodes.len();
                    self.nodes[node].next.push(new);
                    self.nodes.push(recorded);
                    new
                }
            };
        }
    }
}

/// Eight bytes at a time: the texts are short, and a call would take longer.
#[inline(always)]
fn begins_with(rest: &[u8], text: &[u8]) -> bool {
    let Some(rest) = rest.get(..text.len()) else { return false };
    let Some(tail) = text.len().checked_sub(8) else { return rest == text };
    let mut at = 0;
    while at < tail {
        if word_at(rest, at) != word_at(text, at) {
            return false;
        }
        at += 8;
    }
    word_at(rest, tail) == word_at(text, tail)
}

/// The texts between the values of an event. `None` for what is too unusual to be kept.
fn record_path(text: &[u8], start: usize) -> Option<Vec<Node>> {
    let mut path = Vec::new();
    let mut from = start;
    let (mut args_from, mut args_to) = (None, None);
    let mut scan = StrictScanner::new(text, start);
    let mut record =
        |from: usize, to: usize, step, args_from: &mut Option<usize>, args_to: &mut Option<usize>| {
            let passed = text.get(from..to).filter(|t| t.len() <= LONGEST_TEXT)?;
            path.push(Node {
                text: passed.into(),
                step,
                args_from: args_from.take(),
                args_to: args_to.take(),
                next: Vec::new(),
            });
            Some(())
        };
    let mut more = scan.open_bracket(b'}').ok()?;
    while more {
        let key = scan.scan_key().ok()?.text_in(text);
        let first = scan.peek_byte().ok()?;
        match Member::of_key(key.raw).filter(|_| !key.escaped) {
            _ if key.escaped => return None,
            Some(Member::Id2) => return None,
            // Two in one text between values.
            Some(Member::Args) if first == b'{' && args_from.is_some() => return None,
            Some(Member::Args) if first == b'{' => {
                args_from = Some(scan.pos() - from);
                let mut more = scan.open_bracket(b'}').ok()?;
                while more {
                    let key = scan.scan_key().ok()?.text_in(text);
                    if key.escaped {
                        return None;
                    }
                    scan.peek_byte().ok()?;
                    let step = Argument::of_key(key.raw).map_or(Step::Skip, Step::Argument);
                    record(from, scan.pos(), step, &mut args_from, &mut args_to)?;
                    scan.scan_value().ok()?;
                    from = scan.pos();
                    more = scan.next_element(b'}').ok()?;
                }
                args_to = Some(scan.pos() - from);
            }
            member => {
                let step = member.map_or(Step::Other, Step::Member);
                record(from, scan.pos(), step, &mut args_from, &mut args_to)?;
                scan.scan_value().ok()?;
                from = scan.pos();
            }
        }
        more = scan.next_element(b'}').ok()?;
    }
    record(from, scan.pos(), Step::End, &mut args_from, &mut args_to)?;
    Some(path)
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
        assert_eq!((shapes.hits, shapes.misses), (49, 1));
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
