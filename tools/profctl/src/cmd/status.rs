//! `profctl status`: what a daemon knows about itself and its processes.

use clap::Args;
use common::exit::Exit;
use common::record::profctl as record;
use common::rpc::message::{
    CertificateStatus, CrlStatus, FunctionState, ProcessStatus, Request, StatusReply,
};
use common::text::Safe;

use crate::failure::seconds;
use crate::reply::{declined, decode};
use crate::session::Session;

/// Print the state of the daemon and of the processes it knows
///
/// The table of processes comes from profd; existing daemons only say that they are alive (dynolog) or one state
/// for all processes together (msMonitor). profd also reports the CRLs that it uses, and why its certificates could
/// not be reloaded when they last changed: it then goes on with the former ones, and takes newer CRLs only.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  profctl status\n  profctl --format json status | jq '.processes[].pid'"
)]
pub(crate) struct Status {}

impl Status {
    pub(crate) fn run(&self, mut session: Session<'_>) -> anyhow::Result<Exit> {
        session.ask(&Request::Status { extended: true }, |session, mut answer, body| {
            let reply = match body.and_then(|b| decode::<StatusReply>(&b)) {
                Ok(reply) => Some(reply),
                Err(refusal) => {
                    refusal.apply(&mut answer);
                    None
                }
            };
            session.count(&answer);
            if session.json() {
                session.out.record(&status_record(answer, reply.unwrap_or_default()))?;
            } else if let Some(reply) = reply {
                session.line(&answer, &headline(&reply))?;
                for line in certificate_lines(&reply).iter().chain(&table(&reply)) {
                    writeln!(session.out.text(), "  {}", Safe(line))?;
                }
            } else if let Some(text) = declined(&answer) {
                session.line(&answer, &text)?;
            }
            Ok(())
        })?;
        session.finish()
    }
}

fn word(state: FunctionState) -> &'static str {
    match state {
        FunctionState::Uninitialized => "Uninitialized",
        FunctionState::Idle => "Idle",
        FunctionState::Running => "Running",
        FunctionState::Ready => "Ready",
        FunctionState::Unknown => "unknown",
    }
}

fn known_step(step: Option<i64>) -> Option<i64> {
    step.filter(|s| *s >= 0)
}

fn status_record(answer: record::Answer, reply: StatusReply) -> record::Status {
    let detail = reply.detail;
    record::Status {
        answer,
        nputrace: reply.nputrace.map(|s| word(s).to_owned()),
        npumonitor: reply.npumonitor.map(|s| word(s).to_owned()),
        current_step: known_step(reply.current_step),
        start_step: reply.start_step,
        stop_step: reply.stop_step,
        uptime_s: detail.as_ref().map(|d| d.uptime_s),
        processes: detail.as_ref().map(|d| d.processes.iter().map(process).collect()),
        processes_omitted: detail.as_ref().map(|d| d.processes_omitted),
        certificates: detail.as_ref().and_then(|d| d.certificates.as_ref()).map(certificates),
        counters: detail.map(|d| d.counters).unwrap_or_default(),
    }
}

fn certificates(status: &CertificateStatus) -> record::Certificates {
    let crl = |crl: &CrlStatus| record::CrlInUse {
        issuer: crl.issuer.clone(),
        number: crl.number.clone(),
        this_update: crl.this_update.clone(),
        next_update: crl.next_update.clone(),
        age_s: crl.age_s,
        revoked: crl.revoked,
    };
    record::Certificates {
        loaded_at: status.loaded_at.clone(),
        crls: status.crls.iter().map(crl).collect(),
        reload_failed_at: status.reload_failure.as_ref().map(|f| f.at.clone()),
        reload_error: status.reload_failure.as_ref().map(|f| f.reason.clone()),
    }
}

fn process(p: &ProcessStatus) -> record::Process {
    record::Process {
        pid: p.pid,
        host_pid: p.host_pid,
        job_id: p.job_id,
        device: p.device,
        last_poll_ms: p.last_poll_ms,
        pending_ms: p.pending_ms,
        nputrace: p.nputrace.map(|s| word(s).to_owned()),
        npumonitor: p.npumonitor.map(|s| word(s).to_owned()),
        current_step: known_step(p.current_step),
        start_step: p.start_step,
        stop_step: p.stop_step,
    }
}

/// The daemon in one line.
fn headline(reply: &StatusReply) -> String {
    let mut parts = vec!["alive".to_owned()];
    let state = |name: &str, s: Option<FunctionState>| s.map(|s| format!("{name} {}", word(s)));
    parts.extend(state("nputrace", reply.nputrace));
    parts.extend(state("npumonitor", reply.npumonitor));
    parts.extend(known_step(reply.current_step).map(|s| format!("step {s}")));
    if let (Some(start), Some(stop)) = (reply.start_step, reply.stop_step) {
        parts.push(format!("tracing steps {start} up to {stop}"));
    }
    if let Some(detail) = &reply.detail {
        let n = detail.processes.len() as u64 + detail.processes_omitted;
        parts.push(format!("{n} process{}", if n == 1 { "" } else { "es" }));
        parts.push(format!("up {} s", detail.uptime_s));
    }
    parts.join(", ")
}

