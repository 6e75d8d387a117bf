"""How packets are read from the socket and written to it: in few calls, without time-outs, never for ever."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from paramiko.packet import Packetizer
from paramiko.ssh_exception import SSHException

from sshexec.connectors.base import Deadline
from sshexec.connectors.ssh.conduit import Wire, waiter

if TYPE_CHECKING:
    from sshexec.connectors.ssh.stream import Backlog

_CHUNK = 32 * 1024
_LONGEST_BANNER = 8 * 1024
_LONGEST_PACKET = 256 * 1024
"""What OpenSSH takes at most (PACKET_MAX_SIZE); the length is the peer's word, read before anybody has logged in."""
_READS_IN_A_ROW = 64
_STALLED_LOOK = 0.25
"""Seconds between two looks at whether a write that the host does not take is still worth the wait."""

_STALLED_GRACE = 3.0
"""Seconds that such a write is given once it is not: broken off in mid-packet, it costs the connection."""


class BufferedPacketizer(Packetizer):
    """Reads what the socket has in one call, blocks without a time-out, and writes several packets in one call."""

    _initial_kex_done: bool

    def __init__(self, sock: Wire) -> None:
        super().__init__(sock)  # type: ignore[arg-type]  # nothing else of a socket is used
        self._socket = sock
        self._got = b""
        self._at = 0
        self._pending: list[bytes] = []
        self._holding = False
        self._reads = 0
        self._pending_lock = threading.Lock()
        self.hurried: Callable[[], bool] = lambda: False
        """Whether the caller has been cancelled, or its deadline has passed."""
        self.stalled = 0
        """Bytes of a write that wait for the host to take them."""
        self.gave_up = False
        """Whether a write was broken off because the caller was in a hurry."""
        self.backlog: Backlog | None = None
        """Where packets go that the socket does not take at once, where many share the connection."""
        self.greeting = ""
        """The last line that came before the packets, or what there was of it."""
        self.ended = False
        """Whether the peer has closed the connection, as far as was noticed."""
        self.was_reset = False
        """Whether it did so without a farewell of TCP's."""

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Return the next n bytes.

        Raises:
            EOFError: the connection was closed.
            SSHException: no packet is that long, or the peer floods us.
        """
        if n > _LONGEST_PACKET:
            raise SSHException(f"it announced a packet of {n} bytes")
        at = self._at
        if at + n > len(self._got):
            self._fill(n)
            at = 0
        self._at = at + n
        return self._got[at : at + n]

    def _fill(self, n: int) -> None:
        pieces = [self._got[self._at :]]
        have = len(pieces[0])
        while have < n:
            piece = self._receive(max(n - have, _CHUNK))
            pieces.append(piece)
            have += len(piece)
        self._got = b"".join(pieces)
        self._at = 0

    def _receive(self, size: int) -> bytes:
        if self._pending and not self._initial_kex_done:
            self.flush()  # the peer may wait for it
        try:
            self._reads += 1
            if self._reads % _READS_IN_A_ROW == 0:
                time.sleep(0)  # a peer that never pauses must not keep the other hosts' greenlets from running
            piece = self._socket.recv(size)
        except OSError:
            if self.closed:
                raise EOFError from None
            self.ended = self.was_reset = True
            raise
        if not piece:
            self.ended = True
            raise EOFError
        return piece

    def readline(self, timeout: float) -> str:
        """Return a line of the peer's greeting; `Link.close` ends the wait (the time-out is not used)."""
        while (end := self._got.find(b"\n", self._at)) < 0:
            if len(self._got) - self._at > _LONGEST_BANNER:
                raise SSHException("its first line does not end")
            self.greeting = self._got[self._at :].decode("utf-8", "replace") or self.greeting
            self._got = self._got[self._at :] + self._receive(_CHUNK)
            self._at = 0
        line, self._at = self._got[self._at : end], end + 1
        text = line.rstrip(b"\r").decode("utf-8", "replace")
        self.greeting = text or self.greeting
        return text

    def write_all(self, out: Any) -> None:
        """Send a packet with those that were kept back, or keep it back too.

        Raises:
            EOFError: the connection is gone.
        """
        with self._pending_lock:
            self._pending.append(out)
            if not self._holding:
                self._write()

    def _write(self) -> None:
        out = b"".join(self._pending)
        self._pending.clear()
        if self.backlog is not None:
            self.backlog.put(out)
            return
        try:
            # gevent's `send` and `sendall` wait whatever the flags say, its `sendmsg` does not.
            sent = self._socket.sendmsg((out,), (), socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except (OSError, ValueError):
            self.ended = self.was_reset = True
            raise EOFError from None
        if sent < len(out):
            self._write_slowly(memoryview(out)[sent:])

    def _write_slowly(self, out: memoryview) -> None:
        """Send what the socket had no room for, in short waits that the caller's cancellation and deadline can end."""
        give_up = Deadline()
        try:
            wait = waiter(self._socket)
            while out:
                self.stalled = len(out)
                if wait(_STALLED_LOOK):
                    with contextlib.suppress(BlockingIOError):
                        out = out[self._socket.sendmsg((out,), (), socket.MSG_DONTWAIT) :]
                if give_up.at is None and self.hurried():
                    give_up = Deadline.after(_STALLED_GRACE)
                if out and give_up.expired:
                    self.gave_up = True
                    raise EOFError
        except (OSError, ValueError):
            raise EOFError from None
        finally:
            self.stalled = 0

    def hold(self) -> None:
        """Keep packets back, so that those of one step leave in one segment."""
        self._holding = True

    def let_go(self) -> None:
        """Keep the next packets back no longer; those that were go with the next one."""
        self._holding = False

    def flush(self) -> None:
        """Send what was kept back.

        Raises:
            EOFError: the connection is gone.
        """
        with self._pending_lock:
            if self._pending:
                self._write()

    def start_handshake(self, timeout: float) -> None:
        """Do nothing: the opener's deadline bounds the handshake, without a timer thread for each connection."""
