//! What gputrace, nputrace and npu-monitor have in common: send a config to the daemons, report which processes they
//! trigger, and wait for the traces.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::anyhow;
use common::error::HintExt;
use common::exit::Exit;
use common::record::profctl as record;
use common::rpc::config::{Config, ConfigError, MAX_TEXT};
use common::rpc::message::{OnDemand, OnDemandReply, Request};

use crate::function::RequestedFunction;
use crate::process_filter::ProcessFilter;
use crate::rejected::rejected_record;
use crate::reply::{decode_reply, format_decline};
use crate::session::DaemonSession;
use crate::trigger_result::{TriggerResult, TriggeredProcess, command_status_name};
use crate::wait::{ExpectedTrace, TraceOutput, TraceWait, WaitPlan};

/// A validated gputrace, nputrace or npu-monitor command.
#[derive(Debug)]
pub(crate) struct OnDemandCommand {
    function: RequestedFunction,
    request: Request,
    filter: ProcessFilter,
    output: TraceOutput,
    wait: Option<WaitPlan>,
}

impl OnDemandCommand {
    /// Builds the request from a config.
    ///
    /// # Errors
    /// The config is longer than processes accept.
    pub(crate) fn new(
        function: RequestedFunction,
        config: Config,
        filter: ProcessFilter,
        output: TraceOutput,
        wait: Option<WaitPlan>,
    ) -> anyhow::Result<Self> {
        let text = config.to_string();
        if text.len() > MAX_TEXT {
            return Err(anyhow!(ConfigError::TooLong(text.len()))).hint("shorten the path or the lists");
        }
        let request = Request::OnDemand(OnDemand {
            config: text,
            job_id: filter.job_id,
            pids: filter.pids.clone(),
            process_limit: filter.process_limit,
            user: filter.user.clone(),
            expand: output.has_placeholders(),
            extended: true,
        });
        Ok(Self { function, request, filter, output, wait })
    }

    /// Sends the request to every daemon, reports each result, and waits for the traces if `--wait` was given.
    ///
    /// # Errors
    /// The directory to wait for is missing, or standard output cannot be written.
    pub(crate) fn run(self, mut session: DaemonSession<'_>) -> anyhow::Result<Exit> {
        if let Some(dir) = self.wait.and_then(|_| self.output.missing_directory()) {
            return Err(anyhow!("{}: not a directory on this machine, so --wait cannot work", dir.display()))
                .hint("create it, or leave out --wait");
        }
        // Before the request is sent: files that exist now do not belong to it.
        let mut wait =
            self.wait.as_ref().map(|plan| TraceWait::new(self.output.clone(), *plan, Instant::now()));
        let mut expected = Vec::new();
        session.query_daemons(&self.request, |session, mut answer, body| {
            let result = match body.and_then(|body| decode_reply::<OnDemandReply>(&body)) {
                Ok(reply) => self.interpret_reply(reply),
                Err(failure) => TriggerResult { failure: Some(failure), ..TriggerResult::default() },
            };
            if let Some(failure) = result.failure.clone() {
                failure.apply_to(&mut answer);
            }
            session.count_answer(&answer);
            session.summary_mut().triggered += result.triggered.len() as u64;
            expected.extend(result.triggered.iter().map(|process| ExpectedTrace {
                host: answer.host.clone(),
                pid: process.pid,
                trace_id: process.trace_id.clone(),
                log_file: process.log_file.clone(),
            }));
            self.report_result(session, answer, &result)
        })?;
        if let Some(path) = self.find_path_of_several_hosts(&expected) {
            let warning =
                format!("several hosts write {path}: if they share its directory, use %h in the name");
            session.out.warn("--log-file", warning);
        }
        if let Some(wait) = &mut wait {
            if !expected.is_empty() {
                wait.wait_for_traces(&mut session, expected)?;
            }
        }
        session.finish_run()
    }

    /// Returns a file that processes of several hosts write, each to its own disk or all to a shared one.
    fn find_path_of_several_hosts(&self, expected: &[ExpectedTrace]) -> Option<String> {
        let mut hosts: BTreeMap<String, &str> = BTreeMap::new();
        expected.iter().find_map(|trace| {
            let path = self.output.trace_path_of(trace.log_file.as_deref(), trace.pid)?;
            let first = *hosts.entry(path.clone()).or_insert(&trace.host);
            (first != trace.host).then_some(path)
        })
    }

    fn interpret_reply(&self, reply: OnDemandReply) -> TriggerResult {
        let mut result = TriggerResult::from_reply(reply, &self.filter, self.function);
        let is_expanded = result.triggered.iter().all(|process| process.log_file.is_some());
        if self.output.has_placeholders() && !is_expanded {
            let remark = "this daemon does not know placeholders: the path is used as it stands";
            result.remarks.push(remark.to_owned());
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
            record::RequestOutcome::Declined => {
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
                        self.output.displayed_path_of(process.log_file.as_deref(), process.pid)
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
        if self.wait.is_some() {
            session.out.warn(&answer.host, text);
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
            trace_id: process.trace_id.clone(),
            path: self.output.trace_path_of(process.log_file.as_deref(), process.pid),
            path_pattern: self.output.trace_pattern_of(process.pid),
        };
        let detail = result.detail.as_ref();
        record::Request {
            answer,
            function: self.function.to_string(),
            job_id: Some(self.filter.job_id),
            matched_pids: result.matched.clone(),
            triggered: result.triggered.iter().map(triggered).collect(),
            busy: result.busy,
            command_status: result.command_status.map(|status| command_status_name(status).to_owned()),
            unknown_pids: detail.map(|d| d.unknown_pids.clone()).unwrap_or_default(),
            ambiguous_pids: detail.map(|d| d.ambiguous_pids.clone()).unwrap_or_default(),
            rejected: detail.map(|d| d.rejected.iter().map(rejected_record).collect()).unwrap_or_default(),
            beyond_limit: detail.map(|d| d.beyond_limit.clone()).unwrap_or_default(),
            jobs: result.registered_jobs(),
        }
    }
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
