//! One table: rows collected by column, sorted, and written as row groups of a Parquet file.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use common::fsat::AtomicFile;
use common::policy::Mode;
use common::record::tracecv as record;
use parquet::basic::{LogicalType, Repetition, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{SchemaDescriptor, Type};
use sha2::{Digest, Sha256};

use super::chunk::ChunkWriter;
use super::values::{ColumnValues, NO_TEXT, TextPool};
use crate::write::create_directories;

/// Rows of a row group: what memory holds at a time.
const GROUP_ROWS: usize = 256 * 1024;
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
    /// Texts.
    Text,
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
    values: Vec<ColumnValues>,
    chunks: ChunkWriter,
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
        let properties = Arc::new(properties(sorted));
        let writer = SerializedFileWriter::new(hashed, Arc::clone(&schema), properties)?;
        let values = columns.iter().map(|column| match column.kind {
            ColumnKind::Int => ColumnValues::Int(Vec::new()),
            ColumnKind::Text => ColumnValues::Text(TextPool::default(), Vec::new()),
        });
        let (values, chunks) = (values.collect(), ChunkWriter::default());
        let schema = SchemaDescriptor::new(schema);
        Ok(Self { writer, schema, values, chunks, sorted, next: 0, rows: 0, written: 0, text_bytes: 0, name })
    }

    /// Sets the next column of the row, which holds numbers.
    pub(super) fn int(&mut self, value: Option<i64>) {
        match (self.values.get_mut(self.next), value) {
            (Some(ColumnValues::Int(rows)), Some(value)) => {
                rows.resize(self.rows, None);
                rows.push(Some(value));
            }
            (Some(ColumnValues::Int(_)), None) => {}
            _ => debug_assert!(false, "column {} of {} holds no numbers", self.next, self.name),
        }
        self.next += 1;
    }

    /// Sets the next column of the row, which holds texts.
    pub(super) fn text(&mut self, value: Option<&[u8]>) {
        match (self.values.get_mut(self.next), value) {
            (Some(ColumnValues::Text(texts, rows)), Some(text)) => {
                let before = texts.size();
                rows.resize(self.rows, NO_TEXT);
                rows.push(texts.number_of(text));
                self.text_bytes += texts.size() - before;
            }
            (Some(ColumnValues::Text(..)), None) => {}
            _ => debug_assert!(false, "column {} of {} holds no texts", self.next, self.name),
        }
        self.next += 1;
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
        let mut group =
            self.writer.next_row_group().map_err(unwrap_error).with_context(|| self.name.clone())?;
        for (column, values) in self.schema.columns().iter().zip(&mut self.values) {
            let written = self.chunks.write(column, values, &order).and_then(|(pages, written)| {
                values.clear();
                group.append_column(&pages, written)
            });
            written.map_err(unwrap_error).with_context(|| self.name.clone())?;
        }
        group.close().map_err(unwrap_error).with_context(|| self.name.clone())?;
        (self.rows, self.text_bytes) = (0, 0);
        Ok(())
    }

    /// The rows in the order of the first columns; of equal ones, as they came.
    fn sort_rows(&self) -> Vec<u32> {
        let key = |row: usize, column: usize| match &self.values[column] {
            ColumnValues::Int(rows) => rows.get(row).copied().flatten(),
            ColumnValues::Text(..) => None,
        };
        let keys_of = |row: usize| {
            let mut keys = [None; 3];
            keys.iter_mut().take(self.sorted).enumerate().for_each(|(column, k)| *k = key(row, column));
            keys
        };
        let mut rows: Vec<([Option<i64>; 3], u32)> =
            (0..self.rows).map(|row| (keys_of(row), row as u32)).collect();
        // Most of a trace is in order already, which this kind of sorting makes use of.
        rows.sort();
        rows.into_iter().map(|(_, row)| row).collect()
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
        ColumnKind::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let builder = Type::primitive_type_builder(column.name, physical);
    let built = builder.with_repetition(Repetition::OPTIONAL).with_logical_type(logical).build()?;
    Ok(Arc::new(built))
}

fn properties(sorted: usize) -> WriterProperties {
    let sorting = (0..sorted as i32)
        .map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: true })
        .collect();
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_sorting_columns(Some(sorting))
        .set_created_by(concat!("tracecv ", env!("CARGO_PKG_VERSION")).to_owned())
        .build()
}
