//! Makes the graph of a job: what each stretch of a host and each piece of device work had to wait for.

use std::collections::{BTreeMap, BTreeSet};

use trace::model::{Category, FastMap};

use super::PathCause;
use super::collect::{DeviceWork, HostLabel, HostStretch, PathRank};
use super::graph::{NO_ITEM, PathGraph, PathItem, Wait};
use crate::part::LAUNCH_LATENCY;
use crate::part::call::CollectiveKind;
use crate::part::host::HostWork;
use crate::part::host_stack::FrameKind;

/// The nodes of one rank.
pub(crate) struct RankNodes {
    /// Nodes of each thread, in the order of time.
    threads: BTreeMap<u32, Vec<u32>>,
    /// The node that ends each piece of work, and for collectives the one at which the rank arrives.
    work: Vec<(u32, u32)>,
}

/// A moment of a rank that a node waits for, before all nodes are there.
#[derive(Clone, Copy, Debug)]
enum Pending {
    /// The node of a thread at a timestamp, or before it.
    HostBefore(u32, i64),
    /// The node that a thread began at the timestamp.
    HostAt(u32, i64),
    /// The end of a piece of work.
    Work(usize, i64),
    /// The arrival of another rank: its index and that of the work, and the moment on the own clock.
    Arrival(u32, usize, i64),
    /// The end of a node.
    Node(u32, i64),
}

/// The waits of nodes, before all nodes are there.
#[derive(Default)]
struct PendingWaits {
    /// A node, its rank, and where its waits begin; they end where those of the next begin.
    nodes: Vec<(u32, u32, usize)>,
    waits: Vec<Pending>,
}

impl PendingWaits {
    fn push(&mut self, node: u32, rank: u32, waits: Vec<Pending>) {
        self.nodes.push((node, rank, self.waits.len()));
        self.waits.extend(waits);
    }

    /// Each node with its rank and what it waits for.
    fn each(&self) -> impl Iterator<Item = (u32, u32, &[Pending])> {
        let ends = self.nodes.iter().skip(1).map(|(.., first)| *first).chain([self.waits.len()]);
        let of_node = |((node, rank, first), end): (&(u32, u32, usize), usize)| {
            (*node, *rank, self.waits.get(*first..end).unwrap_or_default())
        };
        self.nodes.iter().zip(ends).map(of_node)
    }
}

/// A job as a graph.
pub(crate) struct JobGraph {
    pub(crate) graph: PathGraph,
    pub(crate) ranks: Vec<RankNodes>,
}

/// Makes the graph.
pub(crate) fn build_graph(ranks: &[PathRank]) -> JobGraph {
    let meetings = find_meetings(ranks);
    let mut graph = PathGraph::default();
    let mut pending = PendingWaits::default();
    let mut hubs = FastMap::default();
    let mut nodes = Vec::new();
    for (index, rank) in (0_u32..).zip(ranks) {
        let mut builder = RankBuilder {
            index,
            rank,
            meetings: &meetings,
            graph: &mut graph,
            pending: &mut pending,
            hubs: &mut hubs,
            items: FastMap::default(),
        };
        let threads = builder.add_hosts();
        let work = builder.add_work();
        nodes.push(RankNodes { threads, work });
    }
    for (node, rank, list) in pending.each() {
        let waits: Vec<Wait> = list.iter().filter_map(|p| resolve(&graph, &nodes, rank, *p)).collect();
        let waits: Vec<Wait> = waits.into_iter().filter(|wait| wait.node != node).collect();
        graph.set_waits(node, &waits);
    }
    JobGraph { graph, ranks: nodes }
}

fn resolve(graph: &PathGraph, nodes: &[RankNodes], rank: u32, pending: Pending) -> Option<Wait> {
    let of = nodes.get(rank as usize)?;
    match pending {
        Pending::HostBefore(thread, at) => of.host_moment(graph, thread, at, false),
        Pending::HostAt(thread, at) => of.host_moment(graph, thread, at, true),
        Pending::Work(work, at) => of.work.get(work).map(|(end, _)| Wait { node: *end, offset: None, at }),
        Pending::Arrival(other, work, at) => {
            let (_, arrival) = nodes.get(other as usize)?.work.get(work)?;
            Some(Wait { node: *arrival, offset: None, at })
        }
        Pending::Node(node, at) => Some(Wait { node, offset: None, at }),
    }
}

