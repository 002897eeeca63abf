//! The table of events of a data set (`tracecv convert --to parquet`): `run=R/table=events/part-I-of-N.parquet`.
//!
//! Rows are written down as events of the Trace Event Format, which is what they were made of, and read as such: so the
//! arguments, members and rows without a category mean what they meant in the trace. A row group has rows of consecutive
//! events, sorted by step and start; here they come in the order of the trace again.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::statistics::Statistics;
use parquet::schema::types::SchemaDescriptor;

use super::emit::{columns_hold_numbers, plain, rejected};
use super::error::{ReadFault, ReadStop};
use super::window::InputWindow;
use super::{RawValue, ReadOptions, ReadOutcome, chrome, find_argument, is_json, write_text};
use crate::argument_columns::{ARGUMENT_COLUMNS, NO_ARGUMENTS, NUMBER_KEYS, spellings_of_number};
use crate::model::{Event, EventSink, EventWorker, PreparedEvents};

/// The first bytes of every Parquet file (apache/parquet-format `README.md`).
pub(super) const MAGIC: &[u8] = b"PAR1";

/// The most rows and bytes of a row group, which is held in memory.
const MOST_ROWS: i64 = 4 << 20;
const MOST_BYTES: i64 = 2 << 30;

/// Columns that a table of events must have.
const NEEDED: [&str; 5] = ["start_ns", "dur_ns", "name", "ph", "index"];

/// Reads a file.
pub(super) fn read(
    path: &Path,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    let file = File::open(path).map_err(|e| damaged(&e))?;
    let bytes = file.metadata().map_or(0, |meta| meta.len());
    let reader = guard(|| SerializedFileReader::new(file)).map_err(|e| damaged(&e))?;
    let columns: Vec<String> = reader
        .metadata()
        .file_metadata()
        .schema_descr()
        .columns()
        .iter()
        .map(|c| c.path().string())
        .collect();
    let missing = NEEDED.iter().find(|needed| !columns.iter().any(|column| column == *needed));
    if let Some(missing) = missing {
        let table = columns.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
        return Err(rejected(format!(
            "is not a trace: it is a Parquet file without the column {missing} of a data set's table `events` ({table}, …)"
        )));
    }
    check_types(reader.metadata().file_metadata().schema_descr())?;
    check_groups(reader.metadata().row_groups(), &columns)?;
    let about = read_ranks(path)?;
    out.recognized = true;
    let rows = EventRows {
        reader,
        columns,
        group: 0,
        current: None,
        text: about.into_bytes(),
        given: 0,
        events: 0,
        ended: false,
    };
    let window = InputWindow::new(Box::new(rows), options.block.unwrap_or(super::window::BLOCK).max(64));
    let result = chrome::read_document(window, options, &mut MadeEvents(sink), out);
    out.bytes = bytes;
    result.map_err(|stop| match stop {
        ReadStop::Read(e) if !matches!(e.fault, ReadFault::Rejected(_)) => match &e.fault {
            ReadFault::Io(e) => damaged(e),
            _ => ReadStop::Read(e),
        },
        stop => stop,
    })
}

/// Hands events on as what they are: their texts were made here.
struct MadeEvents<'a>(&'a mut dyn EventSink);

impl EventSink for MadeEvents<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.0.event(&Event { made: true, ..*event })
    }

    fn make_worker(&self) -> Option<Box<dyn EventWorker>> {
        self.0.make_worker()
    }

    fn take_prepared(&mut self, prepared: PreparedEvents) -> anyhow::Result<()> {
        self.0.take_prepared(prepared)
    }
}

/// Calls the library, which takes what a file says for true: where the file contradicts itself, it may panic. That is an
/// error as any other, and nothing is written about it.
fn guard<T>(call: impl FnOnce() -> parquet::errors::Result<T>) -> parquet::errors::Result<T> {
    thread_local!(static GUARDED: Cell<bool> = const { Cell::new(false) });
    static SILENCE: Once = Once::new();
    SILENCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                before(info);
            }
        }));
    });
    GUARDED.set(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(false);
    result.unwrap_or_else(|_| Err(ParquetError::General("it contradicts itself".to_owned())))
}

