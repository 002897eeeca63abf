//! Memory: `operator_memory.csv`, `memory_record.csv`, `npu_module_mem.csv`, msprof's `npu_mem_*.csv`.

use super::super::allocation::{Allocation, allocator_of_name};
use super::super::ascend::{AscendLayer, layer_process};
use super::super::emit::{Emitter, plain};
use super::super::error::ReadStop;
use super::super::table_rows::TableRows;
use crate::model::{Defect, Event, EventId};

pub(super) const SIZE: &str = "Size(KB)";
pub(super) const RESERVED: &str = "Total Reserved(MB)|Total Reserved(KB)";

/// Reads the allocations of operators, each with its release if there was one.
pub(super) fn read_allocations(rows: &mut TableRows, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
    let column = |names: &str| rows.column(names);
    let (name, size, device) = (column("Name"), column(SIZE), column("Device Type"));
    let times = ["Allocation Time(us)", "Release Time(us)"].map(column);
    let levels = ["Allocation", "Release"].map(|when| {
        ["Allocated", "Reserved", "Active"]
            .map(|what| column(&format!("{when} Total {what}(MB)|{when} Total {what}(KB)")))
    });
    while rows.advance()? {
        let Some(bytes) = rows.bytes(size) else {
            emit.count_line(Defect::UnreadableEvent, rows.place().line, rows.place().offset)?;
            continue;
        };
        for (i, sign) in [1, -1].into_iter().enumerate() {
            // What was not released while it was recorded has no time for that.
            let Some(at) = rows.nanos(times[i]) else { continue };
            let [allocated, reserved, active] = levels[i].map(|level| rows.bytes(level));
            let operator = rows.cell(name);
            let device = rows.device(device);
            let bytes = sign * bytes;
            let allocator = allocator_of_name(operator);
            let row = i64::try_from(rows.place().line).unwrap_or(i64::MAX);
            Allocation { at, row, operator, bytes, allocated, reserved, active, device, allocator }
                .send(emit)?;
        }
    }
    Ok(())
}

/// Reads what each component holds over time.
pub(super) fn read_levels(rows: &mut TableRows, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
    let column = |names: &str| rows.column(names);
    let (component, at, device) =
        (column("Component"), column("Timestamp(us)"), column("Device Type|Device"));
    let levels = [
        ("totalAllocated", column("Total Allocated(MB)|Total Allocated(KB)")),
        ("totalReserved", column(RESERVED)),
        ("totalActive", column("Total Active(MB)|Total Active(KB)")),
    ];
    // Only the allocator's table says what was allocated; the other one is of the driver's modules.
    let group: &[u8] = if levels[0].1.is_some() { b"Memory " } else { b"NPU Module MEM " };
    while rows.advance()? {
        let name = [group, rows.cell(component)].concat();
        for (key, level) in levels {
            if let Some(bytes) = rows.bytes(level) {
                emit.args.integer(key, bytes);
            }
        }
        send_level(rows, emit, &name, rows.nanos(at), rows.device(device))?;
    }
    Ok(())
}

/// Reads what a device holds over time.
pub(super) fn read_device_levels(rows: &mut TableRows, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
    let column = |names: &str| rows.column(names);
    let (event, at, device) = (column("event"), column("timestamp(us)"), column("Device_id"));
    let levels = [("ddr", column("ddr(KB)")), ("hbm", column("hbm(KB)")), ("memory", column("memory(KB)"))];
    while rows.advance()? {
        let name = [b"NPU MEM ", rows.cell(event)].concat();
        for (key, level) in levels {
            if let Some(bytes) = rows.bytes(level) {
                emit.args.integer(key, bytes);
            }
        }
        send_level(rows, emit, &name, rows.nanos(at), rows.device(device))?;
    }
    Ok(())
}

/// Sends the levels that have been put together.
fn send_level(
    rows: &TableRows,
    emit: &mut Emitter<'_>,
    name: &[u8],
    at: Option<i64>,
    device: Option<i64>,
) -> Result<(), ReadStop> {
    if at.is_none() {
        emit.args = Default::default();
        return emit.count_line(Defect::UnreadableEvent, rows.place().line, rows.place().offset);
    }
    emit.send(Event {
        phase: b'C',
        name: plain(name),
        pid: EventId::Number(layer_process(0, AscendLayer::Counters, device.unwrap_or(0))),
        tid: EventId::Number(0),
        start: at,
        ..Event::default()
    })
}
