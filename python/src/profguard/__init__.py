"""The process side of profd for Python programs, and its trace tools.

`ProcessClient` registers with the daemon, fetches configs and sends status and metrics; `Agent` does that in a
thread. `profguard.traces` runs traceq and tracecv, `profguard.pytest_plugin` tracewhy, and
`profguard.mindstudio_monitor` has the interface of msMonitor's module.
"""

from .agent import Agent
from .client import Config, DaemonUnreachable, ProcessClient
from .wire import Function, State

__all__ = ["Agent", "Config", "DaemonUnreachable", "Function", "ProcessClient", "State"]
__version__ = "0.1.0"
