//! A rule of iptables: its matches and its target, iptables-extensions(8). Matches that are not understood leave open
//! whether the rule applies.

use std::iter::Peekable;

use crate::host::firewall::address::parse_span;
use crate::host::firewall::follow::{ConditionMet, EvaluatedRule, RuleVerdict};
use crate::host::firewall::packet::{
    ADDRESS_TYPES, ESTABLISHED, HookPlace, INVALID, LOCAL, NEW, Packet, RELATED, RateLimit, UNTRACKED,
};

/// Evaluates rules at one place.
pub(super) struct IptablesEvaluator<'a> {
    pub(super) packet: &'a Packet<'a>,
    pub(super) place: HookPlace,
    pub(super) is_chain: &'a dyn Fn(&str) -> bool,
}

/// A rule while it is read.
#[derive(Debug, Default)]
struct RuleParts {
    met: Option<ConditionMet>,
    limit: Option<RateLimit>,
    /// The target of `-j`, or of `-g`.
    target: Option<(String, bool)>,
    /// The address or port that a target sends packets to.
    to: Option<String>,
    untracks: bool,
    /// It is about headers that the packet does not have.
    absent: bool,
}

type RuleWords<'w> = Peekable<Box<dyn Iterator<Item = &'w str> + 'w>>;

impl IptablesEvaluator<'_> {
    /// `None` for a rule that decides nothing.
    pub(super) fn evaluate_rule(&self, words: &[String]) -> Option<EvaluatedRule> {
        let mut parts = RuleParts::default();
        let words: Box<dyn Iterator<Item = &str>> = Box::new(words.iter().map(String::as_str));
        let mut args = words.peekable();
        let mut negated = false;
        while let Some(arg) = args.next() {
            if arg == "!" {
                negated = !negated;
                continue;
            }
            let one = self.match_option(arg, &mut args, &mut parts).negate_if(std::mem::take(&mut negated));
            parts.met = parts.met.min(Some(one)).or(Some(one));
        }
        let met = if parts.absent { ConditionMet::No } else { parts.met.unwrap_or(ConditionMet::Yes) };
        let (target, goes) = parts.target.take()?;
        let verdict =
            if goes { RuleVerdict::Goto(target) } else { self.target_verdict(&target, met, &parts)? };
        if met == ConditionMet::No {
            return None;
        }
        Some((met.min(self.packet.match_limit(parts.limit, &verdict)), verdict))
    }

    /// Reads an option with its values.
    fn match_option(&self, arg: &str, args: &mut RuleWords<'_>, parts: &mut RuleParts) -> ConditionMet {
        let mut value = || args.next().unwrap_or("");
        let reply = self.place.reply;
        match arg {
            "-m" | "--match" => self.match_module(value(), parts),
            "-p" | "--protocol" => match value() {
                "all" => ConditionMet::Yes,
                name => match Packet::protocol_number(name) {
                    Some(number) => ConditionMet::from_bool(matches!(number, 0 | 6)),
                    None => self.packet.note_doubt(name),
                },
            },
            "--dport" | "--destination-port" | "--dports" | "--destination-ports" => {
                self.match_ports(value(), !reply)
            }
            "--sport" | "--source-port" | "--sports" | "--source-ports" => self.match_ports(value(), reply),
            "--ports" => match self.match_ports(value(), true) {
                ConditionMet::Yes => ConditionMet::Yes,
                // The other host's port is not known.
                _ => self.packet.note_doubt(arg),
            },
            "-s" | "--source" | "--src" | "--src-range" => self.match_addresses(value(), reply),
            "-d" | "--destination" | "--dst" | "--dst-range" => self.match_addresses(value(), !reply),
            "-i" | "--in-interface" => self.match_interface(value(), reply),
            "-o" | "--out-interface" => self.match_interface(value(), !reply),
            "--ctstate" | "--state" => self.match_state(value()),
            "--ctdir" => ConditionMet::from_bool((value() == "REPLY") == reply),
            "--syn" => ConditionMet::from_bool(!reply),
            "--tcp-flags" => {
                let (mask, wanted) = (tcp_flags(value()), tcp_flags(args.next().unwrap_or("")));
                self.match_tcp_flags(mask, wanted)
            }
            "--dst-type" if !reply => self.match_own_address_type(value()),
            "--src-type" if reply => self.match_own_address_type(value()),
            "--pkt-type" if !reply => match value() {
                "unicast" => ConditionMet::Yes,
                "broadcast" | "multicast" => ConditionMet::No,
                other => self.packet.note_doubt(other),
            },
            "-c" | "--set-counters" => {
                value();
                args.next();
                ConditionMet::Yes
            }
            // They describe, or belong to a target or to a limit.
            "--comment" | "--log-prefix" | "--log-level" | "--reject-with" | "--limit" | "--limit-burst"
            | "--nflog-group" | "--nflog-prefix" | "--set-mark" | "--set-xmark" => {
                value();
                ConditionMet::Yes
            }
            "--match-set" => {
                let set = value().to_owned();
                args.next();
                self.packet.note_doubt(&format!("set {set}"))
            }
            "--to-ports" | "--to-destination" | "--on-port" => {
                parts.to = Some(value().to_owned());
                ConditionMet::Yes
            }
            "--notrack" => {
                parts.untracks = true;
                ConditionMet::Yes
            }
            "-j" | "--jump" | "-g" | "--goto" => {
                parts.target = Some((value().to_owned(), matches!(arg, "-g" | "--goto")));
                ConditionMet::Yes
            }
            _ => {
                // Its value, if it takes one, is none of the options that are known.
                if args.peek().is_some_and(|next| !next.starts_with('-') && *next != "!") {
                    args.next();
                }
                self.packet.note_doubt(arg)
            }
        }
    }

    fn match_module(&self, name: &str, parts: &mut RuleParts) -> ConditionMet {
        match name {
            // Their options follow, or they only describe.
            "tcp" | "comment" | "multiport" | "conntrack" | "state" | "iprange" | "pkttype" | "set"
            | "addrtype" => ConditionMet::Yes,
            "limit" => {
                parts.limit =
                    if parts.limit.is_none() { Some(RateLimit::Under) } else { Some(RateLimit::Unknown) };
                ConditionMet::Yes
            }
            "udp" | "icmp" | "icmp6" | "ipv6-icmp" | "sctp" | "dccp" => ConditionMet::No,
            // Extension headers of IPv6, which a plain packet does not have.
            "rt" | "frag" | "hbh" | "dst" | "mh" | "ah" | "esp" => {
                parts.absent = true;
                ConditionMet::No
            }
            _ => self.packet.note_doubt(&format!("-m {name}")),
        }
    }

    /// `22,1700:1800`, of the daemon's side or of the other.
    fn match_ports(&self, list: &str, own: bool) -> ConditionMet {
        if !own {
            return self.packet.note_doubt("the other host's port");
        }
        let met =
            list.split(',').map(|p| self.packet.port.matches_text(p)).max().unwrap_or(ConditionMet::Unsure);
        if met == ConditionMet::Unsure { self.packet.note_doubt("a service") } else { met }
    }

    fn match_addresses(&self, list: &str, own: bool) -> ConditionMet {
        let spans: Vec<_> = list.split(',').map(|text| parse_span(text, self.packet.family)).collect();
        if own { self.packet.own_address_in(&spans) } else { self.packet.other_host_in(&spans) }
    }

    /// A name, or the beginning of one before `+`.
    fn match_interface(&self, name: &str, other_side: bool) -> ConditionMet {
        match name {
            "+" => ConditionMet::Yes,
            _ if other_side => self.packet.note_doubt(&format!("interface {name}")),
            _ => self.packet.interface_is(name),
        }
    }

    fn match_state(&self, list: &str) -> ConditionMet {
        let bits = |name: &str| match name {
            "INVALID" => Some(INVALID),
            "ESTABLISHED" => Some(ESTABLISHED),
            "RELATED" => Some(RELATED),
            "NEW" => Some(NEW),
            "UNTRACKED" => Some(UNTRACKED),
            _ => None,
        };
        // A state may be listed more than once.
        let listed = list.split(',').filter_map(bits).fold(0, |all, bit| all | bit);
        let met = ConditionMet::common_answer(
            self.packet.ct_states(self.place).iter().map(|s| ConditionMet::from_bool(s & listed != 0)),
        );
        let others = list.split(',').filter(|name| bits(name).is_none()).map(|name| match name {
            "DNAT" => self.packet.is_translated(),
            _ => self.packet.note_doubt(name),
        });
        if met == ConditionMet::Yes { met } else { others.fold(met, ConditionMet::max) }
    }

    fn match_own_address_type(&self, list: &str) -> ConditionMet {
        let number =
            |name: &str| ADDRESS_TYPES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, n)| *n);
        let met = list
            .split(',')
            .map(|name| number(name).map_or(ConditionMet::Unsure, |n| ConditionMet::from_bool(n == LOCAL)))
            .max();
        met.unwrap_or(ConditionMet::Unsure)
    }

    fn match_tcp_flags(&self, mask: Option<u128>, wanted: Option<u128>) -> ConditionMet {
        let (Some(mask), Some(wanted)) = (mask, wanted) else { return self.packet.note_doubt("--tcp-flags") };
        ConditionMet::common_answer(
            Packet::tcp_flags(self.place).iter().map(|flags| ConditionMet::from_bool(flags & mask == wanted)),
        )
    }

    /// The verdict of a target; `None` where the packet goes on.
    fn target_verdict(&self, name: &str, met: ConditionMet, parts: &RuleParts) -> Option<RuleVerdict> {
        Some(match name {
            "ACCEPT" => RuleVerdict::Accept,
            "DROP" | "REJECT" => RuleVerdict::Drop,
            "RETURN" => RuleVerdict::Return,
            "REDIRECT" | "DNAT" | "NETMAP" | "DNPT" | "TPROXY" => {
                self.note_diversion(name, met, parts.to.as_deref());
                RuleVerdict::Accept
            }
            // They end the table `nat`, and the packet passes.
            "SNAT" | "MASQUERADE" => RuleVerdict::Accept,
            "CT" | "NOTRACK" => {
                if met != ConditionMet::No && (parts.untracks || name == "NOTRACK") {
                    self.packet.note_untracked();
                }
                return None;
            }
            "LOG" | "NFLOG" | "ULOG" | "MARK" | "CONNMARK" | "TRACE" | "AUDIT" | "CLASSIFY" | "TOS"
            | "DSCP" | "TCPMSS" | "TTL" | "HL" | "SECMARK" | "CONNSECMARK" | "CHECKSUM" | "SET" => {
                return None;
            }
            chain if (self.is_chain)(chain) => RuleVerdict::Jump(chain.to_owned()),
            extension => {
                self.packet.note_doubt(&format!("-j {extension}"));
                if self.place.diverts {
                    self.packet.diverted_from.set(self.packet.diverted_from.get() || met != ConditionMet::No);
                    self.packet.diverted_to.set(true);
                }
                RuleVerdict::Unknown
            }
        })
    }

    /// Notes whether a target sends packets from the port, or to it.
    fn note_diversion(&self, name: &str, met: ConditionMet, to: Option<&str>) {
        if !self.place.diverts {
            return;
        }
        if met != ConditionMet::No {
            self.packet.note_doubt("packets to the port are sent elsewhere");
            self.packet.diverted_from.set(true);
        }
        if to.is_some_and(|to| self.may_lead_to_port(name, to)) {
            self.packet.note_doubt("packets to other ports are sent to the port");
            self.packet.diverted_to.set(true);
            // An intercepted packet keeps its port, and the table `filter` sees this port.
            self.packet.diverted_from.set(self.packet.diverted_from.get() || name == "TPROXY");
        }
    }

    /// `1778`, `1700-1800`, `10.0.0.1:80`, `10.0.0.1:80-90/8080`, `[::1]:80`.
    fn may_lead_to_port(&self, target: &str, to: &str) -> bool {
        let ports = match target {
            "DNAT" if to.parse::<std::net::Ipv6Addr>().is_ok() => return false,
            "DNAT" => match to.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
                Some((_, ports)) => ports,
                None => return false,
            },
            _ => to,
        };
        self.packet.port.matches_text(ports.split('/').next().unwrap_or_default()) != ConditionMet::No
    }
}

/// The bits of a list of flags, such as `SYN,ACK`.
fn tcp_flags(list: &str) -> Option<u128> {
    list.split(',').try_fold(0, |all, name| {
        let bits = match name {
            "FIN" => 0x01,
            "SYN" => 0x02,
            "RST" => 0x04,
            "PSH" => 0x08,
            "ACK" => 0x10,
            "URG" => 0x20,
            "ALL" => 0x3F,
            "NONE" => 0,
            _ => return None,
        };
        Some(all | bits)
    })
}
