//! `profctl npu-monitor`: switch continuous monitoring of Ascend devices on and off.

use clap::Args;
use common::out::Out;
use common::rpc::config::{Config, ConfigError};

use super::output_path;
use crate::demand::{Demand, Selection};
use crate::value::{
    ActivityKind, List, MonitorExport, list_of, not_negative, rotate_files, rotate_lines, short_text,
};
use crate::wait::Output;

const EXAMPLES: &str = "\
Examples:
  profctl npu-monitor --npu-monitor-start --report-interval-s 10 --mspti-activity-kind Marker,Kernel
      every 10 s, each process sends the sums of the interval to the daemon
  profctl npu-monitor --npu-monitor-start --log-file /data/monitor --export-type Jsonl \\
      --filter 'Kernel:MatMul,Add;Communication:AllReduce'
      each process writes the activities themselves, of these names, below /data/monitor
  profctl npu-monitor --npu-monitor-stop";

/// Switch continuous monitoring of Ascend devices on or off
///
/// Asks the processes of job 0. npu-monitor and nputrace share the profiling hardware: while one runs, the other is
/// declined.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct NpuMonitor {
    /// Start monitoring, or change what is monitored
    #[arg(long)]
    npu_monitor_start: bool,
    /// Stop monitoring
    #[arg(long)]
    npu_monitor_stop: bool,
    /// How often processes report, seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    report_interval_s: u32,
    /// Stop by itself after so many seconds; 0 means never
    #[arg(long, value_parser = not_negative, default_value_t = 0.0, value_name = "SECONDS")]
    duration: f32,
    /// What to monitor, separated by commas
    #[arg(long, value_parser = list_of::<ActivityKind>(), default_value = "Marker", value_name = "LIST")]
    mspti_activity_kind: List<ActivityKind>,
    /// Directory for the activities themselves; without it, sums go to the daemon
    #[arg(long, default_value = "", hide_default_value = true, value_name = "DIR")]
    log_file: String,
    /// Form of the files below --log-file
    #[arg(long, value_enum, default_value_t = MonitorExport::Db, value_name = "TYPE")]
    export_type: MonitorExport,
    /// Lines in one Jsonl file, 100 to 500000
    #[arg(long, value_parser = rotate_lines, default_value = "", hide_default_value = true, value_name = "N")]
    json_rotate_log_lines: String,
    /// Jsonl files to keep, at least 2; -1 keeps all
    #[arg(
        long,
        value_parser = rotate_files,
        default_value = "",
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "N"
    )]
    json_rotate_log_files: String,
    /// Only activities whose name contains one of these: `Kind:name[,name][;Kind:name…]`, at most 1024 bytes
    #[arg(long, value_parser = short_text, default_value = "", hide_default_value = true, value_name = "FILTER")]
    filter: String,
}

impl NpuMonitor {
    /// The validated request.
    ///
    /// # Errors
    /// The path or the filter is not usable.
    pub(crate) fn demand(&self, out: &Out) -> anyhow::Result<Demand> {
        match (self.npu_monitor_start, self.npu_monitor_stop) {
            (false, false) => out.warn(
                "npu-monitor",
                "neither --npu-monitor-start nor --npu-monitor-stop: the processes change nothing",
            ),
            (true, true) => {
                out.warn(
                    "npu-monitor",
                    "both --npu-monitor-start and --npu-monitor-stop: the processes decide",
                );
            }
            _ => {}
        }
        let dir = match self.log_file.as_str() {
            "" => String::new(),
            dir => output_path(dir, out)?,
        };
        let selection = Selection { job_id: 0, pids: vec![0], process_limit: 3 };
        Demand::new("npu-monitor", self.config(&dir)?, selection, Output::None, None)
    }

    fn config(&self, dir: &str) -> Result<Config, ConfigError> {
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
        Ok(c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::{parse, try_parse};

    fn text(args: &[&str]) -> String {
        let c: NpuMonitor = parse(args);
        c.config(&c.log_file).unwrap().to_string()
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
    fn every_option_is_byte_exact_quotes_and_all() {
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
        let c: NpuMonitor = parse(&["--npu-monitor-start", "--filter", "Kernel:a\nNPU_MONITOR_STOP=true"]);
        assert_eq!(c.config("").unwrap_err(), ConfigError::Control("NPU_MONITOR_FILTER".into()));
    }

    #[test]
    fn values_outside_the_sets_are_refused() {
        for args in [
            &["--mspti-activity-kind", "kernel"][..],
            &["--mspti-activity-kind", "Kernel,"],
            &["--export-type", "db"],
            &["--json-rotate-log-lines", "99"],
            &["--json-rotate-log-files", "1"],
            &["--duration", "-1"],
            &["--report-interval-s", "-1"],
        ] {
            assert!(try_parse::<NpuMonitor>(args).is_err(), "{args:?}");
        }
        assert!(try_parse::<NpuMonitor>(&["--filter", &"x".repeat(1025)]).is_err());
    }
}
