//! SQLite files as hostile input: opened read-only and as they lie on the disk, with nothing of their schema run.
//!
//! Only base tables are read: names of views, triggers and virtual tables mean nothing here. Columns come and go with the
//! versions of a profiler, so queries are put together from those that there are ([`Database::columns`]).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use super::decimal::is_in_range;
use super::error::{InputPosition, ReadError, ReadFault, ReadStop};
use super::window::{BLOCK, InputWindow};

/// The first bytes of every SQLite file (sqlite.org `fileformat2.html`, section 1.3).
pub(super) const MAGIC: &[u8] = b"SQLite format 3\0";

/// The longest text or row, in bytes.
const LONGEST_VALUE: i32 = 16 * 1024 * 1024;

/// The most that a database out of a pipe or an archive may take on the disk, in bytes.
const SPOOL_LIMIT: u64 = 64 << 30;

/// Tables of a schema that is no attempt to exhaust us.
const MOST_TABLES: usize = 4096;

/// A database that is open.
pub(super) struct Database {
    connection: Connection,
    /// Base tables and their columns, both in lower case.
    tables: BTreeMap<String, Vec<String>>,
    /// Names of what looks like a table and is none, in lower case.
    others: BTreeSet<String>,
}

impl Database {
    /// Opens a file and looks at its tables. Nothing in it, or beside it, is changed.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
        let connection = Connection::open_with_flags(uri_of(path), flags)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        bound_steps(&connection, path.metadata().map_or(0, |meta| meta.len()))?;
        let tables = list_tables(&connection)?;
        let others = list_names(
            &connection,
            "SELECT name FROM sqlite_schema WHERE type = 'view' OR sql LIKE 'CREATE VIRTUAL%' ORDER BY name",
        )?;
        let others = others.iter().map(|name| name.to_ascii_lowercase()).collect();
        Ok(Self { connection, tables, others })
    }

    /// Returns whether there is a table.
    pub(super) fn has(&self, table: &str) -> bool {
        self.tables.contains_key(&table.to_ascii_lowercase())
    }

    /// How many of these tables are views or virtual tables here, which are not used.
    pub(super) fn count_unused(&self, tables: &[&str]) -> u64 {
        let is_other = |table: &&&str| self.others.contains(&table.to_ascii_lowercase());
        tables.iter().filter(is_other).count() as u64
    }

    /// The names of the tables, in lower case.
    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    /// Returns whether a table has a column.
    pub(super) fn has_column(&self, table: &str, column: &str) -> bool {
        let column = column.to_ascii_lowercase();
        self.tables.get(&table.to_ascii_lowercase()).is_some_and(|columns| columns.contains(&column))
    }

    /// The columns of a table as the results of a query, `NULL` for those that it does not have. `a|b` is the first of
    /// the two that there is.
    pub(super) fn columns(&self, table: &str, alias: &str, wanted: &[&str]) -> String {
        let one = |names: &&str| {
            let found = names.split('|').find(|name| self.has_column(table, name));
            found.map_or("NULL".to_owned(), |name| format!("{alias}.\"{name}\""))
        };
        wanted.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// `LEFT JOIN table alias ON alias.column = other`, or nothing if there is no such table or column.
    pub(super) fn join(&self, table: &str, alias: &str, column: &str, other: &str) -> String {
        if !self.has_column(table, column) {
            return String::new();
        }
        format!(" LEFT JOIN \"{table}\" {alias} ON {alias}.\"{column}\" = {other}")
    }

    /// Calls `each` for every row that a query gives.
    ///
    /// # Errors
    /// The database is damaged, or what `each` says.
    pub(super) fn each_row(
        &self,
        query: &str,
        mut each: impl FnMut(Cells<'_>) -> Result<(), ReadStop>,
    ) -> Result<(), ReadStop> {
        let mut statement = self.connection.prepare(query).map_err(damaged)?;
        let mut rows = statement.query(()).map_err(damaged)?;
        while let Some(row) = rows.next().map_err(damaged)? {
            each(Cells(row))?;
        }
        Ok(())
    }
}

/// Bounds the work of all queries by the size of the file: rows that join with many others make it grow with the square
/// of that. Every real file needs less than a tenth of it.
fn bound_steps(connection: &Connection, file_bytes: u64) -> rusqlite::Result<()> {
    /// Steps of SQLite's virtual machine for each byte of the file, and for any file.
    const STEPS_PER_BYTE: u64 = 100;
    const STEPS: u64 = 20_000_000;
    const BETWEEN: i32 = 100_000;
    let mut left = file_bytes.saturating_mul(STEPS_PER_BYTE).saturating_add(STEPS) / BETWEEN as u64;
    connection.progress_handler(
        BETWEEN,
        Some(move || {
            left = left.saturating_sub(1);
            left == 0
        }),
    )
}

/// Ends reading with an error of the database.
pub(super) fn damaged(e: rusqlite::Error) -> ReadStop {
    ReadError::new(InputPosition::default(), ReadFault::Damaged(describe(&e))).into()
}

/// An error of SQLite on one line.
pub(super) fn describe(e: &rusqlite::Error) -> String {
    if e.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) {
        return "the database needs more work than one of its size can: its rows join with too many others"
            .to_owned();
    }
    let text = e.to_string();
    format!("the database is damaged: {}", text.lines().next().unwrap_or_default())
}

/// The base tables with their columns.
fn list_tables(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Vec<String>>> {
    let names = list_names(
        connection,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name",
    )?;
    let mut tables = BTreeMap::new();
    for name in names {
        let mut columns = Vec::new();
        connection.pragma(None, "table_info", &name, |row| {
            columns.push(row.get::<_, String>(1)?.to_ascii_lowercase());
            Ok(())
        })?;
        tables.insert(name.to_ascii_lowercase(), columns);
    }
    Ok(tables)
}

/// The names that a query of the schema gives.
fn list_names(connection: &Connection, query: &str) -> rusqlite::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut list = connection.prepare(query)?;
    let mut rows = list.query(())?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        // A quotation mark in a name is nothing that a profiler writes.
        if names.len() < MOST_TABLES && !name.contains('"') {
            names.push(name);
        }
    }
    Ok(names)
}

