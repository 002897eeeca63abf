//! The columns of a table, and their values of the rows that wait.

use std::hash::BuildHasher;

use trace::model::FastState;

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: ColumnKind,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnKind {
    /// Numbers of 64 bits.
    Int,
    /// Texts.
    Text,
}

/// The values of a column that are there.
pub(super) struct ColumnValues {
    /// The row of each, in their order; none as long as the values are those of the first rows.
    rows: Vec<u32>,
    pub(super) values: Values,
}

/// The values themselves.
pub(super) enum Values {
    Int(Vec<i64>),
    /// Each text once, or what counts as that, and the numbers of the texts.
    Text(TextPool, Vec<u32>),
}

impl ColumnValues {
    /// Without a value.
    pub(super) fn new(values: Values) -> Self {
        Self { rows: Vec::new(), values }
    }

    /// How many values there are.
    #[inline]
    pub(super) fn count(&self) -> usize {
        match &self.values {
            Values::Int(numbers) => numbers.len(),
            Values::Text(_, numbers) => numbers.len(),
        }
    }

    /// The different texts of a column of texts.
    pub(super) fn pool(&self) -> Option<&TextPool> {
        if let Values::Text(pool, _) = &self.values { Some(pool) } else { None }
    }

    /// Makes room for `times` times the values that there are.
    pub(super) fn reserve(&mut self, times: usize) {
        let more = self.count() * (times - 1);
        self.rows.reserve_exact(if self.rows.is_empty() { 0 } else { more });
        match &mut self.values {
            Values::Int(numbers) => numbers.reserve_exact(more),
            Values::Text(pool, numbers) => {
                numbers.reserve_exact(more);
                pool.bytes.reserve(pool.bytes.len() * (times - 1));
            }
        }
    }

    /// Bytes of memory that the values take, about.
    pub(super) fn size(&self) -> usize {
        let rows = self.rows.len() * size_of::<u32>();
        rows + match &self.values {
            Values::Int(numbers) => size_of_val(&numbers[..]),
            Values::Text(pool, numbers) => pool.size() + size_of_val(&numbers[..]),
        }
    }

    /// Takes the number of a row, which comes after those that have one.
    #[inline]
    pub(super) fn push_int(&mut self, row: u32, number: i64) {
        match &mut self.values {
            Values::Int(numbers) => {
                note_row(&mut self.rows, row, numbers.len());
                numbers.push(number);
            }
            Values::Text(..) => debug_assert!(false, "this column holds no numbers"),
        }
    }

    /// Takes a number for each of these rows, which come after those that have one.
    pub(super) fn fill(&mut self, rows: std::ops::Range<u32>, number: i64) {
        if let Values::Int(numbers) = &mut self.values {
            let (from, to) = (numbers.len(), numbers.len() + rows.len());
            if !(self.rows.is_empty() && from == rows.start as usize) {
                rows.enumerate().for_each(|(i, row)| note_row(&mut self.rows, row, from + i));
            }
            numbers.resize(to, number);
        }
    }

    /// Takes the text of a row, which comes after those that have one; returns by how many bytes the texts have grown.
    #[inline]
    pub(super) fn push_text(&mut self, row: u32, number_in: impl FnOnce(&mut TextPool) -> u32) -> usize {
        match &mut self.values {
            Values::Text(texts, numbers) => {
                let before = texts.size();
                note_row(&mut self.rows, row, numbers.len());
                numbers.push(number_in(texts));
                texts.size() - before
            }
            Values::Int(_) => {
                debug_assert!(false, "this column holds no texts");
                0
            }
        }
    }

