//! rustls configurations from a valid directory. The only place that chooses the cryptography.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{SigningKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::peer::PeerVerifier;
use super::{Cert, Crl, MtlsDir, oid};

/// The lowest TLS version that is spoken. With 1.2 only ECDHE suites with AEAD are on offer: rustls has no others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum MinVersion {
    /// TLS 1.2, for old peers.
    #[value(name = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[default]
    #[value(name = "1.3")]
    Tls13,
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
const LATEST: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

impl MinVersion {
    fn protocol_versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => BOTH,
            Self::Tls13 => LATEST,
        }
    }
}

/// The cryptography: rustls with aws-lc-rs.
#[must_use]
pub fn crypto_provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())).clone()
}

/// What signs with a private key.
pub(super) fn signing_key(key: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
    rustls::crypto::aws_lc_rs::sign::any_supported_type(key)
}

/// SHA-256, which identifies certificates and keys.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

impl MtlsDir {
    /// A server that requires a client certificate under `ca.crt` and, where there is a `ca.crl`, that none of
    /// the chain is revoked and the CRL is not past its `nextUpdate`, at the time of each handshake.
    ///
    /// Each peer must also pass the path validation of `path`, and the key rule.
    /// Sessions are not resumed: a certificate revoked since would come back through its ticket.
    ///
    /// # Errors
    /// rustls rejects what passed the inspection.
    pub fn server_config(&self, versions: MinVersion) -> anyhow::Result<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(versions.protocol_versions())?
            .with_client_cert_verifier(self.client_verifier()?)
            .with_cert_resolver(self.certificate_resolver());
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.require_ems = true;
        Ok(config)
    }

    /// A client that shows its certificate and verifies the daemon's under `ca.crt` and its CRL. The name that
    /// must match is the `ServerName` given when connecting.
    ///
    /// # Errors
    /// rustls rejects what passed the inspection.
    pub fn client_config(&self, versions: MinVersion) -> anyhow::Result<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(versions.protocol_versions())?
            .dangerous()
            .with_custom_certificate_verifier(self.server_verifier()?)
            .with_client_cert_resolver(self.certificate_resolver());
        config.resumption = Resumption::disabled();
        config.require_ems = true;
        Ok(config)
    }

    fn certificate_resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(self.certified_key().clone()))
    }

    fn root_store(&self) -> anyhow::Result<Arc<RootCertStore>> {
        let mut roots = RootCertStore::empty();
        for root in self.roots_der() {
            roots.add(root.clone())?;
        }
        Ok(Arc::new(roots))
    }

    fn wrap_verifier<V: ?Sized>(&self, purpose: &str, inner: Arc<V>) -> anyhow::Result<PeerVerifier<V>> {
        let roots = self.roots_der().iter().map(|c| Cert::parse(c)).collect::<Result<_, _>>()?;
        let crls = self.crls_der().iter().map(|c| Crl::parse(c)).collect::<Result<_, _>>()?;
        let purpose = oid::encode_purpose(purpose).unwrap_or_default();
        Ok(PeerVerifier { roots, crls, purpose, inner })
    }

    fn client_verifier(&self) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
        let builder = WebPkiClientVerifier::builder_with_provider(self.root_store()?, crypto_provider());
        let inner = match self.crls_der() {
            [] => builder.build()?,
            crls => builder.with_crls(crls.to_vec()).enforce_revocation_expiration().build()?,
        };
        Ok(Arc::new(self.wrap_verifier("clientAuth", inner)?))
    }

    fn server_verifier(&self) -> anyhow::Result<Arc<dyn ServerCertVerifier>> {
        let builder = WebPkiServerVerifier::builder_with_provider(self.root_store()?, crypto_provider());
        let inner: Arc<dyn ServerCertVerifier> = match self.crls_der() {
            [] => builder.build()?,
            crls => builder.with_crls(crls.to_vec()).enforce_revocation_expiration().build()?,
        };
        Ok(Arc::new(self.wrap_verifier("serverAuth", inner)?))
    }
}