impl RankNodes {
    /// The node of a thread at a moment: within it, at its end, or the one before. With `begins`, a node that starts then goes
    /// before one that ends then.
    fn host_moment(&self, graph: &PathGraph, thread: u32, at: i64, begins: bool) -> Option<Wait> {
        let list = self.threads.get(&thread)?;
        let starts_before = |node: &u32| {
            let found = graph.nodes.get(*node as usize);
            found.is_some_and(|n| if begins { n.start <= at } else { n.start < at || n.end <= at })
        };
        let after = list.partition_point(starts_before);
        let node = *list.get(after.checked_sub(1)?)?;
        let found = graph.nodes.get(node as usize)?;
        if at < found.end {
            return Some(Wait { node, offset: Some(at - found.start), at });
        }
        Some(Wait { node, offset: None, at: found.end })
    }

    /// Finds the node of a thread when a step of it began.
    pub(crate) fn begin_of_step(&self, graph: &PathGraph, main: u32, at: i64) -> Option<Wait> {
        self.host_moment(graph, main, at, true)
    }

    /// Finds what may end a step that the host ends at `at` and that launched these pieces of work: nodes, places in them, timestamps.
    pub(crate) fn ends_of_step(
        &self,
        graph: &PathGraph,
        main: u32,
        at: i64,
        work: impl Iterator<Item = usize>,
    ) -> Vec<Wait> {
        let host = self.host_moment(graph, main, at, false);
        let of_work = |index: usize| {
            let (node, _) = *self.work.get(index)?;
            Some(Wait { node, offset: None, at: graph.nodes.get(node as usize)?.end })
        };
        host.into_iter().chain(work.filter_map(of_work)).collect()
    }
}

/// The ranks in one collective: index of the rank, of the work, and its duration.
type Meeting = Vec<(u32, usize, i64)>;

/// Collectives that no rank leaves before all have entered, by their keys.
fn find_meetings(ranks: &[PathRank]) -> FastMap<u64, Meeting> {
    let mut meetings: FastMap<u64, Meeting> = FastMap::default();
    for (index, rank) in (0_u32..).zip(ranks) {
        for (number, work) in rank.work.iter().enumerate() {
            let Some(call) = work.call.and_then(|call| rank.calls.get(call as usize)) else { continue };
            if call.kind.is_symmetric() || call.kind == CollectiveKind::SendReceive {
                meetings.entry(call.key).or_default().push((index, number, work.end - work.start));
            }
        }
    }
    // If a rank occurs twice, or there are more ranks than in the group, these are several collectives.
    meetings.retain(|_, meeting| {
        let ranks_of: BTreeSet<u32> = meeting.iter().map(|(rank, ..)| *rank).collect();
        let first = meeting.first().and_then(|(rank, work, _)| {
            let rank = ranks.get(*rank as usize)?;
            rank.calls.get(rank.work.get(*work)?.call? as usize)
        });
        let fits = first.and_then(|call| call.group_size).is_none_or(|n| meeting.len() as u64 <= n);
        meeting.len() > 1 && ranks_of.len() == meeting.len() && fits
    });
    meetings
}

/// Makes the nodes of one rank.
struct RankBuilder<'a> {
    index: u32,
    rank: &'a PathRank,
    meetings: &'a FastMap<u64, Meeting>,
    graph: &'a mut PathGraph,
    pending: &'a mut PendingWaits,
    /// By key of a meeting: the node at which all ranks have come. Without it, each of many ranks would wait for each.
    hubs: &'a mut FastMap<u64, u32>,
    /// Items by kind and number of the name.
    items: FastMap<(&'static str, u32), u32>,
}

