"""Runs traceq and HolisticTraceAnalysis on one generated trace, and prints a Markdown table. See `compare`."""

import datetime
import importlib.metadata
import json
import os
import platform
import random
import re
import resource
import subprocess
import sys
import tempfile

HTA = """
import contextlib, io, json, logging, sys
logging.disable(logging.CRITICAL)
with contextlib.redirect_stdout(io.StringIO()):
    from hta.trace_analysis import TraceAnalysis
    row = TraceAnalysis(trace_files={0: sys.argv[1]}, trace_dir="").get_temporal_breakdown(visualize=False).iloc[0]
print(json.dumps({k: float(row[k]) for k in ("kernel_time(us)", "compute_time(us)", "idle_time(us)")}))
"""


def write_trace(path, size):
    """Steps of operators, launches and kernels on three streams, as libkineto writes them, with fractions of µs."""
    rng = random.Random(7)
    span = ('{{"ph": "X", "cat": "{}", "name": "{}", "pid": {}, "tid": {}, "ts": {:.3f}, "dur": {:.3f},\n'
            '    "args": {{{}}}\n  }}')
    now, number, step = 1000.0, 1, 0
    with open(path, "w") as out:
        out.write('{\n  "schemaVersion": 1,\n  "deviceProperties": [{"id": 0, "name": "GPU"}],\n'
                  '  "distributedInfo": {"backend": "nccl", "rank": 0, "world_size": 8},\n'
                  '  "traceEvents": [\n  {"ph": "M", "name": "process_name", "pid": 1, "tid": 0, "ts": 0, '
                  '"args": {"name": "python"}}')
        while out.tell() < size:
            begin = now
            for _ in range(500):
                dur = 20 + rng.random() * 30
                collective = rng.random() < 0.05
                name = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL" if collective else "sm90_xmma_gemm_bf16bf16_bf16f32"
                stream = 20 if collective else 7 + rng.randrange(2)
                ids = f'"External id": {number}, "correlation": {number}'
                device = f'"device": 0, "stream": {stream}, {ids}, "grid": [128, 1, 1], "block": [256, 1, 1]'
                for event in (
                    ("cpu_op", "aten::linear", 1, 1, now, dur, f'"External id": {number}'),
                    ("cpu_op", "aten::addmm", 1, 1, now + 1, dur - 2, f'"External id": {number}'),
                    ("cuda_runtime", "cudaLaunchKernel", 1, 1, now + 3, 5, ids),
                    ("kernel", name, 0, stream, now + 9 + rng.random() * 5, dur * (0.3 + rng.random()), device),
                ):
                    out.write(",\n  " + span.format(*event))
                now += dur + 1
                number += 1
            out.write(",\n  " + span.format("user_annotation", f"ProfilerStep#{step}", 1, 1, begin, now - begin, ""))
            now += 20
            step += 1
        out.write("\n]}\n")
    return step


def measure(command):
    """Seconds of processor time, peak bytes and standard output of a command, in a process that has no other child."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Not the time on the clock, which other programs on the machine make longer.
        seconds, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
        with os.fdopen(write, "w") as out:
            said = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
            # What the kernel says of a child is at least what its parent had; our tools say their own with --verbose.
            own = re.search(r"peak memory (\d+)", said)
            peak = int(own[1]) * 1024 if own else peak
            json.dump([seconds, peak, done.stdout.decode(), said if done.returncode else None], out)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as result:
        *measured, failed = json.load(result)
    os.waitpid(child, 0)
    if failed is not None:
        raise RuntimeError(failed)
    return measured


def main():
    tools, megabytes = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as work:
        trace = os.path.join(work, "trace.json")
        steps = write_trace(trace, megabytes * 1_000_000)
        size = os.path.getsize(trace)
        ours = [measure([f"{tools}/traceq", "sum", "--verbose", "--format", "json", trace]) for _ in range(3)]
        seconds, peak, out = min(ours)
        records = [json.loads(line) for line in out.splitlines()]
        total = next(r for r in records if r["type"] == "traceq.total")
        version = subprocess.run([f"{tools}/traceq", "--version"], stdout=subprocess.PIPE, check=True).stdout.decode()
        theirs = measure([sys.executable, "-c", HTA, trace])
        hta = json.loads(theirs[2].splitlines()[-1])

    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    print(f"{datetime.date.today()}, {cpu}, {os.cpu_count()} CPUs, Python {platform.python_version()}; "
          f"a trace of {size / 1e6:.0f} MB, {steps} steps, {total['kernels'] + total['collectives']} kernels\n")
    print(f"| | {version.split(chr(10))[0]} | HolisticTraceAnalysis {importlib.metadata.version('HolisticTraceAnalysis')} |")
    print("|---|---|---|")
    print(f"| processor time, from start to end | {seconds:.2f} s | {theirs[0]:.1f} s |")
    print(f"| per second of processor time | {size / 1e6 / seconds:.0f} MB | {size / 1e6 / theirs[0]:.1f} MB |")
    print(f"| peak memory | {peak / 1e6:.0f} MB | {theirs[1] / 1e6:.0f} MB |")
    for label, ns, us in (("device time", "total_ns", "kernel_time(us)"), ("compute", "compute_ns", "compute_time(us)"),
                          ("idle", "idle_ns", "idle_time(us)")):
        print(f"| {label} | {total[ns] / 1e3:.3f} µs | {hta[us]:.3f} µs |")


if __name__ == "__main__":
    main()
