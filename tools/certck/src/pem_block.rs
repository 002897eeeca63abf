//! The PEM encoding of what certck writes.

use zeroize::Zeroizing;

/// Encodes one PEM block (RFC 7468).
pub(crate) fn encode_block(label: &str, der: &[u8]) -> Zeroizing<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text =
        Zeroizing::new(String::with_capacity(der.len() * 4 / 3 + der.len() / 48 + 2 * label.len() + 48));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let bits = group.iter().fold(0u32, |n, &b| n << 8 | u32::from(b)) << (8 * (3 - group.len()));
            for i in 0..4 {
                let digit = char::from(ALPHABET[(bits >> (18 - 6 * i) & 63) as usize]);
                text.push(if i <= group.len() { digit } else { '=' });
            }
        }
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use common::pki::pem;

    use super::*;

    #[test]
    fn encoded_pem_blocks_parse_again() {
        for length in 1..300 {
            let der: Vec<u8> = (0..length).map(|i| (i * 7 + length) as u8).collect();
            let blocks = pem::parse(encode_block("X", &der).as_bytes()).unwrap();
            assert_eq!((&*blocks[0].der, blocks.len()), (&der, 1));
        }
    }
}
