//! A configuration or script with network addresses, and an allow list of them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hostck::fuzz::scan_addresses(bytes));
