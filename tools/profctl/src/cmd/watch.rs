//! `profctl watch`: the processes of the daemons, refreshed at an interval.

use std::time::{Duration, Instant};

use clap::Args;
use common::duration::parse_duration;
use common::exit::Exit;
use common::record::profctl::ReplySummary;
use common::rpc::message::{ProcessStatus, Request, StatusReply};
use common::text::count_noun;

use super::status::{format_headline, status_record};
use super::status_views::function_state_name;
use crate::duration_text::format_duration;
use crate::interrupt::Interrupted;
use crate::process_filter::ProcessFilter;
use crate::reply::{RequestFailure, decode_status_reply};
use crate::screen::{TableScreen, align_columns};
use crate::session::DaemonSession;
use crate::step_rate::{StepFollower, StepProgress};

/// Show the processes of the daemons, and update them until Ctrl-C
///
/// On a terminal the result is a table that fills the screen; Ctrl-C ends it, and restores the terminal. Elsewhere it is a
/// line for each daemon and update, and with --format json a record of `profctl status`. Steps per second need processes that
/// report their steps, as those on Ascend devices do.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  Watch all hosts of a Slurm job:\n    profctl --slurm 4711 watch\n\n  Print ten updates as lines, one second apart:\n    profctl watch --interval 1s --count 10 | cat"
)]
pub(crate) struct DaemonWatchArgs {
    /// Time between updates
    #[arg(long, default_value = "2s", value_parser = parse_duration, value_name = "TIME")]
    interval: Duration,
    /// Number of updates [default: until Ctrl-C]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    count: Option<u64>,
}

/// The reply of one daemon at one refresh.
#[derive(Clone, Debug)]
pub(crate) struct HostStatus {
    /// The place of the daemon.
    place: usize,
    answer: ReplySummary,
    reply: Result<StatusReply, RequestFailure>,
}

impl DaemonWatchArgs {
    pub(crate) fn run(&self, mut session: DaemonSession<'_>) -> anyhow::Result<Exit> {
        session.catch_interrupts()?;
        let screen = if session.writes_records() { None } else { TableScreen::open()? };
        let ended = self.refresh_repeatedly(&mut session, screen);
        match ended {
            // It has no other end unless the number of refreshes is given.
            Err(e) if e.is::<Interrupted>() => session.finish_run(),
            Err(e) => Err(e),
            Ok(last) => {
                last.iter().for_each(|answer| session.count_answer(answer));
                session.finish_run()
            }
        }
    }

    /// Returns the answers of the last refresh.
    fn refresh_repeatedly(
        &self,
        session: &mut DaemonSession<'_>,
        mut screen: Option<TableScreen>,
    ) -> anyhow::Result<Vec<ReplySummary>> {
        let mut follower = StepFollower::default();
        let mut refreshes = 0;
        loop {
            let begin = Instant::now();
            session.restart_deadline();
            let hosts = query_all_hosts(session)?;
            match &mut screen {
                Some(screen) => screen.draw(&draw_table(&hosts, &mut follower, begin))?,
                None => report_refresh(session, &hosts)?,
            }
            refreshes += 1;
            if self.count.is_some_and(|count| refreshes >= count) {
                return Ok(hosts.into_iter().map(HostStatus::into_answer).collect());
            }
            session.sleep(self.interval.saturating_sub(begin.elapsed()))?;
        }
    }
}

/// Asks all daemons for their status. The result is in the order of the daemons.
pub(crate) fn query_all_hosts(session: &mut DaemonSession<'_>) -> anyhow::Result<Vec<HostStatus>> {
    let body: std::sync::Arc<[u8]> = Request::Status { extended: true }.encode().into();
    let request = |daemon: &crate::daemon_address::DaemonAddress| crate::fanout::DaemonRequest {
        daemon: daemon.clone(),
        body: body.clone(),
    };
    let requests = session.daemons().iter().map(request).collect();
    let mut hosts = Vec::new();
    session.query_each(requests, |_, place, answer, body| {
        let reply = body.and_then(|body| decode_status_reply(&body));
        hosts.push(HostStatus { place, answer, reply });
        Ok(())
    })?;
    hosts.sort_by_key(|host| host.place);
    Ok(hosts)
}

impl HostStatus {
    /// Returns what a record says about the exchange.
    fn into_answer(self) -> ReplySummary {
        let mut answer = self.answer;
        if let Err(failure) = self.reply {
            failure.apply_to(&mut answer);
        }
        answer
    }

    /// Returns the processes, if the daemon lists them.
    pub(crate) fn processes(&self) -> &[ProcessStatus] {
        let detail = self.reply.as_ref().ok().and_then(|reply| reply.detail.as_ref());
        detail.map(|detail| detail.processes.as_slice()).unwrap_or_default()
    }

    /// Returns a counter of the daemon.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let detail = self.reply.as_ref().ok().and_then(|reply| reply.detail.as_ref());
        detail.and_then(|detail| detail.counters.get(name)).copied().unwrap_or(0)
    }

    /// Notes the steps of the selected processes.
    pub(crate) fn follow_steps(&self, filter: &ProcessFilter, follower: &mut StepFollower, now: Instant) {
        for process in self.processes().iter().filter(|process| filter.selects(process)) {
            if let Some(step) = process.current_step.filter(|step| *step >= 0) {
                follower.note((self.place, process.job_id, process.pid), step, now);
            }
        }
    }
}

