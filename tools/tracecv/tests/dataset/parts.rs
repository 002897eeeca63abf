//! Shards of one data set: each part whole or not there, and what did not get in named in the manifest.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use common::exit::Exit;
use serde_json::Value;

use crate::support::run;
use crate::{convert_to, rows, trace};

#[test]
fn shards_write_one_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<String> = (0..5)
        .map(|rank| {
            let path = dir.path().join(format!("rank{rank}.json"));
            std::fs::write(&path, trace(rank)).unwrap();
            path.to_str().unwrap().to_owned()
        })
        .collect();
    let out = dir.path().join("ds");
    let mut seen = Vec::new();
    for shard in ["1/2", "2/2"] {
        let args = ["convert", "--to", "parquet", "--shard", shard, "-o", out.to_str().unwrap()];
        let done = run(args.iter().map(|s| (*s).to_owned()).chain(paths.clone()));
        assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
        let part = format!("part-0000{}-of-00002", &shard[..1]);
        let ranks = rows(&out, "ranks", &part);
        seen.extend(ranks.iter().map(|r| r["rank"].as_i64().unwrap()));
        assert_eq!(rows(&out, "events", &part).len(), ranks.len() * 5);
    }
    let mode = std::os::unix::fs::MetadataExt::mode(&out.metadata().unwrap());
    assert_eq!(mode & 0o027, 0, "closed to others: {mode:o}");
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

/// The records of the manifest of a part.
fn manifest(dir: &Path, part: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(format!("run=1/_manifest/{part}.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn traces_that_cannot_be_read_are_rows_and_the_manifest_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let whole = trace(0);
    std::fs::write(path("whole.json"), &whole).unwrap();
    std::fs::write(path("cut.json"), &whole[..whole.len() - 60]).unwrap();
    std::fs::write(path("bad.json"), "no trace").unwrap();
    std::fs::write(path("empty.json"), "").unwrap();
    let traces = ["whole.json", "cut.json", "bad.json", "empty.json"].map(path);
    let out = dir.path().join("ds");
    let args = ["convert", "--to", "parquet", "-o", out.to_str().unwrap()].map(str::to_owned);
    let done = run(args.iter().cloned().chain(traces.clone()));
    assert_eq!(done.exit, Exit::Failed);
    let part = "part-00001-of-00001";
    let ranks = rows(&out, "ranks", part);
    let mut status: Vec<_> =
        ranks.iter().map(|r| (r["trace"].clone(), r["status"].as_str().unwrap())).collect();
    status.sort_by_key(|(name, _)| traces.iter().position(|trace| name == trace));
    let words: Vec<_> = status.iter().map(|(_, word)| *word).collect();
    assert_eq!(words, ["complete", "incomplete", "unreadable", "unreadable"]);
    assert!(ranks.iter().all(|r| (r["status"] == "complete") == r["error"].is_null()), "{ranks:?}");
    let lines = manifest(&out, part);
    assert_eq!((&lines[0]["type"], &lines[0]["traces"]), (&"tracecv.part".into(), &4.into()));
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).cloned().collect::<Vec<_>>();
    assert_eq!(of("tracecv.part_trace").len(), 4);
    let tables = of("tracecv.part_table");
    assert_eq!(tables.len(), 6);
    for table in tables {
        let file = out.join("run=1").join(table["path"].as_str().unwrap());
        let sum = std::process::Command::new("sha256sum").arg(&file).output().unwrap().stdout;
        assert!(sum.starts_with(table["sha256"].as_str().unwrap().as_bytes()), "{table}");
        assert_eq!(table["size_bytes"], file.metadata().unwrap().len());
    }
}

#[test]
fn the_same_traces_give_the_same_bytes_and_another_number_of_parts_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    std::fs::write(&path, trace(1)).unwrap();
    let out = dir.path().join("ds");
    let convert = |shard: &str| {
        let args = ["convert", "--to", "parquet", "--shard", shard, "-o", out.to_str().unwrap()];
        run(args.iter().copied().chain([path.to_str().unwrap()]))
    };
    assert_eq!(convert("1/2").exit, Exit::Ok);
    let first = manifest(&out, "part-00001-of-00002");
    assert_eq!(convert("1/2").exit, Exit::Ok);
    assert_eq!(manifest(&out, "part-00001-of-00002"), first);
    // A part without any trace is there as well: so missing parts can be found.
    assert_eq!(convert("2/2").exit, Exit::Ok);
    assert_eq!(rows(&out, "ranks", "part-00002-of-00002"), Vec::<Value>::new());
    assert_eq!(manifest(&out, "part-00002-of-00002").len(), 7);
    let refused = convert("1/3").fatal.unwrap();
    assert!(refused.contains("is not one of 3 parts"), "{refused}");
}

