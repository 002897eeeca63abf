"""Converts one trace to each format, and compares what its readers find with the trace. See `conversions`."""

import base64
import collections
import decimal
import json
import os
import random
import sqlite3
import subprocess
import sys

import duckdb
import jsonschema
import pyarrow.ipc
import pyarrow.parquet
from google.protobuf import json_format
from opentelemetry.proto.trace.v1 import trace_pb2
from perfetto.protos.perfetto.trace import perfetto_trace_pb2

TRACECV, DIR, SCHEMA = sys.argv[1:]
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


def check_page_sums(path):
    """Every page has its sum: pyarrow, which verifies them, notices a byte that is another in any column."""
    part = f"{path}/run=1/table=events/part-00001-of-00001.parquet"
    read = lambda file: pyarrow.parquet.ParquetFile(file, page_checksum_verification=True).read()
    with open(part, "rb") as file:
        whole = file.read()
    assert read(part).num_rows > 0
    group = pyarrow.parquet.ParquetFile(part).metadata.row_group(0)
    for i in range(group.num_columns):
        column = group.column(i)
        start = column.dictionary_page_offset or column.data_page_offset
        damaged = bytearray(whole)
        damaged[start + column.total_compressed_size - 1] ^= 1
        try:
            read(pyarrow.BufferReader(bytes(damaged)))
        except OSError as e:
            assert "CRC" in str(e).upper(), e
        else:
            raise AssertionError(f"{column.path_in_schema}: a changed byte was not noticed")


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
    about = json.loads(pyarrow.ipc.open_file(path).metadata[b"traces"])
    assert [(t["rank"], t["events"]) for t in about] == [(r, len(t["traceEvents"])) for r, t in enumerate(traces)]


def spans_of(trace):
    """Slices by name, start and end on the wall clock."""
    base = trace["baseTimeNanoseconds"]
    span = lambda e: (e["name"], base + nanos(e["ts"]), base + nanos(e["ts"]) + nanos(e["dur"]))
    return [(*span(e), e.get("args", {})) for e in trace["traceEvents"] if e["ph"] == "X"]


def check_otlp(trace, path):
    """Decoded by the published messages; what they do not know is an error."""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    # OTLP's JSON has ids in hexadecimal, where that of protobuf has base64 (OpenTelemetry specification, "OTLP/HTTP").
    for resource in document["resourceSpans"]:
        for span in (span for scope in resource["scopeSpans"] for span in scope["spans"]):
            for key in span.keys() & {"traceId", "spanId", "parentSpanId"}:
                span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
    decoded = json_format.ParseDict(document, trace_pb2.TracesData())
    value = {
        "string_value": lambda v: v.string_value, "int_value": lambda v: v.int_value, "double_value": lambda v: v.double_value,
        "bool_value": lambda v: v.bool_value, None: lambda v: None,
        "array_value": lambda v: [plain(i) for i in v.array_value.values],
        "kvlist_value": lambda v: {i.key: plain(i.value) for i in v.kvlist_value.values},
    }
    plain = lambda v: value[v.WhichOneof("value")](v)
    about = {a.key: plain(a.value) for a in decoded.resource_spans[0].resource.attributes}
    assert (about["rank"], about["world_size"]) == (0, RANKS), about
    found = []
    for scope in decoded.resource_spans[0].scope_spans:
        by_id = {span.span_id: span for span in scope.spans}
        assert len(by_id) == len(scope.spans)
        for span in scope.spans:
            assert (len(span.trace_id), len(span.span_id), span.kind) == (16, 8, trace_pb2.Span.SPAN_KIND_INTERNAL), span
            if span.parent_span_id:
                parent = by_id[span.parent_span_id]
                assert parent.start_time_unix_nano <= span.start_time_unix_nano, (parent, span)
                assert span.end_time_unix_nano <= parent.end_time_unix_nano, (parent, span)
            attributes = {a.key: plain(a.value) for a in span.attributes}
            assert attributes.pop("category")
            found.append((span.name, span.start_time_unix_nano, span.end_time_unix_nano, attributes))
    key = lambda span: json.dumps(span, sort_keys=True)
    assert sorted(map(key, found)) == sorted(map(key, spans_of(trace)))


