//! Signatures and public keys: which are known, how strong they are, and whether they verify.
//!
//! The algorithms are those of rustls-webpki with aws-lc-rs: RSA of 2048 bits and more with SHA-256 and better,
//! PKCS#1 and PSS; ECDSA on P-256, P-384 and P-521; Ed25519. No others are accepted.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use webpki::ALL_VERIFICATION_ALGS;

use super::der::{self, Der, Result};
use super::oid;

/// A kind of public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, the size of its modulus in bits; and whether the exponent is odd and at least 3.
    Rsa {
        /// Bits of the modulus.
        bits: usize,
        /// Whether the exponent is one that RSA works with.
        exponent: bool,
    },
    /// An elliptic curve, by name or dotted numbers.
    Ec(String),
    /// Ed25519.
    Ed25519,
    /// Something else, by name or dotted numbers.
    Other(String),
}

impl KeyKind {
    /// Whether it is at least as strong as RSA of 3072 bits, and usable.
    #[must_use]
    pub fn is_strong(&self) -> bool {
        match self {
            Self::Rsa { bits, exponent } => (3072..=8192).contains(bits) && *exponent,
            Self::Ec(curve) => matches!(curve.as_str(), "P-256" | "P-384" | "P-521"),
            Self::Ed25519 => true,
            Self::Other(_) => false,
        }
    }
}

impl KeyKind {
    /// Whether signatures of such keys can be verified: RSA of 2048 to 8192 bits, and what is strong (rustls-webpki 0.103,
    /// `ALL_VERIFICATION_ALGS`).
    pub(in crate::pki) fn is_verifiable(&self) -> bool {
        match self {
            Self::Rsa { bits, exponent } => (2048..=8192).contains(bits) && *exponent,
            other => other.is_strong(),
        }
    }

