//! The critical path: from the end of a step back to its beginning, always to what was waited for last.
//!
//! `collect` keeps the stretches of host threads and the work of devices of one rank; `build` makes a graph of all ranks, in
//! which every node knows what it had to wait for; `path` walks it; `replay` lets it run again with an operator for free.

pub(crate) mod build;
pub(crate) mod collect;
pub(crate) mod graph;
pub(crate) mod path;
pub(crate) mod replay;

/// The cause of a part of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PathCause {
    /// A device computes.
    Compute,
    /// A collective or transfer runs, and all ranks have entered it.
    Communication,
    /// A device copies or fills.
    Copy,
    /// The host runs operators or its program.
    Host,
    /// The host is in a call of the device's runtime.
    Call,
    /// The host waits for data.
    Input,
    /// The host collects garbage.
    Garbage,
    /// The host allocates or releases memory of the device.
    Allocation,
    /// The host goes on after it waited for the device.
    Synchronization,
    /// Work was launched and has not begun.
    Launch,
    /// The work that a device waited for has ended, and the device has not gone on.
    Queue,
    /// The traces do not show what was waited for.
    NotKnown,
}

impl PathCause {
    /// All of them.
    pub(crate) const ALL: [Self; 12] = [
        Self::Compute,
        Self::Communication,
        Self::Copy,
        Self::Host,
        Self::Call,
        Self::Input,
        Self::Garbage,
        Self::Allocation,
        Self::Synchronization,
        Self::Launch,
        Self::Queue,
        Self::NotKnown,
    ];

    /// The name in records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Communication => "communication",
            Self::Copy => "copy",
            Self::Host => "host",
            Self::Call => "runtime_call",
            Self::Input => "input",
            Self::Garbage => "garbage_collection",
            Self::Allocation => "allocation",
            Self::Synchronization => "synchronization",
            Self::Launch => "launch",
            Self::Queue => "queue",
            Self::NotKnown => "not_known",
        }
    }
}
