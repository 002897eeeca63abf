//! The protocol between daemon and training processes: Unix datagrams on the same host.
//!
//! [`message`] decodes and encodes datagrams without I/O; [`address`] has the addresses of the sockets of all known versions
//! of peers; [`socket`] is a datagram socket that reports the sender's credentials as the kernel knows them.

pub mod address;
pub mod message;
pub mod socket;
