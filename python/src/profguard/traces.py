"""Traces as DataFrames: traceq and tracecv do the work, pandas holds the result.

    from profguard import traces
    traces.steps("traces/").groupby("rank").idle_ns.mean()

Times are integers in nanoseconds. Without pandas, `records` has the same rows as dictionaries.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Optional, Sequence, Union

from .tools import Record, ToolError, run

if TYPE_CHECKING:
    import pandas

PathLike = Union[str, "os.PathLike[str]"]
__all__ = ["Record", "ToolError", "dataset", "events", "frame", "info", "read_dataset", "records", "steps", "top"]


def records(command: str, *paths: PathLike, options: Sequence[str] = ()) -> Iterator[Record]:
    """The records of `traceq COMMAND`, in constant memory: profguard-records(7) says what is in them."""
    return run("traceq", [command, *options, "--", *[os.fspath(path) for path in paths]])


def steps(*paths: PathLike, options: Sequence[str] = ()) -> "pandas.DataFrame":
    """One row per step and device, or host: where the time went (traceq-sum(1))."""
    return frame(records("sum", *paths, options=options), "traceq.step")


def top(*paths: PathLike, limit: int = 20, options: Sequence[str] = ()) -> "pandas.DataFrame":
    """The kernels, operators and others that take the most time, per file (traceq-top(1))."""
    return frame(records("top", *paths, options=["-n", str(limit), *options]), "traceq.top")


def info(*paths: PathLike) -> "pandas.DataFrame":
    """One row per file: format, rank, span, defects (traceq-info(1))."""
    return frame(records("info", *paths), "traceq.info")


def events(
    *paths: PathLike, categories: Iterable[str] = (), options: Sequence[str] = ()
) -> "pandas.DataFrame":
    """One row per event, of the given categories or all (traceq-cat(1)). For many ranks, see `dataset`."""
    chosen = [word for category in categories for word in ("--category", category)]
    return frame(records("cat", *paths, options=[*chosen, *options]), "traceq.event")


def dataset(directory: PathLike, *paths: PathLike, options: Sequence[str] = ()) -> None:
    """Writes a Parquet data set of any number of traces (tracecv-convert(1)), to be read by `read_dataset` or DuckDB.

    Raises `ToolError` also if one of the traces is broken: what can be read of it and all of the others is written then.
    """
    target = [*options, "--to", "parquet", "-o", os.fspath(directory)]
    for _ in run("tracecv", ["convert", *target, "--", *[os.fspath(path) for path in paths]]):
        pass


def read_dataset(
    directory: PathLike, table: str = "events", columns: Optional[Sequence[str]] = None
) -> "pandas.DataFrame":
    """One table of a data set, of all its runs and parts; `run` is its last column, or where `columns` has it.

    Needs pyarrow.
    """
    import pandas

    root = os.fspath(directory)
    parts = []
    wanted = None if columns is None else [column for column in columns if column != "run"]
    for run_directory in sorted(os.listdir(root)):
        path = os.path.join(root, run_directory, f"table={table}")
        if not run_directory.startswith("run=") or not os.path.isdir(path):
            continue
        for name in sorted(os.listdir(path)):
            if name.endswith(".parquet"):
                file = os.path.join(path, name)
                # A file, not its place in the tree: the directories' names are not columns twice.
                with open(file, "rb") as content:
                    part = pandas.read_parquet(
                        content, engine="pyarrow", columns=wanted, dtype_backend="numpy_nullable"
                    )
                parts.append(part.assign(run=run_directory[len("run=") :]))
    if not parts:
        raise ToolError(f"{root}: no table {table} in it")
    whole: pandas.DataFrame = pandas.concat(parts, ignore_index=True)
    whole["run"] = whole["run"].astype("string")
    return whole if columns is None or "run" not in columns else whole[list(columns)]


def frame(rows: Iterable[Record], kind: str) -> "pandas.DataFrame":
    """The records of one type as a DataFrame. Integers stay integers where some are missing, of any size."""
    import pandas

    columns: Dict[str, List[Any]] = {}
    count = 0
    for row in rows:
        if row.get("type") != kind:
            continue
        for key in row:
            if key not in columns and key not in ("type", "v"):
                columns[key] = [None] * count
        for key, values in columns.items():
            values.append(row.get(key))
        count += 1
    return pandas.DataFrame({key: _series(values) for key, values in columns.items()})


def _series(values: List[Any]) -> "pandas.Series[Any]":
    import pandas

    present = {type(value) for value in values if value is not None}
    dtypes: Dict[type, Any] = {int: "Int64", bool: "boolean", float: "Float64", str: "string"}
    dtype: Any = dtypes.get(next(iter(present)), "object") if len(present) == 1 else "object"
    if present == {int, float}:
        dtype = "Float64"
    if present == {int}:
        numbers = [value for value in values if value is not None]
        if min(numbers) < -(1 << 63) or max(numbers) >= 1 << 63:
            # Ids may need the 64th bit.
            dtype = "UInt64" if min(numbers) >= 0 and max(numbers) < 1 << 64 else "object"
    series: pandas.Series[Any] = pandas.Series(values, dtype=dtype)
    return series
