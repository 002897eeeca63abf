//! The thread that sends requests, one after the other, and again after a pause while the collector is away.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use common::fsat::{open_regular, read_secret, require_trusted};
use common::pki::{crypto_provider, read_trust_anchors};
use common::policy::Mode;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::spool::{SpoolReader, SpooledRequest};
use crate::plan::metrics::OtlpPlan;
use crate::sink::SinkAccount;

/// The pause after the first failure. It doubles with each further one, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Maximum length of an answer in bytes.
const MAX_ANSWER: u64 = 64 * 1024;
/// Maximum size of the file of headers in bytes.
const MAX_HEADER_BYTES: u64 = 64 * 1024;
/// Answers after which a request is sent again (OTLP 1.9, "OTLP/HTTP Response", "Retryable Response Codes").
const RETRYABLE: [u16; 4] = [429, 502, 503, 504];

/// What became of a request.
enum DeliveryResult {
    /// It was taken, except for so many points.
    Taken { rejected: usize, reason: String },
    /// Try again, after this pause if the collector named one.
    Later { reason: String, pause: Option<Duration> },
    /// The collector will never take it.
    Refused(String),
}

struct RequestSender {
    agent: Agent,
    plan: OtlpPlan,
    headers: Vec<(String, String)>,
    account: SinkAccount,
}

/// Starts the thread.
///
/// # Errors
/// A file of the options cannot be read, or the thread cannot be started.
pub(super) fn start_delivery(
    plan: OtlpPlan,
    requests: SpoolReader,
    account: SinkAccount,
) -> std::io::Result<()> {
    let prepare = || {
        let headers =
            plan.header_file.as_deref().map(read_headers).transpose().context("--otlp-header-file")?;
        anyhow::Ok((build_agent(&plan).context("--otlp-ca")?, headers.unwrap_or_default()))
    };
    let (agent, headers) = prepare().map_err(|e| std::io::Error::other(format!("{e:#}")))?;
    let sender = RequestSender { agent, plan, headers, account };
    std::thread::Builder::new().name("profd-otlp-send".into()).spawn(move || sender.run(&requests))?;
    Ok(())
}

impl RequestSender {
    fn run(&self, requests: &SpoolReader) {
        let mut pause = FIRST_PAUSE;
        let mut is_away = false;
        while let Some(request) = requests.wait_for_oldest() {
            match self.send(&request) {
                DeliveryResult::Taken { rejected, reason } => {
                    if rejected > 0 {
                        self.account.count_lost(rejected, &self.plan.endpoint, reason);
                    }
                    if std::mem::take(&mut is_away) {
                        self.account.log.notice(&self.plan.endpoint, "the collector takes metrics again");
                    }
                    pause = FIRST_PAUSE;
                    requests.remove(&request);
                }
                DeliveryResult::Refused(reason) => {
                    self.account.count_lost(request.points, &self.plan.endpoint, reason);
                    requests.remove(&request);
                }
                DeliveryResult::Later { reason, pause: named } => {
                    is_away = true;
                    let wait = named.unwrap_or(pause).min(MAX_PAUSE);
                    let waiting = requests.count_points();
                    self.account.warn(
                        "otlp delivery",
                        &self.plan.endpoint,
                        format_args!("{reason}; trying again in {} s, {waiting} points wait", wait.as_secs()),
                    );
                    if requests.pause(wait) {
                        // The daemon stops: what the collector does not take now is lost.
                        return self.account.count_lost(waiting, &self.plan.endpoint, reason);
                    }
                    pause = (2 * pause).min(MAX_PAUSE);
                }
            }
        }
    }

    fn send(&self, request: &SpooledRequest) -> DeliveryResult {
        let mut post = self.agent.post(&self.plan.endpoint).content_type("application/x-protobuf");
        for (name, value) in &self.headers {
            post = post.header(name, value);
        }
        let mut response = match post.send(&*request.body) {
            Ok(response) => response,
            Err(e) => return DeliveryResult::Later { reason: e.to_string(), pause: None },
        };
        let status = response.status().as_u16();
        if RETRYABLE.contains(&status) {
            let after = response.headers().get("retry-after").and_then(|v| v.to_str().ok());
            let pause = after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
            return DeliveryResult::Later { reason: format!("HTTP status {status}"), pause };
        }
        if !response.status().is_success() {
            return DeliveryResult::Refused(format!("HTTP status {status}"));
        }
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().unwrap_or_default();
        // What is no answer of a collector is that of something that has taken everything.
        let answer = ExportMetricsServiceResponse::decode(body.as_slice()).unwrap_or_default();
        let partial = answer.partial_success.unwrap_or_default();
        let rejected = usize::try_from(partial.rejected_data_points).unwrap_or(0).min(request.points);
        let reason = common::text::safe(&format!("the collector rejects: {}", partial.error_message));
        DeliveryResult::Taken { rejected, reason }
    }
}

fn build_agent(plan: &OtlpPlan) -> anyhow::Result<Agent> {
    let is_secure = plan.endpoint.starts_with("https://");
    let anchors = if is_secure { read_trust_anchors(plan.ca.as_deref())? } else { Vec::new() };
    let anchors: Vec<_> = anchors.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&anchors))
        .unversioned_rustls_crypto_provider(crypto_provider());
    let config = Agent::config_builder()
        .timeout_global(Some(plan.timeout))
        .max_redirects(0)
        .http_status_as_error(false)
        // The sandbox allows connections to the port of the collector only.
        .proxy(None)
        .user_agent(concat!("profd/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build());
    Ok(config.build().into())
}

/// Reads lines of the form `Name: value`.
fn read_headers(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let shown = || path.display().to_string();
    let (file, meta) = open_regular(path).with_context(shown)?;
    require_trusted(&meta).with_context(shown)?;
    let mode = Mode::of(meta.mode());
    ensure!(mode.0 & 0o077 == 0, "{}: mode {mode} lets others read it, expected 0600", shown());
    let text = read_secret(file, &meta, MAX_HEADER_BYTES).with_context(shown)?;
    let text = std::str::from_utf8(&text).with_context(shown)?;
    let mut headers = Vec::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = || format!("{}:{}", path.display(), n + 1);
        let (name, value) =
            line.split_once(':').with_context(|| format!("{}: expected `Name: value`", place()))?;
        let is_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        ensure!(!name.is_empty() && name.bytes().all(is_token), "{}: not the name of a header", place());
        let value = value.trim();
        ensure!(value.bytes().all(|c| c == b'\t' || (b' '..=b'~').contains(&c)), "{}: not a value", place());
        headers.push((name.to_owned(), value.to_owned()));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_from_a_file_of_the_user() {
        use std::fs;
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("headers");
        let read = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read_headers(&path).map_err(|e| format!("{e:#}").replace(&path.display().to_string(), "F"))
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            read("Authorization: Bearer a:b\n\nX-Tenant:  t \n", 0o600).unwrap(),
            [pair("Authorization", "Bearer a:b"), pair("X-Tenant", "t")]
        );
        assert_eq!(read("A: b\nnothing\n", 0o600).unwrap_err(), "F:2: expected `Name: value`");
        assert_eq!(read("A b: c\n", 0o600).unwrap_err(), "F:1: not the name of a header");
        assert!(read("A: b\n", 0o622).unwrap_err().contains("lets others write"));
        assert!(read("A: b\n", 0o644).unwrap_err().contains("lets others read"));
    }
}
