//! `tracewhy` on sets of traces that are not one of each rank: some without number, some twice, some missing; and calls
//! that are not alike on all ranks.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use common::exit::Exit;
use serde_json::{Value, json};
use support::jobs::{Fault, Plan, write_job};
use support::{of, records};

const PLAN: Plan = Plan {
    seed: 2,
    ranks: 8,
    steps: 6,
    fault: Fault::Compute(30),
    bad: 5,
    skewed: false,
    overlapped: false,
    numbered: true,
};

/// Takes the rank out of a trace.
fn hide_rank(path: &Path, to: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once(r#""distributedInfo":{"#).unwrap();
    let (_, after) = rest.split_once("},").unwrap();
    std::fs::write(to, format!("{before}{after}")).unwrap();
}

/// Ranks of one job wait for each other, so that the steps of the slow one are as long as the others'.
#[test]
fn what_differs_between_ranks_stands_in_the_first_line() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _) = write_job(dir.path(), &PLAN);
    let words = [OsString::from("diff"), paths[1].clone().into(), paths[5].clone().into()];
    let (exit, text) = testkit::run_tool::<tracewhy::Cli>(&words);
    let first = text.lines().next().unwrap();
    assert_eq!(exit, Exit::Ok);
    assert!(first.contains("within the noise between steps; but "), "{first}");
    assert!(first.ends_with(": beyond noise"), "{first}");
}

#[test]
fn a_rank_without_number_is_called_as_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (mut paths, _) = write_job(dir.path(), &PLAN);
    let hidden = dir.path().join("a_first.json");
    hide_rank(&paths[5], &hidden);
    paths.remove(5);
    // It stands before the others: its place is 0, as is the rank of another.
    let files: Vec<PathBuf> = std::iter::once(hidden.clone()).chain(paths).collect();
    let judged = records("ranks", &files);
    assert_eq!((&judged[0]["rank"], &judged[0]["cause"]), (&json!(5), &json!("compute")), "{}", judged[0]);
    let numbers = |records: &[Value], kind: &str| {
        let mut numbers: Vec<(i64, bool)> = of(records, kind)
            .iter()
            .map(|r| (r["rank"].as_i64().unwrap(), r["path"] == hidden.to_str().unwrap()))
            .collect();
        numbers.sort_unstable();
        numbers
    };
    let expected: Vec<(i64, bool)> = (0..8).map(|rank| (rank, rank == 5)).collect();
    assert_eq!(numbers(&judged, "tracewhy.rank"), expected);
    let flops = records("flops", &files);
    assert_eq!(numbers(&flops, "tracewhy.flops"), expected);
    // The same from part files.
    let part = dir.path().join("hidden.part");
    let words = ["part".into(), "-o".into(), part.clone().into_os_string(), hidden.into_os_string()];
    assert_eq!(testkit::run_tool::<tracewhy::Cli>(&words).0, Exit::Ok);
    let files: Vec<&PathBuf> = std::iter::once(&part).chain(&files[1..]).collect();
    assert_eq!(records("ranks", files)[0]["rank"], 5);
}

#[test]
fn of_two_traces_of_a_rank_one_is_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _) = write_job(dir.path(), &PLAN);
    let whole = records("ranks", &paths);
    let copy = dir.path().join("rank3_copy.json");
    std::fs::copy(&paths[3], &copy).unwrap();
    let judged = records("ranks", paths.iter().chain([&copy]));
    assert_eq!(judged[..9], whole[..9]);
    let costs = |files: Vec<&PathBuf>| {
        of(&records("comm", files), "tracewhy.collective").into_iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(costs(paths.iter().chain([&copy]).collect()), costs(paths.iter().collect()));
    // One of an hour before is not the one, though it comes first.
    let text = std::fs::read_to_string(&paths[3]).unwrap();
    let before = text.replace("\"baseTimeNanoseconds\":1700000000", "\"baseTimeNanoseconds\":1699996400");
    assert_ne!(before, text);
    let other = dir.path().join("a_before.json");
    std::fs::write(&other, before).unwrap();
    let judged = records("ranks", [&other].into_iter().chain(&paths));
    assert_eq!(judged[..9], whole[..9]);
    // Of two whole captures, one counts.
    let second = tempfile::tempdir().unwrap();
    let (again, _) = write_job(second.path(), &Plan { seed: 9, ..PLAN });
    for path in &again {
        let text = std::fs::read_to_string(path).unwrap();
        let later = text.replace("\"baseTimeNanoseconds\":1700000000", "\"baseTimeNanoseconds\":1700003600");
        std::fs::write(path, later).unwrap();
    }
    // In any order of the files.
    let mixed =
        paths.iter().zip(&again).enumerate().flat_map(|(i, (a, b))| if i % 3 == 1 { [b, a] } else { [a, b] });
    let judged = records("ranks", mixed);
    assert_eq!((&judged[0]["rank"], &judged[0]["ranks"]), (&json!(5), &json!(8)));
    // Where nothing is compared, all are there.
    assert_eq!(
        of(&records("idle", paths.iter().chain([&copy])), "tracewhy.idle")
            .iter()
            .filter(|r| r["step"].is_null())
            .count(),
        9
    );
}

