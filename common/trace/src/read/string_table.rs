//! A table of names in a database: every name once, by number.

use std::cell::Cell;

use super::database::Database;
use super::emit::damaged_at;
use super::error::ReadStop;
use crate::model::FastMap;

/// The value that stands for "no number" in an unsigned column of 32 bits.
pub(super) const NO_NUMBER: i64 = u32::MAX as i64;

/// The most that the names of a file may take in memory, in bytes.
const MOST_BYTES: usize = 512 * 1024 * 1024;

/// The names of a file.
pub(super) struct StringTable {
    bytes: Vec<u8>,
    /// Where a name begins and ends.
    places: FastMap<i64, (u32, u32)>,
    missing: bool,
    /// All names are UTF-8.
    utf8: bool,
    /// How many names were asked for that the file does not have.
    unknown: Cell<u64>,
}

impl StringTable {
    /// Loads a table with a column `id` and one of texts.
    pub(super) fn load(database: &Database, name: &str, value: &str) -> Result<Self, ReadStop> {
        let missing = !(database.has_column(name, "id") && database.has_column(name, value));
        let mut table = Self {
            bytes: Vec::new(),
            places: FastMap::default(),
            missing,
            utf8: true,
            unknown: Cell::new(0),
        };
        if missing {
            return Ok(table);
        }
        database.each_row(&format!("SELECT id, \"{value}\" FROM \"{name}\""), |row| {
            let (Some(id), text) = (row.integer(0), row.text(1)) else { return Ok(()) };
            let (start, end) = (table.bytes.len(), table.bytes.len() + text.len());
            if end + table.places.len() * 16 > MOST_BYTES {
                return Err(damaged_at(0, "the names of the database need more than 512 MiB"));
            }
            table.utf8 &= std::str::from_utf8(text).is_ok();
            table.bytes.extend_from_slice(text);
            table.places.insert(id, (start as u32, end as u32));
            Ok(())
        })?;
        Ok(table)
    }

    /// Returns whether all names are UTF-8.
    pub(super) fn is_utf8(&self) -> bool {
        self.utf8
    }

    /// Nothing in the file names anything.
    pub(super) fn is_missing(&self) -> bool {
        self.missing
    }

    /// The text of a number; `unknown` for one that the file does not have, empty for none.
    pub(super) fn get(&self, id: i64) -> &[u8] {
        self.find(id).unwrap_or_else(|| {
            self.count_unknown(1);
            b"unknown"
        })
    }

    /// Returns whether the file has a number, or that stands for none.
    pub(super) fn has(&self, id: i64) -> bool {
        self.find(id).is_some()
    }

    /// Counts names that the file does not have.
    pub(super) fn count_unknown(&self, count: u64) {
        self.unknown.set(self.unknown.get() + count);
    }

    /// The text of a number; empty for none. `None` for one that the file does not have.
    fn find(&self, id: i64) -> Option<&[u8]> {
        match self.places.get(&id) {
            Some((start, end)) => Some(&self.bytes[*start as usize..*end as usize]),
            None if id == NO_NUMBER || id < 0 => Some(b""),
            None => None,
        }
    }

    /// How many names were asked for that the file does not have.
    pub(super) fn unknown(&self) -> u64 {
        self.unknown.get()
    }

    /// The text, but for what stands for nothing.
    pub(super) fn some(&self, id: Option<i64>) -> &[u8] {
        match id.and_then(|id| self.find(id)).unwrap_or_default() {
            b"N/A" | b"unknown" => b"",
            text => text,
        }
    }
}
