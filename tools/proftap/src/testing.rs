//! A daemon for tests: answers as profd does, and says whatever a test wants it to.

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
pub(crate) struct Fake {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Texts to be handed out, one per poll.
    configs: Mutex<VecDeque<String>>,
    /// Datagrams to be sent before the next answer.
    raw: Mutex<Vec<Vec<u8>>>,
    heard: Mutex<Vec<Message>>,
    /// Polls in a row that got no config.
    idle_polls: AtomicU32,
}

impl Fake {
    pub(crate) fn start(dir: &Path) -> Self {
        let bind = |name: &str| Socket::bind(&Address::Path(dir.join(name)), Mode(0o600)).unwrap();
        let sockets = [bind("dynolog"), bind("dynolog_data")];
        let shared = Arc::<Shared>::default();
        let body = Arc::clone(&shared);
        Self { shared, thread: Some(thread::spawn(move || body.serve(&sockets))) }
    }

    /// Hands a config out at the next poll that gets none before it.
    pub(crate) fn config(&self, text: impl Into<String>) {
        self.shared.configs.lock().unwrap().push_back(text.into());
    }

    /// Sends a datagram before the next answer.
    pub(crate) fn say(&self, datagram: &[u8]) {
        self.shared.raw.lock().unwrap().push(datagram.to_vec());
    }

    /// Whether all configs have been fetched and the process has asked again since.
    pub(crate) fn is_drained(&self) -> bool {
        self.shared.configs.lock().unwrap().is_empty() && self.shared.idle_polls.load(Ordering::Relaxed) >= 2
    }

    /// Ends it, and returns all that was sent to it.
    pub(crate) fn finish(self) -> Vec<Message> {
        let shared = Arc::clone(&self.shared);
        drop(self);
        std::mem::take(&mut shared.heard.lock().unwrap())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Shared {
    fn serve(&self, sockets: &[Socket; 2]) {
        let mut buf = buffer();
        while !self.stop.load(Ordering::Relaxed) {
            let _ = sockets[0].wait(Duration::from_millis(2));
            sockets.iter().for_each(|socket| self.drain(socket, &mut buf));
        }
        // What was sent before the end counts.
        sockets.iter().for_each(|socket| self.drain(socket, &mut buf));
    }

    fn drain(&self, socket: &Socket, buf: &mut [u8]) {
        while let Ok(got) = socket.receive(buf) {
            let message = Message::decode(&buf[..got.len]).unwrap();
            self.heard.lock().unwrap().push(message.clone());
            let Some(to) = got.from else { continue };
            let datagrams = self.raw.lock().unwrap().drain(..).collect::<Vec<_>>();
            let answer = self.answer(&message).map(|reply| reply.encode());
            for datagram in datagrams.into_iter().chain(answer) {
                let _ = socket.send(&datagram, &to);
            }
        }
    }

    fn answer(&self, message: &Message) -> Option<Reply> {
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

/// Standard output, to look at afterwards.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// An output that is captured.
    pub(crate) fn out(&self) -> Out {
        let mut out = Out::to(Box::new(self.clone()), "proftap", false, Verbosity::Quiet);
        out.flush_each_record();
        out
    }

    /// The whole lines so far; the last one may be under way.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.split_inclusive('\n').filter_map(|l| l.strip_suffix('\n')).map(str::to_owned).collect()
    }

    /// The records of one type.
    pub(crate) fn records<R: common::record::Record>(&self) -> Vec<R> {
        self.lines().iter().filter_map(|line| common::record::read(line).unwrap()).collect()
    }
}

impl Write for Captured {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