/// Everything below a directory, with the bytes of files.
fn tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(tree(&path))
        } else {
            found.push((path.clone(), std::fs::read(path).unwrap()))
        }
    }
    found.sort();
    found
}

#[test]
fn traces_that_are_not_there_replace_no_part() {
    let dir = tempfile::tempdir().unwrap();
    let [good, absent, empty, out] = ["good", "absent", "empty", "ds"].map(|name| dir.path().join(name));
    std::fs::create_dir(&good).unwrap();
    std::fs::create_dir(&empty).unwrap();
    for rank in [0, 1] {
        std::fs::write(good.join(format!("rank{rank}.json")), trace(rank)).unwrap();
    }
    let list = dir.path().join("list");
    std::fs::write(&list, "").unwrap();
    let fails = |out: &Path, inputs: &[&Path], options: &[&str], reason: &str| {
        let done = convert_to(out, inputs, options);
        let said = done.fatal.unwrap_or_default();
        assert!(done.exit == Exit::Failed && said.contains(reason), "{inputs:?} {options:?}: {said}");
    };
    for shard in ["1/2", "2/2"] {
        assert_eq!(convert_to(&out, &[&good], &["--shard", shard]).exit, Exit::Ok);
    }
    let before = tree(&out);
    for shard in ["1/2", "2/2"] {
        for inputs in
            [&[&*absent] as &[&Path], &[&empty], &[&absent, &empty], &[&good.join("rank0.json"), &absent]]
        {
            // Of the last list, part 1 has a trace that is there.
            if inputs.len() < 2 || inputs[1] != &*absent || shard == "2/2" {
                fails(&out, inputs, &["--shard", shard], "nothing was written");
            }
        }
        fails(&out, &[], &["--shard", shard, "--files-from", list.to_str().unwrap()], "names no trace");
    }
    std::fs::write(
        &list,
        format!("{}\n{{\"type\":\"profctl.trace_file\"}}\n", good.join("rank0.json").display()),
    )
    .unwrap();
    fails(&out, &[], &["--shard", "1/2", "--files-from", list.to_str().unwrap()], "a line of the list");
    assert_eq!(tree(&out), before);
    let fresh = dir.path().join("fresh");
    fails(&fresh, &[&absent], &[], "1 of 1 traces cannot be opened");
    fails(&fresh, &[&good, &good.join("rank1.json")], &[], "is named twice");
    let link = dir.path().join("link.json");
    std::os::unix::fs::symlink(good.join("rank1.json"), &link).unwrap();
    fails(&fresh, &[&good, &link], &[], "is named twice");
    fails(&good.join("rank0.json"), &[&good], &[], "is a file, and a data set is a directory");
    assert!(!fresh.exists());
    // What is being written is no input.
    fails(&out, &[&out], &[], "is in the data set that is being written");
    for run in ["__HIVE_DEFAULT_PARTITION__", &"r".repeat(201)] {
        fails(&fresh, &[&good], &["--run", run], "");
    }
}

