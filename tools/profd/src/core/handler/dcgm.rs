//! `dcgmProfPause` and `dcgmProfResume`: there is no DCGM here, so the answer is that it was not done.

use common::rpc::message::{DcgmReply, Request};

use crate::rpc::peer::Peer;
use crate::state::Shared;

/// Says no.
pub(super) fn answer(shared: &Shared, peer: &Peer, request: &Request) -> Vec<u8> {
    shared.log.notice(peer, format_args!("{}: refused, this daemon does not use DCGM", request.name()));
    super::encode(&DcgmReply { status: false })
}
