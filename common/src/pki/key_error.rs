//! Why a private key cannot be used: what reading and decrypting one have in common.

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is encrypted, in the form of PKCS#8.
    #[error("the key is encrypted, and no passphrase was given")]
    Encrypted,
    /// It is encrypted by OpenSSL's old way, with a key derived by one round of MD5.
    #[error("the key is encrypted in OpenSSL's old form, whose passphrase one round of MD5 protects")]
    Traditional,
    /// It is not a key that can be used.
    #[error("the key is encrypted in a form that is not secure any more, or not known")]
    Outdated,
    /// It does not open.
    #[error("the passphrase is wrong, or the key is damaged")]
    WrongPassphrase,
    /// It is not a key that can be used.
    #[error("{0}")]
    Malformed(String),
}
