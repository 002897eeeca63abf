//! `setKinetOnDemandRequest`: hands a config to the processes that match.

use std::fmt::Display;

use common::rpc::config::{Config, TRACE_ID};
use common::rpc::message::{CommandStatus, OnDemand};

use crate::core::registry::trace_request::{Order, Outcome};
use crate::rpc::peer::Peer;
use crate::state::Shared;

/// Checks the config, hands it out, and says who asked for what and what came of it.
pub(super) fn answer(shared: &Shared, peer: &Peer, request: &OnDemand) -> Vec<u8> {
    let config = match check(shared, request) {
        Ok(config) => config,
        Err(reason) => {
            shared.log.notice(peer, format_args!("{}: refused: {reason}", Audit(request, None)));
            return super::failure(reason);
        }
    };
    shared.bury();
    let is_monitor = config.is_monitor();
    let claims = shared.registry().claims(shared.now(), request);
    let ancestry = shared.proc.confirm(&claims);
    shared.counters.untrue_ancestors.add((claims.len() - ancestry.len()) as u64);
    let config = config.to_string();
    let order = Order { request, config: &config, is_monitor, ancestry: &ancestry };
    let mut ids = trace_id;
    let outcome = shared.registry().on_demand(shared.now(), &order, &mut ids);
    shared.counters.configs_accepted.add(outcome.triggered.len() as u64);
    shared.log.notice(peer, Audit(request, Some(&outcome)));
    super::encode(&outcome.reply(is_monitor, request.extended))
}

/// The config, if processes may have it.
fn check(shared: &Shared, request: &OnDemand) -> Result<Config, String> {
    // A config taken now may never be fetched, and the answer would be untrue.
    if shared.is_stopping() {
        return Err("the daemon is stopping".to_owned());
    }
    let config = Config::parse(&request.config).map_err(|e| e.to_string())?;
    if config.get(TRACE_ID).is_some() {
        return Err(format!("config key {TRACE_ID} is the daemon's to set"));
    }
    shared.output_roots.check(&config)?;
    Ok(config)
}

/// A random id, positive in 64 signed bits for readers that take it so.
fn trace_id() -> u64 {
    let mut bytes = [0; 8];
    // The kernel's generator does not fail once it is seeded; an id that repeats would only tie two traces to
    // one request.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    (u64::from_ne_bytes(bytes) >> 1).max(1)
}

/// The audit line. Nothing of the config: it is the client's text.
struct Audit<'a>(&'a OnDemand, Option<&'a Outcome>);

impl Display for Audit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(request, outcome) = self;
        write!(f, "setKinetOnDemandRequest job {}", request.job_id)?;
        match request.pids.as_slice() {
            _ if request.all_pids() => write!(f, ", all pids")?,
            pids if pids.len() <= 8 => write!(f, ", pids {pids:?}")?,
            pids => write!(f, ", {} pids", pids.len())?,
        }
        let Some(o) = outcome else { return Ok(()) };
        write!(f, ": {} matched, {} triggered, {} busy", o.matched.len(), o.triggered.len(), o.busy.len())?;
        for t in o.triggered.iter().take(8) {
            write!(f, ", pid {} trace {}", t.pid, t.trace_id)?;
        }
        match o.command_status {
            None | Some(CommandStatus::Effective) => Ok(()),
            Some(CommandStatus::Ineffective) => write!(f, ", ineffective"),
            Some(CommandStatus::Unknown) => write!(f, ", state unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_ids_differ_and_fit_into_63_bits() {
        let ids: std::collections::BTreeSet<u64> = (0..100).map(|_| trace_id()).collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| *id > 0 && i64::try_from(*id).is_ok()));
    }
}
