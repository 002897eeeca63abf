//! The open ranges of the threads of a host: the stack around a timestamp, and each range's own time.
//!
//! A range is called from the innermost range that is open when it starts, and a moment belongs to the innermost range that
//! is open then; ranges that overlap without nesting need no other rule.

use std::cmp::Reverse;
use std::io;

use trace::launch::HostThreads;
use trace::model::{Category, Event, NameTable};
use trace::spool::{MemoryLimit, Spool, SpoolRecord};
use trace::steps::is_host_annotation;

/// The kind of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FrameKind {
    /// The mark of a step.
    Step,
    /// A range that the program or its framework marked.
    Annotation,
    /// `nn.Module: Linear_3`.
    Module,
    /// A function of Python.
    Python,
    /// An operator of the framework.
    Operator,
    /// A call of the device's runtime or of another interface.
    Call,
}

const KINDS: [FrameKind; 6] = [
    FrameKind::Step,
    FrameKind::Annotation,
    FrameKind::Module,
    FrameKind::Python,
    FrameKind::Operator,
    FrameKind::Call,
];

impl FrameKind {
    /// The kind of an event of the host; `None` of one that is no frame.
    fn of_event(event: &Event<'_>) -> Option<Self> {
        Some(match event.category {
            Category::Step => Self::Step,
            Category::Marker => Self::Annotation,
            Category::Python if event.name.raw.starts_with(b"nn.Module: ") => Self::Module,
            Category::Python => Self::Python,
            Category::CpuOp => Self::Operator,
            Category::Runtime | Category::Api => Self::Call,
            // Rows without a category are whatever their program did; those of profilers are about themselves.
            Category::Other if event.cat.is_empty() => Self::Annotation,
            _ => return None,
        })
    }
}

/// A range on a thread of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostRange {
    pub(crate) thread: u32,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) kind: FrameKind,
    pub(crate) name: u32,
    /// Further data of the caller.
    pub(crate) detail: u32,
}

impl SpoolRecord<4> for HostRange {
    fn to_words(self) -> [i64; 4] {
        let ids = (u64::from(self.thread) << 32 | u64::from(self.name)) as i64;
        [ids, self.start, self.end, self.kind as i64 | i64::from(self.detail) << 8]
    }

    fn from_words([ids, start, end, what]: [i64; 4]) -> Self {
        let (thread, name) = ((ids as u64 >> 32) as u32, ids as u32);
        let kind = KINDS[(what & 0xff) as usize % KINDS.len()];
        Self { thread, start, end, kind, name, detail: (what >> 8) as u32 }
    }
}

/// A moment on a thread of the host, with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostMoment {
    pub(crate) thread: u32,
    pub(crate) at: i64,
    pub(crate) what: [i64; 2],
}

impl SpoolRecord<4> for HostMoment {
    fn to_words(self) -> [i64; 4] {
        [i64::from(self.thread), self.at, self.what[0], self.what[1]]
    }

    fn from_words([thread, at, a, b]: [i64; 4]) -> Self {
        Self { thread: thread as u32, at, what: [a, b] }
    }
}

/// The names and ranges of the hosts of one trace, while it is read.
pub(crate) struct HostRanges {
    pub(crate) names: NameTable,
    threads: HostThreads,
    /// The name of each thread in the trace.
    labels: Vec<String>,
    pub(crate) ranges: Spool<HostRange, 4>,
}

impl HostRanges {
    /// None yet.
    pub(crate) fn new(memory: MemoryLimit) -> Self {
        Self {
            names: NameTable::default(),
            threads: HostThreads::default(),
            labels: Vec::new(),
            ranges: Spool::new(memory),
        }
    }

    /// The number of an event's thread.
    pub(crate) fn thread_of(&mut self, event: &Event<'_>) -> u32 {
        let found = self.threads.number_of(event);
        if found as usize == self.labels.len() {
            let label = match event.tid.to_json() {
                Some(serde_json::Value::String(text)) => text,
                Some(id) => format!("thread {id}"),
                None => "thread".to_owned(),
            };
            self.labels.push(label);
        }
        found
    }

    /// Returns the name of a thread.
    pub(crate) fn label(&self, thread: u32) -> &str {
        self.labels.get(thread as usize).map_or("thread", String::as_str)
    }

