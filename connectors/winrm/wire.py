"""One authenticated session with one host's WinRM service."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from sshexec.connectors.base import Phase
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.prompts import PATIENCE, Question
from sshexec.connectors.prompts import Answer as PromptAnswer
from sshexec.connectors.winrm import refusals, tls
from sshexec.connectors.winrm.approach import Approach
from sshexec.connectors.winrm.context import WinrmContext
from sshexec.connectors.winrm.faults import Fault
from sshexec.connectors.winrm.http import Answer, Broken, Expired, Line, NotHttp, Silence
from sshexec.connectors.winrm.logins import Stale, login_of
from sshexec.connectors.winrm.messages import MAX_ENVELOPE
from sshexec.connectors.winrm.options import SEALING, WinrmOptions
from sshexec.connectors.winrm.soap import NotSoap, root_of
from sshexec.connectors.winrm.tickets import WrongPassword
from sshexec.connectors.winrm.transport import Adapter, Transport, UnreadableError, UnsealableError, UnsealedError
from sshexec.errors import (
    AuthenticationError,
    ConnectionLostError,
    ConnectTimeoutError,
    HostError,
    ResolveError,
    UnreachableError,
)

_SEAL_ADDS = 4096
"""Bytes that an encrypted message is larger by at most, should they count: CredSSP adds some for each 16 KB
(MS-WSMV 2.2.9.1), NTLM and Kerberos some 300 in all."""


class NoAnswer(Exception):
    """The caller's deadline passed with no answer (never leaves this room)."""


class Aborted(Exception):
    """`Wire.abort` was called (never leaves this room)."""


