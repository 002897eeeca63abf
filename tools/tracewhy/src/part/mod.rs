//! The part of one rank: how each of its steps divides, and its calls of collectives. Parts of ranks merge to a job;
//! their size depends on the number of steps and collectives, not on that of events.

pub(crate) mod call;
pub(crate) mod collect;
mod edge;
pub(crate) mod file;
pub(crate) mod host;
pub(crate) mod host_stack;
pub(crate) mod kept;
pub(crate) mod longest;
pub(crate) mod named;
pub(crate) mod number;
pub(crate) mod stacks;
mod stalls;
mod sweep;

use std::collections::BTreeMap;

use longest::LongKernel;
use trace::program::{PartTimes, PathTime};

/// Why a device has nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum IdleCause {
    /// The host waits for data.
    Input,
    /// The host collects garbage.
    Garbage,
    /// The host allocates or releases memory of the device.
    Allocation,
    /// The host waits for the device, and launches nothing meanwhile.
    Synchronization,
    /// The host has not launched what comes next: it runs operators, or something that is not recorded.
    HostLate,
    /// The next work was launched, and begins within [`LAUNCH_LATENCY`].
    Launch,
    /// The next work was launched long ago, or nothing says when.
    NotKnown,
}

/// How long a device may take to begin what was launched, or to go on to the next of its queue: 30 µs, as
/// HolisticTraceAnalysis has it for `kernel_wait`.
pub(crate) const LAUNCH_LATENCY: i64 = 30_000;

impl IdleCause {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Input,
        Self::Garbage,
        Self::Allocation,
        Self::Synchronization,
        Self::HostLate,
        Self::Launch,
        Self::NotKnown,
    ];

    /// The name in records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Garbage => "garbage_collection",
            Self::Allocation => "allocation",
            Self::Synchronization => "synchronization",
            Self::HostLate => "host_late",
            Self::Launch => "launch",
            Self::NotKnown => "not_known",
        }
    }
}

/// The sum of times; hostile traces may have more than fits.
pub(crate) fn sum_times(times: impl IntoIterator<Item = i64>) -> i64 {
    times.into_iter().fold(0, i64::saturating_add)
}

/// How a time of one rank divides, in nanoseconds. On a job without devices, operators of the host are the computation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepTimes {
    /// At least one computation ran.
    pub(crate) compute: i64,
    /// At least one communication ran.
    pub(crate) communication: i64,
    /// Communication ran, and no computation did.
    pub(crate) exposed_communication: i64,
    /// A copy ran, and neither computation nor communication did.
    pub(crate) exposed_copy: i64,
    /// Nothing ran, by cause.
    pub(crate) idle: [i64; IdleCause::ALL.len()],
    /// As much of that lies before the first work of the step, since the last of the step before.
    pub(crate) before: i64,
}

impl StepTimes {
    /// Counts the idle time of one cause as that of another.
    pub(crate) fn move_idle(&mut self, from: IdleCause, to: IdleCause) {
        let moved = std::mem::take(&mut self.idle[from as usize]);
        self.idle[to as usize] += moved;
    }

    /// From the start of the first work to the end of the last.
    pub(crate) fn extent(&self) -> i64 {
        self.span().saturating_sub(self.before)
    }

    /// All of the time: of a step, since the last work of the step before.
    pub(crate) fn span(&self) -> i64 {
        sum_times([self.compute, self.exposed_communication, self.exposed_copy, self.idle()])
    }

    /// Time in which nothing ran.
    pub(crate) fn idle(&self) -> i64 {
        sum_times(self.idle)
    }

    /// Time in which nothing ran for this reason.
    pub(crate) fn idle_for(&self, cause: IdleCause) -> i64 {
        self.idle[cause as usize]
    }

    /// Adds another time.
    pub(crate) fn add(&mut self, other: &Self) {
        let add = |sum: &mut i64, time: i64| *sum = sum.saturating_add(time);
        add(&mut self.compute, other.compute);
        add(&mut self.communication, other.communication);
        add(&mut self.exposed_communication, other.exposed_communication);
        add(&mut self.exposed_copy, other.exposed_copy);
        add(&mut self.before, other.before);
        self.idle.iter_mut().zip(&other.idle).for_each(|(sum, time)| add(sum, *time));
    }
}

/// A step of one rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepPart {
    /// Its number.
    pub(crate) number: i64,
    pub(crate) times: StepTimes,
    /// Computations that began in it.
    pub(crate) kernels: u64,
}

/// Maximum number of ranks of a job.
pub(crate) const MOST_RANKS: usize = 1 << 17;

/// One rank of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RankPart {
    /// The file.
    pub(crate) path: String,
    /// Its number; below zero if the trace says none, until [`number::RankNumbers`] gives it one.
    pub(crate) rank: i64,
    /// Ranks in the job, as the trace says.
    pub(crate) world_size: Option<i64>,
    /// Its work ran on a device.
    pub(crate) on_device: bool,
    /// The trace marks steps, or has an optimizer that separates them.
    pub(crate) has_steps: bool,
    /// The trace could not be read to its end.
    pub(crate) is_cut: bool,
    /// In the order of time.
    pub(crate) steps: Vec<StepPart>,
    /// By number of the step, the computation on a device that exceeds most what is usual for its name; where that is a
    /// good part of the step.
    pub(crate) long_kernels: BTreeMap<i64, LongKernel>,
    /// Calls of collectives.
    pub(crate) calls: u64,
    /// The time of single names, if that was asked for.
    pub(crate) named: Vec<named::NamedTime>,
    /// Names that were too many, and are one in `named`.
    pub(crate) other_names: u64,
    /// The time of parts of the program, if that was asked for.
    pub(crate) program: PartTimes,
    /// The same by path of ranges, if that was asked for.
    pub(crate) paths: Vec<PathTime>,
    /// The first moment, in nanoseconds since the Unix epoch, where the trace says when that was.
    pub(crate) begin: Option<i64>,
}

impl RankPart {
    /// The sum of all steps.
    pub(crate) fn total(&self) -> StepTimes {
        let mut total = StepTimes::default();
        self.steps.iter().for_each(|step| total.add(&step.times));
        total
    }

    /// The mean of all steps.
    pub(crate) fn mean_step(&self) -> StepTimes {
        let mut times = self.total();
        let count = i64::try_from(self.steps.len()).unwrap_or(i64::MAX).max(1);
        for time in [
            &mut times.compute,
            &mut times.communication,
            &mut times.exposed_communication,
            &mut times.exposed_copy,
            &mut times.before,
        ]
        .into_iter()
        .chain(&mut times.idle)
        {
            *time /= count;
        }
        times
    }

    /// The step of this number.
    pub(crate) fn step(&self, number: i64) -> Option<&StepPart> {
        let place = self.steps.binary_search_by_key(&number, |step| step.number);
        // Numbers follow the time, but for traces that say otherwise.
        place
            .ok()
            .and_then(|i| self.steps.get(i))
            .or_else(|| self.steps.iter().find(|step| step.number == number))
    }
}
