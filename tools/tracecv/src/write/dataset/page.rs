//! Pages of a Parquet file: compressed, and with the sum of their bytes, so that readers notice a bit that has changed on a
//! disk.
//!
//! A page is a header in the compact protocol of Thrift (apache/thrift `doc/specs/thrift-compact-protocol.md`) and its
//! bytes; the fields of the header, and that `crc` is the CRC-32 of gzip over the compressed bytes, say
//! apache/parquet-format `src/main/thrift/parquet.thrift` (struct `PageHeader`) and `README.md` ("Checksumming").

use flate2::Crc;
use parquet::basic::{Encoding, PageType};
use parquet::errors::{ParquetError, Result};

/// What a page holds.
pub(super) struct Page<'a> {
    /// A page of values, or the dictionary of a column.
    pub(super) kind: PageType,
    /// How many values, missing ones among them.
    pub(super) values: usize,
    pub(super) encoding: Encoding,
    /// The levels and the values.
    pub(super) body: &'a [u8],
}

/// Appends pages to the bytes of a column.
pub(super) struct PageAppender {
    snappy: snap::raw::Encoder,
    compressed: Vec<u8>,
}

impl Default for PageAppender {
    fn default() -> Self {
        Self { snappy: snap::raw::Encoder::new(), compressed: Vec::new() }
    }
}

impl PageAppender {
    /// Appends a page. Returns how many bytes it would be without compression.
    pub(super) fn append(&mut self, page: &Page<'_>, to: &mut Vec<u8>) -> Result<usize> {
        let room = snap::raw::max_compress_len(page.body.len());
        if self.compressed.len() < room {
            self.compressed.resize(room, 0);
        }
        let length = self.snappy.compress(page.body, &mut self.compressed);
        let length = length.map_err(|e| ParquetError::External(Box::new(e)))?;
        let start = to.len();
        append_header(page, &self.compressed[..length], to)?;
        let header = to.len() - start;
        to.extend_from_slice(&self.compressed[..length]);
        Ok(header + page.body.len())
    }
}

fn append_header(page: &Page<'_>, compressed: &[u8], to: &mut Vec<u8>) -> Result<()> {
    let too_long = |_| ParquetError::General("a page is longer than 2 GiB".to_owned());
    let size = |bytes: usize| i32::try_from(bytes).map_err(too_long);
    let mut sum = Crc::new();
    sum.update(compressed);
    let mut header = CompactFields { to, last: 0 };
    header.number(1, page.kind as i32);
    header.number(2, size(page.body.len())?);
    header.number(3, size(compressed.len())?);
    header.number(4, sum.sum() as i32);
    let is_dictionary = page.kind == PageType::DICTIONARY_PAGE;
    header.open(if is_dictionary { 7 } else { 5 });
    header.number(1, size(page.values)?);
    header.number(2, page.encoding as i32);
    if !is_dictionary {
        // The encodings of the two kinds of levels.
        header.number(3, Encoding::RLE as i32);
        header.number(4, Encoding::RLE as i32);
    }
    // The end of the inner struct, and of the header.
    to.extend_from_slice(&[0, 0]);
    Ok(())
}

/// Writes the fields of a struct, in the order of their numbers.
struct CompactFields<'a> {
    to: &'a mut Vec<u8>,
    /// The number of the last field.
    last: u8,
}

impl CompactFields<'_> {
    const I32: u8 = 5;
    const STRUCT: u8 = 12;

    fn begin(&mut self, field: u8, kind: u8) {
        self.to.push(((field - self.last) << 4) | kind);
        self.last = field;
    }

    fn number(&mut self, field: u8, value: i32) {
        self.begin(field, Self::I32);
        append_varint(((value << 1) ^ (value >> 31)) as u32, self.to);
    }

    /// Opens a struct: the fields that follow are its own.
    fn open(&mut self, field: u8) {
        self.begin(field, Self::STRUCT);
        self.last = 0;
    }
}

