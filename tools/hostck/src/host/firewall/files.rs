//! The rulesets in the files of an image, and whether a service loads them at boot.

use common::finding::Finding;

use super::iptables::IptablesTables;
use super::nft::Ruleset;
use super::{AuditedHost, Family, HostCheck, HostRulesets};

/// Maximum number of included bytes, a bound for hostile configuration.
const INCLUDED: usize = 64 << 20;

/// The least that an included file counts for.
const FILE: usize = 64 << 10;

/// Includes nested deeper are an error of nft (`MAX_INCLUDE_DEPTH`, include/parser.h).
const DEPTH: usize = 16;

/// Files of nft, of iptables and of ip6tables.
pub(super) const NFT: [&str; 2] = ["etc/nftables.conf", "etc/sysconfig/nftables.conf"];
const V4: [&str; 2] = ["etc/iptables/rules.v4", "etc/sysconfig/iptables"];
const V6: [&str; 2] = ["etc/iptables/rules.v6", "etc/sysconfig/ip6tables"];

/// Services that generate rules from files that are not read here, and the file that each is configured by. How they are
/// started differs between distributions, so a service whose file exists counts as started unless it is switched off.
const MANAGERS: [(&str, &str); 7] = [
    ("ufw", "etc/ufw/ufw.conf"),
    ("firewalld", "etc/firewalld/firewalld.conf"),
    ("shorewall", "etc/shorewall/shorewall.conf"),
    ("shorewall6", "etc/shorewall6/shorewall6.conf"),
    ("ferm", "etc/ferm/ferm.conf"),
    ("awall", "etc/awall/optional"),
    ("firehol", "etc/firehol/firehol.conf"),
];

/// The plugins of netfilter-persistent, each of which loads rules, and those of iptables-persistent 1.0.20, which load the
/// files [`V4`] and [`V6`] have first.
const PLUGINS: &str = "usr/share/netfilter-persistent/plugins.d";
const IPTABLES_PLUGINS: [&str; 2] = ["15-ip4tables", "25-ip6tables"];

/// Lines of these files that switch a service off.
const SWITCHED_OFF: [&str; 2] = ["ENABLED=no", "STARTUP_ENABLED=No"];

/// The files that iptables-restore or ip6tables-restore loads.
pub(super) fn iptables_files(family: Family) -> [&'static str; 2] {
    if family == Family::V4 { V4 } else { V6 }
}

pub(super) fn read_configured(host: &AuditedHost) -> HostRulesets {
    let mut rulesets = HostRulesets::default();
    for (path, text) in read_all(host, &NFT, &mut rulesets) {
        let mut files = vec![path];
        let mut left = INCLUDED;
        rulesets.nft.push(Ruleset::from_text(&expand_includes(host, &text, &mut files, &mut left)));
    }
    let v4 = read_all(host, &V4, &mut rulesets);
    rulesets.v4 = v4.iter().map(|(_, text)| IptablesTables::parse(text)).collect();
    let v6 = read_all(host, &V6, &mut rulesets);
    rulesets.v6 = v6.iter().map(|(_, text)| IptablesTables::parse(text)).collect();
    for (manager, _) in MANAGERS.iter().filter(|(name, file)| is_started(host, name, file)) {
        rulesets.not_seen((*manager).to_owned(), "it generates firewall rules at boot".into());
    }
    let plugins = host.list_names(PLUGINS);
    for plugin in plugins.iter().filter(|name| !IPTABLES_PLUGINS.contains(&name.as_str())) {
        let reason = format!("its plugin {plugin} loads rules that are not read here");
        rulesets.not_seen("netfilter-persistent".to_owned(), reason);
    }
    rulesets
}

