//! Particulars of Ascend timelines: rows are identified by their process, whose number means nothing, and the
//! rank stands in a file beside the trace.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::kineto::as_whole_number;
use super::slices;
use crate::model::Category;

/// The groups of rows that stand in processes of their own in a timeline, with the number that makes the process id
/// (Ascend/msprof `analysis/csrc/domain/entities/json_trace`).
#[derive(Clone, Copy)]
pub(super) enum AscendLayer {
    Cann = 7,
    Hardware = 14,
    Communication = 16,
    Counters = 17,
    Overlap = 31,
}

/// The process of the rows of a device, `(pid << 10) | (layer << 5) | device` as in a timeline.
pub(super) fn layer_process(host: i64, layer: AscendLayer, device: i64) -> i64 {
    ((host & 0x003f_ffff_ffff) << 10) + ((layer as i64) << 5) + device.clamp(0, 1 << 20)
}

/// The categories that the framework part of the file carries.
pub(super) fn classify_framework_event(cat: &[u8]) -> Option<Category> {
    match cat {
        b"enqueue" | b"dequeue" => Some(Category::Api),
        b"GC" => Some(Category::Python),
        _ => None,
    }
}

/// The timeline of an `*_ascend_pt` directory, or of its `ASCEND_PROFILER_OUTPUT`; or that of msprof: of a `PROF_*`
/// directory, of its `mindstudio_profiler_output`, or of a directory with one of them (Ascend/msprof
/// `docs/en/user_guide/profile_data_file_references.md`).
pub fn find_timeline(dir: &Path) -> Option<PathBuf> {
    let named = ["ASCEND_PROFILER_OUTPUT/trace_view.json", "trace_view.json"];
    if let Some(path) = named.iter().map(|name| dir.join(name)).find(|path| path.is_file()) {
        return Some(path);
    }
    let outputs = outputs_of_msprof(dir);
    let mut timelines = outputs.iter().flat_map(|dir| msprof_timelines(dir));
    // One of several would not be the whole.
    match (timelines.next(), timelines.next()) {
        (Some(timeline), None) => Some(timeline),
        (None, _) => find_database(dir, &outputs).or_else(|| find_table(dir, &outputs)),
        (Some(_), Some(_)) => None,
    }
}

/// Where the timeline of msprof may lie, in a directory of it or above.
fn outputs_of_msprof(dir: &Path) -> Vec<PathBuf> {
    let profiles =
        list_names(dir).into_iter().filter(|name| starts_with(name, "PROF_")).map(|name| dir.join(name));
    let mut outputs: Vec<PathBuf> = [dir.to_owned()].into_iter().chain(profiles).collect();
    outputs.extend(outputs.clone().iter().map(|dir| dir.join(MSPROF_OUTPUT)));
    outputs
}

/// The slices of the one timeline of msprof that a directory stands for, in order; none if it has another timeline, or
/// those of several.
pub fn find_slices(dir: &Path) -> Vec<PathBuf> {
    if find_timeline(dir).is_some() {
        return Vec::new();
    }
    let timelines = outputs_of_msprof(dir).iter().flat_map(|dir| msprof_timelines(dir)).collect::<Vec<_>>();
    let in_one_place = timelines.windows(2).all(|pair| pair[0].parent() == pair[1].parent());
    if in_one_place { slices::order_slices(timelines).unwrap_or_default() } else { Vec::new() }
}

/// The one database with events, of a profile that has no timeline: `ascend_pytorch_profiler*.db`,
/// `ascend_mindspore_profiler*.db`, `msprof_*.db`.
fn find_database(dir: &Path, outputs: &[PathBuf]) -> Option<PathBuf> {
    let is_database = |name: &OsString| {
        let known = ["ascend_pytorch_profiler", "ascend_mindspore_profiler", "msprof_"];
        ends_with(name, ".db") && known.iter().any(|start| starts_with(name, start))
    };
    let named = [dir.join("ASCEND_PROFILER_OUTPUT")];
    let places = named.iter().chain(outputs);
    let mut found =
        places.flat_map(|dir| list_names(dir).into_iter().filter(is_database).map(|name| dir.join(name)));
    found.next().filter(|_| found.next().is_none())
}

/// The table of kernels of a profile that has neither: `kernel_details.csv`, or the one `op_summary_*.csv` of msprof.
fn find_table(dir: &Path, outputs: &[PathBuf]) -> Option<PathBuf> {
    let named = ["ASCEND_PROFILER_OUTPUT/kernel_details.csv", "kernel_details.csv"];
    if let Some(path) = named.iter().map(|name| dir.join(name)).find(|path| path.is_file()) {
        return Some(path);
    }
    let is_table = |name: &OsString| starts_with(name, "op_summary_") && ends_with(name, ".csv");
    let mut found = outputs
        .iter()
        .flat_map(|dir| list_names(dir).into_iter().filter(is_table).map(|name| dir.join(name)));
    found.next().filter(|_| found.next().is_none())
}

