//! The options about an OpenTelemetry collector, and the variables that take precedence over them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use common::duration::parse_duration;
use common::size::parse_size;

/// Variables of the OpenTelemetry SDKs ("Environment Variable Specification" 1.49). The first two take precedence over the options, as
/// with dynolog (c3a231a, `OtlpMetricsLogger.cpp`).
pub(crate) const ENDPOINT_VAR: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
pub(crate) const SERVICE_NAME_VAR: &str = "OTEL_SERVICE_NAME";
pub(crate) const RESOURCE_VAR: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// Where a collector takes metrics (OTLP 1.9, "OTLP/HTTP Request").
const METRICS_PATH: &str = "/v1/metrics";

/// Maximum number of attributes of the resource.
const MAX_ATTRIBUTES: usize = 64;

/// The values of those variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct CollectorEnvironment {
    pub(crate) endpoint: Option<OsString>,
    pub(crate) service_name: Option<OsString>,
    pub(crate) resource_attributes: Option<OsString>,
}

impl CollectorEnvironment {
    /// Reads the variables of this process. An empty one is none (OpenTelemetry, "Environment Variable Specification").
    pub(crate) fn read() -> Self {
        let read = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            endpoint: read(ENDPOINT_VAR),
            service_name: read(SERVICE_NAME_VAR),
            resource_attributes: read(RESOURCE_VAR),
        }
    }
}

/// Options about a collector.
#[derive(Args, Clone, Debug)]
pub(crate) struct CollectorFlags {
    /// Send totals of the metrics to an OpenTelemetry collector (OTLP over HTTP): http[s]://HOST[:PORT]
    ///
    /// `/v1/metrics` is added to an address without a path. Proxies are not used. If the environment has
    /// OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_SERVICE_NAME, that takes precedence over the option; `/v1/metrics` is then added to the path,
    /// too, unless it ends with that. OTEL_RESOURCE_ATTRIBUTES are sent, too.
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Send metrics to the collector of OTEL_EXPORTER_OTLP_ENDPOINT, if --otlp-endpoint is not given
    #[arg(long, overrides_with = "use_otlp")]
    use_otlp: bool,
    /// Name of the service in what is sent
    #[arg(long, value_name = "NAME", default_value = "profd")]
    otlp_service_name: String,
    /// File with headers for the collector, one `Name: value` a line; mode 0600
    #[arg(long, value_name = "FILE")]
    otlp_header_file: Option<PathBuf>,
    /// Trust anchors for a collector with HTTPS, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    otlp_ca: Option<PathBuf>,
    /// Certificate that the daemon shows to the collector, PEM, with those between it and the root
    ///
    /// It and its key are read again when they change.
    #[arg(long, value_name = "FILE", requires = "otlp_key")]
    otlp_cert: Option<PathBuf>,
    /// Private key of that certificate, PEM without a passphrase; mode 0600
    #[arg(long, value_name = "FILE", requires = "otlp_cert")]
    otlp_key: Option<PathBuf>,
    /// Time between two exports
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    otlp_interval: Duration,
    /// Timeout of a request to the collector
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    otlp_timeout: Duration,
    /// Memory for requests that wait while the collector is away; the oldest are dropped and counted
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = parse_size)]
    otlp_spool_size: u64,
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
    /// The certificate that is shown to the collector, and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// Further attributes of the resource, by name.
    pub(crate) resource: Vec<(String, String)>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) spool_bytes: usize,
}

