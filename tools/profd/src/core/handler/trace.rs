//! `setKinetOnDemandRequest`: makes a config pending for the processes that match.

use common::rpc::config::{Config, ConfigError, MAX_TEXT, TRACE_ID, check_placeholders};
use common::rpc::message::{ErrorCode, OnDemand};

use crate::core::accounts::Accounts;
use crate::core::audit::{AuditAnswer, AuditDetail, RequestTarget};
use crate::core::outcome::{Effect, HandlerOutcome, RpcReply};
use crate::core::output_roots::OutputRoots;
use crate::core::process_scope::ProcessScope;
use crate::core::registry::pid_match::PidFacts;
use crate::core::registry::selection::check_patterns;
use crate::core::registry::trace_request::{RETURN_TIME, TraceCommand};
use crate::core::registry::{Registry, Uptime};

/// The name of the function.
pub(crate) const FUNCTION: &str = "setKinetOnDemandRequest";

/// The longest value of a placeholder, in bytes: a host name (gethostname(2), HOST_NAME_MAX).
const MAX_EXPANSION: usize = 64;

/// The facts for a request whose config has been checked.
#[derive(Debug)]
pub(crate) struct TraceFacts<'a> {
    pub(crate) now: Uptime,
    /// Whether the daemon has begun to stop.
    pub(crate) is_stopping: bool,
    pub(crate) pids: PidFacts,
    /// The number of claims of ancestry that are not true.
    pub(crate) false_claims: u64,
    /// The processes that the client may trace.
    pub(crate) scope: ProcessScope,
    pub(crate) accounts: &'a Accounts,
    /// The name of the host.
    pub(crate) host_name: &'a str,
    /// Time since the daemon started.
    pub(crate) uptime: Uptime,
}

/// Returns what the audit trail says about the target of a request.
pub(crate) fn audit_target(request: &OnDemand) -> RequestTarget {
    let pids = if request.all_pids() { Vec::new() } else { request.pids.clone() };
    let output = Config::parse(&request.config).ok().and_then(|c| c.output().map(str::to_owned));
    RequestTarget::new(request.job_id, pids, request.user.clone(), output)
}

/// Checks whether processes may get the config of a request.
///
/// # Errors
/// The failure to answer with.
pub(crate) fn check_config(
    request: &OnDemand,
    output_roots: &OutputRoots,
) -> Result<Config, Box<HandlerOutcome>> {
    let reject = |code, reason: String| {
        Box::new(HandlerOutcome::rejected(FUNCTION, Some(audit_target(request)), code, reason))
    };
    let config = Config::parse(&request.config).map_err(|e| reject(ErrorCode::Config, e.to_string()))?;
    if config.get(TRACE_ID).is_some() {
        return Err(reject(ErrorCode::Config, format!("config key {TRACE_ID} is set by the daemon only")));
    }
    if let Some(selection) = &request.selection {
        check_patterns(selection).map_err(|reason| reject(ErrorCode::Request, reason))?;
    }
    if let Some(path) = config.output().filter(|_| request.expand) {
        check_placeholders(path).map_err(|reason| reject(ErrorCode::Config, reason))?;
        let longest = request.config.len() + path.matches('%').count() * MAX_EXPANSION;
        if longest > MAX_TEXT {
            return Err(reject(ErrorCode::Config, ConfigError::TooLong(longest).to_string()));
        }
    }
    output_roots.check_config(&config).map_err(|reason| reject(ErrorCode::OutputPath, reason))?;
    Ok(config)
}

