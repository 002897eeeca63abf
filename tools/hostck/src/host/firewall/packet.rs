//! The packets that rules are evaluated for: the first one of a TCP connection from another host to the daemon's
//! port, and the reply to it.
//!
//! The source is an address that no rule names, the input interface is not the loopback interface, and nothing else
//! is known: a condition about anything else is undecided.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use super::address::{AddressCoverage, AddressSpan, never_arrives};
use super::follow::{ConditionMet, RuleVerdict};
use super::{DaemonPort, Family};

/// Elements of sets that are compared at most, so that a hostile ruleset ends.
const WORK: u64 = 50_000_000;

/// Doubts that a message names.
const DOUBTS: usize = 6;

/// Bits of `ct state` (enum ip_conntrack_info and `NF_CT_STATE_BIT`, include/uapi/linux/netfilter/nf_conntrack_common.h).
pub(crate) const INVALID: u128 = 1;
pub(crate) const ESTABLISHED: u128 = 2;
pub(crate) const RELATED: u128 = 4;
pub(crate) const NEW: u128 = 8;
pub(crate) const UNTRACKED: u128 = 64;

/// Whether connection tracking has seen the packet in a chain: it runs at priority -200 (`NF_IP_PRI_CONNTRACK`,
/// include/uapi/linux/netfilter_ipv4.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tracking {
    Before,
    Same,
    After,
}

/// The position of a base chain on the packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HookPlace {
    /// The packet is the daemon's reply.
    pub(crate) reply: bool,
    pub(crate) tracking: Tracking,
    /// Destination addresses and ports may have been translated: priority -100 (`NF_IP_PRI_NAT_DST`) and later.
    pub(crate) translated: bool,
    /// A diversion here leads past the rules of the input hook.
    pub(crate) diverts: bool,
    /// The chain sees packets of some interfaces only, or of another kind: a drop in it is not certain.
    pub(crate) partial: bool,
}

impl HookPlace {
    /// The place of a hook and a priority; `None` for hooks that the packets do not pass.
    pub(crate) fn from_hook(hook: &str, priority: i64) -> Option<Self> {
        let tracking = match priority {
            ..-200 => Tracking::Before,
            -200 => Tracking::Same,
            _ => Tracking::After,
        };
        let (reply, tracking, translated, partial) = match hook {
            "prerouting" => (false, tracking, priority >= -100, false),
            "input" => (false, Tracking::After, true, false),
            "ingress" => (false, Tracking::Before, false, true),
            "output" => (true, tracking, true, false),
            "postrouting" => (true, Tracking::After, true, false),
            "forward" => return None,
            // egress, and hooks that this does not know.
            _ => (true, Tracking::Same, true, true),
        };
        let diverts = matches!(hook, "prerouting" | "ingress");
        Some(Self { reply, tracking, translated, diverts, partial })
    }
}

/// Facts about all rulesets together, known after a first pass over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RulesetFacts {
    /// The rules name a large part of all sources, and a typical one is among them.
    wide: bool,
    /// Some rule exempts packets from connection tracking.
    untracked: bool,
    /// Some rule translates the destination of packets to the port, or makes it the port.
    diverted: bool,
}

/// A limit on the rate of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RateLimit {
    /// The rule applies up to the rate.
    Under,
    /// The rule applies beyond a rate of at least one per minute, which one connection does not exceed.
    Over,
    Unknown,
}

/// The packet, and the facts and doubts that its evaluation found.
#[derive(Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) family: Family,
    pub(crate) port: &'a DaemonPort,
    facts: RulesetFacts,
    named: RefCell<AddressCoverage>,
    doubts: RefCell<BTreeSet<String>>,
    untracked: Cell<bool>,
    work: Cell<u64>,
    /// Packets to the port may be sent elsewhere, past the rules of the input hook.
    pub(crate) diverted_from: Cell<bool>,
    /// Packets to other ports may be sent to the port, past rules of the prerouting hook.
    pub(crate) diverted_to: Cell<bool>,
}

impl<'a> Packet<'a> {
    pub(crate) fn new(family: Family, port: &'a DaemonPort, facts: RulesetFacts) -> Self {
        Self {
            family,
            port,
            facts,
            named: RefCell::default(),
            doubts: RefCell::default(),
            untracked: Cell::new(false),
            work: Cell::new(0),
            diverted_from: Cell::new(false),
            diverted_to: Cell::new(false),
        }
    }

    /// The facts that this pass found, for another pass.
    pub(crate) fn collect_facts(&self) -> RulesetFacts {
        let wide = self.facts.wide || self.named.borrow_mut().is_wide(self.family);
        let diverted = self.facts.diverted || self.diverted_from.get() || self.diverted_to.get();
        RulesetFacts { wide, untracked: self.untracked.get() || self.facts.untracked, diverted }
    }

    /// Notes a condition that could not be decided, for the message.
    pub(crate) fn note_doubt(&self, what: &str) -> ConditionMet {
        let mut doubts = self.doubts.borrow_mut();
        if doubts.len() < DOUBTS && !what.is_empty() {
            doubts.insert(what.chars().take(40).collect());
        }
        ConditionMet::Unsure
    }

