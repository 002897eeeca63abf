//! One document over HTTP or HTTPS: bounded in size and time, proxies of the environment honoured.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use common::pki::{pem, provider};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::files;

/// How to download.
#[derive(clap::Args, Debug)]
pub(crate) struct Limits {
    /// Seconds that the whole download may take
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Bytes that the document may have
    #[arg(long, value_name = "N", default_value_t = 10 << 20)]
    max_bytes: u64,
    /// Certificates that an HTTPS server must be under [default: the system's]
    #[arg(long, value_name = "FILE")]
    https_ca: Option<PathBuf>,
}

/// Where systems keep the certificates that they trust.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

const REDIRECTS: u32 = 3;

/// Gets a document.
pub(crate) fn get(url: &str, limits: &Limits) -> anyhow::Result<Vec<u8>> {
    body(agent(url, limits)?.get(url).call(), limits)
}

/// Posts a document, and gets what is answered.
pub(crate) fn post(url: &str, kind: &str, document: &[u8], limits: &Limits) -> anyhow::Result<Vec<u8>> {
    body(agent(url, limits)?.post(url).content_type(kind).send(document), limits)
}

fn agent(url: &str, limits: &Limits) -> anyhow::Result<ureq::Agent> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    if !matches!(scheme, "http" | "https") {
        bail!("only http and https addresses are fetched");
    }
    let mut config = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(limits.timeout)))
        .max_redirects(REDIRECTS)
        .user_agent(concat!("certck/", env!("CARGO_PKG_VERSION")));
    if scheme == "https" {
        let tls =
            TlsConfig::builder().root_certs(roots(limits)?).unversioned_rustls_crypto_provider(provider());
        config = config.tls_config(tls.build());
    }
    Ok(config.https_only(scheme == "https").build().into())
}

type Response = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

fn body(response: Response, limits: &Limits) -> anyhow::Result<Vec<u8>> {
    let mut response = response.context("cannot be fetched")?;
    response.body_mut().with_config().limit(limits.max_bytes).read_to_vec().context("cannot be fetched")
}

fn roots(limits: &Limits) -> anyhow::Result<RootCerts> {
    let path =
        match &limits.https_ca {
            Some(path) => path.clone(),
            None => SYSTEM.iter().map(PathBuf::from).find(|p| p.exists()).context(
                "no file of trusted certificates is found on this system: name one with --https-ca",
            )?,
        };
    let shown = || path.display().to_string();
    // The system's file may be a link: it is the system's.
    let path = path.canonicalize().with_context(shown)?;
    let blocks = pem::parse(&files::read(&path).with_context(shown)?).with_context(shown)?;
    let certificates = blocks.iter().filter(|b| b.label == "CERTIFICATE" || b.label == "TRUSTED CERTIFICATE");
    let certificates: Vec<_> = certificates.map(|b| Certificate::from_der(&b.der).to_owned()).collect();
    Ok(RootCerts::new_with_certs(&certificates))
}
