//! Work of a device, and the calls and operators of the host that it came from, in bounded memory.
//!
//! A call of a runtime and its work have one number: `correlation` of libkineto and others, `connection_id` of CANN, whose
//! calls often run on a thread that takes them from a queue of the operators' thread. Arrows then lead to the operator: their
//! number is the start of the work on the device. Of profiles without calls, arrows lead to the launch, too (formats of
//! torch_npu 2.14 `profiler/analysis/prof_parse/_fwk_cann_relation_parser.py`, Ascend/msprof
//! `analysis/csrc/application/timeline`).

use std::hash::BuildHasher;
use std::io;

use crate::model::{Category, Event, EventId, FastMap, FastState};
use crate::read::{RawValue, find_argument};
use crate::spool::{MemoryLimit, Sorted, Spool, SpoolRecord};

/// The number of work that nothing launched.
pub const NO_CORRELATION: i64 = i64::MIN;

/// A launch: its number and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchTime {
    /// The number that its work has, too.
    pub correlation: i64,
    /// When the call began.
    pub at: i64,
    /// Number of its thread.
    pub thread: u32,
}

impl SpoolRecord<3> for LaunchTime {
    fn to_words(self) -> [i64; 3] {
        [self.correlation, self.at, i64::from(self.thread)]
    }

    fn from_words([correlation, at, thread]: [i64; 3]) -> Self {
        Self { correlation, at, thread: thread as u32 }
    }
}

/// The number of the work that an event of the host launches, if it launches any.
pub fn number_of_launch(event: &Event<'_>) -> Option<i64> {
    match event.category {
        Category::Runtime => event.correlation,
        _ if is_cann_call(event) => connection_of(event),
        _ => None,
    }
}

/// The number of the launch that a piece of device work came from, or [`NO_CORRELATION`].
pub fn number_of_work(event: &Event<'_>) -> i64 {
    event.correlation.or_else(|| connection_of(event)).unwrap_or(NO_CORRELATION)
}

/// A row of the process of CANN: those of the task queue, of the same category, have a `cat`.
fn is_cann_call(event: &Event<'_>) -> bool {
    event.category == Category::Api && event.cat.is_empty()
}

/// The argument `connection_id` of CANN.
fn connection_of(event: &Event<'_>) -> Option<i64> {
    // What has none has the greatest number of 32 bits, signed or not.
    const NOT_CONNECTED: i64 = 0xffff_ffff;
    match find_argument(event.args, "connection_id")? {
        RawValue::Number(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
        RawValue::Text(text) => text.decode().trim().parse().ok(),
        _ => None,
    }
    .filter(|number| *number >= 0 && *number != NOT_CONNECTED)
}

/// The threads of a host by number. CANN records its calls in a process of their own, by the same numbers of threads: they are
/// one thread with what the framework did there.
#[derive(Debug, Default)]
pub struct HostThreads {
    by_ids: FastMap<u64, u32>,
    /// By number of the thread alone: threads of CANN of which nothing else is known yet, and those of the framework.
    of_calls: FastMap<u64, u32>,
    of_framework: FastMap<u64, u32>,
    count: u32,
}

impl HostThreads {
    /// The number of an event's thread: of a new one, how many there were before.
    pub fn number_of(&mut self, event: &Event<'_>) -> u32 {
        let state = FastState::default();
        let key = state.hash_one((event.pid, event.tid));
        if let Some(&number) = self.by_ids.get(&key) {
            return number;
        }
        let alone = state.hash_one(event.tid);
        let is_call = is_cann_call(event) || event.cat.raw == HOST_TO_DEVICE;
        let other =
            if is_call { self.of_framework.get(&alone).copied() } else { self.of_calls.remove(&alone) };
        let number = other.unwrap_or_else(|| {
            let next = self.count;
            self.count = next.saturating_add(1);
            next
        });
        self.by_ids.insert(key, number);
        match (is_call, other) {
            (true, None) => _ = self.of_calls.insert(alone, number),
            (true, Some(_)) => {}
            (false, _) => _ = self.of_framework.entry(alone).or_insert(number),
        }
        number
    }
}

/// Category of arrows from a call of CANN to its work.
const HOST_TO_DEVICE: &[u8] = b"HostToDevice";
/// Category of arrows from an operator to its work.
const OPERATOR_TO_DEVICE: &[u8] = b"async_npu";

/// What a piece of work came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkOrigin {
    /// The call that put it on the device: before that it could not run.
    pub launch: Option<LaunchTime>,
    /// Where the program asked for it: the operator, if an arrow leads to it, or else the launch.
    pub request: Option<LaunchTime>,
}

