//! Directories of traces: which of the files in one are traces, by the names that profilers give them. What they are is
//! recognized by their content when they are read.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use common::glob::Glob;

use super::ascend::{self, ends_with, starts_with};

/// Names of trace files: what they end with (PyTorch's handlers, JAX, Perfetto, rocprofv3, Nsight Systems, msMonitor).
const TRACE_ENDINGS: [&str; 14] = [
    ".pt.trace.json",
    ".pt.trace.json.gz",
    ".trace.json",
    ".trace.json.gz",
    ".trace.json.zst",
    ".xplane.pb",
    ".pftrace",
    ".perfetto-trace",
    "_results.json",
    "_results.json.gz",
    "_results.db",
    "_results.pftrace",
    ".nsys.sqlite",
    ".speedscope.json",
];

/// How deep directories are looked through: `plugins/profile/TIME/HOST.xplane.pb` is four levels below.
const DEEPEST: usize = 5;

/// How many traces one directory may stand for.
const MOST: usize = 100_000;

/// The traces that a directory stands for: its own timeline, or else all traces in it, in the order of their names.
/// Users may give traces any name (`profctl gputrace --log-file`): if no name is that of a trace, all JSON files are
/// returned, or else those below whose names are of ranks or traces. What is in the directory `except`, which is being written, counts as if it were not there.
pub fn find_traces(dir: &Path, except: Option<&Path>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let except = except.and_then(directory_id);
    if except.is_some_and(|except| directory_id(dir) == Some(except)) {
        return found;
    }
    collect(dir, 0, except, &mut found);
    // One run of JAX in two formats is one trace: the protobuf has more.
    let runs: Vec<PathBuf> = found.iter().filter(|p| has_ending(p, ".xplane.pb")).map(|p| stem(p)).collect();
    found.retain(|p| !has_ending(p, ".trace.json.gz") || !runs.contains(&stem(p)));
    if found.is_empty() && ascend::describe_profile(dir).is_none() {
        found = list_json_files(dir);
        if found.is_empty() {
            collect_ranks_below(dir, 0, except, &mut found);
        }
    }
    found
}

/// Adds JSON files of directories below whose names are of ranks or traces, such as `node1/rank0.json`: of others, too much that is
/// no trace lies in directories.
fn collect_ranks_below(dir: &Path, depth: usize, except: Option<DirectoryId>, found: &mut Vec<PathBuf>) {
    let is_named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        name.contains("trace") || name.contains("profile") || crate::model::rank_in_text(&name).is_some()
    };
    for path in
        ascend::list_names(dir).into_iter().filter(|name| !starts_with(name, ".")).map(|n| dir.join(n))
    {
        let is_dir = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        if is_dir && depth < DEEPEST && (except.is_none() || except != directory_id(&path)) {
            let room = MOST.saturating_sub(found.len());
            found.extend(list_json_files(&path).into_iter().filter(is_named).take(room));
            collect_ranks_below(&path, depth + 1, except, found);
        }
    }
}

/// Device and inode of a directory.
type DirectoryId = (u64, u64);

fn directory_id(dir: &Path) -> Option<DirectoryId> {
    let meta = dir.metadata().ok().filter(std::fs::Metadata::is_dir)?;
    Some((meta.dev(), meta.ino()))
}

/// How many JSON files a directory has that are not among the traces that were `found` in it, since others in it have
/// the name of a trace.
pub fn count_other_json(dir: &Path, found: &[PathBuf]) -> usize {
    if ascend::find_timeline(dir).is_some() {
        return 0;
    }
    let found: HashSet<&PathBuf> = found.iter().collect();
    list_json_files(dir).iter().filter(|path| !found.contains(path)).count()
}

/// The JSON files in a directory, in the order of their names.
fn list_json_files(dir: &Path) -> Vec<PathBuf> {
    let is_json = |name: &OsString| {
        !starts_with(name, ".") && [".json", ".json.gz"].iter().any(|ending| ends_with(name, ending))
    };
    let names = ascend::list_names(dir).into_iter().filter(is_json);
    names.map(|name| dir.join(name)).filter(|path| path.is_file()).take(MOST).collect()
}

