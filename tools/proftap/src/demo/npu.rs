//! What an Ascend process tells its daemon besides: the status of its two functions, and metrics while it is
//! monitored. Two functions share the profiling hardware there, so a request for one is refused while the
//! other runs; the demo keeps to that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::ipc::message::{Message, State, Status};
use common::record::proftap::Metric;

use super::clock::wall_ns;
use super::device::Meters;
use super::request::MonitorRequest;
use crate::fabric::Identity;
use crate::feed;

/// The two functions.
#[derive(Debug)]
pub(crate) struct Npu {
    trace: State,
    /// The steps of the trace that is ready or running, the second one not included.
    steps: (i32, i32),
    monitor: Option<Monitor>,
}

#[derive(Debug)]
struct Monitor {
    kinds: Vec<String>,
    interval: Duration,
    next: Instant,
    until: Option<Instant>,
}

impl Npu {
    pub(crate) fn new() -> Self {
        Self { trace: State::Idle, steps: (-1, -1), monitor: None }
    }

    pub(crate) fn is_monitoring(&self) -> bool {
        self.monitor.is_some()
    }

    /// Sets what the trace function does, and the steps that it is about.
    pub(crate) fn set_trace(&mut self, state: State, steps: Option<(u64, u64)>) {
        let narrow = |n| i32::try_from(n).unwrap_or(i32::MAX);
        self.trace = state;
        match (state, steps) {
            (State::Idle | State::Uninitialized, _) => self.steps = (-1, -1),
            (_, Some((first, stop))) => self.steps = (narrow(first), narrow(stop)),
            (_, None) => {}
        }
    }

    /// Both statuses.
    pub(crate) fn statuses(&self, who: &Identity, step: i64) -> [Message; 2] {
        let status = |state, (start_step, stop_step)| Status {
            state,
            current_step: i32::try_from(step).unwrap_or(i32::MAX),
            start_step,
            stop_step,
            pid: who.pid(),
            job_id: who.job,
        };
        let monitor = if self.is_monitoring() { State::Running } else { State::Idle };
        let (trace, monitor) = (status(self.trace, self.steps), status(monitor, (-1, -1)));
        [Message::TraceStatus(trace), Message::MonitorStatus(monitor)]
    }

    pub(crate) fn start_monitor(&mut self, request: MonitorRequest, meters: &Meters, now: Instant) {
        let MonitorRequest { interval, duration, kinds, .. } = request;
        self.monitor =
            Some(Monitor { kinds, interval, next: now + interval, until: duration.map(|d| now + d) });
        meters.switch(true);
    }

    pub(crate) fn stop_monitor(&mut self, meters: &Meters) {
        self.monitor = None;
        meters.switch(false);
    }

    /// When [`Self::metrics`] has something to do next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let monitor = self.monitor.as_ref()?;
        Some(monitor.until.map_or(monitor.next, |until| until.min(monitor.next)))
    }

    /// The metrics of the interval that has passed, and an end to monitoring whose time is over.
    pub(crate) fn metrics(&mut self, device: i32, meters: &Meters, now: Instant) -> Vec<Message> {
        let Some(monitor) = self.monitor.as_mut() else { return Vec::new() };
        let over = monitor.until.is_some_and(|until| now >= until);
        if now < monitor.next && !over {
            return Vec::new();
        }
        while monitor.next <= now {
            monitor.next += monitor.interval;
        }
        let kinds = std::mem::take(&mut monitor.kinds);
        let messages = kinds.iter().filter_map(|kind| metric(kind, device, meters)).collect();
        monitor.kinds = kinds;
        if over {
            self.stop_monitor(meters);
        }
        messages
    }
}

/// One metric. A kind that the demo has nothing of sends none, as with a kind without records.
fn metric(kind: &str, device: i32, meters: &Meters) -> Option<Message> {
    let (meter, device): (&AtomicU64, i64) = match kind {
        "Kernel" => (&meters.kernel, device.into()),
        "Communication" | "Hccl" => (&meters.communication, device.into()),
        "MemCpy" => (&meters.copy, device.into()),
        "MemSet" => (&meters.fill, device.into()),
        "API" | "RuntimeAPI" => (&meters.runtime, -1),
        _ => return None,
    };
    let duration_ns = meter.swap(0, Ordering::Relaxed);
    let timestamp_ns = wall_ns().unsigned_abs();
    let metric =
        Metric { kind: kind.to_owned(), device, duration_ns, timestamp_ns, domain: None, name: None };
    if duration_ns == 0 { None } else { feed::metric(metric).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kinds: &[&str], duration: Option<Duration>) -> MonitorRequest {
        let kinds = kinds.iter().map(|k| (*k).to_owned()).collect();
        MonitorRequest { interval: Duration::from_secs(10), duration, kinds, wants_files: false }
    }

    #[test]
    fn metrics_come_at_the_interval_and_stop_at_the_end() {
        let (meters, t0, s) = (Meters::default(), Instant::now(), Duration::from_secs);
        let mut npu = Npu::new();
        npu.start_monitor(request(&["Kernel", "API", "Marker"], Some(s(15))), &meters, t0);
        assert!(meters.on() && npu.is_monitoring());
        meters.kernel.store(5, Ordering::Relaxed);
        meters.runtime.store(7, Ordering::Relaxed);
        assert!(npu.metrics(3, &meters, t0 + s(9)).is_empty());
        let sent: Vec<String> = npu
            .metrics(3, &meters, t0 + s(10))
            .into_iter()
            .map(|m| if let Message::Data(d) = m { String::from_utf8(d).unwrap() } else { panic!() })
            .collect();
        assert!(sent[0].contains(r#""deviceId":3,"duration":5"#), "{sent:?}");
        assert!(sent[1].contains(r#""deviceId":-1,"duration":7"#), "{sent:?}");
        assert_eq!(sent.len(), 2);
        assert_eq!(npu.deadline(), Some(t0 + s(15)));
        assert!(npu.metrics(3, &meters, t0 + s(15)).is_empty());
        assert!(!meters.on() && !npu.is_monitoring());
    }

    #[test]
    fn statuses_follow_what_happens() {
        let who = Identity { job: 1, device: 0, pids: vec![9] };
        let mut npu = Npu::new();
        npu.set_trace(State::Ready, Some((10, 12)));
        let [Message::TraceStatus(t), Message::MonitorStatus(m)] = npu.statuses(&who, 7) else { panic!() };
        assert_eq!((t.state, t.current_step, t.start_step, t.stop_step), (State::Ready, 7, 10, 12));
        assert_eq!((m.state, m.pid, m.job_id), (State::Idle, 9, 1));
        npu.set_trace(State::Idle, None);
        let [Message::TraceStatus(t), _] = npu.statuses(&who, 8) else { panic!() };
        assert_eq!((t.state, t.start_step), (State::Idle, -1));
    }
}
