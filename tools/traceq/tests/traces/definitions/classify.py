"""What each event is: its category, the device that it ran on, its span, and what links it to others."""

import re
from collections import namedtuple

from collectives import is_collective, is_copy_kernel
from document import identity, integer, nanoseconds

# `thread` and `number` (Ev Idx, then the place in the file) order host events; `role` is the process's, of Ascend and JAX.
Event = namedtuple("Event", "phase category name thread number start dur device correlation external cat role args id key")

DEVICE_WORK = ("kernel", "collective", "memcpy", "memset")

KINETO = {
    "cpu_op": "cpu_op", "Operator": "cpu_op", "user_annotation": "marker", "User Annotation": "marker",
    "gpu_user_annotation": "marker", "Trace": "marker", "cuda_profiler_range": "marker",
    "python_function": "python", "PythonFunction": "python",
    "gpu_memcpy": "memcpy", "Memcpy": "memcpy", "gpu_memset": "memset", "Memset": "memset",
    "kernel": "kernel", "Kernel": "kernel", "mtia_ccp_events": "kernel", "collective_comm": "collective",
    "cpu_instant_event": "memory", "hpu_op": "runtime", "Runtime": "runtime",
}
KINETO.update({f"{who}_{what}": "runtime" for who in ("cuda", "mtia", "glow", "xpu", "privateuse1") for what in ("runtime", "driver")})

COMPUTE_TASKS = ("KERNEL_", "AI_", "AIV", "MIX_", "FFTS_PLUS", "DSA_SQE", "DVPP")


class Rows:
    """What the metadata events say of processes and threads."""

    def __init__(self, events):
        self.process, self.labels, self.threads = {}, {}, {}
        for event in events:
            if event.get("ph") != "M" or not isinstance(event.get("args"), dict):
                continue
            name, pid, args = event.get("name"), event.get("pid"), event["args"]
            if name == "process_name":
                self.process[str(pid)] = str(args.get("name"))
            elif name == "process_labels":
                self.labels[str(pid)] = str(args.get("labels"))
            elif name == "thread_name":
                self.threads[str(pid), str(event.get("tid"))] = str(args.get("name"))
        self.ascend = any(name in ("Ascend Hardware", "Overlap Analysis", "CANN", "HCCL") for name in self.process.values())
        self.jax = any(re.search(r"/(device|host):", name) for name in self.process.values())


def classify_events(events):
    """All events of a trace, in the order of the file."""
    rows = Rows(events)
    return [classify(rows, event, i) for i, event in enumerate(events) if "ph" in event], rows


def classify(rows, event, place):
    args = event.get("args") if isinstance(event.get("args"), dict) else {}
    name, cat, phase = str(event.get("name", "")), str(event.get("cat", "")), event["ph"]
    category, device = category_and_device(rows, event, name, cat, args)
    thread = (identity(event.get("pid")), identity(event.get("tid")))
    external = args.get("External id", args.get("external id"))
    start, dur = nanoseconds(event.get("ts")), duration(event.get("dur"))
    correlation = integer(args.get("correlation"))
    role = rows.process.get(str(event.get("pid")), "")
    number = (integer(args.get("Ev Idx")) if "Ev Idx" in args else -1, place)
    return Event(phase, category, name, thread, number, start, dur, device, correlation, external is not None, cat, role, args, identity(event.get("id")), async_key(event))


def async_key(event):
    """What pairs the begin and the end of an async span: category, scope and id. `id2.local` holds in its process."""
    id2 = event.get("id2") if isinstance(event.get("id2"), dict) else {}
    if "local" in id2:
        return "async", str(event.get("cat")), str(event.get("scope", "")), identity(event.get("pid")), identity(id2["local"])
    return "async", str(event.get("cat")), str(event.get("scope", "")), "", identity(event.get("id", id2.get("global")))


def duration(value):
    """Nothing lasts less than no time (libkineto clamps) or more than seven days (HTA: a broken clock)."""
    ns = nanoseconds(value)
    return None if ns is None or ns > 7 * 86_400_000_000_000 else max(ns, 0)


def category_and_device(rows, event, name, cat, args):
    by_phase = {"C": "counter", "s": "flow", "t": "flow", "f": "flow", "M": "other"}.get(event["ph"])
    if by_phase:
        return by_phase, None
    if rows.jax and not cat:
        return jax_row(rows, event, name)
    if rows.ascend and not cat:
        return ascend_row(rows, event, name, args)
    if not cat and event["ph"] in "iI" and not rows.jax:
        # libkineto's instants: allocations, and the points at which it began and ended ("Record Window End").
        return "memory" if name == "[memory]" else "marker", None
    if cat not in KINETO and event["ph"] in "iIRn":
        return "marker", None
    category = KINETO.get(cat, {"enqueue": "api", "dequeue": "api", "GC": "python"}.get(cat, "other"))
    if category in ("cpu_op", "marker") and name.startswith("ProfilerStep#") and cat != "gpu_user_annotation":
        return "step", None
    if category == "kernel":
        category = kernel_category(cat, name)
    if category not in DEVICE_WORK:
        return category, None
    device = integer(args.get("device"))
    return category, device if device is not None else integer(event.get("pid"))


def kernel_category(cat, name):
    if cat == "mtia_ccp_events" and name.startswith("event_wait"):
        return "other"
    if is_collective(name):
        return "collective"
    return "memcpy" if is_copy_kernel(name) or (cat == "mtia_ccp_events" and name.startswith("dma")) else "kernel"


def ascend_row(rows, event, name, args):
    """Ascend's device rows have no `cat`: the process tells."""
    role, label = (where.get(str(event.get("pid")), "") for where in (rows.process, rows.labels))
    device = integer(label.removeprefix("NPU").strip()) if label.startswith("NPU") else None
    if role == "Ascend Hardware":
        task = str(args.get("Task Type", ""))
        # SDMA rows are the parts of a collective; a copy that the program asked for is a MEMCPY_ASYNC.
        if task == "MEMCPY_ASYNC" or name == "MEMCPY_ASYNC":
            return "memcpy", device
        return ("kernel", device) if task.startswith(COMPUTE_TASKS) else ("other", None)
    if role in ("Communication", "HCCL") and name.lower().startswith("hcom_"):
        return "collective", device
    return {"Overlap Analysis": ("marker", device), "CANN": ("api", None)}.get(role, ("other", None))


def jax_row(rows, event, name):
    """JAX and TensorFlow: streams of GPUs and `XLA Ops` of TPUs are measured, all other device rows derived."""
    process = rows.process.get(str(event.get("pid")), "")
    thread = rows.threads.get((str(event.get("pid")), str(event.get("tid"))), "")
    found = re.search(r"/device:(GPU|TPU):(\d+)$", process)
    if not found:
        return "python" if name.startswith("$") else "other", None
    device = int(found[2])
    if thread == "Steps":
        return "step", None
    if found[1] == "TPU":
        kinds = r"(all-reduce|all-gather|reduce-scatter|all-to-all|ragged-all-to-all|collective-permute|collective-broadcast|send|recv)(-start|-done)?(\.\d+)?$"
        return ("collective" if re.match(kinds, name.removeprefix("%")) else "kernel", device) if thread == "XLA Ops" else ("marker", None)
    if not thread.startswith("Stream #"):
        return "marker", None
    if re.match(r"Memcpy|Copy(Device|Host)To", name) or is_copy_kernel(name):
        return "memcpy", device
    if name.startswith("Memset"):
        return "memset", device
    return ("other", None) if re.match(r"Memory(Alloc|Free)", name) else ("collective" if is_collective(name) else "kernel", device)
