//! The training thread: its loop, its pace, and the recordings that it is requested to make.

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
pub(crate) struct TrainingPace {
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
    pub(crate) fn start(pace: TrainingPace, waker: WakeSender) -> std::io::Result<Self> {
        let (clock, meters) = (JobClock::start(), Arc::new(ActivityMeters::default()));
        let shared = Arc::new(JobControl {
            stop: AtomicBool::new(false),
            has_request: AtomicBool::new(false),
            requested: Mutex::new(None),
            wakeup: Condvar::new(),
            step: AtomicI64::new(-1),
        });
        let (sender, notes) = channel();
        let mut worker = TrainingThread {
            host: HostRuntime::new(clock, Arc::clone(&meters))?,
            model: Perceptron::new(pace.seed, pace.batch, pace.replicas),
            schedule: RecordingSchedule::default(),
            shared: Arc::clone(&shared),
            events: sender,
            waker,
            due: Instant::now(),
            loss_reported: None,
            pace,
        };
        let thread = thread::Builder::new().name("train".to_owned()).spawn(move || worker.run_training())?;
        Ok(Self { clock, meters, events: notes, control: shared, thread: Some(thread) })
    }

    /// Requests a recording. No other one may be requested or running.
    pub(crate) fn request_recording(&self, window: RecordingWindow) {
        *lock_ignoring_poison(&self.control.requested) = Some(window);
        self.control.has_request.store(true, Ordering::Release);
        self.control.wakeup.notify_all();
    }

    /// The current step; -1 before the first.
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
    shared: Arc<JobControl>,
    events: Sender<JobEvent>,
    waker: WakeSender,
    /// When the next step is due.
    due: Instant,
    /// When the loss was last reported.
    loss_reported: Option<Instant>,
    pace: TrainingPace,
}

impl TrainingThread {
    fn run_training(&mut self) {
        let mut loss = f32::NAN;
        let mut n = 0;
        while !self.stop_requested() && (self.pace.steps == 0 || n < self.pace.steps) {
            self.advance_schedule(n);
            self.shared.step.store(i64::try_from(n).unwrap_or(i64::MAX), Ordering::Relaxed);
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
        if self.shared.has_request.swap(false, Ordering::Acquire)
            && let Some(window) = lock_ignoring_poison(&self.shared.requested).take()
        {
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
        self.due = (self.due + self.pace.step_time).max(Instant::now());
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
        let order = lock_ignoring_poison(&self.shared.requested);
        if order.is_none() && !self.stop_requested() {
            drop(self.shared.wakeup.wait_timeout(order, limit).unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn report_loss(&mut self, step: u64, loss: f32) {
        let due = self.loss_reported.is_none_or(|at| at.elapsed() >= LOSS_REPORT_INTERVAL);
        if self.pace.report_loss && due {
            self.loss_reported = Some(Instant::now());
            self.send_event(JobEvent::Loss { step, loss });
        }
    }

    fn stop_requested(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn send_event(&self, note: JobEvent) {
        // The receiver is gone only while the job is being dropped.
        let _ = self.events.send(note);
        self.waker.wake();
    }
}
