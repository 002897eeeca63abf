//! Which ranks can be compared: those that do the same work, and wait for each other.
//!
//! In a pipeline, ranks of different stages do different work by plan. Ranks of one place in equal pipelines are compared
//! with each other only.

use std::collections::{BTreeMap, BTreeSet};

use crate::part::RankPart;
use crate::part::call::FamilyTable;

/// The calls of one family that several ranks took part in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SharedCalls {
    /// Indices of the ranks.
    pub(crate) parts: BTreeSet<u32>,
    pub(crate) calls: u64,
    /// They are transfers from one rank to another.
    pub(crate) is_pair: bool,
}

/// By index of the rank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RankPlaces {
    /// The number of those that do the same work.
    class: Vec<usize>,
    /// The number of those that wait for each other, also by way of others.
    component: Vec<usize>,
    /// How many ranks each class has.
    sizes: Vec<usize>,
    /// Ranks of some classes are stages of pipelines.
    pub(crate) is_pipelined: bool,
}

/// Minimum number of transfers of each rank of a pipeline per collective of all its ranks.
const TRANSFERS_PER_COLLECTIVE: u64 = 2;

impl RankPlaces {
    /// Finds the places by the calls that ranks share.
    pub(crate) fn of_calls(parts: &[RankPart], shared: &BTreeMap<u32, SharedCalls>) -> Self {
        let (mut all, mut pairs) = (DisjointSets::new(parts.len()), DisjointSets::new(parts.len()));
        for calls in shared.values() {
            all.join_all(&calls.parts);
            if calls.is_pair {
                pairs.join_all(&calls.parts);
            }
        }
        let component = (0..parts.len()).map(|i| all.find(i)).collect();
        let mut stages: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for i in 0..parts.len() {
            stages.entry(pairs.find(i)).or_default().push(i);
        }
        let flows = count_flows(&mut pairs, &stages, shared);
        let mut places = vec![(0, 0); parts.len()];
        let mut is_pipelined = false;
        for (root, mut members) in stages.into_iter().filter(|(_, members)| members.len() > 1) {
            if !flows.get(&root).is_some_and(|flow| flow.is_pipeline(members.len())) {
                continue;
            }
            is_pipelined = true;
            members.sort_by_key(|&i| parts[i].rank);
            let count = members.len();
            members.iter().enumerate().for_each(|(place, &i)| places[i] = (count, place));
        }
        let numbers: BTreeSet<(usize, usize)> = places.iter().copied().collect();
        let numbers: BTreeMap<(usize, usize), usize> =
            numbers.into_iter().enumerate().map(|(number, place)| (place, number)).collect();
        let class: Vec<usize> = places.iter().map(|place| numbers[place]).collect();
        let mut sizes = vec![0; numbers.len()];
        class.iter().for_each(|&class| sizes[class] += 1);
        Self { class, component, sizes, is_pipelined }
    }

    /// The number of those that do the same work as a rank.
    pub(crate) fn class(&self, part: usize) -> usize {
        self.class.get(part).copied().unwrap_or(0)
    }

    /// How many ranks do the same work as this one, with itself.
    pub(crate) fn equals(&self, part: usize) -> usize {
        self.sizes.get(self.class(part)).copied().unwrap_or(0)
    }

    /// The number of those that wait for each other.
    pub(crate) fn component(&self, part: usize) -> usize {
        self.component.get(part).copied().unwrap_or(part)
    }
}

/// What ranks that transfers connect do together.
#[derive(Clone, Copy, Debug, Default)]
struct StageFlow {
    /// Ends of transfers.
    ends: u64,
    /// Collectives of all of them.
    meetings: u64,
}

impl StageFlow {
    /// Returns whether as many ranks pass work on to each other more often than all of them meet.
    fn is_pipeline(self, members: usize) -> bool {
        self.ends / members.max(1) as u64 > self.meetings.saturating_mul(TRANSFERS_PER_COLLECTIVE)
    }
}

