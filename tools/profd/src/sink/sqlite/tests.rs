use super::*;
use crate::counters::{Counters, SinkKind};
use crate::log::DaemonLog;
use crate::sink::abandoned::{Repair, close_abandoned_files};
use crate::sink::lines::tests::sample_metric;
use crate::sink::rotated::FileNaming;
use common::out::Verbosity;
use std::path::{Path, PathBuf};

fn sink(dir: &Path, file_bytes: u64) -> (SqliteSink, Arc<Counters>) {
    let counters: Arc<Counters> = Arc::default();
    let log = DaemonLog::start(Verbosity::Quiet, counters.clone()).unwrap();
    let account = SinkAccount::new(SinkKind::Sqlite, counters.clone(), log);
    let rotation = RotationPlan { file_bytes, ..RotationPlan::default() };
    let files = RotatedFiles::new(dir.to_owned(), FileNaming::Database, rotation, account.clone());
    (SqliteSink::new(files, rotation, "node1".to_owned(), account), counters)
}

fn metric(kind: &str, device_id: i64) -> Arc<DecodedMetric> {
    let mut metric = DecodedMetric::clone(&sample_metric());
    metric.record.kind = kind.to_owned();
    metric.record.device_id = device_id;
    metric.record.name = (kind == "Marker").then(|| "forward".to_owned());
    Arc::new(metric)
}

fn databases(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

fn query(path: &Path, sql: &str) -> String {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn every_kind_is_in_its_table_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (mut sink, counters) = sink(dir.path(), 1 << 30);
    let hosts = ["Marker", "API", "AclAPI", "NodeAPI", "RuntimeAPI"].map(|kind| metric(kind, -1));
    let devices = ["Marker", "Kernel", "Hccl", "Communication", "Memory", "MemSet", "MemCpy"];
    sink.write(&hosts);
    sink.write(&devices.map(|kind| metric(kind, 2)));
    let path = databases(dir.path()).remove(0);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(
        name.starts_with(&format!("msmonitor_{}_2", std::process::id())) && name.ends_with("_-1.db"),
        "{name}"
    );
    let names = "SELECT group_concat(value) FROM (SELECT value FROM CANN_API JOIN STRING_IDS ON id = name)";
    assert_eq!(query(&path, names), "API (sum),AclAPI (sum),NodeAPI (sum),RuntimeAPI (sum)");
    let tasks = "SELECT group_concat(value) FROM (SELECT value FROM TASK JOIN STRING_IDS ON id = taskType)";
    assert_eq!(query(&path, tasks), "MsTx,N/A,Memory,MemSet,MemCpy");
    let kernel = "SELECT (t.endNs - t.startNs) || ' ' || value FROM TASK t JOIN COMPUTE_TASK_INFO c USING (globalTaskId)
        JOIN STRING_IDS s ON s.id = c.name";
    assert_eq!(query(&path, kernel), "81230450 Kernel (sum)");
    let marker = "SELECT count(*) || ' ' || value FROM MSTX_EVENTS m JOIN TASK USING (connectionId)
        JOIN STRING_IDS ON id = message";
    assert_eq!(query(&path, marker), "1 forward", "both sides of a marker have one connection");
    let session = "SELECT (endTimeNs - startTimeNs) || ' ' || hostName FROM SESSION_TIME_INFO, HOST_INFO";
    assert_eq!(query(&path, session), "162460900 node1");
    assert_eq!(query(&path, "SELECT count(*) || '' FROM COMMUNICATION_OP"), "2");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    drop(sink);
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o440);
    assert_eq!(counters.metrics_recorded.get(), 12);
}

#[test]
fn a_large_database_is_closed_and_the_next_one_created() {
    let dir = tempfile::tempdir().unwrap();
    let (mut sink, _) = sink(dir.path(), 1);
    for _ in 0..2 {
        sink.write(&[metric("Kernel", 0)]);
        // The name of a database has milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert_eq!(databases(dir.path()).len(), 2);
    assert!(databases(dir.path()).iter().all(|p| std::fs::metadata(p).unwrap().mode() & 0o777 == 0o440));
}

#[test]
fn a_database_of_a_dead_daemon_is_whole_after_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (mut sink, _) = sink(dir.path(), 1 << 30);
    sink.write(&[metric("Kernel", 0)]);
    let path = databases(dir.path()).remove(0);
    // In the middle of a transaction, as a daemon that is killed leaves it: the pages are written, the journal is there.
    let database = sink.open.as_mut().unwrap();
    database.connection.execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN").unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
        INSERT INTO STRING_IDS SELECT i, 'x' FROM n";
    database.connection.execute_batch(fill).unwrap();
    let dead = tempfile::tempdir().unwrap();
    for file in databases(dir.path()) {
        std::fs::copy(&file, dead.path().join(file.file_name().unwrap())).unwrap();
    }
    assert_eq!(databases(dead.path()).len(), 2, "a database and its journal");
    let closed = close_abandoned_files(dead.path(), &FileNaming::Database, Repair::Database).unwrap();
    let copy = dead.path().join(path.file_name().unwrap());
    assert_eq!((closed, databases(dead.path())), (vec![copy.clone()], vec![copy.clone()]));
    assert_eq!(query(&copy, "SELECT count(*) || '' FROM STRING_IDS"), "2");
    assert_eq!(query(&copy, "PRAGMA integrity_check"), "ok");
}

#[test]
fn hostile_texts_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (mut sink, _) = sink(dir.path(), 1 << 30);
    let mut long = DecodedMetric::clone(&metric("Marker", -1));
    long.record.name = Some("é'\"\0".repeat(1000));
    long.record.timestamp_ns = u64::MAX;
    sink.write(&[Arc::new(long)]);
    let path = databases(dir.path()).remove(0);
    assert_eq!(query(&path, "SELECT max(length(CAST(value AS BLOB))) || '' FROM STRING_IDS"), "1280");
    assert_eq!(query(&path, "SELECT endNs || '' FROM MSTX_EVENTS"), i64::MAX.to_string());
}

#[test]
fn a_database_that_got_no_tables_is_not_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (mut sink, counters) = sink(dir.path(), 1 << 30);
    sink.create_tables = |connection, _| connection.execute_batch("CREATE TABLE A (B); CREATE TABLE A (B)");
    sink.write(&[metric("Kernel", 0)]);
    assert_eq!((databases(dir.path()), counters.metrics_not_written.get()), (vec![], 1));
    sink.create_tables = schema::create_tables;
    sink.write(&[metric("Kernel", 0)]);
    assert_eq!((databases(dir.path()).len(), counters.metrics_recorded.get()), (1, 1));
}
