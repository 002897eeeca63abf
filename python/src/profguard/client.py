"""The socket of one process, and what it asks and tells the daemon."""

from __future__ import annotations

import errno
import json
import os
import pwd
import socket
import stat
import struct
import time
import uuid
import weakref
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Deque, Dict, Iterable, List, Mapping, Optional, Set, Tuple, Type, Union

from . import wire
from .wire import Function, State

#: A socket address: abstract names are bytes that begin with NUL, files are paths.
Address = Union[bytes, str]

_CREDENTIALS = struct.Struct("=iII")
_LONGEST_REPLY = wire.HEADER.size + wire.MAX_PAYLOAD


class DaemonUnreachable(OSError):
    """No daemon listens, or it does not reply."""


@dataclass(frozen=True)
class Config:
    """What the daemon hands to a process: lines of KEY=VALUE."""

    text: str

    @property
    def values(self) -> Mapping[str, str]:
        """The values by key; of a key that is there twice, the last one."""
        values: Dict[str, str] = {}
        # Lines end in a newline only, as the daemon and libkineto read them: what Python takes for a line break besides, such
        # as U+2028, is part of a value, and must not begin a key of its own.
        for line in self.text.split("\n"):
            key, equals, value = line.strip(" \t\r").partition("=")
            if equals and key:
                values[key] = value
        return values

    @property
    def trace_id(self) -> Optional[int]:
        """The number that ties a trace to its request (`trace_id` in a Kineto trace)."""
        text = self.values.get("REQUEST_TRACE_ID", "")
        return int(text) if _is_decimal(text) else None


