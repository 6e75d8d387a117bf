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


class Manner(enum.Enum):
    """What becomes of a request in progress when the caller cancels."""

    LOOSE = (0.0, 0.1, 0.5, 1.0)
    """It is broken off. (Seconds between attempts: the first may come before the request waits for anything.)"""
    FIRM = (2.0, 1.0, 1.0)
    """The host gets a moment to answer, since its answer names what is to be ended."""
    SHIELDED = ()
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
        self._number = 0
        self._manner: Manner | None = None
        self._ended = threading.Event()

    def ask(self, request: Request, deadline: Deadline, manner: Manner = Manner.LOOSE, *, once: bool = False) -> Element:
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
            if manner is Manner.SHIELDED:
                try:
                    answer = self.wire.send(request.body, deadline, once=once)
                except Aborted:
                    # Meant for the request before this one, which had its answer by then.
                    answer = self.wire.send(request.body, deadline, once=once)
            else:
                answer = self.wire.send(request.body, deadline, once=once)
        try:
            request.check(answer)
        except ConnectionLostError:
            self.wire.abort()
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
            self._number += 1
            self._manner = manner
            self._ended = ended
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
            ended.set()

    def interrupt(self) -> None:
        """Break off the request in progress, if there is one that may be; from any thread."""
        with self._lock:
            number, manner, ended = self._number, self._manner, self._ended
        if manner is not None and manner.value:
            waits = threading.Thread(target=self._insist, args=(number, manner, ended), daemon=True)
            waits.start()

    def _insist(self, number: int, manner: Manner, ended: threading.Event) -> None:
        for pause in manner.value:
            if ended.wait(pause):
                return
            with self._lock:
                if self._number != number or self._manner is None:
                    return
                self.wire.abort()
