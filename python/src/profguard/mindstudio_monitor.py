"""The interface of msMonitor's module, for programs that are written for it: `PyDynamicMonitorProxy`.

torch_npu and MindSpore import it as `mindstudio_monitor`, older ones as `IPCMonitor`. Call `install()` before they do:

    import profguard.mindstudio_monitor
    profguard.mindstudio_monitor.install()

The methods are those of Ascend/msmonitor b942bf5 (`plugin/README.md`, "PyDynamicMonitorProxy"). What needs CANN's own
library MSPTI, the metrics of npu-monitor, is not here: a request for it is logged and reported as not running.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Dict, Mapping, Optional

from .client import DaemonUnreachable, ProcessClient
from .wire import Function, State

_log = logging.getLogger("profguard")


class PyDynamicMonitorProxy:
    """One per process, like the original: every call of the class returns the same object."""

    _instance: Optional["PyDynamicMonitorProxy"] = None
    _client: Optional[ProcessClient]

    def __new__(cls) -> "PyDynamicMonitorProxy":
        if cls._instance is None:
            cls._instance = super().__new__(cls)
            cls._instance._client = None
        return cls._instance

    def init_dyno(self, npu_id: int) -> bool:
        """Registers with the daemon. False: none is there yet; polls go on looking for it."""
        if self._client is None:
            # msMonitor's process side sends job 0, whatever Slurm says.
            self._client = ProcessClient(job_id=0, device=npu_id)
        return self._report(State.IDLE)

    def poll_dyno(self) -> str:
        """The text of a config, empty if there is none."""
        if self._client is None:
            return ""
        known = self._client.daemon_pid
        try:
            config = self._client.poll()
        except DaemonUnreachable:
            return ""
        if self._client.daemon_pid != known:
            # A daemon that was restarted, or that was not there at first.
            self._report(State.IDLE)
        return config.text if config is not None else ""

    def enable_dyno_npu_monitor(self, cfg_map: Mapping[str, str]) -> None:
        """Is for MSPTI, which is not here: says so, and leaves npu-monitor idle."""
        if str(cfg_map.get("NPU_MONITOR_START", "")).lower() in ("true", "1"):
            _log.warning("npu-monitor was requested; profguard's Python package has no MSPTI and records nothing")

    def finalize_dyno(self) -> None:
        """Tells the daemon that nothing can be requested any more, and closes the socket."""
        if self._client is not None:
            self._send(Function.TRACE, State.UNINITIALIZED)
            self._send(Function.MONITOR, State.UNINITIALIZED)
            self._client.close()
            self._client = None

    def update_profiler_status(self, status: Mapping[str, str]) -> None:
        """Reports the state of nputrace: `profiler_status` is -1 to 2; the steps are optional."""
        try:
            state = State(int(status["profiler_status"]))
            steps: Dict[str, int] = {
                name: int(status.get(name, -1)) for name in ("current_step", "start_step", "stop_step")
            }
        except (KeyError, ValueError) as e:
            _log.error("update_profiler_status: %s: %s", type(e).__name__, e)
            return
        self._send(Function.TRACE, state, **steps)

    def _report(self, state: State) -> bool:
        if self._client is None:
            return False
        try:
            self._client.register(timeout=0.1)
        except DaemonUnreachable:
            return False
        return self._send(Function.TRACE, state) and self._send(Function.MONITOR, state)

    def _send(self, function: Function, state: State, **steps: int) -> bool:
        if self._client is None:
            return False
        try:
            self._client.send_status(function, state, **steps)
        except DaemonUnreachable:
            return False
        return True


def install() -> None:
    """Makes this module the one that `import mindstudio_monitor` and `import IPCMonitor` find.

    An original that is already imported stays.
    """
    this: Any = sys.modules[__name__]
    for name in ("mindstudio_monitor", "IPCMonitor"):
        sys.modules.setdefault(name, this)
