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
            file.add_block(parse_block(part).map_err(|e| format!("block at line {line}: {e}")));
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

fn parse_block(part: &[u8]) -> Result<Crl, String> {
    let mut blocks = pem::parse(part).map_err(|e| e.to_string())?;
    match blocks.as_mut_slice() {
        [block] if block.label == LABEL => {
            Crl::from_der(std::mem::take(&mut *block.der)).map_err(|e| e.to_string())
        }
        _ => Err("not a CRL".to_owned()),
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
        assert!(file.broken[1].starts_with("block at line 4: "), "{:?}", file.broken);
    }

    #[test]
    fn the_number_of_blocks_is_bounded() {
        let file = CrlFile::parse(&b"-----BEGIN A-----\nAAAA\n-----END A-----\n".repeat(MAX_BLOCKS + 10));
        assert_eq!(file.broken.len(), MAX_BLOCKS + 1);
    }
}
