//! Metrics in SQLite databases with the schema of msMonitor's process side (b942bf5, `plugin/ipc_monitor/db`), so that what
//! reads those reads these.
//!
//! That schema has events, and a metric is a sum of the durations of an interval. It becomes one row, named
//! `<kind> (sum)`, that ends when the sender aggregated it and is as long as the sum: sums of durations come out right,
//! while the row does not say when within the interval the device was busy. Markers are single ranges, and stay ones.

mod rows;
mod schema;

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Instant;

use rusqlite::{Connection, OpenFlags};

use super::metric::DecodedMetric;
use super::rotated::RotatedFiles;
use super::{MetricSink, SinkAccount};
use crate::plan::metrics::RotationPlan;
use rows::MetricRowWriter;

/// Maximum number of different texts in a database, which are in memory as long as it is written. A further one begins the
/// next database.
const MAX_STRINGS: usize = 50_000;

/// Bytes that a row needs at most, to see whether the disk has room.
const ROW_BYTES: u64 = 4096;

/// Writes databases.
pub(crate) struct SqliteSink {
    files: RotatedFiles,
    rotation: RotationPlan,
    host_name: String,
    open: Option<OpenDatabase>,
    account: SinkAccount,
    /// Makes the tables of a new database; replaced in tests.
    create_tables: fn(&Connection, &str) -> rusqlite::Result<()>,
}

/// The database that is written.
struct OpenDatabase {
    connection: Connection,
    rows: MetricRowWriter,
    created: Instant,
    /// Holds the lock. It must be closed after the connection: closing any descriptor of a file drops the locks of
    /// fcntl(2) that SQLite has on it.
    file: File,
}

impl SqliteSink {
    pub(super) fn new(
        files: RotatedFiles,
        rotation: RotationPlan,
        host_name: String,
        account: SinkAccount,
    ) -> Self {
        Self { files, rotation, host_name, open: None, account, create_tables: schema::create_tables }
    }

    /// Writes metrics in one transaction.
    fn write_rows(&mut self, metrics: &[Arc<DecodedMetric>]) -> io::Result<()> {
        self.files.check_free_space(metrics.len() as u64 * ROW_BYTES)?;
        let database = match &mut self.open {
            Some(database) => database,
            None => {
                let created = self.create_database()?;
                self.open.insert(created)
            }
        };
        let OpenDatabase { connection, rows, .. } = database;
        let written = connection.transaction().and_then(|transaction| {
            rows.write_all(&transaction, metrics)?;
            transaction.commit()
        });
        if let Err(e) = written {
            // What the writer knows of texts and numbers may not be in the database any more.
            self.close_database();
            return Err(io::Error::other(e));
        }
        if database.file.metadata()?.size() >= self.rotation.file_bytes || rows_are_full(&database.rows) {
            self.close_database();
        }
        Ok(())
    }

    fn create_database(&mut self) -> io::Result<OpenDatabase> {
        let (file, path) = self.files.create_file()?;
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&path, flags)?;
            // As msMonitor's own: a database outlives the death of the daemon, not that of the kernel.
            connection.pragma_update(None, "synchronous", "OFF")?;
            (self.create_tables)(&connection, &self.host_name)?;
            connection.set_prepared_statement_cache_capacity(32);
            let rows = MetricRowWriter::new(&connection)?;
            Ok::<_, rusqlite::Error>((connection, rows))
        };
        match open() {
            Ok((connection, rows)) => Ok(OpenDatabase { connection, rows, created: Instant::now(), file }),
            Err(e) => {
                // Without tables it is a database that no reader takes, for example because the disk is full.
                let _ = std::fs::remove_file(&path);
                Err(io::Error::other(e))
            }
        }
    }

    fn close_database(&mut self) {
        if let Some(OpenDatabase { connection, file, .. }) = self.open.take() {
            drop(connection);
            self.files.close_file(&file);
        }
    }
}

fn rows_are_full(rows: &MetricRowWriter) -> bool {
    rows.count_strings() >= MAX_STRINGS
}

impl MetricSink for SqliteSink {
    fn write(&mut self, metrics: &[Arc<DecodedMetric>]) {
        match self.write_rows(metrics) {
            Ok(()) => self.account.count_recorded(metrics.len()),
            Err(e) => self.account.count_lost(metrics.len(), self.files.dir().display(), e),
        }
    }

    fn tick(&mut self) {
        let is_old = |d: &OpenDatabase| self.rotation.file_age.is_some_and(|age| d.created.elapsed() >= age);
        if self.open.as_ref().is_some_and(is_old) {
            self.close_database();
        }
    }
}

impl Drop for SqliteSink {
    fn drop(&mut self) {
        self.close_database();
    }
}

#[cfg(test)]
mod tests;
