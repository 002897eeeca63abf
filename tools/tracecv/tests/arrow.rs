//! `tracecv convert --to arrow`, read by the crate that pyarrow's format is from; `tests/interop` has pyarrow itself.

#![cfg(feature = "arrow")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::FileReader;
use common::exit::Exit;
use serde_json::Value;
use support::run;

/// More events than a batch holds.
const EVENTS: usize = 70_000;

fn trace(rank: usize) -> String {
    let event = |i: usize| {
        format!(
            r#"{{"ph":"X","cat":"cpu_op","name":"op{}","pid":1,"tid":"a","ts":{i}.5,"dur":0.25,"args":{{"n":{i}}},"cname":"red"}}"#,
            i % 3
        )
    };
    let events: Vec<String> = (0..EVENTS).map(event).collect();
    format!(r#"{{"distributedInfo":{{"rank":{rank},"world_size":2}},"traceEvents":[{}]}}"#, events.join(","))
}

fn texts<'a>(batch: &'a RecordBatch, column: &str) -> &'a arrow_array::StringArray {
    batch.column_by_name(column).unwrap().as_string()
}

#[test]
fn batches_hold_every_event_of_every_trace() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = [0, 1].map(|rank| dir.path().join(format!("rank{rank}.json")));
    inputs.iter().enumerate().for_each(|(rank, path)| std::fs::write(path, trace(rank)).unwrap());
    let out = dir.path().join("out.arrow");
    let args = ["convert", "--to", "arrow", "-o", out.to_str().unwrap()];
    let done = run(args.into_iter().chain(inputs.iter().map(|path| path.to_str().unwrap())));
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let reader = FileReader::try_new(std::fs::File::open(&out).unwrap(), None).unwrap();
    let traces: Value = serde_json::from_str(&reader.custom_metadata()["traces"]).unwrap();
    assert_eq!((&traces[1]["rank"], &traces[1]["events"]), (&1.into(), &EVENTS.into()));
    let (mut rows, mut nanos, mut batches) = (0, 0, 0);
    for batch in reader.map(Result::unwrap) {
        let starts = batch.column_by_name("start_ns").unwrap().as_primitive::<Int64Type>();
        let durs = batch.column_by_name("dur_ns").unwrap().as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let i = rows % EVENTS;
            assert_eq!(starts.value(row), i as i64 * 1000 + 500);
            assert_eq!(texts(&batch, "name").value(row), format!("op{}", i % 3));
            assert!(texts(&batch, "trace").value(row).ends_with(&format!("rank{}.json", rows / EVENTS)));
            nanos += durs.value(row);
            rows += 1;
        }
        assert_eq!(
            (texts(&batch, "tid").value(0), texts(&batch, "other").value(0)),
            ("a", r#"{"cname":"red"}"#)
        );
        assert!(batch.column_by_name("device").unwrap().null_count() == batch.num_rows());
        batches += 1;
    }
    assert_eq!((rows, nanos), (2 * EVENTS, 250 * 2 * EVENTS as i64));
    assert!(batches > 1);
}
