"""Asks tracewhy and other programs the same questions about one job, and prints what each says, with its time and memory.

Called by `compare`, which says what the environment variables mean. Equal arguments make equal jobs.
"""

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile

from compare import measure

HERE = os.path.dirname(os.path.abspath(__file__))
MAKE_JOB = os.path.join(HERE, "..", "docs", "pictures", "make-job")
SLOW, RANKS, STEPS = 5, 8, 60

# What each program is asked in a process of its own: P is a list of traces by rank. The last line of its output is JSON.
HTA = """
import contextlib, io, json, logging, sys, warnings
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
P = sys.argv[1:]
with contextlib.redirect_stdout(io.StringIO()):
    from hta.trace_analysis import TraceAnalysis
    t = TraceAnalysis(trace_files=dict(enumerate(P)), trace_dir="")
"""
HTA_QUESTIONS = {
    "slow rank": """
    said = {"stragglers": [int(r) for r in t.get_potential_stragglers()]}
""",
    "time of rank 0": """
    row = t.get_temporal_breakdown(visualize=False).iloc[0]
    whole = float(row["kernel_time(us)"])
    said = {"of": whole, "compute": float(row["compute_time(us)"]), "not compute": float(row["non_compute_time(us)"]), "idle": float(row["idle_time(us)"])}
""",
    "hidden communication": """
    said = {"overlap %": float(t.get_comm_comp_overlap(visualize=False)["comp_comm_overlap_pctg"].iloc[0])}
""",
    "idle causes": """
    table = t.get_idle_time_breakdown(ranks=[0], visualize=False)[0]
    said = {k: float(v) for k, v in table.groupby("idle_category")["idle_time"].sum().items()}
""",
    "critical path": """
    path, ok = t.critical_path_analysis(rank=0, annotation="ProfilerStep", instance_id=1)
    table = path.get_critical_path_breakdown()
    said = {k: float(v) for k, v in table.groupby("bound_by")["duration"].sum().items()}
""",
}
TRACELENS = """
import contextlib, io, json, logging, sys, warnings
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
P = sys.argv[1:]
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
"""
TRACELENS_QUESTIONS = {
    "slow rank": """
    from TraceLens import NcclAnalyser
    rows = NcclAnalyser(P, len(P)).build_df_straggler_summary().set_index("rank")
    last = int(rows["times_arrived_last"].idxmax())
    said = {"most often last": last, "times": int(rows.loc[last, "times_arrived_last"]), "of": int(rows.loc[last, "num_collectives"])}
""",
    "time of rank 0": """
    from TraceLens import TreePerfAnalyzer
    rows = TreePerfAnalyzer.from_file(P[0]).get_df_gpu_timeline().set_index("type")["time ms"] * 1000
    said = {"of": rows["total_time"], "compute": rows["computation_time"], "exposed communication": rows["exposed_comm_time"], "exposed copy": rows["exposed_memcpy_time"], "idle": rows["idle_time"]}
    said = {k: float(v) for k, v in said.items()}
""",
    "hidden communication": """
    from TraceLens import TreePerfAnalyzer
    rows = TreePerfAnalyzer.from_file(P[0]).get_df_gpu_timeline().set_index("type")["time ms"]
    said = {"overlap %": float(100 * (1 - rows["exposed_comm_time"] / rows["total_comm_time"]))}
""",
    "bandwidth": """
    from TraceLens import NcclAnalyser
    rows = NcclAnalyser(P, len(P)).build_df_summary_nccl_implicit_sync_cat()
    said = {str(row["Collective name"]): float(row["bus bw (GB/s)_mean"]) for _, row in rows.iterrows()}
""",
}
PRINT = "\nprint()\nprint(json.dumps(said))\n"


def first(records, kind):
    return next(record for record in records if record["type"] == kind)


def of_rank(records, rank):
    return next(r for r in records if r["type"] == "tracewhy.rank" and r["rank"] == rank)


def slow_rank(records):
    verdict = first(records, "tracewhy.ranks")
    return {key: verdict.get(key) for key in ("rank", "cause", "late_ns", "lost_ns") if key in verdict}


def time_of_rank(records):
    rank = of_rank(records, 0)
    parts = {"compute": "compute", "exposed communication": "exposed_communication", "exposed copy": "exposed_copy", "idle": "idle"}
    times = {name: rank[f"{key}_ns"] * rank["steps"] / 1000 for name, key in parts.items()}
    return {"of": sum(times.values()), **times}


