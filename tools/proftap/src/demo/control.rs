//! The loop that ties daemon, job and files together. It owns the output and never does the job's work.

use std::io;
use std::time::Instant;

use common::ipc::message::State;
use common::out::Out;
use common::record::proftap::{Summary, Trace};
use common::rpc::config::Config;
use rustix::event::{PollFd, PollFlags};

use super::gate::Window;
use super::job::{Job, Note};
use super::kineto::Facts;
use super::npu::Npu;
use super::recorder::Recording;
use super::request::{MonitorRequest, Request, TraceRequest};
use super::store::Place;
use crate::fabric::{Event, Identity, Link, Outbox, Reporter};
use crate::wake::{Wake, wait};

/// Everything but the job itself.
#[derive(Debug)]
pub(crate) struct Controller {
    who: Identity,
    link: Link,
    reporter: Reporter,
    outbox: Outbox,
    job: Job,
    facts: Facts,
    npu: Option<Npu>,
    /// The recording that is ordered or runs, and where it goes.
    order: Option<(TraceRequest, Place)>,
    ended: bool,
}

impl Controller {
    pub(crate) fn new(who: Identity, link: Link, job: Job, facts: Facts, npu: bool) -> Self {
        let reporter = Reporter::new(who.clone());
        let (outbox, npu) = (Outbox::default(), npu.then(Npu::new));
        Self { who, link, reporter, outbox, job, facts, npu, order: None, ended: false }
    }

    /// Runs until the job has ended, by itself or on a signal.
    pub(crate) fn serve(&mut self, mut wake: Wake, out: &mut Out) -> anyhow::Result<()> {
        let mut events = Vec::new();
        while !self.ended {
            if wake.stopped() {
                self.job.stop();
            }
            let now = Instant::now();
            if now >= self.link.deadline() {
                self.link.tick(now, &mut events);
                self.tell_status();
            }
            self.report(&mut events, out)?;
            self.heed_job(out)?;
            self.monitor(now);
            self.send(out);
            self.sleep(&wake)?;
            wake.clear();
            self.link.receive(Instant::now(), &mut events)?;
        }
        Ok(())
    }

    /// Writes the last record.
    pub(crate) fn finish(&self, out: &mut Out) -> io::Result<()> {
        if let Some((request, _)) = &self.order {
            let id = request.trace_id.as_deref().unwrap_or("without id");
            out.error(format_args!("request {id}"), "the job ended before the recording did");
        }
        let (configs, sent, errors) = (self.reporter.configs(), self.outbox.sent(), out.diag().errors());
        out.record(&Summary { configs, sent, errors })
    }

    fn sleep(&self, wake: &Wake) -> io::Result<()> {
        let mut fds = [PollFd::new(&self.link, PollFlags::IN), PollFd::new(wake, PollFlags::IN)];
        let monitor = self.npu.as_ref().and_then(Npu::deadline);
        let deadlines = [Some(self.link.deadline()), self.outbox.deadline(), monitor];
        wait(&mut fds, deadlines.into_iter().flatten().min())
    }

    fn report(&mut self, events: &mut Vec<Event>, out: &mut Out) -> io::Result<()> {
        for event in events.drain(..) {
            if let Some(config) = self.reporter.event(event, Instant::now(), out)? {
                self.ask(&config, out);
            }
        }
        Ok(())
    }

    /// Carries a config out, or says why not. The job goes on either way.
    fn ask(&mut self, config: &Config, out: &Out) {
        match Request::from_config(config, self.npu.is_some(), Instant::now()) {
            Ok(Request::Trace(request)) => self.ask_trace(request, out),
            Ok(Request::Monitor(request)) => self.ask_monitor(request, out),
            Ok(Request::MonitorStop) => {
                if let Some(npu) = &mut self.npu {
                    npu.stop_monitor(&self.job.meters);
                }
                self.tell_status();
            }
            Err(e) => out.error("request", e),
        }
    }

