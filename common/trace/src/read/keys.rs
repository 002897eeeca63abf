//! Members of objects whose keys come again and again, as those of arguments do: each key has a number, so that what is to
//! be done with it is found out once.
//!
//! Between two values stand a comma, white space, a key and a colon. Objects of one writer have the same texts there, mostly
//! in the same order: comparing a text with those that came behind the last one is faster than scanning it.

use super::scan::{JsonScan, StrictScanner};
use super::shape::{NestedMemory, begins_with};
use super::value::{RawValue, find_arguments};

/// More different texts are of files whose objects do not look alike.
const MOST_KEYS: usize = 256;

/// The keys so far.
#[derive(Debug)]
pub struct KnownKeys {
    /// The first entry stands for the beginning of an object: its successors are first keys.
    leads: Vec<KeyLead>,
    nested: NestedMemory,
}

/// A text between two values.
#[derive(Debug, Default)]
struct KeyLead {
    text: Box<[u8]>,
    /// Where in it the key is, which has no escapes.
    key: (usize, usize),
    /// The numbers of those that came behind its value.
    next: Vec<usize>,
}

impl Default for KnownKeys {
    fn default() -> Self {
        Self { leads: vec![KeyLead::default()], nested: NestedMemory::default() }
    }
}

impl KnownKeys {
    /// Calls `each` with every member of an object that a reader has read without a repair: a number of its key, which stays
    /// the same (one key may have several), the key, and the value as it stands there. `false` where that cannot be done, be
    /// it after some of the members: keys have escapes, or there are too many.
    #[inline]
    pub fn for_each_member<'a>(
        &mut self,
        object: &'a [u8],
        mut each: impl FnMut(usize, &'a [u8], &'a [u8]),
    ) -> bool {
        let mut scan = StrictScanner::new(object, 0);
        let (mut lead, mut at) = (0, 0);
        loop {
            let Some(rest) = object.get(at..) else { return false };
            lead = match self.find_next(lead, rest) {
                Some(next) => next,
                None if is_end(rest, at == 0) => return true,
                None => match self.learn(lead, object, at) {
                    Some(next) => next,
                    None => return false,
                },
            };
            let KeyLead { text, key: (from, to), .. } = &self.leads[lead];
            let (key, start) = (&object[at + from..at + to], at + text.len());
            scan.go_to(start);
            let value = match object.get(start) {
                Some(b'{' | b'[') => self.nested.scan_nested(&mut scan),
                Some(first) => scan.scan_flat(*first),
                None => return false,
            };
            if value.is_err() {
                return false;
            }
            at = scan.pos();
            each(lead - 1, key, &object[start..at]);
        }
    }

    /// The text behind the value of another that is next.
    #[inline]
    fn find_next(&mut self, lead: usize, rest: &[u8]) -> Option<usize> {
        let next = &self.leads[lead].next;
        // What is next may go on with white space that is not in the text.
        let is_next = |n: usize| {
            let text = &self.leads[n].text;
            begins_with(rest, text) && rest.get(text.len()).is_some_and(|first| *first > b' ')
        };
        let i = next.iter().position(|n| is_next(*n))?;
        let found = next[i];
        if i > 0 {
            // What comes often comes to the front.
            self.leads[lead].next.swap(i, i / 2);
        }
        Some(found)
    }

    /// Takes notice of the text that is next. `None` if it is too unusual.
    fn learn(&mut self, lead: usize, object: &[u8], at: usize) -> Option<usize> {
        let mut scan = StrictScanner::new(object, at);
        let close = if at == 0 { b'{' } else { b',' };
        if scan.peek_byte().ok()? != close {
            return None;
        }
        scan.go_to(scan.pos() + 1);
        let key = scan.scan_key().ok()?;
        scan.peek_byte().ok()?;
        let text = &object[at..scan.pos()];
        if key.is_escaped() {
            return None;
        }
        let known = self.leads.iter().skip(1).position(|known| *known.text == *text).map(|n| n + 1);
        let number = known.unwrap_or(self.leads.len());
        if number > MOST_KEYS {
            return None;
        }
        if known.is_none() {
            let (from, to) = key.bounds();
            self.leads.push(KeyLead { text: text.into(), key: (from - at, to - at), next: Vec::new() });
        }
        self.leads[lead].next.push(number);
        Some(number)
    }
}