/// Why the last reload of the certificates failed, and each CRL in use.
fn certificate_lines(reply: &StatusReply) -> Vec<String> {
    let Some(status) = reply.detail.as_ref().and_then(|d| d.certificates.as_ref()) else { return Vec::new() };
    let failure = status.reload_failure.as_ref().map(|f| {
        format!(
            "certificates: reload failed at {}, those of {} are in use: {}",
            f.at, status.loaded_at, f.reason
        )
    });
    let crls = status.crls.iter().map(|crl| {
        let number = crl.number.as_deref().unwrap_or("without a number");
        let due = crl.next_update.as_ref().map(|at| format!(", next due {at}")).unwrap_or_default();
        format!("CRL {number} by {}: {} old, {} revoked{due}", crl.issuer, age(crl.age_s), crl.revoked)
    });
    let mut lines: Vec<String> = failure.into_iter().chain(crls).collect();
    if status.crls.is_empty() {
        lines.push("no CRL: revoked certificates are served".to_owned());
    }
    lines
}

/// An age in its largest unit, from seconds.
fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The processes, one line each.
fn table(reply: &StatusReply) -> Vec<String> {
    let Some(detail) = &reply.detail else { return Vec::new() };
    let mut lines: Vec<String> = detail.processes.iter().map(row).collect();
    if detail.processes_omitted > 0 {
        lines.push(format!("and {} more", detail.processes_omitted));
    }
    lines
}

fn row(p: &ProcessStatus) -> String {
    let mut parts = vec![format!("pid {:<7} job {}", p.pid, p.job_id)];
    parts.extend(p.host_pid.map(|h| format!("host pid {h}")));
    parts.extend(p.device.map(|d| format!("device {d}")));
    let ago = |ms| seconds(std::time::Duration::from_millis(ms));
    parts.extend(p.last_poll_ms.map(|ms| format!("asked {} ago", ago(ms))));
    parts.extend(p.pending_ms.map(|ms| format!("request waiting for {}", ago(ms))));
    parts.extend(p.nputrace.map(|s| format!("nputrace {}", word(s))));
    parts.extend(p.npumonitor.map(|s| format!("npumonitor {}", word(s))));
    parts.extend(known_step(p.current_step).map(|s| format!("step {s}")));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(json: &str) -> StatusReply {
        decode(json.as_bytes()).unwrap()
    }

    #[test]
    fn every_kind_of_daemon_has_a_headline() {
        assert_eq!(headline(&reply(r#"{"status":1}"#)), "alive");
        let ms = reply(
            r#"{"nputrace":"Ready","npumonitor":"Idle","current_step":4,"start_step":5,"stop_step":7}"#,
        );
        assert_eq!(headline(&ms), "alive, nputrace Ready, npumonitor Idle, step 4, tracing steps 5 up to 7");
        let unknown = reply(r#"{"nputrace":"Uninitialized","npumonitor":"unknown","current_step":-1}"#);
        assert_eq!(headline(&unknown), "alive, nputrace Uninitialized, npumonitor unknown");
        let ours = reply(
            r#"{"nputrace":"Idle","npumonitor":"Idle","current_step":-1,"detail":{"processes":[{"pid":7,"job_id":3,
                "last_poll_ms":1500}],"processes_omitted":2,"uptime_s":60,"new":1}}"#,
        );
        assert_eq!(headline(&ours), "alive, nputrace Idle, npumonitor Idle, 3 processes, up 60 s");
        assert_eq!(table(&ours), ["pid 7       job 3, asked 1.5 s ago", "and 2 more"]);
    }
    #[test]
    fn the_crl_and_a_failed_reload_are_shown() {
        let with = |certificates: &str| {
            let detail = format!(r#"{{"detail":{{"processes":[],"certificates":{certificates}}}}}"#);
            certificate_lines(&reply(&detail))
        };
        let crl =
            r#"{"issuer":"CN=X","number":"02","this_update":"t","next_update":"n","age_s":7300,"revoked":1}"#;
        let failed = format!(
            r#"{{"loaded_at":"l","crls":[{crl}],"reload_failure":{{"at":"a","reason":"server.key.bak: a key"}}}}"#
        );
        let lines = [
            "certificates: reload failed at a, those of l are in use: server.key.bak: a key",
            "CRL 02 by CN=X: 2 h old, 1 revoked, next due n",
        ];
        assert_eq!(with(&failed), lines);
        assert_eq!(with(r#"{"loaded_at":"l"}"#), ["no CRL: revoked certificates are served"]);
        assert!(certificate_lines(&reply(r#"{"status":1}"#)).is_empty());
    }
}
