//! Walks from the end of the last step to the beginning of the first.

use std::collections::BTreeMap;

use super::PathCause;
use super::graph::{NO_ITEM, PathGraph};

/// The path of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepPath {
    pub(crate) by_cause: BTreeMap<PathCause, i64>,
    /// Time of items on the path, by item and cause, and how often.
    pub(crate) by_item: BTreeMap<(u32, PathCause), (i64, u64)>,
    /// Time on each rank, by index.
    pub(crate) by_rank: BTreeMap<u32, i64>,
}

impl StepPath {
    fn add(&mut self, rank: u32, cause: PathCause, item: u32, time: i64) {
        if time <= 0 {
            return;
        }
        *self.by_cause.entry(cause).or_default() += time;
        *self.by_rank.entry(rank).or_default() += time;
        if item != NO_ITEM {
            let sum = self.by_item.entry((item, cause)).or_default();
            *sum = (sum.0 + time, sum.1 + 1);
        }
    }

    /// The length of the path.
    pub(crate) fn length(&self) -> i64 {
        self.by_cause.values().sum()
    }
}

/// Divides a path into the steps that it goes through.
struct StepDivider {
    paths: Vec<StepPath>,
    /// The rest of each step; the last one is walked through first.
    left: Vec<i64>,
}

impl StepDivider {
    fn add(&mut self, rank: u32, cause: PathCause, item: u32, time: i64) {
        let mut time = time;
        while time > 0 {
            let Some(step) = self.left.len().checked_sub(1) else { return };
            let own = time.min(self.left[step]);
            self.paths[step].add(rank, cause, item, own);
            self.left[step] -= own;
            time -= own;
            if self.left[step] <= 0 {
                self.left.pop();
            }
        }
    }
}

/// The path that ends within or at the end of a node and goes through steps of these lengths: of each its part.
pub(crate) fn walk_back(graph: &PathGraph, last: u32, offset: Option<i64>, lengths: &[i64]) -> Vec<StepPath> {
    let mut steps = StepDivider { paths: vec![StepPath::default(); lengths.len()], left: lengths.to_vec() };
    let (mut node, mut offset) = (last, offset);
    // Times of hostile traces may be equal everywhere.
    let mut moves = graph.nodes.len().saturating_mul(2).saturating_add(16);
    while !steps.left.is_empty() && moves > 0 {
        moves -= 1;
        let Some(at) = graph.nodes.get(node as usize) else { break };
        let whole = at.end - at.start;
        let own = offset.map_or(whole, |offset| offset.clamp(0, whole));
        steps.add(at.rank, at.cause, at.item, own);
        let Some(wait) = graph.last_wait(at) else { break };
        steps.add(at.rank, at.wait_cause, NO_ITEM, at.start - wait.at);
        (node, offset) = (wait.node, wait.offset);
    }
    let rank = graph.nodes.get(node as usize).map_or(0, |at| at.rank);
    let rest = steps.left.iter().fold(0_i64, |sum, left| sum.saturating_add(*left));
    steps.add(rank, PathCause::NotKnown, NO_ITEM, rest);
    steps.paths
}
