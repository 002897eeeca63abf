//! The options about metrics: where they are recorded, shown and sent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use common::duration::parse_duration;
use common::error::HintExt;
use common::size::parse_size;

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
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = parse_size)]
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
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = parse_size)]
    metric_disk_reserve: u64,
    /// Maximum number of metrics that wait for each destination; further ones are dropped and counted
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = parse_positive)]
    metric_queue: usize,

    /// Serve /metrics for Prometheus, and /healthz and /readyz, over HTTP on this address of loopback
    ///
    /// /metrics has the counters of the host, under the names of node_exporter, the totals of what processes send, and the
    /// counters of the daemon. Every user of the host can read it.
    #[arg(long, value_name = "ADDR:PORT")]
    http_listen: Option<SocketAddr>,
    /// Show the metrics of the host also under the names of dynolog (cpu_util, rx_bytes and others)
    ///
    /// They are percentages and differences between the last two samples (--dynolog-interval).
    #[arg(long, requires = "http_listen")]
    dynolog_names: bool,
    /// Time between two samples of the host for --dynolog-names
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    dynolog_interval: Duration,

    /// Send totals of the metrics to an OpenTelemetry collector (OTLP over HTTP): http[s]://HOST[:PORT]
    ///
    /// `/v1/metrics` is added to an address without a path. Proxies are not used.
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Name of the service in what is sent
    #[arg(long, value_name = "NAME", default_value = "profd")]
    otlp_service_name: String,
    /// File with headers for the collector, one `Name: value` a line; mode 0600
    #[arg(long, value_name = "FILE", requires = "otlp_endpoint")]
    otlp_header_file: Option<PathBuf>,
    /// Trust anchors for a collector with HTTPS, PEM [default: the system's]
    #[arg(long, value_name = "FILE", requires = "otlp_endpoint")]
    otlp_ca: Option<PathBuf>,
    /// Time between two exports
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    otlp_interval: Duration,
    /// Timeout of a request to the collector
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    otlp_timeout: Duration,
    /// Memory for requests that wait while the collector is away; the oldest are dropped and counted
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = parse_size)]
    otlp_spool_size: u64,
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

/// What is served over HTTP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpPlan {
    pub(crate) address: SocketAddr,
    /// The time between two samples for the names of dynolog, if they are shown.
    pub(crate) dynolog_interval: Option<Duration>,
}

/// Where totals are sent.
#[derive(Clone, Debug)]
pub(crate) struct OtlpPlan {
    /// The address with its path.
    pub(crate) endpoint: String,
    pub(crate) port: u16,
    pub(crate) service_name: String,
    pub(crate) header_file: Option<PathBuf>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) spool_bytes: usize,
}

impl MetricPlan {
    /// Validates the options.
    ///
    /// # Errors
    /// An option is invalid.
    pub(crate) fn new(flags: MetricFlags) -> anyhow::Result<Self> {
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
        let mut formats = flags.metric_format.clone();
        formats.dedup();
        let files = flags.metric_log_dir.clone().map(|dir| MetricFilePlan { dir, formats, rotation });
        let to_stdout = files.is_none() && flags.use_json;
        let (http, otlp) = (plan_http(&flags)?, plan_otlp(&flags)?);
        Ok(Self { files, to_stdout, queue_length: flags.metric_queue, http, otlp })
    }
}

fn plan_http(flags: &MetricFlags) -> anyhow::Result<Option<HttpPlan>> {
    let Some(address) = flags.http_listen else { return Ok(None) };
    if !address.ip().to_canonical().is_loopback() {
        return Err(anyhow::anyhow!("--http-listen {address}: not an address of loopback"))
            .hint("HTTP has no certificates: let Prometheus scrape it through a proxy or an SSH tunnel of this host");
    }
    ensure!(flags.dynolog_interval >= Duration::from_secs(1), "--dynolog-interval: expected at least 1s");
    Ok(Some(HttpPlan { address, dynolog_interval: flags.dynolog_names.then_some(flags.dynolog_interval) }))
}

fn plan_otlp(flags: &MetricFlags) -> anyhow::Result<Option<OtlpPlan>> {
    let Some(url) = &flags.otlp_endpoint else { return Ok(None) };
    let (endpoint, port) = complete_endpoint(url).with_context(|| "--otlp-endpoint".to_owned())?;
    ensure!(!flags.otlp_interval.is_zero(), "--otlp-interval: expected more than 0");
    Ok(Some(OtlpPlan {
        endpoint,
        port,
        service_name: flags.otlp_service_name.clone(),
        header_file: flags.otlp_header_file.clone(),
        ca: flags.otlp_ca.clone(),
        interval: flags.otlp_interval,
        timeout: flags.otlp_timeout,
        spool_bytes: usize::try_from(flags.otlp_spool_size).unwrap_or(usize::MAX).max(1 << 16),
    }))
}

/// Returns the address of a collector with its path, and its port.
fn complete_endpoint(url: &str) -> anyhow::Result<(String, u16)> {
    let (scheme, rest) =
        url.split_once("://").context("expected http://HOST[:PORT] or https://HOST[:PORT]")?;
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => anyhow::bail!("expected http or https"),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    ensure!(
        !authority.is_empty() && !url.contains(|c: char| c.is_whitespace() || c.is_control()),
        "has no host"
    );
    ensure!(!authority.contains('@'), "has a password: give it with --otlp-header-file");
    ensure!(!url.contains(['?', '#']), "has a query");
    let port = match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((_, port)) if !port.contains(']') => {
            port.parse().ok().filter(|p| *p > 0).context("has no port")?
        }
        _ => default_port,
    };
    let path = if path.trim_end_matches('/').is_empty() { "/v1/metrics" } else { path };
    Ok((format!("{scheme}://{authority}{path}"), port))
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
        MetricPlan::new(flags).map_err(|e| format!("{e:#}"))
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
        assert!(plan(&["--metric-log-dir=/m", "--metric-total-size=1M"]).unwrap_err().contains("one file"));
    }

    #[test]
    fn http_stays_on_loopback() {
        for address in ["127.0.0.1:9178", "[::1]:0", "[::ffff:127.0.0.1]:1"] {
            assert!(plan(&["--http-listen", address]).unwrap().http.is_some(), "{address}");
        }
        for address in ["0.0.0.0:9178", "[::]:9178", "192.0.2.1:1"] {
            assert!(plan(&["--http-listen", address]).unwrap_err().contains("not an address of loopback"));
        }
        assert!(plan(&["--dynolog-names"]).is_err());
    }

    #[test]
    fn the_address_of_a_collector_is_completed() {
        let endpoint = |url: &str| complete_endpoint(url).map_err(|e| e.to_string());
        let expected = |url: &str, port| Ok((url.to_owned(), port));
        assert_eq!(endpoint("http://c:4318"), expected("http://c:4318/v1/metrics", 4318));
        assert_eq!(endpoint("https://c/"), expected("https://c/v1/metrics", 443));
        assert_eq!(endpoint("http://[::1]"), expected("http://[::1]/v1/metrics", 80));
        assert_eq!(endpoint("http://[::1]:4318/x"), expected("http://[::1]:4318/x", 4318));
        for wrong in
            ["c:4318", "ftp://c", "http://", "http://u:p@c", "http://c:0", "http://c:x", "http://a b"]
        {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
