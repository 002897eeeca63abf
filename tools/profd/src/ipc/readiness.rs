//! Descriptors that the event loop watches.

use std::os::fd::{AsFd, AsRawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets the current runtime watch a descriptor for something to read.
///
/// # Errors
/// The runtime's event queue is full.
#[expect(
    deprecated,
    reason = "its successor is unsafe for types that lend a descriptor they do not own; these own theirs"
)]
pub(super) fn watch_readable<T: AsFd + AsRawFd>(owner: T) -> std::io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(owner, Interest::READABLE)
}
