//! The tables of msMonitor b942bf5 (`plugin/ipc_monitor/db`), schema 1.2.0, and their constant rows.

use rusqlite::{Connection, params};

/// The value of a number that is not known.
pub(super) const UNKNOWN: i64 = u32::MAX as i64;
/// `ENUM_HCCL_DATA_TYPE`: `INVALID_TYPE`.
pub(super) const NO_DATA_TYPE: i64 = 65535;

const TABLES: &str = "
CREATE TABLE STRING_IDS (id INTEGER, value TEXT);
CREATE TABLE SESSION_TIME_INFO (startTimeNs INTEGER, endTimeNs INTEGER);
CREATE TABLE HOST_INFO (hostUid TEXT, hostName TEXT);
CREATE TABLE NPU_INFO (id INTEGER, name TEXT);
CREATE TABLE RANK_DEVICE_MAP (rankId INTEGER, deviceId INTEGER);
CREATE TABLE META_DATA (name TEXT, value TEXT);
CREATE TABLE CANN_API (startNs INTEGER, endNs INTEGER, type INTEGER, globalTid INTEGER, connectionId INTEGER,
    name INTEGER);
CREATE TABLE TASK (startNs INTEGER, endNs INTEGER, deviceId INTEGER, connectionId INTEGER, globalTaskId INTEGER,
    globalPid INTEGER, taskType INTEGER, contextId INTEGER, streamId INTEGER, taskId INTEGER, modelId INTEGER);
CREATE TABLE COMPUTE_TASK_INFO (name INTEGER, globalTaskId INTEGER, blockNum INTEGER, mixBlockNum INTEGER,
    taskType INTEGER, opType INTEGER, inputFormats INTEGER, inputDataTypes INTEGER, inputShapes INTEGER,
    outputFormats INTEGER, outputDataTypes INTEGER, outputShapes INTEGER, attrInfo INTEGER, opState INTEGER,
    hf32Eligible INTEGER);
CREATE TABLE COMMUNICATION_OP (opName INTEGER, startNs INTEGER, endNs INTEGER, connectionId INTEGER, groupName INTEGER,
    opId INTEGER, relay INTEGER, retry INTEGER, dataType INTEGER, algType INTEGER, count NUMERIC, opType INTEGER,
    deviceId INTEGER);
CREATE TABLE MSTX_EVENTS (startNs INTEGER, endNs INTEGER, eventType INTEGER, rangeId INTEGER, category INTEGER,
    message INTEGER, globalTid INTEGER, endGlobalTid INTEGER, domainId INTEGER, connectionId INTEGER);
CREATE TABLE ENUM_API_TYPE (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE ENUM_HCCL_DATA_TYPE (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE ENUM_MSTX_EVENT_TYPE (id INTEGER PRIMARY KEY, name TEXT);
";

/// As msMonitor writes them, its exchange of MAJOR and MICRO included.
const META_DATA: [(&str, &str); 4] = [
    ("SCHEMA_VERSION_MICRO", "1"),
    ("SCHEMA_VERSION_MINOR", "2"),
    ("SCHEMA_VERSION_MAJOR", "0"),
    ("SCHEMA_VERSION", "1.2.0"),
];

const API_TYPES: [(i64, &str); 9] = [
    (5000, "runtime"),
    (5500, "communication"),
    (10000, "node"),
    (15000, "model"),
    (20000, "acl"),
    (50001, "op"),
    (50002, "queue"),
    (50003, "trace"),
    (50004, "mstx"),
];

const MARK_TYPES: [(i64, &str); 4] = [(0, "marker"), (1, "push/pop"), (2, "start/end"), (3, "marker_ex")];

const DATA_TYPES: [(i64, &str); 18] = [
    (0, "INT8"),
    (1, "INT16"),
    (2, "INT32"),
    (3, "FP16"),
    (4, "FP32"),
    (5, "INT64"),
    (6, "UINT64"),
    (7, "UINT8"),
    (8, "UINT16"),
    (9, "UINT32"),
    (10, "FP64"),
    (11, "BFP16"),
    (12, "INT128"),
    (14, "HIF8"),
    (15, "FP8E4M3"),
    (16, "FP8E5M2"),
    (17, "FP8E8M0"),
    (NO_DATA_TYPE, "INVALID_TYPE"),
];

/// Creates the tables and their constant rows.
pub(super) fn create_tables(connection: &Connection, host_name: &str) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN")?;
    connection.execute_batch(TABLES)?;
    for (name, value) in META_DATA {
        connection.execute("INSERT INTO META_DATA VALUES (?, ?)", [name, value])?;
    }
    let enums: [(&str, &[(i64, &str)]); 3] = [
        ("ENUM_API_TYPE", &API_TYPES),
        ("ENUM_HCCL_DATA_TYPE", &DATA_TYPES),
        ("ENUM_MSTX_EVENT_TYPE", &MARK_TYPES),
    ];
    for (table, rows) in enums {
        for (id, name) in rows {
            connection.execute(&format!("INSERT INTO {table} VALUES (?, ?)"), params![id, name])?;
        }
    }
    connection.execute(
        "INSERT INTO HOST_INFO VALUES (?, ?)",
        params![hash_name(host_name).to_string(), host_name],
    )?;
    connection.execute_batch("COMMIT")
}

/// The hash that msMonitor makes of the addresses of the host for `hostUid`; here of its name, since the daemon does not
/// read its network devices.
fn hash_name(name: &str) -> u64 {
    let step = |(low, high): (u32, u32), byte: u8| {
        // `char` is signed on the platforms in use.
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_wrap, reason = "as C converts it")]
        let byte = i32::from(byte as i8) as u32;
        (low.wrapping_mul(29).wrapping_add(byte), high.wrapping_mul(131).wrapping_add(byte))
    };
    let (high, low) = name.bytes().fold((0, 0), step);
    u64::from(high) << 32 | u64::from(low)
}
