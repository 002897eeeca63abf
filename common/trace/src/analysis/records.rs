//! The records that are kept of single events.

use crate::model::{Category, RowTraits};

use crate::spool::SpoolRecord;

/// A device that is not known; such work stays together.
pub(crate) const NO_DEVICE: i64 = i64::MIN;
/// A correlation or another number that is not given.
pub(crate) const NO_NUMBER: i64 = i64::MIN;

/// Work on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) device: i64,
    pub(crate) correlation: i64,
    pub(crate) thread: u32,
    pub(crate) name: u32,
    pub(crate) category: Category,
    /// An operator asked for it.
    pub(crate) external: bool,
    /// A stretch of an operation that has been counted: it adds time, and no event.
    pub(crate) stretch: bool,
}

fn pair(a: u32, b: u32) -> i64 {
    (u64::from(a) << 32 | u64::from(b)) as i64
}

fn unpair(word: i64) -> (u32, u32) {
    ((word as u64 >> 32) as u32, word as u32)
}

fn category(word: i64) -> Category {
    Category::ALL[(word & 0xff) as usize % Category::ALL.len()]
}

impl SpoolRecord<6> for Work {
    fn to_words(self) -> [i64; 6] {
        let flags = self.category as i64 | i64::from(self.external) << 8 | i64::from(self.stretch) << 9;
        [self.start, self.end, self.device, self.correlation, pair(self.thread, self.name), flags]
    }

    fn from_words([start, end, device, correlation, ids, flags]: [i64; 6]) -> Self {
        let (thread, name) = unpair(ids);
        let (external, stretch) = (flags & 1 << 8 != 0, flags & 1 << 9 != 0);
        let category = category(flags);
        Self { start, end, device, correlation, thread, name, category, external, stretch }
    }
}

/// The kind of work that a call on the host launches, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LaunchKind {
    /// May launch something.
    Any,
    /// A kernel, which is always a device event.
    Kernel,
    /// A copy, which is a device event unless it came to nothing.
    Copy,
    /// A fill. Some of cuBLAS never have an event.
    Fill,
    /// A whole graph.
    Graph,
}

/// A call on the host that launches work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) correlation: i64,
    pub(crate) at: i64,
    pub(crate) thread: u32,
    pub(crate) kind: LaunchKind,
}

impl SpoolRecord<3> for Launch {
    fn to_words(self) -> [i64; 3] {
        [self.correlation, self.at, pair(self.thread, self.kind as u32)]
    }

    fn from_words([correlation, at, ids]: [i64; 3]) -> Self {
        let (thread, kind) = unpair(ids);
        const KINDS: [LaunchKind; 5] =
            [LaunchKind::Any, LaunchKind::Kernel, LaunchKind::Copy, LaunchKind::Fill, LaunchKind::Graph];
        let kind = KINDS[kind as usize % KINDS.len()];
        Self { correlation, at, thread, kind }
    }
}

/// Determines what a runtime call launches (the calls that libkineto links to device work: pytorch/kineto
/// `libkineto/src/CuptiActivityProfiler.cpp`; names as in facebookresearch/HolisticTraceAnalysis `hta/common`, of ROCm's
/// HIP, of Moore Threads' MUSA, and of oneAPI's unified runtime and its predecessor).
pub(crate) fn launch_kind(name: &[u8]) -> LaunchKind {
    match name {
        b"cudaGraphLaunch"
        | b"hipGraphLaunch"
        | b"cuGraphLaunch"
        | b"musaGraphLaunch"
        | b"urCommandBufferEnqueueExp"
        | b"urEnqueueCommandBufferExp" => LaunchKind::Graph,
        b"cudaLaunchKernel"
        | b"cudaLaunchKernelExC"
        | b"cudaLaunchCooperativeKernel"
        | b"cuLaunchKernel"
        | b"cuLaunchKernelEx"
        | b"cuLaunchCooperativeKernel"
        | b"hipLaunchKernel"
        | b"hipLaunchKernelExC"
        | b"hipLaunchCooperativeKernel"
        | b"hipModuleLaunchKernel"
        | b"hipExtLaunchKernel"
        | b"hipExtModuleLaunchKernel"
        | b"musaLaunchKernel"
        | b"muLaunchKernel"
        | b"urEnqueueKernelLaunch"
        | b"urEnqueueKernelLaunchWithArgsExp"
        | b"urEnqueueCooperativeKernelLaunchExp"
        | b"piEnqueueKernelLaunch" => LaunchKind::Kernel,
        b"cudaMemcpyAsync" | b"hipMemcpyAsync" => LaunchKind::Copy,
        b"cudaMemsetAsync" => LaunchKind::Fill,
        _ => LaunchKind::Any,
    }
}

/// A row of a thread, of which only its process or thread decides what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) correlation: i64,
    pub(crate) step_number: i64,
    pub(crate) index: u64,
    pub(crate) thread: u32,
    pub(crate) name: u32,
    pub(crate) traits: RowTraits,
    /// The category that the user gives it, if it runs on a device.
    pub(crate) user: Option<Category>,
}

fn optional_category(category: Option<Category>) -> i64 {
    category.map_or(0xff, |c| c as i64)
}

fn read_optional_category(word: i64) -> Option<Category> {
    (word & 0xff != 0xff).then(|| category(word))
}

impl SpoolRecord<7> for Row {
    fn to_words(self) -> [i64; 7] {
        let flags = i64::from(self.traits.to_byte()) | optional_category(self.user) << 8;
        let ids = pair(self.thread, self.name);
        [self.start, self.end, self.correlation, self.step_number, self.index as i64, ids, flags]
    }

