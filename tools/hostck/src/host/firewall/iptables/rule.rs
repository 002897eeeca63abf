//! A rule of iptables: its matches and its target, iptables-extensions(8). Matches that are not understood leave open
//! whether the rule applies.

use std::iter::Peekable;

use crate::host::firewall::address::parse_span;
use crate::host::firewall::follow::{Met, Rule, Verdict};
use crate::host::firewall::packet::{
    ADDRESS_TYPES, ESTABLISHED, INVALID, LOCAL, Limit, NEW, Packet, Place, RELATED, UNTRACKED,
};

/// Evaluates rules at one place.
pub(super) struct Eval<'a> {
    pub(super) packet: &'a Packet<'a>,
    pub(super) place: Place,
    pub(super) is_chain: &'a dyn Fn(&str) -> bool,
}

/// A rule while it is read.
#[derive(Debug, Default)]
struct Parts {
    met: Option<Met>,
    limit: Option<Limit>,
    /// The target of `-j`, or of `-g`.
    target: Option<(String, bool)>,
    /// The address or port that a target sends packets to.
    to: Option<String>,
    untracks: bool,
    /// It is about headers that the packet does not have.
    absent: bool,
}

type Args<'w> = Peekable<Box<dyn Iterator<Item = &'w str> + 'w>>;

