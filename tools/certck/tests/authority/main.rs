//! Authorities over time: revoking, renewing, adding leaves, and all that must not be lost on the way.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../command/mod.rs"]
mod command;
#[path = "../support/mod.rs"]
mod support;

mod crls;
mod foreign;
mod leaves;
mod renewal;

const SERVER: &str = "pki/server_certs";
const CLIENT: &str = "pki/client_certs";
