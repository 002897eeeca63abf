//! Interning: every name once, as a small number.

use super::{FastMap, RawText};

/// Names by number.
#[derive(Default)]
pub struct NameTable {
    numbers: FastMap<Box<[u8]>, u32>,
    names: Vec<String>,
}

impl NameTable {
    /// The number of a name.
    pub fn intern(&mut self, name: RawText<'_>) -> u32 {
        if let Some(&n) = self.numbers.get(name.raw) {
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
    }
}
