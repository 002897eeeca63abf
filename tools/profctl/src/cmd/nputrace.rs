//! `profctl nputrace`: request an on-demand trace from PyTorch or MindSpore processes on Ascend devices.

use std::time::Duration;

use clap::Args;
use common::duration::parse_whole_milliseconds;
use common::out::Out;
use common::rpc::config::{Config, ConfigError};

use super::expandable_output_path;
use crate::function::RequestedFunction;
use crate::on_demand::{OnDemandCommand, OnDemandPlan};
use crate::option_value::{
    Activities, AicMetrics, Bool, CommaList, HostSys, ProfilerLevel, TraceExport, comma_list_or_none,
    parse_config_pair, parse_milliseconds, parse_ranks, parse_short_text,
};
use crate::process_filter::TracedProcessArgs;
use crate::sync_start::StartPlan;
use crate::wait::{TraceOutput, WaitArgs, time_until_recording_ends};

/// The duration of a trace, if none is given: that of the existing client (msMonitor b942bf5).
const DEFAULT_DURATION_MS: u64 = 500;

const EXAMPLES: &str = "\
Examples:
  Trace the next 2 steps of up to 3 processes; each writes a directory below /data/prof:
    profctl nputrace --start-step -1 --iterations 2 --log-file /data/prof

  Trace step 100, let the processes analyze it, and print the directories when they are complete:
    profctl nputrace --start-step 100 --iterations 1 --log-file /data/prof --analyse --wait

  Trace the device activities and AI core metrics of ranks 0 and 8:
    profctl nputrace --start-step -1 --iterations 1 --profiler-level Level1 \\
      --aic-metrics PipeUtilization --activities NPU --rank-list 0,8 --process-limit 16 \\
      --log-file /data/prof";

/// Request a trace from processes on Ascend devices
///
/// Processes accept requests if they were started with MSMONITOR_USE_DAEMON=1 and a daemon of the same user runs on
/// their machine. Each process creates a directory HOST_PID_TIME_ascend_pt below the log file. nputrace and npu-monitor
/// share the profiling hardware: while one is running, requests for the other are declined.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct NpuTraceArgs {
    #[command(flatten)]
    processes: TracedProcessArgs,
    /// Duration of the trace, in milliseconds or with a unit, such as 5s [default: 500]
    ///
    /// With --iterations it is for processes that do not count iterations, or not yet.
    #[arg(long, value_parser = parse_whole_milliseconds, value_name = "MS")]
    duration_ms: Option<u64>,
    /// Number of training steps to trace, at least 1
    #[arg(
        long,
        value_parser = clap::value_parser!(i64).range(1..),
        allow_negative_numbers = true,
        required_unless_present = "duration_ms",
        value_name = "N"
    )]
    iterations: Option<i64>,
    /// Directory for the traces; %h, %H, %p, %j and %r in it are replaced as for gputrace, from profd only
    #[arg(long, value_name = "DIR")]
    log_file: String,
    /// Start time, in milliseconds since the Unix epoch; 0 starts now; ignored with --iterations
    #[arg(long, default_value_t = 0, value_name = "MS")]
    profile_start_time: u64,
    /// First step to trace; -1 is the next one
    #[arg(
        long,
        value_parser = clap::value_parser!(i64).range(-1..),
        allow_negative_numbers = true,
        required_unless_present_any = ["duration_ms", "align_step"],
        requires = "iterations",
        value_name = "STEP"
    )]
    start_step: Option<i64>,
    /// Start at one step on all hosts: the first one that no process has reached when it has fetched the request
    ///
    /// The daemons are asked for the steps of their processes, twice, to see how fast they go.
    #[arg(long, conflicts_with = "start_step", requires = "iterations")]
    align_step: bool,
    /// Add KEY=VALUE to the config, for settings of the profiler that have no option here; may be repeated
    #[arg(long, value_parser = parse_config_pair, value_name = "KEY=VALUE")]
    config: Vec<(String, String)>,
    /// Record the shapes and types of operator inputs
    #[arg(long)]
    record_shapes: bool,
    /// Record memory allocations and deallocations
    #[arg(long)]
    profile_memory: bool,
    /// Record Python call stacks
    #[arg(long)]
    with_stack: bool,
    /// Estimate the floating-point operations of operators
    #[arg(long)]
    with_flops: bool,
    /// Record the module hierarchy of operators
    #[arg(long)]
    with_modules: bool,
    /// Sides to record: the host (CPU), the device (NPU) or both
    #[arg(long, value_enum, default_value_t = Activities::CpuNpu)]
    activities: Activities,
    /// Level of detail of the device activities
    #[arg(long, value_enum, default_value_t = ProfilerLevel::Level0, value_name = "LEVEL")]
    profiler_level: ProfilerLevel,
    /// AI core metrics to collect
    #[arg(long, value_enum, default_value_t = AicMetrics::AiCoreNone, value_name = "METRICS")]
    aic_metrics: AicMetrics,
    /// Analyze the trace in the process after recording
    #[arg(long)]
    analyse: bool,
    /// Run the analysis asynchronously while training continues
    #[arg(long)]
    async_mode: bool,
    /// Record L2 cache metrics
    #[arg(long)]
    l2_cache: bool,
    /// Record operator attributes
    #[arg(long)]
    op_attr: bool,
    /// Record msproftx and mstx markers of the program
    #[arg(long)]
    msprof_tx: bool,
    /// Record garbage collections that take at least this time, in milliseconds or with a unit [default: none]
    #[arg(long, value_parser = parse_milliseconds, value_name = "MS")]
    gc_detect_threshold: Option<f32>,
    /// Delete raw data after the analysis
    #[arg(long, value_enum, default_value_t = Bool::True, value_name = "BOOL")]
    data_simplification: Bool,
    /// Format of the analyzed trace
    #[arg(long, value_enum, default_value_t = TraceExport::Text, value_name = "TYPE")]
    export_type: TraceExport,
    /// Host resources to record, separated by commas
    #[arg(long, value_parser = comma_list_or_none::<HostSys>(), default_value = "None", value_name = "LIST")]
    host_sys: CommaList<HostSys>,
    /// Record network and RoCE interfaces
    #[arg(long)]
    sys_io: bool,
    /// Record interconnect bandwidth (HCCS, PCIe)
    #[arg(long)]
    sys_interconnection: bool,
    /// mstx domains to record, separated by commas [default: all]
    #[arg(long, value_parser = parse_short_text, value_name = "LIST")]
    mstx_domain_include: Option<String>,
    /// mstx domains to exclude, separated by commas
    #[arg(long, value_parser = parse_short_text, value_name = "LIST")]
    mstx_domain_exclude: Option<String>,
    /// Ranks that record, separated by commas [default: all]
    #[arg(long, value_parser = parse_ranks, allow_hyphen_values = true, value_name = "LIST")]
    rank_list: Option<CommaList<i64>>,
    #[command(flatten)]
    wait: WaitArgs,
}

