//! A database of our own, against sums worked out by hand; hostile ones; the shared sample data against what its own
//! exporter summed up.

use super::super::testing::{Lines, database, read_file as read};
use super::super::{ReadOptions, TraceSource, read_trace};
use crate::classifier::{ClassRules, EventClassifier};
use crate::model::{Defect, Event, EventSink, RowMeaning};

/// One process, one operator that launches one kernel, a wait that is none, and a collective with one part.
const SMALL: &str = "
    CREATE TABLE STRING_IDS (id INTEGER PRIMARY KEY, value TEXT);
    INSERT INTO STRING_IDS VALUES (1,'aten::mm'),(2,'MatMul\"1'),(3,'KERNEL_AICORE'),(4,'EVENT_WAIT'),(5,'launch'),
        (6,'hcom_allReduce__210_0_1'),(7,'210'),(8,'Notify_Wait'),(9,'AI_CORE'),(10,'a.py(3): f'),(11,'b.py(4): g'),
        (12,'Enqueue'),(13,'Dequeue@mm'),(14,'N/A'),(15,'2,3');
    CREATE TABLE META_DATA (name TEXT, value TEXT);
    INSERT INTO META_DATA VALUES ('SCHEMA_VERSION','1.2.0'),('distributed_args','{\"world_size\": 8}');
    CREATE TABLE RANK_DEVICE_MAP (rankId INTEGER, deviceId INTEGER);
    INSERT INTO RANK_DEVICE_MAP VALUES (3, 1);
    CREATE TABLE TASK (startNs INTEGER, endNs INTEGER, deviceId INTEGER, connectionId INTEGER, globalTaskId INTEGER,
        taskType INTEGER, streamId INTEGER);
    INSERT INTO TASK VALUES (1000,1400,1,50,0,3,2),(1400,1500,1,51,1,4,2),(1600,1650,1,52,2,4,9),(1590,1900,1,52,3,9,9),(1950,1960,1,53,4,4,2);
    CREATE TABLE COMPUTE_TASK_INFO (globalTaskId INTEGER PRIMARY KEY, name INTEGER, inputShapes INTEGER);
    INSERT INTO COMPUTE_TASK_INFO VALUES (0, 2, 15), (4, 2, 14);
    CREATE TABLE COMMUNICATION_OP (opName INTEGER, startNs INTEGER, endNs INTEGER, connectionId INTEGER,
        groupName INTEGER, opId INTEGER PRIMARY KEY, count NUMERIC);
    INSERT INTO COMMUNICATION_OP VALUES (6,1600,1900,52,7,1,4096);
    CREATE TABLE COMMUNICATION_TASK_INFO (name INTEGER, globalTaskId INTEGER, taskType INTEGER, planeId INTEGER,
        size INTEGER);
    INSERT INTO COMMUNICATION_TASK_INFO VALUES (6, 2, 8, 1, 64);
    CREATE TABLE CANN_API (startNs INTEGER, endNs INTEGER, type INTEGER, globalTid INTEGER, connectionId INTEGER,
        name INTEGER);
    INSERT INTO CANN_API VALUES (900,950,10000,(77<<32)|78,50,5);
    CREATE TABLE CONNECTION_IDS (id INTEGER, connectionId INTEGER);
    INSERT INTO CONNECTION_IDS VALUES (0,50),(0,1342177281),(1,1342177281),(2,9884),(0,52);
    CREATE TABLE PYTORCH_API (startNs TEXT, endNs TEXT, globalTid INTEGER, connectionId INTEGER, name INTEGER,
        fwdThreadId INTEGER, callchainId INTEGER, type INTEGER);
    INSERT INTO PYTORCH_API VALUES ('800','990',(77<<32)|77,0,1,0,5,50001),('2000','2100',(77<<32)|79,1,1,77,NULL,50001),
        ('810','820',(77<<32)|77,2,12,NULL,NULL,50002),('830','840',(77<<32)|78,2,13,NULL,NULL,50002);
    CREATE TABLE PYTORCH_CALLCHAINS (id INTEGER, stack INTEGER, stackDepth INTEGER);
    INSERT INTO PYTORCH_CALLCHAINS VALUES (5,11,1),(5,10,0);
    CREATE TABLE AICORE_FREQ (deviceId INTEGER, timestampNs NUMERIC, freq INTEGER);
    INSERT INTO AICORE_FREQ VALUES (1, 700, 1800);
";

