//! Clients that were rejected before they were authenticated. Anybody can make any number of them, so only the first of one
//! address, and the first of all, get a line of their own in each minute; the others are counted, and the minute ends with
//! one line for each address. No rejection is missing in the sum, and no unauthenticated peer fills the disk.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// How long rejections are counted before they get their line.
const WINDOW: Duration = Duration::from_secs(60);
/// Lines of one address (IPv6: of one /64) in a window.
const LINES_PER_SOURCE: u64 = 10;
/// Lines of all addresses in a window, beside those with counts.
const LINES_IN_ALL: u64 = 120;
/// Addresses that are counted apart. Those beyond are counted together.
const MAX_SOURCES: usize = 256;

/// Where the audit trail has a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RejectionLine {
    /// It gets a line.
    Own,
    /// It is part of a later line.
    Counted,
}

/// Rejections that have no line yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CountedRejections {
    /// `None` for several addresses.
    pub(crate) source: Option<IpAddr>,
    pub(crate) count: u64,
    /// Why the last one was rejected.
    pub(crate) last_reason: String,
}

/// Counts rejections in windows.
#[derive(Debug, Default)]
pub(super) struct RejectionCounter {
    began: Option<Instant>,
    lines: u64,
    sources: BTreeMap<IpAddr, Source>,
    /// Of addresses beyond [`MAX_SOURCES`].
    others: Source,
}

#[derive(Debug, Default)]
struct Source {
    lines: u64,
    counted: u64,
    last_reason: String,
}

impl RejectionCounter {
    /// Decides about a rejection, and counts it if it gets no line.
    pub(super) fn note(&mut self, address: IpAddr, reason: &str, now: Instant) -> RejectionLine {
        self.began.get_or_insert(now);
        let key = source_of(address);
        let is_full = self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&key);
        let source = if is_full { &mut self.others } else { self.sources.entry(key).or_default() };
        if !is_full && source.lines < LINES_PER_SOURCE && self.lines < LINES_IN_ALL {
            (source.lines, self.lines) = (source.lines + 1, self.lines + 1);
            return RejectionLine::Own;
        }
        source.counted += 1;
        reason.clone_into(&mut source.last_reason);
        RejectionLine::Counted
    }

    /// Ends the window if it is over, or at once with `is_end`, and returns what was counted in it.
    pub(super) fn take_counted(&mut self, now: Instant, is_end: bool) -> Vec<CountedRejections> {
        let is_over = |began: Instant| is_end || now.saturating_duration_since(began) >= WINDOW;
        if !self.began.is_some_and(is_over) {
            return Vec::new();
        }
        let ended = std::mem::take(self);
        let sources = ended.sources.into_iter().map(|(address, source)| (Some(address), source));
        let all = sources.chain([(None, ended.others)]).filter(|(_, source)| source.counted > 0);
        all.map(|(address, Source { counted, last_reason, .. })| CountedRejections {
            source: address,
            count: counted,
            last_reason,
        })
        .collect()
    }
}

/// Returns what an address is counted by: of IPv6 the /64, which one host has as a whole (RFC 4291, section 2.5.4).
pub(super) fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rejection_is_a_line_or_counted_and_lines_are_bounded() {
        let (mut counter, now) = (RejectionCounter::default(), Instant::now());
        let mut lines = 0;
        for n in 0..30_000_u32 {
            let address = IpAddr::from((n % 1000).to_be_bytes());
            lines += u64::from(counter.note(address, "no certificate", now) == RejectionLine::Own);
        }
        assert_eq!(lines, LINES_IN_ALL);
        assert_eq!(counter.take_counted(now + WINDOW / 2, false), []);
        let counted = counter.take_counted(now + WINDOW, false);
        assert!(counted.len() <= MAX_SOURCES + 1, "{}", counted.len());
        assert_eq!(lines + counted.iter().map(|c| c.count).sum::<u64>(), 30_000);
        assert_eq!(counted.iter().filter(|c| c.source.is_none()).count(), 1);
        assert_eq!(counter.take_counted(now + 3 * WINDOW, true), [], "the next window is empty");
    }

    #[test]
    fn one_address_has_few_lines_and_leaves_some_for_others() {
        let (mut counter, now) = (RejectionCounter::default(), Instant::now());
        let mut note = |address: &str| counter.note(address.parse().unwrap(), address, now);
        let own = |line: RejectionLine| line == RejectionLine::Own;
        assert_eq!((0..100).filter(|n| own(note(&format!("2001:db8::{n:x}")))).count(), 10);
        assert!(own(note("192.0.2.1")) && own(note("2001:db8:0:1::1")));
        let counted = counter.take_counted(now, true);
        let expected = CountedRejections {
            source: Some("2001:db8::".parse().unwrap()),
            count: 90,
            last_reason: "2001:db8::63".to_owned(),
        };
        assert_eq!(counted, [expected]);
    }
}