def hidden(records):
    costs = [r for r in records if r["type"] == "tracewhy.collective"]
    total = sum(r["total_ns"] for r in costs)
    return {"overlap %": 100 * (1 - sum(r["exposed_ns"] for r in costs) / total)} if total else {}


def idle_causes(records):
    # The last one is of all steps together.
    whole = [r for r in records if r["type"] == "tracewhy.idle" and "step" not in r]
    return {cause: time / 1000 for cause, time in whole[-1]["by_cause"].items()} if whole else {}


def critical_path(records):
    path = first(records, "tracewhy.critical")
    return {cause: time / 1000 for cause, time in path["by_cause"].items()}


def bandwidth(records):
    costs = [r for r in records if r["type"] == "tracewhy.collective" and r.get("bus_gbps")]
    return {r["kind"]: r["bus_gbps"] for r in costs}


# The verb, whether it reads all ranks or only the first, and what of its records answers the question.
OURS = {
    "slow rank": ("ranks", True, slow_rank),
    "time of rank 0": ("ranks", False, time_of_rank),
    "hidden communication": ("comm", False, hidden),
    "idle causes": ("idle", False, idle_causes),
    "critical path": ("critical", False, critical_path),
    "bandwidth": ("comm", True, bandwidth),
}


def run_ours(tools, question, paths):
    verb, all_ranks, answer = OURS[question]
    command = [f"{tools}/tracewhy", "--verbose", "--format", "json", verb, *(paths if all_ranks else paths[:1])]
    seconds, peak, out = min(measure(command) for _ in range(2))
    return seconds, peak, answer([json.loads(line) for line in out.splitlines()])


def run_peer(head, questions, question, paths):
    if question not in questions:
        return None
    given = paths if question in ("slow rank", "bandwidth") else paths[:1]
    try:
        seconds, peak, out = measure([sys.executable, "-c", head + questions[question] + PRINT, *given])
        return seconds, peak, json.loads(out.splitlines()[-1])
    except (RuntimeError, ValueError, IndexError) as error:
        return None, None, {"fails:": str(error)[:80]}


def cell(result):
    if result is None:
        return "–"
    seconds, peak, said = result
    rounded = {k: round(v, 1) if isinstance(v, float) else v for k, v in said.items()}
    text = ", ".join(f"{k} {v:,}" if isinstance(v, (int, float)) else f"{k} {v}" for k, v in rounded.items()) or "nothing"
    return text if seconds is None else f"{text} ({seconds:.2f} s, {peak / 1e6:.0f} MB)"


def peers():
    """Those that can be imported: a name with its version, what comes first in its process, and what it can answer."""
    found = []
    for module, name, head, questions in (
        ("hta", "HolisticTraceAnalysis", HTA, HTA_QUESTIONS), ("TraceLens", "TraceLens", TRACELENS, TRACELENS_QUESTIONS)
    ):
        if importlib.util.find_spec(module) is None:
            print(f"compare: NOT TRIED: {name} is not installed", file=sys.stderr)
            continue
        try:
            name += f" {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            name += os.environ.get("TRACELENS_VERSION", "")
        found.append((name, head, questions))
    return found


def print_questions(title, tools, paths, questions):
    others = peers()
    size = sum(os.path.getsize(path) for path in paths)
    print(f"\n{title}: {size / 1e6:.0f} MB; times in µs, in brackets processor time and peak memory\n")
    print("| question | tracewhy | " + " | ".join(name for name, *_ in others) + " |")
    print("|---|---|" + "---|" * len(others))
    for question in questions:
        cells = [cell(run_ours(tools, question, paths))]
        cells += [cell(run_peer(head, asked, question, paths)) for _, head, asked in others]
        print(f"| {question} | " + " | ".join(cells) + " |", flush=True)


def make_job(directory, ranks, steps, *more):
    subprocess.run([sys.executable, MAKE_JOB, directory, "--ranks", str(ranks), "--steps", str(steps), *more], check=True)
    return [os.path.join(directory, f"rank{rank}.json") for rank in range(ranks)]