/// Finds some of the arguments of events, whose keys come again and again.
#[derive(Debug)]
pub(crate) struct ArgumentFinder<const N: usize> {
    names: [&'static str; N],
    keys: KnownKeys,
    /// For each number of a key that is known, its place among the names.
    places: Vec<Option<Option<usize>>>,
}

impl<const N: usize> ArgumentFinder<N> {
    /// For arguments of these names.
    pub(crate) fn new(names: [&'static str; N]) -> Self {
        Self { names, keys: KnownKeys::default(), places: Vec::new() }
    }

    /// The whole numbers that the arguments are: the last of equal names counts.
    pub(crate) fn find_numbers(&mut self, args: &[u8]) -> [Option<i64>; N] {
        let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse().ok();
        let mut found = [None; N];
        if args.is_empty() {
            return found;
        }
        let Self { names, keys, places } = self;
        let whole = keys.for_each_member(args, |key_number, key, value| {
            if places.len() <= key_number {
                places.resize(key_number + 1, None);
            }
            let place = || names.iter().position(|name| name.as_bytes() == key);
            if let Some(i) = *places[key_number].get_or_insert_with(place) {
                found[i] = matches!(value, [b'-' | b'0'..=b'9', ..]).then(|| number(value)).flatten();
            }
        });
        if whole {
            return found;
        }
        find_arguments(args, *names).map(|value| match value {
            Some(RawValue::Number(digits)) => number(digits),
            _ => None,
        })
    }
}

/// Returns whether nothing but the brace of an object is left of it; of a whole one, that it has no members.
fn is_end(rest: &[u8], whole: bool) -> bool {
    match rest.trim_ascii() {
        [b'}'] => !whole,
        [b'{', inner @ .., b'}'] => whole && inner.trim_ascii().is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Event;
    use crate::read::for_each_member;
    use proptest::prelude::*;

    fn members(keys: &mut KnownKeys, object: &str) -> Option<Vec<(usize, String, String)>> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut found = Vec::new();
        let whole = keys.for_each_member(object.as_bytes(), |number, key, value| {
            found.push((number, text(key), text(value)));
        });
        whole.then_some(found)
    }

    #[test]
    fn a_key_has_a_number() {
        let mut keys = KnownKeys::default();
        let first = members(&mut keys, r#"{"a": 1, "b": [1, {"a": 2}], "a": "x,\"y"}"#).unwrap();
        let texts: Vec<(&str, &str)> = first.iter().map(|(_, key, value)| (&**key, &**value)).collect();
        assert_eq!(texts, [("a", "1"), ("b", r#"[1, {"a": 2}]"#), ("a", r#""x,\"y""#)]);
        assert_eq!(members(&mut keys, r#"{"a": 1, "b": [1, {"a": 2}], "a": "x,\"y"}"#).unwrap(), first);
        // The white space between values need not be the same.
        assert_eq!(members(&mut keys, "{\"a\":  7 , \"b\":true }").unwrap().len(), 2);
        assert_eq!(members(&mut keys, "{ }"), Some(Vec::new()));
        assert_eq!(members(&mut keys, r#"{"a": 1, "\u0062": 2}"#), None);
        let many = |i: usize| format!("{{\"key {i}\": 1}}");
        assert!((0..2000).any(|i| members(&mut keys, &many(i)).is_none()), "memory is bounded");
        assert_eq!(members(&mut keys, r#"{"a": 3}"#).unwrap()[0].0, first[0].0);
    }

    #[test]
    fn numbers_are_found() {
        let mut finder = ArgumentFinder::new(["a", "b"]);
        for _ in 0..2 {
            for (args, expected) in [
                (r#"{"b": 2, "c": {"a": 9}, "a": -1}"#, [Some(-1), Some(2)]),
                (r#"{"a": 1, "a": 7, "b": "2"}"#, [Some(7), None]),
                (r#"{"a": 1, "a": [7], "b": 2.0}"#, [None, None]),
                (r#"{"\u0061": 5, "b": inf}"#, [Some(5), None]),
                ("", [None, None]),
            ] {
                assert_eq!(finder.find_numbers(args.as_bytes()), expected, "{args}");
            }
        }
    }

    proptest! {
        /// The same members as without knowing any key.
        #[test]
        fn known_keys_change_nothing(
            objects in prop::collection::vec(prop::collection::vec((0..6_usize, 0..5_usize, 0..7_usize), 0..6), 1..20)
        ) {
            const KEYS: [&str; 6] = ["a", "External id", "é", "", "a b", "args"];
            const SPACES: [&str; 5] = ["", " ", "\n  ", "\t", "         "];
            const VALUES: [&str; 7] = ["1", "-1.5e3", "\"x\"", "\"\\\"}\"", "[[1, 2], []]", "null", "7"];
            let mut keys = KnownKeys::default();
            for object in &objects {
                let mut text = "{".to_owned();
                for (i, (key, space, value)) in object.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    let space = SPACES[*space];
                    text += &format!("{comma}{space}\"{}\":{space}{}", KEYS[*key], VALUES[*value]);
                }
                text.push('}');
                let mut plain = Vec::new();
                for_each_member(&Event { text: text.as_bytes(), ..Event::default() }, |key, value| {
                    plain.push((key.decode().into_owned(), String::from_utf8_lossy(value).into_owned()));
                });
                let found = members(&mut keys, &text).unwrap();
                let found: Vec<_> = found.into_iter().map(|(_, key, value)| (key, value)).collect();
                prop_assert_eq!(found, plain, "{}", text);
            }
        }
    }
}