    fn from_words([start, end, correlation, step_number, index, ids, flags]: [i64; 7]) -> Self {
        let (thread, name) = unpair(ids);
        let traits = RowTraits::from_byte(flags as u8);
        let user = read_optional_category(flags >> 8);
        Self { start, end, correlation, step_number, index: index as u64, thread, name, traits, user }
    }
}

/// A begin or an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// When it is.
    pub at: i64,
    /// Its place in the file.
    pub index: u64,
    /// Number of its thread, or of its track.
    pub thread: u32,
    /// Number of its name.
    pub name: u32,
    /// It begins.
    pub begin: bool,
    /// An operator asked for it.
    pub external: bool,
    /// It is on a device, and repeats what the program marked on the host.
    pub repeats_mark: bool,
    /// Its category; none if its process or thread decides.
    pub known: Option<Category>,
    /// The traits of such a row.
    pub traits: RowTraits,
    /// The category that the user gives it.
    pub user: Option<Category>,
    /// Its device.
    pub device: i64,
    /// Its correlation.
    pub correlation: i64,
    /// The number of the step that it marks.
    pub step_number: i64,
}

impl SpoolRecord<7> for Edge {
    fn to_words(self) -> [i64; 7] {
        let flags = i64::from(self.begin)
            | i64::from(self.external) << 1
            | i64::from(self.repeats_mark) << 2
            | i64::from(self.traits.to_byte()) << 8
            | optional_category(self.known) << 16
            | optional_category(self.user) << 24;
        let ids = pair(self.thread, self.name);
        [self.at, self.index as i64, ids, flags, self.device, self.correlation, self.step_number]
    }

    fn from_words([at, index, ids, flags, device, correlation, step_number]: [i64; 7]) -> Self {
        let (thread, name) = unpair(ids);
        Self {
            at,
            index: index as u64,
            thread,
            name,
            begin: flags & 1 != 0,
            external: flags & 2 != 0,
            repeats_mark: flags & 4 != 0,
            known: read_optional_category(flags >> 16),
            traits: RowTraits::from_byte((flags >> 8) as u8),
            user: read_optional_category(flags >> 24),
            device,
            correlation,
            step_number,
        }
    }
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

/// The lane that a row of the process `Overlap Analysis` belongs to, by its name.
pub(crate) fn overlap_lane(name: &str) -> Option<Lane> {
    match name {
        "Computing" => Some(Lane::Computing),
        "Communication" => Some(Lane::Communication),
        "Communication(Not Overlapped)" => Some(Lane::NotOverlapped),
        "Free" => Some(Lane::Free),
        _ => None,
    }
}

/// A piece of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) device: i64,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) lane: Lane,
    pub(crate) scope: u32,
}

impl SpoolRecord<4> for Piece {
    fn to_words(self) -> [i64; 4] {
        [self.device, self.start, self.end, pair(self.scope, self.lane as u32)]
    }

    fn from_words([device, start, end, ids]: [i64; 4]) -> Self {
        const LANES: [Lane; 5] =
            [Lane::Computing, Lane::Communication, Lane::NotOverlapped, Lane::Free, Lane::Receive];
        let (scope, lane) = unpair(ids);
        Self { device, start, end, lane: LANES[lane as usize % LANES.len()], scope }
    }
}

/// An end of an arrow from an operator to the device work that it launched, by the arrow's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrow {
    pub(crate) id: i64,
    pub(crate) at: i64,
    pub(crate) thread: u32,
}

impl SpoolRecord<3> for Arrow {
    fn to_words(self) -> [i64; 3] {
        [self.id, self.at, i64::from(self.thread)]
    }

    fn from_words([id, at, thread]: [i64; 3]) -> Self {
        Self { id, at, thread: thread as u32 }
    }
}

/// A device event of an Ascend timeline, at which an arrow may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) thread: u32,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl SpoolRecord<3> for Task {
    fn to_words(self) -> [i64; 3] {
        [i64::from(self.thread), self.start, self.end]
    }

    fn from_words([thread, start, end]: [i64; 3]) -> Self {
        Self { thread: thread as u32, start, end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NameHint, TaskKind};

    #[test]
    fn records_survive_the_file() {
        let traits = RowTraits { task: TaskKind::Copy, hint: NameHint::Python };
        let work = Work {
            start: -1,
            end: i64::MAX,
            device: NO_DEVICE,
            correlation: 7,
            thread: u32::MAX,
            name: 3,
            category: Category::Collective,
            external: true,
            stretch: false,
        };
        assert_eq!(Work::from_words(work.to_words()), work);
        let stretch = Work { external: false, stretch: true, ..work };
        assert_eq!(Work::from_words(stretch.to_words()), stretch);
        for user in [None, Some(Category::Other), Some(Category::Step)] {
            let row = Row {
                start: 1,
                end: 2,
                correlation: NO_NUMBER,
                step_number: -5,
                index: u64::MAX,
                thread: 1,
                name: u32::MAX,
                traits,
                user,
            };
            assert_eq!(Row::from_words(row.to_words()), row);
            let edge = Edge {
                at: 9,
                index: 1 << 40,
                thread: 2,
                name: 1,
                begin: user.is_none(),
                external: user.is_some(),
                known: user,
                repeats_mark: user.is_none(),
                traits,
                user,
                device: 1,
                correlation: 2,
                step_number: 3,
            };
            assert_eq!(Edge::from_words(edge.to_words()), edge);
        }
        let launch = Launch { correlation: 4, at: 5, thread: 6, kind: LaunchKind::Graph };
        assert_eq!(Launch::from_words(launch.to_words()), launch);
        let piece = Piece { device: 1, start: 2, end: 3, lane: Lane::Receive, scope: 9 };
        assert_eq!(Piece::from_words(piece.to_words()), piece);
    }
}
