//! Iterations of a graph: msprof's `step_trace_*.csv`; and steps as marks.

use super::super::ascend::{AscendLayer, layer_process};
use super::super::emit::{Emitter, plain};
use super::super::error::ReadStop;
use super::super::table_rows::TableRows;
use crate::model::{Defect, Event, EventId};

/// Reads every iteration: it ends at a time, and lasts.
pub(super) fn read(rows: &mut TableRows, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
    let columns = ["Iteration ID", "Iteration End(us)", "Iteration Time(us)"].map(|name| rows.column(name));
    let pid = layer_process(0, AscendLayer::Cann, 0);
    emit.name_process(pid, b"Step Trace")?;
    while rows.advance()? {
        let [step, end, length] = columns;
        match (rows.integer(step), rows.nanos(end), rows.nanos(length)) {
            (Some(step), Some(end), Some(length)) => {
                send_step(emit, step, end.saturating_sub(length.max(0)), end)?;
            }
            _ => emit.count_line(Defect::UnreadableEvent, rows.place().line, rows.place().offset)?,
        }
    }
    Ok(())
}

/// The mark of a step.
pub(super) fn send_step(emit: &mut Emitter<'_>, step: i64, start: i64, end: i64) -> Result<(), ReadStop> {
    let name = format!("ProfilerStep#{step}");
    emit.send(Event {
        phase: b'X',
        cat: "user_annotation".into(),
        name: plain(name.as_bytes()),
        pid: EventId::Number(layer_process(0, AscendLayer::Cann, 0)),
        tid: EventId::Number(0),
        start: Some(start),
        dur: Some(end.saturating_sub(start).max(0)),
        ..Event::default()
    })
}
