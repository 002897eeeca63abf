//! Many ranks as one job: their parts, and their arrivals at the collectives that they share.

mod by_cause;
mod chance;
pub(crate) mod clocks;
pub(crate) mod compare;
pub(crate) mod evidence;
mod gain;
pub(crate) mod hiccups;
pub(crate) mod lateness;
pub(crate) mod links;
mod load;
pub(crate) mod meetings;
mod order_test;
pub(crate) mod place;
pub(crate) mod program;
mod signal;
mod stretches;
pub(crate) mod traffic;
pub(crate) mod verdict;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use trace::clock::median;

use trace::spool::{MemoryLimit, Spool};

use crate::part::RankPart;
use crate::part::call::{CallFamily, FamilyTable};
use crate::part::kept::Arrival;

/// A trace that does not count, since another is of the same rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceLeftOut {
    pub(crate) path: String,
    pub(crate) rank: i64,
    /// The one that counts.
    pub(crate) kept: String,
}

/// The parts of a job's ranks. Arrivals beyond the limit of memory are in a temporary file.
pub(crate) struct Job {
    pub(crate) parts: Vec<RankPart>,
    pub(crate) families: FamilyTable,
    pub(crate) arrivals: Spool<Arrival, 7>,
}

impl Job {
    /// Without ranks yet.
    pub(crate) fn new(memory: MemoryLimit) -> Self {
        Self { parts: Vec::new(), families: FamilyTable::default(), arrivals: Spool::new(memory) }
    }

    /// Leaves out all traces of a rank but one: that which began nearest to those of the other ranks, or else the first. Puts
    /// those that count into the order of their ranks, so that nothing depends on that of their names. Returns what was
    /// left out.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(crate) fn keep_one_of_each_rank(&mut self, memory: MemoryLimit) -> io::Result<Vec<TraceLeftOut>> {
        let mut of_rank: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (index, part) in self.parts.iter().enumerate() {
            of_rank.entry(part.rank).or_default().push(index);
        }
        if self.parts.windows(2).all(|pair| pair[0].rank < pair[1].rank) {
            return Ok(Vec::new());
        }
        let single = of_rank.values().filter(|list| list.len() == 1);
        let mut begins: Vec<i64> = single.filter_map(|list| self.parts[list[0]].begin).collect();
        let first = self.parts.iter().find_map(|part| part.begin);
        let usual = if begins.is_empty() { first } else { Some(median(&mut begins)) };
        let distance = |index: usize| match (self.parts[index].begin, usual) {
            (Some(begin), Some(usual)) => begin.abs_diff(usual),
            _ => u64::MAX,
        };
        // By index of a trace, the one that counts in its place.
        let mut counts: Vec<usize> = (0..self.parts.len()).collect();
        for list in of_rank.values() {
            let Some(&kept) = list.iter().min_by_key(|index| (distance(**index), **index)) else { continue };
            list.iter().for_each(|&index| counts[index] = kept);
        }
        let left_out = (0..self.parts.len()).filter(|index| counts[*index] != *index).map(|index| {
            let part = &self.parts[index];
            let kept = self.parts[counts[index]].path.clone();
            TraceLeftOut { path: part.path.clone(), rank: part.rank, kept }
        });
        let left_out = left_out.collect();
        let mut places = vec![None; self.parts.len()];
        let kept: Vec<usize> = of_rank.values().filter_map(|list| Some(counts[*list.first()?])).collect();
        for (place, index) in (0_u32..).zip(&kept) {
            places[*index] = Some(place);
        }
        let arrivals = std::mem::replace(&mut self.arrivals, Spool::new(memory));
        arrivals.for_each(|arrival| match places.get(arrival.part as usize).copied().flatten() {
            Some(part) => self.arrivals.push(Arrival { part, ..arrival }),
            None => Ok(()),
        })?;
        self.parts = kept.iter().map(|index| std::mem::take(&mut self.parts[*index])).collect();
        Ok(left_out)
    }

    /// Calls `each` with the arrivals of one call after the other, by index of the rank. What cannot be one call, because
    /// a rank would have made it twice or because there are more arrivals than ranks in the group, comes one by one.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub(crate) fn each_call(
        &mut self,
        memory: MemoryLimit,
        mut each: impl FnMut(&CallFamily, &[Arrival]),
    ) -> io::Result<()> {
        let arrivals = std::mem::replace(&mut self.arrivals, Spool::new(memory));
        let mut sorted = arrivals.into_sorted(|a| (a.key, a.part))?;
        let mut call: Vec<Arrival> = Vec::new();
        loop {
            let next = sorted.next_record()?;
            if call.first().is_some_and(|first| next.is_none_or(|n| n.key != first.key)) {
                let is_single = call.windows(2).all(|pair| pair[0].part != pair[1].part);
                let family = self.family_of_call(&call);
                // Groups that cannot be distinguished have more arrivals than ranks.
                let fits = family.group_size.is_none_or(|n| call.len() as u64 <= n);
                if is_single && fits {
                    each(&family, &call);
                } else {
                    call.iter().for_each(|a| each(self.families.get(a.family), std::slice::from_ref(a)));
                }
                call.clear();
            }
            let Some(arrival) = next else { return Ok(()) };
            call.push(arrival);
        }
    }

    /// The family of a call. Where its ranks have different sizes, as those of an uneven all-to-all, the size is their mean.
    fn family_of_call(&self, call: &[Arrival]) -> Cow<'_, CallFamily> {
        let family = self.families.get(call[0].family);
        if call.iter().all(|arrival| arrival.family == call[0].family) {
            return Cow::Borrowed(family);
        }
        let sizes = call.iter().map(|arrival| self.families.get(arrival.family).bytes.map(u128::from));
        let mean = sizes.sum::<Option<u128>>().map(|sum| sum / call.len() as u128);
        let bytes = mean.and_then(|mean| u64::try_from(mean).ok());
        Cow::Owned(CallFamily { bytes, ..family.clone() })
    }

    /// The rank of the trace of this index.
    pub(crate) fn rank_of(&self, part: usize) -> Option<i64> {
        self.parts.get(part).map(|part| part.rank)
    }

    /// Ranks in the job, as far as is known.
    pub(crate) fn world_size(&self) -> usize {
        let said = self.parts.iter().filter_map(|part| part.world_size).max().unwrap_or(0);
        self.parts.len().max(usize::try_from(said).unwrap_or(0))
    }

    /// Ranks of which there is no trace, at most `most` of them.
    pub(crate) fn missing_ranks(&self, most: usize) -> Vec<i64> {
        let there: BTreeSet<i64> = self.parts.iter().map(|part| part.rank).collect();
        (0..self.world_size() as i64).filter(|rank| !there.contains(rank)).take(most).collect()
    }
}
