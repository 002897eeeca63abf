from __future__ import annotations

import logging
import sys
from typing import Any, Iterator

import pytest

import profguard.mindstudio_monitor
from conftest import Daemon


@pytest.fixture
def proxy(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    profguard.mindstudio_monitor.install()
    # As torch_npu imports it.
    from mindstudio_monitor import PyDynamicMonitorProxy  # type: ignore[import-not-found]

    yield PyDynamicMonitorProxy()
    PyDynamicMonitorProxy().finalize_dyno()


def test_a_trace_is_requested_and_its_state_reported(daemon: Daemon, proxy: Any) -> None:
    assert proxy.poll_dyno() == ""
    assert proxy.init_dyno(3) is True
    assert proxy.poll_dyno() == ""
    trace = ["nputrace", "--start-step", "10", "--iterations", "2", "--log-file", "/tmp/npu"]
    records = daemon.ask(*trace)
    assert any(r.get("triggered") for r in records), records
    text = proxy.poll_dyno()
    assert "PROFILE_START_STEP=10" in text and "ACTIVITIES_ITERATIONS=2" in text
    proxy.update_profiler_status(
        {"profiler_status": "1", "current_step": "10", "start_step": "10", "stop_step": "12"}
    )
    (known,) = daemon.processes()
    assert (known["nputrace"], known["npumonitor"], known["stop_step"]) == ("Running", "Idle", 12), known
    assert type(proxy)() is proxy


def test_a_daemon_that_comes_later_is_found(daemon: Daemon, proxy: Any) -> None:
    daemon.stop()
    assert proxy.init_dyno(0) is False
    assert proxy.poll_dyno() == ""
    daemon.start()
    proxy.poll_dyno()
    (known,) = daemon.processes()
    assert known["nputrace"] == "Idle", known


@pytest.mark.parametrize("status", [{}, {"profiler_status": "much"}, {"profiler_status": "9"}])
def test_a_state_that_is_none_is_logged(proxy: Any, caplog: pytest.LogCaptureFixture, status: dict[str, str]) -> None:
    proxy.init_dyno(0)
    proxy.update_profiler_status(status)
    assert "update_profiler_status" in caplog.text


def test_npu_monitor_is_said_to_be_missing(proxy: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        proxy.enable_dyno_npu_monitor({"NPU_MONITOR_START": "true"})
    assert "no MSPTI" in caplog.text
