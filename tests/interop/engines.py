"""Makes traces whose answers our own tools know, and asks DuckDB and Spark the same. See `engines`."""

import collections
import glob
import json
import os
import random
import subprocess
import sys

RANKS = 8
STEPS = 4
QUESTIONS = [
    "01-top-kernels",
    "02-idle-by-step",
    "03-skew-per-collective",
    "04-slow-ranks",
    "05-two-runs",
    "06-kernel-to-module",
    "07-bandwidth-by-size",
    "08-exposed-communication",
    "09-memory-peaks",
    "10-broken-traces",
]
KERNELS = ["gemm_f32", "layer_norm", "softmax"]


class Rank:
    """What one rank does, in nanoseconds of one clock."""

    def __init__(self, rank, slower):
        self.rank, self.slower = rank, slower
        self.random = random.Random(rank)
        self.events = []
        self.host, self.stream, self.side = 1_000_000, 0, 0
        self.correlation, self.allocated = 0, 1 << 20

    def event(self, cat, name, start, end, pid=10, tid=10, **args):
        self.events.append({"ph": "X", "cat": cat, "name": name, "pid": pid, "tid": tid, "ts": start / 1000, "dur": (end - start) / 1000, "args": args})

    def launch(self, tid=10):
        self.correlation += 1
        start = self.host
        self.host += 4000 + self.random.randrange(2000)
        self.event("cuda_runtime", "cudaLaunchKernel", start, self.host, tid=tid, correlation=self.correlation)
        return self.host + 1500

    def work(self, name, stream, start, end, cat="kernel", **args):
        self.event(cat, name, start, end, pid=0, tid=stream, device=0, stream=stream, correlation=self.correlation, **args)

    def compute(self, name, length, tid=10):
        start = max(self.launch(tid), self.stream)
        self.stream = start + length * (100 + self.slower) // 100 + self.random.randrange(9999)
        self.work(name, 7, start, self.stream)

    def allocate(self, size):
        self.allocated += size
        args = {"Device Type": 1, "Device Id": 0, "Addr": 4096 + self.random.randrange(1 << 30), "Bytes": size}
        args |= {"Total Allocated": self.allocated, "Total Reserved": 1 << 24}
        self.change_memory(args)
        # Another device without totals, on which one moment has a whole life.
        for change in (abs(size) * 2, -abs(size)) if size > 0 else (-size, -2 * -size):
            self.change_memory({"Device Type": 1, "Device Id": 1, "Addr": 1, "Bytes": change})

    def change_memory(self, args):
        self.events.append({"ph": "i", "s": "t", "cat": "cpu_instant_event", "name": "[memory]", "pid": 10, "tid": 10, "ts": self.host / 1000, "args": args})

    def layers(self, step):
        """A forward pass in modules, with memory that it keeps, and the backward pass of another thread."""
        outer, sequences = self.host, []
        sizes = [self.random.randrange(1, 9) * 512 for _ in KERNELS]
        for i, kernel in enumerate(KERNELS):
            begin, sequence = self.host, step * 100 + i + 1
            self.allocate(sizes[i])
            self.compute(kernel, 90_000 + 10_000 * i)
            self.event("cpu_op", f"aten::{kernel}", begin + 1, self.host, **{"Sequence number": sequence})
            self.event("python_function", f"nn.Module: Layer_{i}", begin, self.host + 100)
            self.host += 200
            sequences.append(sequence)
        self.compute("copy_", 5000)
        self.event("python_function", "nn.Module: Net_0", outer, self.host)
        # The host looks at a result, and the device runs out of work.
        self.host = max(self.host, self.stream) + 20_000 + self.random.randrange(9000)
        for i, sequence in reversed(list(enumerate(sequences))):
            begin = self.host
            self.compute(KERNELS[i] + "_backward", 120_000, tid=11)
            self.event("cpu_op", "autograd::engine::evaluate_function: Backward0", begin, self.host, tid=11, **{"Sequence number": sequence, "Fwd thread id": 1})
            self.allocate(-sizes[i])


def collective(ranks, kind, sequence, elements, dtype, transfer, hidden=False, group="0"):
    """Ranks enter a collective, and leave it together. A hidden one runs beside the computation. Groups of one name differ by ranks."""
    size = len(ranks)
    starts = [max(r.launch(), r.side, 0 if hidden else r.stream) for r in ranks]
    end = max(starts) + transfer
    out = elements * size if kind == "_allgather_base" else elements
    for r, start in zip(ranks, starts):
        args = {"Collective name": kind, "In msg nelems": elements, "Out msg nelems": out, "Group size": size, "dtype": dtype}
        args |= {"Process Group Name": group, "Process Group Ranks": str([r.rank for r in ranks]), "Seq": sequence}
        r.work(f"ncclDevKernel_{kind}_RING_LL(ncclDevKernelArgsStorage<4096ul>)", 21 if hidden else 20, start, end, **args)
        r.side = end
        if not hidden:
            r.stream = end


