//! `profctl gputrace`: ask PyTorch processes (libkineto) for a trace.

use std::time::Duration;

use clap::Args;
use common::out::Out;
use common::rpc::config::{Config, ConfigError};

use super::output_path;
use crate::demand::{Demand, Selection};
use crate::value::{List, pids};
use crate::wait::{Output, WaitOptions, kineto, since_1970};

/// How far in the past a start may be.
const MAX_AGE: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  profctl gputrace --log-file /tmp/trace.json
      500 ms of every process of job 0, up to 3 processes
  profctl gputrace --iterations 5 --log-file /tmp/trace.json --wait
      5 training iterations; prints the files when they are complete
  profctl gputrace --pids 4242,4243 --duration-ms 2000 --with-stacks --log-file /tmp/trace.json
  profctl gputrace --job-id $SLURM_JOB_ID --process-limit 8 --iterations 3 --log-file /tmp/trace.json";

/// Ask PyTorch processes for a trace
///
/// A process can be asked when it was started with KINETO_USE_DAEMON=1 and a daemon serves its machine. It looks
/// for requests every 5 seconds.
///
/// The trace of a process appears at the log file's name with _PID before .json. libkineto writes only below /tmp, or
/// below $KINETO_ONDEMAND_TRACE_DIR of the training process; for any other path it writes
/// /tmp/libkineto_activities_PID.json instead, which --wait notices.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Gputrace {
    /// Job to trace: the process's SLURM_JOB_ID, or 0 outside Slurm
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..), value_name = "ID")]
    job_id: i64,
    /// Processes to trace, separated by commas; 0 means all of the job
    #[arg(long, default_value = "0", value_parser = pids, value_name = "LIST")]
    pids: List<i32>,
    /// Length of the trace, milliseconds; without effect with --iterations
    #[arg(long, default_value_t = 500, value_name = "MS")]
    duration_ms: u64,
    /// Training iterations to trace; when not positive, --duration-ms counts
    #[arg(long, default_value_t = -1, allow_negative_numbers = true, value_name = "N")]
    iterations: i64,
    /// File for the traces; _PID is put before its .json
    #[arg(long, value_name = "FILE")]
    log_file: String,
    /// When to start, milliseconds since 1970, for processes to start together; 0 means now
    #[arg(long, default_value_t = 0, value_name = "MS")]
    profile_start_time: u64,
    /// Start at an iteration that is a multiple of this; with --iterations
    #[arg(long, default_value_t = 1, value_name = "N")]
    profile_start_iteration_roundup: u64,
    /// Trace at most so many processes
    #[arg(long, default_value_t = 3, value_name = "N")]
    process_limit: u32,
    /// Record the shapes and types of operator inputs
    #[arg(long)]
    record_shapes: bool,
    /// Record allocations of memory
    #[arg(long)]
    profile_memory: bool,
    /// Record Python call stacks
    #[arg(long)]
    with_stacks: bool,
    /// Record the floating-point operations that operators amount to
    #[arg(long)]
    with_flops: bool,
    /// Record the modules that operators belong to
    #[arg(long)]
    with_modules: bool,
    /// Accepted and without effect: when no process matches, the exit status is always 1
    #[arg(long)]
    fail_on_no_process: bool,
    #[command(flatten)]
    wait: WaitOptions,
}

impl Gputrace {
    /// The validated request.
    ///
    /// # Errors
    /// The path is not usable.
    pub(crate) fn demand(&self, out: &Out) -> anyhow::Result<Demand> {
        let log_file = output_path(&self.log_file, out)?;
        self.warn(&log_file, out);
        let selection =
            Selection { job_id: self.job_id, pids: self.pids.0.clone(), process_limit: self.process_limit };
        Demand::new(
            "gputrace",
            self.config(&log_file)?,
            selection,
            Output::Kineto { log_file },
            self.wait.plan(self.expected_time()),
        )
    }

