"""A byte stream over a `direct-tcpip` channel of a connection that many share (RFC 4254 §7.2).

Nobody who shares the connection may hold up the others: what its socket does not take at once waits in a `Backlog`,
and a stream that the far end does not empty keeps only itself waiting, by its channel's window.
"""

from __future__ import annotations

import _thread
import errno
import socket
import threading
from collections.abc import Callable, Sequence

from sshexec.connectors.base import Deadline
from sshexec.connectors.ssh.channel import Channel
from sshexec.connectors.ssh.conduit import Conduit, Wire, waiter
from sshexec.connectors.ssh.keys import strings
from sshexec.connectors.ssh.transport import Link, LinkDownError, Signal

_FULL = 256 * 1024
"""Bytes in a backlog from which on streams send nothing more; packets without data still join it."""

_LOOK = 1.0
"""Seconds between two looks of the one who empties a backlog at whether the connection is still there."""


class Backlog:
    """What a shared connection has still to send; emptied by a thread of its own, which lives as long as there is some.

    Args:
        wire: where it goes.
        broken: called where it can't be sent any more.
    """

    def __init__(self, wire: Wire, broken: Callable[[], None]) -> None:
        self._wire = wire
        self._broken = broken
        self._lock = threading.Lock()
        self._pieces: list[bytes] = []
        self._draining = False
        self._failed = False
        self._waiting: set[Signal] = set()
        self.size = 0
        """Bytes that wait."""

    def put(self, out: bytes) -> None:
        """Send bytes, or keep those for later that the socket does not take now; never waits.

        Raises:
            EOFError: the connection is gone.
        """
        with self._lock:
            if self._failed:
                raise EOFError
            if not self._draining:
                try:
                    sent = self._wire.sendmsg((out,), (), socket.MSG_DONTWAIT)
                    if sent == len(out):
                        return
                    out = out[sent:]
                except BlockingIOError:
                    pass
                except (OSError, ValueError):
                    raise EOFError from None
                try:
                    _thread.start_new_thread(self._drain, ())
                except RuntimeError:
                    raise EOFError from None
                self._draining = True
            self._pieces.append(out)
            self.size += len(out)

    def full(self, signal: Signal) -> bool:
        """Return whether no data may join; then the signal is set when some may."""
        with self._lock:
            if self.size < _FULL:
                return False
            self._waiting.add(signal)
            return True

    def _drain(self) -> None:
        try:
            wait = waiter(self._wire)
            while (out := self._next()) is not None:
                rest = memoryview(out)
                while rest:
                    wait(_LOOK)
                    try:
                        rest = rest[self._wire.sendmsg((rest,), (), socket.MSG_DONTWAIT) :]
                    except BlockingIOError:
                        continue
                with self._lock:
                    self.size -= len(out)
                    waiting, self._waiting = self._waiting, set()
                for signal in waiting:
                    signal.set()
        except (OSError, ValueError):
            with self._lock:
                self._failed = True
                self._pieces.clear()
            self._broken()

    def _next(self) -> bytes | None:
        with self._lock:
            if not self._pieces:
                self._draining = False
                return None
            out = b"".join(self._pieces)
            self._pieces.clear()
            return out


def share(link: Link) -> Backlog:
    """Make a link fit for many callers, none of whom it keeps waiting."""
    backlog = link.packetizer.backlog = Backlog(link.sock, link.stop_thread)
    return backlog


