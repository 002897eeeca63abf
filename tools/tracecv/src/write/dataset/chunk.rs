//! The values of one column in one row group, as the pages of a Parquet file.
//!
//! The parquet crate's writers of columns would look for each text again, and compare it with others, which takes several
//! times as long as all of this: here texts have numbers already.

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, PageType};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;

use super::page::{Page, PageAppender, append_equal_levels, append_levels, append_runs};
use super::values::{ColumnValues, DICTIONARY_BYTES, TextPool, Values};

/// Rows of a page: what statistics let a reader skip.
const PAGE_ROWS: usize = 16 * 1024;
/// Bytes of a page whose texts stand in it; the last text may be longer.
const PAGE_BYTES: usize = 1 << 20;
/// Maximum bytes of a text in statistics.
const BOUND_BYTES: usize = 64;

/// The least and the greatest value of a page, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bounds<'a> {
    Missing,
    Int(i64, i64),
    Text(&'a [u8], &'a [u8]),
}

impl<'a> Bounds<'a> {
    fn of_text(text: &'a [u8]) -> Self {
        Self::Text(text, text)
    }

    /// The bounds of what is in one or the other.
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Int(a, b), Self::Int(c, d)) => Self::Int(a.min(c), b.max(d)),
            (Self::Text(a, b), Self::Text(c, d)) => Self::Text(a.min(c), b.max(d)),
            (Self::Missing, other) => other,
            (known, _) => known,
        }
    }

    /// Returns whether neither bound is below that of an earlier page.
    fn is_not_below(self, earlier: Self) -> bool {
        match (earlier, self) {
            (Self::Int(a, b), Self::Int(c, d)) => a <= c && b <= d,
            // Those of texts may be shortened.
            (Self::Text(..), _) | (_, Self::Text(..)) => false,
            _ => true,
        }
    }

    /// As statistics have them.
    fn to_bytes(self) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::Missing => (Vec::new(), Vec::new()),
            Self::Int(min, max) => (min.to_le_bytes().into(), max.to_le_bytes().into()),
            Self::Text(min, max) => (shorten_down(min).into(), shorten_up(max)),
        }
    }

    fn to_statistics(self, is_int: bool, nulls: u64) -> Statistics {
        if is_int {
            let of = |n| if let Self::Int(min, max) = self { Some([min, max][n]) } else { None };
            return Statistics::new(of(0), of(1), None, Some(nulls), false);
        }
        let (min, max) = self.to_bytes();
        let Self::Text(least, greatest) = self else {
            return Statistics::new::<ByteArray>(None, None, None, Some(nulls), false);
        };
        let exact = (*least == *min, *greatest == *max);
        let bounds = (Some(ByteArray::from(min)), Some(ByteArray::from(max)));
        let statistics = ValueStatistics::new(bounds.0, bounds.1, None, Some(nulls), false);
        statistics.with_min_is_exact(exact.0).with_max_is_exact(exact.1).into()
    }
}

/// A text that is not above another, and short.
fn shorten_down(text: &[u8]) -> &[u8] {
    let is_inner = |i: usize| text.get(i).is_some_and(|b| b & 0xc0 == 0x80);
    match (0..=BOUND_BYTES).rev().find(|i| !is_inner(*i)) {
        Some(end) if text.len() > BOUND_BYTES => &text[..end],
        _ => text,
    }
}

/// A text that is not below another, and short if that can be: one of its first characters is the next of ASCII.
fn shorten_up(text: &[u8]) -> Vec<u8> {
    let start = &text[..text.len().min(BOUND_BYTES)];
    match start.iter().rposition(|b| *b < 0x7f) {
        Some(at) if text.len() > BOUND_BYTES => {
            let mut above = text[..=at].to_vec();
            above[at] += 1;
            above
        }
        _ => text.to_owned(),
    }
}

/// Writes columns, one after the other. The vectors are for one column, or one page.
#[derive(Default)]
pub(super) struct ChunkWriter {
    pages: PageAppender,
    /// By place in the order of the row group: 1 if the row has a value, and the value.
    levels: Vec<u8>,
    /// The level of all rows, if it is the same.
    equal_level: Option<u8>,
    numbers: Vec<i64>,
    texts: Vec<u32>,
    /// The values of a page that are there.
    page_numbers: Vec<i64>,
    page_texts: Vec<u32>,
    body: Vec<u8>,
}

