//! A daemon for tests: it replies as profd does, and also sends arbitrary datagrams.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::ipc::address::Address;
use common::ipc::message::{Message, Reply};
use common::ipc::socket::{Socket, buffer};
use common::out::{Out, Verbosity};
use common::policy::Mode;

/// A daemon at `<dir>/dynolog` and `<dir>/dynolog_data`.
pub(crate) struct FakeDaemon {
    shared: Arc<FakeDaemonState>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct FakeDaemonState {
    stop: AtomicBool,
    /// Config texts to hand out, one per poll.
    configs: Mutex<VecDeque<String>>,
    /// Datagrams to send before the next reply.
    raw: Mutex<Vec<Vec<u8>>>,
    received: Mutex<Vec<Message>>,
    /// Number of consecutive polls without a config.
    idle_polls: AtomicU32,
}

impl FakeDaemon {
    pub(crate) fn start_in(dir: &Path) -> Self {
        let bind = |name: &str| Socket::bind(&Address::Path(dir.join(name)), Mode(0o600)).unwrap();
        let sockets = [bind("dynolog"), bind("dynolog_data")];
        let shared = Arc::<FakeDaemonState>::default();
        let body = Arc::clone(&shared);
        Self { shared, thread: Some(thread::spawn(move || body.run_loop(&sockets))) }
    }

    /// Hands out a config at a later poll, after those queued before.
    pub(crate) fn queue_config(&self, text: impl Into<String>) {
        self.shared.configs.lock().unwrap().push_back(text.into());
    }

    /// Sends a datagram before the next reply.
    pub(crate) fn queue_datagram(&self, datagram: &[u8]) {
        self.shared.raw.lock().unwrap().push(datagram.to_vec());
    }

    /// Whether all configs have been fetched and the process has polled again since.
    pub(crate) fn has_delivered_all(&self) -> bool {
        self.shared.configs.lock().unwrap().is_empty() && self.shared.idle_polls.load(Ordering::Relaxed) >= 2
    }

    /// Stops the daemon, and returns the messages that it received.
    pub(crate) fn stop_and_take_messages(self) -> Vec<Message> {
        let shared = Arc::clone(&self.shared);
        drop(self);
        std::mem::take(&mut shared.received.lock().unwrap())
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl FakeDaemonState {
    fn run_loop(&self, sockets: &[Socket; 2]) {
        let mut buf = buffer();
        while !self.stop.load(Ordering::Relaxed) {
            let _ = sockets[0].wait(Duration::from_millis(2));
            sockets.iter().for_each(|socket| self.handle_messages(socket, &mut buf));
        }
        // Messages that were sent before the stop count.
        sockets.iter().for_each(|socket| self.handle_messages(socket, &mut buf));
    }

    fn handle_messages(&self, socket: &Socket, buf: &mut [u8]) {
        while let Ok(got) = socket.receive(buf) {
            let message = Message::decode(&buf[..got.len]).unwrap();
            self.received.lock().unwrap().push(message.clone());
            let Some(to) = got.from else { continue };
            let datagrams = self.raw.lock().unwrap().drain(..).collect::<Vec<_>>();
            let answer = self.build_reply(&message).map(|reply| reply.encode());
            for datagram in datagrams.into_iter().chain(answer) {
                let _ = socket.send(&datagram, &to);
            }
        }
    }

    fn build_reply(&self, message: &Message) -> Option<Reply> {
        match message {
            Message::Register(_) => Some(Reply::Registered(1)),
            Message::Poll(_) => {
                let text = self.configs.lock().unwrap().pop_front();
                let idle = if text.is_some() { 0 } else { self.idle_polls.load(Ordering::Relaxed) + 1 };
                self.idle_polls.store(idle, Ordering::Relaxed);
                let text = text.unwrap_or_default();
                Some(Reply::Config(text.into_bytes()))
            }
            _ => None,
        }
    }
}

/// Captured standard output.
#[derive(Clone, Default)]
pub(crate) struct CapturedOutput(Arc<Mutex<Vec<u8>>>);

impl CapturedOutput {
    /// Creates an output that is captured.
    pub(crate) fn new_out(&self) -> Out {
        let mut out = Out::to(Box::new(self.clone()), "proftap", false, Verbosity::Quiet);
        out.flush_each_record();
        out
    }

    /// Returns the complete lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.split_inclusive('\n').filter_map(|l| l.strip_suffix('\n')).map(str::to_owned).collect()
    }

    /// Returns the records of one type.
    pub(crate) fn records<R: common::record::Record>(&self) -> Vec<R> {
        self.lines().iter().filter_map(|line| common::record::read(line).unwrap()).collect()
    }
}

impl Write for CapturedOutput {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
