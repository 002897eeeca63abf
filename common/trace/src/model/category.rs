//! The normalised categories, and the rules that a name alone decides.

/// What kind of thing an event is, whatever its producer calls it.
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

    /// Tells work on a device.
    pub fn is_on_device(self) -> bool {
        matches!(self, Self::Kernel | Self::Memcpy | Self::Memset | Self::Collective)
    }
}

/// Tells a communication kernel by its name: `nccl`, `rccl` or `cross_device_reduce`, anywhere, in any case.
pub fn is_collective(name: &[u8]) -> bool {
    // All three are found by a letter that is rare enough: look at every `c`.
    let lower = |i: usize| name.get(i).map(u8::to_ascii_lowercase);
    memchr::memchr2_iter(b'c', b'C', name).any(|i| {
        let before = i.checked_sub(1).and_then(lower);
        let ccl = lower(i + 1) == Some(b'c') && lower(i + 2) == Some(b'l');
        (ccl && matches!(before, Some(b'n' | b'r')))
            || name.get(i..i + CROSS.len()).is_some_and(|n| n.eq_ignore_ascii_case(CROSS))
    })
}

const CROSS: &[u8] = b"cross_device_reduce";

/// Tells the copies that ROCm runs, and reports, as kernels.
pub fn is_copy_kernel(name: &[u8]) -> bool {
    let name = name.strip_suffix(b".kd").unwrap_or(name);
    if let Some(rest) = name.strip_prefix(b"MEMORY_COPY_") {
        return matches!(rest, b"HOST_TO_DEVICE" | b"DEVICE_TO_HOST" | b"DEVICE_TO_DEVICE");
    }
    match name.strip_prefix(b"__amd_rocclr_copyBuffer") {
        Some(rest) => matches!(rest, b"" | b"Rect" | b"Aligned" | b"RectAligned"),
        None => false,
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

    #[test]
    fn kernels_are_told_by_name() {
        for name in
            ["ncclDevKernel_AllReduce", "void rcclGeneric()", "vllm::Cross_Device_Reduce_1stage", "xNCCL"]
        {
            assert!(is_collective(name.as_bytes()), "{name}");
        }
        for name in ["accl", "gemm", "", "c", "cross_device", "tcclx", "cc"] {
            assert!(!is_collective(name.as_bytes()), "{name}");
        }
        for name in
            ["__amd_rocclr_copyBuffer", "__amd_rocclr_copyBufferRectAligned.kd", "MEMORY_COPY_DEVICE_TO_HOST"]
        {
            assert!(is_copy_kernel(name.as_bytes()), "{name}");
        }
        for name in ["__amd_rocclr_fillBufferAligned", "__amd_rocclr_copyBufferX", "MEMORY_COPY_", "copy"] {
            assert!(!is_copy_kernel(name.as_bytes()), "{name}");
        }
    }
}
