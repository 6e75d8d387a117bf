"""Shells and their commands: what the operations of WS-Man act on (MS-WSMV 3.1.4.5 and following)."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.winrm_server import faults, messages
from tests.winrm_server.interpreter import Line
from tests.winrm_server.messages import Request
from tests.winrm_server.process import Process

if TYPE_CHECKING:
    from tests.winrm_server.server import WinrmServer

_OVERHEAD = 3000
"""What an envelope has beside its output, in bytes."""


@dataclass
class Command:
    """A command in a shell."""

    id: str
    line: str
    process: Process
    reading: threading.Lock = field(default_factory=threading.Lock)
    ended: bool = False
    rc: int | None = None

    @property
    def pid(self) -> int | None:
        """The process, which leads its own group; None where there is none."""
        return self.process.pid


@dataclass
class Shell:
    """A shell: an environment and a directory for commands."""

    id: str
    user: str
    environment: dict[str, str]
    directory: str | None
    codepage: int
    options: dict[str, str]
    idle: str | None = None
    commands: dict[str, Command] = field(default_factory=dict)
    operations: int = 0
    """Commands so far: a text shell never gives them back (ansible PR 83656)."""


class Shells:
    """All shells of a server, and the operations on them.

    Args:
        server: whose settings, counters and log are used.
    """

    def __init__(self, server: WinrmServer) -> None:
        self.server = server
        self.open: dict[str, Shell] = {}
        self._lock = threading.Lock()

    def answer(self, request: Request, user: str) -> tuple[str, str]:
        """Do what a request asks.

        Returns:
            The answer's action and the content of its Body.

        Raises:
            Fault: as the service refuses it.
        """
        if request.resource != messages.RESOURCE:
            raise faults.known(faults.NO_RESOURCE)
        operation = _OPERATIONS.get(request.op)
        if operation is None:
            raise faults.Fault(2150858757, "a:ActionNotSupported", "The action is not supported by the service. ")
        body = operation(self, request, user)
        base = messages.TRANSFER if request.op in ("Create", "Delete") else messages.SHELL
        return f"{base}/{request.op}Response", body

    def _create(self, request: Request, user: str) -> str:
        server = self.server
        idle = request.text("IdleTimeOut")
        if idle is not None:
            messages.seconds(idle)
        shell = Shell(
            request.shell or messages.new_id(),
            user,
            {**server.environment(user), **request.variables},
            request.text("WorkingDirectory") or None,
            request.codepage,
            request.options,
            idle,
        )
        with self._lock:
            if sum(each.user == user for each in self.open.values()) >= server.max_shells:
                raise faults.known(faults.MAX_SHELLS, limit=server.max_shells)
            if shell.id in self.open:
                raise faults.Fault(2150858999, "w:AlreadyExists", "The shell already exists. ", "s:Sender")
            self.open[shell.id] = shell
        return messages.created(shell.id, server.url)

    def _shell(self, request: Request) -> Shell:
        with self._lock:
            shell = self.open.get(request.shell)
        if shell is None:
            raise faults.known(faults.NO_SHELL, id=request.shell)
        return shell

    def _find(self, request: Request) -> tuple[Shell, Command]:
        shell = self._shell(request)
        with self._lock:
            command = shell.commands.get(request.command)
        if command is None:
            raise faults.known(faults.NO_SHELL, id=request.shell)
        return shell, command

    def _command(self, request: Request, user: str) -> str:
        server = self.server
        shell = self._shell(request)
        text = " ".join(filter(None, [request.text("Command") or "", *request.texts("Arguments")]))
        with self._lock:
            if shell.operations >= server.max_operations:
                raise faults.known(faults.MAX_OPERATIONS)
            shell.operations += 1
            if len(shell.commands) >= server.max_processes:
                raise faults.known(faults.MAX_OPERATIONS)
        skip = request.options.get("WINRS_SKIP_CMD_SHELL", "").upper() in ("TRUE", "1")
        drive = server.disk(user).at(shell.directory)
        line = Line(text, not skip, drive, shell.environment, shell.codepage)
        process = server.interpreter.start(line)
        command = Command(request.command or messages.new_id(), text, process)
        with self._lock:
            gone = self.open.get(shell.id) is not shell
            if not gone:
                shell.commands[command.id] = command
        if gone:
            process.close()
            self._shell(request)
        server.note_command(request, command, line)
        return messages.started(command.id)

    def _send(self, request: Request, user: str) -> str:
        _, command = self._find(request)
        until = time.monotonic() + request.timeout
        fits = True
        for data, end in request.streams:
            try:
                fits = command.process.write(data, end, max(0.0, until - time.monotonic()))
            except BrokenPipeError:
                raise faults.known(faults.NO_PIPE) from None
        if not fits:
            raise faults.known(faults.TIMED_OUT)
        return "<rsp:SendResponse/>"

    def _receive(self, request: Request, user: str) -> str:
        _, command = self._find(request)
        room = (min(request.max_envelope, self.server.max_envelope) - _OVERHEAD) // 4 * 3
        with command.reading:
            if command.ended:
                return messages.received(command.id, (), command.rc)
            pieces, rc = command.process.read(request.timeout, max(1, min(self.server.chunk, room)))
            if self._removed(request, command):
                raise faults.known(faults.ABORTED)
            if rc is not None:
                command.ended, command.rc = True, rc
        if not pieces and rc is None:
            raise faults.known(faults.TIMED_OUT)
        return messages.received(command.id, pieces, rc)

    def _removed(self, request: Request, command: Command) -> bool:
        with self._lock:
            shell = self.open.get(request.shell)
            return shell is None or shell.commands.get(request.command) is not command

    def _signal(self, request: Request, user: str) -> str:
        shell, command = self._find(request)
        code = (request.text("Code") or "").rsplit("/", 1)[-1]
        if code in ("ctrl_c", "ctrl_break"):
            command.process.interrupt()
        elif code.lower() == "terminate":
            with self._lock:
                shell.commands.pop(command.id, None)
            command.process.close()
        else:
            raise faults.known(87)
        return "<rsp:SignalResponse/>"

    def _delete(self, request: Request, user: str) -> str:
        shell = self._shell(request)
        self._end(shell)
        return ""

    def _end(self, shell: Shell) -> None:
        with self._lock:
            self.open.pop(shell.id, None)
            commands = list(shell.commands.values())
            shell.commands.clear()
        for command in commands:
            command.process.close()

    def forget(self) -> None:
        """End all shells, as a restart of the service does."""
        for shell in list(self.open.values()):
            self._end(shell)


_OPERATIONS = {
    "Create": Shells._create,
    "Command": Shells._command,
    "Send": Shells._send,
    "Receive": Shells._receive,
    "Signal": Shells._signal,
    "Delete": Shells._delete,
}
