//! `profctl monitor`: monitoring that is started, watched and stopped by one command.

use std::time::{Duration, Instant};

use clap::Args;
use common::duration::parse_duration;
use common::exit::Exit;
use common::out::Out;
use common::rpc::message::FunctionState;
use common::text::count_noun;

use super::npu_monitor::NpuMonitorArgs;
use super::watch::{HostStatus, query_all_hosts};
use crate::duration_text::format_duration;
use crate::interrupt::Interrupted;
use crate::on_demand::OnDemandCommand;
use crate::option_value::{ActivityKind, CommaList, comma_list};
use crate::process_filter::{ProcessFilter, ProcessSelectionArgs};
use crate::session::DaemonSession;

/// How often processes are asked to stop while some are busy, and the pause between two times: processes poll every 1 to 5
/// seconds.
const STOP_ATTEMPTS: u32 = 4;
const STOP_PAUSE: Duration = Duration::from_secs(2);

/// How much longer than `--duration` a process monitors by itself, if it gets no request to stop: as when this client was killed.
/// Without this margin, processes stop at the moment of the last report, which then counts none of them.
const STOP_MARGIN: Duration = Duration::from_secs(10);

/// Monitor Ascend devices for a limited time, and always stop monitoring afterwards
///
/// Starts npu-monitor in the processes, prints after each interval how many of them are monitored and how many metrics their daemons
/// have received, and stops npu-monitor: after the duration, or on Ctrl-C. The daemons store the metrics (profd(8),
/// --metric-log-dir). To start and stop separately use npu-monitor.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  Monitor kernels and communication on all hosts for ten minutes:\n    profctl --hosts 'node[01-16]' monitor --kind Kernel,Communication --duration 10m\n\n  Monitor until Ctrl-C:\n    profctl monitor"
)]
pub(crate) struct MonitorArgs {
    /// Kinds of activities to monitor, separated by commas
    #[arg(long, value_parser = comma_list::<ActivityKind>(), default_value = "Marker", value_name = "LIST")]
    kind: CommaList<ActivityKind>,
    /// Time between the reports of the processes, at least 1s
    #[arg(long, default_value = "10s", value_parser = parse_duration, value_name = "TIME")]
    interval: Duration,
    /// Duration of monitoring [default: until Ctrl-C]
    ///
    /// If this command is killed, the processes stop by themselves 10 s after the duration.
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    duration: Option<Duration>,
    /// Maximum number of processes to monitor on each host [default: all]
    #[arg(long, value_name = "N")]
    process_limit: Option<u32>,
    #[command(flatten)]
    processes: ProcessSelectionArgs,
}

/// Validated monitoring.
pub(crate) struct MonitorCommand {
    filter: ProcessFilter,
    start: OnDemandCommand,
    stop: OnDemandCommand,
    interval: Duration,
    duration: Option<Duration>,
}

impl MonitorArgs {
    /// Validates the options, and builds the requests to start and to stop.
    ///
    /// # Errors
    /// An option is not usable.
    pub(crate) fn build_command(&self, out: &Out) -> anyhow::Result<MonitorCommand> {
        let seconds = self.interval.as_secs().max(1);
        let start = NpuMonitorArgs::for_metrics(
            u32::try_from(seconds).unwrap_or(u32::MAX),
            self.duration.map_or(Duration::ZERO, |duration| duration.saturating_add(STOP_MARGIN)),
            self.kind.clone(),
            self.processes.clone(),
            self.process_limit,
        );
        let stop = start.to_stop();
        Ok(MonitorCommand {
            filter: self.processes.monitor_filter(self.process_limit),
            start: start.build_command(out)?,
            stop: stop.build_command(out)?,
            interval: Duration::from_secs(seconds),
            duration: self.duration,
        })
    }
}

impl MonitorCommand {
    pub(crate) fn run(self, mut session: DaemonSession<'_>) -> anyhow::Result<Exit> {
        session.catch_interrupts()?;
        let watched = self.watch(&mut session);
        let interrupted = watched.as_ref().is_err_and(|e| e.is::<Interrupted>());
        // Whatever ended it: nobody else knows that it is to be stopped.
        if session.summary_mut().triggered > 0 || interrupted {
            self.stop_all(&mut session)?;
        }
        if !interrupted {
            watched?;
        }
        session.finish_run()
    }

    /// Stops monitoring. A process that has not fetched the request to start yet is busy, and would be monitored for ever.
    fn stop_all(&self, session: &mut DaemonSession<'_>) -> anyhow::Result<()> {
        let before = session.summary_mut().clone();
        for left in (0..STOP_ATTEMPTS).rev() {
            *session.summary_mut() = before.clone();
            session.take_busy();
            session.restart_deadline();
            self.stop.send(session)?;
            if left == 0 || session.take_busy() == 0 {
                break;
            }
            session.sleep(STOP_PAUSE)?;
        }
        Ok(())
    }

    fn watch(&self, session: &mut DaemonSession<'_>) -> anyhow::Result<()> {
        self.start.send(session)?;
        if session.summary_mut().triggered == 0 {
            return Ok(());
        }
        let begin = Instant::now();
        let mut received = None;
        loop {
            let left = self.duration.map(|time| time.saturating_sub(begin.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
            session.sleep(left.unwrap_or(self.interval).min(self.interval))?;
            session.restart_deadline();
            let hosts = query_all_hosts(session)?;
            let now: u64 = hosts.iter().map(|host| host.counter("metrics.received")).sum();
            let metrics = received.map(|before: u64| now.saturating_sub(before));
            received = Some(now);
            let line = describe_monitoring(&hosts, &self.filter, metrics, begin.elapsed());
            session.out.diag().notice("monitor", line);
        }
    }
}

/// Says how many of the selected processes are monitored, and how many metrics have come since the last query.
fn describe_monitoring(
    hosts: &[HostStatus],
    filter: &ProcessFilter,
    metrics: Option<u64>,
    elapsed: Duration,
) -> String {
    let selected = || hosts.iter().flat_map(HostStatus::processes).filter(|process| filter.selects(process));
    let monitored = selected().filter(|p| p.npumonitor == Some(FunctionState::Running)).count();
    let all = count_noun(selected().count() as u64, "process");
    let metrics =
        metrics.map(|n| format!(", {} since the last query", count_noun(n, "metric"))).unwrap_or_default();
    let elapsed = format_duration(Duration::from_secs(elapsed.as_secs()));
    format!("{monitored} of {all} monitored after {elapsed}{metrics}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_selected_processes_are_counted() {
        let process = |pid: i32, rank: i64, state: &str| {
            format!(r#"{{"pid":{pid},"job_id":0,"rank":{rank},"npumonitor":"{state}"}}"#)
        };
        let listed = [process(5, 0, "Running"), process(6, 1, "Idle"), process(7, 2, "Running")].join(",");
        let host = HostStatus::of_reply(0, Ok(&format!(r#"{{"detail":{{"processes":[{listed}]}}}}"#)));
        let describe = |args: &[&str], metrics| {
            let args: MonitorArgs = crate::cmd::parse_args(args);
            let filter = args.processes.monitor_filter(None);
            describe_monitoring(std::slice::from_ref(&host), &filter, metrics, Duration::from_millis(3900))
        };
        assert_eq!(describe(&[], None), "2 of 3 processes monitored after 3 s");
        let one = "0 of 1 process monitored after 3 s, 1 metric since the last query";
        assert_eq!(describe(&["--rank", "1"], Some(1)), one);
        let two = "1 of 2 processes monitored after 3 s, 2 metrics since the last query";
        assert_eq!(describe(&["--pid", "5,6"], Some(2)), two);
    }
}
