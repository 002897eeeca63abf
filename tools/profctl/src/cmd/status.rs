//! `profctl status`: the state of a daemon and of its registered processes.

use clap::Args;
use common::exit::Exit;
use common::record::profctl as record;
use common::rpc::message::{
    CertificateStatus, CertificateSummary, CrlStatus, FunctionState, ProcessStatus, Request, StatusReply,
};
use common::text::{Safe, count_noun};

use super::status_views::{
    format_age, function_state_name, health_record, known_step, print_health, print_processes, process_record,
};
use crate::duration_text::format_duration;
use crate::metric_sinks::format_sinks;
use crate::rejected::{describe_rejected, rejected_record};
use crate::reply::{decode_status_reply, format_decline};
use crate::session::DaemonSession;

/// Print the state of the daemon and of its registered processes
///
/// Only profd reports the processes one by one; existing daemons report only that they are running (dynolog), or one
/// state for all processes (msMonitor). profd also reports the CRLs in use and, if the last reload of its certificates
/// failed, the reason: it then continues with the previous certificates and accepts only newer CRLs.
///
/// The exit status is 1 if the certificates of a daemon need attention: the last reload failed, a CRL was not taken, or
/// one in use has expired. With --health it is 1 if a daemon has any problem.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  Print the state of the daemon on this machine:\n    profctl status\n\n  List the pids of the registered processes:\n    profctl --format json status | jq '.processes[].pid'\n\n  Print who trains there, with rank, step and last request:\n    profctl status --processes\n\n  Check from a script whether a daemon does all of its work:\n    profctl status --health"
)]
pub(crate) struct StatusArgs {
    /// Print a table of the processes: user, job, rank, device, state, step, and what became of the last request
    ///
    /// Rank and job are those of the process's environment, as far as the daemon may read it. Only profd has it.
    #[arg(long)]
    processes: bool,

    /// Print whether the daemon is ready, and its problems; from profd only
    #[arg(long, conflicts_with = "processes")]
    health: bool,
}

impl StatusArgs {
    pub(crate) fn run(&self, mut session: DaemonSession<'_>) -> anyhow::Result<Exit> {
        if self.processes {
            print_processes(&mut session)?;
            return session.finish_run();
        }
        if self.health {
            print_health(&mut session)?;
            return session.finish_run();
        }
        session.query_daemons(&Request::Status { extended: true }, |session, mut answer, body| {
            let reply = match body.and_then(|b| decode_status_reply(&b)) {
                Ok(reply) => Some(reply),
                Err(failure) => {
                    failure.apply_to(&mut answer);
                    None
                }
            };
            session.count_answer(&answer);
            let certificates =
                reply.as_ref().and_then(|r| r.detail.as_ref()).and_then(|d| d.certificates.as_ref());
            session.summary_mut().degraded += u64::from(certificates.is_some_and(needs_attention));
            if session.writes_records() {
                session.out.record(&status_record(answer, reply.unwrap_or_default()))?;
            } else if let Some(reply) = reply {
                session.print_line(&answer, &format_headline(&reply))?;
                let sinks = reply.detail.as_ref().map(|d| format_sinks(&d.counters)).unwrap_or_default();
                let lines = [
                    format_health(&reply),
                    format_certificates(&reply),
                    format_processes(&reply),
                    format_rejected(&reply),
                    sinks,
                ]
                .concat();
                for line in &lines {
                    writeln!(session.out.text(), "  {}", Safe(line))?;
                }
            } else if let Some(text) = format_decline(&answer) {
                session.print_line(&answer, &text)?;
            }
            Ok(())
        })?;
        session.finish_run()
    }
}