#[test]
fn the_ranks_of_a_job_are_those_of_its_group_of_all() {
    let args = r#"('distributed_args','{"world_size": 8}')"#;
    let groups = r#"('parallel_group_info','{"x":{"group_name":"default_group","global_ranks":[0,1,2,3]}}')"#;
    assert!(SMALL.contains(args));
    let file = database(&SMALL.replace(args, groups));
    let (_, outcome) = read(file.path(), &ReadOptions::default());
    assert_eq!(outcome.meta.world_size, Some(4));
}

#[test]
fn rows_become_the_events_of_a_timeline() {
    let file = database(SMALL);
    let (lines, outcome) = read(file.path(), &ReadOptions::default());
    assert!(outcome.complete && outcome.error.is_none() && outcome.events == lines.len() as u64);
    assert_eq!((outcome.meta.rank, outcome.meta.world_size), (Some(3), Some(8)));
    assert_eq!(outcome.meta.hints, ["database schema 1.2.0"]);
    let (hardware, communication) = ((77 << 10) + (14 << 5) + 1, (77 << 10) + (16 << 5) + 1);
    let lanes = (77 << 10) + (31 << 5) + 1;
    let (cann, counters) = ((77 << 10) + (7 << 5), (77 << 10) + (17 << 5) + 1);
    let expected = [
        format!("M other {hardware}/- process_name -+- {{\"name\":\"Ascend Hardware\"}}"),
        format!("M other {hardware}/- process_labels -+- {{\"labels\":\"NPU 1\"}}"),
        format!("X api {cann}/78 Node@launch 900+50 {{\"Thread Id\":78,\"connection_id\":50,\"level\":\"node\"}}"),
        "X cpu_op 77/77 aten::mm 800+190 {\"Call stack\":\"a.py(3): f;\\r\\nb.py(4): g\",\"Fwd thread id\":0}".to_owned(),
        "X cpu_op 77/79 aten::mm 2000+100 {\"Fwd thread id\":77}".to_owned(),
        "X api 77/77 Enqueue 810+10 {\"correlation_id\":9884}".to_owned(),
        "s flow 77/77 enqueue_to_dequeue 810+- null".to_owned(),
        "X api 77/78 Dequeue@mm 830+10 {\"correlation_id\":9884}".to_owned(),
        "f flow 77/78 enqueue_to_dequeue 830+- null".to_owned(),
        "s flow 77/77 fwdbwd 800+- null".to_owned(),
        "f flow 77/79 fwdbwd 2000+- null".to_owned(),
        format!(
            "X other {hardware}/2 MatMul\"1 1000+400 {{\"Input Shapes\":\"2,3\",\"Task Type\":\"KERNEL_AICORE\",\"connection_id\":50}}"
        ),
        format!("f flow {hardware}/2 torch_to_npu 1000+- null"),
        format!("X other {hardware}/2 EVENT_WAIT 1400+100 {{\"Task Type\":\"EVENT_WAIT\",\"connection_id\":51}}"),
        // The exporter counts it, though its kind does not say so.
        format!(
            "X kernel {hardware}/2 MatMul\"1 1950+10 {{\"Task Type\":\"EVENT_WAIT\",\"connection_id\":53}}"
        ),
        // The exporter does not count it: no row says what it computes.
        format!(
            "X other {hardware}/9 AI_CORE 1590+310 {{\"Physical Task Type\":\"AI_CORE\",\"connection_id\":52}}"
        ),
        format!(
            "X other {communication}/0 hcom_allReduce__210_0_1 1600+300 {{\"connection_id\":52,\"count\":4096,\"group_name\":\"210\"}}"
        ),
        format!("f flow {communication}/0 torch_to_npu 1600+- null"),
        format!(
            "X other {communication}/1048577 Notify_Wait 1600+50 {{\"size(Byte)\":64,\"stream id\":9}}"
        ),
        format!("X other {lanes}/0 Computing 1000+400 null"),
        format!("X other {lanes}/0 Computing 1950+10 null"),
        format!("X other {lanes}/1 Communication 1600+300 null"),
        format!("X other {lanes}/2 Communication(Not Overlapped) 1600+300 null"),
        format!("X other {lanes}/3 Free 1400+200 null"),
        format!("X other {lanes}/3 Free 1900+50 null"),
        format!("C counter {counters}/0 AI Core Freq 700+- {{\"freq\":1800}}"),
    ];
    for line in &expected {
        assert_eq!(lines.iter().filter(|l| *l == line).count(), 1, "{line}\nin\n{}", lines.join("\n"));
    }
    assert_eq!(lines.iter().filter(|l| l.starts_with("s flow 77/77 torch_to_npu 800")).count(), 2);
    assert_eq!(lines.iter().filter(|l| l.starts_with('X')).count(), 18, "{}", lines.join("\n"));
}

