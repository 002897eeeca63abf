//! The metric files of profd: one `profd.metric` record in each line, or a table with the same fields as columns. A
//! metric is a sum over an interval; it becomes a value of a counter at the end of that.

use std::borrow::Cow;

use common::record::profd::Metric;
use serde::Deserialize;

use super::emit::{Emitter, plain};
use super::error::{ReadError, ReadStop};
use super::lines::each_line;
use super::table_rows::TableRows;
use super::window::InputWindow;
use super::{ReadOptions, ReadOutcome};
use crate::model::{Defect, Dialect, Event, EventId, EventSink};

/// Columns that a table of metrics must have.
pub(super) const COLUMNS: &[&str] = &["kind", "device_id", "dur_ns", "timestamp_ns"];

/// Recognizes the format by its first line.
pub(super) fn recognize(head: &[u8]) -> bool {
    let start = head.trim_ascii_start();
    start.starts_with(b"{\"type\":\"profd.metric\"") || start.starts_with(b"{\"type\": \"profd.metric\"")
}

/// A line of a metric file: other records may stand between.
#[derive(Deserialize)]
struct MetricLine<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

/// Reads a file of records.
pub(super) fn read(
    mut window: InputWindow,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    out.meta.dialect = Dialect::Ascend;
    let mut reader = MetricReader { emit: Emitter::new(sink, options, out), named: Vec::new() };
    let result = each_line(&mut window, |line| {
        let record = serde_json::from_slice::<MetricLine<'_>>(line.text);
        if record.as_ref().is_ok_and(|record| record.kind != "profd.metric") {
            return Ok(());
        }
        match serde_json::from_slice::<Metric>(line.text) {
            Ok(metric) => reader.send(&metric),
            Err(_) => reader.emit.count_line(Defect::UnreadableEvent, line.number, line.offset),
        }
    });
    out.bytes = window.passed().bytes;
    result?;
    if let Some(fault) = window.fault.take() {
        return Err(ReadError::new(window.passed().position_behind(b""), fault).into());
    }
    out.complete = true;
    Ok(())
}

/// Reads a table.
pub(super) fn read_table(rows: &mut TableRows, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
    let [kind, device, dur, at] = [COLUMNS[0], COLUMNS[1], COLUMNS[2], COLUMNS[3]].map(|c| rows.column(c));
    let optional = ["domain", "name", "host_pid", "pid", "job_id"].map(|c| rows.column(c));
    let [domain, name, host_pid, pid, job] = optional;
    let mut reader = MetricReader { emit: emit.again(), named: Vec::new() };
    while rows.advance()? {
        let text = |column| Some(String::from_utf8_lossy(rows.cell(column)).into_owned());
        let (Some(device_id), Some(dur_ns), Some(timestamp_ns)) =
            (rows.integer(device), rows.integer(dur), rows.integer(at))
        else {
            reader.emit.count_line(Defect::UnreadableEvent, rows.place().line, rows.place().offset)?;
            continue;
        };
        reader.send(&Metric {
            received: String::new(),
            kind: text(kind).unwrap_or_default(),
            device_id,
            dur_ns: dur_ns.max(0) as u64,
            timestamp_ns: timestamp_ns.max(0) as u64,
            domain: text(domain).filter(|text| !text.is_empty()),
            name: text(name).filter(|text| !text.is_empty()),
            host_pid: rows.integer(host_pid).and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0),
            uid: None,
            pid: rows.integer(pid).and_then(|pid| i32::try_from(pid).ok()),
            job_id: rows.integer(job),
            ..Metric::default()
        })?;
    }
    Ok(())
}

struct MetricReader<'s> {
    emit: Emitter<'s>,
    /// Processes that have been named.
    named: Vec<i32>,
}

impl MetricReader<'_> {
    fn send(&mut self, metric: &Metric) -> Result<(), ReadStop> {
        self.name_process(metric)?;
        let device =
            if metric.device_id < 0 { "host".to_owned() } else { format!("NPU {}", metric.device_id) };
        let mut name = format!("{} {device}", metric.kind);
        for part in [&metric.domain, &metric.name].into_iter().flatten() {
            name.push(' ');
            name.push_str(part);
        }
        self.emit.args.integer("dur_ns", metric.dur_ns);
        self.emit.send(Event {
            phase: b'C',
            name: plain(name.as_bytes()),
            pid: EventId::Number(i64::from(metric.host_pid)),
            tid: EventId::Number(0),
            start: i64::try_from(metric.timestamp_ns).ok(),
            device: Some(metric.device_id).filter(|device| *device >= 0),
            ..Event::default()
        })
    }

    fn name_process(&mut self, metric: &Metric) -> Result<(), ReadStop> {
        const MOST: usize = 65_536;
        if self.named.len() >= MOST || self.named.contains(&metric.host_pid) {
            return Ok(());
        }
        self.named.push(metric.host_pid);
        let job = metric.job_id.map_or(String::new(), |job| format!(" of job {job}"));
        let name = format!("process {}{job}", metric.pid.unwrap_or(metric.host_pid));
        self.emit.name_process(i64::from(metric.host_pid), name.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::read_bytes;

    #[test]
    fn metrics_become_values_of_counters() {
        let text = concat!(
            r#"{"type":"profd.metric","v":1,"received":"2026-03-01T12:00:00.25Z","kind":"Kernel","device_id":0,"dur_ns":81230450,"timestamp_ns":1772366400249000000,"host_pid":4242,"pid":7,"job_id":3}"#,
            "\n",
            r#"{"type":"profd.audit","v":1}"#,
            "\n",
            r#"{"type":"profd.metric","v":1,"received":"2026-03-01T12:00:00.25Z","kind":"Marker","device_id":-1,"dur_ns":5,"timestamp_ns":1772366400249000001,"domain":"d","name":"m","host_pid":4242}"#,
            "\n{\"type\":\"profd.metric\",\"v\":1,\"recei",
        );
        let expected = [
            r#"M other 4242/- process_name -+- {"name":"process 7 of job 3"}"#,
            r#"C counter 4242/0 Kernel NPU 0 1772366400249000000+- {"dur_ns":81230450}"#,
            r#"C counter 4242/0 Marker host d m 1772366400249000001+- {"dur_ns":5}"#,
        ];
        let (lines, outcome) = read_bytes(text.as_bytes());
        assert_eq!(lines, expected);
        assert!(outcome.complete && outcome.defects.losses()["unreadable_event"] == 1);
        let table = "received,kind,device_id,dur_ns,timestamp_ns,domain,name,host_pid,pid,job_id\r\n\
            x,Kernel,0,81230450,1772366400249000000,,,4242,7,3\r\n\
            x,Marker,-1,5,1772366400249000001,d,m,4242,,\r\n";
        let (lines, outcome) = read_bytes(table.as_bytes());
        assert_eq!(lines, expected);
        assert!(outcome.complete && outcome.bytes == table.len() as u64);
    }
}
