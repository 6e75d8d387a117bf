"""A command as a WinRM service starts it: a line of cmd.exe, which PowerShell may stand in."""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass

from sshexec.connectors.base import Command, Form
from sshexec.connectors.powershell import encoded, source
from sshexec.errors import HostError

CMD_LIMIT = 8191
"""Characters of a line of cmd.exe; what is beyond may be cut off silently (mondoohq/mql#10552)."""

_AROUND = 64
"""Characters that the service puts around a line: ``C:\\Windows\\system32\\cmd.exe /C ""``."""


@dataclass(frozen=True, slots=True)
class Line:
    """What is started, and what its standard input begins with.

    Args:
        text: for ``cmd.exe /c``.
        ahead: bytes to be sent before the command's own input; None where the command gets its own alone.
    """

    text: str
    ahead: bytes | None = None


def line_of(command: Command) -> Line:
    """Return what a service is to start for a command.

    Raises:
        HostError: the line is too long, or more than one.
    """
    if command.form is Form.CMD:
        return _cmd(command.script)
    return _powershell(command.script, profile=command.profile)


@functools.cache
def bootstrap() -> str:
    """Return the script that runs one which comes by standard input, without what is for people in it."""
    return "\n".join(source("sshexec.connectors.winrm", "bootstrap"))


def _cmd(script: str) -> Line:
    text = script.strip("\r\n")
    if "\n" in text or "\r" in text:
        raise HostError("cmd.exe takes one line; join commands by &, or use a script (.bat), or PowerShell")
    if len(text) > CMD_LIMIT:
        raise HostError(
            f"the line has {len(text)} characters, and cmd.exe takes {CMD_LIMIT}; use a script (.bat), or PowerShell"
        )
    return Line(text)


def _powershell(script: str, *, profile: bool) -> Line:
    # Ansible's words (plugins/shell/powershell.py of ansible-core 2.19).
    start = (
        f"PowerShell{'' if profile else ' -NoProfile'} -NonInteractive -ExecutionPolicy Unrestricted -EncodedCommand "
    )
    text = start + encoded(script)
    if len(text) + _AROUND <= CMD_LIMIT:
        return Line(text)
    ahead = base64.b64encode(script.encode("utf-8", "replace")) + b"\r\n"
    return Line(start + encoded(bootstrap()), ahead=ahead)
