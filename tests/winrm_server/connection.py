"""One TCP connection: HTTP/1.1 with keep-alive, a login, and WS-Man requests one after the other."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import time
import traceback
from collections.abc import Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING

from tests.winrm_server import faults, messages, sealing
from tests.winrm_server.authentication import Denied, Login
from tests.winrm_server.faults import Fault
from tests.winrm_server.messages import Request
from tests.winrm_server.misbehaviour import LOGIN, Misbehaviour

if TYPE_CHECKING:
    from tests.winrm_server.server import WinrmServer

_SOAP = "application/soap+xml;charset=UTF-8"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_HTML = b"<html><head><title>Proxy</title></head><body><h1>It works</h1></body></html>"
_INVALID = b"<HTML><BODY><h2>Bad Request - Invalid Verb</h2></BODY></HTML>"
_LINE = 65536
_BODY = 64 << 20


class _Closed(Exception):
    """The connection ends here."""


class Connection:
    """One peer; `run` is its thread.

    Args:
        server: whose settings, counters and shells are used.
        sock: as it was accepted.
        number: of the connection, from 1.
    """

    def __init__(self, server: WinrmServer, sock: socket.socket, number: int) -> None:
        self.server = server
        self.number = number
        self.socket = sock
        self.login: Login | None = None

    def run(self) -> None:
        """Serve the peer until it or the server has enough."""
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.login = self._meet()
            with self.socket.makefile("rb", 1 << 17) as stream:
                while self._serve(stream):
                    pass
        except (_Closed, OSError):
            pass
        except Exception:
            self.server.errors.append(traceback.format_exc())
        finally:
            self.cut()
            self.socket.close()
            self.server.forget_connection(self)

    def cut(self) -> None:
        """End it, from any thread."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def _meet(self) -> Login:
        tls = self.server.tls
        if tls is None:
            return Login(self.server, None, None)
        self.socket.settimeout(10)
        self.socket = tls.wrap(self.socket)
        self.socket.settimeout(None)
        return Login(self.server, tls.bindings, tls.user_of(self.socket))

    def _serve(self, stream: object) -> bool:
        readline = stream.readline  # type: ignore[attr-defined]
        first = readline(_LINE)
        if not first:
            return False
        method, _, rest = first.decode("latin-1").partition(" ")
        path, _, version = rest.strip().partition(" ")
        if not version.startswith("HTTP/1."):
            # http.sys says so to somebody who speaks TLS, say.
            self._respond(400, _INVALID, {"Content-Type": "text/html; charset=us-ascii", "Connection": "close"})
            return False
        headers: dict[str, str] = {}
        while (line := readline(_LINE)) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        given = headers.get("content-length") or "0"
        if not given.isdecimal():
            self._respond(400, _INVALID, {"Content-Type": "text/html; charset=us-ascii", "Connection": "close"})
            return False
        length = int(given)
        body = b""
        if 0 < length <= _BODY:
            body = stream.read(length)  # type: ignore[attr-defined]
            if len(body) < length:
                return False
        elif length or "transfer-encoding" in headers:
            self._respond(413 if length else 411, b"", {"Connection": "close"})
            return False
        self.server.count("requests")
        if path.split("?")[0] != self.server.path:
            self._respond(404, b"<h1>Not Found</h1>", {"Content-Type": "text/html"})
        elif method != "POST":
            self._respond(405, b"", {"Allow": "POST"})
        else:
            self._post(headers, body)
        return headers.get("connection", "").lower() != "close"

    def _post(self, headers: Mapping[str, str], body: bytes) -> None:
        login = self.login
        assert login is not None
        sealed = sealing.is_sealed(headers.get("content-type", ""))
        if not body or login.user is None:
            self._wrong_before(login)
        try:
            token = login.check(headers.get("authorization", ""))
        except Denied as denied:
            self._respond(401, b"", [("WWW-Authenticate", each) for each in denied.challenges])
            return
        extra = {"WWW-Authenticate": token} if token else {}
        if not body:
            self._respond(200, b"", extra)
            return
        if sealed:
            try:
                if login.context is None or self.server.misbehaviours.take("Seal", frozenset({"undecryptable"})):
                    raise ValueError("no key")
                message = sealing.unseal(body, login.context)
            except Exception:
                # As Windows does, whatever is wrong with it; the keys can't be in step any more.
                self._respond(400, b"", extra)
                return
        else:
            self.server.count("unsealed")
            message = body
            if self.server.tls is None and not self.server.allow_unencrypted:
                self._respond(500, b"", extra)
                return
        if len(message) > self.server.max_envelope:
            # No fault: ansible.windows 391 and 620. Whether Windows counts the seal too is not known.
            self._respond(413, b"", {"Connection": "close"})
            raise _Closed
        self._message(message, sealed, extra)

    def _message(self, message: bytes, sealed: bool, extra: dict[str, str]) -> None:
        relates_to = ""
        wrong: Misbehaviour | None = None
        status = 200
        started = time.monotonic()
        try:
            request = messages.read(message)
            relates_to = request.message_id
            self.server.note(request, self.number)
            wrong = self._wrong_with(request)
            action, body = self.server.service.answer(request, self._user)
        except Fault as fault:
            status, action, body = 500, messages.FAULT_ACTION, fault.body
            if fault.wmi:
                # As pywinrm's record has it.
                relates_to = ""
        if wrong is not None and wrong.kind == "relates_to":
            relates_to = wrong.detail.get("value", f"uuid:{messages.new_id()}")
        answer = messages.answer(action, relates_to, body)
        if wrong is not None:
            self._wrong_after(wrong, status, answer, sealed, extra, started)
            return
        self._answer(status, answer, sealed, extra)

    @property
    def _user(self) -> str:
        assert self.login is not None
        return self.login.user or ""

    def _answer(self, status: int, answer: bytes, sealed: bool, extra: Mapping[str, str]) -> None:
        kind, data = self._packed(answer, sealed)
        self._respond(status, data, {**extra, "Content-Type": kind})

    def _packed(self, answer: bytes, sealed: bool) -> tuple[str, bytes]:
        login = self.login
        if not sealed or login is None or login.context is None:
            return _SOAP, answer
        return sealing.seal(answer, login.context, login.scheme == "CredSSP")

    # What goes wrong on purpose.

    def _wrong_before(self, login: Login) -> None:
        """Do what is to go wrong with a request that has no message."""
        wrong = self.server.misbehaviours.take(LOGIN)
        if wrong is None:
            return
        self._plainly_wrong(wrong)

    def _plainly_wrong(self, wrong: Misbehaviour) -> None:
        """Answer with what is no answer, and end the request.

        Raises:
            _Closed: always, where the kind is one of those.
        """
        if wrong.kind == "slow":
            self.server.stopping.wait(wrong.detail.get("seconds", 1.0))
            return
        if wrong.kind in ("cut", "drop"):
            raise _Closed
        if wrong.kind == "html":
            self._respond(200, _HTML, {"Content-Type": "text/html", "Connection": "close"})
        elif wrong.kind == "503":
            self._respond(503, _HTML, {"Content-Type": "text/html", "Connection": "close"})
        elif wrong.kind == "denied":
            assert self.login is not None
            offered = [("WWW-Authenticate", each) for each in self.login.challenges]
            self._respond(401, b"", [*offered, ("Connection", "close")])
        elif wrong.kind in ("empty200", "empty500"):
            self._respond(int(wrong.kind[-3:]), b"", {"Connection": "close"})
        elif wrong.kind == "status":
            self._respond(wrong.detail["code"], wrong.detail.get("body", b""), {"Connection": "close"})
        elif wrong.kind == "garbage":
            self._send(wrong.detail.get("data", b"SSH-2.0-OpenSSH_9.2p1\r\n"))
        raise _Closed

    def _wrong_with(self, request: Request) -> Misbehaviour | None:
        """Take what is to go wrong with a request, and do what comes before the request is acted on."""
        wrong = self.server.misbehaviours.take(request.op)
        if wrong is None:
            return None
        detail = wrong.detail
        if wrong.kind == "forget":
            self.server.service.forget()
        elif wrong.kind == "fault":
            fault = faults.known(detail["code"])
            for name in ("subcode", "reason", "value", "wmi"):
                if name in detail:
                    setattr(fault, name, detail[name])
            if detail.get("acted"):
                self.server.service.answer(request, self._user)
            raise fault
        elif not detail.get("acted") and wrong.kind in _INSTEAD:
            self._plainly_wrong(wrong)
        elif wrong.kind == "slow" and not detail.get("acted"):
            self.server.stopping.wait(detail.get("seconds", 1.0))
        return wrong

    def _wrong_after(
        self, wrong: Misbehaviour, status: int, answer: bytes, sealed: bool, extra: dict[str, str], started: float
    ) -> None:
        """Answer a request in a way that is wrong."""
        kind = wrong.kind
        if kind in _INSTEAD:
            self._plainly_wrong(wrong)
        if kind == "slow" and wrong.detail.get("acted"):
            self.server.stopping.wait(wrong.detail.get("seconds", 1.0))
        if kind == "unsealed":
            sealed = False
        packed, data = self._packed(answer, sealed)
        headers = {**extra, "Content-Type": packed}
        if kind == "no_content_type":
            del headers["Content-Type"]
        elif kind == "gzip":
            headers["Content-Encoding"] = "gzip"
            data = gzip.compress(data, 1)
        elif kind == "close":
            headers["Connection"] = "close"
        if kind in ("chunked", "truncated"):
            self._in_pieces(status, data, headers, wrong)
        else:
            self._respond(status, data, headers)
        if kind in ("drop", "close"):
            raise _Closed

    def _in_pieces(self, status: int, data: bytes, headers: Mapping[str, str], wrong: Misbehaviour) -> None:
        cut = wrong.kind == "truncated"
        if cut and not wrong.detail.get("chunked"):
            self._send(self._head(status, len(data), headers) + data[: len(data) // 2])
            raise _Closed
        head = self._head(status, None, {**headers, "Transfer-Encoding": "chunked"})
        half = len(data) // 2
        pieces = [data[:half], data[half:]]
        sent = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in pieces[: 1 if cut else 2])
        self._send(head + sent + (b"" if cut else b"0\r\n\r\n"))
        if cut:
            raise _Closed

    # HTTP.

    def _head(self, status: int, length: int | None, headers: Mapping[str, str] | list[tuple[str, str]]) -> bytes:
        pairs = list(headers.items()) if isinstance(headers, Mapping) else headers
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in pairs]
        lines += ["Server: Microsoft-HTTPAPI/2.0", f"Date: {formatdate(usegmt=True)}"]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _respond(self, status: int, body: bytes, headers: Mapping[str, str] | list[tuple[str, str]]) -> None:
        self._send(self._head(status, len(body), headers) + body)

    def _send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except (OSError, ssl.SSLError):
            raise _Closed from None


_INSTEAD = frozenset({"cut", "html", "503", "denied", "empty200", "empty500", "status", "garbage"})
"""Kinds that answer something else, or nothing."""
