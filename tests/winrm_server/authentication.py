"""Who is at the other end of one TCP connection: Basic, Negotiate, Kerberos, CredSSP, client certificate."""

from __future__ import annotations

import base64
import binascii
import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import spnego
from spnego.channel_bindings import GssChannelBindings

if TYPE_CHECKING:
    from tests.winrm_server.server import WinrmServer

MUTUAL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
"""What a client says that logs in by its certificate."""

_SCHEMES = {
    "negotiate": "Negotiate",
    "ntlm": "Negotiate",
    "kerberos": "Kerberos",
    "basic": 'Basic realm="WSMAN"',
    "credssp": "CredSSP",
}
_ENVIRONMENT = threading.RLock()
"""pyspnego and GSSAPI take their secrets from files that environment variables name, so that servers take turns."""


@contextlib.contextmanager
def surroundings(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables of this process for a moment."""
    with _ENVIRONMENT:
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def write_users(path: Path, users: Mapping[str, str]) -> None:
    """Write pyspnego's file of NTLM users: as hashes, since a password may hold a colon."""
    from spnego._ntlm_raw.crypto import lmowfv1, ntowfv1

    lines = []
    for name, password in users.items():
        domain, _, user = name.rpartition("\\")
        hashes = f"{lmowfv1(password).hex().upper()}:{ntowfv1(password).hex().upper()}"
        domains = (domain,) if domain else ("", ".", "WINHOST", "WORKSTATION")
        lines += [f"{each}{chr(92) if each else ''}{user}:1000:{hashes}:[U]:LCT-00000000" for each in domains]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class _Refusal(logging.Handler):
    """Hears that pyspnego refuses a CredSSP login, which it tells the peer in a token, and its caller in its log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reasons: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.reasons.append(record.getMessage())

    def __enter__(self) -> _Refusal:
        logging.getLogger("spnego._credssp").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("spnego._credssp").removeHandler(self)


class Denied(Exception):
    """The answer is 401.

    Args:
        challenges: values of its WWW-Authenticate headers.
    """

    def __init__(self, challenges: list[str]) -> None:
        super().__init__("401")
        self.challenges = challenges


class Login:
    """What one connection knows of its peer.

    Args:
        server: whose users and transports count.
        bindings: of the TLS channel; None where there is none.
        certified: the user that the client's certificate stands for.
    """

    def __init__(self, server: WinrmServer, bindings: bytes | None, certified: str | None) -> None:
        self._server = server
        self._bindings = None if bindings is None else GssChannelBindings(application_data=bindings)
        self._certified = certified
        self.user: str | None = None
        self.context: spnego.ContextProxy | None = None
        """That of a complete login that can seal messages."""
        self.scheme = ""
        self._begun: spnego.ContextProxy | None = None
        self._basic = ""

    @property
    def challenges(self) -> list[str]:
        """What is offered to somebody unknown."""
        offered = [_SCHEMES[each] for each in self._server.transports if each in _SCHEMES]
        if "kerberos" in self._server.transports and "Negotiate" not in offered:
            offered.insert(0, "Negotiate")
        return list(dict.fromkeys(offered))

    def check(self, authorization: str) -> str | None:
        """Take a request's Authorization header.

        Returns:
            A WWW-Authenticate header for the answer, the last token of a login that is complete now; None for none.

        Raises:
            Denied: nobody is logged in (yet).
        """
        if not authorization:
            if self.user is None or self._basic:
                raise Denied(self.challenges)
            return None
        if authorization == MUTUAL:
            self._certificate()
            return None
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "basic":
            self._password(token.strip())
            return None
        if scheme not in {each.split(" ")[0] for each in self.challenges}:
            raise Denied(self.challenges)
        try:
            data = base64.b64decode(token, validate=True)
        except binascii.Error:
            raise Denied(self.challenges) from None
        return self._token(scheme, data)

    def _certificate(self) -> None:
        if "certificate" not in self._server.transports or self._certified is None:
            self._server.count_login(False, "certificate")
            raise Denied(self.challenges)
        if self.user is None:
            self._server.count_login(True, "certificate", self._certified)
        self.user = self._certified

    def _password(self, token: str) -> None:
        if "basic" not in self._server.transports:
            raise Denied(self.challenges)
        if self._basic and token == self._basic:
            return
        try:
            data = base64.b64decode(token, validate=True)
        except binascii.Error:
            raise Denied(self.challenges) from None
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        name, _, password = text.partition(":")
        right = self._server.users.get(name) == password
        self._server.count_login(right, "basic", name)
        if not right:
            self._basic, self.user = "", None
            raise Denied(self.challenges)
        self._basic, self.user = token, name

    def _token(self, scheme: str, data: bytes) -> str | None:
        if self._begun is None or self._begun.complete:
            self._begun, self.user, self.context = self._acceptor(scheme, data), None, None
        context = self._begun
        try:
            with surroundings(self._server.surroundings), _Refusal() as refusal:
                out = context.step(data)
        except Exception as error:
            # pyspnego, gssapi, ssl and struct raise what they like for a token that is wrong.
            self._begun = None
            self._server.count_login(False, scheme, repr(error))
            raise Denied(self.challenges) from None
        answer = f"{scheme} {base64.b64encode(out).decode()}" if out else None
        if refusal.reasons:
            self._server.count_login(False, scheme, refusal.reasons[0])
        if not context.complete:
            raise Denied([answer or scheme])
        self.scheme, self.context = scheme, context
        self.user = self._name(context)
        self._server.count_login(True, scheme, self.user)
        credential = getattr(context, "_ts_credential", None)
        if credential is not None:
            self._server.delegated.append(credential.credentials)
        if passed_on := _passed_on(context):
            self._server.delegated.append(passed_on)
        return answer

    def _acceptor(self, scheme: str, data: bytes) -> spnego.ContextProxy:
        protocol = {"Kerberos": "kerberos", "CredSSP": "credssp"}.get(scheme, "negotiate")
        if data.startswith(b"NTLMSSP\0"):
            protocol = "ntlm"
        with surroundings(self._server.surroundings):
            return spnego.server(protocol=protocol, channel_bindings=self._bindings)

    def _name(self, context: spnego.ContextProxy) -> str:
        full = (context.client_principal or "").rpartition("\\")[2]
        # A principal is user@REALM.
        names = (full.lower(), full.lower().partition("@")[0])
        return next((each for each in self._server.users if each.lower() in names), full)


def _passed_on(context: spnego.ContextProxy) -> str | None:
    """Return whose ticket came with a login by Kerberos, for the service to use as its own; None without one."""
    inner: object = context
    while isinstance(inner, spnego.ContextProxy):
        inner = getattr(inner, "_context", None)
    credentials = getattr(inner, "delegated_creds", None)
    return None if credentials is None else str(credentials.name)