/// A timestamp in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeCell {
    /// There is none.
    Missing,
    /// Not a number.
    Unreadable,
    /// A number beyond the timestamps of the year 2116.
    OutOfRange,
    /// In nanoseconds.
    At(i64),
}

/// One row of a result.
#[derive(Clone, Copy)]
pub(super) struct Cells<'r>(&'r Row<'r>);

impl TimeCell {
    /// The time of a number of nanoseconds.
    pub(super) fn of_nanos(nanos: i64) -> Self {
        if is_in_range(nanos) { Self::At(nanos) } else { Self::OutOfRange }
    }

    fn of_real(x: f64) -> Self {
        match x {
            _ if x.is_nan() => Self::Unreadable,
            _ if x.abs() < 9e18 => Self::of_nanos(x.round() as i64),
            _ => Self::OutOfRange,
        }
    }

    fn of_text(text: &[u8]) -> Self {
        if let Some(n) = parse_integer(text) {
            return Self::of_nanos(n);
        }
        let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
        number.map_or(Self::Unreadable, Self::of_real)
    }
}

impl<'r> Cells<'r> {
    /// A whole number, also one that is kept as text. Asking for a cell is three calls of SQLite: keep what is needed twice.
    #[inline]
    pub(super) fn integer(self, column: usize) -> Option<i64> {
        match self.0.get_ref(column).ok()? {
            ValueRef::Integer(n) => Some(n),
            ValueRef::Real(x) if x.fract() == 0.0 && x.abs() < 9e15 => Some(x as i64),
            ValueRef::Text(text) => parse_integer(text),
            _ => None,
        }
    }

    /// A timestamp in nanoseconds; fractions are rounded.
    pub(super) fn time(self, column: usize) -> TimeCell {
        match self.0.get_ref(column) {
            Ok(ValueRef::Null) | Err(_) => TimeCell::Missing,
            Ok(ValueRef::Integer(n)) => TimeCell::of_nanos(n),
            Ok(ValueRef::Real(x)) => TimeCell::of_real(x),
            Ok(ValueRef::Text(text)) => TimeCell::of_text(text),
            Ok(ValueRef::Blob(_)) => TimeCell::Unreadable,
        }
    }

    /// A text; empty if the cell holds something else.
    pub(super) fn text(self, column: usize) -> &'r [u8] {
        match self.0.get_ref(column) {
            Ok(ValueRef::Text(text)) => text,
            _ => b"",
        }
    }

    /// A number of any kind, as it would stand in JSON.
    pub(super) fn number(self, column: usize) -> Option<String> {
        match self.0.get_ref(column).ok()? {
            ValueRef::Integer(n) => Some(n.to_string()),
            ValueRef::Real(x) if x.is_finite() => Some(x.to_string()),
            _ => None,
        }
    }
}

/// The whole number that a text is. Ascend keeps its times of the host as texts of 19 digits.
fn parse_integer(text: &[u8]) -> Option<i64> {
    const SHORT: usize = 18;
    let (head, tail) = text.split_at(text.len().min(SHORT));
    if tail.len() <= 1 && !text.is_empty() && text.iter().all(u8::is_ascii_digit) {
        let value = |digits: &[u8]| digits.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0'));
        return match tail {
            [] => Some(value(head)),
            _ => value(head).checked_mul(10)?.checked_add(value(tail)),
        };
    }
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// `file:` with the path and what says that nothing is to be written, nor looked for beside the file.
fn uri_of(path: &Path) -> PathBuf {
    let mut uri = b"file:".to_vec();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => uri.push(*byte),
            other => uri.extend_from_slice(format!("%{other:02X}").as_bytes()),
        }
    }
    uri.extend_from_slice(b"?mode=ro&immutable=1");
    std::ffi::OsString::from_vec(uri).into()
}

/// A log of changes beside a database, which is not read: its program may still be writing.
pub(super) fn find_log(path: &Path) -> Option<PathBuf> {
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(OsStr::new(suffix));
        PathBuf::from(name)
    };
    ["-wal", "-journal"].iter().map(|s| with(s)).find(|p| p.metadata().is_ok_and(|meta| meta.len() > 0))
}

/// Puts everything that is left of an input into a file that goes when it is dropped: SQLite reads back and forth.
pub(super) fn spool(mut window: InputWindow) -> Result<tempfile::NamedTempFile, ReadFault> {
    let mut file = tempfile::NamedTempFile::new().map_err(ReadFault::Io)?;
    let mut written = 0;
    loop {
        let length = window.rest().len();
        file.write_all(window.rest()).map_err(ReadFault::Io)?;
        window.consume(length);
        written += length as u64;
        if written > SPOOL_LIMIT {
            return Err(ReadFault::Damaged(
                "the database is larger than 64 GiB: unpack it to a file".to_owned(),
            ));
        }
        if window.is_done() {
            break;
        }
        window.fill_to(BLOCK);
    }
    match window.fault.take() {
        Some(fault) => Err(fault),
        None => Ok(file),
    }
}

/// Says which tables a database of an unknown format has.
pub(super) fn describe_unknown(database: &Database) -> String {
    let names: Vec<&str> = database.tables().take(5).collect();
    let tables =
        if names.is_empty() { "no tables".to_owned() } else { format!("tables {}", names.join(", ")) };
    format!("is not a trace: it is an SQLite database of another program ({tables})")
}
