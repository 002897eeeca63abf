#!/bin/sh
# Audits real trees and prints what an operator reads, as a table of Markdown: entries, findings of each severity, lines
# of text, and the time. Asserts nothing.
#
#   trees.sh BIN [PATH...]            BIN holds permck; PATHs are the trees, those below that exist unless given
#
# Two more trees are made in $TMPDIR and removed: an installation as the security statement asks for it (umask 0027), and
# one like an msMonitor deployment with its usual mistakes. TORCH names a virtual environment with torch in it.
set -eu
bin=${1:?usage: trees.sh BIN [PATH...]}
shift
"$bin/permck" --version >/dev/null || { echo "trees.sh: $bin/permck: does not run" >&2; exit 2; }
work=$(mktemp -d "${TMPDIR:-/tmp}/permck-trees.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
# What nobody else can reach is a note.
chmod 755 "$work"

# As the statement asks: nobody but owner and group, and programs that nobody writes.
umask 027
good=$work/profguard
mkdir -p "$good/bin" "$good/etc" "$good/log" "$good/traces"
for name in profd profctl dyno; do printf '#!/bin/sh\n' >"$good/bin/$name"; done
chmod 550 "$good/bin"/*
chmod 750 "$good"
printf 'port = 1778\n' >"$good/etc/profd.toml"
printf 'INFO started\n' >"$good/log/profd.log"
i=0
while [ $i -lt 300 ]; do printf '{"traceEvents":[]}' >"$good/traces/trace_$i.json"; i=$((i + 1)); done
mkdir -m 700 "$good/certs"
openssl genpkey -algorithm ed25519 -out "$good/certs/server.key" 2>/dev/null || : >"$good/certs/server.key"
chmod 600 "$good/certs/server.key"

# As it is found: the default umask, a trace directory for all users, a key that was copied.
umask 022
ms=$work/msmonitor
mkdir -p "$ms/bin" "$ms/plugin/ipc_monitor" "$ms/traces" "$ms/config"
for name in dynolog dyno; do printf '\177ELF\002\001\001' >"$ms/bin/$name"; chmod 755 "$ms/bin/$name"; done
i=0
while [ $i -lt 60 ]; do printf 'import os\n' >"$ms/plugin/ipc_monitor/module_$i.py"; i=$((i + 1)); done
i=0
while [ $i -lt 3000 ]; do printf '{"traceEvents":[]}' >"$ms/traces/node1_${i}_20260101000000000.json"; i=$((i + 1)); done
chmod 777 "$ms/traces"
cp "$good/certs/server.key" "$ms/config/server.key"
chmod 644 "$ms/config/server.key"
printf 'port: 1778\n' >"$ms/config/dynolog.yaml"

if [ $# -eq 0 ]; then
    set -- /usr/lib/python3 /etc/nginx /usr/share/nginx /etc/postgresql /usr/lib/postgresql /etc/ssh /usr/lib/git-core
fi
[ -z "${TORCH:-}" ] || set -- "$@" "$TORCH"
set -- "$@" "$good" "$ms"

echo '| tree | entries | errors | warnings | notes | lines of text | s |'
echo '|---|---|---|---|---|---|---|'
for tree; do
    [ -d "$tree" ] || continue
    begin=$(date +%s%N)
    "$bin/permck" audit -q "$tree" >"$work/text" 2>"$work/err" || status=$?
    end=$(date +%s%N)
    if [ "${status:-0}" -gt 1 ]; then
        echo "trees.sh: $tree: $(head -n 1 "$work/err")" >&2
    fi
    "$bin/permck" audit -q --show note --format json "$tree" 2>/dev/null | tail -n 1 >"$work/summary" || true
    field() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$work/summary"; }
    shown=$(printf '%s' "$tree" | sed "s,^$work,(made) ,; s,^${TORCH:-/nowhere},venv with torch,")
    printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$shown" "$(field entries)" "$(field error_findings)" \
        "$(field warning_findings)" "$(field note_findings)" "$(wc -l <"$work/text")" \
        "$(awk "BEGIN { printf \"%.1f\", ($end - $begin) / 1e9 }")"
    status=0
done
