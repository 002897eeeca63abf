//! A manifest of files, as sha256sum or datack wrote it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| datack::fuzz::check_manifest(bytes));