impl ChunkWriter {
    /// The pages of the values of rows, each of which has a place in the order, and what the file is to say about them.
    pub(super) fn write(
        &mut self,
        column: &ColumnDescPtr,
        values: &ColumnValues,
        places: &[u32],
    ) -> Result<(Bytes, ColumnCloseResult)> {
        self.put_in_order(values, places);
        let mut pages = Vec::new();
        let mut uncompressed = 0;
        // Pages have the numbers of texts if that is shorter than the texts.
        let mut dictionary = None;
        if let Values::Text(pool, numbers) = &values.values {
            if has_use_of_dictionary(pool, numbers) {
                uncompressed += self.append_dictionary(pool, &mut pages)?;
                dictionary = Some(bits_of(pool.count()));
            }
        }
        let first_page = pages.len() as i64;
        let mut index = ColumnIndexBuilder::new(column.physical_type());
        let mut offsets = OffsetIndexBuilder::new();
        let (mut all, mut last, mut ascending, mut nulls) = (Bounds::Missing, Bounds::Missing, true, 0);
        let mut seen = Vec::new();
        let mut from = 0;
        while from < places.len() {
            let most = places.len().min(from + PAGE_ROWS);
            self.body.clear();
            let (bounds, to, there) = match &values.values {
                Values::Int(_) => self.take_numbers(from, most),
                Values::Text(pool, _) => self.take_texts(pool, (from, most), dictionary, &mut seen),
            };
            let (rows, missing) = (to - from, to - from - there);
            nulls += missing as u64;
            let start = pages.len();
            let encoding = encoding_of(dictionary);
            let page = Page { kind: PageType::DATA_PAGE, values: rows, encoding, body: &self.body };
            uncompressed += self.pages.append(&page, &mut pages)?;
            offsets.append_row_count(rows as i64);
            offsets.append_offset_and_size(start as i64, (pages.len() - start) as i32);
            let (min, max) = bounds.to_bytes();
            index.append(there == 0, min, max, missing as i64);
            if bounds != Bounds::Missing {
                ascending &= bounds.is_not_below(last);
                last = bounds;
            }
            all = all.join(bounds);
            from = to;
        }
        if ascending {
            index.set_boundary_order(BoundaryOrder::ASCENDING);
        }
        let is_int = matches!(values.values, Values::Int(_));
        let metadata = ColumnChunkMetaData::builder(column.clone())
            .set_compression(Compression::SNAPPY)
            .set_encodings(vec![Encoding::RLE, encoding_of(dictionary)])
            .set_total_compressed_size(pages.len() as i64)
            .set_total_uncompressed_size(uncompressed as i64)
            .set_num_values(places.len() as i64)
            .set_data_page_offset(first_page)
            .set_dictionary_page_offset(dictionary.map(|_| 0))
            .set_statistics(all.to_statistics(is_int, nulls))
            .build()?;
        let written = ColumnCloseResult {
            bytes_written: pages.len() as u64,
            rows_written: places.len() as u64,
            metadata,
            bloom_filter: None,
            column_index: Some(index.build()?),
            offset_index: Some(offsets.build()),
        };
        Ok((pages.into(), written))
    }

    /// Puts values where their rows are in the order.
    fn put_in_order(&mut self, values: &ColumnValues, places: &[u32]) {
        let Self { levels, equal_level, numbers, texts, .. } = self;
        levels.clear();
        let is_full = values.count() == places.len();
        levels.resize(places.len(), u8::from(is_full));
        *equal_level = (is_full || values.count() == 0).then_some(u8::from(is_full));
        let place = |row: usize| places[row] as usize;
        match &values.values {
            Values::Int(there) => {
                numbers.resize(places.len(), 0);
                values.for_each_row(there, |row, number| numbers[place(row)] = *number);
                if !is_full {
                    values.for_each_row(there, |row, _| levels[place(row)] = 1);
                }
            }
            Values::Text(_, there) => {
                texts.resize(places.len(), 0);
                values.for_each_row(there, |row, number| texts[place(row)] = *number);
                if !is_full {
                    values.for_each_row(there, |row, _| levels[place(row)] = 1);
                }
            }
        }
    }

    /// Appends the levels of a page to its body.
    fn append_levels(&mut self, from: usize, to: usize) {
        match self.equal_level {
            Some(level) => append_equal_levels(level, to - from, &mut self.body),
            None => append_levels(&self.levels[from..to], &mut self.body),
        }
    }