def in_halves(events):
    """The same events, with work on the device as begins and ends."""
    for e in events:
        if e["cat"] != "kernel" or e["ph"] != "X":
            yield e
            continue
        yield {key: value for key, value in e.items() if key != "dur"} | {"ph": "B"}
        yield {"ph": "E", "pid": e["pid"], "tid": e["tid"], "ts": round((e["ts"] + e["dur"]) * 1000) / 1000}


def make_run(directory, slower_rank, slower):
    ranks = [Rank(r, slower if r == slower_rank else slower // 3) for r in range(RANKS)]
    sequence = 0
    for step in range(STEPS):
        begins = [r.host for r in ranks]
        for r in ranks:
            r.host += 20_000 + r.random.randrange(30_000)
        collective(ranks, "broadcast", sequence, 4096 << step, "Float", 70_000, hidden=True)
        for r in ranks:
            r.layers(step)
        for kind, elements, dtype in (("allreduce", 1_000_000, "BFloat16"), ("allreduce", 2_000, "Float"), ("_allgather_base", 5_000, "Half")):
            sequence += 1
            for r in ranks:
                r.compute("copy_", 3000)
            collective(ranks, kind, sequence, elements, dtype, 30_000 + elements // 10)
        sequence += 1
        for half in (ranks[: RANKS // 2], ranks[RANKS // 2 :]):
            for r in half:
                r.compute("copy_", 3000)
            collective(half, "allreduce", step, 3_000, "Float", 20_000 + half[0].rank, group="tp")
        for r, begin in zip(ranks, begins):
            done = max(r.host, r.stream, r.side) + 3000
            r.event("cuda_runtime", "cudaDeviceSynchronize", r.host, done)
            r.event("user_annotation", f"ProfilerStep#{step + 5}", begin, done)
            r.host, r.stream, r.side = done + 700, done, done
    os.makedirs(directory)
    for r in ranks:
        if r.rank == 1:
            r.events = list(in_halves(r.events))
        document = {"schemaVersion": 1, "distributedInfo": {"backend": "nccl", "rank": r.rank, "world_size": RANKS}}
        document |= {"baseTimeNanoseconds": 1_700_000_000_000_000_000, "traceEvents": r.events}
        with open(f"{directory}/rank{r.rank}.json", "w", encoding="utf-8") as file:
            json.dump(document, file)


def make(directory):
    make_run(f"{directory}/base", 2, 30)
    make_run(f"{directory}/new", 5, 60)
    # Of eight ranks, two have no trace; of the others one is cut, one is no trace and one is empty.
    make_run(f"{directory}/broken", 2, 0)
    path = lambda rank: f"{directory}/broken/rank{rank}.json"
    os.remove(path(0))
    os.remove(path(7))
    with open(path(3), "r+b") as file:
        file.truncate(os.path.getsize(path(3)) // 2)
    # One says a rank that its world has not, and a collective of more elements than there can be.
    with open(path(6), encoding="utf-8") as file:
        document = json.load(file)
    document["distributedInfo"]["rank"] = RANKS + 22
    for event in document["traceEvents"]:
        if "In msg nelems" in event["args"]:
            event["args"]["In msg nelems"] = event["args"]["Out msg nelems"] = 1 << 62
    with open(path(6), "w", encoding="utf-8") as file:
        json.dump(document, file)
    for rank, text in ((4, "no trace"), (5, "")):
        with open(path(rank), "w", encoding="utf-8") as file:
            file.write(text)


def ask(tool, *arguments):
    done = subprocess.run([tool, "-q", "--format", "json", *arguments], capture_output=True, text=True, check=False)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert records, (arguments, done.stderr)
    return records


def of_type(records, name):
    return [r for r in records if r["type"] == name]


def expect_run(answers, directory, tools, run):
    """What our own tools say of one run."""
    traceq, tracewhy = f"{tools}/traceq", f"{tools}/tracewhy"
    paths = sorted(glob.glob(f"{directory}/{run}/*.json"))
    tops = collections.Counter()
    for top in of_type(ask(traceq, "top", "--by", "kernel", "-n", "0", *paths), "traceq.top"):
        tops[top["name"], "count"] += top["count"]
        tops[top["name"], "total"] += top["total_ns"]
    answers["01-top-kernels"] += [[run, name, tops[name, "count"], tops[name, "total"]] for name in {name for name, _ in tops}]
    by_step, by_rank = collections.defaultdict(list), collections.defaultdict(list)
    for step in of_type(ask(traceq, "sum", *paths), "traceq.step"):
        by_step[step["step"]].append(step)
        by_rank[step["rank"]].append(step)
    total = lambda steps, key: sum(s[key] for s in steps)
    answers["02-idle-by-step"] += [[run, n, len(s), total(s, "total_ns"), total(s, "idle_ns"), max(x["idle_ns"] for x in s)] for n, s in by_step.items()]
    answers["08-exposed-communication"] += [[run, r, len(s), total(s, "total_ns"), total(s, "communication_ns"), total(s, "exposed_communication_ns")] for r, s in by_rank.items()]
    costs = of_type(ask(tracewhy, "comm", *paths), "tracewhy.collective")
    kinds = collections.defaultdict(lambda: [0, 0])
    for cost in costs:
        kinds[cost["kind"]][0] += cost["count"]
        kinds[cost["kind"]][1] += cost["total_ns"]
    answers["03-skew-per-collective"] += [[run, kind, *sums] for kind, sums in kinds.items()]
    answers["07-bandwidth-by-size"] += [[run, c["kind"], c["bytes"], c["count"], c["transfer_ns"], round(c["algorithm_gbps"], 9), round(c["bus_gbps"], 9)] for c in costs]
    ranks = of_type(ask(tracewhy, "ranks", *paths), "tracewhy.rank")
    answers["04-slow-ranks"] += [[run, r["rank"], r["last"], r["others_wait_ns"]] for r in ranks if r["last"] > 0]
    modules = [r for r in of_type(ask(tracewhy, "modules", *paths), "tracewhy.program") if r["part"] == "module"]
    answers["06-kernel-to-module"] += [[run, m.get("name", ""), m["count"], m["own_ns"]] for m in modules]
    for path in paths:
        for memory in of_type(ask(tracewhy, "mem", path), "tracewhy.memory"):
            rank = int(os.path.basename(path)[4:-5])
            answers["09-memory-peaks"].append([run, rank, memory["peak_bytes"], memory.get("reserved_bytes"), memory["allocations"], memory["releases"]])


def expect(directory, tools):
    answers = {question: [] for question in QUESTIONS}
    for run in ("base", "new"):
        expect_run(answers, directory, tools, run)
    changes = of_type(ask(f"{tools}/tracewhy", "diff", f"{directory}/base", f"{directory}/new"), "tracewhy.change")
    answers["05-two-runs"] = [[c["name"], c["base_ns"], c["new_ns"]] for c in changes if c["kind"] == "kernel"]
    paths = sorted(glob.glob(f"{directory}/broken/*.json"))
    infos = ask(f"{tools}/traceq", "info", *paths)
    incomplete = [i["path"] for i in of_type(infos, "traceq.info") if not i["complete"]]
    readable = {i["path"] for i in of_type(infos, "traceq.info") if i["events"] > 0}
    broken = [["incomplete" if path in readable else "unreadable", os.path.basename(path)] for path in paths if path in incomplete or path not in readable]
    missing = [["missing", f"{m['first']} to {m['last']}"] for m in of_type(infos, "traceq.rank_set")[0]["missing_ranks"]]
    answers["10-broken-traces"] = broken + missing
    for question, rows in answers.items():
        assert rows, question
        rows.sort(key=str)
    with open(f"{directory}/expected.json", "w", encoding="utf-8") as file:
        json.dump(answers, file)


def kind_of(collective):
    return {"allreduce": "all_reduce", "_allgather_base": "all_gather"}.get(collective, collective)


def shape(question, rows):
    """Brings rows of an engine into the form of `expect`. What only SQL says is checked against the rest of its row."""
    runs = ("base", "new")
    if question == "01-top-kernels":
        assert all(r["longest_ns"] <= r["total_ns"] <= r["longest_ns"] * r["launches"] for r in rows)
        return [[r["run"], r["name"], r["launches"], r["total_ns"]] for r in rows if r["run"] in runs]
    if question == "02-idle-by-step":
        return [[r["run"], r["step"], r["devices"], r["total_ns"], r["idle_ns"], r["most_idle_ns"]] for r in rows if r["run"] in runs]
    if question == "03-skew-per-collective":
        sums = collections.defaultdict(lambda: [0, 0])
        for r in rows:
            if r["run"] in runs:
                size = len(json.loads(r["group_ranks"]))
                assert r["waited_ns"] == r["total_ns"] - size * r["transfer_ns"] and r["worst_skew_ns"] > 0, r
                sums[r["run"], kind_of(r["collective"])][0] += r["calls"]
                sums[r["run"], kind_of(r["collective"])][1] += r["total_ns"]
        return [[*key, *values] for key, values in sums.items()]
    if question == "04-slow-ranks":
        return [[r["run"], r["rank"], r["came_last"], r["others_wait_ns"]] for r in rows if r["run"] in runs]
    if question == "05-two-runs":
        assert all(r["more_ns"] == r["new_ns"] - r["base_ns"] for r in rows)
        return [[r["name"], r["base_ns"], r["new_ns"]] for r in rows]
    if question == "06-kernel-to-module":
        sums = collections.defaultdict(lambda: [0, 0])
        for r in rows:
            if r["run"] in runs:
                sums[r["run"], r["module"] or ""][0] += r["launches"]
                sums[r["run"], r["module"] or ""][1] += r["total_ns"]
        return [[*key, *values] for key, values in sums.items()]
    if question == "07-bandwidth-by-size":
        return [[r["run"], kind_of(r["collective"]), r["message_bytes"], r["calls"], r["transfer_ns"] // r["calls"], round(r["algorithm_gbps"], 9), round(r["bus_gbps"], 9)] for r in rows if r["run"] in runs]
    if question == "08-exposed-communication":
        return [[r["run"], r["rank"], r["steps"], r["total_ns"], r["communication_ns"], r["exposed_communication_ns"]] for r in rows if r["run"] in runs]
    if question == "09-memory-peaks":
        return [[r["run"], r["rank"], r["peak_bytes"], r["reserved_bytes"], r["allocations"], r["releases"]] for r in rows if r["run"] in runs]
    assert {r["run"] for r in rows} == {"broken"}, rows
    place = lambda r: os.path.basename(r["trace"]) if r["trace"] else f"{r['first_rank']} to {r['last_rank']}"
    # That a trace has no rank because it cannot be read is why ranks are missing, too.
    return [[r["status"], place(r)] for r in rows]


def statements(path, directory):
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file if not line.startswith("--")]
    text = "".join(lines).replace("'ds", f"'{directory}/ds")
    return [part for part in text.split(";") if part.strip()]


def compare(directory, sql, views, questions, query):
    """`query` gives the rows of a statement as dictionaries."""
    with open(f"{directory}/expected.json", encoding="utf-8") as file:
        expected = json.load(file)
    for statement in statements(f"{sql}/{views}", directory):
        query(statement)
    # Names of runs are texts, whatever they look like.
    runs = {row["run"] for row in query("select distinct run from ranks")}
    assert runs == {"base", "new", "broken", "007", "7"}, runs
    wrong = 0
    for question in questions:
        (statement,) = statements(f"{sql}/{question}.sql", directory)
        found = sorted(shape(question, query(statement)), key=str)
        if found != expected[question]:
            wrong += 1
            only = lambda a, b: [row for row in a if row not in b][:5]
            print(f"{question}: differs: engine {only(found, expected[question])}, ours {only(expected[question], found)}")
        else:
            print(f"{question}: {len(found)} rows, as ours")
    sys.exit(1 if wrong else 0)


def with_duckdb(directory, sql):
    import duckdb

    connection = duckdb.connect()

    def query(statement):
        result = connection.execute(statement)
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row)) for row in result.fetchall()]

    compare(directory, sql, "views-duckdb.sql", QUESTIONS, query)


def with_spark(directory, sql, master, host, *questions):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(master).appName("engines").config("spark.ui.enabled", "false")
    options = {"driver.host": host, "driver.bindAddress": host, "sql.shuffle.partitions": "4", "executor.memory": "512m"}
    options |= {"executor.cores": "1", "sql.warehouse.dir": f"{directory}/warehouse", "local.dir": f"{directory}/spark"}
    for key, value in options.items():
        builder = builder.config(f"spark.{key}", value)
    session = builder.getOrCreate()
    try:
        compare(directory, sql, "views-spark.sql", questions or QUESTIONS, lambda statement: [row.asDict() for row in session.sql(statement).collect()])
    finally:
        session.stop()


{"make": make, "expect": expect, "duckdb": with_duckdb, "spark": with_spark}[sys.argv[1]](*sys.argv[2:])