impl RankBuilder<'_> {
    fn item(&mut self, kind: &'static str, name: u32) -> u32 {
        if let Some(&item) = self.items.get(&(kind, name)) {
            return item;
        }
        let item = self.graph.item(PathItem { kind, name: self.rank.names.name(name).to_owned() });
        self.items.insert((kind, name), item);
        item
    }

    fn push(
        &mut self,
        span: (i64, i64),
        causes: (PathCause, PathCause),
        item: u32,
        waits: Vec<Pending>,
    ) -> u32 {
        let node = self.graph.add(self.index, span, causes, item);
        self.pending.push(node, self.index, waits);
        node
    }

    fn add_hosts(&mut self) -> BTreeMap<u32, Vec<u32>> {
        let rank = self.rank;
        let backward = BackwardTimes::of_rank(rank);
        let ends = WorkEnds::of_rank(rank);
        let mut threads = BTreeMap::new();
        for (thread, stretches) in &rank.threads {
            let mut list: Vec<u32> = Vec::with_capacity(stretches.len());
            let mut last = None;
            for stretch in stretches {
                let before = last.unwrap_or(stretch.from);
                if *thread == rank.main && stretch.from > before {
                    // Time of which nothing is recorded is the program's own.
                    let gap = HostStretch { from: before, to: stretch.from, label: u32::MAX };
                    self.add_stretch(&mut list, *thread, &gap, &backward, &ends);
                }
                self.add_stretch(&mut list, *thread, stretch, &backward, &ends);
                last = Some(stretch.to);
            }
            threads.insert(*thread, list);
        }
        threads
    }

    fn add_stretch(
        &mut self,
        list: &mut Vec<u32>,
        thread: u32,
        stretch: &HostStretch,
        backward: &BackwardTimes,
        ends: &WorkEnds,
    ) {
        let HostStretch { from, to, label } = *stretch;
        let label = self.rank.labels.get(label as usize).copied();
        let cause = cause_of_host(label);
        let item = match label {
            Some(label) if label.in_operator => self.item("operator", label.name),
            Some(label) if label.kind != FrameKind::Step => self.item("host", label.name),
            _ => NO_ITEM,
        };
        let busy = label.is_some_and(HostLabel::is_busy);
        let mut waits = vec![Pending::HostBefore(thread, from)];
        if let Some(&(other, at)) = self.rank.handovers.get(&(thread, from)) {
            waits.push(Pending::HostBefore(other, at.min(from)));
        }
        if busy && cause == PathCause::Synchronization {
            // It goes on when the work is done that it waited for.
            let done = ends.last_of_streams(to);
            let end = done.iter().fold(from, |latest, (_, end)| latest.max(*end));
            waits.extend(done.into_iter().map(|(work, end)| Pending::Work(work, end)));
            list.push(self.push((end, to), (cause, PathCause::Synchronization), item, waits));
            return;
        }
        let handed_over = (!busy && thread == self.rank.main).then(|| backward.within(from, to)).flatten();
        if let Some((begin, end, other)) = handed_over {
            // A program that waits for the threads of the backward pass.
            if begin > from {
                list.push(self.push((from, begin), (cause, PathCause::Host), item, waits));
            }
            let waits = vec![Pending::HostBefore(other, end), Pending::HostBefore(thread, begin)];
            list.push(self.push((end, to), (cause, PathCause::Host), item, waits));
            return;
        }
        if self.rank.backward.contains(&thread) && thread != self.rank.main {
            waits.push(Pending::HostBefore(self.rank.main, from));
        }
        list.push(self.push((from, to), (cause, PathCause::Host), item, waits));
    }

    fn add_work(&mut self) -> Vec<(u32, u32)> {
        let rank = self.rank;
        let order = StreamOrder::of_rank(rank);
        let ends = WorkEnds::of_rank(rank);
        let mut nodes = Vec::with_capacity(rank.work.len());
        for (index, work) in rank.work.iter().enumerate() {
            let (waits, wait_cause) = self.waits_of_work(index, work, &order, &ends);
            let cause = match work.category {
                Category::Collective => PathCause::Communication,
                Category::Memcpy | Category::Memset => PathCause::Copy,
                _ => PathCause::Compute,
            };
            let call = work.call.and_then(|call| rank.calls.get(call as usize));
            let item = match (call, work.operator) {
                (Some(call), _) => {
                    let name = call.kind.name().to_owned();
                    self.graph.item(PathItem { kind: "collective", name })
                }
                (None, Some(operator)) => self.item("operator", operator),
                (None, None) => self.item("kernel", work.name),
            };
            let meeting = call.and_then(|call| Some((call.key, self.meetings.get(&call.key)?)));
            let Some((key, meeting)) = meeting else {
                let node = self.push((work.start, work.end), (cause, wait_cause), item, waits);
                nodes.push((node, node));
                continue;
            };
            // The rank arrives; when all have, the transfer begins.
            let arrival = self.push((work.start, work.start), (cause, wait_cause), NO_ITEM, waits);
            let shortest = meeting.iter().map(|(.., duration)| *duration).min().unwrap_or(0);
            let all_there = work.end - shortest;
            let hub = match self.hubs.get(&key) {
                Some(hub) => *hub,
                None => {
                    let waits = meeting
                        .iter()
                        .map(|(other, number, time)| Pending::Arrival(*other, *number, work.end - time));
                    let (waits, causes) = (waits.collect(), (cause, PathCause::NotKnown));
                    let hub = self.push((all_there, all_there), causes, NO_ITEM, waits);
                    self.hubs.insert(key, hub);
                    hub
                }
            };
            let waits = vec![Pending::Node(hub, all_there)];
            let node = self.push((all_there, work.end), (cause, PathCause::NotKnown), item, waits);
            nodes.push((node, arrival));
        }
        nodes
    }

    /// Finds the waits of a piece of work, and the cause of the time after them.
    fn waits_of_work(
        &self,
        index: usize,
        work: &DeviceWork,
        order: &StreamOrder,
        ends: &WorkEnds,
    ) -> (Vec<Pending>, PathCause) {
        let rank = self.rank;
        let mut waits = Vec::new();
        let mut latest = i64::MIN;
        let mut cause = PathCause::NotKnown;
        let before = order.before.get(index).copied().flatten();
        for other in before.into_iter().chain(order.sources(rank, index, work)) {
            let Some(end) = rank.work.get(other).map(|w| w.end.min(work.start)) else { continue };
            waits.push(Pending::Work(other, end));
            if end > latest {
                (latest, cause) = (end, PathCause::Queue);
            }
        }
        if let Some((thread, at)) = work.launch {
            let at = at.min(work.start);
            waits.push(Pending::HostAt(thread, at));
            if at > latest {
                (latest, cause) = (at, PathCause::Launch);
            }
        }
        // Dependencies between streams are hardly ever recorded. Work that begins long after all that is known of it, and
        // just after work of another stream, waited for that.
        if work.start.saturating_sub(latest) > LAUNCH_LATENCY {
            if let Some((other, end)) = ends.before(rank, work).filter(|(_, end)| *end > latest) {
                waits.push(Pending::Work(other, end));
                cause = PathCause::Queue;
            }
        }
        (waits, cause)
    }
}

