//! One table: rows collected by column, sorted, and written as row groups of a Parquet file.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use common::fsat::AtomicFile;
use common::policy::Mode;
use common::record::tracecv as record;
use parquet::basic::{Compression, LogicalType, Repetition, Type as PhysicalType};
use parquet::column::writer::{ColumnWriter, get_column_writer};
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, SchemaDescriptor, Type};
use sha2::{Digest, Sha256};
use trace::model::FastMap;

use super::page::SummedPages;
use crate::write::create_directories;

/// Rows of a row group: what memory holds at a time.
const GROUP_ROWS: usize = 256 * 1024;
/// Rows of a page: what statistics let a reader skip.
const PAGE_ROWS: usize = 16 * 1024;
/// Bytes of texts of a row group; a row group with long texts is shorter.
const GROUP_BYTES: usize = 128 << 20;

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: ColumnKind,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnKind {
    /// Numbers of 64 bits.
    Int,
    /// Texts, of which many are alike.
    Text,
    /// Texts, of which few are alike.
    LongText,
}

/// The values of a column in the rows that wait.
enum GroupValues {
    Int(Vec<Option<i64>>),
    /// Each text once, and the number of the text of each row.
    Text {
        known: FastMap<Box<[u8]>, u32>,
        texts: Vec<ByteArray>,
        rows: Vec<u32>,
    },
    /// All texts, and where that of each row is.
    LongText {
        bytes: Vec<u8>,
        rows: Vec<(usize, usize)>,
    },
}

/// In the place of the number of a text that is missing.
const NO_TEXT: u32 = u32::MAX;

impl GroupValues {
    fn of(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Int => Self::Int(Vec::new()),
            ColumnKind::Text => Self::Text { known: FastMap::default(), texts: Vec::new(), rows: Vec::new() },
            ColumnKind::LongText => Self::LongText { bytes: Vec::new(), rows: Vec::new() },
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Int(rows) => rows.clear(),
            Self::Text { known, texts, rows } => {
                known.clear();
                texts.clear();
                rows.clear();
            }
            Self::LongText { bytes, rows } => {
                bytes.clear();
                rows.clear();
            }
        }
    }
}

/// A file whose bytes are counted and hashed on their way.
struct HashedFile {
    file: AtomicFile,
    hash: Sha256,
    bytes: u64,
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a table to a file that appears when it is complete.
pub(super) struct TableWriter {
    writer: SerializedFileWriter<HashedFile>,
    schema: SchemaDescriptor,
    values: Vec<GroupValues>,
    /// How many columns sort the rows.
    sorted: usize,
    /// The column that the next value is for.
    next: usize,
    rows: usize,
    /// Rows that are written.
    written: u64,
    /// Bytes in texts of the rows that wait.
    text_bytes: usize,
    name: String,
}

/// A table whose file is whole, and has no name yet.
pub(super) struct CompleteTable {
    file: AtomicFile,
    name: String,
    /// Its entry in the manifest; its path is the caller's.
    pub(super) about: record::PartTableRecord,
}

impl CompleteTable {
    /// Lets the file appear.
    pub(super) fn commit(self) -> anyhow::Result<()> {
        self.file.commit().with_context(|| self.name)
    }
}

impl TableWriter {
    /// Begins `dir/part`. The first `sorted` columns, all numbers, sort the rows.
    pub(super) fn create(
        dir: &Path,
        part: &str,
        columns: Vec<Column>,
        sorted: usize,
    ) -> anyhow::Result<Self> {
        let path = dir.join(part);
        let name = path.display().to_string();
        create_directories(dir)?;
        let file = AtomicFile::create(&path, Mode(0o640)).with_context(|| name.clone())?;
        let hashed = HashedFile { file, hash: Sha256::new(), bytes: 0 };
        let fields = columns.iter().map(field_of).collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?);
        let properties = Arc::new(properties(&columns, sorted));
        let writer = SerializedFileWriter::new(hashed, Arc::clone(&schema), properties)?;
        let values = columns.iter().map(|column| GroupValues::of(column.kind)).collect();
        let schema = SchemaDescriptor::new(schema);
        Ok(Self { writer, schema, values, sorted, next: 0, rows: 0, written: 0, text_bytes: 0, name })
    }

    /// Sets the next column of the row, which holds numbers.
    pub(super) fn int(&mut self, value: Option<i64>) {
        match self.values.get_mut(self.next) {
            Some(GroupValues::Int(rows)) => rows.push(value),
            _ => debug_assert!(false, "column {} of {} holds no numbers", self.next, self.name),
        }
        self.next += 1;
    }

    /// Sets the next column of the row, which holds texts.
    pub(super) fn text(&mut self, value: Option<&[u8]>) {
        let column = self.values.get_mut(self.next);
        self.next += 1;
        match (column, value) {
            (Some(GroupValues::Text { known, texts, rows }), Some(text)) => {
                let number = known.get(text).copied().unwrap_or_else(|| {
                    let number = texts.len() as u32;
                    // Texts of a trace may hold any bytes; those of a column are UTF-8.
                    let valid = String::from_utf8_lossy(text).into_owned();
                    texts.push(ByteArray::from(valid.into_bytes()));
                    known.insert(text.into(), number);
                    self.text_bytes += 2 * text.len() + 64;
                    number
                });
                rows.push(number);
            }
            (Some(GroupValues::Text { rows, .. }), None) => rows.push(NO_TEXT),
            (Some(GroupValues::LongText { bytes, rows }), text) => {
                let start = bytes.len();
                let text = text.map(String::from_utf8_lossy);
                bytes.extend_from_slice(text.as_deref().unwrap_or_default().as_bytes());
                let end = if text.is_some() { bytes.len() } else { usize::MAX };
                self.text_bytes += bytes.len() - start;
                rows.push((start, end));
            }
            _ => debug_assert!(false, "column {} of {} holds no texts", self.next - 1, self.name),
        }
    }