    fn config(&self, log_file: &str) -> Result<Config, ConfigError> {
        let mut c = Config::new();
        c.push("ACTIVITIES_LOG_FILE", log_file)?;
        if self.iterations > 0 {
            c.push("PROFILE_START_ITERATION", 0)?;
            c.push("PROFILE_START_ITERATION_ROUNDUP", self.profile_start_iteration_roundup)?;
            c.push("ACTIVITIES_ITERATIONS", self.iterations)?;
        } else {
            c.push("PROFILE_START_TIME", self.profile_start_time)?;
            c.push("ACTIVITIES_DURATION_MSECS", self.duration_ms)?;
        }
        c.push("PROFILE_REPORT_INPUT_SHAPES", self.record_shapes)?;
        c.push("PROFILE_PROFILE_MEMORY", self.profile_memory)?;
        c.push("PROFILE_WITH_STACK", self.with_stacks)?;
        c.push("PROFILE_WITH_FLOPS", self.with_flops)?;
        c.push("PROFILE_WITH_MODULES", self.with_modules)?;
        Ok(c)
    }

    /// How long recording takes, where that is known.
    fn expected_time(&self) -> Option<Duration> {
        (self.iterations <= 0).then(|| crate::wait::until(self.profile_start_time, self.duration_ms))
    }

    /// What libkineto does without a word to the client.
    fn warn(&self, log_file: &str, out: &Out) {
        if let Some(trouble) = kineto::trouble(log_file) {
            out.warn("--log-file", trouble);
        }
        let start = Duration::from_millis(self.profile_start_time);
        if self.iterations <= 0 && !start.is_zero() && start.saturating_add(MAX_AGE) < since_1970() {
            out.warn("--profile-start-time", "is past: libkineto refuses a start more than 10 s ago");
        }
        if self.iterations > 0 {
            out.warn(
                "--iterations",
                "a process that has not come to its first optimizer step records 500 ms instead",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::parse;

    fn text(args: &[&str]) -> String {
        let c: Gputrace = parse(args);
        c.config(&c.log_file).unwrap().to_string()
    }

    #[test]
    fn a_trace_by_duration_is_byte_exact() {
        let expected = "ACTIVITIES_LOG_FILE=/tmp/t.json\nPROFILE_START_TIME=0\nACTIVITIES_DURATION_MSECS=500\n\
                        PROFILE_REPORT_INPUT_SHAPES=false\nPROFILE_PROFILE_MEMORY=false\n\
                        PROFILE_WITH_STACK=false\nPROFILE_WITH_FLOPS=false\nPROFILE_WITH_MODULES=false";
        assert_eq!(text(&["--log-file", "/tmp/t.json"]), expected);
        assert_eq!(text(&["--log-file", "/tmp/t.json", "--iterations", "-1"]), expected);
        assert_eq!(text(&["--log-file", "/tmp/t.json", "--iterations=0"]), expected);
    }

    #[test]
    fn a_trace_by_iterations_is_byte_exact() {
        let args = [
            "--log-file",
            "/tmp/t.json",
            "--iterations",
            "5",
            "--profile-start-iteration-roundup",
            "100",
            "--record-shapes",
            "--profile-memory",
            "--with-stacks",
            "--with-flops",
            "--with-modules",
        ];
        assert_eq!(
            text(&args),
            "ACTIVITIES_LOG_FILE=/tmp/t.json\nPROFILE_START_ITERATION=0\nPROFILE_START_ITERATION_ROUNDUP=100\n\
             ACTIVITIES_ITERATIONS=5\nPROFILE_REPORT_INPUT_SHAPES=true\nPROFILE_PROFILE_MEMORY=true\n\
             PROFILE_WITH_STACK=true\nPROFILE_WITH_FLOPS=true\nPROFILE_WITH_MODULES=true"
        );
    }

    #[test]
    fn defaults_are_those_of_the_existing_client() {
        let c: Gputrace = parse(&["--log-file", "x"]);
        assert_eq!((c.job_id, c.pids.0, c.process_limit), (0, vec![0], 3));
        assert_eq!((c.duration_ms, c.iterations, c.profile_start_time), (500, -1, 0));
        assert_eq!(c.profile_start_iteration_roundup, 1);
    }
}
