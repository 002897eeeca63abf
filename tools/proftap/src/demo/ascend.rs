//! A recording in the format of the Ascend PyTorch profiler (torch_npu 2.14.0, `torch_npu/profiler/analysis`):
//! `trace_view.json`, an array of events with absolute times as text, and `profiler_info`, which is written when the
//! recording has ended.

use std::collections::HashMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::clock::JobClock;
use super::device::{DeviceActivity, DeviceEvent, DeviceStream};
use super::kineto::TraceProcessInfo;
use super::recorder::{HostSpan, SpanKind, TrainingRecording};

/// The directory with the results of the analysis.
pub(crate) const ANALYSIS_DIR: &str = "ASCEND_PROFILER_OUTPUT";

/// Rows of the timeline other than the process itself: name, and layer number within the pid.
const CANN_ROW: (&str, u64) = ("CANN", 7);
const HARDWARE_ROW: (&str, u64) = ("Ascend Hardware", 14);
const COMMUNICATION_ROW: (&str, u64) = ("Communication", 16);
const OVERLAP_ROW: (&str, u64) = ("Overlap Analysis", 31);

/// The lanes of the overlap analysis, in the order of their thread ids.
const OVERLAP_LANES: [&str; 4] = ["Computing", "Communication", "Communication(Not Overlapped)", "Free"];

/// Writes `trace_view.json`. Returns the number of events without metadata.
pub(crate) fn write_trace_view(
    out: impl Write,
    recording: &TrainingRecording,
    process: &TraceProcessInfo,
    clock: &JobClock,
) -> io::Result<u64> {
    let operators = recording
        .spans
        .iter()
        .filter(|s| s.kind == SpanKind::Operator)
        .filter_map(|s| Some((s.external?, s)));
    let mut view = TraceViewWriter {
        out,
        recording,
        process,
        clock,
        operators: operators.collect(),
        events: 0,
        first: true,
    };
    view.write_names()?;
    recording.spans.iter().try_for_each(|span| view.write_host_span(span))?;
    recording.device.iter().try_for_each(|event| view.write_device_event(event))?;
    view.write_overlap_lanes()?;
    view.out.write_all(b"]")?;
    Ok(view.events)
}

/// Returns the content of `profiler_info`.
pub(crate) fn profiler_info_json(
    recording: &TrainingRecording,
    process: &TraceProcessInfo,
    clock: &JobClock,
) -> String {
    json!({
        "config": {
            "common_config": {
                "activities": ["ProfilerActivity.CPU", "ProfilerActivity.NPU"],
                "schedule": null,
                "record_shapes": false,
                "profile_memory": false,
                "with_stack": false,
            },
            "experimental_config": {"_profiler_level": "Level0", "_export_type": ["text"]},
        },
        "end_info": {"collectionTimeEnd": clock.epoch_ns_at(recording.end), "MonotonicTimeEnd": recording.end},
        "rank_id": process.rank.to_string(),
    })
    .to_string()
}

struct TraceViewWriter<'a, W> {
    out: W,
    recording: &'a TrainingRecording,
    process: &'a TraceProcessInfo,
    clock: &'a JobClock,
    operators: HashMap<u64, &'a HostSpan>,
    events: u64,
    first: bool,
}

