//! Ed25519 signatures of manifests: 64 bytes in a file beside the manifest, as `openssl pkeyutl` makes them.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use common::policy::{self, Class};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

/// Maximum size of a key file in bytes.
const MAX_KEY_FILE_SIZE: u64 = 64 << 10;

/// The first bytes of every Ed25519 public key in DER; its 32 bytes follow (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Returns the path of the signature of a manifest.
pub(crate) fn signature_path(manifest: &Path) -> PathBuf {
    let mut name = manifest.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// Reads a private key. The mode and owner of its file must comply with the policy.
pub(crate) fn read_private_key(path: &Path) -> anyhow::Result<Ed25519KeyPair> {
    let shown = || path.display().to_string();
    let (file, meta) = common::fsat::open_regular(path)
        .map_err(|e| anyhow!(common::error::io_reason(&e)))
        .with_context(shown)?;
    if let Some(f) = policy::check(path, &meta, Class::KeyFile).first() {
        return Err(anyhow!("{}: {}", shown(), f.reason()));
    }
    let pem = common::fsat::read_bounded(file, MAX_KEY_FILE_SIZE).with_context(shown)?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(&pem);
    let key = key.map_err(|_| anyhow!("{}: no PEM private key (PKCS#8) found", shown()))?;
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der())
        .map_err(|_| anyhow!("{}: is not an Ed25519 private key", shown()))
}

/// Signs a manifest.
pub(crate) fn sign_manifest(key: &Ed25519KeyPair, manifest: &[u8]) -> Vec<u8> {
    key.sign(manifest).as_ref().to_vec()
}

/// Verifies the signature beside a manifest with a public key.
pub(crate) fn verify_signature(public: &Path, manifest: &Path, content: &[u8]) -> anyhow::Result<bool> {
    let read = |path: &Path| {
        let shown = path.display().to_string();
        let (file, _) = common::fsat::open_regular(path)
            .map_err(|e| anyhow!(common::error::io_reason(&e)))
            .with_context(|| shown.clone())?;
        common::fsat::read_bounded(file, MAX_KEY_FILE_SIZE).with_context(|| shown.clone())
    };
    let pem = read(public)?;
    let key = SubjectPublicKeyInfoDer::from_pem_slice(&pem);
    let key = key.map_err(|_| anyhow!("{}: no PEM public key found", public.display()))?;
    let raw = key.strip_prefix(&SPKI_PREFIX).filter(|raw| raw.len() == 32);
    ensure!(raw.is_some(), "{}: is not an Ed25519 public key", public.display());
    let signature = read(&signature_path(manifest))?;
    let key = UnparsedPublicKey::new(&ED25519, raw.unwrap_or_default());
    Ok(key.verify(content, &signature).is_ok())
}
