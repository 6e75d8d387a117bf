"""pywinrm's transport on a connection of our own: its logins, its encrypted messages.

pywinrm 0.5 sends what it sends through requests and urllib3. Here `Session` and `Adapter` stand in their place and hand
requests to a `Line`; `requests_ntlm`, `requests_credssp` and pywinrm's Kerberos and `Encryption` find what they expect.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict
from winrm.encryption import Encryption
from winrm.transport import Transport as PywinrmTransport

from sshexec.connectors.winrm.http import Answer
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.secret import Secret

if TYPE_CHECKING:
    from sshexec.connectors.winrm.logins import Login

_SOAP = "application/soap+xml;charset=UTF-8"
_MUTUAL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
"""What says that the login is the client's certificate (DSP0226, appendix C.3.1)."""
_AGENT = "Python WinRM client"
_SEALED = ("multipart/encrypted", "multipart/x-multi-encrypted")


class UnsealedError(Exception):
    """An answer with content is not encrypted, in a session whose messages are."""


class UnsealableError(Exception):
    """A message can't be encrypted: the login is no longer good for it."""


class UnreadableError(Exception):
    """An encrypted answer can't be decrypted."""


class _Raw(io.BytesIO):
    """A body for `requests.Response`, whose connection is nobody's but ours."""

    def release_conn(self) -> None:
        """Do what urllib3's does: nothing is borrowed."""


class Adapter(BaseAdapter):
    """Sends the requests of a login.

    Args:
        post: sends head fields and a body, and returns the answer.
    """

    def __init__(self, post: Callable[[Mapping[str, str], bytes], Answer]) -> None:
        super().__init__()
        self._post = post
        self.last: Answer | None = None
        """The latest answer."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Send a request; what concerns proxies, TLS and time-outs was settled when the line was made."""
        body = request.body or b""
        answer = self.last = self._post(
            {str(name): value if isinstance(value, str) else value.decode() for name, value in request.headers.items()},
            body if isinstance(body, bytes) else str(body).encode(),
        )
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response.raw = _Raw(answer.body)
        response.url = request.url or ""
        response.request = request
        response.connection = cast(HTTPAdapter, self)
        return response

    def close(self) -> None:
        """Do nothing: the line is closed by who opened it."""


class Session(requests.Session):
    """What pywinrm's `Encryption` has its requests prepared by.

    Args:
        adapter: sends them.
        headers: those of every request.
        auth: how to log in; None where nothing is said beside the headers.
    """

    def __init__(self, adapter: Adapter, headers: Mapping[str, str], auth: AuthBase | None) -> None:
        # Not the parent's: it makes two urllib3 pools and a cookie jar, for nobody.
        self.adapter = adapter
        self.auth = auth
        self.fixed = CaseInsensitiveDict(headers)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Return a request ready to be sent; nothing of the environment goes into it."""
        prepared = requests.PreparedRequest()
        prepared.method = "POST"
        prepared.url = request.url
        prepared.headers = self.fixed.copy()
        prepared.body = request.data or None
        return prepared

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        """Send a request that `prepare_request` has made."""
        return self.adapter.send(request)

    def close(self) -> None:
        """Do nothing: the line is closed by who opened it."""


class _Sealing(Encryption):
    """pywinrm's encryption, whose failures are told from those of sending."""

    def prepare_encrypted_request(
        self, session: requests.Session, endpoint: str | bytes, message: bytes
    ) -> requests.PreparedRequest:
        """Return a request with the message encrypted.

        Raises:
            UnsealableError: it can't be.
        """
        try:
            return super().prepare_encrypted_request(session, endpoint, message)
        except Exception as error:  # noqa: BLE001 - kerberos.GSSError, SpnegoError, ssl.SSLError
            raise UnsealableError(type(error).__name__) from None


class Transport(PywinrmTransport):
    """One login on one connection, and what is sent after it.

    Args:
        options: where, who, how.
        password: the user's; None where the login needs none.
        adapter: sends what is to be sent.
        login: how to log in, where that is a conversation; None for Basic and certificates.
    """

    def __init__(self, options: WinrmOptions, password: Secret | None, adapter: Adapter, login: Login | None) -> None:
        # Not the parent's, which adds to the warning filters of the whole process.
        self.endpoint = options.url
        self.auth_method = options.transport  # type: ignore[assignment]
        self.read_timeout_sec = options.read_timeout
        self.session = None
        self.encryption = None
        self._adapter = adapter
        self._login = login
        self._encrypted = options.encrypted
        self.default_headers = {"Content-Type": _SOAP, "User-Agent": _AGENT}
        if options.with_certificate:
            self.default_headers["Authorization"] = _MUTUAL
        elif login is None:
            self.default_headers["Authorization"] = _basic(options.user, "" if password is None else password.reveal())
        self.status = 0
        """HTTP status of the latest answer."""

    def build_session(self) -> requests.Session:
        """Return the session; made anew with each connection, as the login is."""
        if self.session is None:
            self.session = Session(self._adapter, self.default_headers, self._login)
        return self.session

    def setup_encryption(self, session: requests.Session) -> None:
        """Log in with an empty message; encrypt from then on, if that was asked for."""
        if self._login is None:
            return
        request = session.prepare_request(requests.Request("POST", self.endpoint))
        self.status = self._login.converse(request, self._adapter).status_code
        if self._encrypted and self.status < 400:
            self.encryption = _Sealing(session, self.auth_method)

    def send_message(self, message: str | bytes) -> bytes:
        """Send a message and return the answer's content, whose status is `status`.

        Raises:
            UnsealedError, UnreadableError, UnsealableError: as their names say.
        """
        if self._encrypted and self.encryption is None:
            raise UnsealedError  # nothing goes in the clear that was to be encrypted
        return super().send_message(message)

    def _send_message_request(
        self, session: requests.Session, prepared_request: requests.PreparedRequest
    ) -> requests.Response:
        response = session.send(prepared_request)
        self.status = response.status_code
        return response

    def _get_message_response_text(self, response: requests.Response) -> bytes:
        """Return an answer's content.

        Raises:
            UnsealedError, UnreadableError: as their names say.
        """
        if self.encryption is None or self.status not in (200, 500) or not response.content:
            return response.content
        if not response.headers.get("Content-Type", "").lower().startswith(_SEALED):
            raise UnsealedError
        try:
            return self.encryption.parse_encrypted_response(response)
        except Exception as error:  # noqa: BLE001 - what parses untrusted bytes: KeyError, struct.error, SpnegoError
            raise UnreadableError(type(error).__name__) from None


def _basic(user: str, password: str) -> str:
    """Return the header of a Basic login: in Latin-1 as requests has it, in UTF-8 what Latin-1 does not hold."""
    login = f"{user}:{password}"
    try:
        data = login.encode("latin-1")
    except UnicodeEncodeError:
        data = login.encode()
    return "Basic " + base64.b64encode(data).decode()
