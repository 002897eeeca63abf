//! The flow that gputrace, nputrace and npu-monitor share: hand a config to processes, say for which, and wait for
//! what they write.

use std::time::Instant;

use anyhow::anyhow;
use common::error::HintExt;
use common::exit::Exit;
use common::record::profctl as record;
use common::rpc::config::{Config, ConfigError, MAX_TEXT};
use common::rpc::message::{OnDemand, OnDemandReply, Request};

use crate::reply::{declined, decode};
use crate::session::Session;
use crate::verdict::Verdict;
use crate::wait::{Expected, Output, Wait, WaitPlan};

/// Which processes are meant.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) job_id: i64,
    pub(crate) pids: Vec<i32>,
    pub(crate) process_limit: u32,
}

/// A validated command.
#[derive(Debug)]
pub(crate) struct Demand {
    function: &'static str,
    request: Request,
    selection: Selection,
    output: Output,
    wait: Option<WaitPlan>,
}

impl Demand {
    /// Puts a command together.
    ///
    /// # Errors
    /// The config is longer than processes accept.
    pub(crate) fn new(
        function: &'static str,
        config: Config,
        selection: Selection,
        output: Output,
        wait: Option<WaitPlan>,
    ) -> anyhow::Result<Self> {
        let text = config.to_string();
        if text.len() > MAX_TEXT {
            return Err(anyhow!(ConfigError::TooLong(text.len()))).hint("shorten the path or the lists");
        }
        let request = Request::OnDemand(OnDemand {
            config: text,
            job_id: selection.job_id,
            pids: selection.pids.clone(),
            process_limit: selection.process_limit,
            extended: true,
        });
        Ok(Self { function, request, selection, output, wait })
    }

    /// Asks every daemon, says what each answered, and waits for the traces if that was asked for.
    ///
    /// # Errors
    /// What standard output says.
    pub(crate) fn run(self, mut session: Session<'_>) -> anyhow::Result<Exit> {
        if let Some(dir) = self.wait.and_then(|_| self.output.missing()) {
            return Err(anyhow!(
                "{}: is no directory of this machine, so no trace could be seen in it",
                dir.display()
            ))
            .hint("make it, or leave out --wait");
        }
        // What is there before the request is not its result.
        let mut wait = self.wait.as_ref().map(|plan| Wait::new(self.output.clone(), *plan, Instant::now()));
        let request = self.request.clone();
        let mut expected = Vec::new();
        session.ask(&request, |session, mut answer, body| {
            let verdict = match body.and_then(|b| decode::<OnDemandReply>(&b)) {
                Ok(reply) => Verdict::of(reply, &self.selection, self.function),
                Err(refusal) => Verdict { refusal: Some(refusal), ..Verdict::default() },
            };
            verdict.apply(&mut answer);
            session.count(&answer);
            session.summary().triggered += verdict.triggered.len() as u64;
            expected.extend(verdict.triggered.iter().map(|(pid, trace_id)| Expected {
                host: answer.host.clone(),
                pid: *pid,
                trace_id: trace_id.clone(),
            }));
            self.report(session, answer, &verdict)
        })?;
        if let Some(wait) = &mut wait
            && !expected.is_empty()
        {
            wait.run(&mut session, expected)?;
        }
        session.finish()
    }

    fn report(
        &self,
        session: &mut Session<'_>,
        answer: record::Answer,
        verdict: &Verdict,
    ) -> anyhow::Result<()> {
        if session.json() {
            return Ok(session.out.record(&self.record(answer, verdict))?);
        }
        match answer.outcome {
            record::Outcome::Failed => return Ok(()),
            record::Outcome::Declined => {
                let text = declined(&answer).unwrap_or_default();
                self.say(session, &answer, &text)?;
                session.help(&answer);
            }
            record::Outcome::Done => {
                self.say(session, &answer, &headline(verdict))?;
                for (pid, _) in &verdict.triggered {
                    if let Some(path) = self.output.shown(*pid) {
                        self.say(session, &answer, &format!("pid {pid} writes {path}"))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// With `--wait` the result is the traces, one path per line, and all else goes to standard error.
    fn say(&self, session: &mut Session<'_>, answer: &record::Answer, text: &str) -> anyhow::Result<()> {
        if self.wait.is_some() {
            session.out.warn(&answer.host, text);
            return Ok(());
        }
        session.line(answer, text)
    }

    fn record(&self, answer: record::Answer, verdict: &Verdict) -> record::Request {
        let triggered = |(pid, trace_id): &(i64, Option<String>)| record::Triggered {
            pid: *pid,
            trace_id: trace_id.clone(),
            path: self.output.path(*pid),
            path_pattern: self.output.pattern(*pid),
        };
        let detail = verdict.detail.as_ref();
        record::Request {
            answer,
            function: self.function.to_owned(),
            job_id: Some(self.selection.job_id),
            matched_pids: verdict.matched.clone(),
            triggered: verdict.triggered.iter().map(triggered).collect(),
            busy: verdict.busy,
            command_status: verdict.command_status.map(str::to_owned),
            unknown_pids: detail.map(|d| d.unknown_pids.clone()).unwrap_or_default(),
            beyond_limit: detail.map(|d| d.beyond_limit.clone()).unwrap_or_default(),
            jobs: verdict.jobs(),
        }
    }
}

/// Whom the command reaches, in one line.
fn headline(verdict: &Verdict) -> String {
    let n = verdict.triggered.len();
    let mut text = format!(
        "{n} of {} matching process{} triggered",
        verdict.matched.len().max(n),
        if verdict.matched.len() <= 1 { "" } else { "es" }
    );
    for remark in &verdict.remarks {
        text.push_str("; ");
        text.push_str(remark);
    }
    text
}
