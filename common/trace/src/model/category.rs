//! The normalized categories, and the rules that a name alone decides.

/// The kind of an event, whatever its producer calls it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Category {
    /// One training step on the host.
    Step,
    /// A framework operator on the host.
    CpuOp,
    /// A Python function.
    Python,
    /// A device runtime or driver call on the host.
    Runtime,
    /// Computation on a device.
    Kernel,
    /// A copy on a device.
    Memcpy,
    /// A fill on a device.
    Memset,
    /// A collective or point-to-point transfer between devices.
    Collective,
    /// A call of another programming interface (CANN layers, task queue).
    Api,
    /// A range or point that the user or the profiler marked.
    Marker,
    /// An allocation or release.
    Memory,
    /// Values over time.
    Counter,
    /// An arrow between two events.
    Flow,
    /// Anything else.
    #[default]
    Other,
}

impl Category {
    /// All of them, in the order of the model.
    pub const ALL: [Self; 14] = [
        Self::Step,
        Self::CpuOp,
        Self::Python,
        Self::Runtime,
        Self::Kernel,
        Self::Memcpy,
        Self::Memset,
        Self::Collective,
        Self::Api,
        Self::Marker,
        Self::Memory,
        Self::Counter,
        Self::Flow,
        Self::Other,
    ];

    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::CpuOp => "cpu_op",
            Self::Python => "python",
            Self::Runtime => "runtime",
            Self::Kernel => "kernel",
            Self::Memcpy => "memcpy",
            Self::Memset => "memset",
            Self::Collective => "collective",
            Self::Api => "api",
            Self::Marker => "marker",
            Self::Memory => "memory",
            Self::Counter => "counter",
            Self::Flow => "flow",
            Self::Other => "other",
        }
    }

    /// Returns whether it is work on a device.
    pub fn is_on_device(self) -> bool {
        matches!(self, Self::Kernel | Self::Memcpy | Self::Memset | Self::Collective)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn names_agree_with_the_command_line() {
        assert_eq!(Category::value_variants(), Category::ALL);
        for c in Category::ALL {
            assert_eq!(c.to_possible_value().unwrap().get_name(), c.name());
        }
    }
}
