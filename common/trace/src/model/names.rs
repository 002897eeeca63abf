//! Interning: every name once, as a small number.

use super::{FastMap, RawText};

/// Names by number.
#[derive(Default)]
pub struct NameTable {
    numbers: FastMap<Box<[u8]>, u32>,
    names: Vec<String>,
    /// Numbers of names that were asked for lately, each where some of its bytes say; most names come again soon.
    recent: [u32; RECENT],
}

const RECENT: usize = 32;

/// The place of a name among the recent ones: by its length and some of its bytes.
fn place_of(name: &[u8]) -> usize {
    let byte = |at: usize| usize::from(name.get(at).copied().unwrap_or(0));
    let (middle, last) = (name.len() / 2, name.len().saturating_sub(1));
    (name.len() + byte(0) + byte(middle) * 5 + byte(last) * 3) % RECENT
}

impl NameTable {
    /// The number of a name.
    pub fn intern(&mut self, name: RawText<'_>) -> u32 {
        let place = place_of(name.raw);
        let recent = self.recent[place];
        if !name.escaped && self.names.get(recent as usize).is_some_and(|n| n.as_bytes() == name.raw) {
            return recent;
        }
        if let Some(&n) = self.numbers.get(name.raw) {
            self.recent[place] = n;
            return n;
        }
        let n = if name.escaped {
            // The same name may also be spelled with other escapes, or without.
            self.intern(RawText::from(name.decode().as_ref()))
        } else {
            let n = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
            self.names.push(name.decode().into_owned());
            n
        };
        self.numbers.insert(name.raw.into(), n);
        n
    }

    /// How many names there are.
    pub fn count_names(&self) -> u32 {
        u32::try_from(self.names.len()).unwrap_or(u32::MAX)
    }

    /// The name of a number.
    pub fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let mut names = NameTable::default();
        let n = names.intern("a".into());
        assert_eq!(n, names.intern("a".into()));
        assert_ne!(n, names.intern("b".into()));
        assert_eq!(names.name(n), "a");
        assert_eq!(n, names.intern(RawText { raw: br"\u0061", escaped: true }));
        // Whatever was asked for before.
        let texts: Vec<String> = (0..500).map(|i| format!("name {}", i * 7919 % 97)).collect();
        let numbers: Vec<u32> = texts.iter().map(|text| names.intern(text.as_str().into())).collect();
        for (text, number) in texts.iter().zip(numbers) {
            assert_eq!((names.intern(text.as_str().into()), names.name(number)), (number, text.as_str()));
        }
        assert_eq!((names.count_names(), names.intern("".into())), (99, 99));
    }
}
