//! The side of the training processes: Unix datagrams in, replies out.
//!
//! It has a thread of its own, because libkineto (PyTorch 2.15) waits at most 9 x 10 ms for a reply and msMonitor's
//! process side (b942bf5) 5 x 10 ms: replies must not queue behind TLS handshakes. Sockets are read in batches when the
//! kernel reports them readable. A reply is sent at once or not at all, so no process can block the others, and a
//! config stays pending until it was sent.

mod datagram;
mod readiness;
mod reply_address;
mod senders;
mod server;
pub(crate) mod sockets;

pub(crate) use server::start_ipc;
