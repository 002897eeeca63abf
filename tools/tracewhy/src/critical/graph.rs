//! The graph of a job: stretches of hosts and work of devices, and what each had to wait for.

use trace::model::FastMap;

use super::PathCause;

/// The item that a node is part of: a name that may be for free.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PathItem {
    /// `operator`, `kernel`, `collective` or `host`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
}

/// Something that takes time on one rank. Times are of the rank's own clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathNode {
    /// Index of the rank.
    pub(crate) rank: u32,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) cause: PathCause,
    /// Of the time between what it waited for and its start.
    pub(crate) wait_cause: PathCause,
    /// Number of its item; [`NO_ITEM`] if none.
    pub(crate) item: u32,
    /// Its waits are these.
    first: u32,
    count: u32,
}

/// No item.
pub(crate) const NO_ITEM: u32 = u32::MAX;

/// A moment of a node that another one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) node: u32,
    /// Since the node's start; the whole node if none.
    pub(crate) offset: Option<i64>,
    /// That moment, on the clock of the one that waits.
    pub(crate) at: i64,
}

/// All ranks.
#[derive(Default)]
pub(crate) struct PathGraph {
    pub(crate) nodes: Vec<PathNode>,
    waits: Vec<Wait>,
    pub(crate) items: Vec<PathItem>,
    numbers: FastMap<PathItem, u32>,
}

impl PathGraph {
    /// The number of an item.
    pub(crate) fn item(&mut self, item: PathItem) -> u32 {
        if let Some(&number) = self.numbers.get(&item) {
            return number;
        }
        let number = u32::try_from(self.items.len()).unwrap_or(NO_ITEM);
        self.numbers.insert(item.clone(), number);
        self.items.push(item);
        number
    }

    /// Adds a node that waits for nothing yet; returns its number.
    pub(crate) fn add(
        &mut self,
        rank: u32,
        (start, end): (i64, i64),
        (cause, wait_cause): (PathCause, PathCause),
        item: u32,
    ) -> u32 {
        let number = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(PathNode { rank, start, end, cause, wait_cause, item, first: 0, count: 0 });
        number
    }

    /// Says what a node waits for. Moments after its start count as its start.
    pub(crate) fn set_waits(&mut self, node: u32, waits: &[Wait]) {
        let first = u32::try_from(self.waits.len()).unwrap_or(u32::MAX);
        let nodes = self.nodes.len();
        let Some(of) = self.nodes.get_mut(node as usize) else { return };
        let start = of.start;
        let known = waits.iter().filter(|wait| (wait.node as usize) < nodes);
        self.waits.extend(known.map(|wait| Wait { at: wait.at.min(start), ..*wait }));
        (of.first, of.count) =
            (first, u32::try_from(self.waits.len()).unwrap_or(u32::MAX).saturating_sub(first));
    }

    /// Returns the waits of a node.
    pub(crate) fn waits(&self, node: &PathNode) -> &[Wait] {
        let first = node.first as usize;
        self.waits.get(first..first + node.count as usize).unwrap_or_default()
    }

    /// Returns the last wait of a node.
    pub(crate) fn last_wait(&self, node: &PathNode) -> Option<Wait> {
        // Of equal ones the first: a device's own order says more than the host.
        self.waits(node).iter().copied().reduce(|best, wait| if wait.at > best.at { wait } else { best })
    }
}
