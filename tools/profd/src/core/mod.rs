//! The core: what messages and requests mean. It does no I/O, reads no clock and writes no log.
//!
//! A handler takes a request, the facts that were looked up for it and the registry, and returns a reply and a list of
//! effects. [`crate::rpc::dispatch`] looks up the facts, encodes the reply and performs the effects. Messages of
//! processes are handled by the [`registry`] directly.

pub(crate) mod handler;
pub(crate) mod outcome;
pub(crate) mod output_roots;
pub(crate) mod registry;
