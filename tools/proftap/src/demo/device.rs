//! A device made of threads: streams that execute what is launched onto them, asynchronously and in order.
//!
//! Like a real one it has a bounded launch queue per stream, and fences by which one stream waits for another.
//! A kernel's time is taken around its execution by the thread that executes it, and only while somebody asks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::clock::Clock;

/// So many launches wait on a stream before the launching thread has to.
const QUEUE: usize = 1024;

/// A stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Compute,
    Copy,
    Communication,
}

impl Stream {
    pub(crate) const ALL: [Self; 3] = [Self::Compute, Self::Copy, Self::Communication];

    /// As a trace numbers it.
    pub(crate) fn id(self) -> u32 {
        match self {
            Self::Compute => 7,
            Self::Copy => 13,
            Self::Communication => 20,
        }
    }
}

/// What is executed, as far as a trace tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    Kernel,
    /// A copy of so many bytes between host and device.
    Copy {
        bytes: u64,
    },
    /// A fill of so many bytes.
    Fill {
        bytes: u64,
    },
    /// An all-reduce of so many elements.
    AllReduce {
        elements: u64,
    },
}

/// How a launch is tied to the host side of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tie {
    pub(crate) correlation: u64,
    /// The operator that launched it.
    pub(crate) external: Option<u64>,
}

/// An executed launch.
#[derive(Clone, Debug)]
pub(crate) struct DeviceEvent {
    pub(crate) name: &'static str,
    pub(crate) stream: Stream,
    pub(crate) activity: Activity,
    pub(crate) tie: Tie,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// Work for a stream.
pub(crate) struct Launch {
    pub(crate) name: &'static str,
    pub(crate) activity: Activity,
    /// Present while recording.
    pub(crate) tie: Option<Tie>,
    pub(crate) work: Box<dyn FnOnce() + Send>,
}

enum Item {
    Launch(Launch),
    Signal(Fence),
    Wait(Fence),
}

/// A point in one stream that others can wait for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fence(Arc<(Mutex<bool>, Condvar)>);

impl Fence {
    fn signal(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    /// Blocks until the stream has come to the point.
    pub(crate) fn wait(&self) {
        let passed = lock(&self.0.0);
        drop(self.0.1.wait_while(passed, |passed| !*passed).unwrap_or_else(PoisonError::into_inner));
    }
}

/// Memory of the device. A kernel locks what it touches while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Buffer {
    content: Arc<Mutex<Vec<f32>>>,
    bytes: u64,
}

impl Buffer {
    pub(crate) fn new(content: Vec<f32>) -> Self {
        Self { bytes: size_of_val(&*content) as u64, content: Arc::new(Mutex::new(content)) }
    }

    pub(crate) fn zeros(len: usize) -> Self {
        Self::new(vec![0.0; len])
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<f32>> {
        lock(&self.content)
    }

    /// Its size, without waiting for the kernel that has it.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A lock whose data stay valid whoever panicked: plain numbers.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sums of durations for monitoring, in nanoseconds. Idle, they cost one relaxed load per launch.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    on: AtomicBool,
    pub(crate) kernel: AtomicU64,
    pub(crate) copy: AtomicU64,
    pub(crate) fill: AtomicU64,
    pub(crate) communication: AtomicU64,
    pub(crate) runtime: AtomicU64,
}

impl Meters {
    pub(crate) fn switch(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    pub(crate) fn on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    fn add(&self, activity: Activity, ns: i64) {
        let meter = match activity {
            Activity::Kernel => &self.kernel,
            Activity::Copy { .. } => &self.copy,
            Activity::Fill { .. } => &self.fill,
            Activity::AllReduce { .. } => &self.communication,
        };
        meter.fetch_add(ns.unsigned_abs(), Ordering::Relaxed);
    }
}

/// The device. Dropping it finishes what is queued.
#[derive(Debug)]
pub(crate) struct Device {
    queues: Vec<SyncSender<Item>>,
    threads: Vec<JoinHandle<()>>,
    events: Arc<Mutex<Vec<DeviceEvent>>>,
}

impl Device {
    /// Starts a thread per stream.
    pub(crate) fn start(clock: Clock, meters: &Arc<Meters>) -> std::io::Result<Self> {
        let events = Arc::<Mutex<Vec<DeviceEvent>>>::default();
        let mut device = Self { queues: Vec::new(), threads: Vec::new(), events };
        for stream in Stream::ALL {
            let (queue, items) = sync_channel(QUEUE);
            let (events, meters) = (Arc::clone(&device.events), Arc::clone(meters));
            let body = move || serve(&items, stream, clock, &events, &meters);
            device.queues.push(queue);
            device.threads.push(thread::Builder::new().name(format!("stream {}", stream.id())).spawn(body)?);
        }
        Ok(device)
    }

