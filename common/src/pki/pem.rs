//! PEM files taken apart (RFC 7468): labels, headers, decoded bytes, and the lines they stand on.
//!
//! Leaves the meaning of the bytes to others. Text between blocks is allowed, as `openssl x509 -text` writes it.

use zeroize::Zeroizing;

/// One `-----BEGIN …-----` block.
#[derive(Debug)]
pub struct Block {
    /// What stands between `BEGIN` and the dashes.
    pub label: String,
    /// The decoded bytes; wiped when dropped, since they may be a key.
    pub der: Zeroizing<Vec<u8>>,
    /// The line that it begins on, counted from 1.
    pub line: usize,
    /// Whether RFC 1421 headers such as `Proc-Type: 4,ENCRYPTED` were there.
    pub headers: bool,
}

/// Why a text is not PEM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum PemError {
    #[error("more than {MAX_BLOCKS} blocks")]
    TooMany,
    #[error("no PEM block found ({hint})")]
    None { hint: String },
    #[error("begins with a byte order mark (UTF-8), which OpenSSL does not skip")]
    ByteOrderMark,
    #[error("{encoding} text instead of ASCII")]
    WideText { encoding: &'static str },
    #[error("line {line}: `{label}` block has no end line")]
    Unterminated { line: usize, label: String },
    #[error("line {line}: `{label}` block ends as `{end}`")]
    Mismatched { line: usize, label: String, end: String },
    #[error("line {line}: not base64")]
    Base64 { line: usize },
    #[error("line {line}: `{label}` block is empty")]
    Empty { line: usize, label: String },
}

/// The most blocks that are read of one file: no bundle of certificates has a tenth.
const MAX_BLOCKS: usize = 4096;

/// Takes a file apart.
///
/// # Errors
/// The first block that is broken, or that there is none.
pub fn parse(text: &[u8]) -> Result<Vec<Block>, PemError> {
    check_encoding(text)?;
    let mut blocks = Vec::new();
    let mut lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).enumerate();
    while let Some((at, line)) = lines.next() {
        if let Some(label) = strip_boundary(line, b"-----BEGIN ") {
            if blocks.len() == MAX_BLOCKS {
                return Err(PemError::TooMany);
            }
            blocks.push(read_block(label, at + 1, &mut lines)?);
        }
    }
    if blocks.is_empty() {
        return Err(PemError::None { hint: describe_non_pem(text) });
    }
    Ok(blocks)
}

/// Rejects what Windows editors write: a mark before the first block, and two bytes for each character.
fn check_encoding(text: &[u8]) -> Result<(), PemError> {
    let is_wide = |first: &[u8]| text.starts_with(first);
    match () {
        () if is_wide(b"\xef\xbb\xbf-----") => Err(PemError::ByteOrderMark),
        // With its mark, iconv(1) knows the order of the bytes by itself, and removes the mark.
        () if is_wide(b"\xff\xfe") || is_wide(b"\xfe\xff") => Err(PemError::WideText { encoding: "UTF-16" }),
        () if is_wide(b"-\0-\0") => Err(PemError::WideText { encoding: "UTF-16LE" }),
        () if is_wide(b"\0-\0-") => Err(PemError::WideText { encoding: "UTF-16BE" }),
        () => Ok(()),
    }
}

fn read_block<'a>(
    label: &[u8],
    line: usize,
    lines: &mut (impl Iterator<Item = (usize, &'a [u8])> + Clone),
) -> Result<Block, PemError> {
    let label = String::from_utf8_lossy(label).into_owned();
    let inside = lines.clone().map(|(_, text)| text).take_while(|text| !text.starts_with(b"-----"));
    let mut decoder = Base64Decoder::with_room(inside.map(<[u8]>::len).sum::<usize>() / 4 * 3 + 3);
    let mut headers = false;
    for (at, text) in lines {
        if let Some(end) = strip_boundary(text, b"-----END ") {
            if end != label.as_bytes() {
                let end = String::from_utf8_lossy(end).into_owned();
                return Err(PemError::Mismatched { line: at + 1, label, end });
            }
            let der = decoder.into_bytes().ok_or(PemError::Base64 { line: at + 1 })?;
            if der.is_empty() {
                return Err(PemError::Empty { line, label });
            }
            return Ok(Block { label, der, line, headers });
        }
        if text.contains(&b':') && decoder.is_fresh() {
            headers = true;
        } else if !decoder.push_line(text) {
            return Err(PemError::Base64 { line: at + 1 });
        }
    }
    Err(PemError::Unterminated { line, label })
}

fn strip_boundary<'a>(line: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(prefix)?.strip_suffix(b"-----")
}

/// Base64, standard alphabet, padding demanded (RFC 4648, section 4).
#[derive(Default)]
struct Base64Decoder {
    out: Zeroizing<Vec<u8>>,
    bits: u32,
    count: u8,
    padding: u8,
}

