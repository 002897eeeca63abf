"""Tells device kernels that communicate by their names: libraries' own names and what looks like them.

Sources are the kernels' definitions: NVIDIA/nccl `src/device/generate.py`, ROCm/rccl, pytorch/pytorch
`CUDASymmetricMemoryOps.cu`, vllm `csrc/custom_all_reduce.cuh`, flashinfer `include/flashinfer/comm`, DeepEP, pplx-kernels,
mscclpp, TransformerEngine `userbuffers.cu`, nvshmem, oneCCL, ROCm/mori, ROCm/aiter.
"""

import re

# Computation, though the name speaks of reducing, gathering, dispatching or broadcasting.
LOOK_ALIKES = re.compile(
    r"splitK.*reduce|splitk_reduce|.*streamk.*reduce|DeviceReduce|DeviceScan|vectorized_gather_kernel|index_|.*scatter_gather"
    r"|_finalize_matmul_scatter|reduce_segments|gatherTopK|moe_scatter_reduce|moeLocalGatherDevice|flash_fwd_splitkv_combine"
    r"|.*combine_kv|paged_attention_.*reduce|mla_reduce|fmha.*combine|merge_attn_states|get_dispatch_layout"
    r"|dispatch_copy_epilogue_impl|combine_reduce_epilogue_impl|.*clean_mask|moeA2APrepare|moeA2ASanitize|computeSendRecv"
    r"|LocalExpertCountKernel|_combined_routing_|.*moe_align|topk|expert_|all_equal|all_kernel|.*elementwise.*|reduce_kernel"
    r"|nvshmemi_init_array_kernel|nvshmemi_team_|oneRankReduce"
)

PREFIXES = re.compile(
    r"nccl(Sym|Symk)?Dev(Kernel|KernelDebug)_|ncclKernel(Debug|LL128)?_|nccl[A-Z]\w*(Ring|Tree|CollNet)LLKernel_"
    r"|nccl[A-Z]\w*Kernel_|mscclKernel_|ubx_kernel_|(one|two)shot_mc_|lsa_\w*alltoall_kernel"
    r"|multimem_all_reduce_kernel|multimem_one_shot_all_reduce_kernel|(one|two)_shot_all_reduce_kernel|multimem_all_gather_kernel"
    r"|cross_device_(reduce|all_gather|reduce_scatter)|mnnvl_lamport_(all_gather|reduce_scatter)"
    r"|allreduce_prototype_|allreduce_rmsnorm_prototype_|(qknorm_)?allreduce_fusion_kernel_|moe(reduce|finalize)_allreduce_fusion_"
    r"|(one|two)[sS]hotAll[rR]educe(Fusion)?Kernel|lamport_style_one_shot_all_reduce_norm_kernel|moeAllToAllKernel"
    r"|moeA2A(Dispatch|Combine)Kernel|userbuffers_fp16_sum_inplace_gpu_|kuserbuffers_(push|pull)|nvshmemi_proxy_rma"
    r"|oneccl_|Allreduce_small_kernel|AllreduceMediumKernel_|AllreduceLargeKernel_|EpDispatch|EpCombine"
)

# Names that mean communication only in their library's namespace.
IN_NAMESPACE = [
    (re.compile(r"deep_ep|uccl"), re.compile(r"(hybrid_)?(dispatch|combine)(_impl)?$|notify_dispatch|cached_notify|barrier|clean_low_latency_buffer")),
    (re.compile(r"pplx"), re.compile(r"(dispatch|combine)Kernel")),
    (re.compile(r"mscclpp"), re.compile(r"allreduce|allgather|executionKernel")),
]


def is_collective(name):
    """Whether a device kernel communicates."""
    path = re.sub(r"^\s*void ", "", name.replace("(anonymous namespace)::", ""))
    path = re.split(r"[<(]", path, maxsplit=1)[0].strip()
    *spaces, base = path.split("::")
    if LOOK_ALIKES.match(base):
        return False
    if PREFIXES.match(base):
        return True
    return any(space.search("::".join(spaces)) and names.match(base) for space, names in IN_NAMESPACE)


COPY_KERNELS = re.compile(r"(MEMORY_COPY_(HOST_TO_DEVICE|DEVICE_TO_HOST|DEVICE_TO_DEVICE)|__amd_rocclr_copyBuffer(Rect)?(Aligned)?)(\.kd)?$")


def is_copy_kernel(name):
    """Whether a device kernel is one of those by which ROCm copies."""
    return bool(COPY_KERNELS.match(name))