pub(crate) fn status_record(answer: record::ReplySummary, reply: StatusReply) -> record::Status {
    let detail = reply.detail;
    record::Status {
        answer,
        nputrace: reply.nputrace.map(|s| function_state_name(s).to_owned()),
        npumonitor: reply.npumonitor.map(|s| function_state_name(s).to_owned()),
        current_step: known_step(reply.current_step),
        start_step: reply.start_step,
        stop_step: reply.stop_step,
        uptime_s: detail.as_ref().map(|d| d.uptime_s),
        processes: detail.as_ref().map(|d| d.processes.iter().map(process_record).collect()),
        processes_omitted: detail.as_ref().map(|d| d.processes_omitted),
        rejected: detail
            .as_ref()
            .map(|d| d.rejected.iter().map(rejected_record).collect())
            .unwrap_or_default(),
        certificates: detail.as_ref().and_then(|d| d.certificates.as_ref()).map(certificates_record),
        health: detail.as_ref().and_then(|d| d.health.as_ref()).map(health_record),
        counters: detail.map(|d| d.counters).unwrap_or_default(),
    }
}

/// Whether an operator must act on the certificates of a daemon.
fn needs_attention(status: &CertificateStatus) -> bool {
    status.reload_failure.is_some() || !status.declined_crls.is_empty() || !status.problems.is_empty()
}

fn certificates_record(status: &CertificateStatus) -> record::Certificates {
    let certificate = |cert: &CertificateSummary| record::CertificateInUse {
        subject: cert.subject.clone(),
        serial: cert.serial.clone(),
        not_after: cert.not_after.clone(),
        sha256: cert.sha256.clone(),
    };
    let crl = |crl: &CrlStatus| record::CrlInUse {
        issuer: crl.issuer.clone(),
        authority_key_id: crl.authority_key_id.clone(),
        number: crl.number.clone(),
        this_update: crl.this_update.clone(),
        next_update: crl.next_update.clone(),
        age_s: crl.age_s,
        in_use_s: crl.in_use_s,
        revoked: crl.revoked,
    };
    record::Certificates {
        loaded_at: status.loaded_at.clone(),
        crls: status.crls.iter().map(crl).collect(),
        leaf: status.leaf.as_ref().map(certificate),
        roots: status.roots.iter().map(certificate).collect(),
        problems: status.problems.clone(),
        declined_crls: status.declined_crls.clone(),
        reload_failed_at: status.reload_failure.as_ref().map(|f| f.at.clone()),
        reload_error: status.reload_failure.as_ref().map(|f| f.reason.clone()),
    }
}

/// Formats the problems of the daemon; certificates have lines of their own.
fn format_health(reply: &StatusReply) -> Vec<String> {
    let problems = reply.detail.as_ref().and_then(|d| d.health.as_ref()).map(|h| h.problems.as_slice());
    let others = problems.unwrap_or_default().iter().filter(|p| p.code != "certificates");
    others.map(|p| format!("health: {}", p.message)).collect()
}

/// Formats the state of the daemon in one line.
pub(crate) fn format_headline(reply: &StatusReply) -> String {
    let mut parts = vec!["alive".to_owned()];
    let state =
        |name: &str, s: Option<FunctionState>| s.map(|s| format!("{name} {}", function_state_name(s)));
    parts.extend(state("nputrace", reply.nputrace));
    parts.extend(state("npumonitor", reply.npumonitor));
    parts.extend(known_step(reply.current_step).map(|s| format!("step {s}")));
    if let (Some(start), Some(stop)) = (reply.start_step, reply.stop_step) {
        parts.push(format!("tracing from step {start} until before step {stop}"));
    }
    if let Some(detail) = &reply.detail {
        let n = detail.processes.len() as u64 + detail.processes_omitted;
        parts.push(count_noun(n, "process"));
        parts.push(format!("up {} s", detail.uptime_s));
    }
    parts.join(", ")
}

