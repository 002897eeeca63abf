//! A recording as a Chrome trace in Kineto's format (pytorch/kineto 114171d, `libkineto/src/output_json.cpp`): times in µs
//! with three decimals, relative to `baseTimeNanoseconds`; a launch and its execution are linked by `correlation` and by
//! a flow.

use std::io::{self, Write};

use super::clock::JobClock;
use super::device::{DeviceActivity, DeviceEvent, DeviceStream};
use super::recorder::{HostSpan, SpanKind, TrainingRecording};

/// The process as a trace describes it.
#[derive(Clone, Debug)]
pub(crate) struct TraceProcessInfo {
    pub(crate) pid: i32,
    pub(crate) device: i32,
    pub(crate) rank: u32,
    pub(crate) world_size: u32,
    pub(crate) host: String,
}

/// Writes a trace. Returns the number of events without metadata.
pub(crate) fn write_trace(
    out: impl Write,
    recording: &TrainingRecording,
    process: &TraceProcessInfo,
    clock: &JobClock,
    trace_id: Option<&str>,
    name: &str,
) -> io::Result<u64> {
    let mut writer = KinetoWriter { out, recording, process, events: 0, first: true };
    writer.write_header(clock, trace_id)?;
    writer.write_names()?;
    recording.spans.iter().try_for_each(|span| writer.write_host_span(span))?;
    recording.device.iter().try_for_each(|event| writer.write_device_event(event))?;
    writer.write_window()?;
    write!(writer.out, "\n  ],\n  \"traceName\": {}\n}}\n", quote_json(name))?;
    writer.out.flush()?;
    Ok(writer.events)
}

/// The two events of a flow from a launch to its execution.
#[derive(Clone, Copy)]
enum FlowEnd {
    Launch,
    Execution,
}

struct KinetoWriter<'a, W> {
    out: W,
    recording: &'a TrainingRecording,
    process: &'a TraceProcessInfo,
    events: u64,
    first: bool,
}

