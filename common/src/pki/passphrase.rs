//! Passphrases of private keys: where they come from, and the keys that they decrypt.
//!
//! They come from a file, a descriptor or a prompt without echo; never from an argument or the environment,
//! which other users can read. Keys are opened in the form of PKCS#8 with PBES2 (RFC 8018).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use pkcs8::pkcs5::pbes2::{Kdf, Parameters};
use pkcs8::pkcs5::{EncryptionScheme, pbes2};
use pkcs8::{EncryptedPrivateKeyInfoOwned, EncryptedPrivateKeyInfoRef, der::Encode};
use zeroize::Zeroizing;

use super::der::{self, Der};
use super::key_error::KeyError;
use super::pem::Block;
use super::prompt::prompt_on_terminal;
use super::read::accept_credentials;
use crate::fsat;
use crate::policy::{self, Class};

/// A passphrase; wiped when dropped, and never shown.
#[derive(Clone)]
pub struct Passphrase(pub Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Reads the first line of a file, without its line ending (LF or CRLF). The file must comply with the permission
    /// table as a key does.
    ///
    /// # Errors
    /// The file cannot be read, is empty or too long, or others may read it.
    pub fn read_file(path: &Path) -> io::Result<Self> {
        let (file, meta) = fsat::open_regular(path)?;
        let mut findings = policy::check(path, &meta, Class::KeyFile);
        accept_credentials(path.parent().unwrap_or(Path::new(".")), &meta, &mut findings);
        if let Some(finding) = findings.first() {
            return Err(io::Error::other(finding.reason()));
        }
        first_line(file).map_err(io::Error::other)
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// The options that say where a passphrase is.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct PassphraseArgs {
    /// Read the passphrase of the private key from the first line of FILE
    ///
    /// The line ending (LF or CRLF) is not part of it. The file must have mode 0600 or stricter.
    #[arg(long, value_name = "FILE", group = "passphrase")]
    pub passphrase_file: Option<PathBuf>,
    /// Read the passphrase of the private key from the first line of file descriptor N
    #[arg(long, value_name = "N", group = "passphrase")]
    pub passphrase_fd: Option<u32>,
    /// Prompt for the passphrase of the private key on the terminal
    #[arg(long, group = "passphrase")]
    pub ask_passphrase: bool,
}

/// The longest passphrase, in bytes.
pub const MAX_BYTES: usize = 1024;

impl PassphraseArgs {
    /// Reads the passphrase if one of the options is given.
    ///
    /// # Errors
    /// It cannot be read, is empty or too long; or others could have read the file that it is in.
    pub fn read(&self) -> anyhow::Result<Option<Passphrase>> {
        if let Some(path) = &self.passphrase_file {
            return Passphrase::read_file(path).with_context(|| path.display().to_string()).map(Some);
        }
        if let Some(fd) = self.passphrase_fd {
            return fsat::descriptor(fd)
                .map_err(anyhow::Error::from)
                .and_then(first_line)
                .with_context(|| format!("descriptor {fd}"))
                .map(Some);
        }
        if self.ask_passphrase {
            return prompt_on_terminal("Passphrase: ", MAX_BYTES)
                .and_then(check_length)
                .context("passphrase")
                .map(Some);
        }
        Ok(None)
    }
}

/// Reads a line byte by byte, so that the next line is left in the descriptor and no end of file is waited for.
fn first_line(mut file: File) -> anyhow::Result<Passphrase> {
    // Room for all at once: no outgrown buffer keeps a part.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 2));
    let mut byte = Zeroizing::new([0]);
    while bytes.len() <= MAX_BYTES && file.read(&mut byte[..])? == 1 && byte[0] != b'\n' {
        bytes.push(byte[0]);
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    check_length(bytes)
}

fn check_length(bytes: Zeroizing<Vec<u8>>) -> anyhow::Result<Passphrase> {
    ensure!(!bytes.is_empty(), "the passphrase is empty");
    ensure!(bytes.len() <= MAX_BYTES, "the passphrase is longer than {MAX_BYTES} bytes");
    Ok(Passphrase(bytes))
}

/// Limits of the work that a key file may demand, so that a hostile one cannot stop a daemon.
const MOST_ITERATIONS: u32 = 10_000_000;
const MOST_MEMORY: u64 = 256 << 20;
const MOST_SCRYPT: u64 = 4;

/// A key's bytes, decrypted with the passphrase if they are encrypted: an `ENCRYPTED PRIVATE KEY` is a `PRIVATE KEY`
/// then.
///
/// # Errors
/// It cannot be decrypted, or the block is not a private key.
pub fn decrypt_block(block: &Block, passphrase: Option<&Passphrase>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    match (block.label.as_str(), passphrase) {
        _ if block.headers => Err(KeyError::Traditional),
        ("PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY", _) => Ok(block.der.clone()),
        ("ENCRYPTED PRIVATE KEY", Some(passphrase)) => decrypt_pkcs8(&block.der, passphrase),
        ("ENCRYPTED PRIVATE KEY", None) => Err(KeyError::Encrypted),
        (label, _) => Err(KeyError::Malformed(format!("`{label}`: unsupported kind of private key"))),
    }
}

/// Decrypts a PKCS#8 key.
pub(crate) fn decrypt_pkcs8(der: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let info = match EncryptedPrivateKeyInfoRef::try_from(der) {
        Ok(info) => info,
        // The parts are there, and the library does not know the scheme: PBES1, 3DES, Camellia, …
        Err(_) if names_a_scheme(der) => return Err(KeyError::Outdated),
        Err(_) => return Err(KeyError::Malformed("not an encrypted PKCS#8 key".into())),
    };
    let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err(KeyError::Outdated);
    };
    check_cost(parameters)?;
    match info.decrypt(&passphrase.0) {
        Ok(document) => Ok(Zeroizing::new(document.as_bytes().to_vec())),
        Err(pkcs8::Error::EncryptedPrivateKey(e)) if e.to_string().contains("unsupported") => {
            Err(KeyError::Outdated)
        }
        Err(_) => Err(KeyError::WrongPassphrase),
    }
}

/// Describes how a PKCS#8 key is encrypted: scheme, key derivation and cipher, none of which is secret.
///
/// # Errors
/// It is not an encrypted PKCS#8 key.
pub fn describe_encryption(der: &[u8]) -> Result<String, KeyError> {
    let info = match EncryptedPrivateKeyInfoRef::try_from(der) {
        Ok(info) => info,
        Err(_) if names_a_scheme(der) => return Ok("an insecure or unknown scheme".to_owned()),
        Err(_) => return Err(KeyError::Malformed("not an encrypted PKCS#8 key".into())),
    };
    let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Ok("PBES1, which is insecure".to_owned());
    };
    let derived = match &parameters.kdf {
        Kdf::Pbkdf2(p) => format!("PBKDF2 with {:?}, {} rounds", p.prf, p.iteration_count),
        Kdf::Scrypt(p) => {
            format!("scrypt with N={}, r={}, p={}", p.cost_parameter, p.block_size, p.parallelization)
        }
        _ => "an unknown derivation".to_owned(),
    };
    let cipher = match &parameters.encryption {
        pbes2::EncryptionScheme::Aes128Cbc { .. } => "AES-128-CBC",
        pbes2::EncryptionScheme::Aes192Cbc { .. } => "AES-192-CBC",
        pbes2::EncryptionScheme::Aes256Cbc { .. } => "AES-256-CBC",
        _ => "another cipher",
    };
    Ok(format!("PBES2: {derived}; {cipher}"))
}

