//! Paths of ranges: the modules and annotations around a launch, the outermost first.

use crate::model::FastMap;

/// Device time of one path of ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTime {
    /// A phase, then names of ranges.
    pub path: Vec<String>,
    /// Sum of the durations of work whose innermost range is the last.
    pub time: i64,
    /// Pieces of that work.
    pub count: u64,
}

/// The path without a range.
pub(super) const OUTSIDE: u32 = 0;
/// Maximum number of paths of a rank; work of further ones belongs to the longest known part of its path.
const MOST_PATHS: usize = 50_000;
/// Maximum number of ranges of a path; those within them are left out.
const MOST_DEPTH: u32 = 64;

#[derive(Clone, Copy, Debug)]
struct RangeNode {
    around: u32,
    name: u32,
    depth: u32,
}

/// The paths of a rank, by number.
#[derive(Debug, Default)]
pub(super) struct PathTable {
    /// Without [`OUTSIDE`].
    nodes: Vec<RangeNode>,
    numbers: FastMap<(u32, u32), u32>,
}

impl PathTable {
    /// The path within another, in a range of this name.
    pub(super) fn enter(&mut self, around: u32, name: u32) -> u32 {
        if let Some(&path) = self.numbers.get(&(around, name)) {
            return path;
        }
        let depth = self.node(around).map_or(0, |node| node.depth) + 1;
        if self.nodes.len() >= MOST_PATHS || depth > MOST_DEPTH {
            return around;
        }
        self.nodes.push(RangeNode { around, name, depth });
        let path = u32::try_from(self.nodes.len()).unwrap_or(OUTSIDE);
        self.numbers.insert((around, name), path);
        path
    }

    fn node(&self, path: u32) -> Option<&RangeNode> {
        self.nodes.get((path as usize).checked_sub(1)?)
    }

    /// The names of the ranges of a path, the outermost first.
    pub(super) fn names_of(&self, path: u32) -> Vec<u32> {
        let mut names: Vec<u32> = std::iter::successors(self.node(path), |node| self.node(node.around))
            .map(|node| node.name)
            .collect();
        names.reverse();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_bounded() {
        let mut paths = PathTable::default();
        let outer = paths.enter(OUTSIDE, 7);
        let inner = paths.enter(outer, 7);
        assert_eq!((paths.enter(outer, 7), paths.names_of(inner)), (inner, vec![7, 7]));
        assert!(paths.names_of(OUTSIDE).is_empty());
        let deepest = (0..200).fold(OUTSIDE, |path, name| paths.enter(path, name));
        assert_eq!(paths.names_of(deepest).len(), MOST_DEPTH as usize);
        let wide =
            (0..100_000).map(|name| paths.enter(OUTSIDE, name)).filter(|path| *path != OUTSIDE).count();
        assert!(wide < MOST_PATHS && paths.nodes.len() == MOST_PATHS);
    }
}
