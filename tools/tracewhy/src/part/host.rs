//! The work of the host while a device is idle, by the names of its ranges, operators and calls.

use trace::model::Category;

/// The work of the host. Of several kinds at a time, the first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum HostWork {
    /// Collects garbage.
    Garbage,
    /// Fetches or prepares data.
    Input,
    /// Allocates or releases memory of the device.
    Allocation,
    /// Waits for the device.
    Synchronization,
    /// An operator waits for its thread to run.
    Stall,
    /// Runs operators or calls of the device runtime.
    Operators,
}

/// How many there are.
pub(crate) const HOST_WORKS: usize = 6;

/// Parts of names, in lower case, that mean loading of data (PyTorch's `DataLoader`, Megatron-LM, torchtitan, Lightning).
const INPUT_NAMES: [&str; 9] = [
    "dataloader",
    "data_loader",
    "data loading",
    "data_loading",
    "next_batch",
    "get_batch",
    "fetch_batch",
    "load_batch",
    "batch-generator",
];

/// Parts of names, in lower case, that mean collection of garbage (CPython; `Python GC` of `torch.profiler`, and what its
/// stacks call `gc.collect`).
const GARBAGE_NAMES: [&str; 6] = [
    "python gc",
    "gc.collect",
    "gc_collect",
    "garbage collect",
    "garbage_collect",
    "<built-in function collect>",
];

/// Calls of runtimes that allocate or release (CUDA, HIP, CANN).
const ALLOCATIONS: [&str; 11] = [
    "cudaMalloc",
    "cudaFree",
    "cudaHostAlloc",
    "hipMalloc",
    "hipFree",
    "hipHostMalloc",
    "cuMemAlloc",
    "cuMemFree",
    "cuMemCreate",
    "aclrtMalloc",
    "aclrtFree",
];

impl HostWork {
    /// All of them, the first to count first.
    pub(crate) const ALL: [Self; HOST_WORKS] =
        [Self::Garbage, Self::Input, Self::Allocation, Self::Synchronization, Self::Stall, Self::Operators];

    /// Determines what an event of the host of this category and name does. `None` if it does nothing that counts, as a range
    /// around everything.
    pub(crate) fn of_name(category: Category, name: &str) -> Option<Self> {
        let lower = || name.to_ascii_lowercase();
        let has = |names: &[&str]| {
            let lower = lower();
            names.iter().any(|part| lower.contains(part))
        };
        match category {
            Category::CpuOp | Category::Marker | Category::Python | Category::Other => {
                if has(&GARBAGE_NAMES) {
                    Some(Self::Garbage)
                } else if has(&INPUT_NAMES) || matches!(lower().as_str(), "data" | "input") {
                    Some(Self::Input)
                } else {
                    (category == Category::CpuOp).then_some(Self::Operators)
                }
            }
            Category::Runtime | Category::Api => {
                // Ascend puts the layer before the name: `AscendCL@aclrtMallocAsync`.
                let name = name.rsplit('@').next().unwrap_or(name);
                if ALLOCATIONS.iter().any(|start| name.starts_with(start)) {
                    return Some(Self::Allocation);
                }
                Some(if name.contains("Synchronize") { Self::Synchronization } else { Self::Operators })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_the_host_does() {
        let of = |category, name: &str| HostWork::of_name(category, name);
        let loader = "enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__";
        assert_eq!(of(Category::Marker, loader), Some(HostWork::Input));
        assert_eq!(of(Category::Marker, "forward"), None);
        assert_eq!(of(Category::Python, "<built-in method gc.collect>"), Some(HostWork::Garbage));
        assert_eq!(of(Category::Python, "<built-in function collect>"), Some(HostWork::Garbage));
        assert_eq!(of(Category::CpuOp, "aten::mm"), Some(HostWork::Operators));
        assert_eq!(of(Category::Runtime, "cudaDeviceSynchronize"), Some(HostWork::Synchronization));
        assert_eq!(of(Category::Runtime, "cudaMallocAsync"), Some(HostWork::Allocation));
        assert_eq!(of(Category::Api, "AscendCL@aclrtMalloc"), Some(HostWork::Allocation));
        assert_eq!(of(Category::Runtime, "cudaLaunchKernel"), Some(HostWork::Operators));
    }
}
