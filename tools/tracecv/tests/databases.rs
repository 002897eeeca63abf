//! `tracecv convert --to sqlite` and `--to ascend-db`.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use common::exit::Exit;
use rusqlite::Connection;
use support::run;

const TRACE: &str = r#"{"distributedInfo":{"rank":2},"baseTimeNanoseconds":1700000000000000000,"traceEvents":[
{"ph":"X","cat":"user_annotation","name":"ProfilerStep#7","pid":1,"tid":2,"ts":0,"dur":30},
{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":1,"tid":2,"ts":1.5,"dur":8,"cname":"red","args":{"External id":3,"Input Dims":[[2,3]]}},
{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":1,"tid":2,"ts":2,"dur":1,"args":{"External id":3,"correlation":9}},
{"ph":"X","cat":"kernel","name":"gemm","pid":0,"tid":7,"ts":10,"dur":2,"args":{"correlation":9,"device":0,"stream":7}},
{"ph":"X","cat":"kernel","name":"ncclDevKernel_AllReduce_Sum_f32_RING_LL","pid":0,"tid":8,"ts":12,"dur":4,"args":{"correlation":10,"device":0,"stream":8,"Collective name":"allreduce","dtype":"Float","In msg nelems":64}},
{"ph":"s","id":9,"cat":"ac2g","name":"ac2g","pid":1,"tid":2,"ts":2}]}"#;

fn convert(to: &str) -> (tempfile::TempDir, Connection) {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("t.json"), dir.path().join("out.db"));
    std::fs::write(&input, TRACE).unwrap();
    let done = run(["convert", "--to", to, "-o", out.to_str().unwrap(), input.to_str().unwrap()]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let connection = Connection::open(&out).unwrap();
    assert_eq!(one::<String>(&connection, "PRAGMA integrity_check"), "ok");
    (dir, connection)
}

fn one<T: rusqlite::types::FromSql>(connection: &Connection, query: &str) -> T {
    connection.query_row(query, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_plain_database_has_every_event() {
    let (_dir, db) = convert("sqlite");
    assert_eq!(one::<i64>(&db, "SELECT count(*) FROM events"), 6);
    assert_eq!(
        one::<i64>(&db, "SELECT sum(dur_ns) FROM slices WHERE category = 'kernel' AND rank = 2"),
        2000
    );
    assert_eq!(one::<String>(&db, "SELECT other FROM events WHERE name = 'aten::mm'"), r#"{"cname":"red"}"#);
    assert_eq!(
        one::<i64>(&db, "SELECT json_extract(args, '$.\"Input Dims\"[0][1]') FROM events WHERE idx = 1"),
        3
    );
    assert_eq!(one::<i64>(&db, "SELECT base_ns FROM traces"), 1_700_000_000_000_000_000);
    assert_eq!(one::<i64>(&db, "SELECT id FROM events WHERE ph = 's'"), 9);
}

#[test]
fn the_tables_of_ascend_tie_operators_to_tasks() {
    let (_dir, db) = convert("ascend-db");
    // As msprof-analyze joins them: operator, call, task.
    let joined = "SELECT s.value FROM PYTORCH_API p JOIN CONNECTION_IDS c ON p.connectionId = c.id
        JOIN TASK t ON t.connectionId = c.connectionId JOIN COMPUTE_TASK_INFO i ON i.globalTaskId = t.globalTaskId
        JOIN STRING_IDS s ON s.id = i.name";
    assert_eq!(one::<String>(&db, joined), "gemm");
    assert_eq!(one::<i64>(&db, "SELECT startNs FROM TASK WHERE streamId = 7"), 1_700_000_000_000_010_000);
    let collective = "SELECT s.value || ' ' || d.name || ' ' || count FROM COMMUNICATION_OP c
        JOIN STRING_IDS s ON s.id = c.opType JOIN ENUM_HCCL_DATA_TYPE d ON d.id = c.dataType";
    assert_eq!(one::<String>(&db, collective), "allreduce FP32 64");
    assert_eq!(one::<i64>(&db, "SELECT id FROM STEP_TIME"), 7);
    assert_eq!(one::<i64>(&db, "SELECT endTimeNs - startTimeNs FROM SESSION_TIME_INFO"), 30_000);
    assert_eq!(one::<i64>(&db, "SELECT rankId FROM RANK_DEVICE_MAP WHERE deviceId = 0"), 2);
}

/// What the tables of Ascend have no place for is counted, and begins come together with their ends.
#[test]
fn what_the_tables_of_ascend_do_not_hold_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("t.json"), dir.path().join("out.db"));
    let trace = r#"[{"ph":"M","name":"thread_name","pid":1,"tid":2,"args":{"name":"main"}},
        {"ph":"B","cat":"cpu_op","name":"aten::mm","pid":1,"tid":2,"ts":1,"args":{"External id":3,"x":1,"y":[2]}},
        {"ph":"E","pid":1,"tid":2,"ts":4},
        {"ph":"B","cat":"cpu_op","name":"open","pid":1,"tid":2,"ts":5},
        {"ph":"X","cat":"user_annotation","name":"a","pid":1,"tid":"worker a","ts":5,"dur":1},
        {"ph":"X","cat":"user_annotation","name":"b","pid":1,"tid":"worker b","ts":5,"dur":1},
        {"ph":"X","cat":"kernel","name":"k","pid":"gpu","tid":3,"ts":6,"dur":1,"args":{"grid":[1]}}]"#;
    std::fs::write(&input, trace).unwrap();
    let args = ["--format", "json", "convert", "--to", "ascend-db", "-o"];
    let done = run(args.iter().copied().chain([out.to_str().unwrap(), input.to_str().unwrap()]));
    assert_eq!((done.exit, &done.fatal), (Exit::Ok, &None));
    let expected = serde_json::json!({"arguments without a column": 3, "begins and ends without the other half": 1,
        "devices that are not known (0 is in their place)": 1, "ids that are no numbers of 32 bits": 2,
        "names and order of processes and threads": 1});
    assert_eq!(done.of("tracecv.output")[0]["not_held"], expected);
    let db = Connection::open(&out).unwrap();
    assert_eq!(one::<i64>(&db, "SELECT endNs - startNs FROM PYTORCH_API"), 3000);
    assert_eq!(one::<i64>(&db, "SELECT count(DISTINCT globalTid) FROM MSTX_EVENTS"), 2);
}
