//! `profctl npu-monitor`: start and stop continuous monitoring of Ascend devices.

use std::time::Duration;

use clap::Args;
use common::duration::parse_whole_seconds;
use common::out::Out;
use common::rpc::config::{Config, ConfigError};

use super::expandable_output_path;
use crate::function::RequestedFunction;
use crate::on_demand::{OnDemandCommand, OnDemandPlan};
use crate::option_value::{
    ActivityKind, CommaList, MonitorExport, comma_list, parse_config_pair, parse_rotate_files,
    parse_rotate_lines, parse_seconds, parse_short_text,
};
use crate::process_filter::ProcessSelectionArgs;
use crate::sync_start::StartPlan;
use crate::wait::TraceOutput;

const EXAMPLES: &str = "\
Examples:
  Make each process send metrics of markers and kernels to the daemon every 10 seconds:
    profctl npu-monitor --npu-monitor-start --report-interval-s 10 \\
      --mspti-activity-kind Marker,Kernel

  Make each process write the activities with these names to files below /data/monitor:
    profctl npu-monitor --npu-monitor-start --log-file /data/monitor --export-type Jsonl \\
      --filter 'Kernel:MatMul,Add;Communication:AllReduce'

  Stop monitoring:
    profctl npu-monitor --npu-monitor-stop";

/// Start or stop continuous monitoring of Ascend devices
///
/// The request is for the processes of job 0. npu-monitor and nputrace share the profiling hardware: while one is
/// running, requests for the other are declined.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct NpuMonitorArgs {
    /// Start monitoring; without it and --npu-monitor-stop, the options of running monitoring are changed
    #[arg(long)]
    npu_monitor_start: bool,
    /// Stop monitoring
    #[arg(long)]
    npu_monitor_stop: bool,
    /// Interval of reports, in seconds or with a unit, such as 1m
    #[arg(long, default_value_t = 60, value_parser = parse_whole_seconds, value_name = "SECONDS")]
    report_interval_s: u32,
    /// Duration of monitoring, in seconds or with a unit, such as 10m; 0 monitors until --npu-monitor-stop
    #[arg(long, value_parser = parse_seconds, default_value_t = 0.0, value_name = "SECONDS")]
    duration: f32,
    /// Kinds of activities to monitor, separated by commas
    #[arg(long, value_parser = comma_list::<ActivityKind>(), default_value = "Marker", value_name = "LIST")]
    mspti_activity_kind: CommaList<ActivityKind>,
    /// Directory for files of single activities [default: send metrics to the daemon]
    ///
    /// %h, %H, %p, %j and %r in it are replaced as for gputrace, from profd only.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "DIR")]
    log_file: String,
    /// Format of the files below --log-file
    #[arg(long, value_enum, default_value_t = MonitorExport::Db, value_name = "TYPE")]
    export_type: MonitorExport,
    /// Maximum number of lines in a Jsonl file, 100 to 500000 [default: 10000]
    #[arg(long, value_parser = parse_rotate_lines, default_value = "", hide_default_value = true, value_name = "N")]
    json_rotate_log_lines: String,
    /// Number of Jsonl files to keep, at least 2; -1 keeps all [default: all]
    #[arg(
        long,
        value_parser = parse_rotate_files,
        default_value = "",
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "N"
    )]
    json_rotate_log_files: String,
    /// Monitor only activities whose name contains one of these texts, at most 1024 bytes
    ///
    /// The form is `KIND:NAME[,NAME]...[;KIND:NAME...]`. Example: Kernel:MatMul,Add;Communication:AllReduce
    #[arg(long, value_parser = parse_short_text, default_value = "", hide_default_value = true, value_name = "FILTER")]
    filter: String,
    /// Maximum number of processes to monitor on each host [default: all]
    #[arg(long, value_name = "N")]
    process_limit: Option<u32>,
    /// Add KEY=VALUE to the config, for settings of the profiler that have no option here; may be repeated
    #[arg(long, value_parser = parse_config_pair, value_name = "KEY=VALUE")]
    config: Vec<(String, String)>,
    #[command(flatten)]
    processes: ProcessSelectionArgs,
}

impl NpuMonitorArgs {
    /// Validates the options, and builds the request.
    ///
    /// # Errors
    /// The path or the filter is not usable.
    pub(crate) fn build_command(&self, out: &Out) -> anyhow::Result<OnDemandCommand> {
        // Neither is a documented use: it changes the options of monitoring that is running.
        if self.npu_monitor_start && self.npu_monitor_stop {
            let warning = "both --npu-monitor-start and --npu-monitor-stop are given: the result depends on the process";
            out.warn("npu-monitor", warning);
        }
        let dir = match self.log_file.as_str() {
            "" => String::new(),
            dir => expandable_output_path(dir, out)?,
        };
        OnDemandCommand::new(OnDemandPlan {
            function: RequestedFunction::NpuMonitor,
            config: self.build_config(&dir)?,
            filter: self.processes.monitor_filter(self.process_limit),
            output: TraceOutput::None,
            wait: None,
            start: StartPlan::AsAsked,
        })
    }

