//! `profctl status --processes` and `--health`: what only profd can say.

use common::record::profctl as record;
use common::rpc::message::{FunctionState, HealthReply, ListPage, ProcessListReply, ProcessStatus, Request};
use common::text::{Safe, count_noun};

use crate::reply::{decode_reply, format_decline};
use crate::session::DaemonSession;

/// More than any daemon sends in one reply.
const ALL: u64 = 1_000_000;

/// Prints a table of the registered processes of every daemon.
pub(super) fn print_processes(session: &mut DaemonSession<'_>) -> anyhow::Result<()> {
    let request = Request::Processes(ListPage { offset: 0, limit: ALL });
    session.query_daemons(&request, |session, mut answer, body| {
        let mut list = ProcessListReply::default();
        match body.and_then(|b| decode_reply(&b)) {
            Ok(reply) => list = reply,
            Err(failure) => failure.apply_to(&mut answer),
        }
        session.count_answer(&answer);
        if session.writes_records() {
            let processes = list.processes.iter().map(process_record).collect();
            return Ok(session.out.record(&record::Processes { answer, total: list.total, processes })?);
        }
        if let Some(text) = format_decline(&answer) {
            return session.print_line(&answer, &text);
        }
        if answer.outcome != record::RequestOutcome::Done {
            return Ok(());
        }
        let n = list.total;
        session.print_line(&answer, &count_noun(n, "process"))?;
        for line in format_table(&list.processes) {
            writeln!(session.out.text(), "  {}", Safe(&line))?;
        }
        let omitted = n.saturating_sub(list.processes.len() as u64);
        if omitted > 0 {
            writeln!(session.out.text(), "  and {omitted} more")?;
        }
        Ok(())
    })
}

/// Prints the health of every daemon. One that is not well counts as degraded.
pub(super) fn print_health(session: &mut DaemonSession<'_>) -> anyhow::Result<()> {
    session.query_daemons(&Request::Health, |session, mut answer, body| {
        let mut health = None;
        match body.and_then(|b| decode_reply::<HealthReply>(&b)) {
            Ok(reply) => health = Some(reply),
            Err(failure) => failure.apply_to(&mut answer),
        }
        session.count_answer(&answer);
        session.summary_mut().degraded += u64::from(health.as_ref().is_some_and(|h| h.status != "ok"));
        if session.writes_records() {
            let record = record::Health { answer, health: health.as_ref().map(health_record) };
            return Ok(session.out.record(&record)?);
        }
        if let Some(health) = health {
            session.print_line(&answer, &format_health(&health))?;
            for problem in &health.problems {
                writeln!(session.out.text(), "  {}", Safe(&problem.message))?;
            }
        } else if let Some(text) = format_decline(&answer) {
            session.print_line(&answer, &text)?;
        }
        Ok(())
    })
}

pub(super) fn function_state_name(state: FunctionState) -> &'static str {
    match state {
        FunctionState::Uninitialized => "Uninitialized",
        FunctionState::Idle => "Idle",
        FunctionState::Running => "Running",
        FunctionState::Ready => "Ready",
        FunctionState::Unknown => "unknown",
    }
}

pub(super) fn known_step(step: Option<i64>) -> Option<i64> {
    step.filter(|s| *s >= 0)
}

pub(super) fn process_record(p: &ProcessStatus) -> record::Process {
    record::Process {
        pid: p.pid,
        host_pid: p.host_pid,
        uid: p.uid,
        user: p.user.clone(),
        job_id: p.job_id,
        device: p.device,
        command: p.command.clone(),
        role: p.role.clone(),
        rank: p.rank,
        local_rank: p.local_rank,
        world_size: p.world_size,
        slurm_job_id: p.slurm_job_id.clone(),
        slurm_job_name: p.slurm_job_name.clone(),
        slurm_account: p.slurm_account.clone(),
        slurm_partition: p.slurm_partition.clone(),
        pod: p.pod.clone(),
        namespace: p.namespace.clone(),
        last_seen_ms: p.last_seen_ms,
        last_poll_ms: p.last_poll_ms,
        pending_ms: p.pending_ms,
        nputrace: p.nputrace.map(|s| function_state_name(s).to_owned()),
        npumonitor: p.npumonitor.map(|s| function_state_name(s).to_owned()),
        current_step: known_step(p.current_step),
        start_step: p.start_step,
        stop_step: p.stop_step,
        last_request: p.last_request.as_ref().map(|r| record::LastRequest {
            trace_id: r.trace_id.clone(),
            function: r.function.clone(),
            outcome: r.outcome.clone(),
            since_ms: r.since_ms,
        }),
    }
}

/// Formats an age in seconds in its largest unit.
pub(super) fn format_age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

