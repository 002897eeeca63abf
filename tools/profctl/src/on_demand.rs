//! The common part of gputrace, nputrace and npu-monitor: send a config to the daemons, report which processes they
//! trigger, and wait for the traces.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use common::error::HintExt;
use common::exit::Exit;
use common::record::profctl as record;
use common::rpc::config::{Config, ConfigError, LOG_FILE, MAX_TEXT, insert_into_trace_name};
use common::rpc::message::{OnDemand, OnDemandReply, Request};

use crate::daemon_address::DaemonAddress;
use crate::daemon_label::label_daemons;
use crate::fanout::DaemonRequest;
use crate::function::RequestedFunction;
use crate::process_filter::ProcessFilter;
use crate::rejected::rejected_record;
use crate::reply::{decode_reply, decode_status_reply, format_decline};
use crate::session::DaemonSession;
use crate::sync_start::{StartPlan, SyncedStart, find_common_step};
use crate::trigger_result::{TriggerResult, TriggeredProcess, command_status_name};
use crate::wait::{ExpectedTrace, TraceOutput, TraceWait, WaitPlan};

/// The request of a gputrace, nputrace or npu-monitor command.
#[derive(Clone, Debug)]
pub(crate) struct OnDemandPlan {
    pub(crate) function: RequestedFunction,
    pub(crate) config: Config,
    pub(crate) filter: ProcessFilter,
    pub(crate) output: TraceOutput,
    pub(crate) wait: Option<WaitPlan>,
    pub(crate) start: StartPlan,
}

/// A validated gputrace, nputrace or npu-monitor command.
#[derive(Clone, Debug)]
pub(crate) struct OnDemandCommand {
    plan: OnDemandPlan,
}

/// The key of the start by time.
const START_TIME: &str = "PROFILE_START_TIME";
/// The longest value that is known only when the request is sent, in bytes: a time or a step.
const LATE_VALUE: usize = 20;

impl OnDemandCommand {
    /// Checks the config.
    ///
    /// # Errors
    /// The config is longer than processes accept.
    pub(crate) fn new(plan: OnDemandPlan) -> anyhow::Result<Self> {
        check_length(&plan.config, if plan.start == StartPlan::AsAsked { 0 } else { LATE_VALUE })?;
        Ok(Self { plan })
    }

    /// Returns the processes that the request is for.
    pub(crate) fn filter(&self) -> &ProcessFilter {
        &self.plan.filter
    }

    /// Writes the traces of each run of a repeated command to files or directories of their own.
    ///
    /// # Errors
    /// The path becomes too long.
    pub(crate) fn for_run(&self, run: u64) -> anyhow::Result<Self> {
        let mut plan = self.plan.clone();
        if let Some(path) = plan.output.separate_run(run) {
            plan.config = replace_value(&plan.config, LOG_FILE, &path)?;
        }
        Self::new(plan)
    }

    /// Sends the request to every daemon, reports each result, and waits for the traces if `--wait` was given.
    ///
    /// # Errors
    /// The directory to wait for is missing, or standard output cannot be written.
    pub(crate) fn run(self, mut session: DaemonSession<'_>) -> anyhow::Result<Exit> {
        self.send(&mut session)?;
        session.finish_run()
    }

    /// As [`Self::run`], without the summary.
    pub(crate) fn send(&self, session: &mut DaemonSession<'_>) -> anyhow::Result<()> {
        let missing = self.plan.output.missing_directory();
        if let Some(dir) = missing.filter(|_| self.plan.wait.as_ref().is_some_and(WaitPlan::is_local)) {
            return Err(anyhow!("{}: not a directory on this machine, so --wait cannot work", dir.display()))
                .hint("create it, or leave out --wait");
        }
        if let Some(collect) = self.plan.wait.as_ref().and_then(|wait| wait.collect.as_ref()) {
            self.plan.output.check_collectable(collect.is_shared()).context("--collect")?;
        }
        let mut command = self.clone();
        command.use_slurm_job(session.slurm_job_ids())?;
        let synced = command.prepare_start(session)?;
        // Before the request is sent: files that exist now do not belong to it.
        let mut wait = command
            .plan
            .wait
            .as_ref()
            .map(|plan| TraceWait::new(command.plan.output.clone(), plan.clone(), Instant::now()));
        let expected = command.request_traces(session, synced.as_ref())?;
        if let Some(warning) = command.find_shared_path(&expected) {
            session.out.warn("--log-file", warning);
        }
        if let Some(wait) = &mut wait {
            if !expected.is_empty() {
                wait.wait_for_traces(session, expected, synced.as_ref())?;
            }
        }
        Ok(())
    }

