//! The tables and summaries that Ascend's profilers write beside a timeline (torch_npu 2.14 `profiler/analysis/prof_view`,
//! mindspore 2.10 `profiler/analysis`, Ascend/msprof `docs/en/user_guide/profile_data_file_references.md`).
//!
//! Some list events with their times: kernels, tasks, memory, iterations, collectives. They are read as the timeline of
//! the same recording is. Others have sums only: those are rejected by what they hold. Which one a file is, its columns
//! and members say, not its name: teams rename `op_summary_*.csv` to `kernel_details.csv` and the reverse.

mod communication;
mod kernels;
mod memory;
mod steps;
#[cfg(test)]
mod tests;

use super::emit::Emitter;
use super::error::{ReadError, ReadFault, ReadStop};
use super::table_rows::{TableRows, split_header};
use super::window::InputWindow;
use super::{ReadOptions, ReadOutcome};
use crate::model::{Dialect, EventSink};

pub(super) use communication::{read as read_communication, recognize as recognize_communication};

/// A table with times, recognized by columns that it must have; `|` stands between spellings of one.
struct EventTable {
    columns: &'static [&'static str],
    read: fn(&mut TableRows, &mut Emitter<'_>) -> Result<(), ReadStop>,
}

const EVENT_TABLES: &[EventTable] = &[
    EventTable {
        columns: &[kernels::NAME, kernels::KIND, kernels::START, kernels::LENGTH],
        read: kernels::read,
    },
    EventTable { columns: &["Name", memory::SIZE, "Allocation Time(us)"], read: memory::read_allocations },
    EventTable { columns: &["Component", "Timestamp(us)", memory::RESERVED], read: memory::read_levels },
    EventTable { columns: &["event", "timestamp(us)", "memory(KB)"], read: memory::read_device_levels },
    EventTable { columns: super::profd::COLUMNS, read: super::profd::read_table },
    EventTable { columns: &["Iteration ID", "Iteration End(us)", "Iteration Time(us)"], read: steps::read },
];

/// A table with sums: the columns that it is recognized by, and what it is.
const SUMS: &[(&[&str], &str)] = &[
    (&["Type", "Index", "Computing", "Free"], "cluster_step_trace_time.csv, with the sums of steps"),
    (&["Step", "Computing", "Free"], "step_trace_time.csv, with the sums of steps"),
    (&["OP Type", "Core Type", "Count"], "op_statistic.csv, with the sums of kernels"),
    (&["OP Type", "Count", "Total Time(us)"], "communication_statistic.csv, with the sums of collectives"),
    (&["API Name", "Time(us)", "Count"], "api_statistic.csv, with the sums of calls"),
    (
        &["Name", "Host Self Duration(us)", "Device Total Duration(us)"],
        "operator_details.csv, with durations and no times",
    ),
    (&["Hit Rate", "Victim Rate"], "l2_cache.csv, with rates of kernels and no times"),
    (&["Op Name", "Node Index Start", "Size(KB)"], "static_op_mem.csv, with sizes and no times"),
    (&["Compute_time(us)|Compute_time(ms)", "Node"], "data_preprocess.csv, with durations on the AI CPU"),
    (&["Name", "Input Shapes"], "operator_details.csv of MindSpore, with names and no times"),
];

/// Where the events are, for who names a file that has none.
const EVENTS_ELSEWHERE: &str =
    "the events are in trace_view.json, msprof_*.json or ascend_*_profiler*.db beside it";

fn has_all(header: &[String], columns: &[&str]) -> bool {
    columns.iter().all(|names| names.split('|').any(|name| header.iter().any(|column| column == name)))
}

/// Recognizes a table with times by its header.
pub(super) fn recognize(head: &[u8]) -> bool {
    let header = split_header(head);
    EVENT_TABLES.iter().any(|table| has_all(&header, table.columns))
}

/// Reads a table with times.
pub(super) fn read(
    window: InputWindow,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    out.meta.dialect = Dialect::Ascend;
    let mut rows = TableRows::new(window)?;
    let table = EVENT_TABLES.iter().find(|table| has_all(rows.header(), table.columns));
    let mut emit = Emitter::new(sink, options, out);
    let result = table.map_or(Ok(()), |table| (table.read)(&mut rows, &mut emit));
    out.bytes = rows.bytes_read();
    result?;
    let needed = table
        .map_or(0, |table| table.columns.iter().filter_map(|names| rows.column(names)).max().unwrap_or(0));
    if rows.ends_inside_row(needed) {
        let fault = ReadFault::Truncated("a row");
        return Err(ReadError::new(rows.place(), fault).into());
    }
    out.complete = true;
    Ok(())
}

/// Why a file of Ascend's profilers is no trace, if it is one of theirs and holds no events.
pub(super) fn describe_sums(head: &[u8]) -> Option<String> {
    let what = if head.trim_ascii_start().first() == Some(&b'{') {
        describe_object(head)?
    } else {
        let header = split_header(head);
        SUMS.iter().find(|(columns, _)| has_all(&header, columns)).map(|(_, what)| *what)?
    };
    Some(format!("is not a trace: it is Ascend's {what} ({EVENTS_ELSEWHERE})"))
}

/// Describes an object of JSON, by members that no other has.
fn describe_object(head: &[u8]) -> Option<&'static str> {
    let has = |word: &str| memchr::memmem::find(head, format!("\"{word}\"").as_bytes()).is_some();
    if has("traceEvents") {
        return None;
    }
    if lists_groups(head) {
        return Some("communication_group.json, with the ranks of groups");
    }
    Some(match () {
        () if has("Transport Type") && has("Transit Size(MB)") => {
            "communication_matrix.json, with the sums of links and no times"
        }
        () if has("common_config") && has("experimental_config") => {
            "profiler_info.json, with the settings of a profiler"
        }
        () if has("parallel_group_info") || has("distributed_args") || has("ENV_VARIABLES") => {
            "profiler_metadata.json, with what a program said of itself"
        }
        () if has("DeviceInfo") && has("jobInfo") => "info.json, with what a host and its devices are",
        () if has("ai_core_profiling") && has("ai_core_metrics") => {
            "sample.json, with the settings of msprof"
        }
        () => return None,
    })
}

/// Recognizes an object whose first member is a list of groups of ranks.
fn lists_groups(head: &[u8]) -> bool {
    let inside = head.trim_ascii_start().strip_prefix(b"{").map_or(&b""[..], <[u8]>::trim_ascii_start);
    let value = inside.strip_prefix(b"\"collective\"").or_else(|| inside.strip_prefix(b"\"p2p\""));
    let value = value.and_then(|rest| rest.trim_ascii_start().strip_prefix(b":")).unwrap_or_default();
    value.trim_ascii_start().starts_with(b"[")
}
