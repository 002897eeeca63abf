"""Measures traceq on databases of profilers beside SQLite itself, which goes through the same tables. See `databases.sh`.

The databases are made here: tables and columns are those of the profilers (NVIDIA Nsight Systems Analysis Guide, "SQLite
Schema Reference"; Ascend/msprof `docs/en/user_guide/profile_data_file_references_db.md`; ROCm/rocm-systems
`projects/rocprofiler-sdk/source/share/rocprofiler-sdk-rocpd/*.sql`), their rows those of a training job: an operator, its
launch and its kernel, again and again, and a collective now and then.
"""

import json
import os
import random
import sqlite3
import sys

MB = 1_000_000
START = 1_722_470_400_000_000_000
OPERATORS = ["aten::linear", "aten::add_", "aten::_softmax", "aten::native_layer_norm", "aten::mul", "autograd::engine::evaluate_function: AddmmBackward0"]
KERNELS = [
    "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64",
    "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16> >(int)",
    "void (anonymous namespace)::softmax_warp_forward<float, float, float, 10, false, false>(float*, int)",
    "triton_red_fused_native_layer_norm_backward_7",
    "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
]
PID, TID = 4100, 4100


class Tables:
    """A database that is being filled: rows by table, written in the order in which the tables are named."""

    def __init__(self, path, schema):
        self.connection = sqlite3.connect(path)
        self.connection.execute("PRAGMA journal_mode = OFF")
        self.connection.execute("PRAGMA synchronous = OFF")
        self.inserts, self.rows = {}, {}
        for table, columns in schema.items():
            names = [column.split()[0] for column in columns.split(", ")]
            self.connection.execute(f'CREATE TABLE "{table}" ({columns})')
            self.inserts[table] = f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(names))})'
            self.rows[table] = []

    def add(self, table, *row):
        self.rows[table].append(row)

    def names(self, table, names, first=0):
        """Adds names, each with its number, and returns the numbers."""
        numbers = {name: first + number for number, name in enumerate(names)}
        self.rows[table] += [(number, name) for name, number in numbers.items()]
        return numbers

    def fill(self, size, step):
        """Calls `step` with 0, 1, 2 and so on, until the rows are about `size` bytes."""
        number = 0
        while True:
            for _ in range(2_000):
                step(number)
                number += 1
            for table, rows in self.rows.items():
                self.connection.executemany(self.inserts[table], rows)
                rows.clear()
            pages, page = (self.connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "page_size"))
            if pages * page >= size:
                break
        self.connection.commit()
        # Each table in one piece, as an exporter writes it.
        self.connection.execute("VACUUM")
        self.connection.close()


def times(rng, number):
    """Start and end of an operator, of its launch and of its kernel, in nanoseconds."""
    at = START + number * 60_000
    launch, kernel = at + 8_000, at + 20_000 + rng.randrange(20_000)
    return (at, at + 40_000), (launch, launch + 3_500), (kernel, kernel + 1_000 + rng.randrange(50_000))