def check_speedscope(trace, path, schema):
    """Valid by its schema, and played back, the slices are those of the trace."""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    with open(schema, encoding="utf-8") as file:
        jsonschema.validate(document, json.load(file))
    names, found = [frame["name"] for frame in document["shared"]["frames"]], []
    for profile in document["profiles"]:
        stack, last = [], profile["startValue"]
        for event in profile["events"]:
            assert last <= event["at"] <= profile["endValue"], (last, event)
            last = event["at"]
            if event["type"] == "O":
                stack.append(event)
            else:
                begin = stack.pop()
                assert begin["frame"] == event["frame"], (begin, event)
                found.append((names[event["frame"]], begin["at"], event["at"]))
        assert not stack, stack
    spans = [span[:3] for span in spans_of(trace)]
    first = min(base_of(e, trace) for e in trace["traceEvents"] if "ts" in e)
    assert sorted(found) == sorted((name, start - first, end - first) for name, start, end in spans)


def base_of(event, trace):
    return trace["baseTimeNanoseconds"] + nanos(event["ts"])


def check_sqlite(trace, path):
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    rows = database.execute("select ph, name, start_ns, dur_ns, args from events order by idx").fetchall()
    found = [(*row[:4], json.loads(row[4]) if row[4] else None) for row in rows]
    time = lambda e, key: nanos(e[key]) if key in e else None
    expected = [(e["ph"], e["name"], time(e, "ts"), time(e, "dur"), e.get("args")) for e in trace["traceEvents"]]
    assert found == expected, next(pair for pair in zip(found, expected) if pair[0] != pair[1])


def check_round_trips(trace, paths):
    """Through a data set and back, every event is what it was."""
    convert("parquet", f"{DIR}/one", paths[0])
    convert("chrome", f"{DIR}/back.json", f"{DIR}/one")
    with open(f"{DIR}/back.json", encoding="utf-8") as file:
        document = json.load(file, parse_float=decimal.Decimal)
    back = document["traceEvents"]
    # Times are the same moments of the wall clock, whatever the base that each file counts them from.
    moved = trace["baseTimeNanoseconds"] - document.get("baseTimeNanoseconds", 0)
    plain = lambda e, by: {k: nanos(v) + (by if k == "ts" else 0) if k in ("ts", "dur") else v for k, v in e.items()}
    assert len(back) == len(trace["traceEvents"])
    for a, b in zip(trace["traceEvents"], back):
        assert plain(a, moved) == plain(b, 0), (a, b)
    # Whoever holds times as doubles sees the same nanoseconds.
    with open(f"{DIR}/back.json", encoding="utf-8") as file:
        doubles = json.load(file)["traceEvents"]
    assert [round(e["ts"] * 1000) if "ts" in e else None for e in doubles] == [nanos(e["ts"]) if "ts" in e else None for e in back]


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
    convert("sqlite", f"{DIR}/out.db", paths[0])
    check_sqlite(traces[0], f"{DIR}/out.db")
    print("sqlite: Python's sqlite3 reads every event")
    convert("parquet", f"{DIR}/ds", *paths)
    check_data_set(traces, f"{DIR}/ds")
    check_step_sums(traces, f"{DIR}/ds")
    print("parquet: DuckDB and pyarrow count and sum as the traces do")
    check_page_sums(f"{DIR}/ds")
    print("parquet: pyarrow verifies the sum of every page")
    convert("arrow", f"{DIR}/out.arrow", *paths)
    check_arrow(traces, f"{DIR}/out.arrow")
    print("arrow: pyarrow reads every event")
    convert("otlp", f"{DIR}/out.otlp.json", paths[0])
    check_otlp(traces[0], f"{DIR}/out.otlp.json")
    print("otlp: opentelemetry-proto decodes every span")
    if os.path.exists(SCHEMA):
        convert("speedscope", f"{DIR}/out.speedscope.json", paths[0])
        check_speedscope(traces[0], f"{DIR}/out.speedscope.json", SCHEMA)
        print("speedscope: its schema takes the profiles, and they are the slices")
    check_round_trips(traces[0], paths)
    print("parquet and back: Python reads the same events")
    convert("chrome", f"{DIR}/out.json", paths[0])
    with open(f"{DIR}/out.json", encoding="utf-8") as file:
        assert json.load(file)["traceEvents"] == traces[0]["traceEvents"]
    print("chrome: Python reads the same events")


main()
