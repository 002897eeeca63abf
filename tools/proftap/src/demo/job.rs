//! The training thread: its loop, the time per step, and the recordings that it is requested to make.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::clock::JobClock;
use super::device::{ActivityMeters, lock_ignoring_poison};
use super::host::HostRuntime;
use super::model::Perceptron;
use super::recorder::{SpanKind, TrainingRecording};
use super::schedule::{RecordingSchedule, RecordingWindow, ScheduleAction};
use crate::wake::WakeSender;

/// How often the loss is reported.
const LOSS_REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How long, how fast and what to train.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrainingOptions {
    /// Number of steps; 0 trains until it is requested to stop.
    pub(crate) steps: u64,
    /// Minimum time per step.
    pub(crate) step_time: Duration,
    /// Number of samples per batch.
    pub(crate) batch: usize,
    /// Number of replicas, including this one.
    pub(crate) replicas: u32,
    pub(crate) seed: u64,
    /// Report the loss once a second.
    pub(crate) report_loss: bool,
}

/// An event of the training thread.
#[derive(Debug)]
pub(crate) enum JobEvent {
    /// The recording will cover the steps from the first number until before the second one.
    Ready(u64, u64),
    Started,
    Finished(Box<TrainingRecording>),
    Loss {
        step: u64,
        loss: f32,
    },
    /// The last step has ended; a recording that is not complete by now will not be.
    Ended {
        steps: u64,
        loss: f32,
    },
}

/// A running training job.
#[derive(Debug)]
pub(crate) struct TrainingJob {
    pub(crate) clock: JobClock,
    pub(crate) meters: Arc<ActivityMeters>,
    pub(crate) events: Receiver<JobEvent>,
    control: Arc<JobControl>,
    thread: Option<JoinHandle<()>>,
}

/// The state that the job and the training thread share.
#[derive(Debug)]
struct JobControl {
    stop: AtomicBool,
    /// Whether `requested` is set; read without the lock.
    has_request: AtomicBool,
    requested: Mutex<Option<RecordingWindow>>,
    wakeup: Condvar,
    /// The current step; -1 before the first.
    step: AtomicI64,
}

impl TrainingJob {
    /// Starts training.
    pub(crate) fn start(options: TrainingOptions, wake: WakeSender) -> std::io::Result<Self> {
        let (clock, meters) = (JobClock::start(), Arc::new(ActivityMeters::default()));
        let control = Arc::new(JobControl {
            stop: AtomicBool::new(false),
            has_request: AtomicBool::new(false),
            requested: Mutex::new(None),
            wakeup: Condvar::new(),
            step: AtomicI64::new(-1),
        });
        let (sender, events) = channel();
        let mut training = TrainingThread {
            host: HostRuntime::new(clock, Arc::clone(&meters))?,
            model: Perceptron::new(options.seed, options.batch, options.replicas),
            schedule: RecordingSchedule::default(),
            control: Arc::clone(&control),
            events: sender,
            wake,
            due: Instant::now(),
            loss_reported: None,
            options,
        };
        let thread =
            thread::Builder::new().name("train".to_owned()).spawn(move || training.run_training())?;
        Ok(Self { clock, meters, events, control, thread: Some(thread) })
    }

    /// Requests a recording. No other one may be requested or running.
    pub(crate) fn request_recording(&self, window: RecordingWindow) {
        *lock_ignoring_poison(&self.control.requested) = Some(window);
        self.control.has_request.store(true, Ordering::Release);
        self.control.wakeup.notify_all();
    }

    /// Returns the current step; -1 before the first.
    pub(crate) fn current_step(&self) -> i64 {
        self.control.step.load(Ordering::Relaxed)
    }

    /// Requests the job to end after the current step.
    pub(crate) fn request_stop(&self) {
        // Under the lock, so that a thread that is about to sleep does not miss the notification.
        let guard = lock_ignoring_poison(&self.control.requested);
        self.control.stop.store(true, Ordering::Relaxed);
        drop(guard);
        self.control.wakeup.notify_all();
    }
}

