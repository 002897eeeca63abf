//! `setKinetOnDemandRequest`: makes a config pending for the processes that match.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use common::rpc::config::{Config, TRACE_ID};
use common::rpc::message::{CommandStatus, Failure, OnDemand};

use crate::core::outcome::{Effect, HandlerOutcome, RpcReply};
use crate::core::output_roots::OutputRoots;
use crate::core::registry::trace_request::{AncestryClaim, TraceCommand, TraceOutcome};
use crate::core::registry::{Registry, Uptime};

/// Maximum number of pids and of traces that an audit line lists.
const MAX_LISTED: usize = 8;

/// The facts for a request whose config has been checked.
#[derive(Debug)]
pub(crate) struct TraceFacts {
    pub(crate) now: Uptime,
    /// Whether the daemon has begun to stop.
    pub(crate) is_stopping: bool,
    /// The claims of ancestry that are true.
    pub(crate) confirmed: BTreeSet<AncestryClaim>,
    /// The number of claims that are not.
    pub(crate) false_claims: u64,
}

/// Checks whether processes may get the config of a request.
///
/// # Errors
/// The failure to answer with.
pub(crate) fn check_config(request: &OnDemand, output_roots: &OutputRoots) -> Result<Config, HandlerOutcome> {
    let check = || {
        let config = Config::parse(&request.config).map_err(|e| e.to_string())?;
        if config.get(TRACE_ID).is_some() {
            return Err(format!("config key {TRACE_ID} is set by the daemon only"));
        }
        output_roots.check_config(&config)?;
        Ok(config)
    };
    check().map_err(|reason: String| reject_request(request, reason))
}

/// Makes a checked config pending for the processes that match. The reply says what became of each of them.
/// `next_trace_id` gives each config its id.
pub(crate) fn handle_trace(
    registry: &mut Registry,
    request: &OnDemand,
    config: &Config,
    facts: &TraceFacts,
    next_trace_id: &mut dyn FnMut() -> u64,
) -> HandlerOutcome {
    // A config that is accepted now may never be fetched, and the reply would be untrue.
    if facts.is_stopping {
        return reject_request(request, "the daemon is stopping".to_owned());
    }
    let is_monitor = config.is_monitor();
    let config = config.to_string();
    let command = TraceCommand { request, config: &config, is_monitor, confirmed: &facts.confirmed };
    let outcome = registry.trigger_processes(facts.now, &command, next_trace_id);
    let effects = vec![
        Effect::CountFalseAncestors(facts.false_claims),
        Effect::CountAcceptedConfigs(outcome.triggered.len() as u64),
        Effect::LogAudit(AuditLine { request, outcome: Some(&outcome) }.to_string()),
    ];
    HandlerOutcome {
        reply: RpcReply::OnDemand(Box::new(outcome.into_reply(is_monitor, request.extended))),
        effects,
    }
}

fn reject_request(request: &OnDemand, reason: String) -> HandlerOutcome {
    let line = format!("{}: rejected: {reason}", AuditLine { request, outcome: None });
    HandlerOutcome { reply: RpcReply::Failure(Failure::new(reason)), effects: vec![Effect::LogAudit(line)] }
}

/// Who was to be traced, and what became of it. Nothing of the config is shown: it is text of the client.
struct AuditLine<'a> {
    request: &'a OnDemand,
    outcome: Option<&'a TraceOutcome>,
}

impl Display for AuditLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, outcome } = self;
        write!(f, "setKinetOnDemandRequest job {}", request.job_id)?;
        match request.pids.as_slice() {
            _ if request.all_pids() => write!(f, ", all pids")?,
            pids if pids.len() <= MAX_LISTED => write!(f, ", pids {pids:?}")?,
            pids => write!(f, ", {} pids", pids.len())?,
        }
        let Some(o) = outcome else { return Ok(()) };
        write!(f, ": {} matched, {} triggered, {} busy", o.matched.len(), o.triggered.len(), o.busy.len())?;
        for t in o.triggered.iter().take(MAX_LISTED) {
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
    use crate::core::registry::RegistryLimits;
    use common::ipc::message::Poll;
    use std::time::Duration;

    const CONFIG: &str = "ACTIVITIES_LOG_FILE=/data/t.json";

    fn registry() -> Registry {
        let minute = Duration::from_secs(60);
        let mut registry = Registry::new(RegistryLimits {
            max_processes: 9,
            jobs_per_process: 1,
            keep_alive: minute,
            config_expiry: minute,
        });
        let poll = Poll { config_type: 3, job_id: 0, pids: vec![7, 5] };
        registry.poll_config(Uptime::ZERO, 7, &poll).unwrap();
        registry
    }

    fn request(pids: &[i32], config: &str) -> OnDemand {
        OnDemand { config: config.into(), job_id: 0, pids: pids.into(), process_limit: 3, extended: false }
    }

    fn handle(request: &OnDemand, facts: &TraceFacts) -> HandlerOutcome {
        let config = check_config(request, &OutputRoots::default()).unwrap();
        handle_trace(&mut registry(), request, &config, facts, &mut || 42)
    }

    fn facts() -> TraceFacts {
        TraceFacts {
            now: Duration::from_secs(1),
            is_stopping: false,
            confirmed: BTreeSet::new(),
            false_claims: 0,
        }
    }

    #[test]
    fn an_outcome_follows_from_request_facts_and_registry_alone() {
        let confirmed = [AncestryClaim { host_pid: 7, ancestor: 5 }].into();
        let HandlerOutcome { reply, effects } =
            handle(&request(&[5], CONFIG), &TraceFacts { confirmed, false_claims: 2, ..facts() });
        let reply = String::from_utf8(reply.encode()).unwrap();
        assert!(reply.contains(r#""activityProfilersTriggered":[7]"#), "{reply}");
        let line = "setKinetOnDemandRequest job 0, pids [5]: 1 matched, 1 triggered, 0 busy, pid 7 trace 42";
        assert_eq!(
            effects,
            [
                Effect::CountFalseAncestors(2),
                Effect::CountAcceptedConfigs(1),
                Effect::LogAudit(line.to_owned())
            ]
        );
        // The same claim, not confirmed.
        let HandlerOutcome { effects, .. } = handle(&request(&[5], CONFIG), &facts());
        assert_eq!(effects[1], Effect::CountAcceptedConfigs(0));
    }

    #[test]
    fn a_rejected_request_has_an_audit_line_and_changes_nothing() {
        let stopping = handle(&request(&[], CONFIG), &TraceFacts { is_stopping: true, ..facts() });
        let line = "setKinetOnDemandRequest job 0, all pids: rejected: the daemon is stopping";
        assert_eq!(stopping.effects, [Effect::LogAudit(line.to_owned())]);
        let text = format!("{CONFIG}\nREQUEST_TRACE_ID=7");
        let HandlerOutcome { reply, effects } =
            check_config(&request(&[], &text), &OutputRoots::default()).unwrap_err();
        let reason = "config key REQUEST_TRACE_ID is set by the daemon only";
        assert_eq!(reply.encode(), format!(r#"{{"status":"failed","error":"{reason}"}}"#).into_bytes());
        let line = format!("setKinetOnDemandRequest job 0, all pids: rejected: {reason}");
        assert_eq!(effects, [Effect::LogAudit(line)]);
    }
}
