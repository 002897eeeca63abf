//! A certificate authority: its key, the certificates that it issues, and the CRLs that it signs.
//!
//! Everything here is made in memory; files are written elsewhere.

use anyhow::Context;
use clap::ValueEnum;
use common::pki::passphrase::{decrypt_block, encrypt_pkcs8};
use common::pki::pem::Block;
use common::pki::signature::{KeyKind, PublicKey};
use common::pki::{Cert, Passphrase, Role};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PublicKeyData, RevokedCertParams, RsaKeySize, SerialNumber, SignatureAlgorithm,
    SigningKey,
};
use zeroize::{Zeroize, Zeroizing};

use crate::leaf::{LeafHost, LeafRequest, LeafSubject};
use crate::pem_block::encode_block;
use crate::reencode::{encode_ocsp_access, replace_names};

pub(crate) use crate::leaf::Validity;

/// Kinds of key that can be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyAlgorithm {
    /// ECDSA on P-256, signing with SHA-256
    #[default]
    EcdsaP256,
    /// ECDSA on P-384, signing with SHA-384
    EcdsaP384,
    /// Ed25519
    Ed25519,
    /// RSA of 3072 bits, signing with SHA-256, which the oldest peers accept
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// RSA of 4096 bits, signing with SHA-256
    #[value(name = "rsa-4096")]
    Rsa4096,
}

impl KeyAlgorithm {
    /// The option's value.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    }

    /// The kind of a key that was made before.
    pub(crate) fn for_key(key: &PublicKey) -> anyhow::Result<Self> {
        Ok(match &key.kind {
            KeyKind::Ec(curve) if curve == "P-256" => Self::EcdsaP256,
            KeyKind::Ec(curve) if curve == "P-384" => Self::EcdsaP384,
            KeyKind::Ed25519 => Self::Ed25519,
            KeyKind::Rsa { bits: 3072, .. } => Self::Rsa3072,
            KeyKind::Rsa { bits: 4096, .. } => Self::Rsa4096,
            other => {
                anyhow::bail!("cannot make a key like the old one ({other}): choose an algorithm with --algo")
            }
        })
    }

    /// Makes a key.
    pub(crate) fn generate_key(self) -> anyhow::Result<SigningKeyPair> {
        let pair = match self {
            Self::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
            Self::Rsa3072 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_3072),
            Self::Rsa4096 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
        };
        Ok(SigningKeyPair(pair.context("cannot make a key")?))
    }
}

/// A key pair; its serialized form is wiped when dropped.
pub(crate) struct SigningKeyPair(KeyPair);

impl SigningKeyPair {
    /// Reads a key in PKCS#8, PKCS#1 or SEC1.
    fn read_block(block: &Block, passphrase: Option<&Passphrase>) -> anyhow::Result<Self> {
        let der = decrypt_block(block, passphrase)?;
        let label = if block.label == "ENCRYPTED PRIVATE KEY" { "PRIVATE KEY" } else { &block.label };
        Ok(Self(KeyPair::from_pem(&encode_block(label, &der)).context("cannot sign with it")?))
    }

