//! Lines that found no place, because the trail could not be written: of clients that were rejected, which can make any
//! number of them, and of readers of metrics over HTTP. Their requests changed nothing. They are counted by client, and
//! the trail gets one line for each client when it can be written again, so that none is missing in the sum.

use std::collections::BTreeMap;
use std::net::IpAddr;

use common::record::profd::Audit;

use super::rejections::source_of;

/// Clients that are counted apart. Those beyond are counted together.
const MAX_CLIENTS: usize = 256;

/// Counts lines by address and certificate.
#[derive(Debug, Default)]
pub(super) struct UnwrittenCounter {
    by_client: BTreeMap<(IpAddr, Option<String>), UnwrittenLines>,
    /// Of clients beyond [`MAX_CLIENTS`].
    others: Option<UnwrittenLines>,
}

#[derive(Debug)]
struct UnwrittenLines {
    last: Audit,
    count: u64,
}

impl UnwrittenCounter {
    /// Counts a line of a client.
    pub(super) fn note(&mut self, address: IpAddr, mut audit: Audit) {
        // What a line lists may be long, and the lines have only the last one's.
        audit.pids.truncate(1);
        audit.processes.clear();
        let key = (source_of(address), audit.fingerprint.clone());
        let lines = if self.by_client.len() < MAX_CLIENTS || self.by_client.contains_key(&key) {
            self.by_client.entry(key).or_insert_with(|| UnwrittenLines { last: Audit::default(), count: 0 })
        } else {
            self.others.get_or_insert_with(|| UnwrittenLines { last: Audit::default(), count: 0 })
        };
        lines.last = audit;
        lines.count += 1;
    }

    /// Takes the lines for what was counted.
    pub(super) fn take(&mut self) -> Vec<Audit> {
        let taken = std::mem::take(self);
        let by_client = taken.by_client.into_iter().map(|((address, _), lines)| (Some(address), lines));
        by_client
            .chain(taken.others.map(|lines| (None, lines)))
            .map(|(at, lines)| lines.into_line(at))
            .collect()
    }
}

impl UnwrittenLines {
    fn into_line(self, address: Option<IpAddr>) -> Audit {
        let Self { last, count } = self;
        if count == 1 {
            return last;
        }
        let reason = last.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let reason = Some(format!(
            "{count} requests while the audit trail could not be written, the last one {}{reason}",
            last.answer
        ));
        let count = Some(count);
        match address {
            Some(address) => Audit { address: address.to_string(), count, reason, ..last },
            None => Audit {
                address: "several".to_owned(),
                subject: None,
                fingerprint: None,
                rule: None,
                count,
                reason,
                ..last
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(subject: &str, reason: &str) -> Audit {
        Audit {
            address: "192.0.2.1:9".to_owned(),
            subject: Some(subject.to_owned()),
            fingerprint: Some(subject.to_owned()),
            answer: "rejected".to_owned(),
            reason: Some(reason.to_owned()),
            ..Audit::default()
        }
    }

    #[test]
    fn lines_are_counted_by_client_and_none_is_missing() {
        let mut counter = UnwrittenCounter::default();
        let at = |n: u32| IpAddr::from(n.to_be_bytes());
        counter.note(at(1), line("CN=alice", "once"));
        for n in 0..5 {
            counter.note(at(1), line("CN=bob", &format!("no {n}")));
        }
        let taken = counter.take();
        assert_eq!(taken[0], line("CN=alice", "once"), "one is written as it is");
        assert_eq!((taken[1].count, taken[1].address.as_str()), (Some(5), "0.0.0.1"));
        assert!(taken[1].reason.as_ref().unwrap().ends_with("the last one rejected: no 4"), "{taken:?}");
        assert!(counter.take().is_empty());
        for n in 0..1000 {
            counter.note(at(n), line("CN=bob", "no"));
        }
        let taken = counter.take();
        assert_eq!(taken.iter().map(|line| line.count.unwrap_or(1)).sum::<u64>(), 1000);
        assert!(taken.len() == MAX_CLIENTS + 1 && taken.last().unwrap().address == "several");
    }
}