/// What the schema has besides tables is not looked at, and nothing beside the file is changed.
#[test]
fn hostile_schemas_are_not_run() {
    let views = SMALL
        .replace("CREATE TABLE TASK (", "CREATE TABLE REAL_TASK (")
        .replace("INTO TASK", "INTO REAL_TASK");
    let file = database(&format!("{views} CREATE VIEW TASK AS SELECT * FROM REAL_TASK;"));
    let (lines, outcome) = read(file.path(), &ReadOptions::default());
    assert!(outcome.complete && !lines.iter().any(|l| l.contains("MatMul")));
    let trigger = "CREATE TRIGGER t AFTER INSERT ON TASK BEGIN SELECT raise(ABORT, 'run'); END;";
    let file = database(&format!("{SMALL} {trigger}"));
    let before = std::fs::read(file.path()).unwrap();
    assert!(read(file.path(), &ReadOptions::default()).1.complete);
    assert!(std::fs::read(file.path()).unwrap() == before);
    let recursive = "DROP TABLE STRING_IDS; CREATE VIEW STRING_IDS AS
        WITH RECURSIVE r(id, value) AS (SELECT 1, 'x' UNION ALL SELECT id + 1, 'x' FROM r) SELECT id, value FROM r;";
    let (_, outcome) = read(database(&format!("{SMALL} {recursive}")).path(), &ReadOptions::default());
    assert!(outcome.error.unwrap().to_string().contains("has no STRING_IDS"));
}

/// Rows that each join with all others: the work is bounded by the size of the file.
#[test]
fn rows_that_join_with_all_others_end_the_reading() {
    let tables = "CREATE TABLE STRING_IDS (id INTEGER PRIMARY KEY, value TEXT);
        CREATE TABLE TASK (startNs INTEGER, endNs INTEGER, deviceId INTEGER, connectionId INTEGER, globalTaskId INTEGER,
            taskType INTEGER, streamId INTEGER);
        CREATE TABLE COMPUTE_TASK_INFO (globalTaskId INTEGER, name INTEGER);
        CREATE TABLE COMMUNICATION_TASK_INFO (globalTaskId INTEGER, planeId INTEGER);
        CREATE TABLE CONNECTION_IDS (id INTEGER, connectionId INTEGER);
        CREATE TABLE PYTORCH_API (startNs INTEGER, endNs INTEGER, globalTid INTEGER, connectionId INTEGER, type INTEGER);
        CREATE TABLE numbers (n INTEGER);
        WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 4000) INSERT INTO numbers SELECT n FROM r;
        INSERT INTO TASK SELECT n, n + 1, 0, 7, 9, 1, 1 FROM numbers;";
    let details = "INSERT INTO COMPUTE_TASK_INFO SELECT 9, 1 FROM numbers;
        INSERT INTO COMMUNICATION_TASK_INFO SELECT 9, 1 FROM numbers;";
    let started = std::time::Instant::now();
    let (_, outcome) = read(database(&format!("{tables}{details}")).path(), &ReadOptions::default());
    assert!(outcome.error.unwrap().to_string().contains("join with too many others"));
    // The operators of a connection are not joined.
    let operators = "INSERT INTO CONNECTION_IDS SELECT 5, 7 FROM numbers;
        INSERT INTO PYTORCH_API SELECT n, n + 1, 1, 5, 50001 FROM numbers;";
    let (lines, outcome) = read(database(&format!("{tables}{operators}")).path(), &ReadOptions::default());
    assert!(outcome.complete);
    assert_eq!(lines.iter().filter(|line| line.contains("torch_to_npu 1+-")).count(), 4001);
    // Without a bound, this takes an hour.
    assert!(started.elapsed().as_secs() < 60);
}