impl Eval<'_> {
    /// `None` for a rule that decides nothing.
    pub(super) fn rule(&self, words: &[String]) -> Option<Rule> {
        let mut parts = Parts::default();
        let words: Box<dyn Iterator<Item = &str>> = Box::new(words.iter().map(String::as_str));
        let mut args = words.peekable();
        let mut negated = false;
        while let Some(arg) = args.next() {
            if arg == "!" {
                negated = !negated;
                continue;
            }
            let one = self.option(arg, &mut args, &mut parts).unless(std::mem::take(&mut negated));
            parts.met = parts.met.min(Some(one)).or(Some(one));
        }
        let met = if parts.absent { Met::No } else { parts.met.unwrap_or(Met::Yes) };
        let (target, goes) = parts.target.take()?;
        let verdict = if goes { Verdict::Goto(target) } else { self.target(&target, met, &parts)? };
        if met == Met::No {
            return None;
        }
        Some((met.min(self.packet.within(parts.limit, &verdict)), verdict))
    }

    /// Reads an option with its values.
    fn option(&self, arg: &str, args: &mut Args<'_>, parts: &mut Parts) -> Met {
        let mut value = || args.next().unwrap_or("");
        let reply = self.place.reply;
        match arg {
            "-m" | "--match" => self.module(value(), parts),
            "-p" | "--protocol" => match value() {
                "all" => Met::Yes,
                name => match Packet::protocol(name) {
                    Some(number) => Met::of(matches!(number, 0 | 6)),
                    None => self.packet.doubt(name),
                },
            },
            "--dport" | "--destination-port" | "--dports" | "--destination-ports" => {
                self.ports(value(), !reply)
            }
            "--sport" | "--source-port" | "--sports" | "--source-ports" => self.ports(value(), reply),
            "--ports" => match self.ports(value(), true) {
                Met::Yes => Met::Yes,
                // The other host's port is not known.
                _ => self.packet.doubt(arg),
            },
            "-s" | "--source" | "--src" | "--src-range" => self.addresses(value(), reply),
            "-d" | "--destination" | "--dst" | "--dst-range" => self.addresses(value(), !reply),
            "-i" | "--in-interface" => self.interface(value(), reply),
            "-o" | "--out-interface" => self.interface(value(), !reply),
            "--ctstate" | "--state" => self.state(value()),
            "--ctdir" => Met::of((value() == "REPLY") == reply),
            "--syn" => Met::of(!reply),
            "--tcp-flags" => {
                let (mask, wanted) = (tcp_flags(value()), tcp_flags(args.next().unwrap_or("")));
                self.has_flags(mask, wanted)
            }
            "--dst-type" if !reply => self.own_address_type(value()),
            "--src-type" if reply => self.own_address_type(value()),
            "--pkt-type" if !reply => match value() {
                "unicast" => Met::Yes,
                "broadcast" | "multicast" => Met::No,
                other => self.packet.doubt(other),
            },
            "-c" | "--set-counters" => {
                value();
                args.next();
                Met::Yes
            }
            // They describe, or belong to a target or to a limit.
            "--comment" | "--log-prefix" | "--log-level" | "--reject-with" | "--limit" | "--limit-burst"
            | "--nflog-group" | "--nflog-prefix" | "--set-mark" | "--set-xmark" => {
                value();
                Met::Yes
            }
            "--match-set" => {
                let set = value().to_owned();
                args.next();
                self.packet.doubt(&format!("set {set}"))
            }
            "--to-ports" | "--to-destination" | "--on-port" => {
                parts.to = Some(value().to_owned());
                Met::Yes
            }
            "--notrack" => {
                parts.untracks = true;
                Met::Yes
            }
            "-j" | "--jump" | "-g" | "--goto" => {
                parts.target = Some((value().to_owned(), matches!(arg, "-g" | "--goto")));
                Met::Yes
            }
            _ => {
                // Its value, if it takes one, is none of the options that are known.
                if args.peek().is_some_and(|next| !next.starts_with('-') && *next != "!") {
                    args.next();
                }
                self.packet.doubt(arg)
            }
        }
    }

    fn module(&self, name: &str, parts: &mut Parts) -> Met {
        match name {
            // Their options follow, or they only describe.
            "tcp" | "comment" | "multiport" | "conntrack" | "state" | "iprange" | "pkttype" | "set"
            | "addrtype" => Met::Yes,
            "limit" => {
                parts.limit = if parts.limit.is_none() { Some(Limit::Under) } else { Some(Limit::Unknown) };
                Met::Yes
            }
            "udp" | "icmp" | "icmp6" | "ipv6-icmp" | "sctp" | "dccp" => Met::No,
            // Extension headers of IPv6, which a plain packet does not have.
            "rt" | "frag" | "hbh" | "dst" | "mh" | "ah" | "esp" => {
                parts.absent = true;
                Met::No
            }
            _ => self.packet.doubt(&format!("-m {name}")),
        }
    }

    /// `22,1700:1800`, of the daemon's side or of the other.
    fn ports(&self, list: &str, own: bool) -> Met {
        if !own {
            return self.packet.doubt("the other host's port");
        }
        let met = list.split(',').map(|p| self.packet.port.is(p)).max().unwrap_or(Met::Unsure);
        if met == Met::Unsure { self.packet.doubt("a service") } else { met }
    }

    fn addresses(&self, list: &str, own: bool) -> Met {
        let spans: Vec<_> = list.split(',').map(|text| parse_span(text, self.packet.family)).collect();
        if own { self.packet.own_address_in(&spans) } else { self.packet.other_host_in(&spans) }
    }

    /// A name, or the beginning of one before `+`.
    fn interface(&self, name: &str, other_side: bool) -> Met {
        match name {
            "+" => Met::Yes,
            _ if other_side => self.packet.doubt(&format!("interface {name}")),
            _ => self.packet.interface_is(name),
        }
    }

    fn state(&self, list: &str) -> Met {
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
        let met = Met::common(self.packet.states(self.place).iter().map(|s| Met::of(s & listed != 0)));
        let others = list.split(',').filter(|name| bits(name).is_none()).map(|name| match name {
            "DNAT" => self.packet.is_translated(),
            _ => self.packet.doubt(name),
        });
        if met == Met::Yes { met } else { others.fold(met, Met::max) }
    }

    fn own_address_type(&self, list: &str) -> Met {
        let number =
            |name: &str| ADDRESS_TYPES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, n)| *n);
        let met = list.split(',').map(|name| number(name).map_or(Met::Unsure, |n| Met::of(n == LOCAL))).max();
        met.unwrap_or(Met::Unsure)
    }

    fn has_flags(&self, mask: Option<u128>, wanted: Option<u128>) -> Met {
        let (Some(mask), Some(wanted)) = (mask, wanted) else { return self.packet.doubt("--tcp-flags") };
        Met::common(Packet::tcp_flags(self.place).iter().map(|flags| Met::of(flags & mask == wanted)))
    }

    /// The verdict of a target; `None` where the packet goes on.
    fn target(&self, name: &str, met: Met, parts: &Parts) -> Option<Verdict> {
        Some(match name {
            "ACCEPT" => Verdict::Accept,
            "DROP" | "REJECT" => Verdict::Drop,
            "RETURN" => Verdict::Return,
            "REDIRECT" | "DNAT" | "NETMAP" | "DNPT" | "TPROXY" => {
                self.divert(name, met, parts.to.as_deref());
                Verdict::Accept
            }
            // They end the table `nat`, and the packet passes.
            "SNAT" | "MASQUERADE" => Verdict::Accept,
            "CT" | "NOTRACK" => {
                if met != Met::No && (parts.untracks || name == "NOTRACK") {
                    self.packet.note_untracked();
                }
                return None;
            }
            "LOG" | "NFLOG" | "ULOG" | "MARK" | "CONNMARK" | "TRACE" | "AUDIT" | "CLASSIFY" | "TOS"
            | "DSCP" | "TCPMSS" | "TTL" | "HL" | "SECMARK" | "CONNSECMARK" | "CHECKSUM" | "SET" => {
                return None;
            }
            chain if (self.is_chain)(chain) => Verdict::Jump(chain.to_owned()),
            extension => {
                self.packet.doubt(&format!("-j {extension}"));
                if self.place.diverts {
                    self.packet.diverted_from.set(self.packet.diverted_from.get() || met != Met::No);
                    self.packet.diverted_to.set(true);
                }
                Verdict::Unknown
            }
        })
    }

    /// Notes whether a target sends packets from the port, or to it.
    fn divert(&self, name: &str, met: Met, to: Option<&str>) {
        if !self.place.diverts {
            return;
        }
        if met != Met::No {
            self.packet.doubt("packets to the port are sent elsewhere");
            self.packet.diverted_from.set(true);
        }
        if to.is_some_and(|to| self.may_lead_to_port(name, to)) {
            self.packet.doubt("packets to other ports are sent to the port");
            self.packet.diverted_to.set(true);
            // An intercepted packet keeps its port, which is what the table `filter` sees.
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
        self.packet.port.is(ports.split('/').next().unwrap_or_default()) != Met::No
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