    /// Selects the processes of the Slurm job whose hosts are asked. Processes of msMonitor have no job id.
    ///
    /// # Errors
    /// The job has several ids, and a request has one.
    pub(crate) fn use_slurm_job(&mut self, ids: &[i64]) -> anyhow::Result<()> {
        let filter = &mut self.plan.filter;
        if self.plan.function != RequestedFunction::GpuTrace || filter.has_job_id {
            return Ok(());
        }
        match ids {
            [] => {}
            [id] => filter.job_id = *id,
            several => {
                let listed: Vec<_> = several.iter().take(MAX_LISTED_IDS).map(ToString::to_string).collect();
                let more = if several.len() > MAX_LISTED_IDS { ", …" } else { "" };
                return Err(anyhow!("--slurm: the job has several ids: {}{more}", listed.join(", ")))
                    .hint("give one of them with --job-id, or one part of the job, such as --slurm 123_4");
            }
        }
        Ok(())
    }

    /// Does what must be known before the request is sent, and puts it into the config.
    fn prepare_start(&mut self, session: &mut DaemonSession<'_>) -> anyhow::Result<Option<SyncedStart>> {
        match self.plan.start {
            StartPlan::AsAsked => Ok(None),
            StartPlan::Synchronized(lead) => SyncedStart::measure(session, lead).map(Some),
            StartPlan::AlignedStep => {
                let step = find_common_step(session, &self.plan.filter)?;
                self.plan.config = replace_value(&self.plan.config, "PROFILE_START_STEP", &step.to_string())?;
                Ok(None)
            }
        }
    }

    /// Sends the request, reports each result, and returns the traces that will appear.
    fn request_traces(
        &self,
        session: &mut DaemonSession<'_>,
        synced: Option<&SyncedStart>,
    ) -> anyhow::Result<Vec<ExpectedTrace>> {
        let mut expected = Vec::new();
        let mut unclear = Vec::new();
        let (requests, targets) = self.build_requests(session, synced)?;
        let daemons: Vec<DaemonAddress> = requests.iter().map(|r| r.daemon.clone()).collect();
        session.query_each(requests, |session, index, answer, body| {
            let target = &targets[index];
            let result = match body.and_then(|body| decode_reply::<OnDemandReply>(&body)) {
                Ok(reply) => self.interpret_reply(reply, target.log_file.as_ref()),
                Err(failure) => TriggerResult { failure: Some(failure), ..TriggerResult::default() },
            };
            if result.needs_status() {
                unclear.push((daemons[index].clone(), answer, result));
                return Ok(());
            }
            let expect = |process: &TriggeredProcess| ExpectedTrace {
                host: answer.host.clone(),
                daemon: Some(daemons[index].clone()),
                place: target.place,
                pid: process.pid,
                rank: process.rank,
                trace_id: process.trace_id.clone(),
                log_file: process.log_file.clone(),
            };
            expected.extend(result.triggered.iter().map(expect));
            self.count_and_report(session, answer, &result)
        })?;
        self.explain_unclear(session, unclear)?;
        self.report_unsynchronized(session, synced)?;
        Ok(expected)
    }

