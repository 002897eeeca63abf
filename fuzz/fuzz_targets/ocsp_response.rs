//! An OCSP responder's answer, about a certificate whose chain is fixed. The seeds are good answers by its CA and by
//! a responder of the CA's.
#![no_main]

use std::sync::LazyLock;

use common::pki::ocsp::Question;
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
    let question = Question::new(&CHAIN[0], &CHAIN[1], [7; 32]);
    match question.answer(response, &[], AT) {
        Ok(answer) => assert!(!answer.signer.is_empty() && answer.this_update.unix <= AT + 300),
        Err(refused) => assert!(!refused.to_string().is_empty()),
    }
});
