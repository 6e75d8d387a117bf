"""The WinRS shell of a connection: made once, used again, deleted on every way out (MS-WSMV 3.1.4)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.winrm import faults, messages
from sshexec.connectors.winrm.commandline import Line
from sshexec.connectors.winrm.exchange import Exchange, Manner
from sshexec.connectors.winrm.faults import Fault
from sshexec.connectors.winrm.messages import Received, ShellMessages
from sshexec.connectors.winrm.wire import Aborted, NoAnswer
from sshexec.errors import AuthenticationError, ConnectionLostError, HostError, UnreachableError

LEAST = 0.5
"""Seconds of the shortest OperationTimeout that a service takes."""

_DELETE = 3.0
"""Seconds for deleting a shell."""


class Pace:
    """How long the service may keep an answer back.

    Args:
        operation: seconds until it has to say that there is nothing yet.
        read: seconds until it counts as gone.
    """

    def __init__(self, operation: float, read: float) -> None:
        self.operation = operation
        self.margin = max(1.0, read - operation)

    def wait(self, limit: Deadline) -> float:
        """Return the OperationTimeout of a request that is to be answered by then."""
        return max(LEAST, limit.remaining(self.operation) or 0.0)


class Shell:
    """One shell on the host, where commands are started.

    Args:
        exchange: the way to the host.
        name: its id.
        pace: how long the service may keep an answer back.
        environment: with what it was made.
        directory: likewise.
    """

    def __init__(
        self, exchange: Exchange, name: str, pace: Pace, environment: Mapping[str, str], directory: str | None
    ) -> None:
        self._exchange = exchange
        self._messages = ShellMessages(name)
        self._pace = pace
        self.environment = dict(environment)
        self.directory = directory

    @classmethod
    def open(
        cls,
        exchange: Exchange,
        pace: Pace,
        environment: Mapping[str, str],
        directory: str | None,
        deadline: Deadline,
    ) -> Shell:
        """Make a shell.

        Raises:
            Fault, NoAnswer, HostError: there is none.
        """
        wait = pace.wait(deadline)
        request = messages.create(environment, directory, wait)
        limit = deadline.sooner(wait + pace.margin)
        answer = exchange.ask(request, limit, Manner.FIRM, once=True)
        return cls(exchange, messages.shell_of(answer), pace, environment, directory)

    def command(self, line: Line, deadline: Deadline) -> str:
        """Start a command; return its id.

        Its standard input is a pipe, not a console (WINRS_CONSOLEMODE_STDIN): that has no end that `send` could tell.

        Raises:
            Fault: it was not started.
            NoAnswer, HostError: it may have been.
        """
        wait = self._pace.wait(deadline)
        request = self._messages.command(line.text, wait)
        answer = self._exchange.ask(request, deadline.sooner(wait + self._pace.margin), Manner.FIRM, once=True)
        return messages.command_of(answer)

    def room(self, command: str) -> int:
        """Return how many bytes one `send` takes."""
        return self._messages.room(command, self._exchange.wire.max_envelope)

    def send(self, command: str, data: bytes, wait: float, limit: Deadline, *, end: bool) -> None:
        """Take a piece of standard input to a command.

        Raises:
            Fault: it was not taken, or not in time.
            NoAnswer, HostError: it may have been.
        """
        self._exchange.ask(self._messages.send(command, data, wait, end=end), limit, once=True)

    @property
    def repeated(self) -> int:
        """How many messages were sent again whose first answer, such as output, may be lost."""
        return self._exchange.wire.repeated

    def receive(self, command: str, wait: float, limit: Deadline, manner: Manner = Manner.LOOSE) -> Received:
        """Return what a command has printed since the last time; waits for it.

        Raises:
            Fault: there was nothing within ``wait`` seconds, or the command is gone.
            NoAnswer, HostError: the host said nothing.
        """
        return messages.received_of(self._exchange.ask(self._messages.receive(command, wait), limit, manner), command)

    def signal(self, command: str, code: str, limit: Deadline) -> None:
        """Send a signal: ``ctrl_c``, or ``terminate``, which ends the command and frees its place.

        Raises:
            Fault, NoAnswer, HostError: it may not have arrived.
        """
        request = self._messages.signal(command, code, self._pace.wait(limit))
        self._exchange.ask(request, limit, Manner.SHIELDED)

    def delete(self, limit: Deadline) -> None:
        """Delete the shell, and end all that runs in it.

        Raises:
            Fault, NoAnswer, HostError: it may be there still.
        """
        self._exchange.ask(self._messages.delete(self._pace.wait(limit)), limit, Manner.SHIELDED)


class Shells:
    """The one shell of a connection at a time.

    Args:
        exchange: the way to the host.
        pace: how long the service may keep an answer back.
    """

    def __init__(self, exchange: Exchange, pace: Pace) -> None:
        self._exchange = exchange
        self.pace = pace
        self.current: Shell | None = None

    def ready(self, environment: Mapping[str, str], directory: str | None, deadline: Deadline) -> Shell:
        """Return a shell with these variables in this directory; another one is deleted.

        Raises:
            HostError: the host makes none.
            NoAnswer: it did not answer.
        """
        shell = self.current
        if shell is not None:
            if shell.environment == environment and shell.directory == directory:
                return shell
            self.current = None
            # Where the host refuses the login, that is to be told: another attempt might lock the account.
            with contextlib.suppress(Fault, NoAnswer, ConnectionLostError):
                shell.delete(deadline.sooner(_DELETE))
        try:
            self.current = Shell.open(self._exchange, self.pace, environment, directory, deadline)
        except Fault as fault:
            raise _refused(fault, directory) from None
        return self.current

    def drop(self, limit: Deadline | None = None) -> bool:
        """Delete the shell; return whether it is certain that it is gone, and all that ran in it."""
        shell, self.current = self.current, None
        if shell is None:
            return True
        try:
            shell.delete(limit or Deadline.after(_DELETE))
        except Fault as fault:
            return fault.code == faults.NO_SHELL
        except (NoAnswer, Aborted, HostError):
            return False
        return True

    def forget(self) -> None:
        """Take note that the host has no such shell any more, or that nothing can be said to it."""
        self.current = None


def _refused(fault: Fault, directory: str | None) -> HostError:
    """Return why a host made no shell."""
    if fault.code == faults.MAX_SHELLS:
        return UnreachableError(
            f"the host is busy: this user has as many shells open as it may ({fault.reason}); "
            "close some, try later, or raise MaxShellsPerUser (winrm/config/winrs)"
        )
    if fault.code == faults.MAX_OPERATIONS:
        return UnreachableError(
            f"the host is busy: this user has as many operations under way as it may ({fault.reason}); "
            "try later, or raise MaxConcurrentOperationsPerUser (winrm/config/service)"
        )
    if fault.code == faults.ACCESS_DENIED:
        return AuthenticationError(
            f"the user logged in and may not use WinRM ({fault.reason}); add it to Remote Management Users"
        )
    if fault.code == faults.OPERATION_TIMEOUT:
        return UnreachableError(f"the host made no shell in time ({fault.reason}); it may be overloaded")
    if directory is not None:
        # There was one when the connection was opened, so it is the directory.
        return HostError(f"the host made no shell in {directory}: {fault.words}")
    return UnreachableError(f"the host made no shell: {fault.words}")
