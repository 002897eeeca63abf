#!/bin/sh
# Audits a generated tree beside find, getfacl and AIDE, and hashes and cleans it beside sha256sum and find. Prints a
# JSON line for each run: wall and processor time in seconds, peak memory in KiB, and how many times find's time it
# took. Asserts nothing.
#
#   audit.sh BIN [ENTRIES]            BIN holds permck and datack; ENTRIES is 1000000 unless given
#
# The tree is made in $TMPDIR and removed. Every program runs PASSES times (2 unless given) with a warm cache; the
# least time of each is what to compare. Needs python3 and GNU time; getfacl (Debian: acl) and aide (Debian: aide) are
# said to be missing where they are.
set -eu
bin=${1:?usage: audit.sh BIN [ENTRIES]}
entries=${2:-1000000}
passes=${PASSES:-2}
for need in python3 /usr/bin/time; do
    command -v "$need" >/dev/null || { echo "audit.sh: $need: is not installed" >&2; exit 2; }
done
for tool in permck datack; do
    "$bin/$tool" --version >/dev/null || { echo "audit.sh: $bin/$tool: does not run" >&2; exit 2; }
done
tree=$(mktemp -d "${TMPDIR:-/tmp}/permck-bench.XXXXXX")
trap 'rm -rf "$tree"' EXIT
trap 'exit 130' INT TERM

# Directories of 500 files; every other one holds a little, as traces of short steps do.
python3 - "$tree/t" "$entries" <<'PYTHON'
import os, sys
root, entries = sys.argv[1], int(sys.argv[2])
os.umask(0)
os.mkdir(root, 0o750)
made, d = 1, 0
while made < entries:
    top = f"{root}/d{d % 40}"
    if not os.path.isdir(top):
        os.mkdir(top, 0o750); made += 1
    if made >= entries: break
    here = f"{top}/s{d}"
    os.mkdir(here, 0o750); made += 1; d += 1
    fd = os.open(here, os.O_DIRECTORY)
    for i in range(min(500, entries - made)):
        f = os.open(f"trace_{i}.json", os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=fd)
        if i % 2: os.write(f, b'{"traceEvents":[]}')
        os.close(f); made += 1
    os.close(fd)
PYTHON
found=$(find "$tree/t" -printf '.\n' | wc -l)

# PROGRAM THREADS COMMAND...; what was not done with status 0 or 1 (findings) is told.
run() {
    program=$1 threads=$2; shift 2
    status=0
    /usr/bin/time -q -o "$tree/time" -f '%e %U %S %M' "$@" >"$tree/out" 2>"$tree/err" || status=$?
    if [ "$status" -gt 1 ]; then
        echo "audit.sh: $program: status $status: $(head -n 1 "$tree/err")" >&2
        return 0
    fi
    read -r wall user system peak <"$tree/time"
    [ "$program" = find ] && find_s=$wall
    times=$(awk "BEGIN { if ($wall > 0) printf \"%.2f\", $find_s / $wall; else print 0 }")
    printf '{"bench":"permck","program":"%s","threads":%s,"pass":%s,"entries":%s,"wall_s":%s,"user_s":%s,"system_s":%s,"peak_kib":%s,"times_find":%s}\n' \
        "$program" "$threads" "$pass" "$found" "$wall" "$user" "$system" "$peak" "$times"
}

missing() {
    [ "$pass" -gt 1 ] || echo "audit.sh: $1 is not installed (Debian package $2): not compared" >&2
}

pass=1
while [ "$pass" -le "$passes" ]; do
    run find 1 find "$tree/t" -printf '%m %u %g %p\n'
    for threads in 1 2; do
        run 'permck audit' "$threads" "$bin/permck" audit --threads "$threads" "$tree/t"
        run 'permck audit --no-content' "$threads" "$bin/permck" audit --threads "$threads" --no-content "$tree/t"
    done
    if command -v getfacl >/dev/null; then
        run 'getfacl -R' 1 getfacl -R -p "$tree/t"
    else
        missing getfacl acl
    fi
    if command -v aide >/dev/null; then
        # What permck looks at, and no checksums.
        printf 'database_out=file:%s/db\ngzip_dbout=no\nreport_url=file:%s/report\n%s/t p+u+g+acl+xattrs\n' \
            "$tree" "$tree" "$tree" >"$tree/conf"
        rm -f "$tree/db"
        run 'aide --init' 1 aide --config "$tree/conf" --init
    else
        missing aide aide
    fi
    # The other walks: what they hold in memory is the question.
    for threads in 1 2; do
        run 'datack manifest create' "$threads" "$bin/datack" manifest create -q --threads "$threads" "$tree/t"
    done
    run sha256sum 1 sh -c 'find "$1" -type f -print0 | sort -z | xargs -0 sha256sum' sh "$tree/t"
    run 'datack clean -n' 2 "$bin/datack" clean -q -n --keep 0 --idle 0s "$tree/t"
    pass=$((pass + 1))
done
