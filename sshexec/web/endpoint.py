"""The terminals' WebSocket as a WSGI application, to be mounted at a path of any."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from sshexec.web.attendance import Attendance, Presence
from sshexec.web.conversation import converse
from sshexec.web.handshake import HandshakeError, accepted, check, serves_one_at_a_time, taken_over
from sshexec.web.origin import Origins
from sshexec.web.websocket import WebSocket

if TYPE_CHECKING:
    from sshexec.terminal.sessions import TerminalManager

__all__ = ["TerminalSocket"]

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class _Over:
    """What a server gets for an answer when the WebSocket is over, so that it sends nothing and says nothing."""

    def __iter__(self) -> Iterator[bytes]:
        raise BrokenPipeError(errno.EPIPE, "the WebSocket is over")


class TerminalSocket:
    """Speaks `sshexec.term.v1` on servers that hand over the socket: gevent's, Werkzeug's threaded one, gunicorn.

    Each WebSocket occupies the thread or greenlet that calls it, and one more.

    Args:
        manager: whose tokens and sessions they are.
        origins: of the pages that may use it.
        authenticate: returns who signed in, from the WSGI environment; None refuses. It is asked again as `recheck`
            says. Without it, the token in the first message alone says who it is.
        address: returns where the client is; the socket's other end where it is left out.
    """

    def __init__(
        self,
        manager: TerminalManager,
        origins: Origins | Iterable[str] = (),
        *,
        authenticate: Callable[[Environ], str | None] | None = None,
        address: Callable[[Environ], str | None] | None = None,
    ) -> None:
        self._manager = manager
        self._origins = origins if isinstance(origins, Origins) else Origins(origins)
        self._authenticate = authenticate
        self._address = address or (lambda environ: environ.get("REMOTE_ADDR"))
        self._attendance = Attendance()

    def recheck(self) -> None:
        """Close the WebSockets of those who are not signed in any more; their sessions wait for them for a while.

        Each WebSocket asks by itself every ``recheck`` seconds of the manager's policy: this is for a sign-out, which
        should count at once.
        """
        self._attendance.recheck()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request; returns when the WebSocket is over."""
        try:
            check(environ, self._origins, cookies=self._authenticate is not None)
            user = self._known(environ)
            if self._authenticate is not None and user is None:
                raise HandshakeError("401 Unauthorized", "sign in first")
            found = taken_over(environ)
            if found is None:
                raise HandshakeError("501 Not Implemented", "this server cannot serve WebSockets")
            if serves_one_at_a_time(environ):
                raise HandshakeError("501 Not Implemented", "this server serves one request at a time: give it threads")
        except HandshakeError as error:
            body = f"{error.text}\n".encode()
            headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
            if error.status.startswith("426"):
                headers += [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
            start_response(error.status, headers)
            return [body]
        sock, first = found
        if "werkzeug.socket" in environ or "gunicorn.socket" in environ:
            # They add headers of their own to any answer ("Connection: close"), and have no way to leave them out.
            lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in accepted(environ))]
            sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        else:
            start_response("101 Switching Protocols", accepted(environ))(b"")
        connection = WebSocket(sock, first)
        known = None if self._authenticate is None else functools.partial(self._known, environ)
        with self._attendance.attending(Presence(connection, user, known)) as presence:
            converse(connection, self._manager, presence=presence, address=self._address(environ))
        return _Over()

    def _known(self, environ: Environ) -> str | None:
        user: object = None if self._authenticate is None else self._authenticate(environ)
        return user if isinstance(user, str) and user else None
