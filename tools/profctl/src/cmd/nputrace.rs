//! `profctl nputrace`: ask PyTorch or MindSpore processes on Ascend devices for a trace.

use std::time::Duration;

use clap::Args;
use common::out::Out;
use common::rpc::config::{Config, ConfigError};

use super::output_path;
use crate::demand::{Demand, Selection};
use crate::value::{
    Activities, AicMetrics, Bool, HostSys, List, ProfilerLevel, TraceExport, list_or_none, not_negative,
    pids, ranks, short_text,
};
use crate::wait::{Output, WaitOptions};

const EXAMPLES: &str = "\
Examples:
  profctl nputrace --start-step -1 --iterations 2 --log-file /data/prof
      the next 2 steps of up to 3 processes, into a directory below /data/prof for each
  profctl nputrace --start-step 100 --iterations 1 --log-file /data/prof --analyse --wait
      step 100, analysed by the process; prints the directories when they are complete
  profctl nputrace --start-step -1 --iterations 1 --profiler-level Level1 --aic-metrics PipeUtilization \\
      --activities NPU --rank-list 0,8 --process-limit 16 --log-file /data/prof";

/// Ask processes on Ascend devices for a trace
///
/// A process can be asked when it was started with MSMONITOR_USE_DAEMON=1 and a daemon of the same user serves its
/// machine. It makes a directory HOST_PID_TIME_ascend_pt below the log file. nputrace and npu-monitor share the profiling hardware: while one runs, the other is declined.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Nputrace {
    /// Job to trace; processes of msMonitor are all of job 0
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..), value_name = "ID")]
    job_id: i64,
    /// Processes to trace, separated by commas; 0 means all of the job
    #[arg(long, default_value = "0", value_parser = pids, value_name = "LIST")]
    pids: List<i32>,
    /// Length of the trace, milliseconds, where --iterations is not given
    #[arg(long, default_value_t = 500, value_name = "MS")]
    duration_ms: u64,
    /// Training steps to trace, at least 1
    #[arg(
        long,
        value_parser = clap::value_parser!(i64).range(1..),
        allow_negative_numbers = true,
        required_unless_present = "duration_ms",
        value_name = "N"
    )]
    iterations: Option<i64>,
    /// Directory for the traces
    #[arg(long, value_name = "DIR")]
    log_file: String,
    /// When to start, milliseconds since 1970; 0 means now; where --iterations is not given
    #[arg(long, default_value_t = 0, value_name = "MS")]
    profile_start_time: u64,
    /// Step to start with; -1 means the next one
    #[arg(
        long,
        value_parser = clap::value_parser!(i64).range(-1..),
        allow_negative_numbers = true,
        required_unless_present = "duration_ms",
        requires = "iterations",
        value_name = "STEP"
    )]
    start_step: Option<i64>,
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
    with_stack: bool,
    /// Record the floating-point operations that operators amount to
    #[arg(long)]
    with_flops: bool,
    /// Record the modules that operators belong to
    #[arg(long)]
    with_modules: bool,
    /// What to record
    #[arg(long, value_enum, default_value_t = Activities::CpuNpu)]
    activities: Activities,
    /// How much to record on the device
    #[arg(long, value_enum, default_value_t = ProfilerLevel::Level0, value_name = "LEVEL")]
    profiler_level: ProfilerLevel,
    /// Which AI core counters to read
    #[arg(long, value_enum, default_value_t = AicMetrics::AiCoreNone, value_name = "METRICS")]
    aic_metrics: AicMetrics,
    /// Let the process analyse the trace when it has it
    #[arg(long)]
    analyse: bool,
    /// Let it do so beside the training
    #[arg(long)]
    async_mode: bool,
    /// Record the L2 cache
    #[arg(long)]
    l2_cache: bool,
    /// Record attributes of operators
    #[arg(long)]
    op_attr: bool,
    /// Record markers of the program
    #[arg(long)]
    msprof_tx: bool,
    /// Record garbage collections of at least so many milliseconds
    #[arg(long, value_parser = not_negative, value_name = "MS")]
    gc_detect_threshold: Option<f32>,
    /// Let the process delete raw data after the analysis
    #[arg(long, value_enum, default_value_t = Bool::True, value_name = "BOOL")]
    data_simplification: Bool,
    /// Form of the analysed trace
    #[arg(long, value_enum, default_value_t = TraceExport::Text, value_name = "TYPE")]
    export_type: TraceExport,
    /// What to record of the host, separated by commas
    #[arg(long, value_parser = list_or_none::<HostSys>(), default_value = "None", value_name = "LIST")]
    host_sys: List<HostSys>,
    /// Record network cards and storage
    #[arg(long)]
    sys_io: bool,
    /// Record links between devices
    #[arg(long)]
    sys_interconnection: bool,
    /// Domains of markers to record, separated by commas
    #[arg(long, value_parser = short_text, value_name = "LIST")]
    mstx_domain_include: Option<String>,
    /// Domains of markers to leave out, separated by commas
    #[arg(long, value_parser = short_text, value_name = "LIST")]
    mstx_domain_exclude: Option<String>,
    /// Only these ranks record, separated by commas
    #[arg(long, value_parser = ranks, allow_hyphen_values = true, value_name = "LIST")]
    rank_list: Option<List<i64>>,
    #[command(flatten)]
    wait: WaitOptions,
}