/// Rejects columns of other types than those of a data set: what they hold would be missing.
fn check_types(schema: &SchemaDescriptor) -> Result<(), ReadStop> {
    for column in schema.columns() {
        // The whole path: a column inside of another is none of ours, whatever it is called.
        let name = column.path().string();
        let wanted = match name.as_str() {
            "start_ns" | "dur_ns" | "index" | "rank" | "correlation" | "external_id" | "device"
            | "stream" => Type::INT64,
            "ph" | "cat" | "name" | "pid" | "tid" | "id" | "category" | "args" | "other" => Type::BYTE_ARRAY,
            _ => continue,
        };
        if column.physical_type() != wanted || column.max_rep_level() > 0 || column.max_def_level() > 1 {
            return Err(rejected(format!(
                "is a Parquet file whose column {name} is of another type than in a data set's table `events`"
            )));
        }
    }
    Ok(())
}

fn damaged(e: &dyn std::fmt::Display) -> ReadStop {
    let text = e.to_string();
    if text.contains("Disabled feature") {
        return rejected(
            "is a Parquet file that is compressed with something else than snappy, which is not read",
        );
    }
    let reason = text.lines().next().unwrap_or_default().trim_start_matches("Parquet error: ");
    super::emit::damaged_at(0, format!("the Parquet file is damaged: {reason}"))
}

/// Rejects what would take too much memory, and what holds the traces of several ranks.
fn check_groups(groups: &[RowGroupMetaData], columns: &[String]) -> Result<(), ReadStop> {
    let rank = columns.iter().position(|column| column == "rank");
    let mut ranks: Option<(i64, i64)> = None;
    for group in groups {
        if group.num_rows() > MOST_ROWS || group.total_byte_size() > MOST_BYTES {
            return Err(rejected("is a Parquet file with row groups of more than 4 Mi rows or 2 GiB"));
        }
        let column = rank.and_then(|i| group.columns().get(i));
        let statistics = column.and_then(|column| column.statistics());
        if column.is_some() && statistics.is_none() && group.num_rows() > 0 {
            return Err(rejected(
                "is a Parquet file whose column rank has no statistics: it may hold several traces",
            ));
        }
        if let Some(Statistics::Int64(of_group)) = statistics {
            for found in [of_group.min_opt(), of_group.max_opt()].into_iter().flatten() {
                let (least, most) = ranks.unwrap_or((*found, *found));
                ranks = Some((least.min(*found), most.max(*found)));
            }
        }
    }
    match ranks {
        Some((least, most)) if least != most => Err(several_traces()),
        _ => Ok(()),
    }
}

fn several_traces() -> ReadStop {
    rejected(
        "holds the events of several traces: read it with DuckDB or pyarrow, or write a part for each trace \
         (tracecv convert --to parquet --shard I/N)",
    )
}

