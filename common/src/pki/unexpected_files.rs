//! Unexpected files in a certificate directory, private keys among them.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::der::{self, Der};
use super::pem::Block;
use super::read::{FileContent, OpenDirectory};
use super::role::Layout;
use super::{Cert, key, pem, rule};
use crate::finding::{Finding, Severity};
use crate::policy::shell_quote;

/// The most unexpected files that are reported one by one.
const NAMED: usize = 1000;

/// Limits of the work on unexpected files: loading an RSA key takes a tenth of a second.
struct Budget {
    bytes: usize,
    keys: u32,
}

impl Budget {
    const ALL: Self = Self { bytes: 32 << 20, keys: 16 };
}

/// File extensions of private keys, alone or in a container with their certificate.
const KEY_NAMES: [&[u8]; 5] = [b".key", b".p12", b".pfx", b".p8", b".jks"];

/// The kind of an unexpected file.
enum FileKind {
    /// A private key, with the CA that it belongs to if that is known.
    Key(String),
    Other(&'static str),
    /// It could not be read, and may be a key.
    Unknown(&'static str),
}

/// Reports every entry of the directory that the layout does not name.
pub(super) fn find_unexpected_files(dir: &OpenDirectory, layout: &Layout, roots: &[Cert]) -> Vec<Finding> {
    // The unit of the service names what is in there.
    if dir.is_credentials {
        return Vec::new();
    }
    let mut known = layout.file_names().to_vec();
    // An authority's root stands in the place of its leaf.
    known.dedup();
    let mut unexpected = dir.entry_names();
    unexpected.retain(|name| !known.iter().any(|k| name == k));
    // Names of keys come first, so that no number of other files hides one.
    unexpected.sort_by_key(|name| !has_key_name(name));
    let expected = known.join(", ");
    let mut findings: Vec<Finding> = Vec::new();
    let mut budget = Budget::ALL;
    for name in unexpected.iter().take(NAMED) {
        let path = dir.file_path(name);
        let unexpected = |what| {
            rule::UNEXPECTED_FILE.at(&path).found(what).expected(expected.as_str()).fix(suggest_fix(&path))
        };
        findings.push(match classify_file(dir, name, roots, &mut budget) {
            FileKind::Key(what) => rule::STRAY_KEY
                .at(&path)
                .found(what)
                .expected(format!("no private key but {}", layout.key))
                .fix("move it away, off the servers if it is a CA's, and replace what it signs for if others could have read it"),
            FileKind::Other(what) => unexpected(what),
            FileKind::Unknown(what) => Finding { severity: Severity::Error, ..unexpected(what) },
        });
    }
    let rest = unexpected.len().saturating_sub(NAMED);
    if rest > 0 {
        // There may be a key among them, so it is an error.
        let mut finding = rule::UNEXPECTED_FILE
            .at(&dir.file_path(""))
            .found(format!("{rest} more unexpected files"))
            .expected(expected)
            .fix("move them away");
        finding.severity = Severity::Error;
        findings.push(finding);
    }
    findings
}

fn has_key_name(name: &OsStr) -> bool {
    let name = name.as_bytes().to_ascii_lowercase();
    KEY_NAMES.iter().any(|end| name.ends_with(end))
}

fn suggest_fix(path: &Path) -> String {
    match path.to_str().is_some_and(|p| p.ends_with("_certs")) {
        true => format!("name {}, if that is the certificate directory", shell_quote(path)),
        false => "move it away, or name the directory that holds the certificates".to_owned(),
    }
}

fn classify_file(dir: &OpenDirectory, name: &OsStr, roots: &[Cert], budget: &mut Budget) -> FileKind {
    if budget.bytes == 0 {
        return FileKind::Unknown("is one of too many files to be read");
    }
    // The mode of an unexpected file does not matter; that it is there is reported.
    match dir.read_file(name, &mut Vec::new()) {
        FileContent::Bytes(bytes) => {
            budget.bytes = budget.bytes.saturating_sub(bytes.len());
            match describe_private_key(&bytes, roots, budget) {
                Some(what) => FileKind::Key(what),
                None if name == "ca.key" => FileKind::Key("has the name of the CA's private key".to_owned()),
                None => FileKind::Other("is not a file of this directory"),
            }
        }
        FileContent::Absent => FileKind::Other("has disappeared since"),
        FileContent::Unreadable if is_directory(dir, name) => match find_key_below(dir, name) {
            Some(key) => {
                FileKind::Key(format!("a directory with {key}, which has the name of a private key"))
            }
            None => FileKind::Other("is a directory"),
        },
        FileContent::Unreadable if has_key_name(name) => {
            FileKind::Key("has the name of a private key, and cannot be read as a regular file".to_owned())
        }
        FileContent::Unreadable => FileKind::Unknown("cannot be read as a regular file: it may hold a key"),
    }
}

/// Describes the private key that some bytes are; `None` if they are not one.
fn describe_private_key(bytes: &[u8], roots: &[Cert], budget: &mut Budget) -> Option<String> {
    const MARK: &[u8] = b"PRIVATE KEY-----";
    if bytes.windows(MARK.len()).any(|w| w == MARK) {
        let blocks = pem::parse(bytes).unwrap_or_default();
        let owner = blocks
            .iter()
            .filter(|b| key::is_private(&b.label))
            .find_map(|b| find_owning_ca(b, roots, budget));
        return Some(owner.unwrap_or_else(|| "another private key".to_owned()));
    }
    if !is_der_key(bytes) {
        return None;
    }
    let block =
        |label: &str| Block { label: label.to_owned(), der: bytes.to_vec().into(), line: 1, headers: false };
    let labels = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"];
    let owner = labels.iter().find_map(|label| find_owning_ca(&block(label), roots, budget));
    Some(owner.unwrap_or_else(|| "another private key, in DER".to_owned()))
}

/// The CA that a key belongs to.
fn find_owning_ca(block: &Block, roots: &[Cert], budget: &mut Budget) -> Option<String> {
    budget.keys = budget.keys.checked_sub(1)?;
    let key = key::read_private_key(block, None).ok()?;
    let spki = key.public_key()?;
    let root = roots.iter().find(|r| r.key.spki == spki.as_ref())?;
    Some(format!("the CA's private key: it signs as {}", root.subject))
}

/// Whether bytes are a private key in DER by their first elements: PKCS#8, SEC1, PKCS#1 and PKCS#12 begin with a
/// small version number, encrypted PKCS#8 with an algorithm of PKCS#5 or PKCS#12.
fn is_der_key(bytes: &[u8]) -> bool {
    const PKCS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1];
    let Ok(mut outer) = Der::open_only(bytes, der::SEQUENCE) else { return false };
    match outer.read_element() {
        Ok(first) if first.tag == der::INTEGER => matches!(first.value, [0..=3]),
        Ok(first) if first.tag == der::SEQUENCE => {
            let encrypts = |oid: &[u8]| matches!(oid.strip_prefix(PKCS), Some([5 | 12, ..]));
            Der::new(first.value).read_oid().is_ok_and(encrypts)
                && outer.read_tagged(der::OCTET_STRING).is_ok()
        }
        _ => false,
    }
}

fn is_directory(dir: &OpenDirectory, name: &OsStr) -> bool {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory)
}