/// Whether bytes are an EncryptedPrivateKeyInfo (RFC 5958), whatever the algorithm.
fn names_a_scheme(der: &[u8]) -> bool {
    let read = || -> der::Result<()> {
        let mut both = Der::open_only(der, der::SEQUENCE)?;
        both.open_sequence()?.read_oid()?;
        both.read_tagged(der::OCTET_STRING)?;
        both.expect_end()
    };
    read().is_ok()
}

fn check_cost(parameters: &Parameters) -> Result<(), KeyError> {
    let good = match &parameters.kdf {
        Kdf::Pbkdf2(p) => p.iteration_count <= MOST_ITERATIONS,
        // The library takes the logarithm of N without a look at it.
        Kdf::Scrypt(p) if p.cost_parameter < 2 || !p.cost_parameter.is_power_of_two() => {
            return Err(KeyError::Malformed("scrypt's N must be a power of two above 1 (RFC 7914)".into()));
        }
        Kdf::Scrypt(p) => {
            let memory = p.cost_parameter.saturating_mul(128).saturating_mul(p.block_size.into());
            memory <= MOST_MEMORY && u64::from(p.parallelization) <= MOST_SCRYPT
        }
        _ => return Err(KeyError::Outdated),
    };
    if good {
        Ok(())
    } else {
        Err(KeyError::Malformed("decrypting the key would take too much time or memory".into()))
    }
}

