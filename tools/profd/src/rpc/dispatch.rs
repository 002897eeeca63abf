//! From a request to the bytes of its reply: checks what the client may do, looks up the facts, calls the handler,
//! performs the effects, and records the answer.
//!
//! Lookups about processes poll descriptors and read `/proc`. They run on a thread for blocking work, and only when
//! there are processes: a request that needs no lookup is answered without a change of threads.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::rpc::message::{ErrorCode, HostSample, ListPage, MetricSeries, OnDemand, Request};
use time::format_description::well_known::Rfc3339;
use tokio::time::{sleep, timeout};

use crate::certs::measure_certificates;
use crate::core::access::{Access, Permission};
use crate::core::handler::health::handle_health;
use crate::core::handler::metrics::{MetricFacts, bound_page, handle_metrics};
use crate::core::handler::processes::{FactsByPid, ProcessListFacts, handle_process_list};
use crate::core::handler::progress::{handle_clock, handle_config_states};
use crate::core::handler::status::{StatusFacts, handle_status};
use crate::core::handler::trace::{self, TraceFacts, audit_target, check_config, handle_trace};
use crate::core::handler::{dcgm::handle_dcgm, version::handle_version};
use crate::core::health::HealthFacts;
use crate::core::outcome::{Effect, HandlerOutcome};
use crate::core::process_scope::ProcessScope;
use crate::rpc::audited::record_request;
use crate::rpc::context::RpcContext;
use crate::rpc::peer::RpcPeer;
use crate::state::{DaemonState, IPC_SILENCE_LIMIT};

/// Minimum number of questions about the state of requests that a client may ask in a minute. `profctl --wait` asks every two
/// seconds: ten may wait at a time.
const STATE_REQUESTS_PER_MINUTE: u32 = 300;

/// The longest that a question about the state of requests is held back.
const MAX_STATE_WAIT: Duration = Duration::from_secs(10);
/// How long it is held back when a process has ended: others of its job often end at the same time.
const GATHER_TIME: Duration = Duration::from_millis(50);

/// Holds back a question about the state of requests, as long as it asks for, until one of them has come to its end. Returns at once
/// for all other requests.
pub(crate) async fn wait_for_final_state(context: &RpcContext, peer: &RpcPeer, request: &Request) {
    let Request::ConfigStates { trace_ids, wait_ms: wait_ms @ 1.. } = request else { return };
    let rules = context.access.rules();
    // It is rejected, which need not wait.
    let Ok(access) = rules.find(peer.identity()) else { return };
    let (state, scope) = (&context.state, access.scope());
    let has_final = || {
        let states = state.registry().list_config_states(state.uptime(), &scope, trace_ids);
        states.iter().any(|config| config.state.is_final())
    };
    let wait = Duration::from_millis((*wait_ms).into()).min(MAX_STATE_WAIT);
    let _ = timeout(wait, async {
        loop {
            // Registered before the look: an end in between is not missed.
            let mut ended = pin!(state.process_ended.notified());
            ended.as_mut().enable();
            if has_final() {
                return;
            }
            ended.await;
            sleep(GATHER_TIME).await;
        }
    })
    .await;
}

/// Answers a request. Returns the body of the reply frame, once the audit trail has the answer.
pub(crate) async fn answer_request(context: &RpcContext, peer: &RpcPeer, request: Request) -> Vec<u8> {
    let function = request.name();
    let rules = context.access.rules();
    let access = rules.find(peer.identity());
    // A request that only reads stands in the log with `--verbose` only.
    let only_reads = Permission::only_reads(&request);
    let outcome = match allow_request(context, peer, &access, &request) {
        Err((code, reason)) => {
            let target = match &request {
                Request::OnDemand(request) => Some(audit_target(request)),
                _ => None,
            };
            HandlerOutcome::rejected(function, target, code, reason)
        }
        Ok(access) => match request {
            Request::Version => handle_version(),
            Request::Status { extended } => look_up_and_handle_status(context, access, extended).await,
            Request::Processes(page) => look_up_and_list_processes(context, access, page).await,
            Request::Health => handle_health(collect_health(context)),
            Request::Metrics(page) => handle_metrics(page, collect_metrics(context, &access.scope(), page)),
            Request::ConfigStates { trace_ids, .. } => {
                let state = &context.state;
                look_up(state, DaemonState::reap_dead_processes).await;
                handle_config_states(&state.registry(), state.uptime(), &access.scope(), &trace_ids)
            }
            Request::Clock => handle_clock(read_wall_clock()),
            Request::OnDemand(request) => look_up_and_handle_trace(context, access, request).await,
            Request::DcgmPause { .. } | Request::DcgmResume => handle_dcgm(function),
        },
    };
    let has_accepted = outcome.effects.iter().any(|e| matches!(e, Effect::CountAcceptedConfigs(1..)));
    perform_effects(&context.state, outcome.effects);
    let rule = access.as_ref().ok().and_then(|access| access.rule_name());
    let is_written = record_request(context, peer, rule, only_reads, &outcome.audit).await;
    if has_accepted {
        context.state.registry().release_configs(outcome.audit.trace_ids());
        if let Some(handover) = &context.handover {
            // Before the client is told: what is accepted outlives this daemon.
            handover.save(&context.state).await;
        }
    }
    if is_written {
        return outcome.reply.encode();
    }
    // Only what was carried out waits for its line.
    let reason = "the request was carried out, but the audit trail of the daemon cannot be written: its line is kept until it \
                  can (--audit-log)";
    HandlerOutcome::rejected(function, None, ErrorCode::Audit, reason).reply.encode()
}

