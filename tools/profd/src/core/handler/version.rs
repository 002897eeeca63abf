//! `getVersion`.

use common::rpc::message::VersionReply;

use crate::rpc::peer::Peer;
use crate::state::Shared;

/// Tells the version of the daemon.
pub(super) fn answer(shared: &Shared, peer: &Peer) -> Vec<u8> {
    shared.log.detail(peer, "getVersion");
    super::encode(&VersionReply { version: env!("CARGO_PKG_VERSION").to_owned() })
}
