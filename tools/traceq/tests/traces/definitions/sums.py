"""What a trace adds up to: per device and step the split of time, host time, counts, and the longest by name.

The definitions are TraceLens's GPU timeline (compute, exposed communication, exposed copies, idle add up to the total),
HTA's attribution (device work belongs to the step that launched it) and, for Ascend, the exporter's own
`step_trace_time.csv`.
"""

import re
from collections import Counter, defaultdict

from classify import DEVICE_WORK
from intervals import clip, innermost, length, minus, self_times, union

LANES = {"Computing": "compute", "Communication": "communication", "Communication(Not Overlapped)": "exposed", "Free": "free"}


def close_begins(events):
    """Spans of begins and ends: an end closes the innermost open begin of its thread with its name, else the innermost.

    Ends come before begins of the same moment, unless they end one of that moment; begins that never end do so at the
    last moment of their thread. Async spans are paired in the same way, by what identifies them instead of by thread.
    """
    threads, last, ends = defaultdict(list), {}, {}
    for event in events:
        if event.start is not None and event.phase != "M":
            last[event.thread] = max(last.get(event.thread, event.start), event.start + (event.dur or 0))
            if event.phase in "BE":
                threads[event.thread].append(event)
            elif event.phase in "beSF":
                # `S` and `F` are the deprecated spelling.
                phase = "B" if event.phase in "bS" else "E"
                threads[event.key].append(event._replace(phase=phase, thread=event.key))
                ends[event.key] = event.thread
    spans, unclosed, unopened = [], 0, 0
    for thread, edges in threads.items():
        open_ = []
        for moment in by_moment(edges):
            begins = [e for e in moment if e.phase == "B"]
            early, late = divide_ends([e for e in moment if e.phase == "E"], begins, open_)
            for edge in early + begins + late:
                if edge.phase == "B":
                    open_.append(edge)
                elif not open_:
                    unopened += 1
                else:
                    named = [i for i, begin in enumerate(open_) if begin.name == edge.name]
                    begin = open_.pop(named[-1] if named else -1)
                    spans.append(begin._replace(phase="X", dur=edge.start - begin.start))
        unclosed += len(open_)
        spans += [begin._replace(phase="X", dur=last[ends.get(thread, thread)] - begin.start) for begin in open_]
    return spans, unclosed, unopened


def by_moment(edges):
    return [moment for _, moment in sorted(group(edges, lambda e: e.start).items())]


def divide_ends(ends, begins, open_):
    """Those that come before the begins of the same moment, and those that end one of these."""
    names, early, late = Counter(begin.name for begin in open_), [], []
    for edge in ends:
        if names[edge.name] > 0 or edge.name not in [begin.name for begin in begins]:
            names[edge.name] -= 1
            early.append(edge)
        else:
            late.append(edge)
    return early, late


def split_work(work):
    """The split of device work, given as (start, end, category)."""
    compute = union((s, e) for s, e, c in work if c in ("kernel", "memset"))
    communication = union((s, e) for s, e, c in work if c == "collective")
    copies = union((s, e) for s, e, c in work if c == "memcpy")
    begin, end = min(w[0] for w in work), max(w[1] for w in work)
    exposed = minus(communication, compute)
    exposed_copies = minus(minus(copies, compute), communication)
    busy = length(union([(s, e) for s, e, _ in work]))
    return {
        "total_ns": end - begin, "compute_ns": length(compute), "communication_ns": length(communication),
        "exposed_communication_ns": length(exposed), "overlap_ns": length(communication) - length(exposed),
        "memcpy_ns": length(copies), "exposed_memcpy_ns": length(exposed_copies), "idle_ns": end - begin - busy,
    }


def count_work(work):
    counts = Counter(w.category for w in work)
    return {"device_events": len(work), "kernels": counts["kernel"], "collectives": counts["collective"],
            "memcpys": counts["memcpy"], "memsets": counts["memset"]}