impl Nputrace {
    /// The validated request.
    ///
    /// # Errors
    /// The path is not usable.
    pub(crate) fn demand(&self, out: &Out) -> anyhow::Result<Demand> {
        let dir = output_path(&self.log_file, out)?;
        let config = self.config(&dir)?;
        let selection =
            Selection { job_id: self.job_id, pids: self.pids.0.clone(), process_limit: self.process_limit };
        let output =
            Output::Ascend { dir, analysed: self.analyse, ranks: self.rank_list.as_ref().map(|l| l.0.len()) };
        Demand::new("nputrace", config, selection, output, self.wait.plan(self.expected_time()))
    }

    fn config(&self, dir: &str) -> Result<Config, ConfigError> {
        let mut c = Config::new();
        c.push("ACTIVITIES_LOG_FILE", dir)?;
        match self.iterations {
            Some(iterations) => {
                c.push("PROFILE_START_ITERATION", 0)?;
                c.push("PROFILE_START_STEP", self.start_step.unwrap_or(-1))?;
                c.push("ACTIVITIES_ITERATIONS", iterations)?;
            }
            None => {
                c.push("PROFILE_START_TIME", self.profile_start_time)?;
                c.push("ACTIVITIES_DURATION_MSECS", self.duration_ms)?;
            }
        }
        self.push_what(&mut c)?;
        self.push_where(&mut c)?;
        Ok(c)
    }

    /// What is recorded, in the order of the existing client.
    fn push_what(&self, c: &mut Config) -> Result<(), ConfigError> {
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
        c.push("PROFILE_GC_DETECT_THRESHOLD", or_none(self.gc_detect_threshold.as_ref()))?;
        c.push("PROFILE_DATA_SIMPLIFICATION", self.data_simplification)
    }

    /// The rest: form, host, domains, ranks.
    fn push_where(&self, c: &mut Config) -> Result<(), ConfigError> {
        c.push("PROFILE_EXPORT_TYPE", self.export_type)?;
        c.push("PROFILE_HOST_SYS", or_none(Some(&self.host_sys).filter(|l| !l.0.is_empty())))?;
        c.push("PROFILE_SYS_IO", self.sys_io)?;
        c.push("PROFILE_SYS_INTERCONNECTION", self.sys_interconnection)?;
        c.push("PROFILE_MSTX_DOMAIN_INCLUDE", or_none(self.mstx_domain_include.as_ref()))?;
        c.push("PROFILE_MSTX_DOMAIN_EXCLUDE", or_none(self.mstx_domain_exclude.as_ref()))?;
        c.push("PROFILE_IS_RANK", self.rank_list.is_some())?;
        c.push("PROFILE_RANK_LIST", or_none(self.rank_list.as_ref()))
    }

    /// How long recording takes, where that is known.
    fn expected_time(&self) -> Option<Duration> {
        self.iterations.is_none().then(|| crate::wait::until(self.profile_start_time, self.duration_ms))
    }
}

fn or_none<T: std::fmt::Display>(value: Option<&T>) -> String {
    value.map_or_else(|| "None".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::{parse, try_parse};

    fn text(args: &[&str]) -> String {
        let c: Nputrace = parse(args);
        c.config(&c.log_file).unwrap().to_string()
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
    fn values_outside_the_sets_are_refused() {
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
            assert!(try_parse::<Nputrace>(&keep).is_err(), "{more:?}");
        }
        assert!(try_parse::<Nputrace>(&["--log-file", "/d"]).is_err());
        assert!(try_parse::<Nputrace>(&["--log-file", "/d", "--iterations", "1"]).is_err());
    }

    #[test]
    fn defaults_are_those_of_the_existing_client() {
        let c: Nputrace = parse(&["--log-file", "x", "--start-step", "-1", "--iterations", "1"]);
        assert_eq!((c.job_id, c.pids.0, c.process_limit, c.duration_ms), (0, vec![0], 3, 500));
        assert_eq!(c.profile_start_time, 0);
    }
}