impl<W: Write> KinetoWriter<'_, W> {
    fn write_header(&mut self, clock: &JobClock, trace_id: Option<&str>) -> io::Result<()> {
        let TraceProcessInfo { device, rank, world_size, host, .. } = self.process;
        let ranks: Vec<String> = (0..*world_size).map(|r| r.to_string()).collect();
        let ranks = ranks.join(", ");
        writeln!(self.out, "{{\n  \"schemaVersion\": 1,\n  \"deviceProperties\": [\n    {{")?;
        writeln!(
            self.out,
            "      \"id\": {device}, \"name\": \"threads of this host\", \"totalGlobalMem\": 0,"
        )?;
        writeln!(self.out, "      \"computeMajor\": 0, \"computeMinor\": 0, \"maxThreadsPerBlock\": 1,")?;
        writeln!(self.out, "      \"warpSize\": 1, \"numSms\": 1\n    }}\n  ],")?;
        writeln!(
            self.out,
            "  \"distributedInfo\": {{\"backend\": \"nccl\", \"rank\": {rank}, \"world_size\": {world_size}, \
             \"pg_count\": 1, \"pg_config\": [{{\"pg_name\": \"0\", \"pg_desc\": \"default_pg\", \
             \"backend_config\": \"cuda:nccl\", \"pg_size\": {world_size}, \"ranks\": [{ranks}]}}]}},"
        )?;
        if let Some(id) = trace_id {
            writeln!(self.out, "  \"trace_id\": {},", quote_json(id))?;
        }
        writeln!(self.out, "  \"host_name\": {},\n  \"displayTimeUnit\": \"ms\",", quote_json(host))?;
        let base = clock.epoch_ns_at(self.recording.start);
        write!(self.out, "  \"baseTimeNanoseconds\": {base},\n  \"traceEvents\": [")
    }

    fn write_names(&mut self) -> io::Result<()> {
        let TraceProcessInfo { pid, device, .. } = *self.process;
        let thread = self.recording.thread;
        self.write_metadata("process_name", pid, 0, "name", "\"proftap\"")?;
        self.write_metadata("process_labels", pid, 0, "labels", "\"CPU\"")?;
        self.write_metadata("process_sort_index", pid, 0, "sort_index", &pid.to_string())?;
        self.write_metadata(
            "thread_name",
            pid,
            thread,
            "name",
            &quote_json(&format!("thread {thread} (train)")),
        )?;
        self.write_metadata("thread_sort_index", pid, thread, "sort_index", &thread.to_string())?;
        self.write_metadata("process_name", device, 0, "name", "\"proftap\"")?;
        self.write_metadata("process_labels", device, 0, "labels", &quote_json(&format!("GPU {device}")))?;
        let index = 5_000_000_i64 + i64::from(device);
        self.write_metadata("process_sort_index", device, 0, "sort_index", &index.to_string())?;
        for id in DeviceStream::ALL.map(|s| i32::try_from(s.id()).unwrap_or(0)) {
            self.write_metadata("thread_name", device, id, "name", &quote_json(&format!("stream {id} ")))?;
            self.write_metadata("thread_sort_index", device, id, "sort_index", &id.to_string())?;
        }
        Ok(())
    }

    fn write_metadata(&mut self, name: &str, pid: i32, tid: i32, key: &str, value: &str) -> io::Result<()> {
        self.write_separator()?;
        write!(
            self.out,
            "  {{\n    \"name\": \"{name}\", \"ph\": \"M\", \"ts\": 0.000, \"pid\": {pid}, \"tid\": {tid},\n    \
             \"args\": {{\n      \"{key}\": {value}\n    }}\n  }}"
        )
    }

    fn write_host_span(&mut self, span: &HostSpan) -> io::Result<()> {
        let category = match span.kind {
            SpanKind::Step | SpanKind::Annotation => "user_annotation",
            SpanKind::Operator => "cpu_op",
            SpanKind::Runtime(_) => "cuda_runtime",
        };
        let ids = [("External id", span.external), ("correlation", span.correlation)];
        let args: Vec<String> = ids.iter().filter_map(|(k, v)| v.map(|v| format!("\"{k}\": {v}"))).collect();
        let (pid, tid) = (self.process.pid, self.recording.thread);
        self.write_complete_event(
            category,
            &span.name,
            (pid, tid.into()),
            (span.start, span.end),
            &args.join(", "),
        )?;
        match span.correlation {
            Some(id) => self.write_flow(FlowEnd::Launch, id, (pid, tid.into()), span.start),
            None => Ok(()),
        }
    }

    fn write_device_event(&mut self, event: &DeviceEvent) -> io::Result<()> {
        let ns = (event.end - event.start).max(1);
        let (device, stream) = (self.process.device, event.stream.id());
        let mut args = event.ids.external.map(|id| format!("\"External id\": {id}, ")).unwrap_or_default();
        args += &format!("\"device\": {device}, \"context\": 1, \"stream\": {stream}, ");
        args += &format!("\"correlation\": {}", event.ids.correlation);
        let category = match event.activity {
            DeviceActivity::Kernel => "kernel",
            DeviceActivity::Copy { bytes } => {
                args += &bandwidth_args(bytes, ns);
                "gpu_memcpy"
            }
            DeviceActivity::Fill { bytes } => {
                args += &bandwidth_args(bytes, ns);
                "gpu_memset"
            }
            DeviceActivity::AllReduce { elements } => {
                args += &self.collective_args(elements);
                "kernel"
            }
        };
        let lane = (device, i64::from(stream));
        self.write_complete_event(category, event.name, lane, (event.start, event.end), &args)?;
        self.write_flow(FlowEnd::Execution, event.ids.correlation, lane, event.start)
    }

    fn collective_args(&self, elements: u64) -> String {
        let world = self.process.world_size;
        let ranks: Vec<String> = (0..world).map(|r| r.to_string()).collect();
        format!(
            ", \"Collective name\": \"allreduce\", \"In msg nelems\": {elements}, \"Out msg nelems\": \
             {elements}, \"Group size\": {world}, \"dtype\": \"Float\", \"In split size\": \"[]\", \"Out split \
             size\": \"[]\", \"Process Group Name\": \"0\", \"Process Group Description\": \"default_pg\", \
             \"Process Group Ranks\": \"[{}]\"",
            ranks.join(", ")
        )
    }

    /// Writes the events of the recording itself: its span, its start and its end.
    fn write_window(&mut self) -> io::Result<()> {
        let length = format_us(self.recording.end - self.recording.start);
        self.write_event(&format!(
            "\"ph\": \"X\", \"cat\": \"Trace\", \"ts\": 0.000, \"dur\": {length},\n    \"pid\": \"Spans\", \"tid\": \
             \"proftap\",\n    \"name\": \"proftap (0)\",\n    \"args\": {{\n      \"Op count\": 0\n    }}"
        ))?;
        self.write_event(
            "\"name\": \"Iteration Start: proftap\", \"ph\": \"i\", \"s\": \"g\",\n    \"pid\": \"Traces\", \"tid\": \
             \"Trace proftap\", \"ts\": 0.000",
        )?;
        self.write_event(&format!(
            "\"name\": \"Record Window End\", \"ph\": \"i\", \"s\": \"g\",\n    \"pid\": \"\", \"tid\": \"\", \"ts\": {length}"
        ))
    }

    fn write_complete_event(
        &mut self,
        category: &str,
        name: &str,
        (pid, tid): (i32, i64),
        (start, end): (i64, i64),
        args: &str,
    ) -> io::Result<()> {
        let (ts, dur) = (format_us(start - self.recording.start), format_us(end - start));
        self.write_event(&format!(
            "\"ph\": \"X\", \"cat\": \"{category}\", \"name\": {}, \"pid\": {pid}, \"tid\": {tid},\n    \"ts\": {ts}, \
             \"dur\": {dur},\n    \"args\": {{\n      {args}\n    }}",
            quote_json(name)
        ))
    }

    fn write_flow(&mut self, end: FlowEnd, id: u64, (pid, tid): (i32, i64), at: i64) -> io::Result<()> {
        // A flow is bound to the slice that encloses its end ("bp": "e"), as Kineto writes it.
        let (ph, binding) = match end {
            FlowEnd::Launch => ("s", ""),
            FlowEnd::Execution => ("f", ", \"bp\": \"e\""),
        };
        let ts = format_us(at - self.recording.start);
        self.write_event(&format!(
            "\"ph\": \"{ph}\", \"id\": {id}, \"pid\": {pid}, \"tid\": {tid}, \"ts\": {ts},\n    \"cat\": \"ac2g\", \
             \"name\": \"ac2g\"{binding}"
        ))
    }

    fn write_event(&mut self, body: &str) -> io::Result<()> {
        self.events += 1;
        self.write_separator()?;
        write!(self.out, "  {{\n    {body}\n  }}")
    }

    fn write_separator(&mut self) -> io::Result<()> {
        self.out.write_all(if std::mem::take(&mut self.first) { b"\n" } else { b",\n" })
    }
}

