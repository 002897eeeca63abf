//! Manifests as sha256sum(1) writes and reads them, and as JSON lines.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use common::finding::{hex, unhex};
use common::record::RecordPath;
use common::record::datack::{FileDigest as DigestRecord, ManifestSummary};
use common::text::count_noun;

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

/// Longest line in bytes: a name of the longest path, with every byte escaped, and what stands around it.
const MAX_LINE_SIZE: usize = 64 << 10;

/// Decodes a list as other systems save it: without its byte order mark, and UTF-16 as UTF-8.
fn decode_text(content: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|b| unit([b[0], b[1]])).collect();
        let text = String::from_utf16(&units).ok().filter(|_| bytes.len() % 2 == 0);
        text.map(|text| Cow::Owned(text.into_bytes()))
            .ok_or_else(|| "is not UTF-16, as its byte order mark says".to_owned())
    };
    match content {
        [0xef, 0xbb, 0xbf, rest @ ..] => Ok(Cow::Borrowed(rest)),
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => Ok(Cow::Borrowed(content)),
    }
}

/// Parses a whole manifest. JSON lines must end with a summary that counts them: without it the manifest is truncated.
/// Lines of sha256sum have no such end. A manifest without entries is an error.
pub(crate) fn parse_manifest(content: &[u8]) -> Result<Vec<ManifestEntry>, String> {
    let content = decode_text(content)?;
    // `sha256sum -z` ends lines with NUL, and escapes nothing.
    let zero = memchr::memchr(0, &content).is_some();
    let mut entries = Vec::new();
    // Where the records began whose summary has not come yet.
    let mut open: Option<usize> = None;
    for (i, line) in content.split(|&b| b == if zero { 0 } else { b'\n' }).enumerate() {
        let place = |e: &dyn std::fmt::Display| format!("line {}: {e}", i + 1);
        if line.len() > MAX_LINE_SIZE {
            return Err(place(&format_args!("longer than {MAX_LINE_SIZE} bytes")));
        }
        if zero && !line.is_empty() {
            entries.push(parse_sum_line(line, true).map_err(|e| place(&e))?);
            continue;
        }
        if let Some(summary) = parse_summary(line) {
            let named = (entries.len() - open.take().unwrap_or(entries.len())) as u64;
            if summary.files != named {
                let n = summary.files;
                return Err(place(&format_args!("number of files in the summary: {n}, before it: {named}")));
            }
            if summary.errors > 0 {
                let errors = count_noun(summary.errors, "error");
                return Err(place(&format_args!("incomplete: created with {errors}")));
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
        None if entries.is_empty() => Err("names no file: nothing would be verified".into()),
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
        Some(_) => parse_sum_line(line, false).map(Some),
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

/// Reads a line of sha256sum(1), of the BSDs' sha256(1), or of `openssl dgst`. A line that ends with NUL has no escapes.
fn parse_sum_line(line: &[u8], zero: bool) -> Result<ManifestEntry, &'static str> {
    let (escaped, line) = match line.strip_prefix(b"\\").filter(|_| !zero) {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    if let Some((tag, end)) = TAGS.iter().find(|(tag, _)| line.starts_with(tag)) {
        return parse_tagged_line(&line[tag.len()..], end, escaped);
    }
    let (digits, rest) = line.split_at_checked(64).ok_or("not a line of sha256sum")?;
    let sha256 = parse_digest(digits)?;
    // Two blanks, a blank and the star of binary mode or, from `sha256 -r`, one blank.
    let blanks = [&b"  "[..], b" *", b" "];
    let name = blanks.iter().find_map(|b| rest.strip_prefix(*b)).ok_or("not a line of sha256sum")?;
    make_entry(name, escaped, sha256)
}

/// How lines with the name of the algorithm begin, and what stands between name and digest: `sha256sum --tag` and the
/// BSDs, `openssl dgst -sha256` of OpenSSL 3 and of OpenSSL 1.1.
const TAGS: [(&[u8], &[u8]); 3] = [(b"SHA256 (", b") = "), (b"SHA2-256(", b")= "), (b"SHA256(", b")= ")];

/// `name) = digits`, behind the name of the algorithm.
fn parse_tagged_line(line: &[u8], end: &[u8], escaped: bool) -> Result<ManifestEntry, &'static str> {
    // The name may hold anything, the digest nothing but digits.
    let at = memchr::memmem::rfind(line, end).ok_or("not a line of sha256sum --tag or openssl dgst")?;
    make_entry(&line[..at], escaped, parse_digest(&line[at + end.len()..])?)
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
