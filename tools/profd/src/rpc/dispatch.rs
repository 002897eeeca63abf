//! From a request to the bytes of its reply: looks up the facts, calls the handler, performs the effects.
//!
//! Lookups about processes poll descriptors and read `/proc`. They run on a thread for blocking work, and only when
//! there are processes: a request that needs no lookup is answered without a change of threads.

use std::sync::Arc;

use common::rpc::message::{OnDemand, Request};

use crate::core::handler::status::{StatusFacts, handle_status};
use crate::core::handler::trace::{TraceFacts, check_config, handle_trace};
use crate::core::handler::{dcgm::handle_dcgm, version::handle_version};
use crate::core::outcome::{Effect, HandlerOutcome};
use crate::rpc::context::RpcContext;
use crate::rpc::peer::RpcPeer;
use crate::state::DaemonState;

/// Answers a request. Returns the body of the reply frame.
pub(crate) async fn answer_request(context: &RpcContext, peer: &RpcPeer, request: Request) -> Vec<u8> {
    let outcome = match request {
        Request::Version => handle_version(),
        Request::Status { extended } => look_up_and_handle_status(context, extended).await,
        Request::OnDemand(request) => look_up_and_handle_trace(context, request).await,
        Request::DcgmPause { .. } | Request::DcgmResume => handle_dcgm(request.name()),
    };
    perform_effects(&context.state, peer, outcome.effects);
    outcome.reply.encode()
}

async fn look_up_and_handle_status(context: &RpcContext, extended: bool) -> HandlerOutcome {
    let state = &context.state;
    look_up(state, DaemonState::reap_dead_processes).await;
    let facts = extended.then(|| StatusFacts {
        counters: state.counters.snapshot(),
        certificates: context.certs.as_ref().map(|certs| certs.certificate_status()),
    });
    handle_status(&state.registry(), state.uptime(), facts)
}

async fn look_up_and_handle_trace(context: &RpcContext, request: OnDemand) -> HandlerOutcome {
    let state = &context.state;
    let config = match check_config(&request, &context.output_roots) {
        Ok(config) => config,
        Err(outcome) => return outcome,
    };
    let request = Arc::new(request);
    let lent = request.clone();
    let lookup = look_up(state, move |state| {
        // Dead processes are removed first, so that nothing is read for them and none of them matches.
        state.reap_dead_processes();
        let claims = state.registry().ancestry_claims(state.uptime(), &lent);
        let confirmed = state.procfs.confirm_ancestry(&claims);
        let false_claims = (claims.len() - confirmed.len()) as u64;
        (confirmed, false_claims)
    });
    let (confirmed, false_claims) = lookup.await.unwrap_or_default();
    // Nothing is awaited from here on: whether the daemon is stopping is read last, and what is accepted is answered.
    let mut registry = state.registry();
    let facts = TraceFacts { now: state.uptime(), is_stopping: state.is_stopping(), confirmed, false_claims };
    handle_trace(&mut registry, &request, &config, &facts, &mut random_trace_id)
}

/// Runs a lookup on a thread for blocking work. Returns `None` without processes: there is nothing to look up then.
async fn look_up<T: Send + 'static>(
    state: &Arc<DaemonState>,
    lookup: impl FnOnce(&DaemonState) -> T + Send + 'static,
) -> Option<T> {
    if state.watch.is_empty() {
        return None;
    }
    let state = state.clone();
    // An error means that the runtime is shutting down, which ends this connection as well.
    tokio::task::spawn_blocking(move || lookup(&state)).await.ok()
}

fn perform_effects(state: &DaemonState, peer: &RpcPeer, effects: Vec<Effect>) {
    for effect in effects {
        match effect {
            Effect::LogAudit(line) => state.log.notice(peer, line),
            Effect::LogDebug(line) => state.log.debug(peer, line),
            Effect::CountAcceptedConfigs(n) => state.counters.configs_accepted.add(n),
            Effect::CountFalseAncestors(n) => state.counters.false_ancestors.add(n),
        }
    }
}

/// Returns a random id below 2^63: some readers of a trace take it for a signed number.
fn random_trace_id() -> u64 {
    let mut bytes = [0; 8];
    // getrandom(2) does not fail for so few bytes once the generator is seeded. If it did, the id would repeat, and two
    // traces would seem to belong to one request.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    (u64::from_ne_bytes(bytes) >> 1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_ids_differ_and_fit_into_63_bits() {
        let ids: std::collections::BTreeSet<u64> = (0..100).map(|_| random_trace_id()).collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| *id > 0 && i64::try_from(*id).is_ok()));
    }
}
