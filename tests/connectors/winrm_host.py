"""A connection to the endpoint of tests/winrm_server, for tests of the WinRM connector."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from sshexec.connectors.base import Command, Completed, Deadline, Form, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.winrm.connector import WinrmConnector
from tests.winrm_server import WinrmServer

SOON = 30.0
"""Seconds within which anything here is over."""


def connector(server: WinrmServer, timeouts: Timeouts | None = None, **variables: Any) -> WinrmConnector:
    """Return a connector that leads to the endpoint."""
    options = WinrmConnector.Options.from_vars(server.variables(**variables), "win1")
    context = WinrmConnector.Context()
    context.check(options)
    return WinrmConnector("win1", options, context, timeouts or Timeouts())


@contextlib.contextmanager
def opened(
    server: WinrmServer, timeouts: Timeouts | None = None, *, left: int = 0, **variables: Any
) -> Iterator[WinrmConnector]:
    """Return an open one, and see that it leaves no shell, or so many."""
    connection = connector(server, timeouts, **variables)
    connection.open(Deadline.after(SOON))
    try:
        yield connection
    finally:
        connection.close()
    assert len(server.shells) == left


def run(
    connection: WinrmConnector,
    script: str,
    stdin: Any = None,
    form: Form = Form.CMD,
    seconds: float = SOON,
    **more: Any,
) -> tuple[Completed, Output]:
    """Run a command."""
    output = Output()
    done = connection.execute(Command(script, stdin, form=form, **more), output, Deadline.after(seconds))
    return done, output


def open_and_run(connection: WinrmConnector, script: str, stdin: Any = None) -> tuple[Completed, Output]:
    """Open a connection and run a command on it."""
    connection.open(Deadline.after(SOON))
    return run(connection, script, stdin)


def until(condition: Callable[[], Any]) -> None:
    """Wait for something that is bound to happen."""
    limit = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)
