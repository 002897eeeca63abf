//! Row groups of a table on their way to its file: sorted, and written column by column.

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
use super::values::{Column, ColumnKind, ColumnValues, TextPool, Values};
use crate::write::create_directories;

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

/// Rows by column.
pub(super) struct RowGroup {
    pub(super) values: Vec<ColumnValues>,
    pub(super) rows: u32,
}

impl RowGroup {
    /// Without rows yet.
    pub(super) fn new(columns: &[Column]) -> Self {
        let values = columns.iter().map(|column| match column.kind {
            ColumnKind::Int => Values::Int(Vec::new()),
            ColumnKind::Text => Values::Text(TextPool::default(), Vec::new()),
        });
        Self { values: values.map(|values| ColumnValues { rows: Vec::new(), values }).collect(), rows: 0 }
    }

    /// Forgets all rows.
    fn clear(&mut self) {
        self.values.iter_mut().for_each(ColumnValues::clear);
        self.rows = 0;
    }

    /// The places of the rows in the order of the first columns; of equal ones, as they came.
    fn sort_rows(&self, sorted: usize) -> Vec<u32> {
        let mut places = vec![0; self.rows as usize];
        let Some((last, groups)) = self.values[..sorted].split_last() else {
            return (0..self.rows).collect();
        };
        // The numbers of the columns before the last, as one: there are few of them.
        let mut keys = vec![[None; 2]; places.len()];
        for (n, column) in groups.iter().enumerate() {
            column.for_each_number(|row, number| keys[row][n] = Some(number));
        }
        let mut different = keys.clone();
        different.dedup();
        different.sort_unstable();
        different.dedup();
        let mut known = 0;
        let mut order: Vec<u128> = (0_u32..)
            .zip(&keys)
            .map(|(row, key)| {
                if different[known] != *key {
                    known = different.binary_search(key).unwrap_or_default();
                }
                u128::from(known as u32) << 97 | u128::from(row)
            })
            .collect();
        // One that is missing comes first.
        const SIGN: u64 = 1 << 63;
        last.for_each_number(|row, number| order[row] |= 1 << 96 | u128::from(number as u64 ^ SIGN) << 32);
        order.sort_unstable();
        (0..).zip(order).for_each(|(place, row)| places[row as u32 as usize] = place);
        places
    }
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

/// Writes row groups to a file that appears when it is complete.
pub(super) struct GroupWriter {
    writer: SerializedFileWriter<HashedFile>,
    schema: SchemaDescriptor,
    chunks: ChunkWriter,
    /// How many columns sort the rows.
    sorted: usize,
    /// Rows that are written.
    written: u64,
    name: String,
}

impl GroupWriter {
    /// Begins `dir/part`. The first `sorted` columns, all numbers, sort the rows.
    pub(super) fn create(dir: &Path, part: &str, columns: &[Column], sorted: usize) -> anyhow::Result<Self> {
        let path = dir.join(part);
        let name = path.display().to_string();
        create_directories(dir)?;
        let file = AtomicFile::create(&path, Mode(0o640)).with_context(|| name.clone())?;
        let hashed = HashedFile { file, hash: Sha256::new(), bytes: 0 };
        let fields = columns.iter().map(field_of).collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?);
        let properties = Arc::new(properties(sorted));
        let writer = SerializedFileWriter::new(hashed, Arc::clone(&schema), properties)?;
        let schema = SchemaDescriptor::new(schema);
        Ok(Self { writer, schema, chunks: ChunkWriter::default(), sorted, written: 0, name })
    }

    /// Writes rows, sorted, and forgets them.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&mut self, rows: &mut RowGroup) -> anyhow::Result<()> {
        if rows.rows == 0 {
            return Ok(());
        }
        let places = rows.sort_rows(self.sorted);
        self.written += u64::from(rows.rows);
        let mut group =
            self.writer.next_row_group().map_err(unwrap_error).with_context(|| self.name.clone())?;
        for (column, values) in self.schema.columns().iter().zip(&rows.values) {
            let written = self.chunks.write(column, values, &places);
            let appended = written.and_then(|(pages, written)| group.append_column(&pages, written));
            appended.map_err(unwrap_error).with_context(|| self.name.clone())?;
        }
        group.close().map_err(unwrap_error).with_context(|| self.name.clone())?;
        rows.clear();
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn finish(self) -> anyhow::Result<CompleteTable> {
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
