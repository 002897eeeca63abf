#!/bin/sh
# tracecv on a generated trace, format by format, and beside DuckDB and pyarrow, which write Parquet of the same JSON.
# Prints a JSON line for each; asserts nothing. Databases as input: tools/traceq/bench/databases.sh.
#
#   convert.sh BIN      BIN holds tracecv; BENCH_MB=100 is the size of the trace in megabytes
set -eu
bin=${1:?usage: convert.sh BIN}
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/tracecv-bench.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
python3 "$here/../../traceq/bench/generate.py" "$dir/trace.json" "${BENCH_MB:-100}"
if ! python=$("$here/../../../tests/interop/traces-env"); then
    echo "bench-peers: DuckDB and pyarrow could not be installed here: tracecv alone" >&2
    python=python3
fi
PYTHONDONTWRITEBYTECODE=1 "$python" "$here/convert.py" "$bin/tracecv" "$dir"