    /// The key as a PEM file: PKCS#8, encrypted if there is a passphrase.
    pub(crate) fn to_pem(&self, passphrase: Option<&Passphrase>) -> anyhow::Result<Zeroizing<String>> {
        let der = self.0.serialized_der();
        let der = match ed25519_seed(der) {
            Some(seed) => Zeroizing::new([&ED25519_V1[..], seed].concat()),
            None => Zeroizing::new(der.to_vec()),
        };
        Ok(match passphrase {
            Some(passphrase) => encode_block("ENCRYPTED PRIVATE KEY", &encrypt_pkcs8(&der, passphrase)?),
            None => encode_block("PRIVATE KEY", &der),
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

impl Drop for SigningKeyPair {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PublicKeyData for SigningKeyPair {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for SigningKeyPair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

/// A certificate as it was issued.
pub(crate) struct IssuedLeaf {
    pub(crate) cert: Cert,
    pub(crate) pem: String,
    pub(crate) subject: String,
    pub(crate) serial: String,
    pub(crate) validity: Validity,
}

impl IssuedLeaf {
    fn from_der(der: &[u8], validity: Validity) -> anyhow::Result<Self> {
        let cert = Cert::parse(der)?;
        Ok(Self {
            pem: encode_block("CERTIFICATE", der).to_string(),
            subject: cert.subject.to_string(),
            serial: common::finding::hex(&cert.serial),
            cert,
            validity,
        })
    }
}

/// A certificate authority.
pub(crate) struct Authority {
    /// Signs. Its name is replaced by [`Self::name`].
    issuer: Issuer<'static, SigningKeyPair>,
    /// The authority's name in DER, as its certificate has it.
    name: Vec<u8>,
    key_id: KeyIdMethod,
}

impl Authority {
    /// Makes a root that can sign leaves and CRLs, and nothing below them.
    pub(crate) fn new(
        key: SigningKeyPair,
        name: &str,
        validity: Validity,
    ) -> anyhow::Result<(Self, IssuedLeaf)> {
        let mut params = leaf_params(name, validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root =
            IssuedLeaf::from_der(params.self_signed(&key).context("cannot sign the root")?.der(), validity)?;
        Ok((Self::for_certificate(&root.cert, key), root))
    }

    /// Loads a root that was made before.
    pub(crate) fn load(
        certificate: &Cert,
        key: &Block,
        passphrase: Option<&Passphrase>,
    ) -> anyhow::Result<Self> {
        let key = SigningKeyPair::read_block(key, passphrase)?;
        anyhow::ensure!(key.subject_public_key_info() == certificate.key.spki, "is not the key of ca.crt");
        Ok(Self::for_certificate(certificate, key))
    }

    /// Whether the certificate may sign is not checked here: what it signs is checked before it is written.
    fn for_certificate(certificate: &Cert, key: SigningKeyPair) -> Self {
        let id = certificate.extensions.subject_key_id.as_ref().map(|id| id.value.clone());
        // OpenSSL finds an issuer only if what it signs names the key as the issuer's certificate does, whichever
        // way that was hashed.
        let key_id = id.map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified);
        let mut params = CertificateParams::default();
        params.key_identifier_method = key_id.clone();
        Self { issuer: Issuer::new(params, key), name: certificate.subject.raw.clone(), key_id }
    }

    /// The root's key as a PEM file.
    pub(crate) fn key_pem(&self, passphrase: Option<&Passphrase>) -> anyhow::Result<Zeroizing<String>> {
        self.issuer.key().to_pem(passphrase)
    }

    /// Issues a leaf for a key.
    pub(crate) fn issue_leaf(
        &self,
        key: &impl PublicKeyData,
        leaf: &LeafRequest<'_>,
    ) -> anyhow::Result<IssuedLeaf> {
        let (name, subject) = match leaf.subject {
            LeafSubject::Common(name) => (name, None),
            LeafSubject::Same(name) => ("", Some(name.raw.as_slice())),
        };
        let mut params = leaf_params(name, leaf.validity)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match leaf.role {
            Role::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Role::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.subject_alt_names = leaf.hosts.iter().map(LeafHost::to_san).collect::<anyhow::Result<_>>()?;
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        // One distribution point with all addresses, because they are locations of the same CRL.
        if !leaf.addresses.crl_url.is_empty() {
            params.crl_distribution_points =
                vec![CrlDistributionPoint { uris: leaf.addresses.crl_url.clone() }];
        }
        if !leaf.addresses.ocsp_url.is_empty() {
            let value = encode_ocsp_access(&leaf.addresses.ocsp_url);
            params.custom_extensions = vec![CustomExtension::from_oid_content(INFO_ACCESS, value)];
        }
        let made = params.signed_by(key, &self.issuer).context("cannot sign the certificate")?;
        IssuedLeaf::from_der(&self.with_own_names(made.der(), subject)?, leaf.validity)
    }

    /// Signs a certificate that is not written anywhere.
    pub(crate) fn sign_certificate(
        &self,
        key: &SigningKeyPair,
        params: &CertificateParams,
    ) -> anyhow::Result<Vec<u8>> {
        let made = params.signed_by(key, &self.issuer).context("cannot sign the certificate")?;
        self.with_own_names(made.der(), None)
    }

    /// Signs a CRL.
    pub(crate) fn sign_crl(
        &self,
        number: u64,
        revoked: Vec<RevokedCertParams>,
        validity: Validity,
    ) -> anyhow::Result<Vec<u8>> {
        let crl = CertificateRevocationListParams {
            this_update: validity.from,
            next_update: validity.until,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked,
            key_identifier_method: self.key_id.clone(),
        };
        let made = crl.signed_by(&self.issuer).context("cannot sign the CRL")?;
        self.with_own_names(made.der(), None)
    }

    /// Replaces the names that rcgen wrote by the authority's and subject's own DER.
    fn with_own_names(&self, der: &[u8], subject: Option<&[u8]>) -> anyhow::Result<Vec<u8>> {
        replace_names(der, &self.name, subject, |tbs| self.issuer.key().sign(tbs).context("cannot sign"))
    }
}

/// authorityInfoAccess.
const INFO_ACCESS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];

fn leaf_params(name: &str, validity: Validity) -> anyhow::Result<CertificateParams> {
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
