//! Row groups of a table on their way to its file: sorted, and written column by column.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use bytes::Bytes;
use common::fsat::AtomicFile;
use common::policy::Mode;
use common::record::tracecv as record;
use parquet::basic::{LogicalType, Repetition, Type as PhysicalType};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor, Type};
use sha2::{Digest, Sha256};

use super::chunk::ChunkWriter;
use super::rows::RowGroup;
use super::values::{Column, ColumnKind, ColumnValues};

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

/// The pages of a column, and what the file is to say about them.
type ColumnPages = parquet::errors::Result<(Bytes, ColumnCloseResult)>;

/// Row groups with fewer rows are written by one thread.
const SHARED_ROWS: usize = 16 * 1024;
/// Threads that write the columns of a row group: few columns take most of the time.
const MOST_THREADS: usize = 4;

/// Writes row groups to a file that appears when it is complete.
pub(super) struct GroupWriter {
    writer: SerializedFileWriter<HashedFile>,
    schema: SchemaDescriptor,
    /// One for each thread that writes columns.
    chunks: Vec<ChunkWriter>,
    /// How many columns sort the rows.
    sorted: usize,
    /// Rows that are written.
    written: u64,
    name: String,
}

impl GroupWriter {
    /// Begins `dir/part` in a directory that exists. The first `sorted` columns, all numbers, sort the rows.
    pub(super) fn create(dir: &Path, part: &str, columns: &[Column], sorted: usize) -> anyhow::Result<Self> {
        let path = dir.join(part);
        let name = path.display().to_string();
        let file = AtomicFile::create(&path, Mode(0o640)).with_context(|| name.clone())?;
        let hashed = HashedFile { file, hash: Sha256::new(), bytes: 0 };
        let fields = columns.iter().map(field_of).collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?);
        let properties = Arc::new(properties(sorted));
        let writer = SerializedFileWriter::new(hashed, Arc::clone(&schema), properties)?;
        let schema = SchemaDescriptor::new(schema);
        Ok(Self { writer, schema, chunks: Vec::new(), sorted, written: 0, name })
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
        for written in write_columns(&mut self.chunks, self.schema.columns(), &rows.values, &places) {
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

/// The pages of columns, in their order, made by as many threads as there are processors, up to [`MOST_THREADS`].
fn write_columns(
    chunks: &mut Vec<ChunkWriter>,
    columns: &[ColumnDescPtr],
    values: &[ColumnValues],
    places: &[u32],
) -> Vec<ColumnPages> {
    let next = AtomicUsize::new(0);
    let write = |chunk: &mut ChunkWriter| {
        let mut written = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let (Some(column), Some(values)) = (columns.get(i), values.get(i)) else { return written };
            written.push((i, chunk.write(column, values, places)));
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = if places.len() < SHARED_ROWS { 1 } else { processors.min(MOST_THREADS) };
    chunks.resize_with(threads, ChunkWriter::default);
    let mut written = std::thread::scope(|scope| {
        let write = &write;
        let start = |chunk| {
            std::thread::Builder::new()
                .name("encode".to_owned())
                .spawn_scoped(scope, move || write(chunk))
                .ok()
        };
        let mut chunks = chunks.iter_mut();
        let own = chunks.next();
        let others: Vec<_> = chunks.map_while(start).collect();
        let mut written = own.map(write).unwrap_or_default();
        for other in others {
            written.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        written
    });
    written.sort_unstable_by_key(|(i, _)| *i);
    written.into_iter().map(|(_, pages)| pages).collect()
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
