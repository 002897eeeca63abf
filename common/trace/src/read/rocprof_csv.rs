//! The tables of rocprofv3 (ROCm/rocm-systems `projects/rocprofiler-sdk/source/lib/output/generateCSV.cpp`): kernels,
//! copies, memory and calls, one table each. Columns are found by their names: releases put more of them in between.

use super::database::TimeCell;
use super::emit::{Emitter, plain};
use super::error::{ReadError, ReadFault, ReadStop};
use super::rocprof::FIRST_DEVICE_PROCESS;
use super::table_rows::{TableRows, split_header};
use super::window::InputWindow;
use super::{ReadOptions, ReadOutcome};
use crate::model::{Category, Defect, Dialect, Event, EventId, EventSink};

const START: &str = "Start_Timestamp";
const END: &str = "End_Timestamp";

/// The content of a table, with the column that names its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TableKind {
    Kernels,
    Copies,
    Memory,
    Calls,
}

impl TableKind {
    fn of(header: &[String]) -> Option<Self> {
        let has = |name: &str| header.iter().any(|column| column == name);
        if !has(START) || !has(END) || has("Counter_Name") {
            return None;
        }
        [Self::Kernels, Self::Copies, Self::Memory, Self::Calls]
            .into_iter()
            .find(|kind| has(kind.name_column()))
    }

    fn name_column(self) -> &'static str {
        match self {
            Self::Kernels => "Kernel_Name",
            Self::Copies => "Direction",
            Self::Memory => "Operation",
            Self::Calls => "Function",
        }
    }

    /// `cat` and category of a row, as the JSON of the same run has them.
    fn category_of(self, domain: &[u8]) -> (&'static str, Category) {
        match (self, domain) {
            (Self::Kernels, _) => ("kernel", Category::Other),
            (Self::Copies, _) => ("gpu_memcpy", Category::Other),
            (Self::Memory, b"SCRATCH_MEMORY") => ("scratch_memory", Category::Memory),
            (Self::Memory, _) => ("memory_allocation", Category::Memory),
            (Self::Calls, domain) if domain.starts_with(b"MARKER") => ("user_annotation", Category::Other),
            (Self::Calls, domain) => {
                let libraries: [(&[u8], _); 4] = [
                    (b"HSA", "hsa_api"),
                    (b"RCCL", "rccl_api"),
                    (b"ROCDECODE", "rocdecode_api"),
                    (b"ROCJPEG", "rocjpeg_api"),
                ];
                let found = libraries.iter().find(|(library, _)| domain.starts_with(library));
                (found.map_or("hip_api", |(_, cat)| cat), Category::Runtime)
            }
        }
    }
}

/// Recognizes a table with times by its header.
pub(super) fn recognize(head: &[u8]) -> bool {
    TableKind::of(&split_header(head)).is_some()
}

/// Returns the reason why a table of rocprofv3 without events, such as one of sums, is not a trace.
pub(super) fn describe_sums(head: &[u8]) -> Option<String> {
    const SUMS: [(&[&str], &str); 3] = [
        (
            &["Counter_Name", "Counter_Value", "Kernel_Name"],
            "counter_collection.csv, with counters of kernels",
        ),
        (&["Name", "Calls", "TotalDurationNs", "AverageNs"], "statistics, with sums of calls or kernels"),
        (&["Sample_Timestamp", "Exec_Mask", "Instruction"], "samples of instructions, without durations"),
    ];
    let header = split_header(head);
    let has = |name: &&str| header.iter().any(|column| column == name);
    let (_, what) = SUMS.iter().find(|(columns, _)| columns.iter().all(has))?;
    Some(format!(
        "is not a trace: it is rocprofv3's {what} (the events are in *_kernel_trace.csv, *_api_trace.csv or *_results.json beside it)"
    ))
}

/// Reads a table with times.
pub(super) fn read(
    window: InputWindow,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    out.meta.dialect = Dialect::Rocprof;
    let mut rows = TableRows::new(window)?;
    let mut emit = Emitter::new(sink, options, out);
    let result = read_rows(&mut rows, &mut emit);
    out.bytes = rows.bytes_read();
    result?;
    // Each row has all columns.
    if rows.ends_inside_row(rows.header().len().saturating_sub(1)) {
        return Err(ReadError::new(rows.place(), ReadFault::Truncated("a row")).into());
    }
    out.complete = true;
    Ok(())
}