class ProcessClient:
    """Registers this process with a daemon, fetches configs, and sends status and metrics.

    A config is handed out once. PyTorch with KINETO_USE_DAEMON=1 polls for itself; beside it, only report (`register`,
    `send_status`, `send_metric`), or take part under another job id, whose requests PyTorch does not see.

    Not for several threads at once.
    """

    def __init__(
        self,
        *,
        job_id: Optional[int] = None,
        device: int = 0,
        daemon_socket: Optional[str] = None,
        daemon_users: Iterable[Union[int, str]] = (),
    ) -> None:
        """Binds the socket of this process, if its directory is there; nothing is sent yet.

        `job_id`: by default that of Slurm, else 0. `daemon_socket`: "abstract", a socket file, or a directory that
        holds the socket `dynolog`; by default the directory $KINETO_IPC_SOCKET_DIR, else the abstract socket and
        the file `dynolog.sock` in the home directory. `daemon_users`: users besides oneself, root and `profd` whose
        daemon is trusted, by name or number.
        """
        self.job_id = _slurm_job_id() if job_id is None else job_id
        self.device = device
        for name, number, bits in (("job_id", self.job_id, 64), ("device", device, 32)):
            if not -(1 << bits - 1) <= number < 1 << bits - 1:
                raise ValueError(f"{name}: {number} is not a number of {bits} bits")
        self._pid = os.getpid()
        self._daemons, directory = _choose_sockets(daemon_socket)
        self._daemon = self._daemons[0]
        self._trusted = _trusted_uids(daemon_users)
        #: The pid of the daemon that replied last; another one is a daemon that knows nothing of this process yet.
        self.daemon_pid: Optional[int] = None
        self._late: Deque[Config] = deque()
        self._directory = directory
        self._file: Optional[str] = None
        self._remove: Optional["weakref.finalize[[str, int], ProcessClient]"] = None
        self._closed = False
        self._socket: Optional[socket.socket] = None
        try:
            self._socket = self._bind(directory)
        except FileNotFoundError:
            # The daemon makes the directory; it may come later.
            pass

    def _own_socket(self) -> socket.socket:
        """The socket of this process: a new one if its directory was not there before, or if its file has been removed."""
        if self._closed:
            raise DaemonUnreachable(errno.EBADF, "the client is closed")
        if self._socket is None or (self._file is not None and not os.path.lexists(self._file)):
            try:
                fresh = self._bind(self._directory)
            except OSError as e:
                raise DaemonUnreachable(e.errno, f"{self._directory}: {e.strerror}") from None
            if self._socket is not None:
                self._socket.close()
            self._socket = fresh
        return self._socket

    def _bind(self, directory: Optional[str]) -> socket.socket:
        name = f"dynoconfigclient{uuid.uuid4()}"
        own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            # The kernel's word on who sends. Set before there is a name to send to.
            own.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            if directory is None:
                own.bind(_abstract(name))
            else:
                path = os.path.join(directory, name)
                own.bind(path)
                self._file = path
                # Also of a program that ends without closing.
                self._remove = weakref.finalize(self, _remove_own, path, self._pid)
                _open_to_group(path)
        except OSError as e:
            own.close()
            raise OSError(e.errno, e.strerror or str(e), directory) from None
        return own

    def close(self) -> None:
        """Closes the socket and removes its file. The daemon forgets the process when it ends."""
        self._closed = True
        if self._socket is not None:
            self._socket.close()
        if self._remove is not None:
            self._remove()

    def __enter__(self) -> "ProcessClient":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], at: Optional[TracebackType]
    ) -> None:
        self.close()

    def register(self, timeout: float = 1.0) -> Optional[int]:
        """Makes this process known, and returns how many are on its job and device.

        None: the daemon has taken the registration and does not reply to it, as msMonitor's at its limit. Raises
        `DaemonUnreachable` if none listens.
        """
        message = wire.encode_register(self.device, self._pid, self.job_id)
        reasons = []
        for daemon in self._daemons:
            try:
                self._send(message, daemon[0])
            except DaemonUnreachable as e:
                reasons.append(str(e))
                continue
            self._daemon = daemon
            deadline = time.monotonic() + timeout
            while True:
                reply = self._receive(deadline)
                if not isinstance(reply, str):
                    return reply[0] if reply is not None else None
                self._keep_late(reply)
        raise DaemonUnreachable(errno.ECONNREFUSED, "; ".join(reasons))

    def poll(self, timeout: float = 1.0) -> Optional[Config]:
        """Asks for a config; None if there is none.

        Raises `DaemonUnreachable` if no daemon replies in time. A config that comes later is returned by the next call.
        """
        # Replies to earlier polls, which came too late.
        while (reply := self._receive(0)) is not None:
            if isinstance(reply, str):
                self._keep_late(reply)
        if self._late:
            return self._late.popleft()
        pids = [self._pid, *_ancestors(self._pid)]
        self._send(wire.encode_poll(self.job_id, pids[: wire.MAX_PIDS]), self._daemon[0])
        deadline = time.monotonic() + timeout
        while True:
            reply = self._receive(deadline)
            if reply is None:
                raise DaemonUnreachable(errno.ETIMEDOUT, f"{_show(self._daemon[0])}: no reply in {timeout:g} s")
            if isinstance(reply, str):
                return Config(reply) if reply else None
            # The reply to the registration.

    def send_status(
        self,
        function: Function,
        state: State,
        *,
        current_step: int = -1,
        start_step: int = -1,
        stop_step: int = -1,
    ) -> None:
        """Tells what a profiling function does. `profctl status` shows it, and requests depend on it."""
        steps = (current_step, start_step, stop_step)
        self._send(wire.encode_status(function, state, *steps, self._pid, self.job_id), self._daemon[0])

    def send_metric(
        self,
        kind: str,
        duration_ns: int,
        *,
        device: Optional[int] = None,
        timestamp_ns: Optional[int] = None,
        domain: Optional[str] = None,
        name: Optional[str] = None,
    ) -> None:
        """Sends the sum of durations of a kind, such as Kernel or Marker, over an interval that ends at the timestamp.

        `device`: by default that of this process; -1 is the host. `domain` and `name` belong to markers.
        """
        metric: Dict[str, Union[int, str]] = {
            "kind": kind,
            "deviceId": self.device if device is None else device,
            "duration": duration_ns,
            "timestamp": time.time_ns() if timestamp_ns is None else timestamp_ns,
        }
        metric.update({k: v for k, v in (("domain", domain), ("name", name)) if v is not None})
        self._send(wire.encode_metric(json.dumps(metric).encode()), self._daemon[1])

    def _keep_late(self, text: str) -> None:
        if text:
            self._late.append(Config(text))

    def _send(self, message: bytes, to: Address) -> None:
        # A daemon whose queue is full is alive: it takes some milliseconds.
        own = self._own_socket()
        for attempt in range(10):
            try:
                own.sendto(message, socket.MSG_DONTWAIT, to)
                return
            except OSError as e:
                if e.errno not in (errno.EAGAIN, errno.ENOBUFS) or attempt == 9:
                    raise DaemonUnreachable(e.errno, f"{_show(to)}: {os.strerror(e.errno or 0)}") from None
                time.sleep(0.01)

    def _receive(self, deadline: float) -> Optional[wire.Reply]:
        """The next reply of a trusted sender; None at the deadline. Others are dropped."""
        dropped = 0
        own = self._socket
        if own is None:
            return None
        while True:
            # Whoever floods the socket with what is dropped gains no time.
            left = max(0.0, deadline - time.monotonic())
            if left == 0 and dropped > 64:
                return None
            dropped += 1
            own.settimeout(left)
            try:
                datagram, ancillary, flags, _ = own.recvmsg(_LONGEST_REPLY, socket.CMSG_SPACE(12))
            except (socket.timeout, BlockingIOError):
                return None
            except ConnectionRefusedError:
                continue
            pid, uid = _sender(ancillary)
            if uid not in self._trusted or flags & socket.MSG_TRUNC:
                continue
            try:
                reply = wire.decode_reply(datagram)
            except wire.WireError:
                continue
            self.daemon_pid = pid
            return reply


