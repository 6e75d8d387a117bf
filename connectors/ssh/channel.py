"""One session channel: what comes in is queued, what goes out respects the host's window.

The reader thread calls the handlers (`HANDLERS`), the connection's one caller all the rest. Each number is written by
one side only, so that no lock is needed: windows are differences of two counters.
"""

from __future__ import annotations

import struct
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
    from sshexec.connectors.ssh.transport import Link

WINDOW = 2 * 2**20
"""Bytes the host may send before we return some of the window (OpenSSH's own client: 2 MiB)."""

_PACKET = 128 * 1024
_RETURN_AT = WINDOW // 8
_PACKETS = 8
"""Packets of data that leave in one call at most."""


class Packet(bytes):
    """The payload of a packet, made by `struct` (Paramiko's `Message` costs several times as much)."""

    __slots__ = ()

    def asbytes(self) -> bytes:
        """Return the payload, as Paramiko's packetizer asks for it."""
        return self


class Channel:
    """One session channel.

    Args:
        link: its connection.
        number: our number for it.
    """

    __slots__ = (
        "_dropping",
        "_granted",
        "_link",
        "_packet",
        "_received",
        "_remote",
        "_returned",
        "_sent",
        "_sent_close",
        "_sent_eof",
        "_used",
        "accepted",
        "closed",
        "eof",
        "exit_signal",
        "exit_status",
        "inbox",
        "number",
        "refused",
        "reply",
    )

    def __init__(self, link: Link, number: int) -> None:
        self._link = link
        self.number = number
        self._remote = 0
        self._packet = 0
        self._granted = self._sent = 0
        self._received = self._used = self._returned = 0
        self._sent_eof = self._sent_close = self._dropping = False
        self.inbox: deque[tuple[Stream, bytes]] = deque()
        """What came in and was not taken yet."""
        self.accepted = False
        """Whether the host opened it."""
        self.refused: str | None = None
        """Why the host did not open it."""
        self.reply: bool | None = None
        """The host's answer to the last request that wanted one."""
        self.eof = False
        """Whether the host has sent all it had."""
        self.closed = False
        """Whether the host closed it, or the connection is gone."""
        self.exit_status: int | None = None
        self.exit_signal: str | None = None

    # What the connection's caller does.

    def open(self) -> None:
        """Ask for the channel (RFC 4254 §5.1)."""
        head = struct.pack(">BI7sIII", MSG_CHANNEL_OPEN, 7, b"session", self.number, WINDOW, _PACKET)
        self._link.send(Packet(head))

    def request(self, kind: bytes, argument: bytes | None = None, *, reply: bool) -> None:
        """Send a channel request (RFC 4254 §5.4) with one string as argument."""
        self.reply = None
        body = struct.pack(">BII", MSG_CHANNEL_REQUEST, self._remote, len(kind)) + kind + (b"\x01" if reply else b"\0")
        if argument is not None:
            body += struct.pack(">I", len(argument)) + argument
        self._link.send(Packet(body))

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
        if not self.inbox:
            return None
        piece = self.inbox.popleft()
        self._used += len(piece[1])
        if self._used - self._returned >= _RETURN_AT and not self.eof and not self.closed:
            size = self._used - self._returned
            self._returned = self._used
            self._link.send(Packet(struct.pack(">BII", MSG_CHANNEL_WINDOW_ADJUST, self._remote, size)))
        return piece

    def close(self) -> None:
        """Close our side; what still comes in is dropped."""
        self._dropping = True
        self.inbox.clear()
        if self.accepted and not self._sent_close:
            self._sent_close = True
            if self.closed:
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
        if self._received - self._returned > WINDOW:
            raise SSHException("the host sent more than the channel's window")
        if not self._dropping:
            self.inbox.append((stream, data))
            self._link.signal.set()

    def _adjust(self, m: Any) -> None:
        self._granted += m.get_int()
        self._link.signal.set()

    def _succeeded(self, m: Any) -> None:
        self.reply = True

    def _failed(self, m: Any) -> None:
        self.reply = False
        self._link.signal.set()

    def _requested(self, m: Any) -> None:
        kind = m.get_string()
        wants_reply = m.get_boolean()
        if kind == b"exit-status":
            self.exit_status = m.get_int()
            self._link.signal.set()
        elif kind == b"exit-signal":
            self.exit_signal = m.get_string().decode("ascii", "replace")
            self._link.signal.set()
        if wants_reply:  # OpenSSH's ClientAliveInterval asks this way
            self._link.answer(Packet(struct.pack(">BI", MSG_CHANNEL_FAILURE, self._remote)))

    def _ended(self, m: Any) -> None:
        self.eof = True
        self._link.signal.set()

    def _closed(self, m: Any) -> None:
        self.eof = self.closed = True
        if self._sent_close:
            self._link.forget(self)
        self._link.signal.set()

    def _unlink(self) -> None:
        """Take note that the connection is gone."""
        self.closed = True


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
