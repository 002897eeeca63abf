//! A recording as a Chrome trace in the form that Kineto writes: times in µs with three decimals, relative to
//! `baseTimeNanoseconds`; the launch and its execution tied by `correlation` and by a flow.

use std::io::{self, Write};

use super::clock::Clock;
use super::device::{Activity, DeviceEvent, Stream};
use super::recorder::{Kind, Recording, Span};

/// What a trace says about the process, the same in each.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) pid: i32,
    pub(crate) device: i32,
    pub(crate) rank: u32,
    pub(crate) world_size: u32,
    pub(crate) host: String,
}

/// Writes a trace and returns the number of its events, metadata aside.
pub(crate) fn write(
    out: impl Write,
    recording: &Recording,
    facts: &Facts,
    clock: &Clock,
    trace_id: Option<&str>,
    name: &str,
) -> io::Result<u64> {
    let mut writer = Writer { out, recording, facts, events: 0, first: true };
    writer.header(clock, trace_id)?;
    writer.names()?;
    recording.spans.iter().try_for_each(|span| writer.span(span))?;
    recording.device.iter().try_for_each(|event| writer.device(event))?;
    writer.window()?;
    write!(writer.out, "\n  ],\n  \"traceName\": {}\n}}\n", quote(name))?;
    writer.out.flush()?;
    Ok(writer.events)
}

struct Writer<'a, W> {
    out: W,
    recording: &'a Recording,
    facts: &'a Facts,
    events: u64,
    first: bool,
}

impl<W: Write> Writer<'_, W> {
    fn header(&mut self, clock: &Clock, trace_id: Option<&str>) -> io::Result<()> {
        let Facts { device, rank, world_size, host, .. } = self.facts;
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
            writeln!(self.out, "  \"trace_id\": {},", quote(id))?;
        }
        writeln!(self.out, "  \"host_name\": {},\n  \"displayTimeUnit\": \"ms\",", quote(host))?;
        let base = clock.wall(self.recording.start);
        write!(self.out, "  \"baseTimeNanoseconds\": {base},\n  \"traceEvents\": [")
    }

    fn names(&mut self) -> io::Result<()> {
        let Facts { pid, device, .. } = *self.facts;
        let thread = self.recording.thread;
        self.metadata("process_name", pid, 0, "name", "\"proftap\"")?;
        self.metadata("process_labels", pid, 0, "labels", "\"CPU\"")?;
        self.metadata("process_sort_index", pid, 0, "sort_index", &pid.to_string())?;
        self.metadata("thread_name", pid, thread, "name", &quote(&format!("thread {thread} (train)")))?;
        self.metadata("thread_sort_index", pid, thread, "sort_index", &thread.to_string())?;
        self.metadata("process_name", device, 0, "name", "\"proftap\"")?;
        self.metadata("process_labels", device, 0, "labels", &quote(&format!("GPU {device}")))?;
        let index = 5_000_000_i64 + i64::from(device);
        self.metadata("process_sort_index", device, 0, "sort_index", &index.to_string())?;
        for id in Stream::ALL.map(|s| i32::try_from(s.id()).unwrap_or(0)) {
            self.metadata("thread_name", device, id, "name", &quote(&format!("stream {id} ")))?;
            self.metadata("thread_sort_index", device, id, "sort_index", &id.to_string())?;
        }
        Ok(())
    }

    fn metadata(&mut self, name: &str, pid: i32, tid: i32, key: &str, value: &str) -> io::Result<()> {
        self.separate()?;
        write!(
            self.out,
            "  {{\n    \"name\": \"{name}\", \"ph\": \"M\", \"ts\": 0.000, \"pid\": {pid}, \"tid\": {tid},\n    \
             \"args\": {{\n      \"{key}\": {value}\n    }}\n  }}"
        )
    }

    fn span(&mut self, span: &Span) -> io::Result<()> {
        let category = match span.kind {
            Kind::Step | Kind::Annotation => "user_annotation",
            Kind::Operator => "cpu_op",
            Kind::Runtime => "cuda_runtime",
        };
        let ids = [("External id", span.external), ("correlation", span.correlation)];
        let args: Vec<String> = ids.iter().filter_map(|(k, v)| v.map(|v| format!("\"{k}\": {v}"))).collect();
        let (pid, tid) = (self.facts.pid, self.recording.thread);
        self.complete(category, &span.name, (pid, tid.into()), (span.start, span.end), &args.join(", "))?;
        match span.correlation {
            Some(id) => self.flow("s", id, (pid, tid.into()), span.start),
            None => Ok(()),
        }
    }

    fn device(&mut self, event: &DeviceEvent) -> io::Result<()> {
        let ns = (event.end - event.start).max(1);
        let (device, stream) = (self.facts.device, event.stream.id());
        let mut args = event.tie.external.map(|id| format!("\"External id\": {id}, ")).unwrap_or_default();
        args += &format!("\"device\": {device}, \"context\": 1, \"stream\": {stream}, ");
        args += &format!("\"correlation\": {}", event.tie.correlation);
        let category = match event.activity {
            Activity::Kernel => "kernel",
            Activity::Copy { bytes } => {
                args += &bandwidth(bytes, ns);
                "gpu_memcpy"
            }
            Activity::Fill { bytes } => {
                args += &bandwidth(bytes, ns);
                "gpu_memset"
            }
            Activity::AllReduce { elements } => {
                args += &self.collective(elements);
                "kernel"
            }
        };
        let lane = (device, i64::from(stream));
        self.complete(category, event.name, lane, (event.start, event.end), &args)?;
        self.flow("f", event.tie.correlation, lane, event.start)
    }

    fn collective(&self, elements: u64) -> String {
        let world = self.facts.world_size;
        let ranks: Vec<String> = (0..world).map(|r| r.to_string()).collect();
        format!(
            ", \"Collective name\": \"allreduce\", \"In msg nelems\": {elements}, \"Out msg nelems\": \
             {elements}, \"Group size\": {world}, \"dtype\": \"Float\", \"In split size\": \"[]\", \"Out split \
             size\": \"[]\", \"Process Group Name\": \"0\", \"Process Group Description\": \"default_pg\", \
             \"Process Group Ranks\": \"[{}]\"",
            ranks.join(", ")
        )
    }

    /// The recording itself: its span, its beginning and its end.
    fn window(&mut self) -> io::Result<()> {
        let length = us(self.recording.end - self.recording.start);
        self.event(&format!(
            "\"ph\": \"X\", \"cat\": \"Trace\", \"ts\": 0.000, \"dur\": {length},\n    \"pid\": \"Spans\", \"tid\": \
             \"proftap\",\n    \"name\": \"proftap (0)\",\n    \"args\": {{\n      \"Op count\": 0\n    }}"
        ))?;
        self.event(
            "\"name\": \"Iteration Start: proftap\", \"ph\": \"i\", \"s\": \"g\",\n    \"pid\": \"Traces\", \"tid\": \
             \"Trace proftap\", \"ts\": 0.000",
        )?;
        self.event(&format!(
            "\"name\": \"Record Window End\", \"ph\": \"i\", \"s\": \"g\",\n    \"pid\": \"\", \"tid\": \"\", \"ts\": {length}"
        ))
    }

    fn complete(
        &mut self,
        category: &str,
        name: &str,
        (pid, tid): (i32, i64),
        (start, end): (i64, i64),
        args: &str,
    ) -> io::Result<()> {
        let (ts, dur) = (us(start - self.recording.start), us(end - start));
        self.event(&format!(
            "\"ph\": \"X\", \"cat\": \"{category}\", \"name\": {}, \"pid\": {pid}, \"tid\": {tid},\n    \"ts\": {ts}, \
             \"dur\": {dur},\n    \"args\": {{\n      {args}\n    }}",
            quote(name)
        ))
    }

    fn flow(&mut self, ph: &str, id: u64, (pid, tid): (i32, i64), at: i64) -> io::Result<()> {
        let bind = if ph == "f" { ", \"bp\": \"e\"" } else { "" };
        let ts = us(at - self.recording.start);
        self.event(&format!(
            "\"ph\": \"{ph}\", \"id\": {id}, \"pid\": {pid}, \"tid\": {tid}, \"ts\": {ts},\n    \"cat\": \"ac2g\", \
             \"name\": \"ac2g\"{bind}"
        ))
    }

    fn event(&mut self, body: &str) -> io::Result<()> {
        self.events += 1;
        self.separate()?;
        write!(self.out, "  {{\n    {body}\n  }}")
    }

    fn separate(&mut self) -> io::Result<()> {
        self.out.write_all(if std::mem::take(&mut self.first) { b"\n" } else { b",\n" })
    }
}

