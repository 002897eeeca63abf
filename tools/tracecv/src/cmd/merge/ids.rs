//! Ids of several ranks kept apart in one file.

use std::collections::HashSet;

use trace::model::{EventId, FastMap};

use crate::timeline::OwnedId;

/// The ids of processes that are taken.
#[derive(Default)]
pub(super) struct TakenIds {
    numbers: HashSet<i64>,
    next: i64,
}

impl TakenIds {
    /// The number itself if no other rank has it, else one that none has.
    fn take(&mut self, wanted: i64) -> i64 {
        /// Beyond what the kernel gives to processes (proc_sys_kernel(5), `pid_max`).
        const FIRST: i64 = 1 << 22;
        if self.numbers.insert(wanted) {
            return wanted;
        }
        self.next = self.next.max(FIRST);
        while !self.numbers.insert(self.next) {
            self.next += 1;
        }
        self.next
    }
}

/// The new ids of one rank.
pub(super) struct RankIds {
    label: String,
    processes: FastMap<OwnedId, OwnedId>,
    /// Processes that metadata has named.
    named: HashSet<OwnedId>,
}

impl RankIds {
    /// `label` is `rank 3`.
    pub(super) fn new(label: String) -> Self {
        Self { label, processes: FastMap::default(), named: HashSet::new() }
    }

    /// The new id of a process.
    pub(super) fn process(&mut self, id: EventId<'_>, taken: &mut TakenIds) -> EventId<'_> {
        let old = OwnedId::from(id);
        let label = &self.label;
        let new = self.processes.entry(old).or_insert_with_key(|old| match old {
            OwnedId::None => OwnedId::None,
            OwnedId::Number(n) => OwnedId::Number(taken.take(*n)),
            OwnedId::Text(text) => OwnedId::Text(format!("{label}: {text}")),
        });
        new.as_id()
    }

    /// The new id of a flow or async span.
    pub(super) fn flow(&self, id: EventId<'_>) -> OwnedId {
        match OwnedId::from(id) {
            OwnedId::None => OwnedId::None,
            old => OwnedId::Text(format!("{}: {old}", self.label)),
        }
    }

    /// The name of a process, with the rank before it.
    pub(super) fn name(&mut self, id: EventId<'_>, name: &str) -> String {
        self.named.insert(OwnedId::from(id));
        format!("{}: {name}", self.label)
    }

    /// The new ids of the processes that no metadata has named, with a name.
    pub(super) fn unnamed(&self) -> Vec<(OwnedId, String)> {
        let unnamed =
            self.processes.iter().filter(|(old, _)| **old != OwnedId::None && !self.named.contains(*old));
        let mut list: Vec<_> =
            unnamed.map(|(old, new)| (new.clone(), format!("{}: process {old}", self.label))).collect();
        list.sort_by_key(|(_, name)| name.clone());
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_two_ranks_never_meet() {
        let mut taken = TakenIds::default();
        let mut ranks = [RankIds::new("rank 0".into()), RankIds::new("rank 1".into())];
        let mut of = |rank: usize, id| OwnedId::from(ranks[rank].process(EventId::Number(id), &mut taken));
        assert_eq!(of(0, 7), OwnedId::Number(7));
        assert_eq!(of(1, 7), OwnedId::Number(1 << 22));
        assert_eq!((of(0, 7), of(1, 7)), (OwnedId::Number(7), OwnedId::Number(1 << 22)));
        assert_eq!(of(1, 8), OwnedId::Number(8));
        assert_eq!(of(0, 1 << 22), OwnedId::Number((1 << 22) + 1));
    }
}
