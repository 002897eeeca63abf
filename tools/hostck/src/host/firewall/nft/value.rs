//! Values of the packet that expressions of nftables read, and the symbols that stand for numbers.

use super::model::Expr;
use crate::host::firewall::Family;
use crate::host::firewall::address::{AddressSpan, network_span, parse_address, parse_span};
use crate::host::firewall::packet::{ADDRESS_TYPES, ESTABLISHED, INVALID, NEW, Packet, RELATED, UNTRACKED};

/// The meaning of a number, which determines its symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberKind {
    State,
    TcpFlags,
    Protocol,
    NfProto,
    EtherType,
    Port,
    Direction,
    PacketType,
    AddressType,
    Plain,
}

impl NumberKind {
    pub(super) fn is_bitmask(self) -> bool {
        matches!(self, Self::State | Self::TcpFlags)
    }

    /// Symbols as nft prints them: libnftables-json(5), nft(8) "Data types", src/datatype.c of nftables.
    fn symbols(self) -> &'static [(&'static str, u128)] {
        match self {
            Self::State => &[
                ("invalid", INVALID),
                ("established", ESTABLISHED),
                ("related", RELATED),
                ("new", NEW),
                ("untracked", UNTRACKED),
            ],
            Self::TcpFlags => &[
                ("fin", 0x01),
                ("syn", 0x02),
                ("rst", 0x04),
                ("psh", 0x08),
                ("ack", 0x10),
                ("urg", 0x20),
                ("ecn", 0x40),
                ("cwr", 0x80),
            ],
            // NFPROTO_* of include/uapi/linux/netfilter.h.
            Self::NfProto => &[("ipv4", 2), ("ipv6", 10), ("ip", 2), ("ip6", 10)],
            Self::EtherType => {
                &[("ip", 0x0800), ("ip6", 0x86DD), ("arp", 0x0806), ("vlan", 0x8100), ("8021q", 0x8100)]
            }
            Self::Direction => &[("original", 0), ("reply", 1)],
            Self::PacketType => {
                &[("host", 0), ("unicast", 0), ("broadcast", 1), ("multicast", 2), ("other", 3)]
            }
            Self::AddressType => &ADDRESS_TYPES,
            Self::Protocol | Self::Port | Self::Plain => &[],
        }
    }

    pub(super) fn symbol_number(self, text: &str) -> Option<u128> {
        let named = self.symbols().iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
        let number = || match text.strip_prefix("0x") {
            Some(hex) => u128::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        };
        match self {
            Self::Protocol => Packet::protocol_number(text).or_else(number),
            // nft prints it in the byte order of the host or of the network, depending on its version.
            Self::EtherType => named.or_else(|| number().filter(|n| matches!(n, 0x0800 | 0x86DD))),
            _ => named.or_else(number),
        }
    }
}

/// The value that an expression reads from the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PacketValue {
    /// One of these numbers.
    Numbers(Vec<u128>, NumberKind),
    /// The address of the other host.
    OtherHost,
    /// An address of this host.
    OwnAddress,
    /// The interface to the other host.
    Interface,
    /// The type of that interface.
    LinkType,
    Tuple(Vec<Self>),
    /// The packet has no such header.
    Absent,
    /// Not known, or not understood: its name.
    Unknown(String),
}

impl PacketValue {
    pub(super) fn is_address(&self) -> bool {
        matches!(self, Self::OtherHost | Self::OwnAddress)
    }
}

/// The addresses of one expression; `None` where they are not understood.
pub(super) fn expr_span(expr: &Expr, family: Family) -> Option<AddressSpan> {
    match expr {
        Expr::Text(text) => parse_span(text, family),
        Expr::Prefix(base, bits) => match &**base {
            Expr::Text(text) => network_span(parse_address(text, family)?, *bits, family),
            _ => None,
        },
        Expr::Range(ends) => match &**ends {
            (Expr::Text(low), Expr::Text(high)) => parse_span(&format!("{low}-{high}"), family),
            _ => None,
        },
        _ => None,
    }
}