/// The beginning of the document: what the table `ranks` beside that of events says of the trace.
fn read_ranks(path: &Path) -> Result<String, ReadStop> {
    let begin = "{\"traceEvents\":[".to_owned();
    let Some(run) = path.parent().and_then(Path::parent) else { return Ok(begin) };
    let Some(name) = path.file_name() else { return Ok(begin) };
    let Ok(file) = File::open(run.join("table=ranks").join(name)) else { return Ok(begin) };
    let reader = guard(|| SerializedFileReader::new(file)).map_err(|e| damaged(&e))?;
    if reader.metadata().file_metadata().num_rows() > 1 {
        return Err(several_traces());
    }
    let first = guard(|| reader.get_row_iter(None)?.next().transpose()).map_err(|e| damaged(&e))?;
    let Some(row) = first else { return Ok(begin) };
    let (mut distributed, mut members) = (serde_json::Map::new(), serde_json::Map::new());
    for (column, value) in row.get_column_iter() {
        let value = match value {
            parquet::record::Field::Long(n) => serde_json::Value::from(*n),
            parquet::record::Field::Str(text) => serde_json::Value::from(text.as_str()),
            _ => continue,
        };
        match column.as_str() {
            "rank" | "world_size" | "backend" => _ = distributed.insert(column.clone(), value),
            "host" => _ = members.insert("host_name".to_owned(), value),
            "trace_id" => _ = members.insert("trace_id".to_owned(), value),
            "trace_name" => _ = members.insert("traceName".to_owned(), value),
            "devices" => {
                let names = value.as_str().and_then(|names| serde_json::from_str(names).ok());
                let names: std::collections::BTreeMap<i64, String> = names.unwrap_or_default();
                let devices = names.iter().map(|(id, name)| serde_json::json!({"id": id, "name": name}));
                members.insert("deviceProperties".to_owned(), devices.collect());
            }
            _ => {}
        }
    }
    if !distributed.is_empty() {
        members.insert("distributedInfo".to_owned(), distributed.into());
    }
    let members: String = members
        .iter()
        .map(|(key, value)| format!("{}:{value},", serde_json::Value::from(key.as_str())))
        .collect();
    Ok(format!("{{{members}\"traceEvents\":["))
}

/// The values of a column in one row group.
enum GroupColumn {
    Int(Vec<Option<i64>>),
    Text(Vec<Option<ByteArray>>),
    /// Of another type, or not there.
    None,
}

impl GroupColumn {
    fn int(&self, row: usize) -> Option<i64> {
        match self {
            Self::Int(values) => values.get(row).copied().flatten(),
            _ => None,
        }
    }

    fn text(&self, row: usize) -> Option<&[u8]> {
        match self {
            Self::Text(values) => values.get(row)?.as_ref().map(ByteArray::data),
            _ => None,
        }
    }
}

/// The rows of a file as a document of the Trace Event Format, one row group at a time.
struct EventRows {
    reader: SerializedFileReader<File>,
    columns: Vec<String>,
    /// The number of the next row group.
    group: usize,
    /// The row group that is being written down.
    current: Option<GroupRows>,
    text: Vec<u8>,
    /// How much of the text has been given.
    given: usize,
    events: u64,
    ended: bool,
}

/// One row group, and how much of it has been written down.
struct GroupRows {
    columns: EventColumns,
    /// The rows in the order of the trace.
    order: Vec<usize>,
    written: usize,
}

/// Text that is written down at a time: one text of a column may be in many rows.
const TEXT_AT_A_TIME: usize = 256 << 10;

