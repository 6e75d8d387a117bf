"""The SFTP protocol, version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions, over one channel.

Requests are sent in flights of a bounded number and their answers taken as they come. (Paramiko's `SFTPClient` keeps
books that grow with the square of the requests under way.)
"""

from __future__ import annotations

import stat
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sshexec.connectors.base import Deadline
from sshexec.connectors.ssh.channel import Channel
from sshexec.connectors.ssh.execution import close_channel, open_channel
from sshexec.connectors.ssh.keys import strings
from sshexec.connectors.ssh.transport import Link, LinkDownError
from sshexec.errors import CommandTimeoutError

OPEN, CLOSE, READ, WRITE, FSETSTAT, REMOVE, STAT, EXTENDED = 3, 4, 5, 6, 10, 13, 17, 200
LSTAT, FSTAT = 7, 8
RENAME = 18
_INIT, _VERSION, _STATUS, _HANDLE, _DATA, _ATTRS, _EXTENDED_REPLY = 1, 2, 101, 102, 103, 105, 201
_SIZE, _OWNER, _PERMISSIONS = 0x1, 0x2, 0x4

FOR_READING = 0x1
FOR_CREATING = 0x2 | 0x8 | 0x20
"""Write, create, and fail where the file is there already."""

FOR_GOING_ON = 0x2
"""Write to a file that is there."""

END, NO_FILE, NO_PERMISSION, FAILURE = 1, 2, 3, 4
_LONGEST = 1024 * 1024


class NoSftpError(Exception):
    """The host has no SFTP subsystem (never leaves this room)."""


class SftpError(Exception):
    """The host answered a request with an error (never leaves this room).

    Args:
        code: SSH_FX_* code.
        text: the host's words.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is known of a file.

    Args:
        size: bytes.
        mode: type and permission bits; 0 where the host did not say.
    """

    size: int
    mode: int

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_special(self) -> bool:
        """Whether it is a device, a FIFO or a socket; where the host did not say, it is not."""
        return stat.S_IFMT(self.mode) != 0 and not self.is_directory and not stat.S_ISREG(self.mode)


def permissions(mode: int | None) -> bytes:
    """Return the ATTRS structure that sets permission bits, or none."""
    return struct.pack(">I", 0) if mode is None else struct.pack(">II", _PERMISSIONS, mode & 0o7777)