/// Formats what is wrong with the certificates, the one that the daemon presents, and each CRL in use, one line each.
fn format_certificates(reply: &StatusReply) -> Vec<String> {
    let Some(status) = reply.detail.as_ref().and_then(|d| d.certificates.as_ref()) else { return Vec::new() };
    let failure = status.reload_failure.as_ref().map(|f| {
        format!(
            "certificates: reload failed at {}, those loaded at {} are still in use (run certck check there): {}",
            f.at, status.loaded_at, f.reason
        )
    });
    let declined = status.declined_crls.iter().map(|reason| format!("CRL not taken: {reason}"));
    let crls = status.crls.iter().map(|crl| {
        let number = crl.number.as_deref().unwrap_or("without a number");
        let due = crl.next_update.as_ref().map(|at| format!(", next update {at}")).unwrap_or_default();
        // certck sets thisUpdate back, so the time since then is not how long the CRL has been in force here.
        let age = match crl.in_use_s {
            Some(seconds) => format!("in use for {}", format_age(i64::try_from(seconds).unwrap_or(i64::MAX))),
            None => format!("{} old", format_age(crl.age_s)),
        };
        // Several CAs may have one name: the key distinguishes them.
        let same_name = status.crls.iter().filter(|other| other.issuer == crl.issuer).count() > 1;
        let key = crl.authority_key_id.as_ref().filter(|_| same_name);
        let key = key.map(|id| format!(" (key identifier {id})")).unwrap_or_default();
        format!("CRL {number} by {}{key}: {age}, {} revoked{due}", crl.issuer, crl.revoked)
    });
    let problems = status.problems.iter().map(|problem| format!("certificates: {problem}"));
    let leaf =
        status.leaf.as_ref().map(|leaf| format!("certificate {}: until {}", leaf.subject, leaf.not_after));
    let mut lines: Vec<String> =
        failure.into_iter().chain(problems).chain(declined).chain(leaf).chain(crls).collect();
    if status.crls.is_empty() {
        lines.push("no CRL: revoked client certificates are accepted".to_owned());
    }
    lines
}

/// Formats the processes, one line each.
fn format_processes(reply: &StatusReply) -> Vec<String> {
    let Some(detail) = &reply.detail else { return Vec::new() };
    // The name of the user is worth a word where there are several.
    let has_several_users = detail.processes.windows(2).any(|pair| pair[0].uid != pair[1].uid);
    let mut lines: Vec<String> =
        detail.processes.iter().map(|p| format_process(p, has_several_users)).collect();
    if detail.processes_omitted > 0 {
        lines.push(format!("and {} more", detail.processes_omitted));
    }
    lines
}

/// Formats the processes whose messages were not taken, one line for each user and cause.
fn format_rejected(reply: &StatusReply) -> Vec<String> {
    let rejected = reply.detail.as_ref().map(|d| d.rejected.as_slice()).unwrap_or_default();
    rejected.iter().map(|r| format!("not taken: {}", describe_rejected(r))).collect()
}