impl Read for EventRows {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() && !self.ended {
            self.text.clear();
            self.given = 0;
            if self.current.is_some() {
                self.write_events();
            } else if self.group < self.reader.num_row_groups() {
                self.current = Some(guard(|| self.load_group()).map_err(io::Error::other)?);
                self.group += 1;
            } else {
                self.text.extend_from_slice(b"]}");
                self.ended = true;
            }
        }
        let n = buf.len().min(self.text.len() - self.given);
        buf[..n].copy_from_slice(&self.text[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}

impl EventRows {
    /// Writes further events of the row group.
    fn write_events(&mut self) {
        let Some(rows) = &mut self.current else { return };
        while self.text.len() < TEXT_AT_A_TIME {
            let Some(row) = rows.order.get(rows.written) else {
                self.current = None;
                return;
            };
            if self.events > 0 {
                self.text.extend_from_slice(b",\n");
            }
            self.events += 1;
            rows.columns.write_event(*row, &mut self.text);
            rows.written += 1;
        }
    }

    /// Loads the next row group.
    fn load_group(&self) -> parquet::errors::Result<GroupRows> {
        let group = self.reader.get_row_group(self.group)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0).min(MOST_ROWS as usize);
        let load = |name: &str| match self.columns.iter().position(|column| column == name) {
            Some(i) => load_column(&*group, i, rows),
            None => Ok(GroupColumn::None),
        };
        let columns = EventColumns {
            texts: ["ph", "cat", "name", "pid", "tid", "id"]
                .map(load)
                .into_iter()
                .collect::<Result<_, _>>()?,
            times: [load("start_ns")?, load("dur_ns")?],
            numbers: ["correlation", "external_id", "device", "stream"]
                .map(load)
                .into_iter()
                .collect::<Result<_, _>>()?,
            arguments: ARGUMENT_COLUMNS.map(|a| load(a.column)).into_iter().collect::<Result<_, _>>()?,
            rest: [load("args")?, load("other")?],
        };
        let index = load("index")?;
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by_key(|row| index.int(*row));
        Ok(GroupRows { columns, order, written: 0 })
    }
}

/// The columns of one row group.
struct EventColumns {
    /// `ph`, `cat`, `name`, `pid`, `tid`, `id`, as the members of an event.
    texts: Vec<GroupColumn>,
    times: [GroupColumn; 2],
    numbers: Vec<GroupColumn>,
    arguments: Vec<GroupColumn>,
    /// Other arguments, and other members, as JSON.
    rest: [GroupColumn; 2],
}

impl EventColumns {
    fn write_event(&self, row: usize, to: &mut Vec<u8>) {
        let mut members = Members { to, first: true };
        members.open(None, b'{');
        let other = self.rest[1].text(row).unwrap_or_default();
        for (key, column) in ["ph", "cat", "name", "pid", "tid", "id"].iter().zip(&self.texts) {
            match column.text(row) {
                None => {}
                // An end has no name, as a rule.
                Some(b"") if *key == "name" => {}
                // The id is that of another member, which says within what it holds.
                Some(_) if *key == "id" && find_argument(other, "id2").is_some() => {}
                Some(digits) if matches!(*key, "pid" | "tid" | "id") && is_whole_number(digits) => {
                    members.json(key, digits);
                }
                Some(text) => members.text(key, text),
            }
        }
        for (key, column) in ["ts", "dur"].iter().zip(&self.times) {
            if let Some(nanos) = column.int(row) {
                let (sign, n) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
                members.json(key, format!("{sign}{}.{:03}", n / 1000, n % 1000).as_bytes());
            }
        }
        self.write_arguments(row, other, &mut members);
        // A time that is finer than nanoseconds stands there once more, on another clock.
        let mut marks = 0;
        super::for_each_member(&Event { text: other, ..Event::default() }, |key, _| {
            marks += u32::from(key.raw == NO_ARGUMENTS.as_bytes());
        });
        members.copy(other, |key| {
            // Any but the last is a member of the event.
            let is_mark = key == NO_ARGUMENTS.as_bytes();
            marks -= u32::from(is_mark);
            !(matches!(key, b"ts" | b"dur") || is_mark && marks == 0)
        });
        members.to.push(b'}');
    }