    /// Options that start monitoring with metrics to the daemon.
    pub(crate) fn for_metrics(
        report_interval_s: u32,
        duration: Duration,
        kinds: CommaList<ActivityKind>,
        processes: ProcessSelectionArgs,
        process_limit: Option<u32>,
    ) -> Self {
        Self {
            npu_monitor_start: true,
            npu_monitor_stop: false,
            report_interval_s,
            duration: duration.as_secs_f32(),
            mspti_activity_kind: kinds,
            log_file: String::new(),
            export_type: MonitorExport::Db,
            json_rotate_log_lines: String::new(),
            json_rotate_log_files: String::new(),
            filter: String::new(),
            process_limit,
            config: Vec::new(),
            processes,
        }
    }

    /// The same options, to stop.
    pub(crate) fn to_stop(&self) -> Self {
        Self { npu_monitor_start: false, npu_monitor_stop: true, ..self.clone() }
    }

    fn build_config(&self, dir: &str) -> Result<Config, ConfigError> {
        let mut c = Config::new();
        c.push("NPU_MONITOR_START", self.npu_monitor_start)?;
        c.push("NPU_MONITOR_STOP", self.npu_monitor_stop)?;
        c.push("REPORT_INTERVAL_S", self.report_interval_s)?;
        c.push("DURATION", self.duration)?;
        c.push("MSPTI_ACTIVITY_KIND", &self.mspti_activity_kind)?;
        c.push("NPU_MONITOR_LOG_FILE", dir)?;
        c.push("NPU_MONITOR_EXPORT_TYPE", self.export_type)?;
        c.push("JSONL_ROTATE_LOG_LINES", &self.json_rotate_log_lines)?;
        c.push("JSONL_ROTATE_LOG_FILES", &self.json_rotate_log_files)?;
        c.push("NPU_MONITOR_FILTER", &self.filter)?;
        self.config.iter().try_for_each(|(key, value)| c.push(key, value))?;
        Ok(c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::{parse_args, try_parse_args};

    fn text(args: &[&str]) -> String {
        let c: NpuMonitorArgs = parse_args(args);
        c.build_config(&c.log_file).unwrap().to_string()
    }

    #[test]
    fn defaults_are_byte_exact() {
        assert_eq!(
            text(&["--npu-monitor-stop"]),
            "NPU_MONITOR_START=false\nNPU_MONITOR_STOP=true\nREPORT_INTERVAL_S=60\nDURATION=0\n\
             MSPTI_ACTIVITY_KIND=Marker\nNPU_MONITOR_LOG_FILE=\nNPU_MONITOR_EXPORT_TYPE=DB\n\
             JSONL_ROTATE_LOG_LINES=\nJSONL_ROTATE_LOG_FILES=\nNPU_MONITOR_FILTER="
        );
    }

    #[test]
    fn every_option_is_byte_exact_also_with_quotes() {
        let filter = r#"Kernel:Mat"Mul\,Add;Marker:x=y"#;
        let args = [
            "--npu-monitor-start",
            "--report-interval-s",
            "10",
            "--duration",
            "1.5",
            "--mspti-activity-kind",
            "Kernel, RuntimeAPI,AclAPI",
            "--log-file",
            "/data/m",
            "--export-type",
            "Jsonl",
            "--json-rotate-log-lines",
            "100",
            "--json-rotate-log-files",
            "-1",
            "--filter",
            filter,
        ];
        assert_eq!(
            text(&args),
            format!(
                "NPU_MONITOR_START=true\nNPU_MONITOR_STOP=false\nREPORT_INTERVAL_S=10\nDURATION=1.5\n\
                 MSPTI_ACTIVITY_KIND=Kernel,RuntimeAPI,AclAPI\nNPU_MONITOR_LOG_FILE=/data/m\n\
                 NPU_MONITOR_EXPORT_TYPE=Jsonl\nJSONL_ROTATE_LOG_LINES=100\nJSONL_ROTATE_LOG_FILES=-1\n\
                 NPU_MONITOR_FILTER={filter}"
            )
        );
    }

    #[test]
    fn a_filter_cannot_add_keys() {
        let c: NpuMonitorArgs =
            parse_args(&["--npu-monitor-start", "--filter", "Kernel:a\nNPU_MONITOR_STOP=true"]);
        assert_eq!(c.build_config("").unwrap_err(), ConfigError::Control("NPU_MONITOR_FILTER".into()));
    }

    #[test]
    fn values_outside_the_sets_are_rejected() {
        for args in [
            &["--mspti-activity-kind", "kernel"][..],
            &["--mspti-activity-kind", "Kernel,"],
            &["--export-type", "db"],
            &["--json-rotate-log-lines", "99"],
            &["--json-rotate-log-files", "1"],
            &["--duration", "-1"],
            &["--duration", "5 s"],
            &["--report-interval-s", "-1"],
        ] {
            assert!(try_parse_args::<NpuMonitorArgs>(args).is_err(), "{args:?}");
        }
        assert!(try_parse_args::<NpuMonitorArgs>(&["--filter", &"x".repeat(1025)]).is_err());
    }
}
