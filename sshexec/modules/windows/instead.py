"""What stands for a module on a host that it is not for: it says what to use instead, and contacts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sshexec.connectors.base import Capability, Connector
from sshexec.modules.base import Invocation, Module, Result

_WINDOWS_HAS = {
    "command": "win_command",
    "copy": "win_copy",
    "file": "win_file",
    "shell": "win_shell",
    "stat": "win_stat",
}
_POSIX_HAS = {there: here for here, there in _WINDOWS_HAS.items()} | {"win_ping": "ping"}


class Instead(Module):
    """Fails on its host with a message; the other hosts of the run go on.

    Args:
        message: what is wrong, and what to use.
    """

    name = "instead"
    parameters = ()
    needs = Capability.NONE
    opens = False
    contacts = False

    def __init__(self, message: str) -> None:
        super().__init__({})
        self._message = message

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Tell it."""
        return {"failed": True, "changed": False, "msg": self._message}


def instead_of(kind: type[Module], *, windows: bool) -> type[Instead]:
    """Return what stands for a module on a host that it is not for.

    Args:
        kind: the module.
        windows: whether the host is Windows; else it has a POSIX shell.
    """
    message = _on_windows(kind) if windows else _on_posix(kind.name)

    class Told(Instead):
        """A module that this host is not for."""

        name = kind.name

        @classmethod
        def from_args(cls, args: str | Mapping[str, Any] | None) -> Instead:
            """Take any arguments: those of the right module are other ones."""
            return cls(message)

    return Told


def _on_windows(kind: type[Module]) -> str:
    if kind.name in _WINDOWS_HAS:
        return f"{kind.name} is not for Windows hosts: use {_WINDOWS_HAS[kind.name]}"
    if kind.__module__.startswith("sshexec.modules.ansible."):
        return f"{kind.name} is a module that needs Python, which Windows has not: use win_shell, win_command or script"
    return f"{kind.name} is not for Windows hosts: it needs a POSIX shell"


def _on_posix(name: str) -> str:
    use = _POSIX_HAS.get(name)
    return f"{name} is for Windows hosts only" + (f": use {use}" if use else "")
