//! `profctl schedule`: a request at intervals, or when the training does something; a bounded number of times.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::{Args, Parser, Subcommand};
use common::duration::parse_duration;
use common::error::HintExt;
use common::exit::Exit;
use common::out::Out;
use common::record::profctl::ScheduledRun;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::gputrace::GpuTraceArgs;
use super::npu_monitor::NpuMonitorArgs;
use super::nputrace::NpuTraceArgs;
use super::watch::query_all_hosts;
use crate::duration_text::format_duration;
use crate::on_demand::OnDemandCommand;
use crate::session::DaemonSession;
use crate::step_rate::{StepFollower, StepProgress};

/// Send a request at intervals, or when a condition on the training steps is met
///
/// The request is a gputrace, nputrace or npu-monitor command with its options; options about the connection go before
/// `schedule`. The traces of each run have a name of their own: _runN is inserted before .json, or they are below the
/// directory runN. The number of runs and the time are bounded.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  Trace two iterations every half hour, for a day:\n    profctl --slurm 4711 schedule --every 30m --times 48 \\
      gputrace --iterations 2 --log-file /data/prof/%h.json\n\n  Trace the first three times that a step takes twice as long as usual, at least ten minutes apart:\n    profctl schedule --when slow:2 --every 10m --times 3 \\
      nputrace --start-step -1 --iterations 1 --log-file /data/prof"
)]
pub(crate) struct ScheduleArgs {
    /// Time from one run to the next; with --when, the minimum
    #[arg(long, value_parser = parse_duration, required_unless_present = "when", value_name = "TIME")]
    every: Option<Duration>,
    /// Maximum number of runs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000), value_name = "N")]
    times: u64,
    /// Run when this holds: step:N, stalled:TIME or slow:FACTOR
    ///
    /// The processes are those that the request selects. `step:100`: a process has reached step 100. `stalled:60s`: a process has been in one step for 60 s. `slow:2`: a step
    /// takes twice as long as the median of those before. The processes must report their steps to profd, as those on
    /// Ascend devices do. A condition that goes on holding counts once.
    #[arg(long, value_parser = parse_condition, value_name = "CONDITION")]
    when: Option<RunCondition>,
    /// With --when, interval between two queries for the steps of the processes
    #[arg(long, default_value = "2s", value_parser = parse_duration, value_name = "TIME")]
    check_interval: Duration,
    /// Time after which no run begins
    #[arg(long, default_value = "24h", value_parser = parse_duration, value_name = "TIME")]
    within: Duration,
    /// The request: gputrace, nputrace or npu-monitor, with options
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The request that is repeated.
#[derive(Parser, Debug)]
#[command(name = "profctl schedule", disable_help_subcommand = true)]
struct ScheduledRequest {
    #[command(subcommand)]
    command: ScheduledCommand,
}

#[derive(Subcommand, Debug)]
enum ScheduledCommand {
    Gputrace(GpuTraceArgs),
    Nputrace(Box<NpuTraceArgs>),
    NpuMonitor(NpuMonitorArgs),
}

/// When a run begins, besides the interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RunCondition {
    /// A process has reached a step.
    Step(i64),
    /// A process has been in one step for some time.
    Stalled(Duration),
    /// A step takes this many times as long as the median of those before.
    Slow(f64),
}

fn parse_condition(text: &str) -> Result<RunCondition, String> {
    let malformed = || "must be step:N, stalled:TIME or slow:FACTOR".to_owned();
    let (kind, value) = text.split_once(':').ok_or_else(malformed)?;
    match kind {
        "step" => {
            let step = value.parse().ok().filter(|n| *n >= 0).ok_or("step:N needs a step from 0")?;
            Ok(RunCondition::Step(step))
        }
        "stalled" => parse_duration(value).map(RunCondition::Stalled),
        "slow" => {
            let factor = value.parse().ok().filter(|f: &f64| f.is_finite() && *f > 1.0);
            factor.map(RunCondition::Slow).ok_or_else(|| "slow:FACTOR needs a factor above 1".to_owned())
        }
        _ => Err(malformed()),
    }
}

