//! Folded stacks: one line for each stack, its frames joined by `;`, and its own time in nanoseconds.
//!
//! The form of Brendan Gregg's `stackcollapse` programs. A frame holds no `;` and no line break: names that do have
//! others in their place. Stacks of one name add up.

use std::io::Write;

use trace::model::{Event, EventSink, TraceMeta};
use trace::spool::MemoryLimit;
use trace::stack_tree::StackTree;

use super::{Buffered, TraceWriter, count_details};
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
        count_details(event, &mut self.losses);
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
        self.losses.add("`;` and control characters in names", self.tree.replaced);
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
            self.tree.mark_root(node);
        }
        self.root = Some((number, node));
        node
    }
}