impl<W: Write> TraceViewWriter<'_, W> {
    fn write_names(&mut self) -> io::Result<()> {
        let (pid, thread) = (self.process_id(), self.recording.thread);
        let npu = format!("NPU {}", self.process.device);
        self.write_row_names(pid, "Python", "CPU")?;
        self.write_lane_names(pid, thread.into(), &format!("Thread {thread}"))?;
        self.write_row_names(self.row_pid(CANN_ROW), CANN_ROW.0, "CPU")?;
        self.write_lane_names(self.row_pid(CANN_ROW), thread.into(), &format!("Thread {thread}"))?;
        for layer in [HARDWARE_ROW, COMMUNICATION_ROW, OVERLAP_ROW] {
            self.write_row_names(self.row_pid(layer), layer.0, &npu)?;
        }
        for stream in DeviceStream::ALL {
            self.write_lane_names(
                self.row_pid(HARDWARE_ROW),
                stream.id().into(),
                &format!("Stream {}", stream.id()),
            )?;
        }
        self.write_lane_names(self.row_pid(COMMUNICATION_ROW), 0, "Group 0 Communication")?;
        (0..)
            .zip(OVERLAP_LANES)
            .try_for_each(|(tid, name)| self.write_lane_names(self.row_pid(OVERLAP_ROW), tid, name))
    }

    fn write_row_names(&mut self, pid: u64, name: &str, label: &str) -> io::Result<()> {
        let meta =
            |what: &str, args: Value| json!({"name": what, "ph": "M", "pid": pid, "tid": 0, "args": args});
        self.write_json(&meta("process_name", json!({"name": name})))?;
        self.write_json(&meta("process_labels", json!({"labels": label})))
    }

    fn write_lane_names(&mut self, pid: u64, tid: i64, name: &str) -> io::Result<()> {
        self.write_json(
            &json!({"name": "thread_name", "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}),
        )?;
        let args = json!({"sort_index": tid});
        self.write_json(
            &json!({"name": "thread_sort_index", "ph": "M", "pid": pid, "tid": tid, "args": args}),
        )
    }

    /// Writes a span: steps, annotations and operators in the row of the process, runtime calls in that of CANN.
    fn write_host_span(&mut self, span: &HostSpan) -> io::Result<()> {
        let tid = self.recording.thread;
        let (ts, dur) = (self.format_absolute_us(span.start), duration_us(span.start, span.end));
        let SpanKind::Runtime(call) = span.kind else {
            return self.write_event(
                &json!({"ph": "X", "name": span.name, "pid": self.process_id(), "tid": tid, "ts": ts,
                "dur": dur, "cat": "cpu_op", "args": {"Sequence number": -1, "Fwd thread id": 0}}),
            );
        };
        let (name, level) = call.cann_name_and_level();
        let pid = self.row_pid(CANN_ROW);
        let id = span.correlation;
        let mut args = json!({"Thread Id": tid, "Mode": "launch", "level": level, "id": "0", "item_id": "0"});
        if let Some(id) = id {
            args["connection_id"] = id.into();
        }
        self.write_event(
            &json!({"name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur, "args": args, "ph": "X"}),
        )?;
        match id {
            Some(id) => self
                .write_event(&json!({"name": format!("HostToDevice{id}"), "ph": "s", "cat": "HostToDevice",
                "id": id.to_string(), "pid": pid, "tid": tid, "ts": ts})),
            None => Ok(()),
        }
    }

    fn write_device_event(&mut self, event: &DeviceEvent) -> io::Result<()> {
        let id = event.ids.correlation;
        let (ts, dur) = (self.format_absolute_us(event.start), duration_us(event.start, event.end));
        let stream = event.stream.id();
        let (pid, tid, name, args) = match event.activity {
            DeviceActivity::AllReduce { elements } => (
                self.row_pid(COMMUNICATION_ROW),
                0,
                format!("hcom_allReduce__000_{id}_1"),
                json!({"connection_id": id, "model id": u32::MAX, "data_type": "FP32", "alg_type": "RING",
                    "count": elements, "relay": "no", "retry": "no"}),
            ),
            DeviceActivity::Kernel => {
                (self.row_pid(HARDWARE_ROW), stream, event.name.to_owned(), task_args("KERNEL_AICORE", id))
            }
            DeviceActivity::Copy { bytes } | DeviceActivity::Fill { bytes } => {
                let mut args = task_args("MEMCPY_ASYNC", id);
                args["size(B)"] = bytes.into();
                (self.row_pid(HARDWARE_ROW), stream, "MEMCPY_ASYNC".to_owned(), args)
            }
        };
        self.write_event(
            &json!({"name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur, "args": args, "ph": "X"}),
        )?;
        self.write_event(
            &json!({"name": format!("HostToDevice{id}"), "ph": "f", "id": id.to_string(), "ts": ts,
            "cat": "HostToDevice", "pid": pid, "tid": tid, "bp": "e"}),
        )?;
        let Some(operator) = event.ids.external.and_then(|id| self.operators.get(&id)) else { return Ok(()) };
        // The id of this flow is the start time on the device, in nanoseconds.
        let flow = self.clock.epoch_ns_at(event.start);
        let start = self.format_absolute_us(operator.start);
        let (host, thread) = (self.process_id(), self.recording.thread);
        self.write_event(
            &json!({"ph": "s", "bp": "e", "name": "torch_to_npu", "id": flow, "pid": host, "tid": thread,
            "ts": start, "cat": "async_npu"}),
        )?;
        self.write_event(
            &json!({"ph": "f", "bp": "e", "name": "torch_to_npu", "id": flow, "pid": pid, "tid": tid,
            "ts": ts, "cat": "async_npu"}),
        )
    }

    /// Writes the four lanes of the overlap analysis.
    fn write_overlap_lanes(&mut self) -> io::Result<()> {
        let of = |wanted: fn(&DeviceActivity) -> bool| {
            let chosen = self.recording.device.iter().filter(|e| wanted(&e.activity));
            union_intervals(chosen.map(|e| (e.start, e.end)).collect())
        };
        let compute = of(|a| matches!(a, DeviceActivity::Kernel));
        let communication = of(|a| matches!(a, DeviceActivity::AllReduce { .. }));
        let all = of(|_| true);
        let span: Vec<_> = all.first().zip(all.last()).map(|(f, l)| (f.0, l.1)).into_iter().collect();
        let busy = union_intervals([compute.clone(), communication.clone()].concat());
        let free = subtract_intervals(&span, &busy);
        let exposed = subtract_intervals(&communication, &compute);
        let pid = self.row_pid(OVERLAP_ROW);
        for (tid, intervals) in [compute, communication, exposed, free].into_iter().enumerate() {
            for (start, end) in intervals {
                let (ts, dur) = (self.format_absolute_us(start), duration_us(start, end));
                self.write_event(
                    &json!({"name": OVERLAP_LANES[tid], "pid": pid, "tid": tid, "ts": ts, "dur": dur, "ph": "X"}),
                )?;
            }
        }
        Ok(())
    }

    fn process_id(&self) -> u64 {
        u64::from(self.process.pid.unsigned_abs())
    }

    /// Returns the pid of a row: the device in the low 5 bits, the layer number in the next 5.
    fn row_pid(&self, (_, number): (&str, u64)) -> u64 {
        self.process_id() << 10 | number << 5 | u64::from(self.process.device.unsigned_abs() & 31)
    }

    /// Formats a time as µs since the epoch with three decimals. It is text in the trace, because a double cannot
    /// represent it exactly.
    fn format_absolute_us(&self, ns: i64) -> String {
        let ns = self.clock.epoch_ns_at(ns);
        format!("{}.{:03}", ns / 1000, ns % 1000)
    }

    fn write_event(&mut self, event: &Value) -> io::Result<()> {
        self.events += 1;
        self.write_json(event)
    }

    fn write_json(&mut self, event: &Value) -> io::Result<()> {
        self.out.write_all(if std::mem::take(&mut self.first) { b"[" } else { b", " })?;
        serde_json::to_writer(&mut self.out, event).map_err(io::Error::from)
    }
}

fn task_args(kind: &str, id: u64) -> Value {
    json!({"Model Id": u32::MAX, "Task Type": kind, "Task Id": id, "Batch Id": 0, "Subtask Id": u32::MAX,
        "connection_id": id})
}

/// Returns a duration in µs. A double represents it to the nanosecond.
fn duration_us(start: i64, end: i64) -> f64 {
    (end - start) as f64 / 1000.0
}

/// Returns the union of intervals, sorted; adjacent ones are merged.
fn union_intervals(mut intervals: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    intervals.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for (start, end) in intervals {
        match joined.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined.retain(|(start, end)| start < end);
    joined
}

/// Returns the parts of `from` that no interval of `minus` covers. Both must be unions.
fn subtract_intervals(from: &[(i64, i64)], minus: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut left = Vec::new();
    for &(start, end) in from {
        let mut at = start;
        let first = minus.partition_point(|(_, e)| *e <= start);
        for &(s, e) in minus[first..].iter().take_while(|(s, _)| *s < end) {
            left.push((at, s.max(at)));
            at = at.max(e);
        }
        left.push((at, end.max(at)));
    }
    left.retain(|(start, end)| start < end);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with operations on sets of points.
    #[test]
    fn interval_algebra_agrees_with_sets() {
        let mut random = super::super::math::RandomNumbers::new(3);
        let points = |all: &[(i64, i64)]| -> Vec<i64> {
            (0..40).filter(|p| all.iter().any(|(s, e)| (s..e).contains(&p))).collect()
        };
        for _ in 0..300 {
            let mut some = || -> Vec<(i64, i64)> {
                let mut one = || i64::try_from(random.next_below(30)).unwrap();
                (0..5).map(|_| (one(), one())).map(|(s, d)| (s, s + d % 10)).collect()
            };
            let (a, b) = (some(), some());
            let (ua, ub) = (union_intervals(a.clone()), union_intervals(b.clone()));
            assert_eq!(points(&ua), points(&a));
            let in_b = points(&b);
            let expected: Vec<i64> = points(&a).into_iter().filter(|p| !in_b.contains(p)).collect();
            assert_eq!(points(&subtract_intervals(&ua, &ub)), expected);
            assert!(ua.windows(2).all(|w| w[0].1 < w[1].0));
        }
    }

    #[test]
    fn an_empty_recording_is_a_valid_array() {
        let process = TraceProcessInfo { pid: 42, device: 3, rank: 0, world_size: 1, host: "h".to_owned() };
        let (mut bytes, clock) = (Vec::new(), JobClock::start());
        let events = write_trace_view(&mut bytes, &TrainingRecording::default(), &process, &clock).unwrap();
        let view: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(events, 0);
        assert!(view.as_array().unwrap().iter().all(|e| e["ph"] == "M"));
        let overlap =
            view.as_array().unwrap().iter().find(|e| e["args"]["name"] == "Overlap Analysis").unwrap();
        assert_eq!(overlap["pid"], 42 << 10 | 31 << 5 | 3);
    }
}
