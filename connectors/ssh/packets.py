"""How packets are read from the socket and written to it: in few calls, without time-outs, never for ever."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from paramiko.packet import Packetizer
from paramiko.ssh_exception import SSHException

from sshexec.connectors.base import Deadline

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

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._socket = sock
        self._got = b""
        self._at = 0
        self._pending: list[bytes] = []
        self._holding = False
        self._reads = 0
        self._pending_lock = threading.Lock()
        self.hurried: Callable[[], bool] = lambda: False
        """Whether the caller has been cancelled, or its deadline has passed."""
        self.patience: float | None = None
        """Seconds that the host may take nothing of a write; None for no limit but the system's."""
        self.stalled = 0
        """Bytes of a write that wait for the host to take them."""
        self.gave_up = False
        """Whether a write was broken off because the caller was in a hurry, or out of patience."""

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
            raise
        if not piece:
            raise EOFError
        return piece

    def readline(self, timeout: float) -> str:
        """Return a line of the peer's greeting; `Link.close` ends the wait (the time-out is not used)."""
        while (end := self._got.find(b"\n", self._at)) < 0:
            if len(self._got) - self._at > _LONGEST_BANNER:
                raise SSHException("its first line does not end")
            self._got = self._got[self._at :] + self._receive(_CHUNK)
            self._at = 0
        line, self._at = self._got[self._at : end], end + 1
        return line.rstrip(b"\r").decode("utf-8", "replace")

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
        try:
            # gevent's `send` and `sendall` wait whatever the flags say, its `sendmsg` does not.
            sent = self._socket.sendmsg((out,), (), socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except (OSError, ValueError):
            raise EOFError from None
        if sent < len(out):
            self._write_slowly(memoryview(out)[sent:])

    def _write_slowly(self, out: memoryview) -> None:
        """Send what the socket had no room for, in short waits that the caller's cancellation and deadline can end."""
        give_up = Deadline()
        moved = Deadline.after(self.patience)
        try:
            poll = select.poll()
            poll.register(self._socket, select.POLLOUT)
            while out:
                self.stalled = len(out)
                if poll.poll(_STALLED_LOOK * 1000):
                    with contextlib.suppress(BlockingIOError):
                        out = out[self._socket.sendmsg((out,), (), socket.MSG_DONTWAIT) :]
                        moved = Deadline.after(self.patience)
                if give_up.at is None and self.hurried():
                    give_up = Deadline.after(_STALLED_GRACE)
                if out and (give_up.expired or moved.expired):
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