    /// Whether it can do nothing but sign: Ed25519 and Ed448 (RFC 8410, section 5), ML-DSA (RFC 9881, section 5), SLH-DSA
    /// (RFC 9909, section 6).
    #[must_use]
    pub fn only_signs(&self) -> bool {
        match self {
            Self::Ed25519 => true,
            Self::Other(name) => {
                name == "Ed448" || ["ML-DSA-", "SLH-DSA-"].iter().any(|kind| name.starts_with(kind))
            }
            Self::Rsa { .. } | Self::Ec(_) => false,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits, exponent: true } => write!(f, "RSA of {bits} bits"),
            Self::Rsa { bits, exponent: false } => write!(f, "RSA of {bits} bits with a useless exponent"),
            Self::Ec(curve) => write!(f, "EC on {curve}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// A subject's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The whole SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// Its kind.
    pub kind: KeyKind,
    algorithm: Vec<u8>,
    /// The content of the BIT STRING: what issuers' keys are hashed from in OCSP (RFC 6960, section 4.1.1).
    pub bits: Vec<u8>,
}

impl PublicKey {
    /// Reads the next element, which must be a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// It is not one in DER, or an RSA key whose numbers cannot be read.
    pub fn read_der(der: &mut Der<'_>) -> Result<Self> {
        let spki = der.read_raw_sequence()?;
        let mut inner = Der::new(spki.value);
        let algorithm = inner.read_raw_sequence()?.value;
        let bits = inner.read_whole_bytes()?;
        inner.expect_end()?;
        let kind = parse_key_kind(algorithm, bits)?;
        Ok(Self { spki: spki.raw.to_vec(), kind, algorithm: algorithm.to_vec(), bits: bits.to_vec() })
    }
}

fn parse_key_kind(algorithm: &[u8], bits: &[u8]) -> Result<KeyKind> {
    let mut der = Der::new(algorithm);
    let oid = der.read_oid()?;
    if oid == oid::RSA || oid == oid::RSA_PSS {
        let mut key = Der::new(bits).open_sequence()?;
        let (modulus, exponent) = (key.read_integer()?, key.read_integer()?);
        if oid == oid::RSA_PSS {
            return Ok(KeyKind::Other(format!("RSA of {} bits, restricted to PSS", bit_length(modulus))));
        }
        let positive = modulus[0] & 0x80 == 0 && exponent[0] & 0x80 == 0;
        let useful = exponent.last().is_some_and(|b| b & 1 == 1) && exponent != [1] && positive;
        return Ok(KeyKind::Rsa { bits: bit_length(modulus), exponent: useful });
    }
    Ok(match oid {
        _ if oid == oid::EC => match der.read_oid() {
            Ok(curve) => KeyKind::Ec(oid::display_name(curve)),
            // RFC 5480, section 2.1.1, forbids them.
            Err(_) => KeyKind::Other(EXPLICIT_CURVE.to_owned()),
        },
        _ if oid == oid::ED25519 => KeyKind::Ed25519,
        other => KeyKind::Other(oid::display_name(other)),
    })
}

/// Describes RSASSA-PSS-params: the hash function, SHA-1 by default, and the salt, 20 bytes by default (RFC 4055, section
/// 3.1).
fn describe_pss(mut algorithm: Der<'_>) -> Result<String> {
    let mut parameters = algorithm.open_sequence()?;
    let hash = match parameters.read_optional(der::explicit_tag(0))? {
        Some(hash) => oid::display_name(Der::new(hash).open_sequence()?.read_oid()?),
        None => oid::display_name(&oid::SHA1),
    };
    parameters.read_optional(der::explicit_tag(1))?;
    let salt = match parameters.read_optional(der::explicit_tag(2))? {
        Some(length) => der::parse_u32(Der::new(length).read_integer()?)?,
        None => 20,
    };
    Ok(format!("with {hash} and a salt of {salt} bytes"))
}

/// A key whose curve is given by numbers.
pub(in crate::pki) const EXPLICIT_CURVE: &str = "EC with explicit parameters instead of a named curve";

/// Counts bits exactly: a modulus of 3071 bits fills as many bytes as one of 3072.
fn bit_length(modulus: &[u8]) -> usize {
    let digits = modulus.iter().position(|&b| b != 0).map_or(&[][..], |i| &modulus[i..]);
    digits.first().map_or(0, |b| 8 * digits.len() - b.leading_zeros() as usize)
}

/// A part of bytes that several values share, so that a long CRL is in memory once.
#[derive(Clone, Debug, Default)]
pub struct SharedBytes {
    all: Arc<Vec<u8>>,
    part: Range<usize>,
}

impl SharedBytes {
    /// The part of `all` that a slice of it is; nothing for a slice of anything else.
    pub(in crate::pki) fn part_of(all: &Arc<Vec<u8>>, slice: &[u8]) -> Self {
        let start = slice.as_ptr().addr().wrapping_sub(all.as_ptr().addr());
        let part = start..start.wrapping_add(slice.len());
        if all.get(part.clone()).is_some() { Self { all: all.clone(), part } } else { Self::default() }
    }
}

impl From<Vec<u8>> for SharedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self { part: 0..bytes.len(), all: Arc::new(bytes) }
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.all.get(self.part.clone()).unwrap_or_default()
    }
}

impl PartialEq for SharedBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for SharedBytes {}

/// The signature of a certificate or CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The content of the outer AlgorithmIdentifier.
    pub algorithm: Vec<u8>,
    /// Whether the AlgorithmIdentifier inside the signed part says the same.
    pub consistent: bool,
    pub(in crate::pki) message: SharedBytes,
    pub(in crate::pki) value: Vec<u8>,
}

/// Why a signature does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// The algorithm is unknown or too weak, or is not one for this key.
    Unsupported,
    /// The signature was not made with this key.
    Invalid,
}

impl Signature {
    /// Parses `SEQUENCE { signed, AlgorithmIdentifier, BIT STRING }`; returns the content of the signed part too.
    ///
    /// # Errors
    /// The bytes are not such a SEQUENCE in DER.
    pub fn split_signed(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let mut outer = Der::open_only(bytes, super::der::SEQUENCE)?;
        let both = Self::split_signed_from(&mut outer)?;
        outer.expect_end()?;
        Ok(both)
    }