fn cause_of_host(label: Option<HostLabel>) -> PathCause {
    match label {
        None => PathCause::Host,
        Some(HostLabel { work: Some(HostWork::Garbage), .. }) => PathCause::Garbage,
        Some(HostLabel { work: Some(HostWork::Input), .. }) => PathCause::Input,
        Some(HostLabel { work: Some(HostWork::Allocation), .. }) => PathCause::Allocation,
        Some(HostLabel { work: Some(HostWork::Synchronization), .. }) => PathCause::Synchronization,
        Some(HostLabel { kind: FrameKind::Call, .. }) => PathCause::Call,
        Some(_) => PathCause::Host,
    }
}

/// When threads of backward passes run operators, in the order of their ends and of their starts.
struct BackwardTimes {
    ends: Vec<(i64, u32)>,
    starts: Vec<i64>,
}

impl BackwardTimes {
    fn of_rank(rank: &PathRank) -> Self {
        let (mut ends, mut starts) = (Vec::new(), Vec::new());
        for thread in rank.backward.iter().filter(|thread| **thread != rank.main) {
            for stretch in rank.threads.get(thread).into_iter().flatten() {
                let label = rank.labels.get(stretch.label as usize);
                if label.is_some_and(|label| label.is_busy()) {
                    ends.push((stretch.to, *thread));
                    starts.push(stretch.from);
                }
            }
        }
        ends.sort_unstable();
        starts.sort_unstable();
        Self { ends, starts }
    }

    /// The first start and the last end in a time, and the thread of the latter.
    fn within(&self, from: i64, to: i64) -> Option<(i64, i64, u32)> {
        let first = self.starts.get(self.starts.partition_point(|start| *start < from)).copied()?;
        let last = self.ends.partition_point(|(end, _)| *end <= to).checked_sub(1)?;
        let (end, thread) = *self.ends.get(last)?;
        (first < end && end > from).then_some((first.max(from), end, thread))
    }
}

