//! `getStatus`.

use common::rpc::message::StatusDetail;

use crate::rpc::peer::Peer;
use crate::state::Shared;

/// Most processes that a detailed answer lists, so that it stays below what clients accept.
const LISTED: usize = 4096;

/// Tells what the processes report, one word for all, and each of them if asked.
pub(super) fn answer(shared: &Shared, peer: &Peer, extended: bool) -> Vec<u8> {
    shared.bury();
    let now = shared.now();
    let mut reply = shared.registry().status(now);
    if extended {
        let (processes, processes_omitted) = shared.registry().list(now, LISTED);
        reply.detail = Some(StatusDetail {
            processes,
            processes_omitted,
            counters: shared.counters.snapshot(),
            uptime_s: now.as_secs(),
            certificates: shared.certs.as_ref().map(|certs| certs.status()),
        });
    }
    shared.log.detail(peer, "getStatus");
    super::encode(&reply)
}
