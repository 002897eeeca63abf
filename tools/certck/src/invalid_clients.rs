//! Clients that a daemon must reject. Their keys and certificates are made in memory only.

use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use common::pki::{Cert, CrlLimitArgs, MtlsDir, Passphrase, Role, key, pem};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SerialNumber,
};
use rustls::sign::CertifiedKey;
use time::{Duration, OffsetDateTime};

use crate::authority::{Authority, KeyAlgorithm, Validity};
use crate::ca_dir::CaDir;
use crate::files;

/// An invalid client, and why it is invalid.
pub(crate) struct InvalidClient {
    pub(crate) what: String,
    pub(crate) certificate: CertifiedKey,
}

/// A client of a new CA that no daemon can know.
pub(crate) fn client_of_unknown_ca() -> anyhow::Result<InvalidClient> {
    let now = OffsetDateTime::now_utc();
    let validity = Validity { from: now - Duration::HOUR, until: now + Duration::DAY };
    let (authority, _) = Authority::new(KeyAlgorithm::EcdsaP256.generate_key()?, "certck probe", validity)?;
    make_client(&authority, "unknown CA", ClientFlaw::default())
}

/// Clients of the daemon's own CA: an expired one, one that is for servers only, and one with the serial number of a
/// certificate that the CA has revoked, if it has revoked any.
pub(crate) fn invalid_clients_of_ca(
    dir: &Path,
    passphrase: Option<&Passphrase>,
    crl_limit: CrlLimitArgs,
    client: &MtlsDir,
) -> anyhow::Result<Vec<InvalidClient>> {
    let ca = CaDir::open(dir, passphrase, crl_limit)?;
    // That a daemon rejects clients of a CA that it does not know would prove nothing.
    let certs = client.chain().iter().filter_map(|der| Cert::parse(der).ok());
    ensure!(
        certs.into_iter().any(|cert| cert.is_issued_by(&ca.certificate)),
        "{}: did not issue the certificate of {}",
        dir.display(),
        client.path().display()
    );
    let expired = ClientFlaw { age: Duration::days(10), ..ClientFlaw::default() };
    let server = ClientFlaw { usage: ExtendedKeyUsagePurpose::ServerAuth, ..ClientFlaw::default() };
    let mut decoys = vec![
        make_client(&ca.authority, "expired", expired)?,
        make_client(&ca.authority, "not for clients", server)?,
    ];
    if let Some(entry) = ca.crl_in_force().ok().and_then(|crl| crl.entries().last()) {
        let serial = Some(SerialNumber::from_slice(&entry.serial));
        decoys.push(make_client(&ca.authority, "revoked", ClientFlaw { serial, ..ClientFlaw::default() })?);
    }
    Ok(decoys)
}

/// The client of a directory that must be rejected.
pub(crate) fn client_of_directory(
    dir: &Path,
    passphrase: Option<&Passphrase>,
) -> anyhow::Result<InvalidClient> {
    let layout = Role::Client.layout_of(|name| dir.join(name).symlink_metadata().is_ok());
    let chain = files::read_certificates(&files::file_of_directory(dir, layout.leaf))?
        .into_iter()
        .map(|c| c.der)
        .collect();
    let block = files::read_private_key(&files::file_of_directory(dir, layout.key))?;
    let shown = || dir.join(layout.key).display().to_string();
    let key = key::read_private_key(&block, passphrase).map_err(|e| anyhow!("{e}")).with_context(shown)?;
    let what = dir.to_string_lossy().into_owned();
    Ok(InvalidClient { what, certificate: CertifiedKey::new(chain, key) })
}

/// How a client differs from a valid one.
struct ClientFlaw {
    age: Duration,
    usage: ExtendedKeyUsagePurpose,
    serial: Option<SerialNumber>,
}

impl Default for ClientFlaw {
    fn default() -> Self {
        Self { age: Duration::ZERO, usage: ExtendedKeyUsagePurpose::ClientAuth, serial: None }
    }
}

fn make_client(authority: &Authority, what: &str, flaw: ClientFlaw) -> anyhow::Result<InvalidClient> {
    let begin = OffsetDateTime::now_utc() - Duration::HOUR - flaw.age;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "certck probe");
    (params.not_before, params.not_after) = (begin, begin + Duration::DAY);
    params.serial_number = flaw.serial;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![flaw.usage];
    params.use_authority_key_identifier_extension = true;
    params.is_ca = IsCa::ExplicitNoCa;
    let key = KeyAlgorithm::EcdsaP256.generate_key()?;
    let block = pem::parse(key.to_pem(None)?.as_bytes())?.remove(0);
    let certificate = authority.sign_certificate(&key, &params)?.into();
    let key = key::read_private_key(&block, None)?;
    Ok(InvalidClient { what: what.to_owned(), certificate: CertifiedKey::new(vec![certificate], key) })
}
