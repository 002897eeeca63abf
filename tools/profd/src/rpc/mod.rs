//! The RPC side: TCP listeners, connections, and the requests that come over them.

pub(crate) mod audited;
pub(crate) mod connection;
pub(crate) mod connection_pool;
pub(crate) mod connection_table;
pub(crate) mod context;
pub(crate) mod dispatch;
pub(crate) mod listen;
pub(crate) mod peer;
pub(crate) mod refusal;
pub(crate) mod server;
pub(crate) mod sources;