/// The lanes of a device are derived from its own tasks, in whatever order they stand.
#[test]
fn devices_have_lanes_of_their_own() {
    let sql = format!(
        "{SMALL} INSERT INTO TASK VALUES (1300,1350,0,0,10,3,2),(900,1000,0,0,11,3,2),(1,2,NULL,0,12,3,2);
        INSERT INTO COMPUTE_TASK_INFO VALUES (10,2,15),(11,2,15),(12,2,15);"
    );
    let (lines, _) = read(database(&sql).path(), &ReadOptions::default());
    let lanes = |device: i64| {
        let pid = format!(" {}/", (77 << 10) + (31 << 5) + device);
        let of_device = lines.iter().filter(move |line| line.starts_with('X') && line.contains(&pid));
        of_device.map(|line| line.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lanes(0), ["0 Computing 900+100 null", "0 Computing 1300+50 null", "3 Free 1000+300 null"]);
    assert!(lanes(1).contains(&"0 Computing 1000+400 null".to_owned()), "{:?}", lanes(1));
}

/// A sink that looks at no arguments gets the same events without them.
#[test]
fn arguments_that_nobody_wants_are_left_out() {
    #[derive(Default)]
    struct WithoutArguments(Lines);
    impl EventSink for WithoutArguments {
        fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
            assert!(event.args.is_empty());
            self.0.event(event)
        }

        fn wants_arguments(&self) -> bool {
            false
        }
    }
    // A frame without a name is missed all the same.
    let file = database(&format!("{SMALL} INSERT INTO PYTORCH_CALLCHAINS VALUES (5,4711,2),(5,-1,3)"));
    let (lines, outcome) = read(file.path(), &ReadOptions::default());
    assert!(outcome.defects.count_of(Defect::MissingName) > 0);
    let mut bare = WithoutArguments::default();
    let source = Box::new(std::fs::File::open(file.path()).unwrap());
    let source = TraceSource::of_file(source, file.path().to_owned());
    let without = read_trace(source, &ReadOptions::default(), &mut bare).unwrap();
    let cut =
        |line: &String| line.rsplit_once(" {").map_or(line.clone(), |(start, _)| format!("{start} null"));
    assert_eq!(bare.0.0, lines.iter().map(cut).collect::<Vec<_>>());
    assert_eq!((without.events, without.complete), (outcome.events, true));
    assert_eq!(without.defects.losses(), outcome.defects.losses());
}

/// The name of a process is sent before its rows, so that the file need not be read twice.
#[test]
fn names_stand_before_rows() {
    struct Meanings {
        classifier: EventClassifier,
        names_first: bool,
        found: Vec<RowMeaning>,
    }
    impl EventSink for Meanings {
        fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
            assert!(self.names_first);
            self.found.push(self.classifier.meaning_so_far(event));
            Ok(())
        }

        fn note_names_first(&mut self) {
            self.names_first = true;
        }
    }
    let file = database(SMALL);
    let classifier = EventClassifier::new(ClassRules::default());
    let mut meanings = Meanings { classifier, names_first: false, found: Vec::new() };
    let mut found = || {
        let bytes = Box::new(std::fs::File::open(file.path()).unwrap());
        let source = TraceSource::of_file(bytes, file.path().to_owned());
        read_trace(source, &ReadOptions::default(), &mut meanings).unwrap();
        std::mem::take(&mut meanings.found)
    };
    let (unnamed, named) = (found(), found());
    assert!(unnamed == named && named.iter().any(|meaning| meaning.of_process));
}

/// Parts whose tasks are odd are looked for with a join, as those of which there are too many.
#[test]
fn parts_of_odd_tasks_are_all_there() {
    let twice = format!("{SMALL} INSERT INTO TASK VALUES (1700,1710,1,52,2,4,9);");
    let (lines, _) = read(database(&twice).path(), &ReadOptions::default());
    let parts: Vec<_> = lines.iter().filter(|line| line.contains(" Notify_Wait ")).collect();
    assert!(
        parts.len() == 2 && parts[0].contains(" 1600+50 ") && parts[1].contains(" 1700+10 "),
        "{parts:?}"
    );
    let untimed = format!("{SMALL} UPDATE TASK SET endNs = NULL WHERE globalTaskId = 2;");
    let (_, outcome) = read(database(&untimed).path(), &ReadOptions::default());
    let found: Vec<_> = outcome.defects.iter().map(|(d, c)| (d.name(), c.count)).collect();
    assert_eq!(found, [("no_dur", 2)]);
}

