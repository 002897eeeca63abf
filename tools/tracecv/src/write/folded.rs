//! Folded stacks: one line for each stack, its frames joined by `;`, and its own time in nanoseconds.
//!
//! The form of Brendan Gregg's `stackcollapse` programs. A frame holds no `;` and no line break: names that do have
//! others in their place. Stacks of one name add up.

use std::io::Write;

use trace::model::{Event, EventSink, FastMap, NameTable, TraceMeta};
use trace::spool::MemoryLimit;

use super::{Buffered, TraceWriter};
use crate::losses::Losses;
use crate::timeline::Timeline;
use crate::timeline::sweep::SweepStep;

/// Writes the stacks of any number of traces.
pub(crate) struct FoldedWriter<'w> {
    out: Buffered<'w>,
    several: bool,
    memory: MemoryLimit,
    timeline: Timeline,
    label: String,
    tree: StackTree,
    losses: Losses,
}

impl<'w> FoldedWriter<'w> {
    pub(crate) fn new(to: &'w mut dyn Write, several: bool, memory: MemoryLimit) -> Self {
        Self {
            out: Buffered::new(to),
            several,
            memory,
            timeline: Timeline::new(memory),
            label: String::new(),
            tree: StackTree::default(),
            losses: Losses::default(),
        }
    }
}

impl EventSink for FoldedWriter<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.timeline.take_event(event, b"")
    }
}

impl TraceWriter for FoldedWriter<'_> {
    fn begin_trace(&mut self, label: &str) -> anyhow::Result<()> {
        self.timeline = Timeline::new(self.memory);
        label.clone_into(&mut self.label);
        Ok(())
    }

    fn end_trace(&mut self, _: &TraceMeta) -> anyhow::Result<()> {
        let sorted = self.timeline.sort()?;
        let mut stacks = Stacks {
            several: self.several.then_some(self.label.as_str()),
            timeline: &self.timeline,
            tree: &mut self.tree,
            lanes: Vec::new(),
            root: None,
            points: [0; 2],
        };
        sorted.sweep(|step| {
            stacks.take(step);
            Ok(())
        })?;
        let [moments, flows] = stacks.points;
        self.losses.merge(&self.timeline.losses);
        self.losses.add("moments", moments);
        self.losses.add("flows", flows);
        self.timeline = Timeline::new(self.memory);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<Losses> {
        self.losses.add("`;` and line breaks in names", self.tree.replaced);
        for line in self.tree.lines() {
            self.out.bytes.extend_from_slice(line.as_bytes());
            self.out.pass_enough()?;
        }
        self.out.pass_all()?;
        Ok(self.losses)
    }
}

/// The stacks of a track that are open.
struct Stacks<'a> {
    several: Option<&'a str>,
    timeline: &'a Timeline,
    tree: &'a mut StackTree,
    /// Lane by lane: node and moment up to which its time is counted.
    lanes: Vec<(u32, i64)>,
    /// The node of the track.
    root: Option<(u32, u32)>,
    /// Moments and flows.
    points: [u64; 2],
}

impl Stacks<'_> {
    fn take(&mut self, step: SweepStep) {
        match step {
            SweepStep::Open { event, lane } => {
                if self.lanes.len() <= lane {
                    self.lanes.resize(lane + 1, (StackTree::NOWHERE, 0));
                }
                let (node, since) = self.lanes[lane];
                let parent = if node == StackTree::NOWHERE {
                    self.root_of(event.track)
                } else {
                    self.tree.add_time(node, event.start.saturating_sub(since));
                    node
                };
                let name = self.timeline.names.name(event.name);
                self.lanes[lane] = (self.tree.child(parent, name), event.start);
            }
            SweepStep::Close { event, lane } => {
                let Some((node, since)) = self.lanes.get_mut(lane) else { return };
                self.tree.add_time(*node, event.end.saturating_sub(*since));
                // The frames of process and thread are the outermost: below a slice, there is nothing to go back to.
                let parent = self.tree.parent(*node);
                *node = if self.tree.is_root(parent) { StackTree::NOWHERE } else { parent };
                *since = event.end;
            }
            SweepStep::Point { event, .. } => {
                let flow = event.kind > crate::timeline::TimedKind::Value;
                self.points[usize::from(flow)] += 1;
            }
        }
    }

    /// The node of a thread.
    fn root_of(&mut self, number: u32) -> u32 {
        if let Some((_, node)) = self.root.filter(|(of, _)| *of == number) {
            return node;
        }
        let track = &self.timeline.tracks.tracks[number as usize];
        let process = self.timeline.tracks.processes[track.process as usize].describe();
        let mut node = StackTree::NOWHERE;
        for frame in self.several.iter().copied().chain([process.as_str(), &track.describe()]) {
            node = self.tree.child(node, frame);
            self.tree.nodes[node as usize].root = true;
        }
        self.root = Some((number, node));
        node
    }
}

struct StackNode {
    parent: u32,
    name: u32,
    /// It stands for a trace, process or thread.
    root: bool,
    own_ns: u64,
}

/// All stacks, each frame with the one that it is called from.
#[derive(Default)]
struct StackTree {
    nodes: Vec<StackNode>,
    children: FastMap<(u32, u32), u32>,
    names: NameTable,
    /// Names that had to be changed.
    replaced: u64,
}

impl StackTree {
    /// Below all frames.
    const NOWHERE: u32 = u32::MAX;

    fn child(&mut self, parent: u32, name: &str) -> u32 {
        let known = self.names.count_names();
        let breaks = |c: char| matches!(c, ';' | '\n' | '\r');
        let number = if name.contains(breaks) {
            let number = self.names.intern(name.replace(breaks, ",").as_str().into());
            self.replaced += u64::from(self.names.count_names() > known);
            number
        } else {
            self.names.intern(name.into())
        };
        let next = self.nodes.len() as u32;
        let node = *self.children.entry((parent, number)).or_insert(next);
        if node == next {
            self.nodes.push(StackNode { parent, name: number, root: false, own_ns: 0 });
        }
        node
    }

    fn add_time(&mut self, node: u32, nanos: i64) {
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.own_ns = node.own_ns.saturating_add(u64::try_from(nanos).unwrap_or(0));
        }
    }

    fn parent(&self, node: u32) -> u32 {
        self.nodes.get(node as usize).map_or(Self::NOWHERE, |n| n.parent)
    }

    fn is_root(&self, node: u32) -> bool {
        self.nodes.get(node as usize).is_none_or(|n| n.root)
    }

    /// One line for each stack with time of its own.
    fn lines(&self) -> impl Iterator<Item = String> {
        self.nodes.iter().filter(|node| node.own_ns > 0).map(|node| {
            let mut frames = vec![self.names.name(node.name)];
            let mut at = node.parent;
            while let Some(outer) = self.nodes.get(at as usize) {
                frames.push(self.names.name(outer.name));
                at = outer.parent;
            }
            frames.reverse();
            format!("{} {}\n", frames.join(";"), node.own_ns)
        })
    }
}