def add_flows(paths):
    """The arrows from launches to kernels that libkineto writes, and that TraceLens ties kernels to the host by."""
    for path in paths:
        with open(path) as file:
            trace = json.load(file)
        flows = []
        for event in trace["traceEvents"]:
            number = event.get("args", {}).get("correlation")
            if number is not None:
                end = {"ph": "s"} if event["cat"] == "cuda_runtime" else {"ph": "f", "bp": "e"}
                place = {key: event[key] for key in ("pid", "tid", "ts")}
                flows.append({**end, "id": number, **place, "cat": "ac2g", "name": "ac2g"})
        trace["traceEvents"] += flows
        with open(path, "w") as file:
            json.dump(trace, file)


def rewrite(paths, directory, change):
    """The same traces with their events changed, and nothing else."""
    os.makedirs(directory)
    written = []
    for rank, path in enumerate(paths):
        with open(path) as file:
            trace = json.load(file)
        for event in trace["traceEvents"]:
            change(rank, event)
        written.append(os.path.join(directory, f"rank{rank}.json"))
        with open(written[-1], "w") as file:
            json.dump(trace, file)
    return written


def skew_clock(rank, event):
    """Each rank on a clock of its own, up to 39 ms apart; that of the slow one is not the last."""
    event["ts"] += [0, 9, 21, 33, 2, 14, 39, 27][rank % 8] * 1000


def name_as_before(rank, event):
    """Kernels are called as NCCL called them before version 2.19."""
    event["name"] = event["name"].replace("ncclDevKernel_", "ncclKernel_")


def peak_of(text):
    """Bytes, as a tool says them itself: what the kernel says of a child is at least what its parent had."""
    found = re.search(r"peak memory (\d+)", text)
    return int(found[1]) * 1024 if found else 0


def print_growth(tools, directory, sizes):
    """How time and memory grow with the number of ranks, all of one size."""
    paths = make_job(os.path.join(directory, "growth"), max(sizes), int(os.environ.get("GROWTH_STEPS", "20")))
    print("\n| ranks | MB | " + " | ".join(f"{verb}: seconds, peak MB" for verb in ("ranks", "comm", "diff", "report")) + " |")
    print("|--:|--:|" + "--:|" * 4)
    for size in sizes:
        given = paths[:size]
        group = os.path.join(directory, f"group{size}")
        os.makedirs(group)
        for path in given:
            os.link(path, os.path.join(group, os.path.basename(path)))
        cells = []
        for verb in (["ranks", *given], ["comm", *given], ["diff", group, group], ["report", "-o", os.path.join(directory, "report.html"), *given]):
            done = subprocess.Popen([f"{tools}/tracewhy", "--verbose", "--format", "json", *verb], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            said = done.stderr.read().decode(errors="replace")
            _, status, usage = os.wait4(done.pid, 0)
            if status:
                raise SystemExit(f"compare: tracewhy {verb[0]}: {said[-300:]}")
            cells.append(f"{usage.ru_utime + usage.ru_stime:.2f}, {peak_of(said) / 1e6:.0f}")
        total = sum(os.path.getsize(path) for path in given)
        print(f"| {size} | {total / 1e6:.1f} | " + " | ".join(cells) + " |", flush=True)


def main():
    tools, parts = sys.argv[1], sys.argv[2].split(",")
    with tempfile.TemporaryDirectory() as directory:
        if "job" in parts:
            paths = make_job(os.path.join(directory, "job"), RANKS, STEPS, "--slow", str(SLOW))
            add_flows(paths)
            title = f"A job of {RANKS} ranks, {STEPS} steps, rank {SLOW} computes 30 % longer"
            print_questions(title, tools, paths, OURS)
            for title, change in (
                ("The same job, each rank on a clock of its own", skew_clock),
                ("The same job, with the names of kernels of NCCL before 2.19", name_as_before),
            ):
                changed = rewrite(paths, os.path.join(directory, change.__name__), change)
                print_questions(title, tools, changed, ["slow rank"])
        for path in filter(None, os.environ.get("TRACES", "").split(":")):
            print_questions(os.path.basename(path), tools, [path], ["time of rank 0", "hidden communication", "idle causes"])
        if "growth" in parts:
            sizes = [int(n) for n in os.environ.get("GROWTH", "1 8 64 512").split()]
            print_growth(tools, directory, sizes)


if __name__ == "__main__":
    main()
