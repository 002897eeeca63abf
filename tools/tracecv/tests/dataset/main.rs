//! `tracecv convert --to parquet`: tables that other programs read.

#![cfg(feature = "parquet")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

#[path = "../support/mod.rs"]
mod support;

mod parts;
mod reading_back;
mod rows;
mod steps;

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;

use crate::support::run;

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

/// A kernel of `dur` us, launched 15 us before it starts.
fn launched(i: i64, (start, dur): (i64, i64), (host, device): (&str, &str)) -> String {
    format!(
        r#"{{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":{host},"tid":1,"ts":{},"dur":4,"args":{{"correlation":{i}}}}},
{{"ph":"X","cat":"kernel","name":"gemm","pid":{device},"tid":7,"ts":{start},"dur":{dur},"args":{{"device":0,"stream":7,"correlation":{i}}}}}"#,
        start - 15
    )
}

fn step(number: i64, host: &str, (start, dur): (i64, i64)) -> String {
    format!(
        r#"{{"ph":"X","cat":"user_annotation","name":"ProfilerStep#{number}","pid":{host},"tid":1,"ts":{start},"dur":{dur}}}"#
    )
}

fn convert(events: &[String], options: &[&str]) -> (testkit::ToolRun, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("t.json"), dir.path().join("ds"));
    let head = r#"{"schemaVersion":1,"distributedInfo":{"rank":0,"world_size":2},"traceEvents":["#;
    std::fs::write(&path, format!("{head}{}]}}", events.join(","))).unwrap();
    let args = ["convert", "--to", "parquet", "-o", out.to_str().unwrap(), path.to_str().unwrap()];
    (run(args.iter().chain(options).map(|s| (*s).to_owned())), dir)
}

/// Number of the step, rank, device events and length of the work.
fn step_rows(dir: &Path) -> Vec<(i64, i64, i64, i64)> {
    let rows = rows(&dir.join("ds"), "steps", "part-00001-of-00001");
    let number = |row: &Value, name: &str| row[name].as_i64().unwrap_or(-1);
    let mut found: Vec<_> = rows
        .iter()
        .map(|r| (number(r, "rank"), number(r, "step"), number(r, "device_events"), number(r, "total_ns")))
        .collect();
    found.sort_unstable();
    found
}

/// Runs `tracecv convert --to parquet` with these arguments.
fn convert_to(out: &Path, more: &[&Path], options: &[&str]) -> testkit::ToolRun {
    let args = ["convert", "--to", "parquet", "-o"].map(OsString::from);
    let options = options.iter().map(OsString::from);
    let more = more.iter().map(|path| path.as_os_str().to_owned());
    run(args.into_iter().chain([out.as_os_str().to_owned()]).chain(options).chain(more))
}