def make_nsight(path, size):
    """An export of Nsight Systems: calls, NVTX ranges with their text, kernels, copies, waits."""
    device = "start INTEGER, end INTEGER, deviceId INTEGER, contextId INTEGER, greenContextId INTEGER, streamId INTEGER, correlationId INTEGER, globalPid INTEGER"
    kernel = (
        "demangledName INTEGER, shortName INTEGER, mangledName INTEGER, launchType INTEGER, cacheConfig INTEGER, registersPerThread INTEGER, gridX INTEGER, "
        "gridY INTEGER, gridZ INTEGER, blockX INTEGER, blockY INTEGER, blockZ INTEGER, staticSharedMemory INTEGER, dynamicSharedMemory INTEGER, "
        "localMemoryPerThread INTEGER, localMemoryTotal INTEGER, gridId INTEGER, sharedMemoryExecuted INTEGER, graphNodeId INTEGER, sharedMemoryLimitConfig INTEGER"
    )
    tables = Tables(path, {
        "StringIds": "id INTEGER PRIMARY KEY, value TEXT",
        "META_DATA_EXPORT": "name TEXT, value TEXT",
        "TARGET_INFO_SESSION_START_TIME": "utcEpochNs INTEGER, utcTime TEXT, localTime TEXT",
        "TARGET_INFO_GPU": "vmId INTEGER, id INTEGER, name TEXT, smCount INTEGER",
        "PROCESSES": "globalPid INTEGER, pid INTEGER, name TEXT",
        "ThreadNames": "nameId INTEGER, priority INTEGER, globalTid INTEGER",
        "CUPTI_ACTIVITY_KIND_RUNTIME": "start INTEGER, end INTEGER, eventClass INTEGER, globalTid INTEGER, correlationId INTEGER, nameId INTEGER, returnValue INTEGER, callchainId INTEGER",
        "NVTX_EVENTS": "start INTEGER, end INTEGER, eventType INTEGER, rangeId INTEGER, category INTEGER, color INTEGER, text TEXT, globalTid INTEGER, endGlobalTid INTEGER, textId INTEGER, domainId INTEGER, uint64Value INTEGER, int64Value INTEGER, doubleValue REAL, uint32Value INTEGER, int32Value INTEGER, floatValue REAL, jsonTextId INTEGER, jsonText TEXT",
        "CUPTI_ACTIVITY_KIND_KERNEL": f"{device}, {kernel}",
        "CUPTI_ACTIVITY_KIND_MEMCPY": f"{device}, bytes INTEGER, copyKind INTEGER, srcKind INTEGER, dstKind INTEGER, graphNodeId INTEGER",
        "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION": f"{device}, syncType INTEGER, eventId INTEGER",
    })
    rng = random.Random(1)
    thread, process = PID << 24 | TID, PID << 24
    ids = tables.names("StringIds", ["cudaLaunchKernel_v7000", "cudaMemcpyAsync_v3020", "cudaStreamSynchronize_v3020", "python", *KERNELS])
    tables.add("META_DATA_EXPORT", "EXPORT_SCHEMA_VERSION", "3.28.1")
    tables.add("TARGET_INFO_SESSION_START_TIME", START, "", "")
    tables.add("TARGET_INFO_GPU", 0, 0, "Example", 132)
    tables.add("PROCESSES", process, PID, "python")
    tables.add("ThreadNames", ids["python"], 0, thread)

    def step(number):
        host, launch, device = (tuple(moment - START for moment in span) for span in times(rng, number))
        text = f"{OPERATORS[number % 6]}, seq = {number}, sizes = [[8, 2048, {number % 4096}], []]"
        tables.add("NVTX_EVENTS", *host, 59, None, None, None, text, thread, thread, None, 0, *[None] * 8)
        if number % 200 == 0:
            tables.add("NVTX_EVENTS", host[0], host[0] + 12_000_000, 59, None, None, None, f"iteration {number // 200}", thread, thread, None, 0, *[None] * 8)
        call = ("cudaLaunchKernel_v7000", "cudaMemcpyAsync_v3020", "cudaStreamSynchronize_v3020")[0 if number % 10 < 8 else number % 10 - 7]
        tables.add("CUPTI_ACTIVITY_KIND_RUNTIME", *launch, 0, thread, number + 1, ids[call], 0, None)
        own = (*device, 0, 1, None, 7, number + 1, process)
        if number % 10 < 8:
            name = ids[KERNELS[number % 5]]
            tables.add("CUPTI_ACTIVITY_KIND_KERNEL", *own, name, name, None, 1, 0, 32, 256, 1, 1, 128, 1, 1, 0, 4096, 0, 0, number, 8192, None, 0)
        elif number % 10 == 8:
            tables.add("CUPTI_ACTIVITY_KIND_MEMCPY", *own, 1 << 20, 1, 1, 2, None)
        else:
            tables.add("CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", *own, 3, None)

    tables.fill(size, step)


