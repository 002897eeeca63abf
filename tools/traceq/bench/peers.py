"""Runs traceq and its peers on generated traces and prints what they took. See peers.sh, which runs this."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import time

from generate import write_trace

HERE = os.path.dirname(os.path.abspath(__file__))
MB = 1_000_000
# What each Python peer does with a file, whole process: what a person runs to come to the same sums.
PYTHON = {
    "json": "import json; json.load(open(P))",
    "orjson": "import orjson; orjson.loads(open(P,'rb').read())",
    "msgspec typed": """
import msgspec
class E(msgspec.Struct):
    ph: str
    name: str = ''
    cat: str = ''
    ts: float = 0.0
    dur: float = 0.0
class T(msgspec.Struct):
    traceEvents: list[E]
t = msgspec.json.decode(open(P,'rb').read(), type=T)
s = {}
for e in t.traceEvents: s[e.cat] = s.get(e.cat, 0.0) + e.dur""",
    "duckdb": """
import duckdb
duckdb.sql("select e.cat, sum(e.dur) from (select unnest(traceEvents) e from read_json('" + P + "', maximum_object_size=2000000000)) group by 1").fetchall()""",
    "HTA": """
from hta.trace_analysis import TraceAnalysis
import os
TraceAnalysis(trace_files={0: P}, trace_dir=os.path.dirname(P)).get_temporal_breakdown(visualize=False)""",
    # Compares two traces, here one with itself: it reads each and sums it up.
    "msprof-analyze": """
import sys
from msprof_analyze.cli.entrance import msprof_analyze_cli
sys.argv = ['msprof-analyze', 'compare', '-d', P, '-bp', P, '-o', P + '.compared']
msprof_analyze_cli()""",
    "TraceLens": """
