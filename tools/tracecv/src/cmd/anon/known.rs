//! The texts that everybody knows: they say nothing about the owner of a trace.

use trace::model::Event;
use trace::read::category_in_json;

/// Arguments whose texts are of a few kinds that everybody knows.
const KNOWN_TEXTS: [&str; 22] = [
    "Input type",
    "Input Dims",
    "Input Strides",
    "Collective name",
    "Process Group Name",
    "Process Group Ranks",
    "In split size",
    "Out split size",
    "dtype",
    "kind",
    "src",
    "dst",
    "cuda_sync_kind",
    "Task Type",
    "stream",
    "kernel_backend",
    "Device Type",
    "grid",
    "block",
    "correlation",
    "External id",
    "Seq",
];

/// Prefixes of names of operators that PyTorch and its extensions have (pytorch/pytorch `aten/src/ATen/native`,
/// `torch/csrc/autograd`).
const KNOWN_OPERATORS: [&str; 11] = [
    "aten::",
    "prim::",
    "prims::",
    "c10d::",
    "_c10d_functional::",
    "torch::autograd::",
    "cudnn::",
    "mkldnn::",
    "quantized::",
    "inductor::",
    "npu::",
];

/// Functions of PyTorch's own for the way back that have no number.
const KNOWN_BACKWARD: [&str; 4] =
    ["CompiledFunctionBackward", "CheckpointFunctionBackward", "DDPSinkBackward", "_DDPSinkBackward"];

/// Optimizers of PyTorch (pytorch/pytorch `torch/optim`).
const KNOWN_OPTIMIZERS: [&str; 14] = [
    "ASGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LBFGS",
    "Muon",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
];

/// Names and categories of arrows that profilers draw (pytorch/kineto `libkineto/src/output_json.cpp`, torch_npu
/// `torch_npu/profiler/analysis`).
const KNOWN_FLOWS: [&str; 9] = [
    "ac2g",
    "fwdbwd",
    "flow",
    "async_npu",
    "async_task_queue",
    "torch_to_npu",
    "HostToDevice",
    "MsTx",
    "cpu_to_gpu",
];

/// Categories of profilers that are none of the model's.
const KNOWN_CATEGORIES: [&str; 13] = [
    "overhead",
    "cuda_sync",
    "xpu_sync",
    "cuda_event",
    "external_correlation",
    "mtia_insight",
    "cpu_instant_event",
    "enqueue",
    "dequeue",
    "mstx",
    "hip_api",
    "hsa_api",
    "marker_api",
];

/// Metadata that the Trace Event Format and profilers know.
const KNOWN_METADATA: [&str; 8] = [
    "process_name",
    "process_labels",
    "process_sort_index",
    "process_uptime_seconds",
    "thread_name",
    "thread_sort_index",
    "num_cpus",
    "stackFrames",
];

/// Returns whether the texts of an argument are of a few kinds.
pub(super) fn has_known_texts(argument: &str) -> bool {
    KNOWN_TEXTS.contains(&argument)
}

/// Returns whether an operator is one of PyTorch or of its extensions.
pub(super) fn is_known_operator(name: &str) -> bool {
    KNOWN_OPERATORS.iter().any(|known| name.starts_with(known))
}

/// Returns whether a function for the way back is PyTorch's own: those that are made of its formulas have a number,
/// `AddmmBackward0`, and a class of a user has the user's name.
pub(super) fn is_known_backward(name: &str) -> bool {
    let label = name.trim_end_matches(|c: char| c.is_ascii_digit());
    label.ends_with("Backward") && label.len() < name.len() || KNOWN_BACKWARD.contains(&name)
}

/// Returns whether an optimizer is PyTorch's own.
pub(super) fn is_known_optimizer(class: &str) -> bool {
    KNOWN_OPTIMIZERS.contains(&class)
}

/// Returns whether an arrow is one that profilers draw, by its name.
pub(super) fn is_known_flow(name: &str) -> bool {
    KNOWN_FLOWS.iter().any(|known| name.starts_with(known))
}

/// Returns whether a category is one that profilers write.
pub(super) fn is_known_category(cat: &str) -> bool {
    let event = Event { phase: b'X', cat: cat.into(), ..Event::default() };
    category_in_json(&event) != Event::default().category
        || KNOWN_FLOWS.contains(&cat)
        || KNOWN_CATEGORIES.contains(&cat)
}

/// Returns whether metadata is of a kind that everybody knows.
pub(super) fn is_known_metadata(name: &str) -> bool {
    KNOWN_METADATA.contains(&name)
}

/// Returns whether a text may be one of a few kinds, or the name of an argument: no path, address or host, and no class of a
/// user's.
pub(super) fn is_harmless(text: &str) -> bool {
    // Units of Ascend's arguments: `bandwidth(GB/s)`.
    let plain = text.split('(').next().unwrap_or(text);
    let bytes = plain.as_bytes();
    let joins_words = |at: usize| {
        let is_word =
            |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
        bytes[at] == b'.' && is_word(at.checked_sub(1)) && is_word(Some(at + 1))
    };
    !plain.contains(['/', '\\', '@']) && !plain.contains("__torch__") && !(0..bytes.len()).any(joins_words)
}

/// Returns whether a name says what a process or thread runs on, and nothing else: `GPU 0`, `stream 7`,
/// `Stream #13(MemcpyH2D,Compute)`.
pub(super) fn is_device_label(name: &str) -> bool {
    const WORDS: [&str; 10] =
        ["cpu", "gpu", "npu", "stream", "compute", "memcpyh", "memcpyd", "memset", "memcpyp", "device"];
    let words = name.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_ascii_lowercase).collect();
    let begins = words.first().is_some_and(|word| WORDS[..4].contains(&word.as_str()));
    // `MemcpyH2D` is two words here.
    begins && name.is_ascii() && words.iter().all(|word| word.len() == 1 || WORDS.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_devices_say_nothing_else() {
        for label in ["CPU", "GPU 0", "NPU 3", "stream 7", "Stream #13(MemcpyH2D,Compute)", "stream 7 "] {
            assert!(is_device_label(label), "{label}");
        }
        for name in ["streaming of ann", "GPU of acme", "stream acme 7", "CPUs", "acme GPU 0"] {
            assert!(!is_device_label(name), "{name}");
        }
    }

    #[test]
    fn paths_hosts_and_addresses_are_not_harmless() {
        for text in ["Input Dims", "est. achieved occupancy %", "bandwidth(GB/s)", "c10::Half", "size(Byte)"]
        {
            assert!(is_harmless(text), "{text}");
        }
        for text in ["/home/ann", "node7.acme.com", "10.1.2.3", "ann@acme", "__torch__.torch.classes.Acme"] {
            assert!(!is_harmless(text), "{text}");
        }
    }

    #[test]
    fn classes_of_users_are_not_pytorchs() {
        assert!(is_known_backward("AddmmBackward0") && is_known_backward("CompiledFunctionBackward"));
        assert!(!is_known_backward("AcmeBackward") && !is_known_backward("Acme7"));
        assert!(is_known_category("cpu_op") && is_known_category("ac2g") && !is_known_category("acme"));
    }
}