/// Whether a service that manages a firewall may be started: its unit is enabled, or its configuration is there.
fn is_started(host: &AuditedHost, name: &str, file: &str) -> bool {
    let masked = host.read_link(&format!("etc/systemd/system/{name}.service"));
    if masked.is_some_and(|target| target == "/dev/null") {
        return false;
    }
    let off = |text: String| {
        text.lines().any(|line| SWITCHED_OFF.iter().any(|off| line.trim().replace('"', "") == *off))
    };
    match host.read_file(file) {
        Ok(text) => !off(text),
        Err(e) => e.kind() != std::io::ErrorKind::NotFound || host.is_enabled(&[name]),
    }
}

/// Reads the files that exist. One that cannot be read is recorded as unseen.
fn read_all(host: &AuditedHost, paths: &[&str], rulesets: &mut HostRulesets) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for path in paths {
        match host.read_file(path) {
            Ok(text) => texts.push(((*path).to_owned(), text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => {
                rulesets.not_seen(host.display_path(path).display().to_string(), common::error::io_reason(&e))
            }
        }
    }
    texts
}

/// Finds files of rules that no enabled service loads.
pub(super) fn find_unloaded(host: &AuditedHost, check: &HostCheck) -> Vec<Finding> {
    let files: [(&str, &[&str]); 6] = [
        ("etc/nftables.conf", &["nftables"]),
        ("etc/sysconfig/nftables.conf", &["nftables"]),
        ("etc/iptables/rules.v4", &["netfilter-persistent", "iptables"]),
        ("etc/iptables/rules.v6", &["netfilter-persistent", "ip6tables"]),
        ("etc/sysconfig/iptables", &["iptables"]),
        ("etc/sysconfig/ip6tables", &["ip6tables"]),
    ];
    let idle = files.into_iter().filter(|(path, units)| host.stat(path).is_ok() && !host.is_enabled(units));
    let finding = |(path, units): (&str, &[&str])| {
        check
            .finding(host.display_path(path))
            .found(format!("not loaded at boot: {} is not enabled", units.join(" or ")))
            .expected("rules that are loaded before the daemon starts")
            .fix(format!("systemctl {}enable {}", host.root_option(), units[0]))
    };
    idle.map(finding).collect()
}

/// Replaces the includes of a configuration of nft by the files. A line stays, and is not understood, if its file is
/// missing, includes itself, or exceeds the limits.
fn expand_includes(host: &AuditedHost, text: &str, files: &mut Vec<String>, left: &mut usize) -> String {
    let mut whole = String::new();
    for line in text.lines() {
        let path = line.trim().strip_prefix("include").map(|p| p.trim().trim_matches(['"', '\'', ';', ' ']));
        match path.filter(|p| !p.is_empty()).and_then(|path| read_include(host, path, files, left)) {
            Some(text) => whole.push_str(&text),
            None => whole.push_str(line),
        }
        whole.push('\n');
    }
    whole
}

/// Reads the files that a path with wildcards names; `None` if one cannot be read.
fn read_include(host: &AuditedHost, path: &str, files: &mut Vec<String>, left: &mut usize) -> Option<String> {
    // nft looks in the directory that it was compiled with, which is /etc.
    let path = match path.strip_prefix('/') {
        Some(absolute) => absolute.trim_start_matches('/').to_owned(),
        None => format!("etc/{path}"),
    };
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let names = match name.split_once('*') {
        // Without a match a pattern includes nothing; other patterns are not understood.
        Some((start, end)) if !format!("{dir}{start}{end}").contains(['*', '?', '[']) => {
            let wanted =
                |n: &String| n.len() >= start.len() + end.len() && n.starts_with(start) && n.ends_with(end);
            host.list_names(dir).into_iter().filter(wanted).collect()
        }
        Some(_) => return None,
        None => vec![name.to_owned()],
    };
    let mut whole = String::new();
    for name in names {
        let path = format!("{dir}/{name}");
        if files.contains(&path) || files.len() > DEPTH {
            return None;
        }
        let text = host.read_file(&path).ok()?;
        *left = left.checked_sub(text.len().max(FILE))?;
        files.push(path);
        whole.push_str(&expand_includes(host, &text, files, left));
        files.pop();
    }
    Some(whole)
}
