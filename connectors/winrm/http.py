"""HTTP/1.1 as WinRM needs it: one POST, one answer, each on a connection that stays open.

Not urllib3: an answer must end at a deadline however slowly it trickles, `Line.shut` must reach the socket from another
thread, and a request through requests and urllib3 takes 0.6 ms of CPU, one through here 0.1 ms.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sshexec.connectors.deadline import Deadline

_LONGEST_HEAD = 64 * 1024
_LONGEST_BODY = 8 * 1024 * 1024
"""Bytes of an answer: a service keeps to the MaxEnvelopeSize of the request; as a tree it takes ten times as much."""
_MOST_PIECES = 16 * 1024
_MOST_INTERIM = 16
"""What else comes without end keeps this side busy, under gevent all other hosts, too, as it need not wait for any."""
NOT_KEPT = "it was not kept open"
"""Why a connection is broken whose host has said that it would be."""
_LAST_WORDS = 0.2
"""Seconds to wait for the reason of an end."""
_PIECE = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_QUOTE = 60

_T = TypeVar("_T")


class Expired(Exception):
    """The caller's deadline passed."""


class Silence(Exception):
    """Nothing came for longer than the host may be silent."""


class Broken(Exception):
    """The connection broke off.

    Args:
        reason: how.
        sent: whether the host may have got the whole request.
        answered: whether a part of the answer came.
    """

    def __init__(self, reason: str, *, sent: bool, answered: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent
        self.answered = answered


class NotHttp(Exception):
    """What came is no HTTP answer.

    Args:
        reason: what is wrong with it.
        begin: what it begins with.
    """

    def __init__(self, reason: str, begin: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.begin = begin

    @property
    def is_tls(self) -> bool:
        """Whether it is a record of TLS: an alert, or a handshake (RFC 8446, section 5.1)."""
        return self.begin[:1] in (b"\x15", b"\x16") and self.begin[1:2] == b"\x03"

    @property
    def quote(self) -> str:
        """The beginning for people."""
        return ascii(self.begin[:_QUOTE].decode("ascii", "replace"))


@dataclass(frozen=True)
class Answer:
    """An HTTP answer.

    Args:
        status: such as 200.
        headers: by lower-case name; several of one name are joined by ", ".
        body: the content.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def keeps(self) -> bool:
        """Whether the connection may be used again."""
        return "close" not in self.headers.get("connection", "").lower()


class Line:
    """One connection over which HTTP is spoken, one request at a time.

    Args:
        sock: a connected socket, with TLS or without.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._buffer = bytearray()
        self._answered = False
        self._usable = True
        self.farewell = ""
        """What the connection ended with, where `idle` found its end."""
        self._lock = threading.Lock()
        """Held while the socket is shut: not another one that has its number by then."""

    def wrap(self, context: ssl.SSLContext, name: str, limit: Deadline) -> None:
        """Speak TLS from here on.

        Raises:
            ssl.SSLError, OSError: the handshake failed.
            TimeoutError: it took too long.
        """
        # The handshake apart from the wrapping: meanwhile `shut` reaches the socket that it is made on.
        wrapped = context.wrap_socket(self.socket, server_hostname=name, do_handshake_on_connect=False)
        with self._lock:
            self.socket = wrapped
        self._tls(wrapped.do_handshake, limit, None)

    @property
    def certificate(self) -> bytes | None:
        """The host's certificate in DER form; None without TLS."""
        return self.socket.getpeercert(True) if isinstance(self.socket, ssl.SSLSocket) else None

    def idle(self) -> bool:
        """Return whether the connection, on which nothing is awaited, is still open as far as can be told here."""
        if not self._usable or self._buffer:
            return False
        try:
            self.socket.settimeout(0)
            self.socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError as error:
            self.farewell = str(error)
            return False
        # The end, or something that nobody asked for, such as a 408: either way no more requests.
        return False

    def ask(self, request: bytes, deadline: Deadline, silence: float | None, *, tunnel: bool = False) -> Answer:
        """Send a request and return the answer.

        Args:
            request: head and body.
            deadline: by when.
            silence: seconds for which nothing may come or go.
            tunnel: it is a CONNECT, whose success has no body.

        Raises:
            Expired, Silence, Broken, NotHttp: there is no answer; the connection is not to be used again.
        """
        self._answered = False
        usable, self._usable = self._usable, False
        if not usable:
            raise Broken(NOT_KEPT, sent=False)
        self._send(request, deadline, silence)
        answer = self._answer(deadline, silence, tunnel)
        self._usable = answer.keeps
        return answer

    def close(self) -> None:
        """Close the connection, waking whoever waits for it; safe to call twice."""
        self._usable = False
        with self._lock, contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
        with self._lock, contextlib.suppress(OSError):
            self.socket.close()

    def shut(self) -> None:
        """End the connection for whoever waits for it; from any thread. It is still to be closed."""
        self._usable = False
        with self._lock, contextlib.suppress(OSError):
            # The plain socket's: that of TLS takes its state away from the thread that reads.
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def _send(self, request: bytes, deadline: Deadline, silence: float | None) -> None:
        try:
            if isinstance(self.socket, ssl.SSLSocket):
                rest = memoryview(request)
                while rest:
                    rest = rest[self._tls(lambda: self.socket.send(rest), deadline, silence) :]  # noqa: B023
            else:
                self.socket.settimeout(_timeout(deadline.remaining(silence)))
                self.socket.sendall(request)
        except TimeoutError:
            raise (Expired() if deadline.expired else Silence()) from None
        except OSError as error:
            # What was not handed to the kernel whole did not arrive whole, and a part of a request does nothing.
            raise Broken(self._last_words() or error.strerror or str(error), sent=False) from None

    def _tls(self, step: Callable[[], _T], deadline: Deadline, silence: float | None) -> _T:
        """Do one step of TLS, for which the host may have to send and take several times.

        Not with the socket's time-out: gevent's begins anew with each byte that comes, and a host that sends one a
        second would be waited for without end.

        Raises:
            TimeoutError: it took too long.
        """
        self.socket.settimeout(0)
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                event = select.POLLIN
            except ssl.SSLWantWriteError:
                event = select.POLLOUT
            else:
                if done != 0:
                    return done
                event = select.POLLOUT  # so says gevent's `send` that it must wait
            left = deadline.remaining(silence)
            poll = select.poll()
            try:
                poll.register(self.socket, event)
            except ValueError:  # closed, by another thread
                raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
            if not poll.poll(None if left is None else left * 1000) or deadline.expired:
                raise TimeoutError

    def _last_words(self) -> str:
        """Return why TLS was ended by the other side, which writing does not tell; "" where it did not say."""
        if isinstance(self.socket, ssl.SSLSocket):
            try:
                self._tls(lambda: self.socket.recv(1), Deadline.after(_LAST_WORDS), None)
            except ssl.SSLError as error:
                return str(error)
            except OSError:
                pass
        return ""

    def _more(self, deadline: Deadline, silence: float | None) -> None:
        """Read what has come into the buffer.

        Raises:
            Expired, Silence, Broken: nothing more came; Broken at the end, too.
        """
        try:
            if isinstance(self.socket, ssl.SSLSocket):
                data = self._tls(lambda: self.socket.recv(_PIECE), deadline, silence)
            else:
                self.socket.settimeout(_timeout(deadline.remaining(silence)))
                data = self.socket.recv(_PIECE)
        except TimeoutError:
            raise (Expired() if deadline.expired else Silence()) from None
        except OSError as error:
            raise Broken(error.strerror or str(error), sent=True, answered=self._answered) from None
        if not data:
            raise Broken("it was closed", sent=True, answered=self._answered)
        self._answered = True
        self._buffer += data
        if deadline.expired:
            raise Expired

    def _answer(self, deadline: Deadline, silence: float | None, tunnel: bool) -> Answer:
        for _ in range(_MOST_INTERIM):
            status, headers = self._head(deadline, silence)
            if status >= 200:
                break
        else:
            raise NotHttp("its answer does not begin")
        if tunnel and status // 100 == 2:
            return Answer(status, headers, b"")
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = self._chunks(deadline, silence)
        elif status in (204, 304):
            body = b""
        elif "content-length" in headers:
            body = self._take(_length(headers["content-length"]), deadline, silence)
        else:
            body = self._rest(deadline, silence)
            headers["connection"] = "close"
        return Answer(status, headers, _unpacked(body, headers.get("content-encoding", "")))

    def _head(self, deadline: Deadline, silence: float | None) -> tuple[int, dict[str, str]]:
        while True:
            begin = bytes(self._buffer[:5])
            if begin and not b"HTTP/".startswith(begin[:5]):
                raise NotHttp("it does not speak HTTP", bytes(self._buffer[:_QUOTE]))
            end = self._buffer.find(b"\r\n\r\n")
            if end >= 0:
                break
            if len(self._buffer) > _LONGEST_HEAD:
                raise NotHttp("its answer's head does not end", bytes(self._buffer[:_QUOTE]))
            self._more(deadline, silence)
        head = bytes(self._buffer[: end + 2])
        del self._buffer[: end + 4]
        match = _STATUS.match(head)
        if match is None:
            raise NotHttp("its answer has no HTTP status", head[:_QUOTE])
        headers: dict[str, str] = {}
        for line in head[match.end() :].split(b"\r\n"):
            name, colon, value = line.decode("latin-1").partition(":")
            if colon:
                key, text = name.strip().lower(), value.strip()
                headers[key] = f"{headers[key]}, {text}" if key in headers else text
        if head.startswith(b"HTTP/1.0") and "keep-alive" not in headers.get("connection", "").lower():
            headers["connection"] = "close"
        return int(match[1]), headers

    def _take(self, length: int, deadline: Deadline, silence: float | None) -> bytes:
        if length > _LONGEST_BODY:
            raise NotHttp(f"its answer has {length} bytes")
        while len(self._buffer) < length:
            self._more(deadline, silence)
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _chunks(self, deadline: Deadline, silence: float | None) -> bytes:
        body = bytearray()
        for _ in range(_MOST_PIECES):
            line = self._text(deadline, silence)
            match = _CHUNK.fullmatch(line)
            if match is None:
                raise NotHttp("its answer is in pieces without their length", line[:_QUOTE])
            length = int(match[1], 16)
            if length == 0:
                for _ in range(_MOST_PIECES):
                    if not self._text(deadline, silence):
                        return bytes(body)
                break
            if len(body) + length > _LONGEST_BODY:
                raise NotHttp(f"its answer has more than {_LONGEST_BODY} bytes")
            body += self._take(length, deadline, silence)
            self._text(deadline, silence)
        raise NotHttp("its answer is in too many pieces")

    def _text(self, deadline: Deadline, silence: float | None) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise NotHttp("its answer has a line that does not end", bytes(self._buffer[:_QUOTE]))
            self._more(deadline, silence)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _rest(self, deadline: Deadline, silence: float | None) -> bytes:
        """Read until the host closes the connection: it gave no length."""
        while len(self._buffer) <= _LONGEST_BODY:
            try:
                self._more(deadline, silence)
            except Broken as end:
                if end.reason != "it was closed":
                    raise
                body = bytes(self._buffer)
                self._buffer.clear()
                return body
        raise NotHttp(f"its answer has more than {_LONGEST_BODY} bytes")


def _timeout(seconds: float | None) -> float | None:
    # 0 would mean a socket that does not block.
    return None if seconds is None else max(seconds, 0.001)


def _length(text: str) -> int:
    first = text.split(",")[0].strip()  # sent twice, it is joined
    if not first.isdecimal() or len(first) > 12:
        raise NotHttp("its answer's length is no number", text.encode("latin-1", "replace")[:_QUOTE])
    return int(first)


def _unpacked(body: bytes, encoding: str) -> bytes:
    """Return a body that was compressed although nobody asked for it."""
    if encoding.lower() not in ("gzip", "x-gzip", "deflate") or not body:
        return body
    try:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
        plain = unpacker.decompress(body, _LONGEST_BODY)
    except zlib.error:
        raise NotHttp("its answer is compressed and damaged") from None
    if not unpacker.eof:
        raise NotHttp("its answer is compressed and damaged, or too long")
    return plain
