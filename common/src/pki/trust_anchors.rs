//! The trust anchors for HTTPS servers: those of the system, or of a file.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::pem;
use crate::fsat;

/// Where common systems have them: Debian, Red Hat, Alpine and BSD.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Maximum size of a file in bytes. That of a system has less than a megabyte.
const MAX_BYTES: u64 = 16 << 20;

/// Reads trust anchors, PEM, from a file or else from the system's, and returns each in DER.
///
/// # Errors
/// The file cannot be read, is not PEM, or the system has none.
pub fn read_trust_anchors(file: Option<&Path>) -> anyhow::Result<Vec<Vec<u8>>> {
    let path = match file {
        Some(path) => path.to_owned(),
        None => SYSTEM
            .iter()
            .map(PathBuf::from)
            .find(|p| p.exists())
            .context("this system has no file of trust anchors: name one")?,
    };
    let shown = || path.display().to_string();
    // The system's file may be a link: it is the system's.
    let path = path.canonicalize().with_context(shown)?;
    let (file, _) = fsat::open_regular(&path).with_context(shown)?;
    let bytes = fsat::read_bounded(file, MAX_BYTES).with_context(shown)?;
    let blocks = pem::parse(&bytes).with_context(shown)?;
    let certificates =
        blocks.into_iter().filter(|b| b.label == "CERTIFICATE" || b.label == "TRUSTED CERTIFICATE");
    Ok(certificates.map(|b| b.der.to_vec()).collect())
}
