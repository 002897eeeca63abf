//! An export of our own, against what must come of it; hostile ones.

use std::collections::BTreeSet;

use super::super::testing::{database, read_file as read};
use super::super::{ReadOptions, TraceSource, read_trace};
use crate::model::{Category, Event, EventSink};

/// Two processes whose calls have the same numbers, each on the device that it calls 0.
const SMALL: &str = "
    CREATE TABLE StringIds (id INTEGER PRIMARY KEY, value TEXT);
    INSERT INTO StringIds VALUES (1,'cudaLaunchKernel_v7000'),(2,'void gemm<float>(int)'),(3,'gemm'),(4,'step 1'),
        (5,'NCCL'),(6,'cuLaunchKernel');
    CREATE TABLE META_DATA_EXPORT (name TEXT, value TEXT);
    INSERT INTO META_DATA_EXPORT VALUES ('EXPORT_SCHEMA_VERSION','3.16.1');
    CREATE TABLE TARGET_INFO_SESSION_START_TIME (utcEpochNs INTEGER);
    INSERT INTO TARGET_INFO_SESSION_START_TIME VALUES (1000000);
    CREATE TABLE TARGET_INFO_GPU (id INTEGER, name TEXT);
    INSERT INTO TARGET_INFO_GPU VALUES (2,'G'),(3,'G');
    CREATE TABLE TARGET_INFO_CUDA_DEVICE (gpuId INTEGER, cudaId INTEGER, pid INTEGER);
    INSERT INTO TARGET_INFO_CUDA_DEVICE VALUES (2,0,70),(3,0,71);
    CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER, end INTEGER, eventClass INTEGER, globalTid INTEGER,
        correlationId INTEGER, nameId INTEGER);
    INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (10,20,0,(1<<56)|(70<<24)|7,9,1),(15,25,1,(1<<56)|(71<<24)|8,9,6);
    CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, deviceId INTEGER, streamId INTEGER,
        correlationId INTEGER, globalPid INTEGER, demangledName INTEGER, shortName INTEGER, gridX INTEGER);
    INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (30,80,0,7,9,(1<<56)|(70<<24),2,3,4),
        (40,70,0,7,9,(1<<56)|(71<<24),NULL,3,4);
    CREATE TABLE CUPTI_ACTIVITY_KIND_MEMCPY (start INTEGER, end INTEGER, deviceId INTEGER, streamId INTEGER,
        correlationId INTEGER, globalPid INTEGER, bytes INTEGER, copyKind INTEGER);
    INSERT INTO CUPTI_ACTIVITY_KIND_MEMCPY VALUES (90,95,0,7,11,(1<<56)|(70<<24),64,1);
    CREATE TABLE NVTX_EVENTS (start INTEGER, end INTEGER, eventType INTEGER, globalTid INTEGER, text TEXT,
        textId INTEGER, domainId INTEGER);
    INSERT INTO NVTX_EVENTS VALUES (0,0,75,(1<<56)|(70<<24)|7,NULL,5,3),(-5,100,59,(1<<56)|(70<<24)|7,NULL,4,3),
        (6,NULL,60,(1<<56)|(70<<24)|7,'open',NULL,0),(7,NULL,34,(1<<56)|(70<<24)|7,'mark',NULL,0);
";

#[test]
fn rows_become_events() {
    let (lines, outcome) = read(database(SMALL).path(), &ReadOptions::default());
    assert!(outcome.complete && outcome.meta.base_ns == Some(1_000_000), "{:?}", outcome.error);
    assert_eq!((outcome.meta.hints.len(), outcome.meta.devices[&3].as_str()), (1, "G"));
    let (two, three) = ((1i64 << 41) + 2, (1i64 << 41) + 3);
    let expected = [
        "X runtime 70/7 cudaLaunchKernel 10+10 {\"correlation\":9}".to_owned(),
        "X runtime 71/8 cuLaunchKernel 15+10 {\"correlation\":9}".to_owned(),
        "X marker 70/7 step 1 -5+105 {\"domain\":\"NCCL\"}".to_owned(),
        "B marker 70/7 open 6+- null".to_owned(),
        "i marker 70/7 mark 7+- null".to_owned(),
        format!("M other {two}/- process_name -+- {{\"name\":\"GPU 2\"}}"),
        format!(
            "X kernel {two}/7 void gemm<float>(int) 30+50 {{\"correlation\":9,\"device\":2,\"grid x\":4,\"stream\":7}}"
        ),
        format!("M other {three}/- process_name -+- {{\"name\":\"GPU 3\"}}"),
        format!("X kernel {three}/7 gemm 40+30 {{\"correlation\":9,\"device\":3,\"grid x\":4,\"stream\":7}}"),
        format!(
            "X memcpy {two}/7 Memcpy HtoD 90+5 {{\"bytes\":64,\"correlation\":11,\"device\":2,\"stream\":7}}"
        ),
    ];
    assert_eq!(lines, expected);
}

