//! Keeps of a trace what its sums need, in columns: device work, launches, steps, host time, and the lanes and
//! arrows of an Ascend timeline.

use std::collections::HashMap;

use super::steps::{Step, Steps, Update};
use trace::interval::UnionBuilder;
use trace::model::{
    BeginEndPairs, Category, Event, EventCounts, EventId, EventSink, NameTable, ProcessRole, ThreadTable,
};
use trace::read::kineto::step_number;

/// A device that is not known; such work stays together.
pub(crate) const NO_DEVICE: i64 = i64::MIN;

/// Work on a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) device: i64,
    pub(crate) correlation: Option<i64>,
    pub(crate) category: Category,
    /// An operator asked for it.
    pub(crate) external: bool,
}

/// A call on the host that launches work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Launch {
    pub(crate) correlation: i64,
    pub(crate) at: i64,
    /// By its name it always has a device event.
    pub(crate) expects: bool,
}

/// The lanes of an Ascend timeline's overlap analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    Computing,
    Communication,
    NotOverlapped,
    Free,
    /// A receive of a pipeline: not a lane, but counted with them.
    Receive,
}

/// A piece of a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) device: i64,
    pub(crate) lane: Lane,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// An arrow from an operator to the device work that it launched, by the arrow's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrow {
    pub(crate) id: i64,
    pub(crate) at: i64,
    pub(crate) lane: u32,
}

/// What was kept.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) census: EventCounts,
    pub(crate) work: Vec<Work>,
    pub(crate) launches: Vec<Launch>,
    pub(crate) steps: Vec<Step>,
    pub(crate) updates: Vec<Update>,
    /// Host time in operators, by thread.
    pub(crate) operators: HashMap<u32, UnionBuilder>,
    /// Host time in anything, by thread, for traces of programs that have no operators.
    pub(crate) others: HashMap<u32, UnionBuilder>,
    pub(crate) pieces: Vec<Piece>,
    /// Operator ends and device ends of arrows.
    pub(crate) tails: Vec<Arrow>,
    pub(crate) heads: Vec<Arrow>,
    /// Device events of an Ascend timeline: thread, start and end.
    pub(crate) tasks: Vec<(u32, i64, i64)>,
    /// Begins without an end, and the reverse.
    pub(crate) unclosed: u64,
    pub(crate) unopened: u64,
    lanes: ThreadTable,
    names: NameTable,
    pairs: BeginEndPairs,
}

impl Collected {
    /// Brings begins and ends together; call once, after the last event.
    pub(crate) fn close_open_spans(&mut self) {
        let any = self.names.intern("".into());
        let matched = std::mem::take(&mut self.pairs).match_pairs(any);
        (self.unclosed, self.unopened) = (matched.unclosed, matched.unopened);
        for pair in matched.pairs {
            let category = Category::ALL[pair.tag as usize % Category::ALL.len()];
            match category {
                Category::Step => {
                    let number = step_number(self.names.name(pair.name).as_bytes());
                    self.steps.extend(number.map(|n| Step {
                        number: n,
                        start: pair.start,
                        end: pair.end,
                        partial: !pair.closed,
                    }));
                }
                Category::CpuOp => self.operators.entry(pair.lane).or_default().add(pair.start, pair.end),
                _ => self.others.entry(pair.lane).or_default().add(pair.start, pair.end),
            }
        }
    }

    /// The steps that the trace marks, or that its optimizer tells; call once, after [`Self::finish`]. Of a
    /// trace that was `cut`, no step is known to be whole.
    pub(crate) fn take_steps(&mut self, cut: bool) -> Steps {
        let mut marks = std::mem::take(&mut self.steps);
        if marks.is_empty() {
            let begin = self.census.extent.map_or(0, |(begin, _)| begin);
            return Steps::from_optimizer(std::mem::take(&mut self.updates), begin, cut);
        }
        marks.iter_mut().for_each(|s| s.partial |= cut);
        Steps::new(marks)
    }

