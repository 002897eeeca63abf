//! What messages mean: the registry of processes and the handlers of requests.

pub(crate) mod handler;
pub(crate) mod registry;