/// The columns of one table that are fields of its events; the others are arguments.
struct Columns {
    kind: TableKind,
    name: Option<usize>,
    start: Option<usize>,
    end: Option<usize>,
    domain: Option<usize>,
    device: Option<usize>,
    /// The agent that memory is copied from.
    source: Option<usize>,
    stream: Option<usize>,
    pid: Option<usize>,
    tid: Option<usize>,
    correlation: Option<usize>,
    size: Option<usize>,
}

impl Columns {
    fn of(rows: &TableRows) -> Option<Self> {
        let kind = TableKind::of(rows.header())?;
        Some(Self {
            kind,
            name: rows.column(kind.name_column()),
            start: rows.column(START),
            end: rows.column(END),
            domain: rows.column("Domain|Kind"),
            device: rows.column("Agent_Id|Destination_Agent_Id"),
            source: rows.column("Source_Agent_Id"),
            // Before streams were recorded, queues tell what runs at the same time.
            stream: rows.column("Stream_Id|Queue_Id"),
            pid: rows.column("Process_Id"),
            tid: rows.column("Thread_Id"),
            correlation: rows.column("Correlation_Id"),
            size: rows.column("Allocation_Size"),
        })
    }

    fn is_field(&self, column: usize) -> bool {
        let fields = [self.name, self.start, self.end, self.pid, self.correlation, self.size];
        fields.contains(&Some(column))
    }
}

fn read_rows(rows: &mut TableRows, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
    let Some(columns) = Columns::of(rows) else { return Ok(()) };
    let mut named = Vec::new();
    while rows.advance()? {
        send_row(rows, &columns, &mut named, emit)?;
    }
    Ok(())
}

fn send_row(
    rows: &TableRows,
    columns: &Columns,
    named: &mut Vec<i64>,
    emit: &mut Emitter<'_>,
) -> Result<(), ReadStop> {
    let at = rows.place();
    let (Some(start), Some(end)) = (rows.integer(columns.start), rows.integer(columns.end)) else {
        return emit.count_line(Defect::UnreadableEvent, at.line, at.offset);
    };
    let times = emit.check_span(TimeCell::of_nanos(start), TimeCell::of_nanos(end), (at.line, at.offset))?;
    let (cat, category) = columns.kind.category_of(rows.cell(columns.domain));
    let name = rows.cell(columns.name);
    let on_device = matches!(columns.kind, TableKind::Kernels | TableKind::Copies);
    let from_device = columns.kind == TableKind::Copies && name.ends_with(b"DEVICE_TO_HOST");
    let agent = if from_device { columns.source } else { columns.device };
    let device = agent_number(rows.cell(agent));
    let stream = rows.integer(columns.stream).filter(|_| on_device);
    let (mut pid, mut tid) = (rows.integer(columns.pid).unwrap_or(0), rows.integer(columns.tid).unwrap_or(0));
    if on_device {
        (pid, tid) = (FIRST_DEVICE_PROCESS + device.unwrap_or(-1), stream.unwrap_or(0));
        /// A machine has 16 devices.
        const MOST: usize = 4096;
        if named.len() < MOST && !named.contains(&pid) {
            named.push(pid);
            let name = device.map_or("GPU".to_owned(), |device| format!("GPU {device}"));
            emit.name_process(pid, name.as_bytes())?;
        }
    }
    let correlation = rows.integer(columns.correlation).filter(|number| *number != 0);
    for (column, key) in rows.header().iter().enumerate().filter(|(i, _)| !columns.is_field(*i)) {
        let cell = rows.some(Some(column));
        match rows.integer(Some(column)) {
            _ if cell.is_empty() => {}
            Some(number) => _ = emit.args.integer(key, number),
            None => _ = emit.args.text(key.as_bytes(), cell),
        }
    }
    emit.args.some_integer("bytes", rows.integer(columns.size));
    emit.args.some_integer("device", device.filter(|_| on_device)).some_integer("stream", stream);
    emit.args.some_integer("correlation", correlation);
    emit.send(Event {
        phase: b'X',
        category,
        cat: cat.into(),
        name: plain(name),
        pid: EventId::Number(pid),
        tid: EventId::Number(tid),
        start: times.start,
        dur: times.dur,
        untimed: times.untimed,
        device: device.filter(|_| on_device),
        stream,
        correlation: correlation.filter(|_| cat != "user_annotation"),
        ..Event::default()
    })
}

