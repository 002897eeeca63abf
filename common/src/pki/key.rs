//! Private keys: found in their file, decrypted, and made into signers for rustls.

use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::SigningKey;

use super::passphrase::{self, Passphrase};

pub use super::key_error::KeyError;
use super::pem::Block;
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
    signing_key(&key).map_err(|_| KeyError::Malformed(UNSUPPORTED.to_owned()))
}