from TraceLens import TreePerfAnalyzer
TreePerfAnalyzer.from_file(P).get_df_gpu_timeline()""",
}
IMPORTS = {"orjson": "orjson", "msgspec typed": "msgspec", "duckdb": "duckdb", "HTA": "hta", "msprof-analyze": "msprof_analyze", "TraceLens": "TraceLens"}
# Those that take minutes for a gigabyte read no more than this.
SLOW_MB = {"json": 200, "orjson": 500, "duckdb": 500, "HTA": 100, "TraceLens": 100, "msprof-analyze": 100, "jq": 200}


def main(traceq, directory):
    megabytes = int(os.environ.get("BENCH_MB", "50"))
    table = []
    traces = {}

    def trace(mb):
        if mb not in traces:
            traces[mb] = os.path.join(directory, f"rank-0.{mb}mb.json")
            write_trace(traces[mb], mb * MB, rank=0)
        return traces[mb]

    for name, command, limit in commands(traceq, directory):
        path = trace(min(megabytes, limit))
        if command is None:
            print(f"bench-peers: NOT TRIED: {name}: not installed", file=sys.stderr)
            continue
        table.append(report("bench.traceq_peer", name, [part.replace("@", path) for part in command], [path]))
    compressed(traceq, trace(megabytes), table)
    one_core(traceq, trace(megabytes), table)
    growth(traceq, directory, trace, table)
    print_table(table)


def commands(traceq, directory):
    """(name, command or None, megabytes that it reads at most); `@` stands for the file."""
    for command in ("sum", "info", "top", "cat"):
        yield f"traceq {command}", [traceq, command, "--verbose", "--format", "json", "@"], 10**9
    for name, code in PYTHON.items():
        there = name not in IMPORTS or subprocess.run([sys.executable, "-c", f"import {IMPORTS[name]}"], capture_output=True).returncode == 0
        yield name, [sys.executable, "-c", "P='@'\n" + code] if there else None, SLOW_MB.get(name, 10**9)
    jq = shutil.which("jq")
    yield "jq", [jq, "-c", ".traceEvents[]", "@"] if jq else None, SLOW_MB["jq"]
    shell = shutil.which("trace_processor_shell")
    query = os.path.join(directory, "query.sql")
    with open(query, "w") as file:
        file.write("select category, sum(dur) from slice group by 1;\n")
    yield "trace_processor", [shell, "-q", query, "@"] if shell else None, 10**9


# Inflation alone, as Python's zlib does it.
INFLATE = """
import zlib
inflate = zlib.decompressobj(31)
with open(P, 'rb') as file:
    while block := file.read(1 << 20): inflate.decompress(block)"""


def compressed(traceq, path, table):
    """A compressed trace, beside programs that do nothing but inflate it. Sizes are those before compression."""
    packed = path + ".gz"
    with open(path, "rb") as text, gzip.open(packed, "wb", compresslevel=6) as file:
        shutil.copyfileobj(text, file, 1 << 20)
    rows = [
        ("traceq sum, gzip", [traceq, "sum", "--verbose", packed]),
        ("gzip -dc", [shutil.which("gzip"), "-dc", packed]),
        ("Python's zlib", [sys.executable, "-c", f"P={packed!r}\n{INFLATE}"]),
        ("libdeflate-gunzip", [shutil.which("libdeflate-gunzip"), "-c", packed]),
    ]
    for name, command in rows:
        if command[0] is None:
            print(f"bench-peers: NOT TRIED: {name}: not installed", file=sys.stderr)
            continue
        table.append(report("bench.traceq_gzip", name, command, [path]))


def one_core(traceq, path, table):
    """What one core does: of the programs that use several, and of the fastest peer."""
    pin = shutil.which("taskset")
    if pin is None:
        print("bench-peers: NOT TRIED: one core: taskset is not installed", file=sys.stderr)
        return
    rows = [
        ("traceq sum, one core", [traceq, "sum", "--verbose", path]),
        ("traceq sum, gzip, one core", [traceq, "sum", "--verbose", path + ".gz"]),
        ("msgspec typed, one core", [sys.executable, "-c", f"P={path!r}\n" + PYTHON["msgspec typed"]]),
        ("gzip -dc, one core", ["gzip", "-dc", path + ".gz"]),
    ]
    for name, command in rows:
        table.append(report("bench.traceq_one_core", name, [pin, "-c", "0", *command], [path]))


def growth(traceq, directory, trace, table):
    """How time and memory grow with the size of a file, and with the number of ranks."""
    largest = int(os.environ.get("BENCH_GROWTH_MB", "100"))
    mb = 1
    while mb <= largest:
        path = trace(mb)
        table.append(report("bench.traceq_growth", f"traceq sum, {mb} MB", [traceq, "sum", "--verbose", path], [path]))
        mb *= 10
    most = int(os.environ.get("BENCH_RANKS", "64"))
    ranks = [os.path.join(directory, f"ranks-{i}.json") for i in range(most)]
    each = int(os.environ.get("BENCH_RANK_MB", "1"))
    for i, path in enumerate(ranks):
        write_trace(path, each * MB, rank=i)
    for n in (1, 8, 64, 512):
        if n > most:
            continue
        for name, command in (("traceq sum", [traceq, "sum", "--verbose"]), ("cat", ["cat"])):
            table.append(report("bench.traceq_growth", f"{name}, {n} ranks of {each} MB", [*command, *ranks[:n]], ranks[:n]))


def report(kind, name, command, paths):
    """Runs a command twice and prints the better run as a JSON line."""
    size = sum(os.path.getsize(path) for path in paths)
    seconds, peak, status = min(measure(command) for _ in range(2))
    line = {"type": kind, "v": 1, "name": name, "bytes": size, "seconds": round(seconds, 4), "mb_per_s": round(size / MB / seconds, 1),
            "peak_memory_bytes": peak, "peak_memory_ratio": round(peak / size, 3), "exit_status": status}
    print(json.dumps(line), flush=True)
    return line


def measure(command):
    """Wall seconds, peak resident bytes and exit status of a whole process."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    if process.returncode != 0:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        print(f"bench-peers: {command[0]}: exit status {process.returncode}: {' '.join(last)}", file=sys.stderr)
    # The kernel's figure is at least that of this program, which was the process until it became the other one. traceq
    # says its own.
    peak = re.search(rb"peak memory (\d+)", said)
    return seconds, (int(peak[1]) if peak else usage.ru_maxrss) * 1024, process.returncode


def print_table(lines):
    print(f"\n{'':28} {'MB':>8} {'seconds':>9} {'MB/s':>8} {'peak MB':>9} {'peak/size':>9}", file=sys.stderr)
    for line in lines:
        failed = "" if line["exit_status"] == 0 else "  failed"
        print(f"{line['name']:28} {line['bytes'] / MB:8.0f} {line['seconds']:9.2f} {line['mb_per_s']:8.1f} "
              f"{line['peak_memory_bytes'] / MB:9.1f} {line['peak_memory_ratio']:9.2f}{failed}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