/// The launches of one rank, while it is read.
#[derive(Debug)]
pub struct LaunchSpools {
    memory: MemoryLimit,
    /// By the number of their work.
    calls: Spool<LaunchTime, 3>,
    /// By the start of their work.
    operators: Spool<LaunchTime, 3>,
    /// Ends of arrows from calls to work, by the arrow: on the host, and on the device.
    tails: Spool<LaunchTime, 3>,
    heads: Spool<LaunchTime, 3>,
    has_arrows: bool,
}

/// The place of a piece of work, and by what it is looked for.
#[derive(Clone, Copy, Debug)]
struct WorkPlace {
    index: i64,
    key: i64,
}

impl SpoolRecord<2> for WorkPlace {
    fn to_words(self) -> [i64; 2] {
        [self.index, self.key]
    }

    fn from_words([index, key]: [i64; 2]) -> Self {
        Self { index, key }
    }
}

impl LaunchSpools {
    /// Without any yet.
    pub fn new(memory: MemoryLimit) -> Self {
        let spool = || Spool::new(memory);
        Self { memory, calls: spool(), operators: spool(), tails: spool(), heads: spool(), has_arrows: false }
    }

    /// Keeps a span of the host that began at `at`, if it launches something.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub fn take_call(
        &mut self,
        event: &Event<'_>,
        at: i64,
        thread: impl FnOnce(&Event<'_>) -> u32,
    ) -> io::Result<()> {
        let Some(correlation) = number_of_launch(event) else { return Ok(()) };
        self.calls.push(LaunchTime { correlation, at, thread: thread(event) })
    }

    /// Keeps one end of an arrow from the host to a device; returns whether it was one.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub fn take_arrow(
        &mut self,
        event: &Event<'_>,
        thread: impl FnOnce(&Event<'_>) -> u32,
    ) -> io::Result<bool> {
        let (b's' | b'f', Some(at)) = (event.phase, event.start) else { return Ok(false) };
        if !matches!(event.cat.raw, OPERATOR_TO_DEVICE | HOST_TO_DEVICE) {
            return Ok(false);
        }
        self.has_arrows = true;
        match (event.cat.raw, event.phase, event.id) {
            (OPERATOR_TO_DEVICE, b's', EventId::Number(correlation)) => {
                self.operators.push(LaunchTime { correlation, at, thread: thread(event) })?;
            }
            (HOST_TO_DEVICE, phase, id) => {
                let correlation = FastState::default().hash_one(id) as i64;
                match phase {
                    b's' => self.tails.push(LaunchTime { correlation, at, thread: thread(event) })?,
                    _ => self.heads.push(LaunchTime { correlation, at, thread: 0 })?,
                }
            }
            _ => {}
        }
        Ok(true)
    }