class _Failed(Exception):
    """A message was not answered, and may be sent again.

    Args:
        error: what it comes to where it is not.
        unheard: whether the host certainly did not act on it.
    """

    def __init__(self, error: HostError, *, unheard: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.unheard = unheard


class Wire:
    """One authenticated session with one host's WinRM service: one request at a time.

    Args:
        host: the inventory name, for messages.
        options: where, who, how.
        context: what all WinRM connections share.
    """

    def __init__(self, host: str, options: WinrmOptions, context: WinrmContext) -> None:
        self.host = host
        self.on_phase: Callable[[Phase], None] | None = None
        self.on_answer: Callable[[], None] | None = None
        self.repeated = 0
        """Messages that were sent again though the host may have answered them; what it said then, such as output, is
        gone."""
        self._options = options
        self._context = context
        self._approach = Approach(options, context, self._guard, self._enter, self._answered)
        self._where = self._approach.where
        self._opening = False
        self._phase: Phase | None = None
        """What the wire is busy with itself; None while it carries messages."""
        self._line: Line | None = None
        self._transport: Transport | None = None
        self._head = self._fixed_head()
        self._deadline = Deadline()
        self._connect_limit: float | None = None
        self._auth_limit: float | None = None
        self._password = options.password
        self._answer: PromptAnswer | None = None
        """The password that was asked for, on trial."""
        self._verdict: bool | None = None
        self._refused_with: AuthenticationError | None = None
        self._denied: AuthenticationError | None = None
        """Why the host takes this login no more; it is not tried again, which might lock the account."""
        self._aborted = False
        self._proven = False
        """Whether the host has taken the login once."""

    @property
    def alive(self) -> bool:
        """Whether the connection is open as far as this side knows."""
        return self._line is not None and self._line.idle()

    @property
    def max_envelope(self) -> int:
        """Bytes that a message may have, what encryption adds to it left out."""
        return MAX_ENVELOPE - _SEAL_ADDS if self._options.encrypted else MAX_ENVELOPE

    def open(self, deadline: Deadline, connect: float | None, auth: float | None) -> None:
        """Connect and log in.

        With Basic and a certificate nothing of the login is known before the first message.

        Args:
            deadline: by when.
            connect: seconds for connecting, TLS included, where no variable says it.
            auth: seconds for the login.

        Raises:
            UnreachableError: by its leaf, the cause.
            Aborted: `abort` was called.
        """
        self._connect_limit = self._options.connect_timeout or connect
        self._auth_limit = auth
        self._denied = None
        self._opening = True
        try:
            if self._options.needs_password and self._password is None:
                self._begin_asking(deadline)
            else:
                self._begin(deadline)
        except BaseException as error:
            self.close()
            if self._take_abort():
                raise Aborted from None
            self._place(error)
            raise
        finally:
            self._opening = False

    def send(self, message: bytes, deadline: Deadline, *, once: bool = False) -> ET.Element:
        """Send a message and return the root of the answer.

        Args:
            message: a SOAP envelope.
            deadline: by when.
            once: it must not have an effect twice: it is sent again only where the host certainly did not act on it.
                Others are sent again once, on a new connection.

        Raises:
            Fault: the service refused.
            NoAnswer: the deadline passed; the host may have acted.
            Aborted: `abort` was called; the host may have acted.
            ConnectionLostError: the connection broke; ``started`` tells whether the host may have acted.
            UnreachableError: by its leaf, the cause.
        """
        if deadline.expired:
            raise NoAnswer
        if self._denied is not None:
            raise AuthenticationError(self._denied.message, host=self._denied.host, phase=self._denied.phase)
        try:
            return self._send(message, deadline, once)
        except Expired:
            self._drop()
            raise NoAnswer from None
        except (HostError, OSError) as error:
            if self._take_abort():
                self._drop()
                raise Aborted from None
            self._place(error)
            if isinstance(error, AuthenticationError) and error.counted:
                self._denied = error
            raise
        except Aborted:
            self._drop()
            raise
        except BaseException as error:
            if not isinstance(error, Exception):  # KeyboardInterrupt, GreenletExit: the answer is still to come
                self._drop()
            raise

    def abort(self) -> None:
        """End the request in progress, or the next one, with Aborted; from any thread. The one after it reconnects."""
        self._aborted = True
        self._approach.wake()
        line = self._line
        if line is not None:
            line.shut()

    def resume(self) -> None:
        """Take back an `abort` that no request has met yet."""
        self._aborted = False

    def close(self) -> None:
        """Close the connection; safe to call twice and after a failed `open`."""
        self._drop()
        self._judge(None)

    def _send(self, message: bytes, deadline: Deadline, once: bool) -> ET.Element:
        first: _Failed | None = None
        while True:
            try:
                self._ready(deadline, first, once)
                return self._exchange(message, deadline)
            except _Failed as failure:
                self._drop()
                self._guard()
                if first is not None or (once and not failure.unheard):
                    if isinstance(failure.error, ConnectionLostError) and first is not None and not first.unheard:
                        failure.error.started = True
                    raise failure.error from None
                first = failure
                if not failure.unheard:
                    self.repeated += 1

    def _ready(self, deadline: Deadline, first: _Failed | None, once: bool) -> None:
        """Have a connection that is logged in, a new one where the host has closed the old one."""
        self._guard()
        if self._line is not None and self._line.idle():
            return
        if self._line is not None and not self._proven and refusals.about_certificate(self._line.farewell):
            raise refusals.closed(self._where, self._options, Broken(self._line.farewell, sent=False))
        self._drop()
        try:
            self._begin(deadline)
        except UnreachableError as error:
            if isinstance(error, AuthenticationError) or (once and (first is None or first.unheard)):
                raise
            # What the message is about has begun on the host, whose connection is gone for good.
            why = f"{first.error.message}; " if first is not None else ""
            raise ConnectionLostError(f"{why}reconnecting failed: {error.message}", started=True) from None

    def _begin(self, deadline: Deadline) -> None:
        """Connect and log in, again with another Kerberos ticket where that of the first login expired meanwhile."""
        try:
            self._begin_once(deadline)
        except Stale:
            try:
                self._begin_once(deadline)
            except Stale:
                raise AuthenticationError(f"the Kerberos tickets of {self._options.user} expire at once") from None

    def _begin_once(self, deadline: Deadline) -> None:
        self._drop()
        self._deadline = limit = deadline.sooner(self._connect_limit)
        try:
            self._line = self._approach.arrive(limit)
        except (ConnectTimeoutError, ResolveError):
            if deadline.expired and self._proven:
                raise Expired from None
            raise
        try:
            self._guard()  # now `abort` sees the line: one that came before does not
            self._log_in(deadline)
        except BaseException:
            # Never a connection that is there and not logged in.
            self._drop()
            raise

    def _log_in(self, deadline: Deadline) -> None:
        self._enter(Phase.AUTHENTICATING)
        # One that a person is asked for is on trial already.
        password = self._password if self._answer is None else None
        with self._context.accounts.trying(self.host, self._options, password, self._guard):
            self._log_in_once(deadline)

    def _log_in_once(self, deadline: Deadline) -> None:
        self._deadline = limit = deadline.sooner(self._auth_limit)
        options = self._options
        try:
            login = login_of(options, self._password, self._binding(), self._context.tickets, limit, self._guard)
            transport = self._transport = Transport(options, self._password, Adapter(self._post), login)
            if login is None:
                return
            transport.setup_encryption(transport.build_session())
        except (HostError, Aborted, Stale):
            raise
        except (Expired, Silence):
            if deadline.expired and self._proven:
                raise Expired from None
            raise ConnectTimeoutError(f"{self._where} did not answer the login in time") from None
        except WrongPassword as error:
            self._judge(False)
            wrong = AuthenticationError(str(error))
            wrong.counted = True
            raise wrong from None
        except Exception as error:  # noqa: BLE001 - what parses untrusted bytes: SpnegoError, struct.error, KeyError
            self._guard()
            raise refusals.login(self._where, options, error) from None
        self._check_login(transport.status)

    def _begin_asking(self, deadline: Deadline) -> None:
        """Connect and log in with a password that a person is asked for, again where it proves wrong."""
        while True:
            self._ask(deadline)
            try:
                return self._begin(deadline)
            except AuthenticationError as error:
                if self._verdict is not False:
                    raise
                self._refused_with = error

    def _ask(self, deadline: Deadline) -> None:
        """Have a password, or raise why there is none."""
        options, before = self._options, self._answer
        self._enter(Phase.WAITING)
        reason = "ansible_password is not set"
        if self._context.asks(options):
            group = options.credential_group or options.user
            about = "" if group == options.user else f" ({group})"
            text = f"WinRM password of {options.user}{about}"
            question = Question("password", group, text, self.host, wanted=options.ask_password is True)
            self._answer = self._context.prompts.ask(
                question, deadline.sooner(PATIENCE), self._guard, instead_of=before
            )
            self._password = self._answer.secret
            reason = self._answer.reason or reason
        if self._password is None:
            if self._refused_with is not None:
                raise self._refused_with
            raise AuthenticationError(f"there is no password for {self._where} ({reason})")

    def _judge(self, right: bool | None) -> None:
        """Say of a password that was asked for whether it is right; None to say that nothing is known of it."""
        answer, self._verdict = self._answer, right
        if answer is None:
            return
        if right:
            answer.accept()
        elif right is None:
            answer.release()
        else:
            answer.reject()

    def _check_login(self, status: int) -> None:
        if status == 401:
            if not self._proven and self._options.transport != "kerberos":
                self._judge(False)
            raise refusals.wrong_login(self._where, self._options)
        if status != 200:
            raise refusals.status(self._where, self._options, status, b"")
        self._prove()

    def _prove(self) -> None:
        """Take note that the host has taken the login."""
        self._phase = None
        if not self._proven:
            self._proven = True
            self._judge(True)

    def _exchange(self, message: bytes, deadline: Deadline) -> ET.Element:
        transport, self._deadline = self._transport, deadline
        assert transport is not None  # noqa: S101 - `_begin` made it
        try:
            body = transport.send_message(message)
        except Expired:
            raise
        except Silence:
            raise _Failed(
                ConnectionLostError(f"{self._where} said nothing for {self._options.read_timeout} s"), unheard=False
            ) from None
        except Broken as error:
            raise self._broken(error) from None
        except NotHttp as error:
            self._drop()
            raise refusals.not_http(self._where, self._options, error) from None
        except UnsealedError:
            self._drop()
            raise refusals.unsealed(self._where) from None
        except UnreadableError as error:
            raise _Failed(refusals.unreadable(self._where, str(error)), unheard=False) from None
        except UnsealableError as error:
            # A Kerberos ticket that has expired meanwhile, say: the message has not left.
            raise _Failed(refusals.unsealable(self._where, str(error)), unheard=True) from None
        if transport.status in (200, 500) and body:
            return self._root(transport.status, body)
        raise self._refused(transport, body)

    def _root(self, status: int, body: bytes) -> ET.Element:
        try:
            root = root_of(body)
        except NotSoap:
            self._drop()
            raise refusals.not_soap(self._where, self._options, status, body) from None
        except Fault:
            self._prove()
            raise
        self._prove()
        if status == 500:
            raise refusals.status(self._where, self._options, status, body)
        return root

    def _refused(self, transport: Transport, body: bytes) -> Exception:
        """Return what it means that a message was answered by an HTTP status alone."""
        status, proven = transport.status, self._proven
        self._drop()
        if status == 400 and transport.encryption is not None:
            # The host could not decrypt it, so it did nothing (a new login gives a new key).
            return _Failed(refusals.status(self._where, self._options, status, body), unheard=True)
        if status == 401:
            wrong = refusals.wrong_login(self._where, self._options)
            if not proven:
                self._judge(False)
            # The connection's login is over. Where the message itself has the password, once is enough.
            return _Failed(wrong, unheard=True) if proven and self._options.transport in SEALING else wrong
        return refusals.status(self._where, self._options, status, body)

    def _broken(self, error: Broken) -> Exception:
        self._guard()
        if not self._proven and not error.answered and (error.sent or refusals.about_certificate(error.reason)):
            return refusals.closed(self._where, self._options, error)
        lost = ConnectionLostError(f"the connection to {self._where} broke: {error.reason}", started=error.sent)
        return _Failed(lost, unheard=not error.sent)

    def _post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request on the line."""
        if self._line is None:
            raise Broken("it was closed", sent=False)
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items() if name != "Content-Length"])
        head = f"{self._head}{fields}Content-Length: {len(body)}\r\n\r\n".encode("latin-1")
        return self._line.ask(head + body, self._deadline, self._options.read_timeout)

    def _fixed_head(self) -> str:
        parts = urlsplit(self._options.url)
        proxied = self._options.scheme == "http" and self._options.proxy is not None
        target = self._options.url if proxied else self._options.path
        head = (
            f"POST {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept-Encoding: identity\r\nConnection: Keep-Alive\r\n"
        )
        login = self._approach.proxy_login() if proxied else None
        return f"{head}Proxy-Authorization: {login}\r\n" if login else head

    def _binding(self) -> bytes | None:
        certificate = self._line.certificate if self._line is not None and self._options.send_cbt else None
        return None if certificate is None else tls.binding(certificate)

    def _drop(self) -> None:
        line, self._line, self._transport = self._line, None, None
        if line is not None:
            line.close()

    def _guard(self) -> None:
        if self._take_abort():
            raise Aborted

    def _take_abort(self) -> bool:
        aborted, self._aborted = self._aborted, False
        return aborted

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        if self._opening and self.on_phase is not None:
            self.on_phase(phase)

    def _answered(self) -> None:
        if self._opening and self.on_answer is not None:
            self.on_answer()

    def _place(self, error: BaseException) -> None:
        """Tell an error the host and the phase it is of."""
        if isinstance(error, HostError):
            error.host = error.host or self.host
            error.phase = error.phase or (None if self._phase is None else self._phase.value)