/// The first entry of a directory below that has the name of a key.
fn find_key_below(dir: &OpenDirectory, name: &OsStr) -> Option<String> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let below = rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty()).ok()?;
    let entries = rustix::fs::Dir::read_from(below).ok()?;
    let mut names =
        entries.flatten().take(NAMED).map(|e| OsStr::from_bytes(e.file_name().to_bytes()).to_owned());
    Some(names.find(|n| has_key_name(n))?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_der_are_told_from_other_der() {
        let pkcs8 = [0x30, 0x06, 2, 1, 0, 0x30, 1, 0];
        let sec1 = [0x30, 0x06, 2, 1, 1, 4, 1, 0];
        assert!(is_der_key(&pkcs8) && is_der_key(&sec1));
        let pbes2 = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13];
        assert!(is_der_key(&[&[0x30, 0x10, 0x30, 0x0b, 6, 9], &pbes2[..], &[4, 1, 9]].concat()));
        // DH parameters begin with a large number, certificates and requests with a sequence.
        assert!(!is_der_key(&[0x30, 0x07, 2, 2, 0x10, 0x11, 2, 1, 2]));
        assert!(!is_der_key(&[0x30, 0x05, 0x30, 3, 0xa0, 1, 0]));
        assert!(!is_der_key(b"text"));
    }
}
