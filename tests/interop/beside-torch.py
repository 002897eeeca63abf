"""PyTorch polls for itself; beside it, in the same process, this package takes part under a job id of its own."""

import json
import os
import subprocess
import sys
import tempfile
import time

from profguard import Function, ProcessClient, State
from profguard.tools import find

directory = tempfile.mkdtemp()
daemon = subprocess.Popen(
    [find("profd"), "--format", "json", "--certs-dir", "NO_CERTS", "--port", "0", "--enable-ipc-monitor"]
    + ["--ipc", f"dir={directory}", "--output-root", "/"],
    stdout=subprocess.PIPE,
    text=True,
)
port = next(a for a in json.loads(daemon.stdout.readline())["addresses"] if a.startswith("127.")).rsplit(":", 1)[1]
os.environ |= {"KINETO_USE_DAEMON": "1", "KINETO_IPC_SOCKET_DIR": directory, "KINETO_ONDEMAND_TRACE_DIR": directory}
os.environ.pop("SLURM_JOB_ID", None)


def ask(*arguments: str) -> list:
    command = [find("profctl"), "--format", "json", "--certs-dir", "NO_CERTS", "--port", port, *arguments]
    return [json.loads(line) for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines()]


def jobs() -> set:
    return {p["job_id"] for record in ask("status") for p in record.get("processes", []) if p["pid"] == os.getpid()}


try:
    import torch

    ours = ProcessClient(job_id=17)
    assert ours.register() == 1
    model = torch.nn.Linear(8, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            model(torch.randn(4, 8)).sum().backward()
            optimizer.step()
            time.sleep(0.01)

    for _ in range(20):
        train(0.5)
        if jobs() == {0, 17}:
            break
    assert jobs() == {0, 17}, jobs()
    # A process that reports says what both of its functions do.
    ours.send_status(Function.TRACE, State.IDLE, current_step=5)
    ours.send_status(Function.MONITOR, State.IDLE)

    # What is for PyTorch reaches PyTorch, which writes a trace.
    ask("gputrace", "--iterations", "3", "--log-file", f"{directory}/torch.json")
    assert ours.poll() is None
    for _ in range(40):
        train(0.5)
        if os.path.exists(f"{directory}/torch_{os.getpid()}.json"):
            break
    assert os.path.exists(f"{directory}/torch_{os.getpid()}.json"), os.listdir(directory)
    # And what is for the other job does not.
    ask("gputrace", "--job-id", "17", "--duration-ms", "10", "--log-file", f"{directory}/ours.json")
    config = ours.poll()
    assert config is not None and config.values["ACTIVITIES_LOG_FILE"] == f"{directory}/ours.json"
    print(f"torch {torch.__version__}: a trace by libkineto, a config for job 17")
finally:
    daemon.terminate()
    daemon.wait()
sys.exit(0)