const MSPROF_OUTPUT: &str = "mindstudio_profiler_output";

/// The timelines of an output directory of msprof, `msprof_<time>.json` and `msprof_slice_<n>_<time>.json`.
fn msprof_timelines(output: &Path) -> Vec<PathBuf> {
    let is_timeline = |name: &OsString| {
        let name = name.to_str().unwrap_or_default();
        let digits = name.strip_prefix("msprof_").and_then(|rest| rest.strip_suffix(".json"));
        digits
            .is_some_and(|d| d.trim_start_matches("slice_").bytes().all(|b| b.is_ascii_digit() || b == b'_'))
    };
    list_names(output).into_iter().filter(is_timeline).map(|name| output.join(name)).collect()
}

/// The names in a directory, sorted by their bytes, which need not be UTF-8; none if it cannot be read.
pub(super) fn list_names(dir: &Path) -> Vec<OsString> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<OsString> = entries.filter_map(|e| Some(e.ok()?.file_name())).collect();
    names.sort();
    names
}

/// Whether a file name begins so.
pub(super) fn starts_with(name: &OsStr, start: &str) -> bool {
    name.as_encoded_bytes().starts_with(start.as_bytes())
}

/// Whether a file name ends so.
pub(super) fn ends_with(name: &OsStr, ending: &str) -> bool {
    name.as_encoded_bytes().ends_with(ending.as_bytes())
}

/// Why a directory has no timeline, as far as its files show, and what can be done.
pub fn describe_missing_timeline(dir: &Path) -> (&'static str, &'static str) {
    describe_profile(dir).unwrap_or((
        "is a directory without traces",
        "name a trace file, or the *_ascend_pt directory of one process",
    ))
}

/// Why the directory of a profile of Ascend has no timeline, and what can be done. `None` if it is none of those.
pub(super) fn describe_profile(dir: &Path) -> Option<(&'static str, &'static str)> {
    let has = |test: &dyn Fn(&str) -> bool| {
        let mut places = outputs_of_msprof(dir);
        places.push(dir.join("ASCEND_PROFILER_OUTPUT"));
        places.iter().flat_map(|p| list_names(p)).any(|name| test(&name.to_string_lossy()))
    };
    Some(if has(&|name| name.starts_with("msprof_") && name.ends_with(".json")) {
        ("holds several timelines of msprof", "name the files: DIR/mindstudio_profiler_output/msprof_*.json")
    } else if has(&|name| name.ends_with("_ascend_pt") || name.ends_with("_ascend_ms")) {
        ("is a directory of profiles", "name the profiles in it: DIR/*_ascend_pt")
    } else if has(&|name| name.starts_with("ascend_") && name.ends_with(".db")) {
        ("holds several databases of a profiler", "name the files: DIR/ASCEND_PROFILER_OUTPUT/ascend_*.db")
    } else if has(&|name| name == "cluster_communication.json") {
        (
            "holds what was summed up of several ranks",
            "name the file with times: DIR/cluster_communication.json",
        )
    } else if has(&|name| name == "FRAMEWORK" || name.starts_with("PROF_")) {
        (
            "is a profile that has not been analyzed",
            "run the profiler's offline analysis on it, with text export",
        )
    } else {
        return None;
    })
}

/// The rank of a timeline, by the name of the `profiler_info_{rank}.json` of its tree.
pub fn rank_of_timeline(timeline: &Path) -> Option<i64> {
    let names = std::fs::read_dir(tree_of_timeline(timeline)?)
        .ok()?
        .filter_map(|e| e.ok()?.file_name().into_string().ok());
    names.filter_map(|name| rank_of_info(&name)).min()
}

/// The tree of a profile that a timeline lies in.
fn tree_of_timeline(timeline: &Path) -> Option<&Path> {
    let output = timeline.parent()?;
    let tree = if output.file_name()? == "ASCEND_PROFILER_OUTPUT" { output.parent()? } else { output };
    Some(if tree.as_os_str().is_empty() { Path::new(".") } else { tree })
}

/// Maximum size of `profiler_metadata.json`.
const MOST_SETTINGS: u64 = 16 << 20;

/// Number of ranks in the job of a timeline, by the `profiler_metadata.json` of its tree.
pub fn world_size_of_timeline(timeline: &Path) -> Option<i64> {
    let path = tree_of_timeline(timeline)?.join("profiler_metadata.json");
    // Not a FIFO, which could not be opened without waiting.
    let file = path.is_file().then(|| File::open(path).ok())??;
    let settings: Value = serde_json::from_reader(file.take(MOST_SETTINGS)).ok()?;
    world_size_of_settings(settings.get("distributed_args"), settings.get("parallel_group_info"))
}