impl NpuTraceArgs {
    /// Validates the options, and builds the request.
    ///
    /// # Errors
    /// The path is not usable.
    pub(crate) fn build_command(&self, out: &Out) -> anyhow::Result<OnDemandCommand> {
        let dir = expandable_output_path(&self.log_file, out)?;
        let config = self.build_config(&dir)?;
        let output = TraceOutput::Ascend {
            dir,
            analyzed: self.analyse,
            ranks: self.rank_list.as_ref().map(|l| l.0.len()),
        };
        OnDemandCommand::new(OnDemandPlan {
            function: RequestedFunction::NpuTrace,
            config,
            filter: self.processes.filter(),
            output,
            wait: self.wait.wait_plan(self.recording_time())?,
            start: if self.align_step { StartPlan::AlignedStep } else { StartPlan::AsAsked },
        })
    }

    fn build_config(&self, dir: &str) -> Result<Config, ConfigError> {
        let mut c = Config::new();
        c.push("ACTIVITIES_LOG_FILE", dir)?;
        match self.iterations {
            Some(iterations) => {
                c.push("PROFILE_START_ITERATION", 0)?;
                c.push("PROFILE_START_STEP", self.start_step.unwrap_or(-1))?;
                c.push("ACTIVITIES_ITERATIONS", iterations)?;
                if let Some(duration_ms) = self.duration_ms {
                    c.push("ACTIVITIES_DURATION_MSECS", duration_ms)?;
                }
            }
            None => {
                c.push("PROFILE_START_TIME", self.profile_start_time)?;
                c.push("ACTIVITIES_DURATION_MSECS", self.duration_or_default())?;
            }
        }
        self.push_recording_keys(&mut c)?;
        self.push_export_and_filter_keys(&mut c)?;
        self.config.iter().try_for_each(|(key, value)| c.push(key, value))?;
        Ok(c)
    }

    fn duration_or_default(&self) -> u64 {
        self.duration_ms.unwrap_or(DEFAULT_DURATION_MS)
    }

