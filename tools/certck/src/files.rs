//! Single files of certificates, CRLs and keys, for commands that work on files and not on directories to serve.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use common::fsat;
use common::pki::pem::{self, Block};
use common::pki::{Cert, VOLUME_LINK, key};
use zeroize::Zeroizing;

/// The largest file that is read, in bytes; how large CRLs may be, `--max-crl-bytes` says.
pub(crate) const MAX_BYTES: u64 = 128 << 20;

/// Whether a directory is a volume of Kubernetes: what is in it are links into another directory.
pub(crate) fn is_volume(dir: &Path) -> bool {
    dir.join(VOLUME_LINK).is_symlink()
}

/// The path of a file of a certificate directory; in a volume, that of the file itself and not of the link to it.
pub(crate) fn file_of_directory(dir: &Path, name: &str) -> PathBuf {
    if is_volume(dir) { dir.join(VOLUME_LINK).join(name) } else { dir.join(name) }
}

/// A regular file's bytes.
pub(crate) fn read_file(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    read_file_up_to(path, MAX_BYTES)
}

/// A regular file's bytes, at most `limit` of them.
pub(crate) fn read_file_up_to(path: &Path, limit: u64) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let (file, meta) = fsat::open_regular(path)?;
    Ok(fsat::read_secret(file, &meta, limit)?)
}

/// The first certificate of a file, PEM or DER.
pub(crate) fn read_certificate(path: &Path) -> anyhow::Result<Cert> {
    parse_first_in_file(path, "CERTIFICATE", |der| Ok(Cert::parse(der)?))
        .with_context(|| path.display().to_string())
}

/// All certificates of a file, PEM.
pub(crate) fn read_certificates(path: &Path) -> anyhow::Result<Vec<Cert>> {
    let shown = || path.display().to_string();
    let blocks = pem::parse(&read_file(path).with_context(shown)?).with_context(shown)?;
    let certificates = blocks.iter().filter(|b| b.label == "CERTIFICATE");
    certificates.map(|b| Cert::parse(&b.der).with_context(shown)).collect()
}

/// Reads the private key's block of a file, after checking its mode and owner.
pub(crate) fn read_private_key(path: &Path) -> anyhow::Result<Block> {
    let shown = || path.display().to_string();
    let bytes = read_guarded(path, MAX_BYTES).with_context(shown)?;
    let blocks = pem::parse(&bytes).with_context(shown)?;
    let found = blocks.into_iter().find(|b| key::is_private(&b.label));
    found.ok_or_else(|| anyhow!("no private key in it")).with_context(shown)
}

/// The bytes of a regular file that is only its owner's, as a key's must be.
///
/// # Errors
/// It cannot be read, is larger than `limit` bytes, or others may read or write it.
pub(crate) fn read_guarded(path: &Path, limit: u64) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let (file, meta) = fsat::open_regular(path)?;
    if let Some(finding) = common::policy::check(path, &meta, common::policy::Class::KeyFile).first() {
        bail!("{}", finding.reason());
    }
    Ok(fsat::read_secret(file, &meta, limit)?)
}

fn parse_first_in_file<T>(
    path: &Path,
    label: &str,
    parse: impl Fn(&[u8]) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    parse_first(&read_file(path)?, label, parse)
}

fn parse_first<T>(
    bytes: &[u8],
    label: &str,
    parse: impl Fn(&[u8]) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    if bytes.first() == Some(&0x30) {
        return parse(bytes);
    }
    let blocks = pem::parse(bytes)?;
    let block = blocks.iter().find(|b| b.label == label);
    parse(&block.ok_or_else(|| anyhow!("holds no `{label}` block"))?.der)
}
