"""One session channel: what comes in is queued, what goes out respects the host's window.

The reader thread calls the handlers (`HANDLERS`), the connection's one caller all the rest. Each number is written by
one side only, so that no lock is needed: windows are differences of two counters.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from paramiko.common import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EOF,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_SUCCESS,
    MSG_CHANNEL_WINDOW_ADJUST,
)
from paramiko.ssh_exception import SSHException

from sshexec.connectors.output import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from sshexec.connectors.ssh.packets import Payload
    from sshexec.connectors.ssh.transport import Link, Signal

WINDOW = 2 * 2**20
"""Bytes the host may send before we return some of the window (OpenSSH's own client: 2 MiB)."""

LARGEST_WINDOW = 16 * 2**20
"""What the window of a channel grows to at most, where a long way to the host would leave it idle otherwise."""

_ALL_GROWTH = 256 * 2**20
"""Bytes that all windows of this process together may have grown."""

_PACKET = 128 * 1024
_SHARE = 8
"""Part of a window that has to be used up before it is returned: one eighth."""

_LEAST_TURN = 0.005
"""Seconds over which the speed of a stream is measured, at least."""
_PACKETS = 8
"""Packets of data that leave in one call at most."""


# ICRNL, IXON, ISIG, ICANON, ECHO and OPOST off; end of the list.
_RAW = b"".join(struct.pack(">BI", mode, 0) for mode in (36, 38, 50, 51, 53, 70)) + b"\0"


class Packet(bytes):
    """The payload of a packet, made by `struct` (Paramiko's `Message` costs several times as much)."""

    __slots__ = ()

    def asbytes(self) -> bytes:
        """Return the payload, as Paramiko's packetizer asks for it."""
        return self


class _Growth:
    """What all windows together may still grow."""

    def __init__(self, left: int) -> None:
        self._left = left
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take so many bytes; return False where they are not left."""
        with self._lock:
            taken = size <= self._left
            self._left -= size if taken else 0
            return taken

    def put(self, size: int) -> None:
        """Give so many bytes back."""
        if size:
            with self._lock:
                self._left += size


_GROWTH = _Growth(_ALL_GROWTH)


def terminal_request(term: bytes, columns: int, rows: int, modes: bytes) -> bytes:
    """Return the arguments of a request for a terminal (RFC 4254 §6.2).

    Args:
        term: its type.
        columns: its width in characters.
        rows: its height.
        modes: encoded as of §8, the closing zero included.
    """
    size = struct.pack(">IIII", columns, rows, 0, 0)
    return struct.pack(">I", len(term)) + term + size + struct.pack(">I", len(modes)) + modes


class Channel:
    """One session channel.

    Args:
        link: its connection.
        number: our number for it.
        signals: set when something comes in, and when there is room again; the connection's own where there are none.
        windows: bytes that the host may send before we return some of it: at first, and at most.
    """

    __slots__ = (
        "_allowed",
        "_dropping",
        "_first_window",
        "_granted",
        "_largest_window",
        "_link",
        "_measured",
        "_packet",
        "_received",
        "_remote",
        "_sent",
        "_sent_close",
        "_sent_eof",
        "_used",
        "_used_then",
        "accepted",
        "closed",
        "company",
        "eof",
        "exit_signal",
        "exit_status",
        "failures",
        "inbox",
        "number",
        "reason",
        "refused",
        "replies",
        "reply",
        "room_signal",
        "signal",
        "window",
    )

    def __init__(
        self,
        link: Link,
        number: int,
        signals: tuple[Signal, Signal] | None = None,
        windows: tuple[int, int] = (WINDOW, LARGEST_WINDOW),
    ) -> None:
        self._link = link
        self.number = number
        self.signal, self.room_signal = signals or (link.signal, link.signal)
        self._remote = 0
        self._packet = 0
        self._granted = self._sent = 0
        self._received = self._used = self._used_then = 0
        self._first_window, self._largest_window = windows
        self._allowed = self._first_window
        self._measured = 0.0
        self.window = self._first_window
        """Bytes that may be on their way to us."""
        self._sent_eof = self._sent_close = self._dropping = False
        self.inbox: deque[tuple[Stream, bytes]] = deque()
        """What came in and was not taken yet."""
        self.accepted = False
        """Whether the host opened it."""
        self.refused: str | None = None
        """Why the host did not open it."""
        self.reason = 0
        """The same as a number (RFC 4254 §5.1)."""
        self.company = 0
        """How many others were open or asked for then."""
        self.reply: bool | None = None
        """The host's answer to the last request that wanted one."""
        self.replies = self.failures = 0
        """How many requests the host has answered, and how many of them with no."""
        self.eof = False
        """Whether the host has sent all it had."""
        self.closed = False
        """Whether the host closed it, or the connection is gone."""
        self.exit_status: int | None = None
        self.exit_signal: str | None = None

    # What the connection's caller does.

    def open(self, kind: bytes = b"session", extra: bytes = b"") -> None:
        """Ask for the channel (RFC 4254 §5.1)."""
        head = struct.pack(f">BI{len(kind)}sIII", MSG_CHANNEL_OPEN, len(kind), kind, self.number, self.window, _PACKET)
        self._link.send(Packet(head + extra))

    def request(self, kind: bytes, argument: bytes | None = None, *, reply: bool) -> None:
        """Send a channel request (RFC 4254 §5.4) with one string as argument."""
        arguments = b"" if argument is None else struct.pack(">I", len(argument)) + argument
        self.request_raw(kind, arguments, reply=reply)

    def request_terminal(self) -> None:
        """Ask for a terminal that changes and echoes nothing (RFC 4254 §6.2, §8), so that it carries any bytes."""
        self.request_raw(b"pty-req", terminal_request(b"dumb", 80, 24, _RAW), reply=False)

    def request_raw(self, kind: bytes, arguments: bytes, *, reply: bool) -> None:
        """Send a channel request whose arguments are encoded already."""
        self.reply = None
        body = struct.pack(">BII", MSG_CHANNEL_REQUEST, self._remote, len(kind)) + kind + (b"\x01" if reply else b"\0")
        self._link.send(Packet(body + arguments))

    @property
    def remote(self) -> int:
        """The host's number for it; 0 before the host has told."""
        return self._remote

    @property
    def room(self) -> int:
        """Bytes that the host takes now."""
        return self._granted - self._sent

    def send(self, *parts: memoryview) -> int:
        """Send as much as some packets and the host's window take; return how much that was."""
        left = size = min(sum(map(len, parts)), self.room, self._packet * _PACKETS)
        payloads: list[Payload] = []
        parts_left = iter(parts)
        part = memoryview(b"")
        while left > 0:
            length = want = min(left, self._packet)
            payload: list[bytes | memoryview] = [struct.pack(">BII", MSG_CHANNEL_DATA, self._remote, length)]
            while want:
                part = part or next(parts_left)
                payload.append(part[:want])
                want -= len(payload[-1])
                part = part[len(payload[-1]) :]
            payloads.append(payload)
            left -= length
        if payloads:
            self._sent += size
            self._link.send_payloads(payloads)
        return max(0, size)

    def send_eof(self) -> None:
        """Say that nothing more will come."""
        if not self._sent_eof and not self._sent_close:
            self._sent_eof = True
            self._link.send(Packet(struct.pack(">BI", MSG_CHANNEL_EOF, self._remote)))

    def take(self) -> tuple[Stream, bytes] | None:
        """Return the next piece that came in, and open the window again for as much; None where there is none."""
        try:
            piece = self.inbox.popleft()
        except IndexError:  # a terminal may be closed meanwhile, which empties it
            return None
        self._used += len(piece[1])
        if self._used + self.window - self._allowed >= self.window // _SHARE and not (self.eof or self.closed):
            self._adapt()
            size = self._used + self.window - self._allowed
            if size > 0:
                self._allowed += size
                self._link.send(Packet(struct.pack(">BII", MSG_CHANNEL_WINDOW_ADJUST, self._remote, size)))
        return piece

    def _adapt(self) -> None:
        """Enlarge the window where the stream is held up by it, and take back what a slow consumer does not need.

        It is held up where what is used in the time of one round trip is most of a window; Linux grows TCP's so
        (tcp_rcv_space_adjust). A stream that is used slowly never gets there.
        """
        now = time.monotonic()
        used, elapsed = self._used - self._used_then, now - self._measured
        if elapsed < max(self._link.round_trip, _LEAST_TURN):
            return
        begun, self._used_then, self._measured = bool(self._measured), self._used, now
        if not begun:
            return
        if self._received - self._used > self.window // 2:
            less = self.window - max(self._first_window, self.window // 2)
            self.window -= less
            _GROWTH.put(less)
            return
        more = min(self.window, self._largest_window - self.window)
        if more > 0 and 2 * used * self._link.round_trip >= self.window * elapsed and _GROWTH.take(more):
            self.window += more

    def _shrink(self) -> None:
        _GROWTH.put(self.window - self._first_window)
        self.window = self._first_window

    def close(self) -> None:
        """Close our side; what still comes in is dropped."""
        self._dropping = True
        self.inbox.clear()
        self._shrink()
        if self.accepted and not self._sent_close:
            self._sent_close = True
            if self.closed and self._link.packetizer.backlog is None:
                self._link.packetizer.hold()  # nobody waits for it: it goes with the next packet
            self._link.send(Packet(struct.pack(">BI", MSG_CHANNEL_CLOSE, self._remote)))
            self._link.packetizer.let_go()
        if self.closed:
            self._link.forget(self)

    # What the reader does.

    def opened(self, remote: int, window: int, packet: int) -> None:
        """Take the host's confirmation."""
        self._remote = remote
        self._granted = window
        self._packet = min(max(packet, 1024), 32 * 1024)
        self.accepted = True
        if self._dropping:
            self._sent_close = True
            self._link.answer(Packet(struct.pack(">BI", MSG_CHANNEL_CLOSE, remote)))

    def feed(self, data: bytes) -> None:
        """Take what the host sent."""
        self._keep("stdout", data)

    def _feed(self, m: Any) -> None:
        self._keep("stdout", m.get_binary())

    def _feed_extended(self, m: Any) -> None:
        m.get_int()
        self._keep("stderr", m.get_binary())

    def _keep(self, stream: Stream, data: bytes) -> None:
        self._received += len(data)
        if self._received > self._allowed:
            raise SSHException("the host sent more than the channel's window")
        if not self._dropping:
            self.inbox.append((stream, data))
            self.signal.set()

    def _adjust(self, m: Any) -> None:
        self._granted += m.get_int()
        self.room_signal.set()

    def _succeeded(self, m: Any) -> None:
        self.reply = True
        self.replies += 1
        if self.signal is not self._link.signal:  # a command's execution does not wait for it
            self.signal.set()

    def _failed(self, m: Any) -> None:
        self.reply = False
        self.replies += 1
        self.failures += 1
        self.signal.set()

    def _requested(self, m: Any) -> None:
        kind = m.get_string()
        wants_reply = m.get_boolean()
        if kind == b"exit-status":
            self.exit_status = m.get_int()
            self.signal.set()
        elif kind == b"exit-signal":
            self.exit_signal = m.get_string().decode("ascii", "replace")
            self.signal.set()
        if wants_reply:  # OpenSSH's ClientAliveInterval asks this way
            self._link.answer(Packet(struct.pack(">BI", MSG_CHANNEL_FAILURE, self._remote)))

    def _ended(self, m: Any) -> None:
        self.eof = True
        self.signal.set()

    def _closed(self, m: Any) -> None:
        self.eof = self.closed = True
        if self._sent_close:
            self._link.forget(self)
        self.signal.set()
        self.room_signal.set()

    def _unlink(self) -> None:
        """Take note that the connection is gone."""
        self.closed = True
        self.signal.set()
        self.room_signal.set()


HANDLERS: dict[int, Callable[[Channel, Any], None]] = {
    MSG_CHANNEL_SUCCESS: Channel._succeeded,
    MSG_CHANNEL_FAILURE: Channel._failed,
    MSG_CHANNEL_DATA: Channel._feed,
    MSG_CHANNEL_EXTENDED_DATA: Channel._feed_extended,
    MSG_CHANNEL_WINDOW_ADJUST: Channel._adjust,
    MSG_CHANNEL_REQUEST: Channel._requested,
    MSG_CHANNEL_EOF: Channel._ended,
    MSG_CHANNEL_CLOSE: Channel._closed,
}
"""What the reader calls for each message that names a channel."""
