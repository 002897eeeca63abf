//! The invariants of every trace of the demo.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

/// A parsed trace file.
pub(super) struct KinetoTrace(Value);

/// An event with a duration, in ns.
pub(super) struct TimedEvent<'a> {
    pub(super) event: &'a Value,
    pub(super) start: i64,
    pub(super) end: i64,
}

impl TimedEvent<'_> {
    fn name(&self) -> &str {
        self.event["name"].as_str().unwrap()
    }

    fn arg(&self, key: &str) -> Option<i64> {
        self.event["args"][key].as_i64()
    }

    fn lane(&self) -> (i64, i64) {
        (self.event["pid"].as_i64().unwrap(), self.event["tid"].as_i64().unwrap())
    }

    fn within(&self, outer: &Self) -> bool {
        outer.start <= self.start && self.end <= outer.end
    }
}

impl KinetoTrace {
    pub(super) fn read(path: &Path) -> Self {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o640);
        Self(serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
    }

    pub(super) fn top(&self, key: &str) -> &Value {
        &self.0[key]
    }

    fn events(&self) -> &[Value] {
        self.0["traceEvents"].as_array().unwrap()
    }

    pub(super) fn spans(&self, categories: &[&str]) -> Vec<TimedEvent<'_>> {
        let wanted = |e: &&Value| e["ph"] == "X" && categories.iter().any(|c| e["cat"] == *c);
        self.events().iter().filter(wanted).map(span).collect()
    }

    /// The steps by number.
    pub(super) fn steps(&self) -> Vec<u64> {
        let number = |s: &TimedEvent<'_>| s.name().strip_prefix("ProfilerStep#").map(|n| n.parse().unwrap());
        self.spans(&["user_annotation"]).iter().filter_map(number).collect()
    }

    /// Checks the invariants of every trace.
    pub(super) fn check(&self) {
        assert_eq!(self.0["schemaVersion"], 1);
        assert_eq!(self.0["displayTimeUnit"], "ms");
        assert!(self.0["baseTimeNanoseconds"].as_i64().unwrap() > 1_600_000_000_000_000_000);
        assert!(self.0["deviceProperties"][0]["name"].is_string());
        self.check_window();
        self.check_launches();
        self.check_flows();
        self.check_lanes();
        self.check_operators();
    }

    fn device(&self) -> Vec<TimedEvent<'_>> {
        self.spans(&["kernel", "gpu_memcpy", "gpu_memset"])
    }

    fn check_window(&self) {
        let all = self.spans(&["Trace"]);
        assert_eq!(all.len(), 1);
        let categories = ["user_annotation", "cpu_op", "cuda_runtime", "kernel", "gpu_memcpy", "gpu_memset"];
        for span in self.spans(&categories) {
            assert!(span.start <= span.end && span.within(&all[0]), "{}", span.event);
        }
    }

    /// Every piece of device work has one launch that began before it, of the same operator.
    fn check_launches(&self) {
        let runtime = self.spans(&["cuda_runtime"]);
        let launches: HashMap<i64, &TimedEvent<'_>> =
            runtime.iter().filter_map(|s| s.arg("correlation").map(|c| (c, s))).collect();
        let device = self.device();
        assert_eq!(device.len(), launches.len());
        for work in &device {
            let launch = launches[&work.arg("correlation").unwrap()];
            assert!(launch.start <= work.start, "{}", work.event);
            assert_eq!(work.arg("External id"), launch.arg("External id"));
            assert_eq!(work.arg("stream"), Some(work.lane().1));
            assert_eq!(work.arg("device"), Some(work.lane().0));
        }
    }

    /// Every flow has one start at its launch and one end at its work.
    fn check_flows(&self) {
        let ends = |ph: &str| -> HashMap<i64, (i64, i64, i64)> {
            let of = self.events().iter().filter(|e| e["ph"] == *ph);
            of.map(|e| {
                let n = |k: &str| e[k].as_i64().unwrap();
                (n("id"), (n("pid"), n("tid"), ns(&e["ts"])))
            })
            .collect()
        };
        let place = |s: &TimedEvent<'_>| (s.lane().0, s.lane().1, s.start);
        let (starts, finishes) = (ends("s"), ends("f"));
        let device = self.device();
        assert_eq!((starts.len(), finishes.len()), (device.len(), device.len()));
        for work in &device {
            assert_eq!(finishes[&work.arg("correlation").unwrap()], place(work));
        }
        for launch in self.spans(&["cuda_runtime"]) {
            if let Some(id) = launch.arg("correlation") {
                assert_eq!(starts[&id], place(&launch));
            }
        }
    }

    /// Work of one stream does not overlap, steps neither; operators nest.
    fn check_lanes(&self) {
        let mut device = self.device();
        device.sort_by_key(|s| (s.lane(), s.start, s.end));
        for pair in device.windows(2).filter(|p| p[0].lane() == p[1].lane()) {
            assert!(pair[0].end <= pair[1].start, "{} {}", pair[0].event, pair[1].event);
        }
        let mut steps = self.spans(&["user_annotation"]);
        steps.retain(|s| s.name().starts_with("ProfilerStep#"));
        assert!(steps.windows(2).all(|p| p[0].end <= p[1].start));
        let mut host = self.spans(&["user_annotation", "cpu_op", "cuda_runtime"]);
        host.sort_by_key(|s| (s.start, -s.end));
        let mut open: Vec<&TimedEvent<'_>> = Vec::new();
        for span in &host {
            while open.last().is_some_and(|o| o.end <= span.start && !span.within(o)) {
                open.pop();
            }
            assert!(open.last().is_none_or(|o| span.within(o)), "{}", span.event);
            open.push(span);
        }
    }

    /// A runtime call with an external id lies within the operator that has it.
    fn check_operators(&self) {
        let operators = self.spans(&["cpu_op"]);
        let by_id: HashMap<i64, &TimedEvent<'_>> =
            operators.iter().map(|s| (s.arg("External id").unwrap(), s)).collect();
        assert_eq!(by_id.len(), operators.len(), "ids are unique");
        for call in self.spans(&["cuda_runtime"]) {
            if let Some(id) = call.arg("External id") {
                assert!(call.within(by_id[&id]), "{}", call.event);
            }
        }
    }
}

fn span(event: &Value) -> TimedEvent<'_> {
    let start = ns(&event["ts"]);
    TimedEvent { event, start, end: start + ns(&event["dur"]) }
}

/// µs with three decimals as ns: small enough here to be exact in a float.
fn ns(value: &Value) -> i64 {
    (value.as_f64().unwrap() * 1000.0).round() as i64
}
