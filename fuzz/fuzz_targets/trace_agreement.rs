//! Any bytes as events: the fast scanner and the one that repairs agree, and so do one thread and three.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| trace::read::fuzz_agreement(bytes));
