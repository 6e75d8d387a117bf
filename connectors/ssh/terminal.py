"""A terminal on a session channel (RFC 4254 §6.2)."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Mapping

from sshexec.connectors.base import Deadline
from sshexec.connectors.ssh.channel import terminal_request
from sshexec.connectors.ssh.execution import close_channel, open_channel
from sshexec.connectors.ssh.transport import Link, LinkDownError, Signal
from sshexec.connectors.terminal import PIECE, SIGNALS, Size, Terminal
from sshexec.errors import ArgumentError, CommandTimeoutError, ConnectionLostError, UnreachableError

_WINDOWS = (256 * 1024, 1024 * 1024)
"""Smaller than a command's: what is on its way is what is still shown after Ctrl-C."""

_MODES = struct.pack(">BI", 42, 1) + b"\0"
"""IUTF8 (RFC 8160): erasing takes back a character and not a byte."""

_KEYS = {"INT": b"\x03", "QUIT": b"\x1c", "TSTP": b"\x1a"}


class SshTerminal(Terminal):
    """See `Terminal`.

    Args:
        host: inventory name.
        link: the connection, logged in.
        size: how large it is at first.
        term: its type.
        environment: variables to ask for; the host says nothing of those that it refuses.
        command: what runs; None is the login shell.
        deadline: by when it has to be there.
        guard: raises where the caller shall wait no longer.

    Raises:
        UnreachableError, CommandTimeoutError, ConnectionLostError: as `Connector.terminal`.
    """

    def __init__(
        self,
        host: str,
        link: Link,
        size: Size,
        term: str,
        environment: Mapping[str, str],
        command: str | None,
        deadline: Deadline,
        guard: Callable[[], None],
    ) -> None:
        self.host = host
        self._link = link
        self._woken = False
        self._writing = threading.Lock()
        try:
            channel = self._channel = open_channel(link, deadline, guard, _WINDOWS)
        except LinkDownError as error:
            raise ConnectionLostError(f"the connection is gone ({error})", started=False) from None
        try:
            # Of its own from here on: whoever transfers a file on this connection waits on the connection's.
            channel.signal, channel.room_signal = Signal(), Signal()
            self._start(size, term, environment, command, deadline, guard)
        except LinkDownError as error:
            close_channel(channel)
            raise ConnectionLostError(f"the connection is gone ({error})", started=False) from None
        except BaseException:
            close_channel(channel)
            raise

    def _start(
        self,
        size: Size,
        term: str,
        environment: Mapping[str, str],
        command: str | None,
        deadline: Deadline,
        guard: Callable[[], None],
    ) -> None:
        channel = self._channel
        request = terminal_request(term.encode(), size.columns, size.rows, _MODES)
        channel.request_raw(b"pty-req", request, reply=True)
        for name, value in environment.items():
            channel.request_raw(b"env", _strings(name, value), reply=False)
        if command is None:
            channel.request(b"shell", reply=True)
        else:
            channel.request(b"exec", command.encode("utf-8", "surrogateescape"), reply=True)
        while channel.replies < 2 and not channel.closed:
            guard()
            if not channel.signal.wait(deadline.remaining(1.0)) and deadline.expired:
                raise CommandTimeoutError("the host opened no terminal in time", killed=None)
        if channel.failures:
            raise UnreachableError("the host refused a terminal (see PermitTTY of sshd)")

    def read(self, timeout: float | None = None) -> bytes | None:
        """Return what the program has written (see `Terminal.read`)."""
        channel = self._channel
        deadline = Deadline.after(timeout)
        while True:
            pieces = []
            size = 0
            while size < PIECE and (piece := self._take()) is not None:
                pieces.append(piece)
                size += len(piece)
            if pieces:
                return b"".join(pieces)
            if channel.eof or channel.closed:
                return self._end()
            if self._woken:
                self._woken = False
                return None
            interval = self._link.alive_interval
            if channel.signal.wait(deadline.remaining(interval)):
                continue
            if deadline.expired:
                return None
            try:
                self._link.question_life()
            except LinkDownError as error:
                raise ConnectionLostError(f"the connection broke: {error}") from None

    def _take(self) -> bytes | None:
        try:
            piece = self._channel.take()
        except LinkDownError as error:
            raise ConnectionLostError(f"the connection broke: {error}") from None
        return None if piece is None else piece[1]

    def _end(self) -> bytes:
        channel = self._channel
        if channel.exit_status is None and channel.exit_signal is None and not self._link.active:
            raise ConnectionLostError(f"the connection broke: {self._link.why()}")
        self.exit_status, self.exit_signal = channel.exit_status, channel.exit_signal
        return b""

    def write(self, data: bytes, timeout: float | None = None) -> int:
        """Send as much as the host takes (see `Terminal.write`)."""
        channel = self._channel
        deadline = Deadline.after(timeout)
        with self._writing:
            while True:
                if channel.closed or channel.eof or not self._link.active:
                    raise ConnectionLostError("the program on the terminal has ended")
                try:
                    if sent := channel.send(memoryview(data)):
                        return sent
                except LinkDownError as error:
                    raise ConnectionLostError(f"the connection broke: {error}") from None
                if not data or self._woken or not channel.room_signal.wait(deadline.remaining()):
                    return 0

    def resize(self, size: Size) -> None:
        """Tell the host the new size (see `Terminal.resize`)."""
        self._request(b"window-change", struct.pack(">IIII", size.columns, size.rows, 0, 0))

    def signal(self, name: str) -> None:
        """Send a signal (see `Terminal.signal`)."""
        if name not in SIGNALS:
            raise ArgumentError(f"signal: expected one of {', '.join(SIGNALS)}, got {name!r:.40}")
        if name in _KEYS:
            self.write(_KEYS[name], 1.0)
        else:
            self._request(b"signal", _strings(name))

    def _request(self, kind: bytes, arguments: bytes) -> None:
        try:
            if not self._channel.closed:
                self._channel.request_raw(kind, arguments, reply=False)
        except LinkDownError as error:
            raise ConnectionLostError(f"the connection broke: {error}") from None

    def wake(self) -> None:
        """Have whoever waits return (see `Terminal.wake`)."""
        self._woken = True
        self._channel.signal.set()
        self._channel.room_signal.set()

    def close(self) -> None:
        """Close the channel; the shell gets a hangup."""
        close_channel(self._channel)
        self._channel.closed = True
        self._channel.signal.set()
        self._channel.room_signal.set()


def _strings(*texts: str) -> bytes:
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    return b"".join(struct.pack(">I", len(text)) + text for text in encoded)
