//! Whether a firewall keeps others from the daemon's port: rulesets are followed as the kernel would follow them
//! for a new TCP connection from a source that no rule names.
//!
//! What such a packet meets is known (`yes`), not met (`no`), or not decidable here (`unsure`: an interface, a
//! destination, a set that changes). IPv4 and IPv6 are told apart.

use std::collections::HashMap;
use std::process::{Command, Stdio};

use common::finding::{Finding, Severity};

use super::listen::listeners;
use super::{Check, Host, unseen};

mod files;
pub(crate) mod iptables;
pub(crate) mod nft;

pub(super) static CHECK: Check = Check {
    id: "firewall",
    severity: Severity::Warning,
    what: "no firewall rule restricts the daemon's port",
    run: firewall,
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
}

/// Whether the packet meets a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Met {
    No,
    Unsure,
    Yes,
}

impl Met {
    pub(crate) fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    pub(crate) fn unless(self, negated: bool) -> Self {
        match self {
            Self::Yes if negated => Self::No,
            Self::No if negated => Self::Yes,
            met => met,
        }
    }
}

/// What becomes of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Accept,
    Drop,
    Unsure,
}

/// What a rule does with a packet that it meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
    /// A queue to a program, a map: not decidable here.
    Unknown,
}

/// A rule for one family: when, and what then. Rules without a verdict only count or log.
pub(crate) type Rule = (Met, Verdict);

/// Calls nested deeper are circles.
const DEPTH: u32 = 32;

/// More calls than this are made to keep us busy.
const CALLS: u32 = 2_000;

/// What may become of a packet in a chain: a set of these.
type Outcomes = u8;
const ACCEPT: Outcomes = 1;
const DROP: Outcomes = 2;
/// It comes out at the end, and what called the chain goes on.
const THROUGH: Outcomes = 4;
const ANY: Outcomes = ACCEPT | DROP | THROUGH;

/// Follows the rules of a chain with this policy.
pub(crate) fn base<'a>(chain: &str, policy: Fate, rules: &mut dyn FnMut(&str) -> Option<&'a [Rule]>) -> Fate {
    let outcomes = Follower { rules, calls: 0, known: HashMap::new() }.follow(chain, 0);
    let end = match policy {
        _ if outcomes & THROUGH == 0 => 0,
        Fate::Accept => ACCEPT,
        Fate::Drop => DROP,
        Fate::Unsure => ACCEPT | DROP,
    };
    match outcomes & !THROUGH | end {
        ACCEPT => Fate::Accept,
        DROP => Fate::Drop,
        _ => Fate::Unsure,
    }
}

/// Follows chains, each once: what a stranger's packet meets in one is the same whoever calls it.
struct Follower<'a, 'r> {
    rules: &'r mut dyn FnMut(&str) -> Option<&'a [Rule]>,
    calls: u32,
    known: HashMap<String, Outcomes>,
}

impl Follower<'_, '_> {
    fn follow(&mut self, chain: &str, depth: u32) -> Outcomes {
        if let Some(known) = self.known.get(chain) {
            return *known;
        }
        self.calls += 1;
        if depth >= DEPTH || self.calls >= CALLS {
            return ANY;
        }
        // Whoever comes here again before it is known is in a circle.
        self.known.insert(chain.to_owned(), ANY);
        let outcomes = (self.rules)(chain).map_or(ANY, |list| self.list(list, depth));
        self.known.insert(chain.to_owned(), outcomes);
        outcomes
    }