    /// Calls `each` with every piece of work and what it came from, in any order. `key` gives the number of its launch and
    /// its start.
    ///
    /// # Errors
    /// A temporary file cannot be used; what `each` says.
    pub fn link<W: SpoolRecord<N>, const N: usize>(
        self,
        work: Spool<W, N>,
        key: impl Fn(&W) -> (i64, i64),
        mut each: impl FnMut(&W, WorkOrigin) -> io::Result<()>,
    ) -> io::Result<()> {
        let Self { memory, calls, operators, tails, heads, has_arrows } = self;
        if !has_arrows {
            let both = |launch| WorkOrigin { launch, request: launch };
            return link_launches(work, |w| key(w).0, calls, |w, launch| each(w, both(launch)));
        }
        let mut by_start = Spool::new(memory);
        link_launches(
            heads,
            |head| head.correlation,
            tails,
            |head, tail| match tail {
                Some(tail) => by_start.push(LaunchTime { correlation: head.at, ..tail }),
                None => Ok(()),
            },
        )?;
        let mut calls = FoundLaunches::new(&work, |w| key(w).0, calls, memory)?;
        let mut arrows = FoundLaunches::new(&work, |w| key(w).1, by_start, memory)?;
        let mut operators = FoundLaunches::new(&work, |w| key(w).1, operators, memory)?;
        let mut index = 0_i64;
        work.for_each(|w| {
            let (call, arrow, operator) =
                (calls.of_place(index)?, arrows.of_place(index)?, operators.of_place(index)?);
            index += 1;
            let launch = call.or(arrow);
            each(&w, WorkOrigin { launch: launch.or(operator), request: operator.or(launch) })
        })
    }
}

/// What launched pieces of work, in the order of the places of these, which are its numbers.
struct FoundLaunches {
    sorted: Sorted<LaunchTime, i64, fn(&LaunchTime) -> i64, 3>,
    next: Option<LaunchTime>,
}

impl FoundLaunches {
    fn new<W: SpoolRecord<N>, const N: usize>(
        work: &Spool<W, N>,
        key: impl Fn(&W) -> i64,
        launches: Spool<LaunchTime, 3>,
        memory: MemoryLimit,
    ) -> io::Result<Self> {
        let (mut places, mut index) = (Spool::new(memory), 0_i64);
        work.for_each(|w| {
            places.push(WorkPlace { index, key: key(&w) })?;
            index += 1;
            Ok(())
        })?;
        let mut found = Spool::new(memory);
        link_launches(
            places,
            |place| place.key,
            launches,
            |place, launch| match launch {
                Some(launch) => found.push(LaunchTime { correlation: place.index, ..launch }),
                None => Ok(()),
            },
        )?;
        let mut sorted = found.into_sorted(place_of as fn(&LaunchTime) -> i64)?;
        let next = sorted.next_record()?;
        Ok(Self { sorted, next })
    }

    /// What launched the work of a place. Places must increase.
    fn of_place(&mut self, index: i64) -> io::Result<Option<LaunchTime>> {
        let found = self.next.filter(|launch| launch.correlation == index);
        if found.is_some() {
            self.next = self.sorted.next_record()?;
        }
        Ok(found)
    }
}

fn place_of(launch: &LaunchTime) -> i64 {
    launch.correlation
}

