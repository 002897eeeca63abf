//! `STRING_IDS`: every name once, by number.

use super::super::database::Database;
use super::super::emit::damaged_at;
use super::super::error::ReadStop;
use super::NO_NUMBER;
use crate::model::FastMap;

/// The most that the names of a file may take in memory, in bytes.
const MOST_BYTES: usize = 512 * 1024 * 1024;

/// The names of a file.
pub(super) struct StringTable {
    bytes: Vec<u8>,
    /// Where a name begins and ends.
    places: FastMap<i64, (u32, u32)>,
    missing: bool,
}

impl StringTable {
    pub(super) fn load(database: &Database) -> Result<Self, ReadStop> {
        let missing =
            !(database.has_column("STRING_IDS", "id") && database.has_column("STRING_IDS", "value"));
        let mut table = Self { bytes: Vec::new(), places: FastMap::default(), missing };
        if missing {
            return Ok(table);
        }
        database.each_row("SELECT id, value FROM STRING_IDS", |row| {
            let (Some(id), text) = (row.integer(0), row.text(1)) else { return Ok(()) };
            let (start, end) = (table.bytes.len(), table.bytes.len() + text.len());
            if end + table.places.len() * 16 > MOST_BYTES {
                return Err(damaged_at(0, "the names of the database need more than 512 MiB"));
            }
            table.bytes.extend_from_slice(text);
            table.places.insert(id, (start as u32, end as u32));
            Ok(())
        })?;
        Ok(table)
    }

    /// Nothing in the file names anything.
    pub(super) fn is_missing(&self) -> bool {
        self.missing
    }

    /// The text of a number; `unknown` for one that the file does not have, empty for none.
    pub(super) fn get(&self, id: i64) -> &[u8] {
        match self.places.get(&id) {
            Some((start, end)) => &self.bytes[*start as usize..*end as usize],
            None if id == NO_NUMBER || id < 0 => b"",
            None => b"unknown",
        }
    }

    /// The text, but for what stands for nothing.
    pub(super) fn some(&self, id: Option<i64>) -> &[u8] {
        match id.map_or(&b""[..], |id| self.get(id)) {
            b"N/A" | b"unknown" => b"",
            text => text,
        }
    }
}
