"""The ``script`` module on Windows: a local script, run on the host by one PowerShell.

The script's bytes are the standard input of a script of ours, in lines of base64. That one writes them into a directory
of their own below the login's temporary files, calls the file as PowerShell calls a command, and removes the directory.
As in Ansible, what stands behind the script's name is PowerShell's to read.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import re
import secrets
from collections.abc import Mapping
from typing import Any

from sshexec.connectors.base import Capability, Connector, Deadline
from sshexec.connectors.output import Output
from sshexec.connectors.powershell import Script as Own
from sshexec.errors import ArgumentError, CancelledError, CommandTimeoutError, HostError
from sshexec.modules import script
from sshexec.modules.arguments import FREE_FORM, first_word, readable
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.exchange import is_answer
from sshexec.modules.local_file import shared
from sshexec.modules.preconditions import STATES
from sshexec.modules.raw import plain
from sshexec.modules.windows.guards import guards
from sshexec.modules.windows.instead import Instead
from sshexec.modules.windows.names import check_paths

_RUN = Own(__package__, "script")
_SWEEP = Own(__package__, "sweep")
_RUNNABLE = (".ps1", ".bat", ".cmd", ".exe")
_ABSOLUTE = re.compile(r"(?:[A-Za-z]:)?[\\/]")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|\Z)", re.IGNORECASE)
"""Names that are devices, in every directory."""
_PIECE = 48 * 1024
"""Bytes of a line, which is a third longer."""
_SWEEPING = 5.0
"""Seconds for the removal of what a script that was stopped has left."""


class Script(script.Script):
    """Run a local script on the host; what follows its name is left to PowerShell as it is."""

    needs = Capability.WINDOWS

    @classmethod
    def from_args(cls, args: str | Mapping[str, Any] | None) -> Module:
        """Parse and check arguments; a script that nothing on Windows runs is told so by what this returns.

        Raises:
            ArgumentError: an argument is unknown, missing or wrong; nothing was contacted.
        """
        module = super().from_args(args)
        assert isinstance(module, Script)  # noqa: S101 - for the type checker
        return module if module.runnable else Instead(module.why)

    def check_arguments(self) -> None:
        """Check that there is a script, and that ``chdir`` is absolute."""
        arguments = self.arguments
        text = str(arguments[FREE_FORM] or arguments["cmd"] or "").strip()
        path, self._rest = first_word(self.name, text)
        if not path:
            raise ArgumentError(f"{self.name}: no script given")
        self._file = shared(path)
        self._executable = (arguments["executable"] or "").strip()
        check_paths(self.name, arguments, "chdir", "creates", "removes")
        chdir = arguments["chdir"]
        if chdir and not _ABSOLUTE.match(chdir):
            raise ArgumentError(
                f"{self.name}: chdir {readable(chdir)} must be an absolute path for a Windows remote node"
            )

    @property
    def runnable(self) -> bool:
        """Whether something on Windows runs it."""
        return bool(self._executable) or self._file.path.suffix.lower() in _RUNNABLE

    @property
    def why(self) -> str:
        """What to say where it is not `runnable`."""
        return (
            f"{readable(self._file.path.name)} can't be run on a Windows host: its name ends in none of"
            f" {', '.join(_RUNNABLE)}; with executable=... another program runs it"
        )

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Send and run the script; check mode tests ``creates`` and ``removes`` only."""
        tested = {name: self.arguments[name] for name in STATES if self.arguments[name]}
        content, missing = b"", ""
        try:
            content = self._read()
        except HostError as error:
            missing = error.message
        if tested:
            try:
                met = guards(tested, connector, invocation)
            except HostError as error:
                if not is_answer(error):
                    raise
                return {"failed": True, "changed": False, "msg": error.message}
            if met.unless:
                message = f"{tested[met.unless]} {STATES[met.unless]}, matching {met.unless} option"
                return {"changed": False, "skipped": True, "msg": message}
        if missing:
            return {"failed": True, "changed": False, "msg": missing}
        if invocation.check and not tested:
            return {"changed": False, "skipped": True, "msg": "Check mode is not supported for this task."}
        return {"changed": True} if invocation.check else self._run(content, connector, invocation)

    @functools.cached_property
    def _input(self) -> bytes:
        """The script as hosts get it; the same for all of them."""
        return _lines(self._read())

    def _run(self, content: bytes, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        token = secrets.token_hex(8)
        name = re.sub(r"[^A-Za-z0-9._-]", "_", os.path.basename(self._file.path)).lstrip("-.") or "script"
        arguments = {
            "token": token,
            "name": f"_{name}" if _RESERVED.match(name) else name,
            "size": len(content),
            "before": self._executable,
            "behind": self._rest,
            "chdir": self.arguments["chdir"] or "",
        }
        command = _RUN.command(arguments, stdin=self._input, environment=invocation.environment)
        try:
            done = connector.execute(command, invocation.output, invocation.deadline)
        except (CommandTimeoutError, CancelledError):
            # A process that is ended by force removes nothing any more.
            sweeping = _SWEEP.command({"token": token}, environment=invocation.environment)
            with contextlib.suppress(HostError):
                connector.execute(sweeping, Output(), Deadline.after(_SWEEPING))
            raise
        return plain(done, invocation.output)


def _lines(content: bytes) -> bytes:
    pieces = (content[at : at + _PIECE] for at in range(0, len(content), _PIECE))
    return b"".join(base64.b64encode(piece) + b"\r\n" for piece in pieces)
