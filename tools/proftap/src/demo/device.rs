//! A device that consists of threads: streams that execute launches asynchronously and in order.
//!
//! Like a real device it has a bounded launch queue per stream, and fences with which a stream waits for another one.
//! The thread that executes a kernel measures its time, only while a recording or monitoring is running.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::clock::JobClock;

/// Maximum number of queued launches per stream; the launching thread blocks beyond it.
const MAX_QUEUED_LAUNCHES: usize = 1024;

/// A stream of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceStream {
    Compute,
    Copy,
    Communication,
}

impl DeviceStream {
    pub(crate) const ALL: [Self; 3] = [Self::Compute, Self::Copy, Self::Communication];

    /// Returns the number of the stream in a trace.
    pub(crate) fn id(self) -> u32 {
        match self {
            Self::Compute => 7,
            Self::Copy => 13,
            Self::Communication => 20,
        }
    }
}

/// The kind of work of a launch, as a trace shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceActivity {
    Kernel,
    /// A copy between host and device.
    Copy {
        bytes: u64,
    },
    /// A fill of device memory.
    Fill {
        bytes: u64,
    },
    /// An all-reduce over the replicas.
    AllReduce {
        elements: u64,
    },
}

/// The ids that link a launch to the host side of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaunchIds {
    pub(crate) correlation: u64,
    /// The external id of the operator that launched it.
    pub(crate) external: Option<u64>,
}

/// An executed launch.
#[derive(Clone, Debug)]
pub(crate) struct DeviceEvent {
    pub(crate) name: &'static str,
    pub(crate) stream: DeviceStream,
    pub(crate) activity: DeviceActivity,
    pub(crate) ids: LaunchIds,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// Work to launch on a stream.
pub(crate) struct DeviceLaunch {
    pub(crate) name: &'static str,
    pub(crate) activity: DeviceActivity,
    /// Present while recording.
    pub(crate) ids: Option<LaunchIds>,
    pub(crate) work: Box<dyn FnOnce() + Send>,
}

enum StreamCommand {
    Launch(DeviceLaunch),
    Signal(StreamFence),
    Wait(StreamFence),
}

/// A point in a stream that others can wait for.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamFence(Arc<(Mutex<bool>, Condvar)>);

impl StreamFence {
    fn signal(&self) {
        *lock_ignoring_poison(&self.0.0) = true;
        self.0.1.notify_all();
    }

    /// Blocks until the stream has reached the point.
    pub(crate) fn wait(&self) {
        let passed = lock_ignoring_poison(&self.0.0);
        drop(self.0.1.wait_while(passed, |passed| !*passed).unwrap_or_else(PoisonError::into_inner));
    }
}

/// Device memory. A running kernel locks the buffers that it uses.
#[derive(Clone, Debug)]
pub(crate) struct DeviceBuffer {
    content: Arc<Mutex<Vec<f32>>>,
    bytes: u64,
}

impl DeviceBuffer {
    pub(crate) fn new(content: Vec<f32>) -> Self {
        Self { bytes: size_of_val(&*content) as u64, content: Arc::new(Mutex::new(content)) }
    }

    pub(crate) fn zeros(len: usize) -> Self {
        Self::new(vec![0.0; len])
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<f32>> {
        lock_ignoring_poison(&self.content)
    }

    /// Returns the size in bytes, without waiting for a running kernel.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.bytes
    }
}

/// Locks a mutex, also after a thread has panicked while it held the lock: the data are plain numbers.
pub(crate) fn lock_ignoring_poison<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sums of durations for monitoring, in nanoseconds. Disabled, they cost one relaxed load per launch.
#[derive(Debug, Default)]
pub(crate) struct ActivityMeters {
    enabled: AtomicBool,
    pub(crate) kernel: AtomicU64,
    pub(crate) copy: AtomicU64,
    pub(crate) fill: AtomicU64,
    pub(crate) communication: AtomicU64,
    pub(crate) runtime: AtomicU64,
}

impl ActivityMeters {
    pub(crate) fn set_enabled(&self, on: bool) {
        self.enabled.store(on, Ordering::Relaxed);
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    fn add_duration(&self, activity: DeviceActivity, ns: i64) {
        let meter = match activity {
            DeviceActivity::Kernel => &self.kernel,
            DeviceActivity::Copy { .. } => &self.copy,
            DeviceActivity::Fill { .. } => &self.fill,
            DeviceActivity::AllReduce { .. } => &self.communication,
        };
        meter.fetch_add(ns.unsigned_abs(), Ordering::Relaxed);
    }
}

/// The device. Dropping it finishes the queued work.
#[derive(Debug)]
pub(crate) struct ThreadDevice {
    queues: Vec<SyncSender<StreamCommand>>,
    threads: Vec<JoinHandle<()>>,
    events: Arc<Mutex<Vec<DeviceEvent>>>,
}

impl ThreadDevice {
    /// Starts a thread per stream.
    pub(crate) fn start(clock: JobClock, meters: &Arc<ActivityMeters>) -> std::io::Result<Self> {
        let events = Arc::<Mutex<Vec<DeviceEvent>>>::default();
        let mut device = Self { queues: Vec::new(), threads: Vec::new(), events };
        for stream in DeviceStream::ALL {
            let (queue, commands) = sync_channel(MAX_QUEUED_LAUNCHES);
            let (events, meters) = (Arc::clone(&device.events), Arc::clone(meters));
            let body = move || run_stream(&commands, stream, clock, &events, &meters);
            device.queues.push(queue);
            device.threads.push(thread::Builder::new().name(format!("stream {}", stream.id())).spawn(body)?);
        }
        Ok(device)
    }

