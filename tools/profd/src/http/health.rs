//! `/healthz` and `/readyz`: whether the daemon works, and whether clients are served, with the reasons.

use std::time::Duration;

use super::HttpContext;

/// How long the thread for processes may be silent. It does something every five seconds.
const MAX_SILENCE: Duration = Duration::from_secs(30);

/// Returns why the daemon does not work and should be restarted; nothing if it works.
pub(super) fn list_failures(context: &HttpContext) -> Vec<String> {
    let state = &context.state;
    let silence = state.ipc_silence();
    if context.has_sockets && silence > MAX_SILENCE && !state.is_stopping() {
        vec![format!("ipc: the thread for processes has done nothing for {} s", silence.as_secs())]
    } else {
        Vec::new()
    }
}

/// Returns why clients are not served at present, or not all of them.
pub(super) fn list_obstacles(context: &HttpContext) -> Vec<String> {
    let state = &context.state;
    let mut reasons = list_failures(context);
    if state.is_stopping() {
        reasons.push("rpc: the daemon is stopping and accepts no connections".to_owned());
    }
    if context.audit.is_failing() {
        reasons.push("audit: the trail cannot be written, so requests are rejected".to_owned());
    }
    let certificates = context.certs.as_ref().map(|certs| certs.certificate_status());
    let problems = certificates.into_iter().flat_map(|status| status.problems);
    reasons.extend(problems.map(|problem| format!("certificates: {problem}")));
    reasons
}

/// Returns what an operator should look at although clients are served.
pub(super) fn list_notes(context: &HttpContext) -> Vec<String> {
    let mut notes = Vec::new();
    for (kind, sink) in context.state.counters.list_sinks() {
        if let lost @ 1.. = sink.count_lost() {
            notes.push(format!("metrics: {} has lost {lost} since the start", kind.name()));
        }
    }
    notes.extend(state_notes(context));
    for kind in context.devices.list_silent() {
        notes.push(format!("devices: {} does not answer", kind.name()));
    }
    let failure = context.certs.as_ref().and_then(|certs| certs.certificate_status().reload_failure);
    notes.extend(failure.map(|f| format!("certificates: reload failed at {}: {}", f.at, f.reason)));
    if !context.has_sockets {
        notes.push("ipc: disabled, so no process can be traced".to_owned());
    }
    notes
}

fn state_notes(context: &HttpContext) -> impl Iterator<Item = String> {
    let state = &context.state;
    let stalled = state.counters.list_stalled_sinks().into_iter().map(|reason| format!("metrics: {reason}"));
    stalled.chain(state.rules_state().describe_failure().map(|reason| format!("rules: {reason}")))
}
