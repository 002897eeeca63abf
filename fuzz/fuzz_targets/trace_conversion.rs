//! Any bytes as a trace file: written in every format that is one file; what is JSON stays JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tracecv::fuzz_conversion(bytes));
