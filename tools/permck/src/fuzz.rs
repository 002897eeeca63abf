//! Doors for the fuzz targets to what reads hostile bytes; no part of the tool uses them.

use common::policy::TABLE;

use crate::host::firewall;
use crate::host::sudoers::{Sudoers, Who};
use crate::host::unit;
use crate::ids::Ids;
use crate::manifest::text;
use crate::netaddr::allow::Allow;
use crate::netaddr::{Style, scan};
use crate::policy::glob::Glob;
use crate::policy::{Place, Policy};
use crate::xattr::{Acl, Capability};
use crate::{classify, cmd};

/// The text of a policy file; what compiles answers for a path.
pub fn policy(text: &str, below: &[u8]) {
    let mut policy = Policy::default();
    if policy.add(text, &Ids::default()).is_err() {
        return;
    }
    let today = time::macros::date!(2027 - 01 - 01);
    for dir in [false, true] {
        let place = Place { below: Some(below), root: std::path::Path::new("/r"), dir };
        let demand = policy.demand(place);
        if let Some(standard) = demand.standard() {
            assert_eq!(standard.max.beyond(standard.class.max()).0, 0, "a policy only tightens");
        }
        let _ = (demand.owner(0, Some(&[1])), demand.group());
        let _ = policy.accepts("mode", place, None, today);
    }
    let _ = (policy.ended(today).count(), policy.idle(today).count());
}

/// A pattern and a path.
pub fn glob(pattern: &str, path: &[u8]) {
    if let Ok(glob) = Glob::parse(pattern) {
        let _ = glob.matches(path);
    }
}

/// Extended attributes as a file system gives them.
pub fn attributes(bytes: &[u8]) {
    let acl = Acl::parse(bytes);
    assert!(acl.broken || acl.grants().all(|g| g.bits != 0 && g.bits < 8));
    assert!(!Capability::parse(bytes).to_string().is_empty());
}

/// The record of a fix.
pub fn record(bytes: &[u8]) {
    let _ = cmd::undo::parse(bytes);
}

/// The content of a file.
pub fn content(name: &[u8], head: &[u8]) {
    let told = classify::file(name, head, 0o640);
    assert_eq!(TABLE[told.class as usize].class, told.class);
    for (_, at) in classify::private_key(head).into_iter().chain(classify::der_key(head, head.len() as u64)) {
        assert!(at < head.len());
    }
}

/// A manifest: what was read is written as a line that reads as the same.
pub fn manifest(bytes: &[u8]) {
    let Ok(entries) = text::entries(bytes) else { return };
    assert!(!entries.is_empty(), "an empty manifest is none");
    for entry in entries {
        let mut line = Vec::new();
        assert!(text::write(&mut line, &entry.path, &entry.sha256).is_ok());
        let again = text::parse(line.strip_suffix(b"\n").unwrap_or(&line));
        assert_eq!(again, Ok(Some(entry)));
    }
}

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

    /// The seeds, and what becomes of them when bytes are changed, cut out and repeated.
    #[test]
    fn seeds_and_what_grows_from_them_do_no_harm() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
        let mut state = 5_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below.max(1)
        };
        type Target = fn(&[u8]);
        let targets: [(&str, Target); 3] =
            [("permck_manifest", manifest), ("permck_netaddr", netaddr), ("permck_host", host)];
        for (name, target) in targets {
            for seed in std::fs::read_dir(seeds.join(name)).unwrap() {
                let seed = std::fs::read(seed.unwrap().path()).unwrap();
                target(&seed);
                for _ in 0..400 {
                    let mut bytes = seed.clone();
                    for _ in 0..random(4) + 1 {
                        let (a, b) = (random(bytes.len()), random(bytes.len()));
                        match random(3) {
                            0 => drop(bytes.drain(a.min(b)..a.max(b))),
                            1 => bytes.extend_from_within(a.min(b)..a.max(b)),
                            _ if a < bytes.len() => bytes[a] = random(256) as u8,
                            _ => {}
                        }
                    }
                    target(&bytes);
                }
            }
        }
    }
}