    /// Queues work; blocks only while the stream's queue is full.
    pub(crate) fn launch(&self, stream: Stream, launch: Launch) {
        self.queue(stream, Item::Launch(launch));
    }

    /// Marks the point that a stream has been given work up to.
    pub(crate) fn fence(&self, stream: Stream) -> Fence {
        let fence = Fence::default();
        self.queue(stream, Item::Signal(fence.clone()));
        fence
    }

    /// Makes a stream wait for a point of another one.
    pub(crate) fn wait_for(&self, stream: Stream, fence: &Fence) {
        self.queue(stream, Item::Wait(fence.clone()));
    }

    /// Blocks until all streams have done what they were given.
    pub(crate) fn synchronize(&self) {
        Stream::ALL.map(|s| self.fence(s)).iter().for_each(Fence::wait);
    }

    /// Takes what was recorded since the last time.
    pub(crate) fn take_events(&self) -> Vec<DeviceEvent> {
        std::mem::take(&mut lock(&self.events))
    }

    fn queue(&self, stream: Stream, item: Item) {
        // A stream's thread ends only after its queue is closed, so this cannot fail; were it to, the launch
        // would be lost as on a device that has fallen off the bus.
        let lost = self.queues[stream as usize].send(item);
        debug_assert!(lost.is_ok(), "streams outlive their queues");
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.queues.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A stream's thread.
fn serve(
    items: &Receiver<Item>,
    stream: Stream,
    clock: Clock,
    events: &Mutex<Vec<DeviceEvent>>,
    meters: &Meters,
) {
    for item in items {
        match item {
            Item::Launch(launch) => execute(launch, stream, clock, events, meters),
            Item::Signal(fence) => fence.signal(),
            Item::Wait(fence) => fence.wait(),
        }
    }
}

fn execute(launch: Launch, stream: Stream, clock: Clock, events: &Mutex<Vec<DeviceEvent>>, meters: &Meters) {
    let Launch { name, activity, tie, work } = launch;
    if tie.is_none() && !meters.on() {
        return work();
    }
    let start = clock.now();
    work();
    let end = clock.now();
    if meters.on() {
        meters.add(activity, end - start);
    }
    if let Some(tie) = tie {
        lock(events).push(DeviceEvent { name, stream, activity, tie, start, end });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(traced: bool, work: impl FnOnce() + Send + 'static) -> Launch {
        let tie = traced.then_some(Tie { correlation: 1, external: None });
        Launch { name: "k", activity: Activity::Kernel, tie, work: Box::new(work) }
    }

    #[test]
    fn streams_wait_for_each_other_and_only_traced_work_is_kept() {
        let device = Device::start(Clock::start(), &Arc::default()).unwrap();
        let buffer = Buffer::zeros(1);
        let (first, second) = (buffer.clone(), buffer.clone());
        device.launch(
            Stream::Copy,
            launch(false, move || {
                thread::sleep(std::time::Duration::from_millis(5));
                first.lock()[0] = 3.0;
            }),
        );
        let copied = device.fence(Stream::Copy);
        device.wait_for(Stream::Compute, &copied);
        device.launch(Stream::Compute, launch(true, move || second.lock()[0] *= 2.0));
        device.synchronize();
        assert_eq!(buffer.lock()[0], 6.0);
        let events = device.take_events();
        assert_eq!(events.len(), 1);
        assert!(events[0].start <= events[0].end && events[0].stream == Stream::Compute);
    }

    #[test]
    fn meters_count_only_while_they_are_on() {
        let meters = Arc::new(Meters::default());
        let device = Device::start(Clock::start(), &meters).unwrap();
        let work = || thread::sleep(std::time::Duration::from_millis(1));
        device.launch(Stream::Compute, launch(false, work));
        device.synchronize();
        assert_eq!(meters.kernel.load(Ordering::Relaxed), 0);
        meters.switch(true);
        device.launch(Stream::Compute, launch(false, work));
        device.synchronize();
        assert!(meters.kernel.load(Ordering::Relaxed) >= 1_000_000);
        assert!(device.take_events().is_empty());
    }
}
