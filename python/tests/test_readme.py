"""The examples of README.md run, each as it stands there."""

from __future__ import annotations

import builtins
import gzip
import json
import re
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest

from conftest import Daemon, write_trace

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS: List[str] = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), flags=re.M | re.S)


def block(word: str) -> str:
    """The one example that has a word."""
    (found,) = [text for text in BLOCKS if word in text]
    return found


def execute(text: str, **names: Any) -> None:
    exec(compile(text, str(README), "exec"), {"__name__": "example", "__builtins__": builtins, **names})


def test_each_example_is_run_here() -> None:
    assert sorted(BLOCKS) == sorted(block(word) for word in ("Agent(", ".install()", "traces.top(", "not_slower("))


def test_a_program_as_a_process(daemon: Daemon) -> None:
    printed: List[Any] = []

    def train() -> None:
        for _ in range(300):
            if not printed:
                daemon.ask("gputrace", "--duration-ms", "10", "--log-file", "/tmp/readme.json")
                time.sleep(0.1)

    execute(block("Agent("), train=train, print=lambda *words: printed.append(words))
    assert printed[0][0] == "/tmp/readme.json" and printed[0][1], printed


def test_programs_written_for_msmonitor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    execute(block(".install()"))
    assert hasattr(sys.modules["mindstudio_monitor"], "PyDynamicMonitorProxy")


def test_traces_as_data_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "traces").mkdir()
    for rank in range(2):
        path = write_trace(tmp_path / "traces" / f"rank{rank}.json", kernel_us=200 + rank)
        trace: Dict[str, Any] = json.loads(path.read_text())
        trace["distributedInfo"] = {"backend": "nccl", "rank": rank, "world_size": 2}
        path.write_text(json.dumps(trace))
    (tmp_path / "trace.json.gz").write_bytes(gzip.compress(path.read_bytes()))
    # Each line is an expression whose value the reader sees.
    results: List[Any] = []
    lines = block("traces.top(").splitlines()
    shown = [f"show({line.split('#')[0].strip()})" if line.startswith("traces.") else line for line in lines]
    execute("\n".join(shown), show=results.append)
    idle, top, _, durations = results
    assert list(idle.index) == [0, 1] and len(top) >= 1 and durations["sgemm_128x128"] > 0


def test_tests_that_fail_on_a_slower_trace(pytester: pytest.Pytester) -> None:
    record = "import shutil\n\ndef record_a_trace(directory):\n    return shutil.copy('new.json', directory)\n\n"
    pytester.makepyfile(record + block("not_slower("))
    write_trace(pytester.path / "new.json", kernel_us=200)
    pytester.runpytest("--profguard-update").assert_outcomes(passed=1)
    pytester.runpytest().assert_outcomes(passed=1)
    write_trace(pytester.path / "new.json", kernel_us=900)
    pytester.runpytest().assert_outcomes(failed=1)