/// A graph whose kernels were not recorded is work; one whose kernels are there is not work twice.
#[test]
fn graphs_count_once() {
    let graphs = "CREATE TABLE CUPTI_ACTIVITY_KIND_GRAPH_TRACE (start INTEGER, end INTEGER, deviceId INTEGER,
        streamId INTEGER, correlationId INTEGER, globalPid INTEGER, graphId INTEGER);
        INSERT INTO CUPTI_ACTIVITY_KIND_GRAPH_TRACE VALUES (100,200,0,7,12,(1<<56)|(70<<24),5);";
    let of = |sql: &str| read(database(sql).path(), &ReadOptions::default()).0.concat();
    assert!(of(&format!("{SMALL}{graphs}")).contains("X kernel 2199023255554/7 CUDA graph 5 100+100"));
    let nodes = "ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL ADD COLUMN graphNodeId INTEGER;
        UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET graphNodeId = 3;";
    assert!(of(&format!("{SMALL}{graphs}{nodes}")).contains("X marker 2199023255554/7 CUDA graph 5 100+100"));
}

#[test]
fn nvprof_is_rejected_by_name() {
    let sql =
        "CREATE TABLE StringTable (_id_ INTEGER, value TEXT); CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (a);";
    let (_, outcome) = read(database(sql).path(), &ReadOptions::default());
    assert!(outcome.error.unwrap().to_string().contains("a database of nvprof"));
}

/// Columns of other kinds, negative and huge numbers: nothing of that stops reading.
#[test]
fn odd_values_are_no_reason_to_stop() {
    let odd = "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES ('x',1,2,3,4,5,6,7,8),
        (9223372036854775807,-9223372036854775808,9223372036854775807,-1,9223372036854775807,-1,-1,-1,1.5),
        (NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL),(x'00',x'00',x'00',x'00',x'00',x'00',x'00',x'00',x'00');";
    assert!(read(database(&format!("{SMALL}{odd}")).path(), &ReadOptions::default()).1.complete);
}

/// A row whose time cannot be used is an event without one, and is counted as in JSON.
#[test]
fn rows_without_a_usable_time_are_counted() {
    for (change, time, defect) in [
        ("start = 'abc'", "-+-", "bad_ts"),
        ("start = x'00'", "-+-", "bad_ts"),
        ("start = NULL", "-+-", "no_ts"),
        ("start = 9223372036854775807", "-+-", "ts_out_of_range"),
        ("end = NULL", "30+-", "no_dur"),
        ("end = 'abc'", "30+-", "bad_dur"),
        ("end = 1e300", "30+-", "dur_out_of_range"),
        ("end = 29", "30+0", "negative_dur"),
        ("end = 30 + 700000000000000", "30+-", "longer_than_7_days"),
    ] {
        for table in ["CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_RUNTIME"] {
            let time = if table.ends_with("RUNTIME") { time.replace("30", "10") } else { time.to_owned() };
            let change =
                if table.ends_with("RUNTIME") { change.replace("29", "9") } else { change.to_owned() };
            let sql = format!("{SMALL} UPDATE {table} SET {change} WHERE rowid = 1;");
            let (lines, outcome) = read(database(&sql).path(), &ReadOptions::default());
            assert!(lines.iter().any(|line| line.contains(&format!(" {time} "))), "{change}: {lines:?}");
            let found: Vec<_> = outcome.defects.iter().map(|(d, c)| (d.name(), c.count)).collect();
            assert_eq!((found, lines.len()), (vec![(defect, 1)], 10), "{change}");
        }
    }
    // A time with a fraction is a time.
    let sql =
        format!("{SMALL} UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET start = 30.4, end = '79.6' WHERE rowid = 1;");
    let (lines, outcome) = read(database(&sql).path(), &ReadOptions::default());
    assert!(
        lines.iter().any(|line| line.contains(" 30+50 ")) && outcome.defects.iter().count() == 0,
        "{lines:?}"
    );
}

/// Exports of 2019 and 2020 have `processId` for `globalPid`, or neither.
#[test]
fn work_of_old_exports_is_linked_to_its_calls() {
    let numbers = |change: &str| {
        let mut found = Numbers::default();
        let file = database(&format!("{SMALL} {change}"));
        let bytes = Box::new(std::fs::File::open(file.path()).unwrap());
        let source = TraceSource::of_file(bytes, file.path().to_owned());
        read_trace(source, &ReadOptions::default(), &mut found).unwrap();
        found.0
    };
    let other = 9 + (1i64 << 40);
    assert_eq!(numbers(""), ([9, other].into(), [9, other].into()));
    let renamed = "ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL RENAME COLUMN globalPid TO processId;";
    assert_eq!(numbers(renamed), ([9, other].into(), [9, other].into()));
    let dropped = "ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL DROP COLUMN globalPid;
        DELETE FROM CUPTI_ACTIVITY_KIND_RUNTIME WHERE nameId = 6;";
    assert_eq!(numbers(dropped), ([9].into(), [9].into()));
}

/// The numbers of calls, and of the kernels that they launched.
#[derive(Default)]
struct Numbers((BTreeSet<i64>, BTreeSet<i64>));

impl EventSink for Numbers {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        match event.category {
            Category::Runtime => self.0.0.extend(event.correlation),
            Category::Kernel => self.0.1.extend(event.correlation),
            _ => {}
        }
        Ok(())
    }
}

#[test]
fn names_that_are_missing_are_lost() {
    let sql = format!("{SMALL} DELETE FROM StringIds WHERE id IN (2, 3);");
    let (lines, outcome) = read(database(&sql).path(), &ReadOptions::default());
    assert_eq!(lines.iter().filter(|line| line.contains(" unknown ")).count(), 2);
    assert_eq!(outcome.defects.losses()["missing_name"], 2);
}