fn bandwidth(bytes: u64, ns: i64) -> String {
    format!(", \"bytes\": {bytes}, \"memory bandwidth (GB/s)\": {:.6}", bytes as f64 / ns as f64)
}

/// Nanoseconds as µs with three decimals. Nothing in a recording lies before its start.
fn us(ns: i64) -> String {
    let ns = ns.max(0);
    format!("{}.{:03}", ns / 1000, ns % 1000)
}

pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn nanoseconds_survive() {
        assert_eq!(us(1_234_567), "1234.567");
        assert_eq!(us(5), "0.005");
        assert_eq!(us(-5), "0.000");
    }

    #[test]
    fn an_empty_recording_is_valid_json_with_any_text_in_it() {
        let facts = Facts { pid: 42, device: 0, rank: 1, world_size: 2, host: "a\"b\\\n".to_owned() };
        let mut bytes = Vec::new();
        let recording = Recording { start: 10, end: 1010, thread: 43, ..Recording::default() };
        let clock = Clock::start();
        let n = write(&mut bytes, &recording, &facts, &clock, Some("7\"7"), "/tmp/\u{1}.json").unwrap();
        let trace: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(trace["trace_id"], "7\"7");
        assert_eq!(trace["distributedInfo"]["rank"], 1);
        assert_eq!(trace["baseTimeNanoseconds"], clock.wall(10));
        assert_eq!(n, 3);
        assert_eq!(trace["traceEvents"].as_array().unwrap().last().unwrap()["ts"], 1.0);
    }
}