impl Drop for TrainingJob {
    fn drop(&mut self) {
        self.request_stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The state of the training thread.
struct TrainingThread {
    host: HostRuntime,
    model: Perceptron,
    schedule: RecordingSchedule,
    control: Arc<JobControl>,
    events: Sender<JobEvent>,
    wake: WakeSender,
    /// When the next step is due.
    due: Instant,
    /// When the loss was last reported.
    loss_reported: Option<Instant>,
    options: TrainingOptions,
}

impl TrainingThread {
    fn run_training(&mut self) {
        let mut loss = f32::NAN;
        let mut n = 0;
        while !self.stop_requested() && (self.options.steps == 0 || n < self.options.steps) {
            self.advance_schedule(n);
            self.control.step.store(i64::try_from(n).unwrap_or(i64::MAX), Ordering::Relaxed);
            loss = self.run_step(n);
            self.report_loss(n, loss);
            n += 1;
        }
        self.advance_schedule(n);
        self.send_event(JobEvent::Ended { steps: n, loss });
    }

    fn run_step(&mut self, n: u64) -> f32 {
        let step = self.host.begin_span(SpanKind::Step);
        let loading = self.host.begin_span(SpanKind::Annotation);
        self.wait_for_next_step();
        let batch = self.model.next_batch();
        self.host.end_span(loading, || Cow::Borrowed("enumerate(DataLoader)#SyntheticLoader.__next__"));
        self.model.upload_batch(&mut self.host, &batch);
        self.check_schedule();
        self.host.run_annotation("forward", |host| self.model.forward(host, &batch));
        self.check_schedule();
        self.host.run_annotation("backward", |host| self.model.backward(host, &batch));
        self.check_schedule();
        self.model.update_parameters(&mut self.host);
        let loss = self.model.read_loss(&mut self.host);
        self.host.end_span(step, || Cow::Owned(format!("ProfilerStep#{n}")));
        loss
    }

    /// Starts and stops the recording before a step.
    fn advance_schedule(&mut self, n: u64) {
        self.take_request();
        loop {
            let action = self.schedule.advance_to_step(n, Instant::now());
            if action == ScheduleAction::Continue {
                return;
            }
            self.perform_action(action);
        }
    }

    /// Starts and stops the recording within a step.
    fn check_schedule(&mut self) {
        self.take_request();
        let action = self.schedule.check_time(Instant::now());
        self.perform_action(action);
    }

    fn take_request(&mut self) {
        if !self.control.has_request.swap(false, Ordering::Acquire) {
            return;
        }
        if let Some(window) = lock_ignoring_poison(&self.control.requested).take() {
            self.schedule.set_window(window);
        }
    }

    fn perform_action(&mut self, action: ScheduleAction) {
        match action {
            ScheduleAction::Continue => {}
            ScheduleAction::Ready(first, stop) => self.send_event(JobEvent::Ready(first, stop)),
            ScheduleAction::Start => {
                self.host.start_recording();
                self.send_event(JobEvent::Started);
            }
            ScheduleAction::Stop => {
                if let Some(recording) = self.host.stop_recording() {
                    self.send_event(JobEvent::Finished(Box::new(recording)));
                }
            }
        }
    }

    /// Sleeps until the step is due. A late step does not shorten the steps after it.
    fn wait_for_next_step(&mut self) {
        self.due = (self.due + self.options.step_time).max(Instant::now());
        loop {
            self.check_schedule();
            let now = Instant::now();
            if now >= self.due || self.stop_requested() {
                return;
            }
            let until = self.schedule.next_deadline().map_or(self.due, |d| d.min(self.due));
            self.sleep_at_most(until.saturating_duration_since(now));
        }
    }

    fn sleep_at_most(&self, limit: Duration) {
        let requested = lock_ignoring_poison(&self.control.requested);
        if requested.is_none() && !self.stop_requested() {
            drop(self.control.wakeup.wait_timeout(requested, limit).unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn report_loss(&mut self, step: u64, loss: f32) {
        let due = self.loss_reported.is_none_or(|at| at.elapsed() >= LOSS_REPORT_INTERVAL);
        if self.options.report_loss && due {
            self.loss_reported = Some(Instant::now());
            self.send_event(JobEvent::Loss { step, loss });
        }
    }

    fn stop_requested(&self) -> bool {
        self.control.stop.load(Ordering::Relaxed)
    }

    fn send_event(&self, event: JobEvent) {
        // The receiver is gone only while the job is being dropped.
        let _ = self.events.send(event);
        self.wake.wake();
    }
}
