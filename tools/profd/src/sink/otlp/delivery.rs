//! The thread that sends requests, one after the other, and again after a pause while the collector is away.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use common::fsat::{open_regular, read_bounded, read_secret, require_trusted};
use common::pki::{crypto_provider, read_trust_anchors};
use common::policy::Mode;
use common::text::count_noun;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::spool::{SpoolReader, SpooledRequest};
use crate::file_stamp::FileStamp;
use crate::plan::collector::OtlpPlan;
use crate::sink::SinkAccount;

/// The pause after the first failure. It doubles with each further one, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause that a collector can ask for (RFC 9110, section 10.2.3, `Retry-After`).
const MAX_NAMED_PAUSE: Duration = Duration::from_secs(3600);
/// Maximum length of an answer in bytes.
const MAX_ANSWER: u64 = 64 * 1024;
/// Maximum size of the file of headers in bytes.
const MAX_HEADER_BYTES: u64 = 64 * 1024;
/// Maximum size of the file of a certificate or a key in bytes.
const MAX_PEM_BYTES: u64 = 1 << 20;
/// Answers after which a request is sent again (OTLP 1.9, "OTLP/HTTP Response", "Retryable Response Codes").
const RETRYABLE: [u16; 4] = [429, 502, 503, 504];

/// The result of sending a request.
enum DeliveryResult {
    /// The collector has taken it, except for `rejected` points.
    Taken { rejected: usize, reason: String },
    /// Try again, after this pause if the collector named one.
    Later { reason: String, pause: Option<Duration> },
    /// The collector will never take it.
    Refused(String),
}

struct RequestSender {
    agent: Agent,
    /// The stamps of the certificate's and the key's files when the agent was built.
    identity_stamps: Vec<Option<FileStamp>>,
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
        anyhow::Ok((build_agent(&plan)?, headers.unwrap_or_default()))
    };
    // Taken before the files are read, so that a change in between is seen as one.
    let identity_stamps = stamp_identity(&plan);
    let (agent, headers) = prepare().map_err(|e| std::io::Error::other(format!("{e:#}")))?;
    let mut sender = RequestSender { agent, identity_stamps, plan, headers, account };
    std::thread::Builder::new().name("profd-otlp-send".into()).spawn(move || sender.run(&requests))?;
    Ok(())
}

