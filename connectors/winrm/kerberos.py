"""Login by Kerberos, by pywinrm's `HTTPKerberosAuth` and pykerberos, with tickets of this process or of the user."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import kerberos
import requests
from winrm.vendor.requests_kerberos.kerberos_ import HTTPKerberosAuth

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.winrm.logins import Login, NotOffered, Stale
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.connectors.winrm.tickets import Ticket, Tickets, using
from sshexec.errors import AuthenticationError, ProtocolError
from sshexec.secret import Secret

if TYPE_CHECKING:
    from sshexec.connectors.winrm.transport import Adapter

_TOKEN = re.compile(r"(?:^|,)\s*(?:Negotiate|Kerberos)\s+([A-Za-z0-9+/=]+)", re.IGNORECASE)
_NO_KDC = ("Cannot contact any KDC", "Cannot find KDC")
_NO_TICKET = ("no kerberos credentials", "no credentials", "not found", "find client principal")


class Kerberos(HTTPKerberosAuth, Login):
    """Kerberos with mutual authentication, the token in the first request.

    Args:
        options: who, and what the host is called.
        password: the user's, where this side gets the ticket by it.
        binding: channel binding of the TLS connection; None for none.
        tickets: those that this side has got.
        deadline: by when a ticket must be there.
        guard: raises where the caller shall wait no longer.
    """

    def __init__(
        self,
        options: WinrmOptions,
        password: Secret | None,
        binding: bytes | None,
        tickets: Tickets,
        deadline: Deadline,
        guard: Callable[[], None],
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # pywinrm's copy has no types
            service=options.service, delegate=options.delegation, send_cbt=False
        )
        self._options = options
        self._password = password
        self._binding = None if binding is None else kerberos.channelBindings(application_data=binding)
        self._tickets = tickets
        self._deadline = deadline
        self._guard = guard
        self._ticket: Ticket | None = None

    def converse(self, request: requests.PreparedRequest, adapter: Adapter) -> requests.Response:
        """Log in.

        Raises:
            AuthenticationError: there is no ticket, or none for this host.
            WrongPassword: the KDC refused the password.
            ProtocolError: the host did not prove who it is.
            Stale: the ticket expired meanwhile.
            NotOffered: the host knows no Kerberos.
        """
        name = urlsplit(str(request.url)).hostname or ""
        request.headers["Authorization"] = f"Negotiate {self._token(name)}"
        response = adapter.send(request)
        offered = response.headers.get("www-authenticate", "")
        if response.status_code == 401:
            if not re.search(r"\b(negotiate|kerberos)\b", offered, re.IGNORECASE):
                raise NotOffered(offered)
            return response
        if response.status_code == 200:
            self._prove(name, offered)
        return response

    def _token(self, name: str) -> str:
        """Return the first token for a host; with a new ticket where that of ours has expired."""
        options = self._options
        if not options.managed:
            with self._explained(name), using(None):
                return self._begin(name, options.user or None)
        for last in (False, True):
            ticket = self._ticket = self._tickets.get(options, self._password, self._deadline, self._guard)
            with self._explained(name):
                try:
                    with ticket.used():
                        return self._begin(name, None)
                except kerberos.GSSError as error:
                    if last or "expired" not in _words(error):
                        raise
                except FileNotFoundError:  # tidied away: temporary files do not live for ever
                    if last:
                        raise AuthenticationError("the file of the Kerberos ticket vanishes") from None
                ticket.expire()
        raise AssertionError("unreachable")

    def _begin(self, name: str, principal: str | None) -> str:
        flags = kerberos.GSS_C_MUTUAL_FLAG | kerberos.GSS_C_SEQUENCE_FLAG
        if self._options.delegation:
            flags |= kerberos.GSS_C_DELEG_FLAG
        service = f"{self._options.service}@{self._options.kerberos_host or name}"
        _, context = kerberos.authGSSClientInit(service, gssflags=flags, principal=principal)
        self.context[name] = context
        kerberos.authGSSClientStep(context, "", **self._bound())
        return str(kerberos.authGSSClientResponse(context))

    def _prove(self, name: str, offered: str) -> None:
        """Have the host prove that it is the one that the ticket is for."""
        match = _TOKEN.search(offered)
        try:
            if match is not None and kerberos.authGSSClientStep(self.context[name], match[1], **self._bound()) >= 1:
                return
        except kerberos.GSSError as error:
            if "expired" in _words(error):
                if self._ticket is not None:
                    self._ticket.expire()
                    raise Stale from None
                raise AuthenticationError(self._sentence(name, _words(error))) from None
        raise ProtocolError("the host did not prove by Kerberos who it is; nothing was sent to it")

    def _bound(self) -> dict[str, Any]:
        return {} if self._binding is None else {"channel_bindings": self._binding}

    @contextlib.contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        self._tickets.check_down()
        try:
            yield
        except kerberos.GSSError as error:
            words = _words(error)
            sentence = self._sentence(name, words)
            if any(part in words for part in _NO_KDC):
                self._tickets.note_down(sentence)
            raise AuthenticationError(sentence) from None

    def _sentence(self, name: str, words: str) -> str:
        options = self._options
        service = f"{options.service}/{options.kerberos_host or name}"
        user = options.user or "this user"
        if "not found in Kerberos database" in words:
            return (
                f"the KDC knows no service {service}; use the host's full name as in Active Directory,"
                " or set ansible_winrm_kerberos_hostname_override"
            )
        if "expired" in words:
            return f"the Kerberos ticket of {user} has expired; run kinit, or set ansible_password"
        if any(word in words.lower() for word in _NO_TICKET):
            return f"there is no Kerberos ticket of {user}; run kinit, or set ansible_password"
        if any(part in words for part in _NO_KDC):
            return f"no KDC can be reached for {service}: {words}"
        if "skew" in words:
            return f"the clocks of this machine and the KDC differ by too much: {words}"
        return f"Kerberos has no token for {service}: {words}"


def _words(error: Exception) -> str:
    """Return what a GSSError says: its minor status, which is Kerberos' own, else its major one."""
    texts = [" ".join(str(part[0]).split()) for part in error.args if isinstance(part, tuple) and part]
    texts = [text for text in texts if text not in ("", "Success", "No error")]
    return texts[-1] if texts else " ".join(str(error).split())