/// An all-to-all of four ranks, of which each sends another number of elements.
fn write_uneven(dir: &Path, kind: &str) -> Vec<PathBuf> {
    let of_rank = |rank: usize| {
        let elements = (rank + 1) * 1_000_000;
        let args = format!(
            r#""Collective name":"{kind}","In msg nelems":{elements},"Out msg nelems":{elements},"Group size":4,"dtype":"Float","Process Group Name":"0","Seq":1,"device":0,"stream":7"#
        );
        let text = format!(
            r#"{{"schemaVersion":1,"distributedInfo":{{"rank":{rank},"world_size":4}},"traceEvents":[
            {{"ph":"X","cat":"kernel","name":"ncclDevKernel_SendRecv","pid":0,"tid":7,"ts":{},"dur":{},"args":{{{args}}}}}]}}"#,
            10 - rank,
            100 + rank
        );
        let path = dir.join(format!("uneven{rank}.json"));
        std::fs::write(&path, text).unwrap();
        path
    };
    (0..4).map(of_rank).collect()
}

#[test]
fn the_size_of_an_uneven_collective_is_the_mean_in_any_order() {
    for kind in ["all_to_allv", "_allgather_base"] {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = write_uneven(dir.path(), kind);
        for turn in 0..4 {
            let records = records("comm", &paths);
            let costs = of(&records, "tracewhy.collective");
            assert_eq!(costs.len(), 1);
            assert_eq!(costs[0]["bytes"], 10_000_000, "{turn}");
            assert_eq!(costs[0]["algorithm_gbps"], 100.0);
            paths.rotate_left(1);
        }
        paths.reverse();
        assert_eq!(of(&records("comm", &paths), "tracewhy.collective")[0]["bytes"], 10_000_000);
    }
}

/// Compares two sets by a condition that none breaks.
fn compare(base: &Path, new: &Path, args: &[&str]) -> (Exit, String) {
    let words: Vec<OsString> = ["--format", "json", "diff"]
        .iter()
        .chain(args)
        .map(OsString::from)
        .chain([base.into(), new.into()])
        .collect();
    testkit::run_tool::<tracewhy::Cli>(&words)
}

#[test]
fn a_comparison_without_a_rank_of_the_base_fails() {
    let dir = tempfile::tempdir().unwrap();
    let set = |name: &str, ranks: usize, keep: &dyn Fn(usize) -> bool| {
        let set = dir.path().join(name);
        std::fs::create_dir(&set).unwrap();
        let (paths, _) = write_job(&set, &Plan { ranks, fault: Fault::None, ..PLAN });
        for (rank, path) in paths.iter().enumerate().filter(|(rank, _)| !keep(*rank)) {
            std::fs::remove_file(path).unwrap_or_else(|e| panic!("{rank}: {e}"));
        }
        set
    };
    let whole = set("whole", 4, &|_| true);
    let half = set("half", 4, &|rank| rank % 2 == 0);
    let same_half = set("same_half", 4, &|rank| rank % 2 == 0);
    let smaller = set("smaller", 2, &|_| true);
    let gate = ["--fail-on", "step>500%"];
    let (exit, text) = compare(&whole, &half, &gate);
    let verdict: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(exit, Exit::No, "{text}");
    assert_eq!(
        (&verdict["base_missing"], &verdict["new_missing"], &verdict["lacking_ranks"]),
        (&json!(0), &json!(2), &json!([1, 3]))
    );
    // Nothing is demanded; nothing is lacking of what the base has, or of the job.
    for (base, new, args) in [
        (&whole, &half, &[][..]),
        (&half, &same_half, &gate),
        (&half, &whole, &gate),
        (&whole, &smaller, &gate),
        (&whole, &whole, &gate),
    ] {
        let (exit, text) = compare(base, new, args);
        assert_eq!(exit, Exit::Ok, "{}, {}: {text}", base.display(), new.display());
    }
    let words: Vec<OsString> = ["--format", "junit", "diff", "--fail-on", "step>500%"]
        .map(OsString::from)
        .into_iter()
        .chain([whole.clone().into(), half.clone().into()])
        .collect();
    let (exit, text) = testkit::run_tool::<tracewhy::Cli>(&words);
    assert!(exit == Exit::No && text.contains(r#"failures="1""#) && text.contains("ranks 1, 3"), "{text}");
}

/// A trace in which nothing was recorded is not faster than another, and a condition on it is not met. Nothing is said of its
/// lateness either.
#[test]
fn a_trace_without_work_passes_no_comparison() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _) = write_job(dir.path(), &Plan { ranks: 1, ..PLAN });
    let empty = dir.path().join("empty.json");
    std::fs::write(&empty, r#"{"schemaVersion":1,"traceEvents":[]}"#).unwrap();
    for (base, new) in [(&paths[0], &empty), (&empty, &paths[0])] {
        let mut args: Vec<OsString> = ["diff", "--fail-on", "step>5%"].map(Into::into).into();
        args.extend([base.into(), new.into()]);
        let run = testkit::run_tool_to_end::<tracewhy::Cli>(args);
        assert_eq!((run.exit, run.errors, run.stdout.as_str()), (Exit::Failed, 1, ""));
    }
    assert_eq!(records("ranks", [&empty])[0]["explained"], Value::Null);
}

#[test]
fn two_ranks_of_a_job_can_be_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _) = write_job(dir.path(), &PLAN);
    let diff = records("diff", [&paths[1], &paths[5]]);
    assert_eq!(of(&diff, "tracewhy.diff")[0]["lacking_ranks"], Value::Null);
}