fn bandwidth_args(bytes: u64, ns: i64) -> String {
    format!(", \"bytes\": {bytes}, \"memory bandwidth (GB/s)\": {:.6}", bytes as f64 / ns as f64)
}

/// Formats nanoseconds as µs with three decimals. A negative time is clamped to 0, as Kineto does.
fn format_us(ns: i64) -> String {
    let ns = ns.max(0);
    format!("{}.{:03}", ns / 1000, ns % 1000)
}

pub(super) fn quote_json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn nanoseconds_survive() {
        assert_eq!(format_us(1_234_567), "1234.567");
        assert_eq!(format_us(5), "0.005");
        assert_eq!(format_us(-5), "0.000");
    }

    #[test]
    fn an_empty_recording_with_special_characters_is_valid_json() {
        let process =
            TraceProcessInfo { pid: 42, device: 0, rank: 1, world_size: 2, host: "a\"b\\\n".to_owned() };
        let mut bytes = Vec::new();
        let recording =
            TrainingRecording { start: 10, end: 1010, thread: 43, ..TrainingRecording::default() };
        let clock = JobClock::start();
        let n =
            write_trace(&mut bytes, &recording, &process, &clock, Some("7\"7"), "/tmp/\u{1}.json").unwrap();
        let trace: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(trace["trace_id"], "7\"7");
        assert_eq!(trace["distributedInfo"]["rank"], 1);
        assert_eq!(trace["baseTimeNanoseconds"], clock.epoch_ns_at(10));
        assert_eq!(n, 3);
        assert_eq!(trace["traceEvents"].as_array().unwrap().last().unwrap()["ts"], 1.0);
    }
}
