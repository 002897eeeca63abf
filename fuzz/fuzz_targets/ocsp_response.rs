//! An OCSP responder's answer, about a certificate whose chain is fixed. The seeds are good answers by its CA and by
//! a responder of the CA's.
#![no_main]

use std::sync::LazyLock;

use common::pki::{Cert, pem};
use libfuzzer_sys::fuzz_target;

/// Within the validity of the seeds.
const AT: i64 = 1795722354;

/// The leaf and its issuer.
static CHAIN: LazyLock<Vec<Cert>> = LazyLock::new(|| {
    let blocks = pem::parse(include_bytes!("ocsp_chain.pem")).expect("it is PEM");
    blocks.iter().map(|b| Cert::parse(&b.der).expect("it is a certificate")).collect()
});

fuzz_target!(|response: &[u8]| {
    match certck::fuzz::ocsp_response(&CHAIN[0], &CHAIN[1], response, AT) {
        Ok((signer, this_update)) => assert!(!signer.is_empty() && this_update <= AT + 300),
        Err(reason) => assert!(!reason.is_empty()),
    }
});
