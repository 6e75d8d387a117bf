"""Files to and from the host of a session, on its own connection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from sshexec.connectors.base import Capability, Connector, Deadline, Source
from sshexec.errors import NotAllowedError, TerminalError
from sshexec.terminal.line import Line
from sshexec.terminal.stage import Stage

_TURN = 60.0
"""Seconds that a transfer waits for the one before it."""

_END = 5.0
"""Seconds that one has to end, once the session has."""


class Transfers:
    """The transfers of one session, one at a time.

    Args:
        stage: the session's.
        line: what they go over.
    """

    def __init__(self, stage: Stage, line: Line) -> None:
        self._stage = stage
        self._line = line
        self._turn = threading.Lock()

    def put(self, source: Source, path: str, mode: int | None, progress: Callable[[int], None] | None) -> None:
        """See `TerminalSession.put`."""
        if self._stage.policy.read_only:
            raise NotAllowedError("the session is read-only")
        self._during(lambda connector, limit: connector.put(source, path, limit, mode=mode, progress=progress))

    def get(self, path: str, target: BinaryIO, progress: Callable[[int], None] | None) -> None:
        """See `TerminalSession.get`."""
        self._during(lambda connector, limit: connector.get(path, target, limit, progress=progress))

    def _during(self, work: Callable[[Connector[Any, Any], Deadline], None]) -> None:
        stage = self._stage
        with stage.lock:
            self._check()
        if not self._turn.acquire(timeout=_TURN):
            raise TerminalError("another file is being transferred in this session; try again once it is done")
        try:
            with stage.lock:
                self._check()
                connector = self._line.connector
            if connector is None or Capability.FILES not in connector.capabilities:
                raise TerminalError("the connection of this session has no files")
            work(connector, Deadline.after(stage.policy.max_time))
        finally:
            self._turn.release()

    def _check(self) -> None:
        """Raise, with the stage's lock held, where nothing may be transferred."""
        self._stage.check_open()
        if self._stage.paused is not None:
            raise NotAllowedError("the session is paused")

    def end(self, connector: Connector[Any, Any]) -> None:
        """Break off what is under way, once the session has ended: the connector is about to be closed."""
        if not self._turn.acquire(blocking=False):
            connector.cancel()
            if not self._turn.acquire(timeout=_END):
                return
        self._turn.release()  # whoever waits for it hears that the session has ended