def make_ascend(path, size):
    """A database of the Ascend PyTorch Profiler: operators, the task queue, calls of CANN, tasks with their details, collectives with their parts."""
    tables = Tables(path, {
        "STRING_IDS": "id INTEGER PRIMARY KEY, value TEXT",
        "META_DATA": "name TEXT, value TEXT",
        "NPU_INFO": "id INTEGER, name TEXT",
        "HOST_INFO": "hostUid TEXT, hostName TEXT",
        "RANK_DEVICE_MAP": "rankId INTEGER, deviceId INTEGER",
        "PYTORCH_API": "startNs TEXT, endNs TEXT, globalTid INTEGER, connectionId INTEGER, name INTEGER, sequenceNumber INTEGER, fwdThreadId INTEGER, inputDtypes INTEGER, inputShapes INTEGER, callchainId INTEGER, type INTEGER",
        "CONNECTION_IDS": "id INTEGER, connectionId INTEGER",
        "CANN_API": "startNs INTEGER, endNs INTEGER, type INTEGER, globalTid INTEGER, connectionId INTEGER, name INTEGER",
        "TASK": "startNs INTEGER, endNs INTEGER, deviceId INTEGER, connectionId INTEGER, globalTaskId INTEGER, globalPid INTEGER, taskType INTEGER, contextId INTEGER, streamId INTEGER, taskId INTEGER, modelId INTEGER",
        "COMPUTE_TASK_INFO": "name INTEGER, globalTaskId INTEGER PRIMARY KEY, blockNum INTEGER, mixBlockNum INTEGER, taskType INTEGER, opType INTEGER, inputFormats INTEGER, inputDataTypes INTEGER, inputShapes INTEGER, outputFormats INTEGER, outputDataTypes INTEGER, outputShapes INTEGER, attrInfo INTEGER",
        "COMMUNICATION_OP": "opName INTEGER, startNs INTEGER, endNs INTEGER, connectionId INTEGER, groupName INTEGER, opId INTEGER PRIMARY KEY, relay INTEGER, retry INTEGER, dataType INTEGER, algType INTEGER, count NUMERIC, opType INTEGER, deviceId INTEGER",
        "COMMUNICATION_TASK_INFO": "name INTEGER, globalTaskId INTEGER, taskType INTEGER, planeId INTEGER, groupName INTEGER, notifyId INTEGER, rdmaType INTEGER, srcRank INTEGER, dstRank INTEGER, transportType INTEGER, size INTEGER, dataType INTEGER, linkType INTEGER, opId INTEGER",
    })
    rng = random.Random(2)
    none, thread, queue = 2**32 - 1, PID << 32 | TID, PID << 32 | (TID + 1)
    parts, plain = ["Notify_Wait", "Memcpy"], ["N/A", "AI_CORE", "EVENT_RECORD", "MatMulV2", "ND", "BFLOAT16", "8,2048,4096", "launch", "KernelLaunchWithHandleV2", "group0", "hcom_allReduce_"]
    ids = tables.names("STRING_IDS", [*plain, *parts])
    own = tables.names("STRING_IDS", [*OPERATORS, "Enqueue", "Dequeue@aclnnMatmul", "ProfilerStep#1"], 1 << 28)
    tables.add("META_DATA", "SCHEMA_VERSION", "1.2.0")
    tables.add("NPU_INFO", 0, "Example")
    tables.add("HOST_INFO", "1", "node1")
    tables.add("RANK_DEVICE_MAP", 0, 0)

    def api(span, thread, kind, name, connection=None, sequence=None):
        shapes, types = (ids["8,2048,4096"], ids["BFLOAT16"]) if kind == 50001 else (None, None)
        tables.add("PYTORCH_API", str(span[0]), str(span[1]), thread, connection, name, sequence, None, types, shapes, None, kind)

    def task(span, number, part, connection, kind):
        tables.add("TASK", *span, 0, connection, number * 16 + part, PID, ids[kind], none, 7, number % 65536, none)

    def step(number):
        host, launch, device = times(rng, number)
        connection = number + 1
        api(host, thread, 50001, own[OPERATORS[number % 6]], connection, number)
        api((launch[0], launch[0] + 900), thread, 50002, own["Enqueue"], connection)
        api((launch[0] + 1_000, launch[1]), queue, 50002, own["Dequeue@aclnnMatmul"], connection)
        tables.add("CONNECTION_IDS", connection, connection)
        tables.add("CANN_API", launch[0] + 1_000, launch[1], 10000, queue, connection, ids["launch"])
        tables.add("CANN_API", launch[0] + 1_500, launch[1] - 300, 5000, queue, none, ids["KernelLaunchWithHandleV2"])
        if number % 200 == 0:
            tables.add("PYTORCH_API", str(host[0]), str(host[0] + 12_000_000), thread, None, own["ProfilerStep#1"], None, None, None, None, None, 50001)
        if number % 20:
            task(device, number, 0, connection, "AI_CORE")
            tables.add("COMPUTE_TASK_INFO", ids["MatMulV2"], number * 16, 24, 0, ids["AI_CORE"], ids["MatMulV2"], *[ids[name] for name in ("ND", "BFLOAT16", "8,2048,4096") * 2], ids["N/A"])
            return
        tables.add("COMMUNICATION_OP", ids["hcom_allReduce_"], *device, connection, ids["group0"], number, 0, 0, 11, ids["N/A"], 4096, ids["hcom_allReduce_"], 0)
        for part in range(8):
            kind = parts[part % 2]
            task((device[0] + part * 100, device[0] + part * 100 + 90), number, part, connection, "EVENT_RECORD")
            tables.add("COMMUNICATION_TASK_INFO", ids[kind], number * 16 + part, ids[kind], 0, ids["group0"], 2**63 - 1, 65535, 0, 1, 0, 65536, 11, 1, number)

    tables.fill(size, step)