pub(super) fn health_record(health: &HealthReply) -> record::DaemonHealth {
    let problem = |p: &common::rpc::message::HealthProblem| record::HealthProblem {
        code: p.code.clone(),
        message: p.message.clone(),
        blocks: p.blocks,
    };
    record::DaemonHealth {
        status: health.status.clone(),
        ready: health.ready,
        problems: health.problems.iter().map(problem).collect(),
        version: health.version.clone(),
        uptime_s: health.uptime_s,
    }
}

fn format_health(health: &HealthReply) -> String {
    let up = format_age(i64::try_from(health.uptime_s).unwrap_or(i64::MAX));
    let status = health.status.replace('_', " ");
    format!("{status}, version {}, up {up}", health.version)
}

const HEADER: [&str; 11] =
    ["PID", "HOST PID", "USER", "JOB", "RANK", "LOCAL", "DEVICE", "STATE", "STEP", "SEEN", "LAST REQUEST"];

/// Formats one line for each process, in columns; the command comes last.
fn format_table(processes: &[ProcessStatus]) -> Vec<String> {
    if processes.is_empty() {
        return Vec::new();
    }
    let mut rows: Vec<Vec<String>> = vec![HEADER.iter().map(|h| (*h).to_owned()).collect()];
    rows.extend(processes.iter().map(table_row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
    let commands = std::iter::once("COMMAND".to_owned()).chain(processes.iter().map(format_command));
    let line = |(row, command): (&Vec<String>, String)| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}  {command}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    rows.iter().zip(commands).map(line).collect()
}

fn table_row(p: &ProcessStatus) -> Vec<String> {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let number = |value: Option<i64>| or_dash(value.map(|n| n.to_string()));
    let age = |ms: u64| format_age(i64::try_from(ms / 1000).unwrap_or(i64::MAX));
    let user = p.user.clone().or_else(|| p.uid.map(|uid| uid.to_string()));
    let job = p.slurm_job_id.clone().unwrap_or_else(|| p.job_id.to_string());
    let request = p.last_request.as_ref();
    vec![
        p.pid.to_string(),
        number(Some(i64::from(p.host_pid.unwrap_or(p.pid)))),
        or_dash(user),
        job,
        number(p.rank),
        number(p.local_rank),
        number(p.device.map(i64::from)),
        or_dash(describe_state(p)),
        number(known_step(p.current_step)),
        or_dash(p.last_seen_ms.map(age)),
        or_dash(request.map(|r| format!("{} {}, {} ago", r.function, r.outcome, age(r.since_ms)))),
    ]
}

fn describe_state(p: &ProcessStatus) -> Option<String> {
    let trace = p.nputrace.map(|s| format!("trace {}", function_state_name(s)));
    let monitor = p.npumonitor.map(|s| format!("monitor {}", function_state_name(s)));
    let role = p.role.clone();
    let parts: Vec<_> = role.into_iter().chain(trace).chain(monitor).collect();
    Some(parts.join(", ")).filter(|text| !text.is_empty())
}

fn format_command(p: &ProcessStatus) -> String {
    let pod = p.pod.as_ref().map(|pod| match &p.namespace {
        Some(namespace) => format!("pod {namespace}/{pod}: "),
        None => format!("pod {pod}: "),
    });
    format!("{}{}", pod.unwrap_or_default(), p.command.as_deref().unwrap_or("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_stand_in_columns() {
        let json = r#"[{"pid":7,"job_id":3},{"pid":1,"host_pid":4242,"uid":1000,"user":"ann","job_id":0,"rank":5,
            "local_rank":1,"device":1,"last_seen_ms":850,"npumonitor":"Running","current_step":120,"command":"python train.py",
            "pod":"job-0","namespace":"ml","last_request":{"trace_id":"9","function":"monitor","outcome":"running","since_ms":3000}}]"#;
        let processes: Vec<ProcessStatus> = serde_json::from_str(json).unwrap();
        let lines = format_table(&processes);
        assert_eq!(
            lines[0],
            "PID  HOST PID  USER  JOB  RANK  LOCAL  DEVICE  STATE            STEP  SEEN  LAST REQUEST              COMMAND"
        );
        assert_eq!(
            lines[1],
            "7    7         -     3    -     -      -       -                -     -     -                         -"
        );
        assert_eq!(
            lines[2],
            "1    4242      ann   0    5     1      1       monitor Running  120   0 s   monitor running, 3 s ago  pod ml/job-0: python train.py"
        );
        assert!(format_table(&[]).is_empty());
    }

    #[test]
    fn health_is_one_line_and_its_problems() {
        let health: HealthReply =
            serde_json::from_str(r#"{"status":"not_ready","ready":false,"version":"0.1.0","uptime_s":7300}"#)
                .unwrap();
        assert_eq!(format_health(&health), "not ready, version 0.1.0, up 2 h");
        assert_eq!(health_record(&health).problems.len(), 0);
    }
}
