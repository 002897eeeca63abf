//! Device time of the parts of the program, of all ranks together.

use std::collections::BTreeMap;

use trace::program::{PartTime, ProgramPart};

use crate::part::RankPart;

/// By part of the program and name: its time, and the ranks that have it.
pub(crate) type PartSums = BTreeMap<(ProgramPart, String), (PartTime, u64)>;

/// The times of the parts of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProgramTotals {
    pub(crate) parts: PartSums,
    /// The same by path of ranges.
    pub(crate) paths: PathTree,
}

impl ProgramTotals {
    /// Adds a rank.
    pub(crate) fn add_rank(&mut self, part: &RankPart) {
        for (key, time) in &part.program {
            let (sum, ranks) = self.parts.entry(key.clone()).or_default();
            sum.own = sum.own.saturating_add(time.own);
            sum.total = sum.total.saturating_add(time.total);
            sum.count = sum.count.saturating_add(time.count);
            *ranks += 1;
        }
        for time in &part.paths {
            self.paths.add(&time.path, time.time, time.count);
        }
    }
}

/// A node of a [`PathTree`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PathTreeNode {
    pub(crate) name: String,
    /// Time of work that is in this node and in none within it.
    pub(crate) own: i64,
    /// That, and what is within it.
    pub(crate) total: i64,
    /// Pieces of work, with those within it.
    pub(crate) count: u64,
    /// Numbers of the nodes within it.
    pub(crate) inner: BTreeMap<String, usize>,
}

/// Device time by path of ranges, as a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathTree {
    /// The first is the whole.
    pub(crate) nodes: Vec<PathTreeNode>,
}

impl Default for PathTree {
    fn default() -> Self {
        Self { nodes: vec![PathTreeNode::default()] }
    }
}

/// Maximum number of nodes; time of further ones belongs to the longest known part of its path.
const MOST_NODES: usize = 100_000;

impl PathTree {
    fn add(&mut self, path: &[String], time: i64, count: u64) {
        let mut at = 0;
        self.grow(at, time, count);
        for name in path {
            at = match self.nodes[at].inner.get(name) {
                Some(&inner) => inner,
                None if self.nodes.len() >= MOST_NODES => break,
                None => {
                    let inner = self.nodes.len();
                    self.nodes.push(PathTreeNode { name: name.clone(), ..PathTreeNode::default() });
                    self.nodes[at].inner.insert(name.clone(), inner);
                    inner
                }
            };
            self.grow(at, time, count);
        }
        let own = &mut self.nodes[at].own;
        *own = own.saturating_add(time);
    }

    fn grow(&mut self, at: usize, time: i64, count: u64) {
        let node = &mut self.nodes[at];
        node.total = node.total.saturating_add(time);
        node.count = node.count.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_the_sum_of_what_is_within() {
        let mut tree = PathTree::default();
        let path = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (at, time) in [("forward net", 5), ("forward net layer", 30), ("backward net layer", 60)] {
            tree.add(&path(at), time, 1);
        }
        let times: Vec<(&str, i64, i64)> =
            tree.nodes.iter().map(|n| (n.name.as_str(), n.own, n.total)).collect();
        let forward = [("", 0, 95), ("forward", 0, 35), ("net", 5, 35), ("layer", 30, 30)];
        assert_eq!(times[..4], forward);
        assert_eq!(times[4..], [("backward", 0, 60), ("net", 0, 60), ("layer", 60, 60)]);
    }
}
