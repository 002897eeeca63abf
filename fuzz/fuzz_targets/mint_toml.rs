//! The file of `certck mint --from`: what is read makes a plan within the bounds, or none.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = certck::fuzz::plan(text);
});
