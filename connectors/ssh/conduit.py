"""What may stand in a socket's place under a link: a byte stream that has no descriptor of its own."""

from __future__ import annotations

import select
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeAlias


class Conduit(ABC):
    """A byte stream, with the few methods of a socket that a link calls."""

    @abstractmethod
    def recv(self, size: int) -> bytes:
        """Wait for bytes and return them, b"" at the end; they may be more than ``size``."""

    @abstractmethod
    def sendmsg(self, buffers: Sequence[bytes | memoryview], ancillary: object = (), flags: int = 0) -> int:
        """Send what can be sent without waiting; return how many bytes that was.

        Raises:
            BlockingIOError: nothing can be sent now.
            OSError: nothing can be sent any more.
        """

    @abstractmethod
    def wait_writable(self, seconds: float) -> bool:
        """Wait until `sendmsg` may send something; return False where the seconds passed first."""

    @abstractmethod
    def trouble(self, silent: bool = False) -> str:
        """Return what is wrong with what carries the stream, "" where nothing is known to be.

        Args:
            silent: the far end is silent; whether what carries the stream is silent too counts as well then.
        """

    @abstractmethod
    def shutdown(self, how: int) -> None:
        """Wake whoever waits: nothing is received or sent any more."""

    @abstractmethod
    def close(self) -> None:
        """Close it; safe to call twice, from any thread."""

    def settimeout(self, seconds: float | None) -> None:  # noqa: B027 - Paramiko calls it, nobody needs it
        """Do nothing: links wait without a time-out, and are woken."""


Wire: TypeAlias = socket.socket | Conduit
"""What carries a link's bytes."""


def waiter(wire: Wire) -> Callable[[float], object]:
    """Return a function that waits so many seconds at most until a wire takes bytes; its result is true if it does.

    Raises:
        OSError, ValueError: the socket is closed.
    """
    if isinstance(wire, Conduit):
        return wire.wait_writable
    poll = select.poll()
    poll.register(wire, select.POLLOUT)
    return lambda seconds: poll.poll(seconds * 1000)
