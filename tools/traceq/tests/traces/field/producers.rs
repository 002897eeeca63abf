//! Producers beside libkineto, steps by other names, spans of programs.

use serde_json::json;

use super::{Case, Expected, case, object, ok, regular};
use crate::document::Json;
use crate::fixtures;

/// Producers beside libkineto.
pub(super) fn producer_cases() -> Vec<Case> {
    let gpu = |device: i64| json!({"type": "traceq.total", "device": device, "compute_ns": 904_503, "communication_ns": 600_000, "exposed_communication_ns": 445_497, "memcpy_ns": 150_750, "exposed_memcpy_ns": 0, "idle_ns": 1_100_000, "total_ns": 2_450_000});
    let npu = json!({"type": "traceq.total", "device": 2, "compute_ns": 1_080_042, "communication_ns": 600_022, "exposed_communication_ns": 400_000, "total_ns": 2_200_000, "memcpys": 4, "memcpy_ns": 82_002});
    let mut last = fixtures::named("ascend-level1");
    last.events.rotate_left(12);
    let ascend = fixtures::named("ascend-level0");
    let list = |events: &[Json]| Json::List(events.to_vec()).compact();
    vec![
        case(
            "JAX on two GPUs",
            "t.trace.json",
            fixtures::named("jax-gpu").compact(),
            vec![ok("sum", vec![gpu(0), gpu(1)])],
        ),
        case(
            "JAX on a TPU",
            "t.trace.json",
            fixtures::named("jax-tpu").compact(),
            vec![ok(
                "sum",
                vec![
                    json!({"type": "traceq.total", "device": 0, "compute_ns": 580_000, "communication_ns": 300_000, "exposed_communication_ns": 300_000, "idle_ns": 700_000, "total_ns": 1_580_000}),
                ],
            )],
        ),
        case(
            "process names behind the rows",
            "trace_view.json",
            last.compact(),
            vec![ok("sum", vec![npu.clone()])],
        ),
        case(
            "a second list behind the first",
            "trace_view.json",
            list(&ascend.events[..30]) + "\n" + &list(&ascend.events[30..]),
            vec![ok("sum", vec![npu.clone()])],
        ),
        case(
            "copies and the parts of collectives",
            "trace_view.json",
            fixtures::named("ascend-level2").compact(),
            vec![ok(
                "top --by kernel",
                vec![
                    json!({"name": "MEMCPY_ASYNC", "count": 4, "total_ns": 82_002}),
                    json!({"name": "hcom_allReduce__0_0_1", "total_ns": 300_011}),
                ],
            )],
        ),
        case(
            "the tree of msprof",
            "PROF_000001_1/mindstudio_profiler_output/msprof_20260101.json",
            ascend.compact(),
            vec![ok("sum", vec![npu])],
        ),
    ]
}

/// Steps that are marked by other names.
pub(super) fn step_cases() -> Vec<Case> {
    let marked = |name: &dyn Fn(i64) -> String| -> String {
        let mark = |i: i64| {
            format!(
                r#"{{"ph":"X","cat":"user_annotation","name":"{}","pid":4,"tid":4,"ts":{},"dur":390,"args":{{}}}}"#,
                name(i),
                i * 400
            )
        };
        object(&[(0..3).map(mark).collect(), regular(6)].concat())
    };
    let steps = || {
        (0..3).map(|i| json!({"type": "traceq.step", "device": 0, "start_ns": i * 400_000, "compute_ns": 80_000, "device_events": 2})).collect::<Vec<_>>()
    };
    vec![
        case(
            "steps of vLLM",
            "t.json",
            marked(&|i| format!("execute_context_{i}({})_generation_2(2)", 8 * i)),
            vec![ok("sum", steps())],
        ),
        case(
            "steps of sglang",
            "t.json",
            marked(&|i| format!("step[EXTEND bs={i} toks=4096]")),
            vec![ok("sum", steps())],
        ),
        case(
            "steps that the user names",
            "t.json",
            marked(&|i| format!("my iteration {i}")),
            vec![ok(r"sum --step-name ^my\x20iteration", steps())],
        ),
    ]
}

/// Spans of programs.
pub(super) fn host_cases() -> Vec<Case> {
    let open = r#"[{"name":"main","ph":"B","ts":0,"pid":1,"tid":1},{"name":"loop","ph":"B","ts":100,"pid":1,"tid":1},
{"name":"work","ph":"X","ts":120,"dur":50,"pid":1,"tid":1},{"name":"work","ph":"X","ts":300,"dur":700,"pid":1,"tid":1},"#;
    vec![
        case(
            "killed inside two spans",
            "t.json",
            open,
            vec![Expected {
                command: "top --by other",
                exit: None,
                records: vec![
                    json!({"name": "main", "count": 1, "total_ns": 1_000_000, "self_ns": 100_000}),
                    json!({"name": "loop", "count": 1, "total_ns": 900_000, "self_ns": 150_000}),
                    json!({"name": "work", "count": 2, "total_ns": 750_000, "self_ns": 750_000}),
                ],
            }],
        ),
        case(
            "only async spans",
            "t.json",
            fixtures::named("async").compact(),
            vec![ok(
                "top --by other",
                vec![
                    json!({"name": "compile", "count": 4, "total_ns": 400_000}),
                    json!({"name": "send", "count": 8, "total_ns": 200_000}),
                ],
            )],
        ),
    ]
}
