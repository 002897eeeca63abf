//! A recording in the form that the Ascend PyTorch profiler leaves: `trace_view.json`, a bare array of events
//! with absolute times as text, and `profiler_info`, which says that the recording is over.

use std::collections::HashMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::clock::Clock;
use super::device::{Activity, DeviceEvent, Stream};
use super::kineto::Facts;
use super::recorder::{Kind, Recording, Span};

/// Where the analysed results are.
pub(crate) const OUTPUT: &str = "ASCEND_PROFILER_OUTPUT";

/// Rows of the timeline besides the process itself: name, and number within a process id.
const CANN: (&str, u64) = ("CANN", 7);
const HARDWARE: (&str, u64) = ("Ascend Hardware", 14);
const COMMUNICATION: (&str, u64) = ("Communication", 16);
const OVERLAP: (&str, u64) = ("Overlap Analysis", 31);

/// Lanes of the overlap analysis, in the order of their thread ids.
const LANES: [&str; 4] = ["Computing", "Communication", "Communication(Not Overlapped)", "Free"];

/// Writes `trace_view.json` and returns the number of its events, metadata aside.
pub(crate) fn write_view(
    out: impl Write,
    recording: &Recording,
    facts: &Facts,
    clock: &Clock,
) -> io::Result<u64> {
    let operators =
        recording.spans.iter().filter(|s| s.kind == Kind::Operator).filter_map(|s| Some((s.external?, s)));
    let mut view =
        View { out, recording, facts, clock, operators: operators.collect(), events: 0, first: true };
    view.names()?;
    recording.spans.iter().try_for_each(|span| view.span(span))?;
    recording.device.iter().try_for_each(|event| view.device(event))?;
    view.overlap()?;
    view.out.write_all(b"]")?;
    Ok(view.events)
}

/// The text of `profiler_info`.
pub(crate) fn info(recording: &Recording, facts: &Facts, clock: &Clock) -> String {
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
        "end_info": {"collectionTimeEnd": clock.wall(recording.end), "MonotonicTimeEnd": recording.end},
        "rank_id": facts.rank.to_string(),
    })
    .to_string()
}

struct View<'a, W> {
    out: W,
    recording: &'a Recording,
    facts: &'a Facts,
    clock: &'a Clock,
    operators: HashMap<u64, &'a Span>,
    events: u64,
    first: bool,
}

