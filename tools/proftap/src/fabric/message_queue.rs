//! Messages for the daemon: kept while it is absent or busy, up to a limit.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use common::ipc::message::Message;

use super::daemon_link::DaemonLink;

/// Maximum number of messages.
const MAX_MESSAGES: usize = 1024;
/// How soon to send again when the receive queue of the daemon is full.
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// A bounded queue. When it is full, the oldest message is dropped: only the latest status matters.
#[derive(Debug, Default)]
pub(crate) struct MessageQueue {
    queue: VecDeque<Message>,
    retry: Option<Instant>,
    sent: u64,
    dropped: u64,
}

impl MessageQueue {
    /// Appends a message.
    pub(crate) fn push(&mut self, message: Message) {
        if self.queue.len() >= MAX_MESSAGES {
            self.queue.pop_front();
            self.dropped += 1;
        }
        self.queue.push_back(message);
    }

    /// Sends messages until the daemon accepts no more.
    ///
    /// # Errors
    /// A message could not be sent although the daemon is neither busy nor absent; it is dropped.
    pub(crate) fn send_pending(&mut self, link: &DaemonLink, now: Instant) -> io::Result<()> {
        if self.retry.is_some_and(|at| now < at) {
            return Ok(());
        }
        self.retry = None;
        while let Some(message) = self.queue.front() {
            match link.send_message(message) {
                Ok(()) => self.sent += 1,
                Err(e) if e.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.retry = Some(now + RETRY_INTERVAL);
                    return Ok(());
                }
                Err(e) => {
                    self.queue.pop_front();
                    self.dropped += 1;
                    return Err(e);
                }
            }
            self.queue.pop_front();
        }
        Ok(())
    }

    /// Returns when to send again, if the daemon was busy.
    pub(crate) fn retry_time(&self) -> Option<Instant> {
        self.retry
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether input should wait. Without a daemon it does not wait: the oldest messages are dropped instead.
    pub(crate) fn is_full(&self, link: &DaemonLink) -> bool {
        link.is_connected() && self.queue.len() >= MAX_MESSAGES
    }

    /// Returns the number of messages sent.
    pub(crate) fn sent_count(&self) -> u64 {
        self.sent
    }

    /// Returns the number of messages not sent: those dropped and those still in the queue.
    pub(crate) fn unsent_count(&self) -> u64 {
        self.dropped + self.queue.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_message_is_dropped_when_the_queue_is_full() {
        let mut queue = MessageQueue::default();
        for n in 0..=MAX_MESSAGES {
            queue.push(Message::Data(n.to_string().into_bytes()));
        }
        assert_eq!(queue.queue.front(), Some(&Message::Data(b"1".to_vec())));
        assert_eq!((queue.sent_count(), queue.unsent_count()), (0, MAX_MESSAGES as u64 + 1));
    }
}