/// Makes a checked config pending for the processes that match. The reply says what became of each of them.
/// `next_trace_id` gives each config its id.
pub(crate) fn handle_trace(
    registry: &mut Registry,
    request: &OnDemand,
    config: &Config,
    facts: &TraceFacts<'_>,
    next_trace_id: &mut dyn FnMut() -> u64,
) -> HandlerOutcome {
    let target = audit_target(request);
    // A config that is accepted now may never be fetched, and the reply would be untrue.
    if facts.is_stopping {
        return HandlerOutcome::rejected(
            FUNCTION,
            Some(target),
            ErrorCode::Stopping,
            "the daemon is stopping",
        );
    }
    let is_monitor = config.is_monitor();
    let command = TraceCommand {
        request,
        config,
        host_name: facts.host_name,
        is_monitor,
        scope: &facts.scope,
        facts: &facts.pids,
        accounts: facts.accounts,
        started: Some(facts.uptime).filter(|up| *up < RETURN_TIME),
    };
    let mut outcome = registry.trigger_processes(facts.now, &command, next_trace_id);
    let triggered = outcome.triggered.len();
    let audit = AuditDetail {
        function: FUNCTION,
        target: Some(target),
        processes: std::mem::take(&mut outcome.audited),
        answer: if triggered > 0 { AuditAnswer::Done } else { AuditAnswer::Declined },
        code: None,
        reason: outcome.explain_exclusions(is_monitor),
    };
    HandlerOutcome {
        reply: RpcReply::OnDemand(Box::new(outcome.into_reply(is_monitor, request.extended))),
        audit,
        effects: vec![
            Effect::CountFalseAncestors(facts.false_claims),
            Effect::CountAcceptedConfigs(triggered as u64),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::registry::pid_match::{AncestryClaim, PidScope};
    use crate::core::registry::{RegistryLimits, SenderId};
    use common::ipc::message::Poll;
    use std::time::Duration;

    const CONFIG: &str = "ACTIVITIES_LOG_FILE=/data/t.json";

    fn registry() -> Registry {
        let minute = Duration::from_secs(60);
        let mut registry = Registry::new(RegistryLimits {
            max_processes: 9,
            is_shared: false,
            jobs_per_process: 1,
            keep_alive: minute,
            config_expiry: minute,
        });
        let poll = Poll { config_type: 3, job_id: 0, pids: vec![7, 5] };
        let sender = SenderId { uid: 1000, account: 1000, host_pid: 7 };
        registry.poll_config(Uptime::ZERO, sender, &poll).unwrap();
        registry
    }

    fn request(pids: &[i32], config: &str) -> OnDemand {
        OnDemand {
            config: config.into(),
            job_id: 0,
            pids: pids.into(),
            process_limit: 3,
            selection: None,
            user: None,
            expand: false,
            extended: false,
        }
    }

    fn handle(request: &OnDemand, facts: &TraceFacts<'_>) -> HandlerOutcome {
        let config = check_config(request, &OutputRoots::any()).unwrap();
        handle_trace(&mut registry(), request, &config, facts, &mut || 42)
    }

    fn facts(accounts: &Accounts) -> TraceFacts<'_> {
        TraceFacts {
            now: Duration::from_secs(1),
            is_stopping: false,
            pids: PidFacts::default(),
            false_claims: 0,
            scope: ProcessScope::default(),
            accounts,
            host_name: "node",
            uptime: Duration::from_secs(60),
        }
    }

    #[test]
    fn an_outcome_follows_from_request_facts_and_registry_alone() {
        let accounts = Accounts::default();
        let claim = AncestryClaim { host_pid: 7, ancestor: 5 };
        let pids = PidFacts { confirmed: [(claim, PidScope::Host)].into(), ..PidFacts::default() };
        let HandlerOutcome { reply, effects, audit } =
            handle(&request(&[5], CONFIG), &TraceFacts { pids, false_claims: 2, ..facts(&accounts) });
        let reply = String::from_utf8(reply.encode()).unwrap();
        assert!(reply.contains(r#""activityProfilersTriggered":[7]"#), "{reply}");
        assert_eq!(effects, [Effect::CountFalseAncestors(2), Effect::CountAcceptedConfigs(1)]);
        let line = "setKinetOnDemandRequest job 0, pids [5]: 1 matched, 1 triggered, 0 busy, pid 7 uid 1000 trace 42";
        assert_eq!(audit.to_string(), line);
        assert_eq!(audit.target.unwrap().output.as_deref(), Some("/data/t.json"));
        // The same claim, not confirmed.
        let HandlerOutcome { effects, audit, .. } = handle(&request(&[5], CONFIG), &facts(&accounts));
        assert_eq!(effects[1], Effect::CountAcceptedConfigs(0));
        assert_eq!(audit.answer, AuditAnswer::Declined);
    }

    #[test]
    fn a_rejected_request_is_audited_and_changes_nothing() {
        let accounts = Accounts::default();
        let stopping = handle(&request(&[], CONFIG), &TraceFacts { is_stopping: true, ..facts(&accounts) });
        let line = "setKinetOnDemandRequest job 0, all pids: rejected: the daemon is stopping";
        assert_eq!((stopping.effects, stopping.audit.to_string()), (vec![], line.to_owned()));
        let text = format!("{CONFIG}\nREQUEST_TRACE_ID=7");
        let HandlerOutcome { reply, audit, .. } =
            *check_config(&request(&[], &text), &OutputRoots::any()).unwrap_err();
        let reason = "config key REQUEST_TRACE_ID is set by the daemon only";
        let expected = format!(r#"{{"status":"failed","error":{{"code":"config","message":"{reason}"}}}}"#);
        assert_eq!(String::from_utf8(reply.encode()).unwrap(), expected);
        let line = format!("setKinetOnDemandRequest job 0, all pids: rejected: {reason}");
        assert_eq!((audit.to_string(), audit.code), (line, Some(ErrorCode::Config)));
    }
}