impl<W: Write> View<'_, W> {
    fn names(&mut self) -> io::Result<()> {
        let (pid, thread) = (self.pid(), self.recording.thread);
        let npu = format!("NPU {}", self.facts.device);
        self.row(pid, "Python", "CPU")?;
        self.lane(pid, thread.into(), &format!("Thread {thread}"))?;
        self.row(self.layer(CANN), CANN.0, "CPU")?;
        self.lane(self.layer(CANN), thread.into(), &format!("Thread {thread}"))?;
        for layer in [HARDWARE, COMMUNICATION, OVERLAP] {
            self.row(self.layer(layer), layer.0, &npu)?;
        }
        for stream in Stream::ALL {
            self.lane(self.layer(HARDWARE), stream.id().into(), &format!("Stream {}", stream.id()))?;
        }
        self.lane(self.layer(COMMUNICATION), 0, "Group 0 Communication")?;
        (0..).zip(LANES).try_for_each(|(tid, name)| self.lane(self.layer(OVERLAP), tid, name))
    }

    fn row(&mut self, pid: u64, name: &str, label: &str) -> io::Result<()> {
        let meta =
            |what: &str, args: Value| json!({"name": what, "ph": "M", "pid": pid, "tid": 0, "args": args});
        self.put(&meta("process_name", json!({"name": name})))?;
        self.put(&meta("process_labels", json!({"labels": label})))
    }

    fn lane(&mut self, pid: u64, tid: i64, name: &str) -> io::Result<()> {
        self.put(&json!({"name": "thread_name", "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}))?;
        let args = json!({"sort_index": tid});
        self.put(&json!({"name": "thread_sort_index", "ph": "M", "pid": pid, "tid": tid, "args": args}))
    }

    /// Steps, annotations and operators in the process's row, runtime calls in CANN's.
    fn span(&mut self, span: &Span) -> io::Result<()> {
        let tid = self.recording.thread;
        let (ts, dur) = (self.us(span.start), duration(span.start, span.end));
        if span.kind != Kind::Runtime {
            return self
                .event(&json!({"ph": "X", "name": span.name, "pid": self.pid(), "tid": tid, "ts": ts,
                "dur": dur, "cat": "cpu_op", "args": {"Sequence number": -1, "Fwd thread id": 0}}));
        }
        let (name, level) = api(&span.name);
        let pid = self.layer(CANN);
        let id = span.correlation;
        let mut args = json!({"Thread Id": tid, "Mode": "launch", "level": level, "id": "0", "item_id": "0"});
        if let Some(id) = id {
            args["connection_id"] = id.into();
        }
        self.event(
            &json!({"name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur, "args": args, "ph": "X"}),
        )?;
        match id {
            Some(id) => self
                .event(&json!({"name": format!("HostToDevice{id}"), "ph": "s", "cat": "HostToDevice",
                "id": id.to_string(), "pid": pid, "tid": tid, "ts": ts})),
            None => Ok(()),
        }
    }

    fn device(&mut self, event: &DeviceEvent) -> io::Result<()> {
        let id = event.tie.correlation;
        let (ts, dur) = (self.us(event.start), duration(event.start, event.end));
        let stream = event.stream.id();
        let (pid, tid, name, args) = match event.activity {
            Activity::AllReduce { elements } => (
                self.layer(COMMUNICATION),
                0,
                format!("hcom_allReduce__000_{id}_1"),
                json!({"connection_id": id, "model id": u32::MAX, "data_type": "FP32", "alg_type": "RING",
                    "count": elements, "relay": "no", "retry": "no"}),
            ),
            Activity::Kernel => {
                (self.layer(HARDWARE), stream, event.name.to_owned(), task("KERNEL_AICORE", id))
            }
            Activity::Copy { bytes } | Activity::Fill { bytes } => {
                let mut args = task("MEMCPY_ASYNC", id);
                args["size(B)"] = bytes.into();
                (self.layer(HARDWARE), stream, "MEMCPY_ASYNC".to_owned(), args)
            }
        };
        self.event(
            &json!({"name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur, "args": args, "ph": "X"}),
        )?;
        self.event(&json!({"name": format!("HostToDevice{id}"), "ph": "f", "id": id.to_string(), "ts": ts,
            "cat": "HostToDevice", "pid": pid, "tid": tid, "bp": "e"}))?;
        let Some(operator) = event.tie.external.and_then(|id| self.operators.get(&id)) else { return Ok(()) };
        // The id of this flow is the device's start time.
        let flow = self.clock.wall(event.start);
        let start = self.us(operator.start);
        let (host, thread) = (self.pid(), self.recording.thread);
        self.event(
            &json!({"ph": "s", "bp": "e", "name": "torch_to_npu", "id": flow, "pid": host, "tid": thread,
            "ts": start, "cat": "async_npu"}),
        )?;
        self.event(&json!({"ph": "f", "bp": "e", "name": "torch_to_npu", "id": flow, "pid": pid, "tid": tid,
            "ts": ts, "cat": "async_npu"}))
    }

    /// The four lanes of the overlap analysis.
    fn overlap(&mut self) -> io::Result<()> {
        let of = |wanted: fn(&Activity) -> bool| {
            let chosen = self.recording.device.iter().filter(|e| wanted(&e.activity));
            union(chosen.map(|e| (e.start, e.end)).collect())
        };
        let compute = of(|a| matches!(a, Activity::Kernel));
        let communication = of(|a| matches!(a, Activity::AllReduce { .. }));
        let all = of(|_| true);
        let whole: Vec<_> = all.first().zip(all.last()).map(|(f, l)| (f.0, l.1)).into_iter().collect();
        let busy = union([compute.clone(), communication.clone()].concat());
        let free = subtract(&whole, &busy);
        let exposed = subtract(&communication, &compute);
        let pid = self.layer(OVERLAP);
        for (tid, intervals) in [compute, communication, exposed, free].into_iter().enumerate() {
            for (start, end) in intervals {
                let (ts, dur) = (self.us(start), duration(start, end));
                self.event(
                    &json!({"name": LANES[tid], "pid": pid, "tid": tid, "ts": ts, "dur": dur, "ph": "X"}),
                )?;
            }
        }
        Ok(())
    }

    fn pid(&self) -> u64 {
        u64::from(self.facts.pid.unsigned_abs())
    }

    /// The process id of a row: the device in the low 5 bits, the row's number in the next 5.
    fn layer(&self, (_, number): (&str, u64)) -> u64 {
        self.pid() << 10 | number << 5 | u64::from(self.facts.device.unsigned_abs() & 31)
    }

    /// µs since the epoch with three decimals, as text: a float could not hold them.
    fn us(&self, ns: i64) -> String {
        let ns = self.clock.wall(ns);
        format!("{}.{:03}", ns / 1000, ns % 1000)
    }

    fn event(&mut self, event: &Value) -> io::Result<()> {
        self.events += 1;
        self.put(event)
    }

    fn put(&mut self, event: &Value) -> io::Result<()> {
        self.out.write_all(if std::mem::take(&mut self.first) { b"[" } else { b", " })?;
        serde_json::to_writer(&mut self.out, event).map_err(io::Error::from)
    }
}

/// The runtime call as CANN names it, and its level.
fn api(name: &str) -> (&'static str, &'static str) {
    match name {
        "cudaLaunchKernel" => ("Node@launch", "node"),
        "cudaLaunchKernelExC" => ("Hccl@launch", "hccl"),
        "cudaMemcpyAsync" => ("AscendCL@aclrtMemcpyAsync", "acl"),
        "cudaMemsetAsync" => ("AscendCL@aclrtMemsetAsync", "acl"),
        "cudaEventRecord" => ("AscendCL@aclrtRecordEvent", "acl"),
        "cudaStreamWaitEvent" => ("AscendCL@aclrtStreamWaitEvent", "acl"),
        _ => ("AscendCL@aclrtSynchronizeStream", "acl"),
    }
}

fn task(kind: &str, id: u64) -> Value {
    json!({"Model Id": u32::MAX, "Task Type": kind, "Task Id": id, "Batch Id": 0, "Subtask Id": u32::MAX,
        "connection_id": id})
}

/// µs; below three minutes a float holds the nanoseconds exactly enough to print them.
fn duration(start: i64, end: i64) -> f64 {
    (end - start) as f64 / 1000.0
}

/// The union of intervals, sorted; touching ones join.
fn union(mut intervals: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
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

/// What of `from` no interval of `minus` covers; both are unions.
fn subtract(from: &[(i64, i64)], minus: &[(i64, i64)]) -> Vec<(i64, i64)> {
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

    /// Against a set of points.
    #[test]
    fn interval_algebra_agrees_with_sets() {
        let mut random = super::super::math::Random::new(3);
        let points = |all: &[(i64, i64)]| -> Vec<i64> {
            (0..40).filter(|p| all.iter().any(|(s, e)| (s..e).contains(&p))).collect()
        };
        for _ in 0..300 {
            let mut some = || -> Vec<(i64, i64)> {
                let mut one = || i64::try_from(random.below(30)).unwrap();
                (0..5).map(|_| (one(), one())).map(|(s, d)| (s, s + d % 10)).collect()
            };
            let (a, b) = (some(), some());
            let (ua, ub) = (union(a.clone()), union(b.clone()));
            assert_eq!(points(&ua), points(&a));
            let in_b = points(&b);
            let expected: Vec<i64> = points(&a).into_iter().filter(|p| !in_b.contains(p)).collect();
            assert_eq!(points(&subtract(&ua, &ub)), expected);
            assert!(ua.windows(2).all(|w| w[0].1 < w[1].0));
        }
    }

    #[test]
    fn an_empty_recording_is_a_valid_array() {
        let facts = Facts { pid: 42, device: 3, rank: 0, world_size: 1, host: "h".to_owned() };
        let (mut bytes, clock) = (Vec::new(), Clock::start());
        let events = write_view(&mut bytes, &Recording::default(), &facts, &clock).unwrap();
        let view: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(events, 0);
        assert!(view.as_array().unwrap().iter().all(|e| e["ph"] == "M"));
        let overlap =
            view.as_array().unwrap().iter().find(|e| e["args"]["name"] == "Overlap Analysis").unwrap();
        assert_eq!(overlap["pid"], 42 << 10 | 31 << 5 | 3);
    }
}
