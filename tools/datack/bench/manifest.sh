#!/bin/sh
# Creates and verifies a manifest of many small files beside sha256sum. Prints a JSON line for each run: wall and
# processor time in seconds, peak memory in KiB, and how many times sha256sum's time it took. Asserts nothing.
#
#   manifest.sh BIN [FILES]           BIN holds datack; FILES is 100000 unless given
#
# The tree is made in $TMPDIR and removed. Every program runs PASSES times (2 unless given) with a warm cache; the least
# time of each is what to compare. Needs python3 and GNU time.
set -eu
bin=${1:?usage: manifest.sh BIN [FILES]}
files=${2:-100000}
passes=${PASSES:-2}
for need in python3 /usr/bin/time; do
    command -v "$need" >/dev/null || { echo "manifest.sh: $need: is not installed" >&2; exit 2; }
done
"$bin/datack" --version >/dev/null || { echo "manifest.sh: $bin/datack: does not run" >&2; exit 2; }
tree=$(mktemp -d "${TMPDIR:-/tmp}/datack-bench.XXXXXX")
trap 'rm -rf "$tree"' EXIT
trap 'exit 130' INT TERM

# Directories of 500 files of 1 to 4096 bytes, as tokenizers and configurations are.
python3 - "$tree/t" "$files" <<'PYTHON'
import os, sys
root, files = sys.argv[1], int(sys.argv[2])
os.umask(0o027)
os.mkdir(root)
for d in range(0, files, 500):
    here = f"{root}/d{d // 500}"
    os.mkdir(here)
    for i in range(d, min(d + 500, files)):
        with open(f"{here}/f{i}", "wb") as f:
            f.write(b"%d" % i * (1 + i * 7919 % 680))
PYTHON
(cd "$tree/t" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$tree/list"

# PROGRAM THREADS COMMAND...; what was not done with status 0 is told.
run() {
    program=$1 threads=$2; shift 2
    status=0
    (cd "$tree/t" && exec /usr/bin/time -q -o "$tree/time" -f '%e %U %S %M' "$@") >"$tree/out" 2>"$tree/err" || status=$?
    if [ "$status" -ne 0 ]; then
        echo "manifest.sh: $program: status $status: $(head -n 1 "$tree/err")" >&2
        return 0
    fi
    read -r wall user system peak <"$tree/time"
    [ "$program" = 'sha256sum -c' ] && peer_s=$wall
    times=$(awk "BEGIN { if ($peer_s > 0) printf \"%.2f\", $wall / $peer_s; else print 0 }")
    printf '{"bench":"datack","program":"%s","threads":%s,"pass":%s,"files":%s,"wall_s":%s,"user_s":%s,"system_s":%s,"peak_kib":%s,"times_sha256sum":%s}\n' \
        "$program" "$threads" "$pass" "$files" "$wall" "$user" "$system" "$peak" "$times"
}

pass=1
while [ "$pass" -le "$passes" ]; do
    run 'sha256sum -c' 1 sha256sum --quiet -c "$tree/list"
    for threads in 1 2; do
        run 'datack manifest verify' "$threads" "$bin/datack" manifest verify -q --threads "$threads" --manifest "$tree/list"
        run 'datack manifest create' "$threads" "$bin/datack" manifest create -q --threads "$threads" -o "$tree/new" .
        rm -f "$tree/new"
    done
    pass=$((pass + 1))
done
