//! Interning: every name and every thread once, as a small number.

use super::{EventId, FastMap, RawText};

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

/// Threads by number: one per pair of process and thread id.
#[derive(Default)]
pub struct ThreadTable {
    numbers: FastMap<(i64, i64), u32>,
    /// Those of which an id is no number.
    others: FastMap<(Key, Key), u32>,
    /// Most events stay on the thread of the one before.
    last: Option<((i64, i64), u32)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    None,
    Number(i64),
    Text(Box<[u8]>),
}

impl From<EventId<'_>> for Key {
    fn from(id: EventId<'_>) -> Self {
        match id {
            EventId::None => Self::None,
            EventId::Number(n) => Self::Number(n),
            EventId::Text(t) => Self::Text(t.raw.into()),
        }
    }
}

impl ThreadTable {
    /// The number of a thread.
    #[inline]
    pub fn intern(&mut self, pid: EventId<'_>, tid: EventId<'_>) -> u32 {
        let next = u32::try_from(self.count_threads()).unwrap_or(u32::MAX);
        let (EventId::Number(p), EventId::Number(t)) = (pid, tid) else {
            return *self.others.entry((pid.into(), tid.into())).or_insert(next);
        };
        match self.last {
            Some((key, n)) if key == (p, t) => n,
            _ => {
                let n = *self.numbers.entry((p, t)).or_insert(next);
                self.last = Some(((p, t), n));
                n
            }
        }
    }

    /// How many there are.
    pub fn count_threads(&self) -> usize {
        self.numbers.len() + self.others.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_different_threads() {
        let mut lanes = ThreadTable::default();
        let text = EventId::Text("7".into());
        let a = lanes.intern(EventId::Number(1), EventId::Number(7));
        assert_ne!(a, lanes.intern(EventId::Number(1), text));
        assert_ne!(a, lanes.intern(EventId::None, EventId::Number(7)));
        assert_eq!(a, lanes.intern(EventId::Number(1), EventId::Number(7)));
        assert_eq!(lanes.count_threads(), 3);
    }

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