def make_rocpd(path, size):
    """A database of rocprofv3: calls, kernels, copies, and the events that tie them together."""
    suffix = "_00000058_b7d4_7f3c_8a51_6a3c9e2f1d70"
    event = "id INTEGER PRIMARY KEY, guid TEXT, nid INTEGER, pid INTEGER, tid INTEGER"
    schema = {
        "metadata": "id INTEGER PRIMARY KEY, tag TEXT, value TEXT",
        "string": "id INTEGER PRIMARY KEY, guid TEXT, string TEXT",
        "info_node": "id INTEGER PRIMARY KEY, guid TEXT, hostname TEXT",
        "info_process": "id INTEGER PRIMARY KEY, guid TEXT, nid INTEGER, pid INTEGER, command TEXT",
        "info_thread": "id INTEGER PRIMARY KEY, guid TEXT, nid INTEGER, pid INTEGER, tid INTEGER, name TEXT",
        "info_agent": "id INTEGER PRIMARY KEY, guid TEXT, type TEXT, absolute_index INTEGER, logical_index INTEGER, type_index INTEGER, name TEXT, product_name TEXT",
        "info_kernel_symbol": "id INTEGER PRIMARY KEY, guid TEXT, kernel_name TEXT, display_name TEXT",
        "event": "id INTEGER PRIMARY KEY, guid TEXT, category_id INTEGER, stack_id INTEGER, parent_stack_id INTEGER, correlation_id INTEGER, call_stack TEXT, line_info TEXT",
        "region": f"{event}, start INTEGER, end INTEGER, name_id INTEGER, event_id INTEGER",
        "kernel_dispatch": f"{event}, agent_id INTEGER, kernel_id INTEGER, dispatch_id INTEGER, queue_id INTEGER, stream_id INTEGER, start INTEGER, end INTEGER, private_segment_size INTEGER, group_segment_size INTEGER, workgroup_size_x INTEGER, workgroup_size_y INTEGER, workgroup_size_z INTEGER, grid_size_x INTEGER, grid_size_y INTEGER, grid_size_z INTEGER, region_name_id INTEGER, event_id INTEGER",
        "memory_copy": f"{event}, start INTEGER, end INTEGER, name_id INTEGER, dst_agent_id INTEGER, dst_address INTEGER, src_agent_id INTEGER, src_address INTEGER, size INTEGER, queue_id INTEGER, stream_id INTEGER, event_id INTEGER",
    }
    tables = Tables(path, {f"rocpd_{name}{suffix}": columns for name, columns in schema.items()})
    guid = suffix[1:].replace("_", "-")
    rng = random.Random(3)

    def add(table, *row):
        tables.add(f"rocpd_{table}{suffix}", *row)

    names = {name: number for number, name in enumerate(["HIP_RUNTIME_API", "KERNEL_DISPATCH", "MEMORY_COPY", "hipLaunchKernel", "hipMemcpyAsync", "MEMORY_COPY_HOST_TO_DEVICE"], 1)}
    for name, number in names.items():
        add("string", number, guid, name)
    add("metadata", 1, "schema_version", "3")
    add("info_node", 1, guid, "node1")
    add("info_process", 1, guid, 1, PID, "python")
    add("info_thread", 1, guid, 1, 1, TID, "python")
    add("info_agent", 1, guid, "CPU", 0, 0, 0, "Example", "Example")
    add("info_agent", 2, guid, "GPU", 1, 1, 0, "gfx942", "Example")
    for number, name in enumerate(KERNELS, 1):
        add("info_kernel_symbol", number, guid, name, name)

    def step(number):
        _, launch, device = times(rng, number)
        call, work, copies = 2 * number + 1, 2 * number + 2, number % 10 == 9
        add("event", call, guid, names["HIP_RUNTIME_API"], number + 1, 0, number + 1, "{}", "{}")
        add("region", number + 1, guid, 1, 1, 1, *launch, names["hipMemcpyAsync" if copies else "hipLaunchKernel"], call)
        add("event", work, guid, names["MEMORY_COPY" if copies else "KERNEL_DISPATCH"], number + 1, 0, number + 1, "{}", "{}")
        if copies:
            add("memory_copy", number + 1, guid, 1, 1, 1, *device, names["MEMORY_COPY_HOST_TO_DEVICE"], 2, 0, 1, 0, 1 << 20, 1, 1, work)
        else:
            add("kernel_dispatch", number + 1, guid, 1, 1, 1, 2, 1 + number % 5, number, 1, 1, *device, 0, 4096, 256, 1, 1, 65536, 1, 1, names["hipLaunchKernel"], work)

    tables.fill(size, step)


