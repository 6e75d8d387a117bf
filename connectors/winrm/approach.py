"""The way to a WinRM service: a name, an address, a proxy, TLS."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from sshexec.connectors.base import Phase
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.dial import dial, unreachable
from sshexec.connectors.resolver import Address
from sshexec.connectors.severed import keep_from_children
from sshexec.connectors.winrm import tls
from sshexec.connectors.winrm.http import Broken, Expired, Line, NotHttp, Silence
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.errors import (
    BannerError,
    ConnectTimeoutError,
    NoRouteError,
    ProtocolError,
    ResolveError,
)

if TYPE_CHECKING:
    from sshexec.connectors.winrm.context import WinrmContext

_PROXY_PORT = 80


class Approach:
    """The way of one `Wire` to its host.

    Args:
        options: where to.
        context: names that are known, TLS.
        guard: raises where the caller shall wait no longer.
        enter: told the phase.
        answered: called once the host, or the proxy, has taken the connection.
    """

    def __init__(
        self,
        options: WinrmOptions,
        context: WinrmContext,
        guard: Callable[[], None],
        enter: Callable[[Phase], None],
        answered: Callable[[], None],
    ) -> None:
        self._options = options
        self._context = context
        self._guard = guard
        self._enter = enter
        self._answered = answered
        self.line: Line | None = None
        """What is being connected."""

    @property
    def where(self) -> str:
        """The host's address for people."""
        return f"{self._options.address} port {self._options.port}"

    def arrive(self, limit: Deadline) -> Line:
        """Connect, through the proxy if there is one, and make TLS.

        Args:
            limit: by when.

        Raises:
            UnreachableError: by its leaf, the cause.
        """
        proxy = self._options.proxy_url()
        try:
            if proxy is None or not proxy.hostname:
                line = self._connect(self._options.address, self._options.port, self.where, limit)
            else:
                port = proxy.port or _PROXY_PORT
                line = self._connect(proxy.hostname, port, f"the proxy {proxy.hostname} port {port}", limit)
            self._answered()
            if self._options.scheme == "https":
                if proxy is not None:
                    self._tunnel(line, limit)
                self._secure(line, limit)
        except BaseException:
            if self.line is not None:
                self.line.close()
                self.line = None
            raise
        self.line = None
        return line

    def wake(self) -> None:
        """Make whoever waits here ask his guard; from any thread."""
        line = self.line
        if line is not None:
            line.shut()

    def proxy_login(self) -> str | None:
        """Return the header with which the proxy lets us in; None where it needs none."""
        proxy = self._options.proxy_url()
        if proxy is None or not proxy.username:
            return None
        login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        return "Basic " + base64.b64encode(login.encode()).decode()

    def _connect(self, host: str, port: int, where: str, limit: Deadline) -> Line:
        self._guard()
        self._enter(Phase.RESOLVING)
        addresses = self._context.resolver.resolve(host, port, limit, self._guard)
        self._enter(Phase.CONNECTING)
        return dial(addresses, where, limit, self._guard, self._connect_to)

    def _connect_to(self, address: Address, limit: Deadline) -> Line:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        line = self.line = Line(sock)
        keep_from_children(sock)
        try:
            self._guard()  # now `wake` sees the line
            left = limit.remaining()
            sock.settimeout(None if left is None else max(left, 0.001))
            sock.connect(address.target)
            # Small requests, one at a time: Nagle's wait would cost 40 ms each.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._guard()
        except BaseException:
            self.line = None
            line.close()
            raise
        return line

    def _tunnel(self, line: Line, limit: Deadline) -> None:
        """Have the proxy connect us with the host (RFC 9110, section 9.3.6)."""
        options = self._options
        target = urlsplit(options.url).netloc
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
        if login := self.proxy_login():
            head += f"Proxy-Authorization: {login}\r\n"
        try:
            status = line.ask(f"{head}\r\n".encode("ascii"), limit, None, tunnel=True).status
        except (Expired, Silence):
            raise ConnectTimeoutError(f"the proxy did not connect us with {self.where} in time") from None
        except (Broken, NotHttp) as error:
            self._guard()
            raise BannerError(f"the proxy did not connect us with {self.where}: {error.reason}") from None
        if status == 407:
            raise ProtocolError("the proxy asks for a user and password, or for others (ansible_winrm_proxy)")
        if status in (502, 503, 504):
            raise NoRouteError(f"the proxy can't reach {self.where} (HTTP {status})")
        if status // 100 != 2:
            raise ProtocolError(f"the proxy does not connect us with {self.where} (HTTP {status})")

    def _secure(self, line: Line, limit: Deadline) -> None:
        context = self._context.tls.get(self._options)
        self._enter(Phase.KEY_EXCHANGE)
        address = self._options.address
        try:
            line.wrap(context, address.partition("%")[0], limit)
            keep_from_children(line.socket)
            self._guard()
        except TimeoutError:
            self._guard()
            raise ConnectTimeoutError(f"{self.where} did not finish the TLS handshake in time") from None
        except (ssl.SSLEOFError, ConnectionError):
            self._guard()
            raise BannerError(
                f"{self.where} closed the connection during the TLS handshake; if it speaks plain HTTP,"
                " set ansible_winrm_scheme=http"
            ) from None
        except ssl.SSLError as error:
            self._guard()
            if tls.speaks_http(error):
                raise BannerError(
                    f"{self.where} does not speak TLS; if it speaks plain HTTP, set ansible_winrm_scheme=http"
                ) from None
            raise ProtocolError(f"TLS with {self.where} failed: {tls.reason(error, address)}") from None
        except OSError as error:
            self._guard()
            raise unreachable(self.where, error) from None
        except ValueError as error:
            raise ResolveError(f"{address!a} is not a host name: {error}") from None