class Sftp:
    """An SFTP session.

    Args:
        link: the connection.
        guard: raises where the caller shall wait no longer.
        idle: seconds that the host may be silent while it owes an answer; None for no limit.
    """

    def __init__(self, link: Link, guard: Callable[[], None], idle: float | None = None) -> None:
        self._link = link
        self.guard = guard
        self._idle = idle
        self.deadline = Deadline()
        """By when the requests of the present transfer have to be answered."""
        self._channel: Channel | None = None
        self._asked = False
        self._pieces: deque[memoryview] = deque()
        self._have = 0
        self._next = 0
        self._waiting: dict[int, Callable[[bytes], None] | None] = {}
        self._answers: dict[int, bytes] = {}
        self._extensions: dict[bytes, bytes] = {}
        self._unsent: list[memoryview] = []
        self.chunk = 32 * 1024
        """Bytes to read or write with one request."""

    @property
    def usable(self) -> bool:
        """Whether requests can be sent."""
        return self._channel is not None and not self._channel.eof and self._link.active

    @property
    def window(self) -> int:
        """Bytes of answers that may be on their way."""
        return self._required().window

    @property
    def room(self) -> int:
        """Bytes that the host takes now."""
        return self._required().room

    @property
    def round_trip(self) -> float:
        """Seconds to the host and back, about."""
        return self._link.round_trip

    def another(self) -> Sftp:
        """Return one more session on the same connection, for the same transfer; it has to `begin` and to `greet`."""
        other = Sftp(self._link, self.guard, self._idle)
        other.deadline, other.chunk = self.deadline, self.chunk
        return other

    def begin(self) -> None:
        """Ask for the session's channel, and wait for nothing."""
        self._channel = self._link.add_channel()

    def greet(self) -> bool:
        """Send the greeting if the host is ready for it, and return whether it was sent; to be called until it was.

        Raises:
            NoSftpError: the host opens no further session, or has no SFTP.
        """
        channel = self._required()
        if channel.refused is not None or channel.reply is False or channel.eof:
            raise NoSftpError
        if not channel.accepted:
            return False
        if not self._asked:
            self._asked = True
            channel.request(b"subsystem", b"sftp", reply=True)
        if channel.room < 64:
            return False  # the window opens when the subsystem has started
        self._send(struct.pack(">IBI", 5, _INIT, 3))
        return True

    def start(self) -> None:
        """Start the subsystem.

        Raises:
            NoSftpError: the host has none.
            LinkDownError, CommandTimeoutError, UnreachableError: as `open_channel`.
        """
        channel = self._channel = open_channel(self._link, self.deadline, self.guard)
        channel.request(b"subsystem", b"sftp", reply=True)
        try:
            self._send(struct.pack(">IBI", 5, _INIT, 3))
            answer = self._next_packet()
        except LinkDownError:
            if not self._link.active:
                raise
            raise NoSftpError from None
        if answer[0] != _VERSION:
            raise NoSftpError
        at = 5
        while at < len(answer):
            name, at = _string(answer, at)
            value, at = _string(answer, at)
            self._extensions[name] = value
        if b"limits@openssh.com" in self._extensions:
            self._read_limits()

    def _read_limits(self) -> None:
        try:
            answer = self.wait(self.extended(b"limits@openssh.com"))
        except SftpError:
            return
        _packet, read, write = struct.unpack_from(">QQQ", answer, 0)
        largest = min(read or self.chunk, write or self.chunk, 256 * 1024)
        self.chunk = max(self.chunk, int(largest))

    def close(self) -> None:
        """End the session; unanswered requests are dropped."""
        channel, self._channel = self._channel, None
        if channel is not None:
            close_channel(channel)

    def has(self, extension: bytes) -> bool:
        """Return whether the host announced an extension."""
        return extension in self._extensions

    # Requests.

    def request(self, kind: int, body: bytes, keep: Callable[[bytes], None] | None = None, data: bytes = b"") -> int:
        """Send a request and return its number.

        Args:
            kind: its type.
            body: what follows its number.
            keep: called with the answer when it comes; without it the answer waits for `wait`.
            data: what follows the body, and is not copied.
        """
        self._next = number = (self._next + 1) & 0xFFFFFFFF
        self._waiting[number] = keep
        self._send(struct.pack(">IBI", len(body) + len(data) + 5, kind, number) + body, data)
        return number

    def extended(self, name: bytes, *parts: bytes) -> int:
        """Send one of OpenSSH's extension requests."""
        return self.request(EXTENDED, strings(name, *parts))

    def wait(self, number: int) -> memoryview:
        """Return the answer to a request.

        Raises:
            SftpError: the host answered with an error.
            LinkDownError, CommandTimeoutError, CancelledError: no answer will come.
        """
        while number not in self._answers:
            self.take_answer()
        return checked(self._answers.pop(number))

    def take_answer(self) -> None:
        """Wait for one more answer and put it where it belongs.

        Raises:
            LinkDownError, CommandTimeoutError, CancelledError: no answer will come.
        """
        self._place(self._next_packet())

    def absorb(self) -> None:
        """Put the answers that are there already where they belong."""
        while (answer := self._packet()) is not None:
            self._place(answer)

    def answer(self, number: int) -> bytes | None:
        """Return an answer that has come, as it is; None where it has not."""
        return self._answers.pop(number, None)

    def _place(self, answer: bytes) -> None:
        if answer[0] == _VERSION:
            return
        number = struct.unpack_from(">I", answer, 1)[0]
        if number in self._waiting:
            keep = self._waiting.pop(number)
            if keep is None:
                self._answers[number] = answer
            else:
                keep(answer)

    # What is under the requests.

    def _send(self, *parts: bytes) -> None:
        """Send a request; one that was interrupted half-way is ended first, or the host would misread the next."""
        channel = self._required()
        self._unsent += [memoryview(part) for part in parts if part]
        while self._unsent:
            sent = channel.send(*self._unsent)
            if not sent:
                # The host takes no more for now: its answers must be read, or both sides wait for ever.
                self._collect(channel)
                self.pause(lambda: channel.room > 0 or channel.inbox or channel.eof or channel.reply is False)
                self._check_open(channel)
            while sent:
                part = self._unsent[0]
                if sent >= len(part):
                    del self._unsent[0]
                else:
                    self._unsent[0] = part[sent:]
                sent -= min(sent, len(part))

    def _next_packet(self) -> bytes:
        channel = self._required()
        while (packet := self._packet()) is None:
            self._check_open(channel)
            self.pause(lambda: channel.inbox or channel.eof or channel.reply is False)
        return packet

    def _packet(self) -> bytes | None:
        """Return the next packet if it is there as a whole."""
        self._collect(self._required())
        if self._have < 4:
            return None
        if len(self._pieces[0]) < 4:
            self._pieces.appendleft(memoryview(self._cut(4)))
            self._have += 4
        size = int.from_bytes(self._pieces[0][:4], "big")
        if not 0 < size <= _LONGEST:
            raise NoSftpError
        if self._have < size + 4:
            return None
        self._pieces[0] = self._pieces[0][4:]
        self._have -= 4
        return self._cut(size)

    def _cut(self, size: int) -> bytes:
        """Take so many bytes, which are there, out of what has come in."""
        self._have -= size
        parts = []
        while size:
            part = self._pieces.popleft()
            if len(part) > size:
                self._pieces.appendleft(part[size:])
                part = part[:size]
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _collect(self, channel: Channel) -> None:
        while self._have < _LONGEST * 2 and (piece := channel.take()) is not None:
            if piece[0] == "stdout" and piece[1]:
                self._pieces.append(memoryview(piece[1]))
                self._have += len(piece[1])

    def _check_open(self, channel: Channel) -> None:
        if channel.reply is False or (channel.eof and not channel.inbox) or not self._link.active:
            raise LinkDownError("the SFTP session ended")

    def pause(self, ready: Callable[[], object]) -> None:
        """Wait until something is so.

        Raises:
            LinkDownError, CommandTimeoutError, CancelledError: it will not be.
        """
        # It ends with whatever comes from the host: each pause is a silence of its own.
        if self._link.wait_until(ready, self.deadline.sooner(self._idle), self.guard):
            return
        if self._idle is not None and not self.deadline.expired:
            raise CommandTimeoutError(f"the transfer stood still for {self._idle:g} s", silence=self._idle)
        raise CommandTimeoutError(f"the transfer did not end {self.deadline.within}", killed=None)

    def _required(self) -> Channel:
        if self._channel is None:
            raise LinkDownError("the SFTP session is closed")
        return self._channel


