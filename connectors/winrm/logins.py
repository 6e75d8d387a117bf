"""Logins that are a conversation: NTLM and CredSSP by pywinrm's libraries. Kerberos is in `kerberos`."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, cast

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests_ntlm import HttpNtlmAuth

from sshexec.connectors.winrm.options import WinrmOptions

if TYPE_CHECKING:
    from sshexec.connectors.winrm.context import WinrmContext
    from sshexec.connectors.winrm.transport import Adapter

_PREFIX = b"tls-server-end-point:"


class Login(AuthBase):
    """One login on one connection."""

    @abstractmethod
    def converse(self, request: requests.PreparedRequest, adapter: Adapter) -> requests.Response:
        """Log in with an empty request, trying the credentials once, and return the last answer."""


class NotOffered(Exception):
    """The host does not log in this way.

    Args:
        offered: what it has in ``WWW-Authenticate``.
    """

    def __init__(self, offered: str) -> None:
        super().__init__(offered)
        self.offered = offered


class Ntlm(HttpNtlmAuth, Login):
    """NTLM, its first message in the first request: what `requests_ntlm` waits for a 401 with is known already.

    Args:
        user: the login name, as DOMAIN\\user, user@DOMAIN or user.
        password: the user's.
        binding: channel binding of the TLS connection; None for none.
    """

    def __init__(self, user: str, password: str, binding: bytes | None) -> None:
        super().__init__(user, password, send_cbt=binding is not None)
        self._binding = binding

    def converse(self, request: requests.PreparedRequest, adapter: Adapter) -> requests.Response:
        """Log in.

        Raises:
            NotOffered: the host knows no NTLM.
        """
        scheme = "Negotiate"
        while True:
            try:
                return self.retry_using_http_NTLM_auth(
                    "www-authenticate", "Authorization", refusal(request, adapter), scheme, {}
                )
            except (KeyError, PermissionError):
                # No challenge came, so nothing of the password went.
                last = adapter.last
                if last is None or last.status != 401:
                    return refusal(request, adapter, 401 if last is None else last.status)
                offered = last.headers.get("www-authenticate", "")
                if scheme == "Negotiate" and "ntlm" in offered.lower():
                    scheme = "NTLM"
                    continue
                raise NotOffered(offered) from None

    def _get_server_cert(self, response: requests.Response) -> bytes | None:
        return None if self._binding is None else self._binding.removeprefix(_PREFIX)


def refusal(request: requests.PreparedRequest, adapter: Adapter, status: int = 401) -> requests.Response:
    """Return the answer that a login begins with, without having asked for it."""
    response = requests.Response()
    response.status_code = status
    response.url = request.url or ""
    response.request = request
    response.connection = cast(HTTPAdapter, adapter)
    response.raw = _Nothing()
    response.headers["www-authenticate"] = "Negotiate, Kerberos, CredSSP"
    return response


class _Nothing:
    """An empty body."""

    def read(self, *_: object) -> bytes:
        """Return the end."""
        return b""

    def release_conn(self) -> None:
        """Do nothing."""


def login_of(options: WinrmOptions, password: str, binding: bytes | None, context: WinrmContext) -> Login | None:
    """Return how to log in on a new connection; None where each message says who sends it.

    Args:
        options: who, how.
        password: the user's.
        binding: channel binding of the TLS connection; None for none.
        context: has the Kerberos tickets.
    """
    if options.transport == "ntlm":
        return Ntlm(options.user, password, binding)
    return None
