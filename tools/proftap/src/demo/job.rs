//! The training thread: its loop, its pace, and the orders that it takes.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::device::{Meters, lock};
use super::gate::{Action, Gate, Window};
use super::host::Host;
use super::model::Model;
use super::recorder::{Kind, Recording};
use crate::wake::Waker;

/// How often the loss is told.
const LOSS_INTERVAL: Duration = Duration::from_secs(1);

/// How long and how fast to train.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// 0 = until told to stop.
    pub(crate) steps: u64,
    /// The least time of a step.
    pub(crate) step: Duration,
    /// Samples in a batch: how much there is to compute.
    pub(crate) batch: usize,
    /// Replicas that take part, this one included.
    pub(crate) replicas: u32,
    pub(crate) seed: u64,
    /// Tell the loss, once a second.
    pub(crate) tell_loss: bool,
}

/// What the thread tells.
#[derive(Debug)]
pub(crate) enum Note {
    /// The recording will cover these steps, the second one not included.
    Ready(u64, u64),
    Started,
    Finished(Box<Recording>),
    Loss {
        step: u64,
        loss: f32,
    },
    /// The last step is done; an order that was not carried out by now will not be.
    Ended {
        steps: u64,
        loss: f32,
    },
}

/// A training job that runs.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) clock: Clock,
    pub(crate) meters: Arc<Meters>,
    pub(crate) notes: Receiver<Note>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    /// Whether `order` is worth a look.
    ordered: AtomicBool,
    order: Mutex<Option<Window>>,
    bell: Condvar,
    /// The step that runs; -1 before the first.
    step: AtomicI64,
}

impl Job {
    /// Starts training.
    pub(crate) fn start(pace: Pace, waker: Waker) -> std::io::Result<Self> {
        let (clock, meters) = (Clock::start(), Arc::new(Meters::default()));
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            ordered: AtomicBool::new(false),
            order: Mutex::new(None),
            bell: Condvar::new(),
            step: AtomicI64::new(-1),
        });
        let (sender, notes) = channel();
        let mut worker = Worker {
            host: Host::new(clock, Arc::clone(&meters))?,
            model: Model::new(pace.seed, pace.batch, pace.replicas),
            gate: Gate::default(),
            shared: Arc::clone(&shared),
            notes: sender,
            waker,
            due: Instant::now(),
            told: None,
            pace,
        };
        let thread = thread::Builder::new().name("train".to_owned()).spawn(move || worker.train())?;
        Ok(Self { clock, meters, notes, shared, thread: Some(thread) })
    }

    /// Orders a recording. The job must not have another order.
    pub(crate) fn order(&self, window: Window) {
        *lock(&self.shared.order) = Some(window);
        self.shared.ordered.store(true, Ordering::Release);
        self.shared.bell.notify_all();
    }

    /// The step that runs; -1 before the first.
    pub(crate) fn step(&self) -> i64 {
        self.shared.step.load(Ordering::Relaxed)
    }

    /// Asks the job to end after this step.
    pub(crate) fn stop(&self) {
        // Under the lock, so that a thread about to sleep does not miss the bell.
        let guard = lock(&self.shared.order);
        self.shared.stop.store(true, Ordering::Relaxed);
        drop(guard);
        self.shared.bell.notify_all();
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The state of the thread.
struct Worker {
    host: Host,
    model: Model,
    gate: Gate,
    shared: Arc<Shared>,
    notes: Sender<Note>,
    waker: Waker,
    /// When the next step is due.
    due: Instant,
    /// When the loss was told.
    told: Option<Instant>,
    pace: Pace,
}

impl Worker {
    fn train(&mut self) {
        let mut loss = f32::NAN;
        let mut n = 0;
        while !self.stopped() && (self.pace.steps == 0 || n < self.pace.steps) {
            self.before(n);
            self.shared.step.store(i64::try_from(n).unwrap_or(i64::MAX), Ordering::Relaxed);
            loss = self.step(n);
            self.tell_loss(n, loss);
            n += 1;
        }
        self.before(n);
        self.tell(Note::Ended { steps: n, loss });
    }

    fn step(&mut self, n: u64) -> f32 {
        let step = self.host.begin(Kind::Step);
        let loading = self.host.begin(Kind::Annotation);
        self.keep_pace();
        let batch = self.model.next_batch();
        self.host.end(loading, || Cow::Borrowed("enumerate(DataLoader)#SyntheticLoader.__next__"));
        self.model.upload(&mut self.host, &batch);
        self.look();
        self.host.annotate("forward", |host| self.model.forward(host, &batch));
        self.look();
        self.host.annotate("backward", |host| self.model.backward(host, &batch));
        self.look();
        self.model.update(&mut self.host);
        let loss = self.model.loss(&mut self.host);
        self.host.end(step, || Cow::Owned(format!("ProfilerStep#{n}")));
        loss
    }

    /// Looks at the gate before a step.
    fn before(&mut self, n: u64) {
        self.take_order();
        loop {
            let action = self.gate.at_step(n, Instant::now());
            if action == Action::Nothing {
                return;
            }
            self.act(action);
        }
    }

    /// Looks at the gate within a step.
    fn look(&mut self) {
        self.take_order();
        let action = self.gate.within_step(Instant::now());
        self.act(action);
    }

    fn take_order(&mut self) {
        if self.shared.ordered.swap(false, Ordering::Acquire)
            && let Some(window) = lock(&self.shared.order).take()
        {
            self.gate.order(window);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Nothing => {}
            Action::Ready(first, stop) => self.tell(Note::Ready(first, stop)),
            Action::Start => {
                self.host.start_recording();
                self.tell(Note::Started);
            }
            Action::Stop => {
                if let Some(recording) = self.host.stop_recording() {
                    self.tell(Note::Finished(Box::new(recording)));
                }
            }
        }
    }

    /// Sleeps until the step is due; a step that is late does not hurry the ones after it.
    fn keep_pace(&mut self) {
        self.due = (self.due + self.pace.step).max(Instant::now());
        loop {
            self.look();
            let now = Instant::now();
            if now >= self.due || self.stopped() {
                return;
            }
            let until = self.gate.deadline().map_or(self.due, |d| d.min(self.due));
            self.sleep(until.saturating_duration_since(now));
        }
    }

    fn sleep(&self, limit: Duration) {
        let order = lock(&self.shared.order);
        if order.is_none() && !self.stopped() {
            drop(self.shared.bell.wait_timeout(order, limit).unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn tell_loss(&mut self, step: u64, loss: f32) {
        let due = self.told.is_none_or(|told| told.elapsed() >= LOSS_INTERVAL);
        if self.pace.tell_loss && due {
            self.told = Some(Instant::now());
            self.tell(Note::Loss { step, loss });
        }
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn tell(&self, note: Note) {
        // Nobody listens any more only while the job is being dropped.
        let _ = self.notes.send(note);
        self.waker.wake();
    }
}