    fn list(&mut self, list: &[Rule], depth: u32) -> Outcomes {
        let mut outcomes = 0;
        for (met, verdict) in list.iter().filter(|(met, _)| *met != Met::No) {
            // What it leads to, and whether the next rule may be reached from it.
            let (to, goes_on) = match verdict {
                Verdict::Accept => (ACCEPT, false),
                Verdict::Drop => (DROP, false),
                Verdict::Return => (THROUGH, false),
                Verdict::Unknown => (ACCEPT | DROP, true),
                Verdict::Goto(to) => (self.follow(to, depth + 1), false),
                Verdict::Jump(to) => {
                    let to = self.follow(to, depth + 1);
                    (to & !THROUGH, to & THROUGH != 0)
                }
            };
            outcomes |= to;
            if *met == Met::Yes && !goes_on {
                return outcomes;
            }
        }
        outcomes | THROUGH
    }
}

/// Whether a rule with a limit is met: a limited accept lets through what it meets, now and then; a limited drop keeps
/// nobody out; and what leads elsewhere does so for some packets and not for others.
fn within_limit(limited: bool, verdict: &Verdict) -> Met {
    match verdict {
        _ if !limited => Met::Yes,
        Verdict::Accept => Met::Yes,
        Verdict::Drop => Met::No,
        _ => Met::Unsure,
    }
}

/// Whether an address is that of a source that no rule names: it is not in a network, but in one as wide as an eighth
/// of all addresses or more it may be.
fn everybody(address: &str) -> Met {
    let Some((network, bits)) = address.split_once('/') else { return Met::No };
    match bits {
        "0" | "0.0.0.0" | "::" => Met::Yes,
        // All unicast addresses in use.
        "3" if network.contains(':') => Met::Yes,
        "1" | "2" | "3" | "128.0.0.0" | "192.0.0.0" | "224.0.0.0" => Met::Unsure,
        _ => Met::No,
    }
}

/// One drop is enough; a doubt anywhere is a doubt.
pub(crate) fn worst(fates: impl IntoIterator<Item = Fate>) -> Fate {
    fates.into_iter().fold(Fate::Accept, |all, fate| match (all, fate) {
        (Fate::Drop, _) | (_, Fate::Drop) => Fate::Drop,
        (Fate::Unsure, _) | (_, Fate::Unsure) => Fate::Unsure,
        _ => Fate::Accept,
    })
}

/// The rulesets of a host, and the names that services have for the port.
#[derive(Debug, Default)]
struct Rulesets {
    nft: Vec<String>,
    v4: Vec<String>,
    v6: Vec<String>,
}

impl Rulesets {
    fn fate(&self, family: Family, port: &Port) -> Option<Fate> {
        let nft = self.nft.iter().map(|text| nft::fate(text, family, port));
        let tables = if family == Family::V4 { &self.v4 } else { &self.v6 };
        let fates: Vec<Fate> = nft.chain(tables.iter().map(|text| iptables::fate(text, port))).collect();
        (!fates.is_empty()).then(|| worst(fates))
    }
}

/// The port, and what `/etc/services` calls it.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) names: Vec<String>,
}

impl Port {
    fn of(host: &Host) -> Self {
        let services = host.read("etc/services").unwrap_or_default();
        let number = host.port;
        let wanted = format!("{number}/tcp");
        let lines = services.lines().map(|l| l.split('#').next().unwrap_or(""));
        let fields = lines.map(|l| l.split_whitespace().collect::<Vec<_>>());
        let named = fields.filter(|f| f.get(1).is_some_and(|p| *p == wanted));
        let names = named.flat_map(|f| {
            f.into_iter().enumerate().filter(|(i, _)| *i != 1).map(|(_, n)| n.to_owned()).collect::<Vec<_>>()
        });
        Self { number, names: names.collect() }
    }

    /// Whether one of `1778`, `1700-1800`, `1700:1800`, `ssh` is the port.
    pub(crate) fn is(&self, text: &str) -> Met {
        let bound = |t: &str, open: u16| if t.is_empty() { Some(open) } else { t.parse::<u16>().ok() };
        if let Some((low, high)) = text.split_once(':').or_else(|| text.split_once('-'))
            && let (Some(low), Some(high)) = (bound(low, 0), bound(high, u16::MAX))
        {
            return Met::of((low..=high).contains(&self.number));
        }
        match text.parse::<u16>() {
            Ok(port) => Met::of(port == self.number),
            Err(_) if text.starts_with(['@', '$']) => Met::Unsure,
            Err(_) => Met::of(self.names.iter().any(|n| n == text)),
        }
    }
}

