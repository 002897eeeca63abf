//! Reads what expressions of nftables stand for: fields of the packet, and numbers.

use super::eval::Eval;
use super::model::Expr;
use super::value::{Key, Value};
use crate::host::firewall::Family;
use crate::host::firewall::packet::{LOCAL, Packet};

impl Eval<'_> {
    /// Reads what is on the left side of a match.
    pub(super) fn value(&self, expr: &Expr) -> Value {
        match expr {
            Expr::Payload(protocol, field) => self.payload(protocol, field),
            Expr::Meta(key) => self.meta(key),
            Expr::Ct(key) => self.ct(key),
            Expr::Concat(parts) => Value::Tuple(parts.iter().map(|p| self.value(p)).collect()),
            Expr::And(operands) => self.masked(operands),
            Expr::Fib(lookup) => match (lookup.as_str(), self.place.reply) {
                ("daddr type", false) | ("saddr type", true) => Value::Numbers(vec![LOCAL], Key::AddressType),
                _ => Value::Unknown(format!("fib {lookup}")),
            },
            Expr::Unknown(name) => Value::Unknown(name.clone()),
            _ => Value::Unknown("a value".into()),
        }
    }

    /// The number that an expression stands for; a list is the union of its flags.
    pub(super) fn number(&self, key: Key, expr: &Expr) -> Option<u128> {
        match expr {
            Expr::Number(n) if key == Key::EtherType => Some(*n).filter(|n| matches!(n, 0x0800 | 0x86DD)),
            Expr::Number(n) => Some(*n),
            Expr::Text(text) => key.symbol(text),
            Expr::List(items) if key.is_bitmask() => {
                items.iter().try_fold(0, |all, item| Some(all | self.number(key, item)?))
            }
            _ => None,
        }
    }

    /// `tcp flags & (syn|ack)`.
    fn masked(&self, operands: &[Expr]) -> Value {
        let Some((first, masks)) = operands.split_first() else { return Value::Unknown("&".into()) };
        let value = self.value(first);
        let Value::Numbers(numbers, key) = value else {
            return if value == Value::Absent { value } else { Value::Unknown("a mask".into()) };
        };
        let mask = masks.iter().try_fold(u128::MAX, |all, m| Some(all & self.number(key, m)?));
        match mask {
            Some(mask) => Value::Numbers(numbers.iter().map(|n| n & mask).collect(), key),
            None => Value::Unknown("a mask".into()),
        }
    }

    fn payload(&self, protocol: &str, field: &str) -> Value {
        let own = if self.packet.family == Family::V4 { "ip" } else { "ip6" };
        let port = || Value::Numbers(vec![self.packet.port.number.into()], Key::Port);
        match (protocol, field) {
            // These hooks see packets of other protocols that the connection needs, such as ARP.
            ("arp", _) | ("ether", "type") if !self.is_ip_table() => {
                Value::Unknown(format!("{protocol} {field}"))
            }
            _ if self.table.family == "arp" => Value::Unknown(format!("{protocol} {field}")),
            ("tcp" | "th", "dport") if !self.place.reply => port(),
            ("tcp" | "th", "sport") if self.place.reply => port(),
            ("tcp", "flags") => Value::Numbers(Packet::tcp_flags(self.place), Key::TcpFlags),
            ("ip" | "ip6", _) if protocol != own => Value::Absent,
            ("ip" | "ip6", "saddr") if !self.place.reply => Value::OtherHost,
            ("ip" | "ip6", "daddr") if self.place.reply => Value::OtherHost,
            ("ip" | "ip6", "saddr" | "daddr") => Value::OwnAddress,
            ("ip", "protocol") | ("ip6", "nexthdr") => Value::Numbers(vec![6], Key::Protocol),
            ("ip", "version") => Value::Numbers(vec![4], Key::Plain),
            ("ip6", "version") => Value::Numbers(vec![6], Key::Plain),
            ("ether", "type") => self.ether_type(),
            // A plain packet has no extension headers.
            ("exthdr", _) => Value::Absent,
            (
                "udp" | "udplite" | "icmp" | "icmpv6" | "igmp" | "sctp" | "dccp" | "esp" | "ah" | "comp"
                | "arp",
                _,
            ) => Value::Absent,
            _ => Value::Unknown(format!("{protocol} {field}")),
        }
    }

    fn is_ip_table(&self) -> bool {
        matches!(self.table.family.as_str(), "ip" | "ip6" | "inet")
    }

    fn ether_type(&self) -> Value {
        let number = if self.packet.family == Family::V4 { 0x0800 } else { 0x86DD };
        Value::Numbers(vec![number], Key::EtherType)
    }

    fn nf_proto(&self) -> Value {
        Value::Numbers(vec![if self.packet.family == Family::V4 { 2 } else { 10 }], Key::NfProto)
    }

    fn meta(&self, key: &str) -> Value {
        match key {
            "l4proto" => Value::Numbers(vec![6], Key::Protocol),
            "nfproto" => self.nf_proto(),
            "protocol" if self.is_ip_table() => self.ether_type(),
            "iif" | "iifname" if !self.place.reply => Value::Interface,
            "oif" | "oifname" if self.place.reply => Value::Interface,
            "iiftype" if !self.place.reply => Value::LinkType,
            "oiftype" if self.place.reply => Value::LinkType,
            // TCP takes packets to this host only (tcp_v4_rcv, net/ipv4/tcp_ipv4.c).
            "pkttype" if !self.place.reply => Value::Numbers(vec![0], Key::PacketType),
            _ => Value::Unknown(format!("meta {key}")),
        }
    }

    fn ct(&self, key: &str) -> Value {
        match key {
            "state" => Value::Numbers(self.packet.states(self.place), Key::State),
            "direction" => Value::Numbers(vec![u128::from(self.place.reply)], Key::Direction),
            "l3proto" => self.nf_proto(),
            "protocol" => Value::Numbers(vec![6], Key::Protocol),
            _ => Value::Unknown(format!("ct {key}")),
        }
    }
}