    /// Takes the numbers of a page. Returns their bounds, where they end, and how many are there.
    fn take_numbers(&mut self, from: usize, to: usize) -> (Bounds<'static>, usize, usize) {
        self.append_levels(from, to);
        let levels = &self.levels[from..to];
        let numbers =
            keep_present(&self.numbers[from..to], (levels, self.equal_level), &mut self.page_numbers);
        let start = self.body.len();
        self.body.resize(start + 8 * numbers.len(), 0);
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        for (bytes, number) in self.body[start..].chunks_exact_mut(8).zip(numbers) {
            (min, max) = (min.min(*number), max.max(*number));
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        let bounds = if numbers.is_empty() { Bounds::Missing } else { Bounds::Int(min, max) };
        (bounds, to, numbers.len())
    }

    /// Takes the texts of a page, or their numbers. `seen` has the page of each text that it was last on, by the place where
    /// that begins. Returns their bounds, where they end, and how many are there.
    fn take_texts<'v>(
        &mut self,
        pool: &'v TextPool,
        (from, most): (usize, usize),
        dictionary: Option<u32>,
        seen: &mut Vec<u32>,
    ) -> (Bounds<'v>, usize, usize) {
        let mut to = most;
        if dictionary.is_none() {
            let mut bytes = 0;
            let mut rows = self.levels[from..most].iter().zip(&self.texts[from..most]);
            let is_last = |(level, number): (&u8, &u32)| {
                bytes += if *level == 1 { 4 + pool.text(*number).len() } else { 0 };
                bytes >= PAGE_BYTES
            };
            to = rows.position(is_last).map_or(most, |last| from + last + 1);
        }
        self.append_levels(from, to);
        let levels = &self.levels[from..to];
        let numbers = keep_present(&self.texts[from..to], (levels, self.equal_level), &mut self.page_texts);
        seen.resize(pool.count(), u32::MAX);
        let mut bounds = Bounds::Missing;
        for number in numbers {
            if std::mem::replace(&mut seen[*number as usize], from as u32) != from as u32 {
                bounds = bounds.join(Bounds::of_text(pool.text(*number)));
            }
        }
        match dictionary {
            Some(width) => {
                self.body.push(width as u8);
                append_runs(numbers, width, &mut self.body);
            }
            None => numbers.iter().for_each(|number| append_text(pool.text(*number), &mut self.body)),
        }
        (bounds, to, numbers.len())
    }

    /// Appends the page of all texts. Returns its bytes without compression.
    fn append_dictionary(&mut self, pool: &TextPool, pages: &mut Vec<u8>) -> Result<usize> {
        self.body.clear();
        (0..pool.count() as u32).for_each(|number| append_text(pool.text(number), &mut self.body));
        let page = Page {
            kind: PageType::DICTIONARY_PAGE,
            values: pool.count(),
            encoding: Encoding::PLAIN_DICTIONARY,
            body: &self.body,
        };
        self.pages.append(&page, pages)
    }
}

/// The encoding of pages with numbers of this many bits of texts, or with the values.
fn encoding_of(dictionary: Option<u32>) -> Encoding {
    if dictionary.is_some() { Encoding::PLAIN_DICTIONARY } else { Encoding::PLAIN }
}

/// The values whose level is 1: all of them, or copied to `kept`; `equal` is the level of all, if it is the same.
fn keep_present<'a, T: Copy + Default>(
    values: &'a [T],
    (levels, equal): (&[u8], Option<u8>),
    kept: &'a mut Vec<T>,
) -> &'a [T] {
    match equal {
        Some(0) => return &[],
        Some(_) => return values,
        None if levels.iter().all(|level| *level == 1) => return values,
        None => {}
    }
    kept.resize(kept.len().max(values.len() + 1), T::default());
    let mut count = 0;
    for (value, level) in values.iter().zip(levels) {
        // The next one takes its place if it is not there.
        kept[count] = *value;
        count += usize::from(*level);
    }
    &kept[..count]
}

/// Returns whether the numbers of texts with a dictionary are shorter than the texts.
fn has_use_of_dictionary(pool: &TextPool, numbers: &[u32]) -> bool {
    let all = pool.dictionary_bytes();
    if pool.count() == 0 || all > DICTIONARY_BYTES {
        return false;
    }
    let plain: usize = numbers.iter().map(|number| 4 + pool.text(*number).len()).sum();
    all + numbers.len() * bits_of(pool.count()) as usize / 8 < plain
}

/// The bits that numbers below this one need, at least 1.
fn bits_of(count: usize) -> u32 {
    (usize::BITS - count.saturating_sub(1).leading_zeros()).max(1)
}

/// Appends a text with its length before it.
fn append_text(text: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(&(text.len() as u32).to_le_bytes());
    to.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortened_bounds_are_bounds() {
        let long = |text: &str| text.repeat(40);
        for text in ["", "a", &long("ab"), &long("é"), &long("\u{7f}"), &long("x\u{10ffff}"), &long("~")] {
            let (below, above) = (shorten_down(text.as_bytes()), shorten_up(text.as_bytes()));
            assert!(below <= text.as_bytes() && text.as_bytes() <= &above[..], "{text}");
            assert!(std::str::from_utf8(below).is_ok() && std::str::from_utf8(&above).is_ok(), "{text}");
            assert!(below.len() <= BOUND_BYTES);
        }
        assert_eq!(
            (shorten_down(long("ab").as_bytes()).len(), shorten_up(long("ab").as_bytes()).len()),
            (64, 64)
        );
    }

    #[test]
    fn numbers_have_the_bits_that_they_need() {
        assert_eq!([1, 2, 3, 4, 5, 256, 257].map(bits_of), [1, 1, 2, 2, 3, 8, 9]);
    }
}
