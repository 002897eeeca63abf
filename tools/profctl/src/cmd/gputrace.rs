//! `profctl gputrace`: request an on-demand trace from PyTorch processes (libkineto).

use std::time::Duration;

use clap::Args;
use common::duration::parse_whole_milliseconds;
use common::out::Out;
use common::rpc::config::{Config, ConfigError};

use super::expandable_output_path;
use crate::function::RequestedFunction;
use crate::on_demand::{OnDemandCommand, OnDemandPlan};
use crate::option_value::parse_config_pair;
use crate::process_filter::TracedProcessArgs;
use crate::sync_start::SyncArgs;
use crate::wait::{TraceOutput, WaitArgs, kineto, time_until_recording_ends};
use crate::wall_clock::time_since_epoch;

/// The oldest start time that libkineto accepts (pytorch/kineto 114171d, `libkineto/src/Config.cpp`, `kMaxRequestAge`).
const MAX_START_AGE: Duration = Duration::from_secs(10);

/// The duration of a trace, if none is given: that of the existing client, and of libkineto (pytorch/kineto 0062cff,
/// `libkineto/src/Config.cpp`, `kDefaultActivitiesProfileDurationMSecs`).
const DEFAULT_DURATION_MS: u64 = 500;

const EXAMPLES: &str = "\
Examples:
  Trace up to 3 processes of job 0 for 500 ms:
    profctl gputrace --log-file /tmp/trace.json

  Trace 5 training iterations, and print the paths of the complete traces:
    profctl gputrace --iterations 5 --log-file /tmp/trace.json --wait

  Trace two processes for 2 seconds, with Python call stacks:
    profctl gputrace --pids 4242,4243 --duration-ms 2000 --with-stacks --log-file /tmp/trace.json

  Trace ranks 0 and 8 of a Slurm job, whichever hosts they run on:
    profctl --slurm $SLURM_JOB_ID gputrace --rank 0,8 --iterations 3 \\
      --log-file /data/prof/rank%r.json --wait

  Start at the same time on all hosts, as exactly as their clocks are known:
    profctl --hosts 'node[001-128]' gputrace --synchronized \\
      --process-limit 8 --log-file /tmp/%h.json";

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
    #[command(flatten)]
    processes: TracedProcessArgs,
    /// Duration of the trace, in milliseconds or with a unit, such as 5s [default: 500]
    ///
    /// With --iterations it is for processes that do not count iterations, or not yet.
    #[arg(long, value_parser = parse_whole_milliseconds, value_name = "MS")]
    duration_ms: Option<u64>,
    /// Number of training iterations to trace; 0 or less: trace for --duration-ms instead
    #[arg(long, default_value_t = -1, allow_negative_numbers = true, value_name = "N")]
    iterations: i64,
    /// Trace file; each process inserts _PID before .json
    ///
    /// `%h` in it is replaced by the name of the host, `%H` by the process's pid on the host, `%p` by its own pid (the
    /// two differ in a container), `%j` by the job id, `%r` by the rank, and `%%` by a percent sign. No two processes get
    /// the same file: a request to several daemons inserts the name of each host before .json, unless %h is in the path (and the port or
    /// the address where a host has several daemons); and where two processes of a host would write the same file, also for
    /// requests one after the other, profd inserts the pid on the host.
    #[arg(long, value_name = "FILE")]
    log_file: String,
    /// Start time, in milliseconds since the Unix epoch; 0 starts now
    ///
    /// With a time a few seconds ahead all processes start at the same time.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    profile_start_time: u64,
    /// With --iterations, start at the next iteration that is a multiple of N
    ///
    /// Ranks that are few iterations apart then trace the same ones.
    #[arg(long, default_value_t = 1, value_name = "N")]
    profile_start_iteration_roundup: u64,
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
    /// Add KEY=VALUE to the config, for settings of the profiler that have no option here; may be repeated
    #[arg(long, value_parser = parse_config_pair, value_name = "KEY=VALUE")]
    config: Vec<(String, String)>,
    #[command(flatten)]
    sync: SyncArgs,
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
        let log_file = expandable_output_path(&self.log_file, out)?;
        self.warn_about_silent_limits(&log_file, out);
        let start = self.sync.plan(self.iterations > 0, self.profile_start_time)?;
        let time_to_start = start.time_to_start();
        OnDemandCommand::new(OnDemandPlan {
            function: RequestedFunction::GpuTrace,
            config: self.build_config(&log_file)?,
            filter: self.processes.filter(),
            output: TraceOutput::Kineto { log_file },
            wait: self
                .wait
                .wait_plan(self.recording_time().map(|time| time.saturating_add(time_to_start)))?,
            start,
        })
    }

    fn build_config(&self, log_file: &str) -> Result<Config, ConfigError> {
        let mut c = Config::new();
        c.push("ACTIVITIES_LOG_FILE", log_file)?;
        if self.iterations > 0 {
            c.push("PROFILE_START_ITERATION", 0)?;
            c.push("PROFILE_START_ITERATION_ROUNDUP", self.profile_start_iteration_roundup)?;
            c.push("ACTIVITIES_ITERATIONS", self.iterations)?;
            // libkineto takes it where it counts no iterations (pytorch/kineto 0062cff, `libkineto/src/Config.cpp`).
            if let Some(duration_ms) = self.duration_ms {
                c.push("ACTIVITIES_DURATION_MSECS", duration_ms)?;
            }
        } else {
            c.push("PROFILE_START_TIME", self.profile_start_time)?;
            c.push("ACTIVITIES_DURATION_MSECS", self.duration_or_default())?;
        }
        c.push("PROFILE_REPORT_INPUT_SHAPES", self.record_shapes)?;
        c.push("PROFILE_PROFILE_MEMORY", self.profile_memory)?;
        c.push("PROFILE_WITH_STACK", self.with_stacks)?;
        c.push("PROFILE_WITH_FLOPS", self.with_flops)?;
        c.push("PROFILE_WITH_MODULES", self.with_modules)?;
        self.config.iter().try_for_each(|(key, value)| c.push(key, value))?;
        Ok(c)
    }

    fn duration_or_default(&self) -> u64 {
        self.duration_ms.unwrap_or(DEFAULT_DURATION_MS)
    }

    /// Returns the time until the recording ends, if it is known.
    fn recording_time(&self) -> Option<Duration> {
        (self.iterations <= 0)
            .then(|| time_until_recording_ends(self.profile_start_time, self.duration_or_default()))
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
        // Observed with the libkineto of PyTorch 2.15.
        if self.iterations > 0 {
            let duration_ms = self.duration_or_default();
            let warning =
                format!("a process before its first optimizer step traces {duration_ms} ms instead");
            out.warn("--iterations", warning);
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
    fn a_duration_beside_iterations_is_for_processes_that_count_none() {
        let text = text(&["--log-file", "/tmp/t.json", "--iterations", "5", "--duration-ms", "2s"]);
        assert!(text.contains("\nACTIVITIES_ITERATIONS=5\nACTIVITIES_DURATION_MSECS=2000\n"), "{text}");
    }

    #[test]
    fn keys_without_an_option_are_added_and_none_is_replaced() {
        let parse = |pair: &str| parse_args::<GpuTraceArgs>(&["--log-file", "/tmp/t.json", "--config", pair]);
        let config = parse("ACTIVITIES_WARMUP_PERIOD_SECS=1").build_config("/tmp/t.json").unwrap();
        assert!(config.to_string().ends_with("\nACTIVITIES_WARMUP_PERIOD_SECS=1"));
        let twice = parse("PROFILE_WITH_STACK=true").build_config("/tmp/t.json").unwrap_err();
        assert_eq!(twice, ConfigError::Twice("PROFILE_WITH_STACK".into()));
    }

    #[test]
    fn defaults_are_those_of_the_existing_client() {
        let c: GpuTraceArgs = parse_args(&["--log-file", "x"]);
        let filter = c.processes.filter();
        assert_eq!((filter.job_id, filter.pids, filter.process_limit), (0, vec![0], 3));
        assert_eq!((c.duration_or_default(), c.iterations, c.profile_start_time), (500, -1, 0));
        assert_eq!(c.profile_start_iteration_roundup, 1);
    }
}
