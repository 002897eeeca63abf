#!/bin/sh
# traceq and tracecv on databases of profilers, beside SQLite, which goes through every column of the same tables: Ascend's
# (as the profiler writes them, and as tracecv does), Nsight Systems' and rocprofv3's. Prints a JSON line for each; asserts
# nothing.
#
#   databases.sh BIN      BIN holds tracecv and traceq; BENCH_MB=100 is the size of a database in megabytes
set -eu
bin=${1:?usage: databases.sh BIN}
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/traceq-databases.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
python3 "$here/generate.py" "$dir/trace.json" "${BENCH_MB:-100}"
python3 "$here/databases.py" "$bin" "$dir"