fn collect(dir: &Path, depth: usize, except: Option<DirectoryId>, found: &mut Vec<PathBuf>) {
    if let Some(timeline) = ascend::find_timeline(dir) {
        // Beside it, only what another profiler names: its own tables repeat it.
        let others = ascend::list_names(dir).into_iter().filter(|name| has_trace_ending(name));
        let others = others.map(|name| dir.join(name)).filter(|path| path.is_file() && *path != timeline);
        found.extend(others);
        found.push(timeline);
        return;
    }
    if !ascend::find_slices(dir).is_empty() {
        found.push(dir.to_owned());
        return;
    }
    for name in ascend::list_names(dir) {
        let path = dir.join(&name);
        if found.len() >= MOST || starts_with(&name, ".") {
            continue;
        }
        let kind = path.symlink_metadata().map(|meta| meta.file_type());
        // A FIFO in a directory is no recording, and opening it would wait for a writer.
        if kind.as_ref().is_ok_and(|kind| kind.is_fifo()) {
            continue;
        }
        // Links are followed for files only: directories that link to each other have no end.
        if kind.is_ok_and(|kind| kind.is_dir()) {
            if depth < DEEPEST && (except.is_none() || except != directory_id(&path)) {
                collect(&path, depth + 1, except, found);
            }
        } else if ends_with(&name, ".parquet") {
            // Of a data set, the other tables repeat the one of all events.
            if dir.file_name().is_some_and(|dir| dir == "table=events") {
                found.push(path);
            }
        } else if has_trace_ending(&name) || is_monitor_file(&name) {
            found.push(path);
        }
    }
}

/// Expands a pattern that no shell has expanded, in the order of names: to nothing if the path exists, or is not a pattern.
pub fn expand_pattern(path: &Path) -> Vec<PathBuf> {
    let Some(text) = path.to_str().filter(|text| text.contains(['*', '?', '['])) else { return Vec::new() };
    let Ok(glob) = Glob::parse(text) else { return Vec::new() };
    if path.symlink_metadata().is_ok() {
        return Vec::new();
    }
    let is_plain = |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let base: PathBuf = path.components().take_while(is_plain).collect();
    let levels = path.components().count() - base.components().count();
    let levels = if text.contains("**") { levels + DEEPEST } else { levels };
    let mut found = Vec::new();
    collect_matches(&glob, &base, levels, &mut found);
    found
}

fn collect_matches(glob: &Glob, dir: &Path, levels: usize, found: &mut Vec<PathBuf>) {
    let here = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    for name in ascend::list_names(here) {
        let path = dir.join(&name);
        if found.len() >= MOST || starts_with(&name, ".") {
            continue;
        }
        let plain = path.strip_prefix(".").unwrap_or(&path);
        if glob.matches(plain.as_os_str().as_encoded_bytes()) {
            found.push(path);
        } else if levels > 1 && path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            collect_matches(glob, &path, levels - 1, found);
        }
    }
}

/// `msmonitor_<pid>_<time>_<rank>.db` or `.jsonl`.
fn is_monitor_file(name: &OsStr) -> bool {
    starts_with(name, "msmonitor_") && [".db", ".jsonl"].iter().any(|ending| ends_with(name, ending))
}

fn has_trace_ending(name: &OsStr) -> bool {
    TRACE_ENDINGS.iter().any(|ending| ends_with(name, ending))
}

fn has_ending(path: &Path, ending: &str) -> bool {
    ends_with(path.as_os_str(), ending)
}