/// Checks whether a request may be carried out.
///
/// # Errors
/// The failure to answer with.
fn allow_request<'a, 'b>(
    context: &RpcContext,
    peer: &RpcPeer,
    access: &'b Result<Access<'a>, String>,
    request: &Request,
) -> Result<&'b Access<'a>, (ErrorCode, String)> {
    let counters = &context.state.counters;
    let forbid = |reason: &String| {
        counters.rpc_forbidden.increment();
        (ErrorCode::Forbidden, reason.clone())
    };
    let access = access.as_ref().map_err(forbid)?;
    access.check(Permission::needed_for(request)).map_err(|reason| forbid(&reason))?;
    if let Some(per_minute) = access.requests_per_minute() {
        // The questions of `--wait` have an allowance of their own, so that they do not use up that of the next trace, and
        // cannot fill the audit trail either.
        let (key, per_minute) = match request {
            Request::ConfigStates { .. } => {
                (format!("states {}", peer.rate_key()), per_minute.max(STATE_REQUESTS_PER_MINUTE))
            }
            _ => (peer.rate_key(), per_minute),
        };
        if let Err(wait) = context.access.take_request(&key, per_minute, Instant::now()) {
            counters.rpc_declined_rate.increment();
            let reason = format!(
                "access rule {} allows {per_minute} requests a minute: try again in {:.1} s",
                access.rule_name().unwrap_or_default(),
                wait.as_secs_f64()
            );
            return Err((ErrorCode::Rate, reason));
        }
    }
    if context.audit.is_failing() {
        counters.audit_rejected.increment();
        let reason =
            "the audit trail of the daemon cannot be written, so nothing is carried out (--audit-log)";
        return Err((ErrorCode::Audit, reason.to_owned()));
    }
    Ok(access)
}

async fn look_up_and_handle_status(
    context: &RpcContext,
    access: &Access<'_>,
    extended: bool,
) -> HandlerOutcome {
    let state = &context.state;
    let scope = access.scope();
    let processes = if extended {
        look_up_facts(state, &scope).await
    } else {
        look_up(state, DaemonState::reap_dead_processes).await;
        FactsByPid::default()
    };
    let accounts = state.accounts();
    let facts = extended.then(|| {
        let certificates = context.certs.as_ref().map(|certs| certs.certificate_status());
        let mut counters = state.counters.snapshot();
        counters.extend(certificates.as_ref().map(measure_certificates).into_iter().flatten());
        StatusFacts {
            counters,
            certificates,
            list: ProcessListFacts {
                accounts: &accounts,
                processes: &processes,
                uptime: state.time_since_start(),
            },
            health: collect_health(context),
        }
    });
    handle_status(&state.registry(), state.uptime(), &scope, facts)
}

async fn look_up_and_list_processes(
    context: &RpcContext,
    access: &Access<'_>,
    page: ListPage,
) -> HandlerOutcome {
    let state = &context.state;
    let scope = access.scope();
    let processes = look_up_facts(state, &scope).await;
    let accounts = state.accounts();
    let facts =
        ProcessListFacts { accounts: &accounts, processes: &processes, uptime: state.time_since_start() };
    handle_process_list(&state.registry(), state.uptime(), &scope, page, facts)
}

/// Collects a page of the totals of processes in `scope`, and the last samples of the host.
fn collect_metrics(context: &RpcContext, scope: &ProcessScope, page: ListPage) -> MetricFacts {
    let now = Instant::now();
    let (offset, limit) = bound_page(page);
    let recent = context.recent.lock();
    let visible = || recent.series.iter().filter(|(key, _)| key.is_in(scope));
    let series = visible().skip(offset).take(limit).map(|(key, total)| MetricSeries {
        kind: key.kind.clone(),
        device_id: key.device_id,
        host_pid: key.host_pid,
        uid: key.uid,
        job_id: key.job_id,
        domain: key.domain.clone(),
        labels: key.labels().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        dur_ns: u64::try_from(total.dur_ns).unwrap_or(u64::MAX),
        reports: total.reports,
        last_ms: u64::try_from(now.saturating_duration_since(total.updated).as_millis()).unwrap_or(u64::MAX),
    });
    let samples = recent.reports.values().map(|report| HostSample {
        device: report.device.clone(),
        time: report.taken.format(&Rfc3339).unwrap_or_default(),
        labels: report.labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        values: report.values.iter().map(|value| (value.key(), value.value)).collect(),
    });
    MetricFacts {
        series: series.collect(),
        total: visible().count() as u64,
        samples: samples.collect(),
        uptime: context.state.time_since_start(),
    }
}

