//! A file of CRLs parsed block by block, so that a malformed CRL does not hide the others.

use super::{Crl, pem};

/// The label of a CRL's PEM block (RFC 7468, section 6).
const LABEL: &str = "X509 CRL";

/// The most blocks that are read of one file.
const MAX_BLOCKS: usize = 4096;

/// The CRLs of a file, and the blocks that could not be read.
#[derive(Debug, Default)]
pub struct CrlFile {
    /// In the order of the file.
    pub crls: Vec<Crl>,
    /// The error of each other block, with the line on which it begins.
    pub broken: Vec<String>,
}

impl CrlFile {
    /// Reads PEM, or one CRL in DER.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut file = Self::default();
        if bytes.first() == Some(&0x30) {
            file.add_block(Crl::parse(bytes).map_err(|e| e.to_string()));
            return file;
        }
        for (n, (line, part)) in pem::split_at_blocks(bytes).into_iter().enumerate() {
            if n == MAX_BLOCKS {
                file.broken
                    .push(format!("more than {MAX_BLOCKS} blocks: those from line {line} on are not read"));
                break;
            }
            file.add_block(parse_block(part, line));
        }
        file
    }

    fn add_block(&mut self, crl: Result<Crl, String>) {
        match crl {
            Ok(crl) => self.crls.push(crl),
            Err(e) => self.broken.push(e),
        }
    }
}

/// Reads the block that begins at a line of the file.
fn parse_block(part: &[u8], line: usize) -> Result<Crl, String> {
    let place = |e: &dyn std::fmt::Display| format!("block at line {line}: {e}");
    // These errors name a line themselves.
    let mut blocks = pem::parse(part).map_err(|e| match e.moved_by(line - 1) {
        e if e.line().is_some() => e.to_string(),
        e => place(&e),
    })?;
    match blocks.as_mut_slice() {
        [block] if block.label == LABEL => {
            Crl::from_der(std::mem::take(&mut *block.der)).map_err(|e| place(&e))
        }
        _ => Err(place(&"not a CRL")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_block_is_named_with_its_line() {
        let file =
            CrlFile::parse(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n-----BEGIN A-----\n");
        assert!(file.crls.is_empty());
        assert_eq!(file.broken.len(), 2);
        assert!(file.broken[0].starts_with("block at line 1: "), "{:?}", file.broken);
        assert_eq!(file.broken[1], "line 4: `A` block has no end line");
        let text = "text\n\n-----BEGIN X509 CRL-----\nAA=A\n-----END X509 CRL-----\n";
        assert_eq!(CrlFile::parse(text.as_bytes()).broken, ["line 4: not base64"]);
    }

    #[test]
    fn the_number_of_blocks_is_bounded() {
        let file = CrlFile::parse(&b"-----BEGIN A-----\nAAAA\n-----END A-----\n".repeat(MAX_BLOCKS + 10));
        assert_eq!(file.broken.len(), MAX_BLOCKS + 1);
    }
}
