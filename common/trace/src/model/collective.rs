//! Communication recognized by name: device kernels of every communication library, and look-alikes that compute.
//!
//! Names are compared as their libraries' sources write them (the library stands at each block). What merely contains
//! `reduce`, `gather` or `dispatch` is computation: PyTorch, CUB and attention kernels have such names too.

use std::borrow::Cow;

/// The work of a device kernel, as far as its name shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelClass {
    /// Moves data between devices, or waits for others that do.
    Communication,
    /// Copies within a device, or between it and its host.
    Copy,
    /// Anything else.
    Computation,
}

/// Classifies a kernel by its name, demangled or not.
pub fn classify_kernel_name(name: &str) -> KernelClass {
    if is_copy_kernel(name) {
        return KernelClass::Copy;
    }
    let path = symbol_path(name);
    let base = path.rsplit("::").next().unwrap_or(&path);
    let matches = |row: &&NamePattern| path.contains(row.space) && matches_pattern(base, row.pattern);
    if let Some(row) = LOOK_ALIKES.iter().chain(COMMUNICATION).find(matches) {
        return row.class;
    }
    if is_xla_collective(base) || names_collective_library(name) {
        return KernelClass::Communication;
    }
    KernelClass::Computation
}

/// Recognizes operators and ranges on the host that ask for a collective or a transfer (pytorch/pytorch
/// `torch/csrc/distributed/c10d`: `ParamCommsUtils`, `ProcessGroup*.cpp`). They wait or return at once, and never add
/// to the time on a device.
pub fn is_collective_call(name: &str) -> bool {
    const OPERATORS: [&str; 3] = ["c10d::", "_c10d_functional::", "symm_mem::"];
    if name == "record_param_comms" || OPERATORS.iter().any(|space| name.starts_with(space)) {
        return true;
    }
    let Some((backend, call)) = name.split_once(':') else { return false };
    // Gloo does not say where a transfer goes (`ProcessGroupGloo.cpp`, `SendWork`).
    if !is_backend(backend) {
        return false;
    }
    if matches!(backend, "gloo" | "mpi") && matches!(call, "send" | "recv") {
        return true;
    }
    matches!(
        call,
        "all_reduce"
            | "all_reduce_barrier"
            | "barrier"
            | "broadcast"
            | "_broadcast_oop"
            | "reduce"
            | "_reduce_oop"
            | "all_gather"
            | "_all_gather_base"
            | "reduce_scatter"
            | "_reduce_scatter_base"
            | "all_to_all"
            | "gather"
            | "scatter"
            | "coalesced"
    ) || call.ends_with("_coalesced")
        || call.starts_with("send ") && call.contains("->")
        || call.starts_with("recv ") && call.contains("<-")
}

/// Recognizes a backend of `torch.distributed`: those of PyTorch, and libraries of other vendors, whose names end like these
/// (`rccl`, Intel's `xccl` and `ccl`, Moore Threads' `mccl`, Cambricon's `cncl`, Meta's `ncclx`).
fn is_backend(name: &str) -> bool {
    const OTHERS: [&str; 6] = ["gloo", "mpi", "ucc", "ncclx", "cncl", "flagcx"];
    let is_ccl = name.len() <= 5 && name.ends_with("ccl") && name.bytes().all(|b| b.is_ascii_lowercase());
    is_ccl || OTHERS.contains(&name)
}

/// Recognizes the copies that ROCm runs, and reports, as kernels (ROCm/clr `rocclr/device/rocm/rocblit.cpp`; rocprofiler
/// names the engines' copies `MEMORY_COPY_*`, AMD-AGI/TraceLens `gpu_event_analyser.py`).
fn is_copy_kernel(name: &str) -> bool {
    let name = name.strip_suffix(".kd").unwrap_or(name);
    if let Some(rest) = name.strip_prefix("MEMORY_COPY_") {
        return matches!(rest, "HOST_TO_DEVICE" | "DEVICE_TO_HOST" | "DEVICE_TO_DEVICE");
    }
    match name.strip_prefix("__amd_rocclr_copyBuffer") {
        Some(rest) => matches!(rest, "" | "Rect" | "Aligned" | "RectAligned"),
        None => false,
    }
}

