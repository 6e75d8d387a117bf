"""Requests to one host, one at a time, and their interruption from another thread."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from xml.etree.ElementTree import Element

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.winrm.messages import Request
from sshexec.connectors.winrm.wire import Aborted, Wire
from sshexec.errors import ConnectionLostError

_PATIENCE = 2.0
"""Seconds that a host has to finish a `Manner.FIRM` answer."""


class Manner(enum.Enum):
    """What becomes of a request in progress when the caller cancels."""

    LOOSE = "loose"
    """It is broken off."""
    FIRM = "firm"
    """The host gets a moment to answer, since the answer names what is to be ended."""
    SHIELDED = "shielded"
    """Nothing: it ends something, and has a short deadline of its own."""


class Exchange:
    """The way to one host.

    Args:
        wire: the session.
        guard: raises CancelledError where the caller has cancelled.
    """

    def __init__(self, wire: Wire, guard: Callable[[], None]) -> None:
        self.wire = wire
        self._guard = guard
        self._lock = threading.Lock()
        self._manner: Manner | None = None
        self._ended = threading.Event()

    def ask(
        self, request: Request, deadline: Deadline, manner: Manner = Manner.LOOSE, *, once: bool = False
    ) -> Element:
        """Send a request and return the answer.

        Args:
            request: what to send.
            deadline: by when the answer has to be there.
            manner: what becomes of it when the caller cancels.
            once: whether it must not have an effect twice.

        Raises:
            CancelledError: the caller cancelled.
            Fault, NoAnswer, UnreachableError: as `Wire.send`.
        """
        with self.interruptible(manner):
            answer = self.wire.send(request.body, deadline, once=once)
        try:
            request.check(answer)
        except ConnectionLostError:
            self.wire.close()  # what else is on its way belongs to nothing either
            raise
        return answer

    @contextmanager
    def interruptible(self, manner: Manner) -> Iterator[None]:
        """Let `interrupt` break off what is done within.

        Raises:
            CancelledError: it did.
        """
        ended = threading.Event()
        with self._lock:
            self._manner, self._ended = manner, ended
        try:
            if manner is not Manner.SHIELDED:
                self._guard()
            yield
        except Aborted:
            self._guard()
            raise ConnectionLostError("the connection was closed") from None
        finally:
            with self._lock:
                self._manner = None
                self.wire.resume()  # an abort that came with the answer is not meant for the next request
            ended.set()

    def interrupt(self) -> None:
        """Break off the request in progress, if there is one that may be; from any thread."""
        with self._lock:
            if self._manner is Manner.LOOSE:
                self.wire.abort()
            elif self._manner is Manner.FIRM:
                threading.Thread(target=self._later, args=(self._ended,), daemon=True).start()

    def _later(self, ended: threading.Event) -> None:
        if ended.wait(_PATIENCE):
            return
        with self._lock:
            if self._ended is ended and self._manner is not None:
                self.wire.abort()
