"""A thread that polls the daemon and hands configs to a function."""

from __future__ import annotations

import logging
import threading
from typing import Callable, Optional

from .client import Config, DaemonUnreachable, ProcessClient

_log = logging.getLogger("profguard")


class Agent:
    """Polls until it is closed; a daemon may come, go and come again.

        with Agent(start_profiler):
            train()

    `on_config` runs in the thread of the agent. What it raises is logged, and the agent goes on. A fork has no agent.
    """

    def __init__(
        self,
        on_config: Callable[[Config], None],
        *,
        interval: float = 1.0,
        client: Optional[ProcessClient] = None,
    ) -> None:
        """`interval`: seconds between polls, 0.01 to 50; the daemon forgets a process after 60 s."""
        if not 0.01 <= interval <= 50:
            raise ValueError(f"interval: {interval:g} s, where 0.01 to 50 are allowed")
        self._client = client or ProcessClient()
        self._on_config = on_config
        self._interval = interval
        self._stop = threading.Event()
        self._connected = threading.Event()
        self._thread = threading.Thread(target=self._run, name="profguard", daemon=True)
        self._thread.start()

    def wait_connected(self, timeout: Optional[float] = None) -> bool:
        """Waits until a daemon has replied; whether it has."""
        return self._connected.wait(timeout)

    def close(self) -> None:
        """Stops polling. A config that arrives meanwhile is lost."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._client.close()

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while True:
            try:
                self._poll_once()
            except DaemonUnreachable as e:
                if self._connected.is_set():
                    _log.info("the daemon is gone: %s", e)
                self._connected.clear()
            except BaseException:
                # Also SystemExit: in a thread it ends that thread only, and nobody hears of it.
                _log.exception("the agent goes on")
            if self._stop.wait(self._interval):
                return

    def _poll_once(self) -> None:
        if not self._connected.is_set():
            self._client.register()
        config = self._client.poll()
        self._connected.set()
        if config is not None:
            self._on_config(config)