    /// Finds the numbers of rows from this one on.
    pub(super) fn number_finder(&self, from: u32) -> NumberFinder<'_> {
        let Values::Int(numbers) = &self.values else { return NumberFinder::default() };
        NumberFinder { rows: &self.rows, numbers, at: self.rows.partition_point(|row| *row < from) }
    }

    /// Changes the numbers of rows from this one on.
    pub(super) fn change_from(&mut self, from: u32, change: impl Fn(i64) -> i64) {
        if let Values::Int(numbers) = &mut self.values {
            let is_dense = self.rows.is_empty();
            let at = if is_dense { from as usize } else { self.rows.partition_point(|row| *row < from) };
            numbers.iter_mut().skip(at).for_each(|number| *number = change(*number));
        }
    }

    /// Takes the values of some rows of another column of the same kind, the first of which is to be `row` here; that comes
    /// after the rows that have one. `known` has the numbers here of its texts, as far as they are known. Returns by how many
    /// bytes the texts have grown.
    pub(super) fn append(
        &mut self,
        row: u32,
        other: &Self,
        rows: std::ops::Range<u32>,
        known: &mut Vec<u32>,
    ) -> usize {
        let place = |row: u32| match other.rows.is_empty() {
            true => other.count().min(row as usize),
            false => other.rows.partition_point(|other| *other < row),
        };
        let (from, to) = (place(rows.start), place(rows.end));
        if from == to {
            return 0;
        }
        let count = self.count();
        if !(self.rows.is_empty() && other.rows.is_empty() && count == row as usize) {
            if self.rows.len() < count {
                self.rows.extend(0..count as u32);
            }
            match other.rows.get(from..to) {
                Some(places) => self.rows.extend(places.iter().map(|place| place - rows.start + row)),
                None => self.rows.extend(row..row + (to - from) as u32),
            }
        }
        match (&mut self.values, &other.values) {
            (Values::Int(own), Values::Int(others)) => own.extend_from_slice(&others[from..to]),
            (Values::Text(pool, own), Values::Text(texts, others)) => {
                let before = pool.size();
                known.resize(texts.count(), NO_TEXT);
                own.extend(others[from..to].iter().map(|number| {
                    let known = &mut known[*number as usize];
                    if *known == NO_TEXT || !pool.is_dictionary() {
                        *known = pool.number_of(texts.text(*number));
                    }
                    *known
                }));
                return pool.size() - before;
            }
            _ => debug_assert!(false, "these columns are of two kinds"),
        }
        0
    }

    /// The most bytes by which [`Self::append`] of all values makes texts grow.
    pub(super) fn most_text_bytes(&self) -> usize {
        self.pool().map_or(0, |pool| self.count() * (pool.longest() + TEXT_COST))
    }

    /// Changes the last numbers to those that begin with `first`.
    pub(super) fn renumber_last(&mut self, count: usize, first: i64) {
        if let Values::Int(numbers) = &mut self.values {
            let from = numbers.len().saturating_sub(count);
            numbers[from..].iter_mut().zip(first..).for_each(|(number, next)| *number = next);
        }
    }

    /// Calls `each` with the row and the value of each number.
    #[inline]
    pub(super) fn for_each_number(&self, mut each: impl FnMut(usize, i64)) {
        if let Values::Int(numbers) = &self.values {
            self.for_each_row(numbers, |row, number| each(row, *number));
        }
    }

    /// Calls `each` with the row of each of these values, which are those of the column.
    #[inline]
    pub(super) fn for_each_row<T>(&self, values: &[T], mut each: impl FnMut(usize, &T)) {
        if self.rows.is_empty() {
            values.iter().enumerate().for_each(|(row, value)| each(row, value));
        } else {
            self.rows.iter().zip(values).for_each(|(row, value)| each(*row as usize, value));
        }
    }

    /// Discards all but the first values and the first of the different texts.
    pub(super) fn truncate(&mut self, (count, texts): (usize, usize)) {
        self.rows.truncate(count);
        match &mut self.values {
            Values::Int(numbers) => numbers.truncate(count),
            Values::Text(pool, numbers) => {
                pool.truncate(texts);
                numbers.truncate(count);
            }
        }
    }

    /// Forgets all values.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        match &mut self.values {
            Values::Int(numbers) => numbers.clear(),
            Values::Text(pool, numbers) => {
                pool.clear();
                numbers.clear();
            }
        }
    }
}

/// Finds the numbers of rows of a column, one after the other.
#[derive(Default)]
pub(super) struct NumberFinder<'a> {
    rows: &'a [u32],
    numbers: &'a [i64],
    /// The place of the next row that has a number.
    at: usize,
}

impl NumberFinder<'_> {
    /// The number of a row, which comes after those that were looked for before.
    #[inline]
    pub(super) fn number_of_row(&mut self, row: u32) -> Option<i64> {
        if self.rows.is_empty() {
            return self.numbers.get(row as usize).copied();
        }
        while self.rows.get(self.at).is_some_and(|other| *other < row) {
            self.at += 1;
        }
        if self.rows.get(self.at) == Some(&row) { self.numbers.get(self.at).copied() } else { None }
    }
}

/// Records the row of the next value, after `count` others.
#[inline]
fn note_row(rows: &mut Vec<u32>, row: u32, count: usize) {
    if rows.is_empty() && count == row as usize {
        return;
    }
    if rows.len() < count {
        rows.extend(0..count as u32);
    }
    rows.push(row);
}

