//! The loop that connects the daemon, the job and the files. It owns the output; the training thread does the work.

use std::io;
use std::time::Instant;

use common::ipc::message::State;
use common::out::Out;
use common::record::proftap::{Summary, Trace};
use common::rpc::config::Config;
use common::text::count_noun;
use rustix::event::{PollFd, PollFlags};

use super::config_request::{ConfigRequest, MonitorRequest, TraceRequest};
use super::job::{JobEvent, TrainingJob};
use super::kineto::TraceProcessInfo;
use super::npu::NpuFunctions;
use super::recorder::TrainingRecording;
use super::schedule::RecordingWindow;
use super::store::TraceDestination;
use crate::fabric::{DaemonLink, FabricEvent, FabricReporter, MessageQueue, ProcessIdentity};
use crate::wake::{WakeReceiver, poll_until};

/// The state of the demo other than the job.
#[derive(Debug)]
pub(crate) struct DemoController {
    identity: ProcessIdentity,
    link: DaemonLink,
    reporter: FabricReporter,
    queue: MessageQueue,
    job: TrainingJob,
    trace_process: TraceProcessInfo,
    npu: Option<NpuFunctions>,
    /// The recording that is requested or running, and its destination.
    pending_trace: Option<(TraceRequest, TraceDestination)>,
    job_ended: bool,
}

impl DemoController {
    pub(crate) fn new(
        identity: ProcessIdentity,
        link: DaemonLink,
        job: TrainingJob,
        trace_process: TraceProcessInfo,
        npu: bool,
    ) -> Self {
        let reporter = FabricReporter::new(identity.clone());
        let (queue, npu) = (MessageQueue::default(), npu.then(NpuFunctions::new));
        Self {
            identity,
            link,
            reporter,
            queue,
            job,
            trace_process,
            npu,
            pending_trace: None,
            job_ended: false,
        }
    }

    /// Runs until the job has ended, by itself or after a signal.
    pub(crate) fn run_loop(&mut self, mut wake: WakeReceiver, out: &mut Out) -> anyhow::Result<()> {
        let mut events = Vec::new();
        while !self.job_ended {
            if wake.stop_requested() {
                self.job.request_stop();
            }
            let now = Instant::now();
            if now >= self.link.next_poll_time() {
                self.link.poll_if_due(now, &mut events);
                self.queue_status();
            }
            self.report_events(&mut events, out)?;
            self.handle_job_events(out)?;
            self.queue_metrics(now);
            self.send_pending(out);
            self.wait_for_events(&wake)?;
            wake.drain_wakeups();
            self.link.receive_replies(Instant::now(), &mut events)?;
        }
        Ok(())
    }

    /// Writes the summary record.
    pub(crate) fn write_summary(&self, out: &mut Out) -> io::Result<()> {
        if let Some((request, _)) = &self.pending_trace {
            let id = request.trace_id.as_deref().unwrap_or("without trace id");
            out.error(format_args!("request {id}"), "the job ended before the recording was complete");
        }
        let (configs, sent, errors) =
            (self.reporter.config_count(), self.queue.sent_count(), out.diag().errors());
        out.record(&Summary { configs, sent, errors })
    }

    fn wait_for_events(&self, wake: &WakeReceiver) -> io::Result<()> {
        let mut fds = [PollFd::new(&self.link, PollFlags::IN), PollFd::new(wake, PollFlags::IN)];
        let monitor = self.npu.as_ref().and_then(NpuFunctions::next_report_time);
        let deadlines = [Some(self.link.next_poll_time()), self.queue.retry_time(), monitor];
        poll_until(&mut fds, deadlines.into_iter().flatten().min())
    }

    fn report_events(&mut self, events: &mut Vec<FabricEvent>, out: &mut Out) -> io::Result<()> {
        for event in events.drain(..) {
            if let Some(config) = self.reporter.report_event(event, Instant::now(), out)? {
                self.handle_config(&config, out);
            }
        }
        Ok(())
    }

    /// Executes a config, or reports why it cannot be executed. The job continues in either case.
    fn handle_config(&mut self, config: &Config, out: &Out) {
        match ConfigRequest::from_config(config, self.npu.is_some(), Instant::now()) {
            Ok(ConfigRequest::Trace(request)) => self.start_trace(request, out),
            Ok(ConfigRequest::Monitor(request)) => self.start_monitoring(request, out),
            Ok(ConfigRequest::MonitorStop) => {
                if let Some(npu) = &mut self.npu {
                    npu.stop_monitor(&self.job.meters);
                }
                self.queue_status();
            }
            Err(e) => out.error("request", e),
        }
    }

