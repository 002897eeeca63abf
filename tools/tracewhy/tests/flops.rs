//! `tracewhy flops` beside sums by hand, and with what users know of their devices.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use common::exit::Exit;
use serde_json::{Value, json};
use support::{of, records};

/// Two steps of 1 ms, in each a product of `[1024, 512] x [512, 2048]` for 100 us, and a convolution of unknown device time.
fn write_trace(dir: &Path, device: &str) -> PathBuf {
    let host = |cat: &str, name: &str, ts: i64, dur: i64, args: &str| {
        format!(
            r#"{{"ph":"X","cat":"{cat}","name":"{name}","pid":1,"tid":1,"ts":{ts},"dur":{dur},"args":{{{args}}}}}"#
        )
    };
    let kernel = |name: &str, ts: i64, dur: i64, correlation: i64| {
        format!(
            r#"{{"ph":"X","cat":"kernel","name":"{name}","pid":0,"tid":7,"ts":{ts},"dur":{dur},"args":{{"device":0,"stream":7,"correlation":{correlation}}}}}"#
        )
    };
    let shapes = |a: &str, b: &str, of: &str| {
        format!(r#""Input Dims":[[{a}],[{b}],[]],"Input type":["{of}","{of}",""]"#)
    };
    let mut events = Vec::new();
    for step in 0..2 {
        let t = step * 1000;
        let n = step * 10;
        let launch = |at: i64, number: i64| {
            host("cuda_runtime", "cudaLaunchKernel", t + at, 2, &format!("\"correlation\":{number}"))
        };
        events.extend([
            host("user_annotation", &format!("ProfilerStep#{step}"), t, 1000, ""),
            // The outer operator is the one that counts, with all kernels within; the inner would be the same work again.
            host("cpu_op", "aten::linear", t + 10, 40, &shapes("1024,512", "2048,512", "c10::BFloat16")),
            host("cpu_op", "aten::addmm", t + 12, 30, &shapes("", "1024,512", "c10::BFloat16")),
            launch(15, n + 1),
            kernel("gemm", t + 100, 90, n + 1),
            launch(20, n + 2),
            kernel("bias", t + 190, 10, n + 2),
            // Numbers of 32 bits, which this kernel multiplies with 19.
            host("cpu_op", "aten::mm", t + 60, 10, &shapes("256,256", "256,256", "float")),
            launch(62, n + 3),
            kernel("ampere_tf32_s1688gemm", t + 200, 50, n + 3),
            // What `with_flops` has counted.
            host(
                "cpu_op",
                "aten::mul",
                t + 80,
                10,
                &format!("\"flops\":5000000,{}", shapes("5000,1000", "1", "float")),
            ),
            launch(82, n + 4),
            kernel("mul", t + 250, 20, n + 4),
            host("cpu_op", "aten::relu", t + 92, 5, &shapes("64,64", "1", "float")),
            launch(93, n + 5),
            kernel("relu", t + 270, 30, n + 5),
        ]);
    }
    // After the steps: it has time, but is no work of a step.
    events.push(host("cpu_op", "aten::mm", 2500, 10, &shapes("256,256", "256,256", "float")));
    events.push(host("cuda_runtime", "cudaLaunchKernel", 2502, 2, "\"correlation\":99"));
    events.push(kernel("ampere_tf32_s1688gemm", 2600, 50, 99));
    let path = dir.join("t.json");
    let document = format!(
        r#"{{"schemaVersion":1,"deviceProperties":[{{"id":0,"name":"{device}"}}],"traceEvents":[{}]}}"#,
        events.join(",\n")
    );
    std::fs::write(&path, document).unwrap();
    path
}

const LINEAR: f64 = 2.0 * 1024.0 * 512.0 * 2048.0;
const MM: f64 = 2.0 * 256.0 * 256.0 * 256.0;

fn close(value: &Value, expected: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - expected).abs() <= expected.abs() * 1e-9)
}

#[test]
fn operations_are_those_of_the_shapes() {
    let dir = tempfile::tempdir().unwrap();
    let records = records("flops", [write_trace(dir.path(), "NVIDIA H100 80GB HBM3")]);
    let rank = of(&records, "tracewhy.flops")[0];
    let total = 2.0 * (LINEAR + MM + 5e6);
    assert!(close(&rank["flops"], total), "{rank}");
    assert!(close(&rank["tflops"], total / 2e-3 / 1e12), "{rank}");
    // Each type at its speed: 989.4, 494.7 and 66.9 teraflops.
    let best = 2.0 * (LINEAR / 989.4e12 + MM / 494.7e12 + 5e6 / 66.9e12);
    assert!(close(&rank["mfu"], best / 2e-3), "{rank}");
    assert_eq!((&rank["wall_ns"], &rank["kernel_ns"]), (&json!(2_000_000), &json!(450_000)));
    assert_eq!(rank["operator_ns"], 390_000);
    let operators = of(&records, "tracewhy.flops_operator");
    let find = |name: &str| *operators.iter().find(|o| o["name"] == name).unwrap();
    let linear = find("aten::linear");
    assert_eq!(
        (&linear["time_ns"], &linear["calls"], &linear["number"]),
        (&json!(200_000), &json!(2), &json!("bf16"))
    );
    assert!(close(&linear["tflops"], LINEAR / 100e-6 / 1e12), "{linear}");
    assert!(close(&linear["peak_share"], LINEAR / 100e-6 / 989.4e12), "{linear}");
    let bytes = 2.0 * (1024 * 512 + 2048 * 512 + 1024 * 2048) as f64;
    assert!(close(&linear["bytes"], bytes) && close(&linear["intensity"], LINEAR / bytes), "{linear}");
    // 989.4 teraflops need 295 operations of each byte, and these are 293.
    assert_eq!(linear["bound"], "memory");
    let mm = find("aten::mm");
    assert_eq!((&mm["number"], &mm["calls"], &mm["bound"]), (&json!("tf32"), &json!(3), &json!("memory")));
    let roof = MM / (3.0 * 256.0 * 256.0 * 4.0) * 3352e9;
    assert!(close(&mm["roofline_share"], MM / 50e-6 / roof), "{mm}");
    assert_eq!((&find("aten::mul")["bytes"], operators.len()), (&Value::Null, 3));
}