class Trace:
    """The sums of one trace."""

    def __init__(self, events, rows):
        begun, self.unclosed, self.unopened = close_begins(events)
        self.spans = [e for e in events if e.phase == "X" and e.start is not None and e.dur is not None] + begun
        self.events, self.rows = events, rows
        self.work = [e for e in self.spans if e.category in DEVICE_WORK]
        self.launches = {}
        for e in sorted((e for e in self.spans if e.category == "runtime" and e.correlation is not None), key=lambda e: (e.correlation, e.start)):
            self.launches.setdefault(e.correlation, e.start)
        self.steps = self.find_steps()
        self.lanes = [e for e in self.spans if e.role == "Overlap Analysis" and e.name in LANES]
        self.receives = [e for e in self.spans if e.name.startswith("hcom_receive") and e.category == "collective"]

    def find_steps(self):
        """(number, start, end), of `ProfilerStep#N` or, in JAX, of what has a `step_num`. A mark that overlaps one of
        the same number repeats it. Without marks, a step lasts from one optimizer call's end to the next one's."""
        marks = [(int(m[1]), e.start, e.start + e.dur) for e in self.spans if e.category == "step" and (m := re.match(r"ProfilerStep#\s*(-?\d+)\s*$", e.name))]
        if self.rows.jax and not marks:
            marks = [(int(e.args["step_num"]), e.start, e.start + e.dur) for e in self.spans if re.fullmatch(r"-?\d+", str(e.args.get("step_num", "")))]
        marks = marks or self.serving_marks()
        steps = []
        for number, start, end in sorted(marks, key=lambda m: (m[1], -m[2], m[0])):
            if not any(n == number and start < e for n, _, e in steps):
                steps.append((number, start, end))
        return steps or self.steps_of_optimizer()

    def serving_marks(self):
        """What vLLM, sglang and ATOM call a step; of ranges in one another the outermost counts. They are numbered."""
        family = r"execute_(context_|\d+_context_)|execute_diffusion_|step\[|(prefill|decode)\["
        spans = sorted({(e.start, e.start + e.dur) for e in self.spans if e.category == "marker" and e.cat != "gpu_user_annotation" and re.match(family, e.name)})
        outer = [s for s in spans if not any(o != s and o[0] <= s[0] and s[1] <= o[1] for o in spans)]
        return [(i, start, end) for i, (start, end) in enumerate(outer)]

    def steps_of_optimizer(self):
        calls = sorted((e.start, e.start + e.dur, e.name) for e in self.spans if e.name.startswith("Optimizer.step#") and e.category not in DEVICE_WORK)
        ends = [end for _, end, name in calls if name == calls[0][2]]
        starts = [self.extent()[0]] + ends[:-1] if ends else []
        return [(i, s, e) for i, (s, e) in enumerate(zip(starts, ends)) if s < e]

    def extent(self):
        timed = [(e.start, e.start + (e.dur or 0)) for e in self.events if e.start is not None and e.phase != "M"]
        return (min(t[0] for t in timed), max(t[1] for t in timed)) if timed else (0, 0)

    def step_at(self, moment):
        """The step that a moment belongs to: the latest to start of those that hold it."""
        held = [i for i, (_, start, end) in enumerate(self.steps) if start <= moment < end]
        return max(held, key=lambda i: (self.steps[i][1], i)) if held else None

    def linked(self):
        """Device work that something in the trace launched, unless nothing or less than half of its time is linked."""
        linked = [e for e in self.work if e.external or e.correlation in self.launches]
        time = sum(e.dur for e in self.work)
        return linked if linked and 2 * sum(e.dur for e in linked) >= time else self.work

    def host_time(self):
        """Per thread, the union of its operators; of a trace that has none and is no profiler's, of everything."""
        threads = defaultdict(list)
        for e in self.spans:
            if e.category == "cpu_op":
                threads[e.thread].append((e.start, e.start + e.dur))
        return [union(spans) for spans in threads.values()]

    def totals(self):
        if self.lanes:
            return {d: self.lane_sums(None, lanes) for d, lanes in group(self.lanes, lambda e: e.device).items()}
        return {d: split_work(spans_of(work)) | count_work(work) for d, work in group(self.linked(), lambda e: e.device).items()}

    def step_rows(self):
        """{(step index, device): row}"""
        if self.lanes:
            out = {}
            for device, lanes in group(self.lanes, lambda e: e.device).items():
                for i, (start, end) in self.device_steps(device).items():
                    held = [e for e in lanes if start <= e.start < end]
                    if held:
                        out[i, device] = self.lane_sums((start, end), held)
            return out
        keyed = defaultdict(list)
        for e in self.linked():
            # Work that counts without a launch belongs to the step in which it starts.
            at = self.launches.get(e.correlation, None if e.external else e.start)
            step = self.step_at(at) if at is not None else None
            if step is not None:
                keyed[step, e.device].append(e)
        return {key: split_work(spans_of(work)) | {"device_events": len(work)} for key, work in keyed.items()}

    def device_steps(self, device):
        """Where the steps are on an Ascend device: from the first task that the step's first launching operator
        started, to the end of the last launch's last task or, if that is later, of the host's step."""
        tails, heads = defaultdict(list), defaultdict(list)
        for e in self.events:
            if e.cat == "async_npu" and e.start is not None:
                (tails if e.phase == "s" else heads)[e.id].append(e)
        ends = {(e.thread, e.start): e.start + e.dur for e in self.spans if e.role in ("Ascend Hardware", "Communication", "HCCL")}
        out = {}
        for i, (_, start, end) in enumerate(self.steps):
            launches = sorted((t.start, k) for k, ts in tails.items() for t in ts if start <= t.start < end and heads.get(k))
            first = [h.start for at, k in launches if at == launches[0][0] for h in heads[k]]
            last = [ends.get((h.thread, h.start), h.start) for at, k in launches if at == launches[-1][0] for h in heads[k]]
            out[i] = (min(first, default=start), max([end] + last))
        return out

    def lane_sums(self, window, lanes):
        sums = Counter()
        for e in lanes:
            sums[LANES[e.name]] += e.dur
        row = {"compute_ns": sums["compute"], "communication_ns": sums["communication"], "exposed_communication_ns": sums["exposed"],
               "overlap_ns": sums["communication"] - sums["exposed"], "free": sums["free"],
               "total_ns": sums["compute"] + sums["exposed"] + sums["free"]}
        if window is None:
            work = [e for e in self.work if e.device == lanes[0].device]
            row |= count_work(work) | {"memcpy_ns": length(union((e.start, e.start + e.dur) for e in work if e.category == "memcpy"))}
        return row

    def top(self):
        """{kind: {name: [count, total, self or None, min, max]}}"""
        kinds = {"kernel": self.work}
        for kind, category in (("op", "cpu_op"), ("runtime", "runtime"), ("python", "python"), ("api", "api"), ("marker", "marker"), ("other", "other")):
            kinds[kind] = [e for e in self.spans if e.category == category]
        return {kind: rank_names(spans, kind != "kernel") for kind, spans in kinds.items()}