    /// Adds what is recorded. The keys have the order in which msMonitor's client (b942bf5) sends them.
    fn push_recording_keys(&self, c: &mut Config) -> Result<(), ConfigError> {
        c.push("PROFILE_RECORD_SHAPES", self.record_shapes)?;
        c.push("PROFILE_PROFILE_MEMORY", self.profile_memory)?;
        c.push("PROFILE_WITH_STACK", self.with_stack)?;
        c.push("PROFILE_WITH_FLOPS", self.with_flops)?;
        c.push("PROFILE_WITH_MODULES", self.with_modules)?;
        c.push("PROFILE_ACTIVITIES", self.activities)?;
        c.push("PROFILE_ANALYSE", self.analyse)?;
        c.push("PROFILE_ASYNC_MODE", self.async_mode)?;
        c.push("PROFILE_PROFILER_LEVEL", self.profiler_level)?;
        c.push("PROFILE_AIC_METRICS", self.aic_metrics)?;
        c.push("PROFILE_L2_CACHE", self.l2_cache)?;
        c.push("PROFILE_OP_ATTR", self.op_attr)?;
        c.push("PROFILE_MSPROF_TX", self.msprof_tx)?;
        c.push("PROFILE_GC_DETECT_THRESHOLD", value_or_none(self.gc_detect_threshold.as_ref()))?;
        c.push("PROFILE_DATA_SIMPLIFICATION", self.data_simplification)
    }

    /// Adds the export format, host resources, marker domains and ranks, in the same order.
    fn push_export_and_filter_keys(&self, c: &mut Config) -> Result<(), ConfigError> {
        c.push("PROFILE_EXPORT_TYPE", self.export_type)?;
        c.push("PROFILE_HOST_SYS", value_or_none(Some(&self.host_sys).filter(|l| !l.0.is_empty())))?;
        c.push("PROFILE_SYS_IO", self.sys_io)?;
        c.push("PROFILE_SYS_INTERCONNECTION", self.sys_interconnection)?;
        c.push("PROFILE_MSTX_DOMAIN_INCLUDE", value_or_none(self.mstx_domain_include.as_ref()))?;
        c.push("PROFILE_MSTX_DOMAIN_EXCLUDE", value_or_none(self.mstx_domain_exclude.as_ref()))?;
        c.push("PROFILE_IS_RANK", self.rank_list.is_some())?;
        c.push("PROFILE_RANK_LIST", value_or_none(self.rank_list.as_ref()))
    }

    /// Returns the time until the recording ends, if it is known.
    fn recording_time(&self) -> Option<Duration> {
        self.iterations
            .is_none()
            .then(|| time_until_recording_ends(self.profile_start_time, self.duration_or_default()))
    }
}

