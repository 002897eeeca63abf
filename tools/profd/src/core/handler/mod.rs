//! One file per RPC function. A handler turns a request and the registry into a reply; it waits for nothing.

mod dcgm;
mod status;
mod trace;
mod version;

use common::rpc::message::{Failure, Request};
use serde::Serialize;

use crate::rpc::peer::Peer;
use crate::state::Shared;

/// Answers a request: the body of the reply's frame.
pub(crate) fn answer(shared: &Shared, peer: &Peer, request: &Request) -> Vec<u8> {
    match request {
        Request::Status { extended } => status::answer(shared, peer, *extended),
        Request::Version => version::answer(shared, peer),
        Request::OnDemand(request) => trace::answer(shared, peer, request),
        Request::DcgmPause { .. } | Request::DcgmResume => dcgm::answer(shared, peer, request),
    }
}

/// A reply's bytes.
fn encode(reply: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(reply).unwrap_or_else(|_| br#"{"status":"failed"}"#.to_vec())
}

/// A refusal's bytes.
fn failure(reason: impl std::fmt::Display) -> Vec<u8> {
    encode(&Failure::new(reason))
}
