//! Downloads over HTTP and HTTPS, with limits of size and time, through the proxies of the environment.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use common::duration::parse_duration;
use common::pki::{crypto_provider, read_trust_anchors};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The options of a download.
#[derive(clap::Args, Debug)]
pub(crate) struct DownloadOptions {
    /// Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
    /// Trust anchors for HTTPS servers, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    https_ca: Option<PathBuf>,
}

const REDIRECTS: u32 = 3;

/// The largest response to a POST, in bytes: that of an OCSP responder has a few kilobytes.
const MAX_RESPONSE: u64 = 1 << 20;

/// Downloads a document of at most `max_bytes` with GET.
pub(crate) fn get_document(url: &str, limits: &DownloadOptions, max_bytes: u64) -> anyhow::Result<Vec<u8>> {
    read_body(build_agent(url, limits)?.get(url).call(), limits, max_bytes).map_err(|e| redact_error(url, &e))
}

/// Sends a document with POST and returns the response.
pub(crate) fn post_document(
    url: &str,
    kind: &str,
    document: &[u8],
    limits: &DownloadOptions,
) -> anyhow::Result<Vec<u8>> {
    let response = build_agent(url, limits)?.post(url).content_type(kind).send(document);
    read_body(response, limits, MAX_RESPONSE).map_err(|e| redact_error(url, &e))
}

/// An address without its user name and password.
pub(crate) fn redact_url(url: &str) -> String {
    match find_userinfo(url) {
        Some(secret) => url.replacen(secret, "***", 1),
        None => url.to_owned(),
    }
}

fn redact_error(url: &str, error: &anyhow::Error) -> anyhow::Error {
    let text = format!("{error:#}");
    anyhow!("{}", find_userinfo(url).map_or(text.clone(), |secret| text.replace(secret, "***")))
}

/// The user and password of an address.
fn find_userinfo(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit_once('@').map(|(user, _)| user).filter(|user| !user.is_empty())
}

fn build_agent(url: &str, limits: &DownloadOptions) -> anyhow::Result<ureq::Agent> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    if !matches!(scheme, "http" | "https") {
        bail!("unsupported address `{}`: expected http or https", redact_url(url));
    }
    let secure = scheme == "https";
    // An http address may redirect to https, never the other way round. That alone must not make an http download fail on
    // a system without trust anchors.
    let roots = match load_roots(limits) {
        Err(_) if !secure && limits.https_ca.is_none() => RootCerts::new_with_certs(&[]),
        other => other?,
    };
    let tls = TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(crypto_provider());
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(limits.timeout))
        .max_redirects(REDIRECTS)
        .user_agent(concat!("certck/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build())
        .https_only(secure);
    Ok(config.build().into())
}

type HttpResponse = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

fn read_body(response: HttpResponse, limits: &DownloadOptions, max_bytes: u64) -> anyhow::Result<Vec<u8>> {
    let body =
        response.and_then(|mut response| response.body_mut().with_config().limit(max_bytes).read_to_vec());
    body.map_err(|error| match error {
        ureq::Error::Timeout(_) => anyhow!("timed out after {:?} (--timeout)", limits.timeout),
        ureq::Error::BodyExceedsLimit(limit) => anyhow!("larger than {limit} bytes (--max-crl-bytes)"),
        other => anyhow!("cannot be fetched: {}", describe_error(other)),
    })
}

/// Describes an error in the words of this tool and of the system.
fn describe_error(error: ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(code) => format!("the server answered with HTTP status {code}"),
        ureq::Error::Io(e) => common::error::io_reason(&e),
        ureq::Error::HostNotFound => "the name of the host has no address".to_owned(),
        ureq::Error::ConnectionFailed => "no connection to the server".to_owned(),
        ureq::Error::TooManyRedirects => format!("more than {REDIRECTS} redirects"),
        ureq::Error::Rustls(e) => format!("TLS: {e}"),
        ureq::Error::RequireHttpsOnly(_) => "it redirects from https to http".to_owned(),
        other => other.to_string(),
    }
}

fn load_roots(limits: &DownloadOptions) -> anyhow::Result<RootCerts> {
    let anchors = read_trust_anchors(limits.https_ca.as_deref()).context("--https-ca")?;
    let certificates: Vec<_> = anchors.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    Ok(RootCerts::new_with_certs(&certificates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_in_words_of_this_tool() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(describe_error(ureq::Error::Io(refused)), "connection refused");
        assert_eq!(describe_error(ureq::Error::StatusCode(404)), "the server answered with HTTP status 404");
        let limits = DownloadOptions { timeout: Duration::from_secs(1), https_ca: None };
        let text = |url: &str| get_document(url, &limits, 1).unwrap_err().to_string();
        assert_eq!(text(""), "unsupported address ``: expected http or https");
        assert_eq!(text("ftp://u:s@h/"), "unsupported address `ftp://***@h/`: expected http or https");
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(redact_url("http://user:s3cret@host/x@y"), "http://***@host/x@y");
        assert_eq!(redact_url("http://a@b:s3c@host"), "http://***@host");
        assert_eq!(redact_url("http://host/x@y"), "http://host/x@y");
        let error = anyhow::anyhow!("bad uri: http://u:s3cret@h").context("cannot be fetched");
        let text = redact_error("http://u:s3cret@h", &error).to_string();
        assert_eq!(text, "cannot be fetched: bad uri: http://***@h");
    }
}
