//! Kernels and tasks of devices: `kernel_details.csv`, msprof's `op_summary_*.csv`, `task_time_*.csv`.

use std::collections::BTreeMap;

use super::super::ascend::{AscendLayer, layer_process};
use super::super::database::TimeCell;
use super::super::decimal::is_number;
use super::super::emit::{Emitter, plain};
use super::super::error::ReadStop;
use super::super::string_table::NO_NUMBER;
use super::super::table_rows::TableRows;
use super::steps::send_step;
use crate::model::{Category, Defect, Event, EventId, is_compute_task};

/// Columns by all their spellings.
pub(super) const NAME: &str = "Name|Op Name|kernel_name";
pub(super) const KIND: &str = "Accelerator Core|Task Type|kernel_type";
pub(super) const START: &str = "Start Time(us)|Task Start Time(us)|task_start(us)";
pub(super) const LENGTH: &str = "Duration(us)|Task Duration(us)|task_time(us)";

/// Columns that are fields of an event, and those that it has under another name, as in a timeline.
const RENAMED: [(&str, &str); 9] = [
    (KIND, "Task Type"),
    ("Type|OP Type", "Op Type"),
    ("Task ID|task_id", "Task Id"),
    ("Stream ID|stream_id", "Physic Stream Id"),
    ("Model ID|Model Id", "Model Id"),
    ("Step Id|Step ID", "Step Id"),
    ("Wait Time(us)|Task Wait Time(us)", "Wait Time(us)"),
    ("Block Num|Block Dim", "Block Num"),
    ("Context ID|Context Id", "Context Id"),
];

/// The maximum number of steps that kernels name.
const MOST_STEPS: usize = 1 << 20;

/// The columns of one table.
struct KernelColumns {
    name: Option<usize>,
    kind: Option<usize>,
    start: Option<usize>,
    length: Option<usize>,
    stream: Option<usize>,
    device: Option<usize>,
    step: Option<usize>,
    /// All that become arguments, with their keys.
    arguments: Vec<(usize, String)>,
}

impl KernelColumns {
    fn of(rows: &TableRows) -> Self {
        let [name, kind, start, length] = [NAME, KIND, START, LENGTH].map(|names| rows.column(names));
        let device = rows.column("Device_id|Device ID");
        let fields = [name, start, length, device, rows.column("task_stop(us)")];
        let renamed: Vec<(usize, &str)> =
            RENAMED.iter().filter_map(|(names, key)| Some((rows.column(names)?, *key))).collect();
        let arguments = rows.header().iter().enumerate().filter(|(i, _)| !fields.contains(&Some(*i)));
        let key = |(i, column): (usize, &String)| {
            let found = renamed.iter().find(|(renamed, _)| *renamed == i);
            (i, found.map_or_else(|| column.clone(), |(_, key)| (*key).to_owned()))
        };
        Self {
            name,
            kind,
            start,
            length,
            stream: rows.column("Stream ID|stream_id"),
            device,
            step: rows.column("Step Id|Step ID"),
            arguments: arguments.map(key).collect(),
        }
    }
}

/// Reads every row. Of a table that says which step each kernel belongs to, steps are derived from their kernels: from the
/// start of the first to the end of the last.
pub(super) fn read(rows: &mut TableRows, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
    let columns = KernelColumns::of(rows);
    let mut reader = KernelReader { emit, named: Vec::new(), steps: BTreeMap::new() };
    while rows.advance()? {
        reader.send_row(rows, &columns)?;
    }
    reader.finish()
}

struct KernelReader<'e, 's> {
    emit: &'e mut Emitter<'s>,
    /// Processes that have been named.
    named: Vec<i64>,
    /// When the kernels of each step begin and end.
    steps: BTreeMap<i64, (i64, i64)>,
}

impl KernelReader<'_, '_> {
    fn send_row(&mut self, rows: &TableRows, columns: &KernelColumns) -> Result<(), ReadStop> {
        let (start, length) = (rows.nanos(columns.start), rows.nanos(columns.length));
        let (Some(start), Some(length)) = (start, length) else {
            let at = rows.place();
            return self.emit.count_line(Defect::UnreadableEvent, at.line, at.offset);
        };
        let end = TimeCell::of_nanos(start.saturating_add(length));
        let place = (rows.place().line, rows.place().offset);
        let times = self.emit.check_span(TimeCell::of_nanos(start), end, place)?;
        let (name, kind) = (rows.cell(columns.name), rows.some(columns.kind));
        let communicates = matches!(kind, b"HCCL" | b"COMMUNICATION")
            || kind.is_empty() && name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"hcom_"));
        // What a table of kernels lists without saying where it ran has run on a core.
        let computes = !communicates && kind.is_empty();
        let device = rows.device(columns.device);
        let layer = if communicates { AscendLayer::Communication } else { AscendLayer::Hardware };
        let pid = self.name_process(layer, device)?;
        let stream = rows.integer(columns.stream).unwrap_or(0);
        self.put_arguments(rows, columns);
        self.emit.send(Event {
            phase: b'X',
            category: if communicates { Category::Collective } else { Category::Other },
            cat: if computes { "kernel" } else { "" }.into(),
            name: plain(name),
            device: device.filter(|_| computes || communicates),
            stream: Some(stream).filter(|_| computes),
            pid: EventId::Number(pid),
            tid: EventId::Number(stream),
            start: times.start,
            dur: times.dur,
            untimed: times.untimed,
            task_type: plain(kind),
            ..Event::default()
        })?;
        let counts = communicates || computes || is_compute_task(kind);
        if let Some(step) = rows.integer(columns.step).filter(|_| counts) {
            let end = start.saturating_add(times.dur.unwrap_or(0));
            // A kernel whose time was never measured stands at 0, and no step begins there.
            if start != 0 && (self.steps.len() < MOST_STEPS || self.steps.contains_key(&step)) {
                let (from, to) = self.steps.entry(step).or_insert((start, end));
                (*from, *to) = ((*from).min(start), (*to).max(end));
            }
        }
        Ok(())
    }

    /// Everything that a row says besides, under the names that a timeline has for it.
    fn put_arguments(&mut self, rows: &TableRows, columns: &KernelColumns) {
        for (column, key) in &columns.arguments {
            let cell = rows.some(Some(*column));
            let text = std::str::from_utf8(cell).unwrap_or_default();
            match text.parse::<i64>() {
                Ok(NO_NUMBER) => {}
                _ if cell.is_empty() => {}
                _ if is_number(cell) => _ = self.emit.args.json(key.as_bytes(), text),
                _ => _ = self.emit.args.text(key.as_bytes(), cell),
            }
        }
    }

    fn name_process(&mut self, layer: AscendLayer, device: Option<i64>) -> Result<i64, ReadStop> {
        /// A machine has 16 devices.
        const MOST: usize = 4096;
        let pid = layer_process(0, layer, device.unwrap_or(0));
        if self.named.len() < MOST && !self.named.contains(&pid) {
            self.named.push(pid);
            let communicates = matches!(layer, AscendLayer::Communication);
            self.emit.name_process(pid, if communicates { b"Communication" } else { b"Ascend Hardware" })?;
            let label = device.map_or("NPU".to_owned(), |device| format!("NPU {device}"));
            self.emit.label_process(pid, label.as_bytes())?;
        }
        Ok(pid)
    }

    fn finish(self) -> Result<(), ReadStop> {
        if !self.steps.is_empty() {
            self.emit.out.meta.hints.push("steps by the Step Id of kernels".to_owned());
        }
        for (step, (start, end)) in self.steps {
            send_step(self.emit, step, start, end)?;
        }
        Ok(())
    }
}