/// Calls `each` with every piece of work and its launch, in the order of their numbers. Of several launches of one number
/// the first counts: the others repeat it in another layer.
///
/// # Errors
/// A temporary file cannot be used; what `each` says.
pub fn link_launches<W: SpoolRecord<N>, const N: usize>(
    work: Spool<W, N>,
    correlation: impl Fn(&W) -> i64,
    launches: Spool<LaunchTime, 3>,
    mut each: impl FnMut(&W, Option<LaunchTime>) -> io::Result<()>,
) -> io::Result<()> {
    let mut launches = launches.into_sorted(|l| (l.correlation, l.at))?;
    let mut work = work.into_sorted(&correlation)?;
    let mut next = launches.next_record()?;
    let mut launch: Option<LaunchTime> = None;
    while let Some(w) = work.next_record()? {
        let number = correlation(&w);
        while let Some(l) = next.filter(|l| l.correlation <= number) {
            if launch.is_none_or(|before| before.correlation != l.correlation) {
                launch = Some(l);
            }
            next = launches.next_record()?;
        }
        each(&w, launch.filter(|l| l.correlation == number && number != NO_CORRELATION))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event<'a>(phase: u8, category: Category, cat: &'a str, (pid, tid): (i64, i64), at: i64) -> Event<'a> {
        let (pid, tid) = (EventId::Number(pid), EventId::Number(tid));
        let (start, cat) = (Some(at), cat.into());
        Event { phase, category, cat, pid, tid, start, dur: Some(5), ..Event::default() }
    }

    /// Work as `(number, start)`, and the timestamps of its launch and request.
    fn link(spools: LaunchSpools, work: &[(i64, i64)]) -> Vec<(Option<i64>, Option<i64>)> {
        let mut spool = Spool::new(MemoryLimit::default());
        for &(key, index) in work {
            spool.push(WorkPlace { index, key }).unwrap();
        }
        let mut found = FastMap::default();
        let at = |launch: Option<LaunchTime>| launch.map(|l| l.at);
        let each = |w: &WorkPlace, origin: WorkOrigin| {
            found.insert(w.index, (at(origin.launch), at(origin.request)));
            Ok(())
        };
        spools.link(spool, |w| (w.key, w.index), each).unwrap();
        work.iter().map(|(_, start)| found[start]).collect()
    }

    #[test]
    fn calls_of_cann_launch_by_their_connection() {
        let mut call = event(b'X', Category::Api, "", (9, 1), 100);
        call.args = br#"{"level":"node","connection_id":7}"#;
        let mut queued = event(b'X', Category::Api, "dequeue", (9, 1), 90);
        queued.args = br#"{"correlation_id":7}"#;
        let mut work = event(b'X', Category::Kernel, "", (8, 2), 200);
        work.args = br#"{"Task Type":"AI_CORE","connection_id":"7"}"#;
        assert_eq!((number_of_launch(&call), number_of_launch(&queued)), (Some(7), None));
        assert_eq!(number_of_work(&work), 7);
        work.args = br#"{"connection_id":4294967295}"#;
        assert_eq!(number_of_work(&work), NO_CORRELATION);
        let mut spools = LaunchSpools::new(MemoryLimit::default());
        spools.take_call(&call, 100, |_| 3).unwrap();
        assert_eq!(link(spools, &[(7, 200), (8, 300)]), [(Some(100), Some(100)), (None, None)]);
    }

    #[test]
    fn arrows_tell_operators_and_launches_without_calls() {
        let arrow = |phase, cat, id, at| Event {
            id: EventId::Number(id),
            ..event(phase, Category::Flow, cat, (9, 1), at)
        };
        let mut spools = LaunchSpools::new(MemoryLimit::default());
        for arrow in [
            arrow(b's', "async_npu", 200, 50),
            arrow(b'f', "async_npu", 200, 200),
            arrow(b's', "HostToDevice", 77, 110),
            arrow(b'f', "HostToDevice", 77, 200),
            arrow(b's', "HostToDevice", 78, 120),
            arrow(b'f', "HostToDevice", 78, 300),
            arrow(b's', "async_npu", 400, 60),
        ] {
            assert!(spools.take_arrow(&arrow, |_| 1).unwrap());
        }
        assert!(!spools.take_arrow(&arrow(b's', "fwdbwd", 1, 1), |_| 1).unwrap());
        let found = link(spools, &[(1, 300), (NO_CORRELATION, 200), (2, 400), (3, 500)]);
        let expected = [(Some(120), Some(120)), (Some(110), Some(50)), (Some(60), Some(60)), (None, None)];
        assert_eq!(found, expected);
    }

    #[test]
    fn calls_of_cann_are_on_the_threads_of_the_framework() {
        let row = |category, cat, ids| event(b'X', category, cat, ids, 0);
        let mut threads = HostThreads::default();
        assert_eq!(threads.number_of(&row(Category::CpuOp, "cpu_op", (1, 11))), 0);
        assert_eq!(threads.number_of(&row(Category::Api, "", (500, 12))), 1);
        assert_eq!(threads.number_of(&row(Category::Api, "", (500, 11))), 0);
        assert_eq!(threads.number_of(&row(Category::Api, "dequeue", (1, 12))), 1);
        assert_eq!(threads.number_of(&row(Category::CpuOp, "cpu_op", (2, 11))), 2);
        assert_eq!(threads.number_of(&row(Category::CpuOp, "cpu_op", (2, 12))), 3);
        assert_eq!(threads.number_of(&row(Category::Api, "", (500, 12))), 1);
    }
}
