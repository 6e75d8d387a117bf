"""How packets are read from the socket and written to it: in few calls, without time-outs, never for ever."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from paramiko.common import MSG_CHANNEL_DATA
from paramiko.message import Message
from paramiko.packet import NeedRekeyException, Packetizer
from paramiko.ssh_exception import SSHException

from sshexec.connectors.base import Deadline
from sshexec.connectors.ssh.conduit import Wire, waiter

if TYPE_CHECKING:
    from sshexec.connectors.ssh.stream import Backlog

_CHUNK = 32 * 1024
_LARGEST_CHUNK = 256 * 1024
"""What is read in one call at most: a stream that fills its calls gets larger ones."""

_TAG = 16
_BLOCK = 16
"""Of AES-GCM (RFC 5647): the tag behind each packet, and what a packet's length is a multiple of."""

_DATA_HEAD = 10
"""Bytes before the data in a plain packet: padding length, type, channel, length (RFC 4254 §5.2)."""

_LONGEST_BANNER = 8 * 1024
_LONGEST_PACKET = 256 * 1024
"""What OpenSSH takes at most (PACKET_MAX_SIZE); the length is the peer's word, read before anybody has logged in."""
_BYTES_IN_A_ROW = 1024 * 1024
"""Bytes that one connection reads before others get their turn."""

_LEAST_COST = 16 * 1024
"""What a read counts as then, at least."""

_MOST_PARTS = 64
"""Pieces that are handed to the system in one call; IOV_MAX is 1024."""

_STALLED_LOOK = 0.25
"""Seconds between two looks at whether a write that the host does not take is still worth the wait."""

_STALLED_GRACE = 3.0
"""Seconds that such a write is given once it is not: broken off in mid-packet, it costs the connection."""


Payload = Sequence[bytes | memoryview]
"""A packet's payload, in parts."""


