//! Whether a firewall keeps other hosts from the daemon's port. Rulesets are evaluated as the kernel does, for the
//! first packet of a TCP connection from a source that no rule names.
//!
//! The result is certain, or undecided: a condition that is not understood leaves open whether its rule applies, and
//! a statement that is not understood leaves open everything. IPv4 and IPv6 are evaluated apart.

use std::collections::BTreeSet;

use common::finding::{Finding, Severity};

use super::listen::find_listeners;
use common::rule::Rule;

use super::{AuditedHost, HostCheck, note_unseen};

mod address;
pub(crate) mod ask;
mod decide;
mod files;
mod follow;
pub(crate) mod iptables;
mod loaded;
pub(crate) mod nft;
mod packet;

use follow::{ConditionMet, PacketFate};
use iptables::IptablesTables;
use nft::Ruleset;

pub(super) static CHECK: HostCheck = HostCheck {
    rule: Rule {
        id: "firewall",
        severity: Severity::Error,
        what: "no firewall rule restricts the daemon's port",
        why: "Every host that reaches the port can attack the daemon before it has authenticated.",
        fix: "the commands of nft that the finding names, with the clients' network for CLIENTS; write the same to /etc/nftables.conf, which is loaded at boot",
        reference: "msMonitor security statement, communication; nft(8); iptables(8)",
    },
    run: check_firewall,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The family of nftables tables that iptables-nft or ip6tables-nft keeps (xtables-nft(8)).
    fn table_family(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }
}

/// The rulesets of a host.
#[derive(Debug, Default)]
struct HostRulesets {
    nft: Vec<Ruleset>,
    v4: Vec<IptablesTables>,
    v6: Vec<IptablesTables>,
    /// They are the kernel's: iptables and nft list the same tables where iptables keeps them in nftables.
    live: bool,
    /// Sources of rules that could not be read, and the reasons.
    unseen: Vec<(String, String)>,
}

impl HostRulesets {
    fn not_seen(&mut self, source: String, reason: String) {
        self.unseen.push((source, reason));
    }

    fn is_empty(&self) -> bool {
        self.nft.is_empty() && self.v4.is_empty() && self.v6.is_empty()
    }
}

/// The port, and the names of services in `/etc/services`.
#[derive(Clone, Debug)]
pub(crate) struct DaemonPort {
    pub(crate) number: u16,
    pub(crate) names: Vec<String>,
    /// Names of services on other ports.
    others: BTreeSet<String>,
}

impl DaemonPort {
    fn from_host(host: &AuditedHost, port: u16) -> Self {
        Self::from_services(port, &host.read_file("etc/services").unwrap_or_default())
    }

    /// Reads lines such as `prodigy-internet 1778/tcp alias`, services(5).
    pub(crate) fn from_services(number: u16, services: &str) -> Self {
        let mut port = Self { number, names: Vec::new(), others: BTreeSet::new() };
        for line in services.lines().map(|l| l.split('#').next().unwrap_or("")) {
            let mut fields = line.split_whitespace();
            let (Some(name), Some(entry)) = (fields.next(), fields.next()) else { continue };
            let Some(entry) = entry.strip_suffix("/tcp") else { continue };
            let names = std::iter::once(name).chain(fields).map(str::to_owned);
            if entry.parse() == Ok(number) { port.names.extend(names) } else { port.others.extend(names) }
        }
        port
    }

    /// Whether one of `1778`, `1700-1800`, `1700:1800`, `ssh` is the port.
    pub(crate) fn matches_text(&self, text: &str) -> ConditionMet {
        let bound = |t: &str, open: u16| if t.is_empty() { Some(open) } else { t.parse::<u16>().ok() };
        let range = text.split_once(':').or_else(|| text.split_once('-'));
        if let Some((low, high)) = range.and_then(|(l, h)| bound(l, 0).zip(bound(h, u16::MAX))) {
            return ConditionMet::from_bool((low..=high).contains(&self.number));
        }
        match text.parse::<u16>() {
            Ok(port) => ConditionMet::from_bool(port == self.number),
            Err(_) if self.names.iter().any(|n| n == text) => ConditionMet::Yes,
            Err(_) if self.others.contains(text) => ConditionMet::No,
            Err(_) => ConditionMet::Unsure,
        }
    }
}

fn check_firewall(host: &AuditedHost, check: &HostCheck) -> Vec<Finding> {
    let (mut found, mut known) = (Vec::new(), None);
    for port in host.daemon_ports() {
        let (families, served) = match find_open_families(host, port) {
            Ok(open) => open,
            Err(note) => return vec![*note],
        };
        if families.is_empty() {
            continue;
        }
        let rulesets = known.get_or_insert_with(|| {
            let rulesets = if host.live { ask::read_running(host) } else { files::read_configured(host) };
            if !host.live {
                found.extend(files::find_unloaded(host, check));
            }
            found.extend(rulesets.unseen.iter().map(|(source, reason)| note_unseen(source, reason.as_str())));
            rulesets
        });
        let port = DaemonPort::from_host(host, port);
        let judged =
            families.into_iter().filter_map(|f| judge_family(host, check, rulesets, &port, f, served));
        found.extend(judged);
    }
    found
}

