//! Ranges of addresses, and whether they hold the source that no rule names.
//!
//! The evaluated source is an address that the ruleset does not name. Such an address exists only while the rules
//! name a small part of all addresses; beyond that, see [`AddressCoverage::is_wide`].

use std::net::IpAddr;

use super::Family;

/// An inclusive range of addresses as numbers.
pub(crate) type AddressSpan = (u128, u128);

/// Unicast sources of IPv4 (RFC 6890, RFC 1112): 0/8, multicast and 240/4 never open a TCP connection. 127/8 lies
/// within and is added where coverage is computed.
const V4: AddressSpan = (0x0100_0000, 0xDFFF_FFFF);
const V4_LOOPBACK: AddressSpan = (0x7F00_0000, 0x7FFF_FFFF);

/// Global unicast sources of IPv6: 2000::/3 (RFC 4291, IANA).
const V6: AddressSpan = (0x2 << 124, (0x4 << 124) - 1);

/// If rules name more than one in this number of all sources, a typical source is among them.
const WIDE_PART: u128 = 8;

fn source_range(family: Family) -> AddressSpan {
    if family == Family::V4 { V4 } else { V6 }
}

fn address_number(address: IpAddr) -> (Family, u128) {
    match address {
        IpAddr::V4(a) => (Family::V4, u32::from(a).into()),
        IpAddr::V6(a) => (Family::V6, a.into()),
    }
}

fn address_width(family: Family) -> u32 {
    if family == Family::V4 { 32 } else { 128 }
}

/// Parses one address of this family.
pub(crate) fn parse_address(text: &str, family: Family) -> Option<u128> {
    let (of, value) = address_number(text.parse().ok()?);
    (of == family).then_some(value)
}

/// The addresses of a network: the base address and the number of leading bits.
pub(crate) fn network_span(base: u128, bits: u32, family: Family) -> Option<AddressSpan> {
    let host = address_width(family).checked_sub(bits)?;
    let mask = if host == 128 { u128::MAX } else { (1_u128 << host) - 1 };
    Some((base & !mask, base | mask))
}

/// Parses `192.0.2.7`, `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `10.0.0.1-10.0.0.9`. `None` for other texts, such as
/// masks with holes.
pub(crate) fn parse_span(text: &str, family: Family) -> Option<AddressSpan> {
    if let Some((low, high)) = text.split_once('-') {
        return Some((parse_address(low, family)?, parse_address(high, family)?)).filter(|(l, h)| l <= h);
    }
    let Some((base, mask)) = text.split_once('/') else {
        return parse_address(text, family).map(|a| (a, a));
    };
    let base = parse_address(base, family)?;
    let bits = match mask.parse::<u32>() {
        Ok(bits) => bits,
        Err(_) => {
            let mask = parse_address(mask, family)? << (128 - address_width(family));
            let bits = mask.leading_ones();
            (bits == mask.count_ones()).then_some(bits)?
        }
    };
    network_span(base, bits, family)
}

/// Whether the addresses are a loopback or multicast range, where no connection from another host arrives.
pub(crate) fn never_arrives((low, high): AddressSpan, family: Family) -> bool {
    let within = |span: Option<AddressSpan>| span.is_some_and(|(l, h)| low >= l && high <= h);
    match family {
        Family::V4 => within(Some(V4_LOOPBACK)) || within(network_span(0xE000_0000, 4, family)),
        Family::V6 => within(Some((1, 1))) || within(network_span(0xFF << 120, 8, family)),
    }
}

/// A union of ranges.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressCoverage(Vec<AddressSpan>);

impl AddressCoverage {
    pub(crate) fn add_span(&mut self, span: AddressSpan) {
        self.0.push(span);
        // Ranges that are named over and over take no more space.
        if self.0.len().is_power_of_two() && self.0.len() >= 1 << 16 {
            self.merge_spans();
        }
    }

    /// The part of all sources that is covered, as a number of addresses, and the number of all.
    fn count_covered(&mut self, family: Family) -> (u128, u128) {
        let (first, last) = source_range(family);
        if family == Family::V4 {
            self.0.push(V4_LOOPBACK);
        }
        self.merge_spans();
        let clipped = self.0.iter().map(|(l, h)| ((*l).max(first), (*h).min(last)));
        let covered = clipped.filter(|(l, h)| l <= h).map(|(l, h)| h - l + 1).sum();
        (covered, last - first + 1)
    }

    /// Whether every source is covered.
    pub(crate) fn covers_all(&mut self, family: Family) -> bool {
        let (covered, all) = self.count_covered(family);
        covered == all
    }

    /// Whether so large a part is covered that a typical source is among it.
    pub(crate) fn is_wide(&mut self, family: Family) -> bool {
        let (covered, all) = self.count_covered(family);
        covered > all / WIDE_PART
    }

    fn merge_spans(&mut self) {
        self.0.sort_unstable();
        let mut merged: Vec<AddressSpan> = Vec::new();
        for (low, high) in self.0.drain(..) {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        self.0 = merged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_masks_and_ranges_are_spans() {
        let v4 = |text| parse_span(text, Family::V4);
        assert_eq!(v4("10.0.0.0/8"), Some((0x0A00_0000, 0x0AFF_FFFF)));
        assert_eq!(v4("10.1.2.3/255.0.0.0"), v4("10.0.0.0/8"));
        assert_eq!(v4("0.0.0.0/0"), Some((0, 0xFFFF_FFFF)));
        assert_eq!(v4("10.0.0.1-10.0.0.9"), Some((0x0A00_0001, 0x0A00_0009)));
        for bad in ["10.0.0.0/33", "10.0.0.0/255.0.255.0", "10.0.0.9-10.0.0.1", "host", "::1", ""] {
            assert_eq!(v4(bad), None, "{bad}");
        }
        assert_eq!(parse_span("::/0", Family::V6), Some((0, u128::MAX)));
    }

    #[test]
    fn many_small_networks_together_cover_all_addresses() {
        let mut all = AddressCoverage::default();
        (0..256_u128).for_each(|net| all.add_span((net << 24, (net << 24) | 0xFF_FFFF)));
        assert!(all.covers_all(Family::V4) && all.is_wide(Family::V4));
        let mut private = AddressCoverage::default();
        ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "240.0.0.0/4"]
            .iter()
            .for_each(|net| private.add_span(parse_span(net, Family::V4).unwrap()));
        assert!(!private.is_wide(Family::V4));
        let mut half = AddressCoverage::default();
        half.add_span(parse_span("0.0.0.0/1", Family::V4).unwrap());
        assert!(half.is_wide(Family::V4) && !half.covers_all(Family::V4));
    }
}
