"""Datagrams between training processes and the daemon, as bytes: no I/O.

A datagram is a header of 40 bytes (size of the payload as u64, then the type in 32 bytes that end in NUL) and its
payload; numbers are in native byte order and C layout. The formats are those of libkineto (pytorch/kineto 114171d,
`libkineto/src/IpcFabricConfigClient.cpp`) and of msMonitor's plugin (b942bf5, `plugin/ipc_monitor/NpuIpcClient.h`).
"""

from __future__ import annotations

import enum
import struct
from typing import Sequence, Tuple, Union

HEADER = struct.Struct("=Q32s")
#: The longest payload of a metric that profd takes. Existing daemons stop at 4096.
MAX_PAYLOAD = 64 * 1024
#: The most pids of one poll that profd takes.
MAX_PIDS = 256
#: The config type of the activity profiler.
ACTIVITIES = 2

_REGISTER = struct.Struct("=iiq")
_POLL = struct.Struct("=iiq")
_STATUS = struct.Struct("=iiiii4xq")


class State(enum.IntEnum):
    """What a profiling function of a process does."""

    UNINITIALIZED = -1
    IDLE = 0
    RUNNING = 1
    #: It has a config, and waits for its first step.
    READY = 2


class Function(enum.Enum):
    """A profiling function; its value is the type of the message that reports its state."""

    TRACE = "npuTraceStatus"
    MONITOR = "npuMonitorStatus"


class WireError(ValueError):
    """A datagram that is not one of the daemon's."""


def encode(kind: str, payload: bytes) -> bytes:
    """Puts the header before a payload."""
    return HEADER.pack(len(payload), kind.encode("ascii")) + payload


def encode_register(device: int, pid: int, job_id: int) -> bytes:
    return encode("ctxt", _REGISTER.pack(device, pid, job_id))


def encode_poll(job_id: int, pids: Sequence[int], config_type: int = ACTIVITIES) -> bytes:
    """`pids`: the process itself, then its ancestors."""
    if not 0 < len(pids) <= MAX_PIDS:
        raise ValueError(f"pids: {len(pids)}, where 1 to {MAX_PIDS} are allowed")
    numbers = struct.pack(f"={len(pids)}i", *pids)
    return encode("req", _POLL.pack(config_type, len(pids), job_id) + numbers)


def encode_status(
    function: Function, state: State, current_step: int, start_step: int, stop_step: int, pid: int, job_id: int
) -> bytes:
    for step in (current_step, start_step, stop_step):
        if not -(1 << 31) <= step < 1 << 31:
            raise ValueError(f"step: {step} is not a number of 32 bits")
    payload = _STATUS.pack(int(state), current_step, start_step, stop_step, pid, job_id)
    return encode(function.value, payload)


def encode_metric(text: bytes) -> bytes:
    if len(text) > MAX_PAYLOAD:
        raise ValueError(f"metric: {len(text)} bytes, where {MAX_PAYLOAD} are allowed")
    return encode("data", text)


#: A reply: how many processes are registered on that job and device, or the text of a config (empty: none).
Reply = Union[Tuple[int], str]


def decode_reply(datagram: bytes) -> Reply:
    """Reads a reply of the daemon.

    Raises `WireError` on anything else, such as a size that is not that of the datagram.
    """
    if len(datagram) < HEADER.size:
        raise WireError(f"datagram of {len(datagram)} bytes is shorter than its header")
    size, name = HEADER.unpack_from(datagram)
    payload = datagram[HEADER.size :]
    if size != len(payload):
        raise WireError(f"datagram announces {size} bytes and carries {len(payload)}")
    kind, nul, _ = name.partition(b"\0")
    if not nul:
        raise WireError("type does not end in NUL")
    if kind == b"ctxt":
        if len(payload) != 4:
            raise WireError(f"reply to a registration has {len(payload)} bytes instead of 4")
        return (int(struct.unpack("=i", payload)[0]),)
    if kind == b"req":
        return payload.decode("utf-8", "replace")
    raise WireError("type is unknown")