/// Formats a missing value as `None`, as msMonitor's client (b942bf5) does.
fn value_or_none<T: std::fmt::Display>(value: Option<&T>) -> String {
    value.map_or_else(|| "None".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::{parse_args, try_parse_args};

    fn text(args: &[&str]) -> String {
        let c: NpuTraceArgs = parse_args(args);
        c.build_config(&c.log_file).unwrap().to_string()
    }

    #[test]
    fn defaults_are_byte_exact() {
        assert_eq!(
            text(&["--log-file", "/d", "--start-step", "-1", "--iterations", "2"]),
            "ACTIVITIES_LOG_FILE=/d\nPROFILE_START_ITERATION=0\nPROFILE_START_STEP=-1\nACTIVITIES_ITERATIONS=2\n\
             PROFILE_RECORD_SHAPES=false\nPROFILE_PROFILE_MEMORY=false\nPROFILE_WITH_STACK=false\n\
             PROFILE_WITH_FLOPS=false\nPROFILE_WITH_MODULES=false\nPROFILE_ACTIVITIES=CPU,NPU\n\
             PROFILE_ANALYSE=false\nPROFILE_ASYNC_MODE=false\nPROFILE_PROFILER_LEVEL=Level0\n\
             PROFILE_AIC_METRICS=AiCoreNone\nPROFILE_L2_CACHE=false\nPROFILE_OP_ATTR=false\n\
             PROFILE_MSPROF_TX=false\nPROFILE_GC_DETECT_THRESHOLD=None\nPROFILE_DATA_SIMPLIFICATION=true\n\
             PROFILE_EXPORT_TYPE=Text\nPROFILE_HOST_SYS=None\nPROFILE_SYS_IO=false\n\
             PROFILE_SYS_INTERCONNECTION=false\nPROFILE_MSTX_DOMAIN_INCLUDE=None\n\
             PROFILE_MSTX_DOMAIN_EXCLUDE=None\nPROFILE_IS_RANK=false\nPROFILE_RANK_LIST=None"
        );
    }

    #[test]
    fn every_option_is_byte_exact() {
        let args = "--log-file /d --start-step 100 --iterations 1 --record-shapes --profile-memory --with-stack \
                    --with-flops --with-modules --activities NPU,CPU --analyse --async-mode --profiler-level \
                    Level_none --aic-metrics MemoryUB --l2-cache --op-attr --msprof-tx --gc-detect-threshold 0.1 \
                    --data-simplification false --export-type Db --host-sys cpu,osrt --sys-io \
                    --sys-interconnection --mstx-domain-include a,b --mstx-domain-exclude c --rank-list 0,8";
        let args: Vec<&str> = args.split_whitespace().collect();
        assert_eq!(
            text(&args),
            "ACTIVITIES_LOG_FILE=/d\nPROFILE_START_ITERATION=0\nPROFILE_START_STEP=100\nACTIVITIES_ITERATIONS=1\n\
             PROFILE_RECORD_SHAPES=true\nPROFILE_PROFILE_MEMORY=true\nPROFILE_WITH_STACK=true\n\
             PROFILE_WITH_FLOPS=true\nPROFILE_WITH_MODULES=true\nPROFILE_ACTIVITIES=NPU,CPU\n\
             PROFILE_ANALYSE=true\nPROFILE_ASYNC_MODE=true\nPROFILE_PROFILER_LEVEL=Level_none\n\
             PROFILE_AIC_METRICS=MemoryUB\nPROFILE_L2_CACHE=true\nPROFILE_OP_ATTR=true\n\
             PROFILE_MSPROF_TX=true\nPROFILE_GC_DETECT_THRESHOLD=0.1\nPROFILE_DATA_SIMPLIFICATION=false\n\
             PROFILE_EXPORT_TYPE=Db\nPROFILE_HOST_SYS=cpu,osrt\nPROFILE_SYS_IO=true\n\
             PROFILE_SYS_INTERCONNECTION=true\nPROFILE_MSTX_DOMAIN_INCLUDE=a,b\n\
             PROFILE_MSTX_DOMAIN_EXCLUDE=c\nPROFILE_IS_RANK=true\nPROFILE_RANK_LIST=0,8"
        );
    }

    #[test]
    fn a_trace_by_duration_needs_no_step() {
        let text = text(&["--log-file", "/d", "--duration-ms", "1000", "--profile-start-time", "1000"]);
        let start = "ACTIVITIES_LOG_FILE=/d\nPROFILE_START_TIME=1000\nACTIVITIES_DURATION_MSECS=1000\n";
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn values_outside_the_sets_are_rejected() {
        let base = ["--log-file", "/d", "--start-step", "-1", "--iterations", "1"];
        for more in [
            ["--start-step", "-2"],
            ["--iterations", "0"],
            ["--iterations", "-1"],
            ["--activities", "GPU"],
            ["--activities", "cpu"],
            ["--profiler-level", "3"],
            ["--aic-metrics", "memory"],
            ["--export-type", "text"],
            ["--host-sys", "cpu,gpu"],
            ["--host-sys", ""],
            ["--gc-detect-threshold", "NaN"],
            ["--data-simplification", "yes"],
            ["--rank-list", "0,,1"],
            ["--pids", "1;2"],
            ["--job-id", "-1"],
            ["--process-limit", "-1"],
        ] {
            let keep: Vec<&str> =
                base.chunks(2).filter(|pair| pair[0] != more[0]).flatten().chain(&more).copied().collect();
            assert!(try_parse_args::<NpuTraceArgs>(&keep).is_err(), "{more:?}");
        }
        assert!(try_parse_args::<NpuTraceArgs>(&["--log-file", "/d"]).is_err());
        assert!(try_parse_args::<NpuTraceArgs>(&["--log-file", "/d", "--iterations", "1"]).is_err());
    }

    #[test]
    fn defaults_are_those_of_the_existing_client() {
        let c: NpuTraceArgs = parse_args(&["--log-file", "x", "--start-step", "-1", "--iterations", "1"]);
        let filter = c.processes.filter();
        assert_eq!((filter.job_id, filter.pids, filter.process_limit), (0, vec![0], 3));
        assert_eq!(c.duration_or_default(), 500);
        assert_eq!(c.profile_start_time, 0);
    }
}
