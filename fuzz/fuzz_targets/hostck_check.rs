//! Firewall rules, rules of sudo and systemd units of a host that is audited.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hostck::fuzz::read_host_files(bytes));
