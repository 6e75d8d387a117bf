"""What a conversation needs of a WebSocket, whichever server has it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["LARGEST_MESSAGE", "SUBPROTOCOL", "Connection", "ConnectionClosed", "sendable"]

SUBPROTOCOL = "sshexec.term.v1"
"""What a client must offer; docs/web-protocol.md describes it."""

LARGEST_MESSAGE = 64 * 1024
"""Bytes of one message from a client, at most."""


class ConnectionClosed(Exception):
    """The WebSocket is closed, or broken.

    Args:
        code: why, as RFC 6455 §7.4 numbers it; 1006 where the other side did not say.
        reason: one line.
    """

    def __init__(self, code: int = 1006, reason: str = "") -> None:
        super().__init__(f"the WebSocket is closed ({code}{', ' if reason else ''}{reason})")
        self.code = code
        self.reason = reason


def sendable(code: int) -> int:
    """Return a close code that may be sent: some only say that none was (RFC 6455 §7.4.1)."""
    return 1000 if code in (1004, 1005, 1006, 1015) or not 1000 <= code < 5000 else code


class Connection(Protocol):
    """A WebSocket that is open: one thread receives, any thread sends and closes."""

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Return the next message: text or bytes; None where none came in time.

        Args:
            timeout: seconds that it may take until a message is whole; None waits as long as the other side lives.

        Raises:
            ConnectionClosed: no message will come any more.
        """
        ...

    def send(self, message: str | bytes) -> None:
        """Send a message whole, waiting while the other side takes none.

        Raises:
            ConnectionClosed: it cannot be sent, or was not taken in time.
        """
        ...

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye, give the other side a moment to answer, and end it; safe to call twice, from any thread."""
        ...
