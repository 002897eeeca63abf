//! JSON lines of msMonitor's npu-monitor (Ascend/msmonitor `plugin/ipc_monitor/jsonl`): one record each. They become
//! what the same recording in its database does.

use serde::Deserialize;

use super::database::TimeCell;
use super::emit::{Emitter, plain};
use super::error::ReadStop;
use super::lines::each_line;
use super::window::InputWindow;
use super::{ReadOptions, ReadOutcome};
use crate::model::{Category, Defect, Dialect, Event, EventId, EventSink};

/// Processes of devices have numbers that no process has.
const FIRST_DEVICE_PROCESS: i64 = 1 << 41;

/// Recognizes the format by its first line: a `kind` that it knows.
pub(super) fn recognize(head: &[u8]) -> bool {
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
    // A long first line is cut off by the head.
    match serde_json::from_slice::<MonitorRecord>(line) {
        Ok(record) => record.is_known(),
        Err(_) => false,
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MonitorRecord {
    kind: String,
    name: String,
    start_ns: Option<i64>,
    end_ns: Option<i64>,
    process_id: Option<i64>,
    thread_id: Option<i64>,
    correlation_id: Option<i64>,
    device_id: Option<i64>,
    stream_id: Option<i64>,
    #[serde(rename = "type")]
    task_type: String,
    data_type: String,
    count: Option<i64>,
    comm_name: String,
    alg_type: String,
    source_kind: String,
    domain: String,
    rank: Option<i64>,
}

impl MonitorRecord {
    fn is_known(&self) -> bool {
        match self.kind.as_str() {
            "API" | "AclAPI" | "NodeAPI" | "RuntimeAPI" | "Kernel" | "Communication" | "Marker" => {
                self.start_ns.is_some() && self.end_ns.is_some()
            }
            "parallel_group_info" | "rank_device_map" => true,
            _ => false,
        }
    }

    /// The prefix that a timeline writes before the name of a call.
    fn layer(&self) -> &'static str {
        match self.kind.as_str() {
            "AclAPI" => "AscendCL@",
            "RuntimeAPI" => "Runtime@",
            _ => "Node@",
        }
    }
}

/// Reads a file.
pub(super) fn read(
    mut window: InputWindow,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    out.meta.dialect = Dialect::Ascend;
    let mut reader =
        MonitorReader { emit: Emitter::new(sink, options, out), named: Vec::new(), name: Vec::new() };
    let result = reader.read_lines(&mut window);
    let fault = window.fault.take();
    out.bytes = window.passed().bytes;
    result?;
    if let Some(fault) = fault {
        let at = window.passed().position_behind(b"");
        return Err(super::error::ReadError::new(at, fault).into());
    }
    out.complete = true;
    Ok(())
}

struct MonitorReader<'s> {
    emit: Emitter<'s>,
    /// Processes that have been named.
    named: Vec<i64>,
    name: Vec<u8>,
}

