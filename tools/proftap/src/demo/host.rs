//! The instrumented host side of the device: operators, annotations, and the runtime calls that launch work.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::clock::JobClock;
use super::device::{
    ActivityMeters, DeviceActivity, DeviceLaunch, DeviceStream, LaunchIds, StreamFence, ThreadDevice,
};
use super::recorder::{OpenSpan, SpanKind, SpanRecorder, TrainingRecording};
use super::runtime_call::RuntimeCall;

/// The device as the training thread uses it, with its recorder.
#[derive(Debug)]
pub(crate) struct HostRuntime {
    clock: JobClock,
    recorder: SpanRecorder,
    device: ThreadDevice,
    meters: Arc<ActivityMeters>,
}

impl HostRuntime {
    pub(crate) fn new(clock: JobClock, meters: Arc<ActivityMeters>) -> std::io::Result<Self> {
        Ok(Self {
            clock,
            recorder: SpanRecorder::default(),
            device: ThreadDevice::start(clock, &meters)?,
            meters,
        })
    }

    /// Starts a recording.
    pub(crate) fn start_recording(&mut self) {
        self.recorder.start_recording(self.clock.now_ns(), crate::process::current_thread_id());
    }

    /// Stops the recording after the device has executed all work launched during it.
    pub(crate) fn stop_recording(&mut self) -> Option<TrainingRecording> {
        let mut recording = self.recorder.stop_recording()?;
        self.device.synchronize();
        recording.device = self.device.take_events();
        recording.end = self.clock.now_ns();
        Some(recording)
    }

    /// Begins a span that [`Self::end_span`] ends.
    pub(crate) fn begin_span(&mut self, kind: SpanKind) -> Option<OpenSpan> {
        let clock = self.clock;
        self.recorder.begin_span(kind, || clock.now_ns())
    }

    /// Ends a span. Its name is computed only if it is recorded.
    pub(crate) fn end_span(&mut self, open: Option<OpenSpan>, name: impl FnOnce() -> Cow<'static, str>) {
        if let Some(open) = open {
            self.recorder.end_span(&open, self.clock.now_ns(), name(), None);
        }
    }

    /// Runs an operator.
    pub(crate) fn run_operator<R>(&mut self, name: &'static str, body: impl FnOnce(&mut Self) -> R) -> R {
        self.run_span(SpanKind::Operator, name, body)
    }

    /// Runs an annotated section.
    pub(crate) fn run_annotation<R>(&mut self, name: &'static str, body: impl FnOnce(&mut Self) -> R) -> R {
        self.run_span(SpanKind::Annotation, name, body)
    }

    fn run_span<R>(&mut self, kind: SpanKind, name: &'static str, body: impl FnOnce(&mut Self) -> R) -> R {
        let open = self.begin_span(kind);
        let result = body(self);
        self.end_span(open, || Cow::Borrowed(name));
        result
    }

    /// Launches work on a stream. The runtime call is recorded here and the execution by the stream, with the same
    /// correlation id.
    pub(crate) fn launch_work(
        &mut self,
        stream: DeviceStream,
        name: &'static str,
        activity: DeviceActivity,
        work: impl FnOnce() + Send + 'static,
    ) {
        let call = match activity {
            DeviceActivity::Kernel => RuntimeCall::LaunchKernel,
            DeviceActivity::AllReduce { .. } => RuntimeCall::LaunchCommunication,
            DeviceActivity::Copy { .. } => RuntimeCall::CopyMemory,
            DeviceActivity::Fill { .. } => RuntimeCall::FillMemory,
        };
        self.call_runtime(call, |host, ids| {
            host.device.queue_launch(stream, DeviceLaunch { name, activity, ids, work: Box::new(work) });
        });
    }

    /// Records a fence in a stream.
    pub(crate) fn record_event(&mut self, stream: DeviceStream) -> StreamFence {
        self.call_runtime(RuntimeCall::RecordEvent, |host, _| host.device.record_fence(stream))
    }

    /// Makes a stream wait for a fence of another one.
    pub(crate) fn wait_for(&mut self, stream: DeviceStream, fence: &StreamFence) {
        self.call_runtime(RuntimeCall::WaitForEvent, |host, _| host.device.wait_for(stream, fence));
    }

    /// Blocks until a stream has executed its queued work.
    pub(crate) fn synchronize_stream(&mut self, stream: DeviceStream) {
        self.call_runtime(RuntimeCall::SynchronizeStream, |host, _| host.device.record_fence(stream).wait());
    }

    /// Records a runtime call. A launch that exceeds the limit of events is omitted on both sides.
    fn call_runtime<R>(
        &mut self,
        call: RuntimeCall,
        body: impl FnOnce(&mut Self, Option<LaunchIds>) -> R,
    ) -> R {
        let metered_since = self.meters.is_enabled().then(|| self.clock.now_ns());
        let open = self.begin_span(SpanKind::Runtime(call));
        let correlation =
            if call.is_launch() && open.is_some() { self.recorder.new_correlation_id() } else { None };
        let ids = correlation.map(|correlation| LaunchIds {
            correlation,
            external: open.as_ref().and_then(OpenSpan::external_id),
        });
        let result = body(self, ids);
        if let Some(open) = open.filter(|_| !call.is_launch() || correlation.is_some()) {
            self.recorder.end_span(&open, self.clock.now_ns(), Cow::Borrowed(call.cuda_name()), correlation);
        }
        if let Some(start) = metered_since {
            let ns = (self.clock.now_ns() - start).unsigned_abs();
            self.meters.runtime.fetch_add(ns, Ordering::Relaxed);
        }
        result
    }
}