fn firewall(host: &Host, check: &Check) -> Vec<Finding> {
    let mut families = vec![Family::V4, Family::V6];
    let mut served = true;
    if host.live {
        let listeners = match listeners(host) {
            Ok(l) => l.into_iter().map(|l| l.address).collect::<Vec<_>>(),
            Err(note) => return vec![*note],
        };
        served = !listeners.is_empty();
        if served {
            // A port that only this host can reach needs no firewall.
            let open: Vec<_> = listeners.into_iter().filter(|a| !a.is_loopback()).collect();
            // A socket on all IPv6 addresses usually takes IPv4, too.
            let v6 = open.iter().any(std::net::IpAddr::is_ipv6);
            let v4 = open.iter().any(|a| a.is_ipv4() || a.is_unspecified());
            families.retain(|f| if *f == Family::V4 { v4 } else { v6 });
        }
    }
    if families.is_empty() {
        return Vec::new();
    }
    let rulesets = if host.live { running() } else { files::configured(host) };
    let port = Port::of(host);
    let mut found = if host.live { Vec::new() } else { files::not_loaded(host, check) };
    for family in families {
        let subject = format!("port {}, {}", port.number, family.name());
        match rulesets.fate(family, &port) {
            Some(Fate::Drop) => {}
            Some(Fate::Unsure) => found.push(unseen(
                subject,
                "the firewall has rules that may restrict the port, but by what cannot be told here: interfaces, destinations, sets",
            )),
            Some(Fate::Accept) => {
                let mut finding = open(host, check, &subject, family);
                if !served {
                    finding.severity = Severity::Note;
                    finding.found = "nothing listens here yet, and nothing in the firewall would keep other hosts out".into();
                }
                found.push(finding);
            }
            None if host.live => found.push(unseen(
                subject,
                "neither nft nor iptables could be asked for rules: they are not installed, or want root",
            )),
            None => found.push(unseen(subject, "this root has no firewall configuration that is known")),
        }
    }
    found
}

fn open(host: &Host, check: &Check, subject: &str, family: Family) -> Finding {
    let ip = if family == Family::V4 { "ip" } else { "ip6" };
    let rule = format!("tcp dport {} {ip} saddr != CLIENTS drop", host.port);
    let fix = match host.live {
        true => format!(
            "nft add table inet profguard; nft add chain inet profguard input '{{ type filter hook input priority -1; }}'; \
             nft add rule inet profguard input {rule}, with the clients' network for CLIENTS"
        ),
        false => format!(
            "in {}: table inet profguard {{ chain input {{ type filter hook input priority -1; {rule} }} }}, with the \
             clients' network for CLIENTS",
            host.shown("etc/nftables.conf").display()
        ),
    };
    check
        .finding(subject)
        .found("nothing in the firewall keeps other hosts from the port")
        .expected("a rule that lets only the clients' addresses reach the port")
        .fix(fix)
}

fn running() -> Rulesets {
    let ask = |program, args: &[&str]| output(program, args).into_iter().collect();
    Rulesets {
        nft: ask("nft", &["-nn", "list", "ruleset"]),
        v4: ask("iptables-save", &[]),
        v6: ask("ip6tables-save", &[]),
    }
}

/// What a program of the system answers, where it can be asked.
pub(super) fn output(program: &str, args: &[&str]) -> Option<String> {
    let place = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().map(|d| format!("{d}/{program}"));
    let path = place.into_iter().find(|p| std::path::Path::new(p).exists())?;
    let answer = Command::new(path).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
}

#[cfg(test)]
pub(crate) mod tests;