/// Pieces of work in the order of their ends: of all streams, and of each.
struct WorkEnds {
    all: Vec<(i64, usize)>,
    by_stream: BTreeMap<u32, Vec<(i64, usize)>>,
}

impl WorkEnds {
    fn of_rank(rank: &PathRank) -> Self {
        let mut all: Vec<(i64, usize)> = rank.work.iter().enumerate().map(|(i, w)| (w.end, i)).collect();
        all.sort_unstable();
        let mut by_stream: BTreeMap<u32, Vec<(i64, usize)>> = BTreeMap::new();
        for &(end, index) in &all {
            by_stream.entry(rank.work[index].stream).or_default().push((end, index));
        }
        Self { all, by_stream }
    }

    /// Finds the last work of each stream when a call that waited for the device returned. Which of them it waited for, the
    /// trace hardly ever shows.
    fn last_of_streams(&self, to: i64) -> Vec<(usize, i64)> {
        const MOST: usize = 64;
        let last = |list: &Vec<(i64, usize)>| {
            let after = list.partition_point(|(end, _)| *end <= to);
            list.get(after.checked_sub(1)?).map(|(end, work)| (*work, *end))
        };
        self.by_stream.values().take(MOST).filter_map(last).collect()
    }

    /// Finds the work that ended last on another stream of the device before a piece of work began.
    fn before(&self, rank: &PathRank, work: &DeviceWork) -> Option<(usize, i64)> {
        const FURTHEST: usize = 64;
        let after = self.all.partition_point(|(end, _)| *end <= work.start);
        let device = |stream: u32| rank.streams.get(stream as usize);
        self.all[..after].iter().rev().take(FURTHEST).find_map(|&(end, index)| {
            let other = rank.work.get(index)?;
            let is_other = other.stream != work.stream && device(other.stream) == device(work.stream);
            (is_other && other.start < work.start).then_some((index, end))
        })
    }
}

/// The order of work on streams.
struct StreamOrder {
    /// The predecessor of each piece of work on its stream.
    before: Vec<Option<usize>>,
    /// By stream: pieces of work in the order of their launches.
    launched: BTreeMap<u32, Vec<(i64, usize)>>,
    /// By stream: waits in the order of their calls; number of the call and index.
    waits: BTreeMap<u32, Vec<(i64, usize)>>,
}

impl StreamOrder {
    fn of_rank(rank: &PathRank) -> Self {
        let mut last: BTreeMap<u32, usize> = BTreeMap::new();
        let mut before = Vec::with_capacity(rank.work.len());
        let mut launched: BTreeMap<u32, Vec<(i64, usize)>> = BTreeMap::new();
        for (index, work) in rank.work.iter().enumerate() {
            before.push(last.insert(work.stream, index));
            launched.entry(work.stream).or_default().push((work.correlation, index));
        }
        let mut waits: BTreeMap<u32, Vec<(i64, usize)>> = BTreeMap::new();
        for (index, wait) in rank.waits.iter().enumerate() {
            waits.entry(wait.stream).or_default().push((wait.correlation, index));
        }
        launched.values_mut().chain(waits.values_mut()).for_each(|list| list.sort_unstable());
        Self { before, launched, waits }
    }

    /// The work of other streams that events make a piece of work wait for: of the waits between it and what its stream had
    /// before.
    fn sources(&self, rank: &PathRank, index: usize, work: &DeviceWork) -> Vec<usize> {
        const MOST: usize = 16;
        let Some(list) = self.waits.get(&work.stream) else { return Vec::new() };
        let since =
            self.before[index].and_then(|before| rank.work.get(before)).map_or(i64::MIN, |w| w.correlation);
        let after = list.partition_point(|(correlation, _)| *correlation < work.correlation);
        let between =
            list[..after].iter().rev().take(MOST).take_while(|(correlation, _)| *correlation > since);
        between
            .filter_map(|(_, wait)| {
                let wait = rank.waits.get(*wait)?;
                let launched = self.launched.get(&wait.source)?;
                let until = launched.partition_point(|(correlation, _)| *correlation < wait.recorded);
                launched.get(until.checked_sub(1)?).map(|(_, work)| *work)
            })
            .collect()
    }
}
