//! Sequences of messages, requests and ends of processes against the registry of profd.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| profd::fuzz::check_message_sequence(data));
