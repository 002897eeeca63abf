//! Messages on their way to the daemon: kept while it is away or busy, up to a limit.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use common::ipc::message::Message;

use super::Link;

/// So many messages are kept.
const LIMIT: usize = 1024;
/// How soon to try again when the daemon's queue is full.
const RETRY: Duration = Duration::from_millis(5);

/// A bounded queue. Beyond the limit the oldest message goes: of a status only the last word counts.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Message>,
    retry: Option<Instant>,
    sent: u64,
    lost: u64,
}

impl Outbox {
    /// Puts a message at the end.
    pub(crate) fn push(&mut self, message: Message) {
        if self.queue.len() >= LIMIT {
            self.queue.pop_front();
            self.lost += 1;
        }
        self.queue.push_back(message);
    }

    /// Sends what the daemon takes. What it cannot take for another reason than being busy or away is lost,
    /// and the reason returned.
    pub(crate) fn flush(&mut self, link: &Link, now: Instant) -> io::Result<()> {
        if self.retry.is_some_and(|at| now < at) {
            return Ok(());
        }
        self.retry = None;
        while let Some(message) = self.queue.front() {
            match link.send(message) {
                Ok(()) => self.sent += 1,
                Err(e) if e.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.retry = Some(now + RETRY);
                    return Ok(());
                }
                Err(e) => {
                    self.queue.pop_front();
                    self.lost += 1;
                    return Err(e);
                }
            }
            self.queue.pop_front();
        }
        Ok(())
    }

    /// When to try again, if the daemon was busy.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.retry
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the writer should hold back. While the daemon is away nothing is gained by waiting for it.
    pub(crate) fn is_full(&self, link: &Link) -> bool {
        link.is_up() && self.queue.len() >= LIMIT
    }

    /// Messages that the daemon took.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Messages that it will never see, those still waiting included.
    pub(crate) fn unsent(&self) -> u64 {
        self.lost + self.queue.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_the_box_is_full() {
        let mut outbox = Outbox::default();
        for n in 0..=LIMIT {
            outbox.push(Message::Data(n.to_string().into_bytes()));
        }
        assert_eq!(outbox.queue.front(), Some(&Message::Data(b"1".to_vec())));
        assert_eq!((outbox.sent(), outbox.unsent()), (0, LIMIT as u64 + 1));
    }
}
