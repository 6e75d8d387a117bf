"""Logging in (RFC 4252): public keys, then password, then the same password at a prompt (RFC 4256)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from paramiko.common import (
    MSG_SERVICE_ACCEPT,
    MSG_SERVICE_REQUEST,
    MSG_USERAUTH_BANNER,
    MSG_USERAUTH_FAILURE,
    MSG_USERAUTH_INFO_REQUEST,
    MSG_USERAUTH_INFO_RESPONSE,
    MSG_USERAUTH_REQUEST,
    MSG_USERAUTH_SUCCESS,
)

from sshexec.connectors.base import Deadline
from sshexec.connectors.ssh.channel import Packet
from sshexec.connectors.ssh.keys import SigningKey, strings
from sshexec.connectors.ssh.transport import Link, LinkDownError
from sshexec.errors import AuthenticationError, ConnectTimeoutError
from sshexec.secret import Secret


class Login:
    """One attempt to log in over a link whose host key has been checked.

    Args:
        link: the connection.
        user: the name to log in with.
        where: the host, for messages.
    """

    def __init__(self, link: Link, user: str, where: str) -> None:
        self._link = link
        self._user = user
        self._where = where
        self._methods: tuple[str, ...] = ()
        self._answered: bool | None = None
        self._partial = False
        self._accepted = False
        self._requested = False
        self._password: Secret | None = None
        self._asked = ""
        self._offered: list[str] = []
        self._handler_table: dict[int, Callable[[Any], None]] = {
            MSG_SERVICE_ACCEPT: self._service_accepted,
            MSG_USERAUTH_SUCCESS: self._succeeded,
            MSG_USERAUTH_FAILURE: self._failed,
            MSG_USERAUTH_BANNER: self._banner,
            MSG_USERAUTH_INFO_REQUEST: self._prompted,
        }
        link.auth_handler = self

    # What Paramiko's reader calls.

    def is_authenticated(self) -> bool:
        """Return whether the host let us in."""
        return self._answered is True

    def abort(self) -> None:
        """Wake the waiter: the connection is gone."""
        self._link.signal.set()

    def _service_accepted(self, m: Any) -> None:
        self._accepted = True
        self._link.signal.set()

    def _succeeded(self, m: Any) -> None:
        self._answered = True
        self._link.authenticated = True
        self._link.signal.set()

    def _failed(self, m: Any) -> None:
        self._methods = tuple(m.get_string().decode("ascii", "replace").split(","))
        self._partial = m.get_boolean()
        self._answered = False
        self._link.signal.set()

    def _banner(self, m: Any) -> None:
        """Drop the text that some hosts show before the login."""

    def _prompted(self, m: Any) -> None:
        """Answer one hidden prompt with the password, once; to any other question we have no answer.

        The same number stands for the demand to change an expired password (RFC 4252 §8).
        """
        if self._password is None:
            self._asked = "the host wants the password changed"
            self._answered = False
            self._link.signal.set()
            return
        for _ in range(3):  # name, instruction, language
            m.get_string()
        prompts = [(m.get_string().decode("utf-8", "replace"), m.get_boolean()) for _ in range(min(m.get_int(), 16))]
        answers = [b""] * len(prompts)
        if len(prompts) == 1 and not prompts[0][1] and not self._asked:
            self._asked = "answered"
            answers = [self._password.reveal().encode()]
        elif prompts:
            self._asked = f"the host asks {prompts[0][0].strip()!r}"
        body = struct.pack(">BI", MSG_USERAUTH_INFO_RESPONSE, len(answers)) + strings(*answers)
        self._link._send_message(Packet(body))

    # What the connection's caller does.

    @property
    def answered(self) -> bool | None:
        """What the host said to the last request; None while it has not answered."""
        return self._answered

    @property
    def partial(self) -> bool:
        """Whether the host took the last credential, and wants one more."""
        return self._partial

    def begin(self, credential: SigningKey | Secret, deadline: Deadline, guard: Callable[[], None]) -> bool:
        """Prepare the request for the only credential and wait for nothing; return False where it can't be made.

        Raises:
            LinkDownError: the connection is gone.
        """
        if isinstance(credential, Secret):
            self._offered.append("password")
            body = self._head("password") + b"\0" + strings(credential.reveal().encode())
        else:
            signed = self._signed(credential, deadline, guard)
            if signed is None:
                return False
            body = signed
        self._answered = None
        self._request_service()
        self._link.send(Packet(body))
        return True

    def refusal(self) -> AuthenticationError:
        """Return the error that says that the host refused what it was offered."""
        return self._refusal("")

    def run(
        self, keys: Sequence[SigningKey], password: Secret | None, deadline: Deadline, guard: Callable[[], None]
    ) -> None:
        """Offer the credentials one after the other until the host lets us in.

        Args:
            keys: public keys, the best first.
            password: for the methods ``password`` and ``keyboard-interactive``.
            deadline: by when.
            guard: raises where the caller shall wait no longer.

        Raises:
            AuthenticationError: the host refused every credential.
            ConnectTimeoutError: it did not answer in time.
            LinkDownError: the connection broke for another reason.
        """
        try:
            if self._try_all(keys, password, deadline, guard):
                return
        except LinkDownError:
            if self._link.farewell or self._offered:
                raise self._refusal(self._link.why()) from None
            raise
        raise self._refusal("")

    def _try_all(
        self, keys: Sequence[SigningKey], password: Secret | None, deadline: Deadline, guard: Callable[[], None]
    ) -> bool:
        for key in keys:
            if self._allowed("publickey") and self._offer_key(key, deadline, guard):
                return True
        if password is not None:
            if self._allowed("password") and self._offer_password(password, deadline, guard):
                return True
            if self._allowed("keyboard-interactive") and self._offer_answer(password, deadline, guard):
                return True
        if not self._offered:
            # Asks which methods there are; a host that wants no credential lets us in.
            return self._ask("none", b"", deadline, guard)
        return False

    def _allowed(self, method: str) -> bool:
        return not self._methods or method in self._methods

    def _offer_key(self, key: SigningKey, deadline: Deadline, guard: Callable[[], None]) -> bool:
        if key.kind.startswith("ssh-rsa"):
            # Only after the service's acceptance is it known which RSA signatures the host takes (RFC 8308).
            self._request_service()
            self._link.flush()
            self._wait(lambda: self._accepted, deadline, guard)
        body = self._signed(key, deadline, guard)
        return body is not None and self._send(body, deadline, guard)

    def _signed(self, key: SigningKey, deadline: Deadline, guard: Callable[[], None]) -> bytes | None:
        """Return the request for a key with its signature; None where whoever holds the key does not sign."""
        extensions = self._link.server_extensions.get("server-sig-algs", b"")
        algorithm = key.algorithm(extensions.decode("ascii", "replace"))
        head = self._head("publickey") + b"\x01" + strings(algorithm.encode(), key.blob)
        self._offered.append(f"key {key}")
        try:
            signature = key.sign(strings(self._link.session_id or b"") + head, algorithm, deadline, guard)
        except OSError as error:
            self._offered[-1] += f" ({error})"
            return None
        return head + strings(signature)

    def _offer_password(self, password: Secret, deadline: Deadline, guard: Callable[[], None]) -> bool:
        self._offered.append("password")
        return self._ask("password", b"\0" + strings(password.reveal().encode()), deadline, guard)

    def _offer_answer(self, password: Secret, deadline: Deadline, guard: Callable[[], None]) -> bool:
        self._offered.append("password at a prompt")
        self._password = password
        try:
            return self._ask("keyboard-interactive", strings(b"", b""), deadline, guard)
        finally:
            self._password = None

    def _head(self, method: str) -> bytes:
        user = self._user.encode("utf-8", "surrogateescape")
        return bytes((MSG_USERAUTH_REQUEST,)) + strings(user, b"ssh-connection", method.encode())

    def _ask(self, method: str, body: bytes, deadline: Deadline, guard: Callable[[], None]) -> bool:
        return self._send(self._head(method) + body, deadline, guard)

    def _request_service(self) -> None:
        if not self._requested:
            self._requested = True
            self._link.send(Packet(bytes((MSG_SERVICE_REQUEST,)) + strings(b"ssh-userauth")))

    def _send(self, body: bytes, deadline: Deadline, guard: Callable[[], None]) -> bool:
        """Send a request, the first one in the same segment as that for the service: one round trip less."""
        self._answered = None
        self._link.packetizer.hold()
        self._request_service()
        self._link.send(Packet(body))
        self._link.flush()
        self._wait(lambda: self._answered is not None, deadline, guard)
        return self._answered is True

    def _wait(self, ready: Callable[[], bool], deadline: Deadline, guard: Callable[[], None]) -> None:
        if not self._link.wait_until(ready, deadline, guard):
            raise ConnectTimeoutError(f"{self._where} did not answer the login in time")

    def _refusal(self, reason: str) -> AuthenticationError:
        methods = f" ({','.join(self._methods)})" if self._methods else ""
        offered = f"offered: {', '.join(self._offered)}" if self._offered else "there was no credential to offer"
        notes = [offered]
        if self._partial:
            notes.append("the host wants one more credential")
        if self._asked not in ("", "answered"):
            notes.append(self._asked)
        if reason:
            notes.append(reason)
        return AuthenticationError(f"{self._user}@{self._where}: Permission denied{methods}. " + "; ".join(notes))
