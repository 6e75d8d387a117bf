"""Logins that are a conversation: NTLM and CredSSP by pywinrm's libraries. Kerberos is in `kerberos`."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests_ntlm import HttpNtlmAuth
from spnego import NTLMHash
from spnego.exceptions import SpnegoError

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.connectors.winrm.tickets import Tickets
from sshexec.secret import Secret

if TYPE_CHECKING:
    from sshexec.connectors.winrm.transport import Adapter

_PREFIX = b"tls-server-end-point:"
_WRONG = frozenset({0x8009030C, 0xC0000064, 0xC000006A, 0xC000006D})
"""SEC_E_LOGON_DENIED, STATUS_NO_SUCH_USER, STATUS_WRONG_PASSWORD, STATUS_LOGON_FAILURE (MS-ERREF 2.3.1)."""
_STATUSES = {
    0xC000006E: "the account may not log in so",
    0xC000006F: "the account may not log in at this hour",
    0xC0000070: "the account may not log in from here",
    0xC0000071: "the password has expired",
    0xC0000072: "the account is disabled",
    0xC000015B: "the account may not log in over the network",
    0xC0000193: "the account has expired",
    0xC0000224: "the password must be changed first",
    0xC0000234: "the account is locked",
    0x80090322: "the host goes by another name",
}


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


class NotAsked(Exception):
    """The host let us in before the login was over: it is no WinRM service, or somebody else answers for it."""


class Stale(Exception):
    """The ticket has expired just now; there is another one for the next login."""


class Denied(Exception):
    """The host refused for a reason that it says (its words are the message), other than a wrong password."""


class Ntlm(HttpNtlmAuth, Login):
    """NTLM, its first message in the first request: what `requests_ntlm` waits for a 401 with is known already.

    Args:
        user: the login name, as DOMAIN\\user, user@DOMAIN or user.
        password: the user's.
        binding: channel binding of the TLS connection; None for none.
    """

    def __init__(self, user: str, password: str, binding: bytes | None) -> None:
        # What `requests_ntlm` hands on to pyspnego, which takes a credential in the place of a name.
        super().__init__(cast(str, _credential(user, password)), password, send_cbt=binding is not None)
        self._binding = binding

    def converse(self, request: requests.PreparedRequest, adapter: Adapter) -> requests.Response:
        """Log in.

        Raises:
            NotOffered: the host knows no NTLM.
            NotAsked: it lets anybody in.
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
                    return _unasked(request, adapter)
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


def _unasked(request: requests.PreparedRequest, adapter: Adapter) -> requests.Response:
    """Return the answer of a host that broke a login off by another status than 401.

    Raises:
        NotAsked: as if all were well.
    """
    status = 500 if adapter.last is None else adapter.last.status
    if status < 400:
        raise NotAsked
    return refusal(request, adapter, status)


class _Nothing:
    """An empty body."""

    def read(self, *_: object) -> bytes:
        """Return the end."""
        return b""

    def release_conn(self) -> None:
        """Do nothing."""


def _credential(user: str, password: str) -> NTLMHash | str:
    """Return a user with the NT hash of the password, or only the user, for pyspnego to make the hashes itself.

    It makes the LM hash, too, in Python and for nothing: a quarter of all that a host costs (1.5 ms).
    """
    if "LM_COMPAT_LEVEL" in os.environ:  # pyspnego's setting, which may want it
        return user
    try:
        from spnego._ntlm_raw.crypto import ntowfv1
    except ImportError:
        return user
    return NTLMHash(user, nt_hash=ntowfv1(password).hex())


class Credssp(Login):
    """CredSSP: TLS in the messages, NTLM or Kerberos in it, and the password at its end, for the host's own logins.

    Args:
        options: who, how.
        password: the user's.
    """

    def __init__(self, options: WinrmOptions, password: str) -> None:
        # Imported here: it comes with an extra.
        from requests_credssp import HttpCredSSPAuth

        self._auth = HttpCredSSPAuth(
            options.user,
            password,
            auth_mechanism=options.credssp_auth_mechanism,
            disable_tlsv1_2=options.credssp_disable_tlsv1_2,
            minimum_version=options.credssp_minimum_version,
        )

    @property
    def contexts(self) -> Mapping[str, Any]:
        """What pywinrm's `Encryption` seals with, by host."""
        contexts: Mapping[str, Any] = self._auth.contexts
        return contexts

    def converse(self, request: requests.PreparedRequest, adapter: Adapter) -> requests.Response:
        """Log in.

        Raises:
            NotOffered: the host knows no CredSSP.
            NotAsked: it lets anybody in.
            Denied: the host refused, and says why.
        """
        from requests_credssp.exceptions import AuthenticationException, NTStatusException

        try:
            response: requests.Response = self._auth.handle_401(refusal(request, adapter))
        except NTStatusException as error:
            if error.status in _WRONG:
                return refusal(request, adapter)
            raise Denied(_STATUSES.get(error.status, f"status 0x{error.status:08x}")) from None
        except (AuthenticationException, SpnegoError) as error:
            last = adapter.last
            if last is not None and last.status != 401:
                return _unasked(request, adapter)
            offered = "" if last is None else last.headers.get("www-authenticate", "")
            if last is not None and "credssp" not in offered.lower():
                raise NotOffered(offered) from None
            if last is None or isinstance(error, SpnegoError):
                raise Denied(type(error).__name__) from None
            return refusal(request, adapter)
        if response.status_code == 200 and not all(context._context.complete for context in self.contexts.values()):
            raise NotAsked
        return response


def login_of(
    options: WinrmOptions,
    password: Secret | None,
    binding: bytes | None,
    tickets: Tickets,
    deadline: Deadline,
    guard: Callable[[], None],
) -> Login | None:
    """Return how to log in on a new connection; None where each message says who sends it.

    Args:
        options: who, how.
        password: the user's.
        binding: channel binding of the TLS connection; None for none.
        tickets: those of Kerberos.
        deadline: by when a ticket must be there.
        guard: raises where the caller shall wait no longer.
    """
    secret = "" if password is None else password.reveal()
    if options.transport == "ntlm":
        return Ntlm(options.user, secret, binding)
    if options.transport == "credssp":
        return Credssp(options, secret)
    if options.transport == "kerberos":
        # Imported here: it comes with an extra.
        from sshexec.connectors.winrm.kerberos import Kerberos

        return Kerberos(options, password, binding, tickets, deadline, guard)
    return None