def rank_names(spans, on_host):
    own = {}
    if on_host:
        for thread in group(spans, lambda e: e.thread).values():
            times = self_times([(e.start, e.start + e.dur, e.number) for e in thread])
            for e, time in zip(thread, times):
                own[e.name] = own.get(e.name, 0) + time
    return {name: [len(es), sum(e.dur for e in es), own.get(name), min(e.dur for e in es), max(e.dur for e in es)]
            for name, es in group(spans, lambda e: e.name).items()}


def spans_of(work):
    """(start, end, category) of device work. Operations of a TPU nest on one row: each counts where it is innermost."""
    out = []
    for (_, nested), events in group(work, lambda e: (e.thread, e.role.startswith("/device:TPU"))).items():
        spans = [(e.start, e.start + e.dur, e.number) for e in events]
        stretches = innermost(spans) if nested else [[s[:2]] for s in spans]
        out += [(start, end, e.category) for e, s in zip(events, stretches) for start, end in s]
    return out


def group(items, key):
    out = defaultdict(list)
    for item in items:
        out[key(item)].append(item)
    return out


def sum_document(events, rows):
    """Everything, as one JSON object."""
    trace = Trace(events, rows)
    begin, end = trace.extent()
    host = trace.host_time()
    steps = [{"step": trace.steps[i][0], "device": device, "start_ns": trace.steps[i][1], "dur_ns": trace.steps[i][2] - trace.steps[i][1],
              "host_op_ns": sum(length(clip(h, *trace.steps[i][1:])) for h in host)} | row
             for (i, device), row in trace.step_rows().items()]
    return {
        "events": len(events), "categories": dict(Counter(e.category for e in events)),
        "span_ns": end - begin, "host_op_ns": sum(length(h) for h in host), "step_numbers": sorted({s[0] for s in trace.steps}),
        "begin_without_end": trace.unclosed, "end_without_begin": trace.unopened,
        "totals": [{"device": device} | row for device, row in trace.totals().items()],
        "steps": steps, "top": trace.top(),
    }
