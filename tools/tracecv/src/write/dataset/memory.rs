//! The table of memory: what `torch.profiler` records of each allocation and release (pytorch/kineto
//! `libkineto/src/output_json.cpp`; PyTorch `torch/csrc/profiler/kineto_shim.cpp`), with what is allocated after it.

use trace::model::{Event, is_plausible_time};
use trace::read::{RawValue, find_argument};

use super::table::{EndedTrace, TableWriter};
use super::values::Column;
use super::{int, text};

/// Columns, in the order in which [`push_memory`] fills them; then the number of the trace.
pub(super) const MEMORY: [Column; 10] = [
    int("rank"),
    int("step"),
    int("start_ns"),
    int("device_type"),
    int("device"),
    int("bytes"),
    int("allocated_bytes"),
    int("reserved_bytes"),
    text("address"),
    int("index"),
];

/// Appends a row, if the event is a change of memory.
pub(super) fn push_memory(
    table: &mut TableWriter,
    event: &Event<'_>,
    ended: Option<EndedTrace<'_>>,
) -> anyhow::Result<()> {
    let start = event.start.filter(|at| is_plausible_time(*at) && matches!(event.phase, b'i' | b'I' | b'n'));
    let number = |names: &[&str]| names.iter().find_map(|name| number_argument(event.args, name));
    let (Some(_), Some(bytes)) = (start, number(&["Bytes", "bytes"])) else { return Ok(()) };
    let row = &mut table.row;
    row.pending(event);
    row.int(number(&["Device Type", "device type"]));
    row.int(number(&["Device Id", "device id"]));
    row.int(Some(bytes));
    row.int(number(&["Total Allocated", "total allocated"]));
    row.int(number(&["Total Reserved", "total reserved"]));
    match find_argument(event.args, "Addr").or_else(|| find_argument(event.args, "addr")) {
        Some(RawValue::Number(digits)) => row.text(Some(digits)),
        Some(RawValue::Text(address)) => row.text(Some(&address.unescape())),
        _ => row.text(None),
    }
    row.int(i64::try_from(event.index).ok());
    table.end_row_of(ended)
}

fn number_argument(args: &[u8], name: &str) -> Option<i64> {
    let digits = |text: &str| text.trim().parse().ok();
    match find_argument(args, name)? {
        RawValue::Number(text) => digits(std::str::from_utf8(text).ok()?),
        RawValue::Text(text) => digits(&text.decode()),
        _ => None,
    }
}
