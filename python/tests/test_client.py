from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from conftest import Daemon, is_root
from profguard import Agent, Config, DaemonUnreachable, Function, ProcessClient, State, wire


def test_a_config_arrives_once_and_carries_its_request(daemon: Daemon) -> None:
    with ProcessClient(device=2) as client:
        assert client.register() == 1
        assert client.poll() is None
        (known,) = daemon.processes()
        assert (known["pid"], known["job_id"]) == (os.getpid(), 0)
        records = daemon.ask("gputrace", "--duration-ms", "100", "--log-file", "/tmp/a.json")
        request = next(r for r in records if r["type"] == "profctl.request")
        config = client.poll()
        assert config is not None
        assert config.values["ACTIVITIES_LOG_FILE"] == "/tmp/a.json"
        assert str(config.trace_id) == request["triggered"][0]["trace_id"]
        assert client.poll() is None
    assert not list(daemon.ipc.glob("dynoconfigclient*"))


def test_status_and_metrics(daemon: Daemon) -> None:
    with ProcessClient(device=1) as client:
        client.register()
        client.send_status(Function.TRACE, State.RUNNING, current_step=7, start_step=5, stop_step=9)
        client.send_metric("Kernel", 1_000, timestamp_ns=2_000)
        client.send_metric("Marker", 3, device=-1, domain="d", name='a "name" \n of two lines')
        (known,) = daemon.processes()
        assert known["nputrace"] == "Running" and known["current_step"] == 7, known
        kernel, marker = daemon.metrics(2)
        assert (kernel["kind"], kernel["device_id"], kernel["dur_ns"]) == ("Kernel", 1, 1000), kernel
        assert marker["name"] == 'a "name" \n of two lines' and marker["device_id"] == -1, marker


def test_a_job_id_of_its_own_beside_another_profiler(daemon: Daemon) -> None:
    """Two profilers in one process: what is requested of one job does not reach the other."""
    with ProcessClient() as torch, ProcessClient(job_id=17) as ours:
        torch.register(), ours.register()
        daemon.ask("gputrace", "--job-id", "17", "--duration-ms", "1", "--log-file", "/tmp/b.json")
        assert torch.poll() is None
        config = ours.poll()
        assert config is not None and config.values["ACTIVITIES_LOG_FILE"] == "/tmp/b.json"


def test_the_agent_survives_a_restart_and_what_its_function_raises(daemon: Daemon) -> None:
    configs: list[Config] = []
    arrived = threading.Event()

    def take(config: Config) -> None:
        configs.append(config)
        arrived.set()
        raise RuntimeError("of the callback")

    with Agent(take, interval=0.05) as agent:
        assert agent.wait_connected(10)
        for name in ("first", "second"):
            daemon.ask("gputrace", "--duration-ms", "1", "--log-file", f"/tmp/{name}.json")
            assert arrived.wait(10)
            arrived.clear()
            daemon.stop()
            daemon.start()
            for _ in range(100):
                if daemon.processes():
                    break
                time.sleep(0.1)
    assert [c.values["ACTIVITIES_LOG_FILE"] for c in configs] == ["/tmp/first.json", "/tmp/second.json"]


def test_no_daemon_is_one_error(short_path: Path) -> None:
    with ProcessClient(daemon_socket=str(short_path)) as client:
        for call in (client.register, client.poll):
            with pytest.raises(DaemonUnreachable, match="dynolog: No such file"):
                call()
        with pytest.raises(DaemonUnreachable):
            client.send_metric("Kernel", 1)


def test_a_silent_daemon_times_out(short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as silent:
        silent.bind(str(short_path / "dynolog"))
        with ProcessClient(daemon_socket=str(short_path)) as client:
            assert client.register(timeout=0.05) is None
            with pytest.raises(DaemonUnreachable, match="no reply in 0.05 s"):
                client.poll(timeout=0.05)


def test_a_config_that_comes_late_is_not_lost(short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as slow:
        slow.bind(str(short_path / "dynolog"))
        with ProcessClient(daemon_socket=str(short_path)) as client:
            with pytest.raises(DaemonUnreachable):
                client.poll(timeout=0.01)
            (own,) = map(str, short_path.glob("dynoconfigclient*"))
            slow.sendto(wire.encode("req", b"A=1"), own)
            slow.sendto(wire.encode("req", b"B=2"), own)
            assert client.register(timeout=0.05) is None
            assert [c.text for c in (client.poll(0.01), client.poll(0.01)) if c] == ["A=1", "B=2"]


@pytest.mark.skipif(not is_root(), reason="only root can become another user")
def test_replies_of_other_users_are_dropped(short_path: Path) -> None:
    os.chmod(short_path, 0o777)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as fake:
        fake.bind(str(short_path / "dynolog"))
        for user, trusted in ((65534, False), (0, True)):
            with ProcessClient(daemon_socket=str(short_path)) as client:
                (own,) = short_path.glob("dynoconfigclient*")
                os.chmod(own, 0o666)
                send = (
                    "import os, socket, sys; os.setuid(int(sys.argv[1])); "
                    "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(bytes.fromhex(sys.argv[2]), sys.argv[3])"
                )
                lie = wire.encode("req", b"ACTIVITIES_LOG_FILE=/etc/passwd").hex()
                subprocess.run([sys.executable, "-I", "-c", send, str(user), lie, str(own)], check=True)
                if trusted:
                    assert client.poll(timeout=0.2) is not None
                else:
                    with pytest.raises(DaemonUnreachable):
                        client.poll(timeout=0.2)


def test_what_is_no_reply_is_dropped(daemon: Daemon) -> None:
    with ProcessClient() as client, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        (own,) = daemon.ipc.glob("dynoconfigclient*")
        for datagram in (b"", b"x" * 39, bytes(40), wire.encode("req", b"A" * 70_000)):
            other.sendto(datagram, str(own))
        assert client.register() == 1


def test_a_fork_leaves_the_socket_of_its_parent(daemon: Daemon) -> None:
    with ProcessClient() as client:
        child = multiprocessing.get_context("fork").Process(target=client.close)
        child.start()
        child.join()
        assert client.register() == 1


def test_configs_of_any_text() -> None:
    config = Config(" A=1\n\nno value\n=x\nB=a=b\nA=2\n   REQUEST_TRACE_ID=99\n")
    assert dict(config.values) == {"A": "2", "B": "a=b", "REQUEST_TRACE_ID": "99"}
    assert config.trace_id == 99
    assert Config("REQUEST_TRACE_ID=-1").trace_id is None
