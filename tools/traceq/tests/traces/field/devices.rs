//! Work on devices, and how it is told.

use common::exit::Exit;
use serde_json::json;

use super::{Case, Expected, case, launched, launched_on, object, ok, regular};
use crate::fixtures;

/// What a device did.
pub(super) fn device_cases() -> Vec<Case> {
    let nccl = "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)";
    let unlinked: Vec<String> = (0..30).map(|i| {
        let name = if i % 6 == 5 { nccl } else { "fused_moe" };
        format!(r#"{{"ph":"X","cat":"kernel","name":"{name}","pid":0,"tid":3,"ts":{},"dur":80,"args":{{"device":0,"stream":3}}}}"#, 1000 + i * 100)
    }).collect();
    let names = [
        // Communication.
        "pplx::internode::dispatchKernel<8, true>(void*)",
        "void vllm::cross_device_reduce_1stage<__nv_bfloat16, 8>(vllm::RankData*)",
        "ncclSymkDevKernel_AllGather_LL",
        "userbuffers_fp16_sum_inplace_gpu_rr_rs",
        "void mscclpp::allreduceNvls<float>(int)",
        "void deep_ep::internode_ll::combine<true, 7168>(void*)",
        "void uccl::internode::dispatch<4>(int*)",
        // Computation.
        "void splitKreduce_kernel<32, 16, int>(cublasSplitKParams<float>)",
        "void at::native::vectorized_gather_kernel<16, long>(char*)",
        "void flash::flash_fwd_splitkv_combine_kernel<Kernel_traits<128> >(Params)",
        "void deep_ep::layout::get_dispatch_layout<256>(long const*)",
        "void my_dispatch_kernel<4>(int)",
    ];
    let libraries: Vec<String> = (0..).zip(names).map(|(i, name)| launched(i, name, 50)).collect();
    let begin_end: Vec<String> = regular(4)
        .iter()
        .map(|text| {
            // The kernel, which is the last of the three events, as a begin and an end.
            let (before, kernel) = text.rsplit_once(",\n").unwrap();
            let start: i64 =
                kernel.split("\"ts\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
            let begin = kernel.replace("\"ph\":\"X\"", "\"ph\":\"B\"").replace("\"dur\":40,", "");
            format!(
                r#"{before},{begin},{{"ph":"E","cat":"kernel","name":"gemm","pid":0,"tid":7,"ts":{}}}"#,
                start + 40
            )
        })
        .collect();
    let rank = |n: i64, dur: i64, kernels: i64| -> Vec<String> {
        let (host, device) = (format!("\"rank {n} 900{n}\""), format!("\"rank {n} 0\""));
        (0..kernels).map(|i| launched_on(i, "gemm", dur, (&host, &device, 7))).collect()
    };
    // One copy of 40 us lasts 3 s: its stream's next twelve start inside it.
    let mut overrun: Vec<String> = (0..15).map(|i| launched_on(i, "gemm", 40, ("4", "0", 9))).collect();
    overrun[2] = overrun[2].replace("\"dur\":40,", "\"dur\":3000000,");
    let launches_only: Vec<String> = regular(20)
        .iter()
        .map(|three| three.rsplit_once(",\n").unwrap().0.replace("cudaLaunchKernel", "hipLaunchKernel"))
        .collect();
    vec![
        case(
            "most of the work has no launch",
            "t.json",
            object(&[regular(1), unlinked].concat()),
            vec![ok(
                "sum",
                vec![
                    json!({"type": "traceq.total", "device": 0, "kernels": 26, "collectives": 5, "compute_ns": 2_040_000, "communication_ns": 400_000, "exposed_communication_ns": 400_000, "total_ns": 3_960_000, "idle_ns": 1_520_000}),
                ],
            )],
        ),
        case(
            "collectives of other libraries",
            "t.json",
            object(&libraries),
            vec![ok(
                "sum",
                vec![
                    json!({"type": "traceq.total", "kernels": 5, "collectives": 7, "compute_ns": 250_000, "communication_ns": 350_000}),
                ],
            )],
        ),
        case(
            "kernels as begins and ends",
            "t.json",
            object(&begin_end),
            vec![ok(
                "sum",
                vec![
                    json!({"type": "traceq.total", "device": 0, "kernels": 4, "compute_ns": 160_000, "total_ns": 640_000}),
                ],
            )],
        ),
        case(
            "two ranks in one file",
            "t.json",
            object(&[rank(0, 40, 5), rank(1, 90, 5)].concat()),
            vec![ok(
                "sum",
                vec![
                    json!({"type": "traceq.total", "rank": 0, "device": 0, "compute_ns": 200_000, "total_ns": 840_000}),
                    json!({"type": "traceq.total", "rank": 1, "device": 0, "compute_ns": 450_000, "total_ns": 890_000}),
                ],
            )],
        ),
        case(
            "an end far behind the stream's next start",
            "t.json",
            object(&overrun),
            vec![Expected {
                command: "check",
                exit: Some(Exit::No),
                records: vec![
                    json!({"type": "traceq.finding", "rule": "stream-overrun", "severity": "error"}),
                ],
            }],
        ),
        case(
            "launches, and nothing on a device",
            "t.json",
            object(&launches_only),
            vec![ok("check", vec![json!({"type": "traceq.finding", "rule": "launches-without-kernels"})])],
        ),
        case(
            "a good trace",
            "t.json",
            fixtures::named("kineto-cuda").compact(),
            vec![ok(
                "check",
                vec![json!({"type": "traceq.check_summary", "error_findings": 0, "warning_findings": 0})],
            )],
        ),
    ]
}
