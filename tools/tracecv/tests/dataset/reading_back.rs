//! A part read back: what damage to it costs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::exit::Exit;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use trace::model::{Event, EventSink};
use trace::read::{ReadOptions, TraceSource, read_trace};

use crate::support::run;
use crate::trace;

/// The table of events of a data set of one trace.
fn write_part(dir: &Path) -> PathBuf {
    let path = dir.join("t.json");
    std::fs::write(&path, trace(1)).unwrap();
    let out = dir.join("ds");
    let done = run(["convert", "--to", "parquet", "-o", out.to_str().unwrap(), path.to_str().unwrap()]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    out.join("run=1/table=events/part-00001-of-00001.parquet")
}

/// Takes every event.
struct Nothing;

impl EventSink for Nothing {
    fn event(&mut self, _: &Event<'_>) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Converts a file to a Chrome trace. Returns that, or why there is none or not all of it.
fn read_back(part: &Path) -> Result<String, String> {
    let out = part.with_extension("json");
    let _ = std::fs::remove_file(&out);
    let done = run(["convert", "--to", "chrome", "-o", out.to_str().unwrap(), part.to_str().unwrap()]);
    let source = TraceSource::of_file(Box::new(File::open(part).unwrap()), part.to_owned());
    let outcome = read_trace(source, &ReadOptions::default(), &mut Nothing).unwrap();
    let Some(error) = outcome.error else {
        // A changed text may be no JSON, or no text: then something was lost.
        assert!(done.exit == Exit::Ok || !outcome.defects.losses().is_empty());
        return Ok(std::fs::read_to_string(&out).unwrap());
    };
    assert_eq!(done.exit, Exit::Failed);
    // What could not be read leaves nothing.
    assert_eq!(out.exists(), outcome.events > 0, "{error}");
    Err(error.to_string())
}

#[test]
fn a_changed_bit_of_a_page_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let part = write_part(dir.path());
    let whole = std::fs::read(&part).unwrap();
    // Without the table of ranks beside it.
    let damaged = dir.path().join("damaged.parquet");
    std::fs::write(&damaged, &whole).unwrap();
    let good = read_back(&damaged).unwrap();
    let reader = SerializedFileReader::new(File::open(&part).unwrap()).unwrap();
    let (mut noticed, mut places) = (0, 0);
    for column in reader.metadata().row_group(0).columns() {
        let (start, length) = column.byte_range();
        // The last bytes are those of a page; its header is before.
        for back in [1, 2] {
            let mut bytes = whole.clone();
            bytes[(start + length) as usize - back] ^= 1;
            std::fs::write(&damaged, &bytes).unwrap();
            places += 1;
            match read_back(&damaged) {
                Ok(text) => assert_eq!(text, good, "{}", column.column_path()),
                Err(said) => {
                    assert!(said.contains("CRC"), "{}: {said}", column.column_path());
                    noticed += 1;
                }
            }
        }
    }
    // Four columns are not read: the rank, the step and the category, which the events say, and the number of the trace.
    assert!(places > 60 && noticed >= places - 8, "{noticed} of {places}");
}

#[test]
fn any_changed_byte_is_noticed_or_of_no_consequence_or_an_error_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(write_part(dir.path())).unwrap();
    let damaged = dir.path().join("damaged.parquet");
    for at in (0..whole.len()).step_by(29) {
        let mut bytes = whole.clone();
        bytes[at] = !bytes[at];
        std::fs::write(&damaged, &bytes).unwrap();
        let _ = read_back(&damaged);
    }
    std::fs::write(&damaged, &whole[..whole.len() / 2]).unwrap();
    assert!(read_back(&damaged).is_err());
    assert!(!damaged.with_extension("json").exists());
}

/// Writes a file of one row: columns by their place in the schema.
fn write_row(path: &Path, schema: &str) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    while let Some(mut column) = group.next_column().unwrap() {
        match column.untyped() {
            ColumnWriter::Int64ColumnWriter(c) => _ = c.write_batch(&[7], None, None).unwrap(),
            ColumnWriter::ByteArrayColumnWriter(c) => {
                c.write_batch(&[ByteArray::from("X")], None, None).unwrap();
            }
            _ => panic!("another type"),
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

/// A column is known by its whole path: one inside of another is none of a data set.
#[test]
fn columns_inside_of_others_are_not_taken_for_those_of_a_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("foreign.parquet");
    let all = "required int64 start_ns; required int64 dur_ns; required binary name; required binary ph; required int64 index;";
    write_row(&path, &format!("message m {{ required group x {{ {all} }} }}"));
    let said = read_back(&path).unwrap_err();
    assert!(said.contains("without the column start_ns") && said.contains("x.start_ns"), "{said}");
    write_row(
        &path,
        &format!("message m {{ {all} required group x {{ required int64 name; required int64 cat; }} }}"),
    );
    let text = read_back(&path).unwrap();
    assert!(text.contains(r#"{"ph":"X","name":"X","ts":0.007,"dur":0.007}"#), "{text}");
}
