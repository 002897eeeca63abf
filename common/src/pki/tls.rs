//! rustls configurations from a valid directory. The only place that chooses the cryptography.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{SigningKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::client_verifier::{ClientVerifier, NotingVerifier, PresentedChain};
use super::path::VerifiedCrls;
use super::peer::PeerVerifier;
use super::{Cert, MtlsDir, oid};

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

/// The signer of a private key.
pub(super) fn signing_key(key: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
    rustls::crypto::aws_lc_rs::sign::any_supported_type(key)
}

/// SHA-256, which identifies certificates and keys.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

/// A server that requires a client certificate under `ca.crt` and, where there is a `ca.crl`, that none of the chain is
/// revoked and the CRL is not past its `nextUpdate`, at the time of each handshake.
///
/// Each client must pass the path validation of `path`, and the key rule. Sessions are not resumed: a certificate revoked
/// since would come back through its ticket.
#[derive(Debug)]
pub struct TlsServer {
    versions: MinVersion,
    resolver: Arc<SingleCertAndKey>,
    verifier: Arc<ClientVerifier>,
}

impl TlsServer {
    /// Prepares everything that connections share.
    ///
    /// # Errors
    /// A root or a CRL that passed the inspection cannot be parsed.
    pub fn new(dir: &MtlsDir, versions: MinVersion) -> anyhow::Result<Self> {
        Ok(Self {
            versions,
            resolver: dir.certificate_resolver(),
            verifier: Arc::new(dir.client_verifier()?),
        })
    }

    /// Makes the configuration of one connection, and the place where the certificates that its client presents are noted.
    ///
    /// # Errors
    /// rustls rejects the TLS versions.
    pub fn for_connection(&self) -> anyhow::Result<(ServerConfig, Arc<PresentedChain>)> {
        let presented: Arc<PresentedChain> = Arc::default();
        let verifier = NotingVerifier { shared: self.verifier.clone(), presented: presented.clone() };
        let mut config = ServerConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(self.versions.protocol_versions())?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(self.resolver.clone());
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.require_ems = true;
        Ok((config, presented))
    }

    /// Verifies the chain of a client again, the leaf first: of a connection that is open already.
    ///
    /// # Errors
    /// Why its handshake would fail now.
    pub fn verify_client(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), String> {
        let Some((leaf, others)) = chain.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented.to_string());
        };
        self.verifier.verify_chain(leaf, others, now).map_err(|rejection| rejection.reason)
    }
}

impl MtlsDir {
    /// A server for one connection, as [`TlsServer`] makes it.
    ///
    /// # Errors
    /// rustls rejects what passed the inspection.
    pub fn server_config(&self, versions: MinVersion) -> anyhow::Result<ServerConfig> {
        Ok(TlsServer::new(self, versions)?.for_connection()?.0)
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
        for root in self.roots() {
            roots.add(root.clone())?;
        }
        Ok(Arc::new(roots))
    }

    fn client_verifier(&self) -> anyhow::Result<ClientVerifier> {
        let roots = self.roots().iter().map(|c| Cert::parse(c)).collect::<Result<Vec<_>, _>>()?;
        let crls = self.crls().to_vec();
        Ok(ClientVerifier {
            verified_crls: VerifiedCrls::of_roots(&roots, &crls),
            roots,
            crls,
            purpose: oid::encode_purpose("clientAuth").unwrap_or_default(),
            root_names: self.root_store()?.subjects(),
            provider: crypto_provider(),
        })
    }

    fn server_verifier(&self) -> anyhow::Result<Arc<dyn ServerCertVerifier>> {
        // CRLs are ours to check: webpki takes the first one in the issuer's name, also where two CAs have that name.
        let inner =
            WebPkiServerVerifier::builder_with_provider(self.root_store()?, crypto_provider()).build()?;
        let roots = self.roots().iter().map(|c| Cert::parse(c)).collect::<Result<Vec<_>, _>>()?;
        let crls = self.crls().to_vec();
        Ok(Arc::new(PeerVerifier {
            verified_crls: VerifiedCrls::of_roots(&roots, &crls),
            roots,
            crls,
            purpose: oid::encode_purpose("serverAuth").unwrap_or_default(),
            inner,
        }))
    }
}