/// Writes a line or a record for each daemon.
fn report_refresh(session: &mut DaemonSession<'_>, hosts: &[HostStatus]) -> anyhow::Result<()> {
    for host in hosts {
        let reply = host.reply.clone().ok();
        let answer = host.clone().into_answer();
        if session.writes_records() {
            session.out.record(&status_record(answer, reply.unwrap_or_default()))?;
        } else {
            let text = reply.as_ref().map(format_headline);
            let text = text.or_else(|| answer.reason.clone()).unwrap_or_default();
            session.print_line(&answer, &text)?;
        }
    }
    Ok(session.out.flush()?)
}

/// Lays out the heading, the daemons that do not answer, and a row for each process.
fn draw_table(hosts: &[HostStatus], follower: &mut StepFollower, now: Instant) -> Vec<String> {
    let failed = hosts.iter().filter(|host| host.reply.is_err());
    let processes: usize = hosts.iter().map(|host| host.processes().len()).sum();
    let unreachable = failed.clone().count();
    let (daemons, processes) =
        (count_noun(hosts.len() as u64, "daemon"), count_noun(processes as u64, "process"));
    let mut lines = vec![format!("{daemons}, {unreachable} without an answer, {processes}")];
    lines.extend(failed.filter_map(|host| {
        let reason = &host.reply.as_ref().err()?.reason;
        Some(format!("{}: {reason}", host.answer.host))
    }));
    let heading = [
        "HOST",
        "PID",
        "JOB",
        "RANK",
        "USER",
        "DEVICE",
        "NPUTRACE",
        "MONITOR",
        "STEP",
        "STEPS/S",
        "LAST POLL",
        "NAME",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for host in hosts {
        for process in host.processes() {
            let step = process.current_step.filter(|step| *step >= 0);
            let key = (host.place, process.job_id, process.pid);
            let progress = step.and_then(|step| follower.note(key, step, now));
            rows.push(process_row(&host.answer.host, process, progress));
        }
    }
    lines.push(String::new());
    lines.extend(align_columns(&rows));
    lines
}

fn process_row(host: &str, process: &ProcessStatus, progress: Option<&StepProgress>) -> Vec<String> {
    let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
    let state = |s: Option<common::rpc::message::FunctionState>| {
        s.map(|s| function_state_name(s).to_owned()).unwrap_or_default()
    };
    let user = process.user.clone().or_else(|| process.uid.map(|uid| uid.to_string()));
    let rate = progress.and_then(StepProgress::steps_per_second);
    let poll = process.last_poll_ms.map(|ms| format_duration(Duration::from_millis(ms)));
    vec![
        host.to_owned(),
        process.pid.to_string(),
        // As `status --processes` shows them.
        process.slurm_job_id.clone().unwrap_or_else(|| process.job_id.to_string()),
        number(process.rank),
        user.unwrap_or_default(),
        number(process.device.map(i64::from)),
        state(process.nputrace),
        state(process.npumonitor),
        number(progress.map(|p| p.step)),
        rate.map(|rate| format!("{rate:.2}")).unwrap_or_default(),
        poll.unwrap_or_default(),
        // Last, because it may be long: the screen cuts it off.
        process.command.clone().unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::record::profctl::RequestOutcome;

    impl HostStatus {
        /// Returns the status of a host that has answered with a text, or has not answered.
        pub(crate) fn of_reply(place: usize, json: Result<&str, &str>) -> Self {
            let answer = ReplySummary {
                host: format!("node{place}"),
                port: 1778,
                address: None,
                outcome: RequestOutcome::Done,
                reason: None,
                code: None,
                hints: Vec::new(),
                elapsed_ms: 1,
            };
            let reply = match json {
                Ok(json) => crate::reply::decode_status_reply(json.as_bytes()),
                Err(reason) => Err(RequestFailure::from_error(reason, None)),
            };
            Self { place, answer, reply }
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_process() {
        let of = |step: i64| {
            let json = format!(
                r#"{{"nputrace":"Idle","detail":{{"counters":{{"metrics.received":7}},"processes":[{{"pid":5,
                    "job_id":3,"rank":7,"command":"python3 train.py","user":"ann","uid":1000,"device":1,"nputrace":"Idle","current_step":{step},
                    "last_poll_ms":800}},{{"pid":6,"job_id":3}}]}}}}"#
            );
            let refused = HostStatus::of_reply(1, Err("connection refused"));
            [HostStatus::of_reply(0, Ok(&json)), refused, HostStatus::of_reply(2, Ok(r#"{"status":1}"#))]
        };
        let start = Instant::now();
        let mut follower = StepFollower::default();
        draw_table(&of(10), &mut follower, start);
        let lines = draw_table(&of(30), &mut follower, start + Duration::from_secs(10));
        assert_eq!(lines[0], "3 daemons, 1 without an answer, 2 processes");
        let one = draw_table(&[HostStatus::of_reply(2, Ok(r#"{"status":1}"#))], &mut follower, start);
        assert_eq!(one[0], "1 daemon, 0 without an answer, 0 processes");
        assert_eq!(lines[1], "node1: connection refused");
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            words(&lines[4]),
            ["node0", "5", "3", "7", "ann", "1", "Idle", "30", "2.00", "800", "ms", "python3", "train.py"]
        );
        assert_eq!(words(&lines[5]), ["node0", "6", "3"]);
        assert_eq!(of(1)[0].counter("metrics.received"), 7);
    }
}
