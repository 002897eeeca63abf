//! `tracewhy report`: the data of the page are what the other commands say, its size is bounded, and names stay text.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::Path;

use common::exit::Exit;
use serde_json::{Value, json};
use support::jobs::{Fault, Plan, write_job};
use support::{of, records};

const PLAN: Plan = Plan {
    seed: 3,
    ranks: 8,
    steps: 6,
    fault: Fault::Compute(30),
    bad: 5,
    skewed: true,
    overlapped: false,
    numbered: true,
};

fn run(args: impl IntoIterator<Item = impl Into<OsString>>) -> testkit::ToolRun {
    let args: Vec<OsString> =
        [OsString::from("--quiet")].into_iter().chain(args.into_iter().map(Into::into)).collect();
    testkit::run_tool_to_end::<tracewhy::Cli>(&args)
}

/// Writes a report; its text and what standard output got.
fn report(dir: &Path, more: &[&str], files: &[std::path::PathBuf]) -> (String, String) {
    let output = dir.join("report.html");
    let mut args: Vec<OsString> = vec!["report".into(), "-o".into(), output.clone().into()];
    args.extend(more.iter().map(OsString::from));
    args.extend(files.iter().map(OsString::from));
    let done = run(args);
    assert_eq!(done.exit, Exit::Ok, "{}", done.stdout);
    (std::fs::read_to_string(output).unwrap(), done.stdout)
}

/// The data of a page.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn a_page_has_the_numbers_of_the_other_commands() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _) = write_job(dir.path(), &PLAN);
    let (page, stdout) = report(dir.path(), &[], &paths);
    let page = data(&page);
    let ranks = records("ranks", &paths);
    assert!(stdout.starts_with("rank 5 is slow: it computes longer"), "{stdout}");
    assert_eq!((&page["verdict"]["rank"], &page["verdict"]["lost_ns"]), (&json!(5), &ranks[0]["lost_ns"]));
    assert_eq!(page["job"]["step_ns"], ranks[0]["step_ns"]);
    for record in of(&ranks, "tracewhy.rank") {
        let rows = page["ranks"]["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row[0] == record["rank"]).unwrap();
        let keys =
            ["path", "steps", "late_ns", "last", "collectives", "others_wait_ns", "step_ns", "compute_ns"];
        keys.iter().enumerate().for_each(|(i, key)| assert_eq!(row[i + 1], record[key], "{key}"));
        assert_eq!(row[18], record["clock_offset_ns"]);
    }
    let costs = records("comm", &paths);
    for (row, record) in
        page["collectives"]["rows"].as_array().unwrap().iter().zip(of(&costs, "tracewhy.collective"))
    {
        let keys = ["kind", "bytes"];
        keys.iter().enumerate().for_each(|(i, key)| assert_eq!(row[i], record[key], "{key}"));
        assert_eq!(
            (&row[3], &row[4], &row[5]),
            (&record["count"], &record["time_ns"], &record["transfer_ns"])
        );
        assert_eq!(row[8], record["total_ns"]);
        assert!((row[7].as_f64().unwrap() - record["bus_gbps"].as_f64().unwrap()).abs() < 1e-4);
    }
    let modules = records("modules", &paths);
    for (row, record) in
        page["program"]["rows"].as_array().unwrap().iter().zip(of(&modules, "tracewhy.program"))
    {
        assert_eq!((&row[0], &row[2], &row[3]), (&record["part"], &record["own_ns"], &record["total_ns"]));
    }
    // All device time is in the flame graph, and no node has more than the one around it.
    let nodes = page["flame"]["nodes"].as_array().unwrap();
    let phases: i64 = of(&modules, "tracewhy.program")
        .iter()
        .filter(|r| r["part"] == "phase")
        .map(|r| r["own_ns"].as_i64().unwrap())
        .sum();
    assert_eq!(nodes[0][3], phases);
    for node in &nodes[1..] {
        let parent = &nodes[node[0].as_u64().unwrap() as usize];
        assert!(node[3].as_i64() <= parent[3].as_i64(), "{node} in {parent}");
    }
}

#[test]
fn a_comparison_has_the_changes_of_diff() {
    let dir = tempfile::tempdir().unwrap();
    let (base, new) = (dir.path().join("base"), dir.path().join("new"));
    [&base, &new].into_iter().for_each(|dir| std::fs::create_dir(dir).unwrap());
    write_job(&base, &Plan { fault: Fault::None, ..PLAN });
    let (paths, _) = write_job(&new, &PLAN);
    let (page, _) = report(dir.path(), &["--base", base.to_str().unwrap()], &paths);
    let page = data(&page);
    let diff = records("diff", [&base, &new]);
    let changes = of(&diff, "tracewhy.change");
    let rows = page["comparison"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), changes.len());
    for (row, change) in rows.iter().zip(changes) {
        let keys = ["kind", "name", "base_ns", "new_ns"];
        keys.iter().enumerate().for_each(|(i, key)| assert_eq!(row[i], change[key], "{key}"));
    }
}

