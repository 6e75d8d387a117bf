"""A terminal on a session channel (RFC 4254 §6.2)."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Mapping

from sshexec.connectors.base import Deadline, Phase
from sshexec.connectors.deadline import together
from sshexec.connectors.ssh.channel import terminal_request
from sshexec.connectors.ssh.execution import close_channel, open_channel
from sshexec.connectors.ssh.transport import Link, LinkDownError, Signal
from sshexec.connectors.terminal import KEYS, PIECE, Size, Terminal, check_program, check_signal
from sshexec.errors import CommandTimeoutError, ConnectionLostError, UnreachableError

_WINDOWS = (256 * 1024, 1024 * 1024)
"""Smaller than a command's: what is on its way is what is still shown after Ctrl-C."""

_MODES = struct.pack(">BI", 42, 1) + b"\0"
"""IUTF8 (RFC 8160): erasing takes back a character and not a byte."""

_LAST_WORDS = 5.0
"""Seconds without output that the host has for the rest: for how the program ended, or the end of what it wrote."""

_KEY_LIMIT = 1.0
"""Seconds that a host has to take what can't wait."""


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
        ArgumentError, UnreachableError, CommandTimeoutError, ConnectionLostError: as `Connector.terminal`.
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
        check_program(term, environment, command)
        self.host = host
        self._link = link
        self._closing = threading.Lock()
        self._over = False
        self._read_woken = self._write_woken = False
        self._writing = threading.Lock()
        self._rest = b""
        """What came in one piece with what was read last."""
        self._last_words: Deadline | None = None
        """Until when more is waited for, once the program has ended or written its last."""
        self._quiet_since = time.monotonic()
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
        link.shells += 1

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
        if self._cut:
            raise LinkDownError(self._link.why())
        if channel.failures == 1 and channel.reply is False:
            raise UnreachableError("the host gave a terminal, and refused to run anything on it")
        if channel.failures:
            raise UnreachableError("the host refused a terminal (see PermitTTY of sshd)")
        if channel.replies < 2:
            raise UnreachableError("the host closed the session before anything ran on its terminal")

    def read(self, timeout: float | None = None) -> bytes | None:
        """Return what the program has written (see `Terminal.read`)."""
        channel = self._channel
        deadline = Deadline.after(timeout)
        while True:
            if self._over:
                return b""
            limit = self._last_words
            # Looked at before what has come: more may come in between, with the end behind it.
            over = channel.closed or (limit is not None and (self._said or limit.expired))
            if data := self._received():
                self._quiet_since = time.monotonic()
                return data
            if over:
                return self._end()
            if limit is None and (channel.eof or self._exited):
                limit = self._last_words = Deadline.after(_LAST_WORDS)
                continue
            if self._read_woken:
                self._read_woken = False
                return None
            interval = self._link.alive_interval
            due = Deadline() if interval is None else Deadline(together(self._quiet_since + interval, interval / 3))
            until = deadline.earlier(due) if limit is None else deadline.earlier(due).earlier(limit)
            if channel.signal.wait(until.remaining()):
                continue
            if due.expired:
                # Counted from one call to the next: who reads with short time-outs is to hear of a dead host, too.
                self._quiet_since = time.monotonic()
                self._question_life()
            if deadline.expired:
                return None

    @property
    def _cut(self) -> bool:
        """Whether the connection is gone: Paramiko takes its channels off a moment before it says so itself."""
        return not self._link.active or (self._channel.closed and not self._channel.eof)

    @property
    def _exited(self) -> bool:
        return self._channel.exit_status is not None or self._channel.exit_signal is not None

    @property
    def _said(self) -> bool:
        """Whether the program has written its last, and the host has said how it ended; either may come first."""
        return self._channel.eof and self._exited

    def _received(self) -> bytes:
        """Return what has come in, one piece of it."""
        pieces = [self._rest] if self._rest else []
        size = len(self._rest)
        while size < PIECE and (piece := self._take()) is not None:
            pieces.append(piece)
            size += len(piece)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        data, self._rest = data[:PIECE], data[PIECE:]
        if data and self._last_words is not None:
            self._last_words = Deadline.after(_LAST_WORDS)
        return data

    def _take(self) -> bytes | None:
        try:
            # What comes as standard error, from a host that gave no true terminal, belongs in between.
            piece = self._channel.take()
        except LinkDownError as error:
            raise self._lost(error) from None
        return None if piece is None else piece[1]

    def _question_life(self) -> None:
        try:
            self._link.question_life()
        except LinkDownError as error:
            raise self._lost(error) from None

    def _lost(self, error: LinkDownError | str) -> ConnectionLostError:
        return ConnectionLostError(f"the connection broke: {error}", host=self.host, phase=Phase.RUNNING.value)

    def _end(self) -> bytes:
        channel = self._channel
        if not self._exited and not self._over and self._cut:
            raise self._lost(self._link.why())
        self.exit_status, self.exit_signal = channel.exit_status, channel.exit_signal
        return b""

    def write(self, data: bytes, timeout: float | None = None) -> int:
        """Send as much as the host takes (see `Terminal.write`)."""
        channel = self._channel
        deadline = Deadline.after(timeout)
        left = deadline.remaining()
        if not self._writing.acquire(timeout=-1 if left is None else min(left, threading.TIMEOUT_MAX)):
            return 0
        try:
            while True:
                if self._over or channel.closed or channel.eof or not self._link.active:
                    raise ConnectionLostError(
                        "the program on the terminal has ended", host=self.host, phase=Phase.RUNNING.value
                    )
                try:
                    if sent := channel.send(memoryview(data)):
                        return sent
                except LinkDownError as error:
                    raise self._lost(error) from None
                if self._write_woken:
                    self._write_woken = False
                    return 0
                if not data or not channel.room_signal.wait(deadline.remaining()):
                    return 0
        finally:
            self._writing.release()

    def resize(self, size: Size) -> None:
        """Tell the host the new size (see `Terminal.resize`)."""
        self._request(b"window-change", struct.pack(">IIII", size.columns, size.rows, 0, 0))

    def signal(self, name: str) -> None:
        """Send a signal (see `Terminal.signal`)."""
        check_signal(name)
        # Where so much was typed that the host takes no more, not even a key, a request may still go by it.
        if name not in KEYS or not self.write(KEYS[name], _KEY_LIMIT):
            self._request(b"signal", _strings(name))

    def _request(self, kind: bytes, arguments: bytes) -> None:
        try:
            if not self._over and not self._channel.closed:
                self._channel.request_raw(kind, arguments, reply=False)
        except LinkDownError as error:
            raise self._lost(error) from None

    def wake(self) -> None:
        """Have whoever waits return (see `Terminal.wake`)."""
        self._read_woken = self._write_woken = True
        self._ring()

    def _ring(self) -> None:
        self._channel.signal.set()
        self._channel.room_signal.set()

    def close(self) -> None:
        """Close the channel; the shell gets a hangup, from OpenSSH once what was typed has been read.

        A host that takes no data any more can't be told in time, so that the connection is closed then.
        """
        with self._closing:
            if self._over:
                return
            self._over = True
        self._ring()
        link = self._link
        link.shells -= 1
        # Nor do those wait who are stuck in a write; see `BufferedPacketizer`.
        before, link.packetizer.hurried = link.packetizer.hurried, _now
        try:
            if link.active and not link.clear_to_send.wait(_KEY_LIMIT):
                link.close()  # an exchange of keys that does not end
            close_channel(self._channel)
        finally:
            link.packetizer.hurried = before


def _now() -> bool:
    return True


def _strings(*texts: str) -> bytes:
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    return b"".join(struct.pack(">I", len(text)) + text for text in encoded)
