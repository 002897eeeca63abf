//! Stacks of frames, each frame with the one that it is called from, and what time each stack has of its own.

use crate::model::{FastMap, NameTable};

struct StackNode {
    parent: u32,
    name: u32,
    /// It stands for a trace, process or thread.
    root: bool,
    own_ns: u64,
    count: u64,
}

/// All stacks.
pub struct StackTree {
    nodes: Vec<StackNode>,
    children: FastMap<(u32, u32), u32>,
    names: NameTable,
    most: usize,
    /// Names that had to be changed to stand in folded stacks.
    pub replaced: u64,
    /// Frames that count as the frame around them, since there are as many stacks as may be.
    pub collapsed: u64,
}

impl Default for StackTree {
    fn default() -> Self {
        Self::with_limit(u32::MAX as usize)
    }
}

/// One stack with time of its own.
pub struct Stack<'a> {
    /// Numbers of the names of its frames, the outermost first.
    pub frames: Vec<u32>,
    /// Its own time, in nanoseconds.
    pub own_ns: u64,
    /// How often time was added to it.
    pub count: u64,
    names: &'a NameTable,
}

impl Stack<'_> {
    /// The names of its frames, the outermost first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.frames.iter().map(|number| self.names.name(*number))
    }
}

impl StackTree {
    /// Below all frames.
    pub const NOWHERE: u32 = u32::MAX;

    /// An empty tree, limited to a number of stacks.
    pub fn with_limit(most: usize) -> Self {
        Self {
            nodes: Vec::new(),
            children: FastMap::default(),
            names: NameTable::default(),
            most: most.min(u32::MAX as usize),
            replaced: 0,
            collapsed: 0,
        }
    }

    /// The frame of this name that is called from `parent`.
    pub fn child(&mut self, parent: u32, name: &str) -> u32 {
        let known = self.names.count_names();
        // What ends a frame or a line, or drives a terminal.
        let breaks = |c: char| c == ';' || c.is_control();
        let number = if name.contains(breaks) {
            let number = self.names.intern(name.replace(breaks, ",").as_str().into());
            self.replaced += u64::from(self.names.count_names() > known);
            number
        } else {
            self.names.intern(name.into())
        };
        if let Some(&node) = self.children.get(&(parent, number)) {
            return node;
        }
        if self.nodes.len() >= self.most {
            self.collapsed += 1;
            return parent;
        }
        let node = self.nodes.len() as u32;
        self.children.insert((parent, number), node);
        self.nodes.push(StackNode { parent, name: number, root: false, own_ns: 0, count: 0 });
        node
    }

    /// Says that a frame stands for a trace, process or thread.
    pub fn mark_root(&mut self, node: u32) {
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.root = true;
        }
    }

    /// Adds time of its own to a stack.
    pub fn add_time(&mut self, node: u32, nanos: i64) {
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.own_ns = node.own_ns.saturating_add(u64::try_from(nanos).unwrap_or(0));
            node.count += 1;
        }
    }

    /// The frame that a frame is called from.
    pub fn parent(&self, node: u32) -> u32 {
        self.nodes.get(node as usize).map_or(Self::NOWHERE, |n| n.parent)
    }

    /// Returns whether a frame stands for a trace, process or thread.
    pub fn is_root(&self, node: u32) -> bool {
        self.nodes.get(node as usize).is_none_or(|n| n.root)
    }

    /// The names of frames, by number.
    pub fn names(&self) -> &NameTable {
        &self.names
    }

    /// The stacks with time of their own, as they came.
    pub fn stacks(&self) -> impl Iterator<Item = Stack<'_>> {
        self.nodes.iter().filter(|node| node.own_ns > 0).map(|node| {
            let mut frames = vec![node.name];
            let mut at = node.parent;
            while let Some(outer) = self.nodes.get(at as usize) {
                frames.push(outer.name);
                at = outer.parent;
            }
            frames.reverse();
            Stack { frames, own_ns: node.own_ns, count: node.count, names: &self.names }
        })
    }

    /// One line of folded stacks for each stack with time of its own.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.stacks()
            .map(|stack| format!("{} {}\n", stack.names().collect::<Vec<_>>().join(";"), stack.own_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_bounded() {
        let mut tree = StackTree::with_limit(2);
        let a = tree.child(StackTree::NOWHERE, "a");
        let b = tree.child(a, "b;\u{1b}c");
        let child = tree.child(b, "d");
        tree.add_time(child, 5);
        assert_eq!((tree.child(b, "d"), tree.child(StackTree::NOWHERE, "a")), (b, a));
        assert_eq!(tree.lines().collect::<Vec<_>>(), ["a;b,,c 5\n"]);
        assert_eq!((tree.collapsed, tree.replaced), (2, 1));
    }
}