#[test]
fn a_data_set_in_the_directory_of_the_traces_is_none_of_them() {
    let dir = tempfile::tempdir().unwrap();
    for rank in 0..4 {
        std::fs::write(dir.path().join(format!("rank{rank}.json")), trace(rank)).unwrap();
    }
    let out = dir.path().join("x/../ds");
    std::fs::create_dir(dir.path().join("x")).unwrap();
    for _ in 0..2 {
        let mut seen = Vec::new();
        for shard in 1..=4 {
            let done = convert_to(&out, &[dir.path()], &["--shard", &format!("{shard}/4")]);
            assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
            let ranks = rows(&out, "ranks", &format!("part-0000{shard}-of-00004"));
            seen.extend(
                ranks
                    .iter()
                    .map(|row| (row["rank"].as_i64().unwrap(), row["trace_number"].as_i64().unwrap())),
            );
        }
        assert_eq!(seen, [(0, 1), (1, 2), (2, 3), (3, 4)]);
    }
}

#[test]
fn parts_of_different_lists_do_not_come_together() {
    let dir = tempfile::tempdir().unwrap();
    let traces = dir.path().join("traces");
    std::fs::create_dir(&traces).unwrap();
    let rank = |rank: i64| traces.join(format!("rank{rank}.json"));
    for n in 1..4 {
        std::fs::write(rank(n), trace(n)).unwrap();
    }
    let out = dir.path().join("ds");
    let part = |shard: &str| convert_to(&out, &[&traces], &["--shard", shard]);
    assert_eq!((part("1/2").exit, part("2/2").exit), (Exit::Ok, Exit::Ok));
    let before = tree(&out);
    std::fs::write(rank(0), trace(0)).unwrap();
    for shard in ["1/2", "2/2"] {
        let said = part(shard).fatal.unwrap();
        assert!(said.contains("was made from another list of traces"), "{said}");
    }
    std::fs::remove_file(rank(0)).unwrap();
    std::fs::remove_file(rank(2)).unwrap();
    assert!(part("2/2").fatal.is_some());
    assert_eq!(tree(&out), before);
    // Another run has another list.
    assert_eq!(convert_to(&out, &[&traces], &["--run", "two"]).exit, Exit::Ok);
}

#[test]
fn names_of_traces_need_not_be_utf8_and_ranks_need_not_be_known() {
    let dir = tempfile::tempdir().unwrap();
    let traces = dir.path().join("traces");
    std::fs::create_dir(&traces).unwrap();
    let odd = traces.join(OsStr::from_bytes(b"\xffbad.json"));
    let nameless = trace(0).replace("\"rank\":0,", "");
    std::fs::write(traces.join("a.json"), &nameless).unwrap();
    std::fs::write(&odd, &nameless).unwrap();
    let out = dir.path().join("ds");
    let done = convert_to(&out, &[&traces], &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let part = "part-00001-of-00001";
    for table in ["kernels", "collectives", "steps", "events", "ranks"] {
        let mut numbers: Vec<_> =
            rows(&out, table, part).iter().map(|row| row["trace_number"].as_i64()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers, [Some(1), Some(2)], "{table}");
    }
    let hex =
        manifest(&out, part).iter().find_map(|line| line["path_hex"].as_str().map(str::to_owned)).unwrap();
    assert!(hex.ends_with("2fff6261642e6a736f6e"), "{hex}");
}

#[test]
fn a_trace_that_is_only_not_closed_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("t.json"), dir.path().join("ds"));
    std::fs::write(&path, r#"[{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":1,"tid":1,"ts":1,"dur":1}"#)
        .unwrap();
    let done = convert_to(&out, &[&path], &[]);
    assert_eq!(done.fatal, None);
    let ranks = rows(&out, "ranks", "part-00001-of-00001");
    assert_eq!(ranks[0]["status"] == "complete", ranks[0]["error"].is_null(), "{ranks:?}");
}
