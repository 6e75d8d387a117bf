"""A session's way to its host: the connector, and the terminal on it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

from sshexec.connectors.base import Capability, Connector, Deadline, Phase
from sshexec.connectors.prompts import Prompts
from sshexec.connectors.terminal import Size, Terminal
from sshexec.errors import ConnectionLostError, SessionOverError, TerminalError
from sshexec.terminal.events import Ended, Noticed
from sshexec.terminal.questions import one_line
from sshexec.terminal.stage import Stage

Connect = Callable[[Prompts], Connector[Any, Any]]
"""Makes the connector of a session's host, and does not open it; its questions go to the prompts."""


class Line:
    """Opened, read and closed by the session's own thread; the rest may be called from any.

    Args:
        stage: the session's.
        connect: makes the connector.
        term: type of the terminal.
        environment: variables to set, as far as the host allows.
        command: what runs instead of the login shell.
    """

    def __init__(
        self, stage: Stage, connect: Connect, term: str, environment: Mapping[str, str], command: str | None
    ) -> None:
        self._stage = stage
        self._connect = connect
        self._term = term
        self._environment = dict(environment)
        self._command = command
        self._sizing = threading.Lock()
        self.connector: Connector[Any, Any] | None = None
        self.terminal: Terminal | None = None

    def open(self, prompts: Prompts, deadline: Deadline) -> Terminal:
        """Connect, log in and start the program.

        Args:
            prompts: where the login's questions go.
            deadline: by when.

        Raises:
            InputError, HostError: why it did not open.
            SessionOverError: nobody wants it any more.
        """
        connector = self._connect(prompts)
        with self._stage.lock:
            self.connector = connector
            self._stage.check()
        connector.on_phase = self._entered
        connector.open(deadline)
        size = self._stage.size
        self.terminal = connector.terminal(
            size, self._term, deadline, environment=self._environment, command=self._command
        )
        self._stage.open()
        if self._stage.size != size:
            self.send_size()
        return self.terminal

    def notices(self) -> list[Noticed]:
        """Return what the connector has to say of the connection."""
        connector = self.connector
        if connector is None:
            return []
        found, connector.notices = connector.notices, []
        return [Noticed("info", str(each.get("notice", "")), one_line(str(each.get("message", "")))) for each in found]

    def _entered(self, phase: Phase) -> None:
        self._stage.entered(phase.value)

    def send_size(self, by: int = 0) -> None:
        """Tell the host the size.

        Args:
            by: how many rows too few; where there is one row only, how many too many.
        """
        # One after the other, so that the last one wins on the host too.
        with self._sizing:
            size = self._stage.size
            if by:
                size = Size(size.columns, size.rows - by if size.rows > by else size.rows + by)
            if self.terminal is not None:
                with contextlib.suppress(ConnectionLostError):  # who reads tells
                    self.terminal.resize(size)

    def signal(self, name: str) -> None:
        """Send a signal (see `TerminalSession.signal`)."""
        if self.terminal is None or self.connector is None or Capability.SIGNALS not in self.connector.capabilities:
            raise TerminalError("the connection of this session has no signals")
        try:
            self.terminal.signal(name)
        except ConnectionLostError:
            raise SessionOverError("the program on the terminal has ended") from None

    def exited(self) -> Ended:
        """Return how the program ended, once its terminal has been read to the end."""
        status = signal = None
        if self.terminal is not None:
            status, signal = self.terminal.exit_status, self.terminal.exit_signal
        if signal is not None:
            signal = one_line(signal, 40)
            return Ended("exited", f"the program was ended by signal {signal}", exit_signal=signal)
        text = "the program has ended" if status is None else f"the program has ended with status {status}"
        return Ended("exited", text, exit_status=status)

    def break_off(self) -> None:
        """Have `open` end soon."""
        with self._stage.lock:
            connector = self.connector if self.terminal is None else None
        if connector is not None:
            connector.cancel()

    def close(self, free: Callable[[Connector[Any, Any]], None]) -> None:
        """Close the terminal and the connection.

        Args:
            free: called between the two, so that nobody else uses the connector.
        """
        connector = self.connector
        with contextlib.suppress(Exception):
            if self.terminal is not None:
                self.terminal.close()
        if connector is not None:
            with contextlib.suppress(Exception):
                free(connector)
            with contextlib.suppress(Exception):
                connector.close()
