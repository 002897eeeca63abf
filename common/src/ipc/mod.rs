//! The protocol between daemon and training processes: Unix datagrams on the same host.
//!
//! [`message`] is bytes to meaning without I/O; [`address`] names the sockets of every known vintage of peer;
//! [`socket`] is a datagram socket that reports the kernel's word on who sent what.

pub mod address;
pub mod message;
pub mod socket;
