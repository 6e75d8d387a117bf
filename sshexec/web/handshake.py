"""The opening of a WebSocket as WSGI and ASGI have it: what a request must be, and the socket behind it."""

from __future__ import annotations

import base64
import binascii
import socket
from collections.abc import Mapping
from typing import Any

from wsproto.utilities import generate_accept_token

from sshexec.web.connection import SUBPROTOCOL
from sshexec.web.origin import Origins

__all__ = ["HandshakeError", "accepted", "check", "offers", "serves_one_at_a_time", "taken_over"]


class HandshakeError(Exception):
    """A request does not open a WebSocket here.

    Args:
        status: of the answer.
        text: why, one line.
    """

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def offers(header: str) -> bool:
    """Whether a Sec-WebSocket-Protocol header offers what is spoken here."""
    return SUBPROTOCOL in (each.strip() for each in header.split(","))


def check(environ: Mapping[str, Any], origins: Origins, *, cookies: bool) -> None:
    """See that a WSGI request opens a WebSocket (RFC 6455 §4.2.1), from a page that may.

    Args:
        environ: the request's.
        origins: of the pages that may.
        cookies: whether something that a browser adds by itself is what allows it (`Origins.allows`).

    Raises:
        HandshakeError: it does not.
    """
    if not origins.allows(environ.get("HTTP_ORIGIN"), cookies=cookies):
        raise HandshakeError("403 Forbidden", "pages of this origin may not open a terminal")
    connection = (each.strip().lower() for each in environ.get("HTTP_CONNECTION", "").split(","))
    if environ.get("HTTP_UPGRADE", "").lower() != "websocket" or "upgrade" not in connection:
        raise HandshakeError("426 Upgrade Required", "this is for WebSockets")
    if environ.get("REQUEST_METHOD") != "GET" or environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        raise HandshakeError("400 Bad Request", "a WebSocket begins with GET and HTTP/1.1")
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
        raise HandshakeError("426 Upgrade Required", "Sec-WebSocket-Version has to be 13")
    try:
        key = base64.b64decode(environ.get("HTTP_SEC_WEBSOCKET_KEY", ""), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != 16:
        raise HandshakeError("400 Bad Request", "Sec-WebSocket-Key has to be 16 bytes in base64")
    if not offers(environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")):
        raise HandshakeError("400 Bad Request", f"the subprotocol has to be {SUBPROTOCOL}")


def accepted(environ: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the headers of the answer that opens it."""
    token = generate_accept_token(environ["HTTP_SEC_WEBSOCKET_KEY"].encode())
    return [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", token.decode()),
        ("Sec-WebSocket-Protocol", SUBPROTOCOL),
    ]


def serves_one_at_a_time(environ: Mapping[str, Any]) -> bool:
    """Whether one WebSocket would keep everybody else out of the server, as in gunicorn's sync workers.

    Those are killed by gunicorn after 30 seconds, too, with all the sessions in them. gevent's own server says always
    that it has no threads, and needs none.
    """
    hands_over = "werkzeug.socket" in environ or "gunicorn.socket" in environ
    return hands_over and not environ.get("wsgi.multithread")


def taken_over(environ: Mapping[str, Any]) -> tuple[socket.socket, bytes] | None:
    """Return the socket of a request and what its server has read ahead; None where the server does not give it.

    Werkzeug and gunicorn have it in the environment. gevent's server leaves it behind its input, which is an object of
    its own where "Connection" says more than "Upgrade", as Firefox's does.
    """
    reader = environ.get("wsgi.input")
    reader = getattr(reader, "rfile", reader)
    found = environ.get("werkzeug.socket") or environ.get("gunicorn.socket")
    if found is None:
        found = getattr(getattr(reader, "raw", None), "_sock", None)
    return None if found is None else (found, _read_ahead(found, reader))


def _read_ahead(sock: socket.socket, reader: Any) -> bytes:
    if not hasattr(reader, "peek"):
        return b""
    before = sock.gettimeout()
    sock.settimeout(0)
    try:
        there = len(reader.peek(1))
        return bytes(reader.read(there)) if there else b""
    except OSError:
        return b""  # TLS says so where there is nothing
    finally:
        sock.settimeout(before)