impl Base64Decoder {
    /// Takes the room for a whole block at once, so that no copy of a key stays behind in a vector that was outgrown.
    fn with_room(bytes: usize) -> Self {
        Self { out: Zeroizing::new(Vec::with_capacity(bytes)), ..Self::default() }
    }

    fn is_fresh(&self) -> bool {
        self.out.is_empty() && self.count == 0
    }

    fn push_line(&mut self, text: &[u8]) -> bool {
        text.iter().all(|&c| self.push_char(c))
    }

    fn push_char(&mut self, c: u8) -> bool {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                self.padding += 1;
                return self.padding <= 2 && self.count >= 2;
            }
            b' ' | b'\t' => return true,
            _ => return false,
        };
        if self.padding > 0 {
            return false;
        }
        self.bits = self.bits << 6 | u32::from(value);
        self.count += 1;
        if self.count == 4 {
            self.out.extend_from_slice(&self.bits.to_be_bytes()[1..]);
            (self.bits, self.count) = (0, 0);
        }
        true
    }

    fn into_bytes(mut self) -> Option<Zeroizing<Vec<u8>>> {
        let (bits, out) = (self.bits, &mut self.out);
        match (self.count, self.padding) {
            (0, 0) => {}
            (2, 2) if bits & 0xf == 0 => out.push((bits >> 4) as u8),
            (3, 1) if bits & 0x3 == 0 => out.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
            _ => return None,
        }
        Some(self.out)
    }
}

/// Describes a file that is not PEM, without quoting it: it may hold a secret.
fn describe_non_pem(text: &[u8]) -> String {
    let first = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).find(|l| !l.is_empty());
    match (text.first(), first) {
        (_, None) => "the file is empty".to_owned(),
        (Some(0x30), _) => "it looks like DER".to_owned(),
        // Nothing else is quoted: it may be a key without its first line, or a passphrase.
        (_, Some(line)) if line.starts_with(b"-----") => {
            let line: String = String::from_utf8_lossy(line).chars().take(60).collect();
            format!("first line is `{}`", crate::text::safe(&line))
        }
        _ => "no line begins with `-----BEGIN`".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_with_their_labels_and_lines() {
        let text = b"Subject: x\n-----BEGIN A B-----\nAAEC\n-----END A B-----\r\n-----BEGIN C-----\r\n/w==\r\n-----END C-----";
        let blocks = parse(text).unwrap();
        let seen: Vec<_> = blocks.iter().map(|b| (b.label.as_str(), b.der.to_vec(), b.line)).collect();
        assert_eq!(seen, [("A B", vec![0, 1, 2], 2), ("C", vec![255], 5)]);
    }

    #[test]
    fn what_is_broken_is_named_with_its_line() {
        let err = |t: &[u8]| parse(t).unwrap_err().to_string();
        assert_eq!(err(b"-----BEGIN A-----\nAA"), "line 1: `A` block has no end line");
        assert_eq!(err(b"-----BEGIN A-----\nAA=A\n-----END A-----"), "line 2: not base64");
        assert_eq!(err(b"-----BEGIN A-----\nAAE\n-----END A-----"), "line 3: not base64");
        assert_eq!(err(b"-----BEGIN A-----\n-----END A-----"), "line 1: `A` block is empty");
        assert_eq!(err(b"-----BEGIN A-----\nAAAA\n-----END B-----"), "line 3: `A` block ends as `B`");
        assert_eq!(err(b""), "no PEM block found (the file is empty)");
        assert_eq!(
            err(b"\xef\xbb\xbf-----BEGIN A-----\n"),
            "begins with a byte order mark (UTF-8), which OpenSSL does not skip"
        );
        assert_eq!(err(b"\xff\xfe-\0-\0"), "UTF-16 text instead of ASCII");
        assert_eq!(err(b"\0-\0-\0-"), "UTF-16BE text instead of ASCII");
        assert_eq!(parse(b"\xef\xbb\xbfx\n-----BEGIN A-----\nAAAA\n-----END A-----").unwrap().len(), 1);
        assert_eq!(err(b"secret\n"), "no PEM block found (no line begins with `-----BEGIN`)");
        assert_eq!(
            err(b"-----END A\x1b-----\n"),
            "no PEM block found (first line is `-----END A\\x1b-----`)"
        );
        assert_eq!(
            parse(&b"-----BEGIN A-----\nAAAA\n-----END A-----\n".repeat(5000)).unwrap_err(),
            PemError::TooMany
        );
        assert!(err(&[0x30, 0x82]).contains("looks like DER"));
    }

    #[test]
    fn traditional_encryption_is_seen() {
        let blocks = parse(b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X,1\n\nAAAA\n-----END RSA PRIVATE KEY-----").unwrap();
        assert!(blocks[0].headers);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in proptest::collection::vec(0u8.., 0..300)) {
            let _ = parse(&text);
            let _ = parse(&[b"-----BEGIN X-----\n".as_slice(), &text, b"\n-----END X-----"].concat());
        }
    }
}
