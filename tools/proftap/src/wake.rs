//! What wakes the one poll(2) loop from outside: SIGTERM, SIGINT, and other threads.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// The reading end; becomes readable when something happened.
#[derive(Debug)]
pub(crate) struct Wake {
    reader: UnixStream,
    writer: UnixStream,
    stopped: Arc<AtomicBool>,
}

/// A thread's end.
#[derive(Debug)]
pub(crate) struct Waker(UnixStream);

impl Wake {
    /// A pair without signals; what tests use.
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader, writer, stopped: Arc::default() })
    }

    /// Does what a signal does, when it is dropped.
    #[cfg(test)]
    pub(crate) fn stopper(&self) -> Stopper {
        Stopper { stopped: Arc::clone(&self.stopped), waker: self.waker().unwrap() }
    }

    /// Turns SIGTERM and SIGINT into a request to stop. A second signal ends the process as it would have
    /// without us: whoever asks twice does not want to wait.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let wake = Self::new()?;
        for signal in [SIGTERM, SIGINT] {
            flag::register_conditional_default(signal, Arc::clone(&wake.stopped))?;
            flag::register(signal, Arc::clone(&wake.stopped))?;
            low_level::pipe::register(signal, wake.writer.try_clone()?)?;
        }
        Ok(wake)
    }

    /// An end for another thread.
    pub(crate) fn waker(&self) -> io::Result<Waker> {
        self.writer.try_clone().map(Waker)
    }

    /// Whether a signal asked to stop.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Forgets what woke us.
    pub(crate) fn clear(&mut self) {
        let mut sink = [0; 64];
        while self.reader.read(&mut sink).is_ok_and(|n| n == sink.len()) {}
    }
}

/// See [`Wake::stopper`].
#[cfg(test)]
pub(crate) struct Stopper {
    stopped: Arc<AtomicBool>,
    waker: Waker,
}

#[cfg(test)]
impl Drop for Stopper {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.waker.wake();
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Waker {
    /// Wakes the loop. A full pipe wakes it as well.
    pub(crate) fn wake(&self) {
        let _ = (&self.0).write(b"w");
    }
}

/// Waits until a descriptor is ready or the deadline is there. A signal ends the wait early, which is no error.
pub(crate) fn wait(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    // A quarter of a millisecond more, so that we do not wake just before the deadline and spin up to it.
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
        let mut wake = Wake::new().unwrap();
        let waker = wake.waker().unwrap();
        std::thread::spawn(move || (0..200).for_each(|_| waker.wake())).join().unwrap();
        let ready = |wake: &Wake, ms| {
            let mut fds = [PollFd::new(wake, PollFlags::IN)];
            wait(&mut fds, Some(Instant::now() + Duration::from_millis(ms))).unwrap();
            !fds[0].revents().is_empty()
        };
        assert!(ready(&wake, 10_000));
        wake.clear();
        assert!(!ready(&wake, 1));
        assert!(!wake.stopped());
    }
}