    /// Builds the request to each daemon that gets one.
    fn build_requests(
        &self,
        session: &DaemonSession<'_>,
        synced: Option<&SyncedStart>,
    ) -> anyhow::Result<(Vec<DaemonRequest>, Vec<RequestTarget>)> {
        let plain: Arc<[u8]> = self.encode_request(&self.plan.config).into();
        let log_files = self.separate_log_files(session);
        let (mut requests, mut targets) = (Vec::new(), Vec::new());
        for ((place, daemon), log_file) in session.daemons().iter().enumerate().zip(log_files) {
            let mut config = None;
            if let Some(log_file) = &log_file {
                config = Some(replace_value(&self.plan.config, LOG_FILE, log_file)?);
            }
            if let Some(synced) = synced {
                let Some(start_ms) = synced.host_start_ms(place) else { continue };
                let config_before = config.as_ref().unwrap_or(&self.plan.config);
                config = Some(replace_value(config_before, START_TIME, &start_ms.to_string())?);
            }
            if let Some(config) = &config {
                check_length(config, 0)?;
            }
            let body = config.map_or_else(|| plain.clone(), |config| self.encode_request(&config).into());
            requests.push(DaemonRequest { daemon: daemon.clone(), body });
            targets.push(RequestTarget { place, log_file });
        }
        Ok((requests, targets))
    }

    /// Returns the path for each daemon that gets another one than the requested, so that no two of them write one file.
    fn separate_log_files(&self, session: &DaemonSession<'_>) -> Vec<Option<String>> {
        let daemons = session.daemons();
        let TraceOutput::Kineto { log_file } = &self.plan.output else { return vec![None; daemons.len()] };
        let insert = |label: String| insert_into_trace_name(log_file, &label);
        let separate: Vec<_> =
            label_daemons(daemons, log_file).into_iter().map(|label| label.map(insert)).collect();
        if let Some(first) = separate.iter().flatten().next() {
            let text = format!("several daemons, so each inserts its own name: {first}, …");
            session.out.diag().notice("--log-file", text);
        }
        separate
    }

    fn encode_request(&self, config: &Config) -> Vec<u8> {
        let filter = &self.plan.filter;
        let request = OnDemand {
            config: config.to_string(),
            job_id: filter.job_id,
            pids: filter.wanted_pids().to_vec(),
            process_limit: filter.process_limit,
            user: filter.user.clone(),
            selection: filter.selection.clone(),
            expand: self.has_placeholders(),
            extended: true,
        };
        Request::OnDemand(request).encode()
    }

    /// Reports the daemons that got no request because their clocks are not known.
    fn report_unsynchronized(
        &self,
        session: &mut DaemonSession<'_>,
        synced: Option<&SyncedStart>,
    ) -> anyhow::Result<()> {
        let daemons = session.daemons().to_vec();
        for (daemon, clock) in
            daemons.into_iter().zip(synced.map(|s| s.clocks.as_slice()).unwrap_or_default())
        {
            let Err(failure) = clock else { continue };
            let answer = record::ReplySummary {
                host: daemon.host,
                port: daemon.port,
                address: None,
                outcome: record::RequestOutcome::Done,
                reason: None,
                code: None,
                hints: Vec::new(),
                elapsed_ms: 0,
            };
            let result = TriggerResult { failure: Some(failure.clone()), ..TriggerResult::default() };
            self.count_and_report(session, answer, &result)?;
        }
        Ok(())
    }

    /// Asks the daemons that gave no reason for their status, which shows it, and reports the results.
    fn explain_unclear(
        &self,
        session: &mut DaemonSession<'_>,
        mut unclear: Vec<(DaemonAddress, record::ReplySummary, TriggerResult)>,
    ) -> anyhow::Result<()> {
        let body: Arc<[u8]> = Request::Status { extended: true }.encode().into();
        let request = |(daemon, ..): &(DaemonAddress, _, _)| DaemonRequest {
            daemon: daemon.clone(),
            body: body.clone(),
        };
        let requests = unclear.iter().map(request).collect();
        session.query_each(requests, |_, index, _, body| {
            if let Ok(status) = body.and_then(|body| decode_status_reply(&body)) {
                unclear[index].2.explain_by_status(&status, &self.plan.filter, self.plan.function);
            }
            Ok(())
        })?;
        unclear
            .into_iter()
            .try_for_each(|(_, answer, result)| self.count_and_report(session, answer, &result))
    }