def _sender(ancillary: List[Tuple[int, int, bytes]]) -> Tuple[int, int]:
    """The pid and the user of the sender, as the kernel says; -1 if it does not."""
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS and len(content) >= _CREDENTIALS.size:
            pid, uid, _ = _CREDENTIALS.unpack_from(content)
            return int(pid), int(uid)
    return -1, -1


def _trusted_uids(users: Iterable[Union[int, str]]) -> Set[int]:
    trusted = {0, os.geteuid()}
    for user in users:
        trusted.add(pwd.getpwnam(user).pw_uid if isinstance(user, str) else user)
    try:
        # The account of the packages; only root can make one of that name.
        trusted.add(pwd.getpwnam("profd").pw_uid)
    except KeyError:
        pass
    return trusted


def _remove_own(path: str, pid: int) -> None:
    """Removes the file of a socket; a fork leaves that of its parent alone."""
    if os.getpid() == pid:
        try:
            os.unlink(path)
        except OSError:
            pass


def _open_to_group(path: str) -> None:
    """A daemon with an account of its own replies by the group of the directory; the umask has no say."""
    # What the name leads to by now may be something else in a directory where others can write.
    file = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        entry = os.fstat(file)
        if stat.S_ISSOCK(entry.st_mode) and entry.st_uid == os.geteuid():
            os.chmod(f"/proc/self/fd/{file}", 0o660)
    finally:
        os.close(file)


def _abstract(name: str) -> bytes:
    """Every known peer takes the trailing NUL for a part of the name."""
    return b"\0" + name.encode() + b"\0"


def _show(address: Address) -> str:
    return address if isinstance(address, str) else "@" + address.strip(b"\0").decode()


def _choose_sockets(choice: Optional[str]) -> Tuple[List[Tuple[Address, Address]], Optional[str]]:
    """The sockets of possible daemons (control, metrics), and the directory of one's own, None for an abstract name."""
    named = os.environ.get("KINETO_IPC_SOCKET_DIR")
    # A directory, also one that is not there yet.
    choice = choice or (os.path.join(named, "") if named else None)
    abstract: Tuple[Address, Address] = (_abstract("dynolog"), _abstract("dynolog_data"))
    if choice is None:
        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            return [abstract], None
        return [abstract, (f"{home}/dynolog.sock", f"{home}/dynolog_data.sock")], None
    if choice == "abstract":
        return [abstract], None
    if choice.endswith("/") or os.path.isdir(choice):
        choice = os.path.join(choice, "dynolog")
    stem, suffix = os.path.splitext(choice)
    # msMonitor's daemon (b942bf5) does not recover from a message of a socket that is a file.
    directory = None if suffix == ".sock" else os.path.dirname(choice) or "."
    return [(choice, f"{stem}_data{suffix}")], directory


def _slurm_job_id() -> int:
    text = os.environ.get("SLURM_JOB_ID", "")
    return int(text) if _is_decimal(text) and int(text) < 1 << 63 else 0


def _is_decimal(text: str) -> bool:
    """Whether a text is a number as peers write it: of ASCII digits, and no more than 64 bits can need."""
    return text.isascii() and text.isdecimal() and len(text) <= 20


def _ancestors(pid: int) -> Iterable[int]:
    """The parent of a process, its parent and so on, as far as /proc tells."""
    while pid > 1:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                # The name in parentheses may hold anything.
                pid = int(stat.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return
        if pid > 0:
            yield pid
