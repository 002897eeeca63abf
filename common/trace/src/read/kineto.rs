//! The categories of libkineto's Chrome traces, every vintage, and the metadata that it writes beside them.

use serde_json::Value;

use crate::model::{Category, TraceMeta};

/// The category of an event with a duration, by the file's spelling and the event's name. `None` if the
/// spelling is not one of libkineto's.
#[inline]
pub(super) fn classify_category(cat: &[u8], name: &[u8]) -> Option<Category> {
    Some(match cat {
        b"cpu_op" | b"Operator" => step_or_category(Category::CpuOp, name),
        b"user_annotation" | b"User Annotation" => step_or_category(Category::Marker, name),
        b"python_function" | b"PythonFunction" => Category::Python,
        b"cuda_runtime"
        | b"cuda_driver"
        | b"Runtime"
        | b"mtia_runtime"
        | b"glow_runtime"
        | b"xpu_runtime"
        | b"xpu_driver"
        | b"privateuse1_runtime"
        | b"privateuse1_driver"
        | b"hpu_op" => Category::Runtime,
        // Their names show which of them communicate: see `model::classify_kernel_name`.
        b"kernel" | b"Kernel" => Category::Kernel,
        b"mtia_ccp_events" => classify_mtia(name),
        b"collective_comm" => Category::Collective,
        b"gpu_memcpy" | b"Memcpy" => Category::Memcpy,
        b"gpu_memset" | b"Memset" => Category::Memset,
        b"gpu_user_annotation" | b"Trace" | b"cuda_profiler_range" => Category::Marker,
        b"cpu_instant_event" => Category::Memory,
        b"overhead"
        | b"cuda_sync"
        | b"xpu_sync"
        | b"cuda_event"
        | b"external_correlation"
        | b"mtia_insight" => Category::Other,
        _ => return None,
    })
}

/// `ProfilerStep#N` marks a step, whichever category carries it.
fn step_or_category(category: Category, name: &[u8]) -> Category {
    if name.starts_with(b"ProfilerStep#") { Category::Step } else { category }
}

/// The number of a `ProfilerStep#N`.
pub fn step_number(name: &[u8]) -> Option<i64> {
    std::str::from_utf8(name.strip_prefix(b"ProfilerStep#")?).ok()?.trim().parse().ok()
}

/// MTIA lists waits and copies among its device events.
fn classify_mtia(name: &[u8]) -> Category {
    match name {
        _ if name.starts_with(b"event_wait") => Category::Other,
        _ if name.starts_with(b"dma") => Category::Memcpy,
        _ => Category::Kernel,
    }
}

/// Takes one member of the root object. `false` if libkineto does not write it.
pub(super) fn read_metadata(meta: &mut TraceMeta, key: &str, value: &Value) -> bool {
    match key {
        "schemaVersion" => add_hint(meta, "schema", value),
        "baseTimeNanoseconds" | "baseTimeNanosecond" => meta.base_ns = as_whole_number(value),
        "distributedInfo" => read_distributed_info(meta, value),
        "deviceProperties" | "computeProperties" => read_devices(meta, value),
        "trace_id" => meta.trace_id = as_text(value),
        "traceName" => meta.trace_name = as_text(value),
        "host_name" => meta.host = as_text(value),
        "cuda_runtime_version"
        | "cuda_driver_version"
        | "cupti_version"
        | "hip_runtime_version"
        | "hip_driver_version"
        | "roctracer_version" => add_hint(meta, key, value),
        _ => return false,
    }
    true
}

/// Keys that [`metadata`] wants to see; the values of all others are skipped unbuilt.
pub(super) const KEYS: [&str; 15] = [
    "schemaVersion",
    "baseTimeNanoseconds",
    "baseTimeNanosecond",
    "distributedInfo",
    "deviceProperties",
    "computeProperties",
    "trace_id",
    "traceName",
    "host_name",
    "cuda_runtime_version",
    "cuda_driver_version",
    "cupti_version",
    "hip_runtime_version",
    "hip_driver_version",
    "roctracer_version",
];

fn add_hint(meta: &mut TraceMeta, key: &str, value: &Value) {
    if let Some(v) = as_text(value) {
        meta.hints.push(format!("{key} {v}"));
    }
}

/// Returns whether the values of `distributedInfo` name another rank than `known`: a list of them, as programs leave it that put
/// traces together, or another document.
pub(super) fn names_other_rank(known: Option<i64>, value: &Value) -> bool {
    let ranks = list_of(value).iter().filter_map(|info| info.get("rank").and_then(as_whole_number));
    let mut ranks = known.into_iter().chain(ranks);
    let first = ranks.next();
    ranks.any(|rank| Some(rank) != first)
}

/// Returns the items of a list; another value counts as a list of one item.
fn list_of(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

fn read_distributed_info(meta: &mut TraceMeta, value: &Value) {
    let Some(value) = list_of(value).first() else { return };
    meta.rank = value.get("rank").and_then(as_whole_number).or(meta.rank);
    meta.world_size = value.get("world_size").and_then(as_whole_number).or(meta.world_size);
    meta.backend = value.get("backend").and_then(as_text).or_else(|| meta.backend.take());
}

fn read_devices(meta: &mut TraceMeta, value: &Value) {
    const MOST: usize = 4096;
    for device in value.as_array().into_iter().flatten().take(MOST) {
        if let Some(id) = device.get("id").and_then(as_whole_number) {
            meta.devices.insert(id, device.get("name").and_then(as_text).unwrap_or_default());
        }
    }
}

/// An integer that may be written as text.
pub(super) fn as_whole_number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_by_name_and_kernels_are_not() {
        assert_eq!(classify_category(b"cpu_op", b"ProfilerStep#3"), Some(Category::Step));
        assert_eq!(classify_category(b"gpu_user_annotation", b"ProfilerStep#3"), Some(Category::Marker));
        assert_eq!(classify_category(b"Kernel", b"ncclKernel_AllReduce"), Some(Category::Kernel));
        assert_eq!(classify_category(b"net", b"x"), None);
        assert_eq!(step_number(b"ProfilerStep#551"), Some(551));
        assert_eq!(step_number(b"ProfilerStep#"), None);
    }

    #[test]
    fn several_ranks_are_recognized() {
        let one = serde_json::json!({"rank": "3"});
        assert!(!names_other_rank(None, &one) && !names_other_rank(Some(3), &one));
        assert!(names_other_rank(Some(2), &one) && !names_other_rank(Some(2), &serde_json::json!({})));
        let mut meta = TraceMeta::default();
        let several = serde_json::json!([{"rank": 0, "world_size": 2}, {"rank": 1, "world_size": 2}]);
        assert!(names_other_rank(None, &several) && read_metadata(&mut meta, "distributedInfo", &several));
        assert_eq!((meta.rank, meta.world_size), (Some(0), Some(2)));
    }

    #[test]
    fn rank_may_be_text() {
        let mut meta = TraceMeta::default();
        let info = serde_json::json!({"rank": "3", "world_size": 8, "backend": "nccl", "ranks": "[0, 1]"});
        assert!(read_metadata(&mut meta, "distributedInfo", &info));
        assert_eq!((meta.rank, meta.world_size, meta.backend.as_deref()), (Some(3), Some(8), Some("nccl")));
    }
}
