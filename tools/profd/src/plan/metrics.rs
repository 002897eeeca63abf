//! The options about metrics: where they are recorded, shown and sent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::{Args, ValueEnum};
use common::duration::parse_duration;
use common::error::HintExt;
use common::size::parse_size;

use super::attribution::{AttributionKind, AttributionPlan};
use super::collector::{CollectorEnvironment, CollectorFlags, OtlpPlan, plan_collector};
use super::limits::parse_positive;

/// Minimum size of a file in bytes.
const MIN_FILE_BYTES: u64 = 4096;

/// Options about metrics.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Metrics")]
pub(crate) struct MetricFlags {
    /// Record the metrics of processes in files of this directory
    #[arg(long, value_name = "DIR", overrides_with = "metric_log_dir")]
    pub(crate) metric_log_dir: Option<PathBuf>,
    /// Formats of those files, one or several
    #[arg(long, value_enum, value_name = "FORMAT", value_delimiter = ',', default_value = "jsonl")]
    metric_format: Vec<MetricFormat>,
    /// Write metrics to standard output, if --metric-log-dir is not given
    #[arg(long, overrides_with = "use_json")]
    pub(crate) use_json: bool,
    /// Size at which a metric file is closed and the next one is created
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size)]
    metric_file_size: u64,
    /// Age at which a metric file is closed and the next one is created [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    metric_file_age: Option<Duration>,
    /// Maximum number of metric files of each format, of TensorBoard's for each device [default: no limit]
    ///
    /// The oldest are removed before a new one is created.
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    metric_files: Option<usize>,
    /// Maximum total size of the metric files of each format, of TensorBoard's for each device [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    metric_total_size: Option<u64>,
    /// Free disk space below which no metrics are recorded
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size)]
    metric_disk_reserve: u64,
    /// Maximum number of metrics that wait for each destination; further ones are dropped and counted
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = parse_positive)]
    metric_queue: usize,
    /// Facts about the sending processes to add to metrics, one or several
    ///
    /// It is what their environment says. In Prometheus and OTLP these are labels, in files fields.
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        value_delimiter = ',',
        default_value = "rank,slurm,kubernetes"
    )]
    metric_attribution: Vec<AttributionKind>,
    /// File with further variables of processes that metrics show, one `VARIABLE,NAME` a line
    #[arg(long, value_name = "FILE")]
    env_attribution_mappings_file: Option<PathBuf>,
    /// Record and send samples of the host, too: processors and network devices, by the names of dynolog
    ///
    /// In files of the formats jsonl and csv, on standard output, and to a collector. Values are percentages and differences
    /// between two samples.
    #[arg(long)]
    host_metrics: bool,
    /// Time between two samples of the host
    #[arg(
        long,
        alias = "dynolog-interval",
        value_name = "TIME",
        default_value = "60s",
        value_parser = parse_duration
    )]
    host_interval: Duration,

    /// Serve /metrics for Prometheus, and /healthz and /readyz, over HTTP on this address of loopback
    ///
    /// /metrics has the counters of the host, under the names of node_exporter, the totals of what processes send, and the
    /// counters of the daemon. Every user of the host can read it. With --http-tls it may be any address.
    #[arg(long, value_name = "ADDR:PORT")]
    http_listen: Option<SocketAddr>,
    /// Serve HTTP with mutual TLS, with the certificates of --certs-dir
    ///
    /// A client must show a certificate, and needs the permission `read` of the rules file. It gets the metrics of the
    /// processes that its rule names, and nothing more often than that allows.
    #[arg(long, requires = "http_listen")]
    http_tls: bool,
    /// Show the metrics of the host also under the names of dynolog (cpu_util, rx_bytes and others)
    ///
    /// They are percentages and differences between the last two samples (--host-interval).
    #[arg(long, requires = "http_listen")]
    dynolog_names: bool,

    #[command(flatten)]
    collector: CollectorFlags,
}

/// A format of metric files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetricFormat {
    /// JSON lines, records of type profd.metric
    Jsonl,
    /// Comma-separated values
    Csv,
    /// TensorBoard event files, in msMonitor's layout
    Tensorboard,
    /// SQLite databases with the schema of msMonitor
    Sqlite,
}

/// Where metrics go.
#[derive(Clone, Debug)]
pub(crate) struct MetricPlan {
    pub(crate) files: Option<MetricFilePlan>,
    pub(crate) to_stdout: bool,
    /// Maximum number of metrics in a queue.
    pub(crate) queue_length: usize,
    pub(crate) http: Option<HttpPlan>,
    pub(crate) otlp: Option<OtlpPlan>,
    pub(crate) attribution: AttributionPlan,
    /// Whether samples of the host are recorded and sent.
    pub(crate) records_host: bool,
    /// The time between two samples of the host.
    pub(crate) host_interval: Duration,
    pub(crate) warnings: Vec<String>,
}

/// Where to record metrics, in which formats, and how much.
#[derive(Clone, Debug)]
pub(crate) struct MetricFilePlan {
    pub(crate) dir: PathBuf,
    pub(crate) formats: Vec<MetricFormat>,
    pub(crate) rotation: RotationPlan,
}

