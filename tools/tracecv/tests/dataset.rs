//! `tracecv convert --to parquet`: tables that other programs read.

#![cfg(feature = "parquet")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use std::fs::File;
use std::path::Path;

use common::exit::Exit;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;
use support::run;

/// Two steps, of which the first launches a kernel that runs in the second.
fn trace(rank: i64) -> String {
    format!(
        r#"{{"distributedInfo":{{"backend":"nccl","rank":{rank},"world_size":2}},"baseTimeNanoseconds":1700000000000000000,"traceEvents":[
{{"ph":"X","cat":"kernel","name":"ncclDevKernel_AllReduce_Sum_f32_RING_LL","pid":0,"tid":7,"ts":15,"dur":2,"args":{{"correlation":9,"device":0,"stream":7,"Collective name":"allreduce","Group size":2,"In msg nelems":64,"dtype":"Float","grid":[1,2,3]}}}},
{{"ph":"X","cat":"user_annotation","name":"ProfilerStep#1","pid":1,"tid":1,"ts":0,"dur":10}},
{{"ph":"X","cat":"user_annotation","name":"ProfilerStep#2","pid":1,"tid":1,"ts":10,"dur":10}},
{{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":1,"tid":1,"ts":3,"dur":1,"args":{{"correlation":9}}}},
{{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":1,"tid":1,"ts":11.5,"dur":1,"cname":"red","args":{{"args":1,"Input Dims":[[2,3]]}}}}]}}"#
    )
}

/// The rows of a table, as JSON.
fn rows(dir: &Path, table: &str, part: &str) -> Vec<Value> {
    let path = dir.join(format!("run=1/table={table}/{part}.parquet"));
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_json_value_of_columns()).collect()
}

/// The columns that hold a value.
trait ToJson {
    fn to_json_value_of_columns(&self) -> Value;
}

impl ToJson for parquet::record::Row {
    fn to_json_value_of_columns(&self) -> Value {
        let value = |field: &parquet::record::Field| match field {
            parquet::record::Field::Long(n) => Some(Value::from(*n)),
            parquet::record::Field::Str(text) => Some(Value::from(text.as_str())),
            parquet::record::Field::Null => None,
            other => panic!("{other:?}"),
        };
        self.get_column_iter().filter_map(|(name, field)| Some((name.clone(), value(field)?))).collect()
    }
}

#[test]
fn rows_have_steps_wall_clock_and_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    std::fs::write(&path, trace(1)).unwrap();
    let out = dir.path().join("ds");
    let done = run(["convert", "--to", "parquet", "-o", out.to_str().unwrap(), path.to_str().unwrap()]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let part = "part-00001-of-00001";
    let events = rows(&out, "events", part);
    // Sorted by step and start, though the kernel is first in the file and runs in the second step.
    let order: Vec<_> = events.iter().map(|e| (e["step"].as_i64(), e["index"].as_i64().unwrap())).collect();
    assert_eq!(order, [(Some(1), 1), (Some(1), 3), (Some(1), 0), (Some(2), 2), (Some(2), 4)]);
    let kernel = &events[2];
    assert_eq!(kernel["start_ns"], 1_700_000_000_000_015_000_i64);
    assert_eq!(
        (&kernel["dur_ns"], &kernel["rank"], &kernel["category"]),
        (&2000.into(), &1.into(), &"collective".into())
    );
    assert_eq!(
        (&kernel["group_size"], &kernel["in_elements"], &kernel["dtype"]),
        (&2.into(), &64.into(), &"Float".into())
    );
    assert_eq!(kernel["args"], r#"{"grid":[1,2,3]}"#);
    assert_eq!(events[4]["args"], r#"{"args":1,"Input Dims":[[2,3]]}"#);
    assert_eq!(events[4]["other"], r#"{"cname":"red"}"#);
    assert_eq!(rows(&out, "kernels", part).len(), 1);
    assert_eq!(rows(&out, "collectives", part)[0]["collective"], "allreduce");
    let steps: Vec<_> = rows(&out, "steps", part).iter().map(|s| s["step"].as_i64().unwrap()).collect();
    assert_eq!(steps, [1, 2]);
    let ranks = rows(&out, "ranks", part);
    assert_eq!((ranks.len(), &ranks[0]["world_size"], &ranks[0]["events"]), (1, &2.into(), &5.into()));
}

#[test]
fn shards_write_one_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<String> = (0..5)
        .map(|rank| {
            let path = dir.path().join(format!("rank{rank}.json"));
            std::fs::write(&path, trace(rank)).unwrap();
            path.to_str().unwrap().to_owned()
        })
        .collect();
    let out = dir.path().join("ds");
    let mut seen = Vec::new();
    for shard in ["1/2", "2/2"] {
        let args = ["convert", "--to", "parquet", "--shard", shard, "-o", out.to_str().unwrap()];
        let done = run(args.iter().map(|s| (*s).to_owned()).chain(paths.clone()));
        assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
        let part = format!("part-0000{}-of-00002", &shard[..1]);
        let ranks = rows(&out, "ranks", &part);
        seen.extend(ranks.iter().map(|r| r["rank"].as_i64().unwrap()));
        assert_eq!(rows(&out, "events", &part).len(), ranks.len() * 5);
    }
    let mode = std::os::unix::fs::MetadataExt::mode(&out.metadata().unwrap());
    assert_eq!(mode & 0o027, 0, "closed to others: {mode:o}");
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[test]
fn a_run_that_fails_leaves_no_tables() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.json");
    std::fs::write(&bad, "no trace").unwrap();
    let out = dir.path().join("ds");
    let done = run(["convert", "--to", "parquet", "-o", out.to_str().unwrap(), bad.to_str().unwrap()]);
    assert_eq!(done.exit, Exit::Failed);
    assert_eq!(testkit::list_files(&out), Vec::<std::path::PathBuf>::new());
}