    fn start_trace(&mut self, request: TraceRequest, out: &Out) {
        if self.pending_trace.is_some() {
            return out.error("request", "rejected: another recording is requested or running");
        }
        if self.npu.as_ref().is_some_and(NpuFunctions::is_monitoring) {
            return out.error("request", "rejected: monitoring is running, and the two exclude each other");
        }
        let destination = TraceDestination::for_request(&request, self.trace_process.pid);
        // Checked now, so that an error is reported before the recording, and again when the trace is written.
        if let Err(e) = destination.check_writable() {
            return out.error(destination.path().display(), format_args!("cannot write a trace here: {e}"));
        }
        out.diag().info("request", format_args!("{}, to {}", request.window, destination.path().display()));
        self.job.request_recording(request.window);
        if let (Some(npu), RecordingWindow::Time { .. }) = (&mut self.npu, request.window) {
            npu.set_trace_state(State::Ready, None);
        }
        self.pending_trace = Some((request, destination));
        self.queue_status();
    }

    fn start_monitoring(&mut self, request: MonitorRequest, out: &Out) {
        let Some(npu) = &mut self.npu else { return };
        if self.pending_trace.is_some() {
            return out.error(
                "request",
                "rejected: a recording is requested or running, and the two exclude each other",
            );
        }
        if request.wants_files {
            out.warn("request", "the demo sends metrics to the daemon only; it writes no monitoring files");
        }
        npu.start_monitor(request, &self.job.meters, Instant::now());
        self.queue_status();
    }

    /// Handles the events of the job.
    fn handle_job_events(&mut self, out: &mut Out) -> anyhow::Result<()> {
        while let Ok(event) = self.job.events.try_recv() {
            match event {
                JobEvent::Ready(first, stop) => self.set_trace(State::Ready, Some((first, stop))),
                JobEvent::Started => self.set_trace(State::Running, None),
                JobEvent::Finished(recording) => {
                    self.set_trace(State::Idle, None);
                    self.store_trace(&recording, out)?;
                }
                JobEvent::Loss { step, loss } => {
                    out.diag().info(format_args!("step {step}"), format_args!("loss {loss:.4}"));
                }
                JobEvent::Ended { steps, loss } => {
                    self.job_ended = true;
                    out.diag().info(
                        "job",
                        format_args!("ended after {}, loss {loss:.4}", count_noun(steps, "step")),
                    );
                }
            }
        }
        Ok(())
    }

    fn set_trace(&mut self, state: State, steps: Option<(u64, u64)>) {
        if let Some(npu) = &mut self.npu {
            npu.set_trace_state(state, steps);
        }
        self.queue_status();
    }

    fn store_trace(&mut self, recording: &TrainingRecording, out: &mut Out) -> io::Result<()> {
        let Some((request, destination)) = self.pending_trace.take() else { return Ok(()) };
        let trace_id = request.trace_id;
        match destination.write_trace(recording, &self.trace_process, &self.job.clock, trace_id.as_deref()) {
            Ok(stored) => out.record(&Trace {
                job_id: self.identity.job_id,
                pid: self.trace_process.pid,
                trace_id,
                path: stored.path.to_string_lossy().into_owned(),
                size_bytes: stored.size_bytes,
                events: stored.events,
                steps: recording.step_count(),
                dur_ns: (recording.end - recording.start).unsigned_abs(),
                dropped: recording.dropped,
            }),
            Err(e) => {
                out.failed(destination.path().display(), &e);
                Ok(())
            }
        }
    }

    fn queue_metrics(&mut self, now: Instant) {
        let Some(npu) = &mut self.npu else { return };
        let was_monitoring = npu.is_monitoring();
        for metric in npu.take_due_metrics(self.identity.device, &self.job.meters, now) {
            self.queue.push(metric);
        }
        if was_monitoring && !npu.is_monitoring() {
            self.queue_status();
        }
    }

    fn queue_status(&mut self) {
        // The status is sent at every poll, so it is not queued while there is no daemon.
        if let Some(npu) = self.npu.as_ref().filter(|_| self.link.is_connected()) {
            for status in npu.status_messages(&self.identity, self.job.current_step()) {
                self.queue.push(status);
            }
        }
    }

    fn send_pending(&mut self, out: &Out) {
        while let Err(e) = self.queue.send_pending(&self.link, Instant::now()) {
            out.warn("message for the daemon", e);
        }
    }
}
