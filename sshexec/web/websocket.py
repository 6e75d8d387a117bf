"""A WebSocket on the socket of any WSGI server that hands it over: gevent's, Werkzeug's threaded one, gunicorn.

The frames are wsproto's; the rest is what libraries of this kind leave out (simple-websocket 1.1.0 sends with `send`
and loses what did not fit: miguelgrinberg/simple-websocket#45): whole messages under one lock, no compression, limits.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from typing import Any

from wsproto.connection import Connection as Frames
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, TextMessage
from wsproto.utilities import LocalProtocolError

from sshexec.connectors.deadline import together
from sshexec.web.connection import LARGEST_MESSAGE, ConnectionClosed, sendable
from sshexec.web.pace import Pace

__all__ = ["WebSocket"]

PING_TIME = 20.0
"""Seconds of silence after which the other side is asked whether it is there."""

DEAD_TIME = 60.0
"""Seconds of silence after which it is not."""

SEND_TIME = 30.0
"""Seconds that one message may take to be sent."""

CLOSE_TIME = 5.0
"""Seconds that the other side has to answer a goodbye."""

MOST_FRAGMENTS = 1024
"""Frames that one message may come in."""

PIECE = 16 * 1024
"""Bytes that are read at once."""


class WebSocket:
    """The server's side of an open WebSocket (a `Connection`).

    Args:
        sock: blocking, or gevent's; stays its owner's, who closes it.
        first: what was read from it already, behind the request.
    """

    def __init__(self, sock: socket.socket, first: bytes = b"") -> None:
        self._socket = sock
        self._frames = Frames(ConnectionType.SERVER, trailing_data=first)
        self._sending = threading.RLock()
        self._receiving = threading.Lock()
        self._over = threading.Event()
        self._pace = Pace()
        self._pieces: list[Any] = []
        self._size = 0
        self._fragments = 0
        self._broken = False
        self._events = self._frames.events()
        self._heard = self._pinged = time.monotonic()
        self._closed: ConnectionClosed | None = None
        sock.settimeout(SEND_TIME)
        with contextlib.suppress(OSError):  # a Unix socket has no such option
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Return the next message, as `Connection.receive`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._receiving:
            while True:
                for event in self._events:
                    message = self._take(event)
                    if message is not None:
                        return message
                self._fail_if_over()
                if self._broken or not self._fill(deadline):
                    return None

    def send(self, message: str | bytes) -> None:
        """Send a message, as `Connection.send`."""
        self._send(BytesMessage(message) if isinstance(message, bytes) else TextMessage(message))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End it, as `Connection.close`."""
        with contextlib.suppress(ConnectionClosed):
            self._send(CloseConnection(sendable(code), reason))
        if not self._receiving.acquire(blocking=False):
            self._over.wait(CLOSE_TIME)
            return self._end(ConnectionClosed(code, reason))
        try:
            self._linger()
            self._end(ConnectionClosed(code, reason))
            # What is left would be the server's next request. Nothing is added to it: the system resets the connection
            # instead (RFC 1122 §4.2.2.13).
            while self._read():
                pass
        finally:
            self._receiving.release()
        return None

    # What comes in.

    def _fill(self, deadline: float | None) -> bool:
        """Read what is there, waiting for it; return whether there is time left to look at it."""
        now = time.monotonic()
        if now - self._heard >= DEAD_TIME:
            self._end(ConnectionClosed(1006, "the other side is silent"))
            return True
        if now - max(self._heard, self._pinged) >= PING_TIME:
            self._pinged = now
            self._send(Ping())
        until = together(max(self._heard, self._pinged) + PING_TIME, PING_TIME / 4)
        if not self._readable((until if deadline is None else min(until, deadline)) - now):
            return deadline is None or time.monotonic() < deadline
        data = self._read()
        if data:
            self._heard = time.monotonic()
            self._frames.receive_data(data)
            self._events = self._frames.events()
        else:
            self._end(ConnectionClosed(1006, "the connection broke"))
        return True

    def _read(self) -> bytes:
        # Two threads may use a socket at once, but not one of TLS (python/cpython#124984).
        alone = self._sending if hasattr(self._socket, "pending") else contextlib.nullcontext()
        try:
            with alone:
                return self._socket.recv(PIECE)
        except OSError:
            return b""

    def _readable(self, timeout: float) -> bool:
        """Wait until there is something to read.

        A socket has one time-out, and that is for sending: so the waiting for input is done beside it.
        """
        pending = getattr(self._socket, "pending", None)  # what TLS has read already
        if pending is not None and pending():
            return True
        poll = select.poll()
        try:
            poll.register(self._socket, select.POLLIN)
        except (OSError, ValueError):
            return True  # it was closed: reading says so
        return bool(poll.poll(max(0.0, timeout) * 1000))

    def _take(self, event: Event) -> str | bytes | None:
        """Work off one event; return a message that is whole."""
        self._pace.step()
        if isinstance(event, Message):
            return self._gather(event)
        if isinstance(event, Ping):
            with contextlib.suppress(ConnectionClosed):  # it may be closing
                self._send(event.response())
        elif isinstance(event, CloseConnection):
            if self._frames.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
                raise self._fail(int(event.code), "that is no frame of a WebSocket")  # wsproto says it like this
            with contextlib.suppress(ConnectionClosed):  # it is the answer to ours
                self._send(event.response())
            self._end(ConnectionClosed(int(event.code), event.reason or ""))
        return None

    def _gather(self, event: Message[Any]) -> str | bytes | None:
        """Add a piece to the message that it belongs to."""
        data = event.data
        self._size += len(data) if isinstance(data, (bytes, bytearray)) or data.isascii() else len(data.encode())
        self._fragments += event.frame_finished
        if self._size > LARGEST_MESSAGE or self._fragments > MOST_FRAGMENTS:
            raise self._fail(1009, f"a message may have {LARGEST_MESSAGE} bytes in {MOST_FRAGMENTS} frames")
        self._pieces.append(data)
        if not event.message_finished:
            return None
        pieces, self._pieces, self._size, self._fragments = self._pieces, [], 0, 0
        return "".join(pieces) if isinstance(data, str) else b"".join(pieces)

    # How it ends.

    def _send(self, event: Event) -> None:
        with self._sending:
            self._fail_if_over()
            try:
                self._socket.sendall(self._frames.send(event))
            except LocalProtocolError:
                raise ConnectionClosed(1000, "it is being closed") from None
            except OSError as error:
                stalled = isinstance(error, TimeoutError)
                self._end(ConnectionClosed(1006, "the other side takes nothing" if stalled else "it broke"))
                self._fail_if_over()

    def _fail(self, code: int, reason: str) -> ConnectionClosed:
        """Say what the other side did wrong; nothing is made of what it sends any more."""
        with contextlib.suppress(ConnectionClosed):
            self._send(CloseConnection(code, reason))
        self._broken = True
        return ConnectionClosed(code, reason)

    def _linger(self) -> None:
        """Give the other side time to take what was sent, and to answer.

        A socket that is closed while something is there to read is reset, and what was sent is lost with it.
        """
        deadline = time.monotonic() + CLOSE_TIME
        if self._broken:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
        while not self._over.is_set() and (left := deadline - time.monotonic()) > 0:
            if not self._readable(left):
                return
            data = self._read()
            if not data:
                return
            self._pace.step()
            if not self._broken:
                self._discard(data)

    def _discard(self, data: bytes) -> None:
        """Look for nothing but the goodbye."""
        try:
            self._frames.receive_data(data)
            if any(isinstance(event, CloseConnection) for event in self._frames.events()):
                self._over.set()  # or it is no frame: then there is nothing to wait for either
        except LocalProtocolError:
            self._broken = True

    def _end(self, closed: ConnectionClosed) -> None:
        """Have it over; whoever waits goes on."""
        if self._closed is None:
            self._closed = closed
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._over.set()

    def _fail_if_over(self) -> None:
        if self._closed is not None:
            raise ConnectionClosed(self._closed.code, self._closed.reason)