    fn take_span(&mut self, event: &Event<'_>, start: i64, end: i64) {
        if event.name.raw.starts_with(b"Optimizer.step#") && !event.category.is_on_device() {
            let name = self.names.intern(event.name);
            self.updates.push(Update { name, start, end });
        }
        match event.category {
            c if c.is_on_device() => self.take_device_work(event, start, end),
            Category::Runtime => self.launches.extend(event.correlation.map(|correlation| Launch {
                correlation,
                at: start,
                expects: launches_work(event.name.raw),
            })),
            Category::CpuOp => {
                let lane = self.lanes.intern(event.pid, event.tid);
                self.operators.entry(lane).or_default().add(start, end);
            }
            Category::Step => self.steps.extend(step_number(event.name.raw).map(|number| Step {
                number,
                start,
                end,
                partial: false,
            })),
            Category::Other if event.role == ProcessRole::None => {
                let lane = self.lanes.intern(event.pid, event.tid);
                self.others.entry(lane).or_default().add(start, end);
            }
            Category::Marker if event.role == ProcessRole::Overlap => {
                let device = event.device.unwrap_or(NO_DEVICE);
                self.pieces.extend(overlap_lane(event.name.raw).map(|lane| Piece {
                    device,
                    lane,
                    start,
                    end,
                }));
            }
            _ => {}
        }
        if matches!(event.role, ProcessRole::Hardware | ProcessRole::Communication) {
            let lane = self.lanes.intern(event.pid, event.tid);
            self.tasks.push((lane, start, end));
        }
    }

    fn take_device_work(&mut self, event: &Event<'_>, start: i64, end: i64) {
        let device = event.device.unwrap_or(NO_DEVICE);
        let (correlation, external) = (event.correlation, event.external.is_some());
        self.work.push(Work { start, end, device, correlation, category: event.category, external });
        if event.name.raw.starts_with(b"hcom_receive") {
            self.pieces.push(Piece { device, lane: Lane::Receive, start, end });
        }
    }

    fn take_arrow(&mut self, event: &Event<'_>) {
        if let (b"async_npu", EventId::Number(id), Some(at)) = (event.cat.raw, event.id, event.start) {
            let lane = self.lanes.intern(event.pid, event.tid);
            match event.phase {
                b's' => self.tails.push(Arrow { id, at, lane }),
                b'f' => self.heads.push(Arrow { id, at, lane }),
                _ => {}
            }
        }
    }

    fn take_edge(&mut self, event: &Event<'_>, at: i64) {
        let lane = self.lanes.intern(event.pid, event.tid);
        let name = self.names.intern(event.name);
        match event.phase {
            b'B' => self.pairs.push_begin(lane, at, name, event.category as u32),
            _ => self.pairs.push_end(lane, at, name),
        }
    }
}

impl EventSink for Collected {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.census.event(event)?;
        match (event.phase, event.start, event.span()) {
            (b'X', _, Some((start, end))) => self.take_span(event, start, end),
            (b's' | b'f', ..) => self.take_arrow(event),
            (b'B' | b'E', Some(at), _) => self.take_edge(event, at),
            _ => {}
        }
        Ok(())
    }
}

fn overlap_lane(name: &[u8]) -> Option<Lane> {
    match name {
        b"Computing" => Some(Lane::Computing),
        b"Communication" => Some(Lane::Communication),
        b"Communication(Not Overlapped)" => Some(Lane::NotOverlapped),
        b"Free" => Some(Lane::Free),
        _ => None,
    }
}

/// Tells runtime calls that always put something on a device.
fn launches_work(name: &[u8]) -> bool {
    const CALLS: [&[u8]; 9] = [
        b"cudaLaunchKernel",
        b"cudaLaunchKernelExC",
        b"cuLaunchKernel",
        b"cuLaunchKernelEx",
        b"cudaMemcpyAsync",
        b"cudaMemsetAsync",
        b"hipLaunchKernel",
        b"hipExtModuleLaunchKernel",
        b"hipMemcpyAsync",
    ];
    CALLS.contains(&name)
}
