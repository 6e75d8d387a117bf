"""A command as a WinRM service starts it: by PowerShell, by cmd.exe, or as it is."""

from __future__ import annotations

import base64
import functools
import importlib.resources
import re
from dataclasses import dataclass

from sshexec.connectors.base import Command, Form
from sshexec.connectors.powershell import encoded
from sshexec.errors import HostError

CMD_LIMIT = 8191
"""Characters of a line of cmd.exe; what is beyond may be cut off silently (mondoohq/mql#10552)."""

PROGRAM_LIMIT = 32767
"""Characters of a command line of CreateProcess."""

_AROUND = 64
"""Characters that the service puts around a line: ``C:\\Windows\\system32\\cmd.exe /C ""``."""

_WORD = re.compile(r'\s*((?:"[^"]*"?|[^\s"])*)\s*(.*)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Line:
    """What is started, and what its standard input begins with.

    Args:
        text: the command, or all of it.
        arguments: what stands behind it, where that is told apart.
        without_cmd: whether it is started as it is, and not by ``cmd.exe /c``.
        ahead: bytes to be sent before the command's own input; None where the command gets its own alone.
    """

    text: str
    arguments: str = ""
    without_cmd: bool = False
    ahead: bytes | None = None


def line_of(command: Command) -> Line:
    """Return what a service is to start for a command.

    Raises:
        HostError: the line is too long, or more than one.
    """
    if command.form is Form.CMD:
        return _cmd(command.script)
    if command.form is Form.PROGRAM:
        return _program(command.script)
    return _powershell(command.script, profile=command.profile)


@functools.cache
def bootstrap() -> str:
    """Return the script that runs one which comes by standard input, without what is for people in it."""
    file = importlib.resources.files("sshexec.connectors.winrm") / "scripts" / "bootstrap.ps1"
    lines = (line.strip() for line in file.read_text("utf-8").splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def _cmd(script: str) -> Line:
    text = script.strip("\r\n")
    if "\n" in text or "\r" in text:
        raise HostError("cmd.exe takes one line; join commands by &, or use a script (.bat), or PowerShell")
    if len(text) > CMD_LIMIT:
        raise HostError(
            f"the line has {len(text)} characters, and cmd.exe takes {CMD_LIMIT}; use a script (.bat), or PowerShell"
        )
    return Line(text)


def _program(script: str) -> Line:
    if len(script) > PROGRAM_LIMIT:
        raise HostError(
            f"the command line has {len(script)} characters, and Windows takes {PROGRAM_LIMIT}; "
            "hand long data over by standard input or in a file, or use PowerShell"
        )
    found = _WORD.fullmatch(script.strip())
    if found is None or not found[1]:
        raise HostError("there is no program to start: the command line is empty")
    return Line(found[1], found[2], without_cmd=True)


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