    /// Ends the row.
    pub(super) fn end_row(&mut self) -> anyhow::Result<()> {
        debug_assert_eq!(self.next, self.values.len(), "columns of {}", self.name);
        self.next = 0;
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.text_bytes >= GROUP_BYTES { self.write_group() } else { Ok(()) }
    }

    /// Writes the rows that wait, sorted.
    fn write_group(&mut self) -> anyhow::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let order = self.sort_rows();
        self.written += self.rows as u64;
        let properties = Arc::clone(self.writer.properties());
        let mut group =
            self.writer.next_row_group().map_err(unwrap_error).with_context(|| self.name.clone())?;
        for (column, values) in self.schema.columns().iter().zip(&mut self.values) {
            let mut pages = Vec::new();
            let sink = Box::new(SummedPages(&mut pages));
            let mut writer = get_column_writer(Arc::clone(column), Arc::clone(&properties), sink);
            write_column(&mut writer, values, &order)
                .map_err(unwrap_error)
                .with_context(|| self.name.clone())?;
            values.clear();
            let written = writer.close().map_err(unwrap_error).with_context(|| self.name.clone())?;
            group
                .append_column(&Bytes::from(pages), written)
                .map_err(unwrap_error)
                .with_context(|| self.name.clone())?;
        }
        group.close().map_err(unwrap_error).with_context(|| self.name.clone())?;
        (self.rows, self.text_bytes) = (0, 0);
        Ok(())
    }

    /// The rows in the order of the first columns; of equal ones, as they came.
    fn sort_rows(&self) -> Vec<u32> {
        let key = |row: u32, column: usize| match &self.values[column] {
            GroupValues::Int(rows) => rows[row as usize],
            _ => None,
        };
        let mut order: Vec<u32> = (0..self.rows as u32).collect();
        order.sort_by_key(|&row| {
            let mut keys = [None; 3];
            keys.iter_mut().take(self.sorted).enumerate().for_each(|(column, k)| *k = key(row, column));
            keys
        });
        order
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> anyhow::Result<CompleteTable> {
        self.write_group()?;
        let name = self.name;
        let HashedFile { file, hash, bytes } =
            self.writer.into_inner().map_err(unwrap_error).with_context(|| name.clone())?;
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let (path, rows) = (String::new(), self.written);
        Ok(CompleteTable {
            file,
            name,
            about: record::PartTableRecord { path, rows, size_bytes: bytes, sha256 },
        })
    }
}

/// The error of the file behind one of the library, which would say it twice.
fn unwrap_error(error: ParquetError) -> anyhow::Error {
    match error {
        ParquetError::External(e) => match e.downcast::<io::Error>() {
            Ok(e) => (*e).into(),
            Err(e) => anyhow::anyhow!("{e}"),
        },
        other => other.into(),
    }
}

fn field_of(column: &Column) -> parquet::errors::Result<Arc<Type>> {
    let (physical, logical) = match column.kind {
        ColumnKind::Int => (PhysicalType::INT64, None),
        ColumnKind::Text | ColumnKind::LongText => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let builder = Type::primitive_type_builder(column.name, physical);
    let built = builder.with_repetition(Repetition::OPTIONAL).with_logical_type(logical).build()?;
    Ok(Arc::new(built))
}

fn properties(columns: &[Column], sorted: usize) -> WriterProperties {
    let sorting = (0..sorted as i32)
        .map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: true })
        .collect();
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_sorting_columns(Some(sorting))
        .set_created_by(concat!("tracecv ", env!("CARGO_PKG_VERSION")).to_owned());
    for column in columns {
        let path = ColumnPath::from(column.name);
        builder = builder.set_column_dictionary_enabled(path, column.kind == ColumnKind::Text);
    }
    builder.build()
}

fn write_column(
    column: &mut ColumnWriter<'_>,
    values: &mut GroupValues,
    order: &[u32],
) -> parquet::errors::Result<()> {
    match (column, values) {
        (ColumnWriter::Int64ColumnWriter(column), GroupValues::Int(rows)) => {
            let (numbers, levels) = gather(order, |row| rows[row]);
            column.write_batch(&numbers, Some(&levels), None)?;
        }
        (ColumnWriter::ByteArrayColumnWriter(column), GroupValues::Text { texts, rows, .. }) => {
            let (present, levels) = gather(order, |row| texts.get(rows[row] as usize).cloned());
            column.write_batch(&present, Some(&levels), None)?;
        }
        (ColumnWriter::ByteArrayColumnWriter(column), GroupValues::LongText { bytes, rows }) => {
            let shared = Bytes::from(std::mem::take(bytes));
            let (present, levels) = gather(order, |row| {
                let (start, end) = rows[row];
                (end != usize::MAX).then(|| ByteArray::from(shared.slice(start..end)))
            });
            column.write_batch(&present, Some(&levels), None)?;
        }
        _ => return Err(ParquetError::General("a column is of another type than its values".to_owned())),
    }
    Ok(())
}

/// The values that are there, in order, and which are.
fn gather<T>(order: &[u32], value: impl Fn(usize) -> Option<T>) -> (Vec<T>, Vec<i16>) {
    let mut present = Vec::with_capacity(order.len());
    let levels = order.iter().map(|&row| match value(row as usize) {
        Some(value) => {
            present.push(value);
            1
        }
        None => 0,
    });
    let levels = levels.collect();
    (present, levels)
}
