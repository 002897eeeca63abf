//! PEM files parsed (RFC 7468): labels, headers, decoded bytes, and the lines they stand on.
//!
//! Leaves the meaning of the bytes to others. Text between blocks is allowed, as `openssl x509 -text` writes it.

use memchr::memmem;
use zeroize::Zeroizing;

/// One `-----BEGIN …-----` block.
#[derive(Debug)]
pub struct Block {
    /// The text between `BEGIN` and the dashes.
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

impl PemError {
    /// The line that the text names, if it names one.
    pub(super) fn line(&self) -> Option<usize> {
        match self {
            Self::Unterminated { line, .. }
            | Self::Mismatched { line, .. }
            | Self::Base64 { line }
            | Self::Empty { line, .. } => Some(*line),
            Self::TooMany | Self::None { .. } | Self::ByteOrderMark | Self::WideText { .. } => None,
        }
    }

    /// The same error in a text with this many more lines before it.
    pub(super) fn moved_by(self, lines: usize) -> Self {
        match self {
            Self::Unterminated { line, label } => Self::Unterminated { line: line + lines, label },
            Self::Mismatched { line, label, end } => Self::Mismatched { line: line + lines, label, end },
            Self::Base64 { line } => Self::Base64 { line: line + lines },
            Self::Empty { line, label } => Self::Empty { line: line + lines, label },
            other @ (Self::TooMany | Self::None { .. } | Self::ByteOrderMark | Self::WideText { .. }) => {
                other
            }
        }
    }
}

/// The most blocks that are read of one file: no bundle of certificates has a tenth.
const MAX_BLOCKS: usize = 4096;

/// Parses a file.
///
/// # Errors
/// The first block that is broken, or that there is none.
pub fn parse(text: &[u8]) -> Result<Vec<Block>, PemError> {
    check_encoding(text)?;
    let mut blocks = Vec::new();
    let mut lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).enumerate();
    while let Some((at, line)) = lines.next() {
        if let Some(label) = strip_boundary(line, BEGIN) {
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

/// Parses a file, and goes on behind a block that is broken.
///
/// # Errors
/// It is not PEM, or has too many blocks.
pub fn parse_each(text: &[u8]) -> Result<Vec<Result<Block, PemError>>, PemError> {
    check_encoding(text)?;
    let parts = split_at_blocks(text);
    if parts.len() > MAX_BLOCKS {
        return Err(PemError::TooMany);
    }
    let parse_part = |(line, part): (usize, &[u8])| match parse(part) {
        Ok(mut blocks) => {
            let mut block = blocks.swap_remove(0);
            block.line += line - 1;
            Ok(block)
        }
        Err(e) => Err(e.moved_by(line - 1)),
    };
    match parts.as_slice() {
        [] => Err(PemError::None { hint: describe_non_pem(text) }),
        // Without a block, the whole text is one part.
        [(_, only)] if !only.trim_ascii_start().starts_with(BEGIN) => parse(only).map(|_| Vec::new()),
        _ => Ok(parts.into_iter().map(parse_part).collect()),
    }
}

const BEGIN: &[u8] = b"-----BEGIN ";

/// Cuts a text before each line that begins a block, and counts the lines before each part. Text before the first block
/// belongs to no part, unless there is no block at all. A byte order mark, as Windows editors write it, is skipped.
pub(super) fn split_at_blocks(text: &[u8]) -> Vec<(usize, &[u8])> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut cuts = Vec::new();
    let (mut line, mut line_start, mut seen) = (1, 0, 0);
    for at in memmem::find_iter(text, BEGIN) {
        // Each byte is looked at once, however many of them one line has.
        let between = &text[seen..at];
        line += memchr::memchr_iter(b'\n', between).count();
        let newline = memchr::memrchr(b'\n', between);
        let is_first_of_line = newline.is_some() || seen == 0;
        line_start = newline.map_or(line_start, |i| seen + i + 1);
        seen = at;
        if is_first_of_line && text[line_start..at].trim_ascii().is_empty() {
            cuts.push((line, line_start));
        }
    }
    if cuts.is_empty() && !text.trim_ascii().is_empty() {
        cuts.push((1, 0));
    }
    cuts.push((0, text.len()));
    cuts.windows(2).map(|pair| (pair[0].0, &text[pair[0].1..pair[1].1])).collect()
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

/// No digit of Base64.
const NO_DIGIT: u8 = 0xff;

/// The value of each character as a digit of Base64 (RFC 4648, section 4, table 1).
const DIGITS: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < alphabet.len() {
        digits[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

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
        let mut rest = text;
        // A long CRL is millions of groups of four characters; everything else is read character by character.
        if self.count == 0 && self.padding == 0 {
            while let Some((&[a, b, c, d], more)) = rest.split_first_chunk() {
                let group = [a, b, c, d].map(|c| DIGITS[usize::from(c)]);
                if group.contains(&NO_DIGIT) {
                    break;
                }
                let bits = group.iter().fold(0, |bits, &digit| bits << 6 | u32::from(digit));
                self.out.extend_from_slice(&bits.to_be_bytes()[1..]);
                rest = more;
            }
        }
        rest.iter().all(|&c| self.push_char(c))
    }

    fn push_char(&mut self, c: u8) -> bool {
        let value = match (c, DIGITS[usize::from(c)]) {
            (b'=', _) => {
                self.padding += 1;
                return self.padding <= 2 && self.count >= 2;
            }
            (b' ' | b'\t', _) => return true,
            (_, NO_DIGIT) => return false,
            (_, digit) => digit,
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
    fn a_broken_block_does_not_hide_the_others() {
        let text = b"words\n-----BEGIN A-----\nAA*A\n-----END A-----\n\n-----BEGIN B-----\nAAEC\n-----END B-----\n-----BEGIN C-----\nAA";
        let seen: Vec<_> =
            parse_each(text).unwrap().into_iter().map(|r| r.map(|b| (b.label.clone(), b.line))).collect();
        assert_eq!(
            seen,
            [
                Err(PemError::Base64 { line: 3 }),
                Ok(("B".to_owned(), 6)),
                Err(PemError::Unterminated { line: 9, label: "C".to_owned() })
            ]
        );
        for text in [&b""[..], b"\n", b"secret\n", b"\xef\xbb\xbf-----BEGIN A-----\n", b"\xff\xfe-\0"] {
            assert_eq!(parse_each(text).unwrap_err(), parse(text).unwrap_err());
        }
    }

    #[test]
    fn a_text_is_cut_at_its_blocks() {
        let cut = |text: &str| split_at_blocks(text.as_bytes()).len();
        assert_eq!((cut(""), cut("\n"), cut("x")), (0, 0, 1));
        assert_eq!(cut("words\n-----BEGIN A-----\nx\n  -----BEGIN B-----\n"), 2);
        assert_eq!(cut("words -----BEGIN A-----"), 1);
        assert!(split_at_blocks(b"\xef\xbb\xbf-----BEGIN A-----\n")[0].1.starts_with(b"-----"));
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
            let _ = (parse(&text), parse_each(&text));
            let block = [b"-----BEGIN X-----\n".as_slice(), &text, b"\n-----END X-----"].concat();
            let _ = (parse(&block), parse_each(&block));
        }
    }
}