/// Maximum bytes of a dictionary: a reader of any page has to read it.
pub(super) const DICTIONARY_BYTES: usize = 1 << 20;

/// Bytes of memory that a text takes besides its own, about.
const TEXT_COST: usize = 32;

/// In the place of the number of a text.
const NO_TEXT: u32 = u32::MAX;

/// Texts, each once, numbered as they came. When they are too many for a dictionary, so that their numbers are of no use,
/// only those that came last are known again: looking for all would take longer than to write them twice.
#[derive(Default)]
pub(super) struct TextPool {
    bytes: Vec<u8>,
    /// Where each text ends.
    ends: Vec<usize>,
    /// Hashes and numbers of the texts, each at the first free place from that of its hash; at most half are taken.
    places: Vec<(u32, u32)>,
    /// Texts that are known again by what they were made of.
    by_key: Vec<(i64, u32)>,
    /// Numbers of the texts that came last.
    recent: Vec<u32>,
    digits: Vec<u8>,
    hash: FastState,
}

/// Texts that are known by their keys.
const KEYS: usize = 64;
/// Texts that came last, which are known again without looking at all of them.
const RECENT: usize = 4096;

/// The place of a text among those that came last. The same texts have the same places in each run: how much memory they take says
/// where a row group ends.
#[inline]
fn place_of_recent(text: &[u8]) -> usize {
    let word = |at: usize| {
        let rest = &text[at..];
        let short = || rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        rest.first_chunk().map_or_else(short, |word| u64::from_le_bytes(*word))
    };
    let mix = |mixed: u64, word: u64| (mixed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let mut mixed = mix(text.len() as u64, word(0));
    if text.len() > 8 {
        mixed = mix(mix(mixed, word((text.len() - 8) / 2)), word(text.len() - 8));
    }
    (mixed >> 20) as usize % RECENT
}

impl TextPool {
    /// How many texts there are.
    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a dictionary of all texts.
    pub(super) fn dictionary_bytes(&self) -> usize {
        self.bytes.len() + 4 * self.count()
    }

    /// Bytes of memory that the texts take, about.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + TEXT_COST * self.count()
    }

    /// The length of the longest text.
    fn longest(&self) -> usize {
        let starts = std::iter::once(&0).chain(&self.ends);
        self.ends.iter().zip(starts).map(|(end, start)| end - start).max().unwrap_or(0)
    }

    /// Returns whether all texts are known again.
    fn is_dictionary(&self) -> bool {
        self.dictionary_bytes() <= DICTIONARY_BYTES
    }

    /// The text of a number.
    #[inline]
    pub(super) fn text(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[start..self.ends[number]]
    }

    /// The number of a text that follows from `key`.
    #[inline]
    pub(super) fn number_of_key(&mut self, key: i64, text: impl FnOnce(&mut Vec<u8>)) -> u32 {
        let place = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> 40 & (KEYS - 1);
        let known = self.by_key.get(place).filter(|(known, n)| *known == key && *n != NO_TEXT);
        if let Some((_, number)) = known.filter(|_| self.is_dictionary()) {
            return *number;
        }
        let mut digits = std::mem::take(&mut self.digits);
        digits.clear();
        text(&mut digits);
        let number = self.number_of(&digits);
        self.digits = digits;
        self.by_key.resize(KEYS, (0, NO_TEXT));
        self.by_key[place] = (key, number);
        number
    }

    /// The number of a text. Texts of a trace may hold any bytes; those of a column are UTF-8.
    pub(super) fn number_of(&mut self, text: &[u8]) -> u32 {
        let place = place_of_recent(text);
        if self.recent.is_empty() {
            self.recent.resize(RECENT, NO_TEXT);
        }
        let known = self.recent[place];
        if known != NO_TEXT && self.text(known) == text {
            return known;
        }
        if std::str::from_utf8(text).is_err() {
            return self.number_of(String::from_utf8_lossy(text).as_bytes());
        }
        let number = if self.is_dictionary() {
            let number = match self.find(text) {
                Ok(number) => number,
                Err((place, hash)) => self.add(text, place, hash),
            };
            // From here on, what is known again must not depend on how the texts before came: by rows, or by blocks of them.
            if !self.is_dictionary() {
                self.recent.fill(NO_TEXT);
            }
            number
        } else {
            self.append(text)
        };
        self.recent[place] = number;
        number
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
        let number = self.append(text);
        self.places[place] = (hash, number);
        number
    }

    fn append(&mut self, text: &[u8]) -> u32 {
        let number = self.count() as u32;
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
        number
    }

    fn grow(&mut self) {
        let wanted = (2 * self.places.len()).max(64);
        let old = std::mem::replace(&mut self.places, vec![(0, NO_TEXT); wanted]);
        old.into_iter().filter(|(_, number)| *number != NO_TEXT).for_each(|known| self.put(known));
    }

    /// Puts the hash and the number of a text at its place.
    fn put(&mut self, (hash, number): (u32, u32)) {
        let mask = self.places.len() - 1;
        let mut place = hash as usize & mask;
        while self.places[place].1 != NO_TEXT {
            place = (place + 1) & mask;
        }
        self.places[place] = (hash, number);
    }

    /// Discards all but the first texts.
    fn truncate(&mut self, count: usize) {
        if count == self.count() {
            return;
        }
        self.ends.truncate(count);
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end));
        self.by_key.clear();
        self.recent.iter_mut().filter(|n| **n as usize >= count).for_each(|n| *n = NO_TEXT);
        let known: Vec<(u32, u32)> =
            self.places.iter().copied().filter(|(_, n)| (*n as usize) < count).collect();
        self.places.fill((0, NO_TEXT));
        known.into_iter().for_each(|known| self.put(known));
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.places.fill((0, NO_TEXT));
        self.by_key.clear();
        self.recent.clear();
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
            let digits = |n: i64| move |to: &mut Vec<u8>| to.extend_from_slice(n.to_string().as_bytes());
            let seven = pool.number_of_key(7, digits(7));
            let again = pool.number_of_key(7, digits(8));
            assert_eq!((pool.text(seven), again), (&b"7"[..], seven));
            (0..1000).for_each(|n| _ = pool.number_of_key(n, digits(n)));
            assert_eq!((pool.number_of_key(7, digits(7)), pool.count()), (seven, 502 + 1000));
            pool.clear();
        }
    }

    #[test]
    fn a_pool_goes_back_to_its_first_texts() {
        let text = |i: u32| format!("text {i}").into_bytes();
        let mut pool = TextPool::default();
        (0..100).for_each(|i| assert_eq!(pool.number_of(&text(i)), i));
        pool.number_of_key(500, |to| to.extend(text(500)));
        (100..400).for_each(|i| _ = pool.number_of(&text(i)));
        pool.truncate(60);
        assert_eq!(pool.count(), 60);
        (0..60).for_each(|i| assert_eq!(pool.number_of(&text(i)), i));
        assert_eq!(pool.number_of_key(500, |to| to.extend(text(500))), 60);
        (61..300).for_each(|i| assert_eq!(pool.number_of(&text(i)), i));
        assert_eq!(
            (pool.text(59), pool.text(60), pool.text(61)),
            (&b"text 59"[..], &b"text 500"[..], &b"text 61"[..])
        );
        pool.truncate(0);
        assert_eq!((pool.number_of(b"text 299"), pool.size()), (0, 32 + 8));
    }

    #[test]
    fn values_stand_in_their_rows() {
        let mut seed = 3_u64;
        let mut random = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        for _ in 0..300 {
            let mut column = ColumnValues::new(Values::Int(Vec::new()));
            let (mut expected, mut row) = (Vec::<(usize, i64)>::new(), 0_u32);
            for _ in 0..random(8) {
                let length = random(5) as u32;
                match random(4) {
                    0 => row += length,
                    1 => {
                        column.fill(row..row + length, 7);
                        expected.extend((row..row + length).map(|row| (row as usize, 7)));
                        row += length;
                    }
                    2 => {
                        let count = random(expected.len() as u64 + 1) as usize;
                        expected.truncate(count);
                        column.truncate((count, 0));
                    }
                    _ => {
                        column.push_int(row, i64::from(row));
                        expected.push((row as usize, i64::from(row)));
                        row += 1;
                    }
                }
            }
            let mut found = Vec::new();
            column.for_each_number(|row, number| found.push((row, number)));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn many_texts_are_what_they_are() {
        let text = |i: usize| {
            format!("a long text of many, of which none is of any use: {}", i % 50_000).into_bytes()
        };
        let mut pool = TextPool::default();
        let numbers: Vec<u32> = (0..100_000).map(|i| pool.number_of(&text(i))).collect();
        assert!(numbers.iter().enumerate().all(|(i, number)| pool.text(*number) == text(i)));
        let again = [pool.number_of(b"the same"), pool.number_of(b"the same")];
        assert_eq!(again, [again[0]; 2]);
        let invalid = pool.number_of(b"\xff");
        assert_eq!(pool.text(invalid), "\u{fffd}".as_bytes());
    }
}
