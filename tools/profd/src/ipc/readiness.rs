//! Descriptors that the event loop watches.

use std::os::fd::{AsFd, AsRawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the loop of the current runtime watch a descriptor for something to read.
#[expect(
    deprecated,
    reason = "its successor is unsafe for types that lend a descriptor they do not own; these own theirs"
)]
pub(crate) fn watch<T: AsFd + AsRawFd>(owner: T) -> std::io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(owner, Interest::READABLE)
}