/// Number of ranks in the job of a process, by what its program said (`distributed_args`, as Megatron does), or else by its
/// process group of all ranks (`parallel_group_info`, which torch_npu writes for each communicator of HCCL; Ascend/pytorch
/// `torch_npu/profiler/profiler.py`).
pub(super) fn world_size_of_settings(args: Option<&Value>, groups: Option<&Value>) -> Option<i64> {
    let said = args.and_then(|args| args.get("world_size")).and_then(as_whole_number);
    let of_group = || {
        let mut groups = groups?.as_object()?.values();
        let all = groups.find(|group| group["group_name"] == "default_group")?;
        i64::try_from(all["global_ranks"].as_array()?.len()).ok()
    };
    said.or_else(of_group).filter(|ranks| *ranks > 0)
}

fn rank_of_info(name: &str) -> Option<i64> {
    name.strip_prefix("profiler_info_")?.strip_suffix(".json")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeline_of_msprof_is_found_from_above() {
        let dir = tempfile::tempdir().unwrap();
        let profile = dir.path().join("PROF_000001_20250101120000000_ABCDEF");
        let output = profile.join(MSPROF_OUTPUT);
        std::fs::create_dir_all(&output).unwrap();
        std::fs::write(output.join("msprof_tx_20250101.csv"), "").unwrap();
        assert_eq!(find_timeline(dir.path()), None);
        let timeline = output.join("msprof_20250101120001.json");
        std::fs::write(&timeline, "[]").unwrap();
        for dir in [dir.path(), &profile, &output] {
            assert_eq!(find_timeline(dir), Some(timeline.clone()));
        }
        std::fs::write(output.join("msprof_slice_1_20250101120001.json"), "[]").unwrap();
        assert_eq!((find_timeline(&profile), find_slices(&profile)), (None, vec![]));
        for dir in [&profile, dir.path()] {
            assert!(describe_missing_timeline(dir).0.contains("several timelines"));
        }
        // Slices alone are one timeline.
        std::fs::remove_file(&timeline).unwrap();
        std::fs::write(output.join("msprof_slice_0_20250101120001.json"), "[]").unwrap();
        for dir in [dir.path(), &profile, &output] {
            assert_eq!((find_timeline(dir), find_slices(dir).len()), (None, 2));
        }
    }

    #[test]
    fn a_tree_names_its_rank() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("ASCEND_PROFILER_OUTPUT");
        std::fs::create_dir(&out).unwrap();
        std::fs::write(dir.path().join("profiler_info_12.json"), "{}").unwrap();
        assert_eq!(find_timeline(dir.path()), None);
        assert!(describe_missing_timeline(dir.path()).0.contains("without traces"));
        std::fs::create_dir(dir.path().join("FRAMEWORK")).unwrap();
        assert!(describe_missing_timeline(dir.path()).0.contains("not been analyzed"));
        std::fs::write(out.join("ascend_pytorch_profiler_12.db"), "").unwrap();
        let database = out.join("ascend_pytorch_profiler_12.db");
        assert_eq!(find_timeline(dir.path()), Some(database.clone()));
        assert_eq!(rank_of_timeline(&database), Some(12));
        std::fs::write(out.join("ascend_mindspore_profiler_12.db"), "").unwrap();
        assert!(describe_missing_timeline(dir.path()).0.contains("several databases"));
        std::fs::write(out.join("trace_view.json"), "[]").unwrap();
        let path = find_timeline(dir.path()).unwrap();
        assert_eq!(path, out.join("trace_view.json"));
        assert_eq!((rank_of_timeline(&path), find_timeline(&out)), (Some(12), Some(path)));
    }

    #[test]
    fn a_tree_says_how_many_ranks_its_job_has() {
        let dir = tempfile::tempdir().unwrap();
        let timeline = dir.path().join("ASCEND_PROFILER_OUTPUT/trace_view.json");
        let groups = r#""parallel_group_info":{"a":{"group_name":"tp","global_ranks":[0,1]},"b":{"group_name":"default_group","global_ranks":[0,1,2,3]}}"#;
        for (settings, expected) in [
            (format!("{{{groups}}}"), Some(4)),
            (format!(r#"{{"distributed_args":{{"world_size":8}},{groups}}}"#), Some(8)),
            (r#"{"parallel_group_info":{"a":{"group_name":"tp","global_ranks":[0,1]}}}"#.into(), None),
            (r#"{"distributed_args":{"world_size":0}}"#.into(), None),
            ("{".into(), None),
        ] {
            std::fs::write(dir.path().join("profiler_metadata.json"), &settings).unwrap();
            assert_eq!(world_size_of_timeline(&timeline), expected, "{settings}");
        }
    }
}
