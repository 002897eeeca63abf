//! A certificate authority: its key, what it issues, and the revocation lists it signs.
//!
//! Leaves files to others: everything here is made in memory.

use std::net::IpAddr;

use anyhow::Context;
use clap::ValueEnum;
use common::pki::passphrase::encrypt;
use common::pki::pem::{self, Block};
use common::pki::{Cert, Passphrase, Role, key};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData,
    RevokedCertParams, RsaKeySize, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};
use time::OffsetDateTime;
use zeroize::{Zeroize, Zeroizing};

/// Kinds of key that can be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Algorithm {
    /// ECDSA on P-256, signing with SHA-256
    #[default]
    EcdsaP256,
    /// ECDSA on P-384, signing with SHA-384
    EcdsaP384,
    /// Ed25519
    Ed25519,
    /// RSA of 3072 bits, signing with SHA-256: what the oldest peers take
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// RSA of 4096 bits, signing with SHA-256
    #[value(name = "rsa-4096")]
    Rsa4096,
}

impl Algorithm {
    /// The option's value.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    }

    /// Makes a key.
    pub(crate) fn generate(self) -> anyhow::Result<Key> {
        let pair = match self {
            Self::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
            Self::Rsa3072 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_3072),
            Self::Rsa4096 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
        };
        Ok(Key(pair.context("cannot make a key")?))
    }
}

/// A key pair; its serialised form is wiped when dropped.
pub(crate) struct Key(KeyPair);

impl Key {
    /// Reads a key in PKCS#8, PKCS#1 or SEC1.
    fn read(block: &Block, passphrase: Option<&Passphrase>) -> anyhow::Result<Self> {
        let der = key::plain(block, passphrase)?;
        let label = if block.label == "ENCRYPTED PRIVATE KEY" { "PRIVATE KEY" } else { &block.label };
        Ok(Self(KeyPair::from_pem(&pem::encode(label, &der)).context("cannot sign with it")?))
    }

    /// The key as a PEM file: PKCS#8, encrypted if there is a passphrase.
    pub(crate) fn pem(&self, passphrase: Option<&Passphrase>) -> anyhow::Result<Zeroizing<String>> {
        let der = self.0.serialized_der();
        let der = match ed25519_seed(der) {
            Some(seed) => Zeroizing::new([&ED25519_V1[..], seed].concat()),
            None => Zeroizing::new(der.to_vec()),
        };
        Ok(match passphrase {
            Some(passphrase) => pem::encode("ENCRYPTED PRIVATE KEY", &encrypt(&der, passphrase)?),
            None => pem::encode("PRIVATE KEY", &der),
        })
    }
}

/// PKCS#8 version 1 of an Ed25519 key, up to the seed (RFC 8410, section 7).
const ED25519_V1: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// The seed of an Ed25519 key in PKCS#8 version 2, which OpenSSL 3.0 cannot read (version 1 lacks the public key).
fn ed25519_seed(der: &[u8]) -> Option<&[u8]> {
    const VERSION_2: u8 = 1;
    let same = der.get(5..16) == Some(&ED25519_V1[5..]);
    (same && der[4] == VERSION_2).then(|| der.get(16..48)).flatten()
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

/// From when until when something is valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    pub(crate) from: OffsetDateTime,
    pub(crate) until: OffsetDateTime,
}

/// A certificate as it was issued.
pub(crate) struct Issued {
    pub(crate) pem: String,
    pub(crate) subject: String,
    pub(crate) serial: String,
    pub(crate) validity: Validity,
}

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, Key>,
}

impl Authority {
    /// Makes a root that can sign leaves and CRLs, and nothing below them.
    pub(crate) fn new(key: Key, name: &str, validity: Validity) -> anyhow::Result<(Self, Issued)> {
        let mut params = params(name, validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let der = params.self_signed(&key).context("cannot sign the root")?;
        let certificate = issued(der.pem(), name, &params, validity);
        Ok((Self { issuer: Issuer::new(params, key) }, certificate))
    }

    /// Takes up a root that was made before.
    pub(crate) fn load(
        certificate: &Cert,
        key: &Block,
        passphrase: Option<&Passphrase>,
    ) -> anyhow::Result<Self> {
        let key = Key::read(key, passphrase)?;
        anyhow::ensure!(key.subject_public_key_info() == certificate.key.spki, "is not the key of ca.crt");
        let issuer = Issuer::from_ca_cert_der(&certificate.der, key).context("cannot sign with it")?;
        Ok(Self { issuer })
    }

    /// The root's key as a PEM file.
    pub(crate) fn key_pem(&self, passphrase: Option<&Passphrase>) -> anyhow::Result<Zeroizing<String>> {
        self.issuer.key().pem(passphrase)
    }

    /// Issues a leaf for one role.
    pub(crate) fn leaf(
        &self,
        key: &Key,
        role: Role,
        hosts: &[Host],
        validity: Validity,
    ) -> anyhow::Result<Issued> {
        let name = format!("profguard {role}");
        let mut params = params(&name, validity)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match role {
            Role::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Role::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.subject_alt_names = hosts.iter().map(Host::san).collect::<anyhow::Result<_>>()?;
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        let der = params.signed_by(key, &self.issuer).context("cannot sign the certificate")?;
        Ok(issued(der.pem(), &name, &params, validity))
    }

    /// Signs a revocation list.
    pub(crate) fn crl(
        &self,
        number: u64,
        revoked: Vec<RevokedCertParams>,
        validity: Validity,
    ) -> anyhow::Result<String> {
        let crl = CertificateRevocationListParams {
            this_update: validity.from,
            next_update: validity.until,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let crl = crl.signed_by(&self.issuer).context("cannot sign the CRL")?;
        Ok(pem::encode("X509 CRL", crl.der()).to_string())
    }
}

/// A name or address that a server's certificate is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// Reads an IP address, or a DNS name, of which the first label may be `*`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        rustls_pki_types::DnsName::try_from(name)
            .map(|_| Self::Name(text.to_ascii_lowercase()))
            .map_err(|_| "expected a DNS name or an IP address".to_owned())
    }

    fn san(&self) -> anyhow::Result<SanType> {
        Ok(match self {
            Self::Name(name) => SanType::DnsName(name.as_str().try_into().context("not a DNS name")?),
            Self::Address(address) => SanType::IpAddress(*address),
        })
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

fn params(name: &str, validity: Validity) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&random_serial()?));
    (params.not_before, params.not_after) = (validity.from, validity.until);
    Ok(params)
}

/// Sixteen random octets: positive, without a leading zero octet, far from the limit of twenty.
fn random_serial() -> anyhow::Result<[u8; 16]> {
    let mut serial = [0; 16];
    rustix::rand::getrandom(&mut serial, rustix::rand::GetRandomFlags::empty())
        .context("no random numbers")?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

fn issued(pem: String, name: &str, params: &CertificateParams, validity: Validity) -> Issued {
    let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default();
    Issued {
        pem: pem.replace("\r\n", "\n"),
        subject: format!("CN={name}"),
        serial: common::finding::hex(&serial),
        validity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_wildcards_or_addresses() {
        assert_eq!(Host::parse("::1"), Ok(Host::Address("::1".parse().unwrap())));
        assert_eq!(Host::parse("*.Example.org"), Ok(Host::Name("*.example.org".into())));
        assert!(Host::parse("a b").is_err());
        assert!(Host::parse("").is_err());
    }
}
