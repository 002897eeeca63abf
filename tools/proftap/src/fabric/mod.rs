//! The process side of the IPC fabric: the daemon's sockets, the client socket, and the exchange of messages.
//!
//! | module | holds |
//! |---|---|
//! | `args` | the options, and the validated plan |
//! | `identity` | how the process identifies itself, and which senders it trusts |
//! | `sockets` | the sockets of all known daemons, and the matching client socket |
//! | `daemon_link` | registration, polls and replies, with their timing |
//! | `message_queue` | messages that wait for the daemon, bounded |
//! | `report` | events of the link as records and diagnostics |
//!
//! The caller decides what a config makes the process do.

mod args;
mod daemon_link;
mod identity;
mod message_queue;
mod report;
mod sockets;

pub(crate) use args::{FabricArgs, FabricClientPlan};
pub(crate) use daemon_link::{DaemonLink, FabricEvent};
pub(crate) use identity::ProcessIdentity;
pub(crate) use message_queue::MessageQueue;
pub(crate) use report::FabricReporter;