/// Appends a number in groups of seven bits, the lowest first.
fn append_varint(number: u32, to: &mut Vec<u8>) {
    let mut rest = number;
    while rest >= 0x80 {
        to.push((rest as u8 & 0x7f) | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

/// Appends numbers of `width` bits as runs of equal ones and as packs of eight (apache/parquet-format `Encodings.md`,
/// "Run Length Encoding / Bit-Packing Hybrid").
pub(super) fn append_runs(numbers: &[u32], width: u32, to: &mut Vec<u8>) {
    let (mut packed_from, mut at) = (0, 0);
    while let Some(&number) = numbers.get(at) {
        let equal = numbers[at..].iter().take_while(|n| **n == number).count();
        // Packs are whole: the numbers before the run take what they lack from it.
        let lacking = (at - packed_from).next_multiple_of(8) - (at - packed_from);
        if equal >= lacking + 8 {
            append_packs(&numbers[packed_from..at + lacking], width, to);
            append_varint(((equal - lacking) as u32) << 1, to);
            to.extend_from_slice(&number.to_le_bytes()[..width.div_ceil(8) as usize]);
            packed_from = at + equal;
        }
        at += equal;
    }
    append_packs(&numbers[packed_from..], width, to);
}

/// Appends numbers bit by bit; those that lack in the last pack are 0.
fn append_packs(numbers: &[u32], width: u32, to: &mut Vec<u8>) {
    if numbers.is_empty() {
        return;
    }
    let packs = numbers.len().div_ceil(8);
    append_varint(((packs as u32) << 1) | 1, to);
    let end = to.len() + packs * width as usize;
    let (mut bits, mut filled) = (0_u64, 0);
    for &number in numbers {
        bits |= u64::from(number) << filled;
        filled += width;
        if filled >= 32 {
            to.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= 32;
            filled -= 32;
        }
    }
    to.extend_from_slice(&bits.to_le_bytes());
    to.resize(end, 0);
}

/// Shorter runs of eight equal levels are packed with the others.
const RUN: usize = 4;

/// Appends `count` equal levels as [`append_levels`] does.
pub(super) fn append_equal_levels(level: u8, count: usize, to: &mut Vec<u8>) {
    if count < 8 * RUN {
        return append_levels(&vec![level; count], to);
    }
    let start = to.len();
    to.extend_from_slice(&[0; 4]);
    append_varint((count as u32) << 1, to);
    to.push(level);
    let length = (to.len() - start - 4) as u32;
    to[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Appends levels, each 0 or 1, with their length before them.
pub(super) fn append_levels(levels: &[u8], to: &mut Vec<u8>) {
    let start = to.len();
    to.extend_from_slice(&[0; 4]);
    let eights = levels.len() / 8;
    // As words of eight levels; what lacks in the last is 0.
    let word = |i: usize| {
        let part = &levels[8 * i..levels.len().min(8 * i + 8)];
        part.first_chunk().map_or_else(
            || part.iter().rev().fold(0, |word, level| word << 8 | u64::from(*level)),
            |eight| u64::from_le_bytes(*eight),
        )
    };
    let append_packed = |words: std::ops::Range<usize>, to: &mut Vec<u8>| {
        if !words.is_empty() {
            append_varint(((words.len() as u32) << 1) | 1, to);
            // Each level is moved to the top, the first by most.
            to.extend(words.map(|i| (word(i).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8));
        }
    };
    let (mut packed_from, mut at) = (0, 0);
    while at < eights {
        let level = levels[8 * at];
        let all = u64::from(level) * 0x0101_0101_0101_0101;
        let equal = (at..eights).take_while(|i| word(*i) == all).count();
        if equal < RUN {
            at += equal.max(1);
            continue;
        }
        append_packed(packed_from..at, to);
        at += equal;
        packed_from = at;
        let rest = &levels[8 * eights..];
        // The last levels belong to a run that they go on.
        let is_last = at == eights && rest.iter().all(|other| *other == level);
        append_varint(((8 * equal + if is_last { rest.len() } else { 0 }) as u32) << 1, to);
        to.push(level);
        if is_last {
            packed_from = levels.len();
        }
    }
    append_packed(packed_from..levels.len().div_ceil(8).max(packed_from), to);
    let length = (to.len() - start - 4) as u32;
    to[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read back by the rules of the format, one number after the other.
    fn read_runs(bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let (mut numbers, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let (mut header, mut shift) = (0_usize, 0);
            loop {
                header |= usize::from(bytes[at] & 0x7f) << shift;
                (at, shift) = (at + 1, shift + 7);
                if bytes[at - 1] < 0x80 {
                    break;
                }
            }
            let bit = |i: usize| u32::from(bytes[at + i / 8] >> (i % 8) & 1);
            let number = |from: usize| (0..width as usize).fold(0, |n, i| n | bit(from + i) << i);
            if header & 1 == 1 {
                numbers.extend((0..header / 2 * 8).map(|i| number(i * width as usize)));
                at += header / 2 * width as usize;
            } else {
                numbers.extend(std::iter::repeat_n(number(0), header / 2));
                at += width.div_ceil(8) as usize;
            }
        }
        assert!((count..count + 8).contains(&numbers.len()), "{} of {count}", numbers.len());
        numbers.truncate(count);
        numbers
    }

    #[test]
    fn levels_come_back() {
        let mut seed = 5_u64;
        let mut random = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        for _ in 0..300 {
            let mut levels = Vec::new();
            for _ in 0..random(9) {
                let length = random(100) as usize;
                levels.extend((0..length).map(|_| random(2) as u8));
                levels.extend(std::iter::repeat_n(random(2) as u8, length));
            }
            let mut bytes = vec![7];
            append_levels(&levels, &mut bytes);
            let length = u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize;
            assert_eq!(bytes.len(), 5 + length);
            let back = read_runs(&bytes[5..], 1, levels.len());
            assert_eq!(back, levels.iter().map(|level| u32::from(*level)).collect::<Vec<_>>());
        }
        let mut bytes = Vec::new();
        append_levels(&[1; 1001], &mut bytes);
        assert_eq!(bytes, [3, 0, 0, 0, 0xd2, 0x0f, 1]);
        for (level, count) in (0..2).flat_map(|level| (0..300).map(move |count| (level, count))) {
            let (mut all, mut equal) = (Vec::new(), Vec::new());
            append_levels(&vec![level; count], &mut all);
            append_equal_levels(level, count, &mut equal);
            assert_eq!(equal, all, "{count} times {level}");
        }
    }

    #[test]
    fn runs_and_packs_come_back() {
        let mut seed = 11_u64;
        let mut random = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        for width in [1, 2, 3, 7, 8, 9, 17, 20, 31] {
            for _ in 0..50 {
                let mut numbers = Vec::new();
                for _ in 0..random(12) {
                    let number = random(1 << width) as u32;
                    numbers.extend(std::iter::repeat_n(number, 1 + random(20) as usize));
                }
                let mut bytes = Vec::new();
                append_runs(&numbers, width, &mut bytes);
                assert_eq!(read_runs(&bytes, width, numbers.len()), numbers, "{width} bits");
            }
        }
        let mut bytes = Vec::new();
        append_runs(&[5; 1000], 9, &mut bytes);
        assert_eq!(bytes, [0xd0, 0x0f, 5, 0]);
    }
}