fn run(args: &[&str], path: &Path) -> testkit::ToolRun {
    let mut args: Vec<OsString> = args.iter().map(Into::into).collect();
    args.push(path.into());
    testkit::run_tool_to_end::<tracewhy::Cli>(args)
}

/// Which type a kernel computes in, its name does not always say.
#[test]
fn no_operator_does_more_than_its_device_can() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_trace(dir.path(), "NVIDIA A100-SXM4-40GB");
    let text = std::fs::read_to_string(&path).unwrap();
    let number = |kernel: &str| {
        // Without the other operators, and so short that 19.5 TFLOPS are not enough.
        let text = text.replace("ampere_tf32_s1688gemm", kernel).replace("\"dur\":50,", "\"dur\":1,");
        std::fs::write(&path, text).unwrap();
        let records = records("flops", [&path]);
        let mm = (*of(&records, "tracewhy.flops_operator").iter().find(|o| o["name"] == "aten::mm").unwrap())
            .clone();
        (mm["number"].as_str().unwrap().to_owned(), mm["peak_share"].as_f64())
    };
    let share = MM / 1e-6 / 156e12;
    for kernel in
        ["cutlass_80_tensorop_s1688gemm_128x256_16x3_tn_align4", "sm80_xmma_gemm_f32f32_tf32f32_f32_tn_n"]
    {
        let (kind, of_peak) = number(kernel);
        assert!(
            kind == "tf32" && of_peak.is_some_and(|found| (found - share).abs() < 1e-9),
            "{kernel}: {of_peak:?}"
        );
    }
    assert_eq!(number("ampere_sgemm_128x64_tn"), ("fp32".to_owned(), None));
    let text = run(&["flops"], &path).stdout;
    assert!(text.contains("1 operator does more than the device can at most"), "{text}");
}

#[test]
fn users_know_other_devices() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_trace(dir.path(), "Accelerator 9000");
    let text = run(&["flops"], &path).stdout;
    assert!(text.contains("what its device can do is not known") && text.contains("--peak FILE"), "{text}");
    let peaks = dir.path().join("peaks.toml");
    let peaks_arg = peaks.to_str().unwrap();
    let write = |text: &str| std::fs::write(&peaks, text).unwrap();
    write("[[device]]\nname = \"accelerator 9000\"\nbf16 = 10\ntf32 = 5\nfp32 = 2.5\nbandwidth = 100\n");
    let rank = &run(&["--format", "json", "flops", "--peak", peaks_arg], &path).of("tracewhy.flops")[0];
    let best = 2.0 * (LINEAR / 10e12 + MM / 5e12 + 5e6 / 2.5e12);
    assert!(close(&rank["mfu"], best / 2e-3), "{rank}");
    // Without one of the types, there is no MFU, but what is known of operators.
    write("[[device]]\nname = \"accelerator\"\nbf16 = 10\n");
    let records = run(&["--format", "json", "flops", "--peak", peaks_arg], &path);
    assert_eq!(
        (&records.of("tracewhy.flops")[0]["mfu"], &records.of("tracewhy.flops")[0]["peak_known"]),
        (&Value::Null, &json!(true))
    );
    let named = run(&["--format", "json", "flops", "--device-name", "H100 PCIe"], &path);
    assert!(named.of("tracewhy.flops")[0]["mfu"].is_number());
    for (bad, reason) in [
        ("[[device]]\nname = \"x\"\nbf17 = 1\n", "line 3"),
        ("[[device]]\nname = \"x\"\nbf16 = -1\n", "not above 0"),
        ("[[device]]\nbf16 = 1\n", "name"),
        ("device = 1\n", "line 1"),
    ] {
        write(bad);
        let run = run(&["flops", "--peak", peaks_arg], &path);
        let fatal = run.fatal.unwrap();
        assert_eq!(run.exit, Exit::Failed);
        assert!(fatal.contains("peaks.toml") && fatal.contains(reason), "{fatal}");
    }
}

/// The kernels of matrix products are those of TraceLens' category GEMM.
#[test]
fn real_traces_have_the_kernel_times_of_tracelens() {
    let name = "tracelens/tests/traces/h100/gaunernst_bert-small-uncased__1016001";
    let Some(path) = testkit::require_data(&format!("{name}.json.gz")) else { return };
    let Some(table) = testkit::require_data(&format!("{name}_perf_report_csvs/ops_summary.csv")) else {
        return;
    };
    let table = std::fs::read_to_string(table).unwrap();
    let theirs: f64 = table
        .lines()
        .find(|line| line.starts_with("aten::addmm,"))
        .unwrap()
        .split(',')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let records = records("flops", [path]);
    let gemm = |o: &&&Value| matches!(o["name"].as_str(), Some("aten::linear" | "aten::addmm"));
    let ours: i64 = of(&records, "tracewhy.flops_operator")
        .iter()
        .filter(gemm)
        .map(|o| o["time_ns"].as_i64().unwrap())
        .sum();
    assert!((ours as f64 / 1e3 - theirs).abs() < 0.01, "{ours} is {theirs}");
    let rank = of(&records, "tracewhy.flops")[0];
    assert!(rank["mfu"].as_f64().is_some_and(|mfu| mfu > 0.0 && mfu < 1.0), "{rank}");
}
