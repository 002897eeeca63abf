//! The handlers: one file per function of the RPC protocol. Each is a function of its arguments alone.

pub(crate) mod dcgm;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod processes;
pub(crate) mod progress;
pub(crate) mod status;
pub(crate) mod trace;
pub(crate) mod version;
