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


def test_a_daemon_of_the_same_group_can_reply(daemon: Daemon) -> None:
    before = os.umask(0o077)
    try:
        with ProcessClient():
            (own,) = daemon.ipc.glob("dynoconfigclient*")
            assert own.stat().st_mode & 0o7777 == 0o660
    finally:
        os.umask(before)


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
    assert Config("REQUEST_TRACE_ID=" + "9" * 5000).trace_id is None
    assert Config("REQUEST_TRACE_ID=\u0663").trace_id is None


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_only_a_newline_begins_another_key(mark: str) -> None:
    config = Config(f"ACTIVITIES_LOG_FILE=/traces/a{mark}ACTIVITIES_LOG_FILE=/etc/b\n")
    assert config.values["ACTIVITIES_LOG_FILE"] == f"/traces/a{mark}ACTIVITIES_LOG_FILE=/etc/b"


def test_an_agent_waits_for_the_directory_of_the_daemon(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = short_path / "later" / "ipc"
    monkeypatch.setenv("KINETO_IPC_SOCKET_DIR", str(directory))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with ProcessClient() as client, pytest.raises(DaemonUnreachable, match="later/ipc: No such file"):
        client.register()
    with Agent(lambda config: None, interval=0.05) as agent:
        assert not agent.wait_connected(0.2)
        directory.parent.mkdir()
        running = Daemon(directory.parent)
        try:
            assert agent.wait_connected(10)
        finally:
            running.stop()


def test_an_agent_comes_back_when_its_socket_is_removed(daemon: Daemon) -> None:
    with Agent(lambda config: None, interval=0.05) as agent:
        assert agent.wait_connected(10)
        (own,) = daemon.ipc.glob("dynoconfigclient*")
        own.unlink()
        for _ in range(100):
            if list(daemon.ipc.glob("dynoconfigclient*")):
                break
            time.sleep(0.1)
        assert agent.wait_connected(10) and len(daemon.processes()) == 1
    assert not list(daemon.ipc.glob("dynoconfigclient*"))


def test_the_agent_survives_a_function_that_exits(daemon: Daemon) -> None:
    calls = threading.Semaphore(0)

    def leave(config: Config) -> None:
        calls.release()
        sys.exit(3)

    with Agent(leave, interval=0.05) as agent:
        assert agent.wait_connected(10)
        for name in ("first", "second"):
            daemon.ask("gputrace", "--duration-ms", "1", "--log-file", f"/tmp/{name}.json")
            assert calls.acquire(timeout=10)
            for _ in range(100):
                if daemon.processes()[0].get("state") != "Triggered":
                    break
                time.sleep(0.1)


def test_a_program_that_ends_without_closing_leaves_no_file(daemon: Daemon) -> None:
    program = "from profguard import Agent; assert Agent(print).wait_connected(10)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    assert not list(daemon.ipc.glob("dynoconfigclient*"))


@pytest.mark.parametrize("numbers", [{"job_id": 1 << 63}, {"job_id": -(1 << 63) - 1}, {"device": 1 << 31}])
def test_numbers_that_no_message_holds_are_errors(short_path: Path, numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(numbers))}: .* is not a number of"):
        ProcessClient(daemon_socket=str(short_path), **numbers)  # type: ignore[arg-type]


def test_a_job_of_slurm_that_is_no_number_is_none(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, job_id in (("17", 17), ("9" * 20, 0), ("\u0661", 0), ("x", 0)):
        monkeypatch.setenv("SLURM_JOB_ID", text)
        with ProcessClient(daemon_socket=str(short_path)) as client:
            assert client.job_id == job_id
