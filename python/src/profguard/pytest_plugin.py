"""Fails a test whose trace became slower: the fixture `not_slower`.

    def test_training_step(not_slower, tmp_path):
        trace = record_a_trace(tmp_path)      # any format that traceq reads; a directory for several ranks
        not_slower(trace)                     # compared with the trace kept for this test
        not_slower(trace, base=other, fail_on=["step>5%", "idle>2ms"])

`pytest --profguard-update` keeps the traces of this run as those to compare with: one for each test, or, of a test that
compares several, one for each comparison in their order. `tracewhy diff` compares, and counts only what is beyond the noise
between steps.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Callable, Optional, Sequence, Union

import pytest

from .tools import ToolError, find, run

PathLike = Union[str, "os.PathLike[str]"]
NotSlower = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("profguard")
    group.addoption(
        "--profguard-update",
        action="store_true",
        help="keep the traces of this run as those that later runs are compared with",
    )
    parser.addini("profguard_baselines", "directory of the traces to compare with", default="baselines")
    parser.addini("profguard_fail_on", "conditions of tracewhy diff --fail-on", type="linelist", default=["step>5%"])


@pytest.fixture
def not_slower(request: pytest.FixtureRequest) -> NotSlower:
    """Compares a trace with an earlier one, and fails the test if it is slower."""
    config = request.config
    comparisons = 0

    def check(new: PathLike, base: Optional[PathLike] = None, fail_on: Optional[Sequence[str]] = None) -> None:
        conditions = config.getini("profguard_fail_on") if fail_on is None else list(fail_on)
        nonlocal comparisons
        if base is None:
            comparisons += 1
            kept = _kept_trace(config, request.node.nodeid, comparisons)
            if config.getoption("--profguard-update"):
                _keep(Path(new), kept)
                return
            if not kept.exists():
                pytest.fail(f"{kept}: no trace to compare with; pytest --profguard-update keeps this one", False)
            base = kept
        _compare(os.fspath(base), os.fspath(new), conditions)

    return check


def _kept_trace(config: pytest.Config, test: str, comparison: int) -> Path:
    """Where the trace of a comparison is kept. No two tests have one place, whatever their parameters are."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", test).strip("-")
    if not re.fullmatch(r"[A-Za-z0-9_./:]+", test) or len(name) > 150:
        name = f"{name[:150]}-{hashlib.sha256(test.encode(errors='surrogatepass')).hexdigest()[:12]}"
    if comparison > 1:
        name += f"-{comparison}"
    return Path(config.rootpath, config.getini("profguard_baselines"), name)


def _keep(new: Path, kept: Path) -> None:
    """A trace appears whole: it is copied beside its place and renamed."""
    beside = kept.with_name(kept.name + ".new")
    beside.parent.mkdir(parents=True, exist_ok=True)
    _delete(beside)
    try:
        if new.is_dir():
            shutil.copytree(new, beside)
        else:
            shutil.copyfile(new, beside)
    except OSError as e:
        reason = f"{new}: cannot be kept: {e}"
    else:
        # A file takes the place of a file in one rename.
        if new.is_dir() or kept.is_dir():
            _delete(kept)
        beside.replace(kept)
        return
    _delete(beside)
    pytest.fail(reason, False)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():
        path.unlink()


def _compare(base: str, new: str, conditions: Sequence[str]) -> None:
    arguments = ["diff", *(word for c in conditions for word in ("--fail-on", c)), "--", base, new]
    try:
        failed = [c for record in run("tracewhy", arguments) for c in record.get("failed", [])]
        if not failed:
            return
        report = subprocess.run(
            [find("tracewhy"), "--color", "never", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True
        ).stdout
        reason = f"{new} is slower than {base}: {', '.join(failed)}\n{report}"
    except ToolError as e:
        reason = str(e)
    pytest.fail(reason, False)