/// Validates the options. Returns also warnings.
///
/// # Errors
/// An option or a variable is invalid.
pub(super) fn plan_collector(
    flags: &CollectorFlags,
    environment: &CollectorEnvironment,
) -> anyhow::Result<(Option<OtlpPlan>, Vec<String>)> {
    let mut warnings = Vec::new();
    let text = |value: &Option<OsString>| value.as_ref().map(|v| v.to_string_lossy().into_owned());
    let is_on = flags.use_otlp || flags.otlp_endpoint.is_some();
    let of_environment = text(&environment.endpoint).filter(|_| is_on);
    let (url, source) = match (of_environment, &flags.otlp_endpoint) {
        (Some(url), given) => {
            if given.as_ref().is_some_and(|given| *given != url) {
                warnings.push(format!(
                    "{ENDPOINT_VAR} takes precedence over --otlp-endpoint: metrics are sent to {url}"
                ));
            }
            (add_signal_path(url), ENDPOINT_VAR)
        }
        (None, Some(url)) => (url.clone(), "--otlp-endpoint"),
        (None, None) => {
            if is_on {
                let text = "--use-otlp: neither --otlp-endpoint nor OTEL_EXPORTER_OTLP_ENDPOINT is there, so nothing is sent";
                warnings.push(text.to_owned());
            } else if flags.names_files() {
                warnings.push(
                    "--otlp-endpoint is not given, so the other options of OTLP have no effect".to_owned(),
                );
            }
            return Ok((None, warnings));
        }
    };
    let (endpoint, port) = complete_endpoint(&url).with_context(|| {
        format!("{source}: {}", show_endpoint(&url)).trim_end_matches([':', ' ']).to_owned()
    })?;
    ensure!(!flags.otlp_interval.is_zero(), "--otlp-interval: expected more than 0");
    let mut resource = match text(&environment.resource_attributes).map(|t| parse_resource(&t)) {
        Some(Ok(resource)) => resource,
        Some(Err(reason)) => {
            warnings.push(format!("{RESOURCE_VAR} is ignored: {reason}"));
            Vec::new()
        }
        None => Vec::new(),
    };
    // The name of the variable of its own takes precedence over that among the attributes.
    let among = resource.iter().position(|(name, _)| name == "service.name").map(|at| resource.remove(at).1);
    let service_name = text(&environment.service_name).or(among).unwrap_or(flags.otlp_service_name.clone());
    let plan = OtlpPlan {
        endpoint,
        port,
        service_name,
        header_file: flags.otlp_header_file.clone(),
        ca: flags.otlp_ca.clone(),
        identity: flags.otlp_cert.clone().zip(flags.otlp_key.clone()),
        resource,
        interval: flags.otlp_interval,
        timeout: flags.otlp_timeout,
        spool_bytes: usize::try_from(flags.otlp_spool_size).unwrap_or(usize::MAX).max(1 << 16),
    };
    Ok((Some(plan), warnings))
}

impl CollectorFlags {
    fn names_files(&self) -> bool {
        [&self.otlp_header_file, &self.otlp_ca, &self.otlp_cert].into_iter().any(Option::is_some)
    }
}

/// Parses `name=value,name=value`, values percent-encoded (OpenTelemetry, "Resource SDK", "Specifying resource information
/// via an environment variable").
fn parse_resource(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut resource: Vec<(String, String)> = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("expected name=value,name=value")?;
        let name =
            decode_percent(name.trim()).filter(|name| !name.is_empty()).ok_or("a name is not valid")?;
        let value = decode_percent(value.trim()).ok_or("a value is not percent-encoded text")?;
        resource.retain(|(other, _)| *other != name);
        resource.push((name, value));
        if resource.len() > MAX_ATTRIBUTES {
            return Err(format!("there are more than {MAX_ATTRIBUTES}"));
        }
    }
    Ok(resource)
}

