"""The real daemon and tools, from the directory $PROFGUARD_BIN or PATH."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from profguard.tools import find

pytest_plugins = ["pytester"]


class Daemon:
    """A profd on a free port of loopback, with its sockets in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ipc = directory / "ipc"
        self.ipc.mkdir()
        self.start()

    def start(self) -> None:
        metrics = self.directory / "metrics"
        metrics.mkdir(mode=0o750, exist_ok=True)
        self.process = subprocess.Popen(
            [find("profd"), "--format", "json", "--certs-dir", "NO_CERTS", "--port", "0", "--enable-ipc-monitor"]
            + ["--ipc", f"dir={self.ipc}", "--output-root", "/", "--metric-log-dir", str(metrics)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        self.port = next(a.rsplit(":", 1)[1] for a in ready["addresses"] if a.startswith("127."))

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(20) == 0

    def ask(self, *arguments: str) -> List[Dict[str, Any]]:
        command = [find("profctl"), "--format", "json", "--certs-dir", "NO_CERTS", "--port", self.port, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def processes(self) -> List[Dict[str, Any]]:
        return [p for record in self.ask("status") for p in record.get("processes", [])]

    def metrics(self, count: int) -> List[Dict[str, Any]]:
        """The metrics that are recorded, once there are so many."""
        for _ in range(100):
            files = sorted((self.directory / "metrics").glob("*.jsonl"))
            rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
            if len(rows) >= count:
                return rows
            time.sleep(0.1)
        raise AssertionError(f"{len(rows)} of {count} metrics: {rows}")


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose sockets have names of at most 107 bytes, which those of `tmp_path` can exceed."""
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture
def daemon(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    running = Daemon(short_path)
    monkeypatch.setenv("KINETO_IPC_SOCKET_DIR", str(running.ipc))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    yield running
    running.stop()


def write_trace(path: Path, kernel_us: int, steps: int = 12) -> Path:
    """A Kineto trace of steps of 1000 us and one kernel each; its times are above 2^53 ns."""
    start = 10_000_000_000_000
    events: List[Dict[str, Any]] = []
    for step in range(steps):
        long = kernel_us + step % 2
        events += [
            {"ph": "X", "cat": "user_annotation", "name": f"ProfilerStep#{step}", "pid": 7, "tid": 7}
            | {"ts": start, "dur": 1000 + long},
            {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 7, "tid": 7, "ts": start + 10, "dur": 50},
            {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 7, "tid": 7}
            | {"ts": start + 20, "dur": 5, "args": {"correlation": step + 1}},
            {"ph": "X", "cat": "kernel", "name": "sgemm_128x128", "pid": 0, "tid": 7, "ts": start + 100, "dur": long}
            | {"args": {"correlation": step + 1, "device": 0, "stream": 7}},
        ]
        start += 1000 + long
    path.write_text(json.dumps({"schemaVersion": 1, "deviceProperties": [], "traceEvents": events}))
    return path


def is_root() -> bool:
    return os.geteuid() == 0
