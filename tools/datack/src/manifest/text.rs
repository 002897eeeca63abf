//! Manifests as sha256sum(1) writes and reads them, and as JSON lines.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use common::finding::{hex, unhex};
use common::record::RecordPath;
use common::record::datack::{FileDigest as DigestRecord, ManifestSummary};

use super::Sha256;

/// One line of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManifestEntry {
    pub(crate) path: PathBuf,
    pub(crate) sha256: Sha256,
}

/// Writes a line as sha256sum does: if the name contains newlines or backslashes, they are escaped and the line begins with
/// a backslash (sha256sum(1), coreutils 8.32).
pub(crate) fn write_line(to: &mut dyn Write, path: &Path, sha256: &Sha256) -> io::Result<()> {
    let name = path.as_os_str().as_bytes();
    let special = name.iter().any(|b| matches!(b, b'\n' | b'\r' | b'\\'));
    let mut line = Vec::with_capacity(name.len() + 70);
    if special {
        line.push(b'\\');
    }
    line.extend_from_slice(hex(sha256).as_bytes());
    line.extend_from_slice(b"  ");
    for &b in name {
        match b {
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\\' => line.extend_from_slice(b"\\\\"),
            b => line.push(b),
        }
    }
    line.push(b'\n');
    to.write_all(&line)
}

/// The record of a line.
pub(crate) fn digest_record(path: &Path, sha256: &Sha256, size: u64) -> DigestRecord {
    DigestRecord { path: RecordPath::from(path), sha256: hex(sha256), size_bytes: size }
}

/// Parses a whole manifest. JSON lines must end with a summary that counts them: without it the manifest is truncated.
/// Lines of sha256sum have no such end. A manifest without entries is an error.
pub(crate) fn parse_manifest(content: &[u8]) -> Result<Vec<ManifestEntry>, String> {
    let mut entries = Vec::new();
    // Where the records began whose summary has not come yet.
    let mut open: Option<usize> = None;
    for (i, line) in content.split(|&b| b == b'\n').enumerate() {
        let place = |e: &dyn std::fmt::Display| format!("line {}: {e}", i + 1);
        if let Some(summary) = parse_summary(line) {
            let named = (entries.len() - open.take().unwrap_or(entries.len())) as u64;
            if summary.files != named {
                let n = summary.files;
                return Err(place(&format_args!("number of files in the summary: {n}, before it: {named}")));
            }
            if summary.errors > 0 {
                let n = summary.errors;
                return Err(place(&format_args!("incomplete: created with {n} errors")));
            }
        } else if let Some(entry) = parse_line(line).map_err(|e| place(&e))? {
            if line.first() == Some(&b'{') {
                open.get_or_insert(entries.len());
            }
            entries.push(entry);
        }
    }
    match open {
        Some(_) => Err("has no summary at its end: truncated".into()),
        None if entries.is_empty() => Err("empty name, or a NUL byte in it".into()),
        None => Ok(entries),
    }
}

fn parse_summary(line: &[u8]) -> Option<ManifestSummary> {
    let text = std::str::from_utf8(line).ok().filter(|l| l.starts_with('{'))?;
    common::record::read(text).ok().flatten()
}

/// Reads a line of either form; `None` for records of other types, empty lines and comments.
pub(crate) fn parse_line(line: &[u8]) -> Result<Option<ManifestEntry>, &'static str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.first() {
        None | Some(b'#') => Ok(None),
        Some(b'{') => parse_json_line(line),
        Some(_) => parse_sum_line(line).map(Some),
    }
}

fn parse_json_line(line: &[u8]) -> Result<Option<ManifestEntry>, &'static str> {
    let text = std::str::from_utf8(line).map_err(|_| "is not UTF-8")?;
    let Some(r) = common::record::read::<DigestRecord>(text).map_err(|_| "malformed record")? else {
        return Ok(None);
    };
    let path = r.path.to_path().ok_or("invalid path_hex")?;
    make_entry(path.as_os_str().as_bytes(), false, parse_digest(r.sha256.as_bytes())?).map(Some)
}

fn parse_sum_line(line: &[u8]) -> Result<ManifestEntry, &'static str> {
    let (escaped, line) = match line.strip_prefix(b"\\") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    if let Some(tagged) = line.strip_prefix(b"SHA256 (") {
        return parse_tagged_line(tagged, escaped);
    }
    let (digits, rest) = line.split_at_checked(64).ok_or("not a line of sha256sum")?;
    let sha256 = parse_digest(digits)?;
    // Two blanks, or a blank and the star of binary mode.
    let name =
        rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *")).ok_or("not a line of sha256sum")?;
    make_entry(name, escaped, sha256)
}

/// `SHA256 (name) = digits`, as `sha256sum --tag` and the BSDs write it.
fn parse_tagged_line(line: &[u8], escaped: bool) -> Result<ManifestEntry, &'static str> {
    // The name may hold anything, the digest nothing but digits.
    let at = memchr::memmem::rfind(line, b") = ").ok_or("not a line of sha256sum --tag")?;
    make_entry(&line[..at], escaped, parse_digest(&line[at + 4..])?)
}

fn make_entry(name: &[u8], escaped: bool, sha256: Sha256) -> Result<ManifestEntry, &'static str> {
    let name = if escaped { unescape_name(name).ok_or("invalid escape")? } else { name.to_vec() };
    if name.is_empty() || name.contains(&0) {
        return Err("empty name, or a NUL byte in it");
    }
    Ok(ManifestEntry { path: OsString::from_vec(name).into(), sha256 })
}

fn unescape_name(name: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(&b) = bytes.next() {
        plain.push(match b {
            b'\\' => match bytes.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b'\\' => b'\\',
                _ => return None,
            },
            b => b,
        });
    }
    Some(plain)
}

fn parse_digest(digits: &[u8]) -> Result<Sha256, &'static str> {
    unhex(digits).and_then(|b| b.try_into().ok()).ok_or("expected a SHA-256 digest of 64 hexadecimal digits")
}