    /// [`Self::split_signed`] for a SEQUENCE that goes on after the signature.
    ///
    /// # Errors
    /// The next three elements are not the signed part, the algorithm and the signature.
    pub fn split_signed_from<'a>(outer: &mut Der<'a>) -> Result<(Self, &'a [u8])> {
        let signed = outer.read_raw_sequence()?;
        let algorithm = outer.read_raw_sequence()?.value.to_vec();
        let value = outer.read_whole_bytes()?.to_vec();
        let message = SharedBytes::from(signed.raw.to_vec());
        Ok((Self { algorithm, consistent: false, message, value }, signed.value))
    }

    /// [`Self::split_signed`] without a copy of the signed part, which can have tens of megabytes in a CRL.
    pub(in crate::pki) fn split_shared(bytes: &Arc<Vec<u8>>) -> Result<(Self, &[u8])> {
        let mut outer = Der::open_only(bytes, super::der::SEQUENCE)?;
        let signed = outer.read_raw_sequence()?;
        let algorithm = outer.read_raw_sequence()?.value.to_vec();
        let value = outer.read_whole_bytes()?.to_vec();
        outer.expect_end()?;
        let message = SharedBytes::part_of(bytes, signed.raw);
        Ok((Self { algorithm, consistent: false, message, value }, signed.value))
    }

    /// Whether the algorithm is one of those accepted anywhere.
    #[must_use]
    pub fn is_supported(&self) -> bool {
        ALL_VERIFICATION_ALGS.iter().any(|a| a.signature_alg_id().as_ref() == self.algorithm)
    }

    /// The algorithm's name; of RSA-PSS with its hash function and the bytes of its salt, which decide whether it is
    /// accepted.
    #[must_use]
    pub fn name(&self) -> String {
        let mut algorithm = Der::new(&self.algorithm);
        match algorithm.read_oid() {
            Ok(id) if id == oid::RSA_PSS => match describe_pss(algorithm) {
                Ok(parameters) => format!("RSA-PSS {parameters}"),
                Err(_) => "RSA-PSS with unreadable parameters".to_owned(),
            },
            id => id.map_or_else(|_| "unreadable".to_owned(), oid::display_name),
        }
    }

    /// Verifies it with the signer's key.
    ///
    /// # Errors
    /// The algorithm is not accepted or not one for this key; or the signature was not made with this key.
    pub fn verify(&self, signer: &PublicKey) -> std::result::Result<(), SignatureError> {
        let mut candidates = ALL_VERIFICATION_ALGS
            .iter()
            .filter(|a| a.signature_alg_id().as_ref() == self.algorithm)
            .filter(|a| a.public_key_alg_id().as_ref() == signer.algorithm)
            .peekable();
        if candidates.peek().is_none() {
            return Err(SignatureError::Unsupported);
        }
        let mut verified =
            candidates.map(|a| a.verify_signature(&signer.bits, &self.message, &self.value).is_ok());
        if verified.any(|ok| ok) { Ok(()) } else { Err(SignatureError::Invalid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsa_pss_is_named_with_its_hash_and_salt() {
        let name = |parameters: &[u8]| {
            let algorithm = [&der::encode_element(der::OID, &oid::RSA_PSS), parameters].concat();
            let message = SharedBytes::default();
            Signature { algorithm, consistent: true, message, value: Vec::new() }.name()
        };
        assert_eq!(name(&[0x30, 0]), "RSA-PSS with SHA-1 and a salt of 20 bytes");
        let sha256 = [0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
        let hash = der::encode_element(der::explicit_tag(0), &sha256);
        let salt = der::encode_element(der::explicit_tag(2), &[2, 1, 32]);
        let both = der::encode_element(der::SEQUENCE, &[hash.clone(), salt].concat());
        assert_eq!(name(&both), "RSA-PSS with SHA-256 and a salt of 32 bytes");
        let without_salt = der::encode_element(der::SEQUENCE, &hash);
        assert_eq!(name(&without_salt), "RSA-PSS with SHA-256 and a salt of 20 bytes");
        assert_eq!(name(&[]), "RSA-PSS with unreadable parameters");
    }

    #[test]
    fn rsa_is_measured_to_the_bit() {
        assert_eq!(bit_length(&[0, 0x80, 0]), 16);
        assert_eq!(bit_length(&[0x7f, 0xff]), 15);
        assert_eq!(bit_length(&[0]), 0);
        assert!(!KeyKind::Rsa { bits: 3071, exponent: true }.is_strong());
        assert!(KeyKind::Rsa { bits: 3072, exponent: true }.is_strong());
    }
}
