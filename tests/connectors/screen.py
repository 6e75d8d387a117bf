"""What a test reads from a terminal."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from sshexec.connectors.base import Deadline, Timeouts
from sshexec.connectors.prompts import Prompts
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.terminal import Size, Terminal

PATIENCE = 30.0
"""Seconds after which a test calls a terminal stuck."""


def until(terminal: Terminal, text: bytes) -> bytes:
    """Read until a text has come; return all that was read."""
    got = b""
    end = time.monotonic() + PATIENCE
    while text not in got:
        assert time.monotonic() < end, got[-2000:]
        data = terminal.read(1.0)
        assert data != b"", got[-2000:]
        got += data or b""
    return got


def rest(terminal: Terminal) -> bytes:
    """Read to the end."""
    got = b""
    end = time.monotonic() + PATIENCE
    while (data := terminal.read(1.0)) != b"":
        assert time.monotonic() < end, got[-2000:]
        got += data or b""
    return got


def settle(condition: Callable[[], Any]) -> None:
    """Wait until something is so, or fail."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not settle"
        time.sleep(0.01)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def connected(
    variables: dict[str, Any], prompts: Prompts | None = None, timeouts: Timeouts | None = None, **options: Any
) -> Iterator[SshConnector]:
    """Log in, and log out behind the block."""
    context = SshContext()
    if prompts is not None:
        context.prompts = prompts
    chosen = dataclasses.replace(SshConnector.Options.from_vars(variables, "web1"), **options)
    connector = SshConnector("web1", chosen, context, timeouts or Timeouts())
    try:
        connector.open(Deadline.after(PATIENCE))
        yield connector
    finally:
        connector.close()
        context.close()


def shell(connector: Any, command: str | None = None, size: Size | None = None, **more: Any) -> Any:
    """Open a terminal."""
    return connector.terminal(size or Size(), "xterm-256color", Deadline.after(PATIENCE), command=command, **more)
