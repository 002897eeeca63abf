"""Runs the tools: finds them, reads their JSON lines, and makes exceptions of what they say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from typing import IO, Any, Dict, Iterator, Sequence

Record = Dict[str, Any]


class ToolError(RuntimeError):
    """A tool could not do what it was asked; its messages are the text."""


def find(tool: str) -> str:
    """The path of a tool, from the directory $PROFGUARD_BIN or else from PATH."""
    directory = os.environ.get("PROFGUARD_BIN")
    path = os.path.join(directory, tool) if directory else shutil.which(tool)
    if path is None or not os.access(path, os.X_OK):
        raise ToolError(f"{path or tool}: not found; install profguard, or set PROFGUARD_BIN to the directory of its tools")
    return path


def run(tool: str, arguments: Sequence[str]) -> Iterator[Record]:
    """The records that a tool writes, as they come.

    At the end, raises `ToolError` if the exit status was not 0 or 1 (1: it was done, and the answer is no).
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as messages:
        command = [find(tool), "--format", "json", *arguments]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages)
        assert process.stdout is not None
        try:
            with process.stdout as lines:
                for line in lines:
                    yield json.loads(line)
        finally:
            # Whoever reads no further closes the pipe, at which the tool ends.
            status = process.wait()
        if status not in (0, 1):
            raise ToolError(_text(messages) or f"{tool}: status {status}")


def _text(messages: IO[str]) -> str:
    messages.seek(0)
    return messages.read(64 * 1024).strip()
