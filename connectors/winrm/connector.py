"""The WinRM connector."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, ClassVar

from sshexec.connectors.base import Capability, Command, Completed, Connector, Deadline, Form, Phase, Timeouts, Upload
from sshexec.connectors.deadline import unguarded
from sshexec.connectors.output import Output, Take
from sshexec.connectors.source import Source
from sshexec.connectors.winrm.context import WinrmContext
from sshexec.connectors.winrm.exchange import Exchange, Manner
from sshexec.connectors.winrm.execution import Execution
from sshexec.connectors.winrm.files import Files
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.connectors.winrm.program import Program
from sshexec.connectors.winrm.shell import Pace, Shells
from sshexec.connectors.winrm.wire import NoAnswer, Wire
from sshexec.errors import CancelledError, ConnectionLostError, ConnectTimeoutError, HostError

_LAST_WORDS = 3.0
"""Seconds for deleting the shell of a connection that is closed."""


class WinrmConnector(Connector[WinrmOptions, WinrmContext]):
    """One WinRM session with one Windows host, and one shell there (see `Connector`)."""

    name: ClassVar[str] = "winrm"
    capabilities: ClassVar[Capability] = Capability.FILES | Capability.WINDOWS
    Options = WinrmOptions
    Context = WinrmContext

    def __init__(self, host: str, options: WinrmOptions, context: WinrmContext, timeouts: Timeouts) -> None:
        super().__init__(host, options, context, timeouts)
        self._phase = Phase.WAITING
        self._wire: Wire | None = None
        self._exchange: Exchange | None = None
        self._shells: Shells | None = None
        self._cancelled = False
        self._owner = os.getpid()

    def enter(self, phase: Phase) -> None:
        """Tell the listener, and remember for errors, what the host is busy with now."""
        self._phase = phase
        super().enter(phase)

    @property
    def alive(self) -> bool:
        """Whether the connection is open as far as this side knows."""
        return self._wire is not None and self._wire.alive

    def open(self, deadline: Deadline) -> None:
        """Connect, log in and make a shell (see `Connector.open`)."""
        with self._errors():
            self.close()
            self._owner = os.getpid()
            self._tell()  # first: what is misspelt may be why the login fails
            try:
                self._open(deadline)
            except BaseException:
                self.close()
                raise

    def _open(self, deadline: Deadline) -> None:
        wire = self._wire = Wire(self.host, self.options, self.context)
        wire.on_phase, wire.on_answer = self.enter, self.answered
        exchange = self._exchange = Exchange(wire, self._guard)
        with exchange.interruptible(Manner.LOOSE):
            wire.open(deadline, self.timeouts.connect, self.timeouts.auth)
        shells = self._shells = Shells(exchange, Pace(self.options.operation_timeout, self.options.read_timeout))
        try:
            # The first thing that is said: by basic and by certificate, this is the login.
            shells.ready({}, None, deadline.sooner(self.timeouts.auth))
        except NoAnswer:
            raise ConnectTimeoutError("the host took the connection, and did not answer in time") from None

    def _tell(self) -> None:
        """Note what is worth knowing of the settings."""
        if self.options.unknown:
            names = ", ".join(self.options.unknown)
            self.notices.append(
                {
                    "notice": "unknown_variables",
                    "message": f"unknown variables: {names}",
                    "names": self.options.unknown,
                    "problem": names,
                }
            )
        if self.options.scheme == "https" and self.options.validation == "ignore":
            self.notices.append(
                {
                    "notice": "certificate_not_checked",
                    "message": "the host's certificate is not checked (ansible_winrm_server_cert_validation: ignore)",
                }
            )

    def execute(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        """Run a command (see `Connector.execute`)."""
        with self._errors():
            self._ready()
            self.enter(Phase.RUNNING)
            if command.form is not Form.PROGRAM:
                return self._run(command, output.write, deadline, on_gap=self._note_gap)
            program = Program(command)
            take = program.watched(output.write)
            try:
                completed = self._run(program.command, take, deadline, program.stdin, on_gap=self._note_gap)
            finally:
                program.settle()
            program.check()
            return completed

    def _run(
        self,
        command: Command,
        take: Take,
        deadline: Deadline,
        stdin: Iterable[bytes] | None = None,
        *,
        cleaning: bool = False,
        on_gap: Callable[[], None] | None = None,
    ) -> Completed:
        """Run a command and hand on what it prints.

        Args:
            command: what to run.
            take: gets the output; what it raises ends the command and is raised as it is.
            deadline: by when.
            stdin: what it reads, instead of the command's own.
            cleaning: whether it runs although the caller has cancelled, to clear up after that.
            on_gap: called where output may be lost.
        """
        guard = unguarded if cleaning else self._guard
        shells, idle = self._ready(guard), self.timeouts.idle
        run = Execution(shells, command, take, deadline, idle=idle, guard=guard, stdin=stdin, on_gap=on_gap)
        return run.run()

    def _note_gap(self) -> None:
        self.notices.append(
            {
                "notice": "output_gap",
                "message": "the connection broke while output was on its way, and was made again; some may be missing",
                "problem": "the connection broke meanwhile, and was made again",
            }
        )

    def put(
        self,
        source: Source,
        path: str,
        deadline: Deadline,
        *,
        mode: int | None = None,
        progress: Callable[[int], None] | None = None,
        sha1: str | None = None,
    ) -> None:
        """Write a file (see `Connector.put`)."""
        with self._errors():
            self._transfer().put(Upload(source, path, mode, sha1), deadline, progress=progress)

    def get(
        self,
        path: str,
        target: BinaryIO,
        deadline: Deadline,
        *,
        progress: Callable[[int], None] | None = None,
        offset: int = 0,
    ) -> None:
        """Read a file (see `Connector.get`)."""
        with self._errors():
            self._transfer().get(path, target, deadline, progress=progress, offset=offset)

    def put_all(
        self, uploads: Sequence[Upload], deadline: Deadline, *, progress: Callable[[int], None] | None = None
    ) -> None:
        """Write several files by one PowerShell (see `Connector.put_all`)."""
        with self._errors():
            self._transfer().put_all(uploads, deadline, progress=progress)

    def get_all(self, paths: Sequence[str], take: Callable[[int, bytes], None], deadline: Deadline) -> None:
        """Read several small files by one PowerShell (see `Connector.get_all`)."""
        with self._errors():
            self._transfer().get_all(paths, take, deadline)

    def _transfer(self) -> Files:
        self._ready()
        self.enter(Phase.TRANSFERRING)
        return Files(self._run)

    def cancel(self) -> None:
        """Make the call in progress, or the next one, end with CancelledError soon; from any thread."""
        self._cancelled = True
        exchange = self._exchange
        if exchange is not None:
            exchange.interrupt()

    def close(self) -> None:
        """Delete the shell and close the connection; safe to call twice and after a failed `open`."""
        wire, shells = self._wire, self._shells
        self._wire = self._exchange = self._shells = None
        if wire is None:
            return
        try:
            # A forked child has no say in its parent's shell.
            if shells is not None and os.getpid() == self._owner:
                shells.drop(Deadline.after(_LAST_WORDS))
        finally:
            wire.close()

    def _guard(self) -> None:
        if self._cancelled:
            self._cancelled = False
            raise CancelledError("cancelled")

    def _ready(self, guard: Callable[[], None] | None = None) -> Shells:
        (guard or self._guard)()
        if self._shells is None:
            raise ConnectionLostError("the connection is not open; nothing was run", started=False)
        return self._shells

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Give every error of a host its name and phase."""
        try:
            yield
        except HostError as error:
            error.host = error.host or self.host
            error.phase = error.phase or self._phase.value
            raise
