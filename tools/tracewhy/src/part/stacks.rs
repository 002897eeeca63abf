//! The stacks of the host, with the time that they take there or that the work which they launched takes on a device.

use std::io;

use clap::ValueEnum;
use trace::launch::{LaunchSpools, number_of_work};
use trace::model::{Event, EventSink, NameTable};
use trace::spool::{MemoryLimit, Spool};
use trace::stack_tree::StackTree;

use super::edge::NONE;
use super::host_stack::{FrameKind, HostMoment, HostRange, HostRanges, StackVisitor, sweep_host};
use super::kept::Work;

/// The time that stacks have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum StackTime {
    /// Of device work, under the stack that launched it
    #[default]
    Device,
    /// Of the host itself, without that of the frames within
    Host,
}

/// The frame of work whose launch the trace does not have.
const UNLAUNCHED: &str = "(launched outside of the trace)";

/// Collects the stacks of one trace.
pub(crate) struct StackSink {
    time: StackTime,
    memory: MemoryLimit,
    host: HostRanges,
    work: Spool<Work, 5>,
    launches: LaunchSpools,
}

impl StackSink {
    /// Of this time.
    pub(crate) fn new(time: StackTime, memory: MemoryLimit) -> Self {
        Self {
            time,
            memory,
            host: HostRanges::new(memory),
            work: Spool::new(memory),
            launches: LaunchSpools::new(memory),
        }
    }

    /// Adds the stacks to those of other ranks, under a frame of this name.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(crate) fn finish(self, tree: &mut StackTree, rank: Option<&str>) -> io::Result<()> {
        let Self { memory, mut host, work, launches, time } = self;
        let ranges = std::mem::replace(&mut host.ranges, Spool::new(memory));
        let root = rank.map_or(StackTree::NOWHERE, |name| tree.child(StackTree::NOWHERE, name));
        let mut moments = Spool::new(memory);
        launches.link(
            work,
            |work| (work.correlation, work.start),
            |work, origin| {
                let time = work.end - work.start;
                match origin.request {
                    Some(launch) => moments.push(HostMoment {
                        thread: launch.thread,
                        at: launch.at,
                        what: [time, i64::from(work.name)],
                    }),
                    None => {
                        let outer = tree.child(root, UNLAUNCHED);
                        let node = tree.child(outer, host.names.name(work.name));
                        tree.add_time(node, time);
                        Ok(())
                    }
                }
            },
        )?;
        let mut adder = StackAdder { tree, names: &host.names, host: &host, root, time };
        sweep_host(ranges, moments, &mut adder)
    }
}

impl EventSink for StackSink {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let by_device = self.time == StackTime::Device;
        if by_device && self.launches.take_arrow(event, |event| self.host.thread_of(event))? {
            return Ok(());
        }
        let Some((start, end)) = event.plausible_span() else {
            return Ok(());
        };
        if event.category.is_on_device() {
            if by_device {
                let (name, correlation) = (self.host.names.intern(event.name), number_of_work(event));
                self.work.push(Work { start, end, correlation, activity: 0, name, call: NONE })?;
            }
            return Ok(());
        }
        if by_device {
            self.launches.take_call(event, start, |event| self.host.thread_of(event))?;
        }
        // The call that launches says nothing beside what it launched.
        Ok(self.host.take(event, (start, end), |kind| !(by_device && kind == FrameKind::Call))?)
    }
}

/// Adds what a sweep finds to a tree.
struct StackAdder<'a> {
    tree: &'a mut StackTree,
    names: &'a NameTable,
    host: &'a HostRanges,
    root: u32,
    time: StackTime,
}

impl StackVisitor<HostMoment> for StackAdder<'_> {
    fn begin_thread(&mut self, thread: u32) -> u32 {
        self.tree.child(self.root, self.host.label(thread))
    }

    fn open(&mut self, range: &HostRange, parent: u32) -> u32 {
        self.tree.child(parent, self.names.name(range.name))
    }

    fn own_time(&mut self, node: u32, from: i64, to: i64) {
        if self.time == StackTime::Host {
            self.tree.add_time(node, to - from);
        }
    }

    fn moment(&mut self, moment: &HostMoment, node: u32) -> io::Result<()> {
        let [time, name] = moment.what;
        let node = self.tree.child(node, self.names.name(name as u32));
        self.tree.add_time(node, time);
        Ok(())
    }
}