fn stem(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    let stem = text.strip_suffix(".xplane.pb").or_else(|| text.strip_suffix(".trace.json.gz"));
    stem.unwrap_or(&text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_for_its_traces() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            "a_1_20250101000000000_ascend_pt/ASCEND_PROFILER_OUTPUT/trace_view.json",
            "a_1_20250101000000000_ascend_pt/ASCEND_PROFILER_OUTPUT/ascend_pytorch_profiler_0.db",
            "b_2_20250101000000000_ascend_pt/ASCEND_PROFILER_OUTPUT/ascend_pytorch_profiler_1.db",
            "b_2_20250101000000000_ascend_pt/ASCEND_PROFILER_OUTPUT/analysis.db",
            "jax/plugins/profile/2025_01_01/host.xplane.pb",
            "jax/plugins/profile/2025_01_01/host.trace.json.gz",
            "jax/plugins/profile/2025_01_01/other.trace.json.gz",
            "msmonitor_7_20250101000000000_-1.jsonl",
            "rank0.pt.trace.json.gz",
            ".hidden/rank9.pt.trace.json.gz",
            "notes.json",
            "run=1/table=events/part-00001-of-00001.parquet",
            "run=1/table=kernels/part-00001-of-00001.parquet",
        ];
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        let found: Vec<String> = find_traces(dir.path(), None)
            .iter()
            .map(|p| p.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, [files[0], files[2], files[4], files[6], files[7], files[8], files[11]]);
        // Without any name of a trace.
        let other = dir.path().join("other");
        std::fs::create_dir(&other).unwrap();
        for name in ["b.json", "a.json.gz", "c.txt", ".d.json"] {
            std::fs::write(other.join(name), "").unwrap();
        }
        assert_eq!(find_traces(&other, None), [other.join("a.json.gz"), other.join("b.json")]);
        assert_eq!(count_other_json(&other, &find_traces(&other, None)), 0);
        assert_eq!(count_other_json(dir.path(), &find_traces(dir.path(), None)), 1, "notes.json");
        // In directories of hosts.
        let hosts = dir.path().join("hosts");
        for name in
            ["node1/rank0.json", "node1/config.json", "node2/my_trace.json.gz", "node2/.git/rank3.json"]
        {
            let path = hosts.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let ranks = ["node1/rank0.json", "node2/my_trace.json.gz"].map(|name| hosts.join(name));
        assert_eq!(find_traces(&hosts, None), ranks);
        // Beside a timeline of Ascend, traces of other profilers.
        for name in ["trace_view.json", "kernel_details.csv", "rank1.pt.trace.json"] {
            std::fs::write(hosts.join(name), "").unwrap();
        }
        assert_eq!(
            find_traces(&hosts, None),
            ["rank1.pt.trace.json", "trace_view.json"].map(|n| hosts.join(n))
        );
        std::fs::create_dir(other.join("FRAMEWORK")).unwrap();
        assert_eq!(find_traces(&other, None), Vec::<PathBuf>::new());
        let expand = |pattern: &str| -> Vec<String> {
            let found = expand_pattern(&dir.path().join(pattern));
            let inside = |path: &PathBuf| path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
            found.iter().map(inside).collect()
        };
        assert_eq!(expand("rank?.pt.*"), [files[8]]);
        let trees = ["a_1_20250101000000000_ascend_pt", "b_2_20250101000000000_ascend_pt"];
        assert_eq!(expand("*_ascend_pt"), trees);
        assert_eq!(expand("[ab]_*/*/*_profiler_?.db"), [files[1], files[2]]);
        assert_eq!(expand("**/*.xplane.pb"), [files[4]]);
        assert_eq!((expand("*.none"), expand("notes.json")), (Vec::<String>::new(), Vec::new()));
    }

    #[test]
    fn names_need_not_be_utf8_and_what_is_written_is_no_input() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join(OsStr::from_bytes(b"\xffb.json"));
        let [plain, part] =
            ["a.json", "ds/run=1/table=events/part-00001-of-00001.parquet"].map(|n| dir.path().join(n));
        std::fs::create_dir_all(part.parent().unwrap()).unwrap();
        for path in [&odd, &plain, &part] {
            std::fs::write(path, "").unwrap();
        }
        let out = dir.path().join("x/../ds");
        std::fs::create_dir(dir.path().join("x")).unwrap();
        assert_eq!(find_traces(dir.path(), Some(&out)), [plain, odd.clone()]);
        assert_eq!(find_traces(dir.path(), None), [part]);
        assert_eq!(find_traces(&out, Some(&dir.path().join("ds"))), Vec::<PathBuf>::new());
        let named = odd.with_file_name(OsStr::from_bytes(b"\xff.pt.trace.json"));
        std::fs::rename(&odd, &named).unwrap();
        assert_eq!(find_traces(dir.path(), Some(&out)), [&*named]);
        assert_eq!(expand_pattern(&dir.path().join("*.trace.*")), [named]);
    }
}