    fn write_arguments(&self, row: usize, other: &[u8], members: &mut Members<'_>) {
        let rest = self.rest[0].text(row).unwrap_or_default();
        // An argument of this name stands with all the others.
        if memchr::memmem::find(rest, b"\"args\"").is_some() && is_json(rest) {
            return members.json("args", rest);
        }
        let before = members.to.len();
        members.open(Some("args"), b'{');
        let opened = members.to.len();
        for (argument, column) in ARGUMENT_COLUMNS.iter().zip(&self.arguments) {
            match (column.int(row), column.text(row)) {
                (Some(n), _) => members.json(argument.key, n.to_string().as_bytes()),
                // The text of a list is among the others.
                (_, Some(list)) if list.starts_with(b"[") && find_argument(rest, argument.key).is_some() => {}
                (_, Some(list)) if list.starts_with(b"[") && is_json(list) => {
                    members.json(argument.key, list)
                }
                (_, Some(text)) => members.text(argument.key, text),
                _ => {}
            }
        }
        let text = |i: usize| self.texts[i].text(row).unwrap_or_default();
        let held = columns_hold_numbers(text(0).first().copied().unwrap_or(0), text(1), text(2));
        let absent = match find_argument(other, NO_ARGUMENTS) {
            Some(RawValue::Nested(list)) => serde_json::from_slice(list).unwrap_or_default(),
            _ => Vec::<String>::new(),
        };
        for (key, column) in NUMBER_KEYS.iter().zip(&self.numbers) {
            let told = || spellings_of_number(key).iter().any(|key| find_argument(rest, key).is_some());
            if let Some(n) = column.int(row).filter(|_| held && !absent.iter().any(|a| a == key) && !told()) {
                members.json(key, n.to_string().as_bytes());
            }
        }
        members.copy(rest, |_| true);
        if members.to.len() == opened {
            members.to.truncate(before);
        } else {
            members.to.push(b'}');
        }
        members.first = false;
    }
}

fn is_whole_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    matches!(digits, [b'1'..=b'9', ..] | b"0") && digits.len() < 19 && digits.iter().all(u8::is_ascii_digit)
}

/// Writes the members of an object.
struct Members<'a> {
    to: &'a mut Vec<u8>,
    first: bool,
}

impl Members<'_> {
    fn key(&mut self, key: &[u8], escaped: bool) {
        if !self.first {
            self.to.push(b',');
        }
        self.first = false;
        write_text(crate::model::RawText { raw: key, escaped }, self.to);
        self.to.push(b':');
    }

    /// Opens an object, a member of the one around it if it has a name.
    fn open(&mut self, key: Option<&str>, bracket: u8) {
        if let Some(key) = key {
            self.key(key.as_bytes(), false);
        }
        self.to.push(bracket);
        self.first = true;
    }

    fn json(&mut self, key: &str, value: &[u8]) {
        self.key(key.as_bytes(), false);
        self.to.extend_from_slice(value);
    }

    fn text(&mut self, key: &str, value: &[u8]) {
        self.key(key.as_bytes(), false);
        write_text(plain(value), self.to);
    }

    /// Copies the members of another object that are wanted. Anything but an object is left out.
    fn copy(&mut self, object: &[u8], mut wanted: impl FnMut(&[u8]) -> bool) {
        if object.is_empty() || !is_json(object) {
            return;
        }
        super::for_each_member(&Event { text: object, ..Event::default() }, |key, value| {
            if wanted(key.raw) {
                self.key(key.raw, key.escaped);
                self.to.extend_from_slice(value);
            }
        });
    }
}

/// Loads one column of a row group.
fn load_column(group: &dyn RowGroupReader, i: usize, rows: usize) -> parquet::errors::Result<GroupColumn> {
    let column = group.metadata().column(i).column_descr();
    if column.max_rep_level() > 0 || column.max_def_level() > 1 {
        return Ok(GroupColumn::None);
    }
    let optional = column.max_def_level() == 1;
    Ok(match group.get_column_reader(i)? {
        ColumnReader::Int64ColumnReader(reader) => GroupColumn::Int(load_values(reader, optional, rows)?),
        ColumnReader::ByteArrayColumnReader(reader) => {
            GroupColumn::Text(load_values(reader, optional, rows)?)
        }
        _ => GroupColumn::None,
    })
}

fn load_values<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    optional: bool,
    rows: usize,
) -> parquet::errors::Result<Vec<Option<T::T>>> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let mut read = 0;
    while read < rows {
        let (records, ..) =
            reader.read_records(rows - read, optional.then_some(&mut levels), None, &mut values)?;
        if records == 0 {
            break;
        }
        read += records;
    }
    if !optional {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    Ok(levels.iter().map(|level| if *level == 1 { values.next() } else { None }).collect())
}
