//! What commands print.

use common::exit::Exit;
use serde_json::Value;

use crate::{Bench, kineto, launched, step};

#[test]
fn names_in_a_table_are_never_the_same() {
    let bench = Bench::new();
    let long = "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, std::array<char*, ";
    let mut events = Vec::new();
    for i in 0..5 {
        events.extend(launched(
            &format!("{long}{i}ul> >(int, std::array<char*, 3ul>, and so on and on and on)"),
            i,
            0.0,
            10.0 * i as f64,
            1.0,
        ));
    }
    let text = bench.run(&kineto(events), &["top", "--by", "kernel"]).stdout;
    let names: std::collections::BTreeSet<_> =
        text.lines().filter_map(|l| l.split_once("void")).map(|(_, n)| n).collect();
    assert_eq!(names.len(), 5, "{text}");
    assert!(text.lines().all(|l| l.contains("t.json") || l.chars().count() <= 100), "{text}");
}

#[test]
fn a_search_without_result_is_a_no() {
    let bench = Bench::new();
    let trace = kineto(launched("gemm", 1, 0.0, 30.0, 50.0));
    for args in [&["--name", "nothing"][..], &["--category", "memset"], &["--from-ns", "900000000"]] {
        assert_eq!(bench.run(&trace, &[&["cat"], args].concat()).exit, Exit::No, "{args:?}");
    }
    assert_eq!(bench.run(&trace, &["cat", "--name", "gemm"]).exit, Exit::Ok);
    assert_eq!(bench.run(&kineto(vec![]), &["cat"]).exit, Exit::Ok);
}

#[test]
fn reports_have_the_formats_and_statuses_of_all_checkers() {
    let bench = Bench::new();
    let mut events: Vec<Value> =
        (0..30).flat_map(|i| launched("gemm", i, 100.0 * i as f64, 30.0 + 100.0 * i as f64, 50.0)).collect();
    events.push(step(1, 0.0, 3000.0));
    let good = kineto(events.clone());
    events.retain(|e| e["cat"] != "kernel");
    let bad = kineto(events);
    assert_eq!(bench.run(&good, &["check"]).stdout, "");
    for (format, sign) in [
        ("sarif", "\"launches-without-kernels\""),
        ("junit", "<testsuite"),
        ("prometheus", "traceq_"),
        ("nagios", "WARNING"),
        ("json", "\"traceq.check_summary\""),
    ] {
        let run = bench.run(&bad, &["check", "--format", format]);
        assert!(run.stdout.contains(sign), "{format}: {}", run.stdout);
        assert_eq!(run.exit == Exit::Ok, format != "nagios", "{format}");
        assert_eq!(bench.run(&good, &["check", "--format", format]).exit, Exit::Ok, "{format}");
    }
    assert_eq!(bench.run(&bad, &["check", "--fail-on", "warning"]).exit, Exit::No);
    assert_eq!(bench.run(&good, &["check", "--fail-on", "note"]).exit, Exit::Ok);
    assert_eq!(bench.run(&good, &["sum", "--format", "sarif"]).exit, Exit::Failed);
    let report = bench.dir.path().join("report.json");
    bench.run(&bad, &["check", "--format", "json", "--output", report.to_str().unwrap()]);
    assert!(std::fs::read_to_string(report).unwrap().contains("launches-without-kernels"));
}