/// The qualified name of a function, without its return type, templates and parameters. Of an Itanium-mangled name,
/// the identifiers.
fn symbol_path(name: &str) -> Cow<'_, str> {
    if let Some(path) = mangled_path(name) {
        return Cow::Owned(path);
    }
    let name = name.strip_prefix("void ").unwrap_or(name);
    let name = if name.contains(ANONYMOUS) { Cow::Owned(name.replace(ANONYMOUS, "")) } else { name.into() };
    match name.find(['<', '(']) {
        Some(cut) => Cow::Owned(name[..cut].to_owned()),
        None => name,
    }
}

const ANONYMOUS: &str = "(anonymous namespace)::";

/// The identifiers of `_ZN7deep_ep9internode8dispatchE…` (Itanium C++ ABI, section 5.1.2), joined by `::`.
fn mangled_path(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("_Z")?;
    let nested = rest.starts_with('N');
    rest = rest.trim_start_matches(['N', 'K', 'L']);
    let mut parts = Vec::new();
    while rest.starts_with(|c: char| c.is_ascii_digit()) {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let length: usize = rest[..digits].parse().ok()?;
        let part = rest.get(digits..digits.checked_add(length)?)?;
        if part != "_GLOBAL__N_1" {
            parts.push(part);
        }
        rest = &rest[digits + length..];
        if !nested {
            break;
        }
        rest = rest.trim_start_matches('L');
    }
    (!parts.is_empty()).then(|| parts.join("::"))
}

/// One pattern.
struct NamePattern {
    /// Must occur in the qualified name; empty for anything.
    space: &'static str,
    /// The last part of the name begins like this; `*` is any text, `$` the end.
    pattern: &'static str,
    class: KernelClass,
}

const fn row(space: &'static str, pattern: &'static str, class: KernelClass) -> NamePattern {
    NamePattern { space, pattern, class }
}

const fn comm(pattern: &'static str) -> NamePattern {
    row("", pattern, KernelClass::Communication)
}

const fn local(pattern: &'static str) -> NamePattern {
    row("", pattern, KernelClass::Computation)
}

