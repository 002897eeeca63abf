//! Manifests as sha256sum(1) writes and reads them, and as JSON lines.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use common::finding::{hex, unhex};
use common::record::permck::Digest as Record;

use super::Sha256;

/// One line of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) sha256: Sha256,
}

/// Writes a line of sha256sum's: names with line ends or backslashes are escaped, and the line says so with a
/// backslash of its own.
pub(crate) fn write(to: &mut dyn Write, path: &Path, sha256: &Sha256) -> io::Result<()> {
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
pub(crate) fn record(path: &Path, sha256: &Sha256, size: u64) -> Record {
    Record {
        path: path.to_string_lossy().into_owned(),
        path_hex: path.to_str().is_none().then(|| hex(path.as_os_str().as_bytes())),
        sha256: hex(sha256),
        size_bytes: size,
    }
}

/// Reads a line of either form; `None` for records of other types and empty lines.
pub(crate) fn parse(line: &[u8]) -> Result<Option<Entry>, &'static str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.first() {
        None => Ok(None),
        Some(b'{') => json(line),
        Some(_) => sum(line).map(Some),
    }
}

fn json(line: &[u8]) -> Result<Option<Entry>, &'static str> {
    let text = std::str::from_utf8(line).map_err(|_| "is not UTF-8")?;
    let Some(r) = common::record::read::<Record>(text).map_err(|_| "is no record")? else { return Ok(None) };
    let path = match &r.path_hex {
        Some(digits) => OsString::from_vec(unhex(digits.as_bytes()).ok_or("has a bad path_hex")?),
        None => r.path.into(),
    };
    let sha256 = digest(r.sha256.as_bytes())?;
    Ok(Some(Entry { path: path.into(), sha256 }))
}

fn sum(line: &[u8]) -> Result<Entry, &'static str> {
    let (escaped, line) = match line.strip_prefix(b"\\") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (digits, rest) = line.split_at_checked(64).ok_or("is no line of sha256sum")?;
    let sha256 = digest(digits)?;
    // Two blanks, or a blank and the star of binary mode.
    let name =
        rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *")).ok_or("is no line of sha256sum")?;
    let name = if escaped { unescape(name).ok_or("has a bad escape")? } else { name.to_vec() };
    if name.is_empty() || name.contains(&0) {
        return Err("names no file");
    }
    Ok(Entry { path: OsString::from_vec(name).into(), sha256 })
}

fn unescape(name: &[u8]) -> Option<Vec<u8>> {
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

fn digest(digits: &[u8]) -> Result<Sha256, &'static str> {
    unhex(digits).and_then(|b| b.try_into().ok()).ok_or("has no SHA-256 of 64 hexadecimal digits")
}
