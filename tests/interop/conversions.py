"""Converts one trace to each format, and compares what its readers find with the trace. See `conversions`."""

import collections
import json
import random
import subprocess
import sys

import duckdb
import pyarrow.ipc
import pyarrow.parquet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2

TRACECV, DIR = sys.argv[1:]
RANKS = 3


def make_trace(rank):
    """A trace with nested and overlapping slices, flows, counters, moments and device work."""
    rnd = random.Random(rank)
    events = [{"ph": "M", "name": "process_name", "pid": 41, "tid": 0, "args": {"name": "python"}}]
    for step in range(3):
        start = step * 1000
        events.append({"ph": "X", "cat": "user_annotation", "name": f"ProfilerStep#{step}", "pid": 41, "tid": 42, "ts": start, "dur": 1000})
        for i in range(200):
            ts = round(start + i * 4 + rnd.random(), 3)
            ids = {"External id": i + 1, "correlation": step * 1000 + i}
            events.append({"ph": "X", "cat": "cpu_op", "name": f"aten::op{i % 7}", "pid": 41, "tid": 42, "ts": ts, "dur": round(rnd.random() * 5, 3), "args": {"x": [1, {"y": None}], "s": "é"}})
            events.append({"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 41, "tid": 42, "ts": ts, "dur": 0.5, "args": ids})
            events.append({"ph": "s", "id": step * 1000 + i, "cat": "ac2g", "name": "ac2g", "pid": 41, "tid": 42, "ts": ts})
            late = round(ts + 300, 3)
            events.append({"ph": "f", "id": step * 1000 + i, "cat": "ac2g", "name": "ac2g", "pid": 0, "tid": 7, "ts": late, "bp": "e"})
            events.append({"ph": "X", "cat": "kernel", "name": f"kernel{i % 5}", "pid": 0, "tid": 7, "ts": late, "dur": 2, "args": {**ids, "device": 0, "stream": 7}})
            events.append({"ph": "C", "name": "memory", "pid": 41, "ts": ts, "args": {"used": i}})
            events.append({"ph": "i", "s": "t", "name": "[memory]", "pid": 41, "tid": 42, "ts": ts, "args": {"Bytes": -i}})
    rnd.shuffle(events)
    return {"distributedInfo": {"rank": rank, "world_size": RANKS}, "baseTimeNanoseconds": 1700000000000000000, "traceEvents": events}


def nanos(us):
    return round(us * 1000)


def convert(to, out, *paths):
    subprocess.run([TRACECV, "-q", "convert", "--to", to, "-o", out, *paths], check=True)


def check_perfetto(trace, path):
    decoded = perfetto_trace_pb2.Trace()
    with open(path, "rb") as file:
        decoded.ParseFromString(file.read())
    names, slices, phases = {}, collections.Counter(), collections.Counter()
    for packet in decoded.packet:
        for name in packet.interned_data.event_names:
            names[name.iid] = name.name
    stacks = collections.defaultdict(list)
    for packet in decoded.packet:
        event = packet.track_event
        if not packet.HasField("track_event"):
            continue
        stack = stacks[event.track_uuid]
        if event.type == event.TYPE_SLICE_BEGIN:
            stack.append((names[event.name_iid], packet.timestamp, len(event.debug_annotations)))
        elif event.type == event.TYPE_SLICE_END:
            name, start, arguments = stack.pop()
            slices[name, start, packet.timestamp - start, arguments] += 1
        else:
            phases[chr(event.legacy_event.phase) if event.legacy_event.phase else event.type] += 1
    expected = collections.Counter(
        (e["name"], nanos(e["ts"]), nanos(e["dur"]), len(e.get("args", {}))) for e in trace["traceEvents"] if e["ph"] == "X")
    assert slices == expected, (slices - expected, expected - slices)
    wanted = collections.Counter(e["ph"] for e in trace["traceEvents"])
    assert phases["s"] == wanted["s"] and phases["f"] == wanted["f"], phases
    assert phases[event.TYPE_COUNTER] == wanted["C"] and phases[event.TYPE_INSTANT] == wanted["i"], phases


def check_data_set(traces, path):
    events = [e for trace in traces for e in trace["traceEvents"]]
    query = lambda sql: duckdb.sql(sql.replace("DS", path)).fetchall()
    assert query("select count(*) from 'DS/*/table=events/*.parquet'") == [(len(events),)]
    kernels = sum(nanos(e["dur"]) for e in events if e.get("cat") == "kernel")
    assert query("select sum(dur_ns), min(start_ns) > 1700000000000000000 from 'DS/*/table=kernels/*.parquet'") == [(kernels, True)]
    per_step = query("select rank, step, count(*) from 'DS/*/table=kernels/*.parquet' group by 1, 2 order by 1, 2")
    assert per_step == [(r, s, 200) for r in range(RANKS) for s in range(3)], per_step
    assert query("select count(*), max(world_size) from 'DS/*/table=ranks/*.parquet'") == [(RANKS, RANKS)]
    table = pyarrow.parquet.read_table(f"{path}/run=1/table=events", columns=["ph", "dur_ns", "args"])
    rows = table.to_pylist()
    assert collections.Counter(r["ph"] for r in rows) == collections.Counter(e["ph"] for e in events)
    assert all(json.loads(r["args"]) for r in rows if r["args"] is not None)
    file = pyarrow.parquet.ParquetFile(f"{path}/run=1/table=events/part-00001-of-00001.parquet")
    sorting = file.metadata.row_group(0).column(0).statistics
    assert (sorting.min, sorting.max) == (0, RANKS - 1)
    assert sum(e["ph"] == "X" for e in events) == sum(r["dur_ns"] is not None for r in rows)


def check_step_sums(traces, path):
    """The sums of the table of steps are those of the table of kernels, which DuckDB adds up."""
    query = lambda sql: duckdb.sql(sql.replace("DS", path)).fetchall()
    steps = query("select rank, step, device, device_events, total_ns, compute_ns + exposed_communication_ns + exposed_memcpy_ns + idle_ns from 'DS/*/table=steps/*.parquet' order by 1, 2")
    assert [s[:4] for s in steps] == [(r, s, 0, 200) for r in range(RANKS) for s in range(3)], steps
    spans = query("select rank, step, max(start_ns + dur_ns) - min(start_ns) from 'DS/*/table=kernels/*.parquet' group by 1, 2 order by 1, 2")
    assert [(s[0], s[1], s[4]) for s in steps] == spans and all(s[4] == s[5] for s in steps), (steps, spans)


def check_arrow(traces, path):
    table = pyarrow.ipc.open_file(path).read_all()
    events = [e for trace in traces for e in trace["traceEvents"]]
    assert table.num_rows == len(events)
    rows = table.to_pylist()
    assert [(r["ph"], r["name"], json.loads(r["args"] or "{}")) for r in rows] == [(e["ph"], e["name"], e.get("args", {})) for e in events]
    assert [r["dur_ns"] for r in rows] == [nanos(e["dur"]) if "dur" in e else None for e in events]
    about = json.loads(pyarrow.ipc.open_file(path).metadata[b"traces"]) if hasattr(pyarrow.ipc.open_file(path), "metadata") else None
    assert about is None or [t["rank"] for t in about] == list(range(RANKS))


def check_round_trips(trace, paths):
    """Through a data set and back, every event is what it was."""
    convert("parquet", f"{DIR}/one", paths[0])
    convert("chrome", f"{DIR}/back.json", f"{DIR}/one")
    with open(f"{DIR}/back.json", encoding="utf-8") as file:
        back = json.load(file)["traceEvents"]
    plain = lambda e: {k: nanos(v) if k == "dur" else v for k, v in e.items()}
    assert len(back) == len(trace["traceEvents"])
    for a, b in zip(trace["traceEvents"], back):
        assert plain({k: v for k, v in a.items() if k != "ts"}) == plain({k: v for k, v in b.items() if k != "ts"}), (a, b)


def main():
    traces = [make_trace(rank) for rank in range(RANKS)]
    paths = []
    for rank, trace in enumerate(traces):
        paths.append(f"{DIR}/rank{rank}.json")
        with open(paths[-1], "w", encoding="utf-8") as file:
            json.dump(trace, file)
    convert("perfetto", f"{DIR}/out.pftrace", paths[0])
    check_perfetto(traces[0], f"{DIR}/out.pftrace")
    print("perfetto: slices, flows, counters and moments are those of the trace")
    convert("parquet", f"{DIR}/ds", *paths)
    check_data_set(traces, f"{DIR}/ds")
    check_step_sums(traces, f"{DIR}/ds")
    print("parquet: DuckDB and pyarrow count and sum as the traces do")
    convert("arrow", f"{DIR}/out.arrow", *paths)
    check_arrow(traces, f"{DIR}/out.arrow")
    print("arrow: pyarrow reads every event")
    check_round_trips(traces[0], paths)
    print("parquet and back: Python reads the same events")
    convert("chrome", f"{DIR}/out.json", paths[0])
    with open(f"{DIR}/out.json", encoding="utf-8") as file:
        assert json.load(file)["traceEvents"] == traces[0]["traceEvents"]
    print("chrome: Python reads the same events")


main()
