//! A bounded queue of what users' processes have sent: no user fills it, and its reader takes many at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::core::user_shares::{NoRoom, UserShares};

/// The writing end. Cheap to clone; the queue is closed when the last clone is dropped.
#[derive(Debug)]
pub(crate) struct QueueSender<T>(Arc<OpenQueue<T>>);

/// The reading end.
#[derive(Debug)]
pub(super) struct QueueReceiver<T>(Arc<SharedQueue<T>>);

/// The result of [`QueueReceiver::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueState {
    /// Items were taken.
    Filled,
    /// Nothing came until the deadline.
    Idle,
    /// Nothing is left, and nothing will come.
    Closed,
}

/// Closes the queue when it is dropped.
#[derive(Debug)]
struct OpenQueue<T>(Arc<SharedQueue<T>>);

#[derive(Debug)]
struct SharedQueue<T> {
    content: Mutex<QueueContent<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct QueueContent<T> {
    /// Each item with the account that it counts for.
    items: VecDeque<(u32, T)>,
    shares: UserShares,
    is_closed: bool,
    /// Whether the reader waits. Waking it costs a system call, so it is done only then.
    is_awaited: bool,
}

/// Creates a queue of at most `capacity` items, which several users may share.
pub(super) fn create_queue<T>(capacity: usize, is_shared: bool) -> (QueueSender<T>, QueueReceiver<T>) {
    let content = QueueContent {
        items: VecDeque::new(),
        shares: UserShares::new(capacity, is_shared),
        is_closed: false,
        is_awaited: false,
    };
    let shared = Arc::new(SharedQueue { content: Mutex::new(content), arrived: Condvar::new() });
    (QueueSender(Arc::new(OpenQueue(shared.clone()))), QueueReceiver(shared))
}

impl<T> Clone for QueueSender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> QueueSender<T> {
    /// Appends an item of an account.
    ///
    /// # Errors
    /// The queue is full, or the account has its share of it.
    pub(super) fn push(&self, account: u32, item: T) -> Result<(), NoRoom> {
        let mut content = self.0.0.lock();
        content.shares.check_room(account)?;
        content.append(account, item);
        self.0.0.wake_reader(content);
        Ok(())
    }

    /// Appends items, each of an account, and returns how many found no place.
    pub(super) fn push_all(&self, items: impl Iterator<Item = (u32, T)>) -> u64 {
        let mut content = self.0.0.lock();
        let mut lost = 0;
        for (account, item) in items {
            match content.shares.check_room(account) {
                Ok(()) => content.append(account, item),
                Err(_) => lost += 1,
            }
        }
        self.0.0.wake_reader(content);
        lost
    }
}

impl<T> QueueReceiver<T> {
    /// Moves at most `max` items to `into`, and waits for the first one, until the deadline if there is one.
    pub(super) fn receive(&self, into: &mut Vec<T>, max: usize, deadline: Option<Instant>) -> QueueState {
        let mut content = self.0.lock();
        while content.items.is_empty() {
            if content.is_closed {
                return QueueState::Closed;
            }
            content.is_awaited = true;
            content = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => {
                    content.is_awaited = false;
                    return QueueState::Idle;
                }
                Some(left) => {
                    self.0.arrived.wait_timeout(content, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.0.arrived.wait(content).unwrap_or_else(PoisonError::into_inner),
            };
        }
        content.is_awaited = false;
        let n = content.items.len().min(max);
        let QueueContent { items, shares, .. } = &mut *content;
        for (account, item) in items.drain(..n) {
            shares.remove(account);
            into.push(item);
        }
        QueueState::Filled
    }
}

impl<T> SharedQueue<T> {
    fn lock(&self) -> MutexGuard<'_, QueueContent<T>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_reader(&self, mut content: MutexGuard<'_, QueueContent<T>>) {
        let is_awaited = std::mem::take(&mut content.is_awaited);
        drop(content);
        if is_awaited {
            self.arrived.notify_one();
        }
    }
}

impl<T> QueueContent<T> {
    fn append(&mut self, account: u32, item: T) {
        self.shares.add(account);
        self.items.push_back((account, item));
    }
}

impl<T> Drop for OpenQueue<T> {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_full_queue_takes_nothing_and_a_closed_one_is_emptied() {
        let (sender, receiver) = create_queue(3, false);
        assert_eq!(sender.push_all((0..5).map(|n| (7, n))), 2);
        assert_eq!(sender.push(7, 9), Err(NoRoom::TableFull));
        let mut taken = Vec::new();
        assert_eq!(receiver.receive(&mut taken, 2, None), QueueState::Filled);
        assert_eq!(sender.clone().push(7, 9), Ok(()));
        drop(sender);
        assert_eq!(receiver.receive(&mut taken, 9, None), QueueState::Filled);
        assert_eq!(
            (taken.as_slice(), receiver.receive(&mut taken.clone(), 9, None)),
            (&[0, 1, 2, 9][..], QueueState::Closed)
        );
    }

    #[test]
    fn one_user_leaves_room_for_the_others() {
        let (sender, _receiver) = create_queue(8, true);
        assert_eq!(sender.push_all((0..8).map(|n| (1, n))), 4);
        assert_eq!(sender.push(1, 0), Err(NoRoom::ShareUsed));
        assert_eq!(sender.push(2, 0), Ok(()));
    }

    #[test]
    fn the_reader_is_woken_or_goes_on_at_its_deadline() {
        let (sender, receiver) = create_queue(8, false);
        let soon = Some(Instant::now() + Duration::from_millis(5));
        assert_eq!(receiver.receive(&mut Vec::new(), 1, soon), QueueState::Idle);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut taken = Vec::new();
                while receiver.receive(&mut taken, 2, None) == QueueState::Filled {}
                taken
            });
            for n in 0..5 {
                sender.push(1, n).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            drop(sender);
            assert_eq!(reader.join().unwrap(), [0, 1, 2, 3, 4]);
        });
    }
}