    fn count_and_report(
        &self,
        session: &mut DaemonSession<'_>,
        mut answer: record::ReplySummary,
        result: &TriggerResult,
    ) -> anyhow::Result<()> {
        if let Some(failure) = result.failure.clone() {
            failure.apply_to(&mut answer);
        }
        session.count_answer(&answer);
        session.summary_mut().triggered += result.triggered.len() as u64;
        session.summary_mut().limited += u64::from(result.limited > 0);
        session.summary_mut().partial += u64::from(result.held_back > 0);
        session.note_busy(result.busy.unwrap_or(0));
        self.report_result(session, answer, result)
    }

    /// Returns whether the path has parts that the daemon replaces for each process.
    fn has_placeholders(&self) -> bool {
        self.plan.config.output().is_some_and(|path| path.contains('%'))
    }

    /// Returns a warning about a file that several of the processes write all the same: their daemon does not give each its own,
    /// or two daemons replace a placeholder by the same.
    fn find_shared_path(&self, expected: &[ExpectedTrace]) -> Option<String> {
        let mut writers: BTreeMap<String, &ExpectedTrace> = BTreeMap::new();
        expected.iter().find_map(|trace| {
            let path = self.plan.output.trace_path_of(trace.log_file.as_deref(), trace.pid)?;
            let Some(first) = writers.get(&path) else {
                writers.insert(path, trace);
                return None;
            };
            let (one, other) = (&first.host, &trace.host);
            Some(if first.place == trace.place {
                format!("several processes of {one} write {path}, and destroy each other's trace: end the name with .json")
            } else {
                format!(
                    "processes of {one} and {other} write {path}, and destroy each other's trace if they share its directory: \
                     leave out %h, and profctl inserts names that differ"
                )
            })
        })
    }

    /// Interprets the reply of a daemon that was sent this path, if it is not the requested one.
    fn interpret_reply(&self, reply: OnDemandReply, log_file: Option<&String>) -> TriggerResult {
        let mut result = TriggerResult::from_reply(reply, &self.plan.filter, self.plan.function);
        let is_expanded = result.triggered.iter().all(|process| process.log_file.is_some());
        if self.has_placeholders() && !is_expanded {
            let remark = "this daemon does not know placeholders: the path is used as it stands";
            result.remarks.push(remark.to_owned());
        }
        for process in &mut result.triggered {
            process.log_file = process.log_file.take().or_else(|| log_file.cloned());
        }
        result
    }

