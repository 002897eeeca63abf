//! Private keys: found in their file, decrypted, and made into signers for rustls.

use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::SigningKey;

use super::der::{self, Der};
use super::oid;
use super::passphrase::{self, Passphrase};

pub use super::key_error::KeyError;
use super::pem::Block;
use super::signature::EXPLICIT_CURVE;
use super::tls::signing_key;

/// The kinds that aws-lc-rs signs with in rustls (`rustls::crypto::aws_lc_rs::sign::any_supported_type`, 0.23).
const UNSUPPORTED: &str = "damaged, or not RSA, ECDSA on P-256, P-384 or P-521, or Ed25519";

/// Whether a block's label says that it is a private key.
#[must_use]
pub fn is_private(label: &str) -> bool {
    label.ends_with("PRIVATE KEY")
}

/// Reads the private key of a block, decrypted with the passphrase if it is encrypted.
///
/// # Errors
/// It cannot be decrypted, or is not a key of a supported kind.
pub fn read_private_key(
    block: &Block,
    passphrase: Option<&Passphrase>,
) -> Result<Arc<dyn SigningKey>, KeyError> {
    let der = passphrase::decrypt_block(block, passphrase)?;
    let der = der.as_slice();
    // Borrowed: a copy that the library owned would not be wiped.
    let key: PrivateKeyDer<'_> = match block.label.as_str() {
        "RSA PRIVATE KEY" => PrivatePkcs1KeyDer::from(der).into(),
        "EC PRIVATE KEY" => PrivateSec1KeyDer::from(der).into(),
        _ => PrivatePkcs8KeyDer::from(der).into(),
    };
    // rustls says only that no parser took it.
    signing_key(&key).map_err(|_| {
        let kind = describe_algorithm(&block.label, der);
        KeyError::Malformed(kind.map_or_else(
            || UNSUPPORTED.to_owned(),
            |kind| format!("a key of a kind that is not supported or damaged: {kind}"),
        ))
    })
}

/// The kind of an unencrypted private key as its own bytes name it, whether it is supported or not; `None` if they cannot
/// be read. RFC 5958, section 2; RFC 5915, section 3.
#[must_use]
pub fn describe_algorithm(label: &str, key: &[u8]) -> Option<String> {
    let mut parts = Der::open_only(key, der::SEQUENCE).ok()?;
    parts.read_integer().ok()?;
    match label {
        "PRIVATE KEY" => {
            let mut algorithm = parts.open_sequence().ok()?;
            let id = algorithm.read_oid().ok()?;
            Some(match id {
                _ if id == oid::EC => describe_curve(&mut algorithm),
                _ if id == oid::RSA_PSS => "RSA restricted to PSS".to_owned(),
                _ if id == oid::RSA => "RSA".to_owned(),
                other => oid::display_name(other),
            })
        }
        "EC PRIVATE KEY" => {
            parts.read_tagged(der::OCTET_STRING).ok()?;
            let parameters = parts.read_optional(der::explicit_tag(0)).ok()??;
            Some(describe_curve(&mut Der::new(parameters)))
        }
        _ => None,
    }
}

/// Describes ECParameters (RFC 3279, section 2.3.5): the name of the curve, or that it has none.
#[must_use]
pub fn describe_curve(parameters: &mut Der<'_>) -> String {
    match parameters.read_oid() {
        Ok(curve) => format!("EC on {}", oid::display_name(curve)),
        Err(_) => EXPLICIT_CURVE.to_owned(),
    }
}
