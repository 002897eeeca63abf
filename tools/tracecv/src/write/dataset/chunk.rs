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

use super::page::{Page, PageAppender, append_runs};
use super::values::{ColumnValues, NO_TEXT, TextPool};

/// Rows of a page: what statistics let a reader skip.
const PAGE_ROWS: usize = 16 * 1024;
/// Bytes of a page whose texts stand in it; the last text may be longer.
const PAGE_BYTES: usize = 1 << 20;
/// Maximum bytes of a dictionary: a reader of any page has to read it.
const DICTIONARY_BYTES: usize = 1 << 20;
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

/// Writes columns, one after the other. The vectors are for one page.
#[derive(Default)]
pub(super) struct ChunkWriter {
    pages: PageAppender,
    /// For each row, 1 if it has a value.
    levels: Vec<u32>,
    /// The numbers of the texts that are there.
    numbers: Vec<u32>,
    /// The values, as they stand in a page.
    values: Vec<u8>,
    body: Vec<u8>,
}

impl ChunkWriter {
    /// The pages of the values of rows in this order, and what the file is to say about them.
    pub(super) fn write(
        &mut self,
        column: &ColumnDescPtr,
        values: &ColumnValues,
        order: &[u32],
    ) -> Result<(Bytes, ColumnCloseResult)> {
        let mut pages = Vec::new();
        let mut uncompressed = 0;
        // Pages have the numbers of texts if that is shorter than the texts.
        let mut dictionary = None;
        if let ColumnValues::Text(pool, rows) = values {
            if has_use_of_dictionary(pool, rows) {
                uncompressed += self.append_dictionary(pool, &mut pages)?;
                dictionary = Some(bits_of(pool.count()));
            }
        }
        let first_page = pages.len() as i64;
        let mut index = ColumnIndexBuilder::new(column.physical_type());
        let mut offsets = OffsetIndexBuilder::new();
        let (mut all, mut last, mut ascending, mut nulls) = (Bounds::Missing, Bounds::Missing, true, 0);
        let mut seen = Vec::new();
        let mut rest = order;
        while !rest.is_empty() {
            self.levels.clear();
            self.numbers.clear();
            self.values.clear();
            let bounds = match values {
                ColumnValues::Int(rows) => self.take_numbers(rows, rest),
                ColumnValues::Text(pool, rows) => {
                    self.take_texts((pool, &rows[..]), rest, dictionary, &mut seen)
                }
            };
            let rows = self.levels.len();
            rest = &rest[rows..];
            let missing = self.levels.iter().filter(|level| **level == 0).count();
            nulls += missing as u64;
            let start = pages.len();
            uncompressed += self.append_page(dictionary, &mut pages)?;
            offsets.append_row_count(rows as i64);
            offsets.append_offset_and_size(start as i64, (pages.len() - start) as i32);
            let (min, max) = bounds.to_bytes();
            index.append(missing == rows, min, max, missing as i64);
            if bounds != Bounds::Missing {
                ascending &= bounds.is_not_below(last);
                last = bounds;
            }
            all = all.join(bounds);
        }
        if ascending {
            index.set_boundary_order(BoundaryOrder::ASCENDING);
        }
        let encoding = if dictionary.is_some() { Encoding::PLAIN_DICTIONARY } else { Encoding::PLAIN };
        let is_int = matches!(values, ColumnValues::Int(_));
        let metadata = ColumnChunkMetaData::builder(column.clone())
            .set_compression(Compression::SNAPPY)
            .set_encodings(vec![Encoding::RLE, encoding])
            .set_total_compressed_size(pages.len() as i64)
            .set_total_uncompressed_size(uncompressed as i64)
            .set_num_values(order.len() as i64)
            .set_data_page_offset(first_page)
            .set_dictionary_page_offset(dictionary.map(|_| 0))
            .set_statistics(all.to_statistics(is_int, nulls))
            .build()?;
        let written = ColumnCloseResult {
            bytes_written: pages.len() as u64,
            rows_written: order.len() as u64,
            metadata,
            bloom_filter: None,
            column_index: Some(index.build()?),
            offset_index: Some(offsets.build()),
        };
        Ok((pages.into(), written))
    }

    /// Takes the numbers of a page.
    fn take_numbers(&mut self, rows: &[Option<i64>], order: &[u32]) -> Bounds<'static> {
        let order = &order[..order.len().min(PAGE_ROWS)];
        if rows.is_empty() {
            self.levels.resize(order.len(), 0);
            return Bounds::Missing;
        }
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        for &row in order {
            let number = rows.get(row as usize).copied().flatten();
            self.levels.push(u32::from(number.is_some()));
            if let Some(number) = number {
                (min, max) = (min.min(number), max.max(number));
                self.values.extend_from_slice(&number.to_le_bytes());
            }
        }
        if self.values.is_empty() { Bounds::Missing } else { Bounds::Int(min, max) }
    }

    /// Takes the texts of a page, or their numbers. `seen` has the page of each text that it was last on.
    fn take_texts<'v>(
        &mut self,
        (pool, rows): (&'v TextPool, &[u32]),
        order: &[u32],
        dictionary: Option<u32>,
        seen: &mut Vec<usize>,
    ) -> Bounds<'v> {
        let order = &order[..order.len().min(PAGE_ROWS)];
        if rows.is_empty() {
            self.levels.resize(order.len(), 0);
            return Bounds::Missing;
        }
        seen.resize(pool.count(), usize::MAX);
        // The rest gets shorter from page to page.
        let page = order.as_ptr() as usize;
        let mut bounds = Bounds::Missing;
        for &row in order {
            let number = rows.get(row as usize).copied().unwrap_or(NO_TEXT);
            self.levels.push(u32::from(number != NO_TEXT));
            if number == NO_TEXT {
                continue;
            }
            if std::mem::replace(&mut seen[number as usize], page) != page {
                bounds = bounds.join(Bounds::of_text(pool.text(number)));
            }
            if dictionary.is_some() {
                self.numbers.push(number);
                continue;
            }
            append_text(pool.text(number), &mut self.values);
            if self.values.len() >= PAGE_BYTES {
                break;
            }
        }
        bounds
    }

    /// Appends a page of what was taken. Returns its bytes without compression.
    fn append_page(&mut self, dictionary: Option<u32>, pages: &mut Vec<u8>) -> Result<usize> {
        self.body.clear();
        self.body.extend_from_slice(&[0; 4]);
        append_runs(&self.levels, 1, &mut self.body);
        let length = self.body.len() as u32 - 4;
        self.body[..4].copy_from_slice(&length.to_le_bytes());
        self.body.extend_from_slice(&self.values);
        let mut encoding = Encoding::PLAIN;
        if let Some(width) = dictionary {
            encoding = Encoding::PLAIN_DICTIONARY;
            self.body.push(width as u8);
            append_runs(&self.numbers, width, &mut self.body);
        }
        let page = Page { kind: PageType::DATA_PAGE, values: self.levels.len(), encoding, body: &self.body };
        self.pages.append(&page, pages)
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

/// Returns whether the numbers of texts with a dictionary are shorter than the texts.
fn has_use_of_dictionary(pool: &TextPool, rows: &[u32]) -> bool {
    let all = pool.bytes() + 4 * pool.count();
    if pool.count() == 0 || all > DICTIONARY_BYTES {
        return false;
    }
    let plain: usize = rows.iter().filter(|n| **n != NO_TEXT).map(|n| 4 + pool.text(*n).len()).sum();
    all + rows.len() * bits_of(pool.count()) as usize / 8 < plain
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