impl MonitorReader<'_> {
    fn read_lines(&mut self, window: &mut InputWindow) -> Result<(), ReadStop> {
        each_line(window, |line| match serde_json::from_slice::<MonitorRecord>(line.text) {
            Ok(record) => self.send_record(&record, (line.number, line.offset)),
            Err(_) => self.emit.count_line(Defect::UnreadableEvent, line.number, line.offset),
        })
    }

    fn send_record(&mut self, record: &MonitorRecord, place: (u64, u64)) -> Result<(), ReadStop> {
        if record.kind == "rank_device_map" {
            self.emit.out.meta.rank = record.rank.filter(|rank| *rank >= 0);
        }
        if matches!(record.kind.as_str(), "rank_device_map" | "parallel_group_info") {
            return Ok(());
        }
        let (Some(start), Some(end)) = (record.start_ns, record.end_ns) else {
            return self.emit.count_line(Defect::UnreadableEvent, place.0, place.1);
        };
        let device = record.device_id;
        let on_device =
            record.kind == "Kernel" || record.source_kind == "Device" || record.kind == "Communication";
        let pid = match record.kind.as_str() {
            "Communication" => self.name_process(1, device.unwrap_or(0), "Communication")?,
            _ if on_device => self.name_process(0, device.unwrap_or(0), "Ascend Hardware")?,
            "Marker" => record.process_id.unwrap_or(0),
            _ => self.name_process(2, 0, "CANN")?,
        };
        let times = self.emit.check_span(TimeCell::of_nanos(start), TimeCell::of_nanos(end), place)?;
        let args = &mut self.emit.args;
        let category = match record.kind.as_str() {
            "Kernel" => {
                args.some_text("Task Type", record.task_type.as_bytes());
                Category::Other
            }
            "Communication" => {
                args.some_text("data_type", record.data_type.as_bytes()).some_integer("count", record.count);
                args.some_text("group_name", record.comm_name.as_bytes());
                args.some_text("alg_type", record.alg_type.as_bytes());
                Category::Collective
            }
            "Marker" => {
                args.some_text("domain", record.domain.as_bytes());
                Category::Marker
            }
            _ => Category::Api,
        };
        args.some_integer("connection_id", record.correlation_id);
        self.name.clear();
        if category == Category::Api {
            self.name.extend_from_slice(record.layer().as_bytes());
        }
        self.name.extend_from_slice(record.name.as_bytes());
        let tid = if on_device { record.stream_id } else { record.thread_id };
        let moment = record.kind == "Marker" && start == end;
        self.emit.send(Event {
            phase: if moment { b'i' } else { b'X' },
            category,
            name: plain(&self.name),
            pid: EventId::Number(pid),
            tid: EventId::Number(tid.unwrap_or(0)),
            start: times.start,
            dur: times.dur.filter(|_| !moment),
            untimed: times.untimed,
            device: device.filter(|_| record.kind == "Communication"),
            task_type: plain(if record.kind == "Kernel" { record.task_type.as_bytes() } else { b"" }),
            ..Event::default()
        })
    }

    fn name_process(&mut self, layer: i64, device: i64, name: &str) -> Result<i64, ReadStop> {
        const MOST: usize = 4096;
        let pid = FIRST_DEVICE_PROCESS + (layer << 32) + device.clamp(0, 1 << 30);
        if self.named.len() < MOST && !self.named.contains(&pid) {
            self.named.push(pid);
            self.emit.name_process(pid, name.as_bytes())?;
            if layer < 2 {
                self.emit.label_process(pid, format!("NPU {device}").as_bytes())?;
            }
        }
        Ok(pid)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DripReader, Lines};
    use super::super::{ReadOptions, read_trace};

    #[test]
    fn lines_become_events() {
        let text = concat!(
            r#"{"correlationId":5,"endNs":110,"kind":"AclAPI","name":"aclrtLaunch","processId":7,"startNs":100,"threadId":8}"#,
            "\n",
            r#"{"correlationId":5,"deviceId":1,"endNs":160,"kind":"Kernel","name":"MatMul","startNs":120,"streamId":2,"type":"KERNEL_AICORE"}"#,
            "\nnot a line\n\n",
            r#"{"algType":"RING","commName":"g","correlationId":6,"count":4,"dataType":"FP32","deviceId":1,"endNs":300,"kind":"Communication","name":"HcclAllreduce","startNs":200,"streamId":3}"#,
            "\n",
            r#"{"domain":"d","endNs":90,"id":1,"kind":"Marker","name":"m","processId":7,"sourceKind":"Host","startNs":90,"threadId":8}"#,
            "\n",
            r#"{"device":[1],"kind":"rank_device_map","rank":3}"#,
            "\n",
            r#"{"correlationId":5,"endNs":110,"ki"#,
        );
        for step in [7, 4096] {
            let mut lines = Lines::default();
            let source = Box::new(DripReader::new(text.as_bytes(), step));
            let outcome = read_trace(source, &ReadOptions::default(), &mut lines).unwrap();
            assert!(outcome.complete && outcome.meta.rank == Some(3) && outcome.bytes == text.len() as u64);
            assert_eq!(outcome.defects.losses()["unreadable_event"], 2);
            let (hardware, communication, cann) =
                (1i64 << 41, (1i64 << 41) + (1 << 32), (1i64 << 41) + (2 << 32));
            let expected = [
                format!("M other {cann}/- process_name -+- {{\"name\":\"CANN\"}}"),
                format!("X api {cann}/8 AscendCL@aclrtLaunch 100+10 {{\"connection_id\":5}}"),
                format!("M other {}/- process_name -+- {{\"name\":\"Ascend Hardware\"}}", hardware + 1),
                format!("M other {}/- process_labels -+- {{\"labels\":\"NPU 1\"}}", hardware + 1),
                format!(
                    "X other {}/2 MatMul 120+40 {{\"Task Type\":\"KERNEL_AICORE\",\"connection_id\":5}}",
                    hardware + 1
                ),
                format!("M other {}/- process_name -+- {{\"name\":\"Communication\"}}", communication + 1),
                format!("M other {}/- process_labels -+- {{\"labels\":\"NPU 1\"}}", communication + 1),
                format!(
                    "X collective {}/3 HcclAllreduce 200+100 {{\"alg_type\":\"RING\",\"connection_id\":6,\"count\":4,\"data_type\":\"FP32\",\"group_name\":\"g\"}}",
                    communication + 1
                ),
                "i marker 7/8 m 90+- {\"domain\":\"d\"}".to_owned(),
            ];
            assert_eq!(lines.0, expected);
        }
    }

    #[test]
    fn records_with_impossible_times_are_counted() {
        let record = |times: &str| {
            format!(
                r#"{{"deviceId":1,"kind":"Kernel","name":"k",{times},"streamId":2,"type":"KERNEL_AICORE"}}"#
            )
        };
        let first = record(r#""endNs":20,"startNs":10"#);
        let rest =
            [r#""endNs":5,"startNs":10"#, r#""startNs":10"#, r#""endNs":900000000000000000,"startNs":10"#];
        let text = format!("{first}\n{}\n", rest.map(record).join("\n"));
        let (lines, outcome) = super::super::testing::read_bytes(text.as_bytes());
        assert!(lines[3].contains(" k 10+0 ") && lines[4].contains(" k 10+- "), "{lines:?}");
        let repairs = [("longer_than_7_days".to_owned(), 1), ("negative_dur".to_owned(), 1)];
        assert_eq!(outcome.defects.repairs(), repairs.into());
        assert_eq!(outcome.defects.losses(), [("unreadable_event".to_owned(), 1)].into());
    }
}
