//! The additional messages of a process on an Ascend device: the status of nputrace and npu-monitor, and metrics while it
//! is monitored. The two functions share the profiling hardware, so a request for one is rejected while the other is
//! running; the demo does the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::ipc::message::{Message, State, Status};
use common::record::proftap::Metric;

use super::clock::epoch_ns_now;
use super::config_request::MonitorRequest;
use super::device::ActivityMeters;
use crate::fabric::ProcessIdentity;
use crate::input;
use crate::metric_kind::MetricKind;

/// The state of nputrace and npu-monitor.
#[derive(Debug)]
pub(crate) struct NpuFunctions {
    trace: State,
    /// The steps of the trace that is ready or running: from the first until before the second; -1 without a trace.
    steps: (i32, i32),
    monitor: Option<MonitorRun>,
}

/// A running npu-monitor.
#[derive(Debug)]
struct MonitorRun {
    kinds: Vec<MetricKind>,
    interval: Duration,
    next: Instant,
    until: Option<Instant>,
}

impl NpuFunctions {
    pub(crate) fn new() -> Self {
        Self { trace: State::Idle, steps: (-1, -1), monitor: None }
    }

    pub(crate) fn is_monitoring(&self) -> bool {
        self.monitor.is_some()
    }

    /// Sets the state of nputrace, and the steps of its trace.
    pub(crate) fn set_trace_state(&mut self, state: State, steps: Option<(u64, u64)>) {
        let narrow = |n| i32::try_from(n).unwrap_or(i32::MAX);
        self.trace = state;
        match (state, steps) {
            (State::Idle | State::Uninitialized, _) => self.steps = (-1, -1),
            (_, Some((first, stop))) => self.steps = (narrow(first), narrow(stop)),
            (_, None) => {}
        }
    }

    /// Returns the status messages of both functions.
    pub(crate) fn status_messages(&self, identity: &ProcessIdentity, step: i64) -> [Message; 2] {
        let status = |state, (start_step, stop_step)| Status {
            state,
            current_step: i32::try_from(step).unwrap_or(i32::MAX),
            start_step,
            stop_step,
            pid: identity.pid(),
            job_id: identity.job_id,
        };
        let monitor = if self.is_monitoring() { State::Running } else { State::Idle };
        let (trace, monitor) = (status(self.trace, self.steps), status(monitor, (-1, -1)));
        [Message::TraceStatus(trace), Message::MonitorStatus(monitor)]
    }

    pub(crate) fn start_monitor(&mut self, request: MonitorRequest, meters: &ActivityMeters, now: Instant) {
        let MonitorRequest { interval, duration, kinds, .. } = request;
        self.monitor =
            Some(MonitorRun { kinds, interval, next: now + interval, until: duration.map(|d| now + d) });
        meters.set_enabled(true);
    }

    pub(crate) fn stop_monitor(&mut self, meters: &ActivityMeters) {
        self.monitor = None;
        meters.set_enabled(false);
    }

    /// Returns when [`Self::take_due_metrics`] has to be called next.
    pub(crate) fn next_report_time(&self) -> Option<Instant> {
        let monitor = self.monitor.as_ref()?;
        Some(monitor.until.map_or(monitor.next, |until| until.min(monitor.next)))
    }

    /// Returns the metrics of the interval that has passed. Stops monitoring when its duration is over.
    pub(crate) fn take_due_metrics(
        &mut self,
        device: i32,
        meters: &ActivityMeters,
        now: Instant,
    ) -> Vec<Message> {
        let Some(monitor) = self.monitor.as_mut() else { return Vec::new() };
        let over = monitor.until.is_some_and(|until| now >= until);
        if now < monitor.next && !over {
            return Vec::new();
        }
        while monitor.next <= now {
            monitor.next += monitor.interval;
        }
        let kinds = std::mem::take(&mut monitor.kinds);
        let messages = kinds.iter().filter_map(|kind| build_metric(*kind, device, meters)).collect();
        monitor.kinds = kinds;
        if over {
            self.stop_monitor(meters);
        }
        messages
    }
}

/// Builds a metric. A kind without activities sends no metric, as in msMonitor (b942bf5).
fn build_metric(kind: MetricKind, device: i32, meters: &ActivityMeters) -> Option<Message> {
    let (meter, device): (&AtomicU64, i64) = match kind {
        MetricKind::Kernel => (&meters.kernel, device.into()),
        MetricKind::Communication | MetricKind::Hccl => (&meters.communication, device.into()),
        MetricKind::MemCpy => (&meters.copy, device.into()),
        MetricKind::MemSet => (&meters.fill, device.into()),
        MetricKind::Api | MetricKind::RuntimeApi => (&meters.runtime, -1),
        MetricKind::Marker | MetricKind::Memory | MetricKind::AclApi | MetricKind::NodeApi => return None,
    };
    let duration_ns = meter.swap(0, Ordering::Relaxed);
    let timestamp_ns = epoch_ns_now().unsigned_abs();
    let metric =
        Metric { kind: kind.name().to_owned(), device, duration_ns, timestamp_ns, domain: None, name: None };
    if duration_ns == 0 { None } else { input::encode_metric(metric).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kinds: &[MetricKind], duration: Option<Duration>) -> MonitorRequest {
        MonitorRequest {
            interval: Duration::from_secs(10),
            duration,
            kinds: kinds.to_vec(),
            wants_files: false,
        }
    }

    #[test]
    fn metrics_come_at_the_interval_and_stop_at_the_end() {
        let (meters, t0, s) = (ActivityMeters::default(), Instant::now(), Duration::from_secs);
        let mut npu = NpuFunctions::new();
        npu.start_monitor(
            request(&[MetricKind::Kernel, MetricKind::Api, MetricKind::Marker], Some(s(15))),
            &meters,
            t0,
        );
        assert!(meters.is_enabled() && npu.is_monitoring());
        meters.kernel.store(5, Ordering::Relaxed);
        meters.runtime.store(7, Ordering::Relaxed);
        assert!(npu.take_due_metrics(3, &meters, t0 + s(9)).is_empty());
        let sent: Vec<String> = npu
            .take_due_metrics(3, &meters, t0 + s(10))
            .into_iter()
            .map(|m| if let Message::Data(d) = m { String::from_utf8(d).unwrap() } else { panic!() })
            .collect();
        assert!(sent[0].contains(r#""deviceId":3,"duration":5"#), "{sent:?}");
        assert!(sent[1].contains(r#""deviceId":-1,"duration":7"#), "{sent:?}");
        assert_eq!(sent.len(), 2);
        assert_eq!(npu.next_report_time(), Some(t0 + s(15)));
        assert!(npu.take_due_metrics(3, &meters, t0 + s(15)).is_empty());
        assert!(!meters.is_enabled() && !npu.is_monitoring());
    }

    #[test]
    fn statuses_follow_what_happens() {
        let identity = ProcessIdentity { job_id: 1, device: 0, pids: vec![9] };
        let mut npu = NpuFunctions::new();
        npu.set_trace_state(State::Ready, Some((10, 12)));
        let [Message::TraceStatus(t), Message::MonitorStatus(m)] = npu.status_messages(&identity, 7) else {
            panic!()
        };
        assert_eq!((t.state, t.current_step, t.start_step, t.stop_step), (State::Ready, 7, 10, 12));
        assert_eq!((m.state, m.pid, m.job_id), (State::Idle, 9, 1));
        npu.set_trace_state(State::Idle, None);
        let [Message::TraceStatus(t), _] = npu.status_messages(&identity, 8) else { panic!() };
        assert_eq!((t.state, t.start_step), (State::Idle, -1));
    }
}
