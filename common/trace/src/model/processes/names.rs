//! The names of processes and threads: the roles, devices and ranks that they tell.

use super::{ProcessRole, ThreadRole};

/// The trace that a process came from and its name there, of a name that `tracecv merge` has written: `rank 3: python`.
pub fn split_merge_label(name: &str) -> (Option<&str>, &str) {
    let is_label = |label: &str| {
        let digits = label.strip_prefix("rank ").or_else(|| label.strip_prefix("trace "));
        digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    match name.split_once(": ") {
        Some((label, rest)) if is_label(label) => (Some(label), rest),
        _ => (None, name),
    }
}

/// The name of a process of Ascend without the rank that a tool has put before or behind it: `rank 0 Ascend Hardware`,
/// `[rank1] CANN`, `Ascend Hardware (rank 1)`. Other names stay as they are.
pub(super) fn without_rank(name: &str) -> &str {
    const OWN: [&str; 5] = ["Ascend Hardware", "Communication", "HCCL", "Overlap Analysis", "CANN"];
    let is_rank = |rest: &str| {
        let rest = rest.trim_matches(|c: char| " :_-#[](),/".contains(c)).to_ascii_lowercase();
        let digits =
            rest.strip_prefix("rank").map(|rest| rest.trim_start_matches([' ', ':', '_', '=', '-', '#']));
        digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    let found = OWN.iter().find(|own| {
        name.strip_prefix(**own).is_some_and(is_rank) || name.strip_suffix(**own).is_some_and(is_rank)
    });
    found.copied().unwrap_or(name)
}

/// What a process is for by its name.
pub(super) fn role_of_name(name: &str) -> ProcessRole {
    match name {
        "Ascend Hardware" => ProcessRole::Hardware,
        "Communication" | "HCCL" => ProcessRole::Communication,
        "Overlap Analysis" => ProcessRole::Overlap,
        "CANN" => ProcessRole::Cann,
        _ => role_of_xla_name(name),
    }
}

/// The role of a process whose id is a text.
pub(super) fn role_of_text_id(id: &str) -> ProcessRole {
    match id {
        "CUDA functions" => ProcessRole::Device,
        "CPU functions" => ProcessRole::Host,
        _ => ProcessRole::None,
    }
}

/// Returns whether the name, or the text that is the id, of a process decides what its rows are.
pub fn decides_rows(process: &str) -> bool {
    role_of_name(without_rank(process)) != ProcessRole::None || role_of_text_id(process) != ProcessRole::None
}

/// Returns whether a name is that of a lane of an Ascend timeline's overlap analysis.
pub fn is_lane_name(name: &str) -> bool {
    matches!(name, "Computing" | "Communication" | "Communication(Not Overlapped)" | "Free")
}

/// Returns whether the name of a thread decides what its rows are.
pub fn thread_decides_rows(thread_name: &str) -> bool {
    thread_role(thread_name).0 != ThreadRole::None
}

/// Returns whether only an exporter of Ascend names a process like this.
pub(crate) fn is_ascend_process(name: &str) -> bool {
    matches!(without_rank(split_merge_label(name).1), "Ascend Hardware" | "Overlap Analysis" | "CANN")
}

/// The device of a process, by its label `NPU <id>`. Older exporters write just `NPU`.
pub(super) fn npu_of_label(label: &str) -> Option<i64> {
    label.strip_prefix("NPU")?.trim().parse().ok()
}

/// The role of a plane of XLA or TensorFlow, `/device:GPU:0` or `/job:worker/replica:0/task:0/device:GPU:0/stream:all
/// Compute`; a server of xprof puts the host's name before it.
fn role_of_xla_name(name: &str) -> ProcessRole {
    let accelerator = ["GPU:", "TPU:", "NPU:", "XPU:", "ROCM:", "CUSTOM:"];
    if name.contains("/host:CPU") {
        return ProcessRole::Host;
    }
    let Some((_, device)) =
        name.split_once("/device:").or_else(|| name.split_once("/gpu:").map(|(a, _)| (a, "GPU:")))
    else {
        return ProcessRole::None;
    };
    // Operators as TensorFlow 1 scheduled them for a device: host time. The device's own are in its streams.
    let scheduled = name.contains("/job:") && !name.contains("/stream:") && !name.contains("/memcpy");
    if accelerator.iter().any(|kind| device.starts_with(kind))
        && !scheduled
        && !device.contains("SparseCore")
        && !device.starts_with("CUSTOM:")
    {
        ProcessRole::Device
    } else {
        ProcessRole::None
    }
}

/// The number in `…GPU:3…`.
pub(super) fn device_in_name(name: &str) -> Option<i64> {
    let lower = name.to_ascii_lowercase();
    let at = ["gpu:", "tpu:", "npu:", "xpu:", "rocm:"]
        .iter()
        .find_map(|kind| Some(lower.find(kind)? + kind.len()))?;
    let digits: String = lower[at..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

pub(super) fn thread_role(name: &str) -> (ThreadRole, Option<i64>) {
    const DERIVED: [&str; 13] = [
        "XLA Modules",
        "Framework Name Scope",
        "Framework Ops",
        "Source code",
        "Launch Stats",
        "Host Offload Ops",
        "TensorFlow Name Scope",
        "TensorFlow Ops",
        "XLA TraceMe",
        "Async XLA Ops",
        "CUPTI overhead",
        "_counters_",
        "Sparse Core",
    ];
    if let Some(rest) = name.strip_prefix("Stream #") {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        // A stream that only allocates runs nothing, but its rows say so themselves.
        return (ThreadRole::Stream, digits.parse().ok());
    }
    match name {
        "XLA Ops" => (ThreadRole::Operations, None),
        "Steps" => (ThreadRole::Steps, None),
        _ if DERIVED.iter().any(|d| name.starts_with(d)) => (ThreadRole::Derived, None),
        _ => (ThreadRole::None, None),
    }
}

/// The number behind the word `rank` in a name or label: `rank 3`, `Rank: 3`, `rank_3`.
pub fn rank_in_text(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    lower.match_indices("rank").find_map(|(at, _)| {
        let rest = lower[at + 4..].trim_start_matches([' ', ':', '_', '=', '-', '#', '[']);
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    })
}
