//! The step that each row is in, and the rank.

use std::path::Path;

use common::exit::Exit;

use crate::{convert, convert_to, launched, rows, step, step_rows};

#[test]
fn ranks_that_were_merged_into_one_file_are_told_apart() {
    let of_rank = |host: &str, device: &str, since: i64, dur: i64| {
        let ids = (host, device);
        vec![
            step(1, host, (since, 400)),
            launched(1, (since + 50, dur), ids),
            launched(2, (since + 150, dur), ids),
            step(2, host, (since + 400, 400)),
            launched(3, (since + 450, dur), ids),
        ]
    };
    let named =
        [of_rank("\"[TP00] 83\"", "\"[TP00] 0\"", 0, 10), of_rank("\"[TP01] 84\"", "\"[TP01] 0\"", 300, 40)]
            .concat();
    let (done, dir) = convert(&named, &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let expected = [(0, 1, 2, 110_000), (0, 2, 1, 10_000), (1, 1, 2, 140_000), (1, 2, 1, 40_000)];
    assert_eq!(step_rows(dir.path()), expected);
    let part = "part-00001-of-00001";
    let events = rows(&dir.path().join("ds"), "events", part);
    let of = |rank: i64| events.iter().filter(|e| e["rank"] == rank).count();
    assert_eq!((events.len(), of(0), of(1)), (16, 8, 8));
    let ranks = rows(&dir.path().join("ds"), "ranks", part);
    let counts: Vec<_> = ranks.iter().map(|r| (r["rank"].as_i64(), r["events"].as_i64())).collect();
    assert_eq!(counts, [(Some(0), Some(8)), (Some(1), Some(8))]);
    // Nothing tells whose these are.
    let nameless = [of_rank("83", "0", 0, 10), of_rank("84", "0", 300, 40)].concat();
    let (refused, dir) = convert(&nameless, &[]);
    assert_eq!((refused.exit, refused.errors), (Exit::Failed, 1));
    assert!(rows(&dir.path().join("ds"), "events", part).is_empty());
    let ranks = rows(&dir.path().join("ds"), "ranks", part);
    assert_eq!((ranks.len(), &ranks[0]["status"]), (1, &"unreadable".into()), "{ranks:?}");
    assert!(ranks[0]["error"].as_str().unwrap().contains("cannot be distinguished"), "{ranks:?}");
}

#[test]
fn an_event_at_an_impossible_time_belongs_to_no_step() {
    let since = 1_623_000_000_000_000;
    let ids = ("100", "0");
    let events = [
        step(1, "100", (since, 400)),
        launched(1, (since + 50, 10), ids),
        launched(2, (since + 150, 10), ids),
        launched(3, (since + 250, 10), ids),
        launched(4, (since + 350, 10), ids).replacen(&(since + 350).to_string(), "0", 1),
    ];
    let (done, dir) = convert(&events, &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    assert_eq!(step_rows(dir.path()), [(0, 1, 3, 210_000)]);
    // It is an event all the same.
    assert_eq!(rows(&dir.path().join("ds"), "kernels", "part-00001-of-00001").len(), 4);
}

#[test]
fn steps_are_those_that_the_user_names() {
    let events = [
        step(0, "100", (0, 400)).replace("ProfilerStep#0", "my batch 7"),
        launched(1, (50, 10), ("100", "0")),
        step(0, "100", (400, 400)).replace("ProfilerStep#0", "my batch 8"),
        launched(2, (450, 20), ("100", "0")),
    ];
    assert_eq!(step_rows(convert(&events, &[]).1.path()), []);
    let (done, dir) = convert(&events, &["--step-name", r"^my batch (\d+)", "--class", "copy=gemm"]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    assert_eq!(step_rows(dir.path()), [(0, 7, 1, 10_000), (0, 8, 1, 20_000)]);
    let kernels = rows(&dir.path().join("ds"), "kernels", "part-00001-of-00001");
    assert!(kernels.iter().all(|k| k["category"] == "memcpy"), "{kernels:?}");
}

#[test]
fn work_whose_launch_is_not_in_the_trace_is_in_the_step_that_traceq_sum_has_it_in() {
    let ids = ("100", "0");
    let kernel_alone = |events: &str, extra: &str| {
        let kernel = events.lines().nth(1).unwrap();
        kernel.replace("\"device\":0", &format!("{extra}\"device\":0"))
    };
    let steps_of = |dir: &Path| -> Vec<Option<i64>> {
        let kernels = rows(&dir.join("ds"), "kernels", "part-00001-of-00001");
        kernels.iter().map(|kernel| kernel["step"].as_i64()).collect()
    };
    let linked = [step(1, "100", (0, 400)), launched(1, (50, 90), ids)];
    // Left over from before: neither in the sums nor in a step. Asked for by an operator: in no step.
    for extra in ["", "\"External id\":5,"] {
        let events = [&linked[..], &[kernel_alone(&launched(2, (350, 10), ids), extra)]].concat();
        let (done, dir) = convert(&events, &[]);
        assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
        assert_eq!(step_rows(dir.path()), [(0, 1, 1, 90_000)], "{extra}");
        assert_eq!(steps_of(dir.path()), [None, Some(1)], "{extra}");
    }
    // Nothing is linked: what starts in a step is of it.
    let events = [linked[0].clone(), kernel_alone(&launched(2, (350, 10), ids), "")];
    let (_, dir) = convert(&events, &[]);
    assert_eq!(step_rows(dir.path()), [(0, 1, 1, 10_000)]);
    assert_eq!(steps_of(dir.path()), [Some(1)]);
}

/// The lanes say how the time of an Ascend timeline divides, not its work, which `kernels` has.
#[test]
fn steps_of_an_ascend_timeline_are_those_of_its_lanes() {
    let process = |pid: i64, name: &str, label: &str| {
        format!(
            r#"{{"ph":"M","name":"process_name","pid":{pid},"args":{{"name":"{name}"}}}},
{{"ph":"M","name":"process_labels","pid":{pid},"args":{{"labels":"{label}"}}}}"#
        )
    };
    let span = |pid: i64, name: &str, start: i64, dur: i64| {
        format!(r#"{{"ph":"X","name":"{name}","pid":{pid},"tid":1,"ts":"{start}","dur":{dur},"args":{{}}}}"#)
    };
    let events = [
        process(1, "Python", "CPU"),
        process(2, "Ascend Hardware", "NPU"),
        process(3, "Overlap Analysis", "NPU"),
        span(1, "ProfilerStep#3", 1000, 500).replace("\"args\"", "\"cat\":\"user_annotation\",\"args\""),
        span(2, "MatMul", 1110, 200).replace("\"args\":{}", "\"args\":{\"Task Type\":\"AI_CORE\"}"),
        span(3, "Computing", 1100, 210),
        span(3, "Communication", 1300, 90),
        span(3, "Communication(Not Overlapped)", 1310, 80),
        span(3, "Free", 1390, 60),
    ];
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("trace_view.json"), dir.path().join("ds"));
    std::fs::write(&path, format!("[{}]", events.join(","))).unwrap();
    let done = convert_to(&out, &[&path], &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let steps = rows(&out, "steps", "part-00001-of-00001");
    let numbers =
        ["step", "total_ns", "compute_ns", "communication_ns", "exposed_communication_ns", "idle_ns"];
    let found: Vec<_> = numbers.iter().map(|name| steps[0][name].as_i64()).collect();
    assert_eq!(found, [3, 350_000, 210_000, 90_000, 80_000, 60_000].map(Some), "{steps:?}");
    assert_eq!(rows(&out, "kernels", "part-00001-of-00001")[0]["step"], 3);
}