/// Encrypts a PKCS#8 key: PBKDF2 with HMAC-SHA-256, AES-256 in CBC, which every OpenSSL since 1.0.2 reads.
///
/// # Errors
/// The system gives no random numbers.
pub fn encrypt_pkcs8(der: &[u8], passphrase: &Passphrase) -> anyhow::Result<Vec<u8>> {
    const ITERATIONS: u32 = 600_000;
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    for bytes in [&mut salt, &mut iv] {
        rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
            .context("no random numbers")?;
    }
    let failed = |e| anyhow::anyhow!("the key cannot be encrypted: {e}");
    let parameters =
        pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, &salt, iv).map_err(failed)?;
    let encrypted = parameters.encrypt(&passphrase.0, der).map_err(failed)?;
    let encrypted_data = pkcs8::der::asn1::OctetString::new(encrypted)?;
    let info = EncryptedPrivateKeyInfoOwned { encryption_algorithm: parameters.into(), encrypted_data };
    Ok(info.to_der()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(text: &str) -> Passphrase {
        Passphrase(Zeroizing::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn what_is_encrypted_opens_with_its_passphrase_only() {
        let secret = [0x30, 3, 2, 1, 5];
        let der = encrypt_pkcs8(&secret, &pass("correct")).unwrap();
        assert_eq!(*decrypt_pkcs8(&der, &pass("correct")).unwrap(), secret);
        assert_eq!(decrypt_pkcs8(&der, &pass("wrong")).unwrap_err(), KeyError::WrongPassphrase);
        assert!(matches!(decrypt_pkcs8(&secret, &pass("x")), Err(KeyError::Malformed(_))));
    }

    #[test]
    fn keys_that_cost_too_much_are_refused_unopened() {
        let der = encrypt_pkcs8(&[0x30, 0], &pass("x")).unwrap();
        let count = 600_000u32.to_be_bytes();
        let at = der.windows(3).position(|w| w == &count[1..]).unwrap();
        let mut dear = der.clone();
        dear[at..at + 3].copy_from_slice(&[0x7f, 0xff, 0xff]);
        // Eight million are allowed and take a moment; a scrypt with more memory than allowed is not tried.
        assert_eq!(decrypt_pkcs8(&der, &pass("y")).unwrap_err(), KeyError::WrongPassphrase);
        let scrypt = |n: &[u8]| {
            let cost = [&[2, n.len() as u8], n].concat();
            let inner = [&[4, 8, 1, 2, 3, 4, 5, 6, 7, 8][..], &cost, &[2, 1, 8, 2, 1, 1]].concat();
            let kdf =
                [&[6, 9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 4, 11, 0x30, inner.len() as u8][..], &inner].concat();
            let aes = [&[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42, 4, 16][..], &[7; 16]].concat();
            let wrap = |tag: u8, v: &[u8]| [&[tag, v.len() as u8], v].concat();
            let pbes2 = wrap(0x30, &[wrap(0x30, &kdf), wrap(0x30, &aes)].concat());
            let scheme = [&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13][..], &pbes2].concat();
            wrap(0x30, &[wrap(0x30, &scheme), wrap(4, &[9; 16])].concat())
        };
        assert!(matches!(decrypt_pkcs8(&scrypt(&[0x40, 0, 0, 0]), &pass("x")), Err(KeyError::Malformed(_))));
        assert_eq!(decrypt_pkcs8(&scrypt(&[0x40, 0]), &pass("x")).unwrap_err(), KeyError::WrongPassphrase);
        for absurd in [&[0][..], &[1], &[3], &[0x40, 1]] {
            let error = decrypt_pkcs8(&scrypt(absurd), &pass("x")).unwrap_err();
            assert!(matches!(error, KeyError::Malformed(reason) if reason.contains("power of two")));
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        fsat::write(&path, policy::Mode(0o600), b"secret\r\nnot this\n").unwrap();
        let args = PassphraseArgs { passphrase_file: Some(path.clone()), ..PassphraseArgs::default() };
        assert_eq!(**args.read().unwrap().unwrap().0, *b"secret");
        fsat::write(&path, policy::Mode(0o644), b"secret").unwrap();
        assert!(format!("{:#}", args.read().unwrap_err()).contains("0644"));
        fsat::write(&path, policy::Mode(0o600), b"\n").unwrap();
        assert!(args.read().is_err());
    }
}