    /// Keeps an event that is a range of the host, if `wants` it.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(crate) fn take(
        &mut self,
        event: &Event<'_>,
        (start, end): (i64, i64),
        wants: impl FnOnce(FrameKind) -> bool,
    ) -> io::Result<()> {
        self.take_with(event, (start, end), wants, |_| 0)
    }

    /// The same, with what else is known of it.
    ///
    /// # Errors
    /// As of [`Self::take`].
    pub(crate) fn take_with(
        &mut self,
        event: &Event<'_>,
        (start, end): (i64, i64),
        wants: impl FnOnce(FrameKind) -> bool,
        detail: impl FnOnce(FrameKind) -> u32,
    ) -> io::Result<()> {
        let Some(kind) = FrameKind::of_event(event).filter(|_| is_host_annotation(event.cat.raw)) else {
            return Ok(());
        };
        if end <= start || !wants(kind) {
            return Ok(());
        }
        let (thread, name) = (self.thread_of(event), self.names.intern(event.name));
        self.ranges.push(HostRange { thread, start, end, kind, name, detail: detail(kind) })
    }
}

/// The actions at a timestamp on a thread of the host.
pub(crate) trait OnThread {
    /// The number of the thread, and the moment.
    fn place(&self) -> (u32, i64);
}

impl OnThread for HostMoment {
    fn place(&self) -> (u32, i64) {
        (self.thread, self.at)
    }
}

/// Receives what a sweep finds. Nodes are the visitor's own numbers of stacks.
pub(crate) trait StackVisitor<M> {
    /// A thread begins, without anything open.
    fn begin_thread(&mut self, thread: u32) -> u32;
    /// A range begins that is called from `parent`.
    fn open(&mut self, range: &HostRange, parent: u32) -> u32;
    /// A range was innermost from a moment to another.
    fn own_time(&mut self, node: u32, from: i64, to: i64);
    /// A moment within `node`.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    fn moment(&mut self, moment: &M, node: u32) -> io::Result<()>;
}

/// The open ranges of a thread, the innermost last.
struct OpenRanges {
    root: u32,
    /// End and node.
    open: Vec<(i64, u32)>,
    since: i64,
}

impl OpenRanges {
    fn close_until<M>(&mut self, at: i64, visitor: &mut impl StackVisitor<M>) {
        while let Some(&(end, node)) = self.open.last().filter(|(end, _)| *end <= at) {
            if end > self.since {
                visitor.own_time(node, self.since, end);
                self.since = end;
            }
            self.open.pop();
        }
    }

    fn innermost(&self) -> u32 {
        self.open.last().map_or(self.root, |(_, node)| *node)
    }
}

/// Goes through ranges and moments, thread by thread, in the order of time.
///
/// # Errors
/// A temporary file cannot be used; what the visitor says.
pub(crate) fn sweep_host<M: OnThread + SpoolRecord<N>, const N: usize>(
    ranges: Spool<HostRange, 4>,
    moments: Spool<M, N>,
    visitor: &mut impl StackVisitor<M>,
) -> io::Result<()> {
    let mut ranges = ranges.into_sorted(|r| (r.thread, r.start, Reverse(r.end), r.kind))?;
    let mut moments = moments.into_sorted(M::place)?;
    let (mut range, mut moment) = (ranges.next_record()?, moments.next_record()?);
    let mut state: Option<(u32, OpenRanges)> = None;
    loop {
        let range_first = match (&range, &moment) {
            (None, None) => break,
            // A range that starts at a moment encloses it.
            (Some(r), Some(m)) => (r.thread, r.start) <= m.place(),
            (r, _) => r.is_some(),
        };
        let (thread, at) = match (range.filter(|_| range_first), &moment) {
            (Some(r), _) => (r.thread, r.start),
            (None, Some(m)) => m.place(),
            (None, None) => break,
        };
        if state.as_ref().is_none_or(|(of, _)| *of != thread) {
            if let Some((_, mut before)) = state.take() {
                before.close_until(i64::MAX, visitor);
            }
            let root = visitor.begin_thread(thread);
            state = Some((thread, OpenRanges { root, open: Vec::new(), since: i64::MIN }));
        }
        let Some((_, open)) = &mut state else { break };
        open.close_until(at, visitor);
        if range_first {
            if let Some(r) = range {
                if let Some(&(_, node)) = open.open.last().filter(|_| r.start > open.since) {
                    visitor.own_time(node, open.since, r.start);
                }
                open.since = r.start;
                let node = visitor.open(&r, open.innermost());
                open.open.push((r.end, node));
            }
            range = ranges.next_record()?;
        } else {
            if let Some(m) = &moment {
                visitor.moment(m, open.innermost())?;
            }
            moment = moments.next_record()?;
        }
    }
    if let Some((_, mut last)) = state {
        last.close_until(i64::MAX, visitor);
    }
    Ok(())
}