/// The families by which other hosts reach the port unless a firewall keeps them out, and whether anything listens on it. A
/// port that only this host can reach needs no firewall.
fn find_open_families(host: &AuditedHost, port: u16) -> Result<(Vec<Family>, bool), Box<Finding>> {
    let mut families = vec![Family::V4, Family::V6];
    if !host.live {
        return Ok((families, true));
    }
    let listeners: Vec<_> = find_listeners(host, port)?.into_iter().map(|l| l.address).collect();
    let served = !listeners.is_empty();
    if served {
        let open: Vec<_> = listeners.into_iter().filter(|a| !a.is_loopback()).collect();
        // A socket on all IPv6 addresses usually takes IPv4, too.
        let v6 = open.iter().any(std::net::IpAddr::is_ipv6);
        let v4 = open.iter().any(|a| a.is_ipv4() || a.is_unspecified());
        families.retain(|f| if *f == Family::V4 { v4 } else { v6 });
    }
    Ok((families, served))
}

/// The finding about one family; none where other hosts are kept out.
fn judge_family(
    host: &AuditedHost,
    check: &HostCheck,
    rulesets: &HostRulesets,
    port: &DaemonPort,
    family: Family,
    served: bool,
) -> Option<Finding> {
    let subject = format!("port {}, {}", port.number, family.name());
    if rulesets.is_empty() {
        let sources: Vec<&str> = rulesets.unseen.iter().map(|(source, _)| source.as_str()).collect();
        let why = match host.live {
            true => {
                "neither nft nor iptables could list rules: they are not installed, or need root".to_owned()
            }
            false if !sources.is_empty() => format!(
                "unsure whether the firewall keeps other hosts from the port: the rules of {} are not known",
                sources.join(" and ")
            ),
            false => "no known firewall configuration in this root".to_owned(),
        };
        return Some(note_unseen(subject, why));
    }
    match rulesets.decide_fate(family, port) {
        (PacketFate::Drop, _) => None,
        (PacketFate::Accept, _) if rulesets.unseen.is_empty() => {
            let mut finding = open_finding(host, check, port.number, &subject, family);
            if !served {
                finding.severity = Severity::Note;
                finding.found =
                    "nothing listens here yet, and nothing in the firewall would keep other hosts out".into();
            }
            Some(finding)
        }
        (PacketFate::Accept, _) => Some(note_unseen(
            subject,
            "no rule that could be read keeps other hosts from the port, but not all rules could be read",
        )),
        (PacketFate::Unsure, doubts) => Some(note_unseen(subject, describe_doubts(&doubts))),
    }
}

fn describe_doubts(doubts: &[String]) -> String {
    let doubts = if doubts.is_empty() { "its rules".to_owned() } else { doubts.join("; ") };
    format!("unsure whether the firewall keeps other hosts from the port. Not decidable here: {doubts}")
}

fn open_finding(host: &AuditedHost, check: &HostCheck, port: u16, subject: &str, family: Family) -> Finding {
    let ip = if family == Family::V4 { "ip" } else { "ip6" };
    let rule = format!("tcp dport {port} {ip} saddr != CLIENTS drop");
    let fix = match host.live {
        true => format!(
            "nft add table inet profguard; nft add chain inet profguard input '{{ type filter hook input priority -1; }}'; \
             nft add rule inet profguard input {rule}, with the clients' network for CLIENTS; and the same in \
             /etc/nftables.conf, because it is lost at the next start otherwise"
        ),
        false => format!(
            "in {}: table inet profguard {{ chain input {{ type filter hook input priority -1; {rule} }} }}, with the \
             clients' network for CLIENTS",
            host.display_path("etc/nftables.conf").display()
        ),
    };
    check
        .finding(subject)
        .found("nothing in the firewall keeps other hosts from the port")
        .expected("a rule that lets only the clients' addresses reach the port")
        .fix(fix)
}

/// Reads a text in every form and evaluates it, for fuzzing.
pub(crate) fn evaluate_any(text: &str) {
    let port = DaemonPort::from_services(1778, "");
    let nft = std::iter::once(Ruleset::from_text(text)).chain(Ruleset::from_json(text).ok()).collect();
    let rulesets = HostRulesets {
        nft,
        v4: vec![IptablesTables::parse(text)],
        v6: vec![IptablesTables::parse(text)],
        ..HostRulesets::default()
    };
    rulesets.decide_fate(Family::V4, &port);
    rulesets.decide_fate(Family::V6, &port);
}

#[cfg(test)]
pub(crate) mod tests;
