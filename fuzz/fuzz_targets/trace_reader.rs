//! Any bytes as a trace file: read, analyzed and written again. Gzip included.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| traceq::fuzz_trace(bytes));
