//! SQLite databases: a plain one, and one with the tables of Ascend's profilers.
//!
//! The database is built in a file of TMPDIR that has no name any more, and copied to the output when it is complete:
//! if the program is stopped, nothing is left behind.

mod ascend;
mod plain;

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use anyhow::Context;
use rusqlite::Connection;

pub(super) use ascend::AscendWriter;
pub(super) use plain::PlainWriter;

/// The place of a database, in messages.
fn temporary_file() -> String {
    format!("temporary file in {}", std::env::temp_dir().display())
}

/// Says which file an error of SQLite is about.
pub(super) fn name_failure(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<rusqlite::Error>() {
        Ok(error) => anyhow::anyhow!("{}: {error}", temporary_file()),
        Err(error) => error,
    }
}

/// A database that is being filled.
struct Database {
    connection: Connection,
    file: File,
}

impl Database {
    /// Creates an empty database with these tables.
    fn create(schema: &str) -> anyhow::Result<Self> {
        let named = tempfile::NamedTempFile::new().with_context(temporary_file)?;
        let file = named.reopen().with_context(temporary_file)?;
        let connection = Connection::open(named.path()).with_context(temporary_file)?;
        // The file has no other user, and is gone when the program ends: no journal, no fsync.
        connection.execute_batch(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE;
             PRAGMA temp_store=MEMORY; PRAGMA cache_size=-65536; PRAGMA page_size=8192;",
        )?;
        connection.execute_batch("BEGIN")?;
        connection.execute_batch(schema)?;
        // From here on, the file is only open.
        named.close().with_context(temporary_file)?;
        Ok(Self { connection, file })
    }

    /// Ends the database and copies it to the output.
    fn finish(mut self, to: &mut dyn Write) -> anyhow::Result<()> {
        self.connection.execute_batch("COMMIT")?;
        self.connection.close().map_err(|(_, e)| e)?;
        self.file.rewind()?;
        let mut block = vec![0; 1 << 18];
        loop {
            match self.file.read(&mut block) {
                Ok(0) => return Ok(()),
                Ok(n) => to.write_all(&block[..n])?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}