/// The number of an agent, which is written as `4`, `Agent 4` or `GPU 0`.
fn agent_number(cell: &[u8]) -> Option<i64> {
    let digits = cell.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&cell[cell.len() - digits..]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::read_bytes;

    const KERNELS: &str = "\"Kind\",\"Agent_Id\",\"Queue_Id\",\"Stream_Id\",\"Thread_Id\",\"Dispatch_Id\",\"Kernel_Id\",\
        \"Kernel_Name\",\"Correlation_Id\",\"Start_Timestamp\",\"End_Timestamp\",\"LDS_Block_Size\",\"Grid_Size_X\"\n\
        \"KERNEL_DISPATCH\",\"Agent 4\",1,3,690,1,16,\"void add<float>(float*, int)\",7,1000,1500,0,64\n\
        \"KERNEL_DISPATCH\",\"Agent 4\",1,3,690,2,16,\"again\",8,x,1700,0,64\n";

    fn read(text: &str) -> Vec<String> {
        let (lines, outcome) = read_bytes(text.as_bytes());
        assert!(outcome.complete && outcome.bytes == text.len() as u64, "{:?}", outcome.error);
        lines
    }

    #[test]
    fn kernels_have_rows() {
        let device = super::FIRST_DEVICE_PROCESS + 4;
        let (lines, outcome) = read_bytes(KERNELS.as_bytes());
        assert_eq!(outcome.defects.losses(), [("unreadable_event".to_owned(), 1)].into());
        let args = r#"{"Agent_Id":"Agent 4","Dispatch_Id":1,"Grid_Size_X":64,"Kernel_Id":16,"Kind":"KERNEL_DISPATCH","LDS_Block_Size":0,"Queue_Id":1,"Stream_Id":3,"Thread_Id":690,"correlation":7,"device":4,"stream":3}"#;
        assert_eq!(
            lines,
            [
                format!("M other {device}/- process_name -+- {{\"name\":\"GPU 4\"}}"),
                format!("X kernel {device}/3 void add<float>(float*, int) 1000+500 {args}"),
            ]
        );
        // Within a time, and behind all times.
        for rest in ["500,0,64", ",64"] {
            let cut = KERNELS.find(rest).unwrap();
            assert!(read_bytes(&KERNELS.as_bytes()[..cut]).1.error.is_some(), "{rest}");
        }
    }

    #[test]
    fn calls_copies_and_memory_have_rows() {
        let calls = "\"Domain\",\"Function\",\"Process_Id\",\"Thread_Id\",\"Correlation_Id\",\"Start_Timestamp\",\"End_Timestamp\"\n\
            \"HIP_RUNTIME_API_EXT\",\"hipLaunchKernel\",15,16,7,10,30\n\
            \"MARKER_CORE_API\",\"step, 1\",15,15,2,5,5\n";
        assert_eq!(
            read(calls),
            [
                r#"X runtime 15/16 hipLaunchKernel 10+20 {"Domain":"HIP_RUNTIME_API_EXT","Thread_Id":16,"correlation":7}"#,
                r#"X marker 15/15 step, 1 5+0 {"Domain":"MARKER_CORE_API","Thread_Id":15,"correlation":2}"#,
            ]
        );
        let copies = "\"Kind\",\"Direction\",\"Source_Agent_Id\",\"Destination_Agent_Id\",\"Correlation_Id\",\"Start_Timestamp\",\"End_Timestamp\"\n\
            \"MEMORY_COPY\",\"MEMORY_COPY_DEVICE_TO_HOST\",4,0,1,7,9\n";
        assert!(
            read(copies)[1]
                .contains(&format!("{}/0 MEMORY_COPY_DEVICE_TO_HOST 7+2", super::FIRST_DEVICE_PROCESS + 4))
        );
        let memory = "\"Kind\",\"Operation\",\"Agent_Id\",\"Allocation_Size\",\"Address\",\"Correlation_Id\",\"Start_Timestamp\",\"End_Timestamp\"\n\
            \"MEMORY_ALLOCATION\",\"MEMORY_ALLOCATION_ALLOCATE\",\"Agent 0\",1024,\"0x7f\",1,8,9\n";
        assert!(read(memory)[0].contains("\"bytes\":1024"), "{:?}", read(memory));
    }

    #[test]
    fn tables_without_events_are_rejected_by_what_they_hold() {
        let why = |text: &str| read_bytes(text.as_bytes()).1.error.unwrap().to_string();
        let counters = "\"Dispatch_Id\",\"Kernel_Name\",\"Counter_Name\",\"Counter_Value\",\"Start_Timestamp\",\"End_Timestamp\"\n1,\"k\",\"SQ\",4,1,2\n";
        assert!(why(counters).contains("counter_collection.csv"));
        assert!(
            why("\"Name\",\"Calls\",\"TotalDurationNs\",\"AverageNs\"\n\"k\",1,2,2.0\n")
                .contains("statistics")
        );
    }
}