fn format_process(p: &ProcessStatus, with_user_name: bool) -> String {
    let mut parts = vec![format!("pid {:<7} job {}", p.pid, p.job_id)];
    parts.extend(p.host_pid.map(|h| format!("host pid {h}")));
    parts.extend(p.uid.map(|uid| format!("uid {uid}")));
    parts.extend(p.user.as_ref().filter(|_| with_user_name).map(|name| format!("user {name}")));
    parts.extend(p.rank.map(|rank| format!("rank {rank}")));
    parts.extend(p.device.map(|d| format!("device {d}")));
    let ago = |ms| format_duration(std::time::Duration::from_millis(ms));
    parts.extend(p.last_poll_ms.map(|ms| format!("last poll {} ago", ago(ms))));
    parts.extend(p.pending_ms.map(|ms| format!("pending config for {}", ago(ms))));
    parts.extend(p.nputrace.map(|s| format!("nputrace {}", function_state_name(s))));
    parts.extend(p.npumonitor.map(|s| format!("npumonitor {}", function_state_name(s))));
    parts.extend(known_step(p.current_step).map(|s| format!("step {s}")));
    parts.extend(
        p.last_request.as_ref().map(|r| format!("last {} {} {} ago", r.function, r.outcome, ago(r.since_ms))),
    );
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(json: &str) -> StatusReply {
        decode_status_reply(json.as_bytes()).unwrap()
    }

    #[test]
    fn every_kind_of_daemon_has_a_headline() {
        assert_eq!(format_headline(&reply(r#"{"status":1}"#)), "alive");
        let ms = reply(
            r#"{"nputrace":"Ready","npumonitor":"Idle","current_step":4,"start_step":5,"stop_step":7}"#,
        );
        assert_eq!(
            format_headline(&ms),
            "alive, nputrace Ready, npumonitor Idle, step 4, tracing from step 5 until before step 7"
        );
        let unknown = reply(r#"{"nputrace":"Uninitialized","npumonitor":"unknown","current_step":-1}"#);
        assert_eq!(format_headline(&unknown), "alive, nputrace Uninitialized, npumonitor unknown");
        let profd = reply(
            r#"{"nputrace":"Idle","npumonitor":"Idle","current_step":-1,"detail":{"processes":[{"pid":7,"job_id":3,
                "last_poll_ms":1500}],"processes_omitted":2,"uptime_s":60,"new":1}}"#,
        );
        assert_eq!(format_headline(&profd), "alive, nputrace Idle, npumonitor Idle, 3 processes, up 60 s");
        assert_eq!(format_processes(&profd), ["pid 7       job 3, last poll 1.5 s ago", "and 2 more"]);
    }
    #[test]
    fn the_crl_and_a_failed_reload_are_shown() {
        let with = |certificates: &str| {
            let detail = format!(r#"{{"detail":{{"processes":[],"certificates":{certificates}}}}}"#);
            format_certificates(&reply(&detail))
        };
        let crl =
            r#"{"issuer":"CN=X","number":"02","this_update":"t","next_update":"n","age_s":7300,"revoked":1}"#;
        let newer = crl.replace("7300", "7300,\"in_use_s\":7000");
        assert_eq!(
            with(&format!(
                r#"{{"loaded_at":"l","crls":[{newer}],"leaf":{{"subject":"CN=n","serial":"1","not_after":"e","sha256":"h"}},
                    "problems":["CRL 02 expired"]}}"#
            )),
            [
                "certificates: CRL 02 expired",
                "certificate CN=n: until e",
                "CRL 02 by CN=X: in use for 116 min, 1 revoked, next update n"
            ]
        );
        let failed = format!(
            r#"{{"loaded_at":"l","crls":[{crl}],"reload_failure":{{"at":"a","reason":"server.key.bak: a key"}}}}"#
        );
        let lines = [
            "certificates: reload failed at a, those loaded at l are still in use (run certck check there): server.key.bak: a key",
            "CRL 02 by CN=X: 2 h old, 1 revoked, next update n",
        ];
        assert_eq!(with(&failed), lines);
        let of = |key: &str| crl.replace("\"number\"", &format!("\"authority_key_id\":\"{key}\",\"number\""));
        let lines = [
            "CRL 02 by CN=X (key identifier 0a): 2 h old, 1 revoked, next update n",
            "CRL 02 by CN=X (key identifier 0b): 2 h old, 1 revoked, next update n",
            "CRL 02 by CN=Y: 2 h old, 1 revoked, next update n",
        ];
        let crls = [of("0a"), of("0b"), of("0c").replace("CN=X", "CN=Y")].join(",");
        assert_eq!(with(&format!(r#"{{"loaded_at":"l","crls":[{crls}]}}"#)), lines);
        assert_eq!(with(r#"{"loaded_at":"l"}"#), ["no CRL: revoked client certificates are accepted"]);
        assert!(format_certificates(&reply(r#"{"status":1}"#)).is_empty());
    }
}