/// Looks up what the processes in `scope` are, each once in its life.
async fn look_up_facts(state: &Arc<DaemonState>, scope: &ProcessScope) -> FactsByPid {
    let scope = scope.clone();
    let lookup = look_up(state, move |state| {
        state.reap_dead_processes();
        let host_pids = state.registry().list_host_pids(state.uptime(), &scope);
        host_pids.into_iter().map(|pid| (pid, state.facts_of(pid))).collect()
    });
    lookup.await.unwrap_or_default()
}

fn collect_health(context: &RpcContext) -> HealthFacts {
    let state = &context.state;
    let silence = state.ipc_silence();
    let is_stalled = context.serves_processes && silence >= IPC_SILENCE_LIMIT;
    HealthFacts {
        uptime: state.time_since_start(),
        is_stopping: state.is_stopping(),
        serves_processes: context.serves_processes,
        ipc_stalled_s: is_stalled.then_some(silence.as_secs()),
        missing_sockets: state.missing_sockets.get().cloned().unwrap_or_default(),
        certificates: context.certs.as_ref().map(|certs| certs.certificate_status()),
        is_audit_failing: context.audit.is_failing(),
        handover_error: context.handover.as_ref().and_then(|handover| handover.last_error()),
        rules_failure: state.rules_state().describe_failure(),
        stalled_sinks: state.counters.list_stalled_sinks(),
    }
}

async fn look_up_and_handle_trace(
    context: &RpcContext,
    access: &Access<'_>,
    request: OnDemand,
) -> HandlerOutcome {
    let state = &context.state;
    let reject = |request: &OnDemand, reason: String| {
        HandlerOutcome::rejected(trace::FUNCTION, Some(audit_target(request)), ErrorCode::Forbidden, reason)
    };
    let output_roots = access.output_roots().unwrap_or(&context.output_roots);
    let config = match check_config(&request, output_roots) {
        Ok(config) => config,
        Err(outcome) => return *outcome,
    };
    let accounts = state.accounts();
    let scope = match &request.user {
        None => access.scope(),
        Some(user) => match accounts.find_uid(user) {
            Some(uid) => access.scope().of_user(uid),
            None => return reject(&request, format!("unknown user {user:?} on the host of the daemon")),
        },
    };
    if !scope.contains_job(request.job_id) {
        return reject(&request, format!("access rule does not allow job {}", request.job_id));
    }
    let request = Arc::new(request);
    let (lent, users) = (request.clone(), context.users.clone());
    let lookup = look_up(state, move |state| {
        // Dead processes are removed first, so that nothing is read for them and none of them matches.
        state.reap_dead_processes();
        let claimants = state.registry().list_claimants(state.uptime(), &lent);
        let requested: HashSet<i32> = lent.pids.iter().copied().collect();
        let (mut pids, false_claims) =
            state.procfs.look_up_pids(&claimants, &requested, |uid| users.may_contain(uid));
        let job_pids = state.registry().list_job_pids(state.uptime(), lent.job_id);
        let needs_names = lent.selection.as_ref().is_some_and(|selection| !selection.names.is_empty());
        state.procfs.look_up_traits(&job_pids, needs_names, &mut pids);
        (pids, false_claims)
    });
    let (pids, false_claims) = lookup.await.unwrap_or_default();
    // Nothing is awaited from here on: whether the daemon is stopping is read last, and what is accepted is answered.
    let mut registry = state.registry();
    let facts = TraceFacts {
        now: state.uptime(),
        is_stopping: state.is_stopping(),
        pids,
        false_claims,
        scope,
        accounts: &accounts,
        host_name: &state.host_name,
        uptime: state.time_since_start(),
    };
    let outcome = handle_trace(&mut registry, &request, &config, &facts, &mut random_trace_id);
    if context.audit.is_enabled() {
        // Released when the trail has its line: should this daemon be killed before, nothing happens that no line tells of.
        registry.hold_configs(outcome.audit.trace_ids());
    }
    outcome
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
    let work = move || {
        state.refresh_accounts();
        lookup(&state)
    };
    // An error means that the runtime is shutting down, which ends this connection as well.
    tokio::task::spawn_blocking(work).await.ok()
}

fn perform_effects(state: &DaemonState, effects: Vec<Effect>) {
    for effect in effects {
        match effect {
            Effect::CountAcceptedConfigs(n) => state.counters.configs_accepted.add(n),
            Effect::CountFalseAncestors(n) => state.counters.false_ancestors.add(n),
        }
    }
}

/// Returns the time of the wall clock in nanoseconds since the Unix epoch.
fn read_wall_clock() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
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
