//! The registry: jobs, their processes, the configs that are pending for them, and what they report.
//!
//! It does no I/O and reads no clock. Messages, the sender's host pid and the time come in as arguments, replies are
//! returned. [`crate::ipc`] establishes who sent a message, sends the replies and reports processes that have ended.
//!
//! A process is identified by the user and the pid that the kernel reports for the sender of a datagram (unix(7),
//! `SCM_CREDENTIALS`), not by the pid that the message claims, and by its job: one process may hold two profilers that
//! name different jobs. Two users who name the same job have a job each.

mod config_history;
pub(crate) mod last_request;
pub(crate) mod pid_match;
mod process;
pub(crate) mod process_facts;
pub(crate) mod process_role;
pub(crate) mod process_traits;
mod profiler_state;
pub(crate) mod rejections;
pub(crate) mod selection;
pub(crate) mod snapshot;
mod status;
mod table;
mod trace_output;
pub(crate) mod trace_request;
mod uptime;

pub(crate) use process::{SenderId, Uptime};
pub(crate) use table::{ProfilerFunction, RegistrationError, Registry, RegistryLimits, RemovedCounts};

#[cfg(test)]
mod tests;
