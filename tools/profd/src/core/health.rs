//! Whether the daemon does its work, and what keeps it from doing all of it.

use common::rpc::message::{CertificateStatus, HealthProblem, HealthReply};
use common::text::without_error_numbers;

use super::registry::Uptime;

/// The facts that health depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct HealthFacts {
    pub(crate) uptime: Uptime,
    pub(crate) is_stopping: bool,
    /// Whether processes are served at all.
    pub(crate) serves_processes: bool,
    /// How long the thread for processes has not shown that it is alive, if that is too long.
    pub(crate) ipc_stalled_s: Option<u64>,
    /// Default sockets that could not be had, with the reason.
    pub(crate) missing_sockets: Vec<String>,
    /// `None` with plain TCP.
    pub(crate) certificates: Option<CertificateStatus>,
    pub(crate) is_audit_failing: bool,
    /// Why what a restart must not lose cannot be kept, if so.
    pub(crate) handover_error: Option<String>,
    /// Why the rules in use are not those of the file, if so.
    pub(crate) rules_failure: Option<String>,
    /// The destinations of metrics that take none at present, each with the reason.
    pub(crate) stalled_sinks: Vec<String>,
}

/// Returns the health of the daemon. It is ready if a request that is sent now is carried out.
pub(crate) fn assess_health(facts: HealthFacts) -> HealthReply {
    let mut problems = Vec::new();
    let mut is_ready = true;
    let mut add = |blocks: bool, code: &str, message: String| {
        is_ready &= !blocks;
        let message = without_error_numbers(&message);
        problems.push(HealthProblem { code: code.to_owned(), message, blocks });
    };
    if facts.is_stopping {
        add(true, "stopping", "the daemon is stopping".to_owned());
    }
    if let Some(seconds) = facts.ipc_stalled_s {
        add(true, "ipc_stalled", format!("the thread for processes has not answered for {seconds} s"));
    }
    if facts.is_audit_failing {
        add(true, "audit", "the audit trail cannot be written, so requests are rejected".to_owned());
    }
    if !facts.serves_processes {
        add(false, "ipc_disabled", "no process can be traced (--enable-ipc-monitor)".to_owned());
    }
    for reason in facts.missing_sockets {
        add(false, "ipc_socket", reason);
    }
    if let Some(certificates) = facts.certificates {
        let failure =
            certificates.reload_failure.map(|f| format!("the last reload failed at {}: {}", f.at, f.reason));
        for text in failure.into_iter().chain(certificates.problems).chain(certificates.declined_crls) {
            add(false, "certificates", text);
        }
    }
    if let Some(reason) = facts.handover_error {
        add(false, "state_dir", format!("a restart would lose configs that are not fetched: {reason}"));
    }
    if let Some(reason) = facts.rules_failure {
        add(false, "rules", reason);
    }
    for reason in facts.stalled_sinks {
        add(false, "metrics", reason);
    }
    let status = match (is_ready, problems.is_empty()) {
        (false, _) => "not_ready",
        (true, false) => "degraded",
        (true, true) => "ok",
    };
    HealthReply {
        status: status.to_owned(),
        ready: is_ready,
        problems,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: facts.uptime.as_secs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_has_its_reasons() {
        let well = HealthFacts { serves_processes: true, ..HealthFacts::default() };
        let health = assess_health(well.clone());
        assert_eq!((health.status.as_str(), health.ready, health.problems.len()), ("ok", true, 0));
        let degraded = HealthFacts {
            missing_sockets: vec!["/h/dynolog.sock: permission denied".into()],
            certificates: Some(CertificateStatus {
                problems: vec!["CRL 02 expired".into()],
                ..Default::default()
            }),
            rules_failure: Some("the rules file was not taken".into()),
            stalled_sinks: vec!["otlp: connection refused (os error 111)".into()],
            ..HealthFacts::default()
        };
        let health = assess_health(degraded);
        let codes: Vec<_> = health.problems.iter().map(|p| p.code.as_str()).collect();
        assert_eq!((health.status.as_str(), health.ready), ("degraded", true));
        assert_eq!(health.problems[4].message, "otlp: connection refused");
        assert_eq!(codes, ["ipc_disabled", "ipc_socket", "certificates", "rules", "metrics"]);
        for facts in [
            HealthFacts { is_stopping: true, ..well.clone() },
            HealthFacts { ipc_stalled_s: Some(9), ..well.clone() },
            HealthFacts { is_audit_failing: true, ..well },
        ] {
            let health = assess_health(facts);
            assert_eq!(
                (health.status.as_str(), health.ready, health.problems[0].blocks),
                ("not_ready", false, true)
            );
        }
    }
}