/// As `diff`: a trace in which nothing was recorded is no faster than another.
#[test]
fn nothing_is_compared_with_a_trace_without_work() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _) = write_job(dir.path(), &PLAN);
    let empty = dir.path().join("empty.json");
    std::fs::write(&empty, r#"{"traceEvents":[{"ph":"i","ts":1,"pid":1,"tid":1,"name":"mark"}]}"#).unwrap();
    let page = dir.path().join("page.html");
    for (base, new) in [(&empty, &paths[0]), (&paths[0], &empty)] {
        let args = [
            OsStr::new("report"),
            "--base".as_ref(),
            base.as_ref(),
            "-o".as_ref(),
            page.as_ref(),
            new.as_ref(),
        ];
        let done = run(args);
        assert_eq!(
            (done.exit, done.errors, done.stdout.as_str(), page.exists()),
            (Exit::Failed, 1, "", false)
        );
    }
}

#[test]
fn a_page_is_bounded_for_many_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _) = write_job(dir.path(), &Plan { ranks: 256, steps: 4, bad: 100, ..PLAN });
    let (page, _) = report(dir.path(), &[], &paths);
    assert!(page.len() < 600_000, "{}", page.len());
    let page = data(&page);
    assert_eq!((&page["verdict"]["rank"], &page["heat"]["rows_size"]), (&json!(100), &json!(4)));
    assert_eq!(page["ranks"]["rows"][0][0], 100);
}

/// One step with very many names that no page should run.
fn write_hostile(path: &Path) {
    let mut text = r#"{"schemaVersion":1,"distributedInfo":{"rank":0,"world_size":1},"traceEvents":[
{"ph":"X","cat":"user_annotation","name":"ProfilerStep#1","pid":1,"tid":1,"ts":0,"dur":900000}"#
        .to_owned();
    for i in 0..5000 {
        let name = format!("</script><script>{i}//<!--\\u0000\\u202e{{{{data}}}}{}", "<&".repeat(200));
        for (cat, more) in [
            ("kernel", r#""device":0,"stream":7,"#),
            ("cpu_op", ""),
            ("user_annotation", ""),
            ("cuda_runtime", ""),
        ] {
            let ts = i * 100;
            write!(
                text,
                "\n,{{\"ph\":\"X\",\"cat\":\"{cat}\",\"name\":\"{name}\",\"pid\":1,\"tid\":1,\"ts\":{ts},\"dur\":50,\"args\":{{{more}\"correlation\":{}}}}}",
                i + 1
            )
            .unwrap();
        }
    }
    std::fs::write(path, text + "]}").unwrap();
}

#[test]
fn hostile_names_stay_text_in_a_page_of_bounded_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("<title><script>x.json");
    write_hostile(&path);
    let (page, _) = report(dir.path(), &[], std::slice::from_ref(&path));
    let (before, _) = page.split_once(r#"<script type="application/json""#).unwrap();
    assert_eq!(before.matches("<script").count(), 0);
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (2, 2));
    assert!(page.len() < 5_000_000, "{}", page.len());
    let page = data(&page);
    assert_eq!(page["names"]["rows"].as_array().unwrap().len(), 600);
    assert_eq!(page["names"]["left_out"], 2 * (5000 - 300));
}

#[test]
fn findings_are_shown_and_what_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _) = write_job(dir.path(), &Plan { ranks: 2, ..PLAN });
    let findings = dir.path().join("findings");
    let finding = |severity: &str| {
        let finding = json!({"type": "traceq.finding", "v": 1, "rule": "truncated", "severity": severity,
            "path": "a.json", "found": "<b>", "expected": "", "fix": "record again"});
        format!("{finding}\n")
    };
    let summary = "{\"type\":\"traceq.check_summary\",\"v\":1}\n\n";
    std::fs::write(&findings, finding("note") + summary + &finding("error")).unwrap();
    let (page, _) = report(dir.path(), &["--findings", findings.to_str().unwrap()], &paths);
    let page = data(&page);
    assert_eq!(page["findings"]["counts"], json!({"note": 1, "error": 1}));
    let worst = &page["findings"]["rows"][0];
    assert_eq!((&worst[0], &worst[1]), (&json!("error"), &json!("truncated")));
    // The report is as it was when the next one cannot be made.
    let output = dir.path().join("report.html");
    let before = std::fs::read(&output).unwrap();
    for bad in ["no json\n", "{\"type\":\"traceq.finding\"}\n"] {
        std::fs::write(&findings, bad).unwrap();
        let args: Vec<OsString> = vec![
            "report".into(),
            "-o".into(),
            (&output).into(),
            "--findings".into(),
            (&findings).into(),
            (&paths[0]).into(),
        ];
        let done = run(args);
        assert_ne!(done.exit, Exit::Ok);
    }
    assert_eq!(std::fs::read(&output).unwrap(), before);
}