def scan(path):
    """Every value of every row, in SQLite's own program: nothing is handed to Python but the result."""
    database = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
    for table in tables:
        columns = [row[1] for row in database.execute(f"pragma table_info('{table}')")]
        database.execute("select " + ", ".join(f"max(\"{column}\")" for column in columns) + f" from \"{table}\"").fetchall()


def processor_time(act):
    """Runs `act` in a process of its own. Returns its processor time in seconds."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        act()
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    if status != 0:
        sys.exit(f"bench-databases: status {status}")
    return used.ru_utime + used.ru_stime


def compare(name, path, commands, rounds=5):
    """Prints how fast each command is beside SQLite. They take turns, and the best run of each counts: others use the machine, too."""
    best = {}
    for _ in range(rounds):
        acts = {"sqlite": lambda: scan(path)}
        acts |= {what: lambda command=command: os.execv(command[0], [*command, path]) for what, command in commands.items()}
        for what, act in acts.items():
            best[what] = min(processor_time(act), best.get(what, float("inf")))
    for what in commands:
        line = {"type": "bench.database", "v": 1, "database": name, "what": what, "size_bytes": os.path.getsize(path), "cpu_s": round(best[what], 3)}
        line |= {"sqlite_cpu_s": round(best["sqlite"], 3), "times_the_speed_of_sqlite": round(best["sqlite"] / best[what], 2)}
        print(json.dumps(line), flush=True)


def main(bin, directory):
    size = int(float(os.environ.get("BENCH_MB", "100")) * MB)
    commands = {
        "traceq sum": [f"{bin}/traceq", "-q", "sum", "--format", "json"],
        "tracecv convert --to csv": [f"{bin}/tracecv", "-q", "convert", "--to", "csv", "-o", "/dev/null"],
    }
    converted = f"{directory}/converted.db"
    convert = [f"{bin}/tracecv", "-q", "convert", "--to", "ascend-db", "-o", converted, f"{directory}/trace.json"]
    processor_time(lambda: os.execv(convert[0], convert))
    compare("Ascend, by tracecv", converted, commands)
    for name, make in (("Ascend", make_ascend), ("Nsight Systems", make_nsight), ("rocpd", make_rocpd)):
        path = f"{directory}/{name}.db"
        make(path, size)
        compare(name, path, commands)
        os.remove(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
