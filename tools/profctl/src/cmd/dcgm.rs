//! `profctl dcgm-pause` and `profctl dcgm-resume`: stop and restart the daemon's own use of GPU counters.

use clap::Args;
use common::exit::Exit;
use common::record::profctl as record;
use common::rpc::message::{DEFAULT_PAUSE_S, DcgmReply, Request};

use crate::reply::{Refusal, declined, decode};
use crate::session::Session;

/// Pause the daemon's DCGM profiling, so that other tools can use the counters
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  profctl dcgm-pause --duration-s 600\n  profctl dcgm-resume")]
pub(crate) struct Pause {
    /// How long to pause, seconds
    #[arg(long, default_value_t = DEFAULT_PAUSE_S, value_name = "SECONDS")]
    duration_s: u32,
}

/// Resume the daemon's DCGM profiling
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  profctl dcgm-resume")]
pub(crate) struct Resume {}

impl Pause {
    pub(crate) fn run(&self, session: Session<'_>) -> anyhow::Result<Exit> {
        run(session, "dcgm-pause", &Request::DcgmPause { duration_s: self.duration_s })
    }
}

impl Resume {
    pub(crate) fn run(&self, session: Session<'_>) -> anyhow::Result<Exit> {
        run(session, "dcgm-resume", &Request::DcgmResume)
    }
}

fn run(mut session: Session<'_>, function: &str, request: &Request) -> anyhow::Result<Exit> {
    session.ask(request, |session, mut answer, body| {
        match body.and_then(|b| decode::<DcgmReply>(&b)) {
            Ok(DcgmReply { status: true }) => {}
            Ok(DcgmReply { status: false }) => {
                Refusal::declined("the daemon did not do it: it has no DCGM").apply(&mut answer);
            }
            Err(refusal) => refusal.apply(&mut answer),
        }
        session.count(&answer);
        if session.json() {
            session.out.record(&request_record(answer, function))?;
        } else if answer.outcome != record::Outcome::Failed {
            let text = declined(&answer).unwrap_or_else(|| format!("{function} done"));
            session.line(&answer, &text)?;
        }
        Ok(())
    })?;
    session.finish()
}

/// A record of a command that concerns no process.
fn request_record(answer: record::Answer, function: &str) -> record::Request {
    record::Request {
        answer,
        function: function.to_owned(),
        job_id: None,
        matched_pids: Vec::new(),
        triggered: Vec::new(),
        busy: None,
        command_status: None,
        unknown_pids: Vec::new(),
        beyond_limit: Vec::new(),
        jobs: None,
    }
}
