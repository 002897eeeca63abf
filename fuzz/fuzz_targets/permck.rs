//! What permck reads of hostile trees and files: policies, patterns, attributes, records of fixes, headers of
//! packages, contents. The first byte says which; where two things are wanted, the first line is one and the rest the
//! other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use permck::fuzz;

fuzz_target!(|data: &[u8]| {
    let Some((&which, rest)) = data.split_first() else { return };
    let at = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
    let (line, more) = (&rest[..at], rest.get(at + 1..).unwrap_or_default());
    match which {
        b'p' => {
            if let Ok(text) = std::str::from_utf8(more) {
                fuzz::check_policy(text, line);
            }
        }
        b'g' => {
            if let Ok(pattern) = std::str::from_utf8(line) {
                fuzz::check_glob(pattern, more);
            }
        }
        b'x' => fuzz::check_attributes(rest),
        b'r' => fuzz::check_journal(rest),
        b'h' => fuzz::check_package_header(rest),
        _ => fuzz::check_content(line, more),
    }
});