/// What the ranks of each set that transfers connect do together, by its root.
fn count_flows(
    pairs: &mut DisjointSets,
    stages: &BTreeMap<usize, Vec<usize>>,
    shared: &BTreeMap<u32, SharedCalls>,
) -> BTreeMap<usize, StageFlow> {
    let mut flows: BTreeMap<usize, StageFlow> = BTreeMap::new();
    for calls in shared.values() {
        let mut members: BTreeMap<usize, usize> = BTreeMap::new();
        let count = pairs.0.len();
        for part in calls.parts.iter().map(|part| *part as usize).filter(|part| *part < count) {
            *members.entry(pairs.find(part)).or_default() += 1;
        }
        for (root, count) in members {
            let flow = flows.entry(root).or_default();
            if calls.is_pair {
                flow.ends = flow.ends.saturating_add(calls.calls.saturating_mul(2));
            } else if stages.get(&root).is_some_and(|stage| stage.len() == count) {
                flow.meetings = flow.meetings.saturating_add(calls.calls);
            }
        }
    }
    flows
}

/// The smallest groups of several ranks that share collectives and are not all: the name of each, and its ranks.
pub(crate) fn list_groups(
    families: &FamilyTable,
    shared: &BTreeMap<u32, SharedCalls>,
) -> Vec<(String, BTreeSet<u32>)> {
    let (mut seen, mut out) = (BTreeSet::new(), Vec::new());
    for (family, calls) in shared.iter().filter(|(_, calls)| !calls.is_pair && calls.parts.len() > 1) {
        if seen.insert(&calls.parts) {
            out.push((families.get(*family).group.clone(), calls.parts.clone()));
        }
    }
    out.sort_by_key(|(_, parts)| parts.len());
    out
}

/// Sets of ranks that were joined.
struct DisjointSets(Vec<usize>);

impl DisjointSets {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn find(&mut self, mut i: usize) -> usize {
        while self.0[i] != i {
            self.0[i] = self.0[self.0[i]];
            i = self.0[i];
        }
        i
    }

    fn join_all(&mut self, parts: &BTreeSet<u32>) {
        let mut first = None;
        let count = self.0.len();
        for part in parts.iter().map(|part| *part as usize).filter(|part| *part < count) {
            match first {
                None => first = Some(part),
                Some(first) => {
                    let (a, b) = (self.find(first), self.find(part));
                    self.0[a.max(b)] = a.min(b);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranks 0 to 3 and 4 to 7 as pipelines, ranks of one stage as groups; so many transfers of each pair and meetings of all.
    fn places(transfers: u64, meetings: u64) -> RankPlaces {
        let parts: Vec<RankPart> = (0..8).map(|rank| RankPart { rank, ..RankPart::default() }).collect();
        let shared = |parts: &[u32], calls, is_pair| SharedCalls {
            parts: parts.iter().copied().collect(),
            calls,
            is_pair,
        };
        let mut all = vec![shared(&[0, 1, 2, 3, 4, 5, 6, 7], meetings, false), shared(&[0, 4], 5, false)];
        for a in [0, 1, 2, 4, 5, 6] {
            all.push(shared(&[a, a + 1], transfers, true));
        }
        RankPlaces::of_calls(&parts, &(0..).zip(all).collect())
    }

    #[test]
    fn stages_of_equal_pipelines_are_equals() {
        let places = places(8, 1);
        assert!(places.is_pipelined && places.equals(3) == 2);
        assert_eq!((places.class(1), places.class(2)), (places.class(5), places.class(6)));
        assert!(places.class(0) != places.class(1) && places.component(0) == places.component(7));
    }

    #[test]
    fn transfers_between_many_collectives_are_no_pipeline() {
        let places = places(1, 4);
        assert!(!places.is_pipelined && places.equals(3) == 8);
    }
}
