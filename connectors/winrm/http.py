"""HTTP/1.1 as WinRM needs it: one POST, one answer, each on a connection that stays open.

What stands in the messages is h11's to write and to read; the socket is ours. Not urllib3: an answer must end at a
deadline however slowly it trickles, `Line.shut` must reach the socket from another thread, and a request through
requests and urllib3 takes 0.6 ms of CPU, one through here 0.15 ms.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import h11

from sshexec.connectors.deadline import Deadline

_LONGEST_HEAD = 64 * 1024
_LONGEST_BODY = 64 * 1024 * 1024
"""Bytes of an answer: a service keeps to its MaxEnvelopeSizekb, 500 by default."""
NOT_KEPT = "it was not kept open"
"""Why a connection is broken whose host has said that it would be."""
_LAST_WORDS = 0.2
"""Seconds to wait for the reason of an end."""
_PIECE = 64 * 1024
_PROTOCOL = b"HTTP/"
_QUOTE = 60


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
        self._begin = b""
        """What the answer to the latest request begins with."""
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
        self.socket.settimeout(_timeout(limit.remaining()))
        # The handshake apart from the wrapping: meanwhile `shut` reaches the socket that it is made on.
        wrapped = context.wrap_socket(self.socket, server_hostname=name, do_handshake_on_connect=False)
        with self._lock:
            self.socket = wrapped
        wrapped.do_handshake()

    @property
    def certificate(self) -> bytes | None:
        """The host's certificate in DER form; None without TLS."""
        return self.socket.getpeercert(True) if isinstance(self.socket, ssl.SSLSocket) else None

    def idle(self) -> bool:
        """Return whether the connection, on which nothing is awaited, is still open as far as can be told here."""
        if not self._usable:
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

    def ask(
        self,
        method: str,
        target: str,
        fields: Sequence[tuple[str, str]],
        body: bytes,
        deadline: Deadline,
        silence: float | None,
    ) -> Answer:
        """Send a request and return the answer.

        Args:
            method: ``POST``, or ``CONNECT``, whose success has no body.
            target: what is asked for.
            fields: the head, but for the length of the body.
            body: the content; a ``CONNECT`` has none.
            deadline: by when.
            silence: seconds for which nothing may come or go.

        Raises:
            Expired, Silence, Broken, NotHttp: there is no answer; the connection is not to be used again.
        """
        self._begin = b""
        usable, self._usable = self._usable, False
        if not usable:
            raise Broken(NOT_KEPT, sent=False)
        # Another for each request: h11 takes no second one after an answer of HTTP/1.0, which old proxies give.
        messages = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        self._send(_written(messages, method, target, fields, body), deadline, silence)
        answer = self._answer(messages, deadline, silence)
        self._usable = answer.keeps and not messages.trailing_data[0]
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
        self.socket.settimeout(_timeout(deadline.remaining(silence)))
        try:
            self.socket.sendall(request)
        except TimeoutError:
            raise (Expired() if deadline.expired else Silence()) from None
        except OSError as error:
            # What was not handed to the kernel whole did not arrive whole, and a part of a request does nothing.
            raise Broken(self._last_words() or error.strerror or str(error), sent=False) from None

    def _last_words(self) -> str:
        """Return why TLS was ended by the other side, which writing does not tell; "" where it did not say."""
        if isinstance(self.socket, ssl.SSLSocket):
            try:
                self.socket.settimeout(_LAST_WORDS)
                self.socket.recv(1)
            except ssl.SSLError as error:
                return str(error)
            except OSError:
                pass
        return ""

    def _read(self, deadline: Deadline, silence: float | None) -> bytes:
        """Return what has come; nothing at the end.

        Raises:
            Expired, Silence, Broken: nothing more came.
            NotHttp: it is something else.
        """
        self.socket.settimeout(_timeout(deadline.remaining(silence)))
        try:
            data = self.socket.recv(_PIECE)
        except TimeoutError:
            raise (Expired() if deadline.expired else Silence()) from None
        except OSError as error:
            raise Broken(error.strerror or str(error), sent=True, answered=bool(self._begin)) from None
        if data and deadline.expired:
            raise Expired
        self._begin += data[: _QUOTE - len(self._begin)]
        # h11 would wait for the end of a head that never comes.
        if not self._begin.startswith(_PROTOCOL[: len(self._begin)]):
            raise NotHttp("it does not speak HTTP", self._begin)
        return data

    def _answer(self, messages: h11.Connection, deadline: Deadline, silence: float | None) -> Answer:
        head: h11.Response | None = None
        body: list[bytes] = []
        room, ended = _LONGEST_BODY, False
        while True:
            try:
                event = messages.next_event()
            except h11.RemoteProtocolError as error:
                if ended:
                    raise Broken("it was closed", sent=True, answered=bool(self._begin)) from None
                raise NotHttp(f"its answer is no HTTP that can be read ({str(error)[:_QUOTE]})", self._begin) from None
            if event is h11.NEED_DATA:
                data = self._read(deadline, silence)
                ended = not data
                messages.receive_data(data)
            elif isinstance(event, h11.Data):
                room -= len(event.data)
                if room < 0:
                    raise NotHttp(f"its answer has more than {_LONGEST_BODY} bytes")
                body.append(event.data)
            elif isinstance(event, h11.Response):
                head = event
                _check_length(head)
            elif head is not None:  # the end of the message; or it is a tunnel from here on
                break
        headers = _headers(head)
        if ended:
            headers["connection"] = "close"
        return Answer(head.status_code, headers, _unpacked(b"".join(body), headers.get("content-encoding", "")))


def _written(
    messages: h11.Connection, method: str, target: str, fields: Sequence[tuple[str, str]], body: bytes
) -> bytes:
    length = [("Content-Length", str(len(body)))] if method == "POST" else []
    request = h11.Request(method=method, target=target, headers=[*fields, *length])
    parts = [messages.send(request), messages.send(h11.Data(data=body)), messages.send(h11.EndOfMessage())]
    return b"".join([part for part in parts if part])


def _check_length(head: h11.Response) -> None:
    """Check the length before so much is awaited."""
    for name, value in head.headers:
        if name == b"content-length" and int(value) > _LONGEST_BODY:
            raise NotHttp(f"its answer has {int(value)} bytes")


def _headers(head: h11.Response) -> dict[str, str]:
    """Return an answer's head as `Answer` has it."""
    headers: dict[str, str] = {}
    for name, value in head.headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    if head.http_version == b"1.0" and "keep-alive" not in headers.get("connection", "").lower():
        headers["connection"] = "close"
    return headers


def _timeout(seconds: float | None) -> float | None:
    # 0 would mean a socket that does not block.
    return None if seconds is None else max(seconds, 0.001)


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
