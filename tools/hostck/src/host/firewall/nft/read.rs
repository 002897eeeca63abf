//! Reads the values of nftables expressions: fields of the packet, and numbers.

use super::eval::NftEvaluator;
use super::model::Expr;
use super::value::{NumberKind, PacketValue};
use crate::host::firewall::Family;
use crate::host::firewall::packet::{LOCAL, Packet};

impl NftEvaluator<'_> {
    /// Reads the left side of a match from the packet.
    pub(super) fn read_value(&self, expr: &Expr) -> PacketValue {
        match expr {
            Expr::Payload(protocol, field) => self.read_payload(protocol, field),
            Expr::Meta(key) => self.read_meta(key),
            Expr::Ct(key) => self.read_ct(key),
            Expr::Concat(parts) => PacketValue::Tuple(parts.iter().map(|p| self.read_value(p)).collect()),
            Expr::And(operands) => self.read_masked(operands),
            Expr::Fib(lookup) => match (lookup.as_str(), self.place.reply) {
                ("daddr type", false) | ("saddr type", true) => {
                    PacketValue::Numbers(vec![LOCAL], NumberKind::AddressType)
                }
                _ => PacketValue::Unknown(format!("fib {lookup}")),
            },
            Expr::Unknown(name) => PacketValue::Unknown(name.clone()),
            _ => PacketValue::Unknown("a value".into()),
        }
    }

    /// The number that an expression stands for; a list is the union of its flags.
    pub(super) fn read_number(&self, key: NumberKind, expr: &Expr) -> Option<u128> {
        match expr {
            Expr::Number(n) if key == NumberKind::EtherType => {
                Some(*n).filter(|n| matches!(n, 0x0800 | 0x86DD))
            }
            Expr::Number(n) => Some(*n),
            Expr::Text(text) => key.symbol_number(text),
            Expr::List(items) if key.is_bitmask() => {
                items.iter().try_fold(0, |all, item| Some(all | self.read_number(key, item)?))
            }
            _ => None,
        }
    }

    /// `tcp flags & (syn|ack)`.
    fn read_masked(&self, operands: &[Expr]) -> PacketValue {
        let Some((first, masks)) = operands.split_first() else { return PacketValue::Unknown("&".into()) };
        let value = self.read_value(first);
        let PacketValue::Numbers(numbers, key) = value else {
            return if value == PacketValue::Absent { value } else { PacketValue::Unknown("a mask".into()) };
        };
        let mask = masks.iter().try_fold(u128::MAX, |all, m| Some(all & self.read_number(key, m)?));
        match mask {
            Some(mask) => PacketValue::Numbers(numbers.iter().map(|n| n & mask).collect(), key),
            None => PacketValue::Unknown("a mask".into()),
        }
    }

    fn read_payload(&self, protocol: &str, field: &str) -> PacketValue {
        let own = if self.packet.family == Family::V4 { "ip" } else { "ip6" };
        let port = || PacketValue::Numbers(vec![self.packet.port.number.into()], NumberKind::Port);
        match (protocol, field) {
            // These hooks see packets of other protocols that the connection needs, such as ARP.
            ("arp", _) | ("ether", "type") if !self.is_ip_table() => {
                PacketValue::Unknown(format!("{protocol} {field}"))
            }
            _ if self.table.family == "arp" => PacketValue::Unknown(format!("{protocol} {field}")),
            ("tcp" | "th", "dport") if !self.place.reply => port(),
            ("tcp" | "th", "sport") if self.place.reply => port(),
            ("tcp", "flags") => PacketValue::Numbers(Packet::tcp_flags(self.place), NumberKind::TcpFlags),
            ("ip" | "ip6", _) if protocol != own => PacketValue::Absent,
            ("ip" | "ip6", "saddr") if !self.place.reply => PacketValue::OtherHost,
            ("ip" | "ip6", "daddr") if self.place.reply => PacketValue::OtherHost,
            ("ip" | "ip6", "saddr" | "daddr") => PacketValue::OwnAddress,
            ("ip", "protocol") | ("ip6", "nexthdr") => PacketValue::Numbers(vec![6], NumberKind::Protocol),
            ("ip", "version") => PacketValue::Numbers(vec![4], NumberKind::Plain),
            ("ip6", "version") => PacketValue::Numbers(vec![6], NumberKind::Plain),
            ("ether", "type") => self.ether_type(),
            // A plain packet has no extension headers.
            ("exthdr", _) => PacketValue::Absent,
            (
                "udp" | "udplite" | "icmp" | "icmpv6" | "igmp" | "sctp" | "dccp" | "esp" | "ah" | "comp"
                | "arp",
                _,
            ) => PacketValue::Absent,
            _ => PacketValue::Unknown(format!("{protocol} {field}")),
        }
    }

    fn is_ip_table(&self) -> bool {
        matches!(self.table.family.as_str(), "ip" | "ip6" | "inet")
    }

    fn ether_type(&self) -> PacketValue {
        let number = if self.packet.family == Family::V4 { 0x0800 } else { 0x86DD };
        PacketValue::Numbers(vec![number], NumberKind::EtherType)
    }

    fn nf_proto(&self) -> PacketValue {
        PacketValue::Numbers(vec![if self.packet.family == Family::V4 { 2 } else { 10 }], NumberKind::NfProto)
    }

    fn read_meta(&self, key: &str) -> PacketValue {
        match key {
            "l4proto" => PacketValue::Numbers(vec![6], NumberKind::Protocol),
            "nfproto" => self.nf_proto(),
            "protocol" if self.is_ip_table() => self.ether_type(),
            "iif" | "iifname" if !self.place.reply => PacketValue::Interface,
            "oif" | "oifname" if self.place.reply => PacketValue::Interface,
            "iiftype" if !self.place.reply => PacketValue::LinkType,
            "oiftype" if self.place.reply => PacketValue::LinkType,
            // TCP takes packets to this host only (tcp_v4_rcv, net/ipv4/tcp_ipv4.c).
            "pkttype" if !self.place.reply => PacketValue::Numbers(vec![0], NumberKind::PacketType),
            _ => PacketValue::Unknown(format!("meta {key}")),
        }
    }

    fn read_ct(&self, key: &str) -> PacketValue {
        match key {
            "state" => PacketValue::Numbers(self.packet.ct_states(self.place), NumberKind::State),
            "direction" => PacketValue::Numbers(vec![u128::from(self.place.reply)], NumberKind::Direction),
            "l3proto" => self.nf_proto(),
            "protocol" => PacketValue::Numbers(vec![6], NumberKind::Protocol),
            _ => PacketValue::Unknown(format!("ct {key}")),
        }
    }
}
