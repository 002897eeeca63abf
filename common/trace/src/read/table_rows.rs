//! Rows of a table in CSV, one at a time, with cells by the names of their columns.

use std::io::{self, Read};

use csv::{ByteRecord, ReaderBuilder};

use super::decimal::{nanos_from_micros, parse_integer};
use super::error::{InputPosition, ReadError, ReadFault, ReadStop};
use super::window::{InputWindow, TEXT_LIMIT};

/// The longest header line, in bytes.
const LONGEST_HEADER: usize = 64 * 1024;

/// The columns of the first line.
pub(super) fn split_header(head: &[u8]) -> Vec<String> {
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
    if line.len() > LONGEST_HEADER || !line.contains(&b',') || matches!(line.first(), Some(b'{' | b'[')) {
        return Vec::new();
    }
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(line);
    let mut record = ByteRecord::new();
    match reader.read_byte_record(&mut record) {
        Ok(true) => {
            record.iter().map(|cell| String::from_utf8_lossy(cell.trim_ascii()).into_owned()).collect()
        }
        _ => Vec::new(),
    }
}

/// The input as a stream that ends when one row takes too much of it: a quotation mark that is not closed would make the
/// rest of the file one cell.
struct RowSource {
    window: InputWindow,
    /// Bytes given since the last row.
    since_row: usize,
    last_byte: u8,
}

impl Read for RowSource {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.since_row > TEXT_LIMIT {
            return Err(io::Error::other("a row of more than 16 MiB"));
        }
        self.window.fill_to(1);
        let n = self.window.rest().len().min(buf.len());
        buf[..n].copy_from_slice(&self.window.rest()[..n]);
        self.window.consume(n);
        self.since_row += n;
        self.last_byte = buf[..n].last().copied().unwrap_or(self.last_byte);
        Ok(n)
    }
}

/// A table that is being read.
pub(super) struct TableRows {
    reader: csv::Reader<RowSource>,
    header: Vec<String>,
    record: ByteRecord,
    /// Cells of the last row, which is gone at the end.
    cells: usize,
}

impl TableRows {
    /// Reads the header.
    pub(super) fn new(window: InputWindow) -> Result<Self, ReadStop> {
        let source = RowSource { window, since_row: 0, last_byte: b'\n' };
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(source);
        let mut rows = Self { reader, header: Vec::new(), record: ByteRecord::new(), cells: 0 };
        rows.advance()?;
        let text = |cell: &[u8]| String::from_utf8_lossy(cell.trim_ascii()).into_owned();
        rows.header = rows.record.iter().map(text).collect();
        Ok(rows)
    }

    /// The names of the columns.
    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// The number of a column; `a|b` is the first of the two that there is.
    pub(super) fn column(&self, names: &str) -> Option<usize> {
        names.split('|').find_map(|name| self.header.iter().position(|column| column == name))
    }

    /// Goes to the next row. `false` at the end.
    pub(super) fn advance(&mut self) -> Result<bool, ReadStop> {
        self.reader.get_mut().since_row = 0;
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => {
                self.cells = self.record.len();
                Ok(true)
            }
            Ok(false) => match self.reader.get_mut().window.fault.take() {
                Some(fault) => Err(ReadError::new(self.place(), fault).into()),
                None => Ok(false),
            },
            Err(e) => {
                let fault = self.reader.get_mut().window.fault.take();
                let fault = fault.unwrap_or_else(|| ReadFault::Damaged(format!("the table is damaged: {e}")));
                Err(ReadError::new(self.place(), fault).into())
            }
        }
    }

    /// A cell without the white space around it: tabs keep spreadsheets from rounding times.
    pub(super) fn cell(&self, column: Option<usize>) -> &[u8] {
        column.and_then(|column| self.record.get(column)).unwrap_or_default().trim_ascii()
    }

    /// A cell, empty if it says that there is nothing.
    pub(super) fn some(&self, column: Option<usize>) -> &[u8] {
        match self.cell(column) {
            b"N/A" | b"NULL" | b"-" => b"",
            text => text,
        }
    }

    /// A time or duration in microseconds, as nanoseconds.
    pub(super) fn nanos(&self, column: Option<usize>) -> Option<i64> {
        nanos_from_micros(self.some(column))
    }

    /// A whole number.
    pub(super) fn integer(&self, column: Option<usize>) -> Option<i64> {
        parse_integer(self.some(column))
    }

    /// A size in a column whose name ends with its unit, as bytes.
    pub(super) fn bytes(&self, column: Option<usize>) -> Option<i64> {
        let unit = if self.header.get(column?)?.ends_with("(KB)") { 1024.0 } else { 1024.0 * 1024.0 };
        let size: f64 = std::str::from_utf8(self.some(column)).ok()?.parse().ok()?;
        let bytes = (size * unit).round();
        (bytes.abs() < 9e18).then_some(bytes as i64)
    }

    /// The device in a column `NPU:0`, or one of numbers.
    pub(super) fn device(&self, column: Option<usize>) -> Option<i64> {
        let cell = self.some(column);
        parse_integer(cell.strip_prefix(b"NPU:").unwrap_or(cell)).filter(|device| *device >= 0)
    }

    /// Where the row begins.
    pub(super) fn place(&self) -> InputPosition {
        let at = self.record.position().unwrap_or(self.reader.position());
        InputPosition { line: at.line(), column: 1, offset: at.byte() }
    }

    /// Bytes that were read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.reader.get_ref().window.passed().bytes
    }

    /// Returns whether the last row ends before a column, and without the end of a line. Some writers leave out cells that
    /// would be empty.
    pub(super) fn ends_inside_row(&self, needed: usize) -> bool {
        self.cells <= needed && self.reader.get_ref().last_byte != b'\n'
    }
}
