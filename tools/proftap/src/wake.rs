//! Waking up the poll(2) loop: by SIGTERM and SIGINT, and from other threads.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// The receiving end: readable after a wake-up.
#[derive(Debug)]
pub(crate) struct WakeReceiver {
    reader: UnixStream,
    writer: UnixStream,
    stopped: Arc<AtomicBool>,
}

/// The sending end, for another thread.
#[derive(Debug)]
pub(crate) struct WakeSender(UnixStream);

impl WakeReceiver {
    /// Creates a receiver without signals, for tests.
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader, writer, stopped: Arc::default() })
    }

    /// Returns a guard that requests to stop when it is dropped, as a signal does.
    #[cfg(test)]
    pub(crate) fn stop_on_drop(&self) -> StopOnDrop {
        StopOnDrop { stopped: Arc::clone(&self.stopped), waker: self.new_sender().unwrap() }
    }

    /// Creates a receiver for which SIGTERM and SIGINT request to stop. A second signal has its default action, so it
    /// terminates the process at once.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let wake = Self::new()?;
        for signal in [SIGTERM, SIGINT] {
            flag::register_conditional_default(signal, Arc::clone(&wake.stopped))?;
            flag::register(signal, Arc::clone(&wake.stopped))?;
            low_level::pipe::register(signal, wake.writer.try_clone()?)?;
        }
        Ok(wake)
    }

    /// Creates a sending end for another thread.
    pub(crate) fn new_sender(&self) -> io::Result<WakeSender> {
        self.writer.try_clone().map(WakeSender)
    }

    /// Whether a signal has requested to stop.
    pub(crate) fn stop_requested(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Consumes the wake-ups received so far.
    pub(crate) fn drain_wakeups(&mut self) {
        let mut sink = [0; 64];
        while self.reader.read(&mut sink).is_ok_and(|n| n == sink.len()) {}
    }
}

/// See [`Wake::stopper`].
#[cfg(test)]
pub(crate) struct StopOnDrop {
    stopped: Arc<AtomicBool>,
    waker: WakeSender,
}

#[cfg(test)]
impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.waker.wake();
    }
}

impl AsFd for WakeReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl WakeSender {
    /// Wakes up the loop. If the socket buffer is full, the loop is about to wake up anyway.
    pub(crate) fn wake(&self) {
        let _ = (&self.0).write(b"w");
    }
}

/// Waits until a descriptor is ready or the deadline has passed. A signal ends the wait early without an error.
pub(crate) fn poll_until(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    // Wait a little longer, so that the loop does not wake up just before the deadline and spin until it.
    let left = deadline.map(|d| d.saturating_duration_since(Instant::now()) + Duration::from_micros(250));
    let limit = left.and_then(|l| Timespec::try_from(l).ok());
    match poll(fds, limit.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::PollFlags;

    #[test]
    fn a_thread_wakes_the_loop_once() {
        let mut wake = WakeReceiver::new().unwrap();
        let waker = wake.new_sender().unwrap();
        std::thread::spawn(move || (0..200).for_each(|_| waker.wake())).join().unwrap();
        let ready = |wake: &WakeReceiver, ms| {
            let mut fds = [PollFd::new(wake, PollFlags::IN)];
            poll_until(&mut fds, Some(Instant::now() + Duration::from_millis(ms))).unwrap();
            !fds[0].revents().is_empty()
        };
        assert!(ready(&wake, 10_000));
        wake.drain_wakeups();
        assert!(!ready(&wake, 1));
        assert!(!wake.stop_requested());
    }
}
