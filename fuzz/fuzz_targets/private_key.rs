//! A private key's file: PEM or DER, plain or encrypted; and a signing request, which is told from a key.
#![no_main]

use common::pki::key::{self, is_private};
use common::pki::passphrase::describe_encryption;
use common::pki::pem::{self, Block};
use common::pki::Passphrase;
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

/// What the seeds are encrypted with.
const PASSPHRASE: &[u8] = b"seed";

fuzz_target!(|bytes: &[u8]| {
    let blocks = pem::parse(bytes).unwrap_or_else(|_| {
        let der = |label: &str| Block {
            label: label.to_owned(),
            der: Zeroizing::new(bytes.to_vec()),
            line: 1,
            headers: false,
        };
        ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"].map(der).into()
    });
    let passphrase = Passphrase(Zeroizing::new(PASSPHRASE.to_vec()));
    for block in &blocks {
        let _ = certck::fuzz::signing_request(&block.der);
        if is_private(&block.label) {
            let _ = certck::fuzz::private_key(block);
            if cheap(block) {
                let _ = key::read_private_key(block, Some(&passphrase));
            }
        }
    }
});

/// Whether opening takes no time that the fuzzer would miss: that it is bounded is for a unit test.
fn cheap(block: &Block) -> bool {
    let Ok(text) = describe_encryption(&block.der) else { return true };
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u64>().ok()).all(|n| n <= 2048)
}
