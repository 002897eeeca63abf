//! Databases of our own, against what must come of them.

use super::super::ReadOptions;
use super::super::testing::{database, read_file as read};

const SMALL: &str = "
    CREATE TABLE rocpd_metadata_ab1 (tag TEXT, value TEXT);
    CREATE TABLE rocpd_string_ab1 (id INTEGER PRIMARY KEY, guid TEXT, string TEXT);
    INSERT INTO rocpd_string_ab1 VALUES (1,'g','hipLaunchKernel'),(2,'g','HIP_RUNTIME_API_EXT'),
        (3,'g','MARKER_CORE_RANGE_API'),(4,'g','step 3'),(5,'g','MEMORY_COPY_DEVICE_TO_HOST');
    CREATE TABLE rocpd_info_node_ab1 (id INTEGER, hostname TEXT);
    INSERT INTO rocpd_info_node_ab1 VALUES (1,'n7');
    CREATE TABLE rocpd_info_process_ab1 (id INTEGER, pid INTEGER, command TEXT);
    INSERT INTO rocpd_info_process_ab1 VALUES (1,900,'train');
    CREATE TABLE rocpd_info_thread_ab1 (id INTEGER, pid INTEGER, tid INTEGER, name TEXT);
    INSERT INTO rocpd_info_thread_ab1 VALUES (1,1,901,'');
    CREATE TABLE rocpd_info_agent_ab1 (id INTEGER, type TEXT, absolute_index INTEGER, type_index INTEGER, name TEXT);
    INSERT INTO rocpd_info_agent_ab1 VALUES (1,'CPU',0,0,'cpu'),(2,'GPU',1,0,'gfx950');
    CREATE TABLE rocpd_info_kernel_symbol_ab1 (id INTEGER, kernel_name TEXT, display_name TEXT);
    INSERT INTO rocpd_info_kernel_symbol_ab1 VALUES (4,'_Z1k','k()');
    CREATE TABLE rocpd_event_ab1 (id INTEGER, category_id INTEGER, stack_id INTEGER, correlation_id INTEGER);
    INSERT INTO rocpd_event_ab1 VALUES (1,2,55,0),(2,0,55,0),(3,3,56,0),(4,0,0,57);
    CREATE TABLE rocpd_region_ab1 (id INTEGER, pid INTEGER, tid INTEGER, start INTEGER, end INTEGER, name_id INTEGER,
        event_id INTEGER);
    INSERT INTO rocpd_region_ab1 VALUES (1,1,1,100,110,1,1),(2,1,1,90,200,4,3);
    CREATE TABLE rocpd_kernel_dispatch_ab1 (id INTEGER, pid INTEGER, agent_id INTEGER, kernel_id INTEGER,
        stream_id INTEGER, start INTEGER, end INTEGER, event_id INTEGER);
    INSERT INTO rocpd_kernel_dispatch_ab1 VALUES (1,1,2,4,3,120,150,2);
    CREATE TABLE rocpd_memory_copy_ab1 (id INTEGER, start INTEGER, end INTEGER, name_id INTEGER, dst_agent_id INTEGER,
        src_agent_id INTEGER, size INTEGER, queue_id INTEGER, event_id INTEGER);
    INSERT INTO rocpd_memory_copy_ab1 VALUES (1,160,170,5,1,2,64,9,4);
    CREATE VIEW rocpd_region AS SELECT * FROM rocpd_region_ab1;
";

#[test]
fn rows_become_events() {
    let (lines, outcome) = read(database(SMALL).path(), &ReadOptions::default());
    assert!(outcome.complete && outcome.meta.host.as_deref() == Some("n7"), "{:?}", outcome.error);
    let gpu = 1i64 << 41;
    let expected = [
        "M other 900/- process_name -+- {\"name\":\"train\"}".to_owned(),
        format!("M other {gpu}/- process_name -+- {{\"name\":\"GPU 0\"}}"),
        "X runtime 900/901 hipLaunchKernel 100+10 {\"correlation\":55,\"domain\":\"HIP_RUNTIME_API_EXT\"}"
            .to_owned(),
        "X marker 900/901 step 3 90+110 {\"domain\":\"MARKER_CORE_RANGE_API\"}".to_owned(),
        format!("X kernel {gpu}/3 k() 120+30 {{\"correlation\":55,\"device\":0,\"stream\":3}}"),
        format!(
            "X memcpy {gpu}/9 MEMORY_COPY_DEVICE_TO_HOST 160+10 {{\"bytes\":64,\"correlation\":57,\"device\":0,\"stream\":9}}"
        ),
    ];
    assert_eq!(lines, expected);
}

/// Two sessions have the same numbers: they are not tied to each other.
#[test]
fn sessions_are_kept_apart() {
    let both = format!(
        "{SMALL}{}",
        SMALL.replace("_ab1", "_cd2").replace("CREATE VIEW", "CREATE VIEW IF NOT EXISTS")
    );
    let (lines, outcome) = read(database(&both).path(), &ReadOptions::default());
    assert!(outcome.complete);
    let second = format!("\"correlation\":{}", 55 + (1i64 << 40));
    assert_eq!(lines.iter().filter(|l| l.contains(&second)).count(), 2);
}
