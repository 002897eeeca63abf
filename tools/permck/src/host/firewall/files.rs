//! The rulesets that the files of an image hold, and whether anything loads them.

use std::collections::BTreeSet;

use common::finding::Finding;

use super::{Check, Host, Rulesets};

/// More files than this are included to keep us busy.
const INCLUDES: usize = 500;

pub(super) fn configured(host: &Host) -> Rulesets {
    let read = |paths: &[&str]| paths.iter().filter_map(|path| host.read(path).ok()).collect::<Vec<_>>();
    let nft = read(&["etc/nftables.conf", "etc/sysconfig/nftables.conf"]);
    Rulesets {
        nft: nft.iter().map(|text| included(host, text, &mut BTreeSet::new())).collect(),
        v4: read(&["etc/iptables/rules.v4", "etc/sysconfig/iptables"]),
        v6: read(&["etc/iptables/rules.v6", "etc/sysconfig/ip6tables"]),
    }
}

/// Files of rules that nothing loads when the image starts.
pub(super) fn not_loaded(host: &Host, check: &Check) -> Vec<Finding> {
    let files: [(&str, &[&str]); 6] = [
        ("etc/nftables.conf", &["nftables"]),
        ("etc/sysconfig/nftables.conf", &["nftables"]),
        ("etc/iptables/rules.v4", &["netfilter-persistent", "iptables"]),
        ("etc/iptables/rules.v6", &["netfilter-persistent", "ip6tables"]),
        ("etc/sysconfig/iptables", &["iptables"]),
        ("etc/sysconfig/ip6tables", &["ip6tables"]),
    ];
    let idle = files.into_iter().filter(|(path, units)| host.stat(path).is_ok() && !host.enabled(units));
    let finding = |(path, units): (&str, &[&str])| {
        let place = host.shown(&format!("etc/systemd/system/multi-user.target.wants/{}.service", units[0]));
        check
            .finding(host.shown(path))
            .found(format!("no service loads it at the start: {} is not enabled", units.join(" or ")))
            .expected("rules that are there before the daemon is")
            .fix(format!("link {} to the unit of that name", place.display()))
    };
    idle.map(finding).collect()
}

/// A configuration of nft with what it includes in its place, each file once: one may include itself over and over.
fn included(host: &Host, text: &str, files: &mut BTreeSet<String>) -> String {
    let mut whole = String::new();
    for line in text.lines() {
        let path = line.trim().strip_prefix("include").map(|p| p.trim().trim_matches(['"', '\'', ';']));
        let Some(path) = path.filter(|p| !p.is_empty() && files.len() < INCLUDES) else {
            whole.push_str(line);
            whole.push('\n');
            continue;
        };
        // nft looks in the directory where it was compiled to, which is /etc.
        let path = path
            .strip_prefix('/')
            .map_or_else(|| format!("etc/{path}"), |p| p.trim_start_matches('/').to_owned());
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let wanted = |n: &String| match name.split_once('*') {
            Some((start, end)) => n.starts_with(start) && n.ends_with(end),
            None => n == name,
        };
        for name in host.names(dir).iter().filter(|n| wanted(n)) {
            let path = format!("{dir}/{name}");
            if files.insert(path.clone()) {
                let text = host.read(&path).unwrap_or_default();
                whole.push_str(&included(host, &text, files));
            }
        }
    }
    whole
}
