//! Transfers between pairs of ranks, waits for other stages of a pipeline, and the way to experts and back.

use std::collections::BTreeMap;

use crate::part::call::{CallFamily, CollectiveKind};
use crate::part::kept::Arrival;

/// All transfers from one rank to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PairTraffic {
    pub(crate) count: u64,
    /// Bytes of all; none if those of one are not known.
    pub(crate) bytes: Option<u64>,
    /// Time of the end that waited least, added up.
    pub(crate) transfer: i64,
}

/// The waits of one rank, over all its steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RankTraffic {
    /// Time in transfers in which the other end was not there yet and nothing was computed.
    pub(crate) bubble: i64,
    /// Time to the experts and back.
    pub(crate) dispatch: i64,
    pub(crate) combine: i64,
    /// Time of both in which nothing was computed.
    pub(crate) experts_exposed: i64,
}

/// A job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JobTraffic {
    /// By the numbers that traces give, from which rank to which.
    pub(crate) pairs: BTreeMap<(i64, i64), PairTraffic>,
    /// By index of the rank; only of those that have any of it.
    pub(crate) ranks: BTreeMap<u32, RankTraffic>,
}

impl JobTraffic {
    /// Adds a call, with what each rank has of it.
    pub(crate) fn add(&mut self, family: &CallFamily, call: &[Arrival]) {
        match family.kind {
            CollectiveKind::SendReceive => self.add_transfer(family, call),
            CollectiveKind::Dispatch | CollectiveKind::Combine => {
                for arrival in call {
                    let waits = self.ranks.entry(arrival.part).or_default();
                    let time = match family.kind {
                        CollectiveKind::Dispatch => &mut waits.dispatch,
                        _ => &mut waits.combine,
                    };
                    *time = time.saturating_add(arrival.end - arrival.start);
                    waits.experts_exposed = waits.experts_exposed.saturating_add(arrival.exposed);
                }
            }
            _ => {}
        }
    }

    fn add_transfer(&mut self, family: &CallFamily, call: &[Arrival]) {
        let shortest = call.iter().map(|a| a.end - a.start).min().unwrap_or(0);
        if let Some(pair) = family.pair {
            let pair =
                self.pairs.entry(pair).or_insert(PairTraffic { bytes: Some(0), ..PairTraffic::default() });
            pair.count += 1;
            pair.bytes = pair.bytes.and_then(|sum| sum.checked_add(family.bytes?));
            pair.transfer = pair.transfer.saturating_add(shortest);
        }
        // From one end alone, waiting cannot be distinguished from the transfer.
        for arrival in call.iter().filter(|_| call.len() > 1) {
            let waited = (arrival.end - arrival.start - shortest).min(arrival.awaited);
            if waited > 0 {
                let waits = self.ranks.entry(arrival.part).or_default();
                waits.bubble = waits.bubble.saturating_add(waited);
            }
        }
    }
}
