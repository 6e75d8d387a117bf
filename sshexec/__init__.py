"""sshexec runs commands, scripts and file copies on many hosts at once and answers in Ansible's result shape.

The public names are loaded when they are first used: ``import sshexec`` patches nothing, starts nothing and is cheap.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sshexec import errors
    from sshexec.connectors.base import Timeouts
    from sshexec.connectors.prompts import Question
    from sshexec.engine import Engine
    from sshexec.events import HostFinished, HostPhase, HostStarted, Output, RunFinished, TransferProgress
    from sshexec.history.history import History
    from sshexec.inventory.members import Host
    from sshexec.inventory.model import Inventory
    from sshexec.results import HostResult, RunResult
    from sshexec.run import Run
    from sshexec.secret import Secret
    from sshexec.terminal.recordings import Recordings
    from sshexec.terminal.session import TerminalSession
    from sshexec.terminal.sessions import TerminalManager

__version__ = "0.1.0"

if importlib.util.find_spec("sshexec.connectors") is None:
    # `connectors` and `inventory` stand beside this package in the source tree, and below it where it is installed.
    raise ImportError(
        f"{__file__} is sshexec's source, not an installation: run from another folder, or `pip install -e` the project"
    )

__all__ = [
    "Engine",
    "History",
    "Host",
    "HostFinished",
    "HostPhase",
    "HostResult",
    "HostStarted",
    "Inventory",
    "Output",
    "Question",
    "Recordings",
    "Run",
    "RunFinished",
    "RunResult",
    "Secret",
    "TerminalManager",
    "TerminalSession",
    "Timeouts",
    "TransferProgress",
    "__version__",
    "errors",
]

_HOMES = {
    "Engine": "sshexec.engine",
    "History": "sshexec.history.history",
    "Host": "sshexec.inventory.members",
    "HostFinished": "sshexec.events",
    "HostPhase": "sshexec.events",
    "HostResult": "sshexec.results",
    "HostStarted": "sshexec.events",
    "Inventory": "sshexec.inventory.model",
    "Output": "sshexec.events",
    "Question": "sshexec.connectors.prompts",
    "Recordings": "sshexec.terminal.recordings",
    "Run": "sshexec.run",
    "RunFinished": "sshexec.events",
    "RunResult": "sshexec.results",
    "Secret": "sshexec.secret",
    "TerminalManager": "sshexec.terminal.sessions",
    "TerminalSession": "sshexec.terminal.session",
    "Timeouts": "sshexec.connectors.base",
    "TransferProgress": "sshexec.events",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home on first use (PEP 562)."""
    if name == "errors":
        return importlib.import_module("sshexec.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'sshexec' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
