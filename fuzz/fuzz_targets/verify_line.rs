//! A line of `certck verify`: JSON with PEM in it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let _ = certck::fuzz::case(line);
});