impl RequestSender {
    fn run(&mut self, requests: &SpoolReader) {
        let mut pause = FIRST_PAUSE;
        let mut is_away = false;
        while let Some(request) = requests.wait_for_oldest() {
            self.follow_renewal();
            match self.send(&request) {
                DeliveryResult::Taken { rejected, reason } => {
                    if rejected > 0 {
                        requests.note_rejected(&request);
                        self.account.count_lost(rejected, &self.plan.endpoint, reason);
                    }
                    if std::mem::take(&mut is_away) {
                        self.account.log.notice(&self.plan.endpoint, "the collector takes metrics again");
                    }
                    pause = FIRST_PAUSE;
                    self.account.note_delivered();
                    // One that was dropped meanwhile is counted as lost.
                    if requests.remove(&request) {
                        self.account.remove_waiting(request.metrics);
                        self.account.count_recorded(request.metrics);
                    }
                }
                DeliveryResult::Refused(reason) => {
                    self.account.note_obstacle(&reason);
                    requests.note_rejected(&request);
                    if requests.remove(&request) {
                        self.account.remove_waiting(request.metrics);
                        self.account.count_lost(request.points, &self.plan.endpoint, reason);
                    }
                }
                DeliveryResult::Later { reason, pause: named } => {
                    is_away = true;
                    self.account.note_obstacle(&reason);
                    let wait = choose_pause(named, pause);
                    let waiting = requests.count_points();
                    let wait_verb = if waiting == 1 { "waits" } else { "wait" };
                    let points = format!("{} {wait_verb}", count_noun(waiting as u64, "point"));
                    self.account.warn(
                        "otlp delivery",
                        &self.plan.endpoint,
                        format_args!("{reason}; trying again in {} s, {points}", wait.as_secs()),
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

    /// Uses a certificate that was renewed.
    fn follow_renewal(&mut self) {
        let stamps = stamp_identity(&self.plan);
        if stamps == self.identity_stamps {
            return;
        }
        self.identity_stamps = stamps;
        match build_agent(&self.plan) {
            Ok(agent) => {
                self.agent = agent;
                self.account.log.notice("otlp", "the certificate for the collector has changed and is used");
            }
            Err(e) => self.account.warn(
                "otlp certificate",
                "otlp",
                format_args!("the former certificate for the collector stays in use: {e:#}"),
            ),
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
        // A body that cannot be decoded is taken for full success.
        let answer = ExportMetricsServiceResponse::decode(body.as_slice()).unwrap_or_default();
        let partial = answer.partial_success.unwrap_or_default();
        let rejected = usize::try_from(partial.rejected_data_points).unwrap_or(0).min(request.points);
        let reason = common::text::safe(&format!("the collector rejects: {}", partial.error_message));
        DeliveryResult::Taken { rejected, reason }
    }
}

/// Returns the pause that the collector has named, or else `own`. One that names none at all would be asked without end.
fn choose_pause(named: Option<Duration>, own: Duration) -> Duration {
    named.map_or(own, |named| named.clamp(FIRST_PAUSE, MAX_NAMED_PAUSE))
}

fn build_agent(plan: &OtlpPlan) -> anyhow::Result<Agent> {
    let is_secure = plan.endpoint.starts_with("https://");
    let anchors =
        if is_secure { read_trust_anchors(plan.ca.as_deref()).context("--otlp-ca")? } else { Vec::new() };
    let identity = plan.identity.as_ref().map(|(cert, key)| read_identity(cert, key)).transpose()?;
    let anchors: Vec<_> = anchors.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&anchors))
        .client_cert(identity)
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

fn stamp_identity(plan: &OtlpPlan) -> Vec<Option<FileStamp>> {
    let paths = plan.identity.iter().flat_map(|(cert, key)| [cert, key]);
    paths.map(|path| FileStamp::of(path)).collect()
}

/// Reads the certificate for the collector and its key.
fn read_identity(cert: &Path, key: &Path) -> anyhow::Result<ClientCert> {
    let read_chain = || {
        let (file, meta) = open_regular(cert)?;
        require_trusted(&meta)?;
        let text = read_bounded(file, MAX_PEM_BYTES)?;
        let items: Vec<PemItem<'static>> = parse_pem(&text).collect::<Result<_, _>>()?;
        let chain = items.into_iter().filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        });
        let chain: Vec<Certificate<'static>> = chain.collect();
        ensure!(!chain.is_empty(), "has no certificate");
        Ok(chain)
    };
    let chain = read_chain().with_context(|| format!("--otlp-cert: {}", cert.display()))?;
    let read_key = || {
        let (file, meta) = open_regular(key)?;
        require_trusted(&meta)?;
        let mode = Mode::of(meta.mode());
        ensure!(mode.0 & 0o077 == 0, "mode {mode} lets others read it, expected 0600");
        let text = read_secret(file, &meta, MAX_PEM_BYTES)?;
        PrivateKey::from_pem(&text).context("has no private key that can be read without a passphrase")
    };
    let key = read_key().with_context(|| format!("--otlp-key: {}", key.display()))?;
    Ok(ClientCert::new_with_certs(&chain, key))
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
    fn the_pause_that_a_collector_names_is_kept_within_bounds() {
        let second = Duration::from_secs(1);
        for (named, expected) in
            [(None, 4), (Some(0), 1), (Some(3), 3), (Some(120), 120), (Some(u64::MAX), 3600)]
        {
            let pause = choose_pause(named.map(Duration::from_secs), 4 * second);
            assert_eq!(pause, expected * second, "{named:?}");
        }
    }

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
