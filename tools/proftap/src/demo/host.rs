//! The instrumented side of the device: operators, annotations, and the runtime calls that launch work.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::clock::Clock;
use super::device::{Activity, Device, Fence, Launch, Meters, Stream, Tie};
use super::recorder::{Kind, Open, Recorder, Recording};

/// The training thread's view of the device.
#[derive(Debug)]
pub(crate) struct Host {
    clock: Clock,
    recorder: Recorder,
    device: Device,
    meters: Arc<Meters>,
}

impl Host {
    pub(crate) fn new(clock: Clock, meters: Arc<Meters>) -> std::io::Result<Self> {
        Ok(Self { clock, recorder: Recorder::default(), device: Device::start(clock, &meters)?, meters })
    }

    /// Begins a recording.
    pub(crate) fn start_recording(&mut self) {
        self.recorder.start(self.clock.now(), crate::process::thread_id());
    }

    /// Ends it, once the device has done all that was launched within it.
    pub(crate) fn stop_recording(&mut self) -> Option<Recording> {
        let mut recording = self.recorder.stop()?;
        self.device.synchronize();
        recording.device = self.device.take_events();
        recording.end = self.clock.now();
        Some(recording)
    }

    /// Begins a span that [`Self::end`] ends.
    pub(crate) fn begin(&mut self, kind: Kind) -> Option<Open> {
        let clock = self.clock;
        self.recorder.begin(kind, || clock.now())
    }

    /// Ends a span. Its name is made up only if it is recorded.
    pub(crate) fn end(&mut self, open: Option<Open>, name: impl FnOnce() -> Cow<'static, str>) {
        if let Some(open) = open {
            self.recorder.end(&open, self.clock.now(), name(), None);
        }
    }

    /// Runs an operator.
    pub(crate) fn op<R>(&mut self, name: &'static str, body: impl FnOnce(&mut Self) -> R) -> R {
        self.span(Kind::Operator, name, body)
    }

    /// Runs an annotated part of the program.
    pub(crate) fn annotate<R>(&mut self, name: &'static str, body: impl FnOnce(&mut Self) -> R) -> R {
        self.span(Kind::Annotation, name, body)
    }

    fn span<R>(&mut self, kind: Kind, name: &'static str, body: impl FnOnce(&mut Self) -> R) -> R {
        let open = self.begin(kind);
        let result = body(self);
        self.end(open, || Cow::Borrowed(name));
        result
    }

    /// Launches work onto a stream: the runtime call is recorded here, the execution by the stream, and both
    /// carry the same correlation.
    pub(crate) fn launch(
        &mut self,
        stream: Stream,
        name: &'static str,
        activity: Activity,
        work: impl FnOnce() + Send + 'static,
    ) {
        let call = match activity {
            Activity::Kernel => "cudaLaunchKernel",
            Activity::AllReduce { .. } => "cudaLaunchKernelExC",
            Activity::Copy { .. } => "cudaMemcpyAsync",
            Activity::Fill { .. } => "cudaMemsetAsync",
        };
        self.call(call, true, |host, tie| {
            host.device.launch(stream, Launch { name, activity, tie, work: Box::new(work) });
        });
    }

    /// Marks a point in a stream.
    pub(crate) fn fence(&mut self, stream: Stream) -> Fence {
        self.call("cudaEventRecord", false, |host, _| host.device.fence(stream))
    }

    /// Makes a stream wait for a point of another one.
    pub(crate) fn wait_for(&mut self, stream: Stream, fence: &Fence) {
        self.call("cudaStreamWaitEvent", false, |host, _| host.device.wait_for(stream, fence));
    }

    /// Blocks until a stream has done what it was given.
    pub(crate) fn synchronize(&mut self, stream: Stream) {
        self.call("cudaStreamSynchronize", false, |host, _| host.device.fence(stream).wait());
    }

    /// A runtime call. A launch without room in the recording is left out on both sides.
    fn call<R>(
        &mut self,
        name: &'static str,
        launches: bool,
        body: impl FnOnce(&mut Self, Option<Tie>) -> R,
    ) -> R {
        let metered = self.meters.on().then(|| self.clock.now());
        let open = self.begin(Kind::Runtime);
        let correlation = if launches && open.is_some() { self.recorder.correlate() } else { None };
        let tie = correlation
            .map(|correlation| Tie { correlation, external: open.as_ref().and_then(Open::external) });
        let result = body(self, tie);
        if let Some(open) = open.filter(|_| !launches || correlation.is_some()) {
            self.recorder.end(&open, self.clock.now(), Cow::Borrowed(name), correlation);
        }
        if let Some(start) = metered {
            let ns = (self.clock.now() - start).unsigned_abs();
            self.meters.runtime.fetch_add(ns, Ordering::Relaxed);
        }
        result
    }
}
