//! The work of one device in the order of time: how it divides, over everything and by step, and what is odd about it.

use super::link::LinkedWork;
use crate::classifier::EventClassifier;
use crate::model::{Category, FastMap};
use crate::split::{Split, SplitSweep};

/// Device events by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkCounts {
    /// All.
    pub device_events: u64,
    /// Computations.
    pub kernels: u64,
    /// Collectives and transfers.
    pub collectives: u64,
    /// Copies.
    pub memcpys: u64,
    /// Fills.
    pub memsets: u64,
}

impl WorkCounts {
    /// Counts one.
    pub(crate) fn add(&mut self, category: Category) {
        self.device_events += 1;
        *match category {
            Category::Collective => &mut self.collectives,
            Category::Memcpy => &mut self.memcpys,
            Category::Memset => &mut self.memsets,
            _ => &mut self.kernels,
        } += 1;
    }
}

/// Anomalies of a device.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeviceFacts {
    pub(crate) device: i64,
    pub(crate) events: u64,
    /// Time from its first start to its last end, and how much of that something runs.
    pub(crate) total: i64,
    pub(crate) busy: i64,
    /// Events that last into several of their stream's successors, the longest first; not all of them.
    pub(crate) overruns: Vec<Overrun>,
    /// How many there are.
    pub(crate) overrun_count: u64,
    /// The event that lasts longest: name, start and duration; and the second longest duration.
    pub(crate) longest: Option<(String, i64, i64)>,
    pub(crate) second_longest: i64,
    /// How everything but the longest event divides.
    pub(crate) without_longest: Option<Split>,
}

/// An event that ends long after its stream's next one starts, which a stream does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overrun {
    pub(crate) stream: String,
    pub(crate) name: String,
    pub(crate) start: i64,
    /// From the start of its successor to its end.
    pub(crate) by: i64,
    /// Events of the stream that lie wholly within it.
    pub(crate) contains: u64,
}

/// The last event of a stream that has not ended.
#[derive(Clone, Copy, Debug)]
struct StreamTop {
    name: u32,
    start: i64,
    end: i64,
    /// The start of the next event, if that came before the end.
    successor: Option<i64>,
    contains: u64,
}

/// Sweeps over the work of one device.
pub(crate) struct DeviceSweep {
    pub(crate) scope: u32,
    pub(crate) device: i64,
    whole: SplitSweep,
    without_longest: SplitSweep,
    /// By step: how its work divides, and how many events it has. A job may have many steps and many devices, and
    /// few pairs of both.
    steps: FastMap<u32, (SplitSweep, u64)>,
    counts: WorkCounts,
    streams: FastMap<u32, StreamTop>,
    overruns: Vec<(u32, StreamTop)>,
    overrun_count: u64,
    longest: Option<(u32, i64, i64)>,
    second_longest: i64,
}

/// The sums of a device's work.
pub(crate) struct DeviceDone {
    pub(crate) total: Option<Split>,
    pub(crate) steps: Vec<(usize, Split, u64)>,
    pub(crate) counts: WorkCounts,
    pub(crate) facts: DeviceFacts,
}

/// A shorter overrun is how streams of some devices work: dependent launches start early (CUDA programming guide,
/// programmatic dependent launch), clocks are rounded.
const LEAST_OVERRUN: i64 = 100_000;
/// How many overruns are kept.
const KEPT: usize = 16;

impl DeviceSweep {
    /// Of a device.
    pub(crate) fn new(scope: u32, device: i64) -> Self {
        Self {
            scope,
            device,
            whole: SplitSweep::default(),
            without_longest: SplitSweep::default(),
            steps: FastMap::default(),
            counts: WorkCounts::default(),
            streams: FastMap::default(),
            overruns: Vec::new(),
            overrun_count: 0,
            longest: None,
            second_longest: 0,
        }
    }

    /// Takes the next work.
    pub(crate) fn add(&mut self, work: &LinkedWork) {
        let LinkedWork { start, end, category, name, .. } = *work;
        let duration = end - start;
        match self.longest {
            Some((.., longest)) if duration <= longest => {
                self.second_longest = self.second_longest.max(duration);
                self.without_longest.add(start, end, category);
            }
            _ => {
                self.second_longest = self.longest.map_or(0, |(.., longest)| longest);
                self.longest = Some((name, start, duration));
                self.without_longest = self.whole;
            }
        }
        self.whole.add(start, end, category);
        if !work.stretch {
            self.counts.add(category);
        }
        if let Some(step) = work.step {
            let (sweep, events) = self.steps.entry(step).or_default();
            sweep.add(start, end, category);
            *events += u64::from(!work.stretch);
        }
        self.follow_stream(work);
    }

    fn follow_stream(&mut self, work: &LinkedWork) {
        let LinkedWork { start, end, name, thread, .. } = *work;
        let next = StreamTop { name, start, end, successor: None, contains: 0 };
        let top = self.streams.entry(thread).or_insert(next);
        if *top == next {
            return;
        }
        if start < top.end {
            top.successor.get_or_insert(start);
            top.contains += u64::from(end <= top.end && end > start);
        }
        if end > top.end {
            let done = std::mem::replace(top, next);
            self.keep_overrun(thread, done);
        }
    }

    fn keep_overrun(&mut self, thread: u32, top: StreamTop) {
        if top.contains == 0 || top.overrun() < LEAST_OVERRUN {
            return;
        }
        self.overrun_count += 1;
        self.overruns.push((thread, top));
        if self.overruns.len() > 2 * KEPT {
            self.shorten_overruns();
        }
    }

    fn shorten_overruns(&mut self) {
        self.overruns.sort_by_key(|(thread, top)| (std::cmp::Reverse(top.overrun()), top.start, *thread));
        self.overruns.truncate(KEPT);
    }

    /// The end.
    pub(crate) fn finish(mut self, classifier: &EventClassifier) -> DeviceDone {
        for (thread, top) in std::mem::take(&mut self.streams) {
            self.keep_overrun(thread, top);
        }
        self.shorten_overruns();
        let name = |n: u32| classifier.names.name(n).to_owned();
        let overruns = self.overruns.iter().map(|(thread, top)| Overrun {
            stream: classifier.processes.stream_name(*thread),
            name: name(top.name),
            start: top.start,
            by: top.overrun(),
            contains: top.contains,
        });
        let total = self.whole.finish();
        let facts = DeviceFacts {
            device: self.device,
            events: self.counts.device_events,
            total: total.map_or(0, |t| t.total),
            busy: total.map_or(0, |t| t.total - t.idle()),
            overruns: overruns.collect(),
            overrun_count: self.overrun_count,
            longest: self.longest.map(|(n, start, duration)| (name(n), start, duration)),
            second_longest: self.second_longest,
            without_longest: self.without_longest.finish(),
        };
        let mut steps: Vec<(usize, Split, u64)> = self
            .steps
            .into_iter()
            .filter_map(|(i, (sweep, n))| Some((i as usize, sweep.finish()?, n)))
            .collect();
        steps.sort_unstable_by_key(|(i, ..)| *i);
        DeviceDone { total, steps, counts: self.counts, facts }
    }
}

impl PartialEq for StreamTop {
    fn eq(&self, other: &Self) -> bool {
        (self.name, self.start, self.end, self.successor)
            == (other.name, other.start, other.end, other.successor)
    }
}

impl StreamTop {
    fn overrun(&self) -> i64 {
        self.successor.map_or(0, |s| self.end - s)
    }
}