impl RunCondition {
    /// Returns what a process does, if the condition holds for it.
    fn holds_for(self, progress: &StepProgress, now: Instant) -> Option<String> {
        match self {
            Self::Step(step) => (progress.step >= step).then(|| format!("step {} is reached", progress.step)),
            Self::Stalled(limit) => {
                let stalled = progress.stalled_for(now);
                let text = || format!("step {} takes {} already", progress.step, format_duration(stalled));
                (stalled >= limit).then(text)
            }
            Self::Slow(factor) => {
                let slowdown = progress.slowdown(now).filter(|s| *s >= factor)?;
                Some(format!("step {} takes {slowdown:.1} times the median", progress.step))
            }
        }
    }
}

/// A validated schedule.
pub(crate) struct ScheduledCommandPlan {
    command: OnDemandCommand,
    every: Duration,
    times: u64,
    when: Option<RunCondition>,
    check_interval: Duration,
    within: Duration,
}

impl ScheduleArgs {
    /// Validates the options and the request.
    ///
    /// # Errors
    /// One of them is not usable.
    pub(crate) fn build_command(&self, out: &Out) -> anyhow::Result<ScheduledCommandPlan> {
        let words = std::iter::once(OsString::from("profctl schedule")).chain(self.command.iter().cloned());
        let request = match ScheduledRequest::try_parse_from(words) {
            Ok(request) => request,
            Err(e) => return explain_bad_request(&e),
        };
        let command = match &request.command {
            ScheduledCommand::Gputrace(args) => args.build_command(out)?,
            ScheduledCommand::Nputrace(args) => args.build_command(out)?,
            ScheduledCommand::NpuMonitor(args) => args.build_command(out)?,
        };
        Ok(ScheduledCommandPlan {
            command,
            every: self.every.unwrap_or_default(),
            times: self.times,
            when: self.when,
            check_interval: self.check_interval,
            within: self.within,
        })
    }
}

/// Makes one line of a parser's message.
fn explain_bad_request<T>(error: &clap::Error) -> anyhow::Result<T> {
    let text = error.render().to_string();
    let first = text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or("no request");
    Err(anyhow!("{}", first.trim_start_matches("error: "))).hint(
        "the request is gputrace, nputrace or npu-monitor with its options; options about the connection go before \
         `schedule`",
    )
}

impl ScheduledCommandPlan {
    pub(crate) fn run(mut self, mut session: DaemonSession<'_>) -> anyhow::Result<Exit> {
        // Now, for the condition: it is about the processes of the request.
        self.command.use_slurm_job(session.slurm_job_ids())?;
        let begin = Instant::now();
        let mut follower = StepFollower::default();
        let mut held = false;
        let mut next = begin;
        for run in 1..=self.times {
            wait_until(next);
            let reason = match self.when {
                None => Some("the interval has passed".to_owned()).filter(|_| begin.elapsed() < self.within),
                Some(condition) => {
                    self.wait_for_condition(&mut session, condition, &mut follower, &mut held, begin)?
                }
            };
            let Some(reason) = reason else {
                let text = format!("ended by --within after {} of {} runs", run - 1, self.times);
                session.out.warn("schedule", text);
                break;
            };
            let started = Instant::now();
            report_run(
                &mut session,
                run,
                if run == 1 && self.when.is_none() { "the first run" } else { &reason },
            )?;
            session.restart_deadline();
            let command = if self.times > 1 { self.command.for_run(run)? } else { self.command.clone() };
            command.send(&mut session)?;
            session.out.flush()?;
            // Runs that take longer than the interval do not pile up.
            next = (started + self.every).max(Instant::now());
        }
        session.finish_run()
    }