    /// The conditions that could not be decided.
    pub(crate) fn doubts(&self) -> Vec<String> {
        self.doubts.borrow().iter().cloned().collect()
    }

    pub(crate) fn note_untracked(&self) {
        self.untracked.set(true);
    }

    /// Counts a comparison; false beyond the limit of 50 million.
    pub(crate) fn count_comparison(&self) -> bool {
        self.work.set(self.work.get() + 1);
        self.work.get() < WORK
    }

    /// The possible values of `ct state`.
    pub(crate) fn ct_states(&self, place: HookPlace) -> Vec<u128> {
        let tracked = if place.reply { ESTABLISHED } else { NEW };
        // Without connection tracking the state is `invalid` (nft_ct_get_eval, net/netfilter/nft_ct.c).
        let mut states = match place.tracking {
            Tracking::Before => vec![INVALID],
            Tracking::Same => vec![INVALID, tracked],
            Tracking::After => vec![tracked],
        };
        if self.facts.untracked {
            states.push(UNTRACKED);
        }
        states
    }

    /// The possible values of the flags of TCP: SYN or SYN and ACK, each without and with ECN (RFC 3168).
    pub(crate) fn tcp_flags(place: HookPlace) -> Vec<u128> {
        if place.reply { vec![0x12, 0x52] } else { vec![0x02, 0xC2] }
    }

    /// Whether the destination of the connection is translated.
    pub(crate) fn is_translated(&self) -> ConditionMet {
        if self.facts.diverted { self.note_doubt("translated destinations") } else { ConditionMet::No }
    }

    /// Whether the other host's address is in one of these ranges; `None` is a range that is not known.
    pub(crate) fn other_host_in(&self, spans: &[Option<AddressSpan>]) -> ConditionMet {
        let mut union = AddressCoverage::default();
        spans.iter().flatten().for_each(|span| union.add_span(*span));
        if union.covers_all(self.family) {
            return ConditionMet::Yes;
        }
        spans.iter().flatten().for_each(|span| self.named.borrow_mut().add_span(*span));
        match () {
            () if spans.is_empty() => ConditionMet::No,
            () if spans.contains(&None) => self.note_doubt("addresses"),
            () if self.facts.wide => self.note_doubt("source addresses that are a large part of all"),
            () => ConditionMet::No,
        }
    }

    /// Whether this host's address is in one of these ranges.
    pub(crate) fn own_address_in(&self, spans: &[Option<AddressSpan>]) -> ConditionMet {
        let mut union = AddressCoverage::default();
        spans.iter().flatten().for_each(|s| union.add_span(*s));
        match () {
            () if union.covers_all(self.family) => ConditionMet::Yes,
            () if spans.iter().all(|s| s.is_some_and(|s| never_arrives(s, self.family))) => ConditionMet::No,
            () => self.note_doubt("this host's address"),
        }
    }

    /// Whether the interface to the other host has this name.
    pub(crate) fn interface_is(&self, name: &str) -> ConditionMet {
        // The loopback interface has index 1 (`LOOPBACK_IFINDEX`, include/net/flow.h).
        if matches!(name, "lo" | "1") {
            ConditionMet::No
        } else {
            self.note_doubt(&format!("interface {name}"))
        }
    }

    /// Whether a rule with a limit applies. An accept up to a rate lets every host through, now and then.
    pub(crate) fn match_limit(&self, limit: Option<RateLimit>, verdict: &RuleVerdict) -> ConditionMet {
        match (limit, verdict) {
            (None, _) | (Some(RateLimit::Under), RuleVerdict::Accept) => ConditionMet::Yes,
            (Some(RateLimit::Over), RuleVerdict::Drop) => ConditionMet::No,
            _ => self.note_doubt("limit"),
        }
    }

    /// The number of a protocol.
    pub(crate) fn protocol_number(text: &str) -> Option<u128> {
        let named = PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        named.map(|(_, number)| *number).or_else(|| text.parse::<u8>().ok().map(u128::from))
    }
}

/// Types of addresses, by which routes are looked up: RTN_* of include/uapi/linux/rtnetlink.h.
pub(crate) const ADDRESS_TYPES: [(&str, u128); 9] = [
    ("unspec", 0),
    ("unicast", 1),
    ("local", LOCAL),
    ("broadcast", 3),
    ("anycast", 4),
    ("multicast", 5),
    ("blackhole", 6),
    ("unreachable", 7),
    ("prohibit", 8),
];

/// The type of this host's addresses.
pub(crate) const LOCAL: u128 = 2;

/// Names of /etc/protocols (IANA protocol numbers).
const PROTOCOLS: [(&str, u128); 25] = [
    ("hopopt", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("ipencap", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("rsvp", 46),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("eigrp", 88),
    ("ospf", 89),
    ("pim", 103),
    ("comp", 108),
    ("vrrp", 112),
    ("sctp", 132),
    ("udplite", 136),
];
