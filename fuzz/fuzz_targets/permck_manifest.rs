//! A manifest of files, as sha256sum or permck wrote it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| permck::fuzz::manifest(bytes));