    /// Looks at the steps until the condition holds that did not hold before. Returns `None` when the time is over.
    fn wait_for_condition(
        &self,
        session: &mut DaemonSession<'_>,
        condition: RunCondition,
        follower: &mut StepFollower,
        held: &mut bool,
        begin: Instant,
    ) -> anyhow::Result<Option<String>> {
        loop {
            if begin.elapsed() >= self.within {
                return Ok(None);
            }
            session.restart_deadline();
            let hosts = query_all_hosts(session)?;
            let now = Instant::now();
            hosts.iter().for_each(|host| host.follow_steps(self.command.filter(), follower, now));
            let found = follower.all().find_map(|progress| condition.holds_for(progress, now));
            let before = std::mem::replace(held, found.is_some());
            if let Some(reason) = found.filter(|_| !before) {
                return Ok(Some(reason));
            }
            std::thread::sleep(self.check_interval);
        }
    }
}

fn wait_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}

/// Says that a run begins, and why.
fn report_run(session: &mut DaemonSession<'_>, run: u64, reason: &str) -> anyhow::Result<()> {
    let at = OffsetDateTime::now_utc().replace_nanosecond(0)?.format(&Rfc3339)?;
    if session.writes_records() {
        session.out.record(&ScheduledRun { run, at, reason: reason.to_owned() })?;
    } else {
        session.out.diag().notice("schedule", format!("run {run} at {at}: {reason}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::{parse_args, try_parse_args};
    use common::out::{Color, Verbosity};

    #[test]
    fn conditions_are_parsed() {
        assert_eq!(parse_condition("step:100"), Ok(RunCondition::Step(100)));
        assert_eq!(parse_condition("stalled:60s"), Ok(RunCondition::Stalled(Duration::from_secs(60))));
        assert_eq!(parse_condition("slow:1.5"), Ok(RunCondition::Slow(1.5)));
        for bad in ["", "step", "step:-1", "step:x", "slow:1", "slow:NaN", "slow:inf", "stalled:0", "later:1"]
        {
            assert!(parse_condition(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn conditions_hold_for_what_a_process_does() {
        let (start, mut follower) = (Instant::now(), StepFollower::default());
        let at = |s: i64| start + Duration::from_secs(u64::try_from(s).unwrap());
        for second in 0..10 {
            follower.note((0, 0, 1), second, at(second));
        }
        let progress = follower.all().next().unwrap();
        let holds = |condition: RunCondition, s| condition.holds_for(progress, at(s)).is_some();
        assert!(holds(RunCondition::Step(9), 9) && !holds(RunCondition::Step(10), 9));
        let stalled = RunCondition::Stalled(Duration::from_secs(5));
        assert!(holds(stalled, 14) && !holds(stalled, 13));
        assert!(holds(RunCondition::Slow(2.0), 11) && !holds(RunCondition::Slow(2.0), 10));
    }

    #[test]
    fn the_request_is_checked_before_anything_is_sent() {
        let out = Out::new("profctl", Color::Never, Verbosity::Quiet);
        let plan = |words: &[&str]| {
            let args: ScheduleArgs = parse_args(&[&["--every", "1s", "--times", "2"], words].concat());
            args.build_command(&out).map(|_| ()).map_err(|e| format!("{e:#}"))
        };
        assert_eq!(plan(&["gputrace", "--log-file", "/tmp/t.json", "--iterations", "2"]), Ok(()));
        assert!(plan(&["gputrace"]).unwrap_err().contains("required arguments"));
        assert!(plan(&["status"]).unwrap_err().contains("unrecognized subcommand"));
        assert!(plan(&["gputrace", "--log-file", "a\nb"]).is_err());
        assert!(try_parse_args::<ScheduleArgs>(&["gputrace"]).is_err(), "neither --every nor --when");
        assert!(try_parse_args::<ScheduleArgs>(&["--every", "1s"]).is_err(), "no request");
    }
}
