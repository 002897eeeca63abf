from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import write_trace
from profguard import traces

pandas = pytest.importorskip("pandas")


def test_steps_kernels_and_events(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "a.json", kernel_us=200)
    steps = traces.steps(trace)
    assert len(steps) == 12 and steps.compute_ns.sum() == 12 * 200_000 + 6 * 1_000
    # Exact above 2^53, and an integer also where other rows have none.
    assert str(steps.start_ns.dtype) == "Int64" and steps.start_ns.max() > 2**53
    kernels = traces.top(trace, options=["--by", "kernel"])
    assert list(kernels.name) == ["sgemm_128x128"] and kernels["count"][0] == 12
    events = traces.events(trace, categories=["kernel", "cpu_op"])
    assert events.groupby("category").size().to_dict() == {"kernel": 12, "cpu_op": 12}
    assert str(events.correlation.dtype) == "Int64" and events.correlation.isna().any()
    assert list(traces.info(trace).format) == ["kineto"]


def test_a_data_set_has_what_the_trace_has(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    trace = write_trace(tmp_path / "a.json", kernel_us=200)
    traces.dataset(tmp_path / "ds", trace, options=["--run", "one"])
    kernels = traces.read_dataset(tmp_path / "ds", "kernels", columns=["name", "dur_ns"])
    assert kernels.dur_ns.sum() == 12 * 200_000 + 6 * 1_000
    assert set(kernels.run) == {"one"} and list(kernels.columns) == ["name", "dur_ns", "run"]
    with pytest.raises(traces.ToolError, match="no table other"):
        traces.read_dataset(tmp_path / "ds", "other")


def test_what_cannot_be_read_is_an_exception_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(traces.ToolError, match="No such file"):
        traces.steps(tmp_path / "none.json")
    with pytest.raises(traces.ToolError, match="not found"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PROFGUARD_BIN", str(tmp_path))
            traces.steps("a.json")


def test_a_path_that_looks_like_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_trace(tmp_path / "--help", kernel_us=1)
    assert len(traces.steps("--help")) == 12


def test_a_reader_that_stops_early(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "a.json", kernel_us=1, steps=20_000)
    rows = traces.records("cat", trace)
    assert next(rows)["type"] == "traceq.event"
    rows.close()  # type: ignore[attr-defined]


def test_integers_beside_missing_ones() -> None:
    rows: list[dict[str, Any]] = [{"type": "t", "v": 1, "a": 2**60 + 1}, {"type": "other"}, {"type": "t", "v": 1, "b": True, "c": [1]}]
    frame = traces.frame(rows, "t")
    assert frame.a[0] == 2**60 + 1 and frame.a.isna()[1]
    assert list(frame.columns) == ["a", "b", "c"] and frame.c[1] == [1]


@pytest.mark.parametrize(
    ("numbers", "dtype"),
    [([2**63 - 1, None], "Int64"), ([2**64 - 1, None], "UInt64"), ([2**64 - 1, -1], "object"), ([2**64], "object")],
)
def test_integers_of_any_size(numbers: list[Any], dtype: str) -> None:
    frame = traces.frame([{"type": "t", "a": number} for number in numbers], "t")
    assert str(frame.a.dtype) == dtype and frame.a[0] == numbers[0]


def test_events_with_ids_of_64_bits(tmp_path: Path) -> None:
    big = 2**64 - 1
    (tmp_path / "a.json").write_text(
        '{"traceEvents": [{"ph": "X", "cat": "kernel", "name": "k", "ts": 1, "dur": 1, "pid": 1, "tid": %d, "id": %d}]}'
        % (big, big)
    )
    events = traces.events(tmp_path / "a.json")
    assert events.tid[0] == big and events.id[0] == big


def test_the_run_may_be_among_the_columns(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    trace = write_trace(tmp_path / "a.json", kernel_us=200)
    for run in ("one", "two"):
        traces.dataset(tmp_path / "ds", trace, options=["--run", run])
    kernels = traces.read_dataset(tmp_path / "ds", "kernels", columns=["run", "dur_ns"])
    assert list(kernels.columns) == ["run", "dur_ns"] and kernels.groupby("run").size().to_dict() == {"one": 12, "two": 12}
    assert len(traces.read_dataset(tmp_path / "ds", "kernels", columns=["run"])) == 24