/// Matches a whole pattern: its parts in order, the first at the beginning.
fn matches_pattern(base: &str, pattern: &str) -> bool {
    let (pattern, whole) = match pattern.strip_suffix('$') {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| base.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    !whole || rest.is_empty() || last.is_some_and(|part| rest.ends_with(part) && !part.is_empty())
}

/// Computation, or local work, whose names look like communication. Looked at first.
const LOOK_ALIKES: &[NamePattern] = &[
    // PyTorch, cuBLAS, CUB: reductions and indexing.
    local("reduce_kernel"),
    local("splitK*reduce"),
    local("splitk*reduce"),
    local("*streamk*reduce"),
    local("DeviceReduce"),
    local("DeviceScan"),
    local("vectorized_gather_kernel"),
    local("index_"),
    local("*scatter_gather"),
    local("_finalize_matmul_scatter"),
    local("reduce_segments"),
    local("gatherTopK"),
    local("moe_scatter_reduce"),
    local("moeLocalGatherDevice"),
    local("scatterGatherCopyKernel"),
    // Attention: merging of splits.
    local("flash_fwd_splitkv_combine"),
    local("*combine_kv"),
    local("paged_attention_*reduce"),
    local("mla_reduce"),
    local("fmha*combine"),
    local("merge_attn_states"),
    // The local parts of communication libraries.
    local("get_dispatch_layout"),
    local("dispatch_copy_epilogue_impl"),
    local("combine_reduce_epilogue_impl"),
    local("*clean_mask"),
    local("moeA2APrepare"),
    local("moeA2ASanitize"),
    local("computeSendRecv"),
    local("allToAllMetadataDevice"),
    local("LocalExpertCountKernel"),
    local("Convert*Kernel$"),
    local("local_device_load_rmsnorm"),
    local("lamport_initialize_kernel"),
    local("reduce_bf16_cuda"),
    local("reduce_fp8_in_bf16_out_cuda"),
    // NVIDIA/nccl `src/device/onerank.cu`: a reduction within one rank.
    local("oneRankReduce"),
    // Routing of experts.
    local("_combined_routing_"),
    local("*moe_align"),
    local("*dispatch_alignment"),
    local("topk"),
    local("expert_"),
    local("all_equal"),
    local("all_kernel$"),
    local("elementwise*"),
    local("vectorized_elementwise_kernel"),
    local("*_kernel_dispatch_up"),
    local("*_kernel_dispatch_down"),
    local("nvshmemi_init_array_kernel"),
    local("nvshmemi_team_"),
    local("reduce_topk_$"),
    // Kernels that compute and communicate at once count as computation: they keep the device's units busy.
    // FlashInfer MNNVL, Ascend MC2, Triton-distributed.
    local("rmsNormLamport"),
    local("allgathermatmul"),
    local("matmulreducescatter"),
    local("matmulallreduce"),
    local("*allgather_gemm_kernel"),
    local("*gemm_reduce_scatter_kernel"),
    local("kernel_fused_ag_gemm"),
    local("kernel_fused_gemm_allreduce"),
    local("mega_kernel_"),
    // oneCCL: copies within the device.
    local("*_local_copy$"),
    local("Kernel_load_input_to_temp_buffer"),
    local("Kernel_write_output"),
    // ROCm/mori: staging within the device.
    local("Ep*CopyToStaging"),
    local("Ep*SendCopy"),
    local("Ep*RecvCopy"),
    local("ReduceScatter*LocalReduce"),
];

const COMMUNICATION: &[NamePattern] = &[
    // NVIDIA/nccl `src/device/generate.py`, ROCm/rccl: of every version.
    comm("ncclDevKernel"),
    comm("ncclSymkDevKernel_"),
    comm("ncclSymDevKernel_"),
    comm("ncclKernel"),
    comm("nccl*Kernel"),
    comm("mscclKernel_"),
    // NVIDIA/nccl `contrib/`.
    comm("ubx_kernel_"),
    comm("oneshot_mc_allreduce_kernel"),
    comm("twoshot_mc_"),
    comm("lsa_*_alltoall_kernel"),
    // microsoft/mscclpp `src/ext/collectives`.
    comm("allreducePacket"),
    comm("allreduceAllPairs"),
    comm("allreduceFullmesh"),
    comm("allreduceNvls"),
    comm("allreduceRsAg"),
    comm("allgatherFullmesh"),
    row("mscclpp", "executionKernel", KernelClass::Communication),
    row("mscclpp::", "all", KernelClass::Communication),
    // PyTorch `CUDASymmetricMemoryOps.cu`.
    comm("multimem_all_reduce_kernel"),
    comm("multimem_one_shot_all_reduce_kernel"),
    comm("multimem_all_gather_kernel"),
    comm("one_shot_all_reduce_kernel"),
    comm("two_shot_all_reduce_kernel"),
    // PyTorch `CUDASymmetricMemory.cu`, `nvshmem_extension.cu`: signals, barriers and exchanges, nothing else.
    row("c10d::symmetric_memory::", "", KernelClass::Communication),
    row("c10d::nvshmem_extension::", "", KernelClass::Communication),
    // vLLM and sglang `csrc/custom_all_reduce.cuh`, ROCm/aiter `csrc/include`.
    comm("cross_device_"),
    comm("mnnvl_lamport_all_gather"),
    comm("mnnvl_lamport_reduce_scatter"),
    comm("allreduce_prototype_"),
    comm("allreduce_rmsnorm_prototype_"),
    comm("reduce_scatter_cross_device_store"),
    comm("reduce_scatter_split_"),
    comm("rs_gfx1250_"),
    comm("ag_gfx1250_"),
    comm("ar_gfx1250_"),
    comm("ar_ll_gfx1250"),
    comm("allReduceQuantFp8"),
    comm("allgather_naive"),
    comm("allgather_vec"),
    comm("allgather_lastdim"),
    // flashinfer-ai/flashinfer `include/flashinfer/comm`, TensorRT-LLM.
    comm("allreduce_fusion_kernel"),
    comm("qknorm_allreduce_fusion_kernel"),
    comm("allreduce_mhc_post_"),
    comm("moereduce_allreduce_fusion_"),
    comm("moefinalize_allreduce_fusion_"),
    comm("oneshotAllreduceFusionKernel"),
    comm("one_shot_*all_reduce_norm_kernel"),
    comm("lamport_style_one_shot_all_reduce_norm_kernel"),
    comm("lowPrecisionTwoShotAllReduceKernel"),
    comm("twoshotAllreduceKernel"),
    comm("twoShotAllReduceKernel"),
    comm("oneShotAllReduceKernel"),
    comm("ipc_tp2_remote*push"),
    comm("ipc_rsag*push"),
    comm("ipc_topo_rsag8"),
    comm("push_oneshot_param_kernel"),
    comm("moeAllToAllKernel"),
    comm("helixAllToAllKernel"),
    comm("ulysses_a2a_kernel"),
    comm("moeA2ADispatchKernel"),
    comm("moeA2ACombineKernel"),
    row("flashinfer", "allreduce_kernel$", KernelClass::Communication),
    row("flashinfer", "allgather_kernel$", KernelClass::Communication),
    row("flashinfer", "reducescatter_kernel$", KernelClass::Communication),
    row("flashinfer", "fused_allreduce_allgather_kernel", KernelClass::Communication),
    row("flashinfer", "fused_reducescatter_allreduce_kernel", KernelClass::Communication),
    // openucx/ucc.
    comm("allreduce_kernel_"),
    comm("reduce_scatter_kernel_"),
    comm("allgatherv_kernel_vec32"),
    comm("executor_kernel$"),
    // deepseek-ai/DeepEP, uccl-project/uccl `ep`.
    row("deep_ep", "dispatch", KernelClass::Communication),
    row("deep_ep", "combine", KernelClass::Communication),
    row("deep_ep", "hybrid_", KernelClass::Communication),
    row("deep_ep", "notify_", KernelClass::Communication),
    row("deep_ep", "cached_notify", KernelClass::Communication),
    row("deep_ep", "barrier", KernelClass::Communication),
    row("deep_ep", "clean_low_latency_buffer", KernelClass::Communication),
    row("uccl", "dispatch", KernelClass::Communication),
    row("uccl", "combine", KernelClass::Communication),
    row("uccl", "notify_", KernelClass::Communication),
    row("uccl", "cached_notify", KernelClass::Communication),
    row("uccl", "barrier", KernelClass::Communication),
    row("uccl", "clean_low_latency_buffer", KernelClass::Communication),
    comm("engram_fetch_"),
    comm("pp_send_impl"),
    comm("pp_recv_impl"),
    // perplexityai/pplx-kernels.
    row("pplx::", "dispatchKernel", KernelClass::Communication),
    row("pplx::", "combineKernel", KernelClass::Communication),
    // ROCm/mori.
    comm("EpDispatch"),
    comm("EpCombine"),
    comm("OneShotAll2all"),
    comm("OneShotAllGather"),
    comm("OneShotBroadcast"),
    comm("OneShotAllReduceKernel"),
    comm("ReduceScatter*Kernel"),
    comm("AllGather*Kernel"),
    comm("InterNodeRingAllGather"),
    comm("mori_shmem_barrier_all_block"),
    // NVIDIA/TransformerEngine `userbuffers.cu`.
    comm("userbuffers_fp16_sum_inplace_gpu_"),
    comm("kuserbuffers_"),
    // NVIDIA/nvshmem.
    comm("barrier_on_stream_kernel"),
    comm("sync_on_stream_kernel"),
    comm("nvshmemi_*wait*_on_stream_kernel"),
    comm("nvshmemi_signal_op_kernel"),
    comm("nvshmemi_proxy_"),
    comm("alltoall_on_stream_kernel"),
    comm("broadcast_on_stream_kernel"),
    comm("fcollect_on_stream_kernel"),
    comm("rdxn_on_stream_kernel"),
    comm("reducescatter_on_stream_kernel"),
    // oneapi-src/oneCCL `src/coll/algorithms/**/sycl`, `src/kernels/kernels.cl`; intel/torch-xpu-ops issue 5384.
    comm("oneccl_"),
    comm("Allreduce_small_kernel"),
    comm("AllreduceMediumKernel_"),
    comm("AllreduceLargeKernel_"),
    comm("NoCopyKernel_"),
    comm("Kernel_all_sum"),
    comm("Kernel_compute"),
    comm("Kernel_local_sum_and_dist"),
    comm("Kernel_gather_from_remote"),
    comm("Allgatherv_small_kernel"),
    comm("AllgatherMediumKernel_"),
    comm("AllgathervMediumKernel_"),
    comm("Reduce_scatter_small_kernel"),
    comm("ReduceScatterMedium"),
    comm("ReduceScatterLarge"),
    comm("alltoallv_kernel_"),
    comm("reduce_read_write_kernel_"),
    comm("reduce_monolithic_kernel_"),
    comm("write_monolithic_kernel_"),
    comm("read_write_monolithic_kernel_"),
    // HCCL: Ascend/msinsight, `hcom_<kind>__<group>_<n>_<m>`.
    comm("hcom_"),
    comm("hccl"),
    comm("allreduceAicpuKernel"),
    comm("allgatherAicpuKernel"),
    comm("reducescatterAicpuKernel"),
    comm("broadcastAicpuKernel"),
    comm("alltoall*AicpuKernel"),
    // ByteDance-Seed/Triton-distributed.
    comm("kernel_dispatch_token"),
    comm("dispatch_kernel_v2"),
    comm("kernel_combine_token"),
    comm("combine_kernel_v2"),
    comm("allreduce_one_shot_"),
    comm("allreduce_two_shot_"),
    comm("allreduce_double_tree_"),
    comm("consumer_*all_reduce"),
    comm("reduce_scatter_ring_push"),
    comm("allgather_*_kernel"),
    comm("*all_gather_2d_put_block_kernel"),
    comm("all_to_all_kernel"),
    comm("kernel_all2all_"),
    comm("p2p_put_kernel"),
    comm("p2p_copy*_kernel"),
    comm("*p2p_put_block_kernel"),
    comm("barrier_all_"),
    comm("p2p_wait_signal"),
    comm("p2p_set_signal"),
];

/// Recognizes a collective of XLA by its operation, `all-reduce-start.3` (openxla/xla `hlo_opcode.h`). Of a pair, the
/// `-done` half waits, which is communication as well.
fn is_xla_collective(base: &str) -> bool {
    const OPS: [&str; 9] = [
        "all-reduce",
        "all-gather",
        "reduce-scatter",
        "all-to-all",
        "ragged-all-to-all",
        "collective-permute",
        "collective-broadcast",
        "send",
        "recv",
    ];
    let op = base.trim_start_matches('%');
    if op.starts_with("MegaScale:") {
        return true;
    }
    let op = match op.rsplit_once('.') {
        Some((op, number)) if number.bytes().all(|b| b.is_ascii_digit()) => op,
        _ => op,
    };
    let op = op.strip_suffix("-start").or_else(|| op.strip_suffix("-done")).unwrap_or(op);
    OPS.contains(&op)
}

/// Recognizes a kernel of a communication library of this or a later version: `nccl`, `rccl` or `cross_device_reduce`
/// anywhere, in any case (AMD-AGI/TraceLens `gpu_event_analyser.py`).
fn names_collective_library(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["nccl", "rccl", "cross_device_reduce"].iter().any(|part| lower.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_class(class: KernelClass, names: &[&str]) {
        for name in names {
            assert_eq!(classify_kernel_name(name), class, "{name}");
        }
    }

    #[test]
    fn calls_of_collectives_on_the_host_are_told_from_look_alikes() {
        for call in [
            "c10d::allreduce_",
            "_c10d_functional::all_gather_into_tensor",
            "symm_mem::one_shot_all_reduce",
            "record_param_comms",
            "nccl:all_reduce",
            "gloo:broadcast",
            "hccl:all_gather_into_tensor_coalesced",
            "ucc:_reduce_scatter_base",
            "nccl:send 0->1",
            "nccl:recv 1<-0",
            "nccl:coalesced",
            "gloo:send",
            "gloo:recv",
            "mccl:all_reduce",
            "ncclx:all_gather",
            "cncl:reduce_scatter_tensor_coalesced",
        ] {
            assert!(is_collective_call(call), "{call}");
        }
        for other in [
            "aten::all",
            "aten::gather",
            "aten::scatter_reduce_",
            "aten::broadcast_to",
            "loader:gather",
            "gloo:sender",
            "http:send",
            "protocol:all_reduce",
            "nccl:watchdog",
            "nccl:send",
            "record_param_comms_total",
            "my c10d::allreduce_",
            "nccl",
            "ncclDevKernel_AllReduce_Sum",
        ] {
            assert!(!is_collective_call(other), "{other}");
        }
    }

    #[test]
    fn communication_of_many_libraries_is_told() {
        assert_class(
            KernelClass::Communication,
            &[
                "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
                "ncclKernel_SendRecv_RING_SIMPLE_Sum_int8_t(ncclWorkElem)",
                "ncclAllReduceRingLLKernel_sum_f32(ncclColl)",
                "void rcclGeneric()",
                "vllm::Cross_Device_Reduce_1stage",
                "void vllm::cross_device_reduce_2stage<__half, 8>(vllm::RankData*)",
                "void deep_ep::intranode::dispatch<8, 768>(int4*)",
                "_ZN7deep_ep9internode7combineILi4EEEvPv",
                "_ZN7deep_ep12_GLOBAL__N_19internode15notify_dispatchEv",
                "void uccl::internode_ll::combine<true>(void*)",
                "oneccl_reduce_base<float, 4, 8, 1, 1, 4>",
                "void (anonymous namespace)::multimem_all_reduce_kernel<c10::BFloat16, 16>(c10::BFloat16*)",
                "void flashinfer::trtllm_allreduce_fusion::allreduce_fusion_kernel_oneshot_lamport<4>",
                "void pplx::dispatchKernel<8>(int)",
                "EpCombineSync<float>",
                "void c10d::symmetric_memory::(anonymous namespace)::barrier_kernel(unsigned int**, unsigned long)",
                "void c10d::nvshmem_extension::allToAllV(void*, void*, long*)",
                "void tensorrt_llm::kernels::lowPrecisionTwoShotAllReduceKernel<__half, 8>(x)",
                "hcom_allReduce__123_0_1",
                "allgatherAicpuKernel",
                "all-reduce.7",
                "%all-gather-start.12",
                "recv-done",
                "MegaScale: x",
                "kernel_all2all_push",
            ],
        );
    }

    #[test]
    fn look_alikes_stay_computation() {
        assert_class(
            KernelClass::Computation,
            &[
                "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float> >",
                "void at::native::elementwise_kernel_manual_unroll<128, 4, (anonymous namespace)::type_specialized_broadcast_kernel_launcher<1>::apply>",
                "void at::native::vectorized_gather_kernel<16, long>(char*)",
                "void splitKreduce_kernel<32, 16, int>(void*)",
                "flash_fwd_splitkv_combine_kernel<X>",
                "void deep_ep::layout::get_dispatch_layout<256>(int*)",
                "moe_align_block_size_kernel",
                "void at::native::index_elementwise_kernel<128>(int)",
                "EpDispatchCopyToStaging",
                "oneRankReduce<float>",
                "void moe::dispatch<8>(int)",
                "void my::combine(int)",
                "all_kernel",
                "gemm",
                "",
                "accl",
                "tcclx",
                "_Z",
                "_Z99x",
                "sender",
            ],
        );
    }

    #[test]
    fn copies_of_rocm_are_told() {
        assert_class(
            KernelClass::Copy,
            &[
                "__amd_rocclr_copyBuffer",
                "__amd_rocclr_copyBufferRectAligned.kd",
                "MEMORY_COPY_DEVICE_TO_HOST",
            ],
        );
        assert_class(
            KernelClass::Computation,
            &["__amd_rocclr_fillBufferAligned", "__amd_rocclr_copyBufferX", "MEMORY_COPY_", "copy"],
        );
    }

    #[test]
    fn patterns_have_wild_cards_and_ends() {
        assert!(matches_pattern("ipc_rsag_x_push_1", "ipc_rsag*push"));
        assert!(!matches_pattern("ipc_rsag_x", "ipc_rsag*push"));
        assert!(matches_pattern("ConvertABKernel", "Convert*Kernel$"));
        assert!(!matches_pattern("ConvertABKernelX", "Convert*Kernel$"));
        assert!(matches_pattern("a_moe_align_b", "*moe_align"));
        assert!(!matches_pattern("all_kernel_x", "all_kernel$"));
    }
}
