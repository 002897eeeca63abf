"""Measures tracecv, DuckDB and pyarrow on one trace: processor time, time, peak memory. See `convert.sh`.

Not all write the same. DuckDB and pyarrow write, first, one table of the events as they stand there, with the arguments as one text of
JSON; then the same rows as two of the tables of tracecv (`same_rows.py`), which is counted. tracecv writes six tables, with
arguments as columns, steps, modules, whole nanoseconds and checksums, sorted. All three compress with Snappy, their default. The trace is one object of JSON, as profilers write it: DuckDB would read a file with
an event in each line on several cores and with less processor time, and json.load makes objects of Python of all that it reads.
"""

import json
import os
import sys
import time

import same_rows

TRACECV, DIR = sys.argv[1:]
TRACE = f"{DIR}/trace.json"
FORMATS = ["chrome", "jsonl", "csv", "perfetto", "folded", "speedscope", "otlp", "sqlite", "ascend-db", "parquet"]


def measure(name, act):
    """Runs `act` in a process of its own, and prints what it took. Returns processor time and time, None if it failed."""
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            act()
        except Exception as error:  # what cannot be imported or run is left out
            print(f"bench-peers: {name}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    elapsed = time.monotonic() - start
    if status != 0:
        return None
    seconds = used.ru_utime + used.ru_stime
    size = os.path.getsize(TRACE)
    line = {"type": "bench.tracecv", "v": 1, "what": name, "input_bytes": size, "cpu_s": round(seconds, 3)}
    line |= {"wall_s": round(elapsed, 3), "bytes_per_cpu_s": round(size / seconds), "peak_bytes": used.ru_maxrss * 1024}
    print(json.dumps(line), flush=True)
    return seconds, elapsed


def convert(to):
    os.execv(TRACECV, [TRACECV, "-q", "convert", "--to", to, "-o", f"{DIR}/out.{to}", TRACE])


def with_duckdb():
    import duckdb

    event = "STRUCT(ph VARCHAR, cat VARCHAR, name VARCHAR, pid JSON, tid JSON, ts DOUBLE, dur DOUBLE, id JSON, args JSON)[]"
    source = f"read_json('{TRACE}', maximum_object_size=2000000000, columns={{traceEvents: '{event}'}})"
    duckdb.sql(f"copy (select unnest(traceEvents) e from {source}) to '{DIR}/duckdb.parquet' (format parquet)")


def with_pyarrow():
    import pyarrow
    import pyarrow.parquet

    with open(TRACE, encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    columns = {key: [event.get(key) for event in events] for key in ("ph", "cat", "name")}
    columns |= {key: [float(event[key]) if key in event else None for event in events] for key in ("ts", "dur")}
    columns |= {key: [str(event[key]) if key in event else None for event in events] for key in ("pid", "tid", "id")}
    columns["args"] = [json.dumps(event["args"]) if "args" in event else None for event in events]
    pyarrow.parquet.write_table(pyarrow.table(columns), f"{DIR}/pyarrow.parquet")


def print_ratio(name, peer, own, **more):
    """Prints how many times the processor time, and the time, of tracecv a peer took."""
    ratios = {"times_the_cpu_of_tracecv": round(peer[0] / own[0], 1), "times_the_time_of_tracecv": round(peer[1] / own[1], 1)}
    print(json.dumps({"type": "bench.ratio", "v": 1, "what": name} | ratios | more), flush=True)


own = {to: measure(to, lambda to=to: convert(to)) for to in FORMATS}["parquet"]
for name, act in (("parquet by DuckDB", with_duckdb), ("parquet by json and pyarrow", with_pyarrow)):
    peer = measure(name, act)
    if own and peer:
        print_ratio(name, peer, own)
for name, act in (("duckdb", same_rows.with_duckdb), ("pyarrow", same_rows.with_pyarrow)):
    what = f"the same rows of parquet by {name}"
    peer = measure(what, lambda act=act: act(TRACE, DIR))
    if own and peer:
        print_ratio(what, peer, own, rows_that_differ=same_rows.count_differences(name, DIR, f"{DIR}/out.parquet"))
