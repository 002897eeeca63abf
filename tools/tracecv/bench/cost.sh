#!/bin/sh
# What a data set costs for one rank, and what that means for many: processor time, time, peak memory, bytes written.
# Prints the rows of the table in docs/guide/data-sets.md; asserts nothing.
#
#   cost.sh BIN      BIN holds tracecv; BENCH_MB=20 is the size of the trace of a rank, BENCH_RANKS=3 how many are measured
set -eu
bin=${1:?usage: cost.sh BIN}
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/tracecv-cost.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
python3 "$here/../../traceq/bench/generate.py" "$dir/trace.json" "${BENCH_MB:-20}"
gzip -k -3 "$dir/trace.json"
python3 - "$bin/tracecv" "$dir" "${BENCH_RANKS:-3}" <<'PY'
import os
import shutil
import sys
import time

tracecv, directory, ranks = sys.argv[1], sys.argv[2], int(sys.argv[3])


def measure(traces, out):
    """Converts traces; returns processor seconds, seconds, peak memory and bytes written."""
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.execv(tracecv, [tracecv, "-q", "convert", "--to", "parquet", "-o", out, *traces])
    _, status, used = os.wait4(pid, 0)
    if status:
        sys.exit(f"tracecv: status {status}")
    written = sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(out) for name in names)
    return used.ru_utime + used.ru_stime, time.monotonic() - start, used.ru_maxrss * 1024, written


trace = f"{directory}/trace.json"
one = measure([trace + ".gz"], f"{directory}/one")
# A trace is named once: of each rank a copy.
copies = [shutil.copy(trace + ".gz", f"{directory}/rank{rank}.json.gz") for rank in range(ranks)]
many = measure(copies, f"{directory}/many")
size, packed = os.path.getsize(trace), os.path.getsize(trace + ".gz")
# Of equal traces, a data set is smaller than of different ones: what is written is that of one.
cpu, written = max(one[0], many[0] / ranks), one[3]
print(f"a rank of {size / 1e6:.0f} MB ({packed / 1e6:.1f} MB with gzip): {one[0]:.2f} s of a processor, {one[1]:.2f} s, {one[2] / 2**20:.0f} MiB at most, {one[3] / 1e6:.1f} MB written")
print(f"each of {ranks} in one process: {many[0] / ranks:.2f} s of a processor, {many[1] / ranks:.2f} s, {many[2] / 2**20:.0f} MiB at most")
print()
print("| ranks | traces (gzip) | data set | processor time | 64 cores of one host | one core of each host of 8 ranks | memory of a process |")
print("|---|---|---|---|---|---|---|")
for count in (8, 4096, 100_000):
    seconds = cpu * count
    span = lambda s: f"{s:.0f} s" if s < 120 else f"{s / 60:.0f} min" if s < 7200 else f"{s / 3600:.1f} h"
    volume = lambda b: f"{b / 1e9:.1f} GB" if b > 1e9 else f"{b / 1e6:.0f} MB"
    print(f"| {count:,} | {volume(packed * count)} | {volume(written * count)} | {span(seconds)} | {span(seconds / 64)} | {span(cpu * 8)} | {max(one[2], many[2]) / 2**20:.0f} MiB |")
PY
