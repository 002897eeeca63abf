//! Entry points for fuzz targets into the code that parses hostile input; the tool does not use them.

use crate::host::firewall;
use crate::host::sudoers::{SudoUser, Sudoers};
use crate::host::unit;
use crate::netaddr::allow::AllowList;
use crate::netaddr::{TextStyle, scan_line};

/// Lines with addresses, and the same as an allow list.
pub fn scan_addresses(bytes: &[u8]) {
    let mut allow = AllowList::default();
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        for style in [TextStyle::Code, TextStyle::Configuration] {
            let mut end = 0;
            for a in scan_line(line, style) {
                assert!(a.at >= end && a.at + a.len <= line.len(), "addresses stand one behind the other");
                end = a.at + a.len;
                allow.contains_host(&a.host);
            }
        }
        let _ = std::str::from_utf8(line).map(|l| allow.add_line(l));
    }
}

/// Configuration of a host.
pub fn read_host_files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    firewall::evaluate_any(&text);
    unit::read_any(&text);
    let mut sudoers = Sudoers::default();
    sudoers.add_file("f", &text);
    let groups = [("g".to_owned(), 1)];
    let who = SudoUser { name: "a", uid: Some(1), groups: &groups };
    for rule in &sudoers.rules {
        sudoers.applies_to(rule, who);
        assert!(!rule.file.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn mutated_seeds_do_not_panic() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
        testkit::mutate_seeds(&seeds.join("hostck_netaddr"), scan_addresses);
        testkit::mutate_seeds(&seeds.join("hostck_check"), read_host_files);
    }
}
