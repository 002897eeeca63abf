//! Doors for the fuzz targets to what reads hostile bytes; no part of the tool uses them.

use crate::host::firewall;
use crate::host::sudoers::{Sudoers, Who};
use crate::host::unit;
use crate::netaddr::allow::Allow;
use crate::netaddr::{Style, scan};

/// Lines with addresses, and the same as an allow list.
pub fn netaddr(bytes: &[u8]) {
    let mut allow = Allow::default();
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        for style in [Style::Code, Style::Configuration] {
            let mut end = 0;
            for a in scan(line, style) {
                assert!(a.at >= end && a.at + a.len <= line.len(), "addresses stand one behind the other");
                end = a.at + a.len;
                allow.admits(&a.host);
            }
        }
        let _ = std::str::from_utf8(line).map(|l| allow.add(l));
    }
}

/// Configuration of a host.
pub fn host(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    firewall::evaluate_any(&text);
    unit::read_any(&text);
    let mut sudoers = Sudoers::default();
    sudoers.add("f", &text);
    let groups = [("g".to_owned(), 1)];
    let who = Who { name: "a", uid: Some(1), groups: &groups };
    for rule in &sudoers.rules {
        sudoers.applies(rule, who);
        assert!(!rule.file.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn mutated_seeds_do_no_harm() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
        testkit::mutate_seeds(&seeds.join("hostck_netaddr"), netaddr);
        testkit::mutate_seeds(&seeds.join("hostck_check"), host);
    }
}