def ignore(answer: bytes) -> None:
    """Take no notice of an answer."""


def checked(answer: bytes) -> memoryview:
    """Return an answer that is not an error.

    Raises:
        SftpError: it is one.
    """
    if answer[0] == _STATUS:
        code = struct.unpack_from(">I", answer, 5)[0]
        if code:
            text = _string(answer, 9)[0] if len(answer) > 12 else b""
            raise SftpError(code, text.decode("utf-8", "replace") or "failure")
    return memoryview(answer)[5:] if answer[0] != _STATUS else memoryview(b"")


def handle_of(answer: memoryview) -> bytes:
    """Return the handle in the answer to OPEN."""
    return _string(answer, 0)[0]


def data_of(answer: memoryview) -> memoryview:
    """Return the bytes in the answer to READ."""
    size = struct.unpack_from(">I", answer, 0)[0]
    return answer[4 : 4 + size]


def attributes_of(answer: memoryview) -> Attributes:
    """Return the attributes in the answer to STAT."""
    flags = struct.unpack_from(">I", answer, 0)[0]
    at, size, mode = 4, 0, 0
    if flags & _SIZE:
        size = struct.unpack_from(">Q", answer, at)[0]
        at += 8
    if flags & _OWNER:
        at += 8
    if flags & _PERMISSIONS:
        mode = struct.unpack_from(">I", answer, at)[0]
    return Attributes(size, mode)


def _string(data: bytes | memoryview, at: int) -> tuple[bytes, int]:
    end = at + 4 + int(struct.unpack_from(">I", data, at)[0])
    return bytes(data[at + 4 : end]), end
