"""A program that is started without a shell: by PowerShell and .NET, which start it as CreateProcess does.

WinRS has an option for that, WINRS_SKIP_CMD_SHELL. It looks for no program in PATH, and from Windows Server 2012 R2 on
it is ignored: the line goes through cmd.exe all the same, with all that cmd.exe reads into it (pypsrp, ``shell.py``).
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from sshexec.connectors.base import Command
from sshexec.connectors.output import Stream, Take
from sshexec.connectors.powershell import MARK, Script
from sshexec.errors import HostError, NotStartedError

LIMIT = 32767
"""Characters of a command line of CreateProcess."""

_WORD = re.compile(r'\s*((?:"[^"]*"?|[^\s"])*)\s*(.*)', re.DOTALL)
_PROGRAM = Script("sshexec.connectors.winrm", "program")
_FEED = Script("sshexec.connectors.winrm", "feed")
_PIECE = 48 * 1024
"""Bytes of standard input that go in one line."""


class Program:
    """A command of `Form.PROGRAM`, as a command of PowerShell.

    Args:
        command: its text is a command line, the first word the program; quotes in it are the program's to read.

    Raises:
        HostError: the line is empty or too long.
    """

    def __init__(self, command: Command) -> None:
        text = command.script.strip()
        if len(text) > LIMIT:
            raise HostError(
                f"the command line has {len(text)} characters, and Windows takes {LIMIT}; "
                "hand long data over by standard input or in a file, or use PowerShell"
            )
        found = _WORD.fullmatch(text)
        if found is None or not found[1].replace('"', ""):
            raise HostError("there is no program to start: the command line is empty")
        self._token = secrets.token_hex(8)
        self._name = found[1].replace('"', "")
        arguments = {
            "program": self._name,
            "arguments": found[2],
            "token": self._token,
        }
        script = (_PROGRAM if command.stdin is None else _FEED).command(arguments).script
        self.command = dataclasses.replace(command, script=script, stdin=None)
        """What is run."""
        self.stdin: Iterable[bytes] | None = None if command.stdin is None else _lines(command.stdin)
        """What it reads."""
        self._problem: NotStartedError | None = None
        self._begin: bytes | None = b""
        """What is held back of the beginning; None once that is settled."""

    def watched(self, take: Take) -> Take:
        """Return what gets the output and hands it on, but for the word that the program was not started."""
        self._take = take

        def watching(stream: Stream, data: bytes) -> None:
            if stream == "stdout" and self._begin is not None:
                data, self._begin = self._begin + data, None
                if data.startswith(MARK.encode()) or MARK.encode().startswith(data):
                    if not data.endswith(b"\n") and len(data) < _PIECE:
                        self._begin = data  # it may be the beginning of it
                        return
                    if self._reads(data):
                        return
            take(stream, data)

        return watching

    def settle(self) -> None:
        """Hand on what is held back, however the script ended."""
        if self._begin:
            rest, self._begin = self._begin, None
            if not self._reads(rest):
                self._take("stdout", rest)

    def check(self) -> None:
        """Raise what the script said of a program that it could not start.

        Raises:
            NotStartedError: it did not begin.
        """
        if self._problem is not None:
            raise self._problem

    def _reads(self, data: bytes) -> bool:
        """Return whether this is the script's own word; only that has the token."""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            said = json.loads(base64.b64decode(data.strip()[len(MARK) :], validate=True))
            if said["token"] == self._token:
                code = said.get("code") or 0
                self._problem = NotStartedError(f"can't start {self._name}: {said.get('message')}", code=code)
                return True
        return False


def _lines(stdin: bytes | BinaryIO) -> Iterator[bytes]:
    file = io.BytesIO(stdin) if isinstance(stdin, bytes) else stdin
    while piece := file.read(_PIECE):
        yield base64.b64encode(piece) + b"\r\n"
