#!/bin/sh
# Audits a generated tree beside find, getfacl and AIDE, each with a warm cache, and prints one line per program:
# wall time, processor time, and peak memory.
#
#   audit.sh PERMCK [ENTRIES]         ENTRIES is 1000000 unless given; the tree is made in $TMPDIR and removed
set -eu
permck=$1
entries=${2:-1000000}
tree=$(mktemp -d "${TMPDIR:-/tmp}/permck-bench.XXXXXX")
trap 'rm -rf "$tree"' EXIT INT TERM

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
    here = f"{top}/s{d}"
    os.mkdir(here, 0o750); made += 1; d += 1
    fd = os.open(here, os.O_DIRECTORY)
    for i in range(min(500, entries - made)):
        f = os.open(f"trace_{i}.json", os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=fd)
        if i % 2: os.write(f, b'{"traceEvents":[]}')
        os.close(f); made += 1
    os.close(fd)
PYTHON

run() {
    name=$1; shift
    /usr/bin/time -o "$tree/time" -f '%e s wall, %U user + %S system, peak %M KiB' "$@" >/dev/null 2>&1 || true
    printf '%-24s %s\n' "$name" "$(tail -n 1 "$tree/time")"
}
find "$tree/t" -printf '%m\n' | wc -l
for pass in 1 2; do
    run 'find -printf' find "$tree/t" -printf '%m %u %g %p\n'
    run 'permck, 1 thread' "$permck" audit --threads 1 "$tree/t"
    run 'permck, 2 threads' "$permck" audit --threads 2 "$tree/t"
    run 'permck, no content, 1' "$permck" audit --threads 1 --no-content "$tree/t"
    run 'permck, no content, 2' "$permck" audit --threads 2 --no-content "$tree/t"
done
if command -v getfacl >/dev/null; then run 'getfacl -R' getfacl -R "$tree/t"; fi
if command -v aide >/dev/null; then
    printf 'database_out=file:%s/db\nreport_url=file:/dev/null\n%s/t p+u+g+acl+xattrs+i+n+s\n' "$tree" "$tree" > "$tree/conf"
    run 'aide --init' aide --config "$tree/conf" --init
fi
