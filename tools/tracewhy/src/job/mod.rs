//! Many ranks as one job: their parts, and their arrivals at the collectives that they share.

pub(crate) mod clocks;
pub(crate) mod compare;
pub(crate) mod lateness;
pub(crate) mod links;
pub(crate) mod program;
pub(crate) mod traffic;
pub(crate) mod verdict;

use std::collections::BTreeSet;
use std::io;

use trace::spool::{MemoryLimit, Spool};

use crate::part::RankPart;
use crate::part::call::{CallFamily, FamilyTable};
use crate::part::kept::Arrival;

/// What was read of a job. Arrivals beyond the limit of memory are in a temporary file.
pub(crate) struct Job {
    pub(crate) parts: Vec<RankPart>,
    pub(crate) families: FamilyTable,
    pub(crate) arrivals: Spool<Arrival, 6>,
}

impl Job {
    /// Without ranks yet.
    pub(crate) fn new(memory: MemoryLimit) -> Self {
        Self { parts: Vec::new(), families: FamilyTable::default(), arrivals: Spool::new(memory) }
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
                let family = self.families.get(call[0].family);
                // Groups that cannot be distinguished have more arrivals than ranks.
                let fits = family.group_size.is_none_or(|n| call.len() as u64 <= n);
                if is_single && fits {
                    each(family, &call);
                } else {
                    call.iter().for_each(|a| each(self.families.get(a.family), std::slice::from_ref(a)));
                }
                call.clear();
            }
            let Some(arrival) = next else { return Ok(()) };
            call.push(arrival);
        }
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