class BufferedPacketizer(Packetizer):
    """Reads what the socket has in one call, blocks without a time-out, and writes several packets in one call.

    With AES-GCM, which is what we ask for first, packets are taken out of the read buffer and put into the write buffer
    without the half a dozen copies that Paramiko makes of each, and data of a channel goes straight to its channel.
    Everything else is Paramiko's own.
    """

    _initial_kex_done: bool
    _Packetizer__write_lock: Any
    _Packetizer__sequence_number_in: int
    _Packetizer__sequence_number_out: int
    _Packetizer__received_bytes: int
    _Packetizer__received_packets: int
    _Packetizer__received_bytes_overflow: int
    _Packetizer__received_packets_overflow: int
    _Packetizer__sent_bytes: int
    _Packetizer__sent_packets: int

    def __init__(self, sock: Wire) -> None:
        super().__init__(sock)  # type: ignore[arg-type]  # nothing else of a socket is used
        self._socket = sock
        self._got = b""
        self._at = 0
        self._pending: list[bytes] = []
        self._holding = False
        self._view = memoryview(b"")
        self._appetite = _CHUNK
        self._reads = 0
        self._in_a_row = 0
        self._opener: Any = None
        self._sealer: Any = None
        self._nonce_in = self._nonce_out = 0
        self._salt_in = self._salt_out = b""
        self.on_data: Callable[[int, bytes], bool] = lambda number, data: False
        """Takes the data that came for a channel; returns whether it has."""
        self._pending_lock = threading.Lock()
        self.hurried: Callable[[], bool] = lambda: False
        """Whether the caller has been cancelled, or its deadline has passed."""
        self.patience: float | None = None
        """Seconds that the host may take nothing of a write; None for no limit but the system's."""
        self.stalled = 0
        """Bytes of a write that wait for the host to take them."""
        self.gave_up = False
        """Whether a write was broken off because the caller was in a hurry, or out of patience."""

        self.backlog: Backlog | None = None
        """Where packets go that the socket does not take at once, where many share the connection."""
        self.greeting = ""
        """The last line that came before the packets, or what there was of it."""
        self.ended = False
        """Whether the peer has closed the connection, as far as was noticed."""
        self.was_reset = False
        """Whether it did so without a farewell of TCP's."""

    def set_inbound_cipher(self, block_engine: Any, *rest: Any, **more: Any) -> None:
        """Take the host's new keys."""
        super().set_inbound_cipher(block_engine, *rest, **more)
        self._opener = block_engine if more.get("aead") else None
        self._salt_in, self._nonce_in = _nonce(more.get("iv_in") if more.get("aead") else None)

    def set_outbound_cipher(self, block_engine: Any, *rest: Any, **more: Any) -> None:
        """Take our new keys."""
        super().set_outbound_cipher(block_engine, *rest, **more)
        self._sealer = block_engine if more.get("aead") else None
        self._salt_out, self._nonce_out = _nonce(more.get("iv_out") if more.get("aead") else None)

    def read_message(self) -> tuple[int, Message]:
        """Return the next message; data of channels is handed on without being one.

        Raises:
            EOFError: the connection was closed.
            SSHException: a packet is damaged, or the host ignores that we want new keys.
            NeedRekeyException: it is time for new keys.
        """
        if self._opener is None:
            message: tuple[int, Message] = super().read_message()
            return message
        while True:
            plain, size = self._open()
            self._count_received(size + 4 + _TAG)
            end = size - plain[0]
            if end < 2:
                raise SSHException("it sent a packet without a payload")
            kind = plain[1]
            if kind == MSG_CHANNEL_DATA and end >= _DATA_HEAD:
                number, length = struct.unpack_from(">II", plain, 2)
                if _DATA_HEAD + length > end:
                    raise SSHException("it sent less data than it announced")
                if self.on_data(number, plain[_DATA_HEAD : _DATA_HEAD + length]):
                    if self.need_rekey():
                        raise NeedRekeyException
                    continue
            message_in = Message(plain[2:end])
            message_in.seqno = (self._Packetizer__sequence_number_in - 1) & 0xFFFFFFFF
            return kind, message_in

    def _open(self) -> tuple[bytes, int]:
        """Return the next packet in plain, and its length (RFC 5647 §7)."""
        at = self._at
        if at + 4 > len(self._got):
            self._fill(4)
            at = 0
        head = self._got[at : at + 4]
        size = int.from_bytes(head, "big")
        if size > _LONGEST_PACKET or size < _BLOCK or size % _BLOCK:
            raise SSHException(f"it announced a packet of {size} bytes")
        end = at + 4 + size + _TAG
        if end <= len(self._got):
            self._at = end
            sealed: bytes | memoryview = self._view[at + 4 : end]
        else:
            sealed = self._across(at + 4, size + _TAG)
        nonce = self._salt_in + self._nonce_in.to_bytes(8, "big")
        self._nonce_in = (self._nonce_in + 1) & 0xFFFFFFFFFFFFFFFF
        try:
            plain: bytes = self._opener.decrypt(nonce, sealed, head)
        except InvalidTag:
            raise SSHException("Mismatched MAC") from None
        return plain, size

    def _count_received(self, size: int) -> None:
        """Count a packet, and ask for new keys when it is time; as Paramiko's `read_message`."""
        self._Packetizer__sequence_number_in = (self._Packetizer__sequence_number_in + 1) & 0xFFFFFFFF
        self._Packetizer__received_bytes += size
        self._Packetizer__received_packets += 1
        if self.need_rekey():
            self._Packetizer__received_bytes_overflow += size
            self._Packetizer__received_packets_overflow += 1
            if (
                self._Packetizer__received_packets_overflow >= self.REKEY_PACKETS_OVERFLOW_MAX
                or self._Packetizer__received_bytes_overflow >= self.REKEY_BYTES_OVERFLOW_MAX
            ):
                raise SSHException("Remote transport is ignoring rekey requests")
        elif (
            self._Packetizer__received_packets >= self.REKEY_PACKETS
            or self._Packetizer__received_bytes >= self.REKEY_BYTES
        ):
            self._ask_for_keys()

    def _ask_for_keys(self) -> None:
        self._Packetizer__received_bytes_overflow = 0
        self._Packetizer__received_packets_overflow = 0
        self._trigger_rekey()  # type: ignore[attr-defined]  # not in the stubs

    def send_message(self, data: Any) -> None:
        """Send a message.

        Raises:
            EOFError: the connection is gone.
        """
        if self._sealer is None:
            super().send_message(data)
        else:
            self._seal(((data.asbytes(),),))

    def send_payloads(self, payloads: Sequence[Payload]) -> None:
        """Send several messages in one call.

        Raises:
            EOFError: the connection is gone.
        """
        if self._sealer is not None:
            self._seal(payloads)
            return
        for payload in payloads:
            message: Any = _Joined(payload)
            super().send_message(message)

    def _seal(self, payloads: Sequence[Payload]) -> None:
        with self._Packetizer__write_lock:
            out: list[bytes] = []
            sent = 0
            filling = os.urandom(_BLOCK + 3)
            for payload in payloads:
                # The length field stands outside of what is encrypted, so it is no part of the multiple.
                size = sum(map(len, payload))
                padding = _BLOCK + 3 - (size + 4) % _BLOCK
                head = (1 + size + padding).to_bytes(4, "big")
                plain = b"".join((bytes((padding,)), *payload, filling[:padding]))
                nonce = self._salt_out + self._nonce_out.to_bytes(8, "big")
                self._nonce_out = (self._nonce_out + 1) & 0xFFFFFFFFFFFFFFFF
                out += (head, self._sealer.encrypt(nonce, plain, head))
                sent += 4 + len(plain) + _TAG
            self._Packetizer__sequence_number_out = (self._Packetizer__sequence_number_out + len(payloads)) & 0xFFFFFFFF
            self._write_all(out)
            self._Packetizer__sent_bytes += sent
            self._Packetizer__sent_packets += len(payloads)
            if (
                self._Packetizer__sent_packets >= self.REKEY_PACKETS or self._Packetizer__sent_bytes >= self.REKEY_BYTES
            ) and not self.need_rekey():
                self._ask_for_keys()

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
        """Have at least n bytes in the buffer."""
        rest = self._got[self._at :]
        self._keep(b"")  # what has been read is not held while nothing comes
        have = len(rest)
        pieces = [rest] if rest else []
        while have < n:
            piece = self._receive(max(n - have, self._appetite))
            pieces.append(piece)
            have += len(piece)
        self._keep(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _across(self, at: int, n: int) -> bytes:
        """Return n bytes that begin in the buffer and end in what is still to come, which stays where it was read."""
        pieces: list[bytes | memoryview] = [self._got[at:]]
        missing = n - len(pieces[0])
        self._keep(b"")
        while True:
            piece = self._receive(max(missing, self._appetite))
            if len(piece) >= missing:
                break
            pieces.append(piece)
            missing -= len(piece)
        self._keep(piece)
        pieces.append(self._view[:missing])
        self._at = missing
        return b"".join(pieces)

    def _keep(self, data: bytes) -> None:
        self._got = data
        self._view = memoryview(data)
        self._at = 0

    def _receive(self, size: int) -> bytes:
        if self._pending and not self._initial_kex_done:
            self.flush()  # the peer may wait for it
        try:
            self._reads += 1
            if self._in_a_row >= _BYTES_IN_A_ROW:
                self._in_a_row = 0
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
        got = len(piece)
        # A short packet counts as much as its handling costs.
        self._in_a_row += max(got, _LEAST_COST)
        if got >= self._appetite:
            self._appetite = min(2 * self._appetite, _LARGEST_CHUNK)
        elif got < self._appetite // 4:
            self._appetite = max(self._appetite // 2, _CHUNK)
        return piece

    def readline(self, timeout: float) -> str:
        """Return a line of the peer's greeting; `Link.close` ends the wait (the time-out is not used)."""
        while (end := self._got.find(b"\n", self._at)) < 0:
            if len(self._got) - self._at > _LONGEST_BANNER:
                raise SSHException("its first line does not end")
            self.greeting = self._got[self._at :].decode("utf-8", "replace") or self.greeting
            self._keep(self._got[self._at :] + self._receive(_CHUNK))
        line, self._at = self._got[self._at : end], end + 1
        text = line.rstrip(b"\r").decode("utf-8", "replace")
        self.greeting = text or self.greeting
        return text

    def write_all(self, out: Any) -> None:
        """Send a packet with those that were kept back, or keep it back too.

        Raises:
            EOFError: the connection is gone.
        """
        self._write_all((out,))

    def _write_all(self, parts: Sequence[bytes]) -> None:
        with self._pending_lock:
            self._pending += parts
            if not self._holding:
                self._write()

    def _write(self) -> None:
        parts, self._pending = self._pending, []
        if self.backlog is not None:
            self.backlog.put(b"".join(parts))
            return
        if len(parts) > _MOST_PARTS:
            parts = [b"".join(parts)]
        try:
            # gevent's `send` and `sendall` wait whatever the flags say, its `sendmsg` does not.
            sent = self._socket.sendmsg(parts, (), socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except (OSError, ValueError):
            self.ended = self.was_reset = True
            raise EOFError from None
        if sent < sum(map(len, parts)):
            self._write_slowly(memoryview(b"".join(parts))[sent:])

    def _write_slowly(self, out: memoryview) -> None:
        """Send what the socket had no room for, in short waits that the caller's cancellation and deadline can end."""
        give_up = Deadline()
        moved = Deadline.after(self.patience)
        try:
            wait = waiter(self._socket)
            while out:
                self.stalled = len(out)
                if wait(_STALLED_LOOK):
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


class _Joined(bytes):
    """A payload in one piece, for Paramiko's own way."""

    __slots__ = ()

    def __new__(cls, payload: Payload) -> _Joined:
        return super().__new__(cls, b"".join(payload))

    def asbytes(self) -> bytes:
        """Return the payload, as Paramiko's packetizer asks for it."""
        return self


def _nonce(iv: bytes | None) -> tuple[bytes, int]:
    """Return the fixed part of a nonce and the counter behind it (RFC 5647 §7.1)."""
    return (b"", 0) if iv is None else (iv[:4], int.from_bytes(iv[4:], "big"))
