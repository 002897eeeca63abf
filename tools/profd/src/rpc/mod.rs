//! The RPC side: TCP listeners, connections, and the requests that come over them.

pub(crate) mod audited;
pub(crate) mod client_hello;
pub(crate) mod connection;
pub(crate) mod connection_pool;
pub(crate) mod connection_table;
pub(crate) mod context;
pub(crate) mod dispatch;
pub(crate) mod handshake_fault;
pub(crate) mod listen;
pub(crate) mod peer;
pub(crate) mod rejection;
pub(crate) mod server;
pub(crate) mod sources;

/// Returns a random number, evenly distributed in 0 to 1.
pub(crate) fn random_share() -> f64 {
    let mut bytes = [0; 4];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
