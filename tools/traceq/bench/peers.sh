#!/bin/sh
# traceq beside the programs that people use for the same, on the same generated traces, in the same run. Prints a JSON
# line for each run and a table at the end; asserts nothing.
#
#   peers.sh BIN        BIN holds traceq
#
# BENCH_MB=50           megabytes of the trace that all of them read (slow ones read the smaller of it and 100)
# BENCH_GROWTH_MB=100   the growth table reads 1, 10, 100 ... megabytes up to this; 10000 takes some minutes
# BENCH_RANKS=64        and 1, 8, 64, 512 files of one rank each up to this
# BENCH_RANK_MB=1       megabytes of each of these files, which `cat` reads beside traceq
#
# For the targets on many ranks: BENCH_RANKS=512 BENCH_RANK_MB=20. Compressed traces stand beside inflation alone (gzip,
# Python's zlib, libdeflate-gunzip where it is installed), and rows on one core are those of `taskset -c 0`.
#
# TraceLens and Perfetto's trace_processor are not on the package index: they run where `import TraceLens` works in the
# virtual environment, and where trace_processor_shell is on PATH.
set -eu
bin=${1:?usage: peers.sh BIN}
here=$(cd "$(dirname "$0")" && pwd)
"$bin/traceq" --version >/dev/null || { echo "bench-peers: $bin/traceq does not run" >&2; exit 2; }
status=0
python=$("$here/peers-env") || status=$?
if [ "$status" -ne 0 ]; then
    echo "bench-peers: SKIPPED: the peers could not be installed here (see above)" >&2
    exit 0
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/traceq-bench.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
"$python" "$here/peers.py" "$bin/traceq" "$dir"
