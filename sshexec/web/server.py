"""A server for the web terminal: gevent's, with limits for those who send slowly or never, in a patched process."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
import time
from collections.abc import Callable
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, cast

import gevent
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from sshexec import expect
from sshexec.errors import ArgumentError, InputError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

REQUEST_TIME = 20.0
"""Seconds that the head of a request may take, and a handshake of TLS."""

KEEP_TIME = 75.0
"""Seconds that a connection is kept for a next request."""

BODY_TIME = 60.0
"""Seconds without a byte that a request's body, or a browser that takes an answer, may stand still."""

_DISCARDED = 16 * 2**20
"""Bytes of a body that nobody wanted which are read all the same, so that the answer arrives."""


class _Handler(WSGIHandler):
    """One connection."""

    ignored_socket_errors = (*WSGIHandler.ignored_socket_errors, errno.ETIMEDOUT, errno.EBADF)

    def read_requestline(self) -> str:
        self.socket.settimeout(BODY_TIME)
        try:
            with gevent.Timeout(KEEP_TIME):
                return str(super().read_requestline())
        except gevent.Timeout:
            return ""

    def read_request(self, raw_requestline: str) -> Any:
        try:
            with gevent.Timeout(REQUEST_TIME):
                return super().read_request(raw_requestline)
        except (gevent.Timeout, HTTPException):  # gevent would print a traceback for headers that are too many
            return False

    def MessageClass(self, *args: Any) -> Any:
        """Read the headers; refuse a body whose end somebody else may find elsewhere (RFC 9112 §6.1 and §6.3).

        A proxy that does takes the rest of the body for the next request. gevent takes "+5" and "1_000" for lengths,
        the first of two, and knows no encoding but "chunked".
        """
        headers = super().MessageClass(*args)
        lengths = headers.get_all("content-length", [])
        encodings = [each.lower() for each in headers.get_all("transfer-encoding", [])]
        well = all(each.isascii() and each.isdigit() for each in lengths) and set(encodings) <= {"chunked"}
        if not well or len(lengths) + len(encodings) > 1:
            raise ValueError("a body has one length")
        return headers

    def run_application(self) -> None:
        try:
            super().run_application()
        except (TimeoutError, ssl.SSLError) as error:
            raise OSError(errno.ETIMEDOUT, "it does not go on") from error
        finally:
            body: Any = self.wsgi_input
            if (self.content_length or 0) - body.position > _DISCARDED:
                body.content_length = body.position
                self.close_connection = True

    def handle_error(self, t: Any, v: Any, tb: Any) -> None:
        """Say that an answer broke off; where it has begun, the connection ends so that nobody takes it for whole."""
        if issubclass(t, gevent.GreenletExit):
            self.close_connection = True  # the server is being stopped
            return
        if self.status is not None and self.response_length:
            log.warning("an answer broke off: %s", getattr(t, "__name__", "error"))
            self.close_connection = True
            self.response_use_chunked = False
            return
        log.error("a request failed", exc_info=(t, v, tb))
        self._send_error_response_if_possible(500)  # type: ignore[attr-defined]

    def log_error(self, msg: str, *args: Any) -> None:
        log.info("a request was refused: it is no HTTP")

    def log_request(self) -> None:
        """Say who asked for what, the query left out: it may be long, or private."""
        environ = getattr(self, "environ", None) or {}
        address = environ.get("sshexec.address") or (self.client_address or ("-",))[0]
        user = environ.get("sshexec.user") or "-"
        status = (self.status if isinstance(self.status, str) else (self.status or b"-").decode("latin-1")).split()[0]
        path = str(getattr(self, "path", "-")).partition("?")[0]
        command = getattr(self, "command", "-")
        took = (self.time_finish or time.time()) - self.time_start
        shown = "".join(each if each.isprintable() and each.isascii() else "?" for each in f"{user} {command} {path}")
        cast("_Server", self.server).told(f"{address} {shown[:500]} {status} {self.response_length or 0} {took:.3f}")


class _Server(WSGIServer):
    """Accepts connections."""

    told: Callable[[str], None]

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> Any:
        wrap: Any = self.wrap_socket  # type: ignore[misc]
        try:
            with gevent.Timeout(REQUEST_TIME):
                wrapped = wrap(client_socket, **(self.ssl_args or {}))
        except (OSError, gevent.Timeout):
            client_socket.close()  # whoever it was did not speak TLS
            return None
        try:
            return self.handle(wrapped, address)
        finally:
            wrapped.close()


class Server:
    """Listens from the beginning, and serves an application from `start` on.

    Args:
        host: address to listen at.
        port: likewise; 0 takes a free one.
        certificate: file with the certificate and its chain, for TLS.
        key: file with its key; None where the certificate's file holds it too.
        connections: that may be open at once; more wait.
        told: gets a line for each request; None keeps none.

    Raises:
        InputError: the address can't be listened at, or the certificate can't be read.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        certificate: str | None = None,
        key: str | None = None,
        connections: int = 2000,
        told: Callable[[str], None] | None = None,
    ) -> None:
        expect.count("connections", connections, "connections")
        if not isinstance(port, int) or not 0 <= port <= 65535:
            raise ArgumentError(f"port: expected a number from 0 to 65535, got {port!r:.40}")
        secured: dict[str, Any] = {} if certificate is None else {"ssl_context": _context(certificate, key)}
        self._listener = _listen(host, port)
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self._pool = Pool(connections)
        self._server = _Server(
            self._listener,
            spawn=self._pool,
            log=None,
            error_log=None,
            handler_class=_Handler,
            environ={"SERVER_NAME": host, "SERVER_PORT": str(self.port), "wsgi.multithread": True},
            **secured,
        )
        self._server.told = told or (lambda line: None)
        self.scheme = "https" if secured else "http"

    @property
    def address(self) -> str:
        """Where the page is, as a URL without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def start(self, application: WSGIApplication) -> None:
        """Answer requests, whenever the caller waits.

        Args:
            application: what answers, such as `sshexec.web.application.WebTerminal`.
        """
        self._server.application = application
        self._server.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Accept nothing more, give what goes on some time to end, then end it.

        Args:
            timeout: seconds.
        """
        self._server.stop(timeout)


def _listen(host: str, port: int) -> Any:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(256)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise InputError(f"can't listen at {host}:{port}: {error.strerror or error}") from None
    return listener


def _context(certificate: str, key: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a password nobody is asked for one: that would be at a terminal that there may not be.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        reason = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "no certificate and key"
        raise InputError(f"the certificate {certificate} can't be used: {reason}") from None
    return context