/// When files are closed and removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RotationPlan {
    /// A file that has reached this size in bytes is closed.
    pub(crate) file_bytes: u64,
    /// A file of this age is closed.
    pub(crate) file_age: Option<Duration>,
    pub(crate) max_files: Option<usize>,
    pub(crate) total_bytes: Option<u64>,
    /// Free disk space in bytes that recording does not use.
    pub(crate) reserve_bytes: u64,
}

/// The pages that are served over HTTP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpPlan {
    pub(crate) address: SocketAddr,
    /// Whether it is served with TLS.
    pub(crate) tls: bool,
    /// Whether the names of dynolog are shown.
    pub(crate) shows_dynolog: bool,
}

impl MetricPlan {
    /// Validates the options.
    ///
    /// # Errors
    /// An option is invalid.
    pub(crate) fn new(flags: MetricFlags, environment: &CollectorEnvironment) -> anyhow::Result<Self> {
        let file_bytes = flags.metric_file_size.max(MIN_FILE_BYTES);
        let total = flags.metric_total_size;
        ensure!(
            total.is_none_or(|total| total >= file_bytes),
            "--metric-total-size: smaller than one file (--metric-file-size)"
        );
        let rotation = RotationPlan {
            file_bytes,
            file_age: flags.metric_file_age,
            max_files: flags.metric_files,
            total_bytes: total,
            reserve_bytes: flags.metric_disk_reserve,
        };
        let mut formats = Vec::new();
        for format in &flags.metric_format {
            if !formats.contains(format) {
                formats.push(*format);
            }
        }
        let files = flags.metric_log_dir.clone().map(|dir| MetricFilePlan { dir, formats, rotation });
        let to_stdout = files.is_none() && flags.use_json;
        let http = plan_http(&flags)?;
        let (otlp, mut warnings) = plan_collector(&flags.collector, environment)?;
        let file = flags.env_attribution_mappings_file.as_deref();
        let (attribution, warning) = AttributionPlan::new(&flags.metric_attribution, file);
        warnings.extend(warning);
        ensure!(flags.host_interval >= Duration::from_secs(1), "--host-interval: expected at least 1s");
        Ok(Self {
            files,
            to_stdout,
            queue_length: flags.metric_queue,
            http,
            otlp,
            attribution,
            records_host: flags.host_metrics,
            host_interval: flags.host_interval,
            warnings,
        })
    }
}

fn plan_http(flags: &MetricFlags) -> anyhow::Result<Option<HttpPlan>> {
    let Some(address) = flags.http_listen else { return Ok(None) };
    if !flags.http_tls && !address.ip().to_canonical().is_loopback() {
        return Err(anyhow::anyhow!("--http-listen {address}: not an address of loopback"))
            .hint("in plain text everybody could read it: serve it with certificates (--http-tls)");
    }
    Ok(Some(HttpPlan { address, tls: flags.http_tls, shows_dynolog: flags.dynolog_names }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct TestArgs {
        #[command(flatten)]
        flags: MetricFlags,
    }

    fn plan(args: &[&str]) -> Result<MetricPlan, String> {
        let args = std::iter::once("profd").chain(args.iter().copied());
        let flags = TestArgs::try_parse_from(args).map_err(|e| e.to_string())?.flags;
        MetricPlan::new(flags, &CollectorEnvironment::default()).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn nothing_is_recorded_shown_or_sent_by_default() {
        let p = plan(&[]).unwrap();
        assert!(p.files.is_none() && !p.to_stdout && p.http.is_none() && p.otlp.is_none());
        let p = plan(&["--metric-log-dir=/m", "--use-json", "--metric-format=csv,sqlite"]).unwrap();
        assert_eq!(
            (p.files.unwrap().formats, p.to_stdout),
            (vec![MetricFormat::Csv, MetricFormat::Sqlite], false)
        );
        let twice = plan(&["--metric-log-dir=/m", "--metric-format=csv,jsonl,csv"]).unwrap().files.unwrap();
        assert_eq!(
            twice.formats,
            [MetricFormat::Csv, MetricFormat::Jsonl],
            "two sinks would write the same files"
        );
        assert!(plan(&["--metric-log-dir=/m", "--metric-total-size=1M"]).unwrap_err().contains("one file"));
    }

    #[test]
    fn http_stays_on_loopback() {
        for address in ["127.0.0.1:9178", "[::1]:0", "[::ffff:127.0.0.1]:1"] {
            assert!(plan(&["--http-listen", address]).unwrap().http.is_some(), "{address}");
        }
        for address in ["0.0.0.0:9178", "[::]:9178", "192.0.2.1:1"] {
            assert!(plan(&["--http-listen", address]).unwrap_err().contains("not an address of loopback"));
            assert!(plan(&["--http-listen", address, "--http-tls"]).unwrap().http.unwrap().tls);
        }
        assert!(plan(&["--dynolog-names"]).is_err());
    }
}
