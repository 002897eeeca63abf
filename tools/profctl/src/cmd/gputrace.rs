//! `profctl gputrace`: request an on-demand trace from PyTorch processes (libkineto).

use std::time::Duration;

use clap::Args;
use common::duration::parse_whole_milliseconds;
use common::out::Out;
use common::rpc::config::{Config, ConfigError};

use super::absolute_output_path;
use crate::function::RequestedFunction;
use crate::on_demand::OnDemandCommand;
use crate::option_value::{CommaList, parse_pids};
use crate::process_filter::ProcessFilter;
use crate::wait::{TraceOutput, WaitArgs, kineto, time_since_epoch, time_until_recording_ends};

/// The oldest start time that libkineto accepts (pytorch/kineto 114171d, `libkineto/src/Config.cpp`, `kMaxRequestAge`).
const MAX_START_AGE: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  Trace up to 3 processes of job 0 for 500 ms:
    profctl gputrace --log-file /tmp/trace.json

  Trace 5 training iterations, and print the paths of the complete traces:
    profctl gputrace --iterations 5 --log-file /tmp/trace.json --wait

  Trace two processes for 2 seconds, with Python call stacks:
    profctl gputrace --pids 4242,4243 --duration-ms 2000 --with-stacks --log-file /tmp/trace.json

  Trace 8 processes of a Slurm job:
    profctl gputrace --job-id $SLURM_JOB_ID --process-limit 8 --iterations 3 --log-file /tmp/trace.json";

/// Request a trace from PyTorch processes
///
/// Processes accept requests if they were started with KINETO_USE_DAEMON=1 and a daemon runs on their machine. They
/// poll the daemon every 5 seconds.
///
/// Each process writes one file: the log file with _PID inserted before .json. libkineto writes only below /tmp, or
/// below $KINETO_ONDEMAND_TRACE_DIR of the training process; for any other path it writes
/// /tmp/libkineto_activities_PID.json instead. --wait finds that file, too.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct GpuTraceArgs {
    /// Job id of the processes: their SLURM_JOB_ID, or 0 outside Slurm
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..), value_name = "ID")]
    job_id: i64,
    /// Pids of the processes, separated by commas; 0 selects all processes of the job
    #[arg(long, default_value = "0", value_parser = parse_pids, value_name = "LIST")]
    pids: CommaList<i32>,
    /// Select only processes of this user of the daemon's host, by name or uid; from profd only [default: all users]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Duration of the trace, in milliseconds or with a unit, such as 5s; ignored with --iterations
    #[arg(long, default_value_t = 500, value_parser = parse_whole_milliseconds, value_name = "MS")]
    duration_ms: u64,
    /// Number of training iterations to trace; 0 or less: trace for --duration-ms instead
    #[arg(long, default_value_t = -1, allow_negative_numbers = true, value_name = "N")]
    iterations: i64,
    /// Trace file; each process inserts _PID before .json
    ///
    /// `%h` in it is replaced by the name of the host, `%H` by the process's pid on the host, `%p` by its own pid (the
    /// two differ in a container), `%j` by the job id, and `%%` by a percent sign. Use %h where several hosts write to
    /// one directory. Processes of one host never get the same file: where they have the same pid, the pid on the host
    /// is inserted too.
    #[arg(long, value_name = "FILE")]
    log_file: String,
    /// Start time, in milliseconds since the Unix epoch; 0 starts now
    ///
    /// With a time a few seconds ahead all processes start at the same time.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    profile_start_time: u64,
    /// With --iterations, start at the next iteration that is a multiple of N
    #[arg(long, default_value_t = 1, value_name = "N")]
    profile_start_iteration_roundup: u64,
    /// Maximum number of processes to trace
    #[arg(long, default_value_t = 3, value_name = "N")]
    process_limit: u32,
    /// Record the shapes and types of operator inputs
    #[arg(long)]
    record_shapes: bool,
    /// Record memory allocations and deallocations
    #[arg(long)]
    profile_memory: bool,
    /// Record Python call stacks
    #[arg(long)]
    with_stacks: bool,
    /// Estimate the floating-point operations of operators
    #[arg(long)]
    with_flops: bool,
    /// Record the module hierarchy of operators
    #[arg(long)]
    with_modules: bool,
    /// Ignored, for compatibility: the exit status is always 1 when no process matches
    #[arg(long)]
    fail_on_no_process: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl GpuTraceArgs {
    /// Validates the options, and builds the request.
    ///
    /// # Errors
    /// The path is not usable.
    pub(crate) fn build_command(&self, out: &Out) -> anyhow::Result<OnDemandCommand> {
        let log_file = absolute_output_path(&self.log_file, out)?;
        self.warn_about_silent_limits(&log_file, out);
        let filter = ProcessFilter {
            job_id: self.job_id,
            pids: self.pids.0.clone(),
            user: self.user.clone(),
            process_limit: self.process_limit,
        };
        OnDemandCommand::new(
            RequestedFunction::GpuTrace,
            self.build_config(&log_file)?,
            filter,
            TraceOutput::Kineto { log_file },
            self.wait.wait_plan(self.recording_time()),
        )
    }

    fn build_config(&self, log_file: &str) -> Result<Config, ConfigError> {
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

    /// Returns the time until the recording ends, if it is known.
    fn recording_time(&self) -> Option<Duration> {
        (self.iterations <= 0).then(|| time_until_recording_ends(self.profile_start_time, self.duration_ms))
    }

    /// Warns of requests that libkineto changes or rejects without a reply to the client.
    fn warn_about_silent_limits(&self, log_file: &str, out: &Out) {
        if let Some(trouble) = kineto::find_path_problem(log_file) {
            out.warn("--log-file", trouble);
        }
        let start = Duration::from_millis(self.profile_start_time);
        if self.iterations <= 0
            && !start.is_zero()
            && start.saturating_add(MAX_START_AGE) < time_since_epoch()
        {
            out.warn("--profile-start-time", "libkineto rejects a start time more than 10 s in the past");
        }
        // Observed with the libkineto of PyTorch 2.15; 500 ms is `kDefaultActivitiesProfileDurationMSecs`.
        if self.iterations > 0 {
            out.warn("--iterations", "a process before its first optimizer step traces 500 ms instead");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::parse_args;

    fn text(args: &[&str]) -> String {
        let c: GpuTraceArgs = parse_args(args);
        c.build_config(&c.log_file).unwrap().to_string()
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
        let c: GpuTraceArgs = parse_args(&["--log-file", "x"]);
        assert_eq!((c.job_id, c.pids.0, c.process_limit), (0, vec![0], 3));
        assert_eq!((c.duration_ms, c.iterations, c.profile_start_time), (500, -1, 0));
        assert_eq!(c.profile_start_iteration_roundup, 1);
    }
}
