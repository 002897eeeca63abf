"""The tables `events` and `kernels` of a data set as DuckDB and pyarrow make them of the same trace: the same rows, with rank, step
and whole nanoseconds, the arguments that have columns, sorted. See `convert.py`. For traces like those of
`tools/traceq/bench/generate.py`: one rank, steps of PyTorch, work that CUDA's runtime launches.
"""

# Columns and the arguments they are of, by `tracecv`'s names.
TEXTS = {
    "collective": "Collective name",
    "group_name": "Process Group Name",
    "group_ranks": "Process Group Ranks",
    "dtype": "dtype",
    "input_dims": "Input Dims",
    "input_types": "Input type",
    "call_stack": "Call stack",
}
NUMBERS = {
    "device": "device",
    "stream": "stream",
    "correlation": "correlation",
    "external_id": "External id",
    "group_size": "Group size",
    "sequence": "Seq",
    "in_elements": "In msg nelems",
    "out_elements": "Out msg nelems",
    "autograd_sequence": "Sequence number",
    "forward_thread": "Fwd thread id",
    "python_id": "Python id",
    "python_parent_id": "Python parent id",
}
KERNELS = ("rank", "step", "start_ns", "dur_ns", "cat", "name", "device", "stream", "correlation", "index")
DEVICE_WORK = ("kernel", "gpu_memcpy", "gpu_memset")


def with_duckdb(trace, directory):
    import duckdb

    event = "STRUCT(ph VARCHAR, cat VARCHAR, name VARCHAR, pid JSON, tid JSON, ts DOUBLE, dur DOUBLE, id JSON, args JSON)[]"
    columns = f"{{distributedInfo: 'STRUCT(rank BIGINT)', baseTimeNanoseconds: 'BIGINT', traceEvents: '{event}'}}"
    arguments = [f"""args->>'$."{key}"' {name}""" for name, key in TEXTS.items()]
    arguments += [f"""try_cast(args->>'$."{key}"' as bigint) {name}""" for name, key in NUMBERS.items()]
    database = duckdb.connect()
    database.sql(f"""
        create temp table recorded as
        select rank, base + cast(round(ts * 1000) as bigint) start_ns, cast(round(dur * 1000) as bigint) dur_ns, ph, cat, name, pid, tid,
            id, index, {", ".join(arguments)}, args
        from (select rank, base, index, unnest(event) from (
            select distributedInfo.rank rank, baseTimeNanoseconds base, unnest(traceEvents) event,
                generate_subscripts(traceEvents, 1) - 1 index
            from read_json('{trace}', maximum_object_size = 2000000000, columns = {columns})))""")
    database.sql(f"""
        create temp table events as
        with steps as (
            select cast(regexp_extract(name, '#([0-9]+)', 1) as bigint) step, start_ns began, start_ns + dur_ns ended
            from recorded where cat = 'user_annotation' and name like 'ProfilerStep#%'),
        launches as (
            select correlation, min(start_ns) launched from recorded
            where cat = 'cuda_runtime' and correlation is not null group by correlation),
        placed as (
            select recorded.*, coalesce(launched, start_ns) moment from recorded
            left join launches on launches.correlation = recorded.correlation and cat in {DEVICE_WORK})
        select case when moment < ended then step end step, placed.* exclude (moment)
        from placed asof left join steps on moment >= began""")
    order = "order by rank, step, start_ns"
    for table, query in (
        ("events", f"select * from events {order}"),
        ("kernels", f"select {', '.join(KERNELS)} from events where cat in {DEVICE_WORK} {order}"),
    ):
        database.sql(f"copy ({query}) to '{directory}/duckdb-{table}.parquet' (format parquet)")


def with_pyarrow(trace, directory):
    import bisect
    import json

    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet

    with open(trace, encoding="utf-8") as file:
        recording = json.load(file)
    rank, base, events = (recording["distributedInfo"]["rank"], recording["baseTimeNanoseconds"], recording["traceEvents"])

    def nanoseconds(microseconds):
        return None if microseconds is None else round(float(microseconds) * 1000)

    def text(value):
        return value if value is None or isinstance(value, str) else json.dumps(value)

    starts = [nanoseconds(event.get("ts")) for event in events]
    durations = [nanoseconds(event.get("dur")) for event in events]
    arguments = [event.get("args") or {} for event in events]
    steps = sorted(
        (start, start + duration, int(event["name"].split("#")[1]))
        for event, start, duration in zip(events, starts, durations)
        if event.get("cat") == "user_annotation" and event["name"].startswith("ProfilerStep#")
    )
    begins = [begin for begin, _, _ in steps]
    launches = {
        given["correlation"]: start
        for event, given, start in zip(events, arguments, starts)
        if event.get("cat") == "cuda_runtime" and "correlation" in given
    }

    def step_of(event, given, moment):
        if event.get("cat") in DEVICE_WORK:
            moment = launches.get(given.get("correlation"), moment)
        place = -1 if moment is None else bisect.bisect_right(begins, moment) - 1
        return steps[place][2] if place >= 0 and moment < steps[place][1] else None

    columns = {
        "rank": [rank] * len(events),
        "step": [step_of(*of_event) for of_event in zip(events, arguments, starts)],
        "start_ns": [None if start is None else base + start for start in starts],
        "dur_ns": durations,
        "index": range(len(events)),
    }
    columns |= {key: [event.get(key) for event in events] for key in ("ph", "cat", "name")}
    columns |= {key: [text(event.get(key)) for event in events] for key in ("pid", "tid", "id")}
    columns |= {name: [text(given.get(key)) for given in arguments] for name, key in TEXTS.items()}
    columns |= {name: [given.get(key) for given in arguments] for name, key in NUMBERS.items()}
    columns["args"] = [json.dumps(event["args"]) if "args" in event else None for event in events]
    table = pyarrow.table(columns).sort_by([(key, "ascending") for key in ("rank", "step", "start_ns")])
    pyarrow.parquet.write_table(table, f"{directory}/pyarrow-events.parquet")
    kernels = table.filter(pyarrow.compute.is_in(table["cat"], pyarrow.array(DEVICE_WORK))).select(KERNELS)
    pyarrow.parquet.write_table(kernels, f"{directory}/pyarrow-kernels.parquet")


def count_differences(peer, directory, dataset):
    """The rows of a peer's tables that the data set of `tracecv` does not have, and the other way round."""
    import duckdb

    differences = 0
    for table in ("events", "kernels"):
        columns = ", ".join(column for column in KERNELS if table == "events" or column != "cat")
        if table == "events":
            columns += ", ph, external_id, autograd_sequence, forward_thread, group_size, sequence, call_stack"
        ours = f"select {columns} from '{dataset}/run=1/table={table}/*.parquet'"
        theirs = f"select {columns} from '{directory}/{peer}-{table}.parquet'"
        for one, other in ((ours, theirs), (theirs, ours)):
            differences += duckdb.sql(f"select count(*) from ({one} except all {other})").fetchall()[0][0]
    return differences