    fn ask_trace(&mut self, request: TraceRequest, out: &Out) {
        if self.order.is_some() {
            return out.error("request", "refused: another recording is ordered or runs");
        }
        if self.npu.as_ref().is_some_and(Npu::is_monitoring) {
            return out.error("request", "refused: monitoring runs, and the two exclude each other");
        }
        let place = Place::of(&request, self.facts.pid);
        // Checked now, so that the refusal is told before the recording, and again when it is written.
        if let Err(e) = place.check() {
            return out.error(place.path().display(), format_args!("no trace is written here: {e}"));
        }
        out.diag().info("request", format_args!("{}, to {}", request.window, place.path().display()));
        self.job.order(request.window);
        if let (Some(npu), Window::Time { .. }) = (&mut self.npu, request.window) {
            npu.set_trace(State::Ready, None);
        }
        self.order = Some((request, place));
        self.tell_status();
    }

    fn ask_monitor(&mut self, request: MonitorRequest, out: &Out) {
        let Some(npu) = &mut self.npu else { return };
        if self.order.is_some() {
            return out
                .error("request", "refused: a recording is ordered or runs, and the two exclude each other");
        }
        if request.wants_files {
            out.warn("request", "the demo monitors to the daemon only and writes no monitoring files");
        }
        npu.start_monitor(request, &self.job.meters, Instant::now());
        self.tell_status();
    }

    /// Takes what the job tells.
    fn heed_job(&mut self, out: &mut Out) -> anyhow::Result<()> {
        while let Ok(note) = self.job.notes.try_recv() {
            match note {
                Note::Ready(first, stop) => self.set_trace(State::Ready, Some((first, stop))),
                Note::Started => self.set_trace(State::Running, None),
                Note::Finished(recording) => {
                    self.set_trace(State::Idle, None);
                    self.finished(&recording, out)?;
                }
                Note::Loss { step, loss } => {
                    out.diag().info(format_args!("step {step}"), format_args!("loss {loss:.4}"));
                }
                Note::Ended { steps, loss } => {
                    self.ended = true;
                    out.diag().info("job", format_args!("ended after {steps} steps, loss {loss:.4}"));
                }
            }
        }
        Ok(())
    }

    fn set_trace(&mut self, state: State, steps: Option<(u64, u64)>) {
        if let Some(npu) = &mut self.npu {
            npu.set_trace(state, steps);
        }
        self.tell_status();
    }

    fn finished(&mut self, recording: &Recording, out: &mut Out) -> io::Result<()> {
        let Some((request, place)) = self.order.take() else { return Ok(()) };
        let trace_id = request.trace_id;
        match place.write(recording, &self.facts, &self.job.clock, trace_id.as_deref()) {
            Ok(stored) => out.record(&Trace {
                job: self.who.job,
                pid: self.facts.pid,
                trace_id,
                path: stored.path.to_string_lossy().into_owned(),
                size_bytes: stored.size_bytes,
                events: stored.events,
                steps: recording.steps(),
                dur_ns: (recording.end - recording.start).unsigned_abs(),
                dropped: recording.dropped,
            }),
            Err(e) => {
                out.failed(place.path().display(), &e);
                Ok(())
            }
        }
    }

    fn monitor(&mut self, now: Instant) {
        let Some(npu) = &mut self.npu else { return };
        let was_monitoring = npu.is_monitoring();
        for metric in npu.metrics(self.who.device, &self.job.meters, now) {
            self.outbox.push(metric);
        }
        if was_monitoring && !npu.is_monitoring() {
            self.tell_status();
        }
    }

    fn tell_status(&mut self) {
        // Nothing is gained by keeping statuses for a daemon that is not there: they are told at every poll.
        if let Some(npu) = self.npu.as_ref().filter(|_| self.link.is_up()) {
            for status in npu.statuses(&self.who, self.job.step()) {
                self.outbox.push(status);
            }
        }
    }

    fn send(&mut self, out: &Out) {
        while let Err(e) = self.outbox.flush(&self.link, Instant::now()) {
            out.warn("message for the daemon", e);
        }
    }
}
