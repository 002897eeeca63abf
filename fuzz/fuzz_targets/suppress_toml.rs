//! The file of `certck check --suppress`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = certck::fuzz::suppressions(text);
});
