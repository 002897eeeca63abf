//! Errors of reading and decrypting private keys.

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is encrypted, in the form of PKCS#8.
    #[error("the key is encrypted, and no passphrase was given")]
    Encrypted,
    /// It is encrypted in OpenSSL's traditional format (`EVP_BytesToKey`, MD5, one round: PEM_read_bio_PrivateKey(3)).
    #[error(
        "the key is encrypted in OpenSSL's traditional format, which derives the key with one round of MD5"
    )]
    Traditional,
    /// It is encrypted with an insecure or unknown scheme.
    #[error("the key is encrypted with an insecure or unknown scheme")]
    Outdated,
    /// It cannot be decrypted with this passphrase.
    #[error("the passphrase is wrong, or the key is damaged")]
    WrongPassphrase,
    /// It is not a key that can be used.
    #[error("{0}")]
    Malformed(String),
}
