"""Writes synthetic Kineto traces of any size, fast: one step's events, repeated with other times and numbers.

    python3 generate.py FILE MEGABYTES [RANK]
"""

import random
import sys

OPERATOR = (
    '  {\n    "ph": "X", "cat": "cpu_op", "name": "%s", "pid": 4100, "tid": 4100,\n    "ts": %s, "dur": %s,\n    "args": {\n'
    '      "External id": %d,"Record function id": 0, "Sequence number": %d, "Fwd thread id": 0, "Input type": ["c10::BFloat16", "Scalar"], '
    '"Input Dims": [[8, 2048, 4096], []], "Ev Idx": %d\n    }\n  }'
)
LAUNCH = (
    '  {\n    "ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 4100, "tid": 4100,\n    "ts": %s, "dur": %s,\n'
    '    "args": {\n      "External id": %d, "cbid": 211, "correlation": %d\n    }\n  }'
)
KERNEL = (
    '  {\n    "ph": "X", "cat": "kernel", "name": "%s", "pid": 0, "tid": %d,\n    "ts": %s, "dur": %s,\n    "args": {\n'
    '      "External id": %d, "queued": 0, "device": 0, "context": 1, "stream": %d, "correlation": %d, "registers per thread": 32, '
    '"shared memory": 0, "blocks per SM": 1.939394, "grid": [256, 1, 1], "block": [128, 1, 1], "est. achieved occupancy %%": 93\n    }\n  }'
)
FLOW = '  {\n    "ph": "%s", "id": %d, "pid": %d, "tid": %d, "ts": %s,\n    "cat": "ac2g", "name": "ac2g"%s\n  }'
STEP = (
    '  {\n    "ph": "X", "cat": "user_annotation", "name": "ProfilerStep#%d", "pid": 4100, "tid": 4100,\n    "ts": %s, "dur": %s,\n'
    '    "args": {\n      "External id": %d,"Record function id": 0, "Ev Idx": %d\n    }\n  }'
)
HEAD = (
    '{\n  "schemaVersion": 1,\n  "deviceProperties": [\n    {\n      "id": 0, "name": "Example", "totalGlobalMem": 84929347584\n    }\n  ],\n'
    '  "distributedInfo": {"backend": "nccl", "rank": %d, "world_size": 512},\n  "displayTimeUnit": "ms",\n'
    '  "baseTimeNanoseconds": 1722470400000000000,\n  "traceEvents": [\n'
)
NAMES = [
    ("aten::linear", "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64", 7),
    ("aten::add", "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16> >(int)", 7),
    ("aten::_softmax", "void (anonymous namespace)::softmax_warp_forward<float, float, float, 10, false, false>(float*, int)", 13),
    ("aten::layer_norm", "triton_red_fused_native_layer_norm_backward_7", 7),
    ("c10d::allreduce_", "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)", 20),
]


def us(ns):
    return "%d.%03d" % (ns // 1000, ns % 1000)


def write_trace(path, size, rank=0):
    """Writes about `size` bytes; the same for the same rank."""
    rng = random.Random(rank)
    written, now, number, step = 0, 3_605_054_728_338_344, 1, 0
    with open(path, "w") as file:
        file.write(HEAD % rank)
        while written < size or step == 0:
            events, start = [], now
            for _ in range(200):
                operator, kernel, stream = NAMES[rng.choices(range(5), (8, 6, 3, 2, 1))[0]]
                dur, delay = rng.randrange(20_000, 60_000), rng.randrange(9_000, 25_000)
                events.append(OPERATOR % (operator, us(now), us(dur), number, number, number))
                events.append(OPERATOR % ("aten::empty", us(now + 1_000), us(2_000), number, number, number))
                events.append(LAUNCH % (us(now + 5_000), us(3_500), number, number))
                events.append(KERNEL % (kernel, stream, us(now + delay), us(rng.randrange(1_000, 90_000)), number, stream, number))
                events.append(FLOW % ("s", number, 4100, 4100, us(now + 5_000), ""))
                events.append(FLOW % ("f", number, 0, stream, us(now + delay), ', "bp": "e"'))
                now, number = now + dur + 1_000, number + 1
            step += 1
            events.append(STEP % (step, us(start), us(now - start), number, number))
            now += 20_000
            text = ",\n".join(events)
            file.write(text if step == 1 else ",\n" + text)
            written += len(text)
        file.write('\n  ],\n  "traceName": "%s"\n}\n' % path.rsplit("/", 1)[-1])


if __name__ == "__main__":
    write_trace(sys.argv[1], int(float(sys.argv[2]) * 1e6), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