    /// Queues work on a stream; blocks only while the queue of the stream is full.
    pub(crate) fn queue_launch(&self, stream: DeviceStream, launch: DeviceLaunch) {
        self.queue_command(stream, StreamCommand::Launch(launch));
    }

    /// Records a fence after the work queued on a stream so far.
    pub(crate) fn record_fence(&self, stream: DeviceStream) -> StreamFence {
        let fence = StreamFence::default();
        self.queue_command(stream, StreamCommand::Signal(fence.clone()));
        fence
    }

    /// Makes a stream wait for a fence of another one.
    pub(crate) fn wait_for(&self, stream: DeviceStream, fence: &StreamFence) {
        self.queue_command(stream, StreamCommand::Wait(fence.clone()));
    }

    /// Blocks until all streams have executed their queued work.
    pub(crate) fn synchronize(&self) {
        DeviceStream::ALL.map(|s| self.record_fence(s)).iter().for_each(StreamFence::wait);
    }

    /// Takes the events recorded since the last call.
    pub(crate) fn take_events(&self) -> Vec<DeviceEvent> {
        std::mem::take(&mut lock_ignoring_poison(&self.events))
    }

    fn queue_command(&self, stream: DeviceStream, command: StreamCommand) {
        // The thread of a stream ends only after its queue is closed, so sending cannot fail.
        let sent = self.queues[stream as usize].send(command);
        debug_assert!(sent.is_ok(), "streams outlive their queues");
    }
}

impl Drop for ThreadDevice {
    fn drop(&mut self) {
        self.queues.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Runs the thread of a stream.
fn run_stream(
    commands: &Receiver<StreamCommand>,
    stream: DeviceStream,
    clock: JobClock,
    events: &Mutex<Vec<DeviceEvent>>,
    meters: &ActivityMeters,
) {
    for command in commands {
        match command {
            StreamCommand::Launch(launch) => execute_launch(launch, stream, clock, events, meters),
            StreamCommand::Signal(fence) => fence.signal(),
            StreamCommand::Wait(fence) => fence.wait(),
        }
    }
}

fn execute_launch(
    launch: DeviceLaunch,
    stream: DeviceStream,
    clock: JobClock,
    events: &Mutex<Vec<DeviceEvent>>,
    meters: &ActivityMeters,
) {
    let DeviceLaunch { name, activity, ids, work } = launch;
    if ids.is_none() && !meters.is_enabled() {
        return work();
    }
    let start = clock.now_ns();
    work();
    let end = clock.now_ns();
    if meters.is_enabled() {
        meters.add_duration(activity, end - start);
    }
    if let Some(ids) = ids {
        lock_ignoring_poison(events).push(DeviceEvent { name, stream, activity, ids, start, end });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(traced: bool, work: impl FnOnce() + Send + 'static) -> DeviceLaunch {
        let ids = traced.then_some(LaunchIds { correlation: 1, external: None });
        DeviceLaunch { name: "k", activity: DeviceActivity::Kernel, ids, work: Box::new(work) }
    }

    #[test]
    fn streams_wait_for_each_other_and_only_traced_work_is_kept() {
        let device = ThreadDevice::start(JobClock::start(), &Arc::default()).unwrap();
        let buffer = DeviceBuffer::zeros(1);
        let (first, second) = (buffer.clone(), buffer.clone());
        device.queue_launch(
            DeviceStream::Copy,
            launch(false, move || {
                thread::sleep(std::time::Duration::from_millis(5));
                first.lock()[0] = 3.0;
            }),
        );
        let copied = device.record_fence(DeviceStream::Copy);
        device.wait_for(DeviceStream::Compute, &copied);
        device.queue_launch(DeviceStream::Compute, launch(true, move || second.lock()[0] *= 2.0));
        device.synchronize();
        assert_eq!(buffer.lock()[0], 6.0);
        let events = device.take_events();
        assert_eq!(events.len(), 1);
        assert!(events[0].start <= events[0].end && events[0].stream == DeviceStream::Compute);
    }

    #[test]
    fn meters_count_only_while_they_are_enabled() {
        let meters = Arc::new(ActivityMeters::default());
        let device = ThreadDevice::start(JobClock::start(), &meters).unwrap();
        let work = || thread::sleep(std::time::Duration::from_millis(1));
        device.queue_launch(DeviceStream::Compute, launch(false, work));
        device.synchronize();
        assert_eq!(meters.kernel.load(Ordering::Relaxed), 0);
        meters.set_enabled(true);
        device.queue_launch(DeviceStream::Compute, launch(false, work));
        device.synchronize();
        assert!(meters.kernel.load(Ordering::Relaxed) >= 1_000_000);
        assert!(device.take_events().is_empty());
    }
}