fn decode_percent(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = 16 * digit()? + digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Adds the path of metrics to the address of the variable, which is that of all signals (OpenTelemetry, "OTLP Exporter
/// Configuration"). dynolog (c3a231a) takes it as it is, so one with the path of metrics stays.
fn add_signal_path(url: String) -> String {
    let base = url.trim_end_matches('/');
    if base.ends_with(METRICS_PATH) { url } else { format!("{base}{METRICS_PATH}") }
}

/// Checks the address of a collector.
///
/// # Errors
/// It is not valid: with the address.
pub(super) fn check_endpoint(url: &str) -> anyhow::Result<()> {
    complete_endpoint(url).map(drop).map_err(|e| anyhow::anyhow!("{}{e:#}", show_endpoint(url)))
}

/// Formats an address for an error, unless there is a password in it.
fn show_endpoint(url: &str) -> String {
    if url.contains('@') { String::new() } else { format!("{url}: ") }
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
            port.parse().ok().filter(|p| *p > 0).context("invalid port, expected 1 to 65535")?
        }
        _ => default_port,
    };
    let path = if path.trim_end_matches('/').is_empty() { METRICS_PATH } else { path };
    Ok((format!("{scheme}://{authority}{path}"), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct TestArgs {
        #[command(flatten)]
        flags: CollectorFlags,
    }

    fn plan(args: &[&str], variables: [Option<&str>; 3]) -> (Option<OtlpPlan>, Vec<String>) {
        let args = std::iter::once("profd").chain(args.iter().copied());
        let flags = TestArgs::try_parse_from(args).unwrap().flags;
        let [endpoint, service_name, resource_attributes] = variables.map(|v| v.map(OsString::from));
        plan_collector(&flags, &CollectorEnvironment { endpoint, service_name, resource_attributes }).unwrap()
    }

    #[test]
    fn the_variable_is_the_address_of_all_signals() {
        for (variable, expected) in [
            ("https://gateway.example/otlp", "https://gateway.example/otlp/v1/metrics"),
            ("https://gateway.example/otlp/", "https://gateway.example/otlp/v1/metrics"),
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/metrics"),
            ("http://127.0.0.1:4318/v1/metrics", "http://127.0.0.1:4318/v1/metrics"),
        ] {
            let planned = plan(&["--use-otlp"], [Some(variable), None, None]).0.unwrap();
            assert_eq!(planned.endpoint, expected, "{variable}");
        }
        let option = plan(&["--otlp-endpoint=http://h/otlp"], [None; 3]).0.unwrap();
        assert_eq!(option.endpoint, "http://h/otlp", "the option is the address itself");
    }

    #[test]
    fn variables_go_before_options_and_switch_nothing_on() {
        let url = Some("http://b:1");
        assert!(plan(&[], [url, None, None]).0.is_none());
        let (sent, warnings) = plan(&["--otlp-endpoint=http://a"], [url, Some("svc"), None]);
        let sent = sent.unwrap();
        assert_eq!(
            (sent.endpoint.as_str(), sent.port, sent.service_name.as_str()),
            ("http://b:1/v1/metrics", 1, "svc")
        );
        assert!(warnings[0].contains("takes precedence over --otlp-endpoint"), "{warnings:?}");
        assert_eq!(plan(&["--use-otlp"], [url, None, None]).0.unwrap().port, 1);
        let (none, warnings) = plan(&["--use-otlp", "--otlp-ca=/c"], [None; 3]);
        assert!(none.is_none() && warnings[0].contains("nothing is sent"), "{warnings:?}");
        assert!(plan(&["--otlp-ca=/c"], [None; 3]).1[0].contains("no effect"));
        assert!(TestArgs::try_parse_from(["profd", "--otlp-cert=/c"]).is_err());
    }

    #[test]
    fn attributes_of_the_resource_are_decoded() {
        let on = ["--otlp-endpoint=http://a"];
        let (sent, _) = plan(&on, [None, None, Some("a=b%2Cc, service.name=s ,a=d%20e")]);
        let sent = sent.unwrap();
        assert_eq!((sent.service_name.as_str(), sent.resource.len()), ("s", 1));
        assert_eq!(sent.resource[0], ("a".to_owned(), "d e".to_owned()));
        for wrong in ["a", "=b", "a=%4", "a=%ff"] {
            let (sent, warnings) = plan(&on, [None, None, Some(wrong)]);
            assert!(sent.unwrap().resource.is_empty() && warnings[0].starts_with(RESOURCE_VAR), "{wrong}");
        }
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
        assert_eq!(check_endpoint("ftp://c").unwrap_err().to_string(), "ftp://c: expected http or https");
        let e = check_endpoint("http://u:secret@c").unwrap_err().to_string();
        assert!(e.starts_with("has a password"), "{e}");
    }
}