#[test]
fn other_databases_are_rejected_by_name() {
    let rejected =
        |sql: &str| read(database(sql).path(), &ReadOptions::default()).1.error.unwrap().to_string();
    assert!(rejected("CREATE TABLE t (a)").contains("another program (tables t)"));
    assert!(rejected("CREATE TABLE StepTraceTime (step TEXT)").contains("sums and no events"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [b"SQLite format 3\0".as_slice(), &[7; 4096]].concat()).unwrap();
    let (_, outcome) = read(file.path(), &ReadOptions::default());
    assert!(outcome.error.unwrap().to_string().starts_with("the database is damaged: "));
}

/// Every byte of a small database changed, one at a time: reading ends, with events or a reason.
#[test]
fn damaged_databases_end() {
    let file = database(SMALL);
    let whole = std::fs::read(file.path()).unwrap();
    for at in (16..whole.len()).step_by(whole.len() / 300) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xa5;
        std::fs::write(file.path(), &bytes).unwrap();
        let (_, outcome) = read(file.path(), &ReadOptions::default());
        assert_eq!(outcome.complete, outcome.error.is_none(), "{at}");
    }
    std::fs::write(file.path(), &whole[..whole.len() / 2]).unwrap();
    assert!(read(file.path(), &ReadOptions::default()).1.error.is_some());
}

/// A database out of a pipe, compressed or not, is the same one.
#[test]
fn databases_come_out_of_pipes() {
    let file = database(SMALL);
    let (expected, _) = read(file.path(), &ReadOptions::default());
    let bytes = std::fs::read(file.path()).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, &bytes).unwrap();
    for bytes in [bytes, encoder.finish().unwrap()] {
        let mut lines = Lines::default();
        let source = Box::new(std::io::Cursor::new(bytes));
        let outcome = read_trace(source, &ReadOptions::default(), &mut lines).unwrap();
        assert!(outcome.complete && lines.0 == expected);
    }
}

#[test]
fn a_log_beside_a_database_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a?b%20#.db");
    std::fs::copy(database(SMALL).path(), &path).unwrap();
    assert_eq!(read(&path, &ReadOptions::default()).1.defects.repairs().len(), 0);
    std::fs::write(dir.path().join("a?b%20#.db-wal"), "changes").unwrap();
    let (_, outcome) = read(&path, &ReadOptions::default());
    assert_eq!(outcome.defects.repairs()["changes_left_out"], 1);
    let strict = ReadOptions { strict: true, ..ReadOptions::default() };
    assert!(read(&path, &strict).1.error.unwrap().to_string().contains("rejected by --strict"));
}

/// A view is not a table: what it shows is missing, and that is said.
#[test]
fn views_in_the_place_of_tables_are_told() {
    let file = database(SMALL);
    let connection = rusqlite::Connection::open(file.path()).unwrap();
    connection.execute_batch("ALTER TABLE TASK RENAME TO T; CREATE VIEW TASK AS SELECT * FROM T").unwrap();
    drop(connection);
    let (_, outcome) = read(file.path(), &ReadOptions::default());
    assert!(outcome.complete);
    assert_eq!(outcome.defects.losses()["not_a_table"], 1);
}

/// Every table of events: a row without a usable time stays an event, and is counted.
#[test]
fn rows_without_a_usable_time_are_counted() {
    let whole = read(database(SMALL).path(), &ReadOptions::default()).0.len();
    for (table, row) in [("TASK", 5), ("COMMUNICATION_OP", 1), ("CANN_API", 1), ("PYTORCH_API", 2)] {
        for (change, defect) in [
            ("startNs = 'abc'", "bad_ts"),
            ("endNs = NULL", "no_dur"),
            ("endNs = 'abc'", "bad_dur"),
            ("endNs = startNs - 1", "negative_dur"),
        ] {
            let sql = format!("{SMALL} UPDATE {table} SET {change} WHERE rowid = {row};");
            let (lines, outcome) = read(database(&sql).path(), &ReadOptions::default());
            let found: Vec<_> = outcome.defects.iter().map(|(d, c)| (d.name(), c.count)).collect();
            assert_eq!(found, [(defect, 1)], "{table} {change}");
            // But for what is derived of it: pieces of lanes, arrows.
            let derived =
                lines.iter().filter(|l| l.contains(" flow ") || l.contains("Comput") || l.contains("Free"));
            assert!(lines.len() >= whole - 6 && derived.count() > 0, "{table} {change}: {lines:?}");
        }
    }
}

#[test]
fn names_that_are_missing_are_lost() {
    let sql = format!("{SMALL} DELETE FROM STRING_IDS;");
    let (_, outcome) = read(database(&sql).path(), &ReadOptions::default());
    assert!(outcome.complete && outcome.defects.losses()["missing_name"] > 5, "{:?}", outcome.defects);
}