class ChannelStream(Conduit):
    """A byte stream to a host and port behind a shared link.

    Args:
        link: the shared connection.
        backlog: what it has still to send.
        name: whom it leads to, for messages.
        target: host and port to reach.
        bell: set when there is an answer; by others too, when the guard of `wait_open` is to be asked.
        closed: called once when the stream is closed.

    Raises:
        LinkDownError: the shared connection is gone.
    """

    def __init__(
        self,
        link: Link,
        backlog: Backlog,
        name: str,
        target: tuple[str, int],
        bell: Signal,
        closed: Callable[[], None],
    ) -> None:
        self._link = link
        self._backlog = backlog
        self._name = name
        self._on_close: Callable[[], None] | None = closed
        self._ended = False
        self._lock = threading.Lock()
        self._bell = bell
        self._readable = Signal()
        self._writable = Signal()
        host, port = target
        # The originator is what OpenSSH's client says for -W and ProxyJump.
        extra = strings(host.encode()) + port.to_bytes(4, "big") + strings(b"127.0.0.1") + (65535).to_bytes(4, "big")
        self.channel: Channel = link.add_channel(b"direct-tcpip", extra, (bell, self._writable))

    def wait_open(self, deadline: Deadline, guard: Callable[[], None]) -> bool:
        """Wait for the answer to the request for the channel; return False where the deadline passes first.

        ``channel.accepted`` or ``channel.refused`` tell the answer.

        Raises:
            LinkDownError: the shared connection is gone.
        """
        channel = self.channel
        while not channel.accepted and channel.refused is None:
            guard()
            if channel.closed or not self._link.active:
                raise LinkDownError(self._link.why())
            if deadline.expired:
                return False
            self._bell.wait(deadline.remaining())
        # From now on another one waits; what has come in meanwhile may have rung the bell.
        channel.signal = self._readable
        self._readable.set()
        return True

    def recv(self, size: int) -> bytes:
        """Wait for bytes and return them (see `Conduit.recv`)."""
        channel = self.channel
        while True:
            try:
                piece = channel.take()
            except LinkDownError:
                return b""
            if piece is not None:
                return piece[1]
            if self._ended or ((channel.eof or channel.closed) and not channel.inbox):
                return b""
            self._readable.wait(None)

    def sendmsg(self, buffers: Sequence[bytes | memoryview], ancillary: object = (), flags: int = 0) -> int:
        """Send what the channel's window has room for (see `Conduit.sendmsg`)."""
        out, sent = memoryview(buffers[0] if len(buffers) == 1 else b"".join(buffers)), 0
        while sent < len(out):
            if self._ended or self.channel.closed:
                raise BrokenPipeError(errno.EPIPE, "the stream is closed")
            if not self._takes():
                break
            try:
                sent += self.channel.send(out[sent:])
            except LinkDownError as error:
                raise BrokenPipeError(errno.EPIPE, str(error)) from None
        if not sent and out:
            raise BlockingIOError(errno.EAGAIN, "no room")
        return sent

    def _takes(self) -> bool:
        # While the jump host exchanges keys anew, a packet would have to wait.
        return self.channel.room > 0 and self._link.clear_to_send.is_set() and not self._backlog.full(self._writable)

    def wait_writable(self, seconds: float) -> bool:
        """Wait for room (see `Conduit.wait_writable`)."""
        if self._ended or self.channel.closed or self._takes():
            return True
        if not self._link.clear_to_send.is_set():
            return bool(self._link.clear_to_send.wait(seconds))
        return self._writable.wait(seconds)

    def trouble(self, silent: bool = False) -> str:
        """Return what is wrong with the shared connection (see `Conduit.trouble`)."""
        link = self._link
        if self.channel.closed and not self.channel.eof:
            return f"jump host {self._name}: {link.why()}"
        if silent and link.pings > link.pongs:
            return f"jump host {self._name}: it gives no sign of life"
        return ""

    def shutdown(self, how: int) -> None:
        """Wake whoever waits (see `Conduit.shutdown`)."""
        self._ended = True
        self._readable.set()
        self._writable.set()

    def close(self) -> None:
        """Close the channel (see `Conduit.close`)."""
        self.shutdown(socket.SHUT_RDWR)
        with self._lock:
            closed, self._on_close = self._on_close, None
        if closed is None:
            return
        try:
            self.channel.close()
        except LinkDownError:
            pass
        finally:
            closed()
