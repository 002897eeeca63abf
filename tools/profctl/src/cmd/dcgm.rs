//! `profctl dcgm-pause` and `profctl dcgm-resume`: pause and resume the daemon's DCGM profiling (dynolog only).

use clap::Args;
use common::duration::parse_whole_seconds;
use common::exit::Exit;
use common::record::profctl as record;
use common::rpc::message::{DEFAULT_PAUSE_S, DcgmReply, Request};

use crate::function::RequestedFunction;
use crate::reply::{RequestFailure, decode_reply, format_decline};
use crate::session::DaemonSession;

/// Pause the daemon's DCGM profiling, so that other tools can use the GPU counters
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  Pause for ten minutes:\n    profctl dcgm-pause --duration-s 600\n\n  Resume before the time is over:\n    profctl dcgm-resume"
)]
pub(crate) struct DcgmPauseArgs {
    /// Duration of the pause, in seconds or with a unit, such as 10m
    #[arg(long, default_value_t = DEFAULT_PAUSE_S, value_parser = parse_whole_seconds, value_name = "SECONDS")]
    duration_s: u32,
}

/// Resume the daemon's DCGM profiling
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  profctl dcgm-resume")]
pub(crate) struct DcgmResumeArgs {}

impl DcgmPauseArgs {
    pub(crate) fn run(&self, session: DaemonSession<'_>) -> anyhow::Result<Exit> {
        run_dcgm_request(
            session,
            RequestedFunction::DcgmPause,
            &Request::DcgmPause { duration_s: self.duration_s },
        )
    }
}

impl DcgmResumeArgs {
    pub(crate) fn run(&self, session: DaemonSession<'_>) -> anyhow::Result<Exit> {
        run_dcgm_request(session, RequestedFunction::DcgmResume, &Request::DcgmResume)
    }
}

fn run_dcgm_request(
    mut session: DaemonSession<'_>,
    function: RequestedFunction,
    request: &Request,
) -> anyhow::Result<Exit> {
    session.query_daemons(request, |session, mut answer, body| {
        match body.and_then(|body| decode_reply::<DcgmReply>(&body)) {
            Ok(DcgmReply { status: true }) => {}
            Ok(DcgmReply { status: false }) => {
                // The reply has no reason. dynolog c3a231a sends it without its library of DCGM, profd always.
                let mut failure = RequestFailure::from_decline("the daemon does not control DCGM");
                failure.hints.push("on the host, `dcgmi profile --pause` and `--resume` do".to_owned());
                failure.apply_to(&mut answer);
            }
            Err(failure) => failure.apply_to(&mut answer),
        }
        session.count_answer(&answer);
        if session.writes_records() {
            session.out.record(&dcgm_record(answer, function))?;
        } else if answer.outcome != record::RequestOutcome::Failed {
            let text = format_decline(&answer).unwrap_or_else(|| format!("{function} done"));
            session.print_line(&answer, &text)?;
            session.print_hints(&answer);
        }
        Ok(())
    })?;
    session.finish_run()
}

/// Builds the record of a request that is not for processes.
fn dcgm_record(answer: record::ReplySummary, function: RequestedFunction) -> record::Request {
    record::Request {
        answer,
        function: function.to_string(),
        job_id: None,
        matched_pids: Vec::new(),
        triggered: Vec::new(),
        busy: None,
        command_status: None,
        unknown_pids: Vec::new(),
        ambiguous_pids: Vec::new(),
        rejected: Vec::new(),
        unknown_ranks: Vec::new(),
        beyond_limit: Vec::new(),
        limited: None,
        jobs: None,
    }
}
