//! The values of the rows that wait, by column.

use std::hash::BuildHasher;

use trace::model::FastState;

/// The values of a column, up to its last one that is there: rows behind that have none.
pub(super) enum ColumnValues {
    Int(Vec<Option<i64>>),
    /// Each text once, and the number of the text of each row, or [`NO_TEXT`].
    Text(TextPool, Vec<u32>),
}

/// In the place of the number of a text that is missing.
pub(super) const NO_TEXT: u32 = u32::MAX;

impl ColumnValues {
    /// Forgets all values.
    pub(super) fn clear(&mut self) {
        match self {
            Self::Int(rows) => rows.clear(),
            Self::Text(pool, rows) => {
                pool.clear();
                rows.clear();
            }
        }
    }
}

/// Texts, each once, numbered as they came.
#[derive(Default)]
pub(super) struct TextPool {
    bytes: Vec<u8>,
    /// Where each text ends.
    ends: Vec<usize>,
    /// Hashes and numbers of the texts, each at the first free place from that of its hash; at most half are taken.
    places: Vec<(u32, u32)>,
    hash: FastState,
}

impl TextPool {
    /// How many texts there are.
    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of all texts.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory that the texts take, about.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + 32 * self.count()
    }

    /// The text of a number.
    pub(super) fn text(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[start..self.ends[number]]
    }

    /// The number of a text. Texts of a trace may hold any bytes; those of a column are UTF-8.
    pub(super) fn number_of(&mut self, text: &[u8]) -> u32 {
        match self.find(text) {
            Ok(number) => number,
            Err((place, hash)) if std::str::from_utf8(text).is_ok() => self.add(text, place, hash),
            Err(_) => {
                let valid = String::from_utf8_lossy(text);
                match self.find(valid.as_bytes()) {
                    Ok(number) => number,
                    Err((place, hash)) => self.add(valid.as_bytes(), place, hash),
                }
            }
        }
    }

    /// The number of a text that is known, or the place for it and its hash.
    fn find(&mut self, text: &[u8]) -> Result<u32, (usize, u32)> {
        if self.places.len() < 2 * (self.count() + 1) {
            self.grow();
        }
        let hash = self.hash.hash_one(text) as u32;
        let mask = self.places.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            match self.places[place] {
                (_, NO_TEXT) => return Err((place, hash)),
                (same, number) if same == hash && self.text(number) == text => return Ok(number),
                _ => place = (place + 1) & mask,
            }
        }
    }

    fn add(&mut self, text: &[u8], place: usize, hash: u32) -> u32 {
        let number = self.count() as u32;
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
        self.places[place] = (hash, number);
        number
    }

    fn grow(&mut self) {
        let wanted = (2 * self.places.len()).max(64);
        let old = std::mem::replace(&mut self.places, vec![(0, NO_TEXT); wanted]);
        for (hash, number) in old.into_iter().filter(|(_, number)| *number != NO_TEXT) {
            let mut place = hash as usize & (wanted - 1);
            while self.places[place].1 != NO_TEXT {
                place = (place + 1) & (wanted - 1);
            }
            self.places[place] = (hash, number);
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.places.fill((0, NO_TEXT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number() {
        let mut pool = TextPool::default();
        for round in 0..2 {
            let numbers: Vec<u32> =
                (0..1000).map(|i| pool.number_of(format!("text {}", i % 500).as_bytes())).collect();
            assert_eq!(numbers, (0..1000).map(|i| i % 500).collect::<Vec<u32>>(), "round {round}");
            assert_eq!((pool.text(0), pool.text(499)), (&b"text 0"[..], &b"text 499"[..]));
            assert_eq!(pool.number_of(b""), 500);
            // What is not UTF-8 is what it is read as.
            assert_eq!([&b"\xff"[..], "\u{fffd}".as_bytes(), b"\xfe"].map(|t| pool.number_of(t)), [501; 3]);
            assert_eq!(pool.count(), 502);
            pool.clear();
        }
    }
}
