//! The protocol between client and daemon: TCP, default port 1778, one JSON object per frame.
//!
//! Bytes ([`frame`]), meaning ([`message`]: requests; a file for the replies of each group of functions) and the text of a config ([`config`]) are apart, and none does
//! I/O: both ends use the same types with whatever stream they have.

pub mod config;
pub mod failure;
pub mod frame;
pub mod message;
pub mod metrics;
pub mod on_demand;
pub mod progress;
pub mod selection;
pub mod status;

/// The port that clients and daemons of this family use by default.
pub const DEFAULT_PORT: u16 = 1778;