    fn report_result(
        &self,
        session: &mut DaemonSession<'_>,
        answer: record::ReplySummary,
        result: &TriggerResult,
    ) -> anyhow::Result<()> {
        if session.writes_records() {
            return Ok(session.out.record(&self.request_record(answer, result))?);
        }
        match answer.outcome {
            record::RequestOutcome::Failed => return Ok(()),
            record::RequestOutcome::Declined | record::RequestOutcome::Rejected => {
                let text = format_decline(&answer).unwrap_or_default();
                self.print_status_line(session, &answer, &text)?;
                session.print_hints(&answer);
            }
            record::RequestOutcome::Done => {
                self.print_status_line(session, &answer, &format_headline(result))?;
                // Whose process it is matters where there are several users.
                let has_several_users = result.triggered.windows(2).any(|pair| pair[0].uid != pair[1].uid);
                for process in &result.triggered {
                    if let Some(path) =
                        self.plan.output.displayed_path_of(process.log_file.as_deref(), process.pid)
                    {
                        let who = match has_several_users {
                            true => process.describe(),
                            false => format!("pid {}", process.pid),
                        };
                        let line = format!("{who} writes {path}");
                        self.print_status_line(session, &answer, &line)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Prints a line about a daemon. With `--wait` standard output is reserved for the paths of the traces, so the line
    /// goes to standard error.
    fn print_status_line(
        &self,
        session: &mut DaemonSession<'_>,
        answer: &record::ReplySummary,
        text: &str,
    ) -> anyhow::Result<()> {
        if self.plan.wait.is_some() {
            session.out.warn(session.label_of(answer), text);
            return Ok(());
        }
        session.print_line(answer, text)
    }

    fn request_record(&self, answer: record::ReplySummary, result: &TriggerResult) -> record::Request {
        let triggered = |process: &TriggeredProcess| record::Triggered {
            pid: process.pid,
            host_pid: process.host_pid,
            uid: process.uid,
            user: process.user.clone(),
            rank: process.rank,
            trace_id: process.trace_id.clone(),
            path: self.plan.output.trace_path_of(process.log_file.as_deref(), process.pid),
            path_pattern: self.plan.output.trace_pattern_of(process.log_file.as_deref(), process.pid),
        };
        let detail = result.detail.as_ref();
        record::Request {
            answer,
            function: self.plan.function.to_string(),
            job_id: Some(self.plan.filter.job_id),
            matched_pids: result.matched.clone(),
            triggered: result.triggered.iter().map(triggered).collect(),
            busy: result.busy,
            command_status: result.command_status.map(|status| command_status_name(status).to_owned()),
            unknown_pids: detail.map(|d| d.unknown_pids.clone()).unwrap_or_default(),
            ambiguous_pids: detail.map(|d| d.ambiguous_pids.clone()).unwrap_or_default(),
            rejected: detail.map(|d| d.rejected.iter().map(rejected_record).collect()).unwrap_or_default(),
            unknown_ranks: detail.map(|d| d.unknown_ranks.clone()).unwrap_or_default(),
            beyond_limit: detail.map(|d| d.beyond_limit.clone()).unwrap_or_default(),
            limited: (result.limited > 0).then_some(result.limited),
            jobs: result.registered_jobs(),
        }
    }
}

/// The daemon of a request.
struct RequestTarget {
    /// Its place among those of the run.
    place: usize,
    /// The path in the request, if it is not the requested one.
    log_file: Option<String>,
}

/// Maximum number of job ids that a message lists.
const MAX_LISTED_IDS: usize = 8;

/// Returns a config with another value for a key that it has.
fn replace_value(config: &Config, key: &str, value: &str) -> Result<Config, ConfigError> {
    let mut replaced = Config::new();
    for (own, old) in config.pairs() {
        replaced.push(own, if own == key { value } else { old })?;
    }
    Ok(replaced)
}

/// Checks the length of a config to which `late` bytes will be added.
///
/// # Errors
/// It is longer than processes accept.
fn check_length(config: &Config, late: usize) -> anyhow::Result<()> {
    let length = config.to_string().len();
    if length + late > MAX_TEXT {
        return Err(anyhow!(ConfigError::TooLong(length))).hint("shorten the path or the lists");
    }
    Ok(())
}

/// Formats how many processes are triggered, with the remarks, in one line.
fn format_headline(result: &TriggerResult) -> String {
    let triggered = result.triggered.len();
    let mut text = format!(
        "{triggered} of {} matching process{} triggered",
        result.matched.len().max(triggered),
        if result.matched.len() <= 1 { "" } else { "es" }
    );
    for remark in &result.remarks {
        text.push_str("; ");
        text.push_str(remark);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_two_processes_write_all_the_same_is_named() {
        let warning = |log_file: &str, traces: [(&str, usize, i64); 2]| {
            let command = OnDemandCommand {
                plan: OnDemandPlan {
                    function: RequestedFunction::GpuTrace,
                    config: Config::new(),
                    filter: ProcessFilter::default(),
                    output: TraceOutput::Kineto { log_file: log_file.to_owned() },
                    wait: None,
                    start: StartPlan::AsAsked,
                },
            };
            let trace = |(host, place, pid): (&str, usize, i64)| ExpectedTrace {
                host: host.to_owned(),
                place,
                pid,
                ..ExpectedTrace::default()
            };
            command.find_shared_path(&traces.map(trace))
        };
        assert_eq!(warning("/d/t.json", [("a", 0, 1), ("b", 1, 2)]), None);
        let shared = warning("/d/t.json", [("a", 0, 1), ("b", 1, 1)]).unwrap();
        assert!(shared.starts_with("processes of a and b write /d/t_1.json,"), "{shared}");
        assert!(
            warning("/d/t", [("a", 0, 1), ("a", 0, 2)])
                .unwrap()
                .starts_with("several processes of a write /d/t,")
        );
    }
}
